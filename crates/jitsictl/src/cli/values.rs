//! Values of options that are more than a word.

use std::str::FromStr;

use fleet::{ShardName, Slot};
use manifest::Target;

/// `key.path=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The path of the key.
    pub key: String,
    /// The value, as text.
    pub value: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if key.split('.').all(|part| !part.is_empty()) => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err("write key.path=value, for example control.web.replicas=3".to_owned()),
        }
    }
}

/// `shard/slot=host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointArg {
    /// The shard.
    pub shard: ShardName,
    /// The slot.
    pub slot: Slot,
    /// Where it is reached.
    pub target: Target,
}

impl FromStr for EndpointArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write shard/slot=host:port, for example alpha/a=198.51.100.7:5222".to_owned();
        let (slot, address) = text.split_once('=').ok_or_else(form)?;
        let (shard, slot) = slot.split_once('/').ok_or_else(form)?;
        let slot = Slot::ALL.into_iter().find(|known| known.as_str() == slot).ok_or_else(form)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(form)?;
        let port = port.parse().map_err(|_| form())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let target = match host.parse() {
            Ok(ip) => Target::Ips { ips: vec![ip], port },
            Err(_) if host.is_empty() => return Err(form()),
            Err(_) => Target::Host { host: host.to_owned(), port },
        };
        Ok(Self { shard: shard.parse().map_err(|error: fleet::InvalidName| error.to_string())?, slot, target })
    }
}

/// An `http` or `https` URL. It may be a secret by itself: it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookArg(pub url::Url);

impl std::fmt::Debug for WebhookArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WebhookArg").field(&self.0.host_str()).finish()
    }
}

impl FromStr for WebhookArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = text.parse::<url::Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        url.map(Self).ok_or_else(|| "write it with https://".to_owned())
    }
}

/// `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountArg {
    /// The namespace of a ServiceAccount.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl FromStr for AccountArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_label = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
        };
        match text.split_once('/') {
            Some((namespace, name)) if is_label(namespace) && is_label(name) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err("write namespace/name, for example jitsi/jitsictl".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses_or_names() {
        let ip: EndpointArg = "alpha/b=[2001:db8::1]:5223".parse().unwrap();
        assert_eq!(ip.slot, Slot::B);
        assert_eq!(ip.target, Target::Ips { ips: vec!["2001:db8::1".parse().unwrap()], port: 5223 });
        let name: EndpointArg = "alpha/a=xmpp.example.org:5222".parse().unwrap();
        assert_eq!(name.target, Target::Host { host: "xmpp.example.org".into(), port: 5222 });
        for bad in ["alpha=x:1", "alpha/c=x:1", "alpha/a=x", "alpha/a=:5222", "Alpha/a=x:1"] {
            assert!(bad.parse::<EndpointArg>().is_err(), "{bad}");
        }
    }
}
