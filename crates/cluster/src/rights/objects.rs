//! Rights as the objects that grant them.

use fleet::{ClusterName, Fleet, Plane};
use manifest::labels;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

use super::{Rights, Rule};

const RBAC: &str = "rbac.authorization.k8s.io";

/// A ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// An object to be created, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// As RBAC names it: `roles`.
    pub plural: &'static str,
    /// Its API group.
    pub group: &'static str,
    /// Its namespace; none for what is of the whole cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The whole object.
    pub body: Json,
}

/// What is created in a cluster so that an account may do a plane's work.
#[derive(Debug, Clone, PartialEq)]
pub struct Grants {
    /// Who is allowed.
    pub account: Account,
    /// In the fleet's namespace: the account unless it is somebody else's, its role and their binding.
    pub needed: Vec<Grant>,
    /// In the whole cluster, and what happens without each rule.
    pub optional: Vec<Grant>,
    /// The same in words.
    pub without: Vec<&'static str>,
}

/// The objects that give an account these rights; the account is made too unless one is named.
#[must_use]
pub fn grants(
    fleet: &Fleet,
    planes: &BTreeSet<Plane>,
    cluster: &ClusterName,
    rights: &Rights,
    account: Option<Account>,
) -> Grants {
    let namespace = fleet.clusters.get(cluster).map(|cluster| cluster.namespace.clone()).unwrap_or_default();
    let mut name = format!("{}-jitsictl", fleet.name);
    if let [plane] = planes.iter().collect::<Vec<_>>().as_slice() {
        name = format!("{name}-{plane}");
    }
    let writer = Writer { fleet, namespace: &namespace };
    let own = account.is_none();
    let account = account.unwrap_or_else(|| Account { namespace: namespace.clone(), name: name.clone() });
    let mut needed = Vec::new();
    if own {
        needed.push(writer.account(&name));
    }
    needed.push(writer.role(&name, &rights.namespaced));
    needed.push(writer.binding(&name, &account));
    // Names of cluster scope are shared with every other fleet there.
    let wide = format!("{namespace}-{name}");
    let mut optional = Vec::new();
    if !rights.optional.is_empty() {
        let rules: Vec<Rule> = rights.optional.iter().map(|(rule, _)| rule.clone()).collect();
        optional.push(writer.cluster_role(&wide, &rules));
        optional.push(writer.cluster_binding(&wide, &account));
    }
    Grants { account, needed, optional, without: rights.optional.iter().map(|(_, without)| *without).collect() }
}

struct Writer<'a> {
    fleet: &'a Fleet,
    namespace: &'a str,
}

impl Writer<'_> {
    fn account(&self, name: &str) -> Grant {
        // Only what asks for its token gets it.
        let content = json!({ "automountServiceAccountToken": false });
        self.object(("", "ServiceAccount", "serviceaccounts"), true, name, content)
    }

    fn role(&self, name: &str, rules: &[Rule]) -> Grant {
        self.object((RBAC, "Role", "roles"), true, name, json!({ "rules": rules }))
    }

    fn cluster_role(&self, name: &str, rules: &[Rule]) -> Grant {
        self.object((RBAC, "ClusterRole", "clusterroles"), false, name, json!({ "rules": rules }))
    }

    fn binding(&self, name: &str, account: &Account) -> Grant {
        self.object((RBAC, "RoleBinding", "rolebindings"), true, name, bind("Role", name, account))
    }

    fn cluster_binding(&self, name: &str, account: &Account) -> Grant {
        let content = bind("ClusterRole", name, account);
        self.object((RBAC, "ClusterRoleBinding", "clusterrolebindings"), false, name, content)
    }

    fn object(
        &self,
        (group, kind, plural): (&'static str, &str, &'static str),
        namespaced: bool,
        name: &str,
        content: Json,
    ) -> Grant {
        let namespace = namespaced.then(|| self.namespace.to_owned());
        let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let mut metadata = json!({ "name": name });
        if let Some(namespace) = &namespace {
            metadata["namespace"] = json!(namespace);
        }
        metadata["labels"] = json!({
            labels::NAME: labels::MANAGER,
            labels::PART_OF: self.fleet.name.as_str(),
            labels::MANAGED_BY: labels::MANAGER,
        });
        let mut body = json!({ "apiVersion": version, "kind": kind, "metadata": metadata });
        if let (Some(body), Json::Object(content)) = (body.as_object_mut(), content) {
            body.extend(content);
        }
        Grant { plural, group, namespace, name: name.to_owned(), body }
    }
}

fn bind(kind: &str, role: &str, account: &Account) -> Json {
    json!({
        "roleRef": { "apiGroup": RBAC, "kind": kind, "name": role },
        "subjects": [{ "kind": "ServiceAccount", "namespace": account.namespace, "name": account.name }],
    })
}
