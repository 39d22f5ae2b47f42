//! The cheapest thing that shows why a verb is needed.

use ::fleet::Plane;
use cluster::rights::Verb;
use http::Method;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use manifest::Kind;
use plan::{Policy, Removal};
use serde_json::{Value as Json, json};

use crate::ground::{AtHand, Atom, Change, Fleet, Ground, atoms};

/// What is played as the account, and has to go well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scenario {
    /// Nothing has changed; nothing may be written, and the pin is that of kube-system.
    Nothing,
    /// An object of the kind is gone, and comes back.
    Missing,
    /// An object of the kind lost a label, and gets it back.
    Drifted,
    /// Objects of the kind left the file, and go.
    Left,
    /// The fleet is deleted, secrets included.
    Deleted,
    /// A template changed: pods are drained and replaced.
    Rolled,
    /// An object of the kind differs in a field that can't be changed: which one, is told.
    Immutable,
    /// The passwords are lost, and put back from a copy.
    Restored,
    /// The data plane's record is lost: shards have their numbers from that of the control plane.
    Forgotten,
    /// The daemon's watch begins.
    Watched,
    /// Who changes something takes the plane's Lease, whether there is one already or not.
    Leased,
    /// The daemon tells of an object, by an Event.
    Said,
}

/// A scenario about the kind of an atom.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) scenario: Scenario,
    pub(crate) atom: Atom,
}

/// The scenario that shows why the verb is needed; none where this fleet is not the one that shows it.
pub(crate) fn of(ground: &Ground, plane: Plane, cluster: &str, atom: &Atom) -> Option<Scenario> {
    use Scenario::{
        Deleted, Drifted, Forgotten, Immutable, Leased, Left, Missing, Nothing, Restored, Rolled, Said, Watched,
    };
    let may = |verb: Verb| {
        let all = atoms(&ground.fleet.rights(plane, cluster));
        all.iter().any(|other| other.resource == atom.resource && other.name.is_none() && other.verb == verb)
    };
    let kind = kind(atom);
    let rendered = kind.is_some() && may(Verb::Create);
    // What every fleet renders is shown by the bare one.
    if ground.fleet != Fleet::Bare
        && !matches!(atom.resource, "networkpolicies" | "ingresses" | "httproutes" | "podmonitors")
    {
        return None;
    }
    if ground.fleet != Fleet::Bare && !rendered {
        return None;
    }
    Some(match (atom.resource, atom.verb) {
        ("leases", Verb::Delete) => Deleted,
        ("leases", _) => Leased,
        ("events", _) => Said,
        (_, Verb::Watch) => Watched,
        ("namespaces", Verb::List) => Watched,
        ("pods/portforward", _) if cluster != "hq" || plane == Plane::Control => Rolled,
        ("namespaces" | "nodes" | "pods/portforward", _) | ("pods", Verb::List) => Nothing,
        ("pods", _) => Rolled,
        ("secrets", Verb::Get) if atom.name.as_deref() == Some("t-passwords-copy") => Restored,
        ("secrets", Verb::Get) if atom.name.as_deref() == Some("t-secrets") && plane == Plane::Control => Drifted,
        ("secrets", Verb::Get) => Missing,
        ("configmaps", Verb::Get) => Deleted,
        (_, Verb::Get) => Immutable,
        ("secrets", Verb::List) if cluster == "hq" && plane == Plane::Data => Missing,
        ("configmaps", Verb::List) if cluster == "hq" && plane == Plane::Data => Forgotten,
        (_, Verb::List) if rendered || cluster == "hq" && plane == Plane::Data => Nothing,
        (_, Verb::Delete) if rendered => Deleted,
        (_, Verb::List | Verb::Delete) => Left,
        (_, Verb::Create | Verb::Update) => Missing,
        (_, Verb::Patch) => Drifted,
    })
}

/// Every scenario about every kind that this fleet shows.
pub(crate) fn trials(ground: &Ground, plane: Plane, cluster: &str) -> Vec<Trial> {
    let mut trials: Vec<Trial> = Vec::new();
    for atom in atoms(&ground.fleet.rights(plane, cluster)) {
        let Some(scenario) = of(ground, plane, cluster, &atom) else { continue };
        if !trials.iter().any(|trial| trial.scenario == scenario && trial.atom.resource == atom.resource) {
            trials.push(Trial { scenario, atom });
        }
    }
    trials
}

fn kind(atom: &Atom) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.group() == atom.group && kind.plural() == atom.resource)
}

