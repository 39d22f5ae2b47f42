//! The fleet file and what it pulls in, followed for as long as the daemon runs.
//!
//! Only a file that makes sense reaches the loop. One that makes none is reported, and the last good one stays in
//! force.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use fleet::diagnostic::{Problem, Report, Severity};
use fleet::load::{Attempt, Input, Loaded};
use orchestrator::Handover;
use orchestrator::daemon::{Intake, Refused};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::files::{Files, Look};
use crate::context::{HANDOVER, read_handover};
use crate::load::attempt;

/// Files are looked at this often.
pub(super) const POLL: Duration = Duration::from_secs(2);
/// And this often while they move.
pub(super) const SOON: Duration = Duration::from_millis(500);
/// A file may be gone, or make no sense, for so long before anybody hears of it.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What a daemon reads.
pub(crate) struct Source {
    /// The fleet file, with what it pulls in.
    pub(crate) fleet: Input,
    /// What the control plane's keepers write for those of the data plane, and write anew from time to time.
    pub(crate) handover: Option<PathBuf>,
}

/// What was read.
type Read = (Loaded, Option<Arc<Handover>>);

/// Follows a fleet file.
pub(super) struct Watcher {
    source: Source,
    clock: Clock,
    told: watch::Sender<Intake>,
    files: Files,
    /// What was in the files when they last made sense.
    good: [u8; 32],
    bad: Option<Bad>,
}

/// Files that make no sense.
struct Bad {
    since: Instant,
    refused: Refused,
    told: bool,
}

/// A fleet file that has not made sense yet.
pub(crate) struct First {
    source: Source,
    clock: Clock,
    files: Files,
}

impl First {
    pub(crate) fn new(source: Source, clock: Clock) -> Self {
        let files = Files::of(BTreeSet::from([source.fleet.path.clone()]));
        Self { source, clock, files }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Every problem of the file, and what is to be read once more when it has changed.
    pub(super) fn read(self) -> Result<(Watcher, watch::Receiver<Intake>), (Report, Self)> {
        let Self { source, clock, files } = self;
        let (files, result) = read(&source, files);
        let (loaded, handover) = match result {
            Ok(read) => read,
            Err(report) => return Err((report, Self { source, clock, files })),
        };
        let (told, intake) = watch::channel(Intake { loaded: Arc::new(loaded), handover, refused: None });
        Ok((Watcher { good: files.digest(), source, clock, told, files, bad: None }, intake))
    }

    /// Until it, or something that it names, has another content; tells whenever that was looked for.
    pub(super) async fn changed(&mut self, looked: impl Fn()) {
        let mut pause = POLL;
        loop {
            sleep(pause).await;
            looked();
            pause = match self.files.look() {
                Look::Same => POLL,
                Look::Moving => SOON,
                Look::Changed => return,
            };
        }
    }
}

/// Which files matter is known when they were read; that they are what was read, when they are read again.
fn read(source: &Source, mut files: Files) -> (Files, Result<Read, Report>) {
    loop {
        let Attempt { result, files: mut now } = attempt(&source.fleet);
        let handover = source.handover.as_deref().map(read_handover).transpose();
        now.extend(source.handover.clone());
        if files.are(&now) {
            return (files, both(result, handover));
        }
        files = Files::of(now);
    }
}

/// What makes sense only together, or all that is wrong with it.
fn both(loaded: Result<Loaded, Report>, handover: Result<Option<Handover>, String>) -> Result<Read, Report> {
    let unreadable = |why| Problem::error(why).hint(HANDOVER);
    match (loaded, handover.map_err(unreadable)) {
        (Ok(loaded), Ok(handover)) => Ok((loaded, handover.map(Arc::new))),
        (Err(report), Ok(_)) => Err(report),
        (Ok(_), Err(problem)) => Err(Report::new(vec![problem])),
        (Err(mut report), Err(problem)) => {
            report.problems.push(problem);
            Err(report)
        }
    }
}

impl Watcher {
    /// Follows the files until nobody wants to know any more.
    pub(super) async fn run(mut self) {
        let mut pause = POLL;
        while !self.told.is_closed() {
            sleep(pause).await;
            let look = self.files.look();
            if look == Look::Changed {
                let result;
                (self.files, result) = read(&self.source, self.files);
                self.judge(result);
            }
            self.tell_of_bad();
            let calm = look == Look::Same && self.bad.as_ref().is_none_or(|bad| bad.told);
            pause = if calm { POLL } else { SOON };
        }
    }

