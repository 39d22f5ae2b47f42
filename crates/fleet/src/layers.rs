//! The layers of the file's keys: defaults < fleet file < `JITSICTL_` variables < flags, merged by figment.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::Value as Json;

use crate::diagnostic::Problem;
use crate::schema::{SCHEMA, Shaper, nearest, resolve_key, takes_collections};
use crate::source::{self, Key, Kind, Node, Span, Text};

const DEFAULTS: &str = include_str!("../../../config/defaults.yaml");

/// Variables that belong to the command line and to the runtime, not to the file.
const RESERVED: [&str; 10] =
    ["FLEET", "DAEMON", "LOG", "KUBECONFIG", "COLOR", "COLOUR", "OUTPUT", "TIMEOUT", "PROGRESS", "CONFIG"];

const PREFIX: &str = "JITSICTL_";

/// The merged file and what went wrong on the way.
pub(crate) struct Merged {
    pub(crate) json: Json,
    pub(crate) problems: Vec<Problem>,
    /// Key paths whose values were wrong.
    pub(crate) dropped: Vec<String>,
    /// Key path → the variable or flag that set it.
    pub(crate) origins: BTreeMap<String, String>,
}

/// One layer, already checked against the schema.
struct Layer {
    name: String,
    json: Json,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let dict = Value::serialize(&self.json)?.into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

/// Merges the layers over that tree.
pub(crate) fn merge(
    tree: &Node,
    text: &Text,
    env: &BTreeMap<String, String>,
    flags: &[(String, String)],
) -> Result<Merged, Problem> {
    let mut shaper = Shaper::new(text);
    let file = shaper.fleet(tree);
    let (mut problems, mut dropped) = (shaper.problems, shaper.dropped);
    let mut figment = Figment::new()
        .merge(Layer { name: "defaults".into(), json: defaults(&file)? })
        .merge(Layer { name: text.name.clone(), json: file });
    let mut origins = BTreeMap::new();
    for over in overrides(env, flags) {
        let present: Json = figment.extract().map_err(|error| Problem::error(error.to_string()))?;
        match over.layer(&present) {
            Ok((layer, path, more)) => {
                dropped.extend(more.dropped);
                problems.extend(more.problems);
                origins.insert(path, over.name);
                figment = figment.merge(layer);
            }
            Err(problem) => problems.push(problem),
        }
    }
    let json = figment.extract().map_err(|error| Problem::error(error.to_string()))?;
    Ok(Merged { json, problems, dropped, origins })
}

/// The built-in defaults, with `*` spelled out for every pool of the file.
fn defaults(file: &Json) -> Result<Json, Problem> {
    let text = Text::new("built-in defaults", DEFAULTS);
    let mut shaper = Shaper::new(&text);
    let mut json = shaper.fleet(&source::parse(DEFAULTS, &text)?);
    if let Some(pools) = json.pointer_mut("/data/pools").and_then(Json::as_object_mut)
        && let Some(every) = pools.remove("*")
    {
        let names = file.pointer("/data/pools").and_then(Json::as_object).into_iter().flatten();
        pools.extend(names.map(|(name, _)| (name.clone(), every.clone())));
    }
    Ok(json)
}

/// A value from outside the file.
struct Override {
    /// The variable or flag, for messages.
    name: String,
    path: Vec<String>,
    value: String,
}

fn overrides(env: &BTreeMap<String, String>, flags: &[(String, String)]) -> Vec<Override> {
    let variables = env.iter().filter_map(|(name, value)| {
        let rest = name.strip_prefix(PREFIX)?;
        let path: Vec<String> = rest.split("__").map(str::to_owned).collect();
        // One of somebody else's names is no key of ours; a nested one is certainly meant for us.
        let ours = path.len() > 1 || resolve_key(&SCHEMA, rest, &Json::Null).is_some();
        (ours && !RESERVED.contains(&rest)).then(|| Override { name: name.clone(), path, value: value.clone() })
    });
    let flags = flags.iter().map(|(path, value)| Override {
        name: format!("the flag for {path}"),
        path: path.split('.').map(str::to_owned).collect(),
        value: value.clone(),
    });
    variables.chain(flags).collect()
}

impl Override {
    /// The layer that sets just this key, and its path.
    fn layer(&self, present: &Json) -> Result<(Layer, String, Found), Problem> {
        let (mut schema, mut here) = (&*SCHEMA, present);
        let mut path: Vec<String> = Vec::new();
        for part in &self.path {
            let Some((mut key, inner)) = resolve_key(schema, part, here) else {
                return Err(self.unknown(part, &path, schema));
            };
            // A new name: variables are written in capitals, names of shards and pools are not; env names are.
            let chosen = here.get(&key).is_none() && key == *part && self.name.starts_with(PREFIX);
            if chosen && !matches!(path.last().map(String::as_str), Some("env" | "secrets")) {
                key = key.to_ascii_lowercase();
            }
            here = here.get(&key).unwrap_or(&Json::Null);
            schema = inner;
            path.push(key);
        }
        let text = Text::new(self.name.clone(), "");
        let span = Span::default();
        let written = self.value.trim_start().starts_with(['[', '{']) && takes_collections(schema);
        let mut node = if written {
            source::parse(&self.value, &text)?
        } else {
            Node { span, kind: Kind::Scalar { text: self.value.clone(), plain: false } }
        };
        for key in path.iter().rev() {
            node = Node { span, kind: Kind::Mapping(vec![(Key { text: key.clone(), span }, node)]) };
        }
        let mut shaper = Shaper::new(&text);
        let json = shaper.fleet(&node);
        let found = Found { problems: shaper.problems, dropped: shaper.dropped };
        Ok((Layer { name: self.name.clone(), json }, path.join("."), found))
    }

    fn unknown(&self, part: &str, path: &[String], schema: &Json) -> Problem {
        let place = if path.is_empty() { "the fleet file".to_owned() } else { format!("`{}`", path.join(".")) };
        let known: Vec<&str> =
            schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let problem = Problem::error(format!("{}: {place} has no key `{}`", self.name, part.to_ascii_lowercase()));
        match nearest(&part.to_ascii_lowercase(), &known) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint("variables spell the file's keys in capitals, with `__` between levels"),
        }
    }
}

struct Found {
    problems: Vec<Problem>,
    dropped: Vec<String>,
}
