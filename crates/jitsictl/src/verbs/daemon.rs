//! `jitsictl daemon`: keeps the fleet as its file says, until it is told to stop.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use cluster::Proxies;
use orchestrator::Place;
use orchestrator::daemon::{DaemonOptions, Pace};
use secrecy::SecretString;
use tokio::net::TcpListener;

use crate::{
    Error, Exit,
    cli::Daemon,
    context::Context,
    daemon::{self, Followed, Hook, Source, Surroundings},
    signals::signals,
};

pub(super) fn run(context: &Context, arguments: &Daemon) -> Result<Exit, Error> {
    let kubeconfigs = context.kubeconfigs_of(None)?;
    let connector = cluster::Connector::Kubeconfigs(Box::new(kubeconfigs.clone()));
    let place = Place::real(connector, context.environment.proxies(), crate::context::USER_AGENT.to_owned());
    let source = Source { fleet: context.input(context.path()), handover: arguments.handover.clone() };
    let first = Followed::new(source, place.clock.clone());
    let listen = match (arguments.listen, &first) {
        (Some(listen), _) => listen,
        (None, Ok(followed)) => followed.loaded().fleet.daemon.listen,
        // It is not even known where to tell of it.
        (None, Err((report, _))) => {
            context.report(report);
            return Err(Error::Fleet);
        }
    };
    let options = DaemonOptions {
        planes: arguments.plane.map(Into::into).into_iter().collect(),
        holder: arguments.holder.clone().unwrap_or_else(|| holder(context, &place)),
        pace: Pace::default(),
        place,
    };
    let hooks = hook(arguments)?.into_iter().collect();
    context.wait_for(async {
        let mut signals = signals()?;
        let poster = poster(&options.place.proxies)?;
        let listener = bind(listen).await?;
        let followed = match first {
            Ok(followed) => followed,
            Err((report, unread)) => match unread.awaited(report, &options.holder, &listener, &mut signals).await {
                Some(followed) => followed,
                None => return Ok(Exit::Converged),
            },
        };
        context.report(&fleet::diagnostic::Report::new(followed.loaded().warnings.clone()));
        let around = Surroundings { kubeconfigs, hooks, poster, listener };
        Ok(daemon::run(followed, options, around, signals).await)
    })?
}

/// Unique among all that run: two of one name would take each other for themselves.
fn holder(context: &Context, place: &Place) -> String {
    let host = context.environment.get("HOSTNAME").map(str::to_owned);
    let host = host.or_else(|| fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let host = host.map(|host| host.trim().to_owned()).filter(|host| !host.is_empty());
    format!("{}-{}", host.unwrap_or_else(|| "jitsictl".to_owned()), place.entropy.suffix())
}

/// The receiver that the command line names.
fn hook(arguments: &Daemon) -> Result<Option<Hook>, Error> {
    let Some(url) = &arguments.webhook else { return Ok(None) };
    let secret = arguments.webhook_secret_file.as_deref().map(secret).transpose()?;
    Ok(Some(Hook { url: url.0.clone(), secret }))
}

fn secret(path: &Path) -> Result<SecretString, Error> {
    let bad = |why: String| {
        let message = format!("cannot read the webhook's secret from {}: {why}", path.display());
        Error::usage(message, "--webhook-secret-file names a file with nothing but the secret")
    };
    let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(bad("it is empty".to_owned())),
        secret => Ok(SecretString::from(secret.to_owned())),
    }
}

async fn bind(address: SocketAddr) -> Result<Arc<TcpListener>, Error> {
    let failed = |error: std::io::Error| {
        let message = format!("cannot listen on {address}: {error}");
        Error::failed(message, "name another address with --listen, or `daemon.listen` in the fleet file")
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, "listening");
    Ok(Arc::new(listener))
}

/// Follows no redirect: what is posted is for one receiver.
fn poster(proxies: &Proxies) -> Result<reqwest::Client, Error> {
    let failed = |error: reqwest::Error| {
        Error::usage(format!("webhooks can't be sent: {}", error.without_url()), "check HTTPS_PROXY and NO_PROXY")
    };
    let mut client = reqwest::Client::builder()
        .user_agent(crate::context::USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(proxy) = &proxies.https_proxy {
        let except = proxies.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
        client = client.proxy(reqwest::Proxy::https(proxy).map_err(failed)?.no_proxy(except));
    }
    client.build().map_err(failed)
}
