//! What all scenarios share: real API servers, with the stand-in nodes and Jitsi daemons running.

use std::{ops::Range, path::PathBuf};

use sandbox::{ClusterAccess, World};
use testbed::{Options, Testbed};

use super::{
    player::Player,
    script::{Action, Script, Step},
};

pub(crate) const CLUSTERS: [&str; 3] = ["hq", "fra", "sin"];

/// What all scenarios share.
pub(crate) struct Stage {
    pub(super) testbed: Testbed,
    pub(super) world: World,
    pub(super) jitsictl: PathBuf,
    pub(super) workspace: PathBuf,
}

impl Stage {
    pub(crate) async fn set(jitsictl: PathBuf, workspace: PathBuf) -> Result<Self, String> {
        let testbed = Testbed::start(&CLUSTERS, Options::default()).await.map_err(|error| error.to_string())?;
        let access = testbed.clusters().iter().zip(testbed::LOAD_BALANCERS).map(|(cluster, load_balancer_base)| {
            ClusterAccess { name: cluster.name().to_owned(), config: cluster.config().clone(), load_balancer_base }
        });
        let world = World::start(access.collect()).await.map_err(|error| error.to_string())?;
        Ok(Self { testbed, world, jitsictl, workspace })
    }

    pub(crate) async fn clear(self) {
        self.world.stop().await;
    }

    /// Plays a scenario. The result is its text with the output that came, if `update` is wanted and it differs.
    pub(crate) async fn play(
        &self,
        name: &str,
        number: usize,
        text: &str,
        script: &Script,
        update: bool,
    ) -> Result<Option<String>, String> {
        let mut player = Player::enter(self, name, number).await?;
        let mut replacements = Vec::new();
        let mut played = Ok(());
        for Step { line, action } in &script.steps {
            let done = match action {
                Action::Run(run) => player.run(run, update).await.map(|replacement| replacements.extend(replacement)),
                other => player.act(other).await,
            };
            if let Err(why) = done {
                played = Err(format!("line {line}: {why}"));
                break;
            }
        }
        if script.alone {
            self.everything_runs_again().await?;
        }
        played?;
        Ok((!replacements.is_empty()).then(|| replace(text, replacements)))
    }

    async fn everything_runs_again(&self) -> Result<(), String> {
        for cluster in self.testbed.clusters().iter().filter(|cluster| !cluster.apiserver_runs()) {
            cluster.start_apiserver().await.map_err(|error| error.to_string())?;
        }
        for cluster in CLUSTERS {
            self.world.hold_load_balancers(cluster, false).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// New lines for a range of lines of the script.
pub(super) struct Replacement {
    pub(super) lines: Range<usize>,
    pub(super) by: Vec<String>,
}

fn replace(text: &str, replacements: Vec<Replacement>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for Replacement { lines: range, by } in replacements.into_iter().rev() {
        lines.splice(range, by);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_leave_the_rest_alone() {
        let text = "$ a\nold\n$ b\n? 1\nold\n\n# end\n";
        let replacements = vec![
            Replacement { lines: 1..2, by: vec!["new".into(), "newer".into()] },
            Replacement { lines: 3..5, by: vec![] },
        ];
        assert_eq!(replace(text, replacements), "$ a\nnew\nnewer\n$ b\n\n# end\n");
    }
}
