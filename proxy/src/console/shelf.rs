//! A directory whose files are served as they are, and nothing outside of it.
//!
//! Promise: a path is read into what it names, and the name on disk is written
//! anew from that. No link is followed, neither on the way nor at its end; only
//! plain files of a bounded size are sent.
//!
//! Not here: write-ahead segments, the lock and the reserve. What a segment holds
//! and no tile does is not published yet.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use http::StatusCode;
use percent_encoding::percent_decode_str;
use privet_audit_log::incarnations;
use privet_audit_log::tile::TileName;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use serde_json::json;

use super::answer::{self, Answer};

/// An entry bundle of 256 records of the longest kind has half of this.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// How many incarnations and policies a listing names: the newest, and those that come first.
const LISTED_MAX: usize = 10_000;
/// How deep a policy's files may lie.
const DEPTH_MAX: usize = 8;

/// What a path below `/v1/log/` names.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Listing,
    Checkpoint(u64),
    Tile(u64, TileName),
    Class(u64, String),
    Bundle(String),
    PolicyFile(String, Vec<String>),
}

impl Wanted {
    fn parse(path: &str) -> Option<Self> {
        if path.is_empty() {
            return Some(Self::Listing);
        }
        if let Some(rest) = path.strip_prefix("policies/") {
            let (bundle, file) = rest.split_once('/')?;
            let bundle = bundle_name(bundle)?;
            return if file.is_empty() {
                Some(Self::Bundle(bundle))
            } else {
                Some(Self::PolicyFile(bundle, pieces(file)?))
            };
        }
        let (number, rest) = path.split_once('/')?;
        let number = number.parse::<u64>().ok().filter(|n| *n > 0 && n.to_string() == number)?;
        if rest == "checkpoint" {
            return Some(Self::Checkpoint(number));
        }
        if let Some(class) = rest.strip_prefix("class/") {
            return class
                .strip_suffix(".json")
                .filter(|hex| is_digest(hex))
                .map(|hex| Self::Class(number, hex.to_owned()));
        }
        TileName::parse(rest).filter(|name| (1..=256).contains(&name.width)).map(|name| Self::Tile(number, name))
    }

    /// The pieces of its place on disk.
    fn place(&self) -> Vec<String> {
        match self {
            Self::Listing => Vec::new(),
            Self::Checkpoint(number) => vec![number.to_string(), "checkpoint".to_owned()],
            Self::Tile(number, name) => {
                let path = name.path();
                std::iter::once(number.to_string()).chain(path.split('/').map(str::to_owned)).collect()
            }
            Self::Class(number, hex) => vec![number.to_string(), "class".to_owned(), format!("{hex}.json")],
            Self::Bundle(bundle) => vec!["policies".to_owned(), bundle.clone()],
            Self::PolicyFile(bundle, pieces) => {
                ["policies".to_owned(), bundle.clone()].into_iter().chain(pieces.iter().cloned()).collect()
            }
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Checkpoint(_) | Self::PolicyFile(..) => "text/plain; charset=utf-8",
            Self::Class(..) => "application/json",
            _ => "application/octet-stream",
        }
    }
}

/// `<digest>` or `<digest>-<bundle>`, in lower-case hexadecimal.
fn bundle_name(name: &str) -> Option<String> {
    let known = match name.split_once('-') {
        None => is_digest(name),
        Some((digest, bundle)) => is_digest(digest) && is_digest(bundle),
    };
    known.then(|| name.to_owned())
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The names between slashes, each one plain: nothing that a file system reads as another place.
pub(super) fn pieces(path: &str) -> Option<Vec<String>> {
    let decoded = path.split('/').map(|piece| percent_decode_str(piece).decode_utf8().ok());
    let pieces: Vec<String> = decoded.map(|piece| piece.map(|piece| piece.into_owned())).collect::<Option<_>>()?;
    let plain = |piece: &String| !matches!(piece.as_str(), "" | "." | "..") && !piece.contains(['/', '\\', '\0']);
    (pieces.len() <= DEPTH_MAX && pieces.iter().all(plain)).then_some(pieces)
}

/// Opens a plain file below a directory, piece by piece: a link is not followed, whenever it was put there, and
/// what is no plain file is not waited for.
pub(super) fn open(root: &Path, pieces: &[String]) -> io::Result<(File, u64)> {
    let (name, way) = pieces.split_last().ok_or(io::ErrorKind::NotFound)?;
    let directory = directory(root, way)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(&directory, name, flags, Mode::empty()).map_err(not_plain)?);
    let opened = file.metadata()?;
    if opened.is_file() { Ok((file, opened.len())) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Opens a plain directory below another, in the same way. The root itself is where the configuration says.
fn directory(root: &Path, pieces: &[String]) -> io::Result<OwnedFd> {
    pieces.iter().try_fold(OwnedFd::from(File::open(root)?), |directory, piece| within(&directory, piece))
}

fn within(directory: &OwnedFd, piece: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, piece, flags, Mode::empty()).map_err(not_plain)
}

/// A link, a socket, or a file where a directory should be is nothing that a log has.
fn not_plain(error: Errno) -> io::Error {
    match error {
        Errno::LOOP | Errno::NOTDIR | Errno::NXIO => io::ErrorKind::NotFound.into(),
        other => other.into(),
    }
}

/// Sends a plain file below a directory. Whoever reads it may be told that it is not there, and no more.
pub(super) async fn send(root: PathBuf, pieces: Vec<String>, kind: &'static str) -> Answer {
    let opened = tokio::task::spawn_blocking(move || open(&root, &pieces)).await;
    match opened.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())) {
        Ok((_, bytes)) if bytes > FILE_BYTES_MAX => answer::problem(
            StatusCode::INSUFFICIENT_STORAGE,
            "the file is larger than the 32 MiB that are served: read it where it lies",
        ),
        Ok((file, bytes)) => answer::file(kind, file, bytes),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            answer::problem(StatusCode::NOT_FOUND, "there is no such file in the log")
        }
        Err(_) => {
            answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read: see the sidecar's own log")
        }
    }
}

