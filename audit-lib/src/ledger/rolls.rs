//! What a ledger's log says of one pod's log: every roll of it, and every contradiction that was seen.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::io;

use serde_json::Value;

use crate::disk::read_if_there;
use crate::record::{Entry, Record};
use crate::stored::{Item, Stored};
use crate::tree::Hash;
use crate::verify::Report;

/// The longest list of a roll, in bytes: a hundred thousand logs of 600 bytes.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// One roll of one incarnation.
pub(super) struct Roll {
    pub(super) root: Hash,
    /// The ledger's record that says so.
    pub(super) seq: u64,
    /// The cosigned checkpoint that was published before it: its digest in hexadecimal.
    pub(super) witnessed: Option<String>,
    /// Seconds of Unix time between which it was made, by the clocks of witnesses.
    pub(super) not_before: Option<u64>,
    pub(super) not_after: Option<u64>,
}

/// What was rolled, by incarnation and size.
pub(super) type Rolls = BTreeMap<u64, BTreeMap<u64, Roll>>;

/// Everything that covered records of the ledger say about `base`.
pub(super) fn read(stored: &Stored, covered: u64, base: &str, report: &mut Report) -> io::Result<Rolls> {
    let (mut rolls, mut seq, mut failed) = (Rolls::new(), 0, None);
    stored.read(&mut |item| {
        let Item::Record(bytes) = item else { return };
        let within = seq < covered;
        seq += 1;
        let record = if within { Entry::parse(bytes).ok().map(|entry| (entry.seq, entry.record)) } else { None };
        let done = match record {
            Some((seq, Record::Unknown(kind, members))) if kind == "roll" => {
                take_roll(stored, &members, seq, base, &mut rolls, report)
            }
            Some((seq, Record::Unknown(kind, members))) if kind == "roll.refused" => {
                take_refusal(&members, seq, base, report);
                Ok(())
            }
            _ => Ok(()),
        };
        failed = failed.take().or(done.err());
    })?;
    failed.map_or(Ok(rolls), Err)
}

/// The number of an incarnation of the log `base`.
fn number_in(base: &str, origin: &str) -> Option<u64> {
    let number = origin.strip_prefix(base)?.strip_prefix('/')?;
    number.parse().ok().filter(|parsed: &u64| parsed.to_string() == number)
}

/// The hexadecimal digits of a member that is `sha256:` and a hash.
fn digest<'m>(members: &'m Value, name: &str) -> Option<&'m str> {
    let hex = members.get(name)?.as_str()?.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hex)
}

fn take_roll(
    stored: &Stored,
    members: &Value,
    seq: u64,
    base: &str,
    rolls: &mut Rolls,
    report: &mut Report,
) -> io::Result<()> {
    let list = match digest(members, "list") {
        Some(hex) => list_of(stored, hex)?,
        None => None,
    };
    let Some(list) = list else {
        let message = format!("the list of the ledger's record {seq} is not there as it was");
        report.finding("ledger_list", (None, None), message);
        return Ok(());
    };
    let witnessed = digest(members, "witnessed").map(str::to_owned);
    for (origin, size, root, _) in list {
        if let (Some(number), Some(root)) = (number_in(base, &origin), Hash::from_base64(&root)) {
            let roll = Roll { root, seq, witnessed: witnessed.clone(), not_before: None, not_after: None };
            add(rolls, (number, size), roll, report);
        }
    }
    Ok(())
}

/// The first roll of a size stands; another that says something else of it is the ledger's own contradiction.
fn add(rolls: &mut Rolls, (number, size): (u64, u64), roll: Roll, report: &mut Report) {
    match rolls.entry(number).or_default().entry(size) {
        Slot::Vacant(free) => drop(free.insert(roll)),
        Slot::Occupied(known) if known.get().root == roll.root => {}
        Slot::Occupied(known) => {
            let message = format!(
                "the ledger's records {} and {} say different things of the first {size} records",
                known.get().seq,
                roll.seq
            );
            report.finding("ledger_contradiction", (Some(number), None), message);
        }
    }
}

type List = Vec<(String, u64, String, String)>;

/// The list of this digest; nothing where it is not there, or is another.
fn list_of(stored: &Stored, hex: &str) -> io::Result<Option<List>> {
    let at = stored.dir.join("list").join(format!("{hex}.json"));
    let bytes = match read_if_there(&at, LIST_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        read => read?,
    };
    let bytes = bytes.filter(|bytes| Hash::of(bytes).to_hex() == hex);
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

fn take_refusal(members: &Value, seq: u64, base: &str, report: &mut Report) {
    let text = |key: &str| members.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(number) = number_in(base, &text("origin")) {
        let message = format!("the ledger's record {seq} says that this log contradicted itself: {}", text("reason"));
        report.finding("ledger_refused", (Some(number), None), message);
    }
}
