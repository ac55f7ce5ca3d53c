//! The permanent response: one report a question and answer, made once.
//!
//! Promise: while a person's answer is the same, the same bytes are sent, and
//! they cost nothing more; a server that averages a thousand of them learns
//! what the first one told. Each *new* answer is randomized once, paid for
//! from the ledger first, and remembered for when it comes back. When memory
//! is full or the budget is spent nothing is made: never a second response
//! for one answer, and never an old answer in place of a new one.
//!
//! Not here: a second noise on top of the first (RAPPOR's instantaneous
//! response). Equal bytes can be linked by who receives them: see
//! `docs/ldp.md`. That a report changed tells that the answer changed.
//!
//! Specification: Erlingsson, Pihur and Korolova, "RAPPOR: randomized
//! aggregatable privacy-preserving ordinal response", CCS 2014, section 2.

use core::fmt;

use crate::entropy::Entropy;
use crate::ledger::{LEDGER_BYTES, Ledger, Spent};
use crate::randomizer::{CannotReport, Randomizer};
use crate::report::{HEADER_BYTES, REPORT_BYTES_MAX, Report};

/// How many bytes each place for a response takes: the question's number, the
/// answer's, the report's length, which is zero in a free place, and the report.
const PLACE_BYTES: usize = KEY_BYTES + 1 + REPORT_BYTES_MAX;

/// The question's number and the answer's, each with its highest byte first.
const KEY_BYTES: usize = 8;

/// How many bytes a memory of so many different answers has.
#[must_use]
pub const fn memory_bytes(places: usize) -> usize {
    LEDGER_BYTES + places * PLACE_BYTES
}

/// What a device answered, randomized, and the ledger that paid for it.
///
/// It works in bytes that the caller keeps, of which it changes both at once:
/// neither can be behind the other. They hold the person's answers as they
/// are, so they stay on the device.
///
/// ```
/// use privet_ldp::{Epsilon, Ledger, Memory, Method, NoEntropy, Randomizer, memory_bytes};
/// # fn system_random(bytes: &mut [u8]) -> Result<(), NoEntropy> { bytes.fill(7); Ok(()) }
/// let epsilon = Epsilon::from_decimal("1")?;
/// let randomizer = Randomizer::new(Method::Unary, 8, epsilon)?;
/// let mut bytes = [0; memory_bytes(4)];
/// let mut memory = Memory::begin(&mut bytes, Ledger::with_budget(Epsilon::from_decimal("3")?))?;
/// let report = memory.respond(1, 5, &randomizer, &mut system_random)?;
/// // Store the bytes, then send the report. When the page is opened again:
/// let mut memory = Memory::open(&mut bytes)?;
/// assert_eq!(memory.respond(1, 5, &randomizer, &mut system_random)?, report);
/// assert_eq!(memory.ledger().spent_nano(), epsilon.nano());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Memory<'a> {
    ledger: Ledger,
    /// The ledger as it is stored: written whenever it changes.
    ledger_bytes: &'a mut [u8],
    places: &'a mut [u8],
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotRespond {
    /// The device's budget does not reach.
    Spent(Spent),
    /// Every place is taken.
    Full,
    /// The report could not be made.
    CannotReport(CannotReport),
}

/// Why bytes are no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAMemory {
    /// A number of bytes that no memory has.
    Length,
    /// No ledger, or no responses.
    Damaged,
}

impl fmt::Display for CannotRespond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spent(cause) => cause.fmt(f),
            Self::Full => f.write_str("every place for a response is taken: send none, or give the memory more places"),
            Self::CannotReport(cause) => cause.fmt(f),
        }
    }
}

impl fmt::Display for NotAMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "no memory has so many bytes: take memory_bytes of one place or more",
            Self::Damaged => "the stored bytes are no memory: take its budget for spent and send no new report",
        })
    }
}

// A memory holds answers: a stray log line leaks how many, and what was spent.
impl fmt::Debug for Memory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = self.places.chunks(PLACE_BYTES).filter(|place| length_in(place) > 0).count();
        write!(f, "Memory({:?}, {taken} responses)", self.ledger)
    }
}

impl core::error::Error for CannotRespond {}
impl core::error::Error for NotAMemory {}

impl<'a> Memory<'a> {
    /// A memory of nothing, with that ledger, in bytes that it overwrites.
    ///
    /// # Errors
    /// Another number of bytes than [`memory_bytes`] gives for one place or more.
    pub fn begin(bytes: &'a mut [u8], ledger: Ledger) -> Result<Self, NotAMemory> {
        bytes.fill(0);
        let (ledger_bytes, places) = split(bytes)?;
        let mut memory = Self { ledger, ledger_bytes, places };
        memory.write_ledger();
        Ok(memory)
    }

