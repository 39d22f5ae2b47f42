//! Label and field selectors.

use serde_json::Value as Json;

use crate::error::ApiError;
use crate::kinds::Kind;

/// Which objects are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

/// One requirement on labels.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    /// Above (or else below) a number.
    Beyond(String, bool, i64),
}

/// Fields by which every kind can be selected.
const OF_ALL: [&str; 2] = ["metadata.name", "metadata.namespace"];

/// Further fields, by kind.
const OF_KINDS: [(&str, &[&str]); 6] = [
    (
        "Pod",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "spec.hostNetwork",
        ],
    ),
    (
        "Event",
        &[
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.uid",
            "reason",
            "type",
            "reportingComponent",
            "source",
        ],
    ),
    ("Secret", &["type"]),
    ("Service", &["spec.clusterIP", "spec.type"]),
    ("Node", &["spec.unschedulable"]),
    ("Namespace", &["status.phase"]),
];

impl Selector {
    /// Reads both selectors of a request.
    ///
    /// # Errors
    /// 400 for what is none, or for fields by which the kind can't be selected.
    pub fn parse(kind: &Kind, labels: Option<&str>, fields: Option<&str>) -> Result<Self, ApiError> {
        let labels = Parser::requirements(labels.unwrap_or_default()).map_err(ApiError::bad_request)?;
        let mut selected = Vec::new();
        for part in fields.unwrap_or_default().split(',').filter(|part| !part.is_empty()) {
            let (field, equal, value) = match (part.split_once("!="), part.split_once("=="), part.split_once('=')) {
                (Some((field, value)), _, _) => (field, false, value),
                (_, Some((field, value)), _) | (_, _, Some((field, value))) => (field, true, value),
                _ => {
                    return Err(ApiError::bad_request(format!(
                        "invalid selector: '{part}'; can't understand '{part}'"
                    )));
                }
            };
            let further = OF_KINDS.iter().find(|(name, _)| *name == kind.name).map_or(&[][..], |(_, fields)| fields);
            if !OF_ALL.contains(&field) && !further.contains(&field) {
                let message = if kind.custom || !further.is_empty() {
                    format!("field label not supported: {field}")
                } else {
                    let [name, namespace] = OF_ALL;
                    format!("{field:?} is not a known field selector: only {name:?}, {namespace:?}")
                };
                return Err(ApiError::bad_request(message));
            }
            selected.push((field.to_owned(), equal, value.to_owned()));
        }
        Ok(Self { labels, fields: selected })
    }

    /// Whether it is about this object.
    #[must_use]
    pub fn matches(&self, object: &Json) -> bool {
        let label = |key: &str| object.get("metadata")?.get("labels")?.get(key)?.as_str();
        self.labels.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => label(key).is_some_and(|value| values.iter().any(|one| one == value)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|value| values.iter().all(|one| one != value)),
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
            Requirement::Beyond(key, above, limit) => label(key)
                .and_then(|value| value.parse::<i64>().ok())
                .is_some_and(|value| if *above { value > *limit } else { value < *limit }),
        }) && self.fields.iter().all(|(field, equal, value)| (field_of(object, field) == *value) == *equal)
    }
}

fn field_of(object: &Json, field: &str) -> String {
    let found = field.split('.').try_fold(object, |at, key| at.get(key));
    match found {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Bool(value)) => value.to_string(),
        _ if field == "spec.unschedulable" || field == "spec.hostNetwork" => "false".to_owned(),
        _ => String::new(),
    }
}

/// Reads label selectors, and says what is wrong with them in a real server's words.
struct Parser<'a> {
    tokens: std::iter::Peekable<std::vec::IntoIter<&'a str>>,
}

/// Signs, longest first, and words between them.
fn tokens(text: &str) -> Vec<&str> {
    const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).map(|sign| sign.len());
        let is_end = |char: char| char.is_whitespace() || "=!(),><".contains(char);
        let length = sign.unwrap_or_else(|| rest.find(is_end).unwrap_or(rest.len()));
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

fn is_word(token: &str) -> bool {
    token.chars().next().is_some_and(|first| !"=!(),><".contains(first))
}

impl<'a> Parser<'a> {
    fn requirements(text: &'a str) -> Result<Vec<Requirement>, String> {
        let mut parser = Self { tokens: tokens(text).into_iter().peekable() };
        let mut found = Vec::new();
        loop {
            match parser.peek() {
                "" => return Ok(found),
                token if is_word(token) || token == "!" => {
                    let requirement = parser.requirement();
                    found.push(requirement.map_err(|error| format!("unable to parse requirement: {error}"))?);
                }
                other => return Err(format!("found '{other}', expected: !, identifier, or 'end of string'")),
            }
            match (parser.next(), parser.peek()) {
                ("", _) => return Ok(found),
                (",", next) if is_word(next) || next == "!" => {}
                (",", next) => return Err(format!("found '{next}', expected: identifier after ','")),
                (other, _) => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
            }
        }
    }

