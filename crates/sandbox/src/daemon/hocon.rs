//! The part of HOCON in which bridges find their XMPP servers: objects, dotted and quoted keys, strings, `${NAME}`.

use std::collections::BTreeMap;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Text, or whatever else is written without braces.
    Text(String),
    /// An object.
    Object(Object),
}

/// Keys in order of their names.
pub(crate) type Object = BTreeMap<String, Value>;

/// Reads a document; `${NAME}` is looked up in the environment.
///
/// # Errors
/// When it is no HOCON, or a variable is not set: such a file keeps the real daemon from starting, too.
pub(crate) fn parse(text: &str, env: &BTreeMap<String, String>) -> Result<Object, String> {
    let mut parser = Parser { chars: text.chars().collect(), at: 0, env };
    let mut root = Object::new();
    parser.members(&mut root, true)?;
    Ok(root)
}

/// Follows a dotted path to an object.
pub(crate) fn object<'a>(root: &'a Object, path: &str) -> Option<&'a Object> {
    path.split('.').try_fold(root, |object, key| match object.get(key) {
        Some(Value::Object(inner)) => Some(inner),
        _ => None,
    })
}

/// Follows a dotted path to a text.
pub(crate) fn text<'a>(root: &'a Object, path: &str) -> Option<&'a str> {
    let (parent, key) = path.rsplit_once('.').map_or((Some(root), path), |(parent, key)| (object(root, parent), key));
    match parent?.get(key)? {
        Value::Text(text) => Some(text),
        Value::Object(_) => None,
    }
}

