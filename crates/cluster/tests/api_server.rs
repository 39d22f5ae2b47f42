//! Against a real API server: what it really answers is what the code relies on. One server for all of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is how a test fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cluster::{
    ApplyMode, Before, Cluster, Created, Deletion, ErrorKind, Kubeconfigs, Limits, Logins, Options, Outcome, Proxies,
    RunKey, SecretMap, Shelf, Tallies,
};
use fleet::{Access, FleetName, Plane};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ResourceQuota, Service};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use manifest::{Kind, Manifest, ObjectRef, Part, SecretRef, UnitId};
use plan::{Generation, Inventory, NamespaceState, Owned, Record};
use serde_json::{Value as Json, json};
use testbed::{Credential, Rights, Rule, Testbed, write_kubeconfig};

const NAMESPACE: &str = "media";

struct World {
    testbed: Testbed,
    cluster: Cluster,
    fleet: FleetName,
    run_key: RunKey,
}

impl World {
    fn raw(&self) -> kube::Client {
        self.testbed.cluster("a").unwrap().client().clone()
    }

    async fn connect(&self, kubeconfig: &Path, context: &str, namespace: &str) -> Cluster {
        connect(kubeconfig, context, namespace, &self.run_key).await
    }

    async fn apply(&self, body: &Json, before: Before) -> Result<cluster::Applied, cluster::ClusterError> {
        let mode = ApplyMode { dry_run: false, before };
        self.cluster.apply(Plane::Data, body, &self.of(body), &mode).await
    }

    async fn fresh(&self, body: &Json) -> cluster::Applied {
        self.apply(body, Before::Absent).await.unwrap()
    }

    fn of(&self, body: &Json) -> ObjectRef {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == body["kind"]).unwrap();
        self.cluster.object(kind, body["metadata"]["name"].as_str().unwrap())
    }
}

async fn connect(kubeconfig: &Path, context: &str, namespace: &str, run_key: &RunKey) -> Cluster {
    cluster::install_crypto_provider();
    let options = Options {
        user_agent: "jitsictl/0.0".into(),
        limits: Limits::default(),
        proxies: Proxies::default(),
        run_key: run_key.clone(),
        tallies: Tallies::default(),
        logins: Logins::default(),
    };
    let access = Access::Context { context: context.into(), kubeconfig: None };
    let cluster = fleet::Cluster { access, namespace: namespace.into(), region: None, uid: None };
    let configs = Kubeconfigs::load(Some(kubeconfig), None, None).unwrap();
    Cluster::connect(&context.parse().unwrap(), &cluster, &configs, &options).await.unwrap()
}

fn object(kind: Kind, name: &str, rest: &Json) -> Json {
    let mut body = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": {
            "jitsictl.dev/fleet": "meet", "jitsictl.dev/plane": "data", "jitsictl.dev/unit": "bridge-eu-0",
        } },
    });
    for (key, value) in rest.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn stateful_set(name: &str, selector: &str) -> Json {
    object(
        Kind::StatefulSet,
        name,
        &json!({ "spec": {
        "replicas": 0,
        "serviceName": name,
        "selector": { "matchLabels": { "app": selector } },
        "template": {
            "metadata": { "labels": { "app": selector } },
            "spec": { "containers": [{ "name": "jvb", "image": "jvb:1" }] },
        },
    } }),
    )
}

