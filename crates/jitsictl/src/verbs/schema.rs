//! `jitsictl schema`: the fleet file's JSON schema, for editors.

use crate::{Error, Exit, context::Context};

pub(super) fn run(context: &Context) -> Result<Exit, Error> {
    let mut text = serde_json::to_vec_pretty(&fleet::schema::json()).map_err(std::io::Error::other)?;
    text.push(b'\n');
    context.printer.bytes(&text)?;
    Ok(Exit::Converged)
}
