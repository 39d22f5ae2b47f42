//! Why something of the chart's is not taken over.

/// The reason for a key that has no place in a fleet file.
pub(super) fn why(path: &str) -> &'static str {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["nameOverride" | "fullnameOverride"] => "every object is named after `fleet`",
        ["jibri", ..] => "recorders are `recorders` of a pool, with storage for what they record",
        ["coturn", ..] => "a TURN server is none of the fleet's: name it with TURN_HOST and its like in `env`",
        ["global", "shards", _, "xmppServer" | "prosodyNodePorts" | "jvbWebsocketBasePorts", ..] => {
            "addresses and ports between components follow from control.xmpp"
        }
        ["jvb", "enabled"] => "bridges are what `data.pools` says; `apply --plane control` leaves them alone",
        ["prosody" | "jicofo" | "web" | "haproxy", "enabled"] => {
            "every fleet has it; `apply --plane data` leaves the control plane alone"
        }
        [_, "replicaCount"] => "each shard has one of it",
        [_, "image", "repository"] => "an image is taken over with its tag",
        [_, "image", "pullPolicy"] => "`pull_policy` is one for the whole fleet",
        [_, "extraFiles", ..] => "a custom file has a path, a text and a mode",
        [_, "ingress", "hosts", ..] => "the ingress answers for the host of `url`",
        [_, "ingress", "tls", ..] => "the ingress has one certificate, for the host of `url`",
        ["web", "service" | "ingress", ..] => "people come through haproxy",
        ["haproxy", "service", "nodePort"] => "Kubernetes chooses it",
        ["haproxy", "service", "annotations", ..] => "they belong to a Service of its own: `control.service`",
        ["haproxy", "service", ..] => "haproxy listens on the port that it is rendered with",
        ["prosody", "service", "annotations", ..] => "they belong to an address of its own: `control.xmpp`",
        ["prosody", "service", ..] => "addresses and ports between components follow from control.xmpp",
        ["jvb", "websocket", ..] => {
            "bridges' websockets are exposed as the control plane is, by its gateway or ingress"
        }
        ["jvb", "autoscaling", ..] => "bridges scale by the stress that they report: `bridges.scale`",
        ["jvb", "monitoring", ..] => "jvb has metrics of its own: say `monitoring: { enabled: true }`",
        ["jvb", "udp", ..] => "media reaches each bridge as `bridges.expose` says",
        _ => "it has no counterpart here",
    }
}
