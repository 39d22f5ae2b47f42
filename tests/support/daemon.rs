//! A daemon that runs beside a scenario's commands.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value as Json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// How long it may take until it answers, and until it has seen everything.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to end.
const FAREWELL: Duration = Duration::from_secs(10);
/// The pages that it shows.
const PAGES: [&str; 4] = ["/metrics", "/state", "/readyz", "/healthz"];
/// So much of its log is shown when something went wrong.
const SHOWN: usize = 30;

pub(crate) struct Daemon {
    child: Child,
    address: String,
    log: Log,
    /// What it sends to who follows it.
    events: Log,
}

/// What it wrote so far.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Keeps what comes in, until nothing more does.
    async fn keep(self, from: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.lines().push(line);
        }
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of a key of the first line with this message.
    fn value(&self, message: &str, key: &str) -> Option<String> {
        let lines = self.lines();
        let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<Json>(line).ok());
        lines.find(|line| line["message"] == message).and_then(|line| Some(line[key].as_str()?.to_owned()))
    }
}

impl Daemon {
    /// Starts it, and waits until it has seen everything.
    pub(crate) async fn start(mut command: Command) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot run the daemon: {error}");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let log = Log::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log.clone().keep(stderr));
        }
        let mut daemon = Self { child, address: String::new(), log, events: Log::default() };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if daemon.address.is_empty() {
                daemon.address = daemon.log.value("listening", "address").unwrap_or_default();
                if !daemon.address.is_empty() {
                    tokio::spawn(daemon.events.clone().keep(daemon.ask("/events").await.map_err(failed)?));
                }
            } else if matches!(daemon.page("/readyz").await, Ok((200, _))) {
                return Ok(daemon);
            }
            if daemon.child.try_wait().map_err(failed)?.is_some() {
                return Err(format!("the daemon has ended\n{}", daemon.tail()));
            }
            if Instant::now() >= deadline {
                return Err(format!("the daemon is not ready after {PATIENCE:?}\n{}", daemon.tail()));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        let lines = self.log.lines();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// Its log, and all that it shows and has sent.
    pub(crate) async fn everything(&self) -> Result<String, String> {
        let mut text = self.log.lines().join("\n");
        text.push_str(&self.events.lines().join("\n"));
        for page in PAGES {
            text.push_str(&self.page(page).await?.1);
        }
        Ok(text)
    }

    async fn ask(&self, path: &str) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: daemon\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        Ok(stream)
    }

    async fn page(&self, path: &str) -> Result<(u16, String), String> {
        let asked = async {
            let mut answer = String::new();
            self.ask(path).await?.read_to_string(&mut answer).await.map(|_| answer)
        };
        let answer = timeout(PATIENCE, asked).await.map_err(|late| format!("{path}: {late}"))?;
        let answer = answer.map_err(|error| format!("{path}: {error}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{path}: {answer}"))?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok((code.ok_or_else(|| format!("{path}: {head}"))?, body.to_owned()))
    }

    /// Tells it to end, which it has to do in order and in time.
    pub(crate) async fn stop(mut self) -> Result<(), String> {
        let id = self.child.id().map(|id| id.to_string()).unwrap_or_default();
        let told = Command::new("kill").args(["-s", "TERM", &id]).status().await.map_err(|error| error.to_string())?;
        let ended = timeout(FAREWELL, self.child.wait()).await;
        // In a task of its own, a panic ends nothing else.
        if self.log.lines().iter().any(|line| line.contains("a panic, which is a bug")) {
            return Err(format!("the daemon panicked\n{}", self.tail()));
        }
        match ended {
            Ok(Ok(status)) if told.success() && status.success() => Ok(()),
            Ok(status) => Err(format!("the daemon ended with {status:?}\n{}", self.tail())),
            Err(_) => Err(format!("the daemon has not ended within {FAREWELL:?}\n{}", self.tail())),
        }
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) async fn kill(mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|error| error.to_string())
    }
}
