//! The records of the log: what a leaf may say.
//!
//! Promise: a record holds numbers, digests, and names that policy or
//! configuration declared beforehand. The bytes that [`Entry::to_bytes`] writes
//! are the bytes that are stored and hashed. A type that this version does not
//! know is kept as it is, see [`Record::Unknown`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::canonical::{self, NotCanonical};
use crate::tree::Hash;

mod hot;
mod running;

pub use running::{
    BYPASS_CHECK_MS, BypassCheck, BypassWatch, CLOCK_SKEW_MS_MAX, Challenge, ClockMoved, Config, ConsentKept,
    DurabilityName, ExportsCharged, Retired, Shipped, SignaturesNeeded,
};
pub(crate) use running::{is_address, is_reason};

/// The longest record: entry bundles prefix each with 16 bits of length.
pub const RECORD_BYTES_MAX: usize = 65_535;

/// Class documents up to this length stand in their record, longer ones in a file beside the log.
pub const INLINE_DOCUMENT_BYTES_MAX: usize = 32_768;

const VERSION: u64 = 1;

/// Why a record cannot be written or read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    /// The bytes are not canonical JSON.
    #[error("the record is not canonical JSON: {0}")]
    NotCanonical(#[from] NotCanonical),
    /// Members missing or of another shape.
    #[error("the record does not have the members of its type")]
    Shape,
    /// Another version of the format.
    #[error("the record is of format version {0}, and this program knows version 1")]
    Version(u64),
    /// Past [`RECORD_BYTES_MAX`].
    #[error("the record would have {0} bytes, more than the 65535 of an entry")]
    TooLong(usize),
}

/// Pairs of a number given out earlier and a count, by ascending number.
pub type Pairs = Vec<(u32, u64)>;

/// What stands before an incarnation: the end of the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Its origin.
    pub origin: String,
    /// Its number of leaves at its end.
    pub size: u64,
    /// Its root at that size, base64.
    pub root: String,
}

/// The first record of an incarnation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The name of this log, the last element being the incarnation.
    pub origin: String,
    /// Number of this incarnation.
    pub incarnation: u64,
    /// Its verification key.
    pub vkey: String,
    /// The incarnation before, if there was one.
    pub prev: Option<Previous>,
    /// How many events may leave before a durable record counts them; 0 in `sync`.
    pub lease: u64,
    /// The names of the refusals that batches count by number.
    pub refusals: Vec<String>,
    /// Name and version of the writer.
    pub software: String,
}

/// Gives a destination or a listener its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// What is named.
    pub kind: NameKind,
    /// The number, counted from 0 for each kind.
    pub n: u32,
    /// The name in policy or configuration.
    pub name: String,
}

/// What a [`Name`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameKind {
    /// Where events go.
    Destination,
    /// Where requests come in.
    Listener,
}

/// A policy came into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLoad {
    /// Its number, counted from 0.
    pub n: u32,
    /// The digest that the policy compiler gave it.
    pub digest: String,
    /// The digest of its files as stored, see [`crate::policies::bundle_digest`].
    pub bundle: String,
    /// Number of files.
    pub files: u64,
    /// Who signed it, where signatures are required: the configured names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<String>,
}

/// A policy bundle was not put in force for want of signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRefused {
    /// The digest that the policy compiler gave it.
    pub digest: String,
    /// What it lacked.
    pub reason: RefusalReason,
    /// Who signed it: the configured names of those whose signature is right.
    pub signers: Vec<String>,
    /// How many were needed.
    pub required: u64,
    /// How much would newly leave, in cells of the difference; null where that makes no difference or is not known.
    pub loosens: Option<u64>,
    /// The digest of the policy that stays in force; null where there is none.
    pub stays: Option<String>,
}

/// What a refused bundle lacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// It has no signature at all.
    Unsigned,
    /// It has signatures, and none of them is a configured signer's over this bundle.
    WronglySigned,
    /// Some signed, fewer than every change needs.
    TooFewSigners,
    /// Enough signed for other changes, too few for one that lets more leave.
    TooFewToLoosen,
}

impl RefusalReason {
    /// The word that the log uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::WronglySigned => "wrongly_signed",
            Self::TooFewSigners => "too_few_signers",
            Self::TooFewToLoosen => "too_few_to_loosen",
        }
    }
}

