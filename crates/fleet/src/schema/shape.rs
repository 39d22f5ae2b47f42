//! Checks a tree against the schema and types its scalars by it; all problems at once.
//!
//! Only the schema knows that `1` is a number of replicas here and the text of a variable there.

use serde_json::{Map, Number, Value as Json};

use super::SCHEMA;
use crate::diagnostic::Problem;
use crate::source::{Key, Kind, Node, Text};

/// Checks one layer.
pub(crate) struct Shaper<'a> {
    source: &'a Text,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
    /// The key paths whose values were dropped because they are wrong.
    pub(crate) dropped: Vec<String>,
}

impl<'a> Shaper<'a> {
    pub(crate) fn new(source: &'a Text) -> Self {
        Self { source, problems: Vec::new(), dropped: Vec::new() }
    }

    /// The layer as JSON: typed, without what is wrong or empty.
    pub(crate) fn fleet(&mut self, tree: &Node) -> Json {
        match self.value(tree, &SCHEMA, "") {
            Some(Json::Object(map)) => Json::Object(map),
            _ => Json::Object(Map::new()),
        }
    }

    fn wrong(&mut self, problem: Problem, path: &str) {
        self.problems.push(problem);
        self.dropped.push(path.to_owned());
    }

    fn value(&mut self, node: &Node, schema: &Json, path: &str) -> Option<Json> {
        if node.is_null() {
            return None;
        }
        let choices = alternatives(schema);
        if choices.iter().any(|choice| is_free(choice)) {
            return Some(free(node));
        }
        match &node.kind {
            Kind::Mapping(entries) => match object(&choices, |key| node.entry(key).is_some()) {
                Some(choice) => Some(self.object(entries, choice, path)),
                None => self.mismatch(node, &choices, path),
            },
            Kind::Sequence(items) => match choices.iter().find(|choice| has_type(choice, "array")) {
                Some(choice) => {
                    let schema = &choice["items"];
                    let shaped: Vec<Option<Json>> = items
                        .iter()
                        .enumerate()
                        .map(|(i, item)| self.value(item, schema, &join(path, &i.to_string())))
                        .collect();
                    // Without one of its items a list would mean something else, and places would shift.
                    let whole: Option<Vec<Json>> = shaped.into_iter().collect();
                    if whole.is_none() {
                        self.dropped.push(path.to_owned());
                    }
                    whole.map(Json::Array)
                }
                None => self.mismatch(node, &choices, path),
            },
            Kind::Scalar { text, .. } => match scalar(text, &choices) {
                Ok(value) => Some(value),
                Err(why) => {
                    let mut problem = Problem::error(format!("`{}`: {}", name(path), why.message));
                    problem.hint = why.hint;
                    let label = self.label(node, path);
                    self.wrong(problem.at(label), path);
                    None
                }
            },
        }
    }

    fn object(&mut self, entries: &[(Key, Node)], schema: &Json, path: &str) -> Json {
        let mut map = Map::new();
        for (key, node) in entries {
            let inner = join(path, &key.text);
            if let Some(schema) = schema["properties"].get(&key.text) {
                if let Some(value) = self.value(node, schema, &inner) {
                    map.insert(key.text.clone(), value);
                }
            } else if schema["additionalProperties"].is_object() || schema["additionalProperties"] == Json::Bool(true) {
                let schema = &schema["additionalProperties"];
                if let Some(value) = self.entry(key, node, schema, &inner) {
                    map.insert(key.text.clone(), value);
                }
            } else {
                self.unknown(key, schema, path);
            }
        }
        Json::Object(map)
    }

    /// An entry of a map whose keys the user chose: `alpha:` is an entry with nothing said.
    fn entry(&mut self, key: &Key, node: &Node, schema: &Json, path: &str) -> Option<Json> {
        if !node.is_null() {
            return self.value(node, schema, path);
        }
        let choices = alternatives(schema);
        if choices.iter().any(|choice| has_type(choice, "object")) {
            return Some(Json::Object(Map::new()));
        }
        if choices.iter().any(|choice| is_free(choice)) {
            return Some(Json::Null);
        }
        self.wrong(
            Problem::error(format!("`{}` has no value", key.text))
                .at(self.source.label(key.span))
                .hint("write \"\" for an empty one, or leave the line out"),
            path,
        );
        None
    }

    fn unknown(&mut self, key: &Key, schema: &Json, path: &str) {
        let known: Vec<&str> =
            schema["properties"].as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect();
        let hint = match nearest(&key.text, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.len() <= 12 => format!("known here: {}", known.join(", ")),
            None => "see the JSON schema (`jitsictl schema`) for the keys that are known here".to_owned(),
        };
        let mut problem = Problem::error(format!("unknown key `{}`", key.text)).hint(hint);
        if !path.is_empty() && self.source.line(key.span.line).is_empty() {
            problem.message = format!("unknown key `{}` in `{path}`", key.text);
        }
        self.problems.push(problem.at(self.source.label(key.span)));
    }

