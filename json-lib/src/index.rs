//! Pass one: a strict reading of one body into a flat index of spans.
//!
//! Promise: what the index accepts is exactly one RFC 8259 value per document,
//! in UTF-8, whose keys are unique at every level after unescaping, within the
//! limits; every reader downstream that follows RFC 8259 sees the same values.
//! Time is O(n log n) in the body whatever its sender wants, memory is one
//! [`Record`] per value, and no call recurses. An index that is used again
//! allocates nothing once it has grown to its work.
//!
//! Refuses to do: repair, guess an encoding, decode a string before it is asked
//! for, or turn a number into anything but its text.

use std::ops::Range;

use crate::hash::Seed;
use crate::keys::{Duplicates, Names};
use crate::node::{Kind, Node};
use crate::scan::{byte_at, key_end, number_end, skip_space, string_end, unexpected};
use crate::{Limits, Malformed, MalformedKind};

/// A value in an [`Index`]; worth nothing with another one, nor after
/// [`Index::clear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

/// No node: what the outermost value has as its parent.
const NONE: u32 = u32::MAX;

/// One value. Records stand in document order, so the descendants of a node
/// are those between it and `next`.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    /// Where the value begins and ends; a string's quotes are within.
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The same for the key; both 0 where there is none.
    pub(crate) key_start: u32,
    pub(crate) key_end: u32,
    /// Of the decoded key.
    pub(crate) hash: u32,
    /// The record after the last descendant.
    pub(crate) next: u32,
    /// Members or elements.
    pub(crate) count: u32,
    pub(crate) kind: Kind,
    pub(crate) key_escaped: bool,
    pub(crate) value_escaped: bool,
}

/// The index of one or more documents that lie in one body.
///
/// ```
/// use privet_json::{Index, Limits};
///
/// let body = br#"{"userId": "u-1", "properties": {"results": 30}}"#;
/// let mut index = Index::new();
/// let root = index.read(body, &Limits::default())?;
/// let properties = index.node(body, root).get("properties").unwrap();
/// assert_eq!(properties.get("results").unwrap().raw(), b"30");
/// assert!(index.read(br#"{"a":1,"\u0061":2}"#, &Limits::default()).is_err());
/// # Ok::<(), privet_json::Malformed>(())
/// ```
pub struct Index {
    records: Vec<Record>,
    seed: Seed,
    rooms: Rooms,
}

/// What pass one needs beside its records, kept for the next pass.
#[derive(Default)]
struct Rooms {
    /// The containers around the innermost open one.
    around: Vec<Open>,
    duplicates: Duplicates,
    key: Vec<u8>,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

/// Prints sizes alone: a body is personal.
impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("nodes", &self.records.len()).finish_non_exhaustive()
    }
}

