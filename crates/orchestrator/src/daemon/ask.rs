//! Asking Jitsi daemons again and again, beside the rounds: a task for each, whose last answer is read without waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clock::Clock;
use cluster::Cluster;
use jiff::Timestamp;
use jitsi_api::haproxy::Console;
use jitsi_api::{Line, jicofo};
use plan::{Given, Known, Seen, SlotView, Source};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::execute::DAEMON_DEADLINE;
use crate::look::{JICOFO_PORT, ask_proxy, open_console, slot_view, unknown};
use crate::report::ServerStatus;

/// The tasks that ask one kind of daemon.
pub(crate) struct Desk<V> {
    asked: Mutex<BTreeMap<Key, Entry<V>>>,
    /// Asked for since the last sweep.
    wanted: Mutex<BTreeSet<Key>>,
}

/// Cluster, UID and connection: another pod of that name has said nothing yet.
type Key = (String, String, u64);

struct Entry<V> {
    answer: Arc<Mutex<Known<V>>>,
    _task: AbortOnDropHandle<()>,
}

/// What all of them share.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) clock: Clock,
    /// The time between two questions.
    pub(crate) pace: watch::Receiver<Duration>,
    /// Told when an answer differs from the one before.
    pub(crate) news: Arc<Notify>,
    /// Told when somebody who is waited for says the same again: that may be what was waited for.
    pub(crate) again: Arc<Notify>,
}

impl<V> Default for Desk<V> {
    fn default() -> Self {
        Self { asked: Mutex::default(), wanted: Mutex::default() }
    }
}

impl<V: Clone + PartialEq + Send + 'static> Desk<V> {
    /// The last answer of a pod's daemon. From now on it is asked, until a round passes that does not want to know.
    pub(crate) fn last<A>(&self, pod: &Given, connection: u64, manner: &Manner, asking: impl FnOnce() -> A) -> Known<V>
    where
        A: Asking<V>,
    {
        let key = (pod.cluster.to_string(), pod.uid.clone(), connection);
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = asked.entry(key).or_insert_with(|| {
            let answer = Arc::new(Mutex::new(unknown(format!("pod {} was not asked yet", pod.pod))));
            let task = tokio::spawn(ask_on(asking(), Arc::clone(&answer), manner.clone()));
            Entry { answer, _task: AbortOnDropHandle::new(task) }
        });
        entry.answer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends what nobody has asked for since the last time.
    pub(crate) fn sweep(&self) {
        let wanted = std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| wanted.contains(key));
    }
}

/// A way to ask one daemon, with what it keeps between two questions.
pub(crate) trait Asking<V>: Send + 'static {
    /// Asks once.
    fn ask(&mut self, asked: Timestamp) -> impl Future<Output = Known<V>> + Send;
}

async fn ask_on<V: PartialEq>(mut asking: impl Asking<V>, answer: Arc<Mutex<Known<V>>>, mut manner: Manner) {
    loop {
        let now = asking.ask(manner.clock.now()).await;
        let mut pace = *manner.pace.borrow_and_update();
        let differs = {
            let mut last = answer.lock().unwrap_or_else(PoisonError::into_inner);
            let differs = match (&*last, &now) {
                (Known::Yes(last), Known::Yes(now)) => last.value != now.value,
                (Known::Unknown { why: last }, Known::Unknown { why: now }) => last != now,
                _ => true,
            };
            *last = now;
            differs
        };
        if differs {
            manner.news.notify_one();
        } else if pace <= SOON {
            manner.again.notify_one();
        }
        let heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = sleep_until(heard + pace) => break,
                changed = manner.pace.changed() => if changed.is_err() { return },
            }
            pace = *manner.pace.borrow_and_update();
        }
    }
}

/// Who asks at least this often waits for an answer.
const SOON: Duration = Duration::from_secs(2);

/// A jicofo, over one stream for as long as that lasts.
pub(crate) struct Jicofo {
    pub(crate) cluster: Cluster,
    pub(crate) pod: String,
    pub(crate) line: Option<Line>,
}

