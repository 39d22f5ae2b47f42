//! The types of all kinds, as far as server-side apply and field validation need them: generated from a real server's
//! OpenAPI (`cargo xtask openapi`).

mod check;
mod load;
mod settle;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::kinds::Kind;

pub use check::{Misfits, check};
pub use settle::{empty, settle};

/// The type of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Schema {
    /// A string, number or boolean, or bytes and quantities, which stand as those.
    Scalar(Scalar),
    /// An object with known fields.
    Struct(Struct),
    /// An object with any keys.
    Map {
        /// The type of every value.
        value: &'static Schema,
        /// Owned as a whole.
        atomic: bool,
    },
    /// A list.
    List {
        /// The type of every item.
        item: &'static Schema,
        /// How items are told apart.
        identity: Identity,
    },
    /// Anything, owned as a whole.
    Any,
}

/// What JSON stands for a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// A string.
    String,
    /// An integer of 64 bits.
    Integer,
    /// An integer of 32 bits.
    Int32,
    /// Any number.
    Number,
    /// A boolean.
    Boolean,
    /// An integer or a string (ports, for one).
    IntOrString,
    /// A string or number such as `1500m`.
    Quantity,
    /// A moment, in seconds.
    Time,
    /// A moment, in microseconds.
    MicroTime,
    /// Bytes, in base64.
    Bytes,
}

/// An object with known fields.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Struct {
    /// What the server's decoder calls it; empty for types that a CRD defines.
    pub name: &'static str,
    /// The fields, by name.
    pub fields: BTreeMap<&'static str, Field>,
    /// Owned as a whole.
    pub atomic: bool,
    /// Fields that are not known are kept.
    pub open: bool,
}

/// A field of a [`Struct`].
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its type.
    pub schema: &'static Schema,
    /// The default that OpenAPI states.
    pub default: Option<Json>,
    /// Whether it must be there.
    pub required: bool,
    /// What a strategic merge patch makes of it.
    pub patch: Option<Strategy>,
}

/// What a strategic merge patch makes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strategy {
    /// Items are merged, instead of replaced as a whole.
    pub merge: bool,
    /// Keys that the patch does not name go.
    pub retain_keys: bool,
    /// The one field by which items are told apart; without it, by their value.
    pub key: Option<&'static str>,
}

/// How items of a list are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Not at all: the list is owned as a whole.
    Atomic,
    /// By their value.
    Set,
    /// By the values of these fields.
    Map(&'static [&'static str]),
}

/// Anything.
static ANY: Schema = Schema::Any;

/// The type of a kind's objects.
#[must_use]
pub fn of(kind: &Kind) -> &'static Schema {
    load::catalogue().get(&(kind.group, kind.version, kind.name)).copied().unwrap_or(&ANY)
}

/// The version of the server that the types were read from, such as `v1.34.3`.
#[must_use]
pub fn server_version() -> &'static str {
    load::server_version()
}

impl Schema {
    /// The type of a field, or of a map's values.
    #[must_use]
    pub fn field(&self, name: &str) -> &'static Self {
        match self {
            Self::Struct(of) => of.fields.get(name).map_or(&ANY, |field| field.schema),
            Self::Map { value, .. } => value,
            _ => &ANY,
        }
    }

    /// Whether it is a struct that has this field.
    #[must_use]
    pub fn has_field(&self, name: &str) -> bool {
        matches!(self, Self::Struct(of) if of.fields.contains_key(name))
    }

    /// The type of a list's items.
    #[must_use]
    pub fn item(&self) -> &'static Self {
        match self {
            Self::List { item, .. } => item,
            _ => &ANY,
        }
    }

    /// The type of the kind is that of a CRD, not of the server's own.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        matches!(self, Self::Struct(of) if of.name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    #[test]
    fn every_kind_has_a_type_with_metadata() {
        for kind in kinds::KINDS {
            assert!(of(kind).has_field("metadata"), "{}", kind.name);
            assert_eq!(of(kind).is_custom(), kind.custom, "{}", kind.name);
        }
        assert!(server_version().starts_with("v1."));
    }

    #[test]
    fn ports_of_services_are_told_apart_by_port_and_protocol() {
        let ports = of(&kinds::SERVICE).field("spec").field("ports");
        let Schema::List { identity: Identity::Map(keys), item } = ports else { panic!("{ports:?}") };
        assert_eq!(*keys, ["port", "protocol"]);
        let Schema::Struct(port) = item else { panic!("{item:?}") };
        assert_eq!(port.fields["protocol"].default, Some("TCP".into()));
        assert!(port.fields["port"].required);
        assert_eq!(*port.fields["port"].schema, Schema::Scalar(Scalar::Int32));
        assert_eq!(*port.fields["targetPort"].schema, Schema::Scalar(Scalar::IntOrString));
        let Schema::Struct(spec) = of(&kinds::SERVICE).field("spec") else { panic!() };
        let strategy = Strategy { merge: true, retain_keys: false, key: Some("port") };
        assert_eq!(spec.fields["ports"].patch, Some(strategy));
    }

    #[test]
    fn selectors_are_owned_as_a_whole() {
        let is_atomic = |schema: &Schema| match schema {
            Schema::Map { atomic, .. } => *atomic,
            Schema::Struct(of) => of.atomic,
            _ => false,
        };
        assert!(is_atomic(of(&kinds::SERVICE).field("spec").field("selector")));
        assert!(is_atomic(of(&kinds::DEPLOYMENT).field("spec").field("selector")));
        assert!(!is_atomic(of(&kinds::CONFIG_MAP).field("data")));
        let finalizers = of(&kinds::POD).field("metadata").field("finalizers");
        assert!(matches!(finalizers, Schema::List { identity: Identity::Set, .. }));
        assert!(matches!(of(&kinds::CONTROLLER_REVISION).field("data"), Schema::Any));
    }

    #[test]
    fn custom_kinds_state_their_defaults() {
        let Schema::Struct(reference) = of(&kinds::HTTP_ROUTE).field("spec").field("parentRefs").item() else {
            panic!()
        };
        assert_eq!(reference.fields["kind"].default, Some("Gateway".into()));
    }
}
