//! A bar per cluster.

use std::collections::BTreeMap;

use fleet::ClusterName;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::print::story::Cluster;

/// The bars that stand on the terminal.
#[derive(Default)]
pub(super) struct Drawn {
    bars: BTreeMap<ClusterName, ProgressBar>,
}

impl Drawn {
    /// Brings them up to date. A cluster in which nothing is done gets none.
    pub(super) fn draw(&mut self, all: &MultiProgress, clusters: &BTreeMap<ClusterName, Cluster>) {
        for (name, cluster) in clusters.iter().filter(|(_, cluster)| cluster.total > 0) {
            let bar = self.bars.entry(name.clone()).or_insert_with(|| {
                let style = ProgressStyle::with_template("  {prefix:<12} {bar:20} {pos}/{len} objects   {msg}");
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("██░");
                all.add(ProgressBar::new(0).with_style(style).with_prefix(name.to_string()))
            });
            bar.set_length(cluster.total as u64);
            bar.set_position(cluster.written.len() as u64);
            if let Some((joined, expected)) = cluster.joined {
                bar.set_message(format!("{joined}/{expected} bridges joined"));
            }
        }
    }

    /// Leaves them as they are.
    pub(super) fn leave(self) {
        self.bars.into_values().for_each(|bar| bar.abandon());
    }
}
