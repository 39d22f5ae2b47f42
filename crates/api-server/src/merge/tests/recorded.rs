//! What a real server made of requests that contend for fields (`cargo xtask openapi --record`), played again.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::super::{Writer, apply, compare::Comparison, keep_times, track};
use crate::kinds::Kind;
use crate::schema;

struct Step {
    kind: &'static Kind,
    live: Json,
    verb: String,
    writer: Writer,
    force: bool,
    body: Json,
    code: u64,
    answer: Json,
}

fn steps() -> Vec<Step> {
    let document: Json = serde_json::from_str(include_str!("../recorded.json")).unwrap();
    let mut previous = Json::Null;
    let mut steps = Vec::new();
    for step in document["steps"].as_array().unwrap() {
        let text = |name: &str| step[name].as_str().map(str::to_owned);
        let kind = Kind::of(step["kind"][0].as_str().unwrap(), step["kind"][1].as_str().unwrap()).unwrap();
        let live = if step["live"] == "previous" { previous.clone() } else { step["live"].clone() };
        let answer = step["answer"].clone();
        if step["code"].as_u64().unwrap() < 300 {
            previous = answer.clone();
        }
        steps.push(Step {
            kind,
            live,
            verb: text("verb").unwrap(),
            writer: Writer {
                manager: text("manager").unwrap(),
                api_version: kind.api_version(),
                subresource: text("subresource"),
                // Later than all that was recorded; what is this late is shown as now.
                now: NOW.parse().unwrap(),
            },
            force: step["force"].as_bool().unwrap(),
            body: step["body"].clone(),
            code: step["code"].as_u64().unwrap(),
            answer,
        });
    }
    steps
}

const NOW: &str = "2100-01-01T00:00:00Z";

/// The owners of an object: times that live objects did not have are now.
fn owners(object: &Json, live: &Json) -> Vec<Json> {
    let entries = |object: &Json| object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let known: Vec<Json> = entries(live).iter().map(|entry| entry["time"].clone()).collect();
    let mut owners = entries(object);
    for entry in &mut owners {
        if entry.get("time").is_some_and(|time| !known.contains(time)) {
            entry["time"] = NOW.into();
        }
    }
    owners.sort_by_key(|entry| {
        (entry["operation"].to_string(), entry["manager"].to_string(), entry["subresource"].to_string())
    });
    owners
}

fn live(step: &Step) -> Option<&Json> {
    Some(&step.live).filter(|live| !live.is_null())
}

/// What the server puts into an object after the owners are worked out.
fn without_allocated(object: &Json, live: Option<&Json>) -> Json {
    const ALLOCATED: [&str; 9] = [
        "/spec/clusterIP",
        "/spec/clusterIPs",
        "/spec/ipFamilies",
        "/spec/ipFamilyPolicy",
        "/spec/tolerations",
        "/spec/priority",
        "/spec/preemptionPolicy",
        "/metadata/deletionTimestamp",
        "/metadata/uid",
    ];
    let mut object = object.clone();
    for pointer in ALLOCATED {
        if live.is_none_or(|live| live.pointer(pointer).is_none()) {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            object.pointer_mut(parent).and_then(Json::as_object_mut).map(|parent| parent.remove(name));
        }
    }
    object
}

