//! Field validation: what a decoder says to fields that it does not know, and to values that it can't take.

use serde_json::{Map, Value as Json};

use super::{Scalar, Schema, Struct};

/// What is not as the schema says: unknown fields by the words `unknown field "spec.x"`, and values of a wrong type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Misfits {
    /// Unknown fields; they have been removed from the object.
    pub unknown: Vec<String>,
    /// Values of a wrong type: the object can't be decoded. In the server's words: for its own kinds what follows
    /// `cannot be handled as a Service: `, for kinds of a CRD the items of a 422.
    pub mistyped: Vec<String>,
}

/// Compares an object with its schema, and removes the fields that are unknown.
pub fn check(schema: &Schema, object: &mut Json) -> Misfits {
    let mut checker = Checker { custom: schema.is_custom(), path: Vec::new(), found: Misfits::default() };
    checker.value(schema, object, "");
    checker.found
}

enum Step {
    Field(String),
    Item(usize),
}

struct Checker {
    custom: bool,
    path: Vec<Step>,
    found: Misfits,
}

impl Checker {
    /// `owner` is the struct whose field this value is in, as the decoder calls it.
    fn value(&mut self, schema: &Schema, value: &mut Json, owner: &'static str) {
        if value.is_null() {
            return;
        }
        match (schema, value) {
            (Schema::Any, _) => {}
            (Schema::Struct(of), Json::Object(fields)) => self.fields(of, fields),
            (Schema::Map { value: of, .. }, Json::Object(entries)) => {
                for (key, entry) in entries {
                    self.path.push(Step::Field(key.clone()));
                    self.value(of, entry, owner);
                    self.path.pop();
                }
            }
            (Schema::List { item, .. }, Json::Array(items)) => {
                for (index, entry) in items.iter_mut().enumerate() {
                    self.path.push(Step::Item(index));
                    self.value(item, entry, owner);
                    self.path.pop();
                }
            }
            (Schema::Scalar(scalar), value) => self.scalar(*scalar, value, owner),
            (schema, value) => self.mistyped(schema, value, owner),
        }
    }

    fn fields(&mut self, of: &Struct, fields: &mut Map<String, Json>) {
        for (name, value) in fields.iter_mut() {
            let Some(field) = of.fields.get(name.as_str()) else {
                if !of.open {
                    let place = self.place();
                    let dot = if place.is_empty() { "" } else { "." };
                    self.found.unknown.push(format!("unknown field \"{place}{dot}{name}\""));
                }
                continue;
            };
            self.path.push(Step::Field(name.clone()));
            self.value(field.schema, value, of.name);
            self.path.pop();
        }
        if !of.open {
            fields.retain(|name, _| of.fields.contains_key(name.as_str()));
        }
    }

    fn scalar(&mut self, scalar: Scalar, value: &Json, owner: &'static str) {
        let schema = Schema::Scalar(scalar);
        if self.custom && !matches!(scalar, Scalar::Time | Scalar::MicroTime) {
            let fits = match scalar {
                Scalar::Integer | Scalar::Int32 => value.is_i64() || value.is_u64(),
                Scalar::Number => value.is_number(),
                Scalar::Boolean => value.is_boolean(),
                Scalar::IntOrString | Scalar::Quantity => value.is_i64() || value.is_string(),
                _ => value.is_string(),
            };
            if !fits {
                self.mistyped(&schema, value, owner);
            }
            return;
        }
        match (scalar, value) {
            (Scalar::String, Json::String(_))
            | (Scalar::Boolean, Json::Bool(_))
            | (Scalar::Number, Json::Number(_)) => {}
            (Scalar::Integer, Json::Number(number)) if number.is_i64() => {}
            (Scalar::Int32 | Scalar::IntOrString, Json::Number(number))
                if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => {}
            (Scalar::IntOrString, Json::String(_)) => {}
            (Scalar::Quantity, value) => {
                let text = value.as_str().map(str::to_owned).or_else(|| value.as_number().map(ToString::to_string));
                if !text.is_some_and(|text| is_quantity(&text)) {
                    let rule = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";
                    self.found.mistyped.push(format!("quantities must match the regular expression '{rule}'"));
                }
            }
            (Scalar::Time | Scalar::MicroTime, Json::String(text)) => {
                if text.parse::<jiff::Timestamp>().is_err() {
                    let (form, rest) = ("2006-01-02T15:04:05Z07:00", text);
                    let words = format!("parsing time {text:?} as {form:?}: cannot parse {rest:?} as \"2006\"");
                    self.found.mistyped.push(words);
                }
            }
            (Scalar::Bytes, Json::String(text)) => {
                if let Some(at) = not_base64(text) {
                    self.found.mistyped.push(format!("illegal base64 data at input byte {at}"));
                }
            }
            (_, value) => self.mistyped(&schema, value, owner),
        }
    }

