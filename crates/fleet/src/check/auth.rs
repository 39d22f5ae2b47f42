//! Who may open a room.

use super::{env, truth};
use crate::Fleet;
use crate::diagnostic::Problem;
use crate::resolve::Context;

pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    for (name, shard) in &fleet.control.shards {
        let workload = &shard.prosody.workload;
        if truth(workload, "ENABLE_AUTH") != Some(true) {
            continue;
        }
        match env(workload, "AUTH_TYPE").or(env(workload, "PROSODY_AUTH_TYPE")).unwrap_or("internal") {
            "internal" => {
                let told = |key: &str| {
                    ["control".to_owned(), format!("control.shards.{name}")]
                        .iter()
                        .any(|path| ctx.doubtful(&format!("{path}.prosody.{key}")))
                };
                let lacks: Vec<&str> =
                    [("storage", shard.prosody.storage.is_none()), ("users", shard.prosody.users.is_none())]
                        .into_iter()
                        .filter_map(|(key, absent)| (absent && !told(key)).then_some(key))
                        .collect();
                if !lacks.is_empty() {
                    let message = format!(
                        "shard `{name}` would lose its users: AUTH_TYPE=internal without `prosody.{}`",
                        lacks.join("` and `prosody.")
                    );
                    let label =
                        ctx.key_label("env.AUTH_TYPE").or_else(|| ctx.key_label(&format!("control.shards.{name}")));
                    ctx.push(Problem::error(message).at(label).hint(
                        "say `control.prosody: { storage: { size: 1Gi }, users: { secret: NAME } }`, or let jwt or ldap keep the users",
                    ));
                }
            }
            "jwt" => {
                let has = |name: &str| workload.env.contains_key(name) || ctx.doubtful(&format!("secrets.{name}"));
                if !has("JWT_APP_SECRET") && !has("JWT_ASAP_KEYSERVER") {
                    let problem =
                        Problem::warning(format!("shard `{name}` has AUTH_TYPE=jwt, but no key to check tokens with"));
                    ctx.push(
                        problem
                            .at(ctx.key_label("env.AUTH_TYPE"))
                            .hint("say `secrets: { JWT_APP_SECRET: … }` or JWT_ASAP_KEYSERVER"),
                    );
                }
            }
            _ => {}
        }
    }
}
