//! A fleet of daemons without API servers: the caches of a world filled by hand, for tests and benchmarks of the
//! callers alone. What daemons read is what pods would hold.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use clock::Clock;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    container::File,
    daemon::{Daemon, Image, Instance, Life, Start},
    signal::Signal,
    state::{ClusterState, PodKey, Shared},
    timing::Timing,
    world::World,
};

const NS: &str = "meet";

/// What the requests of pages are about. The rendered configuration is tested elsewhere.
const ROOMS: &str = "frontend entrance
  acl signalling path_end /xmpp-websocket
  http-request set-var(txn.room) url_param(room),lower
  http-request set-var(txn.key) path,regsub(/[^/]*$,),lower,concat(/,txn.room)
  default_backend live
";
const STICK: &str = "backend rooms
  stick-table type string len 255 size 200k expire 24h peers fleet
backend live
  stick match var(txn.key) table rooms
  stick store-request var(txn.key) table rooms
  default-server check inter 5s fall 36 rise 2
";

/// How large the fleet is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Shards: prosody, jicofo, web.
    pub shards: usize,
    /// Bridges, each in all shards.
    pub bridges: usize,
    /// Proxies that are peers of each other.
    pub proxies: usize,
}

/// The fleet.
#[derive(Debug)]
pub struct Fixture {
    world: World,
    size: Size,
}

impl Fixture {
    /// Starts it at midnight.
    #[must_use]
    pub fn start(size: Size) -> Self {
        let network = Signal::default();
        let cluster = ClusterState::new(
            0,
            "solo".to_owned(),
            kube::Client::new(Nobody, NS),
            Ipv4Addr::new(203, 0, 113, 1),
            (false, 10250),
            &network,
        );
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let shared = Arc::new(Shared::new(vec![cluster], Timing::real(), clock, network));
        let fixture = Self { world: World::of(shared), size };
        for shard in 0..size.shards {
            fixture.start_shard(shard);
        }
        for bridge in 0..size.bridges {
            fixture.start_bridge(bridge);
        }
        for proxy in 0..size.proxies {
            fixture.start_proxy(proxy);
        }
        fixture
    }

    /// The world that callers call into.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// Starts prosody, jicofo and web of a shard.
    pub fn start_shard(&self, shard: usize) {
        let prosody = format!("shard{shard}-prosody");
        self.run(&prosody, "prosody", &[(5222, 5222), (5280, 5280)], &[], None);
        let host = host(&prosody);
        self.run(&format!("shard{shard}-jicofo"), "jicofo", &[], &[("XMPP_SERVER", &host)], None);
        let base = format!("http://{host}:5280");
        self.run(&format!("shard{shard}-web"), "web", &[(80, 8000)], &[("XMPP_BOSH_URL_BASE", &base)], None);
    }

    /// Starts a bridge that joins all shards.
    pub fn start_bridge(&self, bridge: usize) {
        let servers: Vec<String> = (0..self.size.shards).map(|it| host(&format!("shard{it}-prosody"))).collect();
        // A bridge of eight cores.
        let conf = "videobridge.load-management.average-participant-stress = 0.005\n";
        let env = [("XMPP_SERVER", servers.join(",")), ("COLIBRI_REST_ENABLED", "1".to_owned())];
        let env: Vec<(&str, &str)> = env.iter().map(|(key, value)| (*key, value.as_str())).collect();
        self.run(&format!("jvb-{bridge}"), "jvb", &[], &env, Some(("/config/custom-jvb.conf", conf)));
    }

    /// Starts a proxy.
    pub fn start_proxy(&self, proxy: usize) {
        let text = self.configuration();
        let name = format!("haproxy-{proxy}");
        self.run(&name, "haproxy", &[(10_000, 10_000)], &[], Some(("/etc/haproxy.cfg", &text)));
    }

    fn configuration(&self) -> String {
        let mut text = "global\n  stats socket ipv4@127.0.0.1:9999 level admin\npeers fleet\n".to_owned();
        for proxy in 0..self.size.proxies {
            let name = format!("haproxy-{proxy}");
            let host = host(&name);
            text.push_str(&format!(
                ".if streq(\"$HOSTNAME\",{name})\n  server {name}\n.else\n  server {name} {host}:10000\n.endif\n"
            ));
        }
        let ids: Vec<String> = (0..self.size.shards).map(|shard| (shard + 10).to_string()).collect();
        text.push_str(ROOMS);
        text.push_str(&format!(
            "  use_backend live if {{ var(txn.key),table_server_id(rooms) -m int {} }}\n",
            ids.join(" ")
        ));
        text.push_str(STICK);
        for shard in 0..self.size.shards {
            let host = host(&format!("shard{shard}-web"));
            text.push_str(&format!("  server shard{shard} {host}:80 id {} weight 1\n", shard + 10));
        }
        text
    }

