//! One run of a program: how long it took, what it wrote, how much memory it had at most.

use std::{
    io::Read,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::shell::{Failure, Result};

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
    let status = format!("/proc/{}/status", child.id());
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.map_or(Ok(0), |mut stdout| stdout.read_to_string(&mut text)).map(|_| text)
    });
    // The kernel keeps the peak as long as the process lives, so its last reading before the end is right but for
    // the last moments.
    let sampler = std::thread::spawn(move || {
        let mut peak = 0;
        while let Some(high) = std::fs::read_to_string(&status).ok().as_deref().and_then(high_water_mark) {
            peak = peak.max(high);
            std::thread::sleep(Duration::from_millis(10));
        }
        peak
    });
    let ended = child.wait().map_err(failed)?;
    let took = clock.elapsed();
    if !ended.success() {
        return Err(Failure::new(format!("{name} ended with {ended}")));
    }
    let output = reader.join().unwrap_or_else(|_| Ok(String::new())).map_err(failed)?;
    Ok(Finished { begun, took, peak_memory: sampler.join().unwrap_or_default(), output })
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
        assert_eq!(high_water_mark("VmPeak:\t 9 kB\nVmHWM:\t    1024 kB\n"), Some(1 << 20));
    }
}
