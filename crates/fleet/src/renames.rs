//! Entries that had another name before. Objects, pods and bridges can't be renamed, so what runs keeps its name: to
//! everything but the file, an entry with `renamed_from` is what it was called then.
//!
//! The merged file is rewritten so, entries and whatever refers to them; where something stands in the file is looked up
//! by the name that is written there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::{Map, Value as Json};

use crate::{ClusterName, InvalidName, PoolName, ShardName};

/// The names in the file of what runs under another one: written name → the one that it keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renames {
    /// Clusters.
    pub clusters: BTreeMap<ClusterName, ClusterName>,
    /// Shards.
    pub shards: BTreeMap<ShardName, ShardName>,
    /// Pools.
    pub pools: BTreeMap<PoolName, PoolName>,
}

/// Key paths by kept names and by written ones, where they differ.
#[derive(Debug, Default)]
pub(crate) struct Paths(Vec<(String, String)>);

impl Paths {
    fn add(&mut self, list: &str, kept: &str, written: &str) {
        self.0.push((format!("{list}.{kept}"), format!("{list}.{written}")));
    }

    /// The path of a value as the file has it.
    pub(crate) fn written<'p>(&self, path: &'p str) -> Cow<'p, str> {
        moved(path, self.0.iter().map(|(kept, written)| (kept.as_str(), written.as_str())))
    }

    /// The path of a value of the file, by the names that are kept.
    pub(crate) fn kept<'p>(&self, path: &'p str) -> Cow<'p, str> {
        moved(path, self.0.iter().map(|(kept, written)| (written.as_str(), kept.as_str())))
    }
}

fn moved<'p, 'a>(path: &'p str, mut moves: impl Iterator<Item = (&'a str, &'a str)>) -> Cow<'p, str> {
    let found = moves.find_map(|(from, to)| {
        let rest = path.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{to}{rest}"))
    });
    found.map_or(Cow::Borrowed(path), Cow::Owned)
}

/// A wrong `renamed_from`: its key path as written, what is wrong, and the way out.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// Gives entries of the merged file the names that what runs has.
pub(crate) fn settle(json: &mut Json) -> (Renames, Paths, Vec<Wrong>) {
    let mut wrong = Vec::new();
    let renames = Renames {
        clusters: entries(json, "clusters", &mut wrong),
        shards: entries(json, "control.shards", &mut wrong),
        pools: entries(json, "data.pools", &mut wrong),
    };
    let mut paths = Paths::default();
    for (written, kept) in &renames.clusters {
        paths.add("clusters", kept.as_str(), written.as_str());
    }
    for (written, kept) in &renames.shards {
        paths.add("control.shards", kept.as_str(), written.as_str());
        paths.add("control.xmpp.external", kept.as_str(), written.as_str());
        if let Some(external) = map(json, "control.xmpp.external")
            && let Some(target) = external.remove(written.as_str())
        {
            external.insert(kept.to_string(), target);
        }
    }
    for (written, kept) in &renames.pools {
        paths.add("data.pools", kept.as_str(), written.as_str());
    }
    for pointer in ["/control/cluster", "/data/home"] {
        json.pointer_mut(pointer).into_iter().for_each(|name| keep(name, &renames.clusters));
    }
    for pointer in ["/rollout/order", "/rollout/skip"] {
        each(json.pointer_mut(pointer)).for_each(|name| keep(name, &renames.clusters));
    }
    for pool in map(json, "data.pools").into_iter().flat_map(Map::values_mut) {
        pool.get_mut("cluster").into_iter().for_each(|name| keep(name, &renames.clusters));
        each(pool.get_mut("shards")).for_each(|name| keep(name, &renames.shards));
    }
    (renames, paths, wrong)
}

fn map<'j>(json: &'j mut Json, path: &str) -> Option<&'j mut Map<String, Json>> {
    json.pointer_mut(&format!("/{}", path.replace('.', "/")))?.as_object_mut()
}

fn each(list: Option<&mut Json>) -> impl Iterator<Item = &mut Json> {
    list.and_then(Json::as_array_mut).into_iter().flatten()
}

