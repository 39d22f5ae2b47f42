//! `jitsictl credentials`: an account with the rights that the fleet needs in one cluster, and a kubeconfig that logs in
//! as it. With the caller's own rights, and only for a daemon that runs elsewhere: one in the cluster needs none.

use std::{path::PathBuf, time::Duration};

use cluster::{Cluster, ClusterError, Connector, Token, rights::Grants};
use fleet::{Access, ClusterName};
use orchestrator::Place;

use crate::{
    Error, Exit, Notice,
    cli::Credentials,
    context::{Context, USER_AGENT, named_cluster},
    desired::everything,
    file,
    print::yaml,
    verbs::rbac,
};

/// Kubernetes gives no shorter ones.
const SHORTEST: Duration = Duration::from_secs(600);

pub(super) fn run(context: &Context, arguments: &Credentials) -> Result<Exit, Error> {
    let name = &arguments.cluster;
    let path = arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.kubeconfig")));
    file::refuse_streams(&path, "a kubeconfig carries a token")?;
    if arguments.duration < SHORTEST {
        return Err(Error::usage("a token lasts for ten minutes at least", "pass --duration 10m or more"));
    }
    let loaded = context.load()?;
    let name = &named_cluster(&loaded, name)?;
    let fleet = &loaded.fleet;
    let planes = rbac::planes(arguments.plane);
    let grants = rbac::granted(fleet, &everything(fleet), &planes, name, None);
    let (Some(grants), Some(spec)) = (grants, fleet.clusters.get(name)) else {
        let message = format!("nothing is needed in cluster {name}");
        return Err(Error::usage(message, "`jitsictl rbac` shows what is needed where; look at --plane"));
    };
    let Access::Context { context: named, kubeconfig } = &spec.access else {
        let message = format!("cluster {name} is reached by the pod's own service account, which needs no kubeconfig");
        return Err(Error::usage(message, format!("grant it its rights: jitsictl rbac --cluster {name} --account …")));
    };
    let kubeconfigs = context.kubeconfigs_of(kubeconfig.as_deref())?;
    let connector = Connector::Kubeconfigs(Box::new(kubeconfigs.clone()));
    let place = Place::real(connector, context.environment.proxies(), USER_AGENT.to_owned());
    let made = context.wait_for(async {
        let cluster = place.connector.connect(name, spec, &place.connection()).await?;
        make(&cluster, &grants, arguments.duration).await
    })?;
    let (token, denied) = made.map_err(|error| refused(&error, name))?;
    let config = kubeconfigs.with_token(named, &spec.namespace, &token).map_err(|why| {
        Error::failed(format!("cannot write a kubeconfig for {name}: {why}"), "look at the kubeconfig that you use")
    })?;
    let mut text = String::new();
    yaml::document(&mut text, &config.to_string()).map_err(std::io::Error::other)?;
    file::create(&path, text.as_bytes())?;
    if let Some(error) = &denied {
        let mut notice =
            Notice::new(format!("without what holds in the whole cluster: {error}"), grants.without.join("; "));
        notice.detail = Some("the daemon does without".to_owned());
        context.printer.warning(&notice);
    }
    told(context, arguments, &path, &grants, &token, denied.is_none())
}

/// The account and its rights first: a token of an account without rights is of no use to anybody.
async fn make(
    cluster: &Cluster,
    grants: &Grants,
    lasting: Duration,
) -> Result<(Token, Option<ClusterError>), ClusterError> {
    for grant in &grants.needed {
        cluster.grant(grant).await?;
    }
    let mut denied = None;
    for grant in &grants.optional {
        match cluster.grant(grant).await {
            Ok(()) => {}
            Err(error) if matches!(error.kind, cluster::ErrorKind::Forbidden { .. }) => {
                denied = Some(error);
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok((cluster.token(&grants.account, lasting).await?, denied))
}

fn refused(error: &ClusterError, name: &ClusterName) -> Error {
    let hint = match &error.kind {
        cluster::ErrorKind::Forbidden { .. } => Some(format!(
            "only who may do all that `jitsictl rbac --cluster {name}` lists can grant it: ask the cluster's keepers to apply that"
        )),
        _ => error.hint(),
    };
    Error::Failed(vec![Notice { message: error.to_string(), detail: None, hint }])
}

fn told(
    context: &Context,
    arguments: &Credentials,
    path: &std::path::Path,
    grants: &Grants,
    token: &Token,
    whole: bool,
) -> Result<Exit, Error> {
    let account = format!("{}/{}", grants.account.namespace, grants.account.name);
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "path": path, "cluster": arguments.cluster, "account": account, "expires": token.expires,
            "cluster_rights": whole,
        }))?;
    } else {
        let expires = token.expires.strftime("%Y-%m-%d %H:%M UTC");
        context.printer.result(&format!(
            "wrote {} (mode 0600): {account} of cluster {}\nits token expires at {expires}; until then run the same again with another --out, and put that in its place\nto revoke it: kubectl -n {} delete serviceaccount {}\n",
            path.display(),
            arguments.cluster,
            grants.account.namespace,
            grants.account.name,
        ))?;
    }
    Ok(Exit::Converged)
}
