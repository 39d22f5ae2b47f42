//! Objects under their keys, each with the version at which it last changed, and the log of changes that watches read.

mod watch;

pub use watch::{Change, Watch};
