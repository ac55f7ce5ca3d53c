//! `ask`: the auditor's questions, one module each.

mod basis;
mod budget;
mod coverage;
mod never_left;
mod policy_at;

use anyhow::Result;

use crate::answer::Printed;

pub use basis::named as legal_basis;

/// The questions.
#[derive(clap::Subcommand)]
pub enum Ask {
    /// Did data of a category, or a field, never leave: to a destination, for a purpose, in a period?
    NeverLeft(never_left::NeverLeft),
    /// Which policy was in force at a moment, who signed it, and what had changed?
    PolicyAt(policy_at::PolicyAt),
    /// On which legal basis were events let out?
    Basis(basis::Basis),
    /// How much privacy budget was spent, on what, and when?
    Budget(budget::Budget),
    /// What share of a period does the log speak for?
    Coverage(coverage::Coverage),
}

impl Ask {
    /// Answers.
    ///
    /// # Errors
    /// There is no log to speak of, or the question names what no policy knows.
    pub fn run(&self) -> Result<Printed> {
        match self {
            Self::NeverLeft(question) => question.run(),
            Self::PolicyAt(question) => question.run(),
            Self::Basis(question) => question.run(),
            Self::Budget(question) => question.run(),
            Self::Coverage(question) => question.run(),
        }
    }
}
