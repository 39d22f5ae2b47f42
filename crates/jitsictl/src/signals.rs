//! What ends a command from outside.

use futures::{Stream, StreamExt as _, stream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Error;

/// SIGTERM and SIGINT, from now on: they end nothing by themselves any more.
pub(crate) fn signals() -> Result<impl Stream<Item = ()> + Unpin, Error> {
    let failed = |error: std::io::Error| {
        Error::failed(format!("cannot listen for signals: {error}"), "look at this user's limits (ulimit -n)")
    };
    let of = |mut signal: Signal| stream::poll_fn(move |context| signal.poll_recv(context));
    let (term, int) =
        (signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::interrupt()).map_err(failed)?);
    Ok(stream::select(of(term), of(int)).boxed())
}
