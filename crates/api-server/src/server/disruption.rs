//! Eviction: a deletion that asks the disruption budgets first.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Call, State};
use crate::error::ApiError;
use crate::kinds::DISRUPTION_BUDGET;
use crate::request::{Answer, Request, Verb};
use crate::store::{key, text};

impl Call<'_> {
    pub(super) fn evict(&self, state: &mut State) -> Result<Answer, ApiError> {
        let pod = state.store.get(self.request.kind, &self.key()).ok_or_else(|| self.not_found(self.name()))?;
        let at = |pointer: &str| pod.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
        // What does not run yet, or has ended, is nobody's disruption; nor is what is being deleted already.
        let counts = !matches!(at("/status/phase"), "Pending" | "Succeeded" | "Failed")
            && pod.pointer("/metadata/deletionTimestamp").is_none();
        if counts {
            self.budgets(state, &pod)?;
        }
        let mut request = Request::new(Verb::Delete, self.request.kind, self.namespace(), Some(self.name()));
        let options = self.request.body.get("deleteOptions");
        let text = |pointer: &str| options.and_then(|options| options.pointer(pointer)?.as_str()).map(str::to_owned);
        request.parameters.uid = text("/preconditions/uid");
        request.parameters.if_resource_version = text("/preconditions/resourceVersion");
        request.parameters.grace_seconds = options.and_then(|options| options.get("gracePeriodSeconds")?.as_i64());
        request.parameters.dry_run = self.request.parameters.dry_run;
        Call { request: &request, ..*self }.delete(state)?;
        let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
        Ok(Answer::Object { object: Arc::new(status), created: true, warnings: Vec::new() })
    }

    fn budgets(&self, state: &mut State, pod: &Json) -> Result<(), ApiError> {
        let budgets: Vec<Arc<Json>> = state
            .store
            .list(&DISRUPTION_BUDGET, self.namespace())
            .map(|(_, budget)| Arc::clone(budget))
            .filter(|budget| selects(&budget["spec"]["selector"], &pod["metadata"]["labels"]))
            .collect();
        let budget = match budgets.as_slice() {
            [] => return Ok(()),
            [one] => one,
            _ => {
                let message =
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(ApiError::new(500, "InternalError", message));
            }
        };
        let name = text(budget, "name").unwrap_or_default();
        let number = |pointer: &str| budget.pointer(pointer).and_then(Json::as_i64).unwrap_or(0);
        let refused = |message: &str, cause: String| {
            let causes = json!({ "causes": [{ "reason": "DisruptionBudget", "message": cause }] });
            ApiError::new(429, "TooManyRequests", message).with(causes)
        };
        if number("/status/observedGeneration") < number("/metadata/generation") {
            let cause = format!("The disruption budget {name} is still being processed by the server.");
            let message = "Cannot evict pod as it would violate the pod's disruption budget.";
            let mut error = refused(message, cause);
            error.details["retryAfterSeconds"] = 10.into();
            return Err(error);
        }
        let allowed = number("/status/disruptionsAllowed");
        if allowed <= 0 {
            let cause = format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                number("/status/desiredHealthy"),
                number("/status/currentHealthy")
            );
            return Err(refused("Cannot evict pod as it would violate the pod's disruption budget.", cause));
        }
        if self.request.parameters.dry_run {
            return Ok(());
        }
        let mut new = Json::clone(budget);
        new["status"]["disruptionsAllowed"] = (allowed - 1).into();
        if !new["status"]["disruptedPods"].is_object() {
            new["status"]["disruptedPods"] = json!({});
        }
        new["status"]["disruptedPods"][self.name()] = self.timestamp().into();
        state.store.put(&DISRUPTION_BUDGET, key(self.namespace(), name), new);
        Ok(())
    }
}

/// Whether a label selector of an object fits these labels. One without any requirement selects everything.
fn selects(selector: &Json, labels: &Json) -> bool {
    if selector.is_null() {
        return false;
    }
    let label = |key: &str| labels.get(key).and_then(Json::as_str);
    let simple = selector["matchLabels"].as_object().into_iter().flatten();
    simple.into_iter().all(|(key, value)| label(key) == value.as_str())
        && selector["matchExpressions"].as_array().into_iter().flatten().all(|expression| {
            let key = expression["key"].as_str().unwrap_or_default();
            let listed = |value: &str| expression["values"].as_array().into_iter().flatten().any(|one| one == value);
            match expression["operator"].as_str() {
                Some("In") => label(key).is_some_and(listed),
                Some("NotIn") => label(key).is_none_or(|value| !listed(value)),
                Some("Exists") => label(key).is_some(),
                Some("DoesNotExist") => label(key).is_none(),
                _ => false,
            }
        })
}
