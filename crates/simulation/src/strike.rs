//! How the world is struck, and recovers.

use std::time::Duration;

use api_server::ApiServer;
use jiff::SignedDuration;
use sandbox::fault::Faults;

use crate::blow::Blow;
use crate::stage::{NAMESPACE, Stage};

impl Stage {
    /// Strikes, and returns when it has passed. `faults` are those on the way to each cluster.
    pub(crate) async fn strike(&self, blow: Blow, faults: impl Fn(&str) -> Vec<Faults>) {
        self.trace.say(format!("{blow:?}"));
        let world = self.sandbox.world();
        let passes = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
        match blow {
            Blow::Cut(cluster) => faults(cluster).iter().for_each(Faults::cut_connections),
            Blow::Down(cluster, seconds) => {
                faults(cluster).iter().for_each(|faults| faults.set_down(true));
                passes(seconds).await;
                faults(cluster).iter().for_each(|faults| faults.set_down(false));
            }
            Blow::Forget(cluster, seconds) => {
                faults(cluster).iter().for_each(|faults| faults.set_down(true));
                passes(seconds).await;
                // All these clusters are there.
                let _ = self.sandbox.server(cluster).map(ApiServer::compact);
                faults(cluster).iter().for_each(|faults| faults.set_down(false));
            }
            Blow::Partition(cluster, seconds, silent) => {
                let part = if silent { Faults::partition } else { Faults::partition_with_resets };
                faults(cluster).iter().for_each(part);
                passes(seconds).await;
                faults(cluster).iter().for_each(Faults::heal);
            }
            Blow::Crash(number) => {
                if let Some((cluster, pod)) = self.some_pod(number) {
                    self.trace.say(format!("{cluster}: the daemon of {pod} crashes"));
                    // A pod without a daemon has nothing that could crash.
                    let _ = world.crash(cluster, NAMESPACE, &pod);
                }
            }
            Blow::OutOfMemory(number) => {
                if let Some((cluster, pod)) = self.some_pod(number) {
                    self.trace.say(format!("{cluster}: {pod} has too little memory"));
                    // As above.
                    let _ = world.out_of_memory(cluster, NAMESPACE, &pod);
                }
            }
            Blow::Node(cluster, number, seconds) => {
                let node = format!("{cluster}-node-{number}");
                // There may be fewer.
                let _ = world.lose_node(cluster, &node);
                passes(seconds).await;
                let _ = world.restore_node(cluster, &node);
            }
            Blow::Zone(cluster, number, seconds) => {
                let zone = ["a", "b", "c"].get(usize::try_from(number).unwrap_or(0)).copied().unwrap_or("a");
                let lost = world.lose_zone(cluster, &format!("{cluster}-{zone}")).unwrap_or_default();
                passes(seconds).await;
                for node in lost {
                    let _ = world.restore_node(cluster, &node);
                }
            }
            Blow::Move => {
                let moved = vec!["203.0.113.99".to_owned()];
                // Without such a Service there is nothing that could move.
                let _ = world.set_load_balancer_address("hq", NAMESPACE, "meet-alpha-xmpp", moved).await;
            }
            Blow::Hold(cluster, seconds) => {
                // All these clusters are there.
                let _ = world.hold_load_balancers(cluster, true);
                passes(seconds).await;
                let _ = world.hold_load_balancers(cluster, false);
            }
            Blow::Image(tag, seconds) => {
                world.fail_image(tag, true);
                passes(seconds).await;
                world.fail_image(tag, false);
            }
            Blow::Jump(seconds) => self.clock.jump(SignedDuration::from_secs(seconds)),
        }
        self.trace.say(format!("{} has passed", blow.kind()));
    }

    fn some_pod(&self, number: u64) -> Option<(&'static str, String)> {
        let mut pods = self.pods();
        let count = u64::try_from(pods.len()).unwrap_or(0).max(1);
        let index = usize::try_from(number % count).unwrap_or(0);
        (index < pods.len()).then(|| pods.swap_remove(index))
    }
}