    fn judge(&mut self, result: Result<Read, Report>) {
        let same_fleet = |(loaded, handover): Read| {
            let ours = self.told.borrow().loaded.fleet.name.clone();
            if loaded.fleet.name == ours {
                return Ok((loaded, handover));
            }
            let problem =
                Problem::error(format!("the file is of another fleet, {}; this is {ours}", loaded.fleet.name));
            Err(Report::new(vec![problem.hint("start another daemon for it, or restart this one")]))
        };
        match result.and_then(same_fleet) {
            Ok((loaded, handover)) => self.accept(loaded, handover),
            Err(report) => {
                let problems = problems(&report);
                let refused = Refused { since: self.clock.now(), problems };
                match &mut self.bad {
                    Some(bad) if bad.refused.problems == refused.problems => {}
                    Some(bad) => *bad = Bad { refused, since: bad.since, told: false },
                    None => self.bad = Some(Bad { refused, since: Instant::now(), told: false }),
                }
            }
        }
    }

    fn accept(&mut self, loaded: Loaded, handover: Option<Arc<Handover>>) {
        self.bad = None;
        let digest = self.files.digest();
        if std::mem::replace(&mut self.good, digest) == digest {
            // What is in force already: only the complaint goes.
            self.told.send_if_modified(|intake| intake.refused.take().is_some());
            return;
        }
        for warning in &loaded.warnings {
            tracing::warn!("{}", in_a_line(warning));
        }
        self.told.send_replace(Intake { loaded: Arc::new(loaded), handover, refused: None });
    }

    fn tell_of_bad(&mut self) {
        if let Some(bad) = self.bad.as_mut().filter(|bad| !bad.told && bad.since.elapsed() >= GRACE) {
            bad.told = true;
            self.told.send_modify(|intake| intake.refused = Some(bad.refused.clone()));
        }
    }
}

pub(super) fn problems(report: &Report) -> Vec<String> {
    report.problems.iter().filter(|problem| problem.severity == Severity::Error).map(in_a_line).collect()
}

/// Without the line of the file: it might show what nobody should see.
fn in_a_line(problem: &Problem) -> String {
    let place = match problem.labels.first() {
        Some(label) if label.line > 0 => format!("{}:{}:{}: ", label.file, label.line, label.column),
        Some(label) => format!("{}: ", label.file),
        None => String::new(),
    };
    let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
    format!("{place}{}{hint}", problem.message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::symlink;

    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    const FLEET: &str = "\
fleet: meet
url: https://meet.example.org
release: stable-11146-2
env_files: [meet.env]
clusters: { hq: { context: hq } }
control: { cluster: hq, shards: { alpha: {} } }
data: { pools: { main: { cluster: hq, bridges: { replicas: 1 } } } }
";

    struct Site {
        folder: tempfile::TempDir,
        intake: watch::Receiver<Intake>,
        _task: AbortOnDropHandle<()>,
    }

    impl Site {
        fn new() -> Self {
            Self::with(None)
        }

        /// With this handover file.
        fn with(handover: Option<&Handover>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("fleet.yaml"), FLEET).unwrap();
            fs::write(folder.path().join("meet.env"), "TZ=UTC\n").unwrap();
            let path = folder.path().join("handover.json");
            let handover = handover.map(|handover| {
                fs::write(&path, serde_json::to_string(handover).unwrap()).unwrap();
                path
            });
            let fleet = Input { path: folder.path().join("fleet.yaml"), ..Input::default() };
            let (watcher, intake) =
                First::new(Source { fleet, handover }, clock()).read().unwrap_or_else(|_| panic!("it makes sense"));
            Self { folder, intake, _task: AbortOnDropHandle::new(tokio::spawn(watcher.run())) }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).unwrap();
        }

        /// As editors save.
        fn replace(&self, name: &str, text: &str) {
            self.write("draft", text);
            fs::rename(self.folder.path().join("draft"), self.folder.path().join(name)).unwrap();
        }

        /// What is told after so long, if anything is.
        async fn after(&mut self, seconds: u64) -> Option<Intake> {
            sleep(Duration::from_secs(seconds)).await;
            self.intake.has_changed().unwrap().then(|| self.intake.borrow_and_update().clone())
        }
    }

