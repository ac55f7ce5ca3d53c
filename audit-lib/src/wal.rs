//! Write-ahead segments: where a commit becomes durable.
//!
//! A frame is `u32 length | u32 crc32c | kind | bytes`, numbers little-endian.
//! The checksum covers the checksum of the frame before it, so a frame that was
//! moved, repeated or brought from elsewhere is no frame. A segment begins with
//! a header that says where the segment before it ends, so a write that failed
//! half way is left behind, never overwritten.
//!
//! Bounds: a segment of 64 MiB is followed by another, retired or not; one of more than 256 MiB is not read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskOp, Gate, sync_dir};

const FRAME_HEAD_BYTES: usize = 9;
/// A frame is a record, a note or a delta; none comes near this.
const FRAME_BYTES_MAX: u32 = 1 << 20;
/// A segment that cannot be retired, since nothing can be published, is followed by another once it has this many bytes.
pub(crate) const SEGMENT_BYTES_FULL: u64 = 64 << 20;
/// A longer segment is not read: one group more than a full one never comes near this.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;
/// A segment's first frame, its header, is shorter.
const HEADER_BYTES_MAX: u64 = 4096;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// [`SegmentHeader`], first in each segment.
    Header = 0,
    /// Counters since the frame before.
    Delta = 1,
    /// The bytes of a leaf.
    Record = 2,
    /// A signed checkpoint.
    TreeHead = 3,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Header),
            1 => Some(Self::Delta),
            2 => Some(Self::Record),
            3 => Some(Self::TreeHead),
            _ => None,
        }
    }
}

/// The first frame of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentHeader {
    /// Index of the first record after it.
    pub(crate) first: u64,
    /// Where the segment before ends, in bytes.
    pub(crate) before_bytes: u64,
}

fn segment_seed(incarnation: u64, number: u32) -> u32 {
    crc32c::crc32c(format!("privet wal {incarnation}/{number}").as_bytes())
}

pub(crate) fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.wal"))
}

/// Frames that are written and made durable together.
#[derive(Debug)]
pub(crate) struct Group {
    bytes: Vec<u8>,
    checksum: u32,
}

impl Group {
    pub(crate) fn push(&mut self, kind: FrameKind, payload: &[u8]) {
        let mut checksum = crc32c::crc32c(&self.checksum.to_le_bytes());
        checksum = crc32c::crc32c_append(checksum, &[kind as u8]);
        checksum = crc32c::crc32c_append(checksum, payload);
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        self.bytes.push(kind as u8);
        self.bytes.extend_from_slice(payload);
        self.checksum = checksum;
    }
}

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Wal {
    dir: PathBuf,
    incarnation: u64,
    number: u32,
    file: Option<File>,
    bytes: u64,
    checksum: u32,
    gate: Gate,
}

impl Wal {
    /// Begins to write after segment `number`, which ends at `bytes`; the next
    /// commit makes a new segment. `number` is `None` in an empty directory.
    pub(crate) fn after(dir: PathBuf, incarnation: u64, end: Option<(u32, u64)>, gate: Gate) -> Self {
        let (number, bytes) = end.map_or((u32::MAX, 0), |end| end);
        Self { dir, incarnation, number, file: None, bytes, checksum: 0, gate }
    }

    /// Follows its directory to another name.
    pub(crate) fn relocate(&mut self, dir: PathBuf) {
        self.dir = dir;
    }

    /// Bytes in the current segment.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A group to fill; a new segment begins with its header.
    pub(crate) fn group(&self, next_record: u64) -> Group {
        if self.file.is_some() {
            return Group { bytes: Vec::new(), checksum: self.checksum };
        }
        let mut group = Group { bytes: Vec::new(), checksum: segment_seed(self.incarnation, self.next_number()) };
        let header = SegmentHeader { first: next_record, before_bytes: self.bytes };
        let payload = serde_json::to_vec(&header).unwrap_or_default();
        group.push(FrameKind::Header, &payload);
        group
    }

    fn next_number(&self) -> u32 {
        self.number.wrapping_add(1)
    }

    /// Writes a group and waits until it is durable.
    ///
    /// After an error nothing of the group counts, and the next group begins
    /// a new segment: what a failed write or sync left behind is not built on.
    pub(crate) fn commit(&mut self, group: &Group) -> io::Result<()> {
        let fresh = self.file.is_none();
        let done = self.write(group, fresh);
        if done.is_err() {
            self.abandon(fresh);
        }
        done
    }

