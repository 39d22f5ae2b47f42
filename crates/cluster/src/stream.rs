//! Port-forwards: byte streams to a port of a pod, through the API server. Disposable: when one breaks, nothing is
//! known but that it broke.

use std::pin::Pin;
use std::task::{Context, Poll};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::Portforwarder;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::refusal::Refusal;
use crate::wire::Failure;
use crate::{Cluster, ClusterError, ErrorKind};

/// A stream to a port of a pod. It ends when it is dropped.
pub struct ByteStream {
    stream: DuplexStream,
    forwarder: Portforwarder,
}

impl Cluster {
    /// Opens a stream to a port of a pod in the fleet's namespace.
    ///
    /// # Errors
    /// When the pod is not there, we may not, or it takes too long.
    pub async fn port_forward(&self, pod: &str, port: u16) -> Result<ByteStream, ClusterError> {
        let request = self.pod("create", http::Method::GET, pod).resource("pods/portforward");
        let deadline = self.0.limits.stream;
        let pods: Api<Pod> = Api::namespaced(self.0.client.clone(), self.namespace());
        let credentials = self.credentials().await.map_err(|kind| self.error(kind))?;
        let opened = tokio::time::timeout(deadline, pods.portforward(pod, &[port])).await;
        let code = match &opened {
            Ok(Ok(_)) => 101,
            Ok(Err(kube::Error::Api(status))) => status.code,
            Ok(Err(_)) | Err(_) => 0,
        };
        self.heard("connect", code, credentials);
        let mut forwarder = match opened {
            Ok(Ok(forwarder)) => forwarder,
            Ok(Err(kube::Error::Api(status))) => {
                let refusal = Refusal::said(status.code, status.reason, status.message);
                return Err(self.explain(Failure::Refused(refusal), &request));
            }
            Ok(Err(error)) => return Err(self.error(self.transport(&error))),
            Err(_) => {
                let kind = ErrorKind::Timeout { address: self.address().to_owned(), after: deadline };
                return Err(self.error(kind));
            }
        };
        match forwarder.take_stream(port) {
            Some(stream) => Ok(ByteStream { stream, forwarder }),
            None => Err(self.error(ErrorKind::Garbled(format!("a port-forward without port {port}")))),
        }
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        // Otherwise its task would hold the connection until the other side ends it.
        self.forwarder.abort();
    }
}

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByteStream(..)")
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
