//! Deployments: one ReplicaSet per template, and pods moved from the old ones to the new one.

mod revision;
mod rolling;
mod status;

use std::sync::Arc;
use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::{DEPLOYMENT, POD, REPLICA_SET};
use serde_json::{Value as Json, json};

use super::context::Context;
use super::labels;
use super::object::{at, controller, created, is_going, name, namespace, number, put, share, text, truth};
use super::pods;
use super::runner::Controller;
use super::store::{Event, Key, Store};

pub(crate) struct Deployments;

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployment"
    }

    fn wake(&mut self, event: &Event, store: &Store, keys: &mut Vec<Key>) {
        if event.key.kind == &DEPLOYMENT {
            keys.push(event.key.clone());
        } else if event.key.kind == &REPLICA_SET {
            let set = event.last();
            match controller(set) {
                Some(owner) if text(owner, &["kind"]) == DEPLOYMENT.name => {
                    keys.push(Key::new(&DEPLOYMENT, namespace(set), text(owner, &["name"])));
                }
                Some(_) => {}
                None => keys.extend(
                    store
                        .within(&DEPLOYMENT, namespace(set))
                        .filter(|deployment| labels::selects(at(deployment, &["spec", "selector"]), set))
                        .map(|deployment| Key::of(&DEPLOYMENT, deployment)),
                ),
            }
        } else if event.key.kind == &POD && event.new.is_none() {
            // A Deployment that recreates waits until the last old pod is gone.
            let owner = controller(event.last()).and_then(|owner| store.by_uid(text(owner, &["uid"])));
            if let Some((_, set)) = owner
                && let Some(owner) = controller(set).filter(|owner| text(owner, &["kind"]) == DEPLOYMENT.name)
            {
                keys.push(Key::new(&DEPLOYMENT, namespace(set), text(owner, &["name"])));
            }
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(deployment) = context.store.get(key) else { return Ok(None) };
        let mut sets = context.claim(&REPLICA_SET, &DEPLOYMENT, deployment)?;
        sets.sort_by(|a, b| (created(a), name(a)).cmp(&(created(b), name(b))));
        let rollout = Rollout { deployment, current: revision::find(deployment, &sets), sets: &sets, context };
        if is_going(deployment) || truth(deployment, &["spec", "paused"]) {
            if !is_going(deployment) {
                rollout.scale_while_paused()?;
            }
            return rollout.report();
        }
        // Each write wakes this Deployment again, with the new state in sight.
        let Some(current) = rollout.current else {
            if rollout.recreates() && rollout.retire_old()? {
                return rollout.report();
            }
            revision::create(&rollout)?;
            return Ok(None);
        };
        if revision::tell(&rollout, current)? {
            return Ok(None);
        }
        let wrote = revision::keep(&rollout, current)?
            || if rollout.recreates() {
                rollout.retire_old()? || rollout.scale(current, rollout.wanted())?
            } else {
                rollout.grow(current)? || rollout.shrink(current)?
            };
        if !wrote && rollout.is_complete() {
            revision::forget_oldest(&rollout)?;
        }
        rollout.report()
    }
}

/// One look at a Deployment.
struct Rollout<'a> {
    deployment: &'a Json,
    /// All its ReplicaSets, the oldest first.
    sets: &'a [Arc<Json>],
    /// That of the present template.
    current: Option<&'a Json>,
    context: Context<'a>,
}

/// What a ReplicaSet is asked for.
fn asked(set: &Json) -> i64 {
    number(set, &["spec", "replicas"]).unwrap_or(1)
}

/// What its status counts.
fn counted(set: &Json, field: &str) -> i64 {
    number(set, &["status", field]).unwrap_or_default()
}

impl<'a> Rollout<'a> {
    fn wanted(&self) -> i64 {
        number(self.deployment, &["spec", "replicas"]).unwrap_or(1)
    }

    fn recreates(&self) -> bool {
        text(self.deployment, &["spec", "strategy", "type"]) == "Recreate"
    }

    fn old(&self) -> impl Iterator<Item = &'a Json> {
        let current = self.current.map(name);
        self.sets.iter().map(|set| &**set).filter(move |set| Some(name(set)) != current)
    }

    /// How many more than wanted there may be, and how many fewer available ones.
    fn margins(&self) -> (i64, i64) {
        if self.recreates() {
            return (0, 0);
        }
        let of = |field, up| {
            let value = at(self.deployment, &["spec", "strategy", "rollingUpdate", field]);
            share(value.or(Some(&json!("25%"))), self.wanted(), up).unwrap_or_default()
        };
        match (of("maxSurge", true), of("maxUnavailable", false)) {
            // Nothing could ever move.
            (0, 0) => (0, 1),
            (surge, unavailable) => (surge, unavailable.min(self.wanted())),
        }
    }

    /// Asks a ReplicaSet for as many; says whether that is new.
    fn scale(&self, set: &Json, replicas: i64) -> Result<bool, ApiError> {
        let wanted = self.wanted().to_string();
        let limit = (self.wanted() + self.margins().0).to_string();
        if asked(set) == replicas {
            return Ok(false);
        }
        let mut set = set.clone();
        put(&mut set, &["spec", "replicas"], json!(replicas));
        put(&mut set, &["metadata", "annotations", "deployment.kubernetes.io/desired-replicas"], json!(wanted));
        put(&mut set, &["metadata", "annotations", "deployment.kubernetes.io/max-replicas"], json!(limit));
        self.context.update(&REPLICA_SET, set)?;
        Ok(true)
    }

    /// Whether old ReplicaSets had to be, or still are, emptied.
    fn retire_old(&self) -> Result<bool, ApiError> {
        let mut busy = false;
        for set in self.old() {
            busy |= self.scale(set, 0)?;
            busy |= self.context.store.owned(&POD, set).any(|pod| !pods::has_ended(pod));
        }
        Ok(busy)
    }

    /// A paused Deployment follows its number, if it is clear which ReplicaSet that means.
    fn scale_while_paused(&self) -> Result<bool, ApiError> {
        let mut active = self.sets.iter().filter(|set| asked(set) > 0);
        match (active.next(), active.next(), self.current) {
            (Some(only), None, _) => self.scale(only, self.wanted()),
            (None, _, Some(current)) => self.scale(current, self.wanted()),
            _ => Ok(false),
        }
    }
}
