//! What a cluster's controller manager does, for clusters in memory.
//!
//! One loop per cluster runs all controllers (`runner`); each of them is woken by changes and brings one object at a
//! time nearer to what it should be. Everything is deterministic: keys are looked at in their order, and only tokio's
//! timer delays anything.

mod budget;
mod claims;
mod context;
mod deployment;
mod endpoints;
mod garbage;
mod labels;
mod namespace;
mod nodes;
mod object;
mod pods;
mod queue;
mod quota;
mod replica_set;
mod runner;
mod stateful_set;
mod store;
#[cfg(test)]
mod tests;

use api_server::kinds::{EVENT, KINDS, LEASE};
use api_server::{ApiServer, Kind};
use clock::Clock;
use tokio_util::sync::CancellationToken;

use runner::{Controller, Runner};

/// Runs all controllers of a cluster until they are stopped. Timestamps come from `clock`, delays from tokio's timer.
pub async fn run(server: ApiServer, clock: Clock, stop: CancellationToken) {
    let controllers: Vec<Box<dyn Controller>> = vec![
        Box::new(namespace::Namespaces),
        Box::new(deployment::Deployments),
        Box::new(replica_set::ReplicaSets),
        Box::new(stateful_set::StatefulSets),
        Box::new(claims::Claims),
        Box::new(endpoints::EndpointSlices),
        Box::new(budget::Budgets),
        Box::new(quota::Quotas),
        Box::new(nodes::Heartbeats::default()),
        Box::new(nodes::Evictions::default()),
        Box::new(nodes::Strays::default()),
        Box::new(garbage::Garbage),
    ];
    // Nothing that matters owns or is an Event or a Lease, and both change all the time.
    let watched: Vec<&'static Kind> = KINDS.iter().copied().filter(|kind| *kind != &EVENT && *kind != &LEASE).collect();
    Runner::new(server, clock, controllers).run(&watched, stop).await;
}
