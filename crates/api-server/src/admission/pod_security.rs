//! Pod Security: what the labels of a namespace say about its pods. Always judged as the newest version would.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::shape::{entries, flag, items, number, set, text};

/// What may be asked of pods; privileged asks nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// The policies of a namespace, by mode.
pub(super) struct Policy<'a> {
    namespace: Option<&'a Json>,
}

impl<'a> Policy<'a> {
    pub(super) fn of(namespace: Option<&'a Json>) -> Self {
        Self { namespace }
    }

    fn level(&self, mode: &str) -> (Level, String) {
        let label = |suffix: &str| {
            let key = format!("pod-security.kubernetes.io/{mode}{suffix}");
            self.namespace.and_then(|namespace| namespace.pointer("/metadata/labels")?.get(&key)?.as_str())
        };
        let version = label("-version").unwrap_or("latest");
        match label("") {
            None | Some("privileged") => (Level::Privileged, format!("privileged:{version}")),
            Some("baseline") => (Level::Baseline, format!("baseline:{version}")),
            // Whatever else is said is taken for the strictest.
            Some(_) => (Level::Restricted, format!("restricted:{version}")),
        }
    }

    fn says(&self, mode: &str) -> bool {
        let key = format!("pod-security.kubernetes.io/{mode}");
        self.namespace.and_then(|namespace| namespace.pointer("/metadata/labels")?.get(&key)).is_some()
    }

    /// What refuses the pod, and otherwise what is warned of. Templates are only warned of.
    pub(super) fn judge(&self, pod: &Json, enforced: bool, warnings: &mut Vec<String>) -> Result<(), String> {
        if enforced {
            let (level, shown) = self.level("enforce");
            let wrong = violations(pod, level);
            if !wrong.is_empty() {
                return Err(format!("violates PodSecurity \"{shown}\": {}", wrong.join(", ")));
            }
        }
        // Who enforces and says nothing of warnings is warned of what would be refused.
        let (warned, asked) = self.level("warn");
        let (level, shown) = if self.says("warn") { (warned, asked) } else { self.level("enforce") };
        let wrong = violations(pod, level);
        if !wrong.is_empty() {
            warnings.push(format!("would violate PodSecurity \"{shown}\": {}", wrong.join(", ")));
        }
        Ok(())
    }
}

fn violations(pod: &Json, level: Level) -> Vec<String> {
    let pod = Pod { annotations: pod.pointer("/metadata/annotations").unwrap_or(&Json::Null), spec: &pod["spec"] };
    let found = match level {
        Level::Privileged => Vec::new(),
        Level::Baseline => {
            let mut found = pod.baseline(true);
            found.sort_by_key(|(order, _)| *order);
            found
        }
        Level::Restricted => {
            let mut found = pod.baseline(false);
            found.sort_by_key(|(order, _)| *order);
            found.extend(pod.restricted().into_iter().map(|found| (0, found)));
            found
        }
    };
    found.into_iter().map(|(_, found)| found).collect()
}

struct Pod<'a> {
    annotations: &'a Json,
    spec: &'a Json,
}

const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];
const SELINUX_TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
const RESTRICTED_VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

fn quoted<S: AsRef<str>>(list: impl IntoIterator<Item = S>) -> String {
    let list: Vec<String> = list.into_iter().map(|one| format!("\"{}\"", one.as_ref())).collect();
    list.join(", ")
}

fn plural(one: &'static str, many: &'static str, count: usize) -> &'static str {
    if count == 1 { one } else { many }
}