    /// Ends what runs in a pod, at once.
    pub fn kill(&self, pod: &str) {
        let shared = self.world.shared();
        let key = key(pod);
        if let Some(instance) = shared.instance(&key) {
            for daemon in instance.daemons() {
                daemon.kill();
            }
            shared.remove_instance(&key, &instance.uid);
        }
    }

    /// Asks the daemon of a pod over HTTP; gives its status and JSON.
    #[must_use]
    pub fn ask(&self, pod: &str, port: u16, method: &str, path: &str) -> (u16, Json) {
        self.request(pod, port, http::Request::builder().method(method).uri(path), String::new())
    }

    /// Tells the daemon of a pod something in JSON.
    #[must_use]
    pub fn tell(&self, pod: &str, port: u16, path: &str, body: &Json) -> (u16, Json) {
        let request = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
        self.request(pod, port, request, body.to_string())
    }

    fn request(&self, pod: &str, port: u16, request: http::request::Builder, body: String) -> (u16, Json) {
        let Some((_, daemon)) = self.world.shared().instance(&key(pod)).and_then(|it| it.listener(port)) else {
            return (0, Json::Null);
        };
        let Ok(request) = request.body(hyper::body::Bytes::from(body)) else {
            return (0, Json::Null);
        };
        let response = daemon.http(port, &request);
        let code = response.status().as_u16();
        let body = futures::FutureExt::now_or_never(http_body_util::BodyExt::collect(response.into_body()));
        let bytes = body.and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        (code, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Says a line to a proxy's runtime socket.
    #[must_use]
    pub fn say(&self, pod: &str, line: &str) -> String {
        let found = self.world.shared().instance(&key(pod)).and_then(|it| it.listener(9999));
        found.map(|(_, daemon)| daemon.line(line)).unwrap_or_default()
    }

    fn run(&self, pod: &str, component: &str, ports: &[(u16, u16)], env: &[(&str, &str)], file: Option<(&str, &str)>) {
        let shared = self.world.shared();
        if let (Some(cluster), false) = (shared.cluster(0), ports.is_empty()) {
            self.serve(cluster, pod, ports);
        }
        let (commands, _) = mpsc::unbounded_channel();
        let instance = Arc::new(Instance::new(format!("uid-{pod}"), commands));
        let passwords = ["JICOFO_AUTH_PASSWORD", "JVB_AUTH_PASSWORD"].map(|name| (name.to_owned(), "s".to_owned()));
        let mut all: BTreeMap<String, String> = passwords.into_iter().collect();
        all.extend(env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let files = file.map(|(path, text)| File { path: path.to_owned(), text: text.to_owned(), frozen: true });
        let start = Start {
            shared: Arc::clone(shared),
            key: key(pod),
            image: Image::parse(&format!("jitsi/{component}:stable-11146-2")),
            env: all,
            files: files.into_iter().collect(),
            log: instance.log(component),
            liveness: None,
            life: Life::default(),
            exit: CancellationToken::new(),
        };
        match Daemon::start(&start) {
            Ok(daemon) => instance.put(component, Some(Arc::new(daemon))),
            Err(why) => start.log.say(why),
        }
        shared.put_instance(key(pod), instance);
    }

    fn serve(&self, cluster: &ClusterState, pod: &str, ports: &[(u16, u16)]) {
        let named = |number: usize| format!("p{number}");
        let listed = |which: &dyn Fn(&(u16, u16)) -> u16, key: &str| -> Vec<Json> {
            ports.iter().enumerate().map(|(at, pair)| json!({ "name": named(at), key: which(pair) })).collect()
        };
        let meta = json!({ "name": pod, "namespace": NS, "labels": { "kubernetes.io/service-name": pod } });
        let service = json!({
            "metadata": meta,
            "spec": { "selector": { "pod": pod }, "ports": listed(&|pair| pair.0, "port") },
        });
        let slice = json!({
            "metadata": meta,
            "addressType": "IPv4",
            "ports": listed(&|pair| pair.1, "port"),
            "endpoints": [{ "addresses": ["10.0.0.1"], "targetRef": { "kind": "Pod", "name": pod } }],
        });
        if let (Ok(service), Ok(slice)) = (serde_json::from_value(service), serde_json::from_value(slice)) {
            cluster.services.apply(service);
            cluster.slices.apply(slice);
        }
    }
}

fn host(service: &str) -> String {
    format!("{service}.{NS}.svc.cluster.local")
}

fn key(pod: &str) -> PodKey {
    PodKey { cluster: 0, namespace: NS.to_owned(), name: pod.to_owned() }
}

/// No request of this world goes to an API server.
struct Nobody;

impl tower_service::Service<http::Request<kube::client::Body>> for Nobody {
    type Response = http::Response<kube::client::Body>;
    type Error = std::io::Error;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<kube::client::Body>) -> Self::Future {
        std::future::ready(Err(std::io::Error::other("there is no API server")))
    }
}
