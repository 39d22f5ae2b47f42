//! `jitsictl daemon` as a process: how it starts, what it answers, and how it ends. No cluster is asked: the only context
//! leads to a port of loopback where nobody listens.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails when it cannot go on")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value as Json;

const FLEET: &str = "\
fleet: meet
url: https://meet.example.org
release: stable-11146-2
secrets: { JWT_APP_SECRET: { env: APP_SECRET } }
clusters: { hq: { context: hq } }
control: { cluster: hq, shards: { alpha: {} } }
data: { pools: { main: { cluster: hq } } }
";

/// Nobody listens on port 9 of loopback.
const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
clusters: [{ name: hq, cluster: { server: 'http://127.0.0.1:9' } }]
users: [{ name: hq, user: { token: token-that-nobody-may-see } }]
contexts: [{ name: hq, context: { cluster: hq, user: hq } }]
";

const SECRETS: [&str; 3] = ["app-secret-that-nobody-may-see", "token-that-nobody-may-see", "hook-that-nobody-may-see"];

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("fleet.yaml"), FLEET).unwrap();
    fs::write(folder.path().join("kubeconfig"), KUBECONFIG).unwrap();
    fs::write(folder.path().join("hook"), "hook-that-nobody-may-see\n").unwrap();
    folder
}

fn jitsictl(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitsictl"));
    // Nothing of whoever runs the test reaches the program.
    command.current_dir(folder).env_clear().env("HOSTNAME", "host").env("APP_SECRET", SECRETS[0]);
    command.args(["--kubeconfig", "kubeconfig"]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = jitsictl(folder, arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A daemon that runs, until the test ends.
struct Running {
    child: Child,
    address: String,
    log: BufReader<ChildStderr>,
    /// What was read of the log.
    read: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let common = ["daemon", "--listen", "127.0.0.1:0", "--log-format", "json"];
        let mut child = jitsictl(folder, &[&common, arguments].concat()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self { child, address: String::new(), log, read: String::new() };
        running.address = running.line("listening")["address"].as_str().unwrap().to_owned();
        running
    }

    /// The next line with that message.
    fn line(&mut self, message: &str) -> Json {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "no more lines after\n{}", self.read);
            self.read.push_str(&line);
            let line: Json = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            if line["message"] == message {
                return line;
            }
        }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// How it ended, and the whole log.
    fn ended(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it has not ended");
            sleep(Duration::from_millis(20));
        }
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), format!("{}{rest}", self.read))
    }
}

#[test]
fn it_answers_while_no_cluster_does_and_ends_when_told() {
    let folder = folder();
    let hook = ["--webhook", "http://127.0.0.1:9/hook-that-nobody-may-see", "--webhook-secret-file", "hook"];
    let daemon = Running::start(folder.path(), &hook);
    assert_eq!(daemon.get("/healthz"), (200, "ok\n".to_owned()));
    let (code, why) = daemon.get("/readyz");
    assert_eq!(code, 503);
    assert!(why.contains("no round yet"), "{why}");
    let (_, metrics) = daemon.get("/metrics");
    assert!(metrics.contains("\njitsictl_intent_refused 0\n"), "{metrics}");
    let (_, state) = daemon.get("/state");
    let parsed: Json = serde_json::from_str(&state).unwrap();
    assert!(parsed["daemon"]["name"].as_str().unwrap().starts_with("host-"), "{state}");
    let (code, _, told) = run(folder.path(), &["status", "--daemon", &daemon.address]);
    assert_eq!(code, 1);
    assert!(told.contains("has not seen the fleet yet"), "{told}");
    daemon.signal("TERM");
    let (status, log) = daemon.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    for page in [metrics, state, why, log] {
        assert!(SECRETS.iter().all(|secret| !page.contains(secret)), "{page}");
    }
}

