//! A workload's pods, as text into which the last is filled when the rest is known.

use std::sync::Arc;

use crate::stencil::Stencil;

/// The pods of one unit.
#[derive(Debug, Clone)]
pub struct Template {
    /// With a hole for the roll hash.
    pub(crate) metadata: Stencil,
    pub(crate) spec: Arc<Stencil>,
    /// What fills the holes of the specification.
    pub(crate) fillings: Vec<String>,
}

impl Template {
    /// In bytes.
    pub(crate) fn len(&self) -> usize {
        self.metadata.len() + self.spec.len() + self.fillings.iter().map(String::len).sum::<usize>()
    }

    /// Writes it with a hole for the hash of all that replaces the unit.
    pub(crate) fn write(&self, out: &mut Stencil) {
        out.raw("{\"metadata\":");
        out.stencil(&self.metadata);
        out.raw(",\"spec\":");
        let fillings: Vec<&str> = self.fillings.iter().map(String::as_str).collect();
        self.spec.pieces(&fillings).into_iter().for_each(|piece| out.raw(piece));
        out.raw("}");
    }
}
