//! Credentials for somebody else: an account with its rights, a token of it, and a kubeconfig that holds the token.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::rights::{Account, Grant};
use crate::wire::{APPLY, JSON, Request, escape};
use crate::{Cluster, ClusterError, ErrorKind, Kubeconfigs, SecretBytes};

/// Nobody else writes what an account may do.
const MANAGER: &str = "jitsictl/credentials";

/// A token of a ServiceAccount.
#[derive(Debug)]
pub struct Token {
    /// It opens the cluster: for files of mode 0600, nothing else.
    pub secret: SecretBytes,
    /// From then on it is refused. The server may have shortened or lengthened what was asked for.
    pub expires: Timestamp,
}

impl Cluster {
    /// Creates an object that grants something, or puts it right.
    ///
    /// # Errors
    /// When the server refuses: nobody can grant what they may not do themselves.
    pub async fn grant(&self, grant: &Grant) -> Result<(), ClusterError> {
        let path = format!("{}/{}/{}", folder(grant), grant.plural, escape(&grant.name));
        let request = Request::path("patch", Method::PATCH, path, grant.plural)
            .query("fieldManager", MANAGER)
            .query("fieldValidation", "Strict")
            .query("force", "true")
            .send(APPLY, &grant.body);
        self.call(request).await.map(drop)
    }

    /// Asks for a token of an account.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn token(&self, account: &Account, lasting: Duration) -> Result<Token, ClusterError> {
        let Account { namespace, name } = account;
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", escape(namespace), escape(name));
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": { "expirationSeconds": lasting.as_secs() },
        });
        let request = Request::path("create", Method::POST, path, "serviceaccounts/token").send(JSON, &body);
        let answer: Json = self.read(request).await?;
        let status = |key: &str| answer.get("status")?.get(key)?.as_str();
        let token = status("token").filter(|token| !token.is_empty());
        let expires = status("expirationTimestamp").and_then(|text| text.parse().ok());
        match (token, expires) {
            (Some(token), Some(expires)) => Ok(Token { secret: SecretBytes::new(token.into()), expires }),
            _ => Err(self.error(ErrorKind::Garbled("a token request without a token".to_owned()))),
        }
    }
}

fn folder(grant: &Grant) -> String {
    let group = if grant.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/v1", grant.group) };
    match &grant.namespace {
        Some(namespace) => format!("{group}/namespaces/{}", escape(namespace)),
        None => group,
    }
}

impl Kubeconfigs {
    /// A kubeconfig with one context, of the same name and for the same server, that logs in with this token. It stands
    /// alone: what the original keeps in files is in it.
    ///
    /// # Errors
    /// With the reason, when the context is unknown, or a file that it names can't be read.
    pub fn with_token(&self, context: &str, namespace: &str, token: &Token) -> Result<Json, String> {
        let merged = self.merged();
        let named = merged.contexts.iter().find(|named| named.name == context).and_then(|named| named.context.as_ref());
        let cluster = named.map(|named| named.cluster.as_str());
        let found = merged.clusters.iter().find(|named| Some(named.name.as_str()) == cluster);
        let found = found.and_then(|named| named.cluster.as_ref());
        let Some(found) = found else {
            return Err(format!("the kubeconfig says of no server where context `{context}` leads"));
        };
        let mut server = json!({ "server": found.server });
        if let Some(data) = &found.certificate_authority_data {
            server["certificate-authority-data"] = json!(data);
        } else if let Some(file) = &found.certificate_authority {
            let bytes = std::fs::read(Path::new(file)).map_err(|error| format!("{file}: {error}"))?;
            server["certificate-authority-data"] = json!(STANDARD.encode(bytes));
        }
        for (key, value) in [("tls-server-name", &found.tls_server_name), ("proxy-url", &found.proxy_url)] {
            if let Some(value) = value {
                server[key] = json!(value);
            }
        }
        if found.insecure_skip_tls_verify == Some(true) {
            server["insecure-skip-tls-verify"] = json!(true);
        }
        let token = String::from_utf8(token.secret.expose().to_vec()).map_err(|_| "the token is no text".to_owned())?;
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": context, "cluster": server }],
            "users": [{ "name": context, "user": { "token": token } }],
            "contexts": [
                { "name": context, "context": { "cluster": context, "user": context, "namespace": namespace } },
            ],
            "current-context": context,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_kubeconfig_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "certificate").unwrap();
        let path = folder.path().join("config");
        let config = json!({
            "apiVersion": "v1", "kind": "Config",
            "clusters": [{ "name": "c", "cluster": {
                "server": "https://192.0.2.1:6443", "certificate-authority": "ca.pem", "tls-server-name": "api",
            } }],
            "users": [{ "name": "admin", "user": { "token": "of-an-admin" } }],
            "contexts": [{ "name": "fra", "context": { "cluster": "c", "user": "admin" } }],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        let kubeconfigs = Kubeconfigs::load(Some(&path), None, None).unwrap();
        let token = Token { secret: SecretBytes::new(b"sesame".to_vec()), expires: Timestamp::UNIX_EPOCH };
        assert!(!format!("{token:?}").contains("sesame"));

        let made = kubeconfigs.with_token("fra", "media", &token).unwrap();
        assert_eq!(made["clusters"][0]["cluster"]["certificate-authority-data"], "Y2VydGlmaWNhdGU=");
        assert_eq!(made["clusters"][0]["cluster"]["tls-server-name"], "api");
        assert_eq!(made["users"][0]["user"]["token"], "sesame");
        assert!(!made.to_string().contains("of-an-admin"));
        assert_eq!(made["contexts"][0]["name"], "fra");
        assert!(kubeconfigs.with_token("sin", "media", &token).unwrap_err().contains("`sin`"));
    }
}
