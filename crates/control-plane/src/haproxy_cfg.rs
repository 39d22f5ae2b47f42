//! haproxy's configuration as text: pure, and valid for every replica (haproxy 2.6 to 3.2).
//!
//! A room is its tenant and its name in lower case. Its first signalling request (BOSH, websocket, conference request)
//! writes it into a table that all replicas share; from then on all its requests go to that server, drained or not. A
//! server that does not answer gives 503 and keeps its rooms until its checks have failed for minutes: a room that moves
//! is a conference cut in two. There is one backend per release, because browsers keep static files for a year by the
//! page's version: a file follows the page that asks for it, and a page its room, else the live release.

use std::fmt::Write as _;

use ipnet::IpNet;

/// Everything the text depends on.
#[derive(Debug, Clone)]
pub struct HaproxyConfig {
    /// Where people come in: `:8080`.
    pub bind: String,
    /// The runtime socket: `ipv4@127.0.0.1:9999`.
    pub runtime: String,
    /// Where Prometheus reads, if it does.
    pub metrics: Option<String>,
    /// All replicas.
    pub peers: Vec<Peer>,
    /// All slots that exist.
    pub servers: Vec<Server>,
    /// The release that new rooms and pages without a room get.
    pub live: String,
    /// Whether addresses are names that may change.
    pub resolve: bool,
    /// The times.
    pub times: Times,
    /// Proxies in front of us, whose word about the client is taken.
    pub trusted: Vec<String>,
    /// Which clients are in which region; of several networks that have a client, the last counts.
    pub regions: Vec<(IpNet, String)>,
    /// The user's own lines, at the end of the frontend.
    pub snippet: Option<String>,
}

/// One replica, as the others reach it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its `$HOSTNAME`.
    pub name: String,
    /// Its stable address.
    pub address: String,
    /// The port there.
    pub port: u16,
    /// What it listens on itself: `:10000`.
    pub bind: String,
}

/// The web of one shard's slot.
#[derive(Debug, Clone)]
pub struct Server {
    /// `<shard>-<slot>`.
    pub name: String,
    /// Never given to another: the table refers to it.
    pub id: u16,
    /// `host:port`.
    pub address: String,
    /// 0 keeps its rooms and gets no new ones.
    pub weight: u8,
    /// What runs there.
    pub release: String,
}

/// Times, in haproxy's notation.
#[derive(Debug, Clone)]
pub struct Times {
    /// Between two checks.
    pub check_every: String,
    /// Failed checks after which rooms may leave a server.
    pub fall: u16,
    /// How long a room without any request stays on its server.
    pub expire: String,
    /// How long a silent websocket lives.
    pub tunnel: String,
}

impl Default for Times {
    fn default() -> Self {
        // 5 s × 36 = 3 minutes: nobody resumes a session after that.
        Self { check_every: "5s".into(), fall: 36, expire: "24h".into(), tunnel: "4h".into() }
    }
}

/// The text of `haproxy.cfg`.
#[must_use]
pub fn render(config: &HaproxyConfig) -> String {
    let mut out = String::new();
    head(&mut out, config);
    peers(&mut out, &config.peers);
    frontend(&mut out, config);
    let table = "# Which room is on which server.\nbackend rooms\n    stick-table type string len 255 size 200k";
    let _ = writeln!(
        out,
        "{table} expire {}{}\n",
        config.times.expire,
        if config.peers.is_empty() { "" } else { " peers fleet" }
    );
    for release in releases(config) {
        backend(&mut out, config, release);
    }
    out
}

/// In order, each once; the live one even without servers, so that the text stays valid.
fn releases(config: &HaproxyConfig) -> std::collections::BTreeSet<&str> {
    config.servers.iter().map(|server| server.release.as_str()).chain([config.live.as_str()]).collect()
}

fn backend_name(release: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    format!("release-{}", release.chars().map(safe).collect::<String>())
}

fn head(out: &mut String, config: &HaproxyConfig) {
    let HaproxyConfig { runtime, times, .. } = config;
    let _ = write!(
        out,
        "global
    log stdout format raw local0
    localpeer \"$HOSTNAME\"
    stats socket \"{runtime}\" level admin
    # After a reload the old worker lives on for its open websockets, but not for ever.
    hard-stop-after 24h

defaults
    mode http
    log global
    option httplog
    option dontlognull
    # A server that does not answer keeps its rooms: 503 rather than another shard.
    no option redispatch
    retries 2
    timeout http-request 10s
    timeout queue 10s
    timeout connect 5s
    timeout client 90s
    timeout server 90s
    timeout client-fin 30s
    timeout tunnel {}

",
        times.tunnel
    );
    if config.resolve {
        out.push_str("resolvers cluster\n    parse-resolv-conf\n    hold valid 10s\n    hold obsolete 60s\n\n");
    }
    if let Some(metrics) = &config.metrics {
        let _ = writeln!(
            out,
            "frontend metrics\n    bind \"{metrics}\"\n    no log\n    http-request use-service prometheus-exporter if {{ path /metrics }}\n"
        );
    }
}

