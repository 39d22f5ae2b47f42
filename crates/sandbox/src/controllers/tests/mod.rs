//! Whole clusters: an API server, the controllers, and a kubelet that only marks pods ready.

mod cluster;
mod deployments;
mod housekeeping;
mod machines;
mod services;
mod stateful_sets;
