//! The text of a scenario. `tests/README.md` says what each line means.

use std::{ops::Range, str::FromStr, time::Duration};

use super::matching;

/// A scenario, parsed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Script {
    /// Why it cannot pass yet.
    pub(crate) pending: Option<String>,
    /// It disturbs the clusters, so nothing else may run beside it.
    pub(crate) alone: bool,
    /// Its clusters know the kinds of others: HTTPRoute and PodMonitor.
    pub(crate) kinds_of_others: bool,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) action: Action,
}

/// What an API server says to a manifest in a dry run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    Refused,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Run(Run),
    Copy {
        folder: String,
    },
    Write {
        path: String,
        text: String,
    },
    Edit {
        path: String,
        from: String,
        to: String,
    },
    Env {
        name: String,
        value: String,
    },
    Remember {
        name: String,
        object: Object,
        pointer: String,
    },
    Check {
        within: Duration,
        check: Check,
    },
    AuditMark,
    Audit {
        cluster: String,
        requests: Requests,
        compare: Compare,
        count: usize,
    },
    Apply {
        cluster: String,
        text: String,
    },
    /// Waits until the API server gives this answer: policies take effect a little after they are accepted.
    Probe {
        cluster: String,
        text: String,
        answer: Answer,
    },
    Patch {
        object: Object,
        text: String,
    },
    Delete {
        object: Object,
    },
    LoadBalancer {
        object: Object,
        addresses: Vec<String>,
    },
    People {
        object: Object,
        conferences: u64,
        participants: u64,
    },
    Crash {
        object: Object,
    },
    HoldLoadBalancers {
        cluster: String,
        hold: bool,
    },
    Image {
        tag: String,
        fails: bool,
    },
    /// Starts a daemon of this name beside the commands that follow.
    StartDaemon {
        name: String,
        arguments: Vec<String>,
    },
    /// Ends it in order, and looks for secrets in all that it told.
    StopDaemon {
        name: String,
    },
    /// Ends it as `kill -9` does.
    KillDaemon {
        name: String,
    },
    Stop {
        cluster: String,
    },
    Start {
        cluster: String,
    },
    Point {
        context: String,
        cluster: String,
    },
    Expire {
        context: String,
    },
    /// The API server refuses to write such objects.
    Refuse {
        cluster: String,
        refusal: Refusal,
    },
    /// It takes those of this namespace again.
    AdmitAll {
        cluster: String,
        namespace: String,
    },
    Restrict {
        context: String,
        namespace: Option<String>,
        text: String,
    },
}

/// Objects that an API server refuses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) namespace: String,
    /// Their plural.
    pub(crate) resource: String,
    /// Where they have the value.
    pub(crate) pointer: String,
    pub(crate) value: String,
    /// What it then says.
    pub(crate) message: String,
}

/// A command and what must come of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) command: String,
    pub(crate) ending: Ending,
    pub(crate) output: Vec<String>,
    /// The lines of the script (from 0) that an update replaces: exit code and output.
    pub(crate) lines: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ending {
    Code(i32),
    /// Killed from outside, if it has not ended by then.
    Killed(Duration),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    pub(crate) cluster: String,
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Check {
    Value { object: Object, pointer: String, compare: Compare, value: String },
    Absent { object: Object },
}

#[derive(Debug, PartialEq)]
pub(crate) enum Requests {
    Writes,
    Of { verb: String, resource: String },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Compare {
    Equal,
    Different,
    AtMost,
    AtLeast,
}

/// A line that is no scenario, and why.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed {
    pub(crate) line: usize,
    pub(crate) why: String,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "line {}: {}", self.line, self.why)
    }
}

/// How long a check of the clusters may take to become true when the script says nothing.
const AT_ONCE: Duration = Duration::ZERO;

pub(crate) fn parse(text: &str) -> Result<Script, Malformed> {
    let lines: Vec<&str> = text.lines().collect();
    let mut script = Script::default();
    let mut at = 0;
    while at < lines.len() {
        let (begin, line) = (at, lines[at]);
        at += 1;
        let fail = |why: String| Malformed { line: begin + 1, why };
        if let Some(command) = line.strip_prefix("$ ") {
            let run = run(command, &lines, &mut at).map_err(fail)?;
            script.steps.push(Step { line: begin + 1, action: Action::Run(run) });
        } else if let Some(directive) = line.strip_prefix("> ") {
            let (directive, document) = document(directive, &lines, &mut at).map_err(fail)?;
            match directive.split_once(' ').unwrap_or((directive, "")) {
                ("pending", why) => script.pending = Some(why.to_owned()),
                ("alone", _) => script.alone = true,
                ("kinds", "of others") => script.kinds_of_others = true,
                (verb, rest) => {
                    let action = action(verb, rest.trim(), document).map_err(fail)?;
                    script.steps.push(Step { line: begin + 1, action });
                }
            }
        } else if !line.starts_with('#') && !line.trim().is_empty() {
            return Err(fail(format!("`{line}` follows no command; a line begins with `$ `, `> ` or `#`")));
        }
    }
    Ok(script)
}

