//! What the whole control plane shares: secrets, policies, monitors.

use std::collections::BTreeMap;

use fleet::{EnvName, Fleet, Plane};
use manifest::{Names, SecretRef, Unit, UnitBuilder, UnitId};

use crate::env::PASSWORDS;
use crate::{monitors, policies};

/// Renders the control cluster's base.
pub(crate) fn render(fleet: &Fleet) -> Unit {
    let cluster = &fleet.control.cluster;
    let mut unit = UnitBuilder::new(fleet, UnitId::Base(Plane::Control, cluster.clone()), cluster);
    let names = Names(&fleet.name);
    unit.add_secret(names.passwords(), made());
    if !fleet.secrets.is_empty() {
        let user = fleet.secrets.keys().map(|name| (name.to_string(), SecretRef::User(name.clone()))).collect();
        unit.add_secret(names.secrets(), user);
    }
    if fleet.network_policy {
        policies::render(fleet, &mut unit);
    }
    if fleet.monitoring.enabled {
        monitors::render(fleet, &mut unit);
    }
    unit.finish()
}

fn made() -> BTreeMap<String, SecretRef> {
    PASSWORDS
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), SecretRef::Made(key.parse::<EnvName>().ok()?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use fleet::SecretSource;
    use manifest::{Kind, testing};

    use super::*;

    #[test]
    fn passwords_are_made_and_the_users_secrets_are_taken() {
        let mut fleet = testing::split();
        let secrets = |fleet: &Fleet| {
            let unit = render(fleet);
            let found = unit.manifests.into_iter().filter(|manifest| manifest.object.kind == Kind::Secret);
            found.map(|manifest| (manifest.object.name, manifest.secrets)).collect::<BTreeMap<_, _>>()
        };
        let found = secrets(&fleet);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["meet-passwords"]);
        assert_eq!(found["meet-passwords"].len(), 4);

        let name: EnvName = "JWT_APP_SECRET".parse().unwrap();
        fleet.secrets.insert(name.clone(), SecretSource::Missing { source: "env X".into() });
        assert_eq!(secrets(&fleet)["meet-secrets"]["JWT_APP_SECRET"], SecretRef::User(name));
    }
}
