//! A video bridge: its load, its drain, and the XMPP servers it is joined to. REST on port 8080.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::http::{Ask, Stream};
use crate::{ApiError, Daemon, Password, Version};

/// What `/colibri/stats` says (COLIBRI_REST_ENABLED). Computed by the bridge every five seconds; the counts of
/// conferences and local endpoints follow events.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Stats {
    /// Conferences that have somebody on this bridge.
    pub conferences: u64,
    /// People whose media this bridge itself carries: zero together with `conferences` means empty.
    pub local_endpoints: u64,
    /// Whether it asked for no new conferences.
    pub drain: bool,
    /// Load: 1 is full.
    #[serde(default)]
    pub stress_level: Option<f64>,
    /// XMPP servers it should be joined to.
    pub muc_clients_configured: u64,
    /// XMPP servers it is logged in to.
    pub muc_clients_connected: u64,
    /// Brewery rooms it should be in.
    #[serde(default)]
    pub mucs_configured: Option<u64>,
    /// Brewery rooms it is in.
    pub mucs_joined: u64,
    /// Its version.
    #[serde(default)]
    pub version: Option<String>,
    /// Its region; only with relays on.
    #[serde(default)]
    pub region: Option<String>,
    /// Its relay id; only with relays on.
    #[serde(default)]
    pub relay_id: Option<String>,
    /// Whether it refuses new conferences for good.
    #[serde(default)]
    pub graceful_shutdown: bool,
    /// Whether it leaves within a minute.
    #[serde(default)]
    pub shutting_down: bool,
}

impl Stats {
    /// Whether nobody is on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.local_endpoints == 0 && self.conferences == 0
    }
}

#[derive(Deserialize)]
struct DrainState {
    drain: bool,
}

/// An XMPP server to join at run time. The bridge forgets it when it restarts, and passes over an `add` whose id, host,
/// port, domain and user it has, whatever the password: a new password needs a removal first.
#[derive(Clone)]
pub struct MucClient {
    /// The name of the entry, the same as in the bridge's configuration.
    pub id: String,
    /// Where the server is.
    pub hostname: String,
    /// Its port.
    pub port: u16,
    /// The XMPP domain to log in at.
    pub domain: String,
    /// The user.
    pub username: String,
    /// Its password.
    pub password: Password,
    /// The brewery rooms to join.
    pub muc_jids: Vec<String>,
    /// Our name in them: unique among all clusters.
    pub muc_nickname: String,
    /// Whether the server's certificate must be valid for the domain.
    pub verify_certificate: bool,
}

impl fmt::Debug for MucClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "MucClient({} at {}:{})", self.id, self.hostname, self.port)
    }
}

impl MucClient {
    /// Every value is a string: the bridge passes over others without a word.
    fn body(&self) -> Vec<u8> {
        json!({
            "id": self.id,
            "hostname": self.hostname,
            "port": self.port.to_string(),
            "domain": self.domain,
            "username": self.username,
            "password": self.password.expose(),
            "muc_jids": self.muc_jids.join(","),
            "muc_nickname": self.muc_nickname,
            "disable_certificate_verification": (!self.verify_certificate).to_string(),
        })
        .to_string()
        .into_bytes()
    }
}

/// Its load and its state.
///
/// # Errors
/// When the bridge does not answer as expected; 404 when its REST interface is off.
pub async fn stats(stream: impl Stream, deadline: Duration) -> Result<Stats, ApiError> {
    Ask::get(Daemon::Jvb, "/colibri/stats", deadline).read(stream).await
}

/// Whether it is drained.
///
/// # Errors
/// When the bridge does not answer as expected.
pub async fn drain_state(stream: impl Stream, deadline: Duration) -> Result<bool, ApiError> {
    let state: DrainState = Ask::get(Daemon::Jvb, "/colibri/drain", deadline).read(stream).await?;
    Ok(state.drain)
}

/// Drains it or takes the drain back. Every jicofo sees it some seconds later.
///
/// # Errors
/// When the bridge does not answer as expected.
pub async fn set_drain(stream: impl Stream, drain: bool, deadline: Duration) -> Result<(), ApiError> {
    let path = if drain { "/colibri/drain/enable" } else { "/colibri/drain/disable" };
    Ask::post(Daemon::Jvb, path, deadline).send(stream).await.map(drop)
}

/// The ids of the XMPP servers it was told to join, by file or by request.
///
/// # Errors
/// When the bridge does not answer as expected.
pub async fn muc_clients(stream: impl Stream, deadline: Duration) -> Result<BTreeSet<String>, ApiError> {
    Ask::get(Daemon::Jvb, "/colibri/muc-client/list", deadline).read(stream).await
}

/// Tells it to join one more XMPP server. Success means accepted: that it joined is seen in [`Stats`] and by jicofo.
///
/// # Errors
/// When the bridge does not answer as expected.
pub async fn add_muc_client(stream: impl Stream, client: &MucClient, deadline: Duration) -> Result<(), ApiError> {
    Ask::post(Daemon::Jvb, "/colibri/muc-client/add", deadline).json(client.body()).send(stream).await.map(drop)
}

