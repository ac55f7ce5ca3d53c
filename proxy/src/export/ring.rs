//! Since when this pod has counted by its ring, so that a restart with another
//! is noticed, however often it restarts then.
//!
//! Promise: a ring that was not written down counts as new. The file holds the
//! ring's digest and a time; it lies beside the receipts, and is as old as they may be.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use privet_dp::fleet::Ring;

const FILE: &str = ".ring";

/// Since when this pod has counted by this ring: `now`, if it did not before. Remembers it.
///
/// # Errors
/// A file that cannot be read or written.
pub(super) fn since(output: &Path, ring: Option<&Ring>, now: Timestamp) -> io::Result<Timestamp> {
    let Some(ring) = ring else { return Ok(now) };
    let digest = ring.digest().to_string();
    if let Some((_, since)) = remembered(output)?.filter(|(known, _)| *known == digest) {
        return Ok(since);
    }
    remember(output, &format!("{digest} {now}\n"))?;
    Ok(now)
}

/// The ring that was written down, and since when; `None` if there is nothing that can be read so.
fn remembered(output: &Path) -> io::Result<Option<(String, Timestamp)>> {
    let written = match fs::read_to_string(output.join(FILE)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => return Ok(None),
        written => written?,
    };
    let parts = written.trim_end().split_once(' ');
    Ok(parts.and_then(|(digest, since)| Some((digest.to_owned(), since.parse().ok()?))))
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
            let now = Timestamp::from_second(secs).unwrap();
            since(output.path(), Some(&ring(epoch)), now).unwrap().as_second()
        };
        assert_eq!([asked(1, 10), asked(1, 20), asked(2, 30), asked(2, 40), asked(1, 50)], [10, 10, 30, 30, 50]);
        fs::write(output.path().join(FILE), [0xff]).unwrap();
        assert_eq!(asked(1, 60), 60);
    }
}
