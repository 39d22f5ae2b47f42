//! `jitsictl sandbox up`: empty clusters that stay.

use clock::Clock;
use fleet::SecretSource;

use super::{
    ground::{Ground, brisk},
    stay::stay,
};
use crate::{
    Error, Exit, Notice,
    cli::SandboxUp,
    context::{Context, Time},
};

pub(super) fn run(context: &Context, arguments: &SandboxUp) -> Result<Exit, Error> {
    let path = arguments.path.clone().unwrap_or_else(|| context.path());
    let loaded = context.load_at(path.clone())?;
    for (name, source) in &loaded.fleet.secrets {
        if let SecretSource::Missing { source } = source {
            let message = format!("secret {name} has no value here: {source} is not set");
            context.printer.warning(&Notice::new(message, "`jitsictl apply` will want one; any will do"));
        }
    }
    context.wait_alone(Time::Real, async {
        let ground = Ground::start(&[&loaded.fleet], brisk(), Clock::machine(), 1).await?;
        stay(context, &ground, &loaded.fleet, &path).await?;
        ground.sandbox.stop().await;
        Ok(Exit::Converged)
    })?
}
