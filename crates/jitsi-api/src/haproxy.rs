//! The entrance's runtime socket: plain text, one command a connection, or a console that stays open.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error::{ApiError, Cause, Daemon};
use crate::http::Stream;

/// A server line as the running proxy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// The backend it is in.
    pub backend: String,
    /// Its number: what the table of rooms refers to.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its address as it is used now; `-` while a name does not resolve.
    pub address: String,
    /// Whether its checks pass.
    pub up: bool,
    /// Whether people put it into maintenance, which would take rooms away from it.
    pub maintenance: bool,
    /// Its weight now: 0 is drained.
    pub weight: u32,
}

/// One room in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    /// Tenant and room.
    pub key: String,
    /// The server it stays on.
    pub server_id: u32,
    /// How long it stays without a request.
    pub expires_in: Duration,
}

/// All servers of one backend.
///
/// # Errors
/// When the proxy does not answer as expected.
pub async fn servers_state(
    stream: impl Stream,
    backend: &str,
    deadline: Duration,
) -> Result<Vec<ServerState>, ApiError> {
    let command = format!("show servers state {backend}");
    let text = ask(stream, &command, deadline).await?;
    servers(command, &text)
}

/// A console on the runtime socket, for whoever asks the same proxy again and again. After an error it is of no use any
/// more.
pub struct Console(Box<dyn Stream>);

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

impl Console {
    /// What the proxy says when it waits for the next command.
    const PROMPT: &[u8] = b"\n> ";
    /// No answer is longer: a line of a server has some 150 bytes.
    const LONGEST: usize = 1 << 20;

    /// Opens one. It stays open for an hour after each command.
    ///
    /// # Errors
    /// When the proxy does not answer as expected.
    pub async fn open(stream: impl Stream, deadline: Duration) -> Result<Self, ApiError> {
        let mut console = Self(Box::new(stream));
        console.ask("prompt", deadline).await?;
        console.ask("set timeout cli 3600", deadline).await?;
        Ok(console)
    }

    /// All servers of all backends.
    ///
    /// # Errors
    /// When the proxy does not answer as expected.
    pub async fn servers_state(&mut self, deadline: Duration) -> Result<Vec<ServerState>, ApiError> {
        let command = "show servers state";
        let text = self.ask(command, deadline).await?;
        servers(command.to_owned(), &text)
    }

    async fn ask(&mut self, command: &str, deadline: Duration) -> Result<String, ApiError> {
        let exchange = async {
            self.0.write_all(format!("{command}\n").as_bytes()).await?;
            self.0.flush().await?;
            let mut text = Vec::new();
            while !text.ends_with(Self::PROMPT) {
                if self.0.read_buf(&mut text).await? == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
                }
                if text.len() > Self::LONGEST {
                    return Err(std::io::Error::other("an answer without an end"));
                }
            }
            text.truncate(text.len() - Self::PROMPT.len());
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        within(command, deadline, exchange).await
    }
}

fn servers(command: String, text: &str) -> Result<Vec<ServerState>, ApiError> {
    let mut lines = text.lines();
    if lines.next() != Some("1") {
        return Err(unexpected(command, "it is not a list of servers in format 1", text));
    }
    let rows = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let servers: Option<Vec<_>> = rows.map(server).collect();
    servers.ok_or_else(|| unexpected(command, "a server's line has an unknown form", text))
}

/// Gives a server a weight; 0 keeps its rooms and gives it no new ones.
///
/// # Errors
/// When the proxy does not answer as expected or knows no such server.
pub async fn set_weight(
    stream: impl Stream,
    backend: &str,
    server: &str,
    weight: u8,
    deadline: Duration,
) -> Result<(), ApiError> {
    let command = format!("set server {backend}/{server} weight {weight}");
    let text = ask(stream, &command, deadline).await?;
    // Success is silent.
    if text.trim().is_empty() { Ok(()) } else { Err(unexpected(command, "it refused", &text)) }
}

/// The rooms of a table.
///
/// # Errors
/// When the proxy does not answer as expected.
pub async fn show_table(stream: impl Stream, table: &str, deadline: Duration) -> Result<Vec<TableEntry>, ApiError> {
    let command = format!("show table {table}");
    let text = ask(stream, &command, deadline).await?;
    let mut lines = text.lines();
    if !lines.next().is_some_and(|head| head.starts_with("# table:")) {
        return Err(unexpected(command, "it is not a table", &text));
    }
    // An entry without a server is one that was looked up and not stored.
    Ok(lines.filter_map(entry).collect())
}

