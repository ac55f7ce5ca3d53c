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

/// How many bytes of a stored memory each place for a response takes: the
/// question's number, the answer's, the report's length and the report.
pub const MEMORY_BYTES_A_RESPONSE: usize = 4 + 4 + 1 + REPORT_BYTES_MAX;

/// What a device answered, randomized, and the ledger that paid for it. Both
/// are stored together, so neither can be behind the other.
///
/// `PLACES` is how many different answers it remembers, over all questions.
#[derive(Clone, Debug)]
pub struct Memory<const PLACES: usize> {
    ledger: Ledger,
    responses: [Option<Response>; PLACES],
}

// `Debug` of a stored answer would print it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Response {
    question: u32,
    answer: u32,
    report: Report,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Response")
    }
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

/// Stored bytes that are no memory of this size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMemory;

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
        f.write_str("the stored bytes are no memory of this size: take its budget for spent and send no new report")
    }
}

impl core::error::Error for CannotRespond {}
impl core::error::Error for NotAMemory {}

impl<const PLACES: usize> Memory<PLACES> {
    /// A memory of nothing, with that ledger.
    #[must_use]
    pub const fn new(ledger: Ledger) -> Self {
        Self { ledger, responses: [None; PLACES] }
    }

    /// The ledger, as it is now.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The response to send for that answer: the one that was made before by
    /// a randomizer with the same declaration, or a new one.
    ///
    /// `question` is a number that the client gives the question and never
    /// gives to another. Store the memory before the report is sent.
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
        if let Some(report) = self.remembered(question, answer, randomizer) {
            return Ok(report);
        }
        let place = self.responses.iter_mut().find(|place| place.is_none()).ok_or(CannotRespond::Full)?;
        let report = randomizer.randomize(answer, entropy).map_err(CannotRespond::CannotReport)?;
        // The report above is dropped unseen when it cannot be paid for.
        self.ledger.spend(randomizer.loss()).map_err(CannotRespond::Spent)?;
        *place = Some(Response { question, answer, report });
        Ok(report)
    }

    fn remembered(&self, question: u32, answer: u32, randomizer: &Randomizer) -> Option<Report> {
        let same = |response: &&Response| {
            response.question == question
                && response.answer == answer
                && response.report.as_bytes().get(..HEADER_BYTES) == Some(&randomizer.header())
        };
        self.responses.iter().flatten().find(same).map(|response| response.report)
    }

    /// How many bytes it is stored in.
    #[must_use]
    pub const fn stored_bytes() -> usize {
        LEDGER_BYTES + PLACES * MEMORY_BYTES_A_RESPONSE
    }

    /// Writes what is to be stored into `bytes`, which are [`Self::stored_bytes`] long.
    /// They hold the person's answers as they are: keep them on the device.
    ///
    /// # Errors
    /// `bytes` of another length.
    pub fn store(&self, bytes: &mut [u8]) -> Result<(), NotAMemory> {
        if bytes.len() != Self::stored_bytes() {
            return Err(NotAMemory);
        }
        let (ledger, places) = bytes.split_at_mut_checked(LEDGER_BYTES).ok_or(NotAMemory)?;
        ledger.copy_from_slice(&self.ledger.to_bytes());
        places.fill(0);
        for (place, response) in places.chunks_mut(MEMORY_BYTES_A_RESPONSE).zip(self.responses.iter().flatten()) {
            let length = [response.report.as_bytes().len() as u8];
            let parts = [
                &response.question.to_be_bytes(),
                &response.answer.to_be_bytes(),
                &length[..],
                response.report.as_bytes(),
            ];
            place.iter_mut().zip(parts.into_iter().flatten()).for_each(|(place, byte)| *place = *byte);
        }
        Ok(())
    }

    /// Reads what was stored.
    ///
    /// # Errors
    /// Bytes of another length, and such as [`Memory::store`] never writes.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, NotAMemory> {
        if bytes.len() != Self::stored_bytes() {
            return Err(NotAMemory);
        }
        let (ledger, places) = bytes.split_at_checked(LEDGER_BYTES).ok_or(NotAMemory)?;
        let mut memory = Self::new(Ledger::from_bytes(ledger).map_err(|_| NotAMemory)?);
        for (response, place) in memory.responses.iter_mut().zip(places.chunks(MEMORY_BYTES_A_RESPONSE)) {
            *response = read_response(place)?;
        }
        Ok(memory)
    }
}

