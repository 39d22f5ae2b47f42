//! Where scenarios are played: real API servers, or clusters in memory.

use std::{collections::BTreeMap, path::Path};

use api_server::Kind;
use kube::{Client, config::Kubeconfig};
use sandbox::{ClusterAccess, Door, Sandbox, SandboxOptions, Timing, World};
use serde_json::{Value, json};
use testbed::{AuditMark, Credential, Options, Rights, Rule, Sources, Testbed};

use super::{
    objects,
    script::{Object, Refusal},
};

pub(crate) const CLUSTERS: [&str; 3] = ["hq", "fra", "sin"];

/// The clusters, and what plays in them.
pub(crate) enum Backend {
    Real { testbed: Box<Testbed>, world: World },
    Memory { sandbox: Box<Sandbox>, doors: Box<Kubeconfig>, clients: BTreeMap<&'static str, Client> },
}

/// A place in a cluster's log of requests.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    Real(AuditMark),
    Memory(usize),
}

/// One request.
pub(crate) struct Seen {
    pub(crate) user: String,
    pub(crate) verb: String,
    pub(crate) resource: String,
    pub(crate) writes: bool,
    /// For people.
    pub(crate) text: String,
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Backend {
    pub(crate) async fn real() -> Result<Self, String> {
        // Scenarios ask for ports of their own. In the usual range, a load balancer of another one would now and then have
        // drawn one of them.
        let options = Options { node_ports: 30_000..=60_000, ..Options::default() };
        let testbed = Testbed::start(&CLUSTERS, options).await.map_err(said)?;
        let access =
            testbed.clusters().iter().zip(testbed::LOAD_BALANCERS).map(|(cluster, load_balancer_base)| ClusterAccess {
                name: cluster.name().to_owned(),
                door: Door::Network(Box::new(cluster.config().clone())),
                load_balancer_base,
            });
        let world = World::start(access.collect()).await.map_err(said)?;
        Ok(Self::Real { testbed: Box::new(testbed), world })
    }

    /// Installs the kinds of others, for good.
    pub(crate) async fn install_kinds_of_others(&self) -> Result<(), String> {
        let Self::Real { testbed, .. } = self else { return Ok(()) };
        let sources = Sources::of_this_machine();
        for cluster in testbed.clusters() {
            cluster.install_definitions(&sources).await.map_err(said)?;
        }
        Ok(())
    }

    pub(crate) async fn memory(custom_kinds: bool) -> Result<Self, String> {
        let options = SandboxOptions {
            clusters: CLUSTERS.map(str::to_owned).to_vec(),
            timing: Timing::default(),
            clock: clock::Clock::machine(),
            seed: 1,
            custom_kinds,
        };
        let sandbox = Sandbox::start(options).await.map_err(said)?;
        let doors = Box::new(sandbox.listen().await.map_err(said)?);
        let mut clients = BTreeMap::new();
        for name in CLUSTERS {
            clients.insert(name, sandbox.client(name, None).map_err(said)?);
        }
        Ok(Self::Memory { sandbox: Box::new(sandbox), doors, clients })
    }

    pub(crate) async fn clear(self) {
        match self {
            Self::Real { world, .. } => world.stop().await,
            Self::Memory { sandbox, .. } => sandbox.stop().await,
        }
    }

    pub(crate) fn world(&self) -> &World {
        match self {
            Self::Real { world, .. } => world,
            Self::Memory { sandbox, .. } => sandbox.world(),
        }
    }

    /// A client with all rights.
    pub(crate) fn client(&self, cluster: &str) -> Result<&Client, String> {
        match self {
            Self::Real { testbed, .. } => Ok(testbed.cluster(cluster).map_err(said)?.client()),
            Self::Memory { clients, .. } => {
                clients.get(cluster).ok_or_else(|| format!("there is no cluster {cluster}"))
            }
        }
    }

    /// `127.0.0.1:PORT` of its API server.
    pub(crate) fn address(&self, cluster: &str) -> Result<String, String> {
        match self {
            Self::Real { testbed, .. } => {
                Ok(testbed.cluster(cluster).map_err(said)?.server().trim_start_matches("https://").to_owned())
            }
            Self::Memory { sandbox, .. } => {
                let address = sandbox.address(cluster).map_err(said)?;
                address.map(|address| address.to_string()).ok_or_else(|| format!("{cluster} does not listen"))
            }
        }
    }

    /// Makes a user with these rights, or changes them. Requests are counted under [`Backend::account`].
    pub(crate) async fn user(&self, cluster: &str, name: &str, rights: &Rights) -> Result<Credential, String> {
        match self {
            Self::Real { testbed, .. } => {
                testbed.cluster(cluster).map_err(said)?.user(name, rights).await.map_err(said)
            }
            Self::Memory { sandbox, .. } => {
                let account = Self::account(name);
                let groups = match rights {
                    Rights::Everything => vec!["system:masters".to_owned()],
                    _ => Vec::new(),
                };
                let token = format!("token-of-{name}");
                let user = api_server::User { name: account.clone(), groups };
                sandbox.users(cluster).map_err(said)?.insert(token.clone(), user);
                self.grant(cluster, name, &account, rights).await?;
                Ok(Credential::Token(token))
            }
        }
    }

    async fn grant(&self, cluster: &str, name: &str, account: &str, rights: &Rights) -> Result<(), String> {
        let client = self.client(cluster)?;
        let role = |kind: &str, namespace: Option<&str>, rules: &[Rule]| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
                "metadata": { "name": format!("testbed-{name}"), "namespace": namespace },
                "rules": rules,
            })
        };
        let binding = |kind: &str, namespace: Option<&str>, role: &str| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
                "metadata": { "name": format!("testbed-{name}"), "namespace": namespace },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": format!("testbed-{name}") },
                "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": account }],
            })
        };
        let manifests = match rights {
            Rights::None | Rights::Everything => Vec::new(),
            Rights::Cluster(rules) => {
                vec![role("ClusterRole", None, rules), binding("ClusterRoleBinding", None, "ClusterRole")]
            }
            Rights::Namespaced(home, rules) => vec![
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": home } }),
                role("Role", Some(home), rules),
                binding("RoleBinding", Some(home), "Role"),
            ],
        };
        for manifest in manifests {
            objects::apply(client, &without_nulls(manifest)).await?;
        }
        Ok(())
    }

    /// The name of a user in the log.
    pub(crate) fn account(user: &str) -> String {
        format!("system:serviceaccount:testbed-users:{user}")
    }

    /// Writes a kubeconfig with these contexts: by name, the cluster and who logs in.
    pub(crate) fn write_kubeconfig(
        &self,
        path: &Path,
        contexts: &BTreeMap<String, (String, Credential)>,
    ) -> Result<(), String> {
        match self {
            Self::Real { testbed, .. } => {
                let mut entries = Vec::new();
                for (context, (cluster, credential)) in contexts {
                    entries.push(testbed.cluster(cluster).map_err(said)?.entry(context, credential.clone()));
                }
                testbed::write_kubeconfig(path, &entries).map_err(said)
            }
            Self::Memory { doors, .. } => {
                let (mut clusters, mut users, mut named) = (Vec::new(), Vec::new(), Vec::new());
                for (context, (cluster, credential)) in contexts {
                    let door = doors.clusters.iter().find(|door| door.name == *cluster);
                    let door = door.and_then(|door| door.cluster.as_ref());
                    let door = door.ok_or_else(|| format!("{cluster} does not listen"))?;
                    let token = match credential {
                        Credential::Token(token) => token,
                        Credential::Expired => "this-token-has-expired",
                    };
                    clusters.push(json!({ "name": context, "cluster": door }));
                    users.push(json!({ "name": context, "user": { "token": token } }));
                    named.push(json!({ "name": context, "context": { "cluster": context, "user": context } }));
                }
                let config = json!({
                    "apiVersion": "v1", "kind": "Config", "current-context": contexts.keys().next(),
                    "clusters": clusters, "users": users, "contexts": named,
                });
                // Written beside and renamed: a reader in another process never sees half a file.
                let beside = path.with_extension("new");
                std::fs::write(&beside, config.to_string()).map_err(said)?;
                std::fs::rename(&beside, path).map_err(said)
            }
        }
    }

    /// Places in the logs of all API servers that run.
    pub(crate) async fn marks(&self) -> Result<BTreeMap<String, Mark>, String> {
        let mut marks = BTreeMap::new();
        for name in CLUSTERS {
            let mark = match self {
                Self::Real { testbed, .. } => {
                    let cluster = testbed.cluster(name).map_err(said)?;
                    if !cluster.apiserver_runs() {
                        continue;
                    }
                    Mark::Real(cluster.audit_mark().await.map_err(said)?)
                }
                Self::Memory { sandbox, .. } => Mark::Memory(sandbox.requests(name).map_err(said)?.mark()),
            };
            marks.insert(name.to_owned(), mark);
        }
        Ok(marks)
    }

    /// The requests since a mark.
    pub(crate) async fn since(&self, cluster: &str, mark: Mark) -> Result<Vec<Seen>, String> {
        match (self, mark) {
            (Self::Real { testbed, .. }, Mark::Real(mark)) => {
                let entries = testbed.cluster(cluster).map_err(said)?.audit_since(mark).await.map_err(said)?;
                let seen = |entry: testbed::AuditEntry| Seen {
                    text: entry.to_string(),
                    writes: entry.is_write(),
                    resource: entry.object.map(|object| object.resource).unwrap_or_default(),
                    user: entry.user,
                    verb: entry.verb,
                };
                Ok(entries.into_iter().map(seen).collect())
            }
            (Self::Memory { sandbox, .. }, Mark::Memory(mark)) => {
                let entries = sandbox.requests(cluster).map_err(said)?.since(mark);
                let seen = |entry: &api_server::http::Entry| {
                    let line = &entry.line;
                    let asks = line.group.ends_with(".k8s.io") && line.group.starts_with("authori");
                    let streams = line.subresource.as_deref() == Some("portforward");
                    Seen {
                        user: line.user.name.clone(),
                        verb: line.verb.to_owned(),
                        resource: line.resource.clone(),
                        writes: line.writes() && !asks && !streams,
                        text: format!("{} {} → {}", line.method, line.uri, entry.code),
                    }
                };
                Ok(entries.iter().map(seen).collect())
            }
            _ => Err("that mark is of another backend".to_owned()),
        }
    }

    /// The API server goes down, or comes back with its data.
    pub(crate) async fn set_running(&self, cluster: &str, running: bool) -> Result<(), String> {
        match self {
            Self::Real { testbed, .. } => {
                let cluster = testbed.cluster(cluster).map_err(said)?;
                if running {
                    return cluster.start_apiserver().await.map_err(said);
                }
                cluster.stop_apiserver();
                Ok(())
            }
            Self::Memory { sandbox, .. } => sandbox.set_listening(cluster, running).await.map_err(said),
        }
    }

    /// Whatever a scenario stopped or held, goes on.
    pub(crate) async fn everything_runs_again(&self) -> Result<(), String> {
        if let Self::Real { testbed, .. } = self {
            for cluster in testbed.clusters().iter().filter(|cluster| !cluster.apiserver_runs()) {
                cluster.start_apiserver().await.map_err(said)?;
            }
        }
        for cluster in CLUSTERS {
            self.world().hold_load_balancers(cluster, false).map_err(said)?;
        }
        Ok(())
    }

    /// From now on writes of such objects are refused. The policy takes effect a little later.
    pub(crate) async fn refuse(&self, cluster: &str, refusal: &Refusal) -> Result<(), String> {
        match self {
            Self::Real { .. } => {
                let client = self.client(cluster)?;
                for manifest in policy(refusal) {
                    objects::apply(client, &manifest).await?;
                }
                Ok(())
            }
            Self::Memory { sandbox, .. } => {
                let Refusal { namespace, resource, pointer, value, message } = refusal;
                let kind = Kind::find("", "v1", resource).ok_or_else(|| format!("no kind for {resource}"))?;
                sandbox.server(cluster).map_err(said)?.refuse(api_server::Refusal {
                    webhook: namespace.clone(),
                    kind,
                    namespace: Some(namespace.clone()),
                    having: Some((pointer.clone(), json!(value))),
                    message: message.clone(),
                });
                Ok(())
            }
        }
    }

    /// Takes back all refusals in a namespace.
    pub(crate) async fn admit_all(&self, cluster: &str, namespace: &str) -> Result<(), String> {
        match self {
            Self::Real { .. } => {
                let binding = Object {
                    cluster: cluster.to_owned(),
                    kind: "ValidatingAdmissionPolicyBinding".to_owned(),
                    namespace: None,
                    name: namespace.to_owned(),
                };
                objects::delete(self.client(cluster)?, &binding).await
            }
            Self::Memory { sandbox, .. } => {
                sandbox.server(cluster).map_err(said)?.admit_all(namespace);
                Ok(())
            }
        }
    }
}

