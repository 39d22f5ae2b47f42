//! Plays a script to its end, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api_server::{Answer, Kind, Request, Verb, kinds};
use clock::Clock;
use cluster::{Connector, Proxies};
use fleet::ClusterName;
use fleet::load::Loaded;
use jiff::{SignedDuration, Timestamp};
use orchestrator::{Entropy, Event, Fatal, Options, Outcome, Place, Verdict};
use plan::Policy;
use sandbox::fault::{Faults, KillPoint};
use sandbox::{Sandbox, SandboxOptions, Timing};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::fleets::{CLUSTERS, Made};
use crate::guard::Guard;
use crate::middle;
use crate::script::{Blow, Script, Trouble};
use crate::{Sabotage, Trace};

/// The fleet's namespace in every cluster.
const NAMESPACE: &str = "jitsi";
/// How many undisturbed runs a fleet may need.
const ENOUGH: usize = 6;

/// How long people wait before they run a program again.
const BREATH: Duration = Duration::from_secs(30);

/// How a day went that ended well.
#[derive(Debug, Clone)]
pub struct Story {
    /// How much virtual time it took.
    pub took: Duration,
    /// Requests that the orchestrator sent.
    pub requests: u64,
    /// Runs of `apply`.
    pub runs: usize,
    /// What happened.
    pub trace: Trace,
}

/// A promise that was not kept.
#[derive(Debug, Clone, thiserror::Error)]
#[error("seed {seed}: {}", promises.join("; "))]
pub struct Broken {
    /// Replays it.
    pub seed: u64,
    /// What is wrong.
    pub promises: Vec<String>,
    /// What happened.
    pub trace: Trace,
}

/// Plays a script in a runtime of its own.
///
/// # Errors
/// With every promise that was broken.
pub fn run(script: &Script, sabotage: Option<Sabotage>) -> Result<Story, Broken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    match runtime {
        Ok(runtime) => runtime.block_on(play(script, sabotage)),
        Err(error) => Err(Broken {
            seed: script.seed,
            promises: vec![format!("no runtime: {error}")],
            trace: Trace::new(Clock::machine()),
        }),
    }
}

async fn play(script: &Script, sabotage: Option<Sabotage>) -> Result<Story, Broken> {
    let clock = Clock::starting_at(Timestamp::constant(1_795_420_800, 0));
    let trace = Trace::new(clock.clone());
    let begun = tokio::time::Instant::now();
    let mut stage = match Stage::set(script, sabotage, clock, trace.clone()).await {
        Ok(stage) => stage,
        Err(why) => return Err(Broken { seed: script.seed, promises: vec![why], trace }),
    };
    let mut broken = stage.all_of_it(script).await.err().into_iter().collect::<Vec<String>>();
    broken.extend(stage.guard.violations());
    stage.sandbox.stop().await;
    if broken.is_empty() {
        Ok(Story { took: begun.elapsed(), requests: stage.requests, runs: stage.runs, trace })
    } else {
        Err(Broken { seed: script.seed, promises: broken, trace })
    }
}

struct Stage {
    sandbox: Sandbox,
    clock: Clock,
    entropy: Entropy,
    trace: Trace,
    guard: Guard,
    sabotage: Option<Sabotage>,
    seed: u64,
    runs: usize,
    requests: u64,
    said: String,
    strangers: Vec<(String, Json)>,
    crowd: Vec<(String, String)>,
    // Ends the guard's watches when dropped.
    _watches: JoinSet<()>,
}

/// How a run of `apply` ended.
enum End {
    Done(Box<Outcome>),
    Fatal(String),
    Killed,
}

