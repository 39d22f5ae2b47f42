//! Secret values: made once, read from what is stored, copied outward, never made anew because a read failed.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Cluster, ClusterError, SecretBytes, SecretMap, StoredSecret};
use fleet::{ClusterName, EnvName, Fleet, SecretSource};
use manifest::{Desired, Kind, Manifest, Names, ObjectRef, SecretRef};
use plan::{Known, Observed};
use secrecy::ExposeSecret as _;

use crate::execute::failure;
use crate::{Entropy, Failure, Handover};

/// What is known of the fleet's secrets.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    /// The values at hand.
    pub(crate) values: SecretMap,
    /// Passwords that are nowhere: they are made when the first plan is executed.
    pub(crate) to_make: bool,
    /// Passwords that are lost in the control cluster while these data clusters still have copies.
    pub(crate) lost: BTreeSet<ClusterName>,
    /// Values that this runner has and that are not what is stored: new ones.
    pub(crate) brought: BTreeSet<EnvName>,
    /// Passwords between components to which the file gives other values than they were made with: those stay.
    pub(crate) unheeded: BTreeSet<EnvName>,
    /// Values that nobody has: neither this runner nor the cluster.
    pub(crate) lacking: Vec<Failure>,
}

impl Secrets {
    /// Whether nothing is to be made, restored or brought.
    pub(crate) fn is_complete(&self) -> bool {
        !self.to_make && self.lost.is_empty() && self.lacking.is_empty()
    }
}

/// Reads what is stored and what this runner has.
pub(crate) async fn gather(
    fleet: &Fleet,
    clusters: &BTreeMap<ClusterName, Cluster>,
    observed: &Observed,
    handover: Option<&Handover>,
) -> Result<Secrets, ClusterError> {
    let names = Names(&fleet.name);
    let mut secrets = Secrets::default();
    if let Some(handover) = handover {
        for (secret, values) in &handover.secrets {
            for (key, value) in values {
                let reference = SecretRef::CopyOf { secret: secret.clone(), key: key.clone() };
                secrets.values.insert(reference, SecretBytes::new(value.clone().into_bytes()));
                if let (true, Ok(name)) = (*secret == names.passwords(), key.parse()) {
                    secrets.values.insert(SecretRef::Made(name), SecretBytes::new(value.clone().into_bytes()));
                }
            }
        }
        return Ok(secrets);
    }
    let (Some(control), Some(Known::Yes(seen))) =
        (clusters.get(&fleet.control.cluster), observed.clusters.get(&fleet.control.cluster))
    else {
        return Ok(secrets);
    };
    let there = |name: &str| seen.value.objects.contains_key(&control.object(Kind::Secret, name));
    let stored = |name: String, there: bool| async move { if there { control.secret(&name).await } else { Ok(None) } };
    let (passwords, user) = (names.passwords(), names.secrets());
    let (made, users) =
        futures::join!(stored(passwords.clone(), there(&passwords)), stored(user.clone(), there(&user)));
    let made = made?;
    match &made {
        Some(made) => keep(&mut secrets.values, &passwords, made, SecretRef::Made),
        None => {
            secrets.to_make = true;
            secrets.lost = copies(fleet, observed);
        }
    }
    let users = users?;
    if let Some(users) = &users {
        keep(&mut secrets.values, &user, users, SecretRef::User);
    }
    for (name, source) in &fleet.secrets {
        let kept = users.as_ref().and_then(|users| users.data.get(name.as_str()));
        let value = match source {
            SecretSource::Value(value) => {
                if kept.is_none_or(|kept| kept.expose() != value.expose_secret().as_bytes()) {
                    secrets.brought.insert(name.clone());
                }
                Some(SecretBytes::new(value.expose_secret().as_bytes().to_vec()))
            }
            SecretSource::Existing { secret, key } => {
                control.secret(secret).await?.and_then(|stored| stored.data.get(key).cloned())
            }
            // The stored value stays.
            SecretSource::Missing { .. } => kept.cloned(),
        };
        let made = made.as_ref().and_then(|made| made.data.get(name.as_str()));
        if let (Some(made), Some(value), false) = (made, &value, matches!(source, SecretSource::Missing { .. }))
            && made.expose() != value.expose()
        {
            secrets.unheeded.insert(name.clone());
        }
        match value {
            Some(value) => put(&mut secrets.values, &user, name, value),
            None => secrets.lacking.push(lacking(control, name, source)),
        }
    }
    Ok(secrets)
}

