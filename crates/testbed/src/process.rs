//! One server process that cannot outlive its testbed.
//!
//! A killed test run would leave servers of several hundred megabytes behind, so each runs under a small shell that
//! watches a pipe from us: when the pipe closes, because we dropped it or because we died, the shell kills its child
//! (by the process id that only it holds, so no other process can be hit).

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::error::{Context, Result};

/// `$@` is the server. Its own end ends the shell with its status; the end of our pipe ends the server.
const GUARD: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -9 "$server"; } 2>/dev/null &
exec 3<&-
wait "$server"
"#;

#[derive(Debug)]
pub(crate) struct Process {
    guard: Child,
    pipe: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output is appended to `log`.
    pub(crate) fn start(program: &Path, arguments: &[OsString], log: &Path) -> Result<Self> {
        let open =
            || File::options().create(true).append(true).open(log).context(|| format!("cannot open {}", log.display()));
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(open()?)
            .stderr(open()?)
            .spawn()
            .context(|| format!("cannot start {}", program.display()))?;
        let pipe = guard.stdin.take();
        Ok(Self { guard, pipe, log: log.to_owned() })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.guard.try_wait().ok().flatten()
    }

    /// The last lines of its log, for an error.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let begun = Instant::now();
        while self.ended().is_none() {
            if begun.elapsed() > Duration::from_secs(5) {
                // The shell itself hangs; nothing better is left than to let it go.
                let _ = self.guard.kill();
                let _ = self.guard.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, log: &Path) -> Process {
        Process::start(Path::new("/bin/sh"), &["-c".into(), script.into()], log).unwrap()
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let process = start("echo $$; exec sleep 600", &log);
        let pid = loop {
            if let Ok(pid) = std::fs::read_to_string(&log).unwrap().trim().parse::<u32>() {
                break pid;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn its_own_end_is_seen_with_status_and_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = start("echo no such flag; exit 7", &dir.path().join("log"));
        let status = loop {
            if let Some(status) = process.ended() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(7));
        assert_eq!(process.log_tail(), "no such flag");
    }
}
