//! `jitsictl export handover`: what the data plane's keepers need. It carries passwords: a new file, for its owner's
//! eyes only, never stdout.

use std::{io, path::Path};

use crate::{
    Error, Exit,
    context::{Context, Run},
    file,
};

pub(super) fn run(context: &Context, path: &Path) -> Result<Exit, Error> {
    file::refuse_streams(path, "a handover file carries passwords")?;
    let loaded = context.load()?;
    let options = context.options(&loaded, Run::default())?;
    let handover = context.wait_for(orchestrator::handover::export(&loaded, &options))??;
    let mut text = serde_json::to_vec_pretty(&handover).map_err(io::Error::other)?;
    text.push(b'\n');
    file::create(path, &text)?;
    if context.printer.is_json() {
        let expires = handover.expires;
        context.printer.json(&serde_json::json!({ "path": path, "fleet": handover.fleet, "expires": expires }))?;
    } else {
        let day = handover.expires.strftime("%Y-%m-%d");
        let next = "jitsictl apply --plane data --handover";
        context.printer.result(&format!(
            "wrote {}: it carries the data plane's passwords (mode 0600) and is accepted until {day}\nused by: {next} {}\n",
            path.display(),
            path.display()
        ))?;
    }
    Ok(Exit::Converged)
}