impl Index {
    /// An empty index, which holds no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::seeded(Seed::of_this_process())
    }

    pub(crate) fn seeded(seed: Seed) -> Self {
        Self { records: Vec::new(), seed, rooms: Rooms::default() }
    }

    /// Forgets every document and keeps the memory for the next.
    pub fn clear(&mut self) {
        self.records.clear();
    }

    /// Gives memory back beyond what `nodes` values need, after an unusually
    /// large body. Forgets every document.
    pub fn shrink_to(&mut self, nodes: usize) {
        self.clear();
        self.records.shrink_to(nodes);
        self.rooms = Rooms::default();
    }

    /// How many values are indexed, over all documents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is indexed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Reads a body that is one document, and forgets every earlier one.
    ///
    /// # Errors
    /// The first thing found that makes the body other than exactly one strict
    /// JSON value within `limits`.
    pub fn read(&mut self, body: &[u8], limits: &Limits) -> Result<NodeId, Malformed> {
        self.clear();
        self.read_range(body, 0..body.len(), limits)
    }

    /// Reads one more document of a body that holds several, such as a line of
    /// NDJSON. A refused document leaves nothing behind; the others stay.
    /// Offsets, in the index and in errors, count from the start of `body`.
    ///
    /// # Errors
    /// As [`Index::read`], about `range` alone. A range that is not within the
    /// body is an unexpected end.
    pub fn read_range(&mut self, body: &[u8], range: Range<usize>, limits: &Limits) -> Result<NodeId, Malformed> {
        let root = self.records.len();
        let text = checked_text(body, range.clone())?;
        let read = Pass::new(self, text, range.start, limits).document();
        match read {
            Ok(()) => Ok(NodeId(root as u32)),
            Err(malformed) => {
                self.records.truncate(root);
                Err(malformed)
            }
        }
    }

    /// The value `id` of the body it was read from.
    ///
    /// # Panics
    /// The returned node panics, without a word of the body, when `id` or
    /// `body` are not those of this index.
    #[must_use]
    #[inline]
    pub fn node<'a>(&'a self, body: &'a [u8], id: NodeId) -> Node<'a> {
        Node::new(self, body, id.0)
    }

    #[inline]
    pub(crate) fn record(&self, id: u32) -> &Record {
        self.records.get(id as usize).expect("a node id is used with the index that made it")
    }

    #[inline]
    pub(crate) const fn seed(&self) -> Seed {
        self.seed
    }
}

/// The body up to the end of `range`, once the range is known to be UTF-8.
fn checked_text(body: &[u8], range: Range<usize>) -> Result<&[u8], Malformed> {
    let start = range.start;
    if range.end >= NONE as usize {
        return Err(Malformed::new(MalformedKind::TooLarge, NONE as usize));
    }
    let (Some(text), Some(document)) = (body.get(..range.end), body.get(range)) else {
        return Err(Malformed::new(MalformedKind::UnexpectedEnd, body.len()));
    };
    if simdutf8::basic::from_utf8(document).is_err() {
        let valid = simdutf8::compat::from_utf8(document).map_or_else(|e| e.valid_up_to(), str::len);
        return Err(Malformed::new(MalformedKind::Utf8, start + valid));
    }
    if document.starts_with(b"\xef\xbb\xbf") {
        return Err(Malformed::new(MalformedKind::ByteOrderMark, start));
    }
    Ok(text)
}

/// The key that the next value belongs to.
#[derive(Clone, Copy)]
struct PendingKey {
    start: u32,
    end: u32,
    hash: u32,
    escaped: bool,
}

const NO_KEY: PendingKey = PendingKey { start: 0, end: 0, hash: 0, escaped: false };

/// An open container.
#[derive(Clone, Copy)]
struct Open {
    id: u32,
    is_object: bool,
    members: u32,
    names: Names,
}

impl Open {
    /// Not a container: what the outermost value stands in.
    const NOTHING: Self = Self { id: NONE, is_object: false, members: 0, names: Names::NONE };
}

/// The state of pass one: a place in the text and the innermost open container.
struct Pass<'a> {
    text: &'a [u8],
    at: usize,
    limits: Limits,
    seed: Seed,
    records: &'a mut Vec<Record>,
    rooms: &'a mut Rooms,
    open: Open,
}

impl<'a> Pass<'a> {
    fn new(index: &'a mut Index, text: &'a [u8], at: usize, limits: &Limits) -> Self {
        let Index { records, seed, rooms } = index;
        rooms.around.clear();
        Self { text, at, limits: *limits, seed: *seed, records, rooms, open: Open::NOTHING }
    }

