//! What a StatefulSet says about itself.

use api_server::ApiError;
use api_server::kinds::STATEFUL_SET;
use serde_json::{Value as Json, json};

use super::super::object::{is_going, label, number, text};
use super::super::pods;
use super::{Look, REVISION_LABEL};

impl Look<'_> {
    /// Writes the status. `currentRevision` follows only when a *rolling* update is complete: with OnDelete it names
    /// the old one for ever, as on real clusters.
    pub(super) fn report(&self) -> Result<(), ApiError> {
        let pods: Vec<&Json> =
            self.wanted.iter().filter_map(|(_, pod)| *pod).chain(self.surplus.iter().copied()).collect();
        let count = |of: &dyn Fn(&Json) -> bool| pods.iter().filter(|pod| of(pod)).count();
        let staying = |revision: &str| count(&|pod| !is_going(pod) && label(pod, REVISION_LABEL) == revision);
        let ready = count(&|pod| pods::phase(pod) == "Running" && pods::is_ready(pod));
        let updated = staying(&self.revisions.update.name);
        let mut current = (&self.revisions.current.name, staying(&self.revisions.current.name));
        let rolling = text(self.set, &["spec", "updateStrategy", "type"]) != "OnDelete";
        if rolling && updated == pods.len() && ready == pods.len() {
            current = (&self.revisions.update.name, updated);
        }
        let mut status = json!({
            "observedGeneration": number(self.set, &["metadata", "generation"]),
            "replicas": pods.len(),
            "availableReplicas": count(&|pod| self.is_available(pod)),
            "currentRevision": current.0,
            "updateRevision": self.revisions.update.name,
            "collisionCount": number(self.set, &["status", "collisionCount"]).unwrap_or_default(),
        });
        // Absent when zero, as Go leaves them out.
        for (field, count) in [("readyReplicas", ready), ("currentReplicas", current.1), ("updatedReplicas", updated)] {
            if count > 0 {
                status[field] = json!(count);
            }
        }
        self.context.set_status(&STATEFUL_SET, self.set, status)
    }
}
