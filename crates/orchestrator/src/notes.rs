//! What a person should know of a run that no failure says.

use std::collections::BTreeSet;

use fleet::{BridgeExpose, ClusterName, EnvName, Fleet};
use manifest::Names;
use plan::NamespaceState;

use crate::report::Event;
use crate::round::Round;

/// What a person should know before anything is done.
pub(crate) fn notes(fleet: &Fleet, round: &Round) -> Vec<Event> {
    let mut notes = Vec::new();
    for (name, known) in &round.observed.clusters {
        let Some(view) = known.value() else { continue };
        let NamespaceState::Present { enforce: Some(level), .. } = &view.namespace else { continue };
        for pool in fleet.data.pools.iter().filter(|pool| pool.cluster == *name) {
            let exposed = matches!(pool.bridges.expose, BridgeExpose::HostPort | BridgeExpose::HostNetwork);
            if exposed && level != "privileged" {
                notes.push(Event::Note {
                    cluster: Some(name.clone()),
                    text: format!(
                        "namespace enforces Pod Security `{level}`, which refuses host ports: StatefulSets of pool {} are accepted and get no pods",
                        pool.name
                    ),
                    hint: Some("label it pod-security.kubernetes.io/enforce=privileged, or expose by node_port".to_owned()),
                });
            }
        }
    }
    let home = &fleet.control.cluster;
    notes.extend(unheeded(fleet, round).map(|(text, hint)| Event::Note {
        cluster: Some(home.clone()),
        text,
        hint: Some(hint),
    }));
    notes
}

/// A password between components is part of what runs: it does not change because somebody writes another one down.
pub(crate) fn unheeded(fleet: &Fleet, round: &Round) -> Option<(String, String)> {
    let names: Vec<&str> = round.secrets.unheeded.iter().map(EnvName::as_str).collect();
    let secret = Names(&fleet.name).passwords();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        let hint = "all that runs logs in with it: take it out of the file, or write down the one that is stored";
        (
            format!("what the file says of {names} changes nothing: Secret {secret} keeps what it was made with"),
            hint.into(),
        )
    })
}

/// Only whoever writes the control plane can bring new values of secrets, and a record is no place for them.
pub(crate) fn not_handed_over(home: &ClusterName, daemon: &str, brought: &BTreeSet<EnvName>) -> Event {
    let names: Vec<&str> = brought.iter().map(EnvName::as_str).collect();
    let text = format!("new values of {} are not handed over: the daemon {daemon} goes by its own", names.join(", "));
    let hint = "put them into the daemon's environment or files too and restart it, or stop it and run this again";
    Event::Note { cluster: Some(home.clone()), text, hint: Some(hint.to_owned()) }
}
