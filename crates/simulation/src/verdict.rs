//! What must be so in the end.

use api_server::{Answer, Kind, Request, Verb, kinds};
use fleet::load::Loaded;
use orchestrator::Verdict;
use serde_json::{Value as Json, json};

use crate::attempt::{Attempt, End, SWEEP};
use crate::promise::{Promise, Violation};
use crate::script::{Script, Trouble};
use crate::stage::{BREATH, NAMESPACE, Stage};

/// How many undisturbed runs a fleet may need: one that tidies up behind those that were killed, and one more.
const ENOUGH: usize = 2;

impl Stage {
    /// Without any trouble the fleet gets there.
    pub(crate) async fn converge(&mut self, loaded: &Loaded, what: &str) -> Result<(), Violation> {
        let mut last = String::new();
        for _ in 0..ENOUGH {
            // Somebody looks, and tries again.
            tokio::time::sleep(BREATH).await;
            for Attempt { end, .. } in self.run(loaded, &Trouble::default()).await? {
                match end {
                    End::Done(outcome) if outcome.verdict == Verdict::Converged => return Ok(()),
                    End::Done(outcome) => last = json!(outcome.proof).to_string(),
                    End::Fatal(why) => last = why,
                    End::Killed => {}
                }
            }
        }
        let what = format!("not there after {ENOUGH} runs without any trouble, when {what}: {last}");
        Err(Promise::Converges.broken(what))
    }

    /// A second run plans nothing, and writes nothing.
    pub(crate) async fn nothing_left(&mut self, loaded: &Loaded) -> Result<(), Violation> {
        let mut before = self.tally.writes;
        let mut attempts = self.run(loaded, &Trouble::default()).await?;
        // ConfigMaps that a pod had used which was still ending: that is by design, and ends with it.
        if attempts.iter().all(|attempt| attempt.steps.keys().eq([SWEEP])) {
            before = self.tally.writes;
            attempts = self.run(loaded, &Trouble::default()).await?;
        }
        let writes = self.tally.writes - before;
        let broken = |what: String| Err(Promise::SecondRunIsIdle.broken(what));
        for Attempt { end, steps, .. } in attempts {
            match end {
                End::Done(outcome) if outcome.verdict != Verdict::Converged => {
                    return broken("a fleet that was there is not any more".to_owned());
                }
                End::Done(_) if !steps.is_empty() => return broken(format!("a second run planned {steps:?}")),
                End::Done(_) => {}
                End::Fatal(why) => return broken(format!("a second run could not begin: {why}")),
                End::Killed => return Err(Promise::Played.broken("a run without any trouble was killed")),
            }
        }
        if writes > 0 { broken(format!("a second run wrote {writes} objects")) } else { Ok(()) }
    }

    /// Objects of others in the fleet's namespaces.
    pub(crate) fn settle_strangers(&mut self) -> Result<(), Violation> {
        for cluster in self.clusters {
            let server = self.sandbox.server(cluster).map_err(|error| Promise::Played.broken(error.to_string()))?;
            let create = |kind: &'static Kind, namespace: Option<&str>, body: Json| {
                let mut request = Request::new(Verb::Create, kind, namespace, None);
                request.body = body;
                server.call(request).map_err(|error| Promise::Played.broken(format!("{cluster}: {error}")))
            };
            let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
            create(&kinds::NAMESPACE, None, namespace)?;
            for (name, labels) in [
                ("somebody-elses", json!({ "app": "turn" })),
                // It looks like ours, and is not: nobody has its UID in an inventory.
                ("meet-lookalike", json!({ "jitsictl.dev/fleet": "meet", "jitsictl.dev/plane": "data" })),
                ("other-fleet", json!({ "jitsictl.dev/fleet": "other", "jitsictl.dev/unit": "pool-eu" })),
            ] {
                let body = json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": { "name": name, "labels": labels }, "data": { "key": "value" },
                });
                if let Answer::Object { object, .. } = create(&kinds::CONFIG_MAP, Some(NAMESPACE), body)? {
                    self.strangers.push((cluster, Json::clone(&object)));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn strangers_stand(&self) -> Result<(), Violation> {
        for (cluster, stranger) in &self.strangers {
            let name = stranger["metadata"]["name"].as_str().unwrap_or_default();
            let server = self.sandbox.server(cluster).map_err(|error| Promise::Played.broken(error.to_string()))?;
            let request = Request::new(Verb::Get, &kinds::CONFIG_MAP, Some(NAMESPACE), Some(name));
            let touched = match server.call(request) {
                Ok(Answer::Object { object, .. }) if *object == *stranger => continue,
                Ok(_) => "is another now".to_owned(),
                Err(error) => error.to_string(),
            };
            return Err(Promise::OthersUntouched.broken(format!("{cluster}: ConfigMap {name} of others: {touched}")));
        }
        Ok(())
    }

    /// No secret value stands anywhere but in Secrets.
    pub(crate) fn nothing_leaked(&self) -> Result<(), Violation> {
        let mut text = self.said.clone();
        for cluster in self.clusters {
            let server = self.sandbox.server(cluster).map_err(|error| Promise::Played.broken(error.to_string()))?;
            for kind in kinds::KINDS.iter().filter(|kind| kind.name != "Secret") {
                if let Ok(Answer::List { items, .. }) = server.call(Request::new(Verb::List, kind, None, None)) {
                    items.iter().for_each(|item| text.push_str(&item.to_string()));
                }
            }
        }
        let values = self.guard.secret_values();
        if values.is_empty() {
            return Err(Promise::Played.broken("there is no secret value at all"));
        }
        let leaks = |value: &String| text.contains(value.as_str()) || plain(value).is_some_and(|it| text.contains(&it));
        if values.iter().any(leaks) {
            return Err(Promise::NothingLeaks.broken("a secret value stands where everybody can read it"));
        }
        Ok(())
    }

    /// Nobody lost a bridge or his media by what we did.
    pub(crate) fn calls_went_on(&self, script: &Script) -> Result<(), Violation> {
        let callers = self.tally.callers;
        let lost = callers.bridge_killed + callers.bridge_moved + callers.media_cut;
        if lost == 0 || script.hurts_people() {
            return Ok(());
        }
        Err(Promise::CallsGoOn.broken(format!("people lost their bridge or their media {lost} times: {callers:?}")))
    }
}

/// The value behind its base64, if it is a word that somebody could write down.
fn plain(value: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
    String::from_utf8(bytes).ok().filter(|text| text.len() > 7)
}
