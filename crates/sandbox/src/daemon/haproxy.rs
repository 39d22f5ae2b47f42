//! The entrance: reads the mounted configuration, keeps rooms on their servers, shares its table with its peers, and
//! answers on its runtime socket. The text's own meaning in every detail is tested with the real haproxy.

mod config;
mod expression;
mod frontend;
mod route;
mod table;

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use clock::Clock;
use jiff::Timestamp;

use self::{
    config::{Admin, CONFIG, Server, State, read},
    route::route,
    table::{Entry, Table},
};
pub(crate) use self::{expression::RoomRequest, route::Upstream};
use super::{Start, log::Log};
use crate::{
    container::File,
    network,
    state::{PodKey, Shared},
};

/// A running haproxy.
pub(crate) struct Haproxy {
    state: Mutex<State>,
    peers: Mutex<Vec<Weak<Haproxy>>>,
    key: PodKey,
    hostname: String,
    clock: Clock,
    started: Timestamp,
    log: Log,
}

impl Haproxy {
    /// Starts it.
    ///
    /// # Errors
    /// When it has no configuration, or one that `haproxy -c` would refuse.
    pub(crate) fn start(start: &Start) -> Result<Arc<Self>, String> {
        let text = config(&start.files).ok_or_else(|| format!("Could not open configuration file {CONFIG}"))?;
        let hostname = start.env("HOSTNAME").unwrap_or(&start.key.name).to_owned();
        let state = read(text, &hostname)?;
        for line in &state.ignored {
            start.log.say(format!("not followed in the sandbox: {line}"));
        }
        let proxy = Arc::new(Self {
            state: Mutex::new(state),
            peers: Mutex::default(),
            key: start.key.clone(),
            hostname,
            clock: start.shared.clock.clone(),
            started: start.shared.clock.now(),
            log: start.log.clone(),
        });
        tokio::spawn(keep(Arc::clone(&start.shared), Arc::downgrade(&proxy), start.life.stop.clone()));
        Ok(proxy)
    }

    /// Where it runs.
    pub(crate) const fn key(&self) -> &PodKey {
        &self.key
    }

    /// Sends a request on its way, and tells the peers what the table says of its room now.
    pub(crate) fn route(&self, request: &RoomRequest) -> Option<Upstream> {
        let routed = route(&mut self.state(), request);
        if let Some((table, key, entry)) = &routed.told {
            self.tell(table, key, *entry);
        }
        routed.upstream
    }

