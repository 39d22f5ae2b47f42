//! Certificates for what listens on loopback: made anew for each listener, signed by themselves.

use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// What a listener needs, and the certificate in PEM for those who are to trust it.
pub(crate) fn make() -> Result<(TlsAcceptor, String), String> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
        .map_err(|error| format!("no certificate can be made: {error}"))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(vec![made.cert.der().clone()], key))
        .map_err(|error| format!("the certificate cannot be used: {error}"))?;
    Ok((TlsAcceptor::from(Arc::new(config)), made.cert.pem()))
}
