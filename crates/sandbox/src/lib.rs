//! What a Kubernetes cluster needs beside its API server to run a Jitsi fleet, played in memory: a scheduler, nodes,
//! load balancers, and simulated Jitsi daemons. And whole clusters in memory, which need no other process at all.
//!
//! - [`World`] plays against any API server, also real ones with their own controllers.
//! - [`Sandbox`] is a world over API servers in memory, with their controllers, in real or in virtual time.
//! - [`fault`] is what goes wrong between a client and those API servers.
//!
//! The daemons are driven by nothing but what their pods really contain (resolved environment, mounted files) and reach
//! each other only by Services, EndpointSlices and addresses; so a wrong name, port, selector or password shows as a
//! bridge that does not join. What daemons answer over port-forward follows what was measured with the real ones.
//!
//! Nodes pull images, start containers, probe them (a probe succeeds as soon as its daemon serves), restart what ends,
//! wait for preStop hooks (modelled by their presence: bridges and recorders wait for their people) as long as the grace
//! period lasts, and can be lost. Not played: network policies, storage, resource limits, the text of start wrappers,
//! hooks and probes.

mod agent;
mod balancer;
mod cache;
mod certificate;
mod container;
pub mod controllers;
mod daemon;
mod error;
pub mod fault;
mod kubelet;
mod media;
mod network;
mod node;
pub mod people;
mod pod;
mod sandbox;
mod scheduler;
mod signal;
mod state;
mod status;
mod timing;
mod vessel;
mod way;
mod world;

pub use error::SandboxError;
pub use sandbox::{Sandbox, SandboxOptions};
pub use timing::{ByDaemon, Timing};
pub use world::{Census, ClusterAccess, DaemonInfo, Door, World};
