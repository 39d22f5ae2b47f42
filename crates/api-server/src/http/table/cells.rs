//! What cells are made of.

use jiff::Timestamp;
use serde_json::Value as Json;

/// The text at a path; empty without one.
pub(super) fn text<'a>(object: &'a Json, path: &str) -> &'a str {
    object.pointer(path).and_then(Json::as_str).unwrap_or_default()
}

/// The text at a path, or what stands for none.
pub(super) fn text_or(object: &Json, path: &str, none: &str) -> String {
    Some(text(object, path)).filter(|text| !text.is_empty()).unwrap_or(none).to_owned()
}

/// The number at a path; 0 without one.
pub(super) fn number(object: &Json, path: &str) -> i64 {
    object.pointer(path).and_then(Json::as_i64).unwrap_or_default()
}

/// The items at a path.
pub(super) fn items<'a>(object: &'a Json, path: &str) -> &'a [Json] {
    object.pointer(path).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// How many keys the object at a path has.
pub(super) fn size(object: &Json, path: &str) -> usize {
    object.pointer(path).and_then(Json::as_object).map_or(0, serde_json::Map::len)
}

/// A number or a text, as it stands; what stands for none otherwise.
pub(super) fn shown(object: &Json, path: &str, none: &str) -> String {
    match object.pointer(path) {
        None | Some(Json::Null) => none.to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Joined by commas; what stands for none without any.
pub(super) fn joined(parts: impl IntoIterator<Item = String>, none: &str) -> String {
    let parts: Vec<String> = parts.into_iter().collect();
    if parts.is_empty() { none.to_owned() } else { parts.join(",") }
}

/// The first three, and how many more there are.
pub(super) fn first_three(parts: &[String]) -> String {
    match parts {
        [] => "<unset>".to_owned(),
        [first, second, third, more @ ..] if !more.is_empty() => {
            format!("{first},{second},{third} + {} more...", more.len())
        }
        few => few.join(","),
    }
}

/// `a=b,c=d` of a map.
pub(super) fn pairs(object: &Json, path: &str) -> String {
    let map = object.pointer(path).and_then(Json::as_object);
    joined(
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())),
        "<none>",
    )
}

/// A label selector, as `kubectl` prints it.
pub(super) fn selector(object: &Json, path: &str) -> String {
    let labels = object.pointer(&format!("{path}/matchLabels")).and_then(Json::as_object);
    let mut parts: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in items(object, &format!("{path}/matchExpressions")) {
        let key = text(expression, "/key");
        let values = joined(items(expression, "/values").iter().filter_map(Json::as_str).map(str::to_owned), "");
        parts.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.sort();
    joined(parts, "<none>")
}

/// Names and images of the containers at a path.
pub(super) fn containers(object: &Json, path: &str) -> [Json; 2] {
    ["/name", "/image"].map(|field| {
        let parts = items(object, path).iter().map(|container| text(container, field).to_owned());
        joined(parts, "").into()
    })
}

/// How long ago the moment at a path was.
pub(super) fn since(object: &Json, path: &str, now: Timestamp) -> String {
    match text(object, path).parse::<Timestamp>() {
        Ok(then) => span(now.as_second() - then.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// An object's age.
pub(super) fn age(object: &Json, now: Timestamp) -> Json {
    since(object, "/metadata/creationTimestamp", now).into()
}

/// A span of time in at most two units.
pub(super) fn span(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |major: i64, unit: &str, minor: i64, lesser: &str| {
        if minor == 0 { format!("{major}{unit}") } else { format!("{major}{unit}{minor}{lesser}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..=0 => "0s".to_owned(),
        1..120 => format!("{seconds}s"),
        120..600 => two(seconds / MINUTE, "m", seconds % MINUTE, "s"),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "m"),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => two(seconds / YEAR, "y", seconds % YEAR / DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        let spans = [0, 119, 120, 599, 600, 10_800, 30_000, 200_000, 700_000, 70_000_000];
        let expected = ["0s", "119s", "2m", "9m59s", "10m", "3h", "8h", "2d7h", "8d", "2y80d"];
        assert_eq!(spans.map(span), expected);
    }
}
