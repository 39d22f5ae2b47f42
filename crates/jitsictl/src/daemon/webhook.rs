//! Webhooks: what a human must know, posted to where the fleet file or the command line says; signed, and retried.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use hmac::{Hmac, KeyInit as _, Mac as _};
use orchestrator::daemon::{Intake, State};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sha2::Sha256;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use fleet::SecretSource;

use super::alerts::{Alert, Watchman};

/// So often one alert is posted to one receiver at most.
const TRIES: u32 = 5;
/// The wait after the first try; each next one is five times as long.
const WAIT: Duration = Duration::from_secs(2);
/// One try takes no longer.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// So many alerts wait for one receiver; who comes then is left out.
const QUEUE: usize = 64;

/// A receiver.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) url: Url,
    pub(crate) secret: Option<SecretString>,
}

impl Hook {
    /// For messages: a URL may be a secret by itself.
    fn host(&self) -> &str {
        self.url.host_str().unwrap_or("?")
    }

    fn is(&self, other: &Self) -> bool {
        let bytes = |hook: &Self| hook.secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        self.url == other.url && bytes(self) == bytes(other)
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// The way out.
pub(super) trait Post: Clone + Send + Sync + 'static {
    /// Posts a letter, and gives the status of the answer.
    fn post(&self, letter: Letter) -> impl Future<Output = Result<u16, String>> + Send;
}

impl Post for reqwest::Client {
    async fn post(&self, letter: Letter) -> Result<u16, String> {
        let mut request = Self::post(self, letter.url).timeout(DEADLINE).body(letter.body);
        for (name, value) in letter.headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        Ok(answer.status().as_u16())
    }
}

#[derive(Serialize)]
struct Body<'a> {
    daemon: &'a str,
    #[serde(flatten)]
    alert: &'a Alert,
}

/// Tells every receiver what a human must know, for as long as there are states to judge. `own` are the command line's
/// receivers; those of the fleet file come and go with it.
pub(super) async fn run(
    own: Vec<Hook>,
    intake: watch::Receiver<Intake>,
    mut states: watch::Receiver<Arc<State>>,
    post: impl Post,
    (daemon, clock): (String, Clock),
) {
    let mut watchman = Watchman::default();
    let mut desks: Vec<Desk> = Vec::new();
    loop {
        let state = Arc::clone(&states.borrow_and_update());
        let alerts = watchman.look(&state, tokio::time::Instant::now(), clock.now());
        if !alerts.is_empty() {
            let wanted = own.iter().cloned().chain(of_file(&intake.borrow())).collect::<Vec<_>>();
            desks.retain(|desk| wanted.iter().any(|hook| hook.is(&desk.hook)));
            for hook in wanted {
                if !desks.iter().any(|desk| desk.hook.is(&hook)) {
                    desks.push(Desk::open(hook, post.clone(), clock.clone()));
                }
            }
        }
        for alert in alerts {
            let Ok(body) = serde_json::to_vec(&Body { daemon: &daemon, alert: &alert }) else { continue };
            desks.iter().for_each(|desk| desk.take(&alert, body.clone()));
        }
        let due = watchman.next();
        tokio::select! {
            biased;
            changed = states.changed() => if changed.is_err() { return },
            () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {}
        }
    }
}

/// The fleet file's receivers. One whose key is not at hand here is told nothing: it could not know who speaks.
fn of_file(intake: &Intake) -> Vec<Hook> {
    let hooks = intake.loaded.fleet.daemon.webhooks.iter().filter_map(|hook| {
        let secret = match &hook.secret {
            None => None,
            Some(SecretSource::Value(value)) => Some(value.clone()),
            Some(SecretSource::Missing { .. } | SecretSource::Existing { .. }) => {
                let host = hook.url.host_str();
                tracing::warn!(host, "a webhook's secret is not at hand: give it as {{ env: … }} or {{ file: … }}");
                return None;
            }
        };
        Some(Hook { url: hook.url.clone(), secret })
    });
    hooks.collect()
}

/// One receiver's letters: a slow one delays no other.
struct Desk {
    hook: Hook,
    queue: mpsc::Sender<(String, Vec<u8>)>,
    _task: AbortOnDropHandle<()>,
}

