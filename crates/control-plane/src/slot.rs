//! A slot: the prosody and the jicofo that serve a shard together.

use manifest::{Unit, UnitId};

use crate::place::Place;
use crate::{jicofo, prosody};

/// Renders prosody and jicofo.
pub(crate) fn render(place: &Place<'_>) -> Unit {
    let mut unit = place.unit(UnitId::Slot(place.name.clone(), place.slot));
    unit.release(&place.shard.prosody.workload.image.release);
    prosody::render(place, &mut unit);
    jicofo::render(place, &mut unit);
    unit.finish()
}
