//! Ports of the nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::{free, gets_node_ports, may_have_node_ports, needs_health_check};
use crate::admission::Attempt;
use crate::admission::causes::Causes;
use crate::admission::shape::{each, items, number, text};
use crate::error::ApiError;

const FIRST: u64 = 30000;
const COUNT: u64 = 2768;
/// So many at the beginning are given only when all others are gone: they are for who asks for one.
const ASKED: u64 = 86;
/// What a dry run is given is made up, from here on.
const MADE_UP: i64 = 32769;

/// Those of its ports.
pub(super) fn of(service: &Json) -> BTreeSet<i64> {
    items(service, "/spec/ports")
        .iter()
        .filter_map(|port| number(port, "/nodePort"))
        .filter(|port| *port != 0)
        .collect()
}

/// Those, and the one for health checks.
pub(super) fn all(service: &Json) -> BTreeSet<i64> {
    let mut all = of(service);
    all.extend(number(service, "/spec/healthCheckNodePort").filter(|port| *port != 0));
    all
}

/// Gives the ports that are asked for, and others where none is.
pub(super) fn allocate(object: &mut Json, attempt: &Attempt<'_>, taken: BTreeSet<i64>) -> Result<(), ApiError> {
    let mut range = Range { attempt, taken, given: BTreeSet::new() };
    // What it has is taken, too: by itself.
    range.taken.extend(attempt.old.map(all).unwrap_or_default());
    if may_have_node_ports(object) {
        let given = match attempt.old {
            None => range.of_new(object)?,
            Some(old) => range.of_changed(object, &of(old))?,
        };
        if let Some(spec) = super::spec(object) {
            for (port, number) in each(spec, "ports").zip(given) {
                if number != 0 {
                    port.insert("nodePort".to_owned(), json!(number));
                }
            }
        }
    }
    if needs_health_check(object) && !attempt.old.is_some_and(needs_health_check) {
        let asked = number(object, "/spec/healthCheckNodePort").unwrap_or(0);
        let port = if asked == 0 {
            range.next()?
        } else {
            range.take(asked).map_err(|why| {
                let message = format!("failed to allocate requested HealthCheck NodePort {asked}: {why}");
                ApiError::new(500, "InternalError", format!("Internal error occurred: {message}"))
                    .with(json!({ "causes": [{ "message": message }] }))
            })?;
            asked
        };
        object["spec"]["healthCheckNodePort"] = json!(port);
    }
    Ok(())
}

/// What one request takes.
struct Range<'a> {
    attempt: &'a Attempt<'a>,
    taken: BTreeSet<i64>,
    /// By this request.
    given: BTreeSet<i64>,
}

impl Range<'_> {
    /// Ports of the same number (one for TCP, one for UDP) share a node port. 0 stands for none.
    fn of_new(&mut self, object: &Json) -> Result<Vec<i64>, ApiError> {
        let ports = items(object, "/spec/ports");
        let mut by_port: BTreeMap<i64, i64> = BTreeMap::new();
        let mut given = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            let (front, asked) = (number(port, "/port").unwrap_or(0), number(port, "/nodePort").unwrap_or(0));
            if asked == 0 && !gets_node_ports(object) {
                given.push(0);
                continue;
            }
            let number = match by_port.get(&front) {
                Some(shared) if asked == 0 || asked == *shared => *shared,
                Some(_) => self.asked(object, index, asked)?,
                None => {
                    let same = ports.iter().filter(|other| number(other, "/port") == Some(front));
                    let number = match same.filter_map(|port| number(port, "/nodePort")).find(|port| *port != 0) {
                        Some(asked) => self.asked(object, index, asked)?,
                        None => self.next()?,
                    };
                    by_port.insert(front, number);
                    number
                }
            };
            given.push(number);
        }
        Ok(given)
    }

    /// What it has it keeps. Ports of the same number are not shared here. 0 stands for none.
    fn of_changed(&mut self, object: &Json, had: &BTreeSet<i64>) -> Result<Vec<i64>, ApiError> {
        let mut seen = BTreeSet::new();
        let mut given = Vec::new();
        for (index, port) in items(object, "/spec/ports").iter().enumerate() {
            let protocol = text(port, "/protocol");
            let number = match number(port, "/nodePort").unwrap_or(0) {
                0 if !gets_node_ports(object) => {
                    given.push(0);
                    continue;
                }
                0 => self.next()?,
                asked if had.contains(&asked) || given.contains(&asked) => asked,
                asked => self.asked(object, index, asked)?,
            };
            if !seen.insert((protocol, number)) {
                // A real server has no better words for it, and no reason.
                return Err(ApiError::new(500, "", format!("duplicate nodePort: {{{protocol} {number}}}")));
            }
            given.push(number);
        }
        Ok(given)
    }

    fn asked(&mut self, object: &Json, index: usize, port: i64) -> Result<i64, ApiError> {
        let Err(why) = self.take(port) else { return Ok(port) };
        let mut causes = Causes::default();
        causes.invalid(format!("spec.ports[{index}].nodePort"), &json!(port), why);
        causes.verdict(self.attempt.kind, text(object, "/metadata/name"))?;
        Ok(port)
    }

    /// A dry run never asks the range whether it has the port, on real servers too.
    fn take(&mut self, port: i64) -> Result<(), &'static str> {
        if !self.attempt.dry_run && !(30000..=32767).contains(&port) {
            return Err("provided port is not in the valid range. The range of valid ports is 30000-32767");
        }
        if self.taken.contains(&port) || !self.given.insert(port) {
            return Err("provided port is already allocated");
        }
        Ok(())
    }

    fn next(&mut self) -> Result<i64, ApiError> {
        let port = if self.attempt.dry_run {
            self.given.last().map_or(MADE_UP, |last| last + 1)
        } else {
            let made = |index: u64| i64::try_from(FIRST + index).unwrap_or(0);
            let taken = |port: &i64| self.taken.contains(port) || self.given.contains(port);
            free(self.attempt.around, (ASKED, COUNT), made, taken).ok_or_else(|| {
                let message = "Internal error occurred: failed to allocate a nodePort: range is full";
                ApiError::new(500, "InternalError", message)
            })?
        };
        self.given.insert(port);
        Ok(port)
    }
}
