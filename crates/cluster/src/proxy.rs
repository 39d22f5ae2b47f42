//! Which proxy leads to an API server.
//!
//! kubectl's rules: the kubeconfig's `proxy-url` wins; else HTTPS_PROXY, unless NO_PROXY names the host or the host is
//! this machine. kube-rs would apply HTTPS_PROXY to every cluster and match NO_PROXY against the proxy's own name.

use std::net::IpAddr;

use ipnet::IpNet;

/// The runner's proxy settings, as its environment has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// HTTPS_PROXY or https_proxy.
    pub https_proxy: Option<String>,
    /// NO_PROXY or no_proxy.
    pub no_proxy: Option<String>,
}

impl Proxies {
    /// The proxy for this API server, if the environment names one for it.
    pub(crate) fn for_server(&self, server: &http::Uri) -> Option<&str> {
        let proxy = self.https_proxy.as_deref().filter(|proxy| !proxy.is_empty())?;
        if server.scheme_str() != Some("https") {
            return None;
        }
        let host = server.host()?.trim_start_matches('[').trim_end_matches(']');
        (!is_here(host) && !self.excludes(host, server.port_u16().unwrap_or(443))).then_some(proxy)
    }

    fn excludes(&self, host: &str, port: u16) -> bool {
        let list = self.no_proxy.as_deref().unwrap_or_default();
        list.split([',', ' ']).map(str::trim).filter(|rule| !rule.is_empty()).any(|rule| matches(rule, host, port))
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn matches(rule: &str, host: &str, port: u16) -> bool {
    if rule == "*" {
        return true;
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        let net = rule.parse::<IpNet>().is_ok_and(|net| net.contains(&ip));
        return net || rule.parse::<IpAddr>().is_ok_and(|rule| rule == ip) || rule == format!("{host}:{port}");
    }
    let (name, only_port) = match rule.rsplit_once(':') {
        Some((name, digits)) => (name, digits.parse::<u16>().ok()),
        None => (rule, None),
    };
    if only_port.is_some_and(|only| only != port) {
        return false;
    }
    let name = name.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    host == name || host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_leads_where_kubectl_goes() {
        let proxies = Proxies {
            https_proxy: Some("http://proxy:3128".into()),
            no_proxy: Some("10.0.0.0/8, .corp.example, api.example.org:6443".into()),
        };
        for (server, by_proxy) in [
            ("https://api.other.org:6443", true),
            ("https://api.example.org:6443", false),
            ("https://api.example.org", true),
            ("https://k8s.corp.example", false),
            ("https://corp.example", false),
            ("https://notcorp.example", true),
            ("https://10.1.2.3:6443", false),
            ("https://192.0.2.1:6443", true),
            ("https://127.0.0.1:6443", false),
            ("https://[::1]:6443", false),
            ("https://localhost:6443", false),
            ("http://api.other.org", false),
        ] {
            assert_eq!(proxies.for_server(&server.parse().unwrap()).is_some(), by_proxy, "{server}");
        }
        assert_eq!(Proxies::default().for_server(&"https://a".parse().unwrap()), None);
    }
}
