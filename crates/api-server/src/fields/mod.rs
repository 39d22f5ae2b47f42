//! Sets of fields, as `managedFields` writes them (`FieldsV1`).

mod element;
mod set;
mod text;

pub use element::{PathElement, compare, same};
pub use set::FieldSet;
pub use text::Unreadable;
