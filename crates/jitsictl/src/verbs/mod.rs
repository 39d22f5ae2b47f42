//! One module per verb.

mod apply;
mod check;
mod completions;
mod credentials;
mod daemon;
mod delete;
mod export;
mod forget;
mod import;
mod man;
mod outcome;
mod plan;
pub(crate) mod rbac;
mod render;
mod sandbox;
mod schema;
mod status;

pub use render::{Rendered, yaml};

pub use crate::desired::rendered;

use crate::{
    Error, Exit,
    cli::{ClusterVerb, Export, Verb},
    context::Context,
};

/// Runs one verb.
pub(crate) fn run(context: &Context, verb: &Verb) -> Result<Exit, Error> {
    match verb {
        Verb::Check => check::run(context),
        Verb::Render(arguments) => render::run(context, arguments),
        Verb::Plan(arguments) => plan::run(context, arguments),
        Verb::Apply(arguments) => apply::run(context, arguments),
        Verb::Daemon(arguments) => daemon::run(context, arguments),
        Verb::Status(arguments) => status::run(context, arguments),
        Verb::Delete(arguments) => delete::run(context, arguments),
        Verb::Export(Export::Handover { path }) => export::run(context, path),
        Verb::Import(arguments) => import::run(context, arguments),
        Verb::Rbac(arguments) => rbac::run(context, arguments),
        Verb::Credentials(arguments) => credentials::run(context, arguments),
        Verb::Cluster(ClusterVerb::Forget { name, abandon }) => forget::run(context, name, *abandon),
        Verb::Sandbox(verb) => sandbox::run(context, verb),
        Verb::Schema => schema::run(context),
        Verb::Completions { shell } => completions::run(context, *shell),
        Verb::Man => man::run(context),
    }
}
