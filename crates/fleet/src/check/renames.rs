//! Entries that had another name before.

use crate::Fleet;
use crate::resolve::Context;

/// Nothing follows a rename yet: whoever counts on it should know what happens instead.
pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    for (entry, old) in &fleet.renames {
        let Some((kind, name)) = entry.split_once('/') else { continue };
        let (list, what) = match kind {
            "cluster" => ("clusters", "all that names it changes with it"),
            "shard" => ("control.shards", "its rooms end with the old one"),
            _ => ("data.pools", "its bridges are replaced by new ones"),
        };
        let message =
            format!("`renamed_from` has no effect yet: {kind} `{old}` goes and `{name}` comes as a new one; {what}");
        ctx.warn(&format!("{list}.{name}.renamed_from"), message, "go back to the old name unless that is meant");
    }
}
