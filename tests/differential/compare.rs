//! Two answers, side by side.

use serde_json::Value as Json;

use super::side::Reply;

/// A difference that stays.
pub(crate) struct Known {
    /// As `docs/sandbox.md` calls it, where the reason stands, too.
    pub(crate) name: &'static str,
    pub(crate) why: &'static str,
    /// Makes an entry of an object, by its key, the same on both sides.
    even: fn(&str, &mut Json),
}

/// All of them.
pub(crate) const KNOWN: [Known; 8] = [
    Known {
        name: "comparisons for people",
        why: "a real server ends some refusals with a line by line comparison of its own Go structs",
        even: without_comparison,
    },
    Known {
        name: "patched objects in refusals",
        why: "where a patched object can't be read, a real server prints all of it",
        even: without_patched,
    },
    Known {
        name: "repeated causes",
        why: "a real server checks some fields twice, and then lists a cause twice, but says it once",
        even: without_repetition,
    },
    Known {
        name: "the order of conflicts",
        why: "a real server names the owners of fields in an order that is another each time",
        even: sort_conflicts,
    },
    Known {
        name: "claims that are new",
        why: "a real server keeps a new claim without its phase, which it shows nevertheless, and so writes it once more \
              on its next change, even if that is none; so the sequences change each that may be new",
        even: |_, _| {},
    },
    Known {
        name: "one of several unknown fields",
        why: "a real server stops at the first unknown field of an object, whose fields it reads in an order that is \
              another each time",
        even: shallowest_unknown,
    },
    Known {
        name: "internalTrafficPolicy of names",
        why: "a real server keeps the field for a Service that has become a name, and shows it only when its status is \
              written; whoever makes an address of it again does not come to own it",
        even: without_internal_policy,
    },
    Known {
        name: "the default account",
        why: "the test's real server runs without the admission that gives pods the account `default`",
        even: without_default_account,
    },
];

fn without_comparison(key: &str, value: &mut Json) {
    if let (Json::String(text), "message") = (value, key) {
        while let Some(from) = text.find("\n@@ ") {
            // It ends where the list of refusals goes on, if it does.
            let end =
                text[from..].rfind("\n]").or_else(|| text[from..].rfind("\n, ")).map_or(text.len(), |at| from + at + 1);
            text.replace_range(from..end, "");
        }
    }
}

fn without_patched(key: &str, value: &mut Json) {
    const HEAD: &str = "Invalid value: \"";
    if let (Json::String(text), "message") = (value, key)
        && (text.contains("is invalid: patch: ")
            || text.contains(": strict decoding error")
            || text.contains(": json: "))
        && let (Some(from), Some(to)) = (text.find(HEAD), text.rfind("\": "))
        && from + HEAD.len() <= to
    {
        text.replace_range(from + HEAD.len()..to, "<object>");
    }
}

fn without_repetition(key: &str, value: &mut Json) {
    if let (Json::Array(causes), "causes") = (value, key) {
        let mut seen: Vec<Json> = Vec::new();
        causes.retain(|cause| {
            let is_new = !seen.contains(cause);
            seen.push(cause.clone());
            is_new
        });
    }
}

fn sort_conflicts(key: &str, value: &mut Json) {
    if let (Json::Array(causes), "causes") = (value, key)
        && causes.iter().all(|cause| cause["reason"] == "FieldManagerConflict")
    {
        causes.sort_by_key(|cause| (cause["message"].to_string(), cause["field"].to_string()));
    }
}

fn shallowest_unknown(key: &str, value: &mut Json) {
    const END: &str = ": field not declared in schema";
    if let (Json::String(text), "message") = (value, key)
        && text.starts_with("failed to create typed patch object")
        && let Some((head, list)) = text.split_once("): errors:\n")
        && list.lines().all(|line| line.ends_with(END))
        && let Some(one) = list.lines().min_by_key(|line| line.matches('.').count())
    {
        *text = format!("{head}): {}", one.trim_start());
    }
}

fn without_internal_policy(key: &str, value: &mut Json) {
    if let (Json::Object(spec), "spec") = (&mut *value, key)
        && spec.get("type").is_some_and(|kind| kind == "ExternalName")
    {
        spec.remove("internalTrafficPolicy");
    }
    let (Json::Array(owners), "managedFields") = (value, key) else { return };
    owners.retain_mut(|owner| {
        let Some(spec) = owner.pointer_mut("/fieldsV1/f:spec").and_then(Json::as_object_mut) else { return true };
        if spec.remove("f:internalTrafficPolicy").is_none() || !spec.is_empty() {
            return true;
        }
        let fields = owner["fieldsV1"].as_object_mut();
        fields.is_some_and(|fields| {
            fields.remove("f:spec");
            !fields.is_empty()
        })
    });
}

fn without_default_account(_: &str, value: &mut Json) {
    if let Json::Object(fields) = value {
        fields.retain(|key, value| !(key.starts_with("serviceAccount") && value == "default"));
    }
}

/// Takes out what is known to differ.
pub(crate) fn level(key: &str, value: &mut Json) {
    match value {
        Json::Object(fields) => fields.iter_mut().for_each(|(key, value)| level(key, value)),
        Json::Array(items) => items.iter_mut().for_each(|item| level(key, item)),
        _ => {}
    }
    KNOWN.iter().for_each(|known| (known.even)(key, value));
}

/// One line for each difference.
pub(crate) fn differences(real: &Reply, memory: &Reply) -> Vec<String> {
    let mut lines = Vec::new();
    if real.code != memory.code {
        lines.push(format!("    code: real {}, memory {}", real.code, memory.code));
    }
    if real.warnings != memory.warnings {
        lines.push(format!("    warnings: real {:?}, memory {:?}", real.warnings, memory.warnings));
    }
    walk("", &real.body, &memory.body, &mut lines);
    lines.truncate(12);
    lines
}

fn walk(at: &str, real: &Json, memory: &Json, lines: &mut Vec<String>) {
    match (real, memory) {
        (Json::Object(left), Json::Object(right)) => {
            for (key, value) in left {
                walk(&format!("{at}/{key}"), value, right.get(key).unwrap_or(&Json::Null), lines);
            }
            for (key, value) in right.iter().filter(|(key, _)| !left.contains_key(*key)) {
                walk(&format!("{at}/{key}"), &Json::Null, value, lines);
            }
        }
        (Json::Array(left), Json::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                walk(&format!("{at}/{index}"), left, right, lines);
            }
        }
        _ if real != memory => lines.push(format!("    {at}: real {real}, memory {memory}")),
        _ => {}
    }
}
