//! Kinds that are missing, forbidden, broken or of no interest, and credentials that are not accepted.

use std::collections::BTreeSet;
use std::time::Duration;

use api_server::ApiError;
use cluster::{Cache, CacheState};
use manifest::Kind;
use sandbox::fault::{Fault, Which};
use tokio::time::sleep;

use super::HOUR;
use super::ground::{Ground, always, until};

/// A kind that is not installed costs a request in an hour, unless somebody waits for it.
#[tokio::test(start_paused = true)]
async fn a_kind_that_is_missing_is_asked_for_when_somebody_seeks_it() {
    const HOUR: Duration = Duration::from_secs(3600);
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    let asked = || ["podmonitors", "httproutes"].map(|of| cache.requests()[of].lists);
    assert_eq!(asked(), [1, 1]);
    sleep(HOUR).await;
    assert_eq!(asked(), [1, 1], "it is said that they are not there, once");
    cache.seek(BTreeSet::from([Kind::PodMonitor]));
    let before = asked();
    sleep(HOUR).await;
    let [monitors, routes] = asked();
    assert!((before[0] + 10..before[0] + 25).contains(&monitors), "{monitors} times in an hour");
    assert!(routes <= before[1] + 1, "{routes} times");
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_is_said_and_asked_again() {
    let ground = Ground::new(1).await;
    let message = "services is forbidden: User \"x\" cannot list resource \"services\" in API group \"\"";
    let refusal = Fault::Refuse(ApiError::new(403, "Forbidden", message));
    let forbidden = always(Which::Resource("services".to_owned()), refusal);
    ground.faults.set(forbidden.clone());
    let cache = ground.live(1).await;
    let (look, _) = cache.look().unwrap();
    let disturbed = ground.cluster.look(ground.fleet()).await.unwrap();
    assert_eq!(look.view.unreadable_kinds, disturbed.view.unreadable_kinds);
    assert!(look.view.unreadable_kinds.contains_key(&Kind::Service));
    assert!(look.view.missing_kinds.contains(&Kind::PodMonitor));
    ground.faults.set(Vec::new());
    ground.converge(&cache, Duration::from_secs(300)).await;

    // A right that is taken away.
    ground.faults.set(forbidden);
    ground.faults.cut_connections();
    until("it is said", Duration::from_secs(5), || {
        cache.look().unwrap().0.view.unreadable_kinds.contains_key(&Kind::Service)
    })
    .await;
    assert!(cache.look().unwrap().0.view.objects.keys().all(|object| object.kind != Kind::Service));
    assert_eq!(cache.state(), CacheState::Live);
    let asked = || cache.requests()["services"].lists;
    sleep(2 * HOUR).await;
    let before = asked();
    sleep(2 * HOUR).await;
    assert!((before + 1..=before + 2).contains(&asked()), "{} times in two hours", asked() - before);
    cache.seek(BTreeSet::from([Kind::Service]));
    sleep(2 * HOUR).await;
    let before = asked();
    sleep(HOUR).await;
    assert!((before + 10..before + 30).contains(&asked()), "{} times in an hour", asked() - before);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_needs_is_not_asked_for_before_somebody_seeks_it() {
    let ground = Ground::new(1).await;
    let needless = BTreeSet::from([Kind::Deployment, Kind::NetworkPolicy]);
    let clock = ground.sandbox.clock().clone();
    let cache = Cache::start(ground.cluster.clone(), ground.fleet().clone(), &needless, clock, 1);
    until("it is live", Duration::from_secs(10), || cache.state() == CacheState::Live).await;
    sleep(HOUR).await;
    let unreadable = || cache.look().unwrap().0.view.unreadable_kinds.into_keys().collect::<Vec<_>>();
    assert_eq!(unreadable(), [Kind::NetworkPolicy, Kind::Deployment], "unknown is not absent");
    assert!(!cache.requests().contains_key("deployments"));
    cache.seek(BTreeSet::from([Kind::Deployment]));
    until("it is read", Duration::from_secs(5), || unreadable() == [Kind::NetworkPolicy]).await;
    assert!(cache.look().unwrap().0.view.objects.keys().any(|object| object.kind == Kind::Deployment));
    cache.seek(BTreeSet::new());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(unreadable(), [Kind::NetworkPolicy], "and followed from then on");
}

/// As when the webhook is dead that converts a kind's objects.
#[tokio::test(start_paused = true)]
async fn an_add_on_that_is_broken_is_left_out_and_nothing_else_is() {
    let ground = Ground::new(1).await;
    let broken = |plural: &str| always(Which::Resource(plural.to_owned()), Fault::refusal(500));
    ground.faults.set(broken("ingresses"));
    let cache = ground.live(1).await;
    let unreadable = || cache.look().unwrap().0.view.unreadable_kinds.into_keys().collect::<Vec<_>>();
    assert_eq!(unreadable(), [Kind::Ingress], "it is not known what there is of it");
    ground.faults.set(Vec::new());
    ground.converge(&cache, Duration::from_secs(10)).await;
    assert!(unreadable().is_empty());

    ground.faults.set(broken("ingresses"));
    ground.faults.cut_connections();
    until("it is left out", Duration::from_secs(10), || unreadable() == [Kind::Ingress]).await;
    ground.faults.set(broken("services"));
    ground.faults.cut_connections();
    until("it is told", Duration::from_secs(10), || matches!(cache.state(), CacheState::Degraded { .. })).await;
    sleep(Duration::from_secs(600)).await;
    assert!(!unreadable().contains(&Kind::Service) && !cache.is_cut_off(), "what is known stays known");
    ground.faults.set(Vec::new());
    ground.converge(&cache, Duration::from_secs(300)).await;
}

/// An API server that has just started knows of no rights for a moment, and of no kinds that were added.
#[tokio::test(start_paused = true)]
async fn what_a_server_that_has_just_started_refuses_is_soon_asked_again() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    let forbidden = (403, "Forbidden", "services is forbidden: User \"x\" cannot watch resource \"services\"");
    let unknown = (404, "NotFound", "the server could not find the requested resource");
    for (code, reason, message) in [forbidden, unknown, forbidden] {
        sleep(Duration::from_secs(60)).await;
        let refusal = Fault::Refuse(ApiError::new(code, reason, message));
        ground.faults.set(always(Which::Resource("services".to_owned()), refusal));
        ground.faults.cut_connections();
        until("it is said", Duration::from_secs(5), || {
            let view = cache.look().unwrap().0.view;
            view.unreadable_kinds.contains_key(&Kind::Service) || view.missing_kinds.contains(&Kind::Service)
        })
        .await;
        cache.seek(BTreeSet::from([Kind::Service]));
        sleep(Duration::from_secs(2)).await;
        ground.faults.set(Vec::new());
        ground.converge(&cache, Duration::from_secs(8)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_not_accepted_are_told() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    ground.faults.set(always(Which::All, Fault::refusal(401)));
    ground.faults.cut_connections();
    let degraded = || matches!(cache.state(), CacheState::Degraded { .. });
    until("it is told", Duration::from_secs(3), degraded).await;
    sleep(HOUR).await;
    assert!(degraded() && cache.look().is_some(), "what is known stays known: {:?}", cache.state());
    ground.faults.heal();
    until("it is live", Duration::from_secs(60), || cache.state() == CacheState::Live).await;
    ground.converge(&cache, Duration::from_secs(5)).await;
}