#[test]
fn owners_are_those_that_a_real_server_wrote() {
    let mut wrong = Vec::new();
    let steps = steps();
    assert!(steps.len() >= 60, "{} steps", steps.len());
    for (index, step) in steps.iter().enumerate() {
        let schema = schema::of(step.kind);
        let place = format!("step {index}: {} {} {} of {}", step.writer.manager, step.verb, step.force, step.kind.name);
        if step.verb == "apply" {
            match apply(schema, live(step), &step.body, &step.writer, step.force) {
                Ok(object) => {
                    // Validation comes afterwards.
                    if step.code == 422 {
                        continue;
                    }
                    if step.code >= 300 {
                        wrong.push(format!("{place}: was refused: {}", step.answer["message"]));
                        continue;
                    }
                    compare_owners(&place, &completed(&object, step), step, &mut wrong);
                    compare_objects(&place, &object, step, &mut wrong);
                }
                Err(refusal) => {
                    let mut expected = json!({ "code": step.code, "message": step.answer["message"] });
                    let mut found = json!({ "code": refusal.code, "message": refusal.message });
                    if refusal.code == 409 {
                        expected["details"] = step.answer["details"].clone();
                        found["details"] = refusal.details;
                        found["reason"] = refusal.reason.into();
                        expected["reason"] = step.answer["reason"].clone();
                    }
                    if found != expected {
                        wrong.push(format!("{place}: refused by {found}, not {expected}"));
                    }
                }
            }
        } else if step.code < 300 {
            let mut new = without_allocated(&step.answer, live(step));
            let resets = step.body.pointer("/metadata/managedFields").cloned();
            let sent = resets.unwrap_or_else(|| step.live["metadata"]["managedFields"].clone());
            new["metadata"]["managedFields"] = sent;
            track(schema, live(step), &mut new, &step.writer);
            compare_owners(&place, &new, step, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// As the server goes on with what was merged: it is defaulted, and a write that only renews times is none.
fn completed(merged: &Json, step: &Step) -> Json {
    let mut object = step.answer.clone();
    object["metadata"]["managedFields"] = merged["metadata"]["managedFields"].clone();
    object["metadata"]["resourceVersion"] = step.live["metadata"]["resourceVersion"].clone();
    if let Some(live) = live(step) {
        keep_times(live, &mut object);
    }
    object
}

/// Whether one is the other, defaulted.
fn covers(whole: &Json, part: &Json) -> bool {
    match (whole, part) {
        (Json::Object(whole), Json::Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| covers(whole, part)))
        }
        (Json::Array(whole), Json::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| covers(whole, part))
        }
        _ => whole == part,
    }
}

fn compare_owners(place: &str, object: &Json, step: &Step, wrong: &mut Vec<String>) {
    let (found, expected) = (owners(object, &step.live), owners(&step.answer, &step.live));
    if found == expected {
        return;
    }
    wrong.push(format!("{place}: owners"));
    for entry in found.iter().filter(|entry| !expected.contains(entry)) {
        wrong.push(format!("    found    {entry}"));
    }
    for entry in expected.iter().filter(|entry| !found.contains(entry)) {
        wrong.push(format!("    expected {entry}"));
    }
}

/// Everything that is merged is in the answer; what the answer has besides was defaulted or allocated, and not there
/// before.
fn compare_objects(place: &str, object: &Json, step: &Step, wrong: &mut Vec<String>) {
    let bare = |object: &Json| {
        let mut object = object.clone();
        let metadata = object["metadata"].as_object_mut().unwrap();
        for name in ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"] {
            metadata.remove(name);
        }
        if step.writer.subresource.is_none() {
            object.as_object_mut().unwrap().remove("status");
        }
        object
    };
    let (found, expected) = (bare(object), bare(&step.answer));
    let schema = schema::of(step.kind);
    let change = Comparison::of(schema, &found, &expected);
    let lost = change.added.intersection(&super::super::typed::field_set(schema, &bare_live(step, &bare)));
    let defaulted = ["type", "protocol", "strategy", "rollingUpdate", "maxSurge", "maxUnavailable", "policyTypes"];
    let lost: Vec<String> =
        lost.paths().into_iter().filter(|path| !defaulted.iter().any(|name| path.ends_with(name))).collect();
    // What is owned as a whole is defaulted inside; and what belongs to a type of Service goes with it.
    let modified = if covers(&expected, &found) { Vec::new() } else { change.modified.paths() };
    let modified = modified.into_iter().filter(|path| {
        let pointer = path.replace('.', "/");
        !matches!((expected.pointer(&pointer), found.pointer(&pointer)), (Some(whole), Some(part)) if covers(whole, part))
    });
    let removed = change.removed.paths().into_iter();
    let removed = removed.filter(|path| !path.ends_with("odePort") && !path.ends_with("externalTrafficPolicy"));
    for (what, paths) in [("not there", removed.collect()), ("other", modified.collect()), ("taken away", lost)] {
        let paths: Vec<String> = paths;
        if !paths.is_empty() {
            wrong.push(format!("{place}: {what}: {}", paths.join(" ")));
        }
    }
    for pointer in ["/spec/ports", "/spec/template/spec/containers", "/metadata/finalizers"] {
        let names = |object: &Json| -> Vec<Json> {
            let items = object.pointer(pointer).and_then(Json::as_array).into_iter().flatten();
            items.map(|item| if item.is_object() { item["name"].clone() } else { item.clone() }).collect()
        };
        if names(&found) != names(&expected) {
            wrong.push(format!("{place}: order of {pointer}: {:?}, not {:?}", names(&found), names(&expected)));
        }
    }
}

fn bare_live(step: &Step, bare: &impl Fn(&Json) -> Json) -> Json {
    live(step).map_or(Json::Null, bare)
}

#[test]
fn what_changed_nothing_is_the_same_to_the_byte() {
    let mut count = 0;
    for step in steps().iter().filter(|step| step.verb == "apply" && step.code < 300) {
        if step.answer == step.live {
            let again = apply(schema::of(step.kind), live(step), &step.body, &step.writer, step.force).unwrap();
            assert_eq!(completed(&again, step), step.live);
            count += 1;
        }
    }
    assert!(count > 3, "{count} applies changed nothing");
}

#[test]
fn all_that_was_recorded_is_in_the_form_that_the_server_prints() {
    for step in steps().into_iter().filter(|step| step.code < 300) {
        let mut settled = step.answer.clone();
        schema::settle(schema::of(step.kind), &mut settled);
        assert_eq!(settled, step.answer, "{}", step.kind.name);
    }
}

#[test]
fn applying_what_was_applied_changes_nothing() {
    for step in steps().iter().filter(|step| step.verb == "apply") {
        let schema = schema::of(step.kind);
        let Ok(once) = apply(schema, live(step), &step.body, &step.writer, step.force) else { continue };
        let later = Writer { now: step.writer.now + jiff::SignedDuration::from_hours(1), ..step.writer.clone() };
        let twice = apply(schema, Some(&once), &step.body, &later, step.force).unwrap();
        assert_eq!(twice, once);
    }
    assert_eq!(NOW.parse::<Timestamp>().unwrap().to_string(), NOW);
}
