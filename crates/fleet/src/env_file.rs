//! Env files, read as docker-compose reads them.
//!
//! `NAME=value` lines, `export`, comments, single quotes (verbatim), double quotes (escapes and variables, more than
//! one line), and `$X`, `${X}`, `${X:-y}`, `${X-y}`, `${X:?}`, `${X?}`, `${X:+y}`, `${X+y}`; variables come from the
//! process first, then from the lines above.

use std::collections::BTreeMap;

use crate::diagnostic::Problem;
use crate::source::{Span, Text};

/// A variable of an env file.
#[derive(Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) span: Span,
}

/// The variables of a file, and what is wrong with it.
pub(crate) struct Parsed {
    pub(crate) variables: Vec<Variable>,
    pub(crate) problems: Vec<Problem>,
}

/// Reads a file's text; `env` is the process environment, which wins in substitutions.
pub(crate) fn parse(source: &Text, text: &str, env: &BTreeMap<String, String>) -> Parsed {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        chars: text.chars().collect(),
        at: 0,
        line: 1,
        column: 1,
        source,
        env,
        known: BTreeMap::new(),
        torn: false,
    };
    let mut parsed = Parsed { variables: Vec::new(), problems: Vec::new() };
    while let Some(result) = reader.next_line() {
        match result {
            Ok(Some(variable)) => {
                reader.known.insert(variable.name.clone(), variable.value.clone());
                parsed.variables.push(variable);
            }
            Ok(None) => {}
            Err(problem) => {
                parsed.problems.push(problem);
                if reader.at.checked_sub(1).and_then(|at| reader.chars.get(at)) != Some(&'\n') {
                    reader.skip_line();
                }
            }
        }
    }
    parsed
}

struct Reader<'a> {
    chars: Vec<char>,
    at: usize,
    line: usize,
    column: usize,
    source: &'a Text,
    env: &'a BTreeMap<String, String>,
    known: BTreeMap<String, String>,
    /// Whether a quote was left open above: what is no variable may well belong to its value.
    torn: bool,
}

