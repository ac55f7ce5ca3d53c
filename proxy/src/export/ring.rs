//! Since when this pod has counted by its ring, so that a restart with another
//! is noticed, however often it restarts then.
//!
//! Promise: a ring that was not written down counts as new. The file holds the
//! ring's digest, its number and two times; it lies beside the receipts, and is as old as they may be.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use privet_dp::fleet::Ring;
use privet_dp::window::Window;

const FILE: &str = ".ring";

/// How old this pod's ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RingAge {
    /// Since when it has counted by it.
    pub(super) since: Timestamp,
    /// Since when it had counted by the one before.
    pub(super) before: Timestamp,
}

impl RingAge {
    /// Whether the ring changed within this window.
    pub(super) fn changed_in(self, window: Window) -> bool {
        window.start() < self.since
    }

    /// Whether it changed more than once, so that more than two shards may have
    /// counted one unit.
    pub(super) fn changed_twice_in(self, window: Window) -> bool {
        window.start() < self.before
    }
}

/// How old this ring is at this pod; a new one begins `now`. Remembers it.
///
/// Without a memory, and where the ring's number says that this pod missed some in
/// between, the ring before is as new: how many there were in this window, nobody knows.
///
/// # Errors
/// A file that cannot be read or written.
pub(super) fn age(output: &Path, ring: Option<&Ring>, now: Timestamp) -> io::Result<RingAge> {
    let Some(ring) = ring else { return Ok(RingAge { since: now, before: now }) };
    let digest = ring.digest().to_string();
    let before = match remembered(output)? {
        Some((known, _, age)) if known == digest => return Ok(age),
        Some((_, epoch, age)) if epoch.checked_add(1) == Some(ring.place().epoch) => age.since,
        _ => now,
    };
    remember(output, &format!("{digest} {} {now} {before}\n", ring.place().epoch))?;
    Ok(RingAge { since: now, before })
}

/// The ring that was written down, its number and its age; `None` if there is nothing that can be read so.
fn remembered(output: &Path) -> io::Result<Option<(String, u64, RingAge)>> {
    let written = match fs::read_to_string(output.join(FILE)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => return Ok(None),
        written => written?,
    };
    let mut words = written.split_whitespace();
    let mut next = || words.next();
    let mut parsed = || {
        let (digest, epoch) = (next()?.to_owned(), next()?.parse().ok()?);
        Some((digest, epoch, RingAge { since: next()?.parse().ok()?, before: next()?.parse().ok()? }))
    };
    Ok(parsed())
}

/// The file appears whole, and survives a power loss.
fn remember(output: &Path, written: &str) -> io::Result<()> {
    let partial = output.join(".ring.partial");
    let mut file = File::create(&partial)?;
    file.write_all(written.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, output.join(FILE))?;
    File::open(output)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_as_old_as_the_first_start_with_it() {
        let output = tempfile::tempdir().unwrap();
        let ring = |epoch| Ring::new(epoch, vec!["a".to_owned(), "b".to_owned()], "a").unwrap();
        let asked = |epoch, secs| {
            let age = age(output.path(), Some(&ring(epoch)), Timestamp::from_second(secs).unwrap()).unwrap();
            (age.since.as_second(), age.before.as_second())
        };
        let ages = [asked(1, 10), asked(1, 20), asked(2, 30), asked(2, 40), asked(3, 50)];
        assert_eq!(ages, [(10, 10), (10, 10), (30, 10), (30, 10), (50, 30)]);
        assert_eq!([asked(5, 60), asked(1, 70)], [(60, 60), (70, 70)], "a ring in between was missed");
        for damaged in [b"\xff".as_slice(), b"", b"sha256:00 noon"] {
            fs::write(output.path().join(FILE), damaged).unwrap();
            assert_eq!(asked(1, 80), (80, 80));
        }
    }
}