fn node_port(name: &str, port: u16) -> Json {
    object(
        Kind::Service,
        name,
        &json!({ "spec": {
        "type": "NodePort",
        "selector": { "app": name },
        "ports": [{ "name": "media", "port": port, "protocol": "UDP", "nodePort": port }],
    } }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_real_api_server_does() {
    let testbed = Testbed::start(&["a"], testbed::Options::default()).await.unwrap();
    let run_key = RunKey::new(&mut rand::rng());
    let cluster = connect(testbed.kubeconfig(), "a", NAMESPACE, &run_key).await;
    let world = World { testbed, cluster, fleet: "meet".parse().unwrap(), run_key };

    the_namespace_comes_when_asked_for(&world).await;
    apply_creates_changes_and_leaves_alone(&world).await;
    people_are_overruled_controllers_are_not_strangers_are_named(&world).await;
    foreign_objects_are_left_alone(&world).await;
    refusals_say_why(&world).await;
    a_look_shows_everything(&world).await;
    records_and_inventories_are_swapped(&world).await;
    passwords_are_made_once(&world).await;
    deletes_and_annotations_hit_only_what_was_meant(&world).await;
    few_rights_are_told_apart_from_absence(&world).await;
    a_program_opens_it(&world).await;
}

async fn the_namespace_comes_when_asked_for(world: &World) {
    let cluster = &world.cluster;
    assert_eq!(cluster.namespace_state().await.unwrap(), NamespaceState::Absent);
    let config = object(Kind::ConfigMap, "early", &json!({}));
    let error = world.apply(&config, Before::Absent).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NamespaceMissing(NAMESPACE.into()));
    assert!(error.hint().unwrap().contains("--create-namespaces"));

    cluster.create_namespace().await.unwrap();
    cluster.create_namespace().await.unwrap();
    let NamespaceState::Present { enforce: None, terminating: false, uid } = cluster.namespace_state().await.unwrap()
    else {
        panic!()
    };
    assert!(!uid.is_empty());
    let pin = cluster.identity().await.unwrap();
    assert_eq!(pin.of, "kube-system");
    assert_eq!(pin.others, [(NAMESPACE.to_owned(), uid)].into());
}

async fn apply_creates_changes_and_leaves_alone(world: &World) {
    let mut config = object(Kind::ConfigMap, "plain", &json!({ "data": { "a": "1" } }));
    let mode = ApplyMode { dry_run: true, before: Before::Absent };
    let dry = world.cluster.apply(Plane::Data, &config, &world.of(&config), &mode).await.unwrap();
    assert_eq!(dry.outcome, Outcome::Created);
    assert_eq!(world.cluster.get(&world.of(&config)).await.unwrap(), None);

    let created = world.fresh(&config).await;
    assert_eq!((created.outcome, &created.body.json()["data"]["a"]), (Outcome::Created, &json!("1")));
    assert!(created.body.json()["metadata"].get("managedFields").is_none());
    let again = world.apply(&config, Before::Seen(created.version.clone())).await.unwrap();
    assert_eq!(again.outcome, Outcome::Unchanged);

    config["data"]["a"] = json!("2");
    let changed = world.apply(&config, Before::Seen(created.version.clone())).await.unwrap();
    assert_eq!((changed.outcome, &changed.uid), (Outcome::Changed, &created.uid));
    let late = world.apply(&config, Before::Exactly(created.version)).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Changed);
    let exact = world.apply(&config, Before::Exactly(changed.version)).await.unwrap();
    assert_eq!(exact.outcome, Outcome::Unchanged);
}

/// Changes a Deployment as this manager, with force.
async fn as_manager(world: &World, manager: &str, body: &Json) {
    let api: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(world.raw(), NAMESPACE);
    let mut body = body.clone();
    body["apiVersion"] = json!("apps/v1");
    body["kind"] = json!("Deployment");
    api.patch("web", &PatchParams::apply(manager).force(), &Patch::Apply(&body)).await.unwrap();
}

async fn people_are_overruled_controllers_are_not_strangers_are_named(world: &World) {
    let web = object(
        Kind::Deployment,
        "web",
        &json!({ "spec": {
        "replicas": 0,
        "selector": { "matchLabels": { "app": "web" } },
        "template": {
            "metadata": { "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
        },
    } }),
    );
    let created = world.fresh(&web).await;

    let image = |image: &str| json!({ "spec": { "template": { "spec": { "containers": [{ "name": "web", "image": image }] } } } });
    as_manager(world, "kubectl-edit", &image("hand:1")).await;
    let applied = world.apply(&web, Before::Seen(created.version)).await.unwrap();
    assert_eq!(applied.forced[0].manager, "kubectl-edit");
    assert_eq!(plan::compare::differences(&web, &applied.body.json()), []);

    let scale = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": { "name": "web", "namespace": NAMESPACE }, "spec": { "replicas": 3 },
    });
    let path = "/apis/apps/v1/namespaces/media/deployments/web/scale?fieldManager=kube-controller-manager";
    let request = http::Request::put(path).header("content-type", "application/json");
    world.raw().request::<Json>(request.body(scale.to_string().into_bytes()).unwrap()).await.unwrap();
    let applied = world.apply(&web, Before::Seen(applied.version)).await.unwrap();
    assert_eq!(applied.yielded[0].to_string(), ".spec.replicas by kube-controller-manager (scale)");
    assert_eq!(applied.body.json()["spec"]["replicas"], 3);

    as_manager(world, "argocd-controller", &image("argo:1")).await;
    let error = world.apply(&web, Before::Seen(applied.version)).await.unwrap_err();
    let ErrorKind::Contested(conflicts) = &error.kind else { panic!("{error}") };
    assert_eq!(conflicts[0].manager, "argocd-controller");
    assert!(error.to_string().contains(r#".spec.template.spec.containers[name="web"].image"#), "{error}");
    // It stays out of the other tests' way.
    world.cluster.delete(&world.of(&web), &created.uid, None).await.unwrap();
}

async fn foreign_objects_are_left_alone(world: &World) {
    let maps: Api<ConfigMap> = Api::namespaced(world.raw(), NAMESPACE);
    let stranger = json!({ "metadata": { "name": "theirs" }, "data": { "b": "1" } });
    let by = PostParams { field_manager: Some("terraform".into()), ..Default::default() };
    maps.create(&by, &serde_json::from_value(stranger).unwrap()).await.unwrap();
    // The names of strangers were listed a moment ago: another connection has not.
    let cluster = world.connect(world.testbed.kubeconfig(), "a", NAMESPACE).await;
    let wanted = object(Kind::ConfigMap, "theirs", &json!({ "data": { "a": "1" } }));
    let mode = ApplyMode { dry_run: false, before: Before::Absent };
    let error = cluster.apply(Plane::Data, &wanted, &world.of(&wanted), &mode).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Foreign { owner: "terraform".into() });
    assert_eq!(maps.get("theirs").await.unwrap().data.unwrap().len(), 1);

    // Ours, but for a label that somebody took away: it comes back.
    let ours = object(Kind::ConfigMap, "tampered", &json!({ "data": { "a": "1" } }));
    let uid = world.fresh(&ours).await.uid;
    let bare = json!({ "metadata": { "labels": { "jitsictl.dev/fleet": null } } });
    maps.patch("tampered", &PatchParams::default(), &Patch::Merge(&bare)).await.unwrap();
    let cluster = world.connect(world.testbed.kubeconfig(), "a", NAMESPACE).await;
    let applied = cluster.apply(Plane::Data, &ours, &world.of(&ours), &mode).await.unwrap();
    assert_eq!((applied.outcome, applied.uid), (Outcome::Changed, uid));
    assert_eq!(applied.body.json()["metadata"]["labels"]["jitsictl.dev/fleet"], "meet");
}

async fn refusals_say_why(world: &World) {
    let bridge = world.fresh(&stateful_set("fixed", "one")).await;
    let error = world.apply(&stateful_set("fixed", "two"), Before::Seen(bridge.version)).await.unwrap_err();
    let ErrorKind::Immutable { fields, .. } = &error.kind else { panic!("{error}") };
    assert_eq!(fields, &["/spec/selector"]);

    let services: Api<Service> = Api::namespaced(world.raw(), "default");
    let holder = json!({ "metadata": { "name": "holder" }, "spec": {
        "type": "NodePort", "ports": [{ "port": 1, "protocol": "UDP", "nodePort": 30123 }],
    } });
    services.create(&PostParams::default(), &serde_json::from_value(holder).unwrap()).await.unwrap();
    let error = world.apply(&node_port("taken", 30123), Before::Absent).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NodePortTaken { port: Some(30123), by: Some("default/holder".into()) });

    let typo = object(Kind::ConfigMap, "typo", &json!({ "dta": { "a": "1" } }));
    let error = world.apply(&typo, Before::Absent).await.unwrap_err();
    assert!(matches!(&error.kind, ErrorKind::Invalid(why) if why.contains("dta")), "{error:?}");

    let secret = object(Kind::Secret, "odd", &json!({ "type": "kubernetes.io/tls", "data": { "sesame": "c2VzYW1l" } }));
    let error = world.apply(&secret, Before::Absent).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Invalid(_)) && !error.to_string().contains("sesame"), "{error}");

    let route = object(Kind::HttpRoute, "route", &json!({}));
    let error = world.apply(&route, Before::Seen("1".into())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::KindMissing(Kind::HttpRoute));

    in_a_narrow_namespace(world).await;
}