/// Gives a class document its number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Class {
    /// The number, counted from 0.
    pub n: u32,
    /// `sha256:` of the canonical document.
    pub id: String,
    /// Number of the policy that it is a decision of.
    pub policy: u32,
    /// The document, if it is short enough; else it stands in `class/<hex>.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<Box<RawValue>>,
}

/// Requests of one batch. `carry_in + in = answered + refused + aborted + carry_out`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// In flight when the batch before ended.
    pub carry_in: u64,
    /// Came in.
    #[serde(rename = "in")]
    pub arrived: u64,
    /// Answered after their events were decided.
    pub answered: u64,
    /// Refused, by refusal number.
    pub refused: Pairs,
    /// Given up by their sender, or failed inside.
    pub aborted: u64,
    /// In flight now.
    pub carry_out: u64,
}

/// Events of one batch. `carry_in + in = kept + dropped + withheld + carry_out`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Decoded and undecided when the batch before ended.
    pub carry_in: u64,
    /// Decoded.
    #[serde(rename = "in")]
    pub arrived: u64,
    /// Released to at least one destination.
    pub kept: u64,
    /// Released to none.
    pub dropped: u64,
    /// Their request ended before they were decided.
    pub withheld: u64,
    /// Decoded and undecided now.
    pub carry_out: u64,
}

/// What was decided and released since the batch before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its number, counted from 1.
    pub batch: u64,
    /// When it began, in milliseconds of Unix time, rounded as `ts` is.
    pub since: i64,
    /// Requests.
    pub requests: Requests,
    /// Events.
    pub events: Events,
    /// Body bytes that came in.
    pub bytes: u64,
    /// Requests in, by listener.
    pub listeners: Pairs,
    /// Decided events by class; they sum to `kept + dropped`.
    pub classes: Pairs,
    /// Events released, by destination.
    pub released: Pairs,
}

/// One row of an outcome: batch, destination, acknowledged, refused, unknown.
pub type OutcomeRow = (u64, u32, u64, u64, u64);

/// What became of released events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// By batch and destination.
    pub rows: Vec<OutcomeRow>,
}

/// Budget was spent on a window. Names are those of the declared export; amounts
/// are billionths of the limit's measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DpCharge {
    /// Whose budget.
    pub account: String,
    /// The export that is released.
    pub export: String,
    /// Which release it pays for.
    pub release: String,
    /// Digest of the policy that its events were decided under.
    pub policy: String,
    /// First second of the window, Unix time.
    pub start: i64,
    /// The second after its last.
    pub end: i64,
    /// Length of the sliding horizon that the limit is for, in seconds.
    pub horizon: u64,
    /// `pure` or `zcdp`.
    pub measure: String,
    /// Spent now.
    pub amount: u64,
    /// The largest sum of any horizon that holds this window, before.
    pub before: u64,
    /// The same after: `before + amount`.
    pub after: u64,
    /// The most that any horizon may hold.
    pub cap: u64,
    /// The probability that the loss is more, in trillionths: spent now, before, after, and at most.
    pub delta: DpDelta,
    /// The draws that it pays for.
    pub stages: Vec<DpStage>,
    /// Keys that one unit may change.
    pub keys_per_unit: u32,
    /// By how much each.
    pub rows_per_key: u32,
}

/// Probabilities of failure, in trillionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DpDelta {
    /// Spent now.
    pub amount: u64,
    /// The largest sum of any horizon that holds this window, before.
    pub before: u64,
    /// The same after.
    pub after: u64,
    /// The most that any horizon may hold.
    pub cap: u64,
}

/// One draw of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DpStage {
    /// What it answers.
    pub part: String,
    /// The distribution of the noise.
    pub noise: String,
    /// Its scale, an exact decimal as text.
    pub scale: String,
}

/// A release is out: one that was paid for, or one of local reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DpRelease {
    /// The export that is released.
    pub export: String,
    /// Which release.
    pub release: String,
    /// First second of the window, Unix time.
    pub start: i64,
    /// The second after its last.
    pub end: i64,
    /// Digest of the published bytes or of their receipt.
    pub output: String,
    /// Why there is no charge for it: it is made of reports whose noise came with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<DpLocal>,
}

/// How the reports of a release were randomized on their devices, each of which paid for its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DpLocal {
    /// `kary`, `unary` or `projective`.
    pub method: String,
    /// How many answers there were.
    pub answers: u32,
    /// What one report tells at most, in billionths of an epsilon.
    pub epsilon: u64,
}

