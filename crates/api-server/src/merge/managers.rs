//! `metadata.managedFields`: who owns what.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::Writer;
use crate::fields::FieldSet;

/// How many managers that update, rather than apply, are kept apart.
const UPDATERS: usize = 10;
/// Who owns what the oldest of them owned.
const ANCIENT: &str = "ancient-changes";

/// Who owns fields. Appliers are the same in all versions of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) operation: Operation,
    pub(super) api_version: Option<String>,
    pub(super) subresource: Option<String>,
}

/// How somebody came to own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// What somebody owns.
#[derive(Debug, Clone)]
pub(super) struct Owned {
    pub(super) api_version: String,
    /// As it was written; it sorts as the moments do.
    pub(super) time: Option<String>,
    pub(super) fields: Fields,
}

/// Fields that somebody owns. Most requests need those of few owners, so they are read when they are needed, and
/// printed when they changed.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    set: OnceCell<FieldSet>,
    written: Option<Json>,
}

impl From<FieldSet> for Fields {
    fn from(set: FieldSet) -> Self {
        Self { set: OnceCell::from(set), written: None }
    }
}

impl Fields {
    pub(super) fn set(&self) -> &FieldSet {
        // Where something is written that is no field, nothing is owned.
        self.set.get_or_init(|| self.written.as_ref().and_then(|it| FieldSet::parse(it).ok()).unwrap_or_default())
    }

    fn to_json(&self) -> Json {
        self.written.clone().unwrap_or_else(|| self.set().to_json())
    }

    fn is_empty(&self) -> bool {
        match (&self.written, self.set.get()) {
            (Some(written), None) => written.as_object().is_none_or(Map::is_empty),
            _ => self.set().is_empty(),
        }
    }
}

/// All owners of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Managers(pub(super) BTreeMap<Manager, Owned>);

impl Manager {
    pub(super) fn of(writer: &Writer, operation: Operation) -> Self {
        let name = if writer.manager.is_empty() { "unknown" } else { &writer.manager };
        Self {
            name: name.to_owned(),
            operation,
            api_version: (operation == Operation::Update).then(|| writer.api_version.clone()),
            subresource: writer.subresource.clone(),
        }
    }
}

/// As conflicts name it.
impl std::fmt::Display for Manager {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?}", self.name)?;
        if let Some(subresource) = &self.subresource {
            write!(out, " with subresource {subresource:?}")?;
        }
        match &self.api_version {
            Some(version) => write!(out, " using {version}"),
            None => Ok(()),
        }
    }
}

impl Managers {
    /// Those of an object; none where `managedFields` is broken, which the server takes for the same.
    pub(super) fn of(object: &Json) -> Self {
        let entries = object.pointer("/metadata/managedFields").and_then(Json::as_array);
        let read: Option<_> = entries.into_iter().flatten().map(read).collect();
        Self(read.unwrap_or_default())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes fields away from all but one.
    pub(super) fn take(&mut self, from_all_but: Option<&Manager>, fields: &FieldSet) {
        if fields.is_empty() {
            return;
        }
        for (manager, owned) in &mut self.0 {
            if Some(manager) != from_all_but {
                owned.fields = owned.fields.set().difference(fields).into();
            }
        }
    }

    /// What anybody owns.
    pub(super) fn union(&self) -> FieldSet {
        self.0.values().fold(FieldSet::new(), |all, owned| all.union(owned.fields.set()))
    }

    pub(super) fn drop_empty(&mut self) {
        self.0.retain(|_, owned| !owned.fields.is_empty());
    }

    /// Puts the oldest of too many updaters together.
    pub(super) fn cap(&mut self) {
        let updaters = self.0.iter().filter(|(manager, _)| manager.operation == Operation::Update);
        let mut updaters: Vec<_> = updaters.map(|(manager, owned)| (owned.time.clone(), manager.clone())).collect();
        let mut too_many = updaters.len().saturating_sub(UPDATERS);
        updaters.sort();
        let mut first: BTreeMap<String, Manager> = BTreeMap::new();
        for (time, manager) in updaters {
            if too_many == 0 {
                return;
            }
            let Some(version) = self.0.get(&manager).map(|owned| owned.api_version.clone()) else { continue };
            let Some(oldest) = first.get(&version) else {
                first.insert(version, manager);
                continue;
            };
            let ancient = Manager {
                name: ANCIENT.to_owned(),
                operation: Operation::Update,
                api_version: Some(version),
                subresource: None,
            };
            let mut together = self.0.remove(&ancient).or_else(|| self.0.remove(oldest));
            if let (Some(together), Some(one)) = (&mut together, self.0.remove(&manager)) {
                together.fields = together.fields.set().union(one.fields.set()).into();
                together.time = time;
            }
            if let Some(together) = together {
                self.0.insert(ancient, together);
            }
            too_many -= 1;
        }
    }

    /// Writes them into an object.
    pub(super) fn write(&self, object: &mut Json) {
        self.write_with(Vec::new(), object);
    }

    /// Writes them into an object, and others that may have equals among them.
    pub(super) fn write_with(&self, others: Vec<(Manager, Owned)>, object: &mut Json) {
        let Some(object) = object.as_object_mut() else { return };
        let metadata = object.entry("metadata").or_insert_with(|| Json::Object(Map::new()));
        let Some(metadata) = metadata.as_object_mut() else { return };
        if self.is_empty() && others.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), self.to_json(&others));
        }
    }

    fn to_json(&self, others: &[(Manager, Owned)]) -> Json {
        let others = others.iter().map(|(manager, owned)| (manager, owned));
        let mut entries: Vec<(&Manager, &Owned)> = self.0.iter().chain(others).collect();
        entries.sort_by(|one, other| {
            let key = |(manager, owned): &(&Manager, &Owned)| {
                (manager.operation, owned.time.clone(), manager.name.clone(), owned.api_version.clone())
            };
            key(one).cmp(&key(other)).then_with(|| one.0.subresource.cmp(&other.0.subresource))
        });
        entries.into_iter().map(|(manager, owned)| print(manager, owned)).collect()
    }
}

