//! What a real server answered, for machines that have none.

use std::path::PathBuf;

use clock::Clock;
use serde::{Deserialize, Serialize};

use super::compare;
use super::generate::{Place, Step, ground};
use super::side::{Reply, Side};

/// A sequence of requests with its answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) namespace: String,
    pub(crate) exchanges: Vec<Exchange>,
}

/// A request and what it was answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) step: Step,
    pub(crate) reply: Reply,
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/recorded.json"))
}

pub(crate) fn write(sequences: &[Sequence]) {
    let mut text = String::from("[");
    for (index, sequence) in sequences.iter().enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str(&serde_json::to_string(sequence).expect("JSON"));
    }
    text.push_str("\n]\n");
    std::fs::write(file(), text).expect("the recorded answers are written");
}

pub(crate) fn read() -> Vec<Sequence> {
    let text = std::fs::read_to_string(file()).expect("the recorded answers are there");
    serde_json::from_str(&text).expect("recorded answers")
}

/// Sends the requests again; what differs.
pub(crate) async fn replay(sequence: &Sequence) -> Vec<String> {
    // It was recorded within one second, in which owners of fields are sorted by name, and is replayed in one.
    let second = "2026-01-01T00:00:00Z".parse().expect("a moment");
    let mut memory = Side::in_memory(1, Clock::starting_at(second)).await;
    let place = Place { namespace: sequence.namespace.clone(), node_ports: [0, 0] };
    for step in ground(&place) {
        memory.send(&step).await;
    }
    let mut found = Vec::new();
    for Exchange { step, reply } in &sequence.exchanges {
        let lines = compare::differences(reply, &memory.send(step).await);
        if !lines.is_empty() {
            found.push(format!("{}: {step}", sequence.namespace));
            found.extend(lines);
            break;
        }
    }
    memory.stop();
    found
}
