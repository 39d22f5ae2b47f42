//! Two clusters in memory, a fleet in them, and an account per plane that may do just what it is allowed.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use ::fleet::{ClusterName, Plane, load::Loaded};
use clock::Clock;
use cluster::{
    Connector, Proxies,
    rights::{Rights, Rule, Verb, grants, rights},
};
use jitsictl::cli::EndpointArg;
use kube::{
    Client,
    api::{Patch, PatchParams},
};
use orchestrator::{Entropy, Event, Options, Outcome, Place, Verdict};
use plan::{Policy, Removal};
use sandbox::{Sandbox, SandboxOptions, Timing};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

/// How long a run goes on; what goes well takes less.
const PATIENCE: Duration = Duration::from_secs(40);
/// More rounds than any run needs.
const ROUNDS: usize = 400;

pub(crate) const CLUSTERS: [&str; 2] = ["hq", "frankfurt"];

/// What the fleet file says, besides what it always says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fleet {
    /// Nothing: kinds that only options bring are not rendered.
    Bare,
    /// An Ingress for people and one for colibri websockets, policies, monitors.
    Ingress,
    /// The same by HTTPRoutes.
    Gateway,
}

impl Fleet {
    pub(crate) const ALL: [Self; 3] = [Self::Bare, Self::Ingress, Self::Gateway];

    /// Shards get numbers in the order of their coming; so whoever does not know the record counts wrong.
    pub(crate) fn text(self, shards: &str, change: Change) -> String {
        let rich = self != Self::Bare;
        let websocket = if rich { "websocket: { host: ws.example.org }" } else { "" };
        let entrance = match self {
            Self::Bare => "",
            Self::Ingress => "ingress: { class: traefik, tls_secret: tls }",
            Self::Gateway => "gateway: { name: public, section: https }",
        };
        let (memory, heap) = match change {
            Change::None => ("1Gi", "1024m"),
            Change::Template => ("2Gi", "2048m"),
        };
        let mut text = String::new();
        let _ = write!(
            text,
            "fleet: t\nurl: https://meet.example.org\nrelease: stable-11031\n\
             clusters:\n  hq: {{ context: hq, namespace: calls }}\n  \
             frankfurt: {{ context: fra, namespace: media, region: eu }}\n\
             env: {{ ENABLE_AUTH: 1, AUTH_TYPE: jwt, JWT_APP_ID: meet }}\n\
             secrets:\n  TURN_CREDENTIALS: {{ env: TURN }}\n  JWT_APP_SECRET: {{ secret: tokens, key: key }}\n\
             control:\n  cluster: hq\n  shards: {{ {shards} }}\n  \
             xmpp: {{ expose: node_port, node_port: {{ base: 30222 }} }}\n  \
             prosody: {{ resources: {{ limits: {{ memory: {memory} }} }} }}\n  {entrance}\n\
             data:\n  pools:\n    eu:\n      cluster: frankfurt\n      \
             bridges: {{ replicas: 1, base_port: 30000, env: {{ VIDEOBRIDGE_MAX_MEMORY: {heap} }}, {websocket} }}\n\
             network_policy: {rich}\nmonitoring: {{ enabled: {rich} }}\n"
        );
        text
    }

    pub(crate) fn loaded(self, change: Change, at_hand: AtHand) -> Loaded {
        load(&self.text("beta: {}, alpha: {}", change), at_hand)
    }

    /// What the plane's account is to be allowed in a cluster.
    pub(crate) fn rights(self, plane: Plane, cluster: &str) -> Rights {
        let loaded = self.loaded(Change::None, AtHand::Yes);
        let endpoints =
            ["alpha/a=192.0.2.1:5222", "beta/a=192.0.2.1:5222"].map(|text| text.parse::<EndpointArg>().unwrap());
        let desired = jitsictl::verbs::rendered(&loaded.fleet, &endpoints);
        rights(&loaded.fleet, &desired, &[plane].into(), &cluster.parse().unwrap())
    }
}

/// A later version of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    /// Prosody's and the bridges' templates.
    Template,
}

/// Whether the runner has the user's secret, or relies on what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtHand {
    Yes,
    No,
}

fn load(text: &str, at_hand: AtHand) -> Loaded {
    let env = match at_hand {
        AtHand::Yes => BTreeMap::from([("TURN".to_owned(), "sesame".to_owned())]),
        AtHand::No => BTreeMap::new(),
    };
    let loaded = ::fleet::load::load_text("fleet.yaml", text, Path::new("."), &env);
    loaded.unwrap_or_else(|report| panic!("{}", report.render(false)))
}

/// One verb on one resource, or on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Atom {
    pub(crate) group: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) name: Option<String>,
    pub(crate) verb: Verb,
    pub(crate) optional: bool,
}

