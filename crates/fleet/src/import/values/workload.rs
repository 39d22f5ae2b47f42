//! What every component of the chart's takes.

use serde_json::{Map, Value as Json, json};

use super::super::Draft;
use super::Entry;
use crate::Release;
use crate::release::TagEra;

/// The series of haproxy from which on it takes the configuration that is rendered.
const HAPROXY: (u32, u32) = (2, 6);

/// The part of a component that is a workload's.
pub(super) fn workload(draft: &mut Draft, component: &str, values: &Entry<'_>) -> Map<String, Json> {
    let mut workload = Map::new();
    for (theirs, ours) in [
        ("resources", "resources"),
        ("nodeSelector", "node_selector"),
        ("affinity", "affinity"),
        ("podAnnotations", "annotations"),
    ] {
        workload.extend(values.at(theirs).free_map().map(|map| (ours.to_owned(), map)));
    }
    workload.extend(values.at("tolerations").free_list().map(|list| ("tolerations".to_owned(), list)));
    let files = values.at("extraFiles").items();
    let files: Vec<Json> = files.iter().filter_map(|entry| file(draft, entry)).collect();
    if !files.is_empty() {
        workload.insert("files".into(), json!(files));
    }
    let image = values.at("image");
    if component == "haproxy" {
        haproxy(draft, &image, &mut workload);
    } else {
        jitsi(draft, component, &image, &mut workload);
    }
    pulling(draft, values);
    // Each image gets those names that it reads.
    values.at("allowedEnv").take();
    workload
}

fn file(draft: &mut Draft, entry: &Entry<'_>) -> Option<Json> {
    entry.at("name").take();
    let (Some(path), Some(text)) = (entry.at("mountPath").text(), entry.at("content").text()) else {
        draft.drop(entry.path(), "it has no path or no content");
        entry.take();
        return None;
    };
    let mut file = json!({ "path": path, "text": text });
    // The digits are the octal ones, with a nought before them or without.
    if let Some(mode) = entry.at("mode").text() {
        match u32::from_str_radix(&mode, 8) {
            Ok(bits) if bits <= 0o777 => file["mode"] = json!(format!("{bits:04o}")),
            _ => draft.drop(entry.at("mode").path(), "permission bits are three octal digits"),
        }
    }
    Some(file)
}

/// Whether the image is one of Jitsi's own by its name, so that its tag is a release.
pub(super) fn is_jitsis(component: &str, image: &Entry<'_>) -> bool {
    image.at("repository").text().is_none_or(|repository| registry(component, &repository).is_some())
}

/// What stands before the component's name in a repository; nothing if the name is another one.
fn registry<'a>(component: &str, repository: &'a str) -> Option<&'a str> {
    repository.strip_suffix(component)?.strip_suffix('/')
}

fn jitsi(draft: &mut Draft, component: &str, image: &Entry<'_>, workload: &mut Map<String, Json>) {
    let (repository, tag) = (image.at("repository").text(), image.at("tag").text());
    match repository.as_deref().map(|repository| (repository, registry(component, repository))) {
        // Where Jitsi's own images are depends on the release.
        None | Some((_, Some("jitsi" | "docker.io/jitsi" | "ghcr.io/jitsi"))) => {}
        Some((_, Some(registry))) => drop(workload.insert("registry".into(), json!(registry))),
        Some((repository, None)) => {
            let what = image.at("repository");
            match tag {
                Some(tag) => drop(workload.insert("image".into(), json!(format!("{repository}:{tag}")))),
                None => draft.drop(what.path(), "an image of your own is taken over with its tag"),
            }
            return;
        }
    }
    // The first tag is the fleet's; those that fit no recipe were told.
    let own = tag.filter(|tag| matches!(Release(tag.clone()).era(), TagEra::Known(_)) && *tag != draft.tag());
    workload.extend(own.map(|tag| ("release".to_owned(), json!(tag))));
}

fn haproxy(draft: &mut Draft, image: &Entry<'_>, workload: &mut Map<String, Json>) {
    let (repository, tag) = (image.at("repository").text(), image.at("tag").text());
    let name = repository.unwrap_or_else(|| "haproxy".to_owned());
    let Some(tag) = tag else {
        if !matches!(name.as_str(), "haproxy" | "docker.io/haproxy" | "docker.io/library/haproxy") {
            draft.drop(image.at("repository").path(), "an image of your own is taken over with its tag");
        }
        return;
    };
    if series(&tag).is_some_and(|series| series < HAPROXY) {
        let why = format!("the configuration is for haproxy {}.{} and later, this is {tag}", HAPROXY.0, HAPROXY.1);
        return draft.drop(image.at("tag").path(), why);
    }
    workload.insert("image".into(), json!(format!("{name}:{tag}")));
}

/// `2.4` of `2.4.17-alpine`.
fn series(tag: &str) -> Option<(u32, u32)> {
    let number = tag.split('-').next()?;
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn pulling(draft: &mut Draft, values: &Entry<'_>) {
    let policy = values.at("image").at("pullPolicy");
    policy.usual("IfNotPresent");
    if !policy.is("IfNotPresent")
        && let Some(text) = policy.text()
        && !draft.pull_policy(&text)
    {
        draft.drop(policy.path(), "`pull_policy` is one for the whole fleet");
    }
    for secret in values.at("imagePullSecrets").items() {
        if let Some(name) = secret.at("name").text() {
            draft.pull_secret(&name);
        }
    }
}
