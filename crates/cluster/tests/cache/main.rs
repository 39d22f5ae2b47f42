//! The watch cache against clusters in memory, in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is how a test fails")]

mod ground;
mod kinds;
mod streams;
mod writes;

use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
