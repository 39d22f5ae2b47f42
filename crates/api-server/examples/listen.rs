//! An empty cluster on a loopback port, for kubectl: `cargo run -p api-server --example listen -- 8001`, then
//! `kubectl --server http://127.0.0.1:8001 get namespaces`.

use api_server::http::{Hooks, listen};
use api_server::{ApiServer, Options, User};
use clock::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8001);
    let name = "example".to_owned();
    let server = ApiServer::new(Options { name, clock: Clock::machine(), seed: 1, custom_kinds: true });
    let hooks = Hooks { stranger: Some(User::admin()), ..Hooks::default() };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let stop = CancellationToken::new();
    tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => interrupted,
        ended = listen(server, listener, None, hooks, stop.clone()) => ended,
    }
}
