//! What a Deployment says about itself.

use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::DEPLOYMENT;
use jiff::SignedDuration;
use serde_json::{Value as Json, json};

use super::super::object::{at, condition, list, name, number, text, time};
use super::{Rollout, counted};

/// The counts that progress is judged by.
struct Counts {
    replicas: i64,
    updated: i64,
    ready: i64,
    available: i64,
}

impl Rollout<'_> {
    fn counts(&self) -> Counts {
        let sum = |field| self.sets.iter().map(|set| counted(set, field)).sum();
        Counts {
            replicas: sum("replicas"),
            updated: self.current.map_or(0, |set| counted(set, "replicas")),
            ready: sum("readyReplicas"),
            available: sum("availableReplicas"),
        }
    }

    /// Whether everything is new and available.
    pub(super) fn is_complete(&self) -> bool {
        let counts = self.counts();
        let wanted = self.wanted();
        self.current.is_some() && counts.updated == wanted && counts.replicas == wanted && counts.available == wanted
    }

    /// Writes the status; says when to look again.
    pub(super) fn report(&self) -> Result<Option<Duration>, ApiError> {
        let counts = self.counts();
        let mut status = json!({ "observedGeneration": number(self.deployment, &["metadata", "generation"]) });
        for (field, count) in [
            ("replicas", counts.replicas),
            ("updatedReplicas", counts.updated),
            ("readyReplicas", counts.ready),
            ("availableReplicas", counts.available),
            ("unavailableReplicas", (counts.replicas.max(self.wanted()) - counts.available).max(0)),
        ] {
            if count > 0 {
                status[field] = json!(count);
            }
        }
        if let Some(collisions) = at(self.deployment, &["status", "collisionCount"]) {
            status["collisionCount"] = collisions.clone();
        }
        let mut conditions = vec![self.availability(&counts)];
        let (progressing, again) = self.progress(&counts);
        conditions.extend(progressing);
        let kept = list(self.deployment, &["status", "conditions"])
            .iter()
            .filter(|known| !matches!(text(known, &["type"]), "Available" | "Progressing"));
        conditions.extend(kept.cloned());
        status["conditions"] = json!(conditions);
        self.context.set_status(&DEPLOYMENT, self.deployment, status)?;
        Ok(again)
    }

    fn availability(&self, counts: &Counts) -> Json {
        if counts.available >= self.wanted() - self.margins().1 {
            let message = "Deployment has minimum availability.";
            self.condition("Available", "True", "MinimumReplicasAvailable", message, false)
        } else {
            let message = "Deployment does not have minimum availability.";
            self.condition("Available", "False", "MinimumReplicasUnavailable", message, false)
        }
    }

    /// Whether the rollout gets on, and when it will have taken too long.
    fn progress(&self, counts: &Counts) -> (Option<Json>, Option<Duration>) {
        let deadline = number(self.deployment, &["spec", "progressDeadlineSeconds"]).unwrap_or(600);
        if deadline == i64::from(i32::MAX) {
            // That is how no deadline is spelt.
            return (None, None);
        }
        let known = condition(self.deployment, "Progressing");
        let reason = known.map(|known| text(known, &["reason"])).unwrap_or_default();
        let subject = match self.current {
            Some(set) => format!("ReplicaSet \"{}\"", name(set)),
            None => format!("Deployment \"{}\"", name(self.deployment)),
        };
        let before = |field| counted(self.deployment, field);
        if self.is_complete() {
            let message = format!("{subject} has successfully progressed.");
            return (Some(self.condition("Progressing", "True", "NewReplicaSetAvailable", &message, false)), None);
        }
        if reason == "NewReplicaSetAvailable" && counts.replicas == counts.updated {
            // Pods of a finished rollout come and go without being a rollout.
            return (known.cloned(), None);
        }
        let moved = counts.updated > before("updatedReplicas")
            || counts.replicas - counts.updated < before("replicas") - before("updatedReplicas")
            || counts.ready > before("readyReplicas")
            || counts.available > before("availableReplicas");
        let limit = SignedDuration::from_secs(deadline);
        let since = known.and_then(|known| time(known, &["lastUpdateTime"]));
        match (known, since) {
            (Some(known), Some(_)) if !moved && reason == "ProgressDeadlineExceeded" => (Some(known.clone()), None),
            (Some(known), Some(since)) if !moved && reason != "NewReplicaSetAvailable" => {
                let left = limit - self.context.now.duration_since(since);
                if left.is_positive() {
                    return (Some(known.clone()), Duration::try_from(left).ok());
                }
                let message = format!("{subject} has timed out progressing.");
                (Some(self.condition("Progressing", "False", "ProgressDeadlineExceeded", &message, true)), None)
            }
            _ => {
                let message = format!("{subject} is progressing.");
                let condition = self.condition("Progressing", "True", "ReplicaSetUpdated", &message, true);
                (Some(condition), Duration::try_from(limit).ok())
            }
        }
    }

    /// A condition; the one that is there when it says the same and nothing `moved`.
    fn condition(&self, kind: &str, status: &str, reason: &str, message: &str, moved: bool) -> Json {
        let known = condition(self.deployment, kind);
        let same = known.filter(|known| text(known, &["status"]) == status);
        if let Some(same) = same
            && !moved
            && text(same, &["reason"]) == reason
            && text(same, &["message"]) == message
        {
            return same.clone();
        }
        let now = self.context.stamp();
        json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": same.map_or(now.as_str(), |same| text(same, &["lastTransitionTime"])),
        })
    }
}
