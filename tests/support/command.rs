//! Running a command line of a scenario.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use super::script::Ending;

/// No command of a scenario takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// A program with its surroundings.
pub(crate) struct Program<'a> {
    pub(crate) path: &'a Path,
    pub(crate) cwd: &'a Path,
    pub(crate) home: &'a Path,
    pub(crate) kubeconfig: &'a Path,
}

impl Program<'_> {
    /// The program with these arguments, in its surroundings.
    pub(crate) fn command(
        &self,
        arguments: &[String],
        environment: impl Iterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.path);
        command
            .args(arguments)
            .current_dir(self.cwd)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.home)
            .env("KUBECONFIG", self.kubeconfig)
            .env("NO_COLOR", "1")
            .envs(environment);
        command
    }

    /// Runs it, and returns its exit code (none after a signal) and what it wrote. Both of its streams go into one
    /// pipe, so lines come in the order in which they were written.
    pub(crate) async fn run(
        &self,
        arguments: &[String],
        environment: impl Iterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
        ending: Ending,
    ) -> Result<(Option<i32>, String), String> {
        let failed = |error: std::io::Error| format!("cannot run {}: {error}", self.path.display());
        let (mut reader, writer) = std::io::pipe().map_err(failed)?;
        let mut command = self.command(arguments, environment);
        command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(failed)?).stderr(writer).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        // The pipe ends when its last writer goes, and the command holds two.
        drop(command);
        let output = tokio::task::spawn_blocking(move || {
            let mut output = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut output).map(|_| output)
        });

        let time = if let Ending::Killed(after) = ending { after } else { PATIENCE };
        let ended = match tokio::time::timeout(time, child.wait()).await {
            Ok(ended) => ended.map_err(failed)?.code(),
            Err(_elapsed) => {
                child.kill().await.map_err(failed)?;
                None
            }
        };
        let output = output.await.map_err(|error| error.to_string())?.map_err(failed)?;
        let output = String::from_utf8_lossy(&output).into_owned();
        if ended.is_none() && matches!(ending, Ending::Code(_)) {
            return Err(format!("`{}` did not end within {PATIENCE:?}\n{output}", arguments.join(" ")));
        }
        Ok((ended, output))
    }
}

/// `NAME=value` in front of a command.
pub(crate) fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

/// Splits a command into words; quotes of both kinds hold words together.
pub(crate) fn words(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (c, quote) {
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { Err(format!("a quote in `{command}` is not closed")) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_become_words() {
        let split = |command| words(command).unwrap();
        assert_eq!(split("jitsictl  apply --plane control"), ["jitsictl", "apply", "--plane", "control"]);
        assert_eq!(split(r#"A='b c' jitsictl "" 'x"y'"#), ["A=b c", "jitsictl", "", "x\"y"]);
        assert!(words("jitsictl 'oops").is_err());
        assert!(is_assignment("JITSICTL_X1=a=b") && !is_assignment("--a=b") && !is_assignment("=b"));
    }
}
