//! The log's files on their way out: read as files of the log, and as nothing else.
//!
//! Promise: below the log's directory no link is followed, nothing but a plain file is read, and no more of it than its
//! kind may have: whoever may write the volume does not choose which of the pod's files leave it. Not here: what a file
//! has to say, which its reader holds against a hash.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use privet_audit_log::policies::Files as Bundle;
use privet_audit_log::record::RECORD_BYTES_MAX;
use privet_audit_log::tree::TILE_WIDTH;

use super::Unshipped;

/// A kind of file, and how long one may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) bytes_max: usize,
}

pub(super) const CHECKPOINT: Kind = Kind { name: "checkpoint", bytes_max: 64 << 10 };
pub(super) const HASHES: Kind = Kind { name: "tile", bytes_max: TILE_WIDTH * 32 };
/// Each entry after its 16-bit length.
pub(super) const ENTRIES: Kind = Kind { name: "entry bundle", bytes_max: TILE_WIDTH * (RECORD_BYTES_MAX + 2) };
pub(super) const CLASS: Kind = Kind { name: "class document", bytes_max: 16 << 20 };
/// All files of one bundle together.
pub(super) const POLICY: Kind = Kind { name: "policy bundle", bytes_max: 16 << 20 };
/// The most files and folders of one bundle.
const POLICY_FILES_MAX: usize = 10_000;

/// The directory of a log.
#[derive(Debug)]
pub(super) struct Files {
    log: PathBuf,
}

impl Files {
    pub(super) fn new(log: PathBuf) -> Self {
        Self { log }
    }

    /// A file by its name below the log's directory; nothing where there is none.
    pub(super) fn read(&self, name: &str, kind: Kind) -> Result<Option<Vec<u8>>, Unshipped> {
        let Some(seen) = self.look(name, kind)? else { return Ok(None) };
        if !seen.is_file() {
            return Err(Unshipped::Foreign(kind.name));
        }
        let file = match File::open(self.log.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unshipped::Moved),
            Err(error) => return Err(error.into()),
        };
        let opened = file.metadata()?;
        // The writer put another in its place meanwhile, or somebody a link.
        if (opened.dev(), opened.ino()) != (seen.dev(), seen.ino()) {
            return Err(Unshipped::Moved);
        }
        let mut bytes = Vec::new();
        let read = file.take(kind.bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        if read > kind.bytes_max { Err(Unshipped::Foreign(kind.name)) } else { Ok(Some(bytes)) }
    }

    /// What is there under a name, where neither it nor a folder above it is a link.
    fn look(&self, name: &str, kind: Kind) -> Result<Option<Metadata>, Unshipped> {
        let (mut at, mut seen) = (self.log.clone(), None);
        for part in name.split('/') {
            at.push(part);
            match fs::symlink_metadata(&at) {
                Ok(about) if about.is_symlink() => return Err(Unshipped::Foreign(kind.name)),
                Ok(about) => seen = Some(about),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(seen)
    }

    /// Every file of a policy's folder, by its name relative to it; nothing where there is no folder.
    pub(super) fn bundle(&self, folder: &str) -> Result<Option<Bundle>, Unshipped> {
        if self.look(folder, POLICY)?.is_none_or(|seen| !seen.is_dir()) {
            return Ok(None);
        }
        let (mut open, mut files) = (vec![folder.to_owned()], Bundle::new());
        let (mut left, mut names) = (POLICY.bytes_max, 0_usize);
        while let Some(next) = open.pop() {
            for item in fs::read_dir(self.log.join(&next))? {
                names += 1;
                let name = item?.file_name().into_string().map_err(|_| Unshipped::Foreign(POLICY.name))?;
                let name = format!("{next}/{name}");
                if names > POLICY_FILES_MAX {
                    return Err(Unshipped::Foreign(POLICY.name));
                }
                if self.look(&name, POLICY)?.is_some_and(|seen| seen.is_dir()) {
                    open.push(name);
                    continue;
                }
                let bytes = self.read(&name, Kind { bytes_max: left, ..POLICY })?.ok_or(Unshipped::Moved)?;
                left -= bytes.len();
                let within = name.strip_prefix(folder).and_then(|name| name.strip_prefix('/')).unwrap_or(&name);
                files.insert(within.to_owned(), bytes);
            }
        }
        Ok(Some(files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    const SHORT: Kind = Kind { name: "file", bytes_max: 6 };

    fn files(dir: &Path) -> Files {
        Files::new(dir.join("log"))
    }

    #[test]
    fn a_plain_file_is_read_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        fs::create_dir_all(log.join("1/class")).unwrap();
        fs::create_dir(dir.path().join("secrets")).unwrap();
        fs::write(dir.path().join("secrets/token"), "secret").unwrap();
        fs::write(log.join("1/class/plain"), "a file").unwrap();
        let files = files(dir.path());
        assert_eq!(files.read("1/class/plain", SHORT).unwrap().unwrap(), b"a file");
        assert!(files.read("1/class/none", SHORT).unwrap().is_none() && files.read("2/x", SHORT).unwrap().is_none());
        symlink(dir.path().join("secrets/token"), log.join("1/class/link")).unwrap();
        symlink("plain", log.join("1/class/within")).unwrap();
        symlink(dir.path().join("nothing"), log.join("1/class/dangling")).unwrap();
        symlink(dir.path().join("secrets"), log.join("1/folder")).unwrap();
        fs::write(log.join("1/class/long"), "seven..").unwrap();
        let socket = std::os::unix::net::UnixListener::bind(log.join("1/class/socket")).unwrap();
        for name in ["link", "within", "dangling", "long", "socket"] {
            let read = files.read(&format!("1/class/{name}"), SHORT);
            assert!(matches!(read, Err(Unshipped::Foreign("file"))), "{name}: {read:?}");
        }
        drop(socket);
        assert!(matches!(files.read("1/folder/token", SHORT), Err(Unshipped::Foreign(_))));
        assert!(matches!(files.read("1/class", SHORT), Err(Unshipped::Foreign(_))), "a folder is no file");
    }

    #[test]
    fn a_bundle_is_read_whole_and_has_no_links_and_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("log/policies/abc");
        fs::create_dir_all(bundle.join("rules/eu")).unwrap();
        fs::write(bundle.join("taxonomy.yaml"), "t").unwrap();
        fs::write(bundle.join("rules/eu/a.yaml"), "a").unwrap();
        let files = files(dir.path());
        let read = files.bundle("policies/abc").unwrap().unwrap();
        assert_eq!(read.keys().collect::<Vec<_>>(), ["rules/eu/a.yaml", "taxonomy.yaml"]);
        assert!(files.bundle("policies/def").unwrap().is_none());
        symlink("/etc", bundle.join("rules/etc")).unwrap();
        assert!(matches!(files.bundle("policies/abc"), Err(Unshipped::Foreign("policy bundle"))));
        fs::remove_file(bundle.join("rules/etc")).unwrap();
        for n in 0..2 {
            let half = File::create(bundle.join(format!("half-{n}"))).unwrap();
            half.set_len(POLICY.bytes_max as u64 / 2).unwrap();
        }
        assert!(matches!(files.bundle("policies/abc"), Err(Unshipped::Foreign(_))), "two bytes too many");
    }
}