impl Atom {
    pub(crate) fn rule(&self) -> Rule {
        Rule {
            api_groups: [self.group],
            resources: vec![self.resource],
            resource_names: self.name.iter().cloned().collect(),
            verbs: vec![self.verb],
        }
    }
}

/// Rights, verb by verb.
pub(crate) fn atoms(rights: &Rights) -> Vec<Atom> {
    let needed = rights.namespaced.iter().map(|rule| (rule, false));
    let all = needed.chain(rights.optional.iter().map(|(rule, _)| (rule, true)));
    let mut atoms = Vec::new();
    for (rule, optional) in all {
        let names: Vec<Option<String>> = match rule.resource_names.as_slice() {
            [] => vec![None],
            names => names.iter().cloned().map(Some).collect(),
        };
        for resource in &rule.resources {
            for name in &names {
                for verb in &rule.verbs {
                    let [group] = rule.api_groups;
                    atoms.push(Atom { group, resource, name: name.clone(), verb: *verb, optional });
                }
            }
        }
    }
    atoms
}

pub(crate) struct Ground {
    pub(crate) fleet: Fleet,
    pub(crate) sandbox: Sandbox,
    clock: Clock,
}

impl Ground {
    /// The fleet is there and well; everybody has all rights so far.
    pub(crate) async fn start(fleet: Fleet) -> Self {
        let clock = Clock::starting_at("2026-11-23T09:00:00Z".parse().unwrap());
        let options = SandboxOptions {
            clusters: CLUSTERS.map(str::to_owned).to_vec(),
            timing: Timing::default(),
            clock: clock.clone(),
            seed: 1,
            custom_kinds: true,
        };
        let ground = Self { fleet, sandbox: Sandbox::start(options).await.unwrap(), clock };
        for (cluster, namespace) in [("hq", "calls"), ("frankfurt", "media")] {
            ground
                .write(
                    cluster,
                    "/api/v1/namespaces",
                    &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
                )
                .await;
            for plane in [Plane::Control, Plane::Data] {
                let name = format!("system:serviceaccount:{namespace}:t-jitsictl-{plane}");
                let user = api_server::User { name, groups: Vec::new() };
                ground.sandbox.users(cluster).unwrap().insert(plane.to_string(), user);
            }
        }
        for (name, key) in [("tokens", "key"), ("tls", "tls.crt")] {
            let body =
                json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "data": { key: "eA==" } });
            ground.write("hq", "/api/v1/namespaces/calls/secrets", &body).await;
        }
        ground.begin().await;
        ground
    }

    /// The fleet as it came to be: a shard first that is not the first by name.
    pub(crate) async fn begin(&self) {
        let first = load(&self.fleet.text("beta: {}", Change::None), AtHand::Yes);
        self.admin(&first, &Policy::default()).await;
        self.repair().await;
    }

    /// Whatever was done to the fleet, it is well again.
    pub(crate) async fn repair(&self) {
        self.admin(&self.fleet.loaded(Change::None, AtHand::Yes), &Policy::default()).await;
    }

    /// A run with all rights, which has to end well.
    pub(crate) async fn admin(&self, loaded: &Loaded, policy: &Policy) {
        let clients = CLUSTERS.map(|name| (name.parse().unwrap(), self.client(name)));
        let policy = Policy { allow_disruption: true, ..policy.clone() };
        let outcome = self.run(loaded, BTreeMap::from(clients), policy, None).await;
        outcome.unwrap_or_else(|why| panic!("with all rights: {why}"));
    }

    /// A run as the account of a plane.
    pub(crate) async fn as_account(&self, plane: Plane, loaded: &Loaded, removal: Removal) -> Result<Outcome, String> {
        let of = |name: &str| (name.parse().unwrap(), self.sandbox.client_of(name, plane.as_str()).unwrap());
        let policy = Policy { planes: [plane].into(), removal, ..Policy::default() };
        self.run(loaded, BTreeMap::from(CLUSTERS.map(of)), policy, None).await
    }

    /// A run of both planes as the account of the data plane in frankfurt, and with all rights elsewhere.
    pub(crate) async fn restoring(&self, loaded: &Loaded) -> Result<Outcome, String> {
        let frankfurt: ClusterName = "frankfurt".parse().unwrap();
        let mut clients = BTreeMap::from([("hq".parse().unwrap(), self.client("hq"))]);
        clients.insert(frankfurt.clone(), self.sandbox.client_of("frankfurt", Plane::Data.as_str()).unwrap());
        self.run(loaded, clients, Policy::default(), Some(frankfurt)).await
    }

    async fn run(
        &self,
        loaded: &Loaded,
        clients: BTreeMap<ClusterName, Client>,
        policy: Policy,
        restore_passwords_from: Option<ClusterName>,
    ) -> Result<Outcome, String> {
        let options = Options {
            place: Place {
                connector: Connector::Given(clients),
                proxies: Proxies::default(),
                user_agent: "jitsictl/test".to_owned(),
                clock: self.clock.clone(),
                entropy: Entropy::seeded(1),
            },
            policy,
            timeout: PATIENCE,
            create_namespaces: false,
            trust_new_clusters: true,
            restore_passwords_from,
            stop: orchestrator::CancellationToken::new(),
            handover: None,
        };
        // In virtual time, a run that always finds something to do never comes to its end.
        let (rounds, enough) = (AtomicUsize::new(0), Notify::new());
        let tell = |event| {
            if matches!(event, Event::Planned { .. }) && rounds.fetch_add(1, Ordering::Relaxed) > ROUNDS {
                enough.notify_one();
            }
        };
        let applied = tokio::select! {
            applied = orchestrator::apply(loaded, &options, &tell) => applied,
            () = enough.notified() => return Err(format!("it goes on and on: more than {ROUNDS} rounds")),
        };
        match applied {
            Ok(outcome) if outcome.verdict == Verdict::Converged => Ok(outcome),
            Ok(outcome) => {
                let mut why = vec![format!("{:?}", outcome.verdict)];
                why.extend(outcome.failures.iter().map(|failure| failure.message.clone()));
                why.extend(outcome.blocked.iter().map(|blocked| format!("{blocked:?}")));
                why.extend(outcome.proof.missing.iter().map(|missing| missing.why.clone()));
                why.extend(outcome.proof.slots.iter().filter_map(|slot| slot.why.clone()));
                why.extend(outcome.proof.endpoints.iter().map(|endpoint| format!("{:?}", endpoint.endpoint)));
                Err(why.join("; "))
            }
            Err(fatal) => Err(fatal.to_string()),
        }
    }

    /// Gives the plane's account its rights everywhere, but for one verb in one cluster.
    pub(crate) async fn grant(&self, plane: Plane, but: Option<(&str, &Atom)>) {
        let loaded = self.fleet.loaded(Change::None, AtHand::Yes);
        for cluster in CLUSTERS {
            let mut rights = self.fleet.rights(plane, cluster);
            if let Some((_, atom)) = but.filter(|(place, _)| *place == cluster) {
                let left = atoms(&rights).into_iter().filter(|other| other != atom);
                let (optional, needed): (Vec<Atom>, Vec<Atom>) = left.partition(|atom| atom.optional);
                rights.namespaced = needed.iter().map(Atom::rule).collect();
                // A namespace is known by kube-system's UID, or by its own: one takes the other's place.
                let alone = atom.resource == "namespaces" && !atom.optional;
                rights.optional = optional.iter().filter(|_| !alone).map(|atom| (atom.rule(), "")).collect();
            }
            for grant in self.objects(plane, &loaded, cluster, &rights) {
                self.write(cluster, &grant.0, &grant.1).await;
            }
        }
    }

    fn objects(&self, plane: Plane, loaded: &Loaded, cluster: &str, rights: &Rights) -> Vec<(String, Json)> {
        let cluster = cluster.parse().unwrap();
        let mut grants = grants(&loaded.fleet, &[plane].into(), &cluster, rights, None);
        if grants.optional.is_empty() && !rights.is_empty() {
            // What was granted before is taken back.
            let none = Rights {
                optional: vec![(
                    Rule {
                        api_groups: [""],
                        resources: vec!["none"],
                        resource_names: Vec::new(),
                        verbs: vec![Verb::Get],
                    },
                    "",
                )],
                ..rights.clone()
            };
            grants = cluster::rights::grants(&loaded.fleet, &[plane].into(), &cluster, &none, None);
        }
        let all = grants.needed.into_iter().chain(grants.optional);
        let path = |grant: &cluster::rights::Grant| {
            let group = if grant.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/v1", grant.group) };
            match &grant.namespace {
                Some(namespace) => format!("{group}/namespaces/{namespace}/{}", grant.plural),
                None => format!("{group}/{}", grant.plural),
            }
        };
        all.map(|grant| (path(&grant), grant.body)).collect()
    }

    pub(crate) fn client(&self, cluster: &str) -> Client {
        self.sandbox.client(cluster, None).unwrap()
    }

    /// Applies an object, as somebody with all rights.
    pub(crate) async fn write(&self, cluster: &str, collection: &str, body: &Json) {
        let name = body["metadata"]["name"].as_str().unwrap();
        let request = kube::core::Request::new(collection);
        let request = request.patch(name, &PatchParams::apply("admin").force(), &Patch::Apply(body)).unwrap();
        self.client(cluster).request::<Json>(request).await.unwrap();
    }
}