fn read_response(place: &[u8]) -> Result<Option<Response>, NotAMemory> {
    let (question, rest) = place.split_first_chunk::<4>().ok_or(NotAMemory)?;
    let (answer, rest) = rest.split_first_chunk::<4>().ok_or(NotAMemory)?;
    let (&length, report) = rest.split_first().ok_or(NotAMemory)?;
    let (report, unused) = report.split_at_checked(usize::from(length)).ok_or(NotAMemory)?;
    if unused.iter().any(|&byte| byte != 0) {
        return Err(NotAMemory);
    }
    if length == 0 {
        return Ok(None);
    }
    let report = Report::stored(report).ok_or(NotAMemory)?;
    Ok(Some(Response { question: u32::from_be_bytes(*question), answer: u32::from_be_bytes(*answer), report }))
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
        let mut memory = Memory::<4>::new(Ledger::with_budget(epsilon("2")));
        let (question, mut entropy) = (unary(300), counting());
        let first = memory.respond(7, 42, &question, &mut entropy).unwrap();
        for _ in 0..1000 {
            assert_eq!(memory.respond(7, 42, &question, &mut entropy).unwrap().as_bytes(), first.as_bytes());
        }
        assert_eq!(memory.ledger().spent_nano(), 1_000_000_000);
    }

    #[test]
    fn a_new_answer_is_paid_for_once_and_an_old_one_that_comes_back_never_again() {
        let mut memory = Memory::<4>::new(Ledger::with_budget(epsilon("2")));
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
        let mut memory = Memory::<8>::new(Ledger::with_budget(epsilon("10")));
        let mut entropy = counting();
        memory.respond(1, 5, &unary(300), &mut entropy).unwrap();
        memory.respond(2, 5, &unary(300), &mut entropy).unwrap();
        memory.respond(1, 5, &unary(301), &mut entropy).unwrap();
        assert_eq!(memory.ledger().spent_nano(), 3_000_000_000);
    }

    #[test]
    fn a_full_memory_and_a_failing_source_spend_nothing() {
        let mut memory = Memory::<1>::new(Ledger::with_budget(epsilon("10")));
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
        let mut memory = Memory::<3>::new(Ledger::with_budget(epsilon("5")));
        let (question, mut entropy) = (unary(1024), counting());
        let report = memory.respond(9, 1000, &question, &mut entropy).unwrap();
        let mut bytes = std::vec![0; Memory::<3>::stored_bytes()];
        memory.store(&mut bytes).unwrap();

        let mut again = Memory::<3>::from_stored(&bytes).unwrap();
        assert_eq!(again.ledger(), memory.ledger());
        assert_eq!(again.respond(9, 1000, &question, &mut entropy), Ok(report));

        assert!(Memory::<3>::from_stored(&bytes[1..]).is_err());
        assert!(Memory::<2>::from_stored(&bytes).is_err());
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() = 1;
        assert!(Memory::<3>::from_stored(&damaged).is_err());
        damaged = bytes;
        damaged[LEDGER_BYTES + 8] = 3;
        assert!(Memory::<3>::from_stored(&damaged).is_err());
    }

    #[test]
    fn no_answer_is_printed() {
        let mut memory = Memory::<1>::new(Ledger::with_budget(epsilon("5")));
        memory.respond(9, 777, &unary(1024), &mut counting()).unwrap();
        assert!(!std::format!("{memory:?}").contains("777"));
    }
}