/// Makes the passwords that are nowhere; whoever was first wins.
pub(crate) async fn make(
    fleet: &Fleet,
    control: &Cluster,
    desired: &Desired,
    secrets: &mut Secrets,
    entropy: &Entropy,
) -> Result<(), Failure> {
    let name = Names(&fleet.name).passwords();
    let manifest = desired.manifests().map(|(_, manifest)| manifest).find(|manifest| is(manifest, &name));
    let Some(manifest) = manifest else { return Ok(()) };
    let stored = control
        .ensure_made(fleet::Plane::Control, manifest, &given(fleet, secrets), &mut entropy.generator())
        .await
        .map_err(|error| failure(&error, None, Some(&manifest.object)))?;
    keep(&mut secrets.values, &name, &stored, SecretRef::Made);
    secrets.to_make = false;
    Ok(())
}

/// Passwords that the user brings along, or that were restored.
fn given(fleet: &Fleet, secrets: &Secrets) -> SecretMap {
    let mut given = secrets.values.clone();
    for name in fleet.secrets.keys() {
        if let Some(value) = secrets.values.get(&SecretRef::User(name.clone())) {
            given.keep(SecretRef::Made(name.clone()), value.clone());
        }
    }
    given
}

fn is(manifest: &Manifest, name: &str) -> bool {
    manifest.object.kind == Kind::Secret && manifest.object.name == name
}

/// Writes hashes of the values into rendered Secrets, so that they can be compared with what was listed; and says
/// which can't be compared now: what stands in the cluster under their names is kept.
pub(crate) fn fingerprint(desired: &mut Desired, secrets: &Secrets, key: &cluster::RunKey) -> BTreeSet<ObjectRef> {
    let mut held = BTreeSet::new();
    for unit in desired.units.values_mut() {
        for manifest in unit.manifests.iter_mut().filter(|manifest| !manifest.secrets.is_empty()) {
            match secrets.values.fingerprint(manifest, key) {
                Ok(body) => manifest.body = manifest::Body::new(&body),
                Err(_) => {
                    let made = manifest.secrets.values().all(|secret| matches!(secret, SecretRef::Made(_)));
                    if !(made && secrets.to_make) {
                        held.insert(manifest.object.clone());
                    }
                }
            }
        }
    }
    held
}

/// Makes pods depend on the user's values that they read, so that a changed value replaces them. The hash is keyed
/// with a made password: it tells nothing about a weak value. Where values can't be read, workloads stay as they are.
pub(crate) fn stamp(fleet: &Fleet, desired: &mut Desired, secrets: &Secrets) -> BTreeSet<ObjectRef> {
    let names = Names(&fleet.name);
    let users = [names.secrets(), names.secrets_copy()];
    let mut held = BTreeSet::new();
    let key = "JVB_AUTH_PASSWORD".parse().ok().and_then(|name| secrets.values.get(&SecretRef::Made(name)));
    for unit in desired.units.values_mut() {
        let read: BTreeSet<String> = unit.manifests.iter().flat_map(|manifest| read_keys(manifest, &users)).collect();
        if read.is_empty() {
            continue;
        }
        let mut text = Vec::new();
        let mut complete = true;
        for name in &read {
            let reference = SecretRef::CopyOf { secret: names.secrets(), key: name.clone() };
            match (secrets.values.get(&reference), key) {
                (Some(value), Some(key)) => {
                    for part in [name.as_bytes(), key.expose(), value.expose()] {
                        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
                        text.extend_from_slice(part);
                    }
                }
                _ => complete = false,
            }
        }
        if complete {
            unit.stamp(&manifest::short_hash(&text));
        } else if !secrets.to_make {
            unit.pods.clear();
            let workloads = unit.manifests.iter().filter(|manifest| manifest.object.kind.has_pods());
            held.extend(workloads.map(|manifest| manifest.object.clone()));
        }
    }
    held
}

