//! What a rehearsal found, and how it is told: as text, as JSON, as a web page.

mod chart;
mod html;
mod report;
mod text;

pub(crate) use html::html;
pub(crate) use report::{Attempt, Callers, Ended, Moment, Report, Taken, moment};
pub(crate) use text::text;
