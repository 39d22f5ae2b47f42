//! What the tasks of the workspace share: running other programs.

#![allow(clippy::print_stderr, reason = "these are commands for a terminal")]

pub mod shell;
