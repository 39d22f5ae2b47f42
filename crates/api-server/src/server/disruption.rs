//! Eviction: a deletion that asks the disruption budgets first.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::subresource::done;
use super::{Call, State};
use crate::error::ApiError;
use crate::kinds::DISRUPTION_BUDGET;
use crate::request::{Answer, Request, Verb};
use crate::store::text;

impl Call<'_> {
    pub(super) fn evict(&self, state: &mut State) -> Result<Answer, ApiError> {
        if text(&self.request.body, "name") != Some(self.name()) {
            return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
        }
        let pod = state.store.get(self.request.kind, &self.key()).ok_or_else(|| self.not_found(self.name()))?;
        let phase = pod.pointer("/status/phase").and_then(Json::as_str).unwrap_or_default();
        // What does not run yet, or has ended, is nobody's disruption; nor is what is being deleted already.
        let counts = !matches!(phase, "Pending" | "Succeeded" | "Failed")
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
        let call = Call { request: &request, ..*self };
        if !self.request.parameters.dry_run {
            call.preconditions(&pod)?;
            self.say_why(state, &pod);
            request.parameters.if_resource_version = None;
        }
        Call { request: &request, ..*self }.delete(state)?;
        Ok(done())
    }

    /// Writes into the pod why it goes.
    fn say_why(&self, state: &mut State, pod: &Json) {
        let mut new = pod.clone();
        let why = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": self.timestamp(),
        });
        if !new["status"]["conditions"].is_array() {
            new["status"]["conditions"] = json!([]);
        }
        let conditions = new["status"]["conditions"].as_array_mut();
        if let Some(conditions) = conditions
            && !conditions.iter().any(|one| one["type"] == why["type"] && one["reason"] == why["reason"])
        {
            conditions.retain(|one| one["type"] != why["type"]);
            conditions.push(why);
            state.store.put(self.request.kind, self.key(), new);
        }
    }

    /// Takes one disruption from the pod's budget, if it has one.
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
                return Err(ApiError::new(500, "", message));
            }
        };
        let number = |pointer: &str| budget.pointer(pointer).and_then(Json::as_i64).unwrap_or(0);
        let (healthy, desired) = (number("/status/currentHealthy"), number("/status/desiredHealthy"));
        let always = budget.pointer("/spec/unhealthyPodEvictionPolicy").is_some_and(|policy| policy == "AlwaysAllow");
        // Who is not healthy does not count among the healthy ones that must stay.
        if !is_ready(pod) && (always || (healthy >= desired && desired > 0)) {
            return Ok(());
        }
        let name = text(budget, "name").unwrap_or_default();
        let refused = |cause: String| {
            let message = "Cannot evict pod as it would violate the pod's disruption budget.";
            let causes = json!({ "causes": [{ "reason": "DisruptionBudget", "message": cause }] });
            ApiError::new(429, "TooManyRequests", message).with(causes)
        };
        if number("/status/observedGeneration") < number("/metadata/generation") {
            let mut error = refused(format!("The disruption budget {name} is still being processed by the server."));
            error.details["retryAfterSeconds"] = 10.into();
            return Err(error);
        }
        let allowed = number("/status/disruptionsAllowed");
        if allowed <= 0 {
            let cause =
                format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
            return Err(refused(cause));
        }
        if !self.request.parameters.dry_run {
            self.take_one(state, budget, allowed)?;
        }
        Ok(())
    }

    /// The server itself writes the budget's status.
    fn take_one(&self, state: &mut State, budget: &Json, allowed: i64) -> Result<(), ApiError> {
        let name = text(budget, "name");
        let mut request = Request::new(Verb::Update, &DISRUPTION_BUDGET, self.namespace(), name);
        request.subresource = Some("status".to_owned());
        request.parameters.manager = Some("kube-apiserver".to_owned());
        request.body = budget.clone();
        let status = &mut request.body["status"];
        status["disruptionsAllowed"] = (allowed - 1).into();
        if !status["disruptedPods"].is_object() {
            status["disruptedPods"] = json!({});
        }
        status["disruptedPods"][self.name()] = self.timestamp().into();
        if allowed == 1 {
            let known = status["conditions"].as_array().cloned().unwrap_or_default();
            let is_about = |one: &Json| one["type"] == "DisruptionAllowed";
            let since = known.iter().find(|one| is_about(one) && one["status"] == "False");
            let since = since.map_or_else(|| self.timestamp().into(), |one| one["lastTransitionTime"].clone());
            let mut conditions: Vec<Json> = known.into_iter().filter(|one| !is_about(one)).collect();
            conditions.push(json!({
                "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
                "observedGeneration": status["observedGeneration"], "lastTransitionTime": since,
            }));
            status["conditions"] = conditions.into();
        }
        Call { request: &request, ..*self }.update(state).map(drop)
    }
}

fn is_ready(pod: &Json) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Json::as_array);
    conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
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
