//! StatefulSets: pods with numbers and names of their own, one after the other, never two of one name.

mod claims;
mod identity;
mod revisions;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::{CONTROLLER_REVISION, POD, STATEFUL_SET};
use serde_json::Value as Json;

use super::context::Context;
use super::labels;
use super::object::{at, controller, is_going, label, namespace, number, text};
use super::pods;
use super::runner::Controller;
use super::store::{Event, Key, Store};
use revisions::Revisions;

const REVISION_LABEL: &str = "controller-revision-hash";

pub(crate) struct StatefulSets;

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "statefulset"
    }

    fn wake(&mut self, event: &Event, store: &Store, keys: &mut Vec<Key>) {
        if event.key.kind == &STATEFUL_SET {
            keys.push(event.key.clone());
        } else if event.key.kind == &POD || event.key.kind == &CONTROLLER_REVISION {
            let object = event.last();
            match controller(object) {
                Some(owner) if text(owner, &["kind"]) == STATEFUL_SET.name => {
                    keys.push(Key::new(&STATEFUL_SET, namespace(object), text(owner, &["name"])));
                }
                Some(_) => {}
                None => keys.extend(
                    store
                        .within(&STATEFUL_SET, namespace(object))
                        .filter(|set| labels::selects(at(set, &["spec", "selector"]), object))
                        .map(|set| Key::of(&STATEFUL_SET, set)),
                ),
            }
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(set) = context.store.get(key) else { return Ok(None) };
        let owned = context.claim(&POD, &STATEFUL_SET, set)?;
        let revisions = Revisions::find(set, context)?;
        let look = Look::new(set, &revisions, &owned, context);
        let worked = if is_going(set) { Ok(()) } else { look.work() };
        look.report()?;
        worked?;
        revisions.forget_oldest(set, &owned, context)?;
        Ok(pods::next_available(owned.iter().map(|pod| &**pod), look.min_ready, context.now))
    }
}

/// One look at a StatefulSet.
struct Look<'a> {
    set: &'a Json,
    revisions: &'a Revisions,
    /// Those that are wanted, by number; none where one is missing.
    wanted: Vec<(i64, Option<&'a Json>)>,
    /// Those beyond, the highest number first.
    surplus: Vec<&'a Json>,
    min_ready: i64,
    context: Context<'a>,
}

impl<'a> Look<'a> {
    fn new(set: &'a Json, revisions: &'a Revisions, owned: &'a [Arc<Json>], context: Context<'a>) -> Self {
        let first = number(set, &["spec", "ordinals", "start"]).unwrap_or_default();
        let last = first + number(set, &["spec", "replicas"]).unwrap_or(1);
        let mut numbered: BTreeMap<i64, &Json> =
            owned.iter().filter_map(|pod| Some((identity::ordinal(set, pod)?, &**pod))).collect();
        let wanted = (first..last).map(|ordinal| (ordinal, numbered.remove(&ordinal))).collect();
        let surplus = numbered.into_values().rev().collect();
        let min_ready = number(set, &["spec", "minReadySeconds"]).unwrap_or_default();
        Self { set, revisions, wanted, surplus, min_ready, context }
    }

    fn one_by_one(&self) -> bool {
        text(self.set, &["spec", "podManagementPolicy"]) != "Parallel"
    }

    fn is_available(&self, pod: &Json) -> bool {
        pods::phase(pod) == "Running" && pods::is_available(pod, self.min_ready, self.context.now)
    }

    /// Makes what is missing, removes what is too much, then replaces what is old.
    fn work(&self) -> Result<(), ApiError> {
        if self.fill()? && self.trim()? {
            self.replace_old()?;
        }
        Ok(())
    }

    /// Says whether the next step's turn has come.
    fn fill(&self) -> Result<bool, ApiError> {
        for (ordinal, pod) in &self.wanted {
            match pod {
                None => {
                    claims::create(self.set, *ordinal, self.context)?;
                    let (template, revision) = self.revisions.of_new(self.set, *ordinal);
                    self.context.create(&POD, identity::pod(self.set, *ordinal, template, revision))?;
                    if self.one_by_one() {
                        return Ok(false);
                    }
                }
                Some(pod) if pods::has_ended(pod) => {
                    if !is_going(pod) {
                        self.context.delete(&POD, pod)?;
                    }
                    return Ok(false);
                }
                Some(pod) => {
                    if self.one_by_one() && (is_going(pod) || !self.is_available(pod)) {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn trim(&self) -> Result<bool, ApiError> {
        let mut all = self.wanted.iter().filter_map(|(_, pod)| *pod).chain(self.surplus.iter().rev().copied());
        let first_unhealthy = all.find(|pod| is_going(pod) || !self.is_available(pod));
        for pod in &self.surplus {
            if is_going(pod) {
                if self.one_by_one() {
                    return Ok(false);
                }
                continue;
            }
            let is_first = first_unhealthy.is_some_and(|first| std::ptr::eq(first, *pod));
            if self.one_by_one() && !self.is_available(pod) && !is_first {
                return Ok(false);
            }
            claims::release_with(self.set, pod, self.context)?;
            self.context.delete(&POD, pod)?;
            if self.one_by_one() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// RollingUpdate: from the highest number down to the partition, each after the ones above are well.
    fn replace_old(&self) -> Result<(), ApiError> {
        if text(self.set, &["spec", "updateStrategy", "type"]) == "OnDelete" {
            return Ok(());
        }
        let partition = revisions::partition(self.set).unwrap_or_default();
        for (ordinal, pod) in self.wanted.iter().rev() {
            let Some(pod) = pod.filter(|_| *ordinal >= partition) else { return Ok(()) };
            if label(pod, REVISION_LABEL) != self.revisions.update.name && !is_going(pod) {
                return self.context.delete(&POD, pod);
            }
            if is_going(pod) || !self.is_available(pod) {
                return Ok(());
            }
        }
        Ok(())
    }
}
