//! Plays the steps of one scenario.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use similar::TextDiff;
use tempfile::TempDir;
use testbed::{Credential, Rights, Rule};

use super::{
    backend::{Backend, CLUSTERS, Mark},
    command::{self, Program},
    daemon::Daemon,
    matching, objects,
    script::{Action, Check, Compare, Ending, Object, Refusal, Requests, Run},
    stage::{Replacement, Stage},
};

/// A cluster that runs says within this time what Secrets it has.
const ANSWER: Duration = Duration::from_secs(5);

/// One scenario on the stage: its folder, its contexts, what it remembers.
pub(super) struct Player<'a> {
    stage: &'a Stage,
    user: String,
    folder: TempDir,
    contexts: BTreeMap<String, (String, Credential)>,
    environment: Vec<(String, String)>,
    memory: BTreeMap<String, String>,
    marks: BTreeMap<String, Mark>,
    daemons: BTreeMap<String, Daemon>,
    /// Values that Secrets of the scenario have or had, and where.
    secrets: BTreeMap<String, String>,
}

impl<'a> Player<'a> {
    /// Every scenario is a user of its own, so that the audit log tells what *it* did.
    pub(super) async fn enter(stage: &'a Stage, name: &str, number: usize) -> Result<Self, String> {
        let folder =
            tempfile::Builder::new().prefix("jitsictl-scenario-").tempdir().map_err(|error| error.to_string())?;
        let user = format!("scenario-{name}");
        let mut contexts = BTreeMap::new();
        for cluster in CLUSTERS {
            let credential = stage.backend.user(cluster, &user, &Rights::Everything).await?;
            contexts.insert(cluster.to_owned(), (cluster.to_owned(), credential));
        }
        let port = (30_400 + 40 * number).to_string();
        let player = Self {
            stage,
            user,
            folder,
            contexts,
            environment: Vec::new(),
            memory: BTreeMap::from([("port".to_owned(), port), ("scenario".to_owned(), name.to_owned())]),
            marks: BTreeMap::new(),
            daemons: BTreeMap::new(),
            secrets: BTreeMap::new(),
        };
        std::fs::create_dir(player.cwd()).map_err(|error| error.to_string())?;
        player.write_kubeconfig()?;
        Ok(player)
    }

    fn cwd(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn client(&self, cluster: &str) -> Result<&'a kube::Client, String> {
        self.stage.backend.client(cluster)
    }

    fn write_kubeconfig(&self) -> Result<(), String> {
        self.stage.backend.write_kubeconfig(&self.kubeconfig(), &self.contexts)
    }