    fn mistyped(&mut self, schema: &Schema, value: &Json, owner: &'static str) {
        if self.custom {
            let place = self.place();
            let (is, must) = (json_type(value), open_api_type(schema));
            let words = format!("Invalid value: \"{is}\": {place} in body must be of type {must}: \"{is}\"");
            return self.found.mistyped.push(format!("{place}: {words}"));
        }
        let number = value.as_number().filter(|_| !matches!(schema, Schema::Scalar(Scalar::String | Scalar::Time)));
        let is = match (value, number) {
            (_, Some(number)) if is_integer(schema) => format!("number {number}"),
            (Json::Number(_), _) => "number".to_owned(),
            (Json::Bool(_), _) => "bool".to_owned(),
            _ => json_type(value).to_owned(),
        };
        let fields = self.path.iter().filter_map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            Step::Item(_) => None,
        });
        let mut fields: Vec<&str> = fields.collect();
        // The decoder knows fields, not the keys of maps.
        if matches!(owner, "ObjectMeta" | "Secret" | "ConfigMap" | "LabelSelector") && fields.len() > 1 && self.in_map()
        {
            fields.pop();
        }
        let place = fields.join(".");
        let must = go_type(schema);
        self.found
            .mistyped
            .push(format!("json: cannot unmarshal {is} into Go struct field {owner}.{place} of type {must}"));
    }

    fn in_map(&self) -> bool {
        let parent = self.path.len().checked_sub(2).and_then(|at| self.path.get(at));
        const MAPS: [&str; 6] = ["labels", "annotations", "data", "binaryData", "stringData", "matchLabels"];
        matches!(parent, Some(Step::Field(name)) if MAPS.contains(&name.as_str()))
    }

    fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) => {
                    if !place.is_empty() {
                        place.push('.');
                    }
                    place.push_str(name);
                }
                Step::Item(index) => place.push_str(&format!("[{index}]")),
            }
        }
        place
    }
}

fn is_integer(schema: &Schema) -> bool {
    matches!(schema, Schema::Scalar(Scalar::Integer | Scalar::Int32 | Scalar::IntOrString))
}

fn json_type(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn open_api_type(schema: &Schema) -> &'static str {
    match schema {
        Schema::Scalar(Scalar::Integer | Scalar::Int32) => "integer",
        Schema::Scalar(Scalar::Number) => "number",
        Schema::Scalar(Scalar::Boolean) => "boolean",
        Schema::Scalar(Scalar::IntOrString | Scalar::Quantity) => "integer,string",
        Schema::Scalar(_) => "string",
        Schema::List { .. } => "array",
        Schema::Struct(_) | Schema::Map { .. } | Schema::Any => "object",
    }
}

fn go_type(schema: &Schema) -> String {
    match schema {
        Schema::Scalar(Scalar::Integer) => "int64".to_owned(),
        Schema::Scalar(Scalar::Int32 | Scalar::IntOrString) => "int32".to_owned(),
        Schema::Scalar(Scalar::Number) => "float64".to_owned(),
        Schema::Scalar(Scalar::Boolean) => "bool".to_owned(),
        Schema::Scalar(Scalar::Bytes) => "[]uint8".to_owned(),
        Schema::Scalar(_) => "string".to_owned(),
        Schema::Struct(of) => format!("v1.{}", of.name),
        Schema::Map { value, .. } => format!("map[string]{}", go_type(value)),
        Schema::List { item, .. } => format!("[]{}", go_type(item)),
        Schema::Any => "interface {}".to_owned(),
    }
}

/// Sign, digits with at most one point, and a suffix of letters or an exponent.
fn is_quantity(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(digits);
    let is_number = number.matches('.').count() <= 1 && number.bytes().any(|byte| byte.is_ascii_digit());
    let known = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].contains(&suffix);
    is_number && (known || suffix.strip_prefix(['e', 'E']).is_some_and(|power| power.parse::<i32>().is_ok()))
}

