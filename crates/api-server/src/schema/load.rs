//! Reads the generated file, once.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value as Json};

use super::{ANY, Field, Identity, Scalar, Schema, Strategy, Struct};

static GENERATED: &str = include_str!("kubernetes.json");

/// Group, version and name of a kind.
type Key = (&'static str, &'static str, &'static str);

struct Loaded {
    server_version: &'static str,
    kinds: BTreeMap<Key, &'static Schema>,
}

fn loaded() -> &'static Loaded {
    static LOADED: OnceLock<Loaded> = OnceLock::new();
    LOADED.get_or_init(|| load(GENERATED))
}

pub(super) fn catalogue() -> &'static BTreeMap<Key, &'static Schema> {
    &loaded().kinds
}

pub(super) fn server_version() -> &'static str {
    loaded().server_version
}

fn load(text: &str) -> Loaded {
    // The file is part of the program and its tests read all of it: an unreadable one leaves all kinds untyped.
    let document: &'static Json = Box::leak(Box::new(serde_json::from_str(text).unwrap_or(Json::Null)));
    let nothing = Box::leak(Box::default());
    let types: &'static Map<String, Json> = document["types"].as_object().unwrap_or(nothing);
    let mut reader = Reader { types, known: BTreeMap::new() };
    let mut kinds = BTreeMap::new();
    for (kind, name) in document["kinds"].as_object().into_iter().flatten() {
        let (Some((api_version, kind)), Some(name)) = (kind.split_once(' '), name.as_str()) else { continue };
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        kinds.insert((group, version, kind), reader.named(name));
    }
    Loaded { server_version: document["server"].as_str().unwrap_or_default(), kinds }
}

struct Reader {
    types: &'static Map<String, Json>,
    /// A type that is being read is not in here yet, but its name is: none of our kinds has types that lead back to
    /// themselves except in what is owned as a whole.
    known: BTreeMap<&'static str, Option<&'static Schema>>,
}

impl Reader {
    fn named(&mut self, name: &'static str) -> &'static Schema {
        if let Some(known) = self.known.get(name) {
            return known.unwrap_or(&ANY);
        }
        self.known.insert(name, None);
        let schema = self.types.get(name).map_or(&ANY, |written| self.read(written));
        self.known.insert(name, Some(schema));
        schema
    }

    fn read(&mut self, written: &'static Json) -> &'static Schema {
        let schema = match written {
            Json::String(word) => match word.strip_prefix('#') {
                Some(name) => return self.named(name),
                None => scalar(word).map_or(Schema::Any, Schema::Scalar),
            },
            Json::Object(parts) => self.compound(parts),
            _ => Schema::Any,
        };
        Box::leak(Box::new(schema))
    }

    fn compound(&mut self, parts: &'static Map<String, Json>) -> Schema {
        let atomic = parts.get("atomic").and_then(Json::as_bool);
        if let Some(name) = parts.get("ref").and_then(Json::as_str) {
            let mut schema = self.named(name.trim_start_matches('#')).clone();
            if let (Schema::Struct(Struct { atomic, .. }) | Schema::Map { atomic, .. }, Some(here)) =
                (&mut schema, atomic)
            {
                *atomic = here;
            }
            return schema;
        }
        let atomic = atomic.unwrap_or(false);
        if let Some(value) = parts.get("map") {
            return Schema::Map { value: self.read(value), atomic };
        }
        if let Some(item) = parts.get("list") {
            let identity = match (parts.get("keys").and_then(Json::as_array), parts.get("set")) {
                (Some(keys), _) => Identity::Map(keys.iter().filter_map(Json::as_str).collect::<Vec<_>>().leak()),
                (None, Some(_)) => Identity::Set,
                (None, None) => Identity::Atomic,
            };
            return Schema::List { item: self.read(item), identity };
        }
        let Some(fields) = parts.get("fields").and_then(Json::as_object) else { return Schema::Any };
        Schema::Struct(Struct {
            name: parts.get("name").and_then(Json::as_str).unwrap_or_default(),
            fields: fields.iter().map(|(name, field)| (name.as_str(), self.field(field))).collect(),
            atomic,
            open: parts.contains_key("open"),
        })
    }

    fn field(&mut self, written: &'static Json) -> Field {
        let Some(is) = written.get("is") else {
            return Field { schema: self.read(written), default: None, required: false, patch: None };
        };
        let patch = written.get("patch").and_then(Json::as_str).map(|words| Strategy {
            merge: words.split(',').any(|word| word == "merge"),
            retain_keys: words.split(',').any(|word| word == "retainKeys"),
            key: written.get("merge-key").and_then(Json::as_str),
        });
        Field {
            schema: self.read(is),
            default: written.get("default").cloned(),
            required: written.get("required").is_some(),
            patch,
        }
    }
}

fn scalar(word: &str) -> Option<Scalar> {
    Some(match word {
        "string" => Scalar::String,
        "integer" => Scalar::Integer,
        "int32" => Scalar::Int32,
        "number" => Scalar::Number,
        "boolean" => Scalar::Boolean,
        "int-or-string" => Scalar::IntOrString,
        "quantity" => Scalar::Quantity,
        "time" => Scalar::Time,
        "micro-time" => Scalar::MicroTime,
        "bytes" => Scalar::Bytes,
        _ => return None,
    })
}