    /// Reads one document and whatever white space is around it.
    fn document(mut self) -> Result<(), Malformed> {
        self.space();
        let mut key = NO_KEY;
        loop {
            let opened = self.value(key)?;
            if !self.advance(opened)? {
                break;
            }
            key = if self.open.is_object { self.key()? } else { NO_KEY };
        }
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(refusal(MalformedKind::TrailingData, self.at)) }
    }

    /// Closes what closes here and passes the comma before the next value.
    /// False when the outermost value has ended.
    #[inline]
    fn advance(&mut self, opened: bool) -> Result<bool, Malformed> {
        let mut fresh = opened;
        while self.open.id != NONE {
            self.space();
            let byte = byte_at(self.text, self.at);
            if byte == b',' && !fresh {
                self.at += 1;
                self.space();
                return Ok(true);
            }
            if byte == (if self.open.is_object { b'}' } else { b']' }) {
                self.close()?;
                fresh = false;
            } else if fresh {
                return Ok(true);
            } else {
                return Err(unexpected(self.text, self.at));
            }
        }
        Ok(false)
    }

    #[inline]
    fn key(&mut self) -> Result<PendingKey, Malformed> {
        let start = self.at;
        if byte_at(self.text, start) != b'"' {
            return Err(unexpected(self.text, start));
        }
        let key = key_end(self.text, start + 1, self.seed, &mut self.rooms.key)?;
        if key.end - start - 2 > self.limits.key_bytes_max as usize {
            return Err(refusal(MalformedKind::KeyTooLong, start));
        }
        self.open.names.add(key.hash);
        self.at = key.end;
        self.space();
        if byte_at(self.text, self.at) != b':' {
            return Err(unexpected(self.text, self.at));
        }
        self.at += 1;
        self.space();
        Ok(PendingKey { start: start as u32, end: key.end as u32, hash: key.hash, escaped: key.escaped })
    }

    /// Reads a scalar whole, or the opening of a container: then true.
    #[inline]
    fn value(&mut self, key: PendingKey) -> Result<bool, Malformed> {
        let start = self.at;
        match byte_at(self.text, start) {
            b'"' => {
                let (end, escaped) = string_end(self.text, start + 1)?;
                self.scalar(Kind::String, end, key, escaped)
            }
            b'-' | b'0'..=b'9' => {
                let end = number_end(self.text, start)?;
                if end - start > self.limits.number_bytes_max as usize {
                    return Err(refusal(MalformedKind::NumberTooLong, start));
                }
                self.scalar(Kind::Number, end, key, false)
            }
            b'{' => self.open(Kind::Object, key),
            b'[' => self.open(Kind::Array, key),
            b't' => self.literal(Kind::Bool, b"true", key),
            b'f' => self.literal(Kind::Bool, b"false", key),
            b'n' => self.literal(Kind::Null, b"null", key),
            _ => Err(unexpected(self.text, start)),
        }
    }

    #[inline]
    fn literal<const N: usize>(&mut self, kind: Kind, word: &[u8; N], key: PendingKey) -> Result<bool, Malformed> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.first_chunk() == Some(word) {
            return self.scalar(kind, self.at + N, key, false);
        }
        let same = rest.iter().zip(word).take_while(|(a, b)| a == b).count();
        Err(unexpected(self.text, self.at + same))
    }

    #[inline]
    fn scalar(&mut self, kind: Kind, end: usize, key: PendingKey, escaped: bool) -> Result<bool, Malformed> {
        self.push(kind, end, key, escaped)?;
        self.at = end;
        Ok(false)
    }

    #[inline]
    fn open(&mut self, kind: Kind, key: PendingKey) -> Result<bool, Malformed> {
        if self.rooms.around.len() >= usize::from(self.limits.depth_max) {
            return Err(refusal(MalformedKind::TooDeep, self.at));
        }
        let id = self.records.len() as u32;
        self.push(kind, 0, key, false)?;
        self.rooms.around.push(self.open);
        self.open = Open { id, is_object: kind == Kind::Object, ..Open::NOTHING };
        self.at += 1;
        Ok(true)
    }

    /// Records a value; of a container, what is known when it opens.
    #[inline]
    fn push(&mut self, kind: Kind, end: usize, key: PendingKey, value_escaped: bool) -> Result<(), Malformed> {
        let id = self.records.len() as u32;
        if id >= self.limits.nodes_max {
            return Err(refusal(MalformedKind::TooManyNodes, self.at));
        }
        self.open.members += 1;
        self.records.push(Record {
            start: self.at as u32,
            end: end as u32,
            key_start: key.start,
            key_end: key.end,
            hash: key.hash,
            next: id + 1,
            count: 0,
            kind,
            key_escaped: key.escaped,
            value_escaped,
        });
        Ok(())
    }

    #[inline]
    fn close(&mut self) -> Result<(), Malformed> {
        let closed = self.open;
        if closed.names.may_repeat() {
            self.rooms.duplicates.refuse(self.text, self.records, closed.id)?;
        }
        self.at += 1;
        let next = self.records.len() as u32;
        let record = self.records.get_mut(closed.id as usize).expect("an open container has a record");
        (record.end, record.next, record.count) = (self.at as u32, next, closed.members);
        self.open = self.rooms.around.pop().expect("an open container stands in another or in nothing");
        Ok(())
    }

    #[inline]
    fn space(&mut self) {
        self.at = skip_space(self.text, self.at);
    }
}

