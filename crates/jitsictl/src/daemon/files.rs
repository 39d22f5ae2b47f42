//! Files by their content: looked at often, read only when something moved.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// What is larger is told apart by size and time alone: nothing of a fleet is.
const MAX_READ: u64 = 16 << 20;

/// What can be seen of a file without reading it. A swapped symbolic link shows as another place and inode.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Glance {
    place: PathBuf,
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Glance {
    /// `None` where nothing is to be seen.
    fn at(path: &Path) -> Option<Self> {
        let place = fs::canonicalize(path).ok()?;
        let meta = fs::metadata(&place).ok()?;
        Some(Self {
            place,
            inode: (meta.dev(), meta.ino()),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

type Glances = BTreeMap<PathBuf, Option<Glance>>;
type Digest = [u8; 32];

/// What a look at files came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Their content is what it was.
    Same,
    /// They are being written: another look soon tells more.
    Moving,
    /// Their content is another one, and has been for two looks: nobody is in the middle of writing it.
    Changed,
}

/// Some files, and what was in them when last looked at.
#[derive(Debug)]
pub(super) struct Files {
    glances: Glances,
    /// What is known to its users.
    digest: Digest,
    /// What was seen at the last look, and is to be seen once more before anybody is told.
    seen: Option<Digest>,
}

impl Files {
    /// These files as they are now.
    pub(super) fn of(paths: BTreeSet<PathBuf>) -> Self {
        let glances = glances(paths);
        Self { digest: digest(&glances), glances, seen: None }
    }

    /// Whether exactly these files are looked at.
    pub(super) fn are(&self, paths: &BTreeSet<PathBuf>) -> bool {
        self.glances.keys().eq(paths)
    }

    /// Whether one of them is not there.
    pub(super) fn lack_one(&self) -> bool {
        self.glances.values().any(Option::is_none)
    }

    /// What is in them, for comparing.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// Looks at them. Nothing is read where nothing moved.
    pub(super) fn look(&mut self) -> Look {
        let now = glances(self.glances.keys().cloned().collect());
        if now == self.glances && self.seen.is_none() {
            return Look::Same;
        }
        // The glances come first: what is written while we read moves at the next look.
        self.glances = now;
        let digest = digest(&self.glances);
        if self.seen.replace(digest) != Some(digest) {
            return Look::Moving;
        }
        self.seen = None;
        if std::mem::replace(&mut self.digest, digest) == digest { Look::Same } else { Look::Changed }
    }
}

fn glances(paths: BTreeSet<PathBuf>) -> Glances {
    paths.into_iter().map(|path| (path.clone(), Glance::at(&path))).collect()
}

fn digest(glances: &Glances) -> Digest {
    let mut all = Sha256::new();
    for (path, glance) in glances {
        all.update(path.as_os_str().as_encoded_bytes());
        let content = match glance {
            None => "absent".to_owned(),
            Some(glance) => content(glance),
        };
        all.update([0]);
        all.update(content);
    }
    all.finalize().into()
}

/// A pipe or a device is never read: that might not end.
fn content(glance: &Glance) -> String {
    let plain = fs::metadata(&glance.place).is_ok_and(|meta| meta.is_file()) && glance.size <= MAX_READ;
    let bytes = if plain { fs::read(&glance.place).ok() } else { None };
    match bytes {
        Some(bytes) => format!("{:?}", Sha256::digest(bytes)),
        None => format!("unread {} {:?}", glance.size, glance.modified),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn looks<const N: usize>(files: &mut Files) -> [Look; N] {
        [(); N].map(|()| files.look())
    }

    #[test]
    fn a_change_is_told_when_it_was_seen_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.yaml");
        fs::write(&path, "one").unwrap();
        let mut files = Files::of(BTreeSet::from([path.clone()]));
        assert_eq!(looks(&mut files), [Look::Same, Look::Same]);
        fs::write(&path, "two").unwrap();
        assert_eq!(looks(&mut files), [Look::Moving, Look::Changed, Look::Same]);
        // In the middle of a long write, nothing is told.
        for part in ["", "th", "thre"] {
            fs::write(&path, part).unwrap();
            assert_eq!(files.look(), Look::Moving);
        }
        fs::write(&path, "two").unwrap();
        assert_eq!(looks(&mut files), [Look::Moving, Look::Same, Look::Same], "it is again what it was");
    }

    #[test]
    fn a_file_that_was_touched_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.yaml");
        fs::write(&path, "one").unwrap();
        let mut files = Files::of(BTreeSet::from([path.clone()]));
        // As editors save: a new file in place of the old one.
        fs::write(folder.path().join("new"), "one").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(looks(&mut files), [Look::Moving, Look::Same]);
        fs::remove_file(&path).unwrap();
        assert_eq!(looks(&mut files), [Look::Moving, Look::Changed]);
        assert!(files.lack_one());
    }

    /// As the kubelet updates a mounted ConfigMap: the file is a link through `..data`, which is swapped.
    #[test]
    fn a_swapped_folder_behind_a_link_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..1", "one"), ("..2", "two"), ("..3", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("fleet.yaml"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/fleet.yaml", at("fleet.yaml")).unwrap();
        let mut files = Files::of(BTreeSet::from([at("fleet.yaml")]));
        let swap = |to: &str| {
            symlink(to, at("..tmp")).unwrap();
            fs::rename(at("..tmp"), at("..data")).unwrap();
        };
        swap("..2");
        assert_eq!(looks(&mut files), [Look::Moving, Look::Changed, Look::Same]);
        swap("..3");
        assert_eq!(looks(&mut files), [Look::Moving, Look::Same, Look::Same], "another folder, the same content");
    }
}