    /// The memory that was stored.
    ///
    /// # Errors
    /// Another number of bytes, and bytes that no memory ever has.
    pub fn open(bytes: &'a mut [u8]) -> Result<Self, NotAMemory> {
        let (ledger_bytes, places) = split(bytes)?;
        let ledger = Ledger::from_bytes(ledger_bytes).map_err(|_| NotAMemory::Damaged)?;
        if places.chunks(PLACE_BYTES).all(is_whole) {
            Ok(Self { ledger, ledger_bytes, places })
        } else {
            Err(NotAMemory::Damaged)
        }
    }

    /// The ledger, as it is now.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The response to send for that answer: the one that was made before by
    /// a randomizer with the same declaration, or a new one, paid for with
    /// its declared epsilon.
    ///
    /// `question` is a number that the client gives the question and never
    /// gives to another. Store the memory's bytes before the report is sent.
    ///
    /// # Errors
    /// The budget is spent, every place is taken, the question has no such
    /// answer or the source of randomness fails. Send nothing then.
    pub fn respond(
        &mut self,
        question: u32,
        answer: u32,
        randomizer: &Randomizer,
        entropy: &mut dyn Entropy,
    ) -> Result<Report, CannotRespond> {
        let key = (u64::from(question) << 32 | u64::from(answer)).to_be_bytes();
        let header = randomizer.header();
        for place in self.places.chunks_mut(PLACE_BYTES) {
            if length_in(place) == 0 {
                // Places are taken in their order, so there is no response behind a free one.
                let report = randomizer.randomize(answer, entropy).map_err(CannotRespond::CannotReport)?;
                // Dropped unseen when it cannot be paid for. The declared epsilon is no less than the loss.
                self.ledger.spend(randomizer.epsilon()).map_err(CannotRespond::Spent)?;
                write_response(place, &key, report.as_bytes());
                self.write_ledger();
                return Ok(report);
            }
            if place.starts_with(&key) && report_in(place).starts_with(&header) {
                return Report::stored(report_in(place)).ok_or(CannotRespond::Full);
            }
        }
        Err(CannotRespond::Full)
    }

    fn write_ledger(&mut self) {
        write(self.ledger_bytes, &self.ledger.to_bytes());
    }
}

fn split(bytes: &mut [u8]) -> Result<(&mut [u8], &mut [u8]), NotAMemory> {
    let (ledger, places) = bytes.split_at_mut_checked(LEDGER_BYTES).ok_or(NotAMemory::Length)?;
    let whole = !places.is_empty() && places.len().is_multiple_of(PLACE_BYTES);
    whole.then_some((ledger, places)).ok_or(NotAMemory::Length)
}

fn length_in(place: &[u8]) -> usize {
    place.get(KEY_BYTES).map_or(0, |&length| usize::from(length))
}

fn report_in(place: &[u8]) -> &[u8] {
    place.get(KEY_BYTES + 1..).and_then(|report| report.get(..length_in(place))).unwrap_or_default()
}

/// A free place is zeros; a taken one has a report no longer than there is room, and zeros after it.
fn is_whole(place: &[u8]) -> bool {
    let length = length_in(place);
    let used = if length == 0 { 0 } else { KEY_BYTES + 1 + length };
    (length == 0 || length > HEADER_BYTES)
        && place.get(used..).is_some_and(|unused| unused.iter().all(|&byte| byte == 0))
}

fn write_response(place: &mut [u8], key: &[u8; KEY_BYTES], report: &[u8]) {
    let Some((key_place, rest)) = place.split_first_chunk_mut() else { return };
    let Some((length, report_place)) = rest.split_first_mut() else { return };
    *key_place = *key;
    *length = report.len() as u8;
    write(report_place, report);
}

