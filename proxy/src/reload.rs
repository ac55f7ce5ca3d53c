//! Noticing that files changed, and handing the new ones over whole.
//!
//! Promise: what is handed over was the same in two readings a moment apart,
//! so a directory that is being swapped is never seen half; a version that is
//! rejected leaves the old one in force and says so in the log, a metric and
//! `/readyz`. The system's change notices are only a hint: every
//! [`Timing::poll`] the contents are compared anyway.
//!
//! A mounted ConfigMap is a directory whose files are links through `..data`,
//! which is swapped in one step. Names that begin with a dot are passed over,
//! links are followed, so the swap is seen as changed contents.
//!
//! Not here: what the files mean.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use privet_audit_log::signing::SIGNATURE_ENDING;
use sha2::{Digest, Sha256};

use crate::admin::Health;
use crate::metrics::{Label, Metrics, Reloaded};

/// Files by their name relative to the directory, `/` between its parts.
pub type Files = Vec<(String, Vec<u8>)>;

/// Takes new files and gives the digest that is now in force, or says what is wrong with them.
pub type Apply = Box<dyn FnMut(Files) -> Result<String, String> + Send>;

/// All files of one source together.
const BYTES_MAX: u64 = 64 << 20;
/// How many there may be.
const FILES_MAX: usize = 10_000;
/// How deep directories may lie in each other.
const DEPTH_MAX: usize = 8;

/// Something on disk that is loaded when it changes.
pub struct Source {
    /// What it is, for metrics and notes.
    pub what: Reloaded,
    /// Where it is.
    pub place: Place,
    /// Who takes it.
    pub apply: Apply,
}

/// Where files are.
#[derive(Clone, Debug)]
pub enum Place {
    /// All files below a directory whose names end in one of these; every file when there are none.
    Directory {
        /// The directory.
        path: PathBuf,
        /// The endings, each with its dot.
        endings: &'static [&'static str],
    },
    /// Exactly these files, under the names they have here.
    Files(Vec<PathBuf>),
}

/// How often to look, and how long to wait until a change is complete.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two looks when nothing is noticed.
    pub poll: Duration,
    /// Between a notice and the reading, and between two readings that have to agree.
    pub settle: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { poll: Duration::from_secs(30), settle: Duration::from_millis(200) }
    }
}

impl Place {
    /// A directory of policies and their signatures.
    #[must_use]
    pub fn policies(path: &Path) -> Self {
        Self::Directory { path: path.to_owned(), endings: &[".yaml", ".yml", SIGNATURE_ENDING] }
    }

    /// A directory of keys, or any other where every file counts.
    #[must_use]
    pub fn everything_in(path: &Path) -> Self {
        Self::Directory { path: path.to_owned(), endings: &[] }
    }

    /// Reads all files, sorted by name.
    ///
    /// # Errors
    /// When a file cannot be read or there is too much.
    pub fn read(&self) -> io::Result<Files> {
        let mut found = Found::default();
        match self {
            Self::Directory { path, endings } => found.directory(path, "", endings, 0)?,
            Self::Files(paths) => {
                for path in paths {
                    found.file(path, path.display().to_string())?;
                }
            }
        }
        Ok(found.files.into_iter().collect())
    }

    /// The directories in which a change would show.
    fn watched(&self) -> Vec<PathBuf> {
        match self {
            Self::Directory { path, .. } => vec![path.clone()],
            Self::Files(paths) => {
                let mut parents: Vec<_> = paths.iter().filter_map(|path| path.parent()).map(Path::to_owned).collect();
                parents.sort();
                parents.dedup();
                parents
            }
        }
    }
}

#[derive(Default)]
struct Found {
    files: BTreeMap<String, Vec<u8>>,
    bytes: u64,
}

impl Found {
    fn directory(&mut self, path: &Path, prefix: &str, endings: &[&str], depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(too_much("directories lie too deep in each other"));
        }
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let relative = format!("{prefix}{name}");
            let below = entry.path();
            if std::fs::metadata(&below)?.is_dir() {
                self.directory(&below, &format!("{relative}/"), endings, depth + 1)?;
            } else if endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending)) {
                self.file(&below, relative)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: String) -> io::Result<()> {
        self.bytes = self.bytes.saturating_add(std::fs::metadata(path)?.len());
        if self.bytes > BYTES_MAX || self.files.len() >= FILES_MAX {
            return Err(too_much("too many files or bytes"));
        }
        self.files.insert(name, std::fs::read(path)?);
        Ok(())
    }
}

fn too_much(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, what)
}

