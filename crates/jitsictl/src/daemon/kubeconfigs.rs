//! Kubeconfigs, followed for as long as the daemon runs: those of the command, those that clusters of the fleet file have
//! of their own, and the certificates and keys that they name. Only the clusters hear of it that are opened by what has
//! changed: one kubeconfig may have a context for each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use cluster::Kubeconfigs;
use fleet::{Access, ClusterName};
use orchestrator::daemon::{Generations, Intake};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::files::{Files, Look};
use super::intake::{GRACE, POLL, SOON};

/// How clusters are reached.
type Accesses = BTreeMap<ClusterName, Access>;

/// What each cluster is opened with.
type Digests = BTreeMap<ClusterName, [u8; 32]>;

/// Follows kubeconfigs. A cluster's number grows when what opens it is another thing.
pub(super) fn follow(
    own: Kubeconfigs,
    intake: watch::Receiver<Intake>,
) -> (watch::Receiver<Generations>, impl Future<Output = ()> + Send) {
    let (told, generations) = watch::channel(Generations::new());
    let accesses = accesses(&intake);
    let (files, digests) = read(&own, &accesses);
    let follower = Follower { own, intake, accesses, files: Files::of(files), digests, told };
    (generations, follower.run())
}

struct Follower {
    own: Kubeconfigs,
    intake: watch::Receiver<Intake>,
    accesses: Accesses,
    files: Files,
    digests: Digests,
    told: watch::Sender<Generations>,
}

impl Follower {
    /// Until nobody wants to know any more.
    async fn run(mut self) {
        let mut gone: Option<Instant> = None;
        let mut pause = POLL;
        while !self.told.is_closed() {
            sleep(pause).await;
            let now = accesses(&self.intake);
            if now != self.accesses {
                // A cluster that is new or has moved connects anew for that reason alone.
                self.accesses = now;
                self.read();
            }
            let look = self.files.look();
            if look == Look::Changed && self.files.lack_one() {
                gone = Some(Instant::now());
            } else if look == Look::Changed || gone.is_some_and(|since| since.elapsed() >= GRACE) {
                gone = None;
                let before = self.read();
                let others =
                    self.digests.iter().filter(|(name, now)| before.get(*name).is_some_and(|then| then != *now));
                let others: Vec<&ClusterName> = others.map(|(name, _)| name).collect();
                self.told.send_if_modified(|generations| {
                    for name in &others {
                        *generations.entry((*name).clone()).or_default() += 1;
                    }
                    !others.is_empty()
                });
            }
            pause = if look == Look::Same && gone.is_none() { POLL } else { SOON };
        }
    }

    /// What is in the files by now, and what was in them before. They may name other ones now.
    fn read(&mut self) -> Digests {
        let (files, mut digests) = read(&self.own, &self.accesses);
        self.files = Files::of(files);
        // What can't be read stays in force as it was.
        for (name, before) in &self.digests {
            if self.accesses.contains_key(name) {
                digests.entry(name.clone()).or_insert(*before);
            }
        }
        std::mem::replace(&mut self.digests, digests)
    }
}

fn accesses(intake: &watch::Receiver<Intake>) -> Accesses {
    let loaded = std::sync::Arc::clone(&intake.borrow().loaded);
    loaded.fleet.clusters.iter().map(|(name, cluster)| (name.clone(), cluster.access.clone())).collect()
}