async fn ask(mut stream: impl Stream, command: &str, deadline: Duration) -> Result<String, ApiError> {
    let fail = |cause| ApiError { daemon: Daemon::Haproxy, request: command.to_owned(), cause };
    if command.contains(['\n', ';']) {
        return Err(fail(Cause::Request("a name holds a character that would start another command".to_owned())));
    }
    let exchange = async {
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        stream.flush().await?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    within(command, deadline, exchange).await
}

async fn within(
    command: &str,
    deadline: Duration,
    exchange: impl Future<Output = std::io::Result<String>>,
) -> Result<String, ApiError> {
    let fail = |cause| ApiError { daemon: Daemon::Haproxy, request: command.to_owned(), cause };
    let outcome = tokio::time::timeout(deadline, exchange).await;
    outcome.map_err(|_| fail(Cause::Deadline(deadline)))?.map_err(|error| fail(Cause::Connection(error.to_string())))
}

fn unexpected(request: String, why: &str, text: &str) -> ApiError {
    ApiError { daemon: Daemon::Haproxy, request, cause: Cause::content(why, text.as_bytes()) }
}

/// `be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight …`
fn server(line: &str) -> Option<ServerState> {
    let fields: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some(ServerState {
        backend: (*fields.get(1)?).to_owned(),
        id: number(2)?,
        name: (*fields.get(3)?).to_owned(),
        address: (*fields.get(4)?).to_owned(),
        up: number(5)? == 2,
        // Bits of forced, inherited, configured and resolver maintenance.
        maintenance: number(6)? & 0x27 != 0,
        weight: number(7)?,
    })
}

/// `0x…: key=… use=0 exp=… shard=0 server_id=… server_key=…`
fn entry(line: &str) -> Option<TableEntry> {
    let (_, rest) = line.split_once(": key=")?;
    // A key may hold blanks; the fields after it don't.
    let (key, fields) = rest.split_once(" use=")?;
    let field = |name: &str| fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    Some(TableEntry {
        key: key.to_owned(),
        server_id: field("server_id")?.parse().ok().filter(|id| *id != 0)?,
        expires_in: Duration::from_millis(field("exp")?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, BufReader, DuplexStream};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn proxy(answer: &'static str) -> (DuplexStream, tokio::task::JoinHandle<String>) {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let task = tokio::spawn(async move {
            let mut command = vec![0; 1024];
            let length = theirs.read(&mut command).await.unwrap();
            theirs.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(command[..length].to_vec()).unwrap()
        });
        (ours, task)
    }

    const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
        srv_iweight srv_time_since_last_change\n\
        3 rooms 10 alpha-a 10.0.0.7 2 0 100 100 12 6 3 4 6 0 0 0 - 8000 - 0 0 - - 0\n\
        3 rooms 11 alpha-b - 0 32 0 100 12 6 3 0 6 0 0 0 - 8000 - 0 0 - - 0\n\n";

    #[tokio::test]
    async fn servers_are_listed() {
        let (stream, asked) = proxy(STATE);
        let servers = servers_state(stream, "rooms", SECOND).await.unwrap();
        assert_eq!(asked.await.unwrap(), "show servers state rooms\n");
        assert_eq!(
            (servers[0].name.as_str(), servers[0].id, servers[0].up, servers[0].weight),
            ("alpha-a", 10, true, 100)
        );
        assert_eq!((servers[1].up, servers[1].maintenance, servers[1].weight), (false, true, 0));
    }

    #[tokio::test]
    async fn a_console_is_asked_again_and_again() {
        let (ours, theirs) = tokio::io::duplex(64);
        let task = tokio::spawn(async move {
            let (mut asked, mut theirs) = (String::new(), BufReader::new(theirs));
            while theirs.read_line(&mut asked).await.unwrap() > 0 {
                let answer = if asked.ends_with("show servers state\n") { STATE } else { "\n" };
                theirs.write_all(format!("{answer}> ").as_bytes()).await.unwrap();
            }
            asked
        });
        let mut console = Console::open(ours, SECOND).await.unwrap();
        for _ in 0..2 {
            assert_eq!(console.servers_state(SECOND).await.unwrap().len(), 2);
        }
        drop(console);
        let asked = "prompt\nset timeout cli 3600\nshow servers state\nshow servers state\n";
        assert_eq!(task.await.unwrap(), asked);
        let (ours, _) = tokio::io::duplex(64);
        assert!(Console::open(ours, SECOND).await.is_err(), "it was closed");
    }

    #[tokio::test]
    async fn a_weight_is_set_or_refused() {
        let (stream, asked) = proxy("\n");
        set_weight(stream, "rooms", "alpha-a", 0, SECOND).await.unwrap();
        assert_eq!(asked.await.unwrap(), "set server rooms/alpha-a weight 0\n");
        let (stream, _) = proxy("No such server.\n\n");
        let error = set_weight(stream, "rooms", "gone", 0, SECOND).await.unwrap_err();
        assert!(error.to_string().contains("No such server."), "{error}");
    }

    #[tokio::test]
    async fn rooms_are_listed() {
        let (stream, _) = proxy(
            "# table: rooms, type: string, size:204800, used:2\n\
             0x55e: key=acme/standup use=0 exp=86399000 shard=0 server_id=10 server_key=alpha-a\n\
             0x55f: key=/looked up use=0 exp=5000 shard=0\n\n",
        );
        let rooms = show_table(stream, "rooms", SECOND).await.unwrap();
        assert_eq!(rooms.len(), 1);
        assert_eq!((rooms[0].key.as_str(), rooms[0].server_id), ("acme/standup", 10));
    }

    #[tokio::test]
    async fn a_name_never_becomes_a_second_command() {
        let (stream, _kept) = tokio::io::duplex(64);
        let error = set_weight(stream, "rooms", "a; shutdown sessions", 0, SECOND).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Request(_)), "{error}");
    }
}
