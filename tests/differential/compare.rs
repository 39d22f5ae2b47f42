//! Two answers, side by side.

use serde_json::Value as Json;

use super::side::Reply;

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
