//! RollingUpdate: the new ReplicaSet grows by what may be too much, the old ones shrink by what may be missing.

use api_server::ApiError;
use serde_json::Value as Json;

use super::{Rollout, asked, counted};

impl Rollout<'_> {
    /// The new ReplicaSet gets what the surge leaves; says whether it was scaled.
    pub(super) fn grow(&self, current: &Json) -> Result<bool, ApiError> {
        let (wanted, has) = (self.wanted(), asked(current));
        let total: i64 = self.sets.iter().map(|set| asked(set)).sum();
        let room = wanted + self.margins().0 - total;
        if has > wanted {
            self.scale(current, wanted)
        } else if has < wanted && room > 0 {
            self.scale(current, has + room.min(wanted - has))
        } else {
            Ok(false)
        }
    }

    /// The old ones give up pods that are not available first, then as many as may be missing.
    pub(super) fn shrink(&self, current: &Json) -> Result<bool, ApiError> {
        let least = self.wanted() - self.margins().1;
        let total: i64 = self.sets.iter().map(|set| asked(set)).sum();
        let new_unavailable = asked(current) - counted(current, "availableReplicas");
        let mut removable = total - least - new_unavailable;
        let mut sizes: Vec<_> = self.old().filter(|set| asked(set) > 0).map(|set| (set, asked(set))).collect();
        if removable <= 0 || sizes.is_empty() {
            return Ok(false);
        }
        for (set, size) in &mut sizes {
            let unhealthy = (*size - counted(set, "availableReplicas")).clamp(0, removable.max(0));
            *size -= unhealthy;
            removable -= unhealthy;
        }
        let available: i64 = self.sets.iter().map(|set| counted(set, "availableReplicas")).sum();
        let mut spare = (available - least).max(0);
        for (_, size) in &mut sizes {
            let gone = spare.min(*size);
            *size -= gone;
            spare -= gone;
        }
        let mut wrote = false;
        for (set, size) in sizes {
            wrote |= self.scale(set, size)?;
        }
        Ok(wrote)
    }
}