async fn in_a_narrow_namespace(world: &World) {
    let narrow = json!({ "metadata": {
        "name": "narrow",
        "labels": { "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted" },
    } });
    let namespaces: Api<Namespace> = Api::all(world.raw());
    namespaces.create(&PostParams::default(), &serde_json::from_value(narrow).unwrap()).await.unwrap();
    let quotas: Api<ResourceQuota> = Api::namespaced(world.raw(), "narrow");
    let quota = json!({ "metadata": { "name": "tight" }, "spec": { "hard": { "services": "0" } } });
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();

    let cluster = world.connect(world.testbed.kubeconfig(), "a", "narrow").await;
    let mode = ApplyMode { dry_run: false, before: Before::Absent };
    let moved = |mut body: Json| {
        body["metadata"]["namespace"] = json!("narrow");
        body
    };
    let bridge = moved(stateful_set("rude", "rude"));
    let applied = cluster.apply(Plane::Data, &bridge, &cluster.object(Kind::StatefulSet, "rude"), &mode).await.unwrap();
    assert!(applied.warnings.iter().any(|warning| warning.contains("violate PodSecurity")), "{:?}", applied.warnings);
    let NamespaceState::Present { enforce, .. } = cluster.namespace_state().await.unwrap() else { panic!() };
    assert_eq!(enforce.as_deref(), Some("restricted"));

    // A server holds to a quota once it has heard of it, and to one that nobody has counted yet by refusing everything.
    let service = moved(node_port("over", 30124));
    let over = cluster.object(Kind::Service, "over");
    let rehearsed = ApplyMode { dry_run: true, before: Before::Absent };
    let begun = std::time::Instant::now();
    while cluster.apply(Plane::Data, &service, &over, &rehearsed).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the server never hears of the quota");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let error = cluster.apply(Plane::Data, &service, &over, &mode).await.unwrap_err();
    assert!(matches!(&error.kind, ErrorKind::Quota(_)), "{error:?}");
}

