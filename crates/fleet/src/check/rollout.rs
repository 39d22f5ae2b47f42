//! The order of clusters, windows and schedules, and what of them is not acted on yet.

use crate::resolve::{Context, suggestion};
use crate::{ClusterName, Fleet, Replicas};

pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    order(ctx, fleet);
    not_yet(ctx, fleet);
    if let Some(window) = &fleet.rollout.window {
        weekly(ctx, "rollout.window", &window.days, [&window.start, &window.end], &window.zone);
    }
    for pool in &fleet.data.pools {
        for (i, entry) in pool.bridges.scale.iter().flat_map(|scale| &scale.schedule).enumerate() {
            let path = format!("data.pools.{}.bridges.scale.schedule.{i}", pool.name);
            weekly(ctx, &path, &entry.days, [&entry.start, &entry.end], &entry.zone);
        }
    }
}

/// What is read and checked, while nothing acts on it yet: whoever relies on it has to know.
fn not_yet(ctx: &Context<'_>, fleet: &Fleet) {
    if fleet.rollout.window.is_some() {
        ctx.warn(
            "rollout.window",
            "the window is not kept yet: what is to be replaced is replaced as soon as nobody is on it",
            "apply changes of bridges and shards within it",
        );
    }
    if !fleet.rollout.skip.is_empty() {
        ctx.warn(
            "rollout.skip",
            "no cluster is left out yet: those named here get changes as all others do",
            "name those that shall have them: `apply --cluster NAME`",
        );
    }
    for pool in &fleet.data.pools {
        if let (Some(_), Replicas::Range { min, .. }) = (&pool.bridges.scale, pool.bridges.replicas) {
            ctx.warn(
                &format!("data.pools.{}.bridges.scale", pool.name),
                format!("the bridges of pool `{}` don't scale yet: there are always {min} of them", pool.name),
                "let `min` be as many as are needed at the busiest time",
            );
        }
    }
}

fn order(ctx: &Context<'_>, fleet: &Fleet) {
    let data: Vec<&ClusterName> = fleet.data.pools.iter().map(|pool| &pool.cluster).collect();
    let names: Vec<&str> = data.iter().map(|name| name.as_str()).collect();
    let lists = [("rollout.order", &fleet.rollout.order), ("rollout.skip", &fleet.rollout.skip)];
    let mut seen: Vec<&ClusterName> = Vec::new();
    let placed = super::all_placed(ctx);
    for (path, list) in lists {
        for (i, name) in list.iter().enumerate() {
            let path = format!("{path}.{i}");
            if !data.contains(&name) && placed {
                ctx.error(&path, format!("`{name}` is no cluster of a pool"), &suggestion(name.as_str(), &names));
            } else if seen.contains(&name) {
                ctx.error(
                    &path,
                    format!("cluster `{name}` stands in the rollout twice"),
                    "name it once, in `order` or in `skip`",
                );
            }
            seen.push(name);
        }
    }
    let mut left: Vec<&str> = data.iter().filter(|name| !seen.contains(*name)).map(|name| name.as_str()).collect();
    left.sort_unstable();
    left.dedup();
    let known = placed && !ctx.doubtful("rollout.order") && !ctx.doubtful("rollout.skip");
    if !left.is_empty() && known {
        let message = format!("rollout.order says nothing of {}", left.join(", "));
        ctx.error("rollout.order", message, "add what is missing, or put it into `skip`");
    }
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn weekly(ctx: &Context<'_>, path: &str, days: &str, times: [&str; 2], zone: &str) {
    let day = |text: &str| DAYS.contains(&text.trim());
    let fits = |part: &str| match part.split_once('-') {
        Some((from, to)) => day(from) && day(to),
        None => day(part),
    };
    if !days.split(',').all(fits) {
        ctx.error(&format!("{path}.days"), format!("`{days}` are no days"), "write mon-fri or mon,wed,sat");
    }
    for (key, text) in ["start", "end"].into_iter().zip(times) {
        let parsed = text.split_once(':').and_then(|(h, m)| Some((h.parse::<u8>().ok()?, m.parse::<u8>().ok()?)));
        if !parsed.is_some_and(|(hour, minute)| hour < 24 && minute < 60) {
            ctx.error(&format!("{path}.{key}"), format!("`{text}` is no time of day"), "write it as \"07:45\"");
        }
    }
    if jiff::tz::TimeZone::get(zone).is_err() {
        ctx.error(&format!("{path}.zone"), format!("`{zone}` is no time zone"), "write it as Europe/Berlin");
    }
}
