use std::fmt::Write as _;

use manifest::testing;

use super::*;

fn desired(fleet: &Fleet) -> Desired {
    // The renderers are not below this crate: what they make is stood in for by a kind per plane.
    let mut units = Vec::new();
    for (unit, kind, cluster) in [
        (manifest::UnitId::Haproxy, Kind::Deployment, &fleet.control.cluster),
        (manifest::UnitId::Base(Plane::Data, fleet.data.home.clone()), Kind::StatefulSet, &fleet.data.home),
    ] {
        let mut builder = manifest::UnitBuilder::new(fleet, unit, cluster);
        builder.add(kind, "x".to_owned(), manifest::Part::Carry, manifest::Metadata::default(), serde_json::json!({}));
        units.push(builder.finish());
    }
    Desired::new(units)
}

fn told(fleet: &Fleet, planes: &[Plane], cluster: &str) -> String {
    let rights = rights(fleet, &desired(fleet), &planes.iter().copied().collect(), &testing::cluster(cluster));
    let mut text = String::new();
    for rule in rights.namespaced.iter().chain(rights.optional.iter().map(|(rule, _)| rule)) {
        let verbs = serde_json::to_string(&rule.verbs).unwrap().replace('"', "");
        let _ = writeln!(
            text,
            "{}/{} {} {verbs}",
            rule.api_groups[0],
            rule.resources.join(","),
            rule.resource_names.join(",")
        );
    }
    text
}

#[test]
fn what_is_rendered_may_be_written_and_what_was_may_go() {
    let fleet = testing::split();
    let control = told(&fleet, &[Plane::Control], "hq");
    assert!(control.contains("apps/deployments  [get,list,watch,create,patch,delete]"), "{control}");
    assert!(
        control.contains("/ingresses") || control.contains("ingresses,networkpolicies  [list,watch,delete]"),
        "{control}"
    );
    assert!(control.contains("coordination.k8s.io/leases meet-control [get,update,delete]"), "{control}");
    assert!(!control.contains("endpointslices"), "{control}");
    let data = told(&fleet, &[Plane::Data], "frankfurt");
    assert!(data.contains("/pods  [list,watch,patch,delete]"), "{data}");
    assert!(data.contains("/nodes  [list,watch]"), "{data}");
    assert!(!data.contains("deployments"), "{data}");
}

#[test]
fn the_data_plane_only_reads_the_control_cluster() {
    let fleet = testing::split();
    let read = told(&fleet, &[Plane::Data], "hq");
    for verb in ["update", "patch", "delete"] {
        assert!(!read.contains(verb), "{read}");
    }
    assert!(read.contains("/secrets meet-passwords,meet-secrets [get]"), "{read}");
    assert_eq!(told(&fleet, &[Plane::Control], "frankfurt"), "");
}

#[test]
fn one_account_for_both_planes_has_the_sum() {
    let fleet = testing::split();
    let both = told(&fleet, &[Plane::Control, Plane::Data], "hq");
    let control = told(&fleet, &[Plane::Control], "hq");
    assert_eq!(both, control, "the control plane reads all that the data plane reads there");
}

#[test]
fn accounts_of_one_plane_and_of_both_do_not_meet() {
    let fleet = testing::split();
    let cluster = testing::cluster("hq");
    let granted = |planes: &[Plane], account| {
        let planes: BTreeSet<Plane> = planes.iter().copied().collect();
        let rights = rights(&fleet, &desired(&fleet), &planes, &cluster);
        grants(&fleet, &planes, &cluster, &rights, account)
    };
    let names =
        |grants: &Grants| grants.needed.iter().map(|grant| (grant.plural, grant.name.clone())).collect::<Vec<_>>();
    let both = granted(&[Plane::Control, Plane::Data], None);
    assert_eq!(both.account.name, "meet-jitsictl");
    assert_eq!(both.needed.len(), 3);
    let one = granted(&[Plane::Control], None);
    assert!(names(&one).iter().all(|(_, name)| name == "meet-jitsictl-control"), "{:?}", names(&one));
    let account = Account { namespace: "ops".to_owned(), name: "jitsictl".to_owned() };
    let theirs = granted(&[Plane::Control], Some(account));
    assert_eq!(theirs.needed.len(), 2, "somebody else's account is not made");
    assert_eq!(theirs.needed[1].body["subjects"][0]["namespace"], "ops");
    assert_eq!(theirs.optional[0].name, format!("{}-meet-jitsictl-control", both.account.namespace));
}