async fn a_look_shows_everything(world: &World) {
    let pods: Api<Pod> = Api::namespaced(world.raw(), NAMESPACE);
    let pod = json!({
        "metadata": { "name": "meet-jvb-eu-0-0", "labels": { "jitsictl.dev/fleet": "meet" } },
        "spec": { "containers": [{ "name": "jvb", "image": "jvb:1", "env": [
            { "name": "A", "valueFrom": { "secretKeyRef": { "name": "meet-passwords-copy", "key": "A" } } },
        ] }] },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let secret = object(Kind::Secret, "meet-passwords-copy", &json!({ "data": { "A": "c2VzYW1l" } }));
    world.fresh(&secret).await;

    let look = world.cluster.look(&world.fleet).await.unwrap();
    let view = &look.view;
    assert!(view.missing_kinds.contains(&Kind::HttpRoute) && view.missing_kinds.contains(&Kind::PodMonitor));
    assert!(view.unreadable_kinds.is_empty() && view.nodes.is_some());
    assert!(matches!(view.namespace, NamespaceState::Present { .. }));
    let plain = &view.objects[&world.cluster.object(Kind::ConfigMap, "plain")];
    assert_eq!(
        (plain.body.json()["kind"].as_str(), plain.managers.contains("jitsictl/data")),
        (Some("ConfigMap"), true)
    );
    assert!(plain.body.json()["metadata"].get("managedFields").is_none());
    assert!(!view.objects.keys().any(|object| object.name == "theirs"));
    let secret = &view.objects[&world.cluster.object(Kind::Secret, "meet-passwords-copy")];
    assert_eq!(secret.body.json()["data"]["A"], json!(world.run_key.hash(b"sesame")));
    let pod = &view.pods["meet-jvb-eu-0-0"];
    assert!(pod.references.contains(&(Kind::Secret, "meet-passwords-copy".into())));
}

async fn records_and_inventories_are_swapped(world: &World) {
    let (cluster, fleet) = (&world.cluster, &world.fleet);
    assert_eq!(cluster.read_record(fleet, Plane::Data).await.unwrap(), None);
    let first = Record { generation: Generation(1), ..Record::default() };
    let version = cluster.write_record(fleet, Plane::Data, &first, None).await.unwrap();
    let twice = cluster.write_record(fleet, Plane::Data, &first, None).await.unwrap_err();
    assert_eq!(twice.kind, ErrorKind::Changed);
    let second = Record { generation: Generation(2), ..Record::default() };
    let newer = cluster.write_record(fleet, Plane::Data, &second, Some(&version)).await.unwrap();
    let stale = cluster.write_record(fleet, Plane::Data, &first, Some(&version)).await.unwrap_err();
    assert_eq!(stale.kind, ErrorKind::Changed);
    assert_eq!(cluster.read_record(fleet, Plane::Data).await.unwrap(), Some((second.clone(), newer.clone())));

    let unit: UnitId = "bridge eu/0".parse().unwrap();
    let owned = Owned { kind: Kind::ConfigMap, name: "plain".into() };
    let units = BTreeMap::from([(unit, BTreeMap::from([(owned, Some("uid".into()))]))]);
    let wanted = Inventory { generation: Generation(2), units };
    let shelf = cluster.write_inventory(fleet, Plane::Data, &Shelf::default(), &wanted).await.unwrap();
    let clash = cluster.write_inventory(fleet, Plane::Data, &Shelf::default(), &wanted).await.unwrap_err();
    assert_eq!(clash.kind, ErrorKind::Changed);
    let older = Inventory { generation: Generation(1), ..Inventory::default() };
    let fenced = cluster.write_inventory(fleet, Plane::Data, &shelf, &older).await.unwrap_err();
    assert_eq!(fenced.kind, ErrorKind::Changed);

    let look = cluster.look(fleet).await.unwrap();
    assert_eq!(look.view.inventories[&Plane::Data], wanted);
    assert_eq!(look.shelves[&Plane::Data], shelf);
    assert_eq!(look.records[&Plane::Data], (second, newer));
    assert!(
        !look.view.objects.keys().any(|object| object.name.starts_with("meet-inventory") || object.name == "meet-data")
    );
}

/// One that may cross threads.
fn rng() -> rand::rngs::StdRng {
    rand::make_rng()
}

async fn passwords_are_made_once(world: &World) {
    let cluster = &world.cluster;
    let of = |keys: &[&str]| {
        let body = object(Kind::Secret, "meet-passwords", &json!({}));
        let secrets = keys.iter().map(|key| ((*key).to_owned(), SecretRef::Made(key.parse().unwrap()))).collect();
        Manifest { object: world.of(&body), body: manifest::Body::new(&body), secrets, part: Part::Carry }
    };
    let one = of(&["JVB_AUTH_PASSWORD"]);
    let (mut here, mut there) = (rng(), rng());
    let none = SecretMap::default();
    let (a, b) = futures::join!(
        cluster.ensure_made(Plane::Control, &one, &none, &mut here),
        cluster.ensure_made(Plane::Control, &one, &none, &mut there)
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.data, b.data, "of two at once, one wins");
    let more = cluster
        .ensure_made(
            Plane::Control,
            &of(&["JVB_AUTH_PASSWORD", "JICOFO_AUTH_PASSWORD"]),
            &SecretMap::default(),
            &mut rng(),
        )
        .await;
    let more = more.unwrap();
    assert_eq!(more.data["JVB_AUTH_PASSWORD"], a.data["JVB_AUTH_PASSWORD"]);
    assert_eq!(more.data["JICOFO_AUTH_PASSWORD"].expose().len(), 32);

    // Applying the labels over what was made changes no value and contests nothing.
    let mut map = SecretMap::default();
    let manifest = of(&["JVB_AUTH_PASSWORD", "JICOFO_AUTH_PASSWORD"]);
    for (key, reference) in &manifest.secrets {
        map.insert(reference.clone(), more.data[key].clone());
    }
    let body = map.fill(&manifest).unwrap();
    let mode = ApplyMode { dry_run: false, before: Before::Seen(more.version) };
    cluster.apply(Plane::Control, &body, &manifest.object, &mode).await.unwrap();
    assert_eq!(cluster.secret("meet-passwords").await.unwrap().unwrap().data, more.data);
    assert!(cluster.secret("nothing").await.unwrap().is_none());

    let Created::AlreadyExists(there) = cluster.create(Plane::Control, &body, &manifest.object).await.unwrap() else {
        panic!()
    };
    assert_eq!(there.uid, more.uid);
}

async fn deletes_and_annotations_hit_only_what_was_meant(world: &World) {
    let cluster = &world.cluster;
    let pod = cluster.pods(&world.fleet).await.unwrap().remove(0);
    let drain = r#"{"reason":"replace","since":"2026-01-01T00:00:00Z"}"#;
    let other = cluster.annotate_pod(Plane::Data, &pod.name, "another-uid", "jitsictl.dev/drain", Some(drain)).await;
    assert_eq!(other.unwrap_err().kind, ErrorKind::Changed);
    cluster.annotate_pod(Plane::Data, &pod.name, &pod.uid, "jitsictl.dev/drain", Some(drain)).await.unwrap();
    assert!(cluster.pods(&world.fleet).await.unwrap()[0].drain.is_some());
    cluster.annotate_pod(Plane::Data, &pod.name, &pod.uid, "jitsictl.dev/drain", None).await.unwrap();
    assert!(cluster.pods(&world.fleet).await.unwrap()[0].drain.is_none());
    assert_eq!(cluster.delete_pod(&pod.name, "another-uid", None).await.unwrap_err().kind, ErrorKind::Changed);
    assert_eq!(cluster.delete_pod(&pod.name, &pod.uid, None).await.unwrap(), Deletion::Begun);
    let gone = cluster.annotate_pod(Plane::Data, "nobody", &pod.uid, "a", None).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound);

    let plain = cluster.object(Kind::ConfigMap, "plain");
    let live = cluster.get(&plain).await.unwrap().unwrap();
    assert_eq!(cluster.delete(&plain, "another-uid", None).await.unwrap_err().kind, ErrorKind::Changed);
    assert_eq!(cluster.delete(&plain, &live.uid, Some("1")).await.unwrap_err().kind, ErrorKind::Changed);
    assert_eq!(cluster.delete(&plain, &live.uid, Some(&live.version)).await.unwrap(), Deletion::Begun);
    assert_eq!(cluster.delete(&plain, &live.uid, None).await.unwrap(), Deletion::AlreadyGone);
}

async fn few_rights_are_told_apart_from_absence(world: &World) {
    let bed = world.testbed.cluster("a").unwrap();
    let rule = |resources: &[&str], verbs: &[&str]| Rule {
        api_groups: vec!["*".into()],
        resources: resources.iter().map(|text| (*text).to_owned()).collect(),
        resource_names: vec![],
        verbs: verbs.iter().map(|text| (*text).to_owned()).collect(),
    };
    let rules = vec![rule(
        &["configmaps", "services", "pods", "namespaces", "statefulsets", "deployments"],
        &["get", "list", "patch", "create"],
    )];
    let user = bed.user("narrow", &Rights::Namespaced(NAMESPACE.into(), rules)).await.unwrap();
    let path = world.testbed.dir().join("narrow");
    write_kubeconfig(&path, &[bed.entry("narrow", user), bed.entry("late", Credential::Expired)]).unwrap();

    let late = world.connect(&path, "late", NAMESPACE).await.look(&world.fleet).await.unwrap_err();
    assert!(late.kind == ErrorKind::Unauthorized && late.is_unreachable(), "{late}");

    let cluster = world.connect(&path, "narrow", NAMESPACE).await;
    assert_eq!(cluster.identity().await.unwrap().of, NAMESPACE);
    let elsewhere = world.connect(&path, "narrow", "nowhere").await.identity().await.unwrap_err();
    assert!(matches!(elsewhere.kind, ErrorKind::Forbidden { .. }), "{elsewhere}");
    let look = cluster.look(&world.fleet).await.unwrap();
    assert!(look.view.nodes.is_none() && look.view.unreadable_kinds.contains_key(&Kind::Secret));
    assert!(look.records.contains_key(&Plane::Data));
    let error = cluster.secret("meet-passwords").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden { verb: "get".into(), resource: "secrets".into() });

    let mode = ApplyMode { dry_run: false, before: Before::Absent };
    let service = node_port("taken", 30123);
    let error = cluster.apply(Plane::Data, &service, &cluster.object(Kind::Service, "taken"), &mode).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NodePortTaken { port: Some(30123), by: None }, "without rights, no holder");
    let error = cluster.port_forward("nobody", 8888).await.unwrap_err();
    assert!(
        matches!(&error.kind, ErrorKind::Forbidden { resource, .. } if resource == "pods/portforward"),
        "{error:?}"
    );
    let error = world.cluster.port_forward("nobody", 8888).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

async fn a_program_opens_it(world: &World) {
    let bed = world.testbed.cluster("a").unwrap();
    let Credential::Token(token) = bed.user("programmed", &Rights::Everything).await.unwrap() else { panic!() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    write_kubeconfig(&path, &[bed.entry("a", Credential::Expired)]).unwrap();
    let mut config: Json = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let answer = json!({ "status": { "token": token } }).to_string();
    config["users"][0]["user"] = json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "printf", "args": ["%s", answer],
    } });
    std::fs::write(&path, config.to_string()).unwrap();
    let cluster = world.connect(&path, "a", NAMESPACE).await;
    assert_eq!(cluster.identity().await.unwrap().of, "kube-system");
}
