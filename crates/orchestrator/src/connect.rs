//! Connecting to the clusters of a fleet, and refusing those that are not what they were.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use cluster::{Cluster, ClusterError, ErrorKind, RunKey};
use fleet::load::Loaded;
use fleet::{ClusterName, Plane};
use futures::future::join_all;
use jiff::Timestamp;
use plan::{Pin, Record, SYSTEM};

use crate::execute::failure;
use crate::report::{Event, usage};
use crate::{Failure, Options, left};

/// Why a run could not begin. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Bad usage or a fleet that does not fit the clusters: exit code 2. All of it at once.
    #[error("{}", lines(.0))]
    Usage(Vec<Failure>),
    /// No cluster could be used: exit code 1.
    #[error("{}", lines(.0))]
    Nothing(Vec<Failure>),
}

fn lines(failures: &[Failure]) -> String {
    failures.iter().map(|failure| failure.message.as_str()).collect::<Vec<_>>().join("\n")
}

/// A fleet and the clusters that answered.
pub struct Session<'a> {
    /// The fleet, as loaded; with the clusters, if any, that left it and may still hold something.
    pub loaded: Cow<'a, Loaded>,
    /// What is allowed.
    pub options: &'a Options,
    /// The planes of this run.
    pub planes: BTreeSet<Plane>,
    /// The clusters that answered.
    pub clusters: BTreeMap<ClusterName, Cluster>,
    /// Who they are.
    pub identities: BTreeMap<ClusterName, Pin>,
    /// Why the others did not.
    pub unreachable: BTreeMap<ClusterName, String>,
    /// Which of them answered and are left out: they are not what they should be.
    pub left_out: BTreeSet<ClusterName>,
    /// Hashes secret values in this run.
    pub run_key: RunKey,
}

impl<'a> Session<'a> {
    /// Before any cluster was asked.
    pub(crate) fn of_nobody(
        loaded: Cow<'a, Loaded>,
        options: &'a Options,
        planes: BTreeSet<Plane>,
        run_key: RunKey,
    ) -> Self {
        let (clusters, identities, unreachable) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { loaded, options, planes, clusters, identities, unreachable, left_out: BTreeSet::new(), run_key }
    }

    /// Connects to every cluster that this run needs, all at once.
    ///
    /// # Errors
    /// When a context is unknown, two names mean one cluster, the handover does not fit, or no cluster answers.
    pub async fn open(loaded: &'a Loaded, options: &'a Options, tell: &(dyn Fn(Event) + Sync)) -> Result<Self, Fatal> {
        let planes = match &options.policy.planes {
            planes if planes.is_empty() => BTreeSet::from([Plane::Control, Plane::Data]),
            planes => planes.clone(),
        };
        let connect = options.place.connection();
        let wanted = wanted(loaded, options, &planes)?;
        let mut session = Self::of_nobody(Cow::Borrowed(loaded), options, planes, connect.run_key.clone());
        let mut usage = Vec::new();
        let mut failed = Vec::new();
        for (name, connection) in session.connect(&wanted, &connect).await {
            match connection {
                Ok(answer) => session.met(name, answer, tell),
                Err(error) if matches!(error.kind, ErrorKind::UnknownContext { .. } | ErrorKind::Kubeconfig(_)) => {
                    usage.push(failure(&error, None, None));
                }
                Err(error) => {
                    failed.push(failure(&error, None, None));
                    session.missed(name, error.kind.to_string(), tell);
                }
            }
        }
        usage.extend(session.impostors());
        if !usage.is_empty() {
            return Err(Fatal::Usage(usage));
        }
        if session.clusters.is_empty() {
            return Err(Fatal::Nothing(failed));
        }
        session.follow_debts(&connect, tell).await;
        Ok(session)
    }

    /// Asks these clusters who they are, all at once.
    async fn connect(&self, names: &BTreeSet<ClusterName>, connect: &cluster::Options) -> Vec<(ClusterName, Answer)> {
        let connections = join_all(names.iter().map(|name| async move {
            let spec = self.loaded.fleet.clusters.get(name)?;
            let cluster = match self.options.place.connector.connect(name, spec, connect).await {
                Ok(cluster) => cluster,
                Err(error) => return Some((name.clone(), Err(error))),
            };
            let identity = cluster::patiently(|| cluster.identity()).await;
            Some((name.clone(), identity.map(|identity| (cluster, identity))))
        }));
        connections.await.into_iter().flatten().collect()
    }

    fn met(&mut self, name: ClusterName, (cluster, identity): (Cluster, Pin), tell: &(dyn Fn(Event) + Sync)) {
        tell(Event::Connected { cluster: name.clone() });
        self.clusters.insert(name.clone(), cluster);
        self.identities.insert(name, identity);
    }

