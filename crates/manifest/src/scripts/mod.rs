//! Shell texts that run inside containers. What each reads from its environment stands at its head.

/// Starts a bridge: address, configuration, init. Bash.
pub const JVB_START: &str = include_str!("jvb-start.sh");
/// Drains a bridge and waits until it is empty. Bash, curl, jq.
pub const JVB_PRESTOP: &str = include_str!("jvb-prestop.sh");
/// Lets a recorder finish. Bash, curl, jq.
pub const JIBRI_PRESTOP: &str = include_str!("jibri-prestop.sh");
/// Fails when a recorder has to be started anew. Bash, curl, jq.
pub const JIBRI_LIVENESS: &str = include_str!("jibri-liveness.sh");
/// Runs haproxy and reloads it when its file changes. POSIX sh.
pub const HAPROXY_START: &str = include_str!("haproxy-start.sh");
