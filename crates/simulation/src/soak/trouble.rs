//! What goes wrong while daemons are left alone: one thing after the other.

use std::time::Duration;

use sandbox::fault::{Faults, Rule};
use tokio::time::sleep;

use crate::blow::Blow;
use crate::dice::Dice;
use crate::promise::Violation;
use crate::script::rule;
use crate::tally::Tally;

use super::Course;

/// One thing that goes wrong.
enum Trouble {
    /// Something happens to the world.
    Blow(Blow),
    /// Requests of one daemon to one cluster are struck for so many seconds.
    Struck { keeper: usize, cluster: &'static str, rule: Rule, seconds: u64 },
    /// A daemon is killed, and started again after so many seconds.
    Killed { keeper: usize, seconds: u64 },
    /// A daemon is told to end, and started again after so many seconds.
    Stopped { keeper: usize, seconds: u64 },
    /// Somebody changes or deletes an object of ours.
    Hand,
}

impl Trouble {
    fn new(clusters: &[&'static str], keepers: usize, dice: &mut Dice) -> Self {
        let keeper = usize::try_from(dice.next()).unwrap_or(0) % keepers.max(1);
        let cluster = dice.pick(clusters).unwrap_or("hq");
        match dice.between(0, 9) {
            0..=3 => Self::Blow(Blow::new(clusters, dice)),
            4 | 5 => Self::Struck { keeper, cluster, rule: rule(dice), seconds: dice.between(10, 400) },
            6 => Self::Killed { keeper, seconds: dice.between(0, 300) },
            7 => Self::Stopped { keeper, seconds: dice.between(0, 60) },
            _ => Self::Hand,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Blow(blow) => blow.kind(),
            Self::Struck { .. } => "a daemon's requests struck",
            Self::Killed { .. } => "daemon killed",
            Self::Stopped { .. } => "daemon stopped",
            Self::Hand => "changed by hand",
        }
    }
}

impl Course {
    /// Something goes wrong, and passes.
    pub(super) async fn trouble(&mut self) -> Result<(), Violation> {
        let trouble = Trouble::new(self.stage.clusters, self.keepers.len(), &mut self.dice);
        Tally::one(&mut self.stage.tally.faults, trouble.kind());
        match trouble {
            Trouble::Blow(blow) => {
                let keepers = &self.keepers;
                let faults = |cluster: &str| -> Vec<Faults> {
                    keepers.iter().filter_map(|keeper| keeper.faults(cluster)).collect()
                };
                self.stage.strike(blow, faults).await;
            }
            Trouble::Struck { keeper, cluster, rule, seconds } => {
                let keeper = &self.keepers[keeper];
                let Rule { chance, which, fault } = &rule;
                let line = format!("{chance} of {which:?} of {} to {cluster}: {fault:?}, {seconds} s", keeper.name());
                self.stage.trace.say(line);
                keeper.struck(cluster, vec![rule]);
                sleep(Duration::from_secs(seconds)).await;
                keeper.heal();
            }
            Trouble::Killed { keeper, seconds } => {
                let keeper = &mut self.keepers[keeper];
                self.stage.trace.say(format!("daemon {} is killed", keeper.name()));
                keeper.kill().await;
                sleep(Duration::from_secs(seconds)).await;
                keeper.start(&self.stage)?;
            }
            Trouble::Stopped { keeper, seconds } => {
                let keeper = &mut self.keepers[keeper];
                self.stage.trace.say(format!("daemon {} is told to end", keeper.name()));
                keeper.stop().await?;
                sleep(Duration::from_secs(seconds)).await;
                keeper.start(&self.stage)?;
            }
            Trouble::Hand => self.meddle(),
        }
        Ok(())
    }
}