/// A name that refers to an entry.
fn keep<N: Ord + AsRef<str>>(name: &mut Json, renames: &BTreeMap<N, N>) {
    let kept = renames.iter().find(|(written, _)| name.as_str() == Some((*written).as_ref()));
    if let Some((_, kept)) = kept {
        *name = Json::from(kept.as_ref());
    }
}

/// Moves the entries of a map to the names that they keep.
fn entries<N: FromStr<Err = InvalidName> + Ord>(json: &mut Json, list: &str, wrong: &mut Vec<Wrong>) -> BTreeMap<N, N> {
    let Some(entries) = map(json, list) else { return BTreeMap::new() };
    let olds: Vec<(String, String)> = entries
        .iter_mut()
        .filter_map(|(name, entry)| match entry.as_object_mut()?.remove("renamed_from")? {
            Json::String(old) if old != *name => Some((name.clone(), old)),
            _ => None,
        })
        .collect();
    let mut renames = BTreeMap::new();
    for (written, old) in olds {
        let mut refuse = |message: String, hint: &str| {
            wrong.push(Wrong { path: format!("{list}.{written}.renamed_from"), message, hint: hint.to_owned() });
        };
        let kept = match old.parse::<N>() {
            Ok(kept) => kept,
            Err(why) => {
                refuse(why.to_string(), "it is the name that the entry had in the file before");
                continue;
            }
        };
        if entries.contains_key(&old) {
            refuse(
                format!("`{written}` can't be what `{old}` was: there is another `{old}`"),
                "one entry says `renamed_from`, and no entry has the old name any more",
            );
            continue;
        }
        // A wrong name of the entry itself is told where names are read.
        if let (Ok(name), Some(entry)) = (written.parse(), entries.remove(&written)) {
            entries.insert(old, entry);
            renames.insert(name, kept);
        }
    }
    renames
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_and_what_refers_to_them_get_the_names_that_are_kept() {
        let mut written = json!({
            "clusters": { "hq": {}, "fra1": { "context": "fra", "renamed_from": "frankfurt" } },
            "control": {
                "cluster": "fra1",
                "shards": { "one": { "renamed_from": "alpha" }, "beta": { "renamed_from": "beta" } },
                "xmpp": { "external": { "one": {}, "beta": {} } },
            },
            "data": {
                "home": "fra1",
                "pools": {
                    "europe": { "renamed_from": "eu", "cluster": "fra1", "shards": ["beta", "one"] },
                    "us": { "cluster": "hq", "shards": "all" },
                },
            },
            "rollout": { "order": ["hq", "fra1"], "skip": ["fra1"] },
        });
        let (renames, paths, wrong) = settle(&mut written);
        assert!(wrong.is_empty(), "{wrong:?}");
        let kept = json!({
            "clusters": { "hq": {}, "frankfurt": { "context": "fra" } },
            "control": {
                "cluster": "frankfurt",
                "shards": { "alpha": {}, "beta": {} },
                "xmpp": { "external": { "alpha": {}, "beta": {} } },
            },
            "data": {
                "home": "frankfurt",
                "pools": {
                    "eu": { "cluster": "frankfurt", "shards": ["beta", "alpha"] },
                    "us": { "cluster": "hq", "shards": "all" },
                },
            },
            "rollout": { "order": ["hq", "frankfurt"], "skip": ["frankfurt"] },
        });
        assert_eq!(written, kept);
        assert_eq!(renames.pools, BTreeMap::from([("europe".parse().unwrap(), "eu".parse().unwrap())]));
        for (kept, written) in [
            ("data.pools.eu.cluster", "data.pools.europe.cluster"),
            ("control.xmpp.external.alpha", "control.xmpp.external.one"),
            ("clusters.frankfurt", "clusters.fra1"),
            ("clusters.frankfurter", "clusters.frankfurter"),
            ("data.home", "data.home"),
        ] {
            assert_eq!(paths.written(kept), written);
            assert_eq!(paths.kept(written), kept);
        }
    }
}