impl Asking<SlotView> for Jicofo {
    async fn ask(&mut self, asked: Timestamp) -> Known<SlotView> {
        // A stream that was idle may have ended meanwhile: that is no answer, and a new one is worth a try.
        if let Some(mut line) = self.line.take()
            && let Ok(debug) = jicofo::debug_on(&mut line, DAEMON_DEADLINE).await
        {
            self.line = Some(line);
            return seen(debug, asked);
        }
        let stream = match self.cluster.port_forward(&self.pod, JICOFO_PORT).await {
            Ok(stream) => stream,
            Err(error) => return unknown(error.to_string()),
        };
        let mut line = match Line::open(stream).await {
            Ok(line) => line,
            Err(why) => return unknown(format!("pod {}: {why}", self.pod)),
        };
        match jicofo::debug_on(&mut line, DAEMON_DEADLINE).await {
            Ok(debug) => {
                self.line = Some(line);
                seen(debug, asked)
            }
            Err(error) => unknown(format!("pod {}: {error}", self.pod)),
        }
    }
}

fn seen(debug: jicofo::JicofoDebug, asked: Timestamp) -> Known<SlotView> {
    Known::Yes(Seen { value: slot_view(debug), source: Source::Jicofo, as_of: asked })
}

/// A proxy of the entrance, over one console for as long as that lasts.
pub(crate) struct Proxy {
    pub(crate) cluster: Cluster,
    pub(crate) pod: String,
    pub(crate) console: Option<Console>,
}

impl Asking<Vec<ServerStatus>> for Proxy {
    async fn ask(&mut self, asked: Timestamp) -> Known<Vec<ServerStatus>> {
        // As with a jicofo: what was idle may have ended.
        if let Some(mut console) = self.console.take()
            && let known @ Known::Yes(_) = ask_proxy(&mut console, &self.pod, asked).await
        {
            self.console = Some(console);
            return known;
        }
        match open_console(&self.cluster, &self.pod).await {
            Ok(mut console) => {
                let known = ask_proxy(&mut console, &self.pod, asked).await;
                self.console = Some(console).filter(|_| known.value().is_some());
                known
            }
            Err(why) => unknown(why),
        }
    }
}

/// A bridge or a recorder: asked rarely, over a stream each time.
pub(crate) struct Once<F>(pub(crate) F);

impl<V, F, A> Asking<V> for Once<F>
where
    F: FnMut(Timestamp) -> A + Send + 'static,
    A: Future<Output = Known<V>> + Send,
{
    fn ask(&mut self, asked: Timestamp) -> impl Future<Output = Known<V>> + Send {
        (self.0)(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manner(pace: watch::Receiver<Duration>) -> Manner {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        Manner { clock, pace, news: Arc::default(), again: Arc::default() }
    }

    fn given(uid: &str) -> Given {
        Given { cluster: "fra".parse().unwrap(), pod: "meet-jvb-eu-0-0".into(), uid: uid.into() }
    }

    fn said(value: u32, asked: Timestamp) -> Known<u32> {
        Known::Yes(Seen { value, source: Source::Daemon, as_of: asked })
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_read_without_waiting_and_asked_for_at_the_pace() {
        let (pace, paced) = watch::channel(Duration::from_secs(15));
        let manner = manner(paced);
        let desk = Desk::default();
        let count = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&count);
        let asking = move || {
            Once(move |asked| {
                *counted.lock().unwrap() += 1;
                std::future::ready(said(7, asked))
            })
        };
        assert!(matches!(desk.last(&given("u"), 1, &manner, asking), Known::Unknown { .. }));
        manner.news.notified().await;
        let nothing_new = || Once(|asked| std::future::ready(said(8, asked)));
        assert!(matches!(desk.last(&given("u"), 1, &manner, nothing_new), Known::Yes(seen) if seen.value == 7));
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(*count.lock().unwrap(), 5, "at once, and every 15 s");
        pace.send_replace(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        assert_eq!(*count.lock().unwrap(), 9, "at once again, and every second");
        desk.sweep();
        desk.sweep();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(*count.lock().unwrap(), 9, "nobody wants to know");
    }

    #[tokio::test(start_paused = true)]
    async fn another_pod_of_the_name_has_said_nothing_yet() {
        let (_pace, paced) = watch::channel(Duration::from_secs(15));
        let (manner, desk) = (manner(paced), Desk::default());
        desk.last(&given("old"), 1, &manner, || Once(|asked| std::future::ready(said(1, asked))));
        manner.news.notified().await;
        let new = desk.last(&given("new"), 1, &manner, || Once(|asked| std::future::ready(said(2, asked))));
        assert!(matches!(new, Known::Unknown { .. }));
    }
}