/// At most this many events may have left that no durable record counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Number of events.
    pub events: u64,
}

/// The last record of an incarnation that ended without closing; written by the start after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    /// Bytes of unfinished writes that were left at the end.
    pub torn_bytes: u64,
    /// At most this many events left uncounted.
    pub lease: u64,
    /// Requests that were in flight.
    pub abandoned_requests: u64,
    /// Events that were decoded and not decided.
    pub abandoned_events: u64,
    /// Releases without a known outcome, now counted as unknown.
    pub unknown: u64,
}

/// The log could not be written; nothing was released since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    /// The kind of failure, from a closed list.
    pub cause: String,
}

/// The end of a time in which the log could not be written, or news of something missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// `disk` or `lost`.
    pub cause: String,
    /// When it began, milliseconds of Unix time.
    pub since: i64,
    /// The incarnation that is missing, with its last anchored size and root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Previous>,
}

/// The last record of an incarnation that ended well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Requests that were still in flight.
    pub abandoned_requests: u64,
    /// Events that were decoded and not decided.
    pub abandoned_events: u64,
    /// Releases without a known outcome, now counted as unknown.
    pub unknown: u64,
}

/// One record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Record {
    /// See [`Open`].
    Open(Open),
    /// See [`Config`].
    Config(Config),
    /// See [`Name`].
    Name(Name),
    /// See [`PolicyLoad`].
    PolicyLoad(PolicyLoad),
    /// See [`PolicyRefused`].
    PolicyRefused(PolicyRefused),
    /// See [`Class`].
    Class(Class),
    /// See [`Batch`].
    Batch(Box<Batch>),
    /// See [`Outcome`].
    Outcome(Outcome),
    /// See [`DpCharge`].
    DpCharge(DpCharge),
    /// See [`DpRelease`].
    DpRelease(DpRelease),
    /// Alive, with nothing to say.
    Heartbeat,
    /// See [`ClockMoved`].
    Clock(ClockMoved),
    /// See [`BypassCheck`].
    BypassCheck(BypassCheck),
    /// See [`Challenge`].
    Challenge(Challenge),
    /// See [`Retired`].
    Retired(Retired),
    /// See [`Lease`].
    Lease(Lease),
    /// See [`Recover`].
    Recover(Recover),
    /// See [`Degraded`].
    Degraded(Degraded),
    /// See [`Gap`].
    Gap(Gap),
    /// See [`Close`].
    Close(Close),
    /// A type of a later version: its bytes are proved, its meaning is not checked.
    Unknown(String, Value),
}

impl Record {
    /// Every type that this version knows, as the member `t` names it.
    pub const KINDS: [&str; 20] = [
        "batch",
        "bypass.check",
        "challenge",
        "class",
        "clock",
        "close",
        "config",
        "degraded",
        "dp.charge",
        "dp.release",
        "gap",
        "heartbeat",
        "lease",
        "name",
        "open",
        "outcome",
        "policy.load",
        "policy.refused",
        "recover",
        "retired",
    ];

    /// The member `t`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Open(_) => "open",
            Self::Config(_) => "config",
            Self::Name(_) => "name",
            Self::PolicyLoad(_) => "policy.load",
            Self::PolicyRefused(_) => "policy.refused",
            Self::Class(_) => "class",
            Self::Batch(_) => "batch",
            Self::Outcome(_) => "outcome",
            Self::DpCharge(_) => "dp.charge",
            Self::DpRelease(_) => "dp.release",
            Self::Heartbeat => "heartbeat",
            Self::Clock(_) => "clock",
            Self::BypassCheck(_) => "bypass.check",
            Self::Challenge(_) => "challenge",
            Self::Retired(_) => "retired",
            Self::Lease(_) => "lease",
            Self::Recover(_) => "recover",
            Self::Degraded(_) => "degraded",
            Self::Gap(_) => "gap",
            Self::Close(_) => "close",
            Self::Unknown(kind, _) => kind,
        }
    }

    fn members(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Open(body) => serde_json::to_value(body),
            Self::Config(body) => serde_json::to_value(body),
            Self::Name(body) => serde_json::to_value(body),
            Self::PolicyLoad(body) => serde_json::to_value(body),
            Self::PolicyRefused(body) => serde_json::to_value(body),
            Self::Class(body) => serde_json::to_value(body),
            Self::Batch(body) => serde_json::to_value(body),
            Self::Outcome(body) => serde_json::to_value(body),
            Self::DpCharge(body) => serde_json::to_value(body),
            Self::DpRelease(body) => serde_json::to_value(body),
            Self::Heartbeat => Ok(Value::Object(serde_json::Map::new())),
            Self::Clock(body) => serde_json::to_value(body),
            Self::BypassCheck(body) => serde_json::to_value(body),
            Self::Challenge(body) => serde_json::to_value(body),
            Self::Retired(body) => serde_json::to_value(body),
            Self::Lease(body) => serde_json::to_value(body),
            Self::Recover(body) => serde_json::to_value(body),
            Self::Degraded(body) => serde_json::to_value(body),
            Self::Gap(body) => serde_json::to_value(body),
            Self::Close(body) => serde_json::to_value(body),
            Self::Unknown(_, body) => Ok(body.clone()),
        }
    }
}