/// The log directory.
pub(super) struct Shelf {
    root: PathBuf,
}

impl Shelf {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Answers for a path below `/v1/log/`; `running` is the incarnation of this process.
    pub(super) async fn answer(&self, path: &str, running: u64) -> Answer {
        let Some(wanted) = Wanted::parse(path) else {
            return answer::problem(StatusCode::NOT_FOUND, "no file of a log has this name");
        };
        let (root, place) = (self.root.clone(), wanted.place());
        match wanted {
            Wanted::Listing => listed(move || listing(&root, running)).await,
            Wanted::Bundle(_) => listed(move || bundle(&root, &place)).await,
            _ => send(root, place, wanted.kind()).await,
        }
    }
}

async fn listed(list: impl FnOnce() -> io::Result<serde_json::Value> + Send + 'static) -> Answer {
    match tokio::task::spawn_blocking(list).await {
        Ok(Ok(list)) => answer::json(&list),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            answer::problem(StatusCode::NOT_FOUND, "there is no such directory in the log")
        }
        _ => answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "the log directory cannot be listed"),
    }
}

/// `{"incarnations": [1, 2], "running": 2, "policies": ["<digest>"], "left_out": 0}`.
fn listing(root: &Path, running: u64) -> io::Result<serde_json::Value> {
    let numbers = incarnations(root)?;
    let newest = numbers.len().saturating_sub(LISTED_MAX);
    let mut policies: Vec<String> =
        names(&root.join("policies"))?.into_iter().filter_map(|name| bundle_name(&name)).collect();
    let left_out = newest + policies.len().saturating_sub(LISTED_MAX);
    policies.truncate(LISTED_MAX);
    let numbers: Vec<u64> = numbers.into_iter().skip(newest).collect();
    Ok(json!({"incarnations": numbers, "running": running, "policies": policies, "left_out": left_out}))
}

/// `{"files": ["rules/a.yaml"]}`: the plain files of a stored policy, by name.
fn bundle(root: &Path, place: &[String]) -> io::Result<serde_json::Value> {
    let mut files = Vec::new();
    gather(&directory(root, place)?, "", 1, &mut files)?;
    files.sort();
    Ok(json!({"files": files}))
}

fn gather(directory: &OwnedFd, below: &str, depth: usize, files: &mut Vec<String>) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().ok().filter(|name| !matches!(*name, "." | "..")) else { continue };
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let kind = FileType::from_raw_mode(statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
        if kind == FileType::Directory && depth < DEPTH_MAX {
            gather(&within(directory, name)?, &path, depth + 1, files)?;
        } else if kind == FileType::RegularFile && files.len() < LISTED_MAX {
            files.push(path);
        }
    }
    Ok(())
}