    fn mismatch(&mut self, node: &Node, choices: &[&Json], path: &str) -> Option<Json> {
        let problem = Problem::error(format!("`{}` is {}, wanted: {}", name(path), node.describe(), wanted(choices)));
        let label = self.label(node, path);
        self.wrong(problem.at(label), path);
        None
    }

    fn label(&self, node: &Node, path: &str) -> crate::diagnostic::Label {
        if path.starts_with("secrets") { self.source.bare_label(node.span) } else { self.source.label(node.span) }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn name(path: &str) -> &str {
    if path.is_empty() { "the file" } else { path }
}

/// The schema without detours: what `$ref`, `anyOf` and `oneOf` come down to, `null` left out.
fn alternatives(schema: &Json) -> Vec<&Json> {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
        return alternatives(&SCHEMA["$defs"][name]);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(list) = schema[key].as_array() {
            return list.iter().flat_map(alternatives).collect();
        }
    }
    if schema["type"] == "null" { Vec::new() } else { vec![schema] }
}

/// Whether anything goes: Kubernetes' own spelling starts here.
fn is_free(schema: &Json) -> bool {
    match schema {
        Json::Bool(allowed) => *allowed,
        Json::Object(map) => !["type", "const", "enum", "$ref"].iter().any(|key| map.contains_key(*key)),
        _ => false,
    }
}

fn has_type(schema: &Json, wanted: &str) -> bool {
    match &schema["type"] {
        Json::String(one) => one == wanted,
        Json::Array(several) => several.iter().any(|one| one == wanted),
        _ => false,
    }
}

/// The alternative that a map means: the one that shares most keys with it.
fn object<'a>(choices: &[&'a Json], has: impl Fn(&str) -> bool) -> Option<&'a Json> {
    let shared = |choice: &Json| {
        let keys = choice["properties"].as_object();
        keys.map_or(0, |keys| keys.keys().filter(|key| has(key)).count())
    };
    let objects = choices.iter().filter(|choice| has_type(choice, "object"));
    // `max_by_key` takes the last of equals; the first is the more usual form.
    objects.rev().max_by_key(|choice| shared(choice)).copied()
}

struct Why {
    message: String,
    hint: Option<String>,
}

fn scalar(text: &str, choices: &[&Json]) -> Result<Json, Why> {
    let words: Vec<&str> = choices
        .iter()
        .flat_map(|choice| {
            choice["const"]
                .as_str()
                .into_iter()
                .chain(choice["enum"].as_array().into_iter().flatten().filter_map(Json::as_str))
        })
        .collect();
    if words.contains(&text) {
        return Ok(Json::String(text.to_owned()));
    }
    let typed = choices.iter().filter(|choice| choice.get("const").is_none() && choice.get("enum").is_none());
    let mut trouble = None;
    for choice in typed {
        if has_type(choice, "string") {
            return Ok(Json::String(text.to_owned()));
        }
        if has_type(choice, "boolean") {
            match text {
                "true" => return Ok(Json::Bool(true)),
                "false" => return Ok(Json::Bool(false)),
                _ => {}
            }
        }
        if has_type(choice, "integer")
            && let Ok(number) = text.parse::<i64>()
        {
            match in_range(number, choice) {
                Ok(()) => return Ok(Json::Number(number.into())),
                Err(message) => trouble = Some(Why { message, hint: None }),
            }
        }
        if has_type(choice, "number")
            && let Some(number) = text.parse::<f64>().ok().and_then(Number::from_f64)
        {
            return Ok(Json::Number(number));
        }
    }
    if let Some(why) = trouble {
        return Err(why);
    }
    if words.is_empty() {
        return Err(Why { message: format!("`{text}` is not {}", wanted(choices)), hint: None });
    }
    let hint = nearest(text, &words).map(|near| format!("did you mean `{near}`?"));
    Err(Why { message: format!("`{text}` is not {}", wanted(choices)), hint })
}

fn in_range(number: i64, schema: &Json) -> Result<(), String> {
    let (low, high) = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
    if low.is_none_or(|low| number >= low) && high.is_none_or(|high| number <= high) {
        return Ok(());
    }
    let bound = |side: Option<i64>| side.map_or_else(|| "…".to_owned(), |n| n.to_string());
    Err(format!("{number} is out of range ({} to {})", bound(low), bound(high)))
}

