//! Rules one by one, laws, and what a real server did.

mod recorded;
mod rules;
