//! One question's randomizer: the method, how many answers, the epsilon.
//!
//! Promise: what is declared is what is lost. [`Randomizer::loss`] is worked
//! out again from the coins that are tossed, and is never above the declared
//! epsilon.
//!
//! Not here: repeated reports. Randomizing one answer twice tells twice as
//! much; [`crate::Memory`] is how a client asks.

use core::fmt;

use crate::entropy::{Draws, Entropy, NoEntropy};
use crate::epsilon::Epsilon;
use crate::kary::Kary;
use crate::projective::Projective;
use crate::report::{HEADER_BYTES, Report};
use crate::unary::{UNARY_ANSWERS_MAX, Unary};

/// How many answers a question has at most: 2^20.
pub const ANSWERS_MAX: u32 = 1 << 20;

/// The version of the reports' encoding.
const VERSION: u8 = 1;

/// How an answer is randomized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// k-ary randomized response: best below 3 e^epsilon + 2 answers.
    Kary,
    /// Optimized unary encoding: up to 1,024 answers.
    Unary,
    /// Projective geometry response: any number of answers, in few bytes.
    Projective,
}

/// Why a question cannot be asked so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotAsk {
    /// Fewer than two answers.
    OneAnswer,
    /// More answers than any method takes.
    TooManyAnswers,
    /// More answers than a unary report has bits for.
    TooManyForUnary,
    /// No projective space that can be decoded has a point for each.
    TooManyForProjective,
}

/// Why no report was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotReport {
    /// The question has no answer of that number.
    NoSuchAnswer,
    /// The source of randomness failed.
    NoEntropy(NoEntropy),
}

impl fmt::Display for CannotAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneAnswer => "a question with fewer than two answers asks nothing: declare at least two",
            Self::TooManyAnswers => "a question has at most 1048576 answers: group them",
            Self::TooManyForUnary => "unary reports have at most 1024 answers: use the projective method",
            Self::TooManyForProjective => {
                "no projective space is large enough and still decoded in time: declare fewer answers"
            }
        })
    }
}

impl fmt::Display for CannotReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchAnswer => {
                f.write_str("the question has no such answer: answers are numbered from zero to one below their number")
            }
            Self::NoEntropy(cause) => cause.fmt(f),
        }
    }
}

impl core::error::Error for CannotAsk {}
impl core::error::Error for CannotReport {}

impl From<NoEntropy> for CannotReport {
    fn from(cause: NoEntropy) -> Self {
        Self::NoEntropy(cause)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Kary(Kary),
    Unary(Unary),
    Projective(Projective),
}

/// Randomizes the answers to one question.
///
/// Making one works out its coins and, for the projective method, its space:
/// keep it while the question is asked.
#[derive(Clone, Copy, Debug)]
pub struct Randomizer {
    answers: u32,
    epsilon: Epsilon,
    kind: Kind,
}

impl Method {
    /// The method whose error is least for a question of that many answers.
    ///
    /// By Wang et al. (2017), section 4.5: k-ary below 3 e^epsilon + 2
    /// answers; beyond that the other two have one error, and unary has the
    /// larger reports.
    #[must_use]
    pub fn for_question(answers: u32, epsilon: Epsilon) -> Self {
        let limit = 3 * crate::epsilon::growth(epsilon) + 2 * crate::epsilon::ONE;
        match answers {
            _ if u128::from(answers) << 64 < limit => Self::Kary,
            0..=UNARY_ANSWERS_MAX => Self::Unary,
            _ => Self::Projective,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Kary => 1,
            Self::Unary => 2,
            Self::Projective => 3,
        }
    }
}

impl Randomizer {
    /// A randomizer of a question with `answers` answers, numbered from zero.
    ///
    /// # Errors
    /// Fewer than two answers, or more than the method takes.
    pub fn new(method: Method, answers: u32, epsilon: Epsilon) -> Result<Self, CannotAsk> {
        let kind = match (method, answers) {
            (_, ..2) => return Err(CannotAsk::OneAnswer),
            (_, _) if answers > ANSWERS_MAX => return Err(CannotAsk::TooManyAnswers),
            (Method::Kary, _) => Kind::Kary(Kary::new(answers, epsilon)),
            (Method::Unary, ..=UNARY_ANSWERS_MAX) => Kind::Unary(Unary::new(epsilon)),
            (Method::Unary, _) => return Err(CannotAsk::TooManyForUnary),
            (Method::Projective, _) => {
                Kind::Projective(Projective::new(answers, epsilon).ok_or(CannotAsk::TooManyForProjective)?)
            }
        };
        Ok(Self { answers, epsilon, kind })
    }

    /// Randomizes one answer.
    ///
    /// # Errors
    /// An answer that the question does not have, and a source of randomness
    /// that fails. Nothing may be sent then.
    pub fn randomize(&self, answer: u32, entropy: &mut dyn Entropy) -> Result<Report, CannotReport> {
        if answer >= self.answers {
            return Err(CannotReport::NoSuchAnswer);
        }
        let mut draws = Draws::of(entropy);
        let mut report = Report::blank(self);
        Ok(match self.kind {
            Kind::Kary(kary) => report.with_number(kary.randomize(answer, &mut draws)?),
            Kind::Projective(projective) => report.with_number(projective.randomize(answer, &mut draws)?),
            Kind::Unary(unary) => {
                unary.randomize(self.answers, answer, report.body_mut(), &mut draws)?;
                report
            }
        })
    }

    /// How it randomizes.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self.kind {
            Kind::Kary(_) => Method::Kary,
            Kind::Unary(_) => Method::Unary,
            Kind::Projective(_) => Method::Projective,
        }
    }

    /// How many answers the question has.
    #[must_use]
    pub const fn answers(&self) -> u32 {
        self.answers
    }

    /// The declared epsilon.
    #[must_use]
    pub const fn epsilon(&self) -> Epsilon {
        self.epsilon
    }

    /// What one report really tells, by the coins that are tossed, rounded up
    /// to the next billionth. Never above the declared epsilon.
    #[must_use]
    pub fn loss(&self) -> Epsilon {
        match self.kind {
            Kind::Kary(kary) => kary.loss(),
            Kind::Unary(unary) => unary.loss(),
            Kind::Projective(projective) => projective.loss(),
        }
    }

    /// How many bytes each of its reports has.
    #[must_use]
    pub fn report_bytes(&self) -> usize {
        let body = match self.numbers() {
            Some(numbers) => (u32::BITS - (numbers - 1).leading_zeros()).div_ceil(8),
            None => self.answers.div_ceil(8),
        };
        HEADER_BYTES + body as usize
    }

    #[cfg(feature = "server")]
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// How many numbers a report can say, where it says one.
    pub(crate) fn numbers(&self) -> Option<u32> {
        match self.kind {
            Kind::Kary(_) => Some(self.answers),
            Kind::Unary(_) => None,
            Kind::Projective(projective) => Some(projective.space.points()),
        }
    }

    /// The first bytes of every report.
    pub(crate) fn header(&self) -> [u8; HEADER_BYTES] {
        let [_, k2, k1, k0] = self.answers.to_be_bytes();
        let [_, _, _, e4, e3, e2, e1, e0] = self.epsilon.nano().to_be_bytes();
        [VERSION, self.method().code(), k2, k1, k0, e4, e3, e2, e1, e0]
    }
}
