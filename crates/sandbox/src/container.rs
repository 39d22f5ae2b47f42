//! What a container really gets: its environment and its mounted files, resolved as the kubelet does.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, KeyToPath, Pod, Secret, Volume};
use kube::ResourceExt;

use crate::cache::Cache;

/// Why a container cannot be created yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unready {
    /// The `reason` of its waiting state.
    pub(crate) reason: &'static str,
    /// The `message` of its waiting state.
    pub(crate) message: String,
}

impl Unready {
    fn config(message: String) -> Self {
        Self { reason: "CreateContainerConfigError", message }
    }

    fn volume(volume: &str, message: &str) -> Self {
        Self {
            reason: "ContainerCreating",
            message: format!("MountVolume.SetUp failed for volume \"{volume}\" : {message}"),
        }
    }
}

/// A file as the container sees it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Its absolute path.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
    /// Mounted alone: such a file never follows its ConfigMap.
    pub(crate) frozen: bool,
}

// May hold secrets.
impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Where ConfigMaps and Secrets are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) config_maps: &'a Cache<ConfigMap>,
    pub(crate) secrets: &'a Cache<Secret>,
}

/// What the node adds to a pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) node: &'a str,
    pub(crate) pod_ip: &'a str,
}

impl Sources<'_> {
    fn config_map(&self, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
        let map = self.config_maps.get(namespace, name)?;
        let mut data = map.data.clone().unwrap_or_default();
        for (key, bytes) in map.binary_data.iter().flatten() {
            data.insert(key.clone(), String::from_utf8_lossy(&bytes.0).into_owned());
        }
        Some(data)
    }

    fn secret(&self, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
        let secret = self.secrets.get(namespace, name)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(secret.data.iter().flatten().map(|(key, bytes)| (key.clone(), text(&bytes.0))).collect())
    }

    /// The environment of a container.
    ///
    /// # Errors
    /// When a ConfigMap, a Secret or a key that is not optional is missing.
    pub(crate) fn env(
        &self,
        pod: &Pod,
        container: &Container,
        around: Surroundings<'_>,
    ) -> Result<BTreeMap<String, String>, Unready> {
        let namespace = pod.namespace().unwrap_or_default();
        let mut env = BTreeMap::new();
        for from in container.env_from.iter().flatten() {
            let prefix = from.prefix.clone().unwrap_or_default();
            let (what, name, optional, data) = if let Some(from) = &from.config_map_ref {
                ("configmap", &from.name, from.optional, self.config_map(&namespace, &from.name))
            } else if let Some(from) = &from.secret_ref {
                ("secret", &from.name, from.optional, self.secret(&namespace, &from.name))
            } else {
                continue;
            };
            match data {
                Some(data) => env.extend(data.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value))),
                None if optional == Some(true) => {}
                None => return Err(Unready::config(format!("{what} \"{name}\" not found"))),
            }
        }
        for var in container.env.iter().flatten() {
            if let Some(value) = self.variable(pod, &namespace, var, &env, around)? {
                env.insert(var.name.clone(), value);
            }
        }
        Ok(env)
    }

    fn variable(
        &self,
        pod: &Pod,
        namespace: &str,
        var: &EnvVar,
        before: &BTreeMap<String, String>,
        around: Surroundings<'_>,
    ) -> Result<Option<String>, Unready> {
        let Some(from) = &var.value_from else {
            return Ok(Some(expand(var.value.as_deref().unwrap_or_default(), before)));
        };
        if let Some(field) = &from.field_ref {
            return Ok(Some(field_of(pod, &field.field_path, around)));
        }
        let (what, name, key, optional, data) = if let Some(from) = &from.secret_key_ref {
            ("secret", &from.name, &from.key, from.optional, self.secret(namespace, &from.name))
        } else if let Some(from) = &from.config_map_key_ref {
            ("configmap", &from.name, &from.key, from.optional, self.config_map(namespace, &from.name))
        } else {
            return Ok(Some(String::new()));
        };
        match data {
            Some(mut data) => match data.remove(key) {
                Some(value) => Ok(Some(value)),
                None if optional == Some(true) => Ok(None),
                None => {
                    let title = if what == "secret" { "Secret" } else { "ConfigMap" };
                    Err(Unready::config(format!("couldn't find key {key} in {title} {namespace}/{name}")))
                }
            },
            None if optional == Some(true) => Ok(None),
            None => Err(Unready::config(format!("{what} \"{name}\" not found"))),
        }
    }

    /// The files of a container, in the order of its mounts.
    ///
    /// # Errors
    /// When a ConfigMap, a Secret or a key that is not optional is missing.
    pub(crate) fn files(&self, pod: &Pod, container: &Container) -> Result<Vec<File>, Unready> {
        let namespace = pod.namespace().unwrap_or_default();
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
        let mut files = Vec::new();
        for mount in container.volume_mounts.iter().flatten() {
            let Some(volume) = volumes.iter().find(|volume| volume.name == mount.name) else { continue };
            let Some(entries) = self.volume(&namespace, volume)? else { continue };
            let folder = mount.mount_path.trim_end_matches('/');
            match mount.sub_path.as_deref().filter(|path| !path.is_empty()) {
                Some(sub) => {
                    for (path, text) in entries {
                        let path = if path == sub {
                            folder.to_owned()
                        } else if let Some(rest) = path.strip_prefix(&format!("{sub}/")) {
                            format!("{folder}/{rest}")
                        } else {
                            continue;
                        };
                        files.push(File { path, text, frozen: true });
                    }
                }
                None => files.extend(entries.into_iter().map(|(path, text)| File {
                    path: format!("{folder}/{path}"),
                    text,
                    frozen: false,
                })),
            }
        }
        Ok(files)
    }

    /// The relative paths and texts of a volume; nothing for those that start empty.
    fn volume(&self, namespace: &str, volume: &Volume) -> Result<Option<Vec<(String, String)>>, Unready> {
        let at = volume.name.as_str();
        if let Some(source) = &volume.config_map {
            let data = self.config_map(namespace, &source.name);
            return project(at, "configmap", &source.name, data, source.items.as_deref(), source.optional).map(Some);
        }
        if let Some(source) = &volume.secret {
            let name = source.secret_name.clone().unwrap_or_default();
            let data = self.secret(namespace, &name);
            return project(at, "secret", &name, data, source.items.as_deref(), source.optional).map(Some);
        }
        let Some(projected) = &volume.projected else { return Ok(None) };
        let mut entries = Vec::new();
        for source in projected.sources.iter().flatten() {
            if let Some(source) = &source.config_map {
                let data = self.config_map(namespace, &source.name);
                let items = source.items.as_deref();
                entries.extend(project(at, "configmap", &source.name, data, items, source.optional)?);
            } else if let Some(source) = &source.secret {
                let data = self.secret(namespace, &source.name);
                let items = source.items.as_deref();
                entries.extend(project(at, "secret", &source.name, data, items, source.optional)?);
            }
        }
        Ok(Some(entries))
    }
}

