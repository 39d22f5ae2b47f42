//! Recorders: where recordings go, and where recorders may run.

use super::truth;
use crate::diagnostic::Problem;
use crate::resolve::Context;
use crate::{Era, Fleet, Pool, RecorderStorage};

const SCRIPT: &str = "JIBRI_FINALIZE_RECORDING_SCRIPT_PATH";

pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    for pool in fleet.data.pools.iter().filter(|pool| pool.recorders.replicas.max() > 0) {
        let path = format!("data.pools.{}.recorders", pool.name);
        match &pool.recorders.storage {
            None if ctx.doubtful(&format!("{path}.storage")) => {}
            None => ctx.error(
                &path,
                format!("the recorders of pool `{}` would lose their recordings: they have no storage", pool.name),
                "say `storage: { claim: NAME }`, `{ size: 100Gi }`, or `{ empty_dir: 20Gi }` with a finalize script",
            ),
            Some(RecorderStorage::EmptyDir { .. }) if !finalizes(pool) && !ctx.doubtful(&format!("{path}.files")) => {
                ctx.error(
                    &format!("{path}.storage"),
                    format!(
                        "the recorders of pool `{}` would lose their recordings: an empty_dir goes with its pod",
                        pool.name
                    ),
                    &format!("add a script that takes them away: a file /config/finalize.sh, or {SCRIPT}"),
                )
            }
            Some(_) => {}
        }
        if pool.recorders.workload.image.era == Era::Legacy {
            let message = format!(
                "the recorders of {} need rights that a restricted namespace refuses",
                pool.recorders.workload.image.release
            );
            ctx.warn(
                &path,
                message,
                "use a release from stable-11146, or a namespace of its own without Pod Security enforcement",
            );
        }
        for name in &pool.shards {
            let Some(shard) = fleet.control.shards.get(name) else { continue };
            if truth(&shard.prosody.workload, "ENABLE_RECORDING") != Some(true) {
                let problem = Problem::warning(format!(
                    "shard `{name}` doesn't offer recording, but pool `{}` has recorders",
                    pool.name
                ));
                ctx.push(problem.at(ctx.key_label(&path)).hint("say `env: { ENABLE_RECORDING: 1 }`"));
            }
        }
    }
}

fn finalizes(pool: &Pool) -> bool {
    let workload = &pool.recorders.workload;
    workload.env.contains_key(SCRIPT) || workload.files.iter().any(|file| file.path == "/config/finalize.sh")
}