/// A record with its place and time.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its index in the tree.
    pub seq: u64,
    /// Milliseconds of Unix time; rounded down to 10 s where few events are counted.
    pub ts: i64,
    /// Milliseconds since the process started, rounded as `ts` is.
    pub mono: u64,
    /// What it says.
    pub record: Record,
}

#[derive(Deserialize)]
struct Stamp<'a> {
    v: u64,
    #[serde(borrow)]
    t: std::borrow::Cow<'a, str>,
    seq: u64,
    ts: i64,
    mono: u64,
}

impl Entry {
    /// The stored bytes: canonical JSON.
    ///
    /// # Errors
    /// A number past 2^53, or a record past [`RECORD_BYTES_MAX`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        let mut value = self.record.members().map_err(|_| RecordError::Shape)?;
        let members = value.as_object_mut().ok_or(RecordError::Shape)?;
        members.insert("v".into(), VERSION.into());
        members.insert("t".into(), self.record.kind().into());
        members.insert("seq".into(), self.seq.into());
        members.insert("ts".into(), self.ts.into());
        members.insert("mono".into(), self.mono.into());
        let bytes = canonical::to_bytes(&value)?;
        if bytes.len() > RECORD_BYTES_MAX { Err(RecordError::TooLong(bytes.len())) } else { Ok(bytes) }
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// Not canonical, or not of the shape of its type.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        hot::entry(bytes).map_or_else(|| Self::parse_slowly(bytes), Ok)
    }

    /// The general way, for records of all types and for all mistakes.
    fn parse_slowly(bytes: &[u8]) -> Result<Self, RecordError> {
        canonical::check(bytes)?;
        let stamp: Stamp<'_> = read(bytes)?;
        if stamp.v != VERSION {
            return Err(RecordError::Version(stamp.v));
        }
        let record = match stamp.t.as_ref() {
            "open" => Record::Open(read(bytes)?),
            "config" => Record::Config(read(bytes)?),
            "name" => Record::Name(read(bytes)?),
            "policy.load" => Record::PolicyLoad(read(bytes)?),
            "policy.refused" => Record::PolicyRefused(read(bytes)?),
            "class" => Record::Class(read(bytes)?),
            "batch" => Record::Batch(Box::new(read(bytes)?)),
            "outcome" => Record::Outcome(read(bytes)?),
            "dp.charge" => Record::DpCharge(read(bytes)?),
            "dp.release" => Record::DpRelease(read(bytes)?),
            "heartbeat" => Record::Heartbeat,
            "clock" => Record::Clock(read(bytes)?),
            "bypass.check" => Record::BypassCheck(read(bytes)?),
            "challenge" => Record::Challenge(read(bytes)?),
            "retired" => Record::Retired(read(bytes)?),
            "lease" => Record::Lease(read(bytes)?),
            "recover" => Record::Recover(read(bytes)?),
            "degraded" => Record::Degraded(read(bytes)?),
            "gap" => Record::Gap(read(bytes)?),
            "close" => Record::Close(read(bytes)?),
            other => Record::Unknown(other.to_owned(), read(bytes)?),
        };
        Ok(Self { seq: stamp.seq, ts: stamp.ts, mono: stamp.mono, record })
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, RecordError> {
    serde_json::from_slice(bytes).map_err(|_| RecordError::Shape)
}

/// Something that is said once, before what depends on it; most get their number so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declaration {
    /// A destination or a listener.
    Name(Name),
    /// A policy, whose files are stored already.
    Policy(PolicyLoad),
    /// A policy that was not taken.
    Refused(PolicyRefused),
    /// A class.
    Class {
        /// Its number.
        n: u32,
        /// Number of its policy.
        policy: u32,
        /// The canonical document.
        doc: Arc<str>,
    },
}

