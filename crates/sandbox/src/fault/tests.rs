//! Faults as a Kubernetes client meets them.

use std::{sync::Arc, time::Duration};

use api_server::{ApiServer, Options, http::Hooks};
use clock::Clock;
use kube::Client;
use tokio::time::{Instant, timeout};

use super::*;
use crate::way::{self, Way};

fn client(faults: &Faults) -> Client {
    let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
    let server = ApiServer::new(Options { name: "hq".to_owned(), clock, seed: 1, custom_kinds: false });
    let gate: Arc<dyn Gate> = Arc::new(faults.clone());
    let hooks = Hooks { gate: Some(gate), ..Hooks::default() };
    way::client("hq", Way::new(server, hooks).through(faults.clone()), "test").unwrap()
}

fn always(fault: Fault) -> Vec<Rule> {
    vec![Rule { which: Which::All, chance: 1.0, fault }]
}

/// The code of a refusal; 0 for an answer, -1 for none at all, -2 for a connection that broke.
async fn ask(client: &Client) -> i32 {
    match timeout(Duration::from_secs(3600), client.apiserver_version()).await {
        Ok(Ok(_)) => 0,
        Ok(Err(kube::Error::Api(status))) => i32::from(status.code),
        Ok(Err(_)) => -2,
        Err(_) => -1,
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_shows_as_what_it_is() {
    let faults = Faults::new(1);
    let client = client(&faults);
    assert_eq!(ask(&client).await, 0);
    for code in [401, 403, 409, 410, 429, 500, 503] {
        faults.set(always(Fault::refusal(code)));
        assert_eq!(ask(&client).await, i32::from(code));
    }
    faults.set(always(Fault::ResetBefore));
    assert_eq!(ask(&client).await, -2);
    faults.set(always(Fault::Hang));
    assert_eq!(ask(&client).await, -1);
    faults.set(always(Fault::Delay(Duration::from_secs(5), Duration::from_secs(5))));
    let begun = Instant::now();
    assert_eq!(ask(&client).await, 0);
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    let counts = faults.counts();
    assert_eq!((counts.refused, counts.hung, counts.delayed), (7, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_goes_down_and_comes_back_and_so_does_the_way_to_it() {
    let faults = Faults::new(1);
    let client = client(&faults);
    assert_eq!(ask(&client).await, 0);
    faults.set_down(true);
    assert_eq!(ask(&client).await, -2);
    faults.heal();
    assert_eq!(ask(&client).await, 0);
    faults.partition();
    assert_eq!(ask(&client).await, -1);
    faults.heal();
    assert_eq!(ask(&client).await, 0);
    faults.partition_with_resets();
    assert_eq!(ask(&client).await, -2);
    faults.heal();
    faults.set(vec![Rule { which: Which::Number(faults.counts().requests + 1), chance: 1.0, fault: Fault::HalfOpen }]);
    assert_eq!(ask(&client).await, -1);
    assert_eq!(ask(&client).await, 0, "new connections are as they were");
}

#[tokio::test(start_paused = true)]
async fn who_is_killed_hears_nothing_more() {
    let kill = Arc::new(KillPoint::new(2, Moment::After));
    let faults = Faults::killed_at(1, Arc::clone(&kill));
    let client = client(&faults);
    assert_eq!(ask(&client).await, 0);
    tokio::select! {
        biased;
        () = kill.reached() => {}
        code = ask(&client) => panic!("{code}"),
    }
    assert_eq!(ask(&client).await, -1);
    assert_eq!(kill.requests(), 2);
}
