//! Finding two members of one object with one name.
//!
//! Promise: O(n log n) comparisons for n members, even where every hash
//! collides; none of them decodes into memory of its own.

use std::cmp::Ordering;

use crate::index::Record;
use crate::{Malformed, MalformedKind, escape};

/// Objects up to this size compare all pairs of hashes, which fit in a few
/// registers' worth of vector work.
const FEW: usize = 32;

/// Room to sort the keys of one large object in, kept between objects.
#[derive(Default)]
pub(crate) struct Duplicates {
    order: Vec<(u32, u32)>,
}

impl Duplicates {
    pub(crate) fn shrink_to(&mut self, keys: usize) {
        self.order.clear();
        self.order.shrink_to(keys);
    }

    /// Refuses the object `object` of `count` members when a key stands twice
    /// in it; names the later of the two.
    #[inline]
    pub(crate) fn refuse(&mut self, text: &[u8], records: &[Record], object: u32, count: u32) -> Result<(), Malformed> {
        let few = count as usize <= FEW && all_differ(records, object);
        if few { Ok(()) } else { self.refuse_sorted(text, records, object) }
    }

    #[inline(never)]
    fn refuse_sorted(&mut self, text: &[u8], records: &[Record], object: u32) -> Result<(), Malformed> {
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

/// Whether the hashes of an object of at most [`FEW`] members all differ.
#[inline]
fn all_differ(records: &[Record], object: u32) -> bool {
    let mut hashes = [0_u32; FEW];
    for (seen, (_, record)) in members(records, object).enumerate() {
        let Some((room, before)) = hashes.get_mut(..=seen).and_then(<[u32]>::split_last_mut) else {
            return false;
        };
        if before.iter().fold(false, |any, hash| any | (*hash == record.hash)) {
            return false;
        }
        *room = record.hash;
    }
    true
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
