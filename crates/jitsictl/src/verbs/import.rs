//! `jitsictl import`: a fleet file from what people have: the fleet on stdout, what was dropped and why on stderr.

use std::{fs, path::Path};

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
    let _ = (text, format, count(0, ""), Notice::plain(""), context);
    Err(Error::failed("not yet", "wait"))
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
