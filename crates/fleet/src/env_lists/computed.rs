//! Variables that jitsictl sets itself, and the key of the fleet file that decides them.

/// Name → what to write instead.
const COMPUTED: [(&str, &str); 36] = [
    ("XMPP_SERVER", "it follows from the shards"),
    ("XMPP_PORT", "it follows from the shards"),
    ("XMPP_SERVER_S2S_PORT", "it follows from the shards"),
    ("XMPP_BOSH_URL_BASE", "it follows from the shards"),
    ("PUBLIC_URL", "set `url`"),
    ("XMPP_DOMAIN", "set `domains.main`"),
    ("XMPP_AUTH_DOMAIN", "set `domains.auth`"),
    ("XMPP_MUC_DOMAIN", "set `domains.muc`"),
    ("XMPP_INTERNAL_MUC_DOMAIN", "set `domains.internal_muc`"),
    ("XMPP_GUEST_DOMAIN", "set `domains.guest`"),
    ("XMPP_HIDDEN_DOMAIN", "set `domains.hidden`"),
    ("XMPP_RECORDER_DOMAIN", "set `domains.hidden`"),
    ("JVB_PORT", "set `bridges.base_port` of the pool"),
    ("JVB_MUC_NICKNAME", "it is `<cluster>-<pod>`, so that no two bridges share one"),
    ("JVB_INSTANCE_ID", "it is `<cluster>-<pod>`, so that no two bridges share one"),
    ("JVB_OCTO_RELAY_ID", "it is `<cluster>-<pod>`, so that no two bridges share one"),
    ("JVB_OCTO_REGION", "set `region` of the cluster"),
    ("JVB_OCTO_BIND_ADDRESS", "it follows from the pod"),
    ("JVB_ADVERTISE_IPS", "set `bridges.advertise` of the pool"),
    ("DOCKER_HOST_ADDRESS", "set `bridges.advertise` of the pool"),
    ("LOCAL_ADDRESS", "it follows from the pod"),
    ("HOSTNAME", "it follows from the pod"),
    ("JVB_DISABLE_XMPP", "the bridges' XMPP servers are a mounted file"),
    ("JVB_COLIBRI_PORT", "jitsictl talks to the port that the image has"),
    ("COLIBRI_REST_ENABLED", "drains and the proof that a bridge has joined need it"),
    ("SHUTDOWN_REST_ENABLED", "bridges are emptied before they stop"),
    ("JVB_WS_DOMAIN", "set `bridges.websocket.host` of the pool"),
    ("JVB_WS_SERVER_ID", "it follows from the bridge"),
    ("JIBRI_INSTANCE_ID", "it is `<cluster>-<pod>`, so that no two recorders share one"),
    ("DISABLE_HTTPS", "certificates belong to the gateway or ingress in front"),
    ("ENABLE_LETSENCRYPT", "certificates belong to the gateway or ingress in front"),
    ("ENABLE_HTTP_REDIRECT", "redirects belong to the gateway or ingress in front"),
    ("PROSODY_MODE", "every prosody of a shard serves clients"),
    ("HTTP_PORT", "ports belong to the gateway or ingress in front"),
    ("HTTPS_PORT", "ports belong to the gateway or ingress in front"),
    ("JVB_ENABLE_APIS", "bridges get the interfaces that jitsictl needs"),
];

/// What decides that variable instead, if jitsictl computes it.
pub(crate) fn computed(name: &str) -> Option<&'static str> {
    COMPUTED.iter().find(|(known, _)| *known == name).map(|(_, instead)| *instead)
}

/// Passwords between components: made once, never taken from a pod's own environment.
const MADE: [&str; 4] = ["JICOFO_AUTH_PASSWORD", "JVB_AUTH_PASSWORD", "JIBRI_XMPP_PASSWORD", "JIBRI_RECORDER_PASSWORD"];

/// Whether it is a password that jitsictl makes and keeps itself.
#[must_use]
pub fn is_made(name: &str) -> bool {
    MADE.contains(&name)
}
