//! What a Kubernetes cluster needs beside its API server and controllers to run a Jitsi fleet, played in memory: a
//! scheduler, nodes, load balancers, and simulated Jitsi daemons.
//!
//! It works against any API server. The daemons are driven by nothing but what their pods really contain (resolved
//! environment, mounted files) and reach each other only by Services, EndpointSlices and addresses; so a wrong name,
//! port, selector or password shows as a bridge that does not join. What daemons answer over port-forward follows what
//! was measured with the real ones.
//!
//! Not played: network policies, storage, probes (a daemon that started is ready), resource limits, and the text of
//! start wrappers and hooks (a preStop hook is modelled by its presence: bridges and recorders wait for their people).

mod agent;
mod balancer;
mod cache;
mod container;
mod daemon;
mod error;
mod kubelet;
mod network;
mod node;
mod pod;
mod scheduler;
mod signal;
mod state;
mod status;
mod timing;
mod world;

pub use error::SandboxError;
pub use timing::Timing;
pub use world::{ClusterAccess, DaemonInfo, World};
