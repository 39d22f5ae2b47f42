//! What a real API server says about everything that is rendered.

#![allow(clippy::unwrap_used, reason = "a failed expectation is how a test fails")]

use std::collections::BTreeMap;

use fleet::{Expose, Fleet, Ingress};
use manifest::{Allocations, testing};
use serde_json::{Value, json};
use testbed::{Options, Sources, Testbed, Verdict};

#[tokio::test(flavor = "multi_thread")]
async fn every_object_is_taken() {
    let testbed = Testbed::start(&["hq"], Options::default()).await.unwrap();
    let hq = testbed.cluster("hq").unwrap();
    hq.install_definitions(&Sources::of_this_machine()).await.unwrap();
    let restricted = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": "meet", "labels": {
            "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted",
        } },
    });
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(hq.client().clone());
    namespaces
        .patch("meet", &kube::api::PatchParams::apply("test"), &kube::api::Patch::Apply(restricted))
        .await
        .unwrap();

    let mut open = testing::split();
    open.control.expose = Expose::Ingress(Ingress {
        class: Some("public".into()),
        tls_secret: Some("certificate".into()),
        annotations: BTreeMap::new(),
    });
    let mut served = testing::split();
    served.control.xmpp_source_ranges = vec!["198.51.100.0/24".into()];
    served.control.expose = Expose::Service { type_: "LoadBalancer".into(), annotations: BTreeMap::new() };
    for fleet in [testing::rich(), open, served] {
        let verdicts = hq.dry_run(&bodies(&fleet)).await.unwrap();
        let complaints: Vec<&Verdict> = verdicts.iter().filter(|verdict| !verdict.is_clean()).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    // The older images run as root: they are taken where Pod Security allows that.
    let mut legacy = testing::legacy();
    legacy.clusters.get_mut("hq").unwrap().namespace = "old".into();
    let verdicts = hq.dry_run(&bodies(&legacy)).await.unwrap();
    assert!(verdicts.iter().all(Verdict::is_clean), "{verdicts:#?}");
}

fn bodies(fleet: &Fleet) -> Vec<Value> {
    let units = control_plane::render(fleet, &Allocations::default().extended(fleet));
    units.into_iter().flat_map(|unit| unit.manifests).map(|manifest| manifest.body.json()).collect()
}
