//! What a fleet must not be, and what it probably should not be. One module per topic.

mod agreement;
mod auth;
mod capacity;
mod files;
mod names;
mod places;
mod ports;
mod recorders;
mod rollout;

use crate::resolve::Context;
use crate::{EnvValue, Fleet, Pool, Workload};

/// Notes every problem of a fleet that was resolved. Where it holds values that only stand in for wrong ones
/// ([`Context::doubtful`]), nothing is said of those.
pub(crate) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    places::check(ctx, fleet);
    ports::check(ctx, fleet);
    names::check(ctx, fleet);
    capacity::check(ctx, fleet);
    auth::check(ctx, fleet);
    files::check(ctx, fleet);
    recorders::check(ctx, fleet);
    agreement::check(ctx, fleet);
    rollout::check(ctx, fleet);
}

/// Whether it is known where the pool runs.
fn is_placed(ctx: &Context<'_>, pool: &Pool) -> bool {
    !ctx.doubtful(&format!("data.pools.{}.cluster", pool.name))
}

/// Whether it is known where all pools run, those included that have no usable name.
fn all_placed(ctx: &Context<'_>) -> bool {
    let pools = ctx.names("data.pools");
    !pools.is_empty() && pools.iter().all(|name| !ctx.doubtful(&format!("data.pools.{name}.cluster")))
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
