//! Custom files: those of a component travel in one ConfigMap.

use crate::resolve::Context;
use crate::{FileSource, Fleet, Workload};

/// What a ConfigMap holds, less some room for what it says of itself.
const LIMIT: usize = 1024 * 1024 - 16 * 1024;

pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    for (name, shard) in &fleet.control.shards {
        for workload in [&shard.prosody.workload, &shard.jicofo, &shard.web.workload] {
            let component = workload.component;
            let own = format!("control.shards.{name}.{component}");
            // What all shards have in common is said once.
            if ctx.keys(&own).iter().any(|key| key == "files") {
                fits(ctx, &format!("{own}.files"), &format!("{component} of shard `{name}`"), workload);
            } else {
                fits(ctx, &format!("control.{component}.files"), component.as_str(), workload);
            }
        }
    }
    fits(ctx, "control.haproxy.files", "haproxy", &fleet.control.haproxy.workload);
    for pool in &fleet.data.pools {
        for (key, workload) in [("bridges", &pool.bridges.workload), ("recorders", &pool.recorders.workload)] {
            let path = format!("data.pools.{}.{key}.files", pool.name);
            fits(ctx, &path, &format!("{} of pool `{}`", workload.component, pool.name), workload);
        }
    }
}

fn fits(ctx: &Context<'_>, path: &str, whose: &str, workload: &Workload) {
    let content = workload.files.iter().filter_map(|file| match &file.source {
        FileSource::Content(bytes) => Some(bytes.len()),
        FileSource::ConfigMap { .. } | FileSource::Secret { .. } => None,
    });
    let sum: usize = content.sum();
    if sum > LIMIT {
        let message =
            format!("the files of {whose} have {sum} bytes together; the ConfigMap that carries them holds {LIMIT}");
        ctx.error(
            path,
            message,
            "put large ones into the image, a volume, or a ConfigMap of their own (`config_map` + `key`)",
        );
    }
}