fn project(
    volume: &str,
    what: &str,
    name: &str,
    data: Option<BTreeMap<String, String>>,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
) -> Result<Vec<(String, String)>, Unready> {
    let Some(data) = data else {
        let missing = || Unready::volume(volume, &format!("{what} \"{name}\" not found"));
        return if optional == Some(true) { Ok(Vec::new()) } else { Err(missing()) };
    };
    match items.filter(|items| !items.is_empty()) {
        None => Ok(data.into_iter().collect()),
        Some(items) => {
            let mut entries = Vec::new();
            for item in items {
                match data.get(&item.key) {
                    Some(text) => entries.push((item.path.clone(), text.clone())),
                    None if optional == Some(true) => {}
                    None => return Err(Unready::volume(volume, "references non-existent config key")),
                }
            }
            Ok(entries)
        }
    }
}

fn field_of(pod: &Pod, path: &str, around: Surroundings<'_>) -> String {
    let quoted = |prefix: &str| {
        path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix("['")).and_then(|rest| rest.strip_suffix("']"))
    };
    match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "spec.nodeName" => around.node.to_owned(),
        "spec.serviceAccountName" => {
            pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
        }
        "status.podIP" | "status.podIPs" => around.pod_ip.to_owned(),
        "status.hostIP" | "status.hostIPs" => "127.0.0.1".to_owned(),
        _ => quoted("metadata.labels")
            .and_then(|key| pod.labels().get(key))
            .or_else(|| quoted("metadata.annotations").and_then(|key| pod.annotations().get(key)))
            .cloned()
            .unwrap_or_default(),
    }
}

/// Expands `$(NAME)`; `$$` is a dollar, and what is not known stays as it is.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("$(").and_then(|inner| inner.split_once(')')) {
            match env.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AROUND: Surroundings<'static> = Surroundings { node: "n1", pod_ip: "10.0.0.7" };

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "jvb-0", "namespace": "media", "labels": { "a/b": "c" } },
            "spec": {
                "containers": [{
                    "name": "jvb",
                    "env": [
                        { "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                        { "name": "NICK", "value": "fra-$(POD_NAME) $$(X) $(Y)" },
                        { "name": "LABEL", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['a/b']" } } },
                        { "name": "PW", "valueFrom": { "secretKeyRef": { "name": "pw", "key": "JVB" } } },
                    ],
                    "volumeMounts": [
                        { "name": "wiring", "mountPath": "/etc/wiring" },
                        { "name": "wiring", "mountPath": "/config/x.conf", "subPath": "x.conf" },
                        { "name": "run", "mountPath": "/run" },
                    ],
                }],
                "volumes": [{ "name": "wiring", "configMap": { "name": "wiring" } }, { "name": "run", "emptyDir": {} }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_is_missing_is_named_and_what_is_there_is_resolved() {
        let (config_maps, secrets) = (Cache::new(|_| vec![]), Cache::new(|_| vec![]));
        let sources = Sources { config_maps: &config_maps, secrets: &secrets };
        let pod = pod();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let why = sources.env(&pod, container, AROUND).unwrap_err();
        assert_eq!((why.reason, why.message.as_str()), ("CreateContainerConfigError", "secret \"pw\" not found"));
        let why = sources.files(&pod, container).unwrap_err();
        assert!(why.message.ends_with("configmap \"wiring\" not found"), "{why:?}");

        let meta = |name: &str| json!({ "name": name, "namespace": "media" });
        secrets.apply(serde_json::from_value(json!({ "metadata": meta("pw") })).unwrap());
        let why = sources.env(&pod, container, AROUND).unwrap_err();
        assert_eq!(why.message, "couldn't find key JVB in Secret media/pw");
        secrets.apply(serde_json::from_value(json!({ "metadata": meta("pw"), "data": { "JVB": "czNj" } })).unwrap());
        config_maps
            .apply(serde_json::from_value(json!({ "metadata": meta("wiring"), "data": { "x.conf": "1" } })).unwrap());

        let env = sources.env(&pod, container, AROUND).unwrap();
        assert_eq!(env["NICK"], "fra-jvb-0 $(X) $(Y)");
        assert_eq!((env["LABEL"].as_str(), env["PW"].as_str()), ("c", "s3c"));
        let files = sources.files(&pod, container).unwrap();
        let seen: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.frozen)).collect();
        assert_eq!(seen, [("/etc/wiring/x.conf", false), ("/config/x.conf", true)]);
    }
}