/// The names in a directory, in order; none where it is not there.
pub(super) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_log_has_are_read() {
        let digest = "ab".repeat(32);
        assert_eq!(Wanted::parse(""), Some(Wanted::Listing));
        assert_eq!(Wanted::parse("3/checkpoint"), Some(Wanted::Checkpoint(3)));
        let name = TileName { level: None, index: 1067, width: 7 };
        assert_eq!(Wanted::parse("1/tile/entries/x001/067.p/7"), Some(Wanted::Tile(1, name)));
        assert_eq!(Wanted::parse(&format!("1/class/{digest}.json")), Some(Wanted::Class(1, digest.clone())));
        assert_eq!(Wanted::parse(&format!("policies/{digest}/")), Some(Wanted::Bundle(digest.clone())));
        let file = Wanted::PolicyFile(digest.clone(), vec!["rules".to_owned(), "a b.yaml".to_owned()]);
        assert_eq!(Wanted::parse(&format!("policies/{digest}/rules/a%20b.yaml")), Some(file));
        let strays = [
            "lock",
            "reserve",
            "1",
            "1/",
            "01/checkpoint",
            "0/checkpoint",
            "+1/checkpoint",
            "1/wal/00000000.wal",
            "../anchor/vkey",
            "1/../2/checkpoint",
            "1/checkpoint/",
            "1/tile/0/../../checkpoint",
            "1/tile/0/000.p/0",
            "1//checkpoint",
            "policies/",
            "1%2fcheckpoint",
            "1/class/../checkpoint.json",
            "policies/..",
            "policies/../1/checkpoint",
        ];
        for stray in strays {
            assert_eq!(Wanted::parse(stray), None, "{stray}");
        }
        for stray in ["..", "%2e%2e", "a/%2e%2e/b", "a%2fb", "a//b", "a%00", "a\\b", ".", "%ff"] {
            assert_eq!(Wanted::parse(&format!("policies/{digest}/{stray}")), None, "{stray}");
        }
    }

    #[test]
    fn a_link_is_no_file_of_a_log() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let log = tempfile::tempdir().unwrap();
        fs::create_dir(log.path().join("1")).unwrap();
        fs::write(log.path().join("1/real"), "four").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), log.path().join("1/checkpoint")).unwrap();
        std::os::unix::fs::symlink(outside.path(), log.path().join("2")).unwrap();
        let place = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!(open(log.path(), &place(&["1", "real"])).unwrap().1, 4);
        for parts in [["1", "checkpoint"], ["2", "secret"], ["1", "none"]] {
            let error = open(log.path(), &place(&parts)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{parts:?}");
        }
        assert!(open(log.path(), &place(&["1"])).is_err());
    }

    /// Does it on a thread of its own, and gives up on it where it waits.
    fn promptly<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(work()));
        wait.recv_timeout(std::time::Duration::from_secs(10)).expect("nothing is waited for")
    }

    #[test]
    fn what_is_no_plain_file_is_not_waited_for() {
        let log = tempfile::tempdir().unwrap();
        fs::create_dir(log.path().join("1")).unwrap();
        let pipe = log.path().join("1/checkpoint");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(log.path().join("1/socket")).unwrap();
        for name in ["checkpoint", "socket"] {
            let (root, place) = (log.path().to_owned(), vec!["1".to_owned(), name.to_owned()]);
            let error = promptly(move || open(&root, &place)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{name}");
        }
    }

    #[test]
    fn a_directory_that_becomes_a_link_while_it_is_read_leads_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("checkpoint"), "another's").unwrap();
        let log = tempfile::tempdir().unwrap();
        let [real, kept, link] = ["1", "kept", "link"].map(|name| log.path().join(name));
        fs::create_dir(&real).unwrap();
        fs::write(real.join("checkpoint"), "ours").unwrap();
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        let root = log.path().to_owned();
        let reader = std::thread::spawn(move || {
            let place = ["1".to_owned(), "checkpoint".to_owned()];
            let lengths = (0..20_000).filter_map(|_| open(&root, &place).ok());
            lengths.filter(|(_, bytes)| *bytes != 4).count()
        });
        while !reader.is_finished() {
            for (from, to) in [(&real, &kept), (&link, &real), (&real, &link), (&kept, &real)] {
                fs::rename(from, to).unwrap();
            }
        }
        assert_eq!(reader.join().unwrap(), 0, "files outside of the log were opened");
    }

    #[test]
    fn a_stored_policy_is_listed_without_what_its_links_lead_to() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.yaml"), "s").unwrap();
        let log = tempfile::tempdir().unwrap();
        let digest = "ab".repeat(32);
        let policy = log.path().join("policies").join(&digest);
        fs::create_dir_all(policy.join("rules")).unwrap();
        fs::write(policy.join("rules/a.yaml"), "a").unwrap();
        std::os::unix::fs::symlink(outside.path(), policy.join("more")).unwrap();
        let place = ["policies".to_owned(), digest.clone()];
        assert_eq!(bundle(log.path(), &place).unwrap(), json!({"files": ["rules/a.yaml"]}));
        std::os::unix::fs::symlink(outside.path(), log.path().join("policies/linked")).unwrap();
        let error = bundle(log.path(), &["policies".to_owned(), "linked".to_owned()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