    fn write(&mut self, group: &Group, fresh: bool) -> io::Result<()> {
        if fresh {
            self.gate.pass(DiskOp::Create)?;
            fs::create_dir_all(&self.dir)?;
        }
        let path = segment_path(&self.dir, self.next_number());
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().write(true).create(true).truncate(true).open(path)?),
        };
        self.gate.pass(DiskOp::Append)?;
        file.write_all(&group.bytes)?;
        self.gate.pass(DiskOp::Sync)?;
        file.sync_data()?;
        if fresh {
            sync_dir(&self.dir)?;
            self.cut_before();
            self.number = self.next_number();
            self.bytes = 0;
        }
        self.bytes += group.bytes.len() as u64;
        self.checksum = group.checksum;
        if self.bytes >= SEGMENT_BYTES_FULL {
            self.end_segment();
        }
        Ok(())
    }

    /// The header is durable and says where the segment before ends; whatever
    /// stands after that place is an unfinished write, removed for tidiness only.
    fn cut_before(&self) {
        if self.number != u32::MAX {
            let _ = cut(&segment_path(&self.dir, self.number), self.bytes);
        }
    }

    fn abandon(&mut self, fresh: bool) {
        // Best effort: frees what the failed write took of a full disk. A fresh
        // segment is made again from nothing by the next commit.
        if let Some(file) = self.file.take() {
            let _ = file.set_len(if fresh { 0 } else { self.bytes });
        }
    }

    /// Ends the current segment; the next commit begins another.
    pub(crate) fn end_segment(&mut self) {
        self.file = None;
    }

    /// Removes all segments before the current one.
    pub(crate) fn forget_before(&self) -> io::Result<()> {
        for number in segment_numbers(&self.dir)? {
            if number < self.number {
                fs::remove_file(segment_path(&self.dir, number))?;
            }
        }
        Ok(())
    }
}

pub(crate) fn cut(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    if file.metadata()?.len() > bytes { file.set_len(bytes) } else { Ok(()) }
}

/// The numbers of the segments in a directory, ascending; none if it is not there.
pub(crate) fn segment_numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let listing = match fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for item in listing {
        let name = item?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".wal"));
        numbers.extend(stem.and_then(|stem| stem.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// One segment in memory.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) header: SegmentHeader,
    bytes: Vec<u8>,
    seed: u32,
}

/// A frame and where it ends.
pub(crate) struct Frame<'a> {
    pub(crate) kind: FrameKind,
    pub(crate) payload: &'a [u8],
    pub(crate) end: u64,
}

impl Segment {
    /// Reads a segment; `None` where not even its header is intact.
    pub(crate) fn read(dir: &Path, incarnation: u64, number: u32) -> io::Result<Option<Self>> {
        let bytes = disk::read(&segment_path(dir, number), SEGMENT_BYTES_MAX)?;
        let seed = segment_seed(incarnation, number);
        Ok(header_in(&bytes, seed).map(|header| Self { number, header, bytes, seed }))
    }

    /// Reads the header alone; `None` where it is not intact.
    pub(crate) fn header(dir: &Path, incarnation: u64, number: u32) -> io::Result<Option<SegmentHeader>> {
        let mut bytes = Vec::new();
        File::open(segment_path(dir, number))?.take(HEADER_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(header_in(&bytes, segment_seed(incarnation, number)))
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Its frames, header first, up to the first that is not intact.
    pub(crate) fn frames(&self) -> Frames<'_> {
        Frames { bytes: &self.bytes, at: 0, checksum: self.seed }
    }
}

fn header_in(bytes: &[u8], seed: u32) -> Option<SegmentHeader> {
    let first = Frames { bytes, at: 0, checksum: seed }.next()?;
    if first.kind == FrameKind::Header { serde_json::from_slice(first.payload).ok() } else { None }
}

/// Walks the intact frames of a segment.
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    checksum: u32,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let rest = self.bytes.get(self.at..)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first()?;
        let length = u32::from_le_bytes(*length);
        if length > FRAME_BYTES_MAX {
            return None;
        }
        let payload = rest.get(..length as usize)?;
        let mut expected = crc32c::crc32c(&self.checksum.to_le_bytes());
        expected = crc32c::crc32c_append(expected, &[*kind]);
        expected = crc32c::crc32c_append(expected, payload);
        if u32::from_le_bytes(*checksum) != expected {
            return None;
        }
        let kind = FrameKind::from_byte(*kind)?;
        self.at += FRAME_HEAD_BYTES + payload.len();
        self.checksum = expected;
        Some(Frame { kind, payload, end: self.at as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_is_full_is_followed_by_another_and_one_that_is_too_long_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut wal = Wal::after(dir.path().to_owned(), 1, None, Gate::default());
        let mut commit = |bytes: u64| {
            let mut group = wal.group(0);
            (0..bytes >> 20).for_each(|_| group.push(FrameKind::Record, &[7; 1 << 20]));
            wal.commit(&group).unwrap();
        };
        commit(SEGMENT_BYTES_FULL);
        commit(1 << 20);
        commit(1 << 20);
        assert_eq!(segment_numbers(dir.path()).unwrap(), [0, 1]);
        let first = Segment::read(dir.path(), 1, 0).unwrap().unwrap();
        let header = Segment::header(dir.path(), 1, 1).unwrap().unwrap();
        assert_eq!(header.before_bytes, first.len());
        assert_eq!(Segment::read(dir.path(), 1, 1).unwrap().unwrap().frames().count(), 3);
        let path = segment_path(dir.path(), 1);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(SEGMENT_BYTES_MAX + 1).unwrap();
        let error = Segment::read(dir.path(), 1, 1).unwrap_err().to_string();
        assert!(error.contains("00000001.wal` is longer than the 268435456 bytes"), "{error}");
    }
}
