//! OpenAPI v3 to the few facts that field ownership and field validation need.

use serde_json::{Map, Value, json};

use xtask::shell::{Failure, Result};

/// What is written.
pub(crate) struct Types {
    /// `v1 Pod` to the name of its type.
    pub(crate) kinds: Map<String, Value>,
    /// All types that the kinds lead to.
    pub(crate) types: Map<String, Value>,
}

/// The name of the definition of a kind.
pub(crate) fn name_of<'a>(definitions: &'a Map<String, Value>, kind: &api_server::Kind) -> Option<&'a str> {
    let own = json!({ "group": kind.group, "version": kind.version, "kind": kind.name });
    let is_own = |definition: &Value| {
        definition["x-kubernetes-group-version-kind"].as_array().is_some_and(|known| known.contains(&own))
    };
    definitions.iter().find(|(_, definition)| is_own(definition)).map(|(name, _)| name.as_str())
}

/// The types of these kinds, and those that they lead to.
pub(crate) fn types(definitions: &Map<String, Value>, kinds: &[&api_server::Kind]) -> Result<Types> {
    let mut writer = Writer { definitions, types: Map::new() };
    let mut of_kinds = Map::new();
    for kind in kinds {
        let name = name_of(definitions, kind)
            .ok_or_else(|| Failure::new(format!("no definition of {} {}", kind.api_version(), kind.name)))?;
        writer.named(name)?;
        of_kinds.insert(format!("{} {}", kind.api_version(), kind.name), short(name).into());
    }
    Ok(Types { kinds: of_kinds, types: writer.types })
}

/// `io.k8s.api.core.v1.Pod` as `core.v1.Pod`, which is still unique.
fn short(name: &str) -> &str {
    ["io.k8s.api.", "io.k8s.apimachinery.pkg.apis.", "io.k8s.apimachinery.pkg."]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

struct Writer<'a> {
    definitions: &'a Map<String, Value>,
    types: Map<String, Value>,
}

impl Writer<'_> {
    fn named(&mut self, name: &str) -> Result<()> {
        if self.types.contains_key(short(name)) {
            return Ok(());
        }
        let definition = self
            .definitions
            .get(name)
            .ok_or_else(|| Failure::new(format!("a type refers to {name}, which is not defined")))?;
        // Stands there before its fields are looked at: types may lead back to themselves.
        self.types.insert(short(name).to_owned(), Value::Null);
        let mut written = match name.rsplit('.').next() {
            Some("Quantity") => json!("quantity"),
            Some("IntOrString") => json!("int-or-string"),
            Some("Time") => json!("time"),
            Some("MicroTime") => json!("micro-time"),
            Some("RawExtension" | "FieldsV1") => json!("any"),
            _ => self.inline(definition)?,
        };
        if let (Some(fields), Some((_, go))) = (written.as_object_mut(), name.rsplit_once('.'))
            && short(name) != name
        {
            fields.insert("name".to_owned(), go.into());
        }
        self.types.insert(short(name).to_owned(), written);
        Ok(())
    }

    fn inline(&mut self, definition: &Value) -> Result<Value> {
        if let Some(reference) = reference(definition) {
            self.named(reference)?;
            let target = format!("#{}", short(reference));
            return Ok(match definition["x-kubernetes-map-type"].as_str() {
                Some(how) => json!({ "ref": target, "atomic": how == "atomic" }),
                None => target.into(),
            });
        }
        if definition["x-kubernetes-int-or-string"] == true {
            return Ok("int-or-string".into());
        }
        Ok(match (definition["type"].as_str(), definition["format"].as_str()) {
            (Some("object"), _) => self.object(definition)?,
            (Some("array"), _) => self.list(definition)?,
            (Some("integer"), Some("int32")) => "int32".into(),
            (Some("integer"), _) => "integer".into(),
            (Some("number"), _) => "number".into(),
            (Some("boolean"), _) => "boolean".into(),
            (Some("string"), Some("byte")) => "bytes".into(),
            (Some("string"), Some("date-time")) => "time".into(),
            (Some("string"), _) => "string".into(),
            _ => "any".into(),
        })
    }

    fn object(&mut self, definition: &Value) -> Result<Value> {
        let mut written = Map::new();
        if let Some(properties) = definition["properties"].as_object() {
            let required = definition["required"].as_array().cloned().unwrap_or_default();
            let mut fields = Map::new();
            for (name, property) in properties {
                fields.insert(name.clone(), self.field(property, required.contains(&json!(name)))?);
            }
            written.insert("fields".to_owned(), fields.into());
        } else if definition["additionalProperties"].is_object() {
            written.insert("map".to_owned(), self.inline(&definition["additionalProperties"])?);
        } else if definition["x-kubernetes-group-version-kind"].is_array() {
            written.insert("fields".to_owned(), json!({}));
        } else {
            return Ok("any".into());
        }
        if definition["x-kubernetes-map-type"] == "atomic" {
            written.insert("atomic".to_owned(), true.into());
        }
        if definition["x-kubernetes-preserve-unknown-fields"] == true {
            written.insert("open".to_owned(), true.into());
        }
        Ok(written.into())
    }

    fn field(&mut self, property: &Value, required: bool) -> Result<Value> {
        let mut written = Map::new();
        if let Some(default) = property.get("default") {
            written.insert("default".to_owned(), default.clone());
        }
        if required {
            written.insert("required".to_owned(), true.into());
        }
        if let Some(strategy) = property["x-kubernetes-patch-strategy"].as_str() {
            written.insert("patch".to_owned(), strategy.into());
        }
        if let Some(key) = property["x-kubernetes-patch-merge-key"].as_str() {
            written.insert("merge-key".to_owned(), key.into());
        }
        let is = self.inline(property)?;
        if written.is_empty() {
            return Ok(is);
        }
        written.insert("is".to_owned(), is);
        Ok(written.into())
    }

    fn list(&mut self, definition: &Value) -> Result<Value> {
        let mut written = Map::new();
        written.insert("list".to_owned(), self.inline(&definition["items"])?);
        let merges = definition["x-kubernetes-patch-strategy"].as_str().is_some_and(|how| how.starts_with("merge"));
        match (definition["x-kubernetes-list-type"].as_str(), definition["x-kubernetes-patch-merge-key"].as_str()) {
            (Some("map"), _) => {
                written.insert("keys".to_owned(), definition["x-kubernetes-list-map-keys"].clone());
            }
            (None, Some(key)) if merges => {
                written.insert("keys".to_owned(), json!([key]));
            }
            (Some("set"), _) => {
                written.insert("set".to_owned(), true.into());
            }
            (None, None) if merges => {
                written.insert("set".to_owned(), true.into());
            }
            _ => {}
        }
        Ok(written.into())
    }
}

fn reference(definition: &Value) -> Option<&str> {
    let direct = definition["$ref"].as_str();
    let wrapped = || definition["allOf"].as_array().and_then(|all| all.first()).and_then(|one| one["$ref"].as_str());
    direct.or_else(wrapped)?.rsplit('/').next()
}
