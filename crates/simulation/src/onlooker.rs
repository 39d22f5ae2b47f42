//! Somebody who only looks, from outside, and whom nothing disturbs: what `plan` and `status` tell him.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::{Connector, Proxies};
use fleet::ClusterName;
use fleet::load::Loaded;
use orchestrator::{Entropy, Options, Place, PlanReport};
use plan::Policy;
use serde_json::json;
use tracing::instrument::WithSubscriber as _;

use crate::log::Log;
use crate::promise::{Promise, Violation};
use crate::stage::Stage;

impl Stage {
    /// What would be done, and how things are. Both are told to people, and so searched for secrets like all the rest.
    pub(crate) async fn looked_at(&mut self, loaded: &Loaded) -> Result<PlanReport, Violation> {
        let options = self.outside().map_err(|why| Promise::Played.broken(why))?;
        let log = Log::default();
        let looked = async {
            let report = orchestrator::plan(loaded, &options).await?;
            Ok((report, orchestrator::status(loaded, &options).await?))
        };
        let looked = looked.with_subscriber(log.taker()).await;
        let (report, status) = looked.map_err(|fatal: orchestrator::Fatal| {
            Promise::Played.broken(format!("somebody whom nothing disturbs sees nothing: {fatal}"))
        })?;
        for told in [json!(report).to_string(), json!(status).to_string(), log.text()] {
            self.said.push_str(&told);
        }
        Ok(report)
    }

    fn outside(&self) -> Result<Options, String> {
        let mut clients = BTreeMap::new();
        for cluster in self.clusters {
            let name: ClusterName = cluster.parse().map_err(|_| format!("{cluster} is no name"))?;
            clients.insert(name, self.sandbox.client(cluster, None).map_err(|error| error.to_string())?);
        }
        Ok(Options {
            place: Place {
                connector: Connector::Given(clients),
                proxies: Proxies::default(),
                user_agent: "jitsictl/onlooker".to_owned(),
                clock: self.clock.fork(),
                entropy: Entropy::seeded(self.seed),
            },
            policy: Policy::default(),
            timeout: Duration::from_secs(120),
            create_namespaces: false,
            trust_new_clusters: true,
            restore_passwords_from: None,
            stop: orchestrator::CancellationToken::new(),
            handover: None,
        })
    }
}

/// What differs from the file, and waits for nothing that the plan knows of.
pub(crate) fn left_to_do(report: &PlanReport) -> BTreeSet<String> {
    let waits: BTreeSet<_> = report.plan.blocked.iter().map(|blocked| (&blocked.unit, &blocked.cluster)).collect();
    let changes = report.plan.changes.iter().filter(|change| !waits.contains(&(&change.unit, &change.cluster)));
    changes
        .flat_map(|change| {
            let objects = change.objects.iter().map(|(object, _)| format!("{}: {object}", object.cluster));
            let pods = change.outdated_pods.iter().map(|pod| format!("{}: outdated pod {pod}", change.cluster));
            objects.chain(pods).collect::<Vec<_>>()
        })
        .collect()
}
