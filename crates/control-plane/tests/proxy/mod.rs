//! A real haproxy in two processes, in front of stub shards that answer with their own name.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use control_plane::haproxy_cfg::{HaproxyConfig, Peer, Server, Times, render};

const WEB_PORT: u16 = 18080;
const RUNTIME_PORT: u16 = 19999;
const SHARD_PORT: u16 = 18000;

/// A stub of one shard's web.
pub(crate) struct Shard {
    stopped: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Shard {
    pub(crate) fn start(name: &str, address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let (flag, name) = (stopped.clone(), name.to_owned());
        let thread = std::thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let name = name.clone();
                        std::thread::spawn(move || answer(stream, &name));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Self { stopped, thread: Some(thread) }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, name: &str) {
    stream.set_nonblocking(false).unwrap();
    let head = read_head(&mut stream).to_lowercase();
    let status = if head.contains("upgrade: websocket") {
        "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    } else {
        "200 OK\r\nConnection: close\r\nContent-Length: 0"
    };
    let client = head.lines().find_map(|line| line.strip_prefix("x-forwarded-for: ")).unwrap_or("");
    let region = head.lines().find_map(|line| line.strip_prefix("x-proxy-region: ")).unwrap_or("");
    let _ = write!(stream, "HTTP/1.1 {status}\r\nX-Name: {name}\r\nX-Client: {client}\r\nX-Region: {region}\r\n\r\n");
}

fn read_head(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Two proxies on `127.0.<net>.2` and `.3`, shards on `.10` and up.
pub(crate) struct Site {
    pub(crate) net: u8,
    pub(crate) config: HaproxyConfig,
    pub(crate) folder: tempfile::TempDir,
    shards: Vec<Option<Shard>>,
    proxies: [Option<Child>; 2],
}

impl Site {
    /// Shards `s0`, `s1`, … with these releases; the last one's is live.
    pub(crate) fn new(net: u8, releases: &[&str]) -> Self {
        let servers: Vec<Server> = (0u8..)
            .zip(releases)
            .map(|(at, release)| Server {
                name: format!("s{at}"),
                id: 10 + u16::from(at),
                address: format!("127.0.{net}.{}:{SHARD_PORT}", 10 + at),
                weight: 100,
                release: (*release).to_owned(),
            })
            .collect();
        let peer = |host: u8| Peer {
            name: format!("proxy-{host}"),
            address: format!("127.0.{net}.{host}"),
            port: 11000,
            bind: format!("127.0.{net}.{host}:11000"),
        };
        let config = HaproxyConfig {
            bind: format!("${{PROXY_ADDRESS}}:{WEB_PORT}"),
            runtime: format!("ipv4@${{PROXY_ADDRESS}}:{RUNTIME_PORT}"),
            metrics: None,
            peers: vec![peer(2), peer(3)],
            live: releases.last().unwrap().to_string(),
            resolve: false,
            times: Times { check_every: "200ms".into(), fall: 100, ..Times::default() },
            trusted: vec![],
            regions: vec![],
            snippet: None,
            servers,
        };
        let shards = config.servers.iter().map(|server| Some(Shard::start(&server.name, &server.address))).collect();
        let site = Self { net, config, folder: tempfile::tempdir().unwrap(), shards, proxies: [None, None] };
        site.write();
        site
    }

    pub(crate) fn write(&self) {
        std::fs::write(self.folder.path().join("haproxy.cfg"), render(&self.config)).unwrap();
    }

    pub(crate) fn address(&self, proxy: usize) -> String {
        format!("127.0.{}.{}", self.net, proxy + 2)
    }

    /// Starts one of the two and waits until it answers.
    pub(crate) fn start(&mut self, proxy: usize) {
        let mut command = self.command(proxy, "haproxy");
        command.arg("-W").arg("-db").arg("-f").arg(self.folder.path().join("haproxy.cfg"));
        self.run(proxy, &mut command);
    }

    pub(crate) fn command(&self, proxy: usize, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("HOSTNAME", format!("proxy-{}", proxy + 2)).env("PROXY_ADDRESS", self.address(proxy));
        command
    }

    pub(crate) fn run(&mut self, proxy: usize, command: &mut Command) {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.proxies[proxy] = Some(child.expect("no haproxy on this machine: apt-get install haproxy"));
        let alive = || self.try_ask(proxy, "GET /healthz", "").is_some_and(|answer| answer.0 == 200);
        within(Duration::from_secs(10), "the proxy answers", alive);
    }

    /// Ends one of the two, as a pod is ended.
    pub(crate) fn stop(&mut self, proxy: usize) {
        if let Some(mut child) = self.proxies[proxy].take() {
            let _ = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }

    pub(crate) fn shard_down(&mut self, at: usize) {
        self.shards[at] = None;
    }

    pub(crate) fn shard_up(&mut self, at: usize) {
        let server = &self.config.servers[at];
        self.shards[at] = Some(Shard::start(&server.name, &server.address));
    }

    /// Who answers this request: a shard's name, or the status when it is none.
    pub(crate) fn ask(&self, proxy: usize, request: &str) -> String {
        self.ask_with(proxy, request, "")
    }

    pub(crate) fn ask_with(&self, proxy: usize, request: &str, headers: &str) -> String {
        let (status, head) = self.try_ask(proxy, request, headers).expect("no answer");
        header(&head, "x-name").unwrap_or_else(|| status.to_string())
    }

    pub(crate) fn try_ask(&self, proxy: usize, request: &str, headers: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect((self.address(proxy).as_str(), WEB_PORT)).ok()?;
        write!(stream, "{request} HTTP/1.1\r\nHost: meet\r\n{headers}\r\n").ok()?;
        let head = read_head(&mut stream);
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, head))
    }

    /// Where a room's signalling goes.
    pub(crate) fn room(&self, proxy: usize, room: &str) -> String {
        self.ask(proxy, &format!("GET /http-bind?room={room}"))
    }

    /// Says something to one proxy's runtime socket.
    pub(crate) fn tell(&self, proxy: usize, command: &str) -> String {
        let mut stream = TcpStream::connect((self.address(proxy).as_str(), RUNTIME_PORT)).unwrap();
        writeln!(stream, "{command}").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    /// A console on one proxy's runtime socket.
    pub(crate) async fn console(&self, proxy: usize) -> jitsi_api::haproxy::Console {
        let stream = tokio::net::TcpStream::connect((self.address(proxy).as_str(), RUNTIME_PORT)).await.unwrap();
        jitsi_api::haproxy::Console::open(stream, Duration::from_secs(5)).await.unwrap()
    }

    /// How many rooms a proxy knows.
    pub(crate) fn known(&self, proxy: usize) -> usize {
        self.tell(proxy, "show table rooms").matches(": key=").count()
    }

    /// Gives a server this weight on both, by file and without a restart of anything but the rule under test.
    pub(crate) fn weigh(&self, server: usize, weight: u8) {
        let Server { name, release, .. } = &self.config.servers[server];
        for proxy in [0, 1] {
            let said = self.tell(proxy, &format!("set server release-{release}/{name} weight {weight}"));
            assert_eq!(said.trim(), "", "{said}");
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop(0);
        self.stop(1);
    }
}

pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

pub(crate) fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not in {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
