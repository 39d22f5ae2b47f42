//! `jitsictl cluster forget`: the way out when a cluster does not come back, or was rebuilt on purpose.

use fleet::ClusterName;

use crate::{
    Error, Exit,
    context::{Context, Run},
};

pub(super) fn run(context: &Context, name: &ClusterName, abandon: bool) -> Result<Exit, Error> {
    let loaded = context.load()?;
    let options = context.options(&loaded, Run::default())?;
    let forgotten = context.wait_for(orchestrator::forget(&loaded, &options, name, abandon))??;
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({ "cluster": name, "forgotten": forgotten }))?;
    } else {
        let mut text = match forgotten.as_slice() {
            [] => format!("nothing was known of {name}\n"),
            _ => format!("forgot {name}\n"),
        };
        for one in &forgotten {
            text.push_str(&format!("  {one}\n"));
        }
        context.printer.result(&text)?;
    }
    Ok(Exit::Converged)
}