pub(crate) fn namespace(cluster: &str) -> &'static str {
    if cluster == "hq" { "calls" } else { "media" }
}

impl Trial {
    /// Plays it; what did not go well is the error.
    pub(crate) async fn play(&self, ground: &Ground, plane: Plane, cluster: &str) -> Result<(), String> {
        let fleet = ground.fleet;
        let stored = fleet.loaded(Change::None, AtHand::No);
        match self.scenario {
            Scenario::Nothing => {
                let outcome = ground.as_account(plane, &stored, Removal::None).await?;
                if outcome.written + outcome.deleted > 0 {
                    return Err(format!("{} written, {} deleted", outcome.written, outcome.deleted));
                }
                if self.atom.optional {
                    self.is_seen(ground, plane, cluster).await?;
                }
                Ok(())
            }
            Scenario::Missing => {
                let (place, kind) = self.victim(plane, cluster);
                // What is to come back has to come from somewhere.
                let stored = fleet.loaded(Change::None, AtHand::Yes);
                let api = api(&ground.client(place), kind, place);
                let name = last(&api, plane, kind).await;
                api.delete(&name, &DeleteParams::default()).await.map_err(|error| error.to_string())?;
                ground.as_account(plane, &stored, Removal::None).await?;
                api.get(&name).await.map(drop).map_err(|error| error.to_string())
            }
            Scenario::Drifted => drifted(ground, plane, cluster, kind(&self.atom).unwrap()).await,
            Scenario::Leased => {
                if self.atom.verb == Verb::Create {
                    let path = self.lease(plane, cluster);
                    asked(&ground.client(cluster), Method::DELETE, &path, None).await?;
                }
                drifted(ground, plane, cluster, Kind::Service).await
            }
            Scenario::Left => {
                let kind = kind(&self.atom).unwrap();
                let before = if kind == Kind::HttpRoute { Fleet::Gateway } else { Fleet::Ingress };
                ground.admin(&before.loaded(Change::None, AtHand::Yes), &Policy::default()).await;
                let api = api(&ground.client(cluster), kind, cluster);
                assert!(!own(&api, plane).await.is_empty(), "{kind} was never there");
                ground.as_account(plane, &stored, Removal::None).await?;
                let left = own(&api, plane).await.len();
                if left == 0 { Ok(()) } else { Err(format!("{left} of {kind} are left")) }
            }
            Scenario::Deleted => {
                if plane == Plane::Data {
                    // Wirings stay as long as there is something to reach.
                    let policy =
                        Policy { planes: [Plane::Control].into(), removal: Removal::Everything, ..Policy::default() };
                    ground.admin(&fleet.loaded(Change::None, AtHand::Yes), &policy).await;
                }
                ground.as_account(plane, &stored, Removal::Everything).await?;
                let (place, Some(kind)) = (cluster, kind(&self.atom)) else {
                    let left = asked(&ground.client(cluster), Method::GET, &self.lease(plane, cluster), None).await;
                    return left.map_or(Ok(()), |_| Err("the Lease is left".to_owned()));
                };
                let left = own(&api(&ground.client(place), kind, place), plane).await.len();
                if left == 0 { Ok(()) } else { Err(format!("{left} of {kind} are left")) }
            }
            Scenario::Rolled => {
                let changed = fleet.loaded(Change::Template, AtHand::No);
                ground.as_account(plane, &changed, Removal::None).await.map(drop)
            }
            Scenario::Immutable => self.immutable(ground, plane, cluster).await,
            Scenario::Restored => {
                let api = api(&ground.client("hq"), Kind::Secret, "hq");
                let before = api.get("t-passwords").await.unwrap().data;
                api.delete("t-passwords", &DeleteParams::default()).await.unwrap();
                ground.restoring(&stored).await?;
                let after = api.get("t-passwords").await.map_err(|error| error.to_string())?.data;
                (before["data"] == after["data"]).then_some(()).ok_or_else(|| "these are others".to_owned())
            }
            Scenario::Forgotten => {
                let api = api(&ground.client("frankfurt"), Kind::ConfigMap, "frankfurt");
                api.delete("t-data", &DeleteParams::default()).await.map_err(|error| error.to_string())?;
                let slices = self::api(&ground.client("frankfurt"), Kind::EndpointSlice, "frankfurt");
                let before = slices.get("t-alpha-a-xmpp-4").await.unwrap().data;
                ground.as_account(plane, &stored, Removal::None).await?;
                let after = slices.get("t-alpha-a-xmpp-4").await.map_err(|error| error.to_string())?.data;
                let kept = before["ports"] == after["ports"];
                kept.then_some(()).ok_or_else(|| "the shards' numbers were mixed up".to_owned())
            }
            Scenario::Watched => {
                let path = match self.atom.resource {
                    "nodes" => "/api/v1/nodes?".to_owned(),
                    "namespaces" => format!("/api/v1/namespaces?fieldSelector=metadata.name%3D{}&", namespace(cluster)),
                    _ => format!("{}?", collection(&self.atom, cluster)),
                };
                let client = ground.sandbox.client_of(cluster, plane.as_str()).unwrap();
                if self.atom.verb == Verb::List {
                    asked(&client, Method::GET, &path, None).await?;
                }
                asked(&client, Method::GET, &format!("{path}watch=1&timeoutSeconds=1"), None).await.map(drop)
            }
            Scenario::Said => {
                let client = ground.sandbox.client_of(cluster, plane.as_str()).unwrap();
                said(&client, cluster, &self.atom).await
            }
        }
    }

