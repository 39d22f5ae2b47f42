//! The jitsictl binary: hands the process's surroundings on, and its verdict back.

use std::process::ExitCode;

fn main() -> ExitCode {
    jitsictl::run(jitsictl::Environment::of_process())
}
