//! The entrance: what its runtime socket says about the servers of the mounted configuration. It carries no requests;
//! the real haproxy is tested on its own.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use super::{Start, log::Log};
use crate::container::File;

const CONFIG: &str = "haproxy.cfg";

/// A running haproxy.
pub(crate) struct Haproxy {
    state: Mutex<State>,
    started: Timestamp,
    log: Log,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct State {
    text: String,
    socket: Option<u16>,
    servers: Vec<Server>,
    /// By table, by key: the server's id.
    tables: BTreeMap<String, BTreeMap<String, u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    backend: String,
    backend_id: usize,
    name: String,
    id: u32,
    address: String,
    port: u16,
    weight: u32,
    initial_weight: u32,
    admin: Admin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admin {
    Ready,
    Drain,
    Maint,
}

impl Haproxy {
    /// Starts it.
    ///
    /// # Errors
    /// When it has no configuration, or one that `haproxy -c` would refuse.
    pub(crate) fn start(start: &Start) -> Result<Self, String> {
        let text = config(&start.files).ok_or_else(|| format!("Could not open configuration file {CONFIG}"))?;
        let state = read(text)?;
        Ok(Self { state: Mutex::new(state), started: Timestamp::now(), log: start.log.clone() })
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
        match read(text) {
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
                let uptime = Timestamp::now().duration_since(self.started).as_secs();
                format!("Name: HAProxy\nVersion: 3.2.0\nUptime_sec: {uptime}\nPid: 8\n")
            }
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
                        table.insert(key.to_owned(), id);
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
            Admin::Ready => (2, 0),
            Admin::Drain => (2, 8),
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

fn head(name: &str, table: &BTreeMap<String, u32>) -> String {
    format!("# table: {name}, type: string, size:204800, used:{}\n", table.len())
}

fn entries(name: &str, table: &BTreeMap<String, u32>) -> String {
    let mut out = head(name, table);
    for (number, (key, id)) in table.iter().enumerate() {
        let _ = writeln!(out, "0x{number:x}: key={key} use=0 exp=14400000 shard=0 server_id={id}");
    }
    out
}

/// Reads the sections and server lines of a configuration.
fn read(text: &str) -> Result<State, String> {
    let mut state = State { text: text.to_owned(), ..State::default() };
    let mut section = String::new();
    let mut backend_id = 0;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
        match words[..] {
            ["backend" | "listen" | "frontend" | "peers", name, ..] => {
                section = name.to_owned();
                // haproxy numbers its proxies from 2 on when it numbers them itself.
                backend_id = backend_id.max(1) + 1;
            }
            ["global" | "defaults" | "resolvers" | "userlist" | "cache", ..] => section.clear(),
            ["stats", "socket", address, ..] => {
                state.socket = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).or(state.socket);
            }
            ["stick-table", ..] => {
                state.tables.insert(section.clone(), BTreeMap::new());
            }
            ["server", name, address, ref rest @ ..] if !section.is_empty() => {
                let number = state.servers.iter().filter(|server| server.backend == section).count() + 1;
                let server = server(&section, backend_id, name, address, rest, number)
                    .ok_or_else(|| format!("[ALERT] parsing [{CONFIG}:{}]: bad server line", index + 1))?;
                if state.servers.iter().any(|other| other.backend == section && other.id == server.id) {
                    let line = index + 1;
                    return Err(format!("[ALERT] parsing [{CONFIG}:{line}]: id {} is used twice", server.id));
                }
                state.servers.push(server);
            }
            _ => {}
        }
    }
    Ok(state)
}

fn server(section: &str, backend_id: usize, name: &str, address: &str, rest: &[&str], number: usize) -> Option<Server> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    let after = |key: &str| {
        let at = rest.iter().position(|word| *word == key)?;
        rest.get(at + 1).copied()
    };
    let weight = after("weight").map_or(Some(1), |weight| weight.parse().ok())?;
    Some(Server {
        backend: section.to_owned(),
        backend_id,
        name: name.to_owned(),
        id: after("id").map_or_else(|| u32::try_from(number).ok(), |id| id.parse().ok())?,
        address: host.to_owned(),
        port: port.parse().ok()?,
        weight,
        initial_weight: weight,
        admin: if rest.contains(&"disabled") { Admin::Maint } else { Admin::Ready },
    })
}

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
        Haproxy { state: Mutex::new(read(TEXT).unwrap()), started: Timestamp::now(), log: Log::default() }
    }

    #[test]
    fn the_socket_tells_and_takes() {
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

    #[test]
    fn a_reload_keeps_tables_and_drops_what_was_set() {
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
