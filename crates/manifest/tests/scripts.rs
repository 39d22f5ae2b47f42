//! The texts that run inside containers, run against stub daemons with short intervals.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use manifest::scripts;

type Asked = Arc<Mutex<Vec<String>>>;

/// A daemon that answers each request as `say` does: a status and a body.
fn daemon(mut say: impl FnMut(&str) -> (u16, String) + Send + 'static) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Asked::default();
    let told = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let line = request_line(&mut stream);
            told.lock().unwrap().push(line.clone());
            let (status, body) = say(&line);
            let length = body.len();
            let _ =
                write!(stream, "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
    (url, asked)
}

fn request_line(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    head.lines().next().unwrap_or("").trim_end_matches(" HTTP/1.1").to_owned()
}

fn run(text: &str, env: &[(&str, &str)]) -> (Output, Duration) {
    let start = Instant::now();
    let output = Command::new("bash")
        .args(["-c", text])
        .envs([("LOG", "/dev/null"), ("DRAIN_INTERVAL", "0.05"), ("DRAIN_SETTLE", "0.1")])
        .envs(env.iter().copied())
        .output()
        .unwrap();
    (output, start.elapsed())
}

/// A bridge that says each of these about its people in turn, the last one for ever.
fn bridge(stats: &[&str]) -> (String, Asked) {
    let mut left: Vec<String> = stats.iter().rev().map(|text| (*text).to_owned()).collect();
    daemon(move |line| match line {
        "POST /colibri/drain/enable" => (200, String::new()),
        "GET /colibri/drain" => (200, r#"{"drain":true}"#.into()),
        _ => {
            let now = if left.len() > 1 { left.pop().unwrap() } else { left[0].clone() };
            if now == "error" { (500, now) } else { (200, now) }
        }
    })
}

const EMPTY: &str = r#"{"local_endpoints":0,"conferences":0}"#;
const FULL: &str = r#"{"local_endpoints":2,"conferences":1}"#;

fn polls(asked: &Asked) -> usize {
    asked.lock().unwrap().iter().filter(|line| *line == "GET /colibri/stats").count()
}

#[test]
fn a_bridge_is_drained_and_waited_for() {
    let (url, asked) = bridge(&[FULL, FULL, EMPTY]);
    let (output, _) = run(scripts::JVB_PRESTOP, &[("JVB_URL", &url)]);
    assert!(output.status.success());
    assert_eq!(asked.lock().unwrap()[..2], ["POST /colibri/drain/enable", "GET /colibri/drain"]);
    assert_eq!(polls(&asked), 5);
}

#[test]
fn unknown_is_not_empty() {
    // Neither an error nor an answer without the numbers counts, and both start the count anew.
    let (url, asked) = bridge(&[EMPTY, EMPTY, "error", EMPTY, EMPTY, "{}", EMPTY]);
    let (output, _) = run(scripts::JVB_PRESTOP, &[("JVB_URL", &url)]);
    assert!(output.status.success());
    assert_eq!(polls(&asked), 9);
}

#[test]
fn a_full_bridge_is_waited_for_until_the_deadline() {
    let (url, _) = bridge(&[FULL]);
    let (output, took) = run(scripts::JVB_PRESTOP, &[("JVB_URL", &url), ("DRAIN_DEADLINE", "2")]);
    assert!(output.status.success());
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_bridge_that_is_gone_is_given_up() {
    let env = [("JVB_URL", "http://127.0.0.1:9"), ("DRAIN_REFUSALS", "3")];
    let (output, took) = run(scripts::JVB_PRESTOP, &env);
    assert!(output.status.success());
    assert!(took < Duration::from_secs(4), "{took:?}");
}

fn recorder(states: &[&str]) -> (String, Asked) {
    let mut left: Vec<String> = states.iter().rev().map(|text| (*text).to_owned()).collect();
    daemon(move |_| {
        let now = if left.len() > 1 { left.pop().unwrap() } else { left[0].clone() };
        if now == "error" { (500, now) } else { (200, format!(r#"{{"status":{{"busyStatus":"{now}"}}}}"#)) }
    })
}

#[test]
fn a_recording_is_waited_for_and_then_the_container_is_halted() {
    let (internal, told) = daemon(|_| (200, String::new()));
    let (health, asked) = recorder(&["BUSY", "error", "BUSY", "IDLE"]);
    let folder = tempdir("halt");
    let halted = folder.join("halted");
    let halt = executable(&folder.join("halt"), &format!("#!/bin/sh\n: > '{}'\n", halted.display()));
    let env = [("JIBRI_HEALTH_URL", health.as_str()), ("JIBRI_SHUTDOWN_URL", &internal), ("HALT", &halt)];
    let (output, _) = run(scripts::JIBRI_PRESTOP, &env);
    assert!(output.status.success());
    assert_eq!(told.lock().unwrap().len(), 1);
    assert_eq!(asked.lock().unwrap().len(), 4);
    assert!(halted.exists());
}

#[test]
fn only_an_expired_recorder_is_restarted() {
    for (state, lives) in [("IDLE", true), ("BUSY", true), ("error", true), ("EXPIRED", false)] {
        let (url, _) = recorder(&[state]);
        let (output, _) = run(scripts::JIBRI_LIVENESS, &[("JIBRI_HEALTH_URL", &url)]);
        assert_eq!(output.status.success(), lives, "{state}");
    }
    let (output, _) = run(scripts::JIBRI_LIVENESS, &[("JIBRI_HEALTH_URL", "http://127.0.0.1:9")]);
    assert!(output.status.success());
}

fn tempdir(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scripts-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn executable(path: &Path, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// What the bridge's init would be started with.
fn start_bridge(name: &str, fallback: &str, later: Option<&str>) -> (String, String) {
    let folder = tempdir(name);
    let path = |part: &str| folder.join(part).display().to_string();
    std::fs::create_dir_all(path("addresses")).unwrap();
    std::fs::create_dir_all(path("config")).unwrap();
    std::fs::write(path("wiring.conf"), "wiring = 1\n").unwrap();
    std::fs::write(path("custom.conf"), "custom = 1").unwrap();
    let init = executable(&folder.join("init"), "#!/bin/sh\necho \"ips=$JVB_ADVERTISE_IPS\"\n");
    if let Some(address) = later.map(str::to_owned) {
        let (unfinished, line) = (path("unfinished"), path("addresses/node-1"));
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            std::fs::write(&unfinished, address).unwrap();
            std::fs::rename(unfinished, line).unwrap();
        });
    }
    let (addresses, wiring, custom, config) =
        (path("addresses"), path("wiring.conf"), path("custom.conf"), path("config"));
    let env = [
        ("ADDRESSES_DIR", addresses.as_str()),
        ("WIRING_FILE", &wiring),
        ("CUSTOM_FILE", &custom),
        ("CONFIG_DIR", &config),
        ("INIT", &init),
        ("NODE_NAME", "node-1"),
        ("WAIT_INTERVAL", "0.05"),
        ("FALLBACK_AFTER", "0"),
        ("ADVERTISE_FALLBACK", fallback),
    ];
    let (output, _) = run(scripts::JVB_START, &env);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    (said, std::fs::read_to_string(path("config/custom-jvb.conf")).unwrap())
}

#[test]
fn a_bridge_waits_for_its_address_and_gets_both_configurations() {
    let (said, config) = start_bridge("wait", "", Some("203.0.113.7,10.0.0.7\n"));
    assert!(said.ends_with("ips=203.0.113.7,10.0.0.7\n"), "{said}");
    assert_eq!(config, "custom = 1\nwiring = 1\n");
}

#[test]
fn a_bridge_without_its_address_takes_the_fallback() {
    let (said, _) = start_bridge("fallback", "198.51.100.1", None);
    assert!(said.ends_with("ips=198.51.100.1\n"), "{said}");
}

#[test]
fn a_bridge_that_waits_for_its_address_can_be_stopped() {
    let folder = tempdir("stopped");
    let mut command = Command::new("bash");
    std::fs::write(folder.join("wiring.conf"), "").unwrap();
    command.args(["-c", scripts::JVB_START]).env("ADDRESSES_DIR", &folder).env("NODE_NAME", "node-1");
    command.env("WIRING_FILE", folder.join("wiring.conf"));
    let mut child = command.env("WAIT_INTERVAL", "20").stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "jitsictl: waiting for the public address of node-1\n");
    let start = Instant::now();
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(start.elapsed() < Duration::from_secs(15), "it ends at once, not after its pause");
}

#[test]
fn a_bridge_without_its_wiring_does_not_start() {
    let folder = tempdir("unwired");
    let missing = folder.join("nothing.conf").display().to_string();
    let (output, _) = run(scripts::JVB_START, &[("WIRING_FILE", missing.as_str()), ("INIT", "/bin/true")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("is missing"));
}
