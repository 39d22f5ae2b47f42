//! What every workload takes: image, files, resources, scheduling.

use base64::Engine as _;
use serde_json::Value as Json;

use super::context::Context;
use super::env::Environment;
use super::quantity;
use crate::diagnostic::Problem;
use crate::raw::{self, Map, Recipe, Text};
use crate::release::TagEra;
use crate::{Component, CustomFile, Era, FileSource, Image, Release, ResourceList, Resources, Storage, Workload};

/// What the fleet, and a shard or pool, say of images.
#[derive(Clone, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) release: Option<(&'a str, String)>,
    pub(crate) registry: Option<&'a str>,
    pub(crate) recipe: Option<Recipe>,
    /// The `env` maps of the shard or pool with their paths.
    pub(crate) env: Vec<(String, &'a Map<Text>)>,
}

impl<'a> Scope<'a> {
    /// A scope within this one.
    pub(crate) fn inner(
        &self,
        path: &str,
        release: Option<&'a str>,
        registry: Option<&'a str>,
        recipe: Option<Recipe>,
        env: &'a Map<Text>,
    ) -> Self {
        Self {
            release: release.map(|release| (release, format!("{path}.release"))).or_else(|| self.release.clone()),
            registry: registry.or(self.registry),
            // A recipe belongs to the release beside it: a new release is looked at afresh.
            recipe: recipe.or(if release.is_some() { None } else { self.recipe }),
            env: vec![(format!("{path}.env"), env)],
        }
    }
}

/// A workload from what is said of it, the more special last, each with its path.
pub(crate) fn workload(
    ctx: &Context<'_>,
    environment: &Environment,
    component: Component,
    scope: &Scope<'_>,
    said: &[(String, &raw::Workload)],
) -> Workload {
    let image = image(ctx, component, scope, said);
    let own: Vec<(String, &Map<Text>)> = said.iter().map(|(path, raw)| (format!("{path}.env"), &raw.env)).collect();
    let env = environment.of(ctx, component, &image, &scope.env, &own);
    let last = |pick: fn(&raw::Workload) -> Option<&String>| said.iter().rev().find_map(|(_, raw)| pick(raw)).cloned();
    Workload {
        component,
        image,
        env,
        files: files(ctx, said),
        resources: resources(ctx, said),
        node_selector: maps(said, |raw| &raw.node_selector),
        tolerations: lists(said, |raw| &raw.tolerations),
        affinity: said.iter().rev().find_map(|(_, raw)| raw.affinity.as_ref()).map(json),
        topology_spread: said
            .iter()
            .rev()
            .find_map(|(_, raw)| raw.topology_spread.as_ref())
            .map(|list| list.iter().map(json).collect()),
        priority_class: last(|raw| raw.priority_class.as_ref()),
        annotations: maps(said, |raw| &raw.annotations),
        labels: labels(ctx, said),
        service_account: last(|raw| raw.service_account.as_ref()),
        volumes: lists(said, |raw| &raw.volumes),
        sidecars: lists(said, |raw| &raw.sidecars),
    }
}