fn containers_named(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// Who set something: the pod itself and some containers.
fn setters(pod: bool, containers: &[&str]) -> String {
    let mut setters = Vec::new();
    if pod {
        setters.push("pod".to_owned());
    }
    if !containers.is_empty() {
        setters.push(containers_named(containers));
    }
    setters.join(" and ")
}

impl<'a> Pod<'a> {
    fn containers(&self) -> impl Iterator<Item = (&'a str, &'a Json)> {
        let lists = ["/initContainers", "/containers", "/ephemeralContainers"];
        let spec = self.spec;
        lists.into_iter().flat_map(move |list| items(spec, list)).map(|container| (text(container, "/name"), container))
    }

    /// The names of those that are so.
    fn those(&self, wrong: impl Fn(&Json) -> bool) -> Vec<&'a str> {
        self.containers().filter(|(_, container)| wrong(container)).map(|(name, _)| name).collect()
    }

    /// The checks of the baseline with their place in the message. Some are left to the restricted ones, which ask more.
    fn baseline(&self, alone: bool) -> Vec<(u8, String)> {
        let mut found = Vec::new();
        let mut add = |order: u8, wrong: Option<String>| found.extend(wrong.map(|wrong| (order, wrong)));
        add(0, self.app_armor());
        if alone {
            add(1, self.added_capabilities());
            add(3, self.host_paths());
            add(9, self.unconfined());
        }
        add(2, self.host_namespaces());
        add(4, self.host_ports());
        add(5, self.probed_hosts());
        add(6, self.privileged());
        add(7, self.proc_mounts());
        add(8, self.selinux());
        add(10, self.sysctls());
        found
    }

    fn restricted(&self) -> Vec<String> {
        // The rules below are those of Linux; pods of others are let through by real servers too.
        [self.escalation(), self.capabilities(), self.volumes(), self.non_root(), self.root_user(), self.seccomp()]
            .into_iter()
            .flatten()
            .collect()
    }

    fn app_armor(&self) -> Option<String> {
        let allowed = |profile: &str| matches!(profile, "" | "RuntimeDefault" | "Localhost");
        let mut values = BTreeSet::new();
        let pod = text(self.spec, "/securityContext/appArmorProfile/type");
        let by_pod = !allowed(pod);
        if by_pod {
            values.insert(pod.to_owned());
        }
        let containers = self.those(|container| !allowed(text(container, "/securityContext/appArmorProfile/type")));
        for (_, container) in self.containers() {
            let profile = text(container, "/securityContext/appArmorProfile/type");
            if !allowed(profile) {
                values.insert(profile.to_owned());
            }
        }
        let mut annotations = 0;
        for (key, value) in entries(self.annotations, "") {
            let value = value.as_str().unwrap_or_default();
            let fine = value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
            if key.starts_with("container.apparmor.security.beta.kubernetes.io/") && !fine {
                annotations += 1;
                values.insert(format!("{key}=\"{value}\""));
            }
        }
        let mut said = setters(by_pod, &containers);
        if annotations > 0 {
            let by = plural("annotation", "annotations", annotations);
            said = if said.is_empty() { by.to_owned() } else { format!("{said} and {by}") };
        }
        (!values.is_empty()).then(|| {
            format!(
                "{} ({said} must not set AppArmor profile type to {})",
                plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len()),
                quoted(&values)
            )
        })
    }

    fn adders(&self, allowed: &[&str]) -> (Vec<&'a str>, BTreeSet<&'a str>) {
        let added = |container: &'a Json| {
            let list = items(container, "/securityContext/capabilities/add");
            list.iter().filter_map(Json::as_str).filter(|one| !allowed.contains(one)).collect::<Vec<&'a str>>()
        };
        let bad: Vec<_> = self.containers().map(|(name, container)| (name, added(container))).collect();
        let names = bad.iter().filter(|(_, added)| !added.is_empty()).map(|(name, _)| *name).collect();
        (names, bad.into_iter().flat_map(|(_, added)| added).collect())
    }

    fn added_capabilities(&self) -> Option<String> {
        let (names, added) = self.adders(&DEFAULT_CAPABILITIES);
        (!names.is_empty()).then(|| {
            format!(
                "non-default capabilities ({} must not include {} in securityContext.capabilities.add)",
                containers_named(&names),
                quoted(added)
            )
        })
    }

    fn host_namespaces(&self) -> Option<String> {
        let used: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
            .iter()
            .filter(|name| flag(self.spec, &format!("/{name}")))
            .map(|name| format!("{name}=true"))
            .collect();
        (!used.is_empty()).then(|| format!("host namespaces ({})", used.join(", ")))
    }

    fn host_paths(&self) -> Option<String> {
        let used: Vec<&str> = items(self.spec, "/volumes")
            .iter()
            .filter(|volume| set(volume, "/hostPath").is_some())
            .map(|volume| text(volume, "/name"))
            .collect();
        (!used.is_empty())
            .then(|| format!("hostPath volumes ({} {})", plural("volume", "volumes", used.len()), quoted(&used)))
    }

    fn host_ports(&self) -> Option<String> {
        let ports = |container: &Json| -> Vec<String> {
            let ports = items(container, "/ports").iter().filter_map(|port| number(port, "/hostPort"));
            ports.filter(|port| *port != 0).map(|port| port.to_string()).collect()
        };
        let names = self.those(|container| !ports(container).is_empty());
        let used: BTreeSet<String> = self.containers().flat_map(|(_, container)| ports(container)).collect();
        (!names.is_empty()).then(|| {
            format!(
                "hostPort ({} {} {} {})",
                containers_named(&names),
                plural("uses", "use", names.len()),
                plural("hostPort", "hostPorts", used.len()),
                used.into_iter().collect::<Vec<_>>().join(", ")
            )
        })
    }

    fn probed_hosts(&self) -> Option<String> {
        const HANDLERS: [&str; 5] =
            ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];
        let hosts = |container: &Json| -> Vec<String> {
            let places = HANDLERS.iter().flat_map(|at| [format!("{at}/httpGet/host"), format!("{at}/tcpSocket/host")]);
            places
                .map(|at| text(container, &at).to_owned())
                .filter(|host| !matches!(host.as_str(), "" | "127.0.0.1" | "::1"))
                .collect()
        };
        let names: BTreeSet<&str> = self.those(|container| !hosts(container).is_empty()).into_iter().collect();
        let names: Vec<&str> = names.into_iter().collect();
        let used: BTreeSet<String> = self.containers().flat_map(|(_, container)| hosts(container)).collect();
        (!names.is_empty()).then(|| {
            format!(
                "probe or lifecycle host ({} {} {} {})",
                containers_named(&names),
                plural("uses", "use", names.len()),
                plural("probe or lifecycle host", "probe or lifecycle hosts", used.len()),
                quoted(&used)
            )
        })
    }

    fn privileged(&self) -> Option<String> {
        let names = self.those(|container| flag(container, "/securityContext/privileged"));
        (!names.is_empty())
            .then(|| format!("privileged ({} must not set securityContext.privileged=true)", containers_named(&names)))
    }

    fn proc_mounts(&self) -> Option<String> {
        let mount = |container: &'a Json| text(container, "/securityContext/procMount");
        let names = self.those(|container| !matches!(text(container, "/securityContext/procMount"), "" | "Default"));
        let used: BTreeSet<&str> = self
            .containers()
            .map(|(_, container)| mount(container))
            .filter(|one| !matches!(*one, "" | "Default"))
            .collect();
        (!names.is_empty()).then(|| {
            let (names, used) = (containers_named(&names), quoted(used));
            format!("procMount ({names} must not set securityContext.procMount to {used})")
        })
    }

    fn selinux(&self) -> Option<String> {
        let at = "/securityContext/seLinuxOptions";
        let kind = |holder: &'a Json| text(holder, "/securityContext/seLinuxOptions/type");
        let bad = |holder: &Json| {
            let said = |name: &str| text(holder, &format!("{at}/{name}")).to_owned();
            !SELINUX_TYPES.contains(&said("type").as_str()) || !said("user").is_empty() || !said("role").is_empty()
        };
        let names = self.those(bad);
        let holders: Vec<&'a Json> =
            std::iter::once(self.spec).chain(self.containers().map(|(_, container)| container)).collect();
        let types: BTreeSet<&str> =
            holders.iter().map(|holder| kind(holder)).filter(|one| !SELINUX_TYPES.contains(one)).collect();
        let mut wrong = Vec::new();
        if !types.is_empty() {
            wrong.push(format!("{} {}", plural("type", "types", types.len()), quoted(types)));
        }
        for name in ["user", "role"] {
            if holders.iter().any(|holder| !text(holder, &format!("{at}/{name}")).is_empty()) {
                wrong.push(format!("{name} may not be set"));
            }
        }
        (!wrong.is_empty()).then(|| {
            let by = setters(bad(self.spec), &names);
            format!("seLinuxOptions ({by} set forbidden securityContext.seLinuxOptions: {})", wrong.join("; "))
        })
    }

    fn sysctls(&self) -> Option<String> {
        let set = items(self.spec, "/securityContext/sysctls").iter().map(|one| text(one, "/name"));
        let bad: Vec<&str> = set.filter(|name| !SYSCTLS.contains(name)).collect();
        (!bad.is_empty()).then(|| format!("forbidden sysctls ({})", bad.join(", ")))
    }

    /// Seccomp profiles that are set to what is not allowed.
    fn bad_profiles(&self) -> Option<String> {
        let profile = |holder: &'a Json| text(holder, "/securityContext/seccompProfile/type");
        let allowed = |profile: &str| matches!(profile, "" | "RuntimeDefault" | "Localhost");
        let names = self.those(|container| !allowed(text(container, "/securityContext/seccompProfile/type")));
        let all = std::iter::once(self.spec).chain(self.containers().map(|(_, container)| container));
        let values: BTreeSet<&str> = all.map(profile).filter(|one| !allowed(one)).collect();
        (!values.is_empty()).then(|| {
            let by = setters(!allowed(profile(self.spec)), &names);
            format!("seccompProfile ({by} must not set securityContext.seccompProfile.type to {})", quoted(values))
        })
    }

    fn unconfined(&self) -> Option<String> {
        self.bad_profiles()
    }

    fn seccomp(&self) -> Option<String> {
        if let Some(bad) = self.bad_profiles() {
            return Some(bad);
        }
        let at = "/securityContext/seccompProfile";
        if set(self.spec, at).is_some() {
            return None;
        }
        let names = self.those(|container| set(container, at).is_none());
        (!names.is_empty()).then(|| {
            format!(
                "seccompProfile (pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \
                 \"Localhost\")",
                containers_named(&names)
            )
        })
    }

    fn escalation(&self) -> Option<String> {
        let at = "/securityContext/allowPrivilegeEscalation";
        let names = self.those(|container| set(container, at) != Some(&Json::Bool(false)));
        (!names.is_empty()).then(|| {
            let names = containers_named(&names);
            format!(
                "allowPrivilegeEscalation != false ({names} must set securityContext.allowPrivilegeEscalation=false)"
            )
        })
    }

    fn capabilities(&self) -> Option<String> {
        let drops_all = |container: &Json| {
            items(container, "/securityContext/capabilities/drop").iter().any(|one| one.as_str() == Some("ALL"))
        };
        let missing = self.those(|container| !drops_all(container));
        let (adding, added) = self.adders(&["NET_BIND_SERVICE"]);
        let mut wrong = Vec::new();
        if !missing.is_empty() {
            let names = containers_named(&missing);
            wrong.push(format!("{names} must set securityContext.capabilities.drop=[\"ALL\"]"));
        }
        if !adding.is_empty() {
            let names = containers_named(&adding);
            wrong.push(format!("{names} must not include {} in securityContext.capabilities.add", quoted(added)));
        }
        (!wrong.is_empty()).then(|| format!("unrestricted capabilities ({})", wrong.join("; ")))
    }

    fn volumes(&self) -> Option<String> {
        let source =
            |volume: &'a Json| entries(volume, "").map(|(key, _)| key).find(|key| *key != "name").unwrap_or("unknown");
        let bad: Vec<(&str, &str)> = items(self.spec, "/volumes")
            .iter()
            .map(|volume| (text(volume, "/name"), source(volume)))
            .filter(|(_, source)| !RESTRICTED_VOLUMES.contains(source))
            .collect();
        let types: BTreeSet<&str> = bad.iter().map(|(_, source)| *source).collect();
        (!bad.is_empty()).then(|| {
            format!(
                "restricted volume types ({} {} {} {} {})",
                plural("volume", "volumes", bad.len()),
                quoted(bad.iter().map(|(name, _)| *name)),
                plural("uses", "use", bad.len()),
                plural("restricted volume type", "restricted volume types", types.len()),
                quoted(types)
            )
        })
    }

    fn non_root(&self) -> Option<String> {
        let said = |holder: &Json| holder.pointer("/securityContext/runAsNonRoot").and_then(Json::as_bool);
        let refusing = self.those(|container| said(container) == Some(false));
        let by_pod = said(self.spec);
        if by_pod == Some(false) || !refusing.is_empty() {
            let by = setters(by_pod == Some(false), &refusing);
            return Some(format!("runAsNonRoot != true ({by} must not set securityContext.runAsNonRoot=false)"));
        }
        let silent = self.those(|container| said(container).is_none());
        (by_pod.is_none() && !silent.is_empty()).then(|| {
            let names = containers_named(&silent);
            format!("runAsNonRoot != true (pod or {names} must set securityContext.runAsNonRoot=true)")
        })
    }

    fn root_user(&self) -> Option<String> {
        let is_root = |holder: &Json| number(holder, "/securityContext/runAsUser") == Some(0);
        let names = self.those(is_root);
        let by_pod = is_root(self.spec);
        (by_pod || !names.is_empty())
            .then(|| format!("runAsUser=0 ({} must not set runAsUser=0)", setters(by_pod, &names)))
    }
}
