//! `jitsictl render`: every object that the fleet consists of, offline. Secrets show where their values come from,
//! never the values.

use std::{collections::BTreeMap, fmt::Write as _};

use fleet::{ClusterName, diagnostic::Report};
use manifest::{Manifest, Part, SecretRef, Unit};
use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    Error, Exit,
    cli::Render,
    context::{Context, named_clusters},
    desired::rendered,
    load,
    print::yaml,
};

/// One object of `render -o json`.
#[derive(Debug, Serialize)]
pub struct Rendered<'a> {
    /// Where it goes.
    pub cluster: &'a ClusterName,
    /// The unit that it belongs to.
    pub unit: String,
    /// When a change of it reaches what is running.
    pub part: Part,
    /// The object, without secret bytes.
    pub object: Json,
    /// For Secrets: key → where the bytes come from.
    pub secrets: &'a BTreeMap<String, SecretRef>,
}

/// What `render -o json` writes.
#[derive(Debug, Serialize)]
struct Listing<'a> {
    objects: Vec<Rendered<'a>>,
}

pub(super) fn run(context: &Context, arguments: &Render) -> Result<Exit, Error> {
    let loaded = context.load_to_render()?;
    let clusters = named_clusters(&loaded, &arguments.scope.cluster)?;
    let desired = rendered(&loaded.fleet, &arguments.endpoint);
    let clashes = load::clashes(&desired);
    if !clashes.is_empty() {
        context.report(&Report::new(clashes));
        return Err(Error::Fleet);
    }
    let unknown = arguments.unit.iter().find(|name| !desired.units.values().any(|unit| is_named(unit, name)));
    if let Some(unknown) = unknown {
        let hint = "units look like `bridge eu/0`, `slot alpha/a`, `web alpha/a` or `haproxy`";
        return Err(Error::usage(format!("the fleet file makes no unit `{unknown}`"), hint));
    }
    let plane = arguments.scope.plane.map(fleet::Plane::from);
    let wanted = |unit: &Unit| {
        plane.is_none_or(|plane| unit.id.plane() == plane)
            && (arguments.unit.is_empty() || arguments.unit.iter().any(|name| is_named(unit, name)))
    };
    let units = desired.units.values().filter(|unit| wanted(unit));
    let objects = units
        .flat_map(|unit| unit.manifests.iter().map(move |manifest| (unit, manifest)))
        .filter(|(_, manifest)| clusters.is_empty() || clusters.contains(&manifest.object.cluster));
    if context.printer.is_json() {
        let objects: Vec<Rendered<'_>> = objects.map(|(unit, manifest)| listed(unit, manifest)).collect();
        context.printer.json(&Listing { objects })?;
    } else {
        let objects: Vec<_> = objects.collect();
        let chunks: Vec<_> = objects.chunks(16).collect();
        manifest::parallel::stream(
            &chunks,
            |chunk, text: &mut String| {
                text.clear();
                write_yaml(text, chunk.iter().copied());
            },
            |text| context.printer.bytes(text.as_bytes()),
        )?;
    }
    // The process ends: taking a large fleet apart piece by piece is time that nobody needs.
    std::mem::forget((desired, loaded));
    Ok(Exit::Converged)
}

/// By its name as people read it, or by its label.
fn is_named(unit: &Unit, name: &str) -> bool {
    unit.id.to_string() == name || unit.id.label() == name
}

fn listed<'a>(unit: &Unit, manifest: &'a Manifest) -> Rendered<'a> {
    Rendered {
        cluster: &manifest.object.cluster,
        unit: unit.id.to_string(),
        part: manifest.part,
        object: manifest.body.json(),
        secrets: &manifest.secrets,
    }
}

/// The objects as one YAML stream, each with its cluster and unit above it.
pub fn yaml<'a>(objects: impl IntoIterator<Item = (&'a Unit, &'a Manifest)>) -> String {
    let mut out = String::with_capacity(1 << 16);
    write_yaml(&mut out, objects);
    out
}

fn write_yaml<'a>(out: &mut String, objects: impl IntoIterator<Item = (&'a Unit, &'a Manifest)>) {
    objects.into_iter().for_each(|(unit, manifest)| document(out, unit, manifest));
}

fn document(out: &mut String, unit: &Unit, manifest: &Manifest) {
    // Writing into a string can't fail.
    let _ = writeln!(out, "---\n# cluster {} · {}", manifest.object.cluster, unit.id);
    for (key, source) in &manifest.secrets {
        let _ = writeln!(out, "# {key}: {}", origin(source));
    }
    // A body is JSON text by its type.
    let _ = yaml::document(out, manifest.body.text());
}

fn origin(source: &SecretRef) -> String {
    match source {
        SecretRef::Made(_) => "made once, in the control cluster".to_owned(),
        SecretRef::User(name) => format!("secrets.{name} of the fleet file"),
        SecretRef::CopyOf { secret, key } => format!("copied from Secret {secret}, key {key}, of the control cluster"),
    }
}
