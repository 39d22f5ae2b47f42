//! Samples, converters and conditions of the configuration: those that decide where a request goes.

use std::collections::BTreeMap;

use regex::Regex;

use super::table::Table;

/// A request, as far as its way depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomRequest {
    /// Without the query.
    pub(crate) path: String,
    /// What stands behind the `?`, as it was sent.
    pub(crate) query: String,
    /// The page that asks.
    pub(crate) referer: Option<String>,
}

impl RoomRequest {
    /// The websocket of a page: `/room` or `/tenant/room`.
    pub(crate) fn signalling(page: &str) -> Self {
        let (tenant, room) = page.rsplit_once('/').unwrap_or(("", page));
        Self { path: format!("{tenant}/xmpp-websocket"), query: format!("room={room}"), referer: None }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name)).map(|pair| pair.1)
    }
}

/// What is known while one request is judged.
pub(super) struct Scene<'a> {
    pub(super) request: &'a RoomRequest,
    pub(super) variables: BTreeMap<&'a str, String>,
    pub(super) tables: &'a BTreeMap<String, Table>,
}

/// A sample and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    fetch: Fetch,
    converters: Vec<Converter>,
}

#[derive(Debug, Clone)]
enum Fetch {
    Path,
    Parameter(String),
    /// As a whole; else the last of its values, as commas separate them.
    Header {
        name: String,
        whole: bool,
    },
    Variable(String),
    Constant(String),
    /// Callers have no address.
    Nothing,
}

#[derive(Debug, Clone)]
enum Converter {
    Lower,
    UrlDecode,
    Replace(Box<Regex>, String),
    /// What comes before a variable, its name, and what comes after.
    Join(String, String, String),
    /// The server of that key in a table.
    ServerId(String),
}

impl Expression {
    /// Reads one; nothing when it has a part that is not followed here.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = split(text).into_iter();
        let (name, arguments) = call(parts.next()?);
        let first = || arguments.first().map(|argument| (*argument).to_owned());
        let fetch = match name {
            "path" => Fetch::Path,
            "url_param" => Fetch::Parameter(first()?),
            "req.hdr" | "hdr" | "req.fhdr" => {
                Fetch::Header { name: first()?.to_lowercase(), whole: name == "req.fhdr" }
            }
            "var" => Fetch::Variable(first()?),
            "src" | "req.hdr_ip" => Fetch::Nothing,
            "bool" | "str" | "int" => Fetch::Constant(first()?),
            _ => return None,
        };
        let converters = parts.map(Converter::read).collect::<Option<_>>()?;
        Some(Self { fetch, converters })
    }

    pub(super) fn value(&self, scene: &Scene<'_>) -> Option<String> {
        let mut value = match &self.fetch {
            Fetch::Path => scene.request.path.clone(),
            Fetch::Parameter(name) => scene.request.parameter(name)?.to_owned(),
            Fetch::Header { name, whole } if name == "referer" => {
                let value = scene.request.referer.as_deref()?;
                let last = value.rsplit(',').next().filter(|_| !whole);
                last.unwrap_or(value).trim().to_owned()
            }
            Fetch::Header { .. } | Fetch::Nothing => return None,
            Fetch::Variable(name) => scene.variables.get(name.as_str())?.clone(),
            Fetch::Constant(value) => value.clone(),
        };
        for converter in &self.converters {
            value = converter.apply(value, scene)?;
        }
        Some(value)
    }
}

impl Converter {
    fn read(text: &str) -> Option<Self> {
        let (name, arguments) = call(text);
        let argument = |at: usize| arguments.get(at).copied().unwrap_or_default().to_owned();
        Some(match name {
            "lower" => Self::Lower,
            "url_dec" => Self::UrlDecode,
            "regsub" => Self::Replace(Box::new(Regex::new(&argument(0)).ok()?), argument(1)),
            "concat" => Self::Join(argument(0), argument(1), argument(2)),
            "table_server_id" => Self::ServerId(argument(0)),
            _ => return None,
        })
    }

    fn apply(&self, value: String, scene: &Scene<'_>) -> Option<String> {
        Some(match self {
            Self::Lower => value.to_ascii_lowercase(),
            Self::UrlDecode => decoded(value),
            Self::Replace(pattern, with) => pattern.replace(&value, with.as_str()).into_owned(),
            Self::Join(before, name, after) => {
                let middle = scene.variables.get(name.as_str()).map_or("", String::as_str);
                value + before + middle + after
            }
            // A key that is not in the table gives 0.
            Self::ServerId(table) => scene.tables.get(table)?.get(&value).map_or(0, |entry| entry.server).to_string(),
        })
    }
}

/// Parts between commas that stand in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0_usize, 0);
    for (at, char) in text.char_indices() {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text.get(begin..at).unwrap_or_default());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(begin..).unwrap_or_default());
    parts
}

/// A name and what stands in its parentheses.
fn call(text: &str) -> (&str, Vec<&str>) {
    match text.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').unwrap_or(rest).split(',').collect()),
        None => (text, Vec::new()),
    }
}

