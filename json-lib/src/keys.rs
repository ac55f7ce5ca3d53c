//! Finding two members of one object with one name.
//!
//! Promise: O(n log n) comparisons for n members, even where every hash
//! collides; none of them decodes into memory of its own.

use std::cmp::Ordering;

use crate::index::Record;
use crate::{Malformed, MalformedKind, escape};

/// What an open object remembers of its keys: two bits of each, in two sets.
/// Most objects have so few keys that this alone tells they all differ.
#[derive(Clone, Copy)]
pub(crate) struct Names {
    low: u64,
    high: u64,
    repeats: u64,
}

impl Names {
    pub(crate) const NONE: Self = Self { low: 0, high: 0, repeats: 0 };

    #[inline]
    pub(crate) const fn add(&mut self, hash: u32) {
        let (low, high) = (1 << (hash & 63), 1 << (hash >> 26));
        // A repeated key finds both its bits set.
        self.repeats |= (((self.low & low) != 0) & ((self.high & high) != 0)) as u64;
        self.low |= low;
        self.high |= high;
    }

    /// False only if no key stands twice.
    #[inline]
    pub(crate) const fn may_repeat(self) -> bool {
        self.repeats != 0
    }
}

/// Room to sort the keys of one large object in, kept between objects.
#[derive(Default)]
pub(crate) struct Duplicates {
    order: Vec<(u32, u32)>,
}

impl Duplicates {
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.order.capacity()
    }

    /// Refuses an object in which a key stands twice; names the later of the
    /// first two. The object's descendants are the last in `records`.
    #[inline(never)]
    pub(crate) fn refuse(&mut self, text: &[u8], records: &[Record], object: u32) -> Result<(), Malformed> {
        self.order.clear();
        self.order.extend(members(records, object).map(|(id, record)| (record.hash, id)));
        self.order.sort_unstable();
        let by_text = |a: &(u32, u32), b: &(u32, u32)| compare(text, records, a.1, b.1);
        let mut again = usize::MAX;
        for group in self.order.chunk_by_mut(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
            group.sort_unstable_by(|a, b| by_text(a, b).then(a.1.cmp(&b.1)));
            for pair in group.windows(2) {
                if let [a, b] = pair
                    && by_text(a, b) == Ordering::Equal
                {
                    again = again.min(key_start(records, b.1));
                }
            }
        }
        if again == usize::MAX { Ok(()) } else { Err(Malformed::new(MalformedKind::DuplicateKey, again)) }
    }
}

/// The members of a container whose descendants are the last in `records`.
#[inline]
fn members(records: &[Record], object: u32) -> impl Iterator<Item = (u32, &Record)> {
    let mut id = object + 1;
    std::iter::from_fn(move || {
        let record = records.get(id as usize)?;
        let member = (id, record);
        id = record.next;
        Some(member)
    })
}

fn key_start(records: &[Record], id: u32) -> usize {
    records.get(id as usize).map_or(0, |record| record.key_start as usize)
}

fn compare(text: &[u8], records: &[Record], a: u32, b: u32) -> Ordering {
    match (records.get(a as usize), records.get(b as usize)) {
        (Some(a), Some(b)) if !a.key_escaped && !b.key_escaped => inner(text, a).cmp(inner(text, b)),
        (Some(a), Some(b)) => escape::compare(inner(text, a), inner(text, b)),
        _ => Ordering::Equal,
    }
}

/// What is between the quotes of a record's key.
fn inner<'a>(text: &'a [u8], record: &Record) -> &'a [u8] {
    let (start, end) = (record.key_start as usize, record.key_end as usize);
    text.get(start + 1..end - 1).expect("a key lies in the text it was read from")
}
