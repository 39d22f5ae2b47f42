//! Fleets of any size: shards, each with a pool of bridges of its own, all in one cluster.

use std::fmt::Write;

pub(crate) fn grid(name: &str, shards: usize, bridges: usize) -> String {
    let mut text = format!(
        "fleet: {name}\nurl: https://meet.example.org\nrelease: stable-11146-2\nclusters:\n  hq: {{ context: hq }}\n\
         control:\n  cluster: hq\n  shards:\n"
    );
    for shard in 0..shards {
        let _ = writeln!(text, "    s{shard}: {{}}");
    }
    text.push_str("data:\n  pools:\n");
    for shard in 0..shards {
        let base = 30_000 + shard * bridges;
        let _ = writeln!(
            text,
            "    p{shard}: {{ cluster: hq, shards: [s{shard}], bridges: {{ replicas: {bridges}, base_port: {base} }} }}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_pools_follow_each_other() {
        let text = grid("large", 3, 10);
        assert!(text.contains("    s2: {}\n"));
        assert!(text.contains("    p2: { cluster: hq, shards: [s2], bridges: { replicas: 10, base_port: 30020 } }\n"));
    }
}
