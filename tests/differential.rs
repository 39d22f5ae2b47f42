//! The API server in memory against a real one: random sequences of requests, each sent to both, and every answer
//! compared: code, warnings, body with `managedFields`, and the events of a watch over the whole sequence.
//!
//! `DIFFERENTIAL=N` says how many sequences (0: none), `DIFFERENTIAL_SEED=S` with which seed the first of them begins.
//! `RECORD_DIFFERENTIAL=N` writes down what the real server answers to the first N; that is replayed where there is none.

#![allow(clippy::expect_used, clippy::print_stderr, clippy::panic, reason = "a test fails when it cannot go on")]

#[path = "differential/compare.rs"]
mod compare;
#[path = "differential/evictions.rs"]
mod evictions;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/recorded.rs"]
mod recorded;
#[path = "differential/side.rs"]
mod side;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use clock::Clock;
use futures::{StreamExt as _, stream};
use testbed::{Options, Sources, Testbed};

use generate::{Chance, Place, Step};
use recorded::{Exchange, Sequence};
use side::Side;

/// So many sequences are under way at once; each waits a second for its watch.
const AT_ONCE: usize = 32;
/// A difference must show each time. What shows only sometimes is not ours: owners of fields are sorted by seconds, a real
/// server's cache may be a moment old, and now and then it keeps a node port that nobody has any more.
const TRIES: u64 = 3;
/// Pairs of node ports that are kept for who asks for one; more than are needed at once, so that they come round slowly.
const PORTS: u16 = 43;
const SHOWN: usize = 60;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn both_servers_answer_alike() {
    let (count, first) = (number("DIFFERENTIAL", 500), number("DIFFERENTIAL_SEED", 1));
    let recording = usize::try_from(number("RECORD_DIFFERENTIAL", 0)).expect("a size");
    if count == 0 {
        return;
    }
    let options = Options { audit: false, controllers: false, ..Options::default() };
    let testbed = Testbed::start(&["differential"], options).await.expect("the cluster starts");
    let cluster = testbed.cluster("differential").expect("the cluster is there");
    cluster.install_definitions(&Sources::of_this_machine()).await.expect("the definitions are installed");
    let begun = Instant::now();
    let ports = Arc::new(Ports(Mutex::new((0..PORTS).map(|pair| 30_000 + 2 * pair).collect())));
    let one = |seed| {
        let run = tokio::spawn(sequence(cluster.client().clone(), Arc::clone(&ports), seed));
        async move { (seed, run.await.unwrap_or_else(|gone| Err(format!("DIFFERENTIAL_SEED={seed}: {gone}")))) }
    };
    let (mut differences, mut sequences) = (Vec::new(), BTreeMap::new());
    // Some wait long: for answers that never come.
    let mut results = stream::iter(first..first + count).map(one).buffer_unordered(AT_ONCE);
    while let Some((seed, result)) = results.next().await {
        match result {
            Err(words) => differences.push(words),
            Ok(sequence) => sequences.extend(sequence.map(|sequence| (seed, sequence))),
        }
        while sequences.len() > recording {
            sequences.pop_last();
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = count as f64 / seconds;
    eprintln!("{count} sequences in {seconds:.1} s, {rate:.1} a second; {} differ", differences.len());
    if recording > 0 {
        recorded::write(&sequences.into_values().collect::<Vec<_>>());
    }
    assert!(differences.is_empty(), "{}", differences.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n"));
}

/// Runs one sequence; says what differed first. When all of it fell into one second, it can be replayed.
async fn sequence(real: kube::Client, ports: Arc<Ports>, seed: u64) -> Result<Option<Sequence>, String> {
    for attempt in 1.. {
        let namespace = if attempt == 1 { format!("d{seed}") } else { format!("d{seed}-{attempt}") };
        let port = ports.take();
        let place = Place { namespace, node_ports: [port, port + 1] };
        let steps = generate::steps(&mut Chance::new(seed), &place);
        let mut run = Run { real: Side::new(real.clone()), memory: Side::in_memory(seed, Clock::machine()).await };
        let outcome = run.through(&place, &steps).await;
        run.memory.stop();
        for step in generate::clearance(&place) {
            run.real.send(&step).await;
        }
        ports.give_back(port);
        match outcome {
            Outcome::Alike(sequence) => return Ok(sequence),
            Outcome::Differs(_) if attempt < TRIES => {}
            Outcome::Differs(words) => return Err(format!("DIFFERENTIAL=1 DIFFERENTIAL_SEED={seed}, {words}")),
        }
    }
    Ok(None)
}

/// The first of each pair that no sequence has.
struct Ports(Mutex<VecDeque<u16>>);

impl Ports {
    fn take(&self) -> u16 {
        self.0.lock().expect("nobody panics with it").pop_front().expect("there are more than sequences")
    }

    fn give_back(&self, port: u16) {
        self.0.lock().expect("nobody panics with it").push_back(port);
    }
}

struct Run {
    real: Side,
    memory: Side,
}

enum Outcome {
    Alike(Option<Sequence>),
    /// From this on.
    Differs(String),
}

fn second() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

impl Run {
    async fn through(&mut self, place: &Place, steps: &[Step]) -> Outcome {
        for step in generate::ground(place) {
            self.real.send(&step).await;
            self.memory.send(&step).await;
        }
        let first = second();
        let mut exchanges = Vec::new();
        let mut one_second = true;
        for (index, step) in steps.iter().enumerate() {
            let (theirs, ours) = tokio::join!(self.real.send(step), self.memory.send(step));
            one_second &= second() == first || step.is_watch();
            let lines = compare::differences(&theirs, &ours);
            if !lines.is_empty() {
                let before: Vec<String> = steps.iter().take(index + 1).map(|step| format!("  {step}")).collect();
                return Outcome::Differs(format!("request {index}:\n{}\n{}", before.join("\n"), lines.join("\n")));
            }
            exchanges.push(Exchange { step: step.clone(), reply: theirs });
        }
        let namespace = place.namespace.clone();
        Outcome::Alike(one_second.then_some(Sequence { namespace, exchanges }))
    }
}

/// Where there is no real server, what one said stands for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_in_memory_answers_as_a_real_one_did() {
    let sequences = recorded::read();
    let replay = |sequence: Sequence| async move {
        let mut found = Vec::new();
        for _ in 0..TRIES {
            found = recorded::replay(&sequence).await;
            if found.is_empty() {
                break;
            }
        }
        found
    };
    let found: Vec<Vec<String>> = stream::iter(sequences).map(replay).buffer_unordered(AT_ONCE).collect().await;
    assert!(found.concat().is_empty(), "{}", found.concat().join("\n"));
}

#[test]
fn what_stays_different_is_written_down() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sandbox.md")).expect("the page");
    for known in compare::KNOWN {
        assert!(page.contains(known.name) && !known.why.is_empty(), "docs/sandbox.md does not name {}", known.name);
    }
}