impl Stage {
    async fn set(script: &Script, sabotage: Option<Sabotage>, clock: Clock, trace: Trace) -> Result<Self, String> {
        let options = SandboxOptions {
            clusters: CLUSTERS.map(str::to_owned).to_vec(),
            timing: Timing::default(),
            clock: clock.clone(),
            seed: script.seed,
            custom_kinds: false,
        };
        let sandbox = Sandbox::start(options).await.map_err(|error| format!("no sandbox: {error}"))?;
        let guard = Guard::new(trace.clone());
        let mut watches = JoinSet::new();
        for cluster in CLUSTERS {
            let server = sandbox.server(cluster).map_err(|error| error.to_string())?;
            guard.watch(cluster, server, &mut watches);
        }
        Ok(Self {
            sandbox,
            clock: clock.fork(),
            entropy: Entropy::seeded(script.seed),
            trace,
            guard,
            sabotage,
            seed: script.seed,
            runs: 0,
            requests: 0,
            said: String::new(),
            strangers: Vec::new(),
            crowd: Vec::new(),
            _watches: watches,
        })
    }

    async fn all_of_it(&mut self, script: &Script) -> Result<(), String> {
        let (before, after) = (load(&script.before)?, load(&script.after)?);
        self.promise(script, &before, &after);
        self.settle_strangers()?;

        self.trace.say(format!("the fleet:\n{}", script.before.text()));
        for trouble in &script.troubles[0] {
            self.run(&before, trouble).await?;
        }
        self.converge(&before, "the fleet is made").await?;
        self.nothing_left(&before).await?;

        self.people_come(script);
        self.trace.say(format!("the change: {}", script.changes.join(", ")));
        for trouble in &script.troubles[1] {
            tokio::time::sleep(BREATH).await;
            self.run(&after, trouble).await?;
        }
        // With people on it, some things wait; all that may be done is done.
        self.run(&after, &Trouble::default()).await?;
        self.people_leave();
        self.converge(&after, "the change is made").await?;
        self.nothing_left(&after).await?;
        self.strangers_stand()?;
        self.nothing_leaked()
    }

    /// Tells the guard what must not be touched.
    fn promise(&self, script: &Script, before: &Loaded, after: &Loaded) {
        let objects = |loaded: &Loaded| -> BTreeSet<(String, String, String)> {
            let allocations = manifest::Allocations::default().extended(&loaded.fleet);
            let mut units = control_plane::render(&loaded.fleet, &allocations);
            units.extend(data_plane::render(&loaded.fleet, &allocations, &manifest::Surroundings::default()));
            let manifests = units.into_iter().flat_map(|unit| unit.manifests);
            manifests
                .map(|manifest| manifest.object)
                .map(|object| (object.cluster.to_string(), object.kind.plural().to_owned(), object.name))
                .collect()
        };
        self.guard.want(objects(before).intersection(&objects(after)).cloned().collect());
        self.guard.fix_ports(script.before.same_ports(&script.after));
    }