/// Tells it to leave an XMPP server: its jicofo moves everybody it had there to other bridges.
///
/// # Errors
/// When the bridge does not answer as expected; 400 when it knows no such id.
pub async fn remove_muc_client(stream: impl Stream, id: &str, deadline: Duration) -> Result<(), ApiError> {
    let body = json!({ "id": id }).to_string().into_bytes();
    Ask::post(Daemon::Jvb, "/colibri/muc-client/remove", deadline).json(body).send(stream).await.map(drop)
}

/// What it is.
///
/// # Errors
/// When the bridge does not answer as expected.
pub async fn version(stream: impl Stream, deadline: Duration) -> Result<Version, ApiError> {
    Ask::get(Daemon::Jvb, "/about/version", deadline).read(stream).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, stub};

    const SECOND: Duration = Duration::from_secs(1);
    const STATS: &str = r#"{"healthy":true,"drain":true,"graceful_shutdown":false,"shutting_down":false,
        "version":"2.3.301-gdeadbee","current_timestamp":"2026-11-22 20:15:01.123","threads":88,
        "muc_clients_configured":2,"muc_clients_connected":1,"mucs_configured":2,"mucs_joined":1,
        "stress_level":0.25,"conferences":3,"local_endpoints":17,"endpoints":21,"octo_endpoints":4,
        "region":"eu","relay_id":"frankfurt-meet-jvb-eu-0-0","conference_sizes":[0,1,2]}"#;

    #[tokio::test]
    async fn stats_are_read() {
        let (stream, mut asked) = stub::answer(200, STATS);
        let stats = stats(stream, SECOND).await.unwrap();
        assert_eq!((stats.conferences, stats.local_endpoints, stats.drain), (3, 17, true));
        assert_eq!((stats.muc_clients_configured, stats.muc_clients_connected), (2, 1));
        assert_eq!(stats.region.as_deref(), Some("eu"));
        assert!(!stats.is_empty());
        assert_eq!(asked.recv().await.unwrap().line, "GET /colibri/stats");
    }

    #[tokio::test]
    async fn a_missing_count_is_not_zero() {
        let (stream, _) = stub::answer(200, r#"{"drain":false,"conferences":0}"#);
        let error = stats(stream, SECOND).await.unwrap_err();
        assert!(error.to_string().contains("missing field `local_endpoints`"), "{error}");
    }

    #[tokio::test]
    async fn a_switched_off_interface_is_a_404() {
        let (stream, _) = stub::answer(404, "");
        let error = stats(stream, SECOND).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Status { status: 404, .. }));
    }

    #[tokio::test]
    async fn drain_is_set_and_read() {
        let (stream, mut asked) = stub::answer(200, "");
        set_drain(stream, true, SECOND).await.unwrap();
        let asked = asked.recv().await.unwrap();
        assert_eq!((asked.line.as_str(), asked.body.as_str()), ("POST /colibri/drain/enable", ""));
        let (stream, _) = stub::answer(200, r#"{"drain":true}"#);
        assert!(drain_state(stream, SECOND).await.unwrap());
    }

    fn client() -> MucClient {
        MucClient {
            id: "alpha-b".into(),
            hostname: "meet-alpha-b-xmpp.media.svc.cluster.local".into(),
            port: 5222,
            domain: "auth.meet.jitsi".into(),
            username: "jvb".into(),
            password: Password::new("p\"w$".into()),
            muc_jids: vec!["jvbbrewery@internal-muc.meet.jitsi".into()],
            muc_nickname: "frankfurt-meet-jvb-eu-0-0".into(),
            verify_certificate: false,
        }
    }

    #[tokio::test]
    async fn a_server_is_added_in_strings_only() {
        let (stream, mut asked) = stub::answer(200, "");
        add_muc_client(stream, &client(), SECOND).await.unwrap();
        let asked = asked.recv().await.unwrap();
        assert_eq!(asked.line, "POST /colibri/muc-client/add");
        assert_eq!(asked.content_type.as_deref(), Some("application/json"));
        let body: std::collections::BTreeMap<String, String> = serde_json::from_str(&asked.body).unwrap();
        assert_eq!(body["port"], "5222");
        assert_eq!(body["password"], "p\"w$");
        assert_eq!(body["disable_certificate_verification"], "true");
    }

    #[tokio::test]
    async fn servers_are_listed_and_removed() {
        let (stream, _) = stub::answer(200, r#"["alpha-b","alpha-a"]"#);
        let ids = muc_clients(stream, SECOND).await.unwrap();
        assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["alpha-a", "alpha-b"]);
        let (stream, mut asked) = stub::answer(400, "");
        remove_muc_client(stream, "gone", SECOND).await.unwrap_err();
        assert_eq!(asked.recv().await.unwrap().body, r#"{"id":"gone"}"#);
    }

    #[test]
    fn debug_hides_the_password() {
        assert!(!format!("{:?}", client()).contains("p\"w"));
    }
}
