//! Our own last writes are waited for.

use std::time::Duration;

use fleet::Plane;
use manifest::labels;
use tokio::time::sleep;

use super::ground::{Ground, lists, shown, until};

#[tokio::test(start_paused = true)]
async fn our_own_writes_are_waited_for() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    sleep(Duration::from_secs(30)).await;
    let before = lists(&cache);
    let object = ground.config_map();
    assert!(cache.caught_up());
    for value in ["a", "b"] {
        let written = ground.write(value).await;
        cache.wrote(&object, &written.version);
        let took = until("it is seen", Duration::from_secs(2), || cache.caught_up()).await;
        assert!(took < Duration::from_millis(100), "{took:?}");
        assert_eq!(shown(&cache, &object).as_deref(), Some(value));
    }

    // A watch that is late.
    ground.faults.partition();
    let written = ground.write("late").await;
    cache.wrote(&object, &written.version);
    ground.admin.delete(&object, &written.uid, None).await.unwrap();
    cache.deleted(&object, &written.uid);
    sleep(Duration::from_secs(5)).await;
    assert!(!cache.caught_up());
    ground.faults.heal();
    until("it is seen", Duration::from_secs(5), || cache.caught_up()).await;
    assert_eq!(shown(&cache, &object), None);
    assert_eq!(lists(&cache), before);

    // What no watch will ever show.
    let newest = written.version.parse::<u64>().unwrap() + 1_000_000;
    let mut changes = cache.subscribe();
    changes.mark_unchanged();
    cache.wrote(&object, &newest.to_string());
    sleep(Duration::from_secs(5)).await;
    assert!(!cache.caught_up());
    let took = until("it is confirmed", Duration::from_secs(10), || cache.caught_up()).await;
    assert!(took > Duration::from_secs(4), "{took:?}");
    assert!(changes.has_changed().unwrap(), "and that is news");
    assert_eq!(lists(&cache), before + 1);
}

#[tokio::test(start_paused = true)]
async fn pods_that_we_change_or_delete_are_waited_for() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    until("pods run", Duration::from_secs(600), || cache.look().unwrap().0.view.pods.len() > 2).await;
    let pod = cache.look().unwrap().0.view.pods.into_values().next().unwrap();
    // The watch is late.
    ground.faults.partition();
    let drain = r#"{"reason":"replace","since":"2026-01-01T00:00:00Z"}"#;
    let version =
        ground.admin.annotate_pod(Plane::Data, &pod.name, &pod.uid, labels::DRAIN, Some(drain)).await.unwrap();
    cache.wrote_pod(&pod.name, &version);
    sleep(Duration::from_secs(5)).await;
    assert!(!cache.caught_up());
    ground.faults.heal();
    until("it is seen", Duration::from_secs(5), || cache.caught_up()).await;
    assert!(cache.look().unwrap().0.view.pods[&pod.name].drain.is_some());

    ground.admin.delete_pod(&pod.name, &pod.uid, None).await.unwrap();
    cache.deleted_pod(&pod.name, &pod.uid);
    until("it is seen", Duration::from_secs(2), || cache.caught_up()).await;
    let (look, _) = cache.look().unwrap();
    let now = look.view.pods.get(&pod.name);
    assert!(now.is_none_or(|now| now.uid != pod.uid || now.phase == plan::PodPhase::Terminating));
}