#[cold]
const fn refusal(kind: MalformedKind, at: usize) -> Malformed {
    Malformed::new(kind, at)
}

#[cfg(test)]
mod tests {
    use super::{Index, Record};
    use crate::hash::Seed;
    use crate::{Limits, MalformedKind};

    #[test]
    fn a_record_stays_small() {
        assert_eq!(std::mem::size_of::<Record>(), 32);
    }

    #[test]
    fn an_adversary_who_knows_the_seed_gains_no_quadratic_time() {
        // All 60,000 keys collide. Pairwise that would be 1.8e9 comparisons.
        let members: Vec<String> = (0..60_000).map(|n| format!("\"k{n}\":{n}")).collect();
        let mut index = Index::seeded(Seed::worst());
        let body = format!("{{{}}}", members.join(","));
        let started = std::time::Instant::now();
        index.read(body.as_bytes(), &Limits::default()).unwrap();
        assert!(started.elapsed().as_secs() < 5);

        let body = format!("{{{},\"k\\u0037\":0}}", members.join(","));
        let refused = index.read(body.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(refused.kind, MalformedKind::DuplicateKey);
        assert_eq!(refused.at, body.rfind("\"k\\u0037").unwrap());
    }

    #[test]
    fn an_index_that_is_used_again_allocates_nothing() {
        let bodies: Vec<String> = (1..200).rev().map(busy_body).collect();
        let mut index = Index::new();
        let room = |index: &Index| {
            let rooms = &index.rooms;
            (index.records.capacity(), rooms.around.capacity(), rooms.key.capacity(), rooms.duplicates.capacity())
        };
        index.read(bodies[0].as_bytes(), &Limits::default()).unwrap();
        let first = room(&index);
        assert!(first.0 > 0 && first.1 > 0 && first.2 > 0 && first.3 > 0);
        for body in &bodies {
            index.read(body.as_bytes(), &Limits::default()).unwrap();
            index.read(&body.as_bytes()[1..], &Limits::default()).unwrap_err();
            assert_eq!(room(&index), first);
        }
    }

    /// A body with nesting, escaped keys and an object of many members.
    fn busy_body(members: usize) -> String {
        let members: Vec<String> = (0..members).map(|n| format!("\"k\\u0065y {n}\":[{{\"n\":{n}}}]")).collect();
        format!("{{{}}}", members.join(","))
    }

    #[test]
    fn debug_shows_no_value() {
        let mut index = Index::new();
        let body = br#"{"Marla":"Quillfeather"}"#;
        let root = index.read(body, &Limits::default()).unwrap();
        let node = index.node(body, root);
        let shown = format!("{index:?} {node:?} {:?}", node.members().collect::<Vec<_>>());
        assert!(!shown.contains("Marla") && !shown.contains("Quill"), "{shown}");
    }
}