    fn peers(&self) -> Vec<Arc<Self>> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.iter().filter_map(Weak::upgrade).collect()
    }

    fn tell(&self, table: &str, key: &str, entry: Entry) {
        for peer in self.peers() {
            if let Some(table) = peer.state().tables.get_mut(table) {
                table.learn(key, entry);
            }
        }
    }

    /// Looks for its peers; takes over the table of each that it did not know.
    fn meet(&self, shared: &Shared) {
        let addresses = self.state().peers.clone();
        let found: Vec<Arc<Self>> = addresses
            .iter()
            .filter_map(|(host, port)| network::resolve(shared, self.key.cluster, host, *port).ok())
            .filter_map(|there| shared.instance(&there.pod)?.proxy())
            .filter(|peer| peer.key != self.key)
            .collect();
        let known = self.peers();
        for peer in found.iter().filter(|peer| !known.iter().any(|known| Arc::ptr_eq(known, peer))) {
            let theirs = peer.state().tables.clone();
            for (name, table) in &mut self.state().tables {
                if let Some(theirs) = theirs.get(name) {
                    table.merge(theirs);
                }
            }
        }
        *self.peers.lock().unwrap_or_else(PoisonError::into_inner) = found.iter().map(Arc::downgrade).collect();
    }

    /// One round of health checks.
    fn check(&self, shared: &Shared) {
        let mut state = self.state();
        for server in &mut state.servers {
            let Some(check) = server.check else { continue };
            let passes = shared.web_at(self.key.cluster, &server.address, server.port).is_ok();
            server.against = if passes == server.up { 0 } else { server.against + 1 };
            if server.against >= if server.up { check.fall } else { check.rise } {
                server.up = passes;
                server.against = 0;
                let word = if passes { "UP" } else { "DOWN" };
                self.log.say(format!("Server {}/{} is {word}.", server.backend, server.name));
            }
        }
    }

    /// Whether each server is what its last check said.
    fn settled(&self) -> bool {
        self.state().servers.iter().all(|server| server.up && server.against == 0)
    }

    fn period(&self) -> Duration {
        let state = self.state();
        let periods = state.servers.iter().filter_map(|server| Some(server.check?.every));
        periods.min().unwrap_or(Duration::from_secs(5)).max(Duration::from_millis(100))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its runtime socket, when the configuration opens one.
    pub(crate) fn socket(&self) -> Option<u16> {
        self.state().socket
    }

    /// Reloads when the mounted file changed and is sound. Tables live on, what was set at run time does not.
    pub(crate) fn files_changed(&self, files: &[File]) {
        let Some(text) = config(files) else { return };
        let mut state = self.state();
        if text == state.text {
            return;
        }
        match read(text, &self.hostname) {
            Ok(mut next) => {
                for (name, table) in &mut next.tables {
                    if let Some(old) = state.tables.remove(name) {
                        *table = old;
                    }
                }
                *state = next;
                self.log.say("reloaded".to_owned());
            }
            Err(why) => self.log.say(format!("the changed configuration is not taken: {why}")),
        }
    }

    /// Answers one line of commands.
    pub(crate) fn answer(&self, line: &str) -> String {
        let mut out = String::new();
        for command in line.split(';').map(str::trim).filter(|command| !command.is_empty()) {
            out.push_str(&self.command(command));
            // Each answer ends with an empty line.
            out.push('\n');
        }
        out
    }

    fn command(&self, command: &str) -> String {
        let mut state = self.state();
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["show", "info"] => {
                let uptime = self.clock.now().duration_since(self.started).as_secs();
                format!("Name: HAProxy\nVersion: 3.2.0\nUptime_sec: {uptime}\nPid: 8\n")
            }
            ["set", "timeout", "cli", _] => String::new(),
            ["show", "stat", ..] => stat(&state),
            ["show", "servers", "state", ..] => servers_state(&state, words.get(3).copied()),
            ["show", "table"] => {
                let lines = state.tables.iter().map(|(name, table)| head(name, table));
                lines.collect()
            }
            ["show", "table", name, ..] => match state.tables.get(name) {
                Some(table) => entries(name, table),
                None => "No such table\n".to_owned(),
            },
            ["set", "table", name, "key", key, "data.server_id", id] => {
                match (state.tables.get_mut(name), id.parse()) {
                    (Some(table), Ok(id)) => {
                        let entry = table.put(key, id);
                        drop(state);
                        self.tell(name, key, entry);
                        String::new()
                    }
                    _ => "No such table\n".to_owned(),
                }
            }
            ["clear", "table", name, ..] => match state.tables.get_mut(name) {
                Some(table) => {
                    table.clear();
                    String::new()
                }
                None => "No such table\n".to_owned(),
            },
            ["set", "weight", path, weight] | ["set", "server", path, "weight", weight] => {
                change(&mut state, path, |server| {
                    let parsed = match weight.strip_suffix('%') {
                        Some(percent) => percent.parse::<u32>().ok().map(|part| server.initial_weight * part / 100),
                        None => weight.parse().ok(),
                    };
                    parsed.filter(|weight| *weight <= 256).map(|weight| server.weight = weight)
                })
            }
            ["set", "server", path, "state", wanted] => change(&mut state, path, |server| {
                server.admin = match wanted {
                    "ready" => Admin::Ready,
                    "drain" => Admin::Drain,
                    "maint" => Admin::Maint,
                    _ => return None,
                };
                Some(())
            }),
            ["get", "weight", path] => match find(&mut state, path) {
                Some(server) => format!("{} (initial {})\n", server.weight, server.initial_weight),
                None => "No such server.\n".to_owned(),
            },
            _ => format!("Unknown command: '{command}'.\n"),
        }
    }
}

/// Checks servers and keeps up with peers until the daemon ends. Nothing is asked anew while nothing changed.
async fn keep(shared: Arc<Shared>, proxy: Weak<Haproxy>, stop: tokio_util::sync::CancellationToken) {
    let mut seen = None;
    loop {
        let Some(proxy) = proxy.upgrade() else { return };
        let now = shared.network.count();
        if seen != Some(now) {
            proxy.meet(&shared);
        }
        if seen != Some(now) || !proxy.settled() {
            proxy.check(&shared);
        }
        seen = Some(now);
        let period = proxy.period();
        drop(proxy);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(period) => {}
        }
    }
}

fn config(files: &[File]) -> Option<&str> {
    files.iter().find(|file| file.path.rsplit('/').next() == Some(CONFIG)).map(|file| file.text.as_str())
}

fn find<'a>(state: &'a mut State, path: &str) -> Option<&'a mut Server> {
    let (backend, name) = path.split_once('/')?;
    state.servers.iter_mut().find(|server| server.backend == backend && server.name == name)
}

fn change(state: &mut State, path: &str, with: impl FnOnce(&mut Server) -> Option<()>) -> String {
    match find(state, path) {
        Some(server) => match with(server) {
            Some(()) => String::new(),
            None => "Invalid argument.\n".to_owned(),
        },
        None => "No such server.\n".to_owned(),
    }
}

