//! A daemon that is left alone beside real API servers on which something happens all the time: what it holds, minute by
//! minute.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};

use super::{
    ground::{Ground, SHARDS, change, ours},
    process,
    table::Table,
};
use xtask::shell::{Failure, Result};

const MINUTE: Duration = Duration::from_secs(60);
/// How long an API server is away.
const AWAY: Duration = Duration::from_secs(20);

pub(super) async fn measure(jitsictl: &Path, folder: &Path, minutes: usize) -> Result<Table<5>> {
    let ground = Ground::start(jitsictl, folder).await?;
    let daemon = ground.daemon()?;
    let objects = ours(&ground.testbed).await?;
    let mut table = Table::new(["after", "meanwhile", "memory", "open files", "threads"]);
    for minute in 1..=minutes {
        let begun = Instant::now();
        for number in 0..3 {
            let (api, name) = &objects[(minute * 3 + number) % objects.len()];
            change(api, name).await?;
        }
        let what = match minute % 3 {
            0 => {
                let cluster = &ground.testbed.clusters()[(minute / 3) % ground.testbed.clusters().len()];
                cluster.stop_apiserver();
                tokio::time::sleep(AWAY).await;
                cluster.start_apiserver().await?;
                format!("API server of {} away for {AWAY:?}", cluster.name())
            }
            1 => {
                let service = format!("kept-s{}-xmpp", minute % SHARDS);
                let address = format!("203.0.113.{}", 100 + minute);
                let moved = ground.world.set_load_balancer_address("hq", "kept", &service, vec![address]);
                moved.await.map_err(Failure::new)?;
                format!("{service} moves")
            }
            _ => {
                let pods = Api::<Pod>::namespaced(ground.testbed.cluster("hq")?.client().clone(), "kept");
                let listed = pods.list(&ListParams::default()).await.map_err(Failure::because("cannot list pods"))?;
                let name = listed.items[minute % listed.items.len()].name_any();
                pods.delete(&name, &DeleteParams::default()).await.map_err(Failure::because("cannot delete a pod"))?;
                format!("pod {name} is deleted")
            }
        };
        tokio::time::sleep(MINUTE.saturating_sub(begun.elapsed())).await;
        let (now, _) = daemon.memory()?;
        let (files, threads) = daemon.held()?;
        table.row([
            format!("{minute} min"),
            format!("3 changes by hand; {what}"),
            format!("{now:.1} MB"),
            files.to_string(),
            threads.to_string(),
        ]);
    }
    // All is well in the end, or it fails.
    tokio::time::sleep(MINUTE).await;
    let ended = tokio::task::block_in_place(|| process::run(&mut ground.command(&["status"])));
    ended.map_err(|failure| daemon.explained(failure))?;
    drop(daemon);
    ground.world.stop().await;
    Ok(table)
}