    /// Puts in what is remembered: `{NAME}`.
    fn fill(&self, text: &str) -> String {
        self.memory.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// An object with what is remembered put into its name, and its namespace once more as text.
    fn object(&self, object: &Object) -> (Object, String) {
        let namespace = object.namespace.as_ref().map(|namespace| self.fill(namespace));
        let filled = Object { namespace: namespace.clone(), name: self.fill(&object.name), ..object.clone() };
        (filled, namespace.unwrap_or_default())
    }

    /// The object as JSON; nothing when there is none.
    async fn find(&self, object: &Object) -> Result<Option<Value>, String> {
        let (object, namespace) = self.object(object);
        if object.kind != "Daemon" {
            return objects::get(self.client(&object.cluster)?, &object).await;
        }
        // What runs in a pod is no object of Kubernetes', but is asked for in the same way.
        let world = self.stage.backend.world();
        let log = world.log(&object.cluster, &namespace, &object.name).map_err(|error| error.to_string())?;
        Ok(world
            .daemon(&object.cluster, &namespace, &object.name)
            .ok()
            .map(|daemon| json!({ "pod": daemon.pod_uid, "starts": daemon.starts, "log": log.join("\n") })))
    }

    /// Takes out what differs from run to run.
    fn redact(&self, output: &str) -> String {
        let mut output = output.replace(&*self.cwd().to_string_lossy(), "[CWD]");
        for cluster in CLUSTERS {
            if let Ok(address) = self.stage.backend.address(cluster) {
                output = output.replace(&address, &format!("[SERVER {cluster}]"));
            }
        }
        output
    }

    fn program<'p>(&'p self, cwd: &'p Path, kubeconfig: &'p Path) -> Program<'p> {
        Program { path: &self.stage.jitsictl, cwd, home: self.folder.path(), kubeconfig }
    }

    /// What `> env` set.
    fn remembered(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) async fn run(&mut self, run: &Run, update: bool) -> Result<Option<Replacement>, String> {
        let words = command::words(&self.fill(&run.command))?;
        let assignments = words.iter().take_while(|word| command::is_assignment(word)).count();
        let (assignments, words) = words.split_at(assignments);
        let Some(("jitsictl", arguments)) = words.split_first().map(|(program, rest)| (program.as_str(), rest)) else {
            return Err(format!("`{}` does not run jitsictl", run.command));
        };
        let assignments = assignments.iter().filter_map(|word| word.split_once('='));
        let (cwd, kubeconfig) = (self.cwd(), self.kubeconfig());
        let program = self.program(&cwd, &kubeconfig);
        let (ended, output) = program.run(arguments, self.remembered().chain(assignments), run.ending).await?;
        self.says_no_secret(&output).await?;

        let actual = matching::split(&self.redact(&output));
        let expected: Vec<String> = run.output.iter().map(|line| self.fill(line)).collect();
        let ending_fits = match run.ending {
            Ending::Code(code) => ended == Some(code),
            Ending::Killed(_) => true,
        };
        let output_fits = matching::lines(&expected, &actual);
        if ending_fits && output_fits {
            return Ok(None);
        }
        if update && (ended.is_some() || ending_fits) {
            let code = match (run.ending, ended) {
                (Ending::Killed(after), _) => Some(format!("? killed after {}ms", after.as_millis())),
                (Ending::Code(_), None | Some(0)) => None,
                (Ending::Code(_), Some(code)) => Some(format!("? {code}")),
            };
            let output =
                if output_fits { run.output.clone() } else { matching::updated(&run.output, &expected, &actual) };
            let by = code.into_iter().chain(output.iter().map(|line| matching::escape(line))).collect();
            return Ok(Some(Replacement { lines: run.lines.clone(), by }));
        }
        let ended = ended.map_or("a signal".to_owned(), |code| code.to_string());
        // Lines that fit a wildcard are no difference to show.
        let actual = matching::updated(&expected, &expected, &actual);
        let (expected, actual) = (expected.join("\n") + "\n", actual.join("\n") + "\n");
        let diff = TextDiff::from_lines(&expected, &actual);
        Err(format!(
            "$ {}\nended with {ended}, expected {:?}\n{}",
            run.command,
            run.ending,
            diff.unified_diff().context_radius(20).header("expected", "came")
        ))
    }

    pub(super) async fn act(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Run(_) => Ok(()),
            Action::Copy { folder } => self.copy(&self.stage.workspace.join(folder), &self.cwd()),
            Action::Write { path, text } => self.write(path, &self.fill(text)),
            Action::Edit { path, from, to } => {
                let full = self.cwd().join(path);
                let text = std::fs::read_to_string(&full).map_err(|error| format!("cannot read {path}: {error}"))?;
                let from = self.fill(from);
                if !text.contains(&from) {
                    return Err(format!("{path} has no `{from}`"));
                }
                self.write(path, &text.replace(&from, &self.fill(to)))
            }
            Action::Env { name, value } => {
                self.environment.push((name.clone(), self.fill(value)));
                Ok(())
            }
            Action::Remember { name, object, pointer } => {
                let found = self.find(object).await?;
                let found = found.ok_or_else(|| format!("there is no {} {}", object.kind, object.name))?;
                self.memory.insert(name.clone(), objects::at(&found, pointer));
                Ok(())
            }
            Action::Check { within, check } => {
                let begun = Instant::now();
                loop {
                    match self.check(check).await {
                        Ok(()) => return Ok(()),
                        Err(why) if begun.elapsed() >= *within => return Err(why),
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                }
            }
            Action::AuditMark => {
                self.marks.extend(self.stage.backend.marks().await?);
                Ok(())
            }
            Action::Audit { cluster, requests, compare, count } => {
                self.audit(cluster, requests, *compare, *count).await
            }
            Action::Apply { cluster, text } => {
                let manifest: Value =
                    serde_saphyr::from_str(&self.fill(text)).map_err(|error| format!("no manifest: {error}"))?;
                objects::apply(self.client(cluster)?, &manifest).await
            }
            Action::Probe { cluster, text, answer } => {
                let manifest: Value =
                    serde_saphyr::from_str(&self.fill(text)).map_err(|error| format!("no manifest: {error}"))?;
                let client = self.client(cluster)?;
                let patience = Instant::now() + Duration::from_secs(20);
                while objects::try_apply(client, &manifest).await != *answer {
                    if Instant::now() >= patience {
                        return Err(format!("it is not {answer:?} after 20 s"));
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Ok(())
            }
            Action::Patch { object, text } => {
                let patch: Value =
                    serde_saphyr::from_str(&self.fill(text)).map_err(|error| format!("no patch: {error}"))?;
                objects::merge(self.client(&object.cluster)?, &self.object(object).0, &patch).await
            }
            Action::Delete { object } => objects::delete(self.client(&object.cluster)?, &self.object(object).0).await,
            Action::LoadBalancer { object, addresses } => {
                let (Object { cluster, name, .. }, namespace) = self.object(object);
                let addresses = addresses.iter().map(|address| self.fill(address)).collect();
                let moved =
                    self.stage.backend.world().set_load_balancer_address(&cluster, &namespace, &name, addresses);
                moved.await.map_err(|error| error.to_string())
            }
            Action::People { object, conferences, participants } => {
                let (Object { cluster, name, .. }, namespace) = self.object(object);
                let world = self.stage.backend.world();
                let moved = world.set_load(&cluster, &namespace, &name, *conferences, *participants);
                moved.map_err(|error| error.to_string())
            }
            Action::Crash { object } => {
                let (Object { cluster, name, .. }, namespace) = self.object(object);
                self.stage.backend.world().crash(&cluster, &namespace, &name).map_err(|error| error.to_string())
            }
            Action::HoldLoadBalancers { cluster, hold } => {
                self.stage.backend.world().hold_load_balancers(cluster, *hold).map_err(|error| error.to_string())
            }
            Action::Image { tag, fails } => {
                self.stage.backend.world().fail_image(tag, *fails);
                Ok(())
            }
            Action::StartDaemon { name, arguments } => self.start_daemon(name, arguments).await,
            Action::StopDaemon { name } => {
                let daemon = self.daemon(name)?;
                self.tells_no_secret(&daemon).await?;
                daemon.stop().await
            }
            Action::KillDaemon { name } => self.daemon(name)?.kill().await,
            Action::Stop { cluster } => self.stage.backend.set_running(cluster, false).await,
            Action::Start { cluster } => self.stage.backend.set_running(cluster, true).await,
            Action::Refuse { cluster, refusal } => {
                let Refusal { namespace, resource, pointer, value, message } = refusal;
                let refusal = Refusal {
                    namespace: self.fill(namespace),
                    resource: resource.clone(),
                    pointer: pointer.clone(),
                    value: self.fill(value),
                    message: self.fill(message),
                };
                self.stage.backend.refuse(cluster, &refusal).await
            }
            Action::AdmitAll { cluster, namespace } => {
                self.stage.backend.admit_all(cluster, &self.fill(namespace)).await
            }
            Action::Point { context, cluster } => {
                let (_, credential) = self.contexts.get(cluster).ok_or_else(|| format!("no cluster `{cluster}`"))?;
                self.contexts.insert(context.clone(), (cluster.clone(), credential.clone()));
                self.write_kubeconfig()
            }
            Action::Expire { context } => self.log_in_as(context, Credential::Expired),
            Action::Restrict { context, namespace, text } => {
                let rules: Vec<Rule> =
                    serde_saphyr::from_str(text).map_err(|error| format!("no RBAC rules: {error}"))?;
                let rights = match namespace {
                    Some(namespace) => Rights::Namespaced(self.fill(namespace), rules),
                    None => Rights::Cluster(rules),
                };
                let (cluster, _) = self.contexts.get(context).ok_or_else(|| format!("no context `{context}`"))?;
                let user = self.limited_user();
                let credential = self.stage.backend.user(cluster, &user, &rights).await?;
                self.log_in_as(context, credential)
            }
        }
    }

    async fn start_daemon(&mut self, name: &str, arguments: &[String]) -> Result<(), String> {
        let common = ["daemon", "--listen", "127.0.0.1:0", "--log-format", "json", "--holder", name].map(str::to_owned);
        let (cwd, kubeconfig) = (self.cwd(), self.kubeconfig());
        let command = self.program(&cwd, &kubeconfig).command(&[&common, arguments].concat(), self.remembered());
        let daemon = Daemon::start(command).await?;
        self.memory.insert(name.to_owned(), daemon.address().to_owned());
        self.daemons.insert(name.to_owned(), daemon);
        Ok(())
    }

    fn daemon(&mut self, name: &str) -> Result<Daemon, String> {
        self.daemons.remove(name).ok_or_else(|| format!("no daemon `{name}` was started"))
    }

    /// What the daemons that still run wrote last.
    pub(super) fn tales(&self) -> String {
        self.daemons.iter().map(|(name, daemon)| format!("\nlog of daemon {name}:\n{}", daemon.tail())).collect()
    }

    /// None of the scenario's secrets stands in what a daemon wrote, in what it shows and sends, or in an Event.
    async fn tells_no_secret(&self, daemon: &Daemon) -> Result<(), String> {
        let mut told = daemon.everything().await?;
        if !told.contains("event: ") {
            return Err("the daemon's /events were not read".to_owned());
        }
        let (mut secrets, scenario) = (Vec::new(), self.fill("{scenario}"));
        for cluster in CLUSTERS {
            let client = self.client(cluster)?;
            secrets.extend(objects::secrets(client, &scenario).await?);
            told.push_str(&objects::events(client, &scenario).await?);
        }
        if secrets.is_empty() {
            return Err("the scenario has no secrets that could be told".to_owned());
        }
        match secrets.iter().find(|(_, value)| told.contains(value.as_str())) {
            Some((name, _)) => Err(format!("{name} was told")),
            None => Ok(()),
        }
    }

    /// None of the scenario's secrets stands in what a command wrote.
    async fn says_no_secret(&mut self, output: &str) -> Result<(), String> {
        let scenario = self.fill("{scenario}");
        for cluster in CLUSTERS {
            // What one holds that is down now was read before.
            let asked = objects::secrets(self.client(cluster)?, &scenario);
            if let Ok(Ok(found)) = tokio::time::timeout(ANSWER, asked).await {
                self.secrets.extend(found.into_iter().map(|(name, value)| (value, name)));
            }
        }
        match said(&self.secrets, output) {
            Some(name) => Err(format!("{name} was written to the terminal")),
            None => Ok(()),
        }
    }

    fn limited_user(&self) -> String {
        format!("{}-limited", self.user)
    }

    fn log_in_as(&mut self, context: &str, credential: Credential) -> Result<(), String> {
        self.contexts.get_mut(context).ok_or_else(|| format!("no context `{context}`"))?.1 = credential;
        self.write_kubeconfig()
    }

    fn write(&self, path: &str, text: &str) -> Result<(), String> {
        let full = self.cwd().join(path);
        full.parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&full, text))
            .map_err(|error| format!("cannot write {path}: {error}"))
    }

    /// A folder's content into another folder; in text files, what is remembered is put in.
    fn copy(&self, from: &Path, to: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot copy {}: {error}", from.display());
        std::fs::create_dir_all(to).map_err(failed)?;
        for entry in std::fs::read_dir(from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let target = to.join(entry.file_name());
            if entry.file_type().map_err(failed)?.is_dir() {
                self.copy(&entry.path(), &target)?;
                continue;
            }
            std::fs::copy(entry.path(), &target).map_err(failed)?;
            if let Ok(text) = std::fs::read_to_string(&target) {
                std::fs::write(&target, self.fill(&text)).map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn check(&self, check: &Check) -> Result<(), String> {
        match check {
            Check::Absent { object } => match self.find(object).await? {
                None => Ok(()),
                Some(_) => Err(format!("{} {} exists in {}", object.kind, object.name, object.cluster)),
            },
            Check::Value { object, pointer, compare, value } => {
                let found = self.find(object).await?;
                let found =
                    found.ok_or_else(|| format!("{} has no {} {}", object.cluster, object.kind, object.name))?;
                let (came, value) = (objects::at(&found, pointer), self.fill(value));
                let fits = match compare {
                    Compare::Equal => matching::line(&value, &came),
                    Compare::Different => !matching::line(&value, &came),
                    Compare::AtMost | Compare::AtLeast => compares(*compare, number(&came)?, number(&value)?),
                };
                if fits { Ok(()) } else { Err(format!("{pointer} of {} {} is {came}", object.kind, object.name)) }
            }
        }
    }

    async fn audit(&self, cluster: &str, requests: &Requests, compare: Compare, count: usize) -> Result<(), String> {
        let mark = *self.marks.get(cluster).ok_or_else(|| format!("no `> audit mark` while {cluster} was running"))?;
        let ours = [&self.user, &self.limited_user()].map(|user| Backend::account(user));
        let counted: Vec<String> = (self.stage.backend.since(cluster, mark).await?.into_iter())
            .filter(|seen| ours.contains(&seen.user))
            .filter(|seen| match requests {
                Requests::Writes => seen.writes,
                Requests::Of { verb, resource } => seen.verb == *verb && seen.resource == *resource,
            })
            .map(|seen| seen.text)
            .collect();
        if compares(compare, counted.len(), count) {
            return Ok(());
        }
        Err(format!("{} requests to {cluster}, expected {compare:?} {count}\n{}", counted.len(), counted.join("\n")))
    }
}

/// Which of the values, by their names, a text has: as it is, or as Secrets hold it.
fn said<'a>(secrets: &'a BTreeMap<String, String>, text: &str) -> Option<&'a str> {
    let stands = |value: &str| text.contains(value) || text.contains(&BASE64_STANDARD.encode(value));
    secrets.iter().find(|(value, _)| stands(value)).map(|(_, name)| name.as_str())
}

fn compares<T: PartialOrd>(compare: Compare, came: T, expected: T) -> bool {
    match compare {
        Compare::Equal => came == expected,
        Compare::Different => came != expected,
        Compare::AtMost => came <= expected,
        Compare::AtLeast => came >= expected,
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_both_of_its_forms() {
        let secrets = BTreeMap::from([("correct-horse".to_owned(), "KEY of Secret meet".to_owned())]);
        for text in ["password: correct-horse\n", "data: { KEY: Y29ycmVjdC1ob3JzZQ== }\n"] {
            assert_eq!(said(&secrets, text), Some("KEY of Secret meet"), "{text}");
        }
        assert_eq!(said(&secrets, "password: ***\n"), None);
    }
}
