//! One run of a program: how long it took, what it wrote, how much memory it had at most.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use xtask::shell::{Failure, Result};

pub(crate) struct Finished {
    pub(crate) begun: Timestamp,
    pub(crate) took: Duration,
    /// In bytes; 0 where the system does not tell.
    pub(crate) peak_memory: u64,
    pub(crate) output: String,
}

/// Runs a program that has to succeed. Its standard error is ours.
pub(crate) fn run(command: &mut Command) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |source: std::io::Error| Failure::new(format!("cannot run {name}: {source}"));
    let (begun, clock) = (Timestamp::now(), Instant::now());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let sampler = peak_memory(&child);
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.map_or(Ok(0), |mut stdout| stdout.read_to_string(&mut text)).map(|_| text)
    });
    let ended = child.wait().map_err(failed)?;
    let took = clock.elapsed();
    if !ended.success() {
        return Err(Failure::new(format!("{name} ended with {ended}")));
    }
    let output = reader.join().unwrap_or_else(|_| Ok(String::new())).map_err(failed)?;
    Ok(Finished { begun, took, peak_memory: sampler.join().unwrap_or_default(), output })
}

/// Runs a program until a line of its standard error is the one that is waited for, and ends it there.
pub(crate) fn run_until(command: &mut Command, mut is_reached: impl FnMut(&str) -> bool) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |source: std::io::Error| Failure::new(format!("cannot run {name}: {source}"));
    let (begun, clock) = (Timestamp::now(), Instant::now());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let sampler = peak_memory(&child);
    let mut reached = None;
    let mut last = String::new();
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        last = line.map_err(failed)?;
        if is_reached(&last) {
            reached = Some(clock.elapsed());
            // The sampler reads once more meanwhile.
            std::thread::sleep(SAMPLING * 2);
            break;
        }
    }
    child.kill().and_then(|()| child.wait()).map_err(failed)?;
    let took = reached.ok_or_else(|| Failure::new(format!("{name} ended too early: {last}")))?;
    Ok(Finished { begun, took, peak_memory: sampler.join().unwrap_or_default(), output: String::new() })
}

const SAMPLING: Duration = Duration::from_millis(10);

/// The kernel keeps the peak as long as the process lives, so the last reading before its end is right but for the
/// last moments.
fn peak_memory(child: &Child) -> JoinHandle<u64> {
    let status = format!("/proc/{}/status", child.id());
    std::thread::spawn(move || {
        let mut peak = 0;
        while let Some(high) = std::fs::read_to_string(&status).ok().as_deref().and_then(high_water_mark) {
            peak = peak.max(high);
            std::thread::sleep(SAMPLING);
        }
        peak
    })
}

fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_measured() {
        let finished = run(Command::new("sh").args(["-c", "echo hello; sleep 0.1"])).unwrap();
        assert_eq!(finished.output, "hello\n");
        assert!(finished.took >= Duration::from_millis(100));
        assert!(run(Command::new("sh").args(["-c", "exit 3"])).is_err());
        let begun = Instant::now();
        let stopped = run_until(Command::new("sh").args(["-c", "echo go >&2; exec sleep 60"]), |line| line == "go");
        assert!(stopped.unwrap().peak_memory > 0 && begun.elapsed() < Duration::from_secs(30));
        assert!(run_until(Command::new("sh").args(["-c", "echo no >&2"]), |line| line == "go").is_err());
        assert_eq!(high_water_mark("VmPeak:\t 9 kB\nVmHWM:\t    1024 kB\n"), Some(1 << 20));
    }
}