/// The digest of names and contents; it is not the policy's digest, which is about meaning.
#[must_use]
pub fn contents_digest(files: &Files) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for (name, bytes) in files {
        for part in [name.as_bytes(), bytes] {
            hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize().into()
}

/// The thread that watches; dropping it ends the thread.
pub struct Watch {
    wake: Option<SyncSender<Notice>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

enum Notice {
    Changed,
    Stop,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(wake) = self.wake.take() {
            // The thread may have ended already; then there is nobody to stop.
            wake.send(Notice::Stop).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Watches sources from what is in force now: `loaded` are the contents already taken, in the same order.
///
/// # Errors
/// When the thread cannot start. That the system gives no change notices is no error: then only polling is left.
pub fn watch(
    sources: Vec<(Source, [u8; 32])>,
    timing: Timing,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
) -> io::Result<Watch> {
    let (wake, notices) = sync_channel(1);
    let hints = hints(&sources, wake.clone());
    let mut followed: Vec<_> = sources.into_iter().map(|(source, loaded)| Followed::new(source, loaded)).collect();
    let thread = std::thread::Builder::new().name("privet-reload".to_owned()).spawn(move || {
        let _hints = hints;
        while wait(&notices, timing) {
            for source in &mut followed {
                source.look(timing, &health, &metrics);
            }
        }
    })?;
    Ok(Watch { wake: Some(wake), thread: Some(thread) })
}

/// Waits for a notice, or for the time to look anyway; false when it is time to stop.
fn wait(notices: &Receiver<Notice>, timing: Timing) -> bool {
    match notices.recv_timeout(timing.poll) {
        Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        Err(RecvTimeoutError::Timeout) => return true,
        Ok(Notice::Changed) => {}
    }
    // More notices of the same change follow; they are over when none came for a while.
    loop {
        match notices.recv_timeout(timing.settle) {
            Ok(Notice::Changed) => {}
            Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => return true,
        }
    }
}

fn hints(sources: &[(Source, [u8; 32])], wake: SyncSender<Notice>) -> Option<notify::RecommendedWatcher> {
    let told = move |event: notify::Result<notify::Event>| {
        // Reading the files is an event too; it must not lead to another reading.
        if event.is_ok_and(|event| event.kind.is_access()) {
            return;
        }
        match wake.try_send(Notice::Changed) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    };
    let mut watcher = notify::recommended_watcher(told)
        .inspect_err(|error| tracing::warn!(%error, "no change notices from the system, looking at intervals only"))
        .ok()?;
    for (source, _) in sources {
        for directory in source.place.watched() {
            if let Err(error) = watcher.watch(&directory, RecursiveMode::Recursive) {
                tracing::warn!(what = source.what.value(), %error, "no change notices, looking at intervals only");
            }
        }
    }
    Some(watcher)
}

/// One source and how far it is.
struct Followed {
    source: Source,
    loaded: [u8; 32],
    rejected: Option<[u8; 32]>,
    unreadable: bool,
}

impl Followed {
    const fn new(source: Source, loaded: [u8; 32]) -> Self {
        Self { source, loaded, rejected: None, unreadable: false }
    }

    fn look(&mut self, timing: Timing, health: &Health, metrics: &Metrics) {
        match self.settled(timing) {
            Ok(files) => {
                self.unreadable = false;
                self.compare(files, health, metrics);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unreadable, true) {
                    self.keep_old(&format!("cannot be read: {error}"), health, metrics);
                }
            }
        }
    }

    /// Reads until two readings in a row agree. It gives up after a while; the next look goes on.
    fn settled(&self, timing: Timing) -> io::Result<Files> {
        let mut before = self.source.place.read()?;
        let unchanged = contents_digest(&before) == self.loaded;
        for _ in 0..if unchanged { 0 } else { 20 } {
            std::thread::sleep(timing.settle);
            let now = self.source.place.read()?;
            if now == before {
                return Ok(now);
            }
            before = now;
        }
        if unchanged { Ok(before) } else { Err(io::Error::other("it does not stop changing")) }
    }

    fn compare(&mut self, files: Files, health: &Health, metrics: &Metrics) {
        let digest = contents_digest(&files);
        if digest == self.loaded {
            self.rejected = None;
            self.in_force(health, metrics);
            return;
        }
        match (self.source.apply)(files) {
            Ok(in_force) => {
                (self.loaded, self.rejected) = (digest, None);
                tracing::info!(what = self.source.what.value(), digest = in_force, "reloaded");
                metrics.reloads.of(self.source.what).increment(1);
                self.in_force(health, metrics);
            }
            // The same rejected files are tried again, for the reason may lie elsewhere, but told once.
            Err(reason) if self.rejected.replace(digest) != Some(digest) => self.keep_old(&reason, health, metrics),
            Err(_) => {}
        }
    }

    fn in_force(&self, health: &Health, metrics: &Metrics) {
        health.clear_note(note_name(self.source.what));
        metrics.reload_stale.of(self.source.what).set(0.0);
    }

    fn keep_old(&self, reason: &str, health: &Health, metrics: &Metrics) {
        let what = self.source.what;
        tracing::error!(what = what.value(), reason, "the changed files are not in force, the old ones stay");
        health.note(note_name(what), format!("changed files are not in force: {reason}"));
        metrics.reloads_rejected.of(what).increment(1);
        metrics.reload_stale.of(what).set(1.0);
    }
}

const fn note_name(what: Reloaded) -> &'static str {
    match what {
        Reloaded::Policies => "policies",
        Reloaded::Shadow => "shadow",
        Reloaded::Keyring => "keyring",
        Reloaded::Certificates => "certificates",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::sync::Mutex;
    use std::time::Instant;

    const FAST: Timing = Timing { poll: Duration::from_secs(20), settle: Duration::from_millis(10) };

    type Seen = Arc<Mutex<Vec<Files>>>;

    /// A directory as the kubelet mounts it, with one version in it.
    fn config_map(root: &Path, version: &str, text: &str) {
        let data = root.join(format!("..{version}"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("a.yaml"), text).unwrap();
        symlink(data.file_name().unwrap(), root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    }

    fn follow(root: &Path, timing: Timing) -> (Watch, Seen, Arc<Health>, Arc<Metrics>) {
        let seen: Seen = Arc::default();
        let kept = Arc::clone(&seen);
        let apply: Apply = Box::new(move |files| {
            let bad = files.iter().any(|(_, bytes)| bytes.starts_with(b"bad"));
            kept.lock().unwrap().push(files);
            if bad { Err("line 1 is wrong".to_owned()) } else { Ok("digest".to_owned()) }
        });
        let place = Place::policies(root);
        let loaded = contents_digest(&place.read().unwrap());
        let (health, metrics) = (Arc::new(Health::default()), Arc::new(Metrics::new()));
        let source = Source { what: Reloaded::Policies, place, apply };
        let watch = watch(vec![(source, loaded)], timing, Arc::clone(&health), Arc::clone(&metrics)).unwrap();
        (watch, seen, health, metrics)
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(10), "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_swapped_config_map_is_seen_whole() {
        let root = tempfile::tempdir().unwrap();
        config_map(root.path(), "1", "one");
        symlink("..data/a.yaml", root.path().join("a.yaml")).unwrap();
        let (_watch, seen, _, metrics) = follow(root.path(), FAST);
        config_map(root.path(), "2", "two");
        until("the new version", || !seen.lock().unwrap().is_empty());
        assert_eq!(seen.lock().unwrap()[0], [("a.yaml".to_owned(), b"two".to_vec())]);
        until("the count", || metrics.render().contains(r#"privet_reloads_total{what="policies"} 1"#));
    }

    #[test]
    fn a_rejected_version_is_told_and_a_good_one_ends_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.yaml"), "one").unwrap();
        let (_watch, _, _, metrics) = follow(root.path(), FAST);
        std::fs::write(root.path().join("a.yaml"), "bad").unwrap();
        let stale = |value: u8| format!(r#"privet_reload_stale{{what="policies"}} {value}"#);
        until("the rejection", || metrics.render().contains(&stale(1)));
        assert!(metrics.render().contains(r#"privet_reloads_rejected_total{what="policies"} 1"#));
        std::fs::write(root.path().join("a.yaml"), "three").unwrap();
        until("the good version", || metrics.render().contains(&stale(0)));
    }

    #[test]
    fn going_back_to_what_is_in_force_is_no_longer_stale() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.yaml"), "one").unwrap();
        let (_watch, seen, _, metrics) = follow(root.path(), FAST);
        std::fs::write(root.path().join("a.yaml"), "bad").unwrap();
        until("the rejection", || metrics.render().contains(r#"reload_stale{what="policies"} 1"#));
        std::fs::write(root.path().join("a.yaml"), "one").unwrap();
        until("the way back", || metrics.render().contains(r#"reload_stale{what="policies"} 0"#));
        assert_eq!(seen.lock().unwrap().len(), 1);
    }

    #[test]
    fn polling_alone_is_enough() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("b.yaml"), "one").unwrap();
        symlink(elsewhere.path().join("b.yaml"), root.path().join("b.yaml")).unwrap();
        let timing = Timing { poll: Duration::from_millis(50), ..FAST };
        let (_watch, seen, _, _) = follow(root.path(), timing);
        std::fs::write(elsewhere.path().join("b.yaml"), "two").unwrap();
        until("the change behind the link", || !seen.lock().unwrap().is_empty());
    }

    #[test]
    fn only_the_named_endings_count_and_folders_are_read() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("rules/.git")).unwrap();
        for name in ["rules/a.yaml", "rules/.git/c.yaml", "b.yml", "marla.sig", "readme.md"] {
            std::fs::write(root.path().join(name), name).unwrap();
        }
        let names: Vec<_> = Place::policies(root.path()).read().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b.yml", "marla.sig", "rules/a.yaml"]);
        assert_eq!(Place::everything_in(root.path()).read().unwrap().len(), 4);
    }

    #[test]
    fn moving_a_byte_between_name_and_contents_changes_the_digest() {
        let one = vec![("ab".to_owned(), b"c".to_vec())];
        let other = vec![("a".to_owned(), b"bc".to_vec())];
        assert_ne!(contents_digest(&one), contents_digest(&other));
    }
}