    /// Objects of others in the fleet's namespaces.
    fn settle_strangers(&mut self) -> Result<(), String> {
        for cluster in CLUSTERS {
            let server = self.sandbox.server(cluster).map_err(|error| error.to_string())?;
            let create = |kind: &'static Kind, namespace: Option<&str>, body: Json| {
                let mut request = Request::new(Verb::Create, kind, namespace, None);
                request.body = body;
                server.call(request).map_err(|error| format!("{cluster}: {error}"))
            };
            create(
                &kinds::NAMESPACE,
                None,
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
            )?;
            for (name, labels) in [
                ("somebody-elses", json!({ "app": "turn" })),
                // It looks like ours, and is not: nobody has its UID in an inventory.
                ("meet-lookalike", json!({ "jitsictl.dev/fleet": "meet", "jitsictl.dev/plane": "data" })),
                ("other-fleet", json!({ "jitsictl.dev/fleet": "other", "jitsictl.dev/unit": "pool-eu" })),
            ] {
                let body = json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": { "name": name, "labels": labels }, "data": { "key": "value" },
                });
                if let Answer::Object { object, .. } = create(&kinds::CONFIG_MAP, Some(NAMESPACE), body)? {
                    self.strangers.push((cluster.to_owned(), Json::clone(&object)));
                }
            }
        }
        Ok(())
    }

    fn strangers_stand(&self) -> Result<(), String> {
        for (cluster, stranger) in &self.strangers {
            let name = stranger["metadata"]["name"].as_str().unwrap_or_default();
            let server = self.sandbox.server(cluster).map_err(|error| error.to_string())?;
            let request = Request::new(Verb::Get, &kinds::CONFIG_MAP, Some(NAMESPACE), Some(name));
            match server.call(request) {
                Ok(Answer::Object { object, .. }) if *object == *stranger => {}
                Ok(_) => return Err(format!("{cluster}: somebody else's ConfigMap {name} was touched")),
                Err(error) => return Err(format!("{cluster}: somebody else's ConfigMap {name}: {error}")),
            }
        }
        Ok(())
    }

    /// One run of `apply`, as a process of its own.
    async fn run(&mut self, loaded: &Loaded, trouble: &Trouble) -> Result<Vec<End>, String> {
        self.runs += 1;
        let number = self.runs;
        let kill = trouble.kill.map(|(at, moment)| Arc::new(KillPoint::new(at, moment)));
        let mut faults = BTreeMap::new();
        for (index, cluster) in CLUSTERS.into_iter().enumerate() {
            let seed = self.seed.wrapping_add((number * 10 + index) as u64);
            let made = match &kill {
                Some(kill) => Faults::killed_at(seed, Arc::clone(kill)),
                None => Faults::new(seed),
            };
            made.set(trouble.rules.iter().filter(|(of, _)| *of == cluster).map(|(_, rule)| rule.clone()).collect());
            faults.insert(cluster, made);
        }
        self.trace.say(format!("run {number}: {}", described(trouble)));
        let begun = tokio::time::Instant::now();
        let ends = {
            let one = self.attempt(loaded, &faults, number, kill.as_ref(), Duration::ZERO);
            let other = async {
                match trouble.twice {
                    Some(later) => Some(self.attempt(loaded, &faults, number, None, later).await),
                    None => None,
                }
            };
            let blow = async {
                if let Some((after, blow)) = trouble.blow {
                    tokio::time::sleep(after).await;
                    self.strike(blow, &faults).await;
                }
            };
            let (one, other, ()) = futures::join!(one, other, blow);
            [Some(one), other].into_iter().flatten().collect::<Vec<_>>()
        };
        for made in faults.values() {
            made.heal();
        }
        let requests = self.guard.take_requests();
        self.requests += requests;
        let seconds = begun.elapsed().as_secs();
        let most = 2_000 + 100 * (seconds + 1) * ends.len() as u64;
        if requests > most {
            return Err(format!("run {number} sent {requests} requests in {seconds} s"));
        }
        let mut done = Vec::new();
        for (end, said) in ends {
            self.said.push_str(&said);
            match &end {
                End::Done(outcome) => {
                    self.trace.say(format!(
                        "run {number}: {:?}, {} written, {} deleted",
                        outcome.verdict, outcome.written, outcome.deleted
                    ));
                    for blocked in &outcome.blocked {
                        self.trace.say(format!("  blocked: {}", json!(blocked)));
                    }
                    for failure in &outcome.failures {
                        self.trace.say(format!("  failed: {}", failure.message));
                    }
                    self.said.push_str(&json!(outcome).to_string());
                }
                End::Fatal(why) => self.trace.say(format!("run {number} could not begin: {why}")),
                End::Killed => self.trace.say(format!("run {number} was killed")),
            }
            done.push(end);
        }
        Ok(done)
    }

    async fn attempt(
        &self,
        loaded: &Loaded,
        faults: &BTreeMap<&str, Faults>,
        number: usize,
        kill: Option<&Arc<KillPoint>>,
        later: Duration,
    ) -> (End, String) {
        tokio::time::sleep(later).await;
        let mut clients = BTreeMap::new();
        for (cluster, faults) in faults {
            let (Ok(name), Ok(inner)) = (cluster.parse::<ClusterName>(), self.sandbox.faulty_client(cluster, faults))
            else {
                return (End::Fatal(format!("no client for {cluster}")), String::new());
            };
            clients.insert(name, middle::client(cluster, inner, self.guard.clone(), self.sabotage));
        }
        let policy =
            Policy { allow_disruption: self.sabotage == Some(Sabotage::DeleteBeforeEmpty), ..Policy::default() };
        let options = Options {
            place: Place {
                connector: Connector::Given(clients),
                proxies: Proxies::default(),
                user_agent: "jitsictl/simulation".to_owned(),
                clock: self.clock.clone(),
                entropy: self.entropy.clone(),
            },
            policy,
            timeout: Duration::from_secs(120),
            create_namespaces: false,
            trust_new_clusters: true,
            restore_passwords_from: None,
            handover: None,
        };
        let said = std::sync::Mutex::new(String::new());
        let tell = |event: Event| {
            let line = json!(event).to_string();
            if matches!(event, Event::Step { .. } | Event::Failed(_)) {
                self.trace.say(format!("  {number}: {line}"));
            }
            if let Ok(mut said) = said.lock() {
                said.push_str(&line);
            }
        };
        let end = {
            let running = orchestrator::apply(loaded, &options, &tell);
            let killed = async {
                match kill {
                    Some(kill) => kill.reached().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = killed => End::Killed,
                ended = running => match ended {
                    Ok(outcome) => End::Done(Box::new(outcome)),
                    Err(Fatal::Usage(failures) | Fatal::Nothing(failures)) => {
                        End::Fatal(failures.iter().map(|failure| failure.message.clone()).collect::<Vec<_>>().join("; "))
                    }
                },
            }
        };
        (end, said.into_inner().unwrap_or_default())
    }

    async fn strike(&self, blow: Blow, faults: &BTreeMap<&str, Faults>) {
        self.trace.say(format!("{blow:?}"));
        match blow {
            Blow::Restart(cluster) => {
                if let Some(faults) = faults.get(cluster) {
                    faults.cut_connections();
                }
            }
            Blow::Partition(cluster, seconds, silent) => {
                let Some(faults) = faults.get(cluster) else { return };
                if silent {
                    faults.partition()
                } else {
                    faults.partition_with_resets()
                }
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                faults.heal();
                self.trace.say(format!("{cluster} is back"));
            }
            Blow::Crash(number) => {
                let pods = self.pods();
                let count = u64::try_from(pods.len()).unwrap_or(0).max(1);
                let index = usize::try_from(number % count).unwrap_or(0);
                if let Some((cluster, pod)) = pods.get(index) {
                    self.trace.say(format!("{cluster}: the daemon of {pod} crashes"));
                    // A pod without a daemon has nothing that could crash.
                    let _ = self.sandbox.world().crash(cluster, NAMESPACE, pod);
                }
            }
            Blow::Move => {
                let moved = vec!["203.0.113.99".to_owned()];
                // Without such a Service there is nothing that could move.
                let _ = self.sandbox.world().set_load_balancer_address("hq", NAMESPACE, "meet-alpha-xmpp", moved).await;
            }
            Blow::Jump(seconds) => self.clock.jump(SignedDuration::from_secs(seconds)),
        }
    }

    fn pods(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for cluster in CLUSTERS {
            let Ok(server) = self.sandbox.server(cluster) else { continue };
            let request = Request::new(Verb::List, &kinds::POD, Some(NAMESPACE), None);
            let Ok(Answer::List { items, .. }) = server.call(request) else { continue };
            let names = items.iter().filter_map(|pod| pod.pointer("/metadata/name").and_then(Json::as_str));
            all.extend(names.map(|name| (cluster.to_owned(), name.to_owned())));
        }
        all
    }

    fn people_come(&mut self, script: &Script) {
        let mut dice = Dice::new(self.seed.wrapping_add(77));
        for (cluster, pod) in self.pods() {
            if pod.contains("-jvb-")
                && dice.comes(script.crowded)
                && self.sandbox.world().set_load(&cluster, NAMESPACE, &pod, 2, 9).is_ok()
            {
                self.guard.set_busy(&cluster, &pod, true);
                self.crowd.push((cluster, pod));
            }
        }
        self.trace.say(format!("people are on {} bridges", self.crowd.len()));
    }

    fn people_leave(&mut self) {
        self.trace.say("people leave");
        for (cluster, pod) in std::mem::take(&mut self.crowd) {
            // Whoever was on a daemon that crashed meanwhile has left already.
            let _ = self.sandbox.world().set_load(&cluster, NAMESPACE, &pod, 0, 0);
            self.guard.set_busy(&cluster, &pod, false);
        }
    }

    /// Without any trouble the fleet gets there.
    async fn converge(&mut self, loaded: &Loaded, what: &str) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..ENOUGH {
            // Somebody looks, and tries again.
            tokio::time::sleep(BREATH).await;
            for end in self.run(loaded, &Trouble::default()).await? {
                match end {
                    End::Done(outcome) if outcome.verdict == Verdict::Converged => return Ok(()),
                    End::Done(outcome) => last = json!(outcome.proof).to_string(),
                    End::Fatal(why) => last = why,
                    End::Killed => {}
                }
            }
        }
        Err(format!("not converged after {ENOUGH} runs without any trouble, when {what}: {last}"))
    }

    /// A second run writes nothing.
    async fn nothing_left(&mut self, loaded: &Loaded) -> Result<(), String> {
        for end in self.run(loaded, &Trouble::default()).await? {
            match end {
                End::Done(outcome) if outcome.verdict != Verdict::Converged => {
                    return Err("a fleet that had converged has not any more".to_owned());
                }
                End::Done(outcome) if outcome.written + outcome.deleted > 0 => {
                    return Err(format!("a second run wrote {} objects", outcome.written + outcome.deleted));
                }
                End::Done(_) => {}
                End::Fatal(why) => return Err(format!("a second run could not begin: {why}")),
                End::Killed => return Err("a run without any trouble was killed".to_owned()),
            }
        }
        Ok(())
    }

    /// No secret value stands anywhere but in Secrets.
    fn nothing_leaked(&self) -> Result<(), String> {
        let mut text = self.said.clone();
        for cluster in CLUSTERS {
            let server = self.sandbox.server(cluster).map_err(|error| error.to_string())?;
            for kind in kinds::KINDS.iter().filter(|kind| kind.name != "Secret") {
                if let Ok(Answer::List { items, .. }) = server.call(Request::new(Verb::List, kind, None, None)) {
                    items.iter().for_each(|item| text.push_str(&item.to_string()));
                }
            }
        }
        let values = self.guard.secret_values();
        if values.is_empty() {
            return Err("there is no password at all".to_owned());
        }
        let leaked = values.iter().any(|value| text.contains(value.as_str()) || text.contains(&plain(value)));
        if leaked { Err("a password stands where everybody can read it".to_owned()) } else { Ok(()) }
    }
}

/// The value behind its base64; what can't be read is left as it is.
fn plain(value: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value).unwrap_or_default();
    String::from_utf8(bytes).ok().filter(|text| text.len() > 7).unwrap_or_else(|| value.to_owned())
}

fn load(made: &Made) -> Result<Loaded, String> {
    fleet::load::load_text("fleet.yaml", &made.text(), Path::new("."), &BTreeMap::new())
        .map_err(|report| format!("the made-up fleet is none: {}", report.render(false)))
}

fn described(trouble: &Trouble) -> String {
    let mut words: Vec<String> = trouble
        .rules
        .iter()
        .map(|(cluster, rule)| format!("{cluster}: {:?} of {:?}: {:?}", rule.chance, rule.which, rule.fault))
        .collect();
    words.extend(trouble.kill.map(|(at, moment)| format!("killed {moment:?} request {at}")));
    words.extend(trouble.blow.map(|(after, blow)| format!("{blow:?} after {after:?}")));
    words.extend(trouble.twice.map(|later| format!("a second one {later:?} later")));
    if words.is_empty() { "no trouble".to_owned() } else { words.join("; ") }
}
