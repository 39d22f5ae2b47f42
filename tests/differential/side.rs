//! One of the two servers, and what a sequence has learnt from it.

use std::collections::BTreeMap;
use std::time::Duration;

use api_server::http::{Hooks, listen};
use api_server::{ApiServer, Options, User};
use clock::Clock;
use kube::client::Body;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::compare;
use super::generate::Step;

/// From here on servers choose ports of nodes themselves; those below are for who asks for one.
const FREE_PORTS: u64 = 30_086;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer with everything replaced that may differ.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) warnings: Vec<String>,
    pub(crate) body: Json,
}

pub(crate) struct Side {
    client: kube::Client,
    serving: Option<AbortHandle>,
    /// First and last version of each path.
    versions: BTreeMap<String, (String, String)>,
    /// The last UID of each path.
    uids: BTreeMap<String, String>,
    names: BTreeMap<String, String>,
    first: Option<String>,
    token: String,
}

impl Side {
    pub(crate) fn new(client: kube::Client) -> Self {
        let (versions, uids, names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { client, serving: None, versions, uids, names, first: None, token: String::new() }
    }

    pub(crate) async fn in_memory(seed: u64, clock: Clock) -> Self {
        let name = "differential".to_owned();
        let server = ApiServer::new(Options { name, clock, seed, custom_kinds: true });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let hooks = Hooks { stranger: Some(User::admin()), ..Hooks::default() };
        let serving = tokio::spawn(listen(server, listener, None, hooks, Default::default())).abort_handle();
        let config = kube::Config::new(url.parse().expect("a URL"));
        let client = kube::Client::try_from(config).expect("a client");
        Self { serving: Some(serving), ..Self::new(client) }
    }

    pub(crate) fn stop(&self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }

    fn fill(&self, text: &str, object: &str) -> String {
        let (stale, fresh) = self.versions.get(object).cloned().unwrap_or(("1".into(), "1".into()));
        text.replace("@STALE", &stale)
            .replace("@FRESH", &fresh)
            .replace("@FIRST", self.first.as_deref().unwrap_or("1"))
            .replace("@TOKEN", &self.token)
            .replace("@UID", self.uids.get(object).map_or("none", String::as_str))
    }

    pub(crate) async fn send(&mut self, step: &Step) -> Reply {
        let path = self.fill(&step.path, &step.object);
        let body = self.fill(&step.body, &step.object);
        let request = http::Request::builder()
            .method(step.method.as_str())
            .uri(path)
            .header("content-type", step.content.as_str())
            .body(Body::from(body.into_bytes()))
            .expect("a request");
        let (answer, bytes) = match tokio::time::timeout(PATIENCE, self.exchange(request)).await {
            Ok(exchanged) => exchanged,
            Err(_) => return Reply { code: 0, warnings: Vec::new(), body: "no answer".into() },
        };
        let code = answer.status.as_u16();
        let warnings = answer.headers.get_all("warning").iter();
        let warnings = warnings.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        let mut body: Json = if step.is_watch() {
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.map(|line| serde_json::from_slice(line).unwrap_or(Json::Null)).collect()
        } else {
            serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
        };
        self.learn(step, &body);
        self.normalise("", &mut body);
        compare::level("", &mut body);
        Reply { code, warnings, body }
    }

    async fn exchange(&self, request: http::Request<Body>) -> (http::response::Parts, Vec<u8>) {
        let answer = self.client.send(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        (parts, body.collect_bytes().await.expect("a body").to_vec())
    }

    fn learn(&mut self, step: &Step, body: &Json) {
        let version = body.pointer("/metadata/resourceVersion").and_then(Json::as_str);
        if let Some(version) = version {
            self.first.get_or_insert_with(|| version.to_owned());
            if body.get("items").is_none() && !step.path.contains("dryRun") {
                let known = self.versions.entry(step.object.clone());
                known.or_insert_with(|| (version.to_owned(), String::new())).1 = version.to_owned();
            }
        }
        if let Some(uid) = body.pointer("/metadata/uid").and_then(Json::as_str) {
            self.uids.insert(step.object.clone(), uid.to_owned());
        }
        if let Some(token) = body.pointer("/metadata/continue").and_then(Json::as_str) {
            self.token = token.to_owned();
        }
    }

    /// The same word for the same thing, in the order in which this side showed them.
    fn named(&mut self, kind: &str, value: &str) -> String {
        let next = self.names.len();
        self.names.entry(value.to_owned()).or_insert_with(|| format!("<{kind} {next}>")).clone()
    }

    fn normalise(&mut self, key: &str, value: &mut Json) {
        match value {
            Json::Object(fields) => {
                if fields.contains_key("items") && fields.contains_key("metadata") {
                    fields.insert("metadata".to_owned(), list_metadata(fields.get("metadata")));
                }
                if let Some(Json::Array(owners)) = fields.get_mut("managedFields") {
                    sort_owners(owners);
                }
                for (key, value) in fields.iter_mut() {
                    self.normalise(key, value);
                }
            }
            Json::Array(items) => {
                for item in items {
                    self.normalise(key, item);
                }
            }
            Json::String(text) => {
                let word = match key {
                    "uid" | "resourceVersion" if !text.is_empty() => Some(self.named(key, text)),
                    "clusterIP" | "clusterIPs" if text != "None" && !text.is_empty() => Some("<address>".to_owned()),
                    _ if is_time(text) => Some("<time>".to_owned()),
                    "message" => Some(self.in_words(text)),
                    _ => None,
                };
                if let Some(word) = word {
                    *text = word;
                }
            }
            Json::Number(number)
                if matches!(key, "nodePort" | "healthCheckNodePort") && number.as_u64() >= Some(FREE_PORTS) =>
            {
                *value = "<port>".into();
            }
            _ => {}
        }
    }

    /// A sentence with UIDs, and with versions, which stand in parentheses.
    fn in_words(&mut self, text: &str) -> String {
        // Some versions are only told in words.
        if text.contains("precondition") {
            let versions = text.split('(').skip(1).filter_map(|rest| rest.split_once(')'));
            let versions = versions.filter(|(version, _)| version.parse::<u64>().is_ok_and(|version| version > 1));
            for (version, _) in versions {
                self.named("resourceVersion", version);
            }
        }
        let mut text = text.to_owned();
        const LAST: &str = "ResourceVersion in object meta: ";
        if let Some((before, version)) = text.rsplit_once(LAST) {
            text = format!("{before}{LAST}{}", self.named("resourceVersion", version));
        }
        let named = |(value, name): (&String, &String)| {
            let is_version = value.parse::<u64>().is_ok();
            let shown = if is_version { format!("({value})") } else { value.clone() };
            (shown, if is_version { format!("({name})") } else { name.clone() })
        };
        self.names.iter().map(named).fold(text, |text, (value, name)| text.replace(&value, &name))
    }
}

/// Servers sort owners by time, and the seconds of two servers are not the same: so each is held to its own times, and
/// then they are put in an order that has no times.
fn sort_owners(owners: &mut [Json]) {
    let text = |one: &Json, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let with_time =
        |one: &Json| ["operation", "time", "manager", "apiVersion", "subresource"].map(|key| text(one, key));
    let sorted = owners.windows(2).all(|pair| with_time(&pair[0]) <= with_time(&pair[1]));
    owners.sort_by_key(|one| ["operation", "manager", "apiVersion", "subresource"].map(|key| text(one, key)));
    if let (false, Some(first)) = (sorted, owners.first_mut()) {
        first["time"] = "out of order".into();
    }
}

/// The version of a list counts what others write, too.
fn list_metadata(metadata: Option<&Json>) -> Json {
    let mut metadata = metadata.cloned().unwrap_or_default();
    if let Some(fields) = metadata.as_object_mut() {
        fields.remove("resourceVersion");
        if fields.get("continue").is_some_and(|token| token != "") {
            fields.insert("continue".to_owned(), "<token>".into());
        }
    }
    metadata
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':' && bytes.ends_with(b"Z")
}
