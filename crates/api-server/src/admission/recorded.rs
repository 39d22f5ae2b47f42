//! What real API servers answered to the same objects (`cargo run -p testbed --example record_admission`).

use std::cell::RefCell;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::shape::text;
use super::{Attempt, admit, default};
use crate::kinds::{Kind, NAMESPACE};
use crate::request::User;
use crate::surroundings::Surroundings;

#[derive(Default)]
struct Cluster {
    namespace: Json,
    objects: RefCell<Vec<(&'static Kind, Arc<Json>)>>,
}

impl Surroundings for Cluster {
    fn get(&self, kind: &'static Kind, _: Option<&str>, name: &str) -> Option<Arc<Json>> {
        if kind == &NAMESPACE {
            return Some(Arc::new(self.namespace.clone()));
        }
        self.list(kind, None).into_iter().find(|object| text(object, "/metadata/name") == name)
    }

    fn list(&self, kind: &'static Kind, _: Option<&str>) -> Vec<Arc<Json>> {
        let objects = self.objects.borrow();
        objects.iter().filter(|(of, _)| *of == kind).map(|(_, object)| object.clone()).collect()
    }

    fn random(&self, below: u64) -> u64 {
        below / 2
    }
}

fn ours(case: &Json) -> Vec<Json> {
    let cluster = Cluster { namespace: json!({ "metadata": { "labels": case["labels"] } }), ..Cluster::default() };
    let user = User::admin();
    let mut answers = Vec::new();
    for sent in case["send"].as_array().unwrap() {
        let mut object = sent["object"].clone();
        let kind = Kind::of(text(&object, "/apiVersion"), text(&object, "/kind")).unwrap();
        let name = text(&object, "/metadata/name").to_owned();
        let old = (sent["update"] == true).then(|| cluster.get(kind, None, &name)).flatten();
        default(&mut object, kind);
        object["metadata"]["uid"] = json!("u");
        let attempt = Attempt {
            kind,
            namespace: kind.namespaced.then_some("here"),
            subresource: None,
            old: old.as_deref(),
            user: &user,
            dry_run: sent["keep"] != true && sent["update"] != true,
            now: Timestamp::UNIX_EPOCH,
            around: &cluster,
        };
        let mut warnings = Vec::new();
        answers.push(match admit(&mut object, &attempt, &mut warnings) {
            Ok(()) => {
                cluster.objects.borrow_mut().push((kind, Arc::new(object.clone())));
                json!({ "body": object, "warnings": warnings, "code": if old.is_some() { 200 } else { 201 } })
            }
            Err(refused) => json!({ "body": refused.status(), "warnings": warnings, "code": refused.code }),
        });
    }
    answers
}

/// Without what differs from server to server, and what other stations of the server add.
fn normalised(answer: &Json) -> Json {
    let mut answer = answer.clone();
    if let Some(metadata) = answer.pointer_mut("/body/metadata").and_then(Json::as_object_mut) {
        for name in ["uid", "creationTimestamp", "resourceVersion", "managedFields", "generation", "namespace"] {
            metadata.remove(name);
        }
    }
    let spec = &mut answer["body"]["spec"];
    for name in ["clusterIP", "clusterIPs"] {
        if let Some(value) = spec.get_mut(name)
            && !value.to_string().contains("None")
        {
            *value = json!("ADDRESS");
        }
    }
    for port in spec.get_mut("ports").and_then(Json::as_array_mut).into_iter().flatten() {
        if port.get("nodePort").is_some() {
            port["nodePort"] = json!("PORT");
        }
    }
    if spec.get("healthCheckNodePort").is_some() {
        spec["healthCheckNodePort"] = json!("PORT");
    }
    for claim in spec.get_mut("volumeClaimTemplates").and_then(Json::as_array_mut).into_iter().flatten() {
        claim["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    }
    // The account is filled in by an admission plugin that the recorded server runs without.
    if let Some(spec) = spec.as_object_mut()
        && spec.get("serviceAccountName").is_some_and(|name| name == "default")
    {
        spec.remove("serviceAccountName");
        spec.remove("serviceAccount");
    }
    for warning in answer["warnings"].as_array_mut().into_iter().flatten() {
        if let Some(text) = warning.as_str().and_then(|text| text.strip_prefix("299 - \"")) {
            *warning = json!(text.trim_end_matches('"').replace("\\\"", "\""));
        }
    }
    if let Some(body) = answer["body"].as_object_mut() {
        body.remove("status");
    }
    // Testbeds have a range of their own; and a comparison of types is appended that is for people.
    if let Some(message) = answer.pointer("/body/message").and_then(Json::as_str) {
        let message = message.replace("10.100.0.0/16", "10.96.0.0/16");
        answer["body"]["message"] = message.lines().next().unwrap_or_default().into();
    }
    for cause in answer.pointer_mut("/body/details/causes").and_then(Json::as_array_mut).into_iter().flatten() {
        let message = text(cause, "/message").replace("10.100.0.0/16", "10.96.0.0/16");
        cause["message"] = message.lines().next().unwrap_or_default().into();
    }
    unset(&mut answer["body"]);
    answer
}

fn unset(value: &mut Json) {
    match value {
        Json::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(unset);
        }
        Json::Array(list) => list.iter_mut().for_each(unset),
        _ => {}
    }
}

/// Where this server still says something else: internal forms of values, a rare selector, a warning, and a quota
/// that counts the ConfigMap of a controller.
const KNOWN: [&str; 7] = [
    "pod spec.volumes [{\"name\": \"v\", \"secret\": {\"secretName\": \"s\"}}, {\"name\": \"w\", \"projected\": {\"sources\": [{\"s",
    "dep spec.selector {\"matchExpressions\": [{\"key\": \"a\", \"operator\": \"In\"}]}",
    "sts spec.selector {\"matchExpressions\": [{\"key\": \"a\", \"operator\": \"In\"}]}",
    "dep metadata.name \"a.b\"",
    "sts spec.updateStrategy {\"type\": \"OnDelete\", \"rollingUpdate\": {\"partition\": 1}}",
    "sts spec.updateStrategy {\"type\": \"What\"}",
    "quota cm",
];

#[test]
fn answers_are_those_of_a_real_server() {
    let cases: Vec<Json> = serde_json::from_str(include_str!("recorded/cases.json")).unwrap();
    let answers: Json = serde_json::from_str(include_str!("recorded/answers.json")).unwrap();
    let mut different = Vec::new();
    for case in &cases {
        let name = text(case, "/name");
        for (ours, theirs) in ours(case).iter().zip(answers[name].as_array().unwrap()) {
            let (ours, theirs) = (normalised(ours), normalised(theirs));
            if ours != theirs && !KNOWN.contains(&name) {
                different.push(format!("{name}\n  ours:   {}\n  theirs: {}", shown(&ours), shown(&theirs)));
            }
        }
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), cases.len(), different.join("\n"));
}

fn shown(answer: &Json) -> String {
    let said = text(answer, "/body/message");
    if said.is_empty() { answer.to_string() } else { format!("{} {said} {}", answer["code"], answer["warnings"]) }
}
