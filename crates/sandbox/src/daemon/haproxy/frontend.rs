//! The rules of the entrance: what a request is about, and which servers may answer it.

use std::collections::BTreeMap;

use super::{
    expression::{Condition, Expression, Lists, RoomRequest, Scene, Test},
    table::Table,
};

/// A frontend's rules, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Frontend {
    lists: Lists,
    variables: Vec<(String, Expression, Condition)>,
    backends: Vec<(String, Condition)>,
    pub(super) default_backend: Option<String>,
}

/// What a backend does with the table: where it looks, by what, and what it keeps.
#[derive(Debug, Clone)]
pub(super) struct Stick {
    pub(super) table: String,
    pub(super) key: Expression,
    /// When the chosen server is kept; nothing when never.
    pub(super) store: Option<Condition>,
}

/// What the rules say of a request.
pub(super) struct Judged<'a> {
    pub(super) backend: &'a str,
    /// The key in the backend's table.
    pub(super) key: Option<String>,
    pub(super) store: bool,
}

impl Frontend {
    /// Takes a line over, if it is one of those that decide where a request goes; says whether it is understood.
    pub(super) fn take(&mut self, words: &[&str]) -> bool {
        match words {
            ["acl", name, test @ ..] => {
                let Some(test) = Test::read(test) else { return false };
                self.lists.entry((*name).to_owned()).or_default().push(test);
            }
            ["http-request", set, expression, condition @ ..] if set.starts_with("set-var(") => {
                let name = set.trim_start_matches("set-var(").trim_end_matches(')');
                let (Some(expression), Some(condition)) = (Expression::read(expression), self.condition(condition))
                else {
                    return false;
                };
                self.variables.push((name.to_owned(), expression, condition));
            }
            ["use_backend", backend, condition @ ..] => {
                let Some(condition) = self.condition(condition) else { return false };
                self.backends.push(((*backend).to_owned(), condition));
            }
            ["default_backend", backend] => self.default_backend = Some((*backend).to_owned()),
            _ => {}
        }
        true
    }

    fn condition(&self, words: &[&str]) -> Option<Condition> {
        match words {
            [] => Some(Condition::default()),
            ["if", words @ ..] => Condition::read(words, &self.lists),
            _ => None,
        }
    }

    /// Whether the stick rules of a backend, which stand outside of it, may use these words.
    pub(super) fn stick_condition(words: &[&str]) -> Option<Condition> {
        match words {
            [] => Some(Condition::default()),
            ["if", words @ ..] => Condition::read(words, &Lists::new()),
            _ => None,
        }
    }

    pub(super) fn judge(
        &self,
        request: &RoomRequest,
        tables: &BTreeMap<String, Table>,
        sticks: &BTreeMap<String, Stick>,
    ) -> Option<Judged<'_>> {
        let mut scene = Scene { request, variables: BTreeMap::new(), tables };
        for (name, expression, condition) in &self.variables {
            if condition.holds(&scene, &self.lists)
                && let Some(value) = expression.value(&scene)
            {
                scene.variables.insert(name, value);
            }
        }
        let mut backends = self.backends.iter();
        let chosen = backends.find(|(_, condition)| condition.holds(&scene, &self.lists)).map(|(backend, _)| backend);
        let backend = chosen.or(self.default_backend.as_ref())?;
        let stick = sticks.get(backend);
        let key = stick.and_then(|stick| stick.key.value(&scene));
        let stores = |condition: &Condition| condition.holds(&scene, &Lists::new());
        let store = stick.and_then(|stick| stick.store.as_ref()).is_some_and(stores);
        Some(Judged { backend, key, store })
    }
}