struct Parser<'a> {
    chars: Vec<char>,
    at: usize,
    env: &'a BTreeMap<String, String>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn ahead(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(offset, wanted)| self.chars.get(self.at + offset) == Some(&wanted))
    }

    fn problem(&self, what: &str) -> String {
        let line = self.chars.iter().take(self.at).filter(|char| **char == '\n').count() + 1;
        format!("line {line}: {what}")
    }

    /// Spaces and comments; line ends and commas, too, where they part members.
    fn skip(&mut self, lines: bool) {
        while let Some(char) = self.peek() {
            if char == '#' || self.ahead("//") {
                while self.peek().is_some_and(|char| char != '\n') {
                    self.at += 1;
                }
            } else if (char.is_whitespace() && (lines || char != '\n')) || (lines && char == ',') {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn members(&mut self, into: &mut Object, outermost: bool) -> Result<(), String> {
        loop {
            self.skip(true);
            match self.peek() {
                None if outermost => return Ok(()),
                None => return Err(self.problem("a `}` is missing")),
                Some('}') if !outermost => {
                    self.at += 1;
                    return Ok(());
                }
                // A document may stand in braces of its own.
                Some('{') if outermost => {
                    self.at += 1;
                    self.members(into, false)?;
                }
                Some(_) => self.member(into)?,
            }
        }
    }

    fn member(&mut self, into: &mut Object) -> Result<(), String> {
        let path = self.path()?;
        if path.first().is_some_and(|key| key == "include") {
            while self.peek().is_some_and(|char| char != '\n') {
                self.at += 1;
            }
            return Ok(());
        }
        self.skip(false);
        match self.peek() {
            Some('{') => {}
            Some('=' | ':') => self.at += 1,
            Some('+') if self.ahead("+=") => self.at += 2,
            _ => return Err(self.problem(&format!("`{}` has no value", path.join(".")))),
        }
        self.skip(true);
        let Some((last, parents)) = path.split_last() else { return Err(self.problem("a key is missing")) };
        let mut target = into;
        for key in parents {
            let slot = target.entry(key.clone()).or_insert_with(|| Value::Object(Object::new()));
            if !matches!(slot, Value::Object(_)) {
                *slot = Value::Object(Object::new());
            }
            match slot {
                Value::Object(inner) => target = inner,
                Value::Text(_) => return Err("not an object".to_owned()),
            }
        }
        if self.peek() == Some('{') {
            self.at += 1;
            let mut inner = match target.remove(last) {
                Some(Value::Object(inner)) => inner,
                _ => Object::new(),
            };
            self.members(&mut inner, false)?;
            target.insert(last.clone(), Value::Object(inner));
        } else if let Some(text) = self.text()? {
            target.insert(last.clone(), Value::Text(text));
        }
        Ok(())
    }

    fn path(&mut self) -> Result<Vec<String>, String> {
        let mut path = Vec::new();
        loop {
            let key = if self.peek() == Some('"') {
                self.quoted()?
            } else {
                self.bare(&['.', '=', ':', '{', '+', ' ', '\t'])
            };
            if key.is_empty() {
                return Err(self.problem("a key is missing"));
            }
            path.push(key);
            if self.peek() != Some('.') {
                return Ok(path);
            }
            self.at += 1;
        }
    }

    fn bare(&mut self, ends: &[char]) -> String {
        let mut out = String::new();
        while let Some(char) = self.peek() {
            if char == '\n' || ends.contains(&char) {
                break;
            }
            out.push(char);
            self.at += 1;
        }
        out
    }

    /// A value up to the end of its line; pieces next to each other are one text. Nothing for an optional variable
    /// that is not set.
    fn text(&mut self) -> Result<Option<String>, String> {
        let mut out = String::new();
        let mut found = false;
        let mut brackets = 0_usize;
        while let Some(char) = self.peek() {
            match char {
                '\n' | ',' if brackets == 0 => break,
                '}' if brackets == 0 => break,
                '#' => break,
                '"' => {
                    out.push_str(&self.quoted()?);
                    found = true;
                    continue;
                }
                '$' if self.ahead("${") => {
                    if let Some(value) = self.substitution()? {
                        out.push_str(&value);
                        found = true;
                    }
                    continue;
                }
                '[' => brackets += 1,
                ']' => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            out.push(char);
            found |= !char.is_whitespace();
            self.at += 1;
        }
        Ok(found.then(|| out.trim_end().to_owned()))
    }

    fn substitution(&mut self) -> Result<Option<String>, String> {
        self.at += 2;
        let optional = self.peek() == Some('?');
        if optional {
            self.at += 1;
        }
        let name = self.bare(&['}']);
        if self.peek() != Some('}') {
            return Err(self.problem("`${` has no end"));
        }
        self.at += 1;
        match self.env.get(name.trim()) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(self.problem(&format!("Could not resolve substitution to a value: ${{{name}}}"))),
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut raw = String::from("\"");
        self.at += 1;
        while let Some(char) = self.peek() {
            self.at += 1;
            raw.push(char);
            if char == '\\' {
                if let Some(escaped) = self.peek() {
                    raw.push(escaped);
                    self.at += 1;
                }
            } else if char == '"' {
                return serde_json::from_str(&raw).map_err(|error| self.problem(&error.to_string()));
            }
        }
        Err(self.problem("a quoted text has no end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_find_their_servers() {
        let text = r#"
            // by hand
            videobridge { http-servers.private.port = 8080 }
            videobridge.apis.xmpp-client.configs {
              "alpha-a" {
                HOSTNAME = "h.svc"
                PASSWORD = ${PW}
                MUC_NICKNAME = ${?NICK}   # optional
                USERNAME = "bridge \"7\""
              }
            }
            videobridge.apis.xmpp-client.configs."alpha-a".PORT = "5223"
        "#;
        let env = BTreeMap::from([("PW".to_owned(), "a\"$b".to_owned())]);
        let root = parse(text, &env).unwrap();
        let server = object(&root, "videobridge.apis.xmpp-client.configs.alpha-a").unwrap();
        let text = |key: &str| server.get(key).cloned();
        assert_eq!(text("HOSTNAME"), Some(Value::Text("h.svc".into())));
        assert_eq!(text("PASSWORD"), Some(Value::Text("a\"$b".into())));
        assert_eq!(text("MUC_NICKNAME"), None);
        assert_eq!(text("USERNAME"), Some(Value::Text("bridge \"7\"".into())));
        assert_eq!(text("PORT"), Some(Value::Text("5223".into())));
    }

    #[test]
    fn what_the_real_daemon_refuses_is_refused() {
        let env = BTreeMap::new();
        assert!(parse("a = ${NOT_SET}", &env).unwrap_err().contains("${NOT_SET}"));
        assert_eq!(parse("a {\n b = 1\n", &env).unwrap_err(), "line 3: a `}` is missing");
        assert!(parse("a = \"x", &env).is_err());
    }
}