fn stat(state: &State) -> String {
    let mut out = String::from(
        "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,\
         act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,\n",
    );
    for server in &state.servers {
        let status = match server.admin {
            Admin::Maint => "MAINT",
            _ if !server.up => "DOWN",
            Admin::Drain => "DRAIN",
            Admin::Ready if server.weight == 0 => "DRAIN",
            Admin::Ready => "UP",
        };
        let Server { backend, backend_id, name, id, weight, .. } = server;
        let _ = writeln!(
            out,
            "{backend},{name},0,0,0,0,,0,0,0,,0,,0,0,0,0,{status},{weight},1,0,0,0,0,0,,1,{backend_id},{id},"
        );
    }
    out
}

fn servers_state(state: &State, only: Option<&str>) -> String {
    let mut out = String::from(
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
         srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state \
         bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
         srv_agent_addr srv_agent_port\n",
    );
    for server in state.servers.iter().filter(|server| only.is_none_or(|only| only == server.backend)) {
        let (operation, admin) = match server.admin {
            Admin::Ready => (if server.up { 2 } else { 0 }, 0),
            Admin::Drain => (if server.up { 2 } else { 0 }, 8),
            Admin::Maint => (0, 1),
        };
        let Server { backend, backend_id, name, id, address, port, weight, initial_weight, .. } = server;
        let _ = writeln!(
            out,
            "{backend_id} {backend} {id} {name} 127.0.0.1 {operation} {admin} {weight} {initial_weight} 0 6 3 4 6 0 0 \
             1 {address} {port} - 0 0 - - 0"
        );
    }
    out
}

fn head(name: &str, table: &Table) -> String {
    format!("# table: {name}, type: string, size:204800, used:{}\n", table.alive().count())
}

fn entries(name: &str, table: &Table) -> String {
    let mut out = head(name, table);
    let now = tokio::time::Instant::now();
    for (number, (key, Entry { server, until })) in table.alive().enumerate() {
        let left = until.duration_since(now).as_millis();
        let _ = writeln!(out, "0x{number:x}: key={key} use=0 exp={left} shard=0 server_id={server}");
    }
    out
}

#[cfg(test)]
mod rendered_tests;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
global
  stats socket ipv4@127.0.0.1:9999 level admin
peers fleet
  server meet-haproxy-0
backend rooms
  stick-table type string len 256 size 200k expire 4h peers fleet
  server alpha-a meet-alpha-a-web.jitsi.svc.cluster.local:80 id 10 weight 100 check
  server alpha-b meet-alpha-b-web.jitsi.svc.cluster.local:80 id 11 weight 0 check
";

    fn proxy() -> Haproxy {
        Haproxy {
            state: Mutex::new(read(TEXT, "meet-haproxy-0").unwrap()),
            peers: Mutex::default(),
            key: PodKey { cluster: 0, namespace: "jitsi".into(), name: "meet-haproxy-0".into() },
            hostname: "meet-haproxy-0".into(),
            clock: Clock::machine(),
            started: Timestamp::UNIX_EPOCH,
            log: Log::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_socket_tells_and_takes() {
        let proxy = proxy();
        assert_eq!(proxy.socket(), Some(9999));
        assert_eq!(proxy.answer("set weight rooms/alpha-a 0; get weight rooms/alpha-a"), "\n0 (initial 100)\n\n");
        assert!(proxy.answer("show stat").contains("rooms,alpha-b,") && proxy.answer("show stat").contains("DRAIN"));
        assert_eq!(proxy.answer("set server rooms/nobody state drain"), "No such server.\n\n");
        proxy.answer("set server rooms/alpha-a state drain");
        assert!(proxy.answer("show servers state rooms").contains(" rooms 10 alpha-a 127.0.0.1 2 8 0 100 "));
        assert_eq!(proxy.answer("set table rooms key t/room data.server_id 11"), "\n");
        assert!(proxy.answer("show table rooms").contains("key=t/room use=0 exp=14400000 shard=0 server_id=11"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_keeps_tables_and_drops_what_was_set() {
        let proxy = proxy();
        proxy.answer("set weight rooms/alpha-a 0; set table rooms key k data.server_id 10");
        let file = |text: &str| [File { path: "/x/haproxy.cfg".into(), text: text.into(), frozen: false }];
        proxy.files_changed(&file(&TEXT.replace("id 11", "id 10")));
        assert!(proxy.answer("get weight rooms/alpha-a").starts_with("0 "), "a broken file is not taken");
        proxy.files_changed(&file(&TEXT.replace("weight 100", "weight 50")));
        assert!(proxy.answer("get weight rooms/alpha-a").starts_with("50 "));
        assert!(proxy.answer("show table rooms").contains("key=k "));
    }
}