fn run(command: &str, lines: &[&str], at: &mut usize) -> Result<Run, String> {
    let begin = *at;
    let mut ending = Ending::Code(0);
    if let Some(code) = lines.get(*at).and_then(|line| line.strip_prefix("? ")) {
        ending = match code.strip_prefix("killed after ") {
            Some(after) => Ending::Killed(duration(after)?),
            None => Ending::Code(code.trim().parse().map_err(|_| format!("`{code}` is no exit code"))?),
        };
        *at += 1;
    }
    let output_begin = *at;
    while lines.get(*at).is_some_and(|line| !["$ ", "> ", "? ", "#"].iter().any(|mark| line.starts_with(mark))) {
        *at += 1;
    }
    let mut output: Vec<String> =
        lines[output_begin..*at].iter().map(|line| matching::unescape(line).to_owned()).collect();
    while output.last().is_some_and(|line| line.trim().is_empty()) {
        output.pop();
    }
    let end = output_begin + output.len();
    Ok(Run { command: command.to_owned(), ending, output, lines: begin..end })
}

/// The lines between `<<END` and `END`, when a directive ends with the former.
fn document<'a>(directive: &'a str, lines: &[&str], at: &mut usize) -> Result<(&'a str, Option<String>), String> {
    let Some((directive, end)) = directive.split_once(" <<") else { return Ok((directive, None)) };
    let mut text = String::new();
    loop {
        let line = lines.get(*at).ok_or_else(|| format!("no line `{end}` ends this document"))?;
        *at += 1;
        if *line == end {
            return Ok((directive, Some(text)));
        }
        text.push_str(line);
        text.push('\n');
    }
}

