//! Environment: the layers of one name, and what goes to which component.
//!
//! image's default < env_files in order < env < secrets < the shard's or pool's env < the component's env.

use std::cell::RefCell;
use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::context::Context;
use crate::diagnostic::{Label, Problem};
use crate::env_lists::{computed, is_made, reads, replaced, similar};
use crate::raw::{self, Map, Text};
use crate::secrets::looks_secret;
use crate::source;
use crate::{Component, EnvName, EnvValue, Era, Image, SecretSource};

/// A value of a layer and where it stands.
#[derive(Clone)]
struct Entry {
    value: EnvValue,
    label: Option<Label>,
}

type Layer = BTreeMap<EnvName, Entry>;

/// The environment of a fleet while it is resolved.
pub(crate) struct Environment {
    global: Layer,
    secrets: RefCell<BTreeMap<EnvName, SecretSource>>,
    /// The env files' plain values, in order.
    pub(crate) from_files: BTreeMap<String, String>,
}

impl Environment {
    /// Reads env files, `env` and `secrets`.
    pub(crate) fn read(ctx: &Context<'_>, raw: &raw::Fleet) -> Self {
        let mut all = Self { global: Layer::new(), secrets: RefCell::default(), from_files: BTreeMap::new() };
        for (i, file) in raw.env_files.iter().enumerate() {
            all.file(ctx, &format!("env_files.{i}"), file);
        }
        let plain = all.layer(ctx, "env", &raw.env, false);
        all.global.extend(plain);
        for (name, secret) in &raw.secrets {
            let path = format!("secrets.{name}");
            let Some(name) = env_name(ctx, &path, name) else { continue };
            all.secrets.get_mut().insert(name.clone(), secret_source(ctx, &path, secret));
            all.global.insert(name, Entry { value: EnvValue::Secret, label: ctx.key_label(&path) });
        }
        all
    }

    fn file(&mut self, ctx: &Context<'_>, path: &str, file: &str) {
        let text = match super::read_text(&ctx.file(file)) {
            Ok(text) => text,
            Err(why) => {
                ctx.error(path, format!("env file `{file}` can't be read: {why}"), why.hint());
                return;
            }
        };
        let source = source::Text::new(file, &text);
        let parsed = crate::env_file::parse(&source, &text, ctx.env);
        parsed.problems.into_iter().for_each(|problem| ctx.push(problem));
        for variable in parsed.variables {
            let label = Some(source.bare_label(variable.span));
            let Ok(name) = variable.name.parse::<EnvName>() else { continue };
            if let Some(instead) = decided(name.as_str()) {
                ignored(ctx, name.as_str(), instead, label);
                continue;
            }
            let value = if looks_secret(name.as_str()) {
                // docker-compose's sample leaves passwords empty: nothing is said then.
                if variable.value.is_empty() {
                    continue;
                }
                self.secrets.get_mut().insert(name.clone(), SecretSource::Value(SecretString::from(variable.value)));
                EnvValue::Secret
            } else {
                self.from_files.insert(variable.name, variable.value.clone());
                EnvValue::Plain(variable.value)
            };
            self.global.insert(name, Entry { value, label });
        }
    }

    /// One `env:` map of the file.
    fn layer(&self, ctx: &Context<'_>, path: &str, env: &Map<Text>, component: bool) -> Layer {
        let mut layer = Layer::new();
        for (name, Text(value)) in env {
            let path = format!("{path}.{name}");
            let Some(name) = env_name(ctx, &path, name) else { continue };
            let instead = if component { computed(name.as_str()) } else { decided(name.as_str()) };
            if let Some(instead) = instead {
                if component {
                    let problem =
                        Problem::error(format!("env {name} is computed by jitsictl and can't be set at a component"));
                    ctx.push(problem.at(ctx.key_label(&path)).hint(instead));
                } else {
                    ignored(ctx, name.as_str(), instead, ctx.key_label(&path));
                }
                continue;
            }
            let label = ctx.key_label(&path);
            let value = if looks_secret(name.as_str()) {
                self.clear(ctx, &path, &name, value)
            } else {
                EnvValue::Plain(value.clone())
            };
            layer.insert(name, Entry { value, label });
        }
        layer
    }

    /// A secret that stands in clear in the file: it goes to the Secret all the same.
    fn clear(&self, ctx: &Context<'_>, path: &str, name: &EnvName, value: &str) -> EnvValue {
        let problem = Problem::warning(format!("env {name} is a secret in clear"));
        ctx.push(problem.at(ctx.key_label(path)).hint(format!(
            "move it to `secrets: {{ {name}: {{ env: {name} }} }}` or into an env file; it is kept in a Secret either way"
        )));
        let mut secrets = self.secrets.borrow_mut();
        match secrets.get(name) {
            Some(SecretSource::Value(known)) if known.expose_secret() == value => {}
            Some(_) if path != format!("env.{name}") => {
                let problem = Problem::error(format!("secret {name} has another value elsewhere in the fleet"));
                ctx.push(problem.at(ctx.key_label(path)).hint("a secret has one value in the whole fleet"));
            }
            _ => drop(secrets.insert(name.clone(), SecretSource::Value(SecretString::from(value.to_owned())))),
        }
        EnvValue::Secret
    }

