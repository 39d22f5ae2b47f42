//! The stand-in kubelet's HTTPS side: what the API server asks of it. Port-forward over a websocket, and logs.

use std::{convert::Infallible, sync::Arc};

use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use crate::{
    certificate,
    daemon::{Daemon, Wire, rest},
    error::SandboxError,
    state::{PodKey, Shared},
};

const PROTOCOL: &str = "v4.channel.k8s.io";
const BUFFER: usize = 64 * 1024;

/// A listener that is not served yet.
pub(crate) struct Kubelet {
    listener: TcpListener,
    tls: TlsAcceptor,
    /// The port that nodes announce.
    pub(crate) port: u16,
}

impl Kubelet {
    /// Listens on a free port of the loopback, with a certificate of its own.
    pub(crate) async fn bind(cluster: &str) -> Result<Self, SandboxError> {
        let failed = |what, why: String| SandboxError::Kubelet { cluster: cluster.to_owned(), what, why };
        let (tls, _) = certificate::make().map_err(|why| failed("offer TLS", why))?;
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| failed("listen", error.to_string()))?;
        let port = listener.local_addr().map_err(|error| failed("listen", error.to_string()))?.port();
        Ok(Self { listener, tls, port })
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(self, shared: Arc<Shared>, cluster: usize) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let (tls, shared) = (self.tls.clone(), Arc::clone(&shared));
            let stop = shared.stop.clone();
            let connection = async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = service_fn(|request| {
                    let answer = answer(&shared, cluster, request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                if let Err(error) = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
                    tracing::trace!(%error, "a connection of the API server ended early");
                }
            };
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = connection => {}
                }
            });
        }
    }
}

/// What a kubelet answers to an API server.
pub(crate) fn answer(
    shared: &Arc<Shared>,
    cluster: usize,
    mut request: http::Request<Incoming>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let key = |namespace: &str, name: &str| PodKey { cluster, namespace: namespace.into(), name: name.into() };
    match segments[..] {
        ["healthz"] => rest::text(StatusCode::OK, "ok"),
        ["containerLogs", namespace, pod, container] => match shared.instance(&key(namespace, pod)) {
            Some(instance) => {
                let lines = instance.log(container).lines();
                rest::text(StatusCode::OK, &lines.into_iter().map(|line| line + "\n").collect::<String>())
            }
            None => rest::text(StatusCode::NOT_FOUND, "no such pod runs here"),
        },
        ["portForward", namespace, pod, ..] => {
            let key = key(namespace, pod);
            if shared.instance(&key).is_none() {
                return rest::text(StatusCode::NOT_FOUND, &format!("pod {namespace}/{pod} does not run here"));
            }
            upgrade(shared, key, &mut request)
        }
        _ => rest::text(StatusCode::NOT_FOUND, "the stand-in kubelet has no such page"),
    }
}

fn ports(request: &http::Request<Incoming>) -> Option<Vec<u16>> {
    let mut ports = Vec::new();
    for pair in request.uri().query()?.split('&') {
        if let Some(list) = pair.strip_prefix("port=").or_else(|| pair.strip_prefix("ports=")) {
            for port in list.replace("%2C", ",").split(',') {
                ports.push(port.parse().ok()?);
            }
        }
    }
    (!ports.is_empty()).then_some(ports)
}

fn upgrade(shared: &Arc<Shared>, key: PodKey, request: &mut http::Request<Incoming>) -> Response<Full<Bytes>> {
    let headers = request.headers();
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let speaks = offered.flat_map(|list| list.split(',')).any(|protocol| protocol.trim() == PROTOCOL);
    let (Some(nonce), true) = (headers.get(header::SEC_WEBSOCKET_KEY), speaks) else {
        return rest::text(
            StatusCode::NOT_IMPLEMENTED,
            "the stand-in kubelet forwards ports over a websocket with v4.channel.k8s.io only, and kubectl does not speak \
             that",
        );
    };
    let Some(ports) = ports(request) else {
        return rest::text(StatusCode::BAD_REQUEST, "query parameter \"port\" is required");
    };
    let accept = derive_accept_key(nonce.as_bytes());
    let Ok(accept) = HeaderValue::from_str(&accept) else {
        return rest::text(StatusCode::BAD_REQUEST, "bad websocket key");
    };
    let upgraded = hyper::upgrade::on(request);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        let stop = shared.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = forward(&shared, &key, &ports, socket) => {}
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    response
}