    /// Everything is well again.
    pub(crate) async fn repair(&self, ground: &Ground) {
        match self.scenario {
            Scenario::Nothing | Scenario::Watched | Scenario::Said => {}
            Scenario::Deleted | Scenario::Restored => {
                // What one plane still has of the other is in the way of a new beginning.
                let policy = Policy { removal: Removal::Everything, ..Policy::default() };
                ground.admin(&ground.fleet.loaded(Change::None, AtHand::Yes), &policy).await;
                ground.begin().await;
            }
            _ => ground.repair().await,
        }
    }

    /// The path of the plane's Lease.
    fn lease(&self, plane: Plane, cluster: &str) -> String {
        format!("{}/t-{plane}", collection(&self.atom, cluster))
    }

    /// What is made to be missing: for a right to read in the control cluster, what is copied from there.
    fn victim(&self, plane: Plane, cluster: &str) -> (&'static str, Kind) {
        let place = if plane == Plane::Control { "hq" } else { "frankfurt" };
        match (self.atom.resource, self.atom.verb) {
            // What is new is written down.
            ("configmaps", Verb::Update) => (place, Kind::Service),
            _ => {
                assert!(place == cluster || self.atom.resource == "secrets", "{:?} is of {cluster}", self.atom);
                (place, kind(&self.atom).unwrap())
            }
        }
    }

    /// What is optional was really read.
    async fn is_seen(&self, ground: &Ground, plane: Plane, cluster: &str) -> Result<(), String> {
        let client = ground.sandbox.client_of(cluster, plane.as_str()).unwrap();
        let path = match self.atom.resource {
            "nodes" => "/api/v1/nodes",
            _ => "/api/v1/namespaces/kube-system",
        };
        asked(&client, Method::GET, path, None).await.map(drop)
    }

    async fn immutable(&self, ground: &Ground, plane: Plane, cluster: &str) -> Result<(), String> {
        let kind = kind(&self.atom).unwrap();
        let api = api(&ground.client(cluster), kind, cluster);
        let mut found = None;
        for object in own(&api, plane).await {
            if let Some(other) = otherwise(kind, &object) {
                found = Some((object.metadata.name.unwrap(), other));
            }
        }
        let (name, other) = found.ok_or_else(|| format!("no {kind} has a field that can't be changed"))?;
        api.delete(&name, &DeleteParams::default()).await.unwrap();
        api.create(&PostParams { field_manager: Some("kubectl-create".to_owned()), ..PostParams::default() }, &other)
            .await
            .map_err(|error| format!("stand-in: {error}"))?;
        let stored = ground.fleet.loaded(Change::None, AtHand::No);
        let told = ground.as_account(plane, &stored, Removal::None).await;
        api.delete(&name, &DeleteParams::default()).await.unwrap();
        match told {
            Err(why) if why.contains("in place") => Ok(()),
            Err(why) => Err(why),
            Ok(_) => Err("nobody minded".to_owned()),
        }
    }
}