fn action(verb: &str, rest: &str, document: Option<String>) -> Result<Action, String> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let usage = |usage: &str| format!("`> {verb} {rest}` is not `> {usage}`");
    let text = |shape: &str| document.clone().ok_or_else(|| usage(shape));
    let own = |word: &str| word.to_owned();
    Ok(match (verb, words.as_slice()) {
        ("copy", [folder]) => Action::Copy { folder: own(folder) },
        ("write", [path]) => Action::Write { path: own(path), text: text("write PATH <<END")? },
        ("edit", _) => {
            let shape = "edit PATH: OLD => NEW";
            let (path, change) = rest.split_once(": ").ok_or_else(|| usage(shape))?;
            let (from, to) = change.split_once(" => ").ok_or_else(|| usage(shape))?;
            Action::Edit { path: own(path), from: own(from), to: to.replace("\\n", "\n") }
        }
        ("env", _) => {
            let (name, value) = rest.split_once('=').ok_or_else(|| usage("env NAME=VALUE"))?;
            Action::Env { name: own(name), value: own(value) }
        }
        ("remember", [name, "=", cluster, kind, id, pointer]) => {
            Action::Remember { name: own(name), object: object(cluster, kind, id), pointer: own(pointer) }
        }
        ("within", [time, verb, rest @ ..]) => Action::Check {
            within: duration(time)?,
            check: check(verb, rest).ok_or_else(|| usage("within TIME get|absent …"))?,
        },
        ("get" | "absent", words) => {
            let check = check(verb, words).ok_or_else(|| {
                usage("get CLUSTER KIND NAMESPACE/NAME POINTER == VALUE` or `> absent CLUSTER KIND NAMESPACE/NAME")
            })?;
            Action::Check { within: AT_ONCE, check }
        }
        ("audit", ["mark"]) => Action::AuditMark,
        ("audit", ["writes", cluster, op, count]) => audit(cluster, Requests::Writes, op, count)?,
        ("audit", ["requests", cluster, verb, resource, op, count]) => {
            audit(cluster, Requests::Of { verb: own(verb), resource: own(resource) }, op, count)?
        }
        ("refused", [cluster]) => {
            Action::Probe { cluster: own(cluster), text: text("refused CLUSTER <<END")?, answer: Answer::Refused }
        }
        ("accepted", [cluster]) => {
            Action::Probe { cluster: own(cluster), text: text("accepted CLUSTER <<END")?, answer: Answer::Accepted }
        }
        ("apply", [cluster]) => Action::Apply { cluster: own(cluster), text: text("apply CLUSTER <<END")? },
        ("patch", [cluster, kind, id]) => {
            Action::Patch { object: object(cluster, kind, id), text: text("patch CLUSTER KIND NAMESPACE/NAME <<END")? }
        }
        ("delete", [cluster, kind, id]) => Action::Delete { object: object(cluster, kind, id) },
        ("lb", [cluster, id, addresses @ ..]) => Action::LoadBalancer {
            object: object(cluster, "Service", id),
            addresses: addresses.iter().map(|&address| own(address)).collect(),
        },
        ("people", [cluster, id, conferences, participants]) => Action::People {
            object: object(cluster, "Daemon", id),
            conferences: count(conferences)?,
            participants: count(participants)?,
        },
        ("crash", [cluster, id]) => Action::Crash { object: object(cluster, "Daemon", id) },
        ("hold", [cluster]) => Action::HoldLoadBalancers { cluster: own(cluster), hold: true },
        ("release", [cluster]) => Action::HoldLoadBalancers { cluster: own(cluster), hold: false },
        ("image", [tag, "fails"]) => Action::Image { tag: own(tag), fails: true },
        ("image", [tag, "works"]) => Action::Image { tag: own(tag), fails: false },
        ("daemon", ["start", name, arguments @ ..]) => Action::StartDaemon {
            name: own(name),
            arguments: arguments.iter().map(|&argument| own(argument)).collect(),
        },
        ("daemon", ["stop", name]) => Action::StopDaemon { name: own(name) },
        ("daemon", ["kill", name]) => Action::KillDaemon { name: own(name) },
        ("stop", [cluster]) => Action::Stop { cluster: own(cluster) },
        ("start", [cluster]) => Action::Start { cluster: own(cluster) },
        ("point", [context, "at", cluster]) => Action::Point { context: own(context), cluster: own(cluster) },
        ("admission", [cluster, namespace, "lifted"]) => {
            Action::AdmitAll { cluster: own(cluster), namespace: own(namespace) }
        }
        ("admission", [cluster, namespace, resource, pointer, "==", ..]) => {
            let shape = "admission CLUSTER NAMESPACE PLURAL POINTER == VALUE: MESSAGE";
            let (_, value) = rest.split_once(" == ").ok_or_else(|| usage(shape))?;
            let (value, message) = value.split_once(": ").ok_or_else(|| usage(shape))?;
            let refusal = Refusal {
                namespace: own(namespace),
                resource: own(resource),
                pointer: own(pointer),
                value: own(value),
                message: own(message),
            };
            Action::Refuse { cluster: own(cluster), refusal }
        }
        ("expire", [context]) => Action::Expire { context: own(context) },
        ("restrict", [context]) => {
            Action::Restrict { context: own(context), namespace: None, text: text("restrict CONTEXT <<END")? }
        }
        ("restrict", [context, "in", namespace]) => Action::Restrict {
            context: own(context),
            namespace: Some(own(namespace)),
            text: text("restrict CONTEXT in NAMESPACE <<END")?,
        },
        _ => return Err(format!("`> {verb} {rest}` is no directive; tests/README.md lists them")),
    })
}

fn check(verb: &str, words: &[&str]) -> Option<Check> {
    match (verb, words) {
        ("get", [cluster, kind, id, pointer, op, value @ ..]) if !value.is_empty() => Some(Check::Value {
            object: object(cluster, kind, id),
            pointer: (*pointer).to_owned(),
            compare: compare(op)?,
            value: value.join(" "),
        }),
        ("absent", [cluster, kind, id]) => Some(Check::Absent { object: object(cluster, kind, id) }),
        _ => None,
    }
}

fn object(cluster: &str, kind: &str, id: &str) -> Object {
    let (namespace, name) = match id.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, id),
    };
    Object { cluster: cluster.to_owned(), kind: kind.to_owned(), namespace, name: name.to_owned() }
}

fn audit(cluster: &str, requests: Requests, op: &str, number: &str) -> Result<Action, String> {
    let compare = compare(op).ok_or_else(|| format!("`{op}` is none of ==, !=, <=, >="))?;
    Ok(Action::Audit { cluster: cluster.to_owned(), requests, compare, count: count(number)? })
}

fn count<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn compare(op: &str) -> Option<Compare> {
    Some(match op {
        "==" => Compare::Equal,
        "!=" => Compare::Different,
        "<=" => Compare::AtMost,
        ">=" => Compare::AtLeast,
        _ => return None,
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = match text.strip_suffix("ms") {
        Some(number) => number.parse().map(Duration::from_millis),
        None => text.strip_suffix('s').unwrap_or(text).parse().map(Duration::from_secs),
    };
    parsed.map_err(|_| format!("`{text}` is no time like 500ms or 20s"))
}

#[cfg(test)]
mod tests;
