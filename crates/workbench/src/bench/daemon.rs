//! A daemon as a process of its own: started, asked, measured, ended.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use xtask::shell::{Failure, Result};

/// Lines of its log that are kept.
const LAST: usize = 40;
/// It is ready within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The process that is measured; it ends with this value.
pub(crate) struct Daemon {
    child: Child,
    begun: Instant,
    /// From its start until it had seen the planes' homes, and led.
    pub(crate) ready: Duration,
    address: String,
    /// The end of its log.
    said: Arc<Mutex<VecDeque<String>>>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let begun = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let child = child.map_err(Failure::because("cannot run the daemon"))?;
        let mut daemon = Self { child, begun, ready: Duration::ZERO, address: String::new(), said: Arc::default() };
        let mut lines = daemon.child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines());
        let listening = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["message"] == "listening").then(|| line["address"].as_str().map(str::to_owned))?
        };
        let address = lines.find_map(|line| listening(&line.ok()?));
        let address = address.ok_or_else(|| Failure::new("the daemon ended before it listened"))?;
        // A full pipe would hold it up.
        let said = Arc::clone(&daemon.said);
        std::thread::spawn(move || {
            for line in lines.map_while(std::io::Result::ok) {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_back(line);
                let most = said.len().saturating_sub(LAST);
                said.drain(..most);
            }
        });
        while !is_ready(&address) {
            if begun.elapsed() > PATIENCE {
                return Err(Failure::new("the daemon does not get ready"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon.ready = begun.elapsed();
        daemon.address = address;
        Ok(daemon)
    }

    /// What it told last, for whoever has to find out what went wrong.
    pub(crate) fn explained(&self, failure: Failure) -> Failure {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        Failure::new(format!("{failure}; the daemon told last:\n{}", said.join("\n")))
    }

    fn clusters(&self) -> Result<Vec<serde_json::Value>> {
        let answer = ask(&self.address, "/state").map_err(Failure::because("cannot ask the daemon"))?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let mut state: serde_json::Value =
            serde_json::from_str(body).map_err(Failure::because("cannot read /state"))?;
        let clusters = state.get_mut("clusters").and_then(serde_json::Value::as_object_mut).map(std::mem::take);
        Ok(clusters.unwrap_or_default().into_iter().map(|(_, cluster)| cluster).collect())
    }

    /// Objects of the fleet that it has in sight, in all clusters.
    pub(crate) fn objects(&self) -> Result<u64> {
        Ok(self.clusters()?.iter().filter_map(|cluster| cluster["objects"].as_u64()).sum())
    }

    /// From its start until it had seen all clusters.
    pub(crate) fn synced(&self) -> Result<Duration> {
        loop {
            let clusters = self.clusters()?;
            if clusters.iter().all(|cluster| cluster["state"] == "live") {
                return Ok(self.begun.elapsed());
            }
            if self.begun.elapsed() > PATIENCE {
                return Err(Failure::new("the daemon does not see all clusters"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Open files, sockets among them, and threads.
    pub(crate) fn held(&self) -> Result<(usize, usize)> {
        let of = |what: &str| {
            let folder = std::fs::read_dir(format!("/proc/{}/{what}", self.child.id()));
            folder.map(Iterator::count).map_err(Failure::because("cannot look at the daemon"))
        };
        Ok((of("fd")?, of("task")?))
    }

    /// In megabytes: now, and at its peak.
    pub(crate) fn memory(&self) -> Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.map_err(Failure::because("cannot read the daemon's memory"))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or_default() * 1024.0 / 1e6
        };
        Ok((of("VmRSS:"), of("VmHWM:")))
    }
}

fn is_ready(address: &str) -> bool {
    ask(address, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn ask(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: daemon\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