impl Declaration {
    /// The record that says it.
    ///
    /// # Errors
    /// A class document that is not canonical JSON.
    pub fn to_record(&self) -> Result<Record, RecordError> {
        Ok(match self {
            Self::Name(name) => Record::Name(name.clone()),
            Self::Policy(policy) => Record::PolicyLoad(policy.clone()),
            Self::Refused(refused) => Record::PolicyRefused(refused.clone()),
            Self::Class { n, policy, doc } => {
                canonical::check(doc.as_bytes())?;
                let inline = doc.len() <= INLINE_DOCUMENT_BYTES_MAX;
                let raw = inline.then(|| RawValue::from_string(doc.to_string())).transpose();
                Record::Class(Class {
                    n: *n,
                    id: Hash::of(doc.as_bytes()).to_address(),
                    policy: *policy,
                    doc: raw.map_err(|_| RecordError::Shape)?,
                })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_and_an_unknown_type_is_kept() {
        let entry = Entry { seq: 4, ts: 1_795_344_000_120, mono: 7, record: Record::Lease(Lease { events: 9 }) };
        let bytes = entry.to_bytes().unwrap();
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            r#"{"events":9,"mono":7,"seq":4,"t":"lease","ts":1795344000120,"v":1}"#
        );
        assert!(matches!(Entry::parse(&bytes).unwrap().record, Record::Lease(Lease { events: 9 })));
        let later = br#"{"mono":7,"of":[1],"seq":4,"t":"roster","ts":1,"v":1}"#;
        let entry = Entry::parse(later).unwrap();
        assert_eq!(entry.record.kind(), "roster");
        assert_eq!(entry.to_bytes().unwrap(), later);
    }

    #[test]
    fn every_listed_type_is_one_that_is_read() {
        let read = |kind: &str| {
            let bytes = format!(r#"{{"mono":7,"seq":4,"t":"{kind}","ts":1,"v":1}}"#);
            Entry::parse(bytes.as_bytes()).map(|entry| entry.record)
        };
        // Members are missing, which only a type that is known can say.
        let known = |kind: &&&str| !matches!(read(kind), Ok(Record::Unknown(..)));
        assert_eq!(Record::KINDS.iter().filter(known).count(), Record::KINDS.len());
        assert!(matches!(read("roster"), Ok(Record::Unknown(..))));
    }

    #[test]
    fn a_refused_bundle_reads_back_and_a_reason_that_nobody_knows_is_no_record() {
        let refused = PolicyRefused {
            digest: format!("sha256:{}", "ab".repeat(32)),
            reason: RefusalReason::TooFewToLoosen,
            signers: vec!["marla".into()],
            required: 2,
            loosens: Some(3),
            stays: None,
        };
        let record = Declaration::Refused(refused.clone()).to_record().unwrap();
        let bytes = Entry { seq: 1, ts: 0, mono: 0, record }.to_bytes().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains(r#""loosens":3"#) && text.contains(r#""reason":"too_few_to_loosen""#), "{text}");
        assert!(matches!(Entry::parse(&bytes).unwrap().record, Record::PolicyRefused(read) if read == refused));
        let unknown = text.replace("too_few_to_loosen", "bad_weather");
        assert_eq!(Entry::parse(unknown.as_bytes()).unwrap_err(), RecordError::Shape);
    }

    #[test]
    fn a_class_document_keeps_its_bytes_and_its_digest() {
        let doc: Arc<str> = r#"{"contract":"storefront.search/4","f":{"ip":"drop"}}"#.into();
        let record = Declaration::Class { n: 0, policy: 0, doc: doc.clone() }.to_record().unwrap();
        let bytes = Entry { seq: 1, ts: 0, mono: 0, record }.to_bytes().unwrap();
        let Record::Class(class) = Entry::parse(&bytes).unwrap().record else { panic!("not a class") };
        assert_eq!(class.doc.unwrap().get(), doc.as_ref());
        assert_eq!(class.id, Hash::of(doc.as_bytes()).to_address());
        assert!(Declaration::Class { n: 0, policy: 0, doc: "{ }".into() }.to_record().is_err());
    }
}
