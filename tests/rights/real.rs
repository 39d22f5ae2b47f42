//! On real API servers: the program with a kubeconfig from `jitsictl credentials`, from the first apply to the end.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use kube::{
    Client,
    api::{Patch, PatchParams},
};
use sandbox::{ClusterAccess, Door, World};
use serde_json::{Value as Json, json};
use testbed::{LOAD_BALANCERS, Options, Testbed};

use crate::authorizer::HEARS_WITHIN;
use crate::binary;

const FLEET: &str = "examples/split-cluster/fleet.yaml";
const NAMESPACE: &str = "split-cluster";
/// Context and name of each cluster.
const CLUSTERS: [(&str, &str); 2] = [("hq", "hq"), ("fra", "frankfurt")];

struct Real {
    testbed: Testbed,
    world: World,
    folder: tempfile::TempDir,
    jitsictl: PathBuf,
}

/// A right that an account has no more.
struct Taken {
    context: &'static str,
    /// Of the role.
    path: String,
    /// As they were.
    rules: Json,
    /// Whose right to what it is.
    access: Json,
}

impl Real {
    async fn start() -> Self {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
        let jitsictl = binary::jitsictl(workspace);
        let testbed = Testbed::start(&CLUSTERS.map(|(context, _)| context), Options::default()).await.unwrap();
        let access = testbed.clusters().iter().zip(LOAD_BALANCERS).map(|(cluster, load_balancer_base)| ClusterAccess {
            name: cluster.name().to_owned(),
            door: Door::Network(Box::new(cluster.config().clone())),
            load_balancer_base,
        });
        let world = World::start(access.collect()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::copy(workspace.join(FLEET), folder.path().join("fleet.yaml")).unwrap();
        let real = Self { testbed, world, folder, jitsictl };
        for (context, _) in CLUSTERS {
            let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
            patch(real.client(context), &format!("/api/v1/namespaces/{NAMESPACE}"), &Patch::Apply(&body)).await;
        }
        real
    }

    fn client(&self, context: &str) -> &Client {
        self.testbed.cluster(context).unwrap().client()
    }

    /// Runs the program; its exit code and all that it said.
    async fn run(&self, kubeconfig: &str, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(&self.jitsictl);
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("KUBECONFIG", kubeconfig);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    /// With all rights.
    async fn admin(&self, arguments: &[&str]) -> (i32, String) {
        self.run(&self.testbed.kubeconfig().display().to_string(), arguments).await
    }

    async fn expect(&self, kubeconfig: &str, arguments: &[&str], wanted: i32) -> String {
        let (code, said) = self.run(kubeconfig, arguments).await;
        assert_eq!(code, wanted, "jitsictl {}\n{said}", arguments.join(" "));
        said
    }

    /// A kubeconfig per cluster, as a list; all contexts of the accounts of these planes.
    async fn credentials(&self, plane: Option<&str>) -> String {
        let mut list = Vec::new();
        for (_, cluster) in CLUSTERS {
            if plane == Some("control") && cluster != "hq" {
                continue;
            }
            let file = format!("{cluster}-{}.kubeconfig", plane.unwrap_or("both"));
            let mut arguments = vec!["credentials", "--cluster", cluster, "--duration", "1h", "--out", &file];
            if let Some(plane) = plane {
                arguments.extend(["--plane", plane]);
            }
            let (code, said) = self.admin(&arguments).await;
            assert_eq!(code, 0, "{said}");
            assert!(said.contains("expires at 20"), "{said}");
            let path = self.folder.path().join(&file);
            let (text, mode) = (fs::read_to_string(&path).unwrap(), fs::metadata(&path).unwrap().permissions().mode());
            assert_eq!(mode & 0o777, 0o600);
            let token = text.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap();
            assert!(!said.contains(token), "a token is told");
            assert_eq!(self.admin(&arguments).await.0, 2, "a file that exists is kept");
            list.push(path.display().to_string());
        }
        list.join(":")
    }

    /// Takes a verb on a resource from the role of an account; what gives it back is returned.
    async fn without(&self, context: &'static str, role: &str, resource: &str, verb: &str) -> Taken {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/{role}");
        let request = kube::core::Request::new(path.trim_end_matches(&format!("/{role}")).to_owned());
        let before: Json =
            self.client(context).request(request.get(role, &kube::api::GetParams::default()).unwrap()).await.unwrap();
        let (mut rules, mut access) = (Vec::new(), None);
        for rule in before["rules"].as_array().unwrap() {
            for one in rule["resources"].as_array().unwrap() {
                let mut rule = rule.clone();
                rule["resources"] = json!([one]);
                let verbs = rule["verbs"].as_array_mut().unwrap();
                if one == resource && verbs.iter().any(|other| other == verb) {
                    verbs.retain(|other| other != verb);
                    access = Some(json!({ "user": format!("system:serviceaccount:{NAMESPACE}:{role}"),
                        "resourceAttributes": attributes(&rule, resource, verb) }));
                }
                rules.push(rule);
            }
        }
        rules.retain(|rule| !rule["verbs"].as_array().unwrap().is_empty());
        patch(self.client(context), &path, &Patch::Merge(json!({ "rules": rules }))).await;
        let access = access.unwrap_or_else(|| panic!("{role} has no {verb} on {resource}"));
        let taken = Taken { context, path, rules: json!({ "rules": before["rules"] }), access };
        self.hears(&taken, false).await;
        taken
    }

    async fn give_back(&self, taken: &Taken) {
        patch(self.client(taken.context), &taken.path, &Patch::Merge(&taken.rules)).await;
        self.hears(taken, true).await;
    }

    /// Until the authorizer has heard of a change of a role, which it does a moment later.
    async fn hears(&self, taken: &Taken, allowed: bool) {
        let begun = Instant::now();
        let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": taken.access });
        loop {
            let request = kube::core::Request::new("/apis/authorization.k8s.io/v1/subjectaccessreviews");
            let request = request.create(&Default::default(), serde_json::to_vec(&review).unwrap()).unwrap();
            let answer: Json = self.client(taken.context).request(request).await.unwrap();
            if answer["status"]["allowed"] == json!(allowed) {
                return;
            }
            assert!(begun.elapsed() < HEARS_WITHIN, "not {allowed}: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn delete(&self, context: &str, path: &str) {
        let (collection, name) = path.rsplit_once('/').unwrap();
        let request = kube::core::Request::new(collection).delete(name, &kube::api::DeleteParams::default()).unwrap();
        self.client(context).request_text(request).await.unwrap();
    }
}

fn attributes(rule: &Json, resource: &str, verb: &str) -> Json {
    let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
    let name = rule.pointer("/resourceNames/0").cloned().unwrap_or_default();
    json!({ "namespace": NAMESPACE, "verb": verb, "group": rule["apiGroups"][0], "resource": resource,
        "subresource": part, "name": name })
}

async fn patch<T: serde::Serialize + std::fmt::Debug>(client: &Client, path: &str, body: &Patch<T>) {
    let (collection, name) = path.rsplit_once('/').unwrap();
    let parameters = match body {
        Patch::Apply(_) => PatchParams::apply("admin").force(),
        _ => PatchParams::default(),
    };
    let request = kube::core::Request::new(collection).patch(name, &parameters, body).unwrap();
    client.request::<Json>(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_needs_no_more_on_real_api_servers() {
    let real = Real::start().await;
    // One account for both planes: from nothing to nothing.
    let both = real.credentials(None).await;
    real.expect(&both, &["apply"], 0).await;
    let second = real.expect(&both, &["apply"], 0).await;
    assert!(second.contains("nothing to do"), "{second}");
    real.expect(&both, &["status"], 0).await;
    real.expect(&both, &["delete", "--secrets"], 0).await;

    // One for each plane.
    let control = real.credentials(Some("control")).await;
    let data = real.credentials(Some("data")).await;
    real.expect(&control, &["apply", "--plane", "control"], 0).await;
    real.expect(&data, &["apply", "--plane", "data"], 0).await;
    let second = real.expect(&data, &["apply", "--plane", "data"], 0).await;
    assert!(second.contains("nothing to do"), "{second}");
    real.expect(&data, &["status", "--plane", "data"], 0).await;

    // A handful of verbs alone: what is refused there is refused by the real authorizer too.
    let services = format!("/api/v1/namespaces/{NAMESPACE}/services");
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices");
    for (context, plane, resource, verb, victim) in [
        ("fra", "data", "endpointslices", "create", Some(format!("{slices}/split-cluster-alpha-a-xmpp-4"))),
        ("fra", "data", "services", "patch", Some(format!("{services}/split-cluster-alpha-a-xmpp"))),
        ("fra", "data", "statefulsets", "list", None),
        ("hq", "data", "services", "list", None),
        ("hq", "data", "pods/portforward", "get", None),
        ("hq", "control", "secrets", "list", None),
        ("hq", "control", "configmaps", "update", Some(format!("{services}/split-cluster-alpha-xmpp"))),
    ] {
        let role = format!("split-cluster-jitsictl-{plane}");
        let kubeconfig = if plane == "data" { &data } else { &control };
        let taken = real.without(context, &role, resource, verb).await;
        if let Some(path) = &victim {
            real.delete(context, path).await;
        }
        let (code, said) = real.run(kubeconfig, &["apply", "--plane", plane, "--timeout", "10s"]).await;
        assert_ne!(code, 0, "nobody missed {verb} on {resource} of the {plane} plane in {context}\n{said}");
        real.give_back(&taken).await;
        real.expect(kubeconfig, &["apply", "--plane", plane], 0).await;
    }

    // Nobody can hand on what they may not do.
    let (code, said) = real.run(&data, &["credentials", "--cluster", "frankfurt", "--out", "more"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("hint:") && !real.folder.path().join("more").exists(), "{said}");
    real.world.stop().await;
}