/// What is wanted, in words.
fn wanted(choices: &[&Json]) -> String {
    let mut words: Vec<String> = Vec::new();
    for choice in choices {
        let word = if let Some(text) = choice["const"].as_str() {
            format!("`{text}`")
        } else if let Some(list) = choice["enum"].as_array() {
            list.iter().filter_map(Json::as_str).map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ")
        } else if has_type(choice, "object") {
            match choice["required"].as_array() {
                Some(keys) if choices.len() > 1 => {
                    format!(
                        "{{ {} }}",
                        keys.iter().filter_map(Json::as_str).map(|k| format!("{k}: …")).collect::<Vec<_>>().join(", ")
                    )
                }
                _ => "a map".to_owned(),
            }
        } else if has_type(choice, "array") {
            "a list".to_owned()
        } else if has_type(choice, "string") {
            "a text".to_owned()
        } else if has_type(choice, "integer") {
            "a whole number".to_owned()
        } else if has_type(choice, "number") {
            "a number".to_owned()
        } else {
            "`true` or `false`".to_owned()
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// The known word that was probably meant.
pub(crate) fn nearest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let scored = known.iter().map(|word| (strsim::damerau_levenshtein(text, word), *word));
    let limit = (text.chars().count() / 3).max(1) + 1;
    scored.filter(|(distance, _)| *distance <= limit).min().map(|(_, word)| word)
}

/// Values without a schema, typed as YAML's core schema does.
pub(crate) fn free(node: &Node) -> Json {
    match &node.kind {
        Kind::Mapping(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (key.text.clone(), free(value))).collect())
        }
        Kind::Sequence(items) => Json::Array(items.iter().map(free).collect()),
        Kind::Scalar { .. } if node.is_null() => Json::Null,
        Kind::Scalar { text, plain: false } => Json::String(text.clone()),
        Kind::Scalar { text, plain: true } => match text.as_str() {
            "true" | "True" | "TRUE" => Json::Bool(true),
            "false" | "False" | "FALSE" => Json::Bool(false),
            _ => number(text).map_or_else(|| Json::String(text.clone()), Json::Number),
        },
    }
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    let whole = text.parse::<i64>().ok().map(Number::from);
    whole.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}

/// A key that must be there and isn't.
pub(crate) struct Missing {
    /// The path of the map that lacks it; empty for the file itself.
    pub(crate) path: String,
    /// The key.
    pub(crate) key: String,
}

/// The keys that the merged file lacks. A value that can't be read without them is taken out, so that the rest can.
pub(crate) fn missing(fleet: &mut Json) -> Vec<Missing> {
    let mut found = Vec::new();
    lacking(fleet, &SCHEMA, "", &mut found);
    found
}

/// Whether the value can be read.
fn lacking(value: &mut Json, schema: &Json, path: &str, found: &mut Vec<Missing>) -> bool {
    let choices = alternatives(schema);
    match value {
        Json::Object(map) => {
            let Some(choice) = object(&choices, |key| map.contains_key(key)) else { return true };
            let before = found.len();
            for key in choice["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
                if !map.contains_key(key) {
                    found.push(Missing { path: path.to_owned(), key: key.to_owned() });
                }
            }
            // One form of several is told by its keys; the only one there is can wait for them.
            let readable = found.len() == before || choices.len() == 1;
            map.retain(|key, value| {
                if !is_collection(value) {
                    return true;
                }
                let inner = choice["properties"].get(key).unwrap_or(&choice["additionalProperties"]);
                !inner.is_object() || lacking(value, inner, &join(path, key), found)
            });
            readable
        }
        Json::Array(items) => {
            let Some(choice) = choices.iter().find(|choice| has_type(choice, "array")) else { return true };
            let each = items.iter_mut().enumerate();
            // Without one of its items a list would mean something else.
            let each = each.filter(|(_, item)| is_collection(item));
            each.fold(true, |all, (i, item)| lacking(item, &choice["items"], &join(path, &i.to_string()), found) && all)
        }
        _ => true,
    }
}

/// Only what has entries can lack one.
const fn is_collection(value: &Json) -> bool {
    matches!(value, Json::Object(_) | Json::Array(_))
}

/// One step of a key path that was not written in the file: the key that a variable's part means there, and whether
/// the value under it may be a list or map.
pub(crate) fn resolve_key<'s>(schema: &'s Json, part: &str, present: &Json) -> Option<(String, &'s Json)> {
    let choices = alternatives(schema);
    let same = |key: &str| key.replace('-', "_").eq_ignore_ascii_case(&part.replace('-', "_"));
    for choice in choices.iter().filter(|choice| has_type(choice, "object")) {
        let listed = choice["properties"].as_object().into_iter().flatten().find(|(key, _)| same(key));
        if let Some((key, inner)) = listed {
            return Some((key.clone(), inner));
        }
        let open = &choice["additionalProperties"];
        if open.is_object() || *open == Json::Bool(true) {
            let known = present.as_object().into_iter().flatten().map(|(key, _)| key).find(|key| same(key));
            return Some((known.cloned().unwrap_or_else(|| part.to_owned()), open));
        }
    }
    None
}

/// Whether a value under that schema may be written as a list or map.
pub(crate) fn takes_collections(schema: &Json) -> bool {
    alternatives(schema).iter().any(|choice| is_free(choice) || has_type(choice, "object") || has_type(choice, "array"))
}