/// Keys of these Secrets that a workload's containers read.
fn read_keys(manifest: &Manifest, secrets: &[String]) -> Vec<String> {
    // Most mention none of them: that is seen without making trees.
    if !manifest.object.kind.has_pods() || !secrets.iter().any(|secret| manifest.body.text().contains(secret.as_str()))
    {
        return Vec::new();
    }
    let body = manifest.body.json();
    let containers = body.pointer("/spec/template/spec/containers").and_then(serde_json::Value::as_array);
    let env = containers.into_iter().flatten().filter_map(|container| container.get("env")?.as_array()).flatten();
    env.filter_map(|entry| {
        let reference = entry.pointer("/valueFrom/secretKeyRef")?;
        let name = reference.get("name")?.as_str()?;
        let key = reference.get("key")?.as_str()?;
        secrets.iter().any(|secret| secret == name).then(|| key.to_owned())
    })
    .collect()
}

fn keep(values: &mut SecretMap, secret: &str, stored: &StoredSecret, reference: impl Fn(EnvName) -> SecretRef) {
    for (key, value) in &stored.data {
        values.insert(SecretRef::CopyOf { secret: secret.to_owned(), key: key.clone() }, value.clone());
        if let Ok(name) = key.parse() {
            values.insert(reference(name), value.clone());
        }
    }
}

fn put(values: &mut SecretMap, secret: &str, name: &EnvName, value: SecretBytes) {
    values.insert(SecretRef::CopyOf { secret: secret.to_owned(), key: name.to_string() }, value.clone());
    values.insert(SecretRef::User(name.clone()), value);
}

/// Data clusters that hold a copy of the passwords.
fn copies(fleet: &Fleet, observed: &Observed) -> BTreeSet<ClusterName> {
    let name = Names(&fleet.name).passwords_copy();
    let holds = |known: &Known<plan::ClusterView>| {
        let view = known.value();
        view.is_some_and(|view| view.objects.keys().any(|object| object.kind == Kind::Secret && object.name == name))
    };
    observed.clusters.iter().filter(|(_, known)| holds(known)).map(|(name, _)| name.clone()).collect()
}

/// Puts the passwords back into the control cluster from the copy that a data cluster holds.
pub(crate) async fn restore(fleet: &Fleet, from: &Cluster, secrets: &mut Secrets) -> Result<(), Failure> {
    let names = Names(&fleet.name);
    let stored = from.secret(&names.passwords_copy()).await.map_err(|error| failure(&error, None, None))?;
    if let Some(stored) = stored {
        keep(&mut secrets.values, &names.passwords(), &stored, SecretRef::Made);
    }
    secrets.lost.clear();
    Ok(())
}

fn lacking(control: &Cluster, name: &EnvName, source: &SecretSource) -> Failure {
    let (source, hint) = match source {
        SecretSource::Missing { source } => {
            (source.clone(), "give it once in this environment; afterwards the stored value is kept".to_owned())
        }
        SecretSource::Existing { secret, key } => (
            format!("key {key} of Secret {secret}"),
            format!("create it in namespace {} of {}", control.namespace(), control.name()),
        ),
        SecretSource::Value(_) => ("the fleet file".to_owned(), String::new()),
    };
    Failure {
        cluster: control.name().clone(),
        unit: None,
        object: None,
        message: format!("secret {name} has no value: its source ({source}) is not there, and none is stored yet"),
        detail: None,
        hint: Some(hint),
    }
}