fn write(place: &mut [u8], bytes: &[u8]) {
    place.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::NoEntropy;
    use crate::epsilon::Epsilon;
    use crate::randomizer::Method;

    fn epsilon(written: &str) -> Epsilon {
        Epsilon::from_decimal(written).unwrap()
    }

    /// Counts upwards, so no two reports come from the same bytes.
    fn counting() -> impl Entropy {
        let mut next = 0_u8;
        move |bytes: &mut [u8]| {
            bytes.iter_mut().for_each(|byte| {
                next = next.wrapping_mul(5).wrapping_add(113);
                *byte = next;
            });
            Ok::<(), NoEntropy>(())
        }
    }

    fn unary(answers: u32) -> Randomizer {
        Randomizer::new(Method::Unary, answers, epsilon("1")).unwrap()
    }

    #[test]
    fn an_unchanged_answer_is_the_same_bytes_and_costs_nothing_more() {
        let mut bytes = [0; memory_bytes(4)];
        let mut memory = Memory::begin(&mut bytes, Ledger::with_budget(epsilon("2"))).unwrap();
        let (question, mut entropy) = (unary(300), counting());
        let first = memory.respond(7, 42, &question, &mut entropy).unwrap();
        for _ in 0..1000 {
            assert_eq!(memory.respond(7, 42, &question, &mut entropy).unwrap().as_bytes(), first.as_bytes());
        }
        assert_eq!(memory.ledger().spent_nano(), 1_000_000_000);
    }

    #[test]
    fn a_new_answer_is_paid_for_once_and_an_old_one_that_comes_back_never_again() {
        let mut bytes = [0; memory_bytes(4)];
        let mut memory = Memory::begin(&mut bytes, Ledger::with_budget(epsilon("2"))).unwrap();
        let (question, mut entropy) = (unary(300), counting());
        let first = memory.respond(7, 42, &question, &mut entropy).unwrap();
        let second = memory.respond(7, 43, &question, &mut entropy).unwrap();
        assert_ne!(first.as_bytes(), second.as_bytes());
        assert_eq!(memory.ledger().left_nano(), 0);
        assert_eq!(memory.respond(7, 44, &question, &mut entropy), Err(CannotRespond::Spent(Spent)));
        assert_eq!(memory.respond(7, 42, &question, &mut entropy), Ok(first));
    }

    #[test]
    fn another_question_or_declaration_is_another_response() {
        let mut bytes = [0; memory_bytes(8)];
        let mut memory = Memory::begin(&mut bytes, Ledger::with_budget(epsilon("10"))).unwrap();
        let mut entropy = counting();
        memory.respond(1, 5, &unary(300), &mut entropy).unwrap();
        memory.respond(2, 5, &unary(300), &mut entropy).unwrap();
        memory.respond(1, 5, &unary(301), &mut entropy).unwrap();
        assert_eq!(memory.ledger().spent_nano(), 3_000_000_000);
    }

    #[test]
    fn a_full_memory_and_a_failing_source_spend_nothing() {
        let mut bytes = [0; memory_bytes(1)];
        let mut memory = Memory::begin(&mut bytes, Ledger::with_budget(epsilon("10"))).unwrap();
        let question = unary(9);
        let failed = memory.respond(1, 0, &question, &mut |_: &mut [u8]| Err(NoEntropy));
        assert_eq!(failed, Err(CannotRespond::CannotReport(CannotReport::NoEntropy(NoEntropy))));
        assert_eq!(memory.ledger().spent_nano(), 0);
        memory.respond(1, 0, &question, &mut counting()).unwrap();
        assert_eq!(memory.respond(1, 1, &question, &mut counting()), Err(CannotRespond::Full));
        assert_eq!(memory.ledger().spent_nano(), 1_000_000_000);
    }

    #[test]
    fn what_is_stored_comes_back_and_damage_does_not() {
        let mut bytes = [0xff; memory_bytes(3)];
        let mut memory = Memory::begin(&mut bytes, Ledger::with_budget(epsilon("5"))).unwrap();
        let (question, mut entropy) = (unary(1024), counting());
        let report = memory.respond(9, 1000, &question, &mut entropy).unwrap();
        let ledger = *memory.ledger();

        let mut stored = bytes;
        let mut again = Memory::open(&mut stored).unwrap();
        assert_eq!(again.ledger(), &ledger);
        assert_eq!(again.respond(9, 1000, &question, &mut entropy), Ok(report));
        assert_eq!(stored, bytes);

        assert_eq!(Memory::open(&mut bytes[1..].to_vec()).err(), Some(NotAMemory::Length));
        assert_eq!(Memory::open(&mut bytes[..LEDGER_BYTES].to_vec()).err(), Some(NotAMemory::Length));
        // The ledger's version, the first report's length, too short and too long, and what follows the last.
        let last = bytes.len() - 1;
        for (place, byte) in [(0, 0), (LEDGER_BYTES + 8, 3), (LEDGER_BYTES + 8, 139), (LEDGER_BYTES + 8, 0), (last, 1)]
        {
            let mut damaged = bytes;
            damaged[place] = byte;
            assert_eq!(Memory::open(&mut damaged).err(), Some(NotAMemory::Damaged), "byte {place}");
        }
    }

    #[test]
    fn no_answer_is_printed() {
        let mut bytes = [0; memory_bytes(1)];
        let mut memory = Memory::begin(&mut bytes, Ledger::with_budget(epsilon("5"))).unwrap();
        memory.respond(9, 777, &unary(1024), &mut counting()).unwrap();
        assert!(!std::format!("{memory:?}").contains("777"));
    }
}
