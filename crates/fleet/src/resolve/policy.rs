//! Rollout, daemon, monitoring.

use std::net::SocketAddr;
use std::time::Duration;

use super::context::Context;
use super::env::secret_source;
use crate::raw::{self, Text};
use crate::{ClusterName, Daemon, Monitoring, OnDeadline, OnFailure, Pool, Rollout, ShardStrategy, Webhook, Window};

/// Builds the rollout policy; `pools` give the default order.
pub(crate) fn rollout(ctx: &Context<'_>, raw: &raw::Rollout, pools: &[Pool]) -> Rollout {
    let names = |path: &str, list: &[String]| -> Vec<ClusterName> {
        let each = list.iter().enumerate();
        each.filter_map(|(i, text)| super::name(ctx, &format!("{path}.{i}"), Some(text))).collect()
    };
    let skip = names("rollout.skip", &raw.skip);
    let order = match &raw.order {
        Some(list) => names("rollout.order", list),
        None => {
            let mut order: Vec<ClusterName> = Vec::new();
            for pool in pools {
                if !order.contains(&pool.cluster) && !skip.contains(&pool.cluster) {
                    order.push(pool.cluster.clone());
                }
            }
            order
        }
    };
    let max_draining_percent = percent(ctx, raw.max_draining.as_ref());
    let drain_deadline =
        super::duration(ctx, "rollout.drain_deadline", raw.drain_deadline.as_deref(), Duration::from_secs(4 * 3600));
    let soak = super::duration(ctx, "rollout.soak", raw.soak.as_deref(), Duration::from_secs(600));
    let window = raw.window.as_ref().and_then(|raw| {
        Some(Window {
            days: raw.days.clone()?,
            start: raw.start.clone()?,
            end: raw.end.clone()?,
            zone: raw.zone.clone()?,
        })
    });
    Rollout {
        shards: match raw.shards.unwrap_or(raw::ShardStrategy::Surge) {
            raw::ShardStrategy::Surge => ShardStrategy::Surge,
            raw::ShardStrategy::InPlace => ShardStrategy::InPlace,
        },
        order,
        skip,
        max_draining_percent,
        drain_deadline,
        on_deadline: match raw.on_deadline.unwrap_or(raw::OnDeadline::Wait) {
            raw::OnDeadline::Wait => OnDeadline::Wait,
            raw::OnDeadline::Move => OnDeadline::Move,
            raw::OnDeadline::Stop => OnDeadline::Stop,
        },
        soak,
        on_failure: match raw.on_failure.unwrap_or(raw::OnFailure::Pause) {
            raw::OnFailure::Pause => OnFailure::Pause,
            raw::OnFailure::Undo => OnFailure::Undo,
        },
        window,
    }
}

fn percent(ctx: &Context<'_>, raw: Option<&Text>) -> u8 {
    const DEFAULT: u8 = 10;
    let Some(Text(written)) = raw else { return DEFAULT };
    let parsed = written.strip_suffix('%').and_then(|n| n.trim().parse::<u8>().ok()).filter(|n| (1..=100).contains(n));
    if parsed.is_none() {
        ctx.error(
            "rollout.max_draining",
            format!("`{written}` is no share of the bridges"),
            "write 1% to 100%; at least one bridge is always meant",
        );
    }
    parsed.unwrap_or(DEFAULT)
}

/// Builds the daemon's settings.
pub(crate) fn daemon(ctx: &Context<'_>, raw: &raw::Daemon) -> Daemon {
    let default = SocketAddr::from(([127, 0, 0, 1], 9480));
    let listen = raw.listen.as_deref().map_or(default, |written| {
        written.parse().unwrap_or_else(|_| {
            ctx.error("daemon.listen", format!("`{written}` is no address:port"), "write it as 127.0.0.1:9480");
            default
        })
    });
    let mut webhooks = Vec::new();
    for (i, raw) in raw.webhooks.iter().enumerate() {
        let path = format!("daemon.webhooks.{i}");
        let secret = raw.secret.as_ref().map(|secret| secret_source(ctx, &format!("{path}.secret"), secret));
        let Some(url) = raw.url.as_deref() else { continue };
        match url.parse::<url::Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") => webhooks.push(Webhook { url, secret }),
            _ => ctx.error(&format!("{path}.url"), format!("`{url}` is no URL"), "write it with https://"),
        }
    }
    Daemon { listen, webhooks }
}

/// Builds the monitoring switch.
pub(crate) fn monitoring(raw: &raw::Monitoring) -> Monitoring {
    Monitoring { enabled: raw.enabled.unwrap_or(false) }
}
