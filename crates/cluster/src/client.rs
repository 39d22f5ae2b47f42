//! The HTTP client under a [`Cluster`](crate::Cluster): kube-rs's layers over connections that wait for nothing.
//!
//! kube-rs leaves Nagle's algorithm on (its connector is hyper's, whose default that is). The first request of a
//! connection then waits until the server has acknowledged the end of the TLS handshake, which it puts off for 40 ms: for
//! each of a dozen LISTs at once, and for each repair that finds no idle connection.

use std::sync::Arc;

use http::Request;
use http::header::AUTHORIZATION;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Builder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use tower::util::MapRequestLayer;
use tower::{BoxError, ServiceBuilder};

use crate::login::Login;

/// A client for this configuration; no request is sent. What a login gives goes with each request, as it is then.
///
/// Proxies are left to kube-rs's own client, which has connectors for them.
///
/// # Errors
/// When credentials or certificates can't be used.
pub(crate) fn of(config: Config, login: Option<Arc<Login>>) -> kube::Result<Client> {
    let sign = MapRequestLayer::new(move |mut request: Request<Body>| {
        if let Some(token) = login.as_ref().and_then(|login| login.token()) {
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        request
    });
    if config.proxy_url.is_some() {
        return Ok(ClientBuilder::try_from(config)?.with_layer(&sign).build());
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
        .layer(sign)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(Builder::new(TokioExecutor::new()).build(connector));
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}