fn read(entry: &Json) -> Option<(Manager, Owned)> {
    let text = |name: &str| entry.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    let operation = match text("operation")? {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    let api_version = text("apiVersion")?.to_owned();
    let fields = match (text("fieldsType"), entry.get("fieldsV1")) {
        (Some("FieldsV1"), written) => Fields { set: OnceCell::new(), written: written.cloned() },
        _ => return None,
    };
    let manager = Manager {
        name: text("manager").unwrap_or_default().to_owned(),
        operation,
        api_version: (operation == Operation::Update).then(|| api_version.clone()),
        subresource: text("subresource").map(str::to_owned),
    };
    Some((manager, Owned { api_version, time: text("time").map(str::to_owned), fields }))
}

fn print(manager: &Manager, owned: &Owned) -> Json {
    let mut entry = json!({
        "apiVersion": owned.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": owned.fields.to_json(),
        "manager": manager.name,
        "operation": match manager.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        },
    });
    if let Some(time) = &owned.time {
        entry["time"] = time.as_str().into();
    }
    if let Some(subresource) = &manager.subresource {
        entry["subresource"] = subresource.as_str().into();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updater(name: &str, time: &str) -> Json {
        json!({
            "apiVersion": "v1", "fieldsType": "FieldsV1", "manager": name, "operation": "Update", "time": time,
            "fieldsV1": { "f:data": { format!("f:{name}"): {} } },
        })
    }

    fn object(entries: Vec<Json>) -> Json {
        json!({ "metadata": { "managedFields": entries } })
    }

    #[test]
    fn entries_are_sorted_by_operation_time_and_name() {
        let mut apply = updater("z", "2026-01-01T00:00:09Z");
        apply["operation"] = "Apply".into();
        let entries = vec![updater("b", "2026-01-01T00:00:01Z"), updater("a", "2026-01-01T00:00:02Z"), apply];
        let mut shown = object(entries.clone());
        Managers::of(&shown).write(&mut shown);
        assert_eq!(shown, object(vec![entries[2].clone(), entries[0].clone(), entries[1].clone()]));
    }

    #[test]
    fn the_oldest_of_more_than_ten_updaters_are_put_together() {
        let entries = (0..12).map(|index| updater(&format!("m{index:02}"), &format!("2026-01-01T00:00:{index:02}Z")));
        let mut managers = Managers::of(&object(entries.collect()));
        managers.cap();
        assert_eq!(managers.0.len(), 10);
        let (manager, owned) = managers.0.first_key_value().unwrap();
        assert_eq!(manager.to_string(), "\"ancient-changes\" using v1");
        assert_eq!(owned.fields.set().paths(), [".data.m00", ".data.m01", ".data.m02"]);
        assert_eq!(owned.time.as_deref(), Some("2026-01-01T00:00:02Z"));
    }

    #[test]
    fn broken_entries_count_as_none() {
        let mut broken = updater("a", "");
        broken["operation"] = "Destroy".into();
        assert!(Managers::of(&object(vec![updater("b", ""), broken])).is_empty());
    }
}