    /// The end is an empty token.
    fn peek(&mut self) -> &'a str {
        self.tokens.peek().copied().unwrap_or_default()
    }

    fn next(&mut self) -> &'a str {
        self.tokens.next().unwrap_or_default()
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next() {
            word if is_word(word) => Ok(word.to_owned()),
            other => Err(format!("found '{other}', expected: identifier")),
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.peek() == "!" {
            self.next();
            return self.word().map(Requirement::Absent);
        }
        let key = self.word()?;
        if matches!(self.peek(), "" | ",") {
            return Ok(Requirement::Exists(key));
        }
        match self.next() {
            "in" => Ok(Requirement::In(key, self.values()?)),
            "notin" => Ok(Requirement::NotIn(key, self.values()?)),
            "=" | "==" => Ok(Requirement::In(key, vec![self.value()?])),
            "!=" => Ok(Requirement::NotIn(key, vec![self.value()?])),
            sign @ (">" | "<") => {
                let value = self.value()?;
                let limit = value.parse().map_err(|_| {
                    let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                    format!("values[0]: Invalid value: {value:?}: {why}")
                })?;
                Ok(Requirement::Beyond(key, sign == ">", limit))
            }
            other => Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), "" | ",") { Ok(String::new()) } else { self.word() }
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            "(" => {}
            other => return Err(format!("found '{other}' expected: '('")),
        }
        match self.peek() {
            ")" | "," => {}
            token if is_word(token) => {}
            other => return Err(format!("found '{other}', expected: ',', ')' or identifier")),
        }
        let mut values = Vec::new();
        loop {
            // Between commas and parentheses nothing is a value, too.
            let word = self.peek();
            values.push(if is_word(word) { self.next().to_owned() } else { String::new() });
            match self.next() {
                ")" => return Ok(values),
                "," => {}
                other => return Err(format!("found '{other}', expected: ',' or ')'")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::{POD, SERVICE};

    #[test]
    fn labels_are_selected_in_every_way() {
        let pod = json!({ "metadata": { "labels": { "app": "jvb", "a/b": "c" } } });
        for (text, fits) in [
            ("", true),
            ("app=jvb", true),
            ("app==jvb,a/b=c", true),
            ("app!=jvb", false),
            ("zone!=x", true),
            ("app in (jvb, web)", true),
            ("app notin (jvb,web),app", false),
            ("app", true),
            ("!app", false),
            ("!zone", true),
        ] {
            assert_eq!(Selector::parse(&POD, Some(text), None).unwrap().matches(&pod), fits, "{text}");
        }
        let numbered = json!({ "metadata": { "labels": { "n": "5" } } });
        for (text, fits) in [("n>4", true), ("n<5", false), ("n in (,5)", true), ("m>1", false)] {
            assert_eq!(Selector::parse(&POD, Some(text), None).unwrap().matches(&numbered), fits, "{text}");
        }
    }

    /// What a server of version 1.34.3 said to each.
    #[test]
    fn what_is_no_selector_is_refused_in_the_servers_words() {
        for (text, words) in [
            ("a in", "unable to parse requirement: found '' expected: '('"),
            ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("a=1,", "found '', expected: identifier after ','"),
            (",a", "found ',', expected: !, identifier, or 'end of string'"),
            ("a notin (1", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a=1=2", "found '=', expected: ',' or 'end of string'"),
        ] {
            let refused = Selector::parse(&POD, Some(text), None).unwrap_err();
            assert_eq!((refused.code, refused.message.as_str()), (400, words), "{text}");
        }
    }

    #[test]
    fn fields_are_those_of_the_kind() {
        let pod =
            json!({ "metadata": { "name": "p" }, "spec": { "nodeName": "n1" }, "status": { "phase": "Running" } });
        for (text, fits) in
            [("spec.nodeName=n1", true), ("status.phase!=Running", false), ("metadata.name=p,spec.nodeName=", false)]
        {
            assert_eq!(Selector::parse(&POD, None, Some(text)).unwrap().matches(&pod), fits, "{text}");
        }
        assert!(
            Selector::parse(&SERVICE, None, Some("spec.nodeName=x"))
                .unwrap_err()
                .message
                .ends_with("not supported: spec.nodeName")
        );
    }
}
