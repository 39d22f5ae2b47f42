//! Files that carry secrets: new ones, for their owner's eyes only, never a stream.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use crate::Error;

/// Before anything is asked: secrets don't go to terminals, pipes and logs. `why` says what the file carries.
pub(crate) fn refuse_streams(path: &Path, why: &str) -> Result<(), Error> {
    let stream = path.as_os_str() == "-"
        || ["/dev/", "/proc/"].iter().any(|folder| path.starts_with(folder))
        || fs::metadata(path).is_ok_and(|there| {
            let kind = there.file_type();
            kind.is_char_device() || kind.is_fifo() || kind.is_socket()
        });
    if stream {
        let message = format!("{why} and is not written to {}", path.display());
        return Err(Error::usage(message, "name a file that does not exist yet"));
    }
    if path.symlink_metadata().is_ok() {
        let message = format!("{} exists", path.display());
        return Err(Error::usage(message, "name a file that does not exist yet, or remove it first"));
    }
    Ok(())
}

/// Creates the file, never follows a link, and leaves nothing half-written behind.
pub(crate) fn create(path: &Path, text: &[u8]) -> Result<(), Error> {
    let failed = |error: io::Error| {
        let message = format!("cannot write {}: {error}", path.display());
        Error::failed(message, "name a file in a folder of yours that does not exist yet")
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(|error| {
        let _ = fs::remove_file(path);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn streams_links_and_files_that_exist_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (there, link) = (folder.path().join("there"), folder.path().join("link"));
        fs::write(&there, "mine").unwrap();
        symlink(folder.path().join("elsewhere"), &link).unwrap();
        for path in [Path::new("-"), Path::new("/dev/stdout"), Path::new("/proc/self/fd/1"), &there, &link] {
            assert!(matches!(refuse_streams(path, "it carries passwords"), Err(Error::Usage(_))), "{}", path.display());
        }
        assert!(matches!(create(&link, b"x"), Err(Error::Failed(_))));
        assert!(matches!(create(&there, b"x"), Err(Error::Failed(_))));
        assert_eq!(fs::read_to_string(&there).unwrap(), "mine");
    }

    #[test]
    fn the_file_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handover.json");
        assert!(refuse_streams(&path, "it carries passwords").is_ok());
        assert!(create(&path, b"{}\n").is_ok());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
