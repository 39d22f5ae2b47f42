//! What scenarios share: clusters with nodes and Jitsi daemons in them, and the program under test.

use std::{ops::Range, path::PathBuf};

use super::{
    backend::Backend,
    player::Player,
    script::{Action, Script, Step},
};

/// What scenarios share.
pub(crate) struct Stage {
    pub(super) backend: Backend,
    pub(super) jitsictl: PathBuf,
    pub(super) workspace: PathBuf,
}

impl Stage {
    /// What comes after this may use the kinds of others.
    pub(crate) async fn with_kinds_of_others(&self) -> Result<(), String> {
        self.backend.install_kinds_of_others().await
    }

    pub(crate) fn set(backend: Backend, jitsictl: PathBuf, workspace: PathBuf) -> Self {
        Self { backend, jitsictl, workspace }
    }

    pub(crate) async fn clear(self) {
        self.backend.clear().await;
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
                played = Err(format!("line {line}: {why}{}", player.tales()));
                break;
            }
        }
        if script.alone {
            self.backend.everything_runs_again().await?;
        }
        played?;
        Ok((!replacements.is_empty()).then(|| replace(text, replacements)))
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
