//! What a fleet must not be, and what it probably should not be. One module per topic.

mod agreement;
mod auth;
mod capacity;
mod names;
mod places;
mod ports;
mod recorders;
mod rollout;

use crate::resolve::Context;
use crate::{EnvValue, Fleet, Workload};

/// Notes every problem of a fleet that was resolved.
pub(crate) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    places::check(ctx, fleet);
    ports::check(ctx, fleet);
    names::check(ctx, fleet);
    capacity::check(ctx, fleet);
    auth::check(ctx, fleet);
    recorders::check(ctx, fleet);
    agreement::check(ctx, fleet);
    rollout::check(ctx, fleet);
}

/// The value of a variable in clear.
fn env<'a>(workload: &'a Workload, name: &str) -> Option<&'a str> {
    match workload.env.get(name)? {
        EnvValue::Plain(value) => Some(value),
        EnvValue::Secret => None,
    }
}

/// What the images take a boolean's text for; `None` when unset.
fn truth(workload: &Workload, name: &str) -> Option<bool> {
    env(workload, name).map(|value| matches!(value.trim(), "1" | "true" | "t" | "T" | "TRUE" | "True"))
}