/// Where base64 is broken.
fn not_base64(text: &str) -> Option<usize> {
    let is_sign = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let bytes: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let signs = bytes.iter().take_while(|byte| is_sign(byte)).count();
    let padding = &bytes[signs..];
    match (signs % 4, padding) {
        (0, []) | (2, b"==") | (3, b"=") => None,
        (1, []) | (2, [] | [b'=']) | (3, []) => Some(bytes.len()),
        (_, _) => Some(signs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kinds, schema};
    use serde_json::json;

    fn service(spec: Json) -> Json {
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "a" }, "spec": spec })
    }

    #[test]
    fn unknown_fields_are_named_and_dropped() {
        let mut object = service(json!({ "x": 1, "ports": [{ "port": 80, "bar": 2 }] }));
        object["metadata"]["foo"] = json!(1);
        let found = check(schema::of(&kinds::SERVICE), &mut object);
        let words =
            [r#"unknown field "metadata.foo""#, r#"unknown field "spec.ports[0].bar""#, r#"unknown field "spec.x""#];
        assert_eq!(found.unknown, words);
        assert_eq!(object, service(json!({ "ports": [{ "port": 80 }] })));
    }

    /// What a server of version 1.34.3 said to each.
    #[test]
    fn values_of_a_wrong_type_are_refused_in_the_servers_words() {
        let words = |kind: &'static kinds::Kind, mut object: Json| check(schema::of(kind), &mut object).mistyped;
        let field = "into Go struct field";
        for (spec, expected) in [
            (
                json!({ "ports": {} }),
                format!("json: cannot unmarshal object {field} ServiceSpec.spec.ports of type []v1.ServicePort"),
            ),
            (json!([]), format!("json: cannot unmarshal array {field} Service.spec of type v1.ServiceSpec")),
            (
                json!({ "ports": ["x"] }),
                format!("json: cannot unmarshal string {field} ServiceSpec.spec.ports of type v1.ServicePort"),
            ),
            (
                json!({ "ports": [{ "port": "80" }] }),
                format!("json: cannot unmarshal string {field} ServicePort.spec.ports.port of type int32"),
            ),
            (
                json!({ "ports": [{ "port": 80.5 }] }),
                format!("json: cannot unmarshal number 80.5 {field} ServicePort.spec.ports.port of type int32"),
            ),
            (
                json!({ "ports": [{ "port": 99_999_999_999_i64 }] }),
                format!("json: cannot unmarshal number 99999999999 {field} ServicePort.spec.ports.port of type int32"),
            ),
            (
                json!({ "ports": [{ "port": 80, "targetPort": true }] }),
                format!("json: cannot unmarshal bool {field} ServicePort.spec.ports.targetPort of type int32"),
            ),
            (
                json!({ "publishNotReadyAddresses": "yes" }),
                format!("json: cannot unmarshal string {field} ServiceSpec.spec.publishNotReadyAddresses of type bool"),
            ),
        ] {
            assert_eq!(words(&kinds::SERVICE, service(spec)), [expected]);
        }
        let meta = |metadata: Json| words(&kinds::SERVICE, json!({ "metadata": metadata }));
        assert_eq!(
            meta(json!({ "labels": { "a": 1 } })),
            [format!("json: cannot unmarshal number {field} ObjectMeta.metadata.labels of type string")]
        );
        assert_eq!(
            meta(json!({ "labels": [] })),
            [format!("json: cannot unmarshal array {field} ObjectMeta.metadata.labels of type map[string]string")]
        );
        assert_eq!(
            meta(json!({ "creationTimestamp": "x" })),
            [r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#]
        );
        let secret = |data: Json| words(&kinds::SECRET, json!({ "data": { "a": data } }));
        assert_eq!(secret(json!("!!")), ["illegal base64 data at input byte 0"]);
        assert_eq!(secret(json!("YQ=")), ["illegal base64 data at input byte 3"]);
        assert_eq!(secret(json!("YQ==")), Vec::<String>::new());
        assert_eq!(secret(json!(1)), [format!("json: cannot unmarshal number {field} Secret.data of type []uint8")]);
        let quota = |cpu: Json| words(&kinds::QUOTA, json!({ "spec": { "hard": { "cpu": cpu } } }));
        assert_eq!(quota(json!("100x")).len(), 1);
        assert_eq!(quota(json!(1)).len() + quota(json!("1.5Gi")).len() + quota(json!("1e3")).len(), 0);
    }

    #[test]
    fn custom_kinds_are_refused_in_the_words_of_a_validation() {
        let route = |spec: Json| check(schema::of(&kinds::HTTP_ROUTE), &mut json!({ "spec": spec })).mistyped;
        assert_eq!(
            route(json!({ "hostnames": ["a", 1] })),
            [
                r#"spec.hostnames[1]: Invalid value: "integer": spec.hostnames[1] in body must be of type string: "integer""#
            ]
        );
        assert_eq!(
            route(json!({ "parentRefs": "x" })),
            [r#"spec.parentRefs: Invalid value: "string": spec.parentRefs in body must be of type array: "string""#]
        );
    }
}
