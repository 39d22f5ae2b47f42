//! `plan`: what `apply` would do, checked by the API servers' own dry run.

use std::collections::BTreeMap;

use cluster::{ApplyMode, Before};
use fleet::load::Loaded;
use futures::future::join_all;
use manifest::{ObjectRef, UnitId};
use plan::compare::differences;
use plan::{Difference, Field, Known, Plan, Reason};

use crate::desire;
use crate::execute::failure;
use crate::notes::unheeded;
use crate::report::{Failure, PlanReport};
use crate::round::Round;
use crate::{Fatal, Options, Session};

/// What `apply` would do: the whole difference, checked by the API servers' own dry run.
///
/// # Errors
/// When nothing can be said.
pub async fn plan(loaded: &Loaded, options: &Options) -> Result<PlanReport, Fatal> {
    let session = Session::open(loaded, options, &|_| {}).await?;
    let mut round = Round::look(&session, &options.policy).await?;
    let mut refused: Vec<Failure> = std::mem::take(&mut round.secrets.lacking);
    refused.extend(rehearse(&session, &mut round).await);
    let fleet = &loaded.fleet;
    let bridges = round.desire.desired.units.keys().filter(|unit| matches!(unit, UnitId::Bridge(..))).count();
    let unreachable = round
        .observed
        .clusters
        .iter()
        .filter_map(|(name, known)| known.unknown().map(|why: &Reason| (name.clone(), why.clone())));
    let notes = unheeded(fleet, &round).into_iter().map(|(text, hint)| format!("{text}; {hint}")).collect();
    Ok(PlanReport {
        fleet: fleet.name.to_string(),
        url: fleet.url.to_string(),
        size: (fleet.clusters.len(), fleet.control.shards.len(), bridges),
        live: round.live(),
        unreachable: unreachable.collect(),
        debts: round.debts(),
        plan: Plan { forecast: round.forecast(&session), ..round.plan },
        refused,
        notes,
    })
}

/// Asks the API servers what each change would come to: fields that go are seen only there.
async fn rehearse(session: &Session<'_>, round: &mut Round) -> Vec<Failure> {
    let manifests: BTreeMap<&ObjectRef, &manifest::Manifest> =
        round.desire.desired.manifests().map(|(_, manifest)| (&manifest.object, manifest)).collect();
    let absent = round.without_namespace();
    let asks = round.plan.changes.iter().enumerate().flat_map(|(at, change)| {
        change
            .objects
            .iter()
            .enumerate()
            .map(move |(place, (object, difference))| (at, place, change, object, difference))
    });
    let asks: Vec<_> = asks
        .filter(|(_, _, change, _, difference)| **difference != Difference::Delete && !absent.contains(&change.cluster))
        .collect();
    let answers = join_all(asks.iter().map(|(at, place, change, object, _)| {
        let manifest = manifests.get(object);
        let cluster = session.clusters.get(&change.cluster);
        let live =
            round.observed.clusters.get(&change.cluster).and_then(Known::value).and_then(|v| v.objects.get(object));
        let values = &round.secrets.values;
        async move {
            let (manifest, cluster) = (manifest?, cluster?);
            let body = values.fill(manifest).ok()?;
            let before = live.map_or(Before::Absent, |live| Before::Seen(live.version.clone()));
            let mode = ApplyMode { dry_run: true, before };
            match cluster.apply(change.unit.plane(), &body, object, &mode).await {
                Ok(applied) => {
                    let live = live?;
                    let (after, before) = (applied.body.json(), live.body.json());
                    let mut fields = differences(&after, &before);
                    fields.extend(
                        differences(&before, &after)
                            .into_iter()
                            .filter(|field| field.from.is_none())
                            .map(|field| Field { path: field.path, from: field.to, to: None }),
                    );
                    fields.retain(|field| !desire::is_bookkeeping(&field.path));
                    Some(Ok((*at, *place, fields)))
                }
                Err(error) => Some(Err(failure(&error, Some(&change.unit), Some(object)))),
            }
        }
    }))
    .await;
    let mut refused = Vec::new();
    let mut exact = Vec::new();
    for answer in answers.into_iter().flatten() {
        match answer {
            Ok(found) => exact.push(found),
            Err(error) => refused.push(error),
        }
    }
    for (at, place, fields) in exact {
        if let Some((_, difference)) = round.plan.changes.get_mut(at).and_then(|change| change.objects.get_mut(place)) {
            *difference = Difference::Update { fields };
        }
    }
    refused
}
