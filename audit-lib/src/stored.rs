//! One incarnation as it stands on disk, read in order.
//!
//! Recovery and verification read through this module, so both see the same log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::counts::Delta;
use crate::disk::{NOTE_BYTES_MAX, read_if_there};
use crate::tile::{BundleReader, TileName};
use crate::wal::{FrameKind, Segment, SegmentHeader, cut, segment_numbers, segment_path};

/// One thing of a stored incarnation, in order.
pub(crate) enum Item<'a> {
    /// A leaf.
    Record(&'a [u8]),
    /// A commit frame.
    Delta(Box<Delta>),
    /// A signed checkpoint over all leaves before it.
    TreeHead(&'a str),
    /// Bytes that are not as they were written.
    Damage(String),
}

/// What reading found besides the items.
#[derive(Debug, Default)]
pub(crate) struct Extent {
    /// Number of leaves.
    pub(crate) size: u64,
    /// The last segment with an intact header, and where its intact frames end.
    pub(crate) end: Option<(u32, u64)>,
    /// Bytes after that.
    pub(crate) torn_bytes: u64,
    /// Bytes of failed writes in earlier segments, after the place where the next one says they end.
    pub(crate) left_over_bytes: u64,
    /// Bundles that leaves were read from or compared with; of the last perhaps not all.
    pub(crate) bundles: Vec<TileName>,
}

/// The incarnations in a log directory, ascending.
///
/// # Errors
/// What the system says of a directory that cannot be listed.
pub fn incarnations(log: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for item in fs::read_dir(log)? {
        let item = item?;
        let name = item.file_name();
        let number = name.to_str().and_then(|name| name.parse::<u64>().ok().filter(|n| n.to_string() == name));
        if let Some(number) = number.filter(|_| item.path().is_dir()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// One incarnation's directory.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) number: u64,
    pub(crate) dir: PathBuf,
}

impl Stored {
    pub(crate) fn new(log: &Path, number: u64) -> Self {
        Self { number, dir: log.join(number.to_string()) }
    }

    pub(crate) fn wal_dir(&self) -> PathBuf {
        self.dir.join("wal")
    }

    /// The note in the file `checkpoint`.
    pub(crate) fn checkpoint(&self) -> io::Result<Option<String>> {
        let bytes = read_if_there(&self.dir.join("checkpoint"), NOTE_BYTES_MAX)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Removes what failed writes left in segments that another one follows.
    pub(crate) fn tidy(&self) -> io::Result<()> {
        let wal = self.wal_dir();
        let numbers = segment_numbers(&wal)?;
        for pair in numbers.windows(2) {
            if let [before, after] = pair
                && let Some(after) = Segment::header(&wal, self.number, *after)?
            {
                cut(&segment_path(&wal, *before), after.before_bytes)?;
            }
        }
        Ok(())
    }

    /// Visits everything in order.
    ///
    /// Leaves come from the segments; those whose segment is gone come from
    /// the entry bundles. Where both have a leaf they must agree. One segment is in memory at a time.
    pub(crate) fn read(&self, visit: &mut dyn FnMut(Item<'_>)) -> io::Result<Extent> {
        let wal = self.wal_dir();
        let mut numbers = segment_numbers(&wal)?;
        let mut extent = Extent::default();
        let mut segments = Vec::new();
        // A last segment without an intact header was being created.
        if let Some(last) = numbers.last().copied()
            && Segment::header(&wal, self.number, last)?.is_none()
        {
            extent.torn_bytes += fs::metadata(segment_path(&wal, last))?.len();
            numbers.pop();
        }
        for number in numbers {
            match Segment::header(&wal, self.number, number)? {
                Some(header) => segments.push((number, header)),
                None => visit(Item::Damage(format!("segment {number} does not begin with its header"))),
            }
        }
        if segments.is_empty() && (extent.torn_bytes > 0 || !segment_numbers(&wal)?.is_empty()) {
            visit(Item::Damage("no segment begins with its header".to_owned()));
        }
        let mut bundles = BundleReader::new(&self.dir);
        let first = segments.first().map(|(_, header)| header.first);
        self.read_bundles(first, &mut bundles, &mut extent, visit)?;
        for (at, (number, _)) in segments.iter().enumerate() {
            match Segment::read(&wal, self.number, *number)? {
                Some(segment) => {
                    read_segment(&segment, segments.get(at + 1).copied(), &mut bundles, &mut extent, visit)?;
                }
                None => visit(Item::Damage(format!("segment {number} does not begin with its header"))),
            }
        }
        extent.bundles = bundles.read;
        Ok(extent)
    }

    fn read_bundles(
        &self,
        until: Option<u64>,
        bundles: &mut BundleReader,
        extent: &mut Extent,
        visit: &mut dyn FnMut(Item<'_>),
    ) -> io::Result<()> {
        while until.is_none_or(|until| extent.size < until) {
            match bundles.record(extent.size)? {
                Some(record) => visit(Item::Record(record)),
                None if until.is_some() => {
                    visit(Item::Damage(format!("record {} is in no segment and in no entry bundle", extent.size)));
                    return Ok(());
                }
                None => return Ok(()),
            }
            extent.size += 1;
        }
        Ok(())
    }
}

fn read_segment(
    segment: &Segment,
    next: Option<(u32, SegmentHeader)>,
    bundles: &mut BundleReader,
    extent: &mut Extent,
    visit: &mut dyn FnMut(Item<'_>),
) -> io::Result<()> {
    if segment.header.first != extent.size {
        visit(Item::Damage(format!(
            "segment {} begins at record {}, and record {} was due",
            segment.number, segment.header.first, extent.size
        )));
    }
    let stop = next.map_or(u64::MAX, |(_, header)| header.before_bytes);
    let mut end = 0;
    for frame in segment.frames().take_while(|frame| frame.end <= stop) {
        match frame.kind {
            FrameKind::Header if end == 0 => {}
            FrameKind::Header => visit(Item::Damage(format!("segment {} has two headers", segment.number))),
            FrameKind::Delta => match Delta::decode(frame.payload) {
                Some(delta) => visit(Item::Delta(Box::new(delta))),
                None => visit(Item::Damage(format!("a commit frame of segment {} has no counts", segment.number))),
            },
            FrameKind::TreeHead => match std::str::from_utf8(frame.payload) {
                Ok(note) => visit(Item::TreeHead(note)),
                Err(_) => visit(Item::Damage(format!("a checkpoint of segment {} is not text", segment.number))),
            },
            FrameKind::Record => {
                let index = extent.size;
                let bundled = bundles.record(index)?;
                if bundled.is_some_and(|bundled| bundled != frame.payload) {
                    visit(Item::Damage(format!("record {index} differs between its segment and its entry bundle")));
                }
                visit(Item::Record(frame.payload));
                extent.size += 1;
            }
        }
        end = frame.end;
    }
    match next {
        Some((number, header)) if end != header.before_bytes || Some(number) != segment.number.checked_add(1) => {
            let message = format!("segment {} is intact up to byte {end} of {}", segment.number, header.before_bytes);
            visit(Item::Damage(message));
        }
        Some((_, header)) => extent.left_over_bytes += segment.len().saturating_sub(header.before_bytes),
        None => {
            extent.end = Some((segment.number, end));
            extent.torn_bytes += segment.len().saturating_sub(end);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_numbers_are_incarnations() {
        let log = tempfile::tempdir().unwrap();
        for name in ["1", "12", "2", "03", "3.tmp", "policies", "-1"] {
            fs::create_dir(log.path().join(name)).unwrap();
        }
        fs::write(log.path().join("7"), b"").unwrap();
        assert_eq!(incarnations(log.path()).unwrap(), vec![1, 2, 12]);
    }
}