/// Deeper defaults inside defaults than anybody writes.
const MAX_DEPTH: usize = 16;

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|c| c == ' ' || c == '\t' || c == '\r') {
            self.next();
        }
    }

    fn wrong(&self, span: Span, message: impl Into<String>) -> Problem {
        // The line may hold a secret under any name: it is pointed at, not shown.
        Problem::error(message).at(self.source.bare_label(span))
    }

    /// The variable of the next line, nothing for a blank or comment; `None` at the end.
    fn next_line(&mut self) -> Option<Result<Option<Variable>, Problem>> {
        self.skip_blanks();
        match self.peek()? {
            '\n' => {
                self.next();
                Some(Ok(None))
            }
            '#' => {
                self.skip_line();
                Some(Ok(None))
            }
            _ => Some(self.assignment()),
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|c| !c.is_whitespace() && *c != '=' && *c != '#') {
            word.push(c);
            self.next();
        }
        word
    }

    fn assignment(&mut self) -> Result<Option<Variable>, Problem> {
        let (mut line, mut column) = (self.line, self.column);
        let mut name = self.word();
        if name == "export" {
            self.skip_blanks();
            (line, column) = (self.line, self.column);
            name = self.word();
        }
        let span = Span { line, column, len: name.chars().count().max(1) };
        self.skip_blanks();
        let named = name.parse::<crate::EnvName>().is_ok();
        if self.torn && !(named && matches!(self.peek(), Some('=') | None | Some('\n'))) {
            self.skip_line();
            return Ok(None);
        }
        if !named {
            return Err(self
                .wrong(span, "this line does not begin with the name of a variable")
                .hint("write NAME=value; comments begin with #"));
        }
        match self.peek() {
            Some('=') => {
                self.next();
            }
            None | Some('\n') => {
                // A name alone passes the runner's own value on, as docker-compose does.
                let value = self.env.get(&name).cloned().unwrap_or_default();
                return Ok(Some(Variable { name, value, span }));
            }
            Some(_) => {
                return Err(self.wrong(span, format!("`{name}` is not followed by `=`")).hint("write NAME=value"));
            }
        }
        self.skip_blanks();
        let value = match self.peek() {
            Some('\'') => self.single(span),
            Some('"') => self.double(span),
            _ => self.bare(span),
        };
        match value {
            Ok(value) => Ok(Some(Variable { name, value, span })),
            Err(problem) => {
                self.back_to(span.line);
                Err(problem)
            }
        }
    }

    fn rest_is_comment(&mut self, span: Span) -> Result<(), Problem> {
        self.skip_blanks();
        match self.peek() {
            None | Some('\n' | '#') => {
                self.skip_line();
                Ok(())
            }
            Some(_) if self.line > span.line => {
                let message = format!(
                    "the quote that opens this value is closed on line {}, in the middle of another one",
                    self.line
                );
                Err(self.wrong(span, message).hint("close it on its own line"))
            }
            Some(_) => {
                Err(self.wrong(span, "there is text after the closing quote").hint("put the whole value in quotes"))
            }
        }
    }

    fn unclosed(&self, span: Span) -> Problem {
        self.wrong(span, "the quote that opens this value is never closed")
            .hint("close it on its own line: it takes all lines below for a part of the value")
    }

    /// Back to the end of a line that opened a quote: the variables that it took with it have problems of their own.
    fn back_to(&mut self, line: usize) {
        self.torn |= self.line > line;
        while self.line > line {
            self.at -= 1;
            if self.chars.get(self.at) == Some(&'\n') {
                self.line -= 1;
            }
        }
    }

    fn single(&mut self, span: Span) -> Result<String, Problem> {
        self.next();
        let mut value = String::new();
        loop {
            match self.next().ok_or_else(|| self.unclosed(span))? {
                '\'' => break,
                '\\' if self.peek() == Some('\'') => value.extend(self.next()),
                c => value.push(c),
            }
        }
        self.rest_is_comment(span)?;
        Ok(value)
    }

    fn double(&mut self, span: Span) -> Result<String, Problem> {
        self.next();
        let mut value = String::new();
        loop {
            match self.next().ok_or_else(|| self.unclosed(span))? {
                '"' => break,
                '\\' => match self.next().ok_or_else(|| self.unclosed(span))? {
                    'n' => value.push('\n'),
                    'r' => value.push('\r'),
                    't' => value.push('\t'),
                    c @ ('"' | '\\' | '$') => value.push(c),
                    c => value.extend(['\\', c]),
                },
                '$' => value.push_str(&self.variable(span, 0)?),
                c => value.push(c),
            }
        }
        self.rest_is_comment(span)?;
        Ok(value)
    }

    fn bare(&mut self, span: Span) -> Result<String, Problem> {
        let mut value = String::new();
        while let Some(c) = self.next().filter(|c| *c != '\n') {
            match c {
                '#' if value.is_empty() || value.ends_with([' ', '\t']) => {
                    self.skip_line();
                    break;
                }
                '$' => value.push_str(&self.variable(span, 0)?),
                c => value.push(c),
            }
        }
        Ok(value.trim_end().to_owned())
    }

    fn lookup(&self, name: &str) -> Option<String> {
        self.env.get(name).or_else(|| self.known.get(name)).cloned()
    }

    /// What follows a `$`.
    fn variable(&mut self, span: Span, depth: usize) -> Result<String, Problem> {
        match self.peek() {
            Some('$') => {
                self.next();
                return Ok("$".to_owned());
            }
            Some('{') => {}
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.variable_name();
                return Ok(self.lookup(&name).unwrap_or_default());
            }
            _ => return Ok("$".to_owned()),
        }
        if depth > MAX_DEPTH {
            return Err(self.wrong(span, "defaults are nested too deeply"));
        }
        self.next();
        let name = self.variable_name();
        let value = self.lookup(&name);
        let colon = self.peek() == Some(':');
        if colon {
            self.next();
        }
        let set = value.as_ref().is_some_and(|value| !colon || !value.is_empty());
        match self.next() {
            Some('}') if !colon && !name.is_empty() => Ok(value.unwrap_or_default()),
            Some('-') => {
                let other = self.until_brace(span, depth)?;
                Ok(if set { value.unwrap_or_default() } else { other })
            }
            Some('+') => {
                let other = self.until_brace(span, depth)?;
                Ok(if set { other } else { String::new() })
            }
            Some('?') => {
                let why = self.until_brace(span, depth)?;
                if set {
                    return Ok(value.unwrap_or_default());
                }
                let why = if why.is_empty() { "it is required".to_owned() } else { why };
                Err(self.wrong(span, format!("variable {name} is not set: {why}")))
            }
            _ => Err(self
                .wrong(span, "this is no substitution")
                .hint("write ${NAME}, ${NAME:-default} or $$ for a dollar sign")),
        }
    }

    fn variable_name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
            self.next();
        }
        name
    }

    fn until_brace(&mut self, span: Span, depth: usize) -> Result<String, Problem> {
        let mut text = String::new();
        loop {
            match self.next() {
                Some('}') => return Ok(text),
                Some('$') => text.push_str(&self.variable(span, depth + 1)?),
                Some('\n') | None => return Err(self.wrong(span, "a `${` is never closed by `}`")),
                Some(c) => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (BTreeMap<String, String>, Vec<Problem>) {
        let env = BTreeMap::from([("SET".to_owned(), "set".to_owned()), ("EMPTY".to_owned(), String::new())]);
        let parsed = parse(&Text::new("t.env", text), text, &env);
        (parsed.variables.into_iter().map(|v| (v.name, v.value)).collect(), parsed.problems)
    }

    #[test]
    fn values_are_read_as_docker_compose_reads_them() {
        for (line, value) in [
            ("A=1", "1"),
            ("A=007", "007"),
            ("A=", ""),
            ("export A=x", "x"),
            ("A = x", "x"),
            ("A=x # c", "x"),
            ("A=x#c", "x#c"),
            ("A=#c", ""),
            ("A='x # y'", "x # y"),
            ("A='$SET'", "$SET"),
            ("A=\"x # y\"", "x # y"),
            ("A=\"a\\nb\"", "a\nb"),
            ("A=\"a\nb\"", "a\nb"),
            ("A=$SET", "set"),
            ("A=${SET}", "set"),
            ("A=$NO", ""),
            ("A=${NO:-y}", "y"),
            ("A=${NO-y}", "y"),
            ("A=${EMPTY:-y}", "y"),
            ("A=${EMPTY-y}", ""),
            ("A=${SET:-y}", "set"),
            ("A=${SET:+y}", "y"),
            ("A=${NO:+y}", ""),
            ("A=${NO:-${SET}}", "set"),
            ("A=\"${NO:-a b}\"", "a b"),
            ("A=$$x", "$x"),
            ("A=100%", "100%"),
            ("A=a=b", "a=b"),
            ("A=x\r", "x"),
            ("SET", "set"),
            ("A=a b  ", "a b"),
            ("B=1\nA=${B}2", "12"),
            ("A=\"\\$SET\"", "$SET"),
            ("A='x' # c", "x"),
        ] {
            let (values, problems) = read(line);
            assert!(problems.is_empty(), "{line}: {problems:?}");
            let got = values.get("A").or_else(|| values.get("SET"));
            assert_eq!(got.map(String::as_str), Some(value), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at_and_the_rest_is_read() {
        let (values, problems) = read("1A=x\nB='x\n");
        assert!(values.is_empty());
        assert_eq!(problems.len(), 2);
        let (values, problems) = read("A=${X:?say X}\nB=2\nC D\nE=${\nF=6\n");
        assert_eq!(values.get("B").map(String::as_str), Some("2"));
        assert_eq!(values.get("F").map(String::as_str), Some("6"));
        assert_eq!(problems.iter().map(|p| p.labels[0].line).collect::<Vec<_>>(), [1, 3, 4]);
        assert!(problems[0].message.contains("say X"));
    }

    #[test]
    fn an_open_quote_is_told_where_it_opens_and_hides_nothing_below() {
        let (values, problems) = read("A=1\nB=\"x\nC=2\n1D=x\nE='y\n");
        assert_eq!(values.keys().collect::<Vec<_>>(), ["A", "C"]);
        let told: Vec<(usize, &str)> = problems.iter().map(|p| (p.labels[0].line, p.message.as_str())).collect();
        let never = "the quote that opens this value is never closed";
        // What begins with no name may belong to the value that was meant.
        assert_eq!(told, [(2, never), (5, never)]);

        let (values, problems) = read("A='x\nB='y'\nC=\"z # \"\n");
        assert_eq!(values.get("B").map(String::as_str), Some("y"));
        assert_eq!(values.get("C").map(String::as_str), Some("z # "));
        assert_eq!(problems.len(), 1);
        let said = "the quote that opens this value is closed on line 2, in the middle of another one";
        assert_eq!((problems[0].labels[0].line, problems[0].message.as_str()), (1, said));
    }
}