    fn missed(&mut self, name: ClusterName, why: String, tell: &(dyn Fn(Event) + Sync)) {
        tell(Event::Unreachable { cluster: name.clone(), why: why.clone() });
        self.unreachable.insert(name, why);
    }

    /// Connects to clusters in which planes of this run may have left something. One that does not answer, or is not the
    /// one it was, keeps nobody from the rest: what is owed there stays a debt.
    async fn follow_debts(&mut self, connect: &cluster::Options, tell: &(dyn Fn(Event) + Sync)) {
        let fleet = &self.loaded.fleet.name;
        let homes = [Plane::Control, Plane::Data].into_iter().filter_map(|plane| Some((plane, self.home(plane)?)));
        let records = join_all(homes.map(|(plane, home)| home.read_record(fleet, plane))).await;
        // What can't be read now is told by whoever looks around.
        let records: Vec<Record> = records.into_iter().filter_map(|read| Some(read.ok()??.0)).collect();
        let pins: BTreeMap<ClusterName, Pin> = records.iter().flat_map(|record| record.pins.clone()).collect();
        let stones = left::stones(&records, &pins, &self.loaded, self.now());
        let places = left::places(&stones, &self.loaded.fleet, &self.planes, self.options);
        self.loaded = left::widened(&self.loaded, &places);
        let known = |name: &ClusterName| self.clusters.contains_key(name) || self.unreachable.contains_key(name);
        let names: BTreeSet<ClusterName> = places.into_keys().filter(|name| !known(name)).collect();
        for (name, connection) in self.connect(&names, connect).await {
            match connection {
                Ok(answer) => self.met(name, answer, tell),
                Err(error) => self.missed(name, error.kind.to_string(), tell),
            }
        }
        let mut strangers = self.impostors();
        for name in names.iter().filter(|name| self.clusters.contains_key(*name)) {
            let (Some(pin), Some(identity)) = (pins.get(name), self.identities.get(name)) else { continue };
            if pin.agrees(identity) != Some(true) {
                strangers.push(not_the_one(name, identity, pin));
            }
        }
        strangers.retain(|problem| names.contains(&problem.cluster));
        for problem in &strangers {
            tell(Event::Unreachable { cluster: problem.cluster.clone(), why: problem.message.clone() });
        }
        self.leave_out(&strangers);
    }

    /// Connects to one cluster alone.
    ///
    /// # Errors
    /// When it can't be reached.
    pub(crate) async fn open_one(loaded: &'a Loaded, options: &'a Options, name: &ClusterName) -> Result<Self, Fatal> {
        let connect = options.place.connection();
        let mut clusters = BTreeMap::new();
        if let Some(spec) = loaded.fleet.clusters.get(name) {
            let connected = options.place.connector.connect(name, spec, &connect).await;
            let cluster = connected.map_err(|error| Fatal::Usage(vec![failure(&error, None, None)]))?;
            clusters.insert(name.clone(), cluster);
        }
        let (identities, unreachable) = (BTreeMap::new(), BTreeMap::new());
        let run_key = connect.run_key;
        let (loaded, left_out) = (Cow::Borrowed(loaded), BTreeSet::new());
        Ok(Self { loaded, options, planes: BTreeSet::new(), clusters, identities, unreachable, left_out, run_key })
    }

    /// Names that mean the same cluster and namespace, and clusters that the file pins to another UID.
    pub(crate) fn impostors(&self) -> Vec<Failure> {
        let mut problems = Vec::new();
        let mut seen: BTreeMap<(&str, &str), &ClusterName> = BTreeMap::new();
        for (name, pin) in &self.identities {
            let Some(spec) = self.loaded.fleet.clusters.get(name) else { continue };
            if let Some(other) = seen.insert((&pin.uid, &spec.namespace), name) {
                problems.push(usage(
                    name,
                    format!(
                        "clusters `{other}` and `{name}` are one: the same UID {} and namespace {}",
                        pin.uid, spec.namespace
                    ),
                    "give each its own context, or use one name for both".to_owned(),
                ));
            }
            // Who may not read it can't tell.
            if let Some(pinned) = spec.uid.as_ref().filter(|uid| pin.of == SYSTEM && **uid != pin.uid) {
                problems.push(usage(
                    name,
                    format!("cluster {name} is not the one that the fleet file names: its UID is {}, the file says {pinned}", pin.uid),
                    format!("check which cluster context of `{name}` leads to; nothing was written"),
                ));
            }
        }
        problems
    }

