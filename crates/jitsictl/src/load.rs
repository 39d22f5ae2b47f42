//! A fleet file as every verb takes it: it makes sense, and so does what it is rendered to.

use fleet::diagnostic::{Problem, Report};
use fleet::load::{Attempt, Input, Loaded};
use manifest::Desired;

use crate::desired::everything;

/// Reads, merges and checks a fleet file, and looks whether its units are told apart.
///
/// # Errors
/// Every problem of the file, at least one of them an error.
pub(crate) fn load(input: &Input) -> Result<Loaded, Report> {
    attempt(input).result
}

/// The same, for those who want to know when it is worth another try.
pub(crate) fn attempt(input: &Input) -> Attempt {
    let Attempt { result, files } = fleet::load::attempt(input);
    Attempt { result: result.and_then(told_apart), files }
}

fn told_apart(loaded: Loaded) -> Result<Loaded, Report> {
    let mut clashes = clashes(&everything(&loaded.fleet));
    if clashes.is_empty() {
        return Ok(loaded);
    }
    clashes.extend(loaded.warnings);
    Err(Report::new(clashes))
}

/// The objects that two units would each write in their own way. Names that are known to collide are refused where
/// they stand in the file; this finds the rest.
pub(crate) fn clashes(desired: &Desired) -> Vec<Problem> {
    let clashes = desired.clashes().into_iter().map(|clash| {
        let [first, second] = clash.units;
        let message =
            format!("`{first}` and `{second}` would both be {} of cluster {}", clash.object, clash.object.cluster);
        Problem::error(message).hint("give one of the two another name")
    });
    clashes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLEET: &str = "\
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters: { hq: { context: hq } }
control: { cluster: hq, shards: { alpha: {} } }
data: { pools: { eu: { cluster: hq } } }
";

    #[test]
    fn an_object_of_two_units_is_told_with_both_of_them() {
        let loaded =
            fleet::load::load_text("fleet.yaml", FLEET, std::path::Path::new("/"), &Default::default()).unwrap();
        assert!(told_apart(loaded.clone()).is_ok());

        let mut same = loaded;
        let shard = same.fleet.control.shards["alpha"].clone();
        same.fleet.control.shards.insert("haproxy".parse().unwrap(), shard);
        let report = told_apart(same).unwrap_err();
        assert_eq!(report.errors(), 1);
        let said = "`shard haproxy` and `haproxy` would both be PodDisruptionBudget meet/meet-haproxy of cluster hq";
        assert_eq!(report.problems[0].message, said);
    }
}