impl Desk {
    fn open(hook: Hook, post: impl Post, clock: Clock) -> Self {
        let (queue, mut waiting) = mpsc::channel::<(String, Vec<u8>)>(QUEUE);
        let theirs = hook.clone();
        let task = async move {
            while let Some((key, body)) = waiting.recv().await {
                deliver(&theirs, &post, &clock, &key, body).await;
            }
        };
        Self { hook, queue, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    fn take(&self, alert: &Alert, body: Vec<u8>) {
        if self.queue.try_send((alert.key.clone(), body)).is_err() {
            tracing::warn!(host = self.hook.host(), key = alert.key, "a webhook is too slow: it is not told");
        }
    }
}

async fn deliver(hook: &Hook, post: &impl Post, clock: &Clock, key: &str, body: Vec<u8>) {
    let host = hook.host();
    let mut wait = WAIT;
    for attempt in 1..=TRIES {
        let why = match post.post(letter(hook, clock, body.clone())).await {
            Ok(status) if (200..300).contains(&status) => {
                tracing::info!(host, key, "webhook told");
                return;
            }
            // It will not take this one, however often.
            Ok(status) if (300..500).contains(&status) && ![408, 425, 429].contains(&status) => {
                tracing::warn!(host, key, status, "webhook refused");
                return;
            }
            Ok(status) => format!("status {status}"),
            Err(why) => why,
        };
        tracing::warn!(host, key, attempt, why, "webhook not reached");
        if attempt < TRIES {
            sleep(wait).await;
            wait *= 5;
        }
    }
}

/// Signed anew for each try: receivers refuse what is old.
fn letter(hook: &Hook, clock: &Clock, body: Vec<u8>) -> Letter {
    let time = clock.now().as_second().to_string();
    let mut headers = vec![("content-type", "application/json".to_owned())];
    if let Some(secret) = &hook.secret
        && let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
    {
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(&body);
        let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        headers.push(("x-jitsictl-signature", format!("sha256={digits}")));
    }
    headers.push(("x-jitsictl-timestamp", time));
    Letter { url: hook.url.clone(), headers, body }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Mutex, PoisonError};

    use fleet::Plane;
    use orchestrator::daemon::{PlaneState, Refused};
    use serde_json::Value as Json;
    use tokio::time::Instant;

    use super::*;
    use crate::daemon::made_up;

    /// A receiver that answers as it was told to, and with 200 when it was told no more.
    #[derive(Clone, Default)]
    struct Stub {
        answers: Arc<Mutex<VecDeque<Result<u16, String>>>>,
        letters: Arc<Mutex<Vec<(Instant, Letter)>>>,
    }

    impl Post for Stub {
        async fn post(&self, letter: Letter) -> Result<u16, String> {
            self.letters.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), letter));
            self.answers.lock().unwrap().pop_front().unwrap_or(Ok(200))
        }
    }

    fn hook(secret: Option<&str>) -> Hook {
        Hook { url: "https://hooks.example.org/T000/secret-part".parse().unwrap(), secret: secret.map(Into::into) }
    }

    fn clock() -> Clock {
        Clock::starting_at(made_up::time())
    }

    async fn delivered(answers: Vec<Result<u16, String>>) -> Vec<u64> {
        let stub = Stub { answers: Arc::new(Mutex::new(answers.into())), ..Stub::default() };
        let begun = Instant::now();
        deliver(&hook(None), &stub, &clock(), "key", b"{}".to_vec()).await;
        let letters = stub.letters.lock().unwrap();
        letters.iter().map(|(at, _)| at.duration_since(begun).as_secs()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_help_is_tried_again_five_times_in_all() {
        let busy = || Ok(503);
        assert_eq!(delivered(vec![]).await, [0]);
        assert_eq!(delivered(vec![busy(), Err("no route".into())]).await, [0, 2, 12]);
        assert_eq!(delivered(vec![busy(); 9]).await, [0, 2, 12, 62, 312]);
        assert_eq!(delivered(vec![Ok(429), Ok(404)]).await, [0, 2], "a 404 stays one");
    }

    /// By RFC 4231's way of making them: checked with another implementation.
    #[tokio::test(start_paused = true)]
    async fn a_signature_covers_time_and_body() {
        let letter = letter(&hook(Some("key")), &clock(), b"{\"a\":1}".to_vec());
        let header = |wanted: &str| letter.headers.iter().find(|(name, _)| *name == wanted).map(|(_, v)| v.as_str());
        assert_eq!(header("x-jitsictl-timestamp"), Some("1767261600"));
        assert_eq!(
            header("x-jitsictl-signature"),
            Some("sha256=a6135d9fb1dff26635f07d496123fa0fdf3473685ea7179809b278c70cf8488e")
        );
        let unsigned = super::letter(&hook(None), &clock(), Vec::new());
        assert!(unsigned.headers.iter().all(|(name, _)| *name != "x-jitsictl-signature"));
    }

    #[tokio::test(start_paused = true)]
    async fn people_are_told_once_of_each_thing() {
        let (states, stub) = (watch::Sender::new(Arc::new(made_up::good())), Stub::default());
        let (_intake, intake) = watch::channel(made_up::intake());
        let hooks = vec![hook(Some("key"))];
        let task = tokio::spawn(run(hooks, intake, states.subscribe(), stub.clone(), ("one".into(), clock())));
        let publish = |change: &dyn Fn(&mut State)| {
            let mut state = made_up::good();
            change(&mut state);
            states.send_replace(Arc::new(state));
        };
        let since = made_up::time();
        for _ in 0..10 {
            publish(&|state| {
                state.intent.refused = Some(Refused { since, problems: vec!["unknown key".into()] });
                state.planes.insert(Plane::Data, PlaneState::Frozen { why: "no answer".into(), since });
            });
            sleep(Duration::from_secs(30)).await;
        }
        publish(&|_| {});
        sleep(Duration::from_secs(300)).await;
        drop(states);
        task.await.unwrap();
        let letters = stub.letters.lock().unwrap();
        let told: Vec<Json> = letters.iter().map(|(_, letter)| serde_json::from_slice(&letter.body).unwrap()).collect();
        let short: Vec<_> =
            told.iter().map(|told| (told["key"].as_str().unwrap(), told["state"].as_str().unwrap())).collect();
        let wanted = [
            ("intent_refused", "raised"),
            ("plane_frozen/data", "raised"),
            ("plane_frozen/data", "cleared"),
            ("intent_refused", "cleared"),
        ];
        assert_eq!(short, wanted);
        assert_eq!(told[0]["daemon"], "one");
        assert_eq!(told[0]["fleet"], "meet");
        assert_eq!(told[0]["detail"][0], "unknown key");
    }
}
