//! The table of rooms: which server a room stays on, and how long without a request.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// One stick table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) expire: Duration,
    entries: BTreeMap<String, Entry>,
    /// Expired entries are looked for when it has grown to this.
    sweep_at: usize,
}

/// One room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) server: u32,
    pub(crate) until: Instant,
}

const SWEEP: usize = 1024;

impl Table {
    pub(crate) const fn new(expire: Duration) -> Self {
        Self { expire, entries: BTreeMap::new(), sweep_at: SWEEP }
    }

    /// The server of a room, as somebody sees it who only looks.
    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.entries.get(key).copied().filter(|entry| entry.until > Instant::now())
    }

    /// The server of a room. Asking is a request: it keeps the entry.
    pub(crate) fn touch(&mut self, key: &str) -> Option<Entry> {
        let now = Instant::now();
        let entry = self.entries.get_mut(key).filter(|entry| entry.until > now)?;
        entry.until = now + self.expire;
        Some(*entry)
    }

    /// Puts a room on a server.
    pub(crate) fn put(&mut self, key: &str, server: u32) -> Entry {
        let entry = Entry { server, until: Instant::now() + self.expire };
        self.learn(key, entry);
        entry
    }

    /// Takes over what a peer tells.
    pub(crate) fn learn(&mut self, key: &str, entry: Entry) {
        match self.entries.get_mut(key) {
            Some(known) => *known = entry,
            None => {
                if self.entries.len() >= self.sweep_at {
                    let now = Instant::now();
                    self.entries.retain(|_, entry| entry.until > now);
                    self.sweep_at = (self.entries.len() * 2).max(SWEEP);
                }
                self.entries.insert(key.to_owned(), entry);
            }
        }
    }

    /// Takes over what is younger in another's table.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (key, entry) in &other.entries {
            if self.entries.get(key).is_none_or(|known| known.until < entry.until) {
                self.entries.insert(key.clone(), *entry);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// What has not expired, in the order of the keys.
    pub(crate) fn alive(&self) -> impl Iterator<Item = (&str, Entry)> {
        let now = Instant::now();
        self.entries.iter().filter(move |(_, entry)| entry.until > now).map(|(key, entry)| (key.as_str(), *entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_room_stays_as_long_as_somebody_asks() {
        let mut table = Table::new(Duration::from_secs(60));
        table.put("/a", 10);
        table.put("/b", 11);
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert_eq!(table.touch("/a").map(|entry| entry.server), Some(10));
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert_eq!(table.alive().map(|(key, _)| key).collect::<Vec<_>>(), ["/a"]);
        assert_eq!(table.touch("/b"), None);
    }
}
