use std::path::Path;

use super::*;
use crate::{Expose, Fleet, Replicas, XmppExpose};

/// The fleet, its text and the keys that did not come along, each with its reason.
fn import(text: &str) -> (Fleet, String, Vec<(String, String)>) {
    let imported = values_yaml("values.yaml", text).unwrap_or_else(|report| panic!("{report}"));
    assert!(!format!("{imported:?}").contains("hunter2"));
    let loaded = crate::load::load_text("fleet.yaml", &imported.fleet_yaml, Path::new("."), &BTreeMap::new());
    let fleet = loaded.unwrap_or_else(|report| panic!("{report}\n{}", imported.fleet_yaml)).fleet;
    (fleet, imported.fleet_yaml, imported.dropped)
}

fn keys(dropped: &[(String, String)]) -> Vec<&str> {
    dropped.iter().map(|(key, _)| key.as_str()).collect()
}

fn why<'a>(dropped: &'a [(String, String)], key: &str) -> &'a str {
    dropped.iter().find(|(dropped, _)| dropped == key).map_or("", |(_, why)| why.as_str())
}

#[test]
fn values_become_a_fleet() {
    let (fleet, _, dropped) = import(
        "\
global:
  env: { PUBLIC_URL: https://m.example.org, ENABLE_LOBBY: 1, JVB_WS_DOMAIN: w }
  secretEnvs: { JVB_AUTH_PASSWORD: hunter2, ODD_ONE: hunter2, JWT_APP_SECRET: }
  shards:
    shard-0: { jvbBasePort: 30000 }
    shard-1: { jvbBasePort: 31000, xmppServer: x }
prosody:
  extraFiles: [{ name: a.lua, mountPath: /prosody-plugins-custom/a.lua, mode: 0400, content: x }]
jvb: { autoscaling: { enabled: true, minReplicas: 1, maxReplicas: 10 }, image: { tag: stable-6173 } }
",
    );
    assert_eq!(fleet.control.shards.len(), 2);
    assert_eq!(fleet.data.pools[1].bridges.base_port, 31_000);
    assert_eq!(fleet.data.pools[1].bridges.replicas, Replicas::Range { min: 1, max: 10, idle: 0 });
    assert_eq!(fleet.control.shards["shard-0"].prosody.workload.files[0].mode, 0o400);
    let expected = [
        "jvb.image.tag",
        "JVB_WS_DOMAIN",
        "JVB_AUTH_PASSWORD",
        "the value of ODD_ONE",
        "global.shards.shard-1.xmppServer",
    ];
    assert_eq!(keys(&dropped), expected);
}

#[test]
fn what_the_chart_says_by_default_is_no_news() {
    let (fleet, text, dropped) = import(
        "\
nameOverride: ''
global:
  xmpp: { domain: meet.jitsi, authDomain: }
  env: { PUBLIC_URL: https://m.example.org }
  shards: { shard-0: { xmppServer: , jvbBasePort: 30000, prosodyNodePorts: { xmpp-c2s: } } }
jicofo:
  enabled: true
  image: { repository: jitsi/jicofo, pullPolicy: IfNotPresent, tag: '' }
  imagePullSecrets: []
  resources: {}
  allowedEnv: [AUTH_TYPE]
prosody:
  service: { type: ClusterIP, annotations: {}, ports: { bosh-insecure: 5280, xmpp-c2s: 5222, xmpp-component: 5347 } }
  extraFiles: []
web:
  service: { type: ClusterIP, port: 80 }
  ingress: { enabled: false, hosts: [{ host: a.local, paths: [{ path: / }] }], tls: [] }
haproxy:
  image: { repository: haproxy, tag: '' }
  service: { type: ClusterIP, annotations: {}, port: 80 }
  ingress: { enabled: false, className: '', hosts: [{ host: a.local }] }
jvb:
  replicaCount: 2
  udp: { service: { enabled: true, annotations: {} } }
  websocket:
    service: { enabled: true, type: ClusterIP, ports: { http: 9090 } }
    ingress: { enabled: false, hosts: [ws.local] }
  autoscaling: { enabled: false, maxReplicas: 10, targetCPUUtilizationPercentage: 80 }
  terminationGracePeriodSeconds: 3600
  monitoring: { enabled: false, image: { repository: x, tag: '1' } }
",
    );
    assert_eq!(dropped, []);
    assert_eq!(fleet.data.pools[0].bridges.replicas, Replicas::Fixed(2));
    assert_eq!(fleet.data.pools[0].bridges.grace.as_secs(), 3600);
    assert!(text.contains("to run beside it, move base_port"), "{text}");
}

#[test]
fn replicas_services_images_and_ingresses_come_along() {
    let (fleet, text, dropped) = import(
        "\
global: { env: { PUBLIC_URL: https://m.example.org }, clusterDomain: k8s.local }
web: { replicaCount: 3, image: { repository: registry.example.org/jitsi/web, pullPolicy: Always } }
jicofo: { replicaCount: 2, image: { repository: example.org/focus, tag: mine }, imagePullSecrets: [{ name: pull }] }
haproxy:
  replicaCount: 4
  image: { tag: 2.8-alpine }
  ingress:
    enabled: true
    className: nginx
    annotations: { a/b: c }
    hosts: [{ host: m.example.org, paths: [{ path: / }] }, { host: other.example.org }]
    tls: [{ secretName: one, hosts: [m.example.org] }, { secretName: two }]
prosody: { service: { type: LoadBalancer, annotations: { internal: yes } } }
",
    );
    let control = &fleet.control;
    assert_eq!((control.shards["alpha"].web.replicas, control.haproxy.replicas), (3, 4));
    assert_eq!(fleet.cluster_domain, "k8s.local");
    assert_eq!(fleet.pull_secrets, ["pull"]);
    assert!(text.contains("pull_policy: Always"), "{text}");
    let Expose::Ingress(ingress) = &control.expose else { panic!("{:?}", control.expose) };
    assert_eq!((ingress.class.as_deref(), ingress.tls_secret.as_deref()), (Some("nginx"), Some("one")));
    assert_eq!(control.xmpp, XmppExpose::LoadBalancer);
    assert_eq!(control.xmpp_annotations["internal"], "yes");
    let images = &control.shards["alpha"];
    assert!(images.web.workload.image.reference.starts_with("registry.example.org/jitsi/web:stable-"));
    assert_eq!(images.jicofo.image.reference, "example.org/focus:mine");
    assert_eq!(control.haproxy.workload.image.reference, "docker.io/library/haproxy:2.8-alpine");
    let expected = ["haproxy.ingress.hosts.1.host", "haproxy.ingress.tls.1.secretName", "jicofo.replicaCount"];
    let mut told = keys(&dropped);
    told.sort_unstable();
    assert_eq!(told, expected);

    let (fleet, _, dropped) =
        import("haproxy: { service: { type: NodePort, nodePort: 32080, annotations: { a: b } } }\n");
    assert!(matches!(&fleet.control.expose, Expose::Service { type_, .. } if type_ == "NodePort"));
    assert_eq!(keys(&dropped), ["haproxy.service.nodePort"]);

    let ports = "global: { shards: { a: { prosodyNodePorts: { xmpp-c2s: 30522 } } } }\nprosody: { service: { type: NodePort } }\n";
    let (fleet, text, dropped) = import(ports);
    assert!(matches!(fleet.control.xmpp, XmppExpose::NodePort { base: 30_522, .. }));
    assert!(text.contains("move base_port (and node_port)") && dropped.is_empty());
}

#[test]
fn whatever_is_not_taken_over_is_named() {
    let (_, _, dropped) = import(
        "\
nameOverride: other
coturn: { enabled: true, hosts: [a, b] }
jibri: { replicaCount: 2, persistence: { size: 1Gi } }
jicofo: { enabled: false, securityContext: { runAsUser: 5 } }
prosody: { extraFiles: [{ name: a, mountPath: /a }, { mountPath: /b, content: x, subPath: y }] }
web: { service: { type: NodePort }, ingress: { enabled: true, hosts: [{ host: meet.example.org }] } }
haproxy: { image: { tag: '2.4' }, service: { type: LoadBalancer } }
jvb: { enabled: false, monitoring: { enabled: true, image: { tag: 1 } }, websocket: { ingress: { enabled: true } } }
",
    );
    assert_eq!(
        keys(&dropped),
        [
            "jvb.websocket",
            "prosody.extraFiles.0",
            "haproxy.image.tag",
            "haproxy.service.type",
            "nameOverride",
            "coturn.enabled",
            "coturn.hosts",
            "jibri.replicaCount",
            "jibri.persistence.size",
            "jicofo.enabled",
            "jicofo.securityContext.runAsUser",
            "prosody.extraFiles.1.subPath",
            "web.service.type",
            "jvb.enabled",
            "jvb.monitoring.image.tag",
        ]
    );
    assert_eq!(why(&dropped, "haproxy.image.tag"), "the configuration is for haproxy 2.6 and later, this is 2.4");
    assert!(why(&dropped, "jibri.persistence.size").contains("recorders"));
}

#[test]
fn an_older_release_keeps_what_its_images_read() {
    let (fleet, text, dropped) = import(
        "\
global:
  env: { PUBLIC_URL: https://m.example.org, JVB_WS_DOMAIN: ws.example.org, ENABLE_COLIBRI_WEBSOCKET: 1, ENABLE_SCTP: 0 }
jvb:
  image: { tag: stable-10978 }
  websocket: { ingress: { enabled: true, className: nginx, hosts: [ws.example.org] } }
web: { image: { tag: stable-10978-1 } }
",
    );
    assert!(text.contains("release: stable-10978\n"), "{text}");
    let bridges = &fleet.data.pools[0].bridges;
    assert_eq!((bridges.workload.image.era, bridges.workload.image.release.as_str()), (Era::Legacy, "stable-10978"));
    assert_eq!(bridges.websocket.as_ref().map(|websocket| websocket.host.as_str()), Some("ws.example.org"));
    let web = &fleet.control.shards["alpha"].web.workload;
    assert_eq!(web.image.release.as_str(), "stable-10978-1");
    assert!(web.env.contains_key("ENABLE_COLIBRI_WEBSOCKET") && text.contains("ENABLE_SCTP"));
    assert_eq!(keys(&dropped), ["jvb.websocket.ingress.className"]);
}

#[test]
fn another_layout_is_told_where_it_differs() {
    let told = |text: &str| -> Vec<String> {
        let report = values_yaml("values.yaml", text).unwrap_err();
        assert!(!report.render(false).contains("hunter2"), "{report}");
        report.problems.into_iter().map(|problem| problem.message).collect()
    };
    assert_eq!(
        told("global: { shards: [a], env: foo }\njvb: 7\n"),
        [
            "`global.shards` is a list, wanted: a map",
            "`global.env` is a single value, wanted: a map",
            "`jvb` is a single value, wanted: a map",
        ]
    );
    assert_eq!(told("global: { secretEnvs: [hunter2] }\n"), ["`global.secretEnvs` is a list, wanted: a map"]);
    assert_eq!(
        told("global: { shards: { a: { jvbBasePort: many } } }\n"),
        ["`global.shards.a.jvbBasePort` is a single value, wanted: a whole number that fits"]
    );
    assert_eq!(told("a: [\n").len(), 1);
    assert_eq!(keys(&import("shards: [a]\n").2), ["shards"]);
}
