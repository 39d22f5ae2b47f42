//! Users with few rights.
//!
//! Every user but the admin is a ServiceAccount with a token of its own, as a careful team would set it up, so RBAC
//! is the real one and users can be made while the server runs.

use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Where the ServiceAccounts live.
const NAMESPACE: &str = "testbed-users";

/// One RBAC rule, in RBAC's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// `""` is the core group.
    #[serde(default)]
    pub api_groups: Vec<String>,
    /// Plurals, with `/subresource` where one is meant.
    #[serde(default)]
    pub resources: Vec<String>,
    /// Limits the rule to objects of these names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// get, list, watch, create, update, patch, delete, `*`.
    pub verbs: Vec<String>,
}

/// What a user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// Nothing but what every authenticated user may.
    None,
    /// Everything, under a name of its own in the audit log.
    Everything,
    /// These rules in the whole cluster.
    Cluster(Vec<Rule>),
    /// These rules in one namespace, which is created if it does not exist.
    Namespaced(String, Vec<Rule>),
}

/// Makes (or changes) the user and returns a token for it.
pub(crate) async fn user(client: &Client, name: &str, rights: &Rights) -> kube::Result<String> {
    namespace(client, NAMESPACE).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    apply(&accounts, name, json!({})).await?;

    let role_name = format!("testbed-{name}");
    let subjects = json!([{ "kind": "ServiceAccount", "name": name, "namespace": NAMESPACE }]);
    let role_ref =
        |kind: &str, name: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name });
    match rights {
        Rights::None => {}
        Rights::Everything => {
            let binding = json!({ "roleRef": role_ref("ClusterRole", "cluster-admin"), "subjects": subjects });
            apply(&Api::<ClusterRoleBinding>::all(client.clone()), &role_name, binding).await?;
        }
        Rights::Cluster(rules) => {
            apply(&Api::<ClusterRole>::all(client.clone()), &role_name, json!({ "rules": rules })).await?;
            let binding = json!({ "roleRef": role_ref("ClusterRole", &role_name), "subjects": subjects });
            apply(&Api::<ClusterRoleBinding>::all(client.clone()), &role_name, binding).await?;
        }
        Rights::Namespaced(home, rules) => {
            namespace(client, home).await?;
            apply(&Api::<Role>::namespaced(client.clone(), home), &role_name, json!({ "rules": rules })).await?;
            let binding = json!({ "roleRef": role_ref("Role", &role_name), "subjects": subjects });
            apply(&Api::<RoleBinding>::namespaced(client.clone(), home), &role_name, binding).await?;
        }
    }

    let request = accounts.create_token_request(name, &PostParams::default(), &TokenRequest::default()).await?;
    Ok(request.status.map(|status| status.token).unwrap_or_default())
}

async fn namespace(client: &Client, name: &str) -> kube::Result<()> {
    apply(&Api::<Namespace>::all(client.clone()), name, json!({})).await
}

async fn apply<K>(api: &Api<K>, name: &str, mut body: Value) -> kube::Result<()>
where
    K: k8s_openapi::Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    body["apiVersion"] = K::API_VERSION.into();
    body["kind"] = K::KIND.into();
    body["metadata"] = json!({ "name": name });
    api.patch(name, &PatchParams::apply("testbed").force(), &Patch::Apply(body)).await.map(drop)
}
