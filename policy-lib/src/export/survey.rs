//! A declared export of reports: answers that were randomized on people's devices.

use super::Window;
use crate::path::Path;
use crate::span::Spanned;

/// One `kind: Export` with `reports`, names resolved, numbers still as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// `metadata.name`.
    pub name: Spanned<String>,
    /// The data use that must be permitted before a report is counted.
    pub purpose: String,
    /// The name of the contract whose events bring the reports.
    pub contract: String,
    /// Where the identifier stands of which one report counts in a window.
    pub unit: Path,
    /// When it counts and publishes.
    pub window: Window,
    /// What was asked.
    pub reports: Reports,
    /// Whether a column without numbers below zero is published, too.
    pub nonnegative: bool,
}

/// `reports:` of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reports {
    /// `field`: where a report stands.
    pub field: Spanned<Path>,
    /// `method`: how devices randomize.
    pub method: Spanned<Method>,
    /// `answers`: what they choose from.
    pub answers: Spanned<Answers>,
    /// `epsilon`: what one report tells at most, a decimal as written.
    pub epsilon: Spanned<String>,
}

/// How devices randomize; `privet-ldp` knows what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// k-ary randomized response.
    Kary,
    /// Optimized unary encoding.
    Unary,
    /// Projective geometry response.
    Projective,
}

/// The answers of a question, in the order in which devices number them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// So many, named by their numbers from zero.
    Numbered(u64),
    /// These.
    Named(Vec<String>),
}

impl Answers {
    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Numbered(answers) => (0..*answers).map(|answer| answer.to_string()).collect(),
            Self::Named(names) => names.clone(),
        }
    }
}

impl Survey {
    /// Whether both mean the same, wherever they are written.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        let texts = |survey: &Self| {
            let written = [&survey.name, &survey.reports.epsilon].map(|text| text.value.clone());
            (written, survey.purpose.clone(), survey.contract.clone(), survey.nonnegative)
        };
        let asked = |survey: &Self| {
            let Reports { field, method, answers, .. } = &survey.reports;
            (survey.unit.clone(), field.value.clone(), method.value, answers.value.names())
        };
        texts(self) == texts(other) && asked(self) == asked(other) && self.window.means(&other.window)
    }
}