/// Its own line must be without an address, the others' with one; and a file must not differ between replicas.
fn peers(out: &mut String, peers: &[Peer]) {
    if peers.is_empty() {
        return;
    }
    out.push_str("peers fleet\n");
    for Peer { name, address, port, bind } in peers {
        let _ = writeln!(
            out,
            ".if streq(\"$HOSTNAME\",{name})\n    bind \"{bind}\"\n    server {name}\n.else\n    server {name} {address}:{port}\n.endif"
        );
    }
    out.push('\n');
}

fn frontend(out: &mut String, config: &HaproxyConfig) {
    let _ = writeln!(out, "frontend entrance\n    bind \"{}\"\n    monitor-uri /healthz", config.bind);
    clients(out, config);
    out.push_str(
        "    # The room: named by the request, by the page's path, or by the page that asks for a file.
    acl signalling path_reg ^(/[^/]+)?/(http-bind|xmpp-websocket|conference-request/v1)/?$
    acl named url_param(room) -m found
    acl file path_beg /libs/ /css/ /static/ /images/ /sounds/ /fonts/ /lang/
    acl file path_end .js .css .json .html .png .svg .ico .wasm .map .mp3 .woff .woff2 .txt
    http-request set-var(txn.room) url_param(room),url_dec,url_dec,lower
    http-request set-var(txn.tenant) path,regsub(/conference-request/v1/?$,/x),regsub(/$,),regsub(/[^/]*$,),url_dec,lower
    http-request set-var(txn.key) var(txn.tenant),concat(/,txn.room) if named
    http-request set-var(txn.key) path,regsub(/$,),url_dec,url_dec,lower if !named !file
    http-request set-var(txn.key) req.fhdr(referer),regsub(^https?://[^/]*,),regsub([?].*$,),regsub(/$,),url_dec,url_dec,lower if !named file
    http-request set-var(txn.keep) bool(true) if signalling named
",
    );
    if let Some(snippet) = &config.snippet {
        for line in snippet.lines() {
            let _ = writeln!(out, "    {}", line.trim());
        }
    }
    for release in releases(config) {
        let ids: Vec<String> = config
            .servers
            .iter()
            .filter(|server| server.release == release)
            .map(|server| server.id.to_string())
            .collect();
        if !ids.is_empty() {
            let _ = writeln!(
                out,
                "    use_backend {} if {{ var(txn.key),table_server_id(rooms) -m int {} }}",
                backend_name(release),
                ids.join(" ")
            );
        }
    }
    let _ = writeln!(out, "    default_backend {}\n", backend_name(&config.live));
}

/// Who the client is and where, said by nobody but us and whom we trust.
fn clients(out: &mut String, config: &HaproxyConfig) {
    if config.trusted.is_empty() {
        out.push_str(
            "    http-request del-header X-Forwarded-For
    http-request del-header X-Proxy-Region
    http-request set-var(txn.client) src
",
        );
    } else {
        let trusted = config.trusted.join(" ");
        let _ = write!(
            out,
            "    acl trusted src {trusted}
    http-request del-header X-Forwarded-For if !trusted
    http-request del-header X-Proxy-Region if !trusted
    http-request set-var(txn.client) src
    http-request set-var(txn.client) req.hdr_ip(x-forwarded-for,-1) if trusted {{ req.hdr(x-forwarded-for) -m found }}
"
        );
    }
    out.push_str("    option forwardfor\n");
    for (network, region) in &config.regions {
        let _ = writeln!(
            out,
            "    http-request set-header X-Proxy-Region {region} if {{ var(txn.client) -m ip {network} }}"
        );
    }
}

fn backend(out: &mut String, config: &HaproxyConfig, release: &str) {
    let Times { check_every, fall, .. } = &config.times;
    let resolve = if config.resolve { " resolvers cluster init-addr last,libc,none" } else { "" };
    let _ = write!(
        out,
        "backend {}
    # Two replicas that see a new room at the same time choose the same server.
    balance hash var(txn.key)
    hash-type consistent
    stick match var(txn.key) table rooms
    stick store-request var(txn.key) table rooms if {{ var(txn.keep) -m bool }}
    option httpchk
    http-check send meth GET uri /http-bind
    http-check expect status 200
    default-server check inter {check_every} fall {fall} rise 2{resolve}
",
        backend_name(release)
    );
    for Server { name, id, address, weight, .. } in config.servers.iter().filter(|server| server.release == release) {
        let _ = writeln!(out, "    server {name} {address} id {id} weight {weight}");
    }
    out.push('\n');
}
