//! The HTTP client under a [`Cluster`](crate::Cluster): kube-rs's layers over connections that wait for nothing.
//!
//! kube-rs leaves Nagle's algorithm on (its connector is hyper's, whose default that is). The first request of a
//! connection then waits until the server has acknowledged the end of the TLS handshake, which it puts off for 40 ms: for
//! each of a dozen LISTs at once, and for each repair that finds no idle connection.

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Builder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

/// A client for this configuration; no request is sent.
///
/// Proxies, and programs that yield credentials, are left to kube-rs's own client: the first have connectors of their
/// own, and of the second nothing else tells how long a certificate is good for.
///
/// # Errors
/// When credentials or certificates can't be used.
pub(crate) fn of(config: Config) -> kube::Result<Client> {
    let credentials = &config.auth_info;
    if config.proxy_url.is_some() || credentials.exec.is_some() || credentials.auth_provider.is_some() {
        return Client::try_from(config);
    }
    let mut tcp = HttpConnector::new();
    // TLS is put on top of it.
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(Builder::new(TokioExecutor::new()).build(connector));
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}
