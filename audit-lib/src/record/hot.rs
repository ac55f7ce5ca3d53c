//! Reads the two records that make up nearly all of a log, `batch` and `outcome`, in one pass.
//!
//! Canonical JSON has one text for one value. So a record whose bytes follow the one
//! order of members, written the one way, is canonical because it was read: no check
//! before it, no tree of values. Promise: whatever this reads, [`super::Entry::parse`]
//! without it reads alike; whatever this does not follow to the end is left to that.

use super::{Batch, Entry, Events, Outcome, OutcomeRow, Pairs, Record, Requests};
use crate::canonical::INTEGER_MAX;

/// The entry, where the bytes are exactly a `batch` or an `outcome`.
pub(super) fn entry(bytes: &[u8]) -> Option<Entry> {
    let text = Text { rest: bytes };
    if bytes.starts_with(b"{\"batch\"") { batch(text) } else { outcome(text) }
}

fn batch(mut text: Text<'_>) -> Option<Entry> {
    let mut batch =
        Batch { batch: text.after(b"{\"batch\":")?, bytes: text.after(b",\"bytes\":")?, ..Batch::default() };
    batch.classes = text.pairs_after(b",\"classes\":[")?;
    batch.events = Events {
        carry_in: text.after(b",\"events\":{\"carry_in\":")?,
        carry_out: text.after(b",\"carry_out\":")?,
        dropped: text.after(b",\"dropped\":")?,
        arrived: text.after(b",\"in\":")?,
        kept: text.after(b",\"kept\":")?,
        withheld: text.after(b",\"withheld\":")?,
    };
    batch.listeners = text.pairs_after(b"},\"listeners\":[")?;
    let mono = text.after(b",\"mono\":")?;
    batch.released = text.pairs_after(b",\"released\":[")?;
    batch.requests = Requests {
        aborted: text.after(b",\"requests\":{\"aborted\":")?,
        answered: text.after(b",\"answered\":")?,
        carry_in: text.after(b",\"carry_in\":")?,
        carry_out: text.after(b",\"carry_out\":")?,
        arrived: text.after(b",\"in\":")?,
        refused: text.pairs_after(b",\"refused\":[")?,
    };
    let seq = text.after(b"},\"seq\":")?;
    batch.since = text.signed_after(b",\"since\":")?;
    let ts = text.signed_after(b",\"t\":\"batch\",\"ts\":")?;
    text.end()?;
    Some(Entry { seq, ts, mono, record: Record::Batch(Box::new(batch)) })
}

fn outcome(mut text: Text<'_>) -> Option<Entry> {
    let mono = text.after(b"{\"mono\":")?;
    let rows = text.rows_after(b",\"rows\":[")?;
    let seq = text.after(b",\"seq\":")?;
    let ts = text.signed_after(b",\"t\":\"outcome\",\"ts\":")?;
    text.end()?;
    Some(Entry { seq, ts, mono, record: Record::Outcome(Outcome { rows }) })
}

/// What is still to be read.
struct Text<'a> {
    rest: &'a [u8],
}

impl Text<'_> {
    fn take(&mut self, expected: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    fn takes(&mut self, expected: u8) -> bool {
        let found = self.rest.first() == Some(&expected);
        if found {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        found
    }

    fn end(&mut self) -> Option<()> {
        (self.rest == b",\"v\":1}").then_some(())
    }

    /// An integer without a sign, as RFC 8785 writes it.
    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        let mut digits = 0;
        for byte in self.rest.iter().take(17) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value * 10 + u64::from(digit);
            digits += 1;
        }
        let zero_first = digits > 1 && self.rest.first() == Some(&b'0');
        if digits == 0 || zero_first || value > INTEGER_MAX {
            return None;
        }
        self.rest = self.rest.get(digits..)?;
        Some(value)
    }

    fn after(&mut self, before: &[u8]) -> Option<u64> {
        self.take(before)?;
        self.number()
    }

    fn signed_after(&mut self, before: &[u8]) -> Option<i64> {
        self.take(before)?;
        let minus = self.takes(b'-');
        let value = i64::try_from(self.number()?).ok()?;
        // A zero has no sign.
        if minus { (value > 0).then_some(-value) } else { Some(value) }
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// What stands between the opening bracket, which `before` ends with, and its closing one.
    fn list_after<T>(&mut self, before: &[u8], item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.take(before)?;
        let mut items = Vec::new();
        if self.takes(b']') {
            return Some(items);
        }
        items.reserve(16);
        loop {
            items.push(item(self)?);
            if self.takes(b']') {
                return Some(items);
            }
            self.take(b",")?;
        }
    }

    fn pairs_after(&mut self, before: &[u8]) -> Option<Pairs> {
        self.list_after(before, |text| {
            text.take(b"[")?;
            let pair = (text.small()?, text.after(b",")?);
            text.take(b"]")?;
            Some(pair)
        })
    }

    fn rows_after(&mut self, before: &[u8]) -> Option<Vec<OutcomeRow>> {
        self.list_after(before, |text| {
            let batch = text.after(b"[")?;
            text.take(b",")?;
            let row = (batch, text.small()?, text.after(b",")?, text.after(b",")?, text.after(b",")?);
            text.take(b"]")?;
            Some(row)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::RecordError;
    use super::*;

    fn count() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), 0..1000_u64, 0..=INTEGER_MAX]
    }

    fn pairs() -> impl Strategy<Value = Pairs> {
        prop::collection::vec((any::<u32>(), count()), 0..5)
    }

    prop_compose! {
        fn any_batch()(counts in prop::collection::vec(count(), 13), lists in prop::collection::vec(pairs(), 4),
            since in -5_000_i64..2_000_000_000_000) -> Record {
            let [classes, listeners, released, refused] = lists.try_into().unwrap();
            let [batch, bytes, a, b, c, d, e, f, g, h, i, j, k] = counts.try_into().unwrap();
            Record::Batch(Box::new(Batch {
                batch, bytes, since, classes, listeners, released,
                events: Events { carry_in: a, arrived: b, kept: c, dropped: d, withheld: e, carry_out: f },
                requests: Requests { carry_in: g, arrived: h, answered: i, refused, aborted: j, carry_out: k },
            }))
        }
    }

    fn any_outcome() -> impl Strategy<Value = Record> {
        prop::collection::vec((count(), any::<u32>(), count(), count(), count()), 0..5)
            .prop_map(|rows| Record::Outcome(Outcome { rows }))
    }

    fn same(one: &Entry, other: &Entry) -> bool {
        format!("{one:?}") == format!("{other:?}")
    }

    proptest! {
        #[test]
        fn what_is_read_fast_is_what_is_read_slowly(
            record in prop_oneof![any_batch(), any_outcome()], seq in count(), mono in count(), ts in -9_i64..2_000_000_000_000,
            at in any::<prop::sample::Index>(), with in any::<u8>(), how in 0..4_u8
        ) {
            let mut bytes = Entry { seq, ts, mono, record }.to_bytes().unwrap();
            let fast = entry(&bytes);
            prop_assert!(fast.as_ref().is_some_and(|fast| same(fast, &Entry::parse_slowly(&bytes).unwrap())));
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = with,
                1 => bytes.insert(at, b"0123456789-,]}\""[usize::from(with) % 15]),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
            // Whatever was done to it: what the fast way takes, the slow way takes, as the same.
            if let Some(fast) = entry(&bytes) {
                let slow: Result<Entry, RecordError> = Entry::parse_slowly(&bytes);
                prop_assert!(slow.as_ref().is_ok_and(|slow| same(&fast, slow)), "{:?}", slow);
            }
        }
    }
}
