//! The clusters of fleet files, in memory. Names that the files lead to one context are one cluster here too.

use std::{collections::BTreeMap, time::Duration};

use api_server::{Request, Verb, kinds};
use clock::Clock;
use cluster::{Connector, Proxies};
use fleet::{Access, ClusterName, Fleet};
use orchestrator::{Entropy, Place};
use sandbox::{Sandbox, SandboxError, SandboxOptions, Timing};

use super::supplies;
use crate::{Error, context::USER_AGENT, verbs::rendered};

/// How fast clusters are that people and other programs look at: `kubectl delete pod` has to see a pod going away.
pub(super) fn brisk() -> Timing {
    Timing { termination: Duration::from_millis(300), ..Timing::default() }
}

/// Clusters in memory, and which of them a fleet file means.
pub(super) struct Ground {
    pub(super) sandbox: Sandbox,
    pub(super) clock: Clock,
    accesses: Accesses,
    entropy: Entropy,
}

impl Ground {
    /// Starts all clusters of these fleets, empty but for what the fleets take for granted.
    pub(super) async fn start(fleets: &[&Fleet], timing: Timing, clock: Clock, seed: u64) -> Result<Self, Error> {
        let accesses = Accesses::of(fleets);
        let options = SandboxOptions {
            clusters: accesses.0.iter().map(|(_, name)| name.clone()).collect(),
            timing,
            clock: clock.clone(),
            seed,
            custom_kinds: true,
        };
        let sandbox = Sandbox::start(options).await.map_err(|error| failed(&error))?;
        let ground = Self { sandbox, clock, accesses, entropy: Entropy::seeded(seed) };
        for fleet in fleets {
            ground.supply(fleet)?;
        }
        Ok(ground)
    }

    /// The world of a run of this fleet.
    pub(super) fn place(&self, fleet: &Fleet) -> Result<Place, Error> {
        let mut clients = BTreeMap::new();
        for name in fleet.clusters.keys() {
            let client = self.sandbox.client(self.name_of(fleet, name), None).map_err(|error| failed(&error))?;
            clients.insert(name.clone(), client);
        }
        Ok(Place {
            connector: Connector::Given(clients),
            proxies: Proxies::default(),
            user_agent: USER_AGENT.to_owned(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
        })
    }

    /// The cluster here that a fleet file means by that name.
    pub(super) fn name_of<'a>(&'a self, fleet: &Fleet, name: &'a ClusterName) -> &'a str {
        let access = fleet.clusters.get(name).map(|cluster| &cluster.access);
        let known = self.accesses.0.iter().find(|(known, _)| Some(known) == access);
        known.map_or(name.as_str(), |(_, name)| name.as_str())
    }

    /// Makes what the fleet's pods read and the fleet does not make.
    fn supply(&self, fleet: &Fleet) -> Result<(), Error> {
        for (supply, keys) in supplies::lacking(&rendered(fleet, &[])) {
            let kind = match supply.kind {
                "Secret" => &kinds::SECRET,
                _ => &kinds::CONFIG_MAP,
            };
            let namespace = serde_json::json!({ "metadata": { "name": supply.namespace } });
            let cluster = self.name_of(fleet, &supply.cluster);
            let server = self.sandbox.server(cluster).map_err(|error| failed(&error))?;
            let objects =
                [(&kinds::NAMESPACE, None, namespace), (kind, Some(&*supply.namespace), supply.object(&keys))];
            for (kind, namespace, body) in objects {
                let request = Request { body, ..Request::new(Verb::Create, kind, namespace, None) };
                match server.call(request) {
                    Ok(_) => {}
                    Err(refused) if refused.reason == "AlreadyExists" => {}
                    Err(refused) => {
                        let message = format!("the sandbox refuses {} {}: {refused}", supply.kind, supply.name);
                        return Err(Error::failed(message, "give it inline in the fleet file"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Each access of the fleet files, and the name of the cluster here that it leads to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Accesses(Vec<(Access, String)>);

impl Accesses {
    fn of(fleets: &[&Fleet]) -> Self {
        let mut all = Self::default();
        for (name, cluster) in fleets.iter().flat_map(|fleet| &fleet.clusters) {
            if all.0.iter().any(|(access, _)| *access == cluster.access) {
                continue;
            }
            // A name that means another cluster in another file.
            let taken = |name: &str| all.0.iter().any(|(_, taken)| taken == name);
            let free = std::iter::once(name.to_string()).chain((2..).map(|n| format!("{name}-{n}")));
            let name = free.into_iter().find(|name| !taken(name)).unwrap_or_default();
            all.0.push((cluster.access.clone(), name));
        }
        all
    }
}

/// A failure of the sandbox itself.
pub(super) fn failed(error: &SandboxError) -> Error {
    let mut message = format!("the sandbox failed: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        message.push_str(&format!(": {error}"));
        source = error.source();
    }
    Error::failed(message, "run again with -vv; this should not happen")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(clusters: &str) -> Fleet {
        let text = format!(
            "fleet: meet\nurl: https://meet.example.org\nrelease: stable-11146-2\nclusters: {clusters}\n\
             control: {{ cluster: hq, shards: {{ alpha: {{}} }}, xmpp: {{ expose: load_balancer }} }}\ndata: {{ pools: {{ main: {{ cluster: fra }} }} }}\n"
        );
        let loaded = fleet::load::load_text("fleet.yaml", &text, std::path::Path::new("."), &BTreeMap::new());
        loaded.unwrap_or_else(|report| panic!("{}", report.render(false))).fleet
    }

    #[test]
    fn a_context_is_one_cluster_whatever_it_is_called() {
        let one = fleet("{ hq: { context: a, namespace: x }, fra: { context: a, namespace: y } }");
        let moved = fleet("{ hq: { context: b }, fra: { context: a } }");
        let names = |fleets: &[&Fleet]| Accesses::of(fleets).0.into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names(&[&one]), ["fra"]);
        assert_eq!(names(&[&moved]), ["fra", "hq"]);
        assert_eq!(names(&[&one, &moved]), ["fra", "hq"]);
        let swapped = fleet("{ hq: { context: a }, fra: { context: b } }");
        assert_eq!(names(&[&moved, &swapped]), ["fra", "hq"]);
        let third = fleet("{ hq: { context: c }, fra: { context: a } }");
        assert_eq!(names(&[&moved, &third]), ["fra", "hq", "hq-2"]);
    }
}
