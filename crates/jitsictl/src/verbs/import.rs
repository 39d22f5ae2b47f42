//! `jitsictl import`: a fleet file from what people have: the fleet on stdout, what was dropped and why on stderr.

use std::{fs, path::Path};

use serde::Serialize;

use crate::{
    Error, Exit, Notice,
    cli::{Import, ImportFormat},
    context::Context,
    print::count,
};

pub(super) fn run(context: &Context, arguments: &Import) -> Result<Exit, Error> {
    let path = &arguments.path;
    let text = fs::read_to_string(path).map_err(|error| {
        Error::usage(format!("cannot read {}: {error}", path.display()), "name a values.yaml or a .env file")
    })?;
    let format = match arguments.from.or_else(|| by_name(path)) {
        Some(format) => format,
        None => {
            let message = format!("{} may be anything", path.display());
            return Err(Error::usage(message, "say what it is: --from values or --from dotenv"));
        }
    };
    let name = path.display().to_string();
    let imported = match format {
        ImportFormat::Values => fleet::import::values_yaml(&name, &text),
        ImportFormat::Dotenv => fleet::import::dotenv(&name, &text),
    };
    let imported = match imported {
        Ok(imported) => imported,
        Err(report) => {
            context.report(&report);
            return Err(Error::Fleet);
        }
    };
    if context.printer.is_json() {
        let dropped: Vec<Dropped<'_>> = imported.dropped.iter().map(|(key, why)| Dropped { key, why }).collect();
        context.printer.json(&serde_json::json!({ "fleet": imported.fleet_yaml, "dropped": dropped }))?;
        return Ok(Exit::Converged);
    }
    context.printer.bytes(imported.fleet_yaml.as_bytes())?;
    for (key, why) in &imported.dropped {
        context.printer.warning(&Notice::plain(format!("dropped {key}: {why}")));
    }
    if !imported.dropped.is_empty() {
        context.printer.line(&format!("{} dropped", count(imported.dropped.len(), "value")));
    }
    Ok(Exit::Converged)
}

/// What was not taken over.
#[derive(Serialize)]
struct Dropped<'a> {
    key: &'a str,
    why: &'a str,
}

fn by_name(path: &Path) -> Option<ImportFormat> {
    let name = path.file_name()?.to_str()?;
    let is_env = name == ".env" || name.starts_with(".env.") || name.ends_with(".env") || name == "env.example";
    let is_values = name.ends_with(".yaml") || name.ends_with(".yml");
    match (is_env, is_values) {
        (true, _) => Some(ImportFormat::Dotenv),
        (_, true) => Some(ImportFormat::Values),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_tells_what_it_is() {
        for (name, format) in [
            ("values.yaml", Some(ImportFormat::Values)),
            ("easyjitsi.yml", Some(ImportFormat::Values)),
            (".env", Some(ImportFormat::Dotenv)),
            ("meet.env", Some(ImportFormat::Dotenv)),
            ("env.example", Some(ImportFormat::Dotenv)),
            ("notes.txt", None),
        ] {
            assert_eq!(by_name(Path::new(name)), format, "{name}");
        }
    }
}