/// Each port has two channels, data and errors; the first frame on each is the port.
async fn forward<S>(shared: &Arc<Shared>, key: &PodKey, ports: &[u16], mut socket: WebSocketStream<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (to_client, mut outgoing) = mpsc::channel::<(u8, Vec<u8>)>(16);
    let mut writers: Vec<Option<WriteHalf<DuplexStream>>> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let Ok(channel) = u8::try_from(index * 2) else { return };
        let [low, high] = port.to_le_bytes();
        for channel in [channel, channel + 1] {
            if socket.send(Message::binary(vec![channel, low, high])).await.is_err() {
                return;
            }
        }
        match shared.instance(key).and_then(|instance| instance.listener(*port)) {
            Some((wire, daemon)) => {
                let (ours, theirs) = tokio::io::duplex(BUFFER);
                tokio::spawn(speak(wire, daemon, *port, theirs));
                let (reader, writer) = tokio::io::split(ours);
                writers.push(Some(writer));
                tokio::spawn(read_out(reader, channel, to_client.clone()));
            }
            None => {
                let text = format!(
                    "error forwarding port {port} to pod {}, uid : failed to connect to localhost:{port} inside \
                     namespace \"{}\": connection refused",
                    key.name, key.namespace
                );
                writers.push(None);
                let mut frame = vec![channel + 1];
                frame.extend(text.into_bytes());
                if socket.send(Message::binary(frame)).await.is_err() {
                    return;
                }
            }
        }
    }
    drop(to_client);
    loop {
        tokio::select! {
            biased;
            out = outgoing.recv() => match out {
                Some((channel, bytes)) => {
                    let mut frame = vec![channel];
                    frame.extend(bytes);
                    if socket.send(Message::binary(frame)).await.is_err() {
                        return;
                    }
                }
                // Every daemon closed its side.
                None => {
                    let _ = socket.close(None).await;
                    return;
                }
            },
            frame = socket.next() => match frame {
                Some(Ok(Message::Binary(bytes))) => {
                    let Some((channel, bytes)) = bytes.split_first() else { continue };
                    if let Some(Some(writer)) = writers.get_mut(usize::from(channel / 2))
                        && channel % 2 == 0
                        && writer.write_all(bytes).await.is_err()
                    {
                        return;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

async fn read_out(mut reader: ReadHalf<DuplexStream>, channel: u8, to: mpsc::Sender<(u8, Vec<u8>)>) {
    let mut buffer = vec![0; BUFFER / 4];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                if to.send((channel, bytes)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The daemon's end of a connection; cut when the daemon ends.
async fn speak(wire: Wire, daemon: Arc<Daemon>, port: u16, stream: DuplexStream) {
    let ended = daemon.ended();
    let talk = async move {
        match wire {
            Wire::Http => rest::serve(stream, daemon.answers_after, move |request| daemon.http(port, &request)).await,
            Wire::Lines => {
                let mut stream = BufReader::new(stream);
                let mut prompts = false;
                let mut line = String::new();
                while stream.read_line(&mut line).await.is_ok_and(|length| length > 0) {
                    let toggles = line.trim() == "prompt";
                    prompts ^= toggles;
                    let answer = if toggles { "\n".to_owned() } else { daemon.line(line.trim()) };
                    let prompt = if prompts { "> " } else { "" };
                    if stream.write_all(format!("{answer}{prompt}").as_bytes()).await.is_err() || !prompts {
                        break;
                    }
                    line.clear();
                }
                let _ = stream.shutdown().await;
            }
        }
    };
    tokio::select! {
            biased;
        () = ended.cancelled() => {}
        () = talk => {}
    }
}