    /// Treats the clusters that these problems are about as if they did not answer; says whether there were any.
    pub(crate) fn leave_out(&mut self, problems: &[Failure]) -> bool {
        let mut any = false;
        for Failure { cluster, message, .. } in problems {
            if self.clusters.remove(cluster).is_some() {
                self.identities.remove(cluster);
                self.unreachable.insert(cluster.clone(), message.clone());
                self.left_out.insert(cluster.clone());
                any = true;
            }
        }
        any
    }

    /// Checks clusters against the pins of the records.
    ///
    /// # Errors
    /// When one is another cluster than before, or new to a plane that exists and not trusted yet.
    pub(crate) fn check_pins(&self, record: &Record, planes: &BTreeSet<Plane>) -> Result<(), Fatal> {
        let mut problems = Vec::new();
        for (name, identity) in &self.identities {
            match record.pins.get(name) {
                Some(pin) if pin.agrees(identity) == Some(false) => problems.push(not_the_one(name, identity, pin)),
                Some(_) => {}
                // The first apply of a plane trusts the clusters of its file.
                None if !planes.contains(&self.plane_of(name)) || self.options.trust_new_clusters => {}
                // It was in the file that was accepted, and did not answer then.
                None if accepted(record, name) => {}
                None => problems.push(usage(
                    name,
                    format!("cluster {name} is new to this fleet"),
                    "pass --trust-new-cluster if its context leads where you mean".to_owned(),
                )),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Fatal::Usage(problems)) }
    }

    /// The plane in which a cluster takes part; the control plane's where it takes part in both.
    fn plane_of(&self, name: &ClusterName) -> Plane {
        if *name == self.loaded.fleet.control.cluster { Plane::Control } else { Plane::Data }
    }

    /// The time of day, where this run happens.
    pub(crate) fn now(&self) -> Timestamp {
        self.options.place.clock.now()
    }

    /// The home of a plane, if it answers.
    pub(crate) fn home(&self, plane: Plane) -> Option<&Cluster> {
        self.clusters.get(self.home_name(plane))
    }

    /// The name of a plane's home cluster.
    #[must_use]
    pub fn home_name(&self, plane: Plane) -> &ClusterName {
        match plane {
            Plane::Control => &self.loaded.fleet.control.cluster,
            Plane::Data => &self.loaded.fleet.data.home,
        }
    }
}

/// A cluster that answered, and who it is.
type Answer = Result<(Cluster, Pin), ClusterError>;

fn not_the_one(name: &ClusterName, identity: &Pin, pin: &Pin) -> Failure {
    let (is, was) = (&identity.uid, &pin.uid);
    usage(
        name,
        format!("cluster {name} is not the one it was: its UID is {is}, this fleet knows it as {was}"),
        format!(
            "context of `{name}` leads to another cluster now; if it was rebuilt on purpose, run `jitsictl cluster forget {name} --abandon`"
        ),
    )
}

/// Whether the accepted intent has a cluster of that name.
fn accepted(record: &Record, name: &ClusterName) -> bool {
    let intent = record.intent.as_ref().and_then(|intent| serde_json::from_str::<serde_json::Value>(&intent.text).ok());
    intent.is_some_and(|intent| intent.pointer("/clusters").and_then(|clusters| clusters.get(name.as_str())).is_some())
}

/// The clusters that a run needs: of the planes' own, and the control cluster for what data clusters get from it.
pub(crate) fn wanted(
    loaded: &Loaded,
    options: &Options,
    planes: &BTreeSet<Plane>,
) -> Result<BTreeSet<ClusterName>, Fatal> {
    let fleet = &loaded.fleet;
    let unknown: Vec<Failure> = options
        .policy
        .clusters
        .iter()
        .filter(|name| !fleet.clusters.contains_key(name.as_str()))
        .map(|name| {
            let known: Vec<&str> = fleet.clusters.keys().map(ClusterName::as_str).collect();
            usage(
                name,
                format!("the fleet has no cluster `{name}`"),
                format!("clusters there are: {}", known.join(", ")),
            )
        })
        .collect();
    if !unknown.is_empty() {
        return Err(Fatal::Usage(unknown));
    }
    if let Some(handover) = &options.handover {
        handover.check(fleet, planes, options.place.clock.now()).map_err(|problem| Fatal::Usage(vec![problem]))?;
    }
    let mut wanted = BTreeSet::new();
    if options.handover.is_none() {
        wanted.insert(fleet.control.cluster.clone());
    }
    if planes.contains(&Plane::Data) {
        wanted.insert(fleet.data.home.clone());
        wanted.extend(fleet.data.pools.iter().map(|pool| pool.cluster.clone()));
    }
    let needed = |name: &ClusterName| {
        options.policy.has_cluster(name) || *name == fleet.control.cluster || *name == fleet.data.home
    };
    wanted.retain(needed);
    Ok(wanted)
}
