//! Recorders: where recordings go, and where recorders may run.

use super::truth;
use crate::diagnostic::Problem;
use crate::resolve::Context;
use crate::{Era, Fleet, Pool, RecorderStorage, Recorders};

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
            Some(_) => finalizes(ctx, pool, &path),
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

/// A script that takes recordings away has to be there and to run.
fn finalizes(ctx: &Context<'_>, pool: &Pool, path: &str) {
    let recorders = &pool.recorders;
    let goes = matches!(recorders.storage, Some(RecorderStorage::EmptyDir { .. }));
    let files = format!("{path}.files");
    if ctx.doubtful(&files) {
        return;
    }
    match recorders.finalize_script() {
        // The image has the script that the variable names, or a volume does.
        None if recorders.workload.env.contains_key(Recorders::FINALIZE) => {}
        None if goes => ctx.error(
            &format!("{path}.storage"),
            format!(
                "the recorders of pool `{}` would lose their recordings: an empty_dir goes with its pod",
                pool.name
            ),
            &format!("add a script that takes them away: a file /config/finalize.sh, or {}", Recorders::FINALIZE),
        ),
        Some(script) if script.mode & 0o111 == 0 => {
            let message = format!("{} can't run: its mode is {:04o}", script.path, script.mode);
            let hint = "say `mode: \"0555\"`: jibri starts it as a program";
            if goes {
                let lost = format!("the recorders of pool `{}` would lose their recordings: {message}", pool.name);
                ctx.error(&files, lost, hint);
            } else {
                ctx.warn(&files, message, hint);
            }
        }
        None | Some(_) => {}
    }
}
