//! The scenario runner: a script's text, what it does, and how its output is compared.

pub(crate) mod backend;
pub(crate) mod binary;
pub(crate) mod command;
pub(crate) mod daemon;
pub(crate) mod matching;
pub(crate) mod objects;
pub(crate) mod player;
pub(crate) mod script;
pub(crate) mod stage;
