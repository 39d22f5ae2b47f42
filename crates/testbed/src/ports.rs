//! Free ports.
//!
//! Taken below the kernel's range for outgoing connections (from 32768) and below the NodePorts (from 30000), so
//! that nothing grabs one between the probe and the start of the server that will listen there.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

use crate::error::{Error, Result};

const FROM: u16 = 20_000;
const TO: u16 = 29_999;

/// The next candidate, counted over the whole process: two clusters of one testbed never get the same port.
static NEXT: AtomicU16 = AtomicU16::new(0);

pub(crate) fn free() -> Result<u16> {
    let span = TO - FROM + 1;
    // Processes that run at the same time begin at different places.
    let begin = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(span)).unwrap_or(0);
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % span;
        let port = FROM + (begin + step) % span;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::NoPort { from: FROM, to: TO })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_twice_the_same() {
        let some: std::collections::BTreeSet<u16> = (0..50).map(|_| free().unwrap()).collect();
        assert_eq!(some.len(), 50);
        assert!(some.iter().all(|port| (FROM..=TO).contains(port)));
    }

    #[test]
    fn a_port_in_use_is_skipped() {
        let taken = free().unwrap();
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).unwrap();
        assert!((0..usize::from(TO - FROM)).map(|_| free().unwrap()).take(200).all(|port| port != taken));
    }
}