    /// What one component gets. `scopes` are the shard's or pool's maps, `own` the component's, each with its path.
    pub(crate) fn of(
        &self,
        ctx: &Context<'_>,
        component: Component,
        image: &Image,
        scopes: &[(String, &Map<Text>)],
        own: &[(String, &Map<Text>)],
    ) -> BTreeMap<EnvName, EnvValue> {
        let mut all = self.global.clone();
        for (path, env) in scopes {
            all.extend(self.layer(ctx, path, env, false));
        }
        all.retain(|name, _| {
            let name = name.as_str();
            reads(component, image, name) && !is_made(name) && computed(name).is_none()
        });
        for (path, env) in own {
            for (name, entry) in self.layer(ctx, path, env, true) {
                if is_made(name.as_str()) {
                    let problem = Problem::error(format!("env {name} is a password between components"));
                    ctx.push(
                        problem.at(entry.label).hint("both sides must agree on it: leave it out, it is made once"),
                    );
                    continue;
                }
                if component != Component::Haproxy
                    && !reads(component, image, name.as_str())
                    && !ctx.doubtful("release")
                {
                    ctx.push(unread(&name, component.as_str(), image, entry.label.clone()));
                }
                all.insert(name, entry);
            }
        }
        all.into_iter().map(|(name, entry)| (name, entry.value)).collect()
    }

    /// Warns of fleet-wide names that none of these images reads.
    pub(crate) fn warn_unread(&self, ctx: &Context<'_>, images: &[(Component, Image)]) {
        for (name, entry) in &self.global {
            let read = images.iter().any(|(component, image)| reads(*component, image, name.as_str()));
            if let Some(instead) = computed(name.as_str()).filter(|_| read) {
                ignored(ctx, name.as_str(), instead, entry.label.clone());
            }
            if is_made(name.as_str()) || read {
                continue;
            }
            ctx.push(unread_by_all(name.as_str(), images, entry.label.clone()));
        }
    }

    /// Warns of names of a shard's or pool's `env` that none of its images reads.
    pub(crate) fn warn_unread_scope(
        &self,
        ctx: &Context<'_>,
        path: &str,
        env: &Map<Text>,
        images: &[(Component, Image)],
    ) {
        if ctx.doubtful("release") {
            return;
        }
        for name in env.keys().filter(|name| computed(name).is_none()) {
            if !images.iter().any(|(component, image)| reads(*component, image, name)) {
                ctx.push(unread_by_all(name, images, ctx.key_label(&format!("{path}.{name}"))));
            }
        }
    }

    /// The user's secrets.
    pub(crate) fn into_secrets(self) -> BTreeMap<EnvName, SecretSource> {
        self.secrets.into_inner()
    }
}

/// What decides that variable in every release; a name that only older images know is looked at once they are known.
fn decided(name: &str) -> Option<&'static str> {
    if replaced(Era::Rootless, name).is_some() { None } else { computed(name) }
}

fn ignored(ctx: &Context<'_>, name: &str, instead: &str, label: Option<Label>) {
    ctx.push(
        Problem::warning(format!("env {name} is computed by jitsictl; this value is ignored")).at(label).hint(instead),
    );
}

fn unread_by_all(name: &str, images: &[(Component, Image)], label: Option<Label>) -> Problem {
    let mut releases: Vec<&str> =
        images.iter().filter(|(c, _)| *c != Component::Haproxy).map(|(_, image)| image.release.as_str()).collect();
    releases.sort_unstable();
    releases.dedup();
    let problem = Problem::warning(format!("env {name} is read by no image of {}", releases.join(", "))).at(label);
    let era = images.iter().map(|(_, image)| image.era).min().unwrap_or(Era::Rootless);
    with_hint(problem, era, name)
}

fn unread(name: &EnvName, component: &str, image: &Image, label: Option<Label>) -> Problem {
    let message = format!(
        "env {name} is not among the names that {component} of {} reads; it is passed on as it is",
        image.release
    );
    with_hint(Problem::warning(message).at(label), image.era, name.as_str())
}

fn with_hint(problem: Problem, era: Era, name: &str) -> Problem {
    match (replaced(era, name), similar(era, name)) {
        (Some(what), _) => problem.hint(what),
        (None, Some(near)) => problem.hint(format!("did you mean {near}?")),
        (None, None) => problem,
    }
}

fn env_name(ctx: &Context<'_>, path: &str, name: &str) -> Option<EnvName> {
    match name.parse() {
        Ok(name) => Some(name),
        Err(why) => {
            ctx.push(Problem::error(format!("{why}")).at(ctx.key_label(path)));
            None
        }
    }
}

/// Where a secret comes from, read if it is at hand.
pub(crate) fn secret_source(ctx: &Context<'_>, path: &str, secret: &raw::Secret) -> SecretSource {
    match secret {
        raw::Secret::Env { env } => match ctx.env.get(env) {
            Some(value) => SecretSource::Value(SecretString::from(value.clone())),
            None => SecretSource::Missing { source: format!("variable {env}") },
        },
        raw::Secret::File { file } => match super::read_text(&ctx.file(file)) {
            Ok(text) => SecretSource::Value(SecretString::from(
                text.strip_suffix('\n').unwrap_or(&text).trim_end_matches('\r').to_owned(),
            )),
            Err(super::Unreadable::Absent) => SecretSource::Missing { source: format!("file {file}") },
            Err(why) => {
                ctx.error(path, format!("secret file `{file}` can't be read: {why}"), why.hint());
                SecretSource::Missing { source: format!("file {file}") }
            }
        },
        raw::Secret::Existing { secret, key } => SecretSource::Existing { secret: secret.clone(), key: key.clone() },
        raw::Secret::Clear(Text(value)) => {
            ctx.push(
                Problem::warning(format!("`{path}` is a secret in clear"))
                    .at(ctx.key_label(path).map(|label| Label { snippet: String::new(), ..label }))
                    .hint("write { env: NAME } or { file: path } instead"),
            );
            SecretSource::Value(SecretString::from(value.clone()))
        }
    }
}
