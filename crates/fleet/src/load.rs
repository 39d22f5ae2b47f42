//! Reading a fleet file: the only part that touches the file system.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::diagnostic::{Problem, Report, Severity};
use crate::resolve::Context;
use crate::source::{self, Text};
use crate::{Fleet, check, intent, layers, raw, renames, resolve, schema};

/// What [`load`] is handed; the environment is an input.
#[derive(Clone, Default)]
pub struct Input {
    /// The fleet file.
    pub path: PathBuf,
    /// The process environment.
    pub env: BTreeMap<String, String>,
    /// Keys set by flags: key path (`control.web.replicas`) and value.
    pub overrides: Vec<(String, String)>,
}

impl std::fmt::Debug for Input {
    /// The environment may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A fleet file that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The fleet.
    pub fleet: Fleet,
    /// What is probably not as meant.
    pub warnings: Vec<Problem>,
    /// The file as the user names it.
    pub source: PathBuf,
    /// The merged file as JSON, normalised and without secrets: a fleet file of its own, for the record.
    pub intent_text: String,
}

/// A try to load a fleet file.
#[derive(Debug)]
pub struct Attempt {
    /// The fleet, or every problem of the file.
    pub result: Result<Loaded, Report>,
    /// The files that decided about it, there or not: the fleet file, its env files, custom files and secret files.
    pub files: BTreeSet<PathBuf>,
}

/// Reads, merges and checks a fleet file.
///
/// # Errors
/// Every problem of the file, at least one of them an error.
pub fn load(input: &Input) -> Result<Loaded, Report> {
    attempt(input).result
}

/// The same, for those who want to know when it is worth another try.
#[must_use]
pub fn attempt(input: &Input) -> Attempt {
    let mut files = BTreeSet::from([input.path.clone()]);
    let result = read(input, &mut files);
    Attempt { result, files }
}

fn read(input: &Input, files: &mut BTreeSet<PathBuf>) -> Result<Loaded, Report> {
    let name = input.path.display().to_string();
    let fail = |problem: Problem| Report::new(vec![problem]);
    let meta = std::fs::metadata(&input.path).map_err(|error| fail(unreadable(&name, &error)))?;
    let limit = u64::try_from(source::MAX_BYTES).unwrap_or(u64::MAX);
    if meta.len() > limit {
        return Err(fail(
            Problem::error(format!("{name} has {} bytes; a fleet file has {limit} at most", meta.len()))
                .hint("is this the right file? large custom files belong beside it, named by `file:`"),
        ));
    }
    let text = std::fs::read_to_string(&input.path).map_err(|error| fail(unreadable(&name, &error)))?;
    let base = input.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    merge_and_check(&name, &text, base, &input.env, &input.overrides, files)
}

/// The same for a text at hand: `name` is for messages, `base` is the folder that relative paths start at.
///
/// # Errors
/// Every problem of the text, at least one of them an error.
pub fn load_text(name: &str, text: &str, base: &Path, env: &BTreeMap<String, String>) -> Result<Loaded, Report> {
    merge_and_check(name, text, base, env, &[], &mut BTreeSet::new())
}

fn unreadable(name: &str, error: &std::io::Error) -> Problem {
    let problem = Problem::error(format!("fleet file {name} can't be read: {error}"));
    match error.kind() {
        std::io::ErrorKind::NotFound => problem.hint("name it with --fleet PATH"),
        std::io::ErrorKind::InvalidData => problem.hint("a fleet file is UTF-8 text"),
        _ => problem,
    }
}

fn merge_and_check(
    name: &str,
    text: &str,
    base: &Path,
    env: &BTreeMap<String, String>,
    overrides: &[(String, String)],
    looked_for: &mut BTreeSet<PathBuf>,
) -> Result<Loaded, Report> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = Text::new(name, if text.len() > source::MAX_BYTES { "" } else { text });
    let fail = |problem: Problem| Report::new(vec![problem]);
    let tree = source::parse(text, &lines).map_err(fail)?;
    let mut merged = layers::merge(&tree, &lines, env, overrides).map_err(fail)?;
    let (renames, paths, wrong) = renames::settle(&mut merged.json);
    let dropped: Vec<String> = merged.dropped.iter().map(|path| paths.kept(path).into_owned()).collect();
    let missing = schema::missing(&mut merged.json);
    let ctx = Context::new(&lines, &tree, &merged.json, (&renames, &paths), &merged.origins, base, env);
    merged.problems.iter().for_each(|problem| ctx.push(problem.clone()));
    wrong.into_iter().for_each(|wrong| ctx.error(&wrong.path, wrong.message, &wrong.hint));
    lacking(&ctx, &missing, &dropped);
    let raw: raw::Fleet = match serde_json::from_value(merged.json.clone()) {
        Ok(raw) => raw,
        Err(error) => {
            // What is missing or wrong was said above, where it stands.
            let mut problems = ctx.into_problems();
            if problems.iter().all(|problem| problem.severity != Severity::Error) {
                problems.push(Problem::error(format!("{name} can't be read as a fleet: {error}")));
            }
            return Err(Report::new(problems));
        }
    };
    let resolved = resolve::resolve(&ctx, &raw);
    looked_for.append(&mut ctx.looked_for.take());
    if let Some(fleet) = &resolved.fleet {
        check::check(&ctx, fleet);
    }
    let files = ctx.files.take();
    let mut problems = ctx.into_problems();
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    match resolved.fleet {
        Some(fleet) if !failed => Ok(Loaded {
            intent_text: intent::text(merged.json, &resolved.env_files, &files, &fleet),
            fleet,
            warnings: Report::new(problems).problems,
            source: PathBuf::from(name),
        }),
        _ => {
            if !failed {
                problems.push(Problem::error(format!("{name} describes no fleet")));
            }
            Err(Report::new(problems))
        }
    }
}

/// Names the keys that are needed and not said.
fn lacking(ctx: &Context<'_>, missing: &[schema::Missing], dropped: &[String]) {
    dropped.iter().for_each(|path| ctx.doubt(path));
    for missing in missing {
        let path =
            if missing.path.is_empty() { missing.key.clone() } else { format!("{}.{}", missing.path, missing.key) };
        ctx.doubt(&path);
        if dropped.iter().any(|wrong| path == *wrong || path.starts_with(&format!("{wrong}."))) {
            continue;
        }
        let problem = Problem::error(match missing.path.as_str() {
            "" => format!("`{}` is missing", missing.key),
            path => format!("`{path}` needs `{}`", missing.key),
        });
        ctx.push(problem.at(if missing.path.is_empty() { None } else { ctx.key_label(&missing.path) }));
    }
}
