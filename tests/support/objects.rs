//! Reading and changing any object of a cluster, by kind and name.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;

use super::script::{Answer, Object};

/// The kinds that scenarios speak of: kind, group, version, plural, and whether it lives in a namespace.
const KINDS: &[(&str, &str, &str, &str, bool)] = &[
    ("ConfigMap", "", "v1", "configmaps", true),
    ("Event", "", "v1", "events", true),
    ("LimitRange", "", "v1", "limitranges", true),
    ("Namespace", "", "v1", "namespaces", false),
    ("Node", "", "v1", "nodes", false),
    ("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims", true),
    ("Pod", "", "v1", "pods", true),
    ("ResourceQuota", "", "v1", "resourcequotas", true),
    ("Secret", "", "v1", "secrets", true),
    ("Service", "", "v1", "services", true),
    ("ServiceAccount", "", "v1", "serviceaccounts", true),
    ("Deployment", "apps", "v1", "deployments", true),
    ("StatefulSet", "apps", "v1", "statefulsets", true),
    ("Lease", "coordination.k8s.io", "v1", "leases", true),
    ("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices", true),
    ("HTTPRoute", "gateway.networking.k8s.io", "v1", "httproutes", true),
    ("PodMonitor", "monitoring.coreos.com", "v1", "podmonitors", true),
    ("Ingress", "networking.k8s.io", "v1", "ingresses", true),
    ("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies", true),
    ("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", true),
    ("ClusterRole", "rbac.authorization.k8s.io", "v1", "clusterroles", false),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io", "v1", "clusterrolebindings", false),
    ("Role", "rbac.authorization.k8s.io", "v1", "roles", true),
    ("RoleBinding", "rbac.authorization.k8s.io", "v1", "rolebindings", true),
    ("ValidatingAdmissionPolicy", "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", false),
    (
        "ValidatingAdmissionPolicyBinding",
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicybindings",
        false,
    ),
];

fn api(client: &Client, kind: &str, namespace: Option<&str>) -> Result<Api<DynamicObject>, String> {
    let &(_, group, version, plural, namespaced) = KINDS
        .iter()
        .find(|(known, ..)| *known == kind)
        .ok_or_else(|| format!("`{kind}` is not among the kinds in tests/support/objects.rs"))?;
    if namespaced != namespace.is_some() {
        let shape = if namespaced { "NAMESPACE/NAME" } else { "NAME" };
        return Err(format!("a {kind} is named {shape}"));
    }
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    Ok(match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

fn api_of_all(client: &Client, kind: &str) -> Result<Api<DynamicObject>, String> {
    let known = KINDS.iter().find(|(known, ..)| *known == kind);
    let &(_, group, version, plural, _) = known.ok_or_else(|| format!("`{kind}` is no known kind"))?;
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    Ok(Api::all_with(client.clone(), &resource))
}

/// The object as JSON; nothing when the server says that there is none.
pub(crate) async fn get(client: &Client, object: &Object) -> Result<Option<Value>, String> {
    let found = api(client, &object.kind, object.namespace.as_deref())?.get_opt(&object.name).await;
    let found = found.map_err(|error| error.to_string())?;
    found.map(|found| serde_json::to_value(found).map_err(|error| error.to_string())).transpose()
}

/// Everything that is secret in namespaces whose name begins so: where it stands, and its value.
pub(crate) async fn secrets(client: &Client, namespace: &str) -> Result<Vec<(String, String)>, String> {
    let all =
        Api::<Secret>::all(client.clone()).list(&ListParams::default()).await.map_err(|error| error.to_string())?;
    let mut values = Vec::new();
    for secret in all.items.into_iter().filter(|secret| secret.namespace().is_some_and(|it| it.starts_with(namespace)))
    {
        let name = secret.name_any();
        for (key, value) in secret.data.unwrap_or_default() {
            // Shorter ones are names of users.
            let value = String::from_utf8(value.0).ok().filter(|value| value.len() >= 12);
            values.extend(value.map(|value| (format!("{key} of Secret {name}"), value)));
        }
    }
    Ok(values)
}

/// What Events say in namespaces whose name begins so.
pub(crate) async fn events(client: &Client, namespace: &str) -> Result<String, String> {
    let all = api_of_all(client, "Event")?.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
    let ours = all.items.iter().filter(|event| event.namespace().is_some_and(|it| it.starts_with(namespace)));
    Ok(ours.map(|event| event.data.to_string()).collect::<Vec<_>>().join("\n"))
}

pub(crate) async fn delete(client: &Client, object: &Object) -> Result<(), String> {
    let api = api(client, &object.kind, object.namespace.as_deref())?;
    // At once, as no kubelet is there to take its time.
    let now = DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
    api.delete(&object.name, &now).await.map(drop).map_err(|error| error.to_string())
}

pub(crate) async fn merge(client: &Client, object: &Object, patch: &Value) -> Result<(), String> {
    let api = api(client, &object.kind, object.namespace.as_deref())?;
    let merged = api
        .patch(
            &object.name,
            &PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() },
            &Patch::Merge(patch),
        )
        .await;
    merged.map(drop).map_err(|error| error.to_string())
}

/// Applies a manifest under a field manager that is nobody's of ours.
pub(crate) async fn apply(client: &Client, manifest: &Value) -> Result<(), String> {
    applied(client, manifest, &PatchParams::apply("somebody-else").force()).await
}

/// Asks whether a manifest would be accepted; writes nothing.
pub(crate) async fn try_apply(client: &Client, manifest: &Value) -> Answer {
    match applied(client, manifest, &PatchParams::apply("somebody-else").force().dry_run()).await {
        Ok(()) => Answer::Accepted,
        Err(_) => Answer::Refused,
    }
}

async fn applied(client: &Client, manifest: &Value, parameters: &PatchParams) -> Result<(), String> {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").ok_or("the manifest has no kind")?;
    let name = text("/metadata/name").ok_or("the manifest has no name")?;
    let api = api(client, kind, text("/metadata/namespace"))?;
    let applied = api.patch(name, parameters, &Patch::Apply(manifest)).await;
    applied.map(drop).map_err(|error| error.to_string())
}

/// What stands at a JSON pointer, as scenarios write it: text without quotes, everything else as JSON.
pub(crate) fn at(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        None => "(nothing)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_read_as_scenarios_write_them() {
        let object = json!({ "metadata": { "labels": { "jitsictl.dev/fleet": "meet" } }, "spec": { "ports": [5222] } });
        assert_eq!(at(&object, "/metadata/labels/jitsictl.dev~1fleet"), "meet");
        assert_eq!(at(&object, "/spec/ports/0"), "5222");
        assert_eq!(at(&object, "/spec/ports"), "[5222]");
        assert_eq!(at(&object, "/status"), "(nothing)");
    }
}
