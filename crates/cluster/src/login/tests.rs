use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::join_all;
use tokio::time::{advance, sleep};

use super::*;

const NOW: &str = "2026-01-01T10:00:00Z";

/// What a made-up program does, and how often it was run.
#[derive(Default)]
struct Script {
    runs: AtomicUsize,
    /// How long what it gives is good for; none is given where this is `None`.
    lasting: Mutex<Option<Duration>>,
}

impl Script {
    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    fn gives(&self, lasting: Option<Duration>) {
        *self.lasting.lock().unwrap() = lasting;
    }
}

/// A program that takes 2 s.
fn login(lasting: Option<Duration>) -> (Arc<Login>, Arc<Script>) {
    let (clock, script) = (Clock::starting_at(NOW.parse().unwrap()), Arc::new(Script::default()));
    script.gives(lasting);
    let (own, time) = (Arc::clone(&script), clock.clone());
    let ask = move || {
        let (script, clock) = (Arc::clone(&own), time.clone());
        async move {
            let run = script.runs.fetch_add(1, Ordering::SeqCst) + 1;
            sleep(Duration::from_secs(2)).await;
            let lasting = script.lasting.lock().unwrap().ok_or("no luck")?;
            let token = Some(HeaderValue::try_from(format!("Bearer {run}")).unwrap());
            Ok(Credential { token, certificate: None, ends: Some(clock.now() + lasting) })
        }
        .boxed()
    };
    (Arc::new(Login::new(clock, Box::new(ask))), script)
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn however_many_wait_the_program_runs_once_and_its_answer_lasts() {
    let (login, script) = login(Some(HOUR));
    let all = join_all((0..50).map(|_| login.ready())).await;
    assert!(all.iter().all(|issue| issue.as_ref().unwrap().number == 1));
    for _ in 0..58 {
        advance(Duration::from_secs(60)).await;
        assert_eq!(login.ready().await.unwrap().number, 1);
    }
    assert_eq!(script.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn in_the_last_minute_another_is_made_while_requests_go_on() {
    let (login, script) = login(Some(HOUR));
    login.ready().await.unwrap();
    advance(HOUR - Duration::from_secs(59)).await;
    let begun = Instant::now();
    assert_eq!(login.ready().await.unwrap().number, 1);
    assert_eq!(begun.elapsed(), Duration::ZERO, "nobody waited");
    sleep(Duration::from_secs(3)).await;
    assert_eq!((login.ready().await.unwrap().number, script.runs()), (2, 2));
    assert_eq!(login.token().unwrap(), "Bearer 2", "what requests carry from now on");

    advance(HOUR - Duration::from_secs(5)).await;
    let begun = Instant::now();
    assert_eq!(login.ready().await.unwrap().number, 3);
    assert_eq!(begun.elapsed(), Duration::from_secs(2), "too late to go on with the last one");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_ends_no_run() {
    let (login, script) = login(Some(HOUR));
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(600), login.ready()).await.is_err());
    }
    assert_eq!((login.ready().await.unwrap().number, script.runs()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_fails_is_left_alone_for_a_while_and_what_is_good_stays_in_use() {
    let (login, script) = login(None);
    for _ in 0..100 {
        assert_eq!(login.ready().await.unwrap_err(), ErrorKind::Credentials("no luck".to_owned()));
    }
    assert_eq!(script.runs(), 1);
    script.gives(Some(HOUR));
    advance(REST).await;
    login.ready().await.unwrap();

    script.gives(None);
    advance(HOUR - Duration::from_secs(40)).await;
    for _ in 0..38 {
        login.ready().await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    assert!(script.runs() <= 2 + 4, "{}", script.runs());
    sleep(Duration::from_secs(3)).await;
    login.ready().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_program_that_gives_what_has_ended_is_not_asked_by_every_request() {
    let (login, script) = login(Some(Duration::ZERO));
    for _ in 0..60 {
        login.ready().await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(script.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_another_is_made_once_in_a_minute() {
    let (login, script) = login(Some(HOUR));
    let first = login.ready().await.unwrap().number;
    assert!(login.refused(first), "another one may be accepted");
    assert!(login.refused(first), "and so says everybody who was refused");
    let second = login.ready().await.unwrap().number;
    assert_eq!((second, script.runs()), (2, 2));
    assert!(login.refused(first), "who was refused late");
    assert!(!login.refused(second), "it is not the credential");
    assert_eq!((login.ready().await.unwrap().number, script.runs()), (2, 2));
    advance(ANEW).await;
    assert!(login.refused(second));
    assert_eq!((login.ready().await.unwrap().number, script.runs()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn connections_to_a_cluster_share_what_its_program_gave() {
    let logins = Logins::default();
    let (fra, sin): (ClusterName, ClusterName) = ("fra".parse().unwrap(), "sin".parse().unwrap());
    let program = |command: &str| {
        let exec = serde_json::from_value(serde_json::json!({ "command": command })).unwrap();
        Program::of(&exec, Duration::from_secs(30)).unwrap()
    };
    let first = logins.of(&fra, program("one"));
    assert!(Arc::ptr_eq(&first, &logins.clone().of(&fra, program("one"))));
    assert!(!Arc::ptr_eq(&first, &logins.of(&sin, program("one"))), "who is somebody else");
    assert!(!Arc::ptr_eq(&first, &logins.of(&fra, program("two"))));
}
