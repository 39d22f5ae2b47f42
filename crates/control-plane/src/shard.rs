//! What a shard's two slots share: the address under which other clusters reach them, and the disruption budget.

use fleet::{Component, Fleet, ShardName, Slot, XmppExpose};
use manifest::{Allocations, Kind, Metadata, Names, Part, Unit, UnitBuilder, UnitId, labels};
use serde_json::{Value as Json, json};

use crate::objects::port;
use crate::prosody::{XMPP_PORT, xmpp_port_name};

/// Renders the XMPP Service and the disruption budget.
pub(crate) fn render(fleet: &Fleet, allocations: &Allocations, shard: &ShardName) -> Unit {
    let cluster = &fleet.control.cluster;
    let mut unit = UnitBuilder::new(fleet, UnitId::Shard(shard.clone()), cluster);
    xmpp_service(fleet, allocations, shard, &mut unit);
    disruption_budget(fleet, shard, &mut unit);
    unit.finish()
}

/// One Service, a port per slot: each is named after the container port that only that slot's pod has. Nothing says
/// `externalTrafficPolicy: Local`: the slots may run on two nodes, and a load balancer checks a node, not a port.
fn xmpp_service(fleet: &Fleet, allocations: &Allocations, shard: &ShardName, unit: &mut UnitBuilder) {
    let xmpp = &fleet.control.xmpp;
    let ports: Vec<Json> = Slot::ALL
        .into_iter()
        .map(|slot| {
            let name = xmpp_port_name(slot);
            let mut port = port(&name, XMPP_PORT + slot.offset(), &name);
            if let Some(number) = allocations.xmpp_node_port(xmpp, shard, slot) {
                port["nodePort"] = number.into();
            }
            port
        })
        .collect();
    let selector = labels::select_shard(&fleet.name, shard, Component::Prosody);
    let mut spec = json!({
        "selector": selector,
        "ports": ports,
        // A prosody that is slow to say that it is well keeps its bridges.
        "publishNotReadyAddresses": true,
    });
    match xmpp {
        XmppExpose::LoadBalancer => {
            spec["type"] = "LoadBalancer".into();
            let ranges = &fleet.control.xmpp_source_ranges;
            if !ranges.is_empty() {
                spec["loadBalancerSourceRanges"] = ranges.clone().into();
            }
        }
        XmppExpose::NodePort { .. } => spec["type"] = "NodePort".into(),
        XmppExpose::ClusterIp | XmppExpose::External(_) => {}
    }
    let metadata = Metadata::of(Component::Prosody).annotated(fleet.control.xmpp_annotations.clone());
    let name = Names(&fleet.name).shard_xmpp(shard);
    unit.add(Kind::Service, name, Part::Carry, metadata, json!({ "spec": spec }));
}

/// No eviction at all while the pods are well: every call of the shard would go with them. Whoever empties a node
/// moves the shard first (a rollout into the other slot), and the budget leaves with the old slot's pods.
fn disruption_budget(fleet: &Fleet, shard: &ShardName, unit: &mut UnitBuilder) {
    let content = json!({ "spec": {
        "maxUnavailable": 0,
        "selector": {
            "matchLabels": { labels::FLEET: fleet.name.as_str(), labels::SHARD: shard.as_str() },
            "matchExpressions": [{
                "key": labels::NAME,
                "operator": "In",
                "values": [Component::Jicofo.as_str(), Component::Prosody.as_str()],
            }],
        },
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    } });
    let name = Names(&fleet.name).shard(shard);
    unit.add(Kind::PodDisruptionBudget, name, Part::Carry, Metadata::default(), content);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use manifest::testing;

    use super::*;
    use crate::tests::{object, rendered};

    #[test]
    fn each_slot_has_a_port_of_its_own() {
        let units = rendered(&testing::split());
        let spec = &object(&units, Kind::Service, "meet-alpha-xmpp")["spec"];
        assert_eq!(
            spec["ports"],
            json!([
                { "name": "xmpp-a", "port": 5222, "protocol": "TCP", "targetPort": "xmpp-a" },
                { "name": "xmpp-b", "port": 5223, "protocol": "TCP", "targetPort": "xmpp-b" },
            ])
        );
        assert!(spec["selector"].get(labels::SLOT).is_none());
    }

    #[test]
    fn it_is_exposed_as_the_file_says() {
        let mut fleet = testing::fleet(testing::ROOTLESS, &["alpha", "beta"]);
        fleet.control.xmpp_source_ranges = vec!["198.51.100.0/24".into()];
        fleet.control.xmpp_annotations = BTreeMap::from([("internal".into(), "true".into())]);
        let units = rendered(&fleet);
        let service = object(&units, Kind::Service, "meet-beta-xmpp");
        assert_eq!(service["spec"]["type"], "LoadBalancer");
        assert_eq!(service["spec"]["loadBalancerSourceRanges"], json!(["198.51.100.0/24"]));
        assert_eq!(service["metadata"]["annotations"]["internal"], "true");

        fleet.control.xmpp = XmppExpose::NodePort { base: 30222, addresses: Vec::new() };
        let units = rendered(&fleet);
        let spec = &object(&units, Kind::Service, "meet-beta-xmpp")["spec"];
        assert_eq!((&spec["ports"][0]["nodePort"], &spec["ports"][1]["nodePort"]), (&json!(30224), &json!(30225)));
        assert!(spec.get("loadBalancerSourceRanges").is_none());

        for expose in [XmppExpose::ClusterIp, XmppExpose::External(BTreeMap::new())] {
            fleet.control.xmpp = expose;
            let units = rendered(&fleet);
            assert!(object(&units, Kind::Service, "meet-beta-xmpp")["spec"].get("type").is_none());
        }
    }
}
