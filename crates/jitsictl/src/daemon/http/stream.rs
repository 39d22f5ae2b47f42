//! `/events`: each notice as it happens, as server-sent events.

use std::time::Duration;

use futures::Stream;
use futures::stream::unfold;
use orchestrator::daemon::Notice;
use serde_json::Value as Json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A line comes at least this often, so that both sides know that the other is there.
const ALIVE: Duration = Duration::from_secs(15);

/// Where a stream of events stands.
enum Place {
    Beginning,
    Middle,
    End,
}

/// The events as text, until the listener is too slow or the daemon stops: the last event says which.
pub(super) fn of(notices: Receiver<Notice>, stop: CancellationToken) -> impl Stream<Item = String> + Send {
    unfold((notices, stop, Place::Beginning), |(mut notices, stop, place)| async move {
        let (text, place) = match place {
            Place::Beginning => (": from now on\n\n".to_owned(), Place::Middle),
            Place::Middle => next(&mut notices, &stop).await,
            Place::End => return None,
        };
        Some((text, (notices, stop, place)))
    })
}

async fn next(notices: &mut Receiver<Notice>, stop: &CancellationToken) -> (String, Place) {
    let told = tokio::select! {
        biased;
        told = timeout(ALIVE, notices.recv()) => told,
        () = stop.cancelled() => return (event("stopping", "{}"), Place::End),
    };
    match told {
        Err(_) => (": still here\n\n".to_owned(), Place::Middle),
        Ok(Ok(notice)) => (written(&notice), Place::Middle),
        Ok(Err(RecvError::Lagged(missed))) => (event("dropped", &format!("{{\"missed\":{missed}}}")), Place::End),
        Ok(Err(RecvError::Closed)) => (event("stopping", "{}"), Place::End),
    }
}

fn written(notice: &Notice) -> String {
    let json = serde_json::to_value(notice).unwrap_or(Json::Null);
    let name = json.get("event").and_then(Json::as_str).unwrap_or("notice");
    event(name, &json.to_string())
}

fn event(name: &str, json: &str) -> String {
    format!("event: {name}\ndata: {json}\n\n")
}