/// The same as a policy of Kubernetes' own.
fn policy(refusal: &Refusal) -> [Value; 2] {
    let Refusal { namespace, resource, pointer, value, message } = refusal;
    let path = pointer.trim_start_matches('/').split('/').fold(vec!["object".to_owned()], |mut path, key| {
        path.push(format!("{}.{key}", path.last().cloned().unwrap_or_default()));
        path
    });
    let there: Vec<String> = path.iter().skip(1).map(|step| format!("has({step})")).collect();
    let field = path.last().cloned().unwrap_or_default();
    let expression = format!("!({} && {field} == '{value}')", there.join(" && "));
    let api = "admissionregistration.k8s.io/v1";
    [
        json!({
            "apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": { "name": namespace },
            "spec": {
                "matchConstraints": { "resourceRules": [{
                    "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
                    "resources": [resource],
                }] },
                "validations": [{ "expression": expression, "message": message }],
            },
        }),
        json!({
            "apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": { "name": namespace },
            "spec": {
                "policyName": namespace, "validationActions": ["Deny"],
                "matchResources": { "namespaceSelector": {
                    "matchLabels": { "kubernetes.io/metadata.name": namespace },
                } },
            },
        }),
    ]
}

fn without_nulls(mut manifest: Value) -> Value {
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|_, value| !value.is_null());
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_as_a_policy() {
        let refusal = Refusal {
            namespace: "ns".into(),
            resource: "services".into(),
            pointer: "/spec/type".into(),
            value: "NodePort".into(),
            message: "no".into(),
        };
        let expression = "!(has(object.spec) && has(object.spec.type) && object.spec.type == 'NodePort')";
        assert_eq!(policy(&refusal)[0]["spec"]["validations"][0]["expression"], expression);
    }
}