/// The same object with another value of a field that can't be changed.
fn otherwise(kind: Kind, object: &DynamicObject) -> Option<DynamicObject> {
    let mut other = object.clone();
    other.metadata = ObjectMeta {
        name: object.metadata.name.clone(),
        labels: object.metadata.labels.clone(),
        ..ObjectMeta::default()
    };
    let spec = other.data.get_mut("spec");
    match kind {
        Kind::StatefulSet => {
            spec?["podManagementPolicy"] = match object.data["spec"]["podManagementPolicy"].as_str() {
                Some("Parallel") => "OrderedReady".into(),
                _ => "Parallel".into(),
            }
        }
        Kind::Deployment => {
            let spec = spec?;
            spec["selector"]["matchLabels"] = json!({ "app": "other" });
            spec["template"]["metadata"]["labels"] = json!({ "app": "other" });
        }
        Kind::EndpointSlice => {
            other.data["addressType"] = "IPv6".into();
            other.data["endpoints"] = json!([{ "addresses": ["2001:db8::1"] }]);
        }
        _ => return None,
    }
    other.data.as_object_mut()?.remove("status");
    Some(other)
}

/// The plane's objects of a kind, but for those that controllers make.
async fn own(api: &Api<DynamicObject>, plane: Plane) -> Vec<DynamicObject> {
    let ours = ListParams::default().labels(&format!("jitsictl.dev/fleet=t,jitsictl.dev/plane={plane}"));
    let mut objects = api.list(&ours).await.unwrap().items;
    objects.retain(|object| object.metadata.owner_references.is_none());
    objects
}

/// The last of the plane's objects of a kind by name, but for our own books and the made passwords.
async fn last(api: &Api<DynamicObject>, plane: Plane, kind: Kind) -> String {
    let names = own(api, plane).await.into_iter().filter_map(|object| object.metadata.name);
    let books = [format!("t-inventory-{plane}"), format!("t-{plane}")];
    let mut names: Vec<String> = names
        .filter(|name| {
            *name != "t-passwords" && !books.iter().any(|book| name == book || name.starts_with(&format!("{book}-")))
        })
        .collect();
    names.sort();
    names.pop().unwrap_or_else(|| panic!("the {plane} plane has no {kind}"))
}

fn api(client: &Client, kind: Kind, cluster: &str) -> Api<DynamicObject> {
    let resource = GroupVersionKind::gvk(kind.group(), kind.version(), kind.name());
    let resource = ApiResource::from_gvk_with_plural(&resource, kind.plural());
    Api::namespaced_with(client.clone(), namespace(cluster), &resource)
}

pub(crate) fn collection(atom: &Atom, cluster: &str) -> String {
    let group = if atom.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/v1", atom.group) };
    format!("{group}/namespaces/{}/{}", namespace(cluster), atom.resource)
}

/// A label is taken away by hand; it comes back.
async fn drifted(ground: &Ground, plane: Plane, cluster: &str, kind: Kind) -> Result<(), String> {
    let api = api(&ground.client(cluster), kind, cluster);
    let name = last(&api, plane, kind).await;
    let drift = json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": null } } });
    let somebody = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
    api.patch(&name, &somebody, &Patch::Merge(&drift)).await.map_err(|error| error.to_string())?;
    let stored = ground.fleet.loaded(Change::None, AtHand::No);
    ground.as_account(plane, &stored, Removal::None).await?;
    let labels = api.get(&name).await.map_err(|error| error.to_string())?.metadata.labels;
    let back = labels.is_some_and(|labels| labels.contains_key("app.kubernetes.io/part-of"));
    back.then_some(()).ok_or_else(|| "the label did not come back".to_owned())
}

/// As a daemon that says something about an object, twice.
async fn said(client: &Client, cluster: &str, atom: &Atom) -> Result<(), String> {
    let object = json!({ "apiVersion": "v1", "kind": "Service", "namespace": namespace(cluster), "name": "t-haproxy" });
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "generateName": "t-" },
        "involvedObject": object, "type": "Normal", "reason": "DriftRepaired", "message": "again as it was",
    });
    let collection = collection(atom, cluster);
    let made = asked(client, Method::POST, &collection, Some(&event)).await?;
    let path = format!("{collection}/{}", made["metadata"]["name"].as_str().unwrap_or_default());
    asked(client, Method::PATCH, &path, Some(&json!({ "count": 2 }))).await.map(drop)
}

async fn asked(client: &Client, method: Method, path: &str, body: Option<&Json>) -> Result<Json, String> {
    let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let request = http::Request::builder().method(method).uri(path).header("content-type", content);
    let request = request.body(kube::client::Body::from(body)).unwrap();
    let answer = client.send(request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("{path}: {status}"));
    }
    if path.contains("watch=") {
        return Ok(Json::Null);
    }
    let bytes = answer.into_body().collect_bytes().await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}
