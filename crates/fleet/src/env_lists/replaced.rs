//! Variables that the images no longer read, and what took their place.

use crate::Era;

const WEBSOCKETS: &str =
    "colibri websockets left the images with stable-11146; the bridge channel now runs over the media port";
const SCTP: &str = "since stable-11146 the bridge channel always runs over SCTP";
const COMPOSE: &str = "it is for docker-compose itself, no image reads it";

/// Gone with the rootless images.
const GONE: [(&str, &str); 14] = [
    ("JVB_WS_DOMAIN", WEBSOCKETS),
    ("JVB_WS_SERVER_ID", WEBSOCKETS),
    ("JVB_WS_TLS", WEBSOCKETS),
    ("ENABLE_COLIBRI_WEBSOCKET", WEBSOCKETS),
    ("ENABLE_COLIBRI_WEBSOCKET_UNSAFE_REGEX", WEBSOCKETS),
    ("COLIBRI_WEBSOCKET_REGEX", WEBSOCKETS),
    ("COLIBRI_WEBSOCKET_PORT", WEBSOCKETS),
    ("COLIBRI_WEBSOCKET_JVB_LOOKUP_NAME", WEBSOCKETS),
    ("DISABLE_COLIBRI_WEBSOCKET_JVB_LOOKUP", WEBSOCKETS),
    ("ENABLE_SCTP", SCTP),
    ("ENABLE_OCTO_SCTP", SCTP),
    ("JVB_TCP_HARVESTER_DISABLED", "bridges have no media over TCP any more; use a TURN server"),
    ("JVB_TCP_PORT", "bridges have no media over TCP any more; use a TURN server"),
    ("ENABLE_ICE_RESTART", "it is newer than this release"),
];

/// Read by neither era.
const DEAD: [(&str, &str); 13] = [
    ("CONFIG", COMPOSE),
    ("RESTART_POLICY", COMPOSE),
    ("JITSI_IMAGE_VERSION", "set `release`"),
    ("JICOFO_COMPONENT_SECRET", "jicofo logs in with JICOFO_AUTH_PASSWORD, which is made for you"),
    ("JICOFO_AUTH_USER", "jicofo's user is always `focus`"),
    ("TESTING_CAP_SCREENSHARE_BITRATE", "it left the images long ago"),
    ("TESTING_OCTO_PROBABILITY", "it left the images long ago"),
    ("JIGASI_TRUSTED_DOMAINS", "the images list it but don't read it"),
    ("ENABLE_STATS_ID", "the images list it but don't read it"),
    ("BWE_ESTIMATOR_ENGINE", "the images list it but don't read it"),
    ("ENABLE_VLA", "the images list it but don't read it"),
    ("DISABLE_CERTIFICATE_VERIFICATION", "it left the images long ago"),
    ("XMPP_CROSS_DOMAIN", "it left the images long ago"),
];

/// What became of that variable, if it is known.
pub(crate) fn replaced(era: Era, name: &str) -> Option<&'static str> {
    let gone = GONE.iter().filter(|_| era == Era::Rootless);
    gone.chain(&DEAD).find(|(known, _)| *known == name).map(|(_, what)| *what)
}