fn json(map: &Map<Json>) -> Json {
    Json::Object(map.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn maps(said: &[(String, &raw::Workload)], pick: fn(&raw::Workload) -> &Map<Text>) -> Map<String> {
    said.iter().flat_map(|(_, raw)| pick(raw)).map(|(key, Text(value))| (key.clone(), value.clone())).collect()
}

fn lists(said: &[(String, &raw::Workload)], pick: fn(&raw::Workload) -> &Vec<Map<Json>>) -> Vec<Json> {
    said.iter().flat_map(|(_, raw)| pick(raw)).map(json).collect()
}

fn labels(ctx: &Context<'_>, said: &[(String, &raw::Workload)]) -> Map<String> {
    for (path, raw) in said {
        for key in
            raw.labels.keys().filter(|key| key.starts_with("jitsictl.dev/") || key.starts_with("app.kubernetes.io/"))
        {
            ctx.error(&format!("{path}.labels"), format!("label `{key}` belongs to jitsictl"), "choose another name");
        }
    }
    maps(said, |raw| &raw.labels)
}

fn image(ctx: &Context<'_>, component: Component, scope: &Scope<'_>, said: &[(String, &raw::Workload)]) -> Image {
    let own_release =
        said.iter().rev().find_map(|(path, raw)| Some((raw.release.as_deref()?, format!("{path}.release"))));
    let own_image = said.iter().rev().find_map(|(path, raw)| Some((raw.image.as_deref()?, format!("{path}.image"))));
    // One that is none is told, and the release stands in for it.
    let own_image = own_image.filter(|(reference, path)| is_reference(ctx, path, reference));
    if component == Component::Haproxy {
        let reference = own_image.map_or("haproxy", |(reference, _)| reference);
        let tag = tag(reference).unwrap_or("latest").to_owned();
        return Image { reference: docker_hub(reference), release: Release(tag), era: Era::Rootless };
    }
    let own_recipe = said.iter().rev().find_map(|(_, raw)| raw.recipe);
    let renewed = own_release.is_some() || own_image.is_some();
    let recipe = own_recipe.or(if renewed { None } else { scope.recipe });
    let registry = said.iter().rev().find_map(|(_, raw)| raw.registry.as_deref()).or(scope.registry);
    if let Some((reference, path)) = own_image {
        // The tag may be somebody's own; a release beside it says what is inside.
        let (release, path) = own_release.unwrap_or_else(|| (tag(reference).unwrap_or("latest"), path));
        let release = Release(release.to_owned());
        let era = era(ctx, &release, recipe, &path);
        return Image { reference: docker_hub(reference), release, era };
    }
    let Some((release, path)) = own_release.or_else(|| scope.release.clone()) else {
        // It was told that there is none.
        return Image { reference: String::new(), release: Release(String::new()), era: Era::Rootless };
    };
    let release = Release(release.to_owned());
    let era = era(ctx, &release, recipe, &path);
    let registry = registry.unwrap_or(era.default_registry()).trim_end_matches('/');
    let separator = if release.as_str().starts_with("sha256:") { '@' } else { ':' };
    let reference = format!("{registry}/{component}{separator}{release}");
    is_reference(ctx, &path, &reference);
    Image { reference, release, era }
}

fn era(ctx: &Context<'_>, release: &Release, recipe: Option<Recipe>, path: &str) -> Era {
    let recipe = recipe.map(|recipe| match recipe {
        Recipe::Rootless => Era::Rootless,
        Recipe::Legacy => Era::Legacy,
    });
    match (recipe, release.era()) {
        (Some(era), _) | (None, TagEra::Known(era)) => era,
        (None, TagEra::TooOld) => {
            ctx.error(
                path,
                format!("no recipe fits release {release}: it is older than stable-9823"),
                "use stable-9823 or newer",
            );
            Era::Legacy
        }
        (None, TagEra::Unknown) => {
            let message =
                format!("release {release} doesn't say how its images want to be run; the rootless recipe is taken");
            ctx.warn(path, message, "say `recipe: rootless` or `recipe: legacy` beside it");
            Era::Rootless
        }
    }
}

/// The tag or digest of an image reference.
fn tag(reference: &str) -> Option<&str> {
    if let Some((_, digest)) = reference.split_once('@') {
        return Some(digest);
    }
    let name = reference.rsplit('/').next().unwrap_or(reference);
    name.split_once(':').map(|(_, tag)| tag)
}

/// A reference without registry is Docker Hub's; said in full, since some runtimes refuse short names.
fn docker_hub(reference: &str) -> String {
    match reference.split_once('/') {
        None => format!("docker.io/library/{reference}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => reference.to_owned(),
        Some(_) => format!("docker.io/{reference}"),
    }
}

/// Whether it is a reference; what is none is an error.
fn is_reference(ctx: &Context<'_>, path: &str, reference: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    let fine =
        !reference.is_empty() && reference.chars().all(fits) && !reference.contains("//") && !reference.ends_with(':');
    if !fine {
        ctx.error(
            path,
            format!("`{reference}` is no image reference"),
            "write registry/name:tag or registry/name@sha256:…",
        );
    }
    fine
}

fn resources(ctx: &Context<'_>, said: &[(String, &raw::Workload)]) -> Resources {
    let list = |kind: &str, pick: fn(&raw::Resources) -> &Map<Text>| -> ResourceList {
        let mut list = ResourceList::new();
        for (path, raw) in said {
            for (name, Text(written)) in pick(&raw.resources) {
                let path = format!("{path}.resources.{kind}.{name}");
                if let Some(quantity) = quantity_at(ctx, &path, written) {
                    list.insert(name.clone(), quantity);
                }
            }
        }
        list
    };
    let resources =
        Resources { requests: list("requests", |raw| &raw.requests), limits: list("limits", |raw| &raw.limits) };
    for (name, request) in &resources.requests {
        let Some(limit) = resources.limits.get(name).filter(|limit| quantity::is_more(request, limit)) else {
            continue;
        };
        let last = said.iter().rev().find(|(_, raw)| raw.resources.requests.contains_key(name));
        let path = last.map_or("", |(path, _)| path);
        let message = format!("{name} {request} is requested, over a limit of {limit}");
        ctx.error(
            &format!("{path}.resources.requests.{name}"),
            message,
            "an API server refuses such pods: lower the request or raise the limit",
        );
    }
    resources
}

/// A quantity in canonical spelling, or an error.
pub(crate) fn quantity_at(ctx: &Context<'_>, path: &str, written: &str) -> Option<String> {
    let found = quantity::canonical(written).filter(|text| !text.starts_with('-'));
    if found.is_none() {
        ctx.error(path, format!("`{written}` is no quantity"), "write it as Kubernetes does: 2, 500m, 1Gi");
    }
    found
}

/// The size of a volume whose own is missing or wrong.
pub(crate) fn some_size() -> String {
    "1Gi".to_owned()
}

/// A volume.
pub(crate) fn storage(ctx: &Context<'_>, path: &str, raw: &raw::Storage) -> Storage {
    let size = raw.size.as_ref().and_then(|Text(size)| quantity_at(ctx, &format!("{path}.size"), size));
    Storage { size: size.unwrap_or_else(some_size), class: raw.class.clone() }
}

/// Custom files; the more special replaces the one with the same path.
fn files(ctx: &Context<'_>, said: &[(String, &raw::Workload)]) -> Vec<CustomFile> {
    let mut files: Vec<CustomFile> = Vec::new();
    for (path, raw) in said {
        let mut seen: Vec<&str> = Vec::new();
        for (i, file) in raw.files.iter().enumerate() {
            let path = format!("{path}.files.{i}");
            if let Some(target) = file.path.as_deref() {
                if seen.contains(&target) {
                    ctx.error(
                        &format!("{path}.path"),
                        format!("two files have the path `{target}`"),
                        "keep one of them",
                    );
                }
                seen.push(target);
            }
            match custom_file(ctx, &path, file) {
                Some(file) => {
                    files.retain(|known| known.path != file.path);
                    files.push(file);
                }
                None => ctx.doubt(path),
            }
        }
    }
    files
}

fn custom_file(ctx: &Context<'_>, at: &str, raw: &raw::File) -> Option<CustomFile> {
    let path = raw.path.clone()?;
    if !path.starts_with('/') || path.ends_with('/') || path.split('/').any(|part| part == "..") {
        ctx.error(&format!("{at}.path"), format!("`{path}` is no absolute path of a file"), "");
        return None;
    }
    let source = file_source(ctx, at, raw)?;
    let mode = match raw.mode.as_ref().map(|Text(mode)| mode) {
        None => 0o444,
        Some(written) => match u32::from_str_radix(written.trim_start_matches("0o"), 8) {
            Ok(mode) if mode <= 0o777 => mode,
            _ => {
                ctx.error(
                    &format!("{at}.mode"),
                    format!("`{written}` are no permission bits"),
                    "write them in octal: \"0444\"",
                );
                ctx.doubt(at);
                0o444
            }
        },
    };
    Some(CustomFile { path, source, mode })
}

fn file_source(ctx: &Context<'_>, at: &str, raw: &raw::File) -> Option<FileSource> {
    let ways = [&raw.text, &raw.base64, &raw.file, &raw.config_map, &raw.secret];
    if ways.iter().filter(|way| way.is_some()).count() != 1 {
        let problem = Problem::error(
            "a file needs exactly one of `text`, `file`, `base64`, `config_map` + `key`, `secret` + `key`",
        );
        ctx.push(problem.at(ctx.label(at)));
        return None;
    }
    let key = || {
        let key = raw.key.clone();
        if key.is_none() {
            ctx.error(at, "a file from a ConfigMap or Secret needs a `key`", "");
        }
        key
    };
    if let Some(text) = &raw.text {
        Some(FileSource::Content(text.clone().into_bytes()))
    } else if let Some(text) = &raw.base64 {
        let decoded = base64::engine::general_purpose::STANDARD.decode(text.split_whitespace().collect::<String>());
        if decoded.is_err() {
            ctx.error(&format!("{at}.base64"), "this is not base64", "");
        }
        decoded.ok().map(FileSource::Content)
    } else if let Some(file) = &raw.file {
        match super::read_bytes(&ctx.file(file)) {
            Ok(bytes) => {
                ctx.files.borrow_mut().insert(file.clone(), bytes.clone());
                Some(FileSource::Content(bytes))
            }
            Err(why) => {
                ctx.error(&format!("{at}.file"), format!("file `{file}` can't be read: {why}"), why.hint());
                None
            }
        }
    } else if let Some(name) = &raw.config_map {
        Some(FileSource::ConfigMap { name: name.clone(), key: key()? })
    } else {
        Some(FileSource::Secret { name: raw.secret.clone()?, key: key()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_said_in_full() {
        for (written, full) in [
            ("haproxy:3.2", "docker.io/library/haproxy:3.2"),
            ("jitsi/web:stable-11031", "docker.io/jitsi/web:stable-11031"),
            ("ghcr.io/jitsi/jvb:x", "ghcr.io/jitsi/jvb:x"),
            ("localhost:5000/jvb:x", "localhost:5000/jvb:x"),
        ] {
            assert_eq!(docker_hub(written), full);
        }
        assert_eq!(tag("localhost:5000/jvb"), None);
        assert_eq!(tag("localhost:5000/jvb:x"), Some("x"));
        assert_eq!(tag("a/jvb@sha256:00"), Some("sha256:00"));
    }
}
