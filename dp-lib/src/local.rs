//! Surveys: answers that were randomized on people's devices, decoded here.
//!
//! ```text
//! OpenReports -- close --> ClosedReports          counters of randomized reports
//!                              |
//! Ledger::reserve_uncharged --> Uncharged         no budget of ours is spent
//!                              |
//! LocalReceipt -- Ledger::commit_uncharged --> Unsent
//! ```
//!
//! Promise: of a unit one report counts in a window, its first; one that
//! withdraws while its window is open is taken out; memory is bounded, and a
//! window that needs more is given up. Nothing is drawn here: what a report
//! tells of its answer was decided on its device, at the declared epsilon,
//! and decoding is processing after that.
//!
//! Not here: what a person's several reports tell together. The device's own
//! memory bounds it (`privet_ldp::Memory`), and nobody else can. Nor is it
//! hidden who reports: with k-ary reports the estimates add up to their exact
//! number, so an author has to say that this is public.

mod window;

use std::collections::HashSet;
use std::num::NonZeroU64;

use privet_ldp::{CannotAsk, Epsilon, Method, Randomizer};
use thiserror::Error;

use crate::bound::UNIT_BYTES;
use crate::query::KEYS_MAX;
use crate::schedule::Schedule;
pub use window::{ClosedReports, OpenReports};

/// The methods, as policies and receipts write them.
pub const METHODS: [(&str, Method); 3] =
    [("kary", Method::Kary), ("unary", Method::Unary), ("projective", Method::Projective)];

/// A question with named answers, as the devices' randomizers were declared.
#[derive(Clone, Debug)]
pub struct Question {
    field: String,
    answers: Vec<String>,
    randomizer: Randomizer,
}

/// Why nobody can be asked so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotAQuestion {
    /// Two answers have one name.
    #[error("the answer `{0}` is there twice")]
    Twice(String),
    /// More answers than a published table may have rows.
    #[error("a question has at most {KEYS_MAX} answers here: every one is a published row")]
    TooMany,
    /// The method cannot ask it.
    #[error("{0}")]
    Asked(CannotAsk),
}

impl Question {
    /// The question whose reports stand in `field`. Devices number its answers
    /// from zero, in this order.
    ///
    /// # Errors
    /// Names that are not one of each, and those of [`Randomizer::new`].
    pub fn new(field: String, answers: Vec<String>, method: Method, epsilon: Epsilon) -> Result<Self, NotAQuestion> {
        if answers.len() > KEYS_MAX {
            return Err(NotAQuestion::TooMany);
        }
        let mut seen = HashSet::new();
        if let Some(twice) = answers.iter().find(|answer| !seen.insert(answer.as_str())) {
            return Err(NotAQuestion::Twice(twice.clone()));
        }
        // At most KEYS_MAX, which fits.
        let randomizer = Randomizer::new(method, answers.len() as u32, epsilon).map_err(NotAQuestion::Asked)?;
        Ok(Self { field, answers, randomizer })
    }

    /// Where a report stands in an event, as the policy writes it.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The names of its answers, in their order.
    #[must_use]
    pub fn answers(&self) -> &[String] {
        &self.answers
    }

    /// How its answers are randomized.
    #[must_use]
    pub const fn randomizer(&self) -> &Randomizer {
        &self.randomizer
    }

    /// How many characters each of its reports has.
    #[must_use]
    pub fn report_characters(&self) -> usize {
        (self.randomizer.report_bytes() * 4).div_ceil(3)
    }
}

/// A question asked by windows.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The export's name: a label, never a value from an event.
    pub name: String,
    /// Where the identifier stands of which one report counts, as the policy writes it.
    pub unit: String,
    /// What is asked.
    pub question: Question,
    /// More units than this, and the window is given up.
    pub units_max: NonZeroU64,
    /// When windows are, and which of them are published.
    pub schedule: Schedule,
    /// Whether a column without numbers below zero is published, too.
    pub nonnegative: bool,
}

impl Survey {
    /// How many units a window may hold in so many bytes beside its decoder, at
    /// most a million; `None` where there is no room for one.
    ///
    /// A unit's report is kept until its window closes, to be taken out again
    /// if the unit withdraws.
    #[must_use]
    pub fn units_within(memory_bytes: u64, question: &Question) -> Option<NonZeroU64> {
        // The counters, and as much again while projective ones are decoded.
        let decoder = 8 * u64::from(question.randomizer.counters());
        let unit = UNIT_BYTES + question.report_characters() as u64;
        NonZeroU64::new((memory_bytes.saturating_sub(decoder) / unit).min(1_000_000))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use privet_ldp::NoEntropy;

    use super::*;
    use crate::schedule::Tiling;
    use crate::tally::model::SplitMix;
    use crate::window::Span;

    /// Four seasons, asked by the hour.
    pub(crate) fn survey(method: Method, epsilon: &str) -> Survey {
        let answers = ["spring", "summer", "autumn", "winter"].map(str::to_owned).to_vec();
        let epsilon = Epsilon::from_decimal(epsilon).unwrap();
        Survey {
            name: "seasons".to_owned(),
            unit: "userId".to_owned(),
            question: Question::new("properties.report".to_owned(), answers, method, epsilon).unwrap(),
            units_max: NonZeroU64::new(10_000).unwrap(),
            schedule: Schedule::new(Tiling::Tumbling(Span::parse("1h").unwrap())),
            nonnegative: false,
        }
    }

    /// SplitMix64: good for a test, unfit for a device.
    pub(crate) fn seeded(state: u64) -> impl FnMut(&mut [u8]) -> Result<(), NoEntropy> {
        let mut random = SplitMix(state);
        move |bytes: &mut [u8]| {
            for chunk in bytes.chunks_mut(8) {
                chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
            }
            Ok(())
        }
    }

    #[test]
    fn a_question_has_one_of_each_answer_and_no_more_than_a_table() {
        let epsilon = Epsilon::from_decimal("1").unwrap();
        let of = |answers: Vec<String>, method| {
            Question::new("report".to_owned(), answers, method, epsilon).map(|question| question.report_characters())
        };
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(of(named(&["a", "b"]), Method::Kary), Ok(15));
        assert_eq!(of(named(&["a", "b", "a"]), Method::Kary), Err(NotAQuestion::Twice("a".to_owned())));
        assert_eq!(of(named(&["a"]), Method::Kary), Err(NotAQuestion::Asked(CannotAsk::OneAnswer)));
        let many = |answers: usize| (0..answers).map(|answer| answer.to_string()).collect::<Vec<_>>();
        assert_eq!(of(many(1025), Method::Unary), Err(NotAQuestion::Asked(CannotAsk::TooManyForUnary)));
        assert_eq!(of(many(KEYS_MAX + 1), Method::Projective), Err(NotAQuestion::TooMany));
    }

    #[test]
    fn memory_holds_the_decoder_before_any_unit() {
        let question = survey(Method::Unary, "1").question;
        let unit = UNIT_BYTES + 15;
        assert_eq!(Survey::units_within(32, &question), None);
        assert_eq!(Survey::units_within(32 + 7 * unit, &question), NonZeroU64::new(7));
        assert_eq!(Survey::units_within(u64::MAX, &question), NonZeroU64::new(1_000_000));
    }
}