/// `%41` becomes `A`; what is no escape stays.
fn decoded(text: String) -> String {
    if !text.contains('%') {
        return text;
    }
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escape = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, escape) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 3;
            }
            (other, _) => {
                out.push(*other);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// How a sample is compared.
#[derive(Debug, Clone)]
enum Match {
    Found,
    Bool,
    Integer(Vec<String>),
    Text(Vec<String>),
    Begins(Vec<String>),
    Ends(Vec<String>),
    Fits(Vec<Regex>),
}

/// A sample and what it is compared with.
#[derive(Debug, Clone)]
pub(super) struct Test {
    expression: Expression,
    wanted: Match,
}

impl Test {
    /// Reads `path_beg /libs/ /css/` or `url_param(room) -m found`; nothing when it is not followed here.
    pub(super) fn read(words: &[&str]) -> Option<Self> {
        let (first, rest) = words.split_first()?;
        let (name, method, rest) = match (*first, rest) {
            (name, ["-m", method, rest @ ..]) => (name, *method, rest),
            ("path_beg", rest) => ("path", "beg", rest),
            ("path_end", rest) => ("path", "end", rest),
            ("path_reg", rest) => ("path", "reg", rest),
            (name, rest) => (name, "str", rest),
        };
        let texts = || rest.iter().map(|word| (*word).to_owned()).collect();
        let wanted = match method {
            "found" => Match::Found,
            "bool" => Match::Bool,
            "int" => Match::Integer(texts()),
            "str" | "ip" => Match::Text(texts()),
            "beg" => Match::Begins(texts()),
            "end" => Match::Ends(texts()),
            "reg" => Match::Fits(rest.iter().map(|word| Regex::new(word).ok()).collect::<Option<_>>()?),
            _ => return None,
        };
        Some(Self { expression: Expression::read(name)?, wanted })
    }

    fn holds(&self, scene: &Scene<'_>) -> bool {
        let Some(value) = self.expression.value(scene) else { return false };
        match &self.wanted {
            Match::Found => true,
            Match::Bool => matches!(value.as_str(), "true" | "1"),
            Match::Integer(all) | Match::Text(all) => all.contains(&value),
            Match::Begins(all) => all.iter().any(|start| value.starts_with(start.as_str())),
            Match::Ends(all) => all.iter().any(|end| value.ends_with(end.as_str())),
            Match::Fits(all) => all.iter().any(|pattern| pattern.is_match(&value)),
        }
    }
}

/// Named conditions: several lines of one name, of which one has to hold.
pub(super) type Lists = BTreeMap<String, Vec<Test>>;

/// What stands behind `if`: all of it has to hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition(Vec<(bool, Term)>);

#[derive(Debug, Clone)]
enum Term {
    Named(String),
    Test(Test),
}

impl Condition {
    /// Reads the words behind `if`; nothing when there is one that is not followed here.
    pub(super) fn read(mut words: &[&str], lists: &Lists) -> Option<Self> {
        let mut terms = Vec::new();
        while let [word, rest @ ..] = words {
            let (wanted, word) = word.strip_prefix('!').map_or((true, *word), |word| (false, word));
            if word == "{" {
                let end = rest.iter().position(|word| *word == "}")?;
                terms.push((wanted, Term::Test(Test::read(rest.get(..end)?)?)));
                words = rest.get(end + 1..)?;
            } else {
                lists.get(word)?;
                terms.push((wanted, Term::Named(word.to_owned())));
                words = rest;
            }
        }
        Some(Self(terms))
    }

    pub(super) fn holds(&self, scene: &Scene<'_>, lists: &Lists) -> bool {
        self.0.iter().all(|(wanted, term)| {
            let holds = match term {
                Term::Test(test) => test.holds(scene),
                Term::Named(name) => lists.get(name).is_some_and(|tests| tests.iter().any(|test| test.holds(scene))),
            };
            holds == *wanted
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(expression: &str, path: &str, referer: &str) -> Option<String> {
        let request = RoomRequest {
            path: path.to_owned(),
            query: "v=1&room=A%2520b".to_owned(),
            referer: Some(referer.to_owned()).filter(|text| !text.is_empty()),
        };
        let tables = BTreeMap::new();
        let variables = BTreeMap::from([("txn.room", "r".to_owned())]);
        Expression::read(expression).unwrap().value(&Scene { request: &request, variables, tables: &tables })
    }

    #[test]
    fn samples_and_converters() {
        let of = |expression| value(expression, "/T/Room/", "https://h.example/T/Room?jwt=1").unwrap();
        assert_eq!(of("url_param(room),url_dec,url_dec,lower"), "a b");
        assert_eq!(of("url_param(room),url_dec"), "A%20b");
        assert_eq!(of("path,regsub(/$,),lower"), "/t/room");
        assert_eq!(of("path,regsub(/$,),regsub(/[^/]*$,),concat(/,txn.room)"), "/T/r");
        assert_eq!(of("req.hdr(Referer),regsub(^https?://[^/]*,),regsub([?].*$,)"), "/T/Room");
        assert_eq!(value("req.hdr(referer)", "/", ""), None);
        assert_eq!(value("req.hdr(referer)", "/", "https://h/a?x=1,2").as_deref(), Some("2"));
        assert_eq!(value("req.fhdr(referer)", "/", "https://h/a?x=1,2").as_deref(), Some("https://h/a?x=1,2"));
        assert!(Expression::read("rand").is_none() && Expression::read("path,xxh64").is_none());
    }
}
