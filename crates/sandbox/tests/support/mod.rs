//! A fleet that is really rendered and applied to clusters in memory, in virtual time.

use std::{collections::BTreeMap, error::Error, path::Path, time::Duration};

use clock::Clock;
use cluster::{Connector, Proxies};
use fleet::load::Loaded;
use jiff::Timestamp;
use orchestrator::{Entropy, Options, Place, Verdict};
use plan::Policy;
use sandbox::{Sandbox, SandboxOptions, Timing};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A whole fleet.
pub(crate) struct Ground {
    pub(crate) sandbox: Sandbox,
    pub(crate) loaded: Loaded,
    clock: Clock,
}

impl Ground {
    /// Applies a fleet file to clusters that are named as in it; the world begins at that time of day.
    pub(crate) async fn start(text: &str, hour: i64) -> Result<Self> {
        let loaded = fleet::load::load_text("fleet.yaml", text, Path::new("."), &BTreeMap::new())
            .map_err(|report| report.render(false))?;
        let clock = Clock::starting_at(Timestamp::new(1_795_392_000 + hour * 3600, 0)?);
        let options = SandboxOptions {
            clusters: loaded.fleet.clusters.keys().map(ToString::to_string).collect(),
            timing: Timing::real(),
            clock: clock.clone(),
            seed: 1,
            custom_kinds: false,
        };
        let ground = Self { sandbox: Sandbox::start(options).await?, loaded, clock };
        ground.apply().await?;
        Ok(ground)
    }

    /// Applies it, again and again, until it has converged.
    pub(crate) async fn apply(&self) -> Result<()> {
        let mut clients = BTreeMap::new();
        for name in self.loaded.fleet.clusters.keys() {
            clients.insert(name.clone(), self.sandbox.client(name.as_str(), None)?);
        }
        let options = Options {
            place: Place {
                connector: Connector::Given(clients),
                proxies: Proxies::default(),
                user_agent: "sandbox/callers".to_owned(),
                clock: self.clock.clone(),
                entropy: Entropy::seeded(1),
            },
            policy: Policy::default(),
            timeout: Duration::from_secs(3600),
            create_namespaces: true,
            trust_new_clusters: true,
            restore_passwords_from: None,
            stop: orchestrator::CancellationToken::new(),
            handover: None,
        };
        match orchestrator::apply(&self.loaded, &options, &|_| ()).await {
            Ok(outcome) if outcome.verdict == Verdict::Converged => Ok(()),
            Ok(outcome) => {
                Err(format!("not converged: {}; {:?}", serde_json::json!(outcome.proof), outcome.failures).into())
            }
            Err(fatal) => Err(format!("{fatal:?}").into()),
        }
    }
}
