//! A real API server and each verb alone: the request that needs it is refused without it, and allowed with it. So what
//! goes wrong in the sandbox without a verb goes wrong there too.

use std::time::Duration;

use ::fleet::Plane;
use cluster::rights::Verb;
use futures::{StreamExt as _, stream};
use http::{Method, StatusCode};
use kube::{
    Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value as Json, json};
use testbed::{Options, Testbed};

use crate::{
    PLACES,
    ground::{Atom, Fleet, atoms},
    scenario::{collection, namespace},
};

/// How long the authorizer may take to hear of a new role.
pub(crate) const HEARS_WITHIN: Duration = Duration::from_secs(20);
/// Requests at once.
const AT_ONCE: usize = 8;

/// Somebody with all rights of a plane in a cluster, but for one verb.
struct Account {
    cluster: &'static str,
    name: String,
    lacks: Atom,
    /// A verb that he has.
    has: Atom,
    role: Vec<Json>,
    cluster_role: Vec<Json>,
}

/// One for each verb of each plane in each cluster, whatever the fleet file says.
fn accounts() -> Vec<Account> {
    let mut accounts = Vec::new();
    for (plane, cluster) in PLACES {
        let all = verbs(plane, cluster);
        for (at, lacks) in all.iter().enumerate() {
            let rules = |optional| -> Vec<Json> {
                let others = all.iter().filter(|other| *other != lacks && other.optional == optional);
                others.map(|other| json!(other.rule())).collect()
            };
            accounts.push(Account {
                cluster,
                name: format!("{plane}-{cluster}-{at}"),
                lacks: lacks.clone(),
                has: all[(at + 1) % all.len()].clone(),
                role: rules(false),
                cluster_role: rules(true),
            });
        }
    }
    accounts
}

fn verbs(plane: Plane, cluster: &str) -> Vec<Atom> {
    let mut all: Vec<Atom> = Vec::new();
    for atom in Fleet::ALL.into_iter().flat_map(|fleet| atoms(&fleet.rights(plane, cluster))) {
        if !all.contains(&atom) {
            all.push(atom);
        }
    }
    all
}

impl Account {
    /// Writes the roles down.
    async fn grant(&self, client: &Client) {
        let namespaced = format!("namespaces/{}/", namespace(self.cluster));
        for (place, kind, plural, rules) in [
            (namespaced.as_str(), "Role", "roles", &self.role),
            ("", "ClusterRole", "clusterroles", &self.cluster_role),
        ] {
            let group = "rbac.authorization.k8s.io";
            let version = format!("{group}/v1");
            let role =
                json!({ "apiVersion": version, "kind": kind, "metadata": { "name": self.name }, "rules": rules });
            let binding = json!({
                "apiVersion": version, "kind": format!("{kind}Binding"), "metadata": { "name": self.name },
                "roleRef": { "apiGroup": group, "kind": kind, "name": self.name },
                "subjects": [{ "apiGroup": group, "kind": "User", "name": self.name }],
            });
            let bindings = plural.replace("roles", "rolebindings");
            for (plural, body) in [(plural, role), (&bindings, binding)] {
                let request = kube::core::Request::new(format!("/apis/{version}/{place}{plural}"));
                let request = request.patch(&self.name, &PatchParams::apply("admin"), &Patch::Apply(&body)).unwrap();
                client.request::<Json>(request).await.unwrap();
            }
        }
    }

    /// Whether the authorizer lets him do what needs a verb. Nothing is changed by it.
    async fn may(&self, client: &Client, atom: &Atom) -> bool {
        let (method, path) = request(atom, self.cluster);
        let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = http::Request::builder().method(method).uri(&path).header("content-type", content);
        let request = request.header("impersonate-user", &self.name);
        let answer = client.send(request.body(kube::client::Body::from(b"{}".to_vec())).unwrap()).await.unwrap();
        let status = answer.status();
        if status != StatusCode::FORBIDDEN {
            assert!(status != StatusCode::UNAUTHORIZED && !status.is_server_error(), "{path}: {status}");
            return true;
        }
        let said = answer.into_body().collect_bytes().await.unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains(&format!("User \\\"{}\\\" cannot", self.name)), "refused by another: {path}: {said}");
        false
    }

    /// What is wrong about it.
    async fn try_out(self, client: &Client) -> Option<String> {
        let begun = tokio::time::Instant::now();
        while !self.may(client, &self.has).await {
            if begun.elapsed() > HEARS_WITHIN {
                return Some(format!("{}: {:?} is refused, though it is allowed", self.cluster, self.has));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let may = self.may(client, &self.lacks).await;
        may.then(|| format!("{}: {:?} is not needed for its request", self.cluster, self.lacks))
    }
}

/// A request that needs this verb, about nothing that exists.
fn request(atom: &Atom, cluster: &str) -> (Method, String) {
    let collection = match atom.resource {
        "nodes" | "namespaces" => format!("/api/v1/{}", atom.resource),
        "pods/portforward" => {
            format!("/api/v1/namespaces/{}/pods/nobody/portforward?ports=1", namespace(cluster))
        }
        _ => collection(atom, cluster),
    };
    let named = atom.name.as_ref().map(|name| format!("fieldSelector=metadata.name%3D{name}&")).unwrap_or_default();
    let is_part = atom.resource.contains('/');
    let one = if is_part {
        collection.clone()
    } else {
        format!("{collection}/{}?dryRun=All", atom.name.as_deref().unwrap_or("nobody"))
    };
    match atom.verb {
        Verb::Get => (Method::GET, one),
        Verb::List => (Method::GET, format!("{collection}?{named}limit=1")),
        Verb::Watch => (Method::GET, format!("{collection}?{named}watch=1&timeoutSeconds=1")),
        Verb::Create if is_part => (Method::POST, one),
        Verb::Create => (Method::POST, format!("{collection}?dryRun=All")),
        Verb::Update => (Method::PUT, one),
        Verb::Patch => (Method::PATCH, one),
        Verb::Delete => (Method::DELETE, one),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verb_is_what_a_real_api_server_asks_for() {
    let testbed = Testbed::start(&["hq"], Options { controllers: false, ..Options::default() }).await.unwrap();
    let client = testbed.cluster("hq").unwrap().client();
    for cluster in ["hq", "frankfurt"] {
        let name = namespace(cluster);
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let request = kube::core::Request::new("/api/v1/namespaces");
        let request = request.patch(name, &PatchParams::apply("admin"), &Patch::Apply(&body)).unwrap();
        client.request::<Json>(request).await.unwrap();
    }
    let accounts = accounts();
    let count = accounts.len();
    stream::iter(&accounts).for_each_concurrent(AT_ONCE, |account| account.grant(client)).await;
    let tried = stream::iter(accounts).map(|account| account.try_out(client));
    let complaints: Vec<Option<String>> = tried.buffer_unordered(AT_ONCE).collect().await;
    let complaints: Vec<String> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "{} of {count} verbs:\n{}", complaints.len(), complaints.join("\n"));
    eprintln!("{count} verbs, each refused without its rule");
}