/// The files that matter, and what they say of each cluster whose kubeconfig can be read.
fn read(own: &Kubeconfigs, accesses: &Accesses) -> (BTreeSet<PathBuf>, Digests) {
    let mut files: BTreeSet<PathBuf> = own.looked_for().iter().cloned().collect();
    let (mut digests, again) = (Digests::new(), own.again());
    for (name, access) in accesses {
        let Access::Context { context, kubeconfig } = access else { continue };
        files.extend(kubeconfig.clone());
        let theirs = kubeconfig.as_ref().map(|path| Kubeconfigs::load(Some(path), None, None));
        if let Ok(configs) = theirs.as_ref().unwrap_or(&again) {
            files.extend(configs.named_files(context));
            digests.insert(name.clone(), configs.digest(context));
        }
    }
    (files, digests)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use fleet::load::load_text;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    const FLEET: &str = "\
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters: { hq: { context: hq }, fra: { context: fra } }
control: { cluster: hq, shards: { alpha: {} }, xmpp: { expose: load_balancer } }
data: { home: fra, pools: { main: { cluster: fra, bridges: { replicas: 1, expose: node_port, base_port: 30120 } } } }
";

    struct Site {
        folder: tempfile::TempDir,
        generations: watch::Receiver<Generations>,
        intake: watch::Sender<Intake>,
        _task: AbortOnDropHandle<()>,
    }

    impl Site {
        /// With a kubeconfig in which these are the users of the two contexts.
        fn new(hq: &str, fra: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("config");
            fs::write(&path, config(hq, fra)).unwrap();
            fs::write(folder.path().join("one.key"), "a key").unwrap();
            let own = Kubeconfigs::load(Some(&path), None, None).unwrap();
            let (told, intake) = watch::channel(loaded(FLEET, folder.path()));
            let (generations, task) = follow(own, intake);
            Self { folder, generations, intake: told, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
        }

        /// As editors save; what is told then, of `hq` and of `fra`.
        async fn replace(&self, name: &str, text: &str) -> (u64, u64) {
            fs::write(self.folder.path().join("draft"), text).unwrap();
            fs::rename(self.folder.path().join("draft"), self.folder.path().join(name)).unwrap();
            self.after(4).await
        }

        async fn after(&self, seconds: u64) -> (u64, u64) {
            sleep(Duration::from_secs(seconds)).await;
            let of = |name: &str| self.generations.borrow().get(name).copied().unwrap_or_default();
            (of("hq"), of("fra"))
        }
    }

    fn loaded(text: &str, folder: &Path) -> Intake {
        let loaded =
            load_text("fleet.yaml", text, folder, &BTreeMap::new()).unwrap_or_else(|report| panic!("{report:?}"));
        Intake { loaded: Arc::new(loaded), handover: None, refused: None }
    }

    fn config(hq: &str, fra: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\n\
             clusters: [{{name: hq, cluster: {{server: 'https://hq'}}}}, {{name: fra, cluster: {{server: 'https://fra'}}}}]\n\
             users: [{{name: hq, user: {hq}}}, {{name: fra, user: {fra}}}]\n\
             contexts: [{{name: hq, context: {{cluster: hq, user: hq}}}}, {{name: fra, context: {{cluster: fra, user: fra}}}}]\n"
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_hears_of_what_opens_it_and_of_nothing_else() {
        let site = Site::new("{token: a}", "{client-key: one.key}");
        assert_eq!(site.after(60).await, (0, 0));
        assert_eq!(site.replace("config", &config("{token: b}", "{client-key: one.key}")).await, (1, 0));
        assert_eq!(site.replace("one.key", "first").await, (1, 1));
        assert_eq!(site.replace("one.key", "second").await, (1, 2), "a key that was renewed");
        assert_eq!(site.replace("two.key", "first").await, (1, 2));
        assert_eq!(site.replace("config", &config("{token: b}", "{client-key: two.key}")).await, (1, 3));
        assert_eq!(site.replace("two.key", "second").await, (1, 4), "it names another one now");
        assert_eq!(site.replace("one.key", "third").await, (1, 4), "nobody is interested in the old one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_in_a_file_is_left_to_those_who_send_it() {
        let site = Site::new("{tokenFile: token}", "{token: a}");
        assert_eq!(site.replace("token", "first").await, (0, 0));
        assert_eq!(site.replace("token", "second").await, (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_vanishes_for_a_moment_or_makes_no_sense_is_no_reason() {
        let site = Site::new("{token: a}", "{token: a}");
        let path = site.folder.path().join("config");
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(site.after(60).await, (0, 0));
        assert_eq!(site.replace("config", "{ no").await, (0, 0));
        assert_eq!(site.replace("config", &text).await, (0, 0), "as it was");
        assert_eq!(site.replace("config", &config("{token: b}", "{token: b}")).await, (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_kubeconfig_of_its_own_is_followed_too() {
        let site = Site::new("{token: a}", "{token: a}");
        let own = site.folder.path().join("own");
        fs::write(&own, config("{token: a}", "{token: a}")).unwrap();
        let fleet = FLEET.replace("context: fra", "context: fra, kubeconfig: own");
        site.intake.send_replace(loaded(&fleet, site.folder.path()));
        assert_eq!(site.after(10).await, (0, 0), "that it has one is known already");
        assert_eq!(site.replace("own", &config("{token: b}", "{token: b}")).await, (0, 1));
        assert_eq!(site.replace("config", &config("{token: a}", "{token: b}")).await, (0, 1));
    }
}
