//! What resolving and checking share: where a key stands, and the list of problems.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::diagnostic::{Label, Problem};
use crate::renames::{Paths, Renames};
use crate::source::{Node, Span, Text};

/// Where things come from, and what is wrong with them.
pub(crate) struct Context<'a> {
    pub(crate) text: &'a Text,
    pub(crate) tree: &'a Node,
    /// The merged file.
    json: &'a Json,
    /// What runs under another name than the file's.
    pub(crate) renames: &'a Renames,
    /// Where that is in the file.
    paths: &'a Paths,
    /// Key path → the variable or flag that set it.
    pub(crate) origins: &'a BTreeMap<String, String>,
    /// The folder that relative paths start at.
    pub(crate) base: &'a Path,
    /// The process environment.
    pub(crate) env: &'a BTreeMap<String, String>,
    problems: RefCell<Vec<Problem>>,
    doubts: RefCell<BTreeSet<String>>,
    /// The local files that were read, by the name that the fleet file gives them.
    pub(crate) files: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Every local file that was looked for, there or not.
    pub(crate) looked_for: RefCell<BTreeSet<PathBuf>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        text: &'a Text,
        tree: &'a Node,
        json: &'a Json,
        (renames, paths): (&'a Renames, &'a Paths),
        origins: &'a BTreeMap<String, String>,
        base: &'a Path,
        env: &'a BTreeMap<String, String>,
    ) -> Self {
        let (problems, doubts) = (RefCell::default(), RefCell::default());
        let (files, looked_for) = (RefCell::default(), RefCell::default());
        Self { text, tree, json, renames, paths, origins, base, env, problems, doubts, files, looked_for }
    }

    /// Notes a problem.
    pub(crate) fn push(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Notes an error at a key.
    pub(crate) fn error(&self, path: &str, message: impl Into<String>, hint: &str) {
        self.push(hinted(Problem::error(message).at(self.label(path)), hint));
    }

    /// Notes a warning at a key.
    pub(crate) fn warn(&self, path: &str, message: impl Into<String>, hint: &str) {
        self.push(hinted(Problem::warning(message).at(self.label(path)), hint));
    }

    /// Notes that what stands at that key path was told to be wrong. Something else stands in for it, so that the rest
    /// can be looked at; nobody should be told what is wrong with that.
    pub(crate) fn doubt(&self, path: impl Into<String>) {
        self.doubts.borrow_mut().insert(path.into());
    }

    /// Whether the value at that key path, something in it or something around it, only stands in for a wrong one.
    pub(crate) fn doubtful(&self, path: &str) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.doubts.borrow().iter().any(|doubt| within(doubt, path) || within(path, doubt))
    }

    /// The problems so far.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// A path of the file, against its folder.
    pub(crate) fn path(&self, written: &str) -> PathBuf {
        self.base.join(written)
    }

    /// The same for a file that is read now.
    pub(crate) fn file(&self, written: &str) -> PathBuf {
        let path = self.path(written);
        self.looked_for.borrow_mut().insert(path.clone());
        path
    }

    /// The value under that key path, or the nearest thing around it that the file says.
    pub(crate) fn label(&self, path: &str) -> Option<Label> {
        let path = &*self.paths.written(path);
        let outside = self.origins.iter().find(|(set, _)| path == set.as_str() || path.starts_with(&format!("{set}.")));
        if let Some((_, name)) = outside {
            return Some(Text::new(name.clone(), "").bare_label(Span::default()));
        }
        let span = self.find(path, false)?;
        Some(if path.starts_with("secrets.") { self.text.bare_label(span) } else { self.text.label(span) })
    }

    /// The key itself at that key path.
    pub(crate) fn key_label(&self, path: &str) -> Option<Label> {
        Some(self.text.label(self.find(&self.paths.written(path), true)?))
    }

    fn find(&self, path: &str, key: bool) -> Option<Span> {
        let (mut node, mut span) = (self.tree, None);
        let parts: Vec<&str> = path.split('.').collect();
        for (depth, part) in parts.iter().enumerate() {
            let last = depth + 1 == parts.len();
            let found = match part.parse::<usize>() {
                Ok(index) => match &node.kind {
                    crate::source::Kind::Sequence(items) => items.get(index).map(|item| (item.span, item)),
                    _ => None,
                },
                Err(_) => node.entry(part).map(|(name, value)| {
                    let collection = !matches!(value.kind, crate::source::Kind::Scalar { .. });
                    // A whole block is better named by its key than by its first character.
                    let named = !last || key || collection || value.is_null();
                    (if named { name.span } else { value.span }, value)
                }),
            };
            let Some((at, inner)) = found else { break };
            (node, span) = (inner, Some(at));
        }
        span
    }

    /// The names that the user gave the entries of that map, of those that are usable and of those that are not.
    pub(crate) fn names(&self, path: &str) -> BTreeSet<String> {
        let merged = self.json.pointer(&format!("/{}", path.replace('.', "/"))).and_then(Json::as_object);
        self.keys(path).into_iter().chain(merged.into_iter().flatten().map(|(name, _)| name.clone())).collect()
    }

    /// The keys under that path in the file's order; of entries with another name than the file's, that name.
    pub(crate) fn keys(&self, path: &str) -> Vec<String> {
        let mut node = self.tree;
        let written = self.paths.written(path);
        for part in written.split('.') {
            match node.entry(part) {
                Some((_, inner)) => node = inner,
                None => return Vec::new(),
            }
        }
        match &node.kind {
            crate::source::Kind::Mapping(entries) => {
                let around = format!("{}.", self.paths.kept(&written));
                let kept = |key: &str| {
                    let path = self.paths.kept(&format!("{written}.{key}")).into_owned();
                    path.strip_prefix(&around).unwrap_or(key).to_owned()
                };
                entries.iter().map(|(key, _)| kept(&key.text)).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn hinted(problem: Problem, hint: &str) -> Problem {
    if hint.is_empty() { problem } else { problem.hint(hint) }
}