#[test]
fn a_bad_file_is_told_and_the_good_one_stays() {
    let folder = folder();
    let mut daemon = Running::start(folder.path(), &["--holder", "one"]);
    fs::write(folder.path().join("fleet.yaml"), FLEET.replace("shards", "shardz")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !daemon.get("/metrics").1.contains("jitsictl_intent_refused 1\n") {
        assert!(Instant::now() < deadline, "it was not refused");
        sleep(Duration::from_millis(100));
    }
    let line = daemon.line("the fleet file makes no sense: the last good one stays in force");
    assert!(line["problems"].as_str().unwrap().contains("shardz"), "{line}");
    daemon.signal("INT");
    assert_eq!(daemon.ended().0.code(), Some(0));
}

/// As a pod that is started anew with a ConfigMap that somebody broke: what it has to say is there to be asked for.
#[test]
fn it_waits_for_a_file_that_makes_sense_where_it_is_known_where_to_say_so() {
    let folder = folder();
    fs::write(folder.path().join("fleet.yaml"), FLEET.replace("shards", "shardz")).unwrap();
    let mut daemon = Running::start(folder.path(), &[]);
    let line = daemon
        .line("the fleet file makes no sense, and there was none before: nothing is done until there is one that does");
    assert!(line["problems"].as_str().unwrap().contains("shardz"), "{line}");
    assert_eq!(daemon.get("/healthz"), (200, "ok\n".to_owned()));
    let (code, why) = daemon.get("/readyz");
    assert!(code == 503 && why.contains("unknown key `shardz`"), "{why}");
    assert!(daemon.get("/metrics").1.contains("\njitsictl_intent_refused 1\n"));
    let (code, _, told) = run(folder.path(), &["status", "--daemon", &daemon.address]);
    assert!(code == 1 && told.contains("has not seen the fleet yet"), "{told}");

    fs::write(folder.path().join("fleet.yaml"), FLEET).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !daemon.get("/metrics").1.contains("jitsictl_intent_refused 0\n") {
        assert!(Instant::now() < deadline, "the good one was not taken");
        sleep(Duration::from_millis(100));
    }
    assert!(daemon.get("/state").1.contains("\"fleet\":\"meet\""));
    daemon.signal("TERM");
    assert_eq!(daemon.ended().0.code(), Some(0));

    fs::write(folder.path().join("fleet.yaml"), "{").unwrap();
    let daemon = Running::start(folder.path(), &[]);
    daemon.signal("TERM");
    assert_eq!(daemon.ended().0.code(), Some(0), "it waits, and may be told not to");
}

#[test]
fn it_does_not_start_with_what_is_wrong() {
    let folder = folder();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let (code, _, told) = run(folder.path(), &["daemon", "--listen", &taken]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("cannot listen on"), "{told}");
    for wrong in [
        &["--webhook", "ftp://x"][..],
        &["--webhook", "https://x", "--webhook-secret-file", "nowhere"],
        &["--webhook-secret-file", "hook"],
        &["--listen", "nowhere"],
        &["--handover", "nowhere"],
    ] {
        let (code, _, told) = run(folder.path(), &[&["daemon"], wrong].concat());
        assert_eq!(code, 2, "{wrong:?}: {told}");
    }
    fs::write(folder.path().join("fleet.yaml"), FLEET.replace("shards", "shardz")).unwrap();
    let (code, _, told) = run(folder.path(), &["daemon"]);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("unknown key `shardz`"), "{told}");
}

#[test]
fn status_says_which_daemon_it_could_not_ask() {
    let folder = folder();
    let (code, _, told) = run(folder.path(), &["status", "--daemon", "127.0.0.1:9"]);
    assert_eq!(code, 1);
    assert!(told.contains("cannot ask the daemon at 127.0.0.1:9"), "{told}");
    let (code, _, told) = run(folder.path(), &["status", "--daemon", "127.0.0.1:9", "--plane", "data"]);
    assert_eq!(code, 2, "{told}");
}