    fn clock() -> Clock {
        Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn bridges(intake: &Intake) -> String {
        format!("{:?}", intake.loaded.fleet.data.pools[0].bridges.replicas)
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_file_is_told_and_an_old_one_is_not() {
        let mut site = Site::new();
        assert!(site.after(60).await.is_none());
        site.replace("fleet.yaml", &FLEET.replace("replicas: 1", "replicas: 2"));
        let told = site.after(4).await.unwrap();
        assert!(bridges(&told).contains('2') && told.refused.is_none(), "{}", bridges(&told));
        site.replace("fleet.yaml", &FLEET.replace("replicas: 1", "replicas: 2"));
        assert!(site.after(60).await.is_none(), "the same content");
        site.write("meet.env", "TZ=Europe/Berlin\n");
        let told = site.after(4).await.unwrap();
        assert!(told.loaded.intent_text.contains("Europe/Berlin"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_makes_no_sense_keeps_the_last_good_one() {
        let mut site = Site::new();
        let before = Arc::clone(&site.intake.borrow().loaded);
        site.write("fleet.yaml", &FLEET.replace("shards", "shardz"));
        assert!(site.after(4).await.is_none(), "somebody may be writing");
        let told = site.after(6).await.unwrap();
        let refused = told.refused.unwrap();
        assert!(Arc::ptr_eq(&told.loaded, &before));
        assert!(refused.problems.iter().any(|problem| problem.contains("fleet.yaml:6:") && problem.contains("shardz")));
        assert!(site.after(60).await.is_none(), "said once");
        site.write("fleet.yaml", &FLEET.replace("url:", "uri:"));
        let other = site.after(10).await.unwrap().refused.unwrap();
        assert!(other.problems.iter().any(|problem| problem.contains("uri")), "{:?}", other.problems);
        site.write("fleet.yaml", FLEET);
        let told = site.after(4).await.unwrap();
        assert!(told.refused.is_none() && Arc::ptr_eq(&told.loaded, &before), "nothing new but that it is right again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_vanishes_for_a_moment_is_nobodys_business() {
        let mut site = Site::new();
        for name in ["fleet.yaml", "meet.env"] {
            let text = fs::read_to_string(site.folder.path().join(name)).unwrap();
            fs::remove_file(site.folder.path().join(name)).unwrap();
            assert!(site.after(4).await.is_none());
            site.write(name, &text);
            assert!(site.after(60).await.is_none());
            fs::remove_file(site.folder.path().join(name)).unwrap();
            let refused = site.after(10).await.unwrap().refused.unwrap();
            assert!(refused.problems[0].contains(name), "{:?}", refused.problems);
            site.write(name, &text);
            assert!(site.after(4).await.unwrap().refused.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mounted_config_map_is_swapped_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let second = FLEET.replace("replicas: 1", "replicas: 2");
        for (version, text, env) in [("..1", FLEET, "TZ=UTC\n"), ("..2", second.as_str(), "TZ=Asia/Tokyo\n")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("fleet.yaml"), text).unwrap();
            fs::write(at(version).join("meet.env"), env).unwrap();
        }
        let link = |to: &str, name: &str| symlink(to, at(name)).unwrap();
        link("..1", "..data");
        link("..data/fleet.yaml", "fleet.yaml");
        link("..data/meet.env", "meet.env");
        let (watcher, mut intake) = {
            let fleet = Input { path: at("fleet.yaml"), ..Input::default() };
            First::new(Source { fleet, handover: None }, clock()).read().unwrap_or_else(|_| panic!("it makes sense"))
        };
        let _task = AbortOnDropHandle::new(tokio::spawn(watcher.run()));
        link("..2", "..data_tmp");
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        intake.changed().await.unwrap();
        let told = intake.borrow_and_update().clone();
        assert!(bridges(&told).contains('2') && told.loaded.intent_text.contains("Asia/Tokyo"));
        sleep(Duration::from_secs(60)).await;
        assert!(!intake.has_changed().unwrap(), "one swap, one word");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_joins_is_followed_too_and_another_fleet_is_refused() {
        let mut site = Site::new();
        site.write("more.env", "TZ=Asia/Tokyo\n");
        site.write("fleet.yaml", &FLEET.replace("[meet.env]", "[meet.env, more.env]"));
        assert!(site.after(4).await.unwrap().loaded.intent_text.contains("Asia/Tokyo"));
        site.write("more.env", "TZ=Asia/Seoul\n");
        assert!(site.after(4).await.unwrap().loaded.intent_text.contains("Asia/Seoul"));
        site.write("fleet.yaml", &FLEET.replace("fleet: meet", "fleet: other"));
        let refused = site.after(10).await.unwrap().refused.unwrap();
        assert!(refused.problems[0].contains("another fleet, other"), "{:?}", refused.problems);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handover_that_is_written_anew_is_taken_and_a_bad_one_is_not() {
        let handed = |key: &str| Handover {
            version: 1,
            fleet: "meet".into(),
            since: clock().now(),
            expires: clock().now(),
            allocations: manifest::Allocations::default(),
            surroundings: manifest::Surroundings::default(),
            secrets: BTreeMap::from([("meet-passwords".into(), BTreeMap::from([("KEY".into(), key.into())]))]),
        };
        let mut site = Site::with(Some(&handed("first")));
        let key = |intake: &Intake| intake.handover.as_ref().unwrap().secrets["meet-passwords"]["KEY"].clone();
        assert_eq!(key(&site.intake.borrow_and_update()), "first");
        site.replace("handover.json", &serde_json::to_string(&handed("second")).unwrap());
        assert_eq!(key(&site.after(4).await.unwrap()), "second");
        site.replace("handover.json", "{ \"secrets\": \"sesame\" }");
        let told = site.after(10).await.unwrap();
        let problem = &told.refused.as_ref().unwrap().problems[0];
        assert!(problem.contains("it is no handover file (line 1") && !problem.contains("sesame"), "{problem}");
        assert_eq!(key(&told), "second", "the last good one stays in force");
    }
}
