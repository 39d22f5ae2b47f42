//! What an object must look like.

mod custom;
mod data;
mod metadata;
mod network;
mod pod;
mod selectors;
mod service;
mod workloads;

use serde_json::Value as Json;

use super::Attempt;
use super::causes::Causes;
use crate::error::ApiError;

use super::shape::text;

/// Checks an object, and on update what may not change.
pub(super) fn check(object: &Json, attempt: &Attempt<'_>) -> Result<(), ApiError> {
    let mut causes = Causes::default();
    metadata::check(&mut causes, object, attempt);
    if attempt.kind.custom {
        custom::check(&mut causes, object, attempt);
    }
    // What only the server's own controllers write is not checked any further.
    if attempt.subresource.is_none() {
        let old = attempt.old;
        match attempt.kind.name {
            "Pod" => pod::pod(&mut causes, object, old),
            "Service" => service::service(&mut causes, object, old),
            "Deployment" => workloads::deployment(&mut causes, object, old),
            "ReplicaSet" => workloads::replica_set(&mut causes, object, old),
            "StatefulSet" => workloads::stateful_set(&mut causes, object, old),
            "ConfigMap" => data::config_map(&mut causes, object, old),
            "Secret" => data::secret(&mut causes, object, old),
            "PersistentVolumeClaim" => data::claim(&mut causes, object, old),
            "PriorityClass" => data::priority_class(&mut causes, object, old),
            "ResourceQuota" => data::quota(&mut causes, object),
            "Lease" => data::lease(&mut causes, object),
            "RoleBinding" | "ClusterRoleBinding" => return binding(causes, object, attempt),
            "EndpointSlice" => network::endpoint_slice(&mut causes, object, old),
            "NetworkPolicy" => network::network_policy(&mut causes, object),
            "PodDisruptionBudget" => network::disruption_budget(&mut causes, object),
            _ => {}
        }
    }
    causes.verdict(attempt.kind, text(object, "/metadata/name"))
}

/// A binding keeps its role.
fn binding(mut causes: Causes, object: &Json, attempt: &Attempt<'_>) -> Result<(), ApiError> {
    if let Some(old) = attempt.old
        && object.get("roleRef") != old.get("roleRef")
    {
        let part = |name: &str| text(object, &format!("/roleRef/{name}"));
        // In the field names of the server's own type.
        let shown = serde_json::json!({ "APIGroup": part("apiGroup"), "Kind": part("kind"), "Name": part("name") });
        causes.invalid("roleRef", &shown, "cannot change roleRef");
    }
    causes.verdict(attempt.kind, text(object, "/metadata/name"))
}
