//! `challenge`: whether what the log says is what was done.
//!
//! An auditor makes canaries whose classes follow from the policy, has them sent like anyone's
//! requests, and finds them in the log by their tokens. The form of the files is in
//! docs/auditor-guide.md. Sending is `privet challenge send`: this program opens no connection.

mod check;
mod decided;
mod expected;
mod key;
mod new;

use anyhow::Result;

use crate::answer::Printed;

pub use key::random;

/// What to do.
#[derive(clap::Subcommand)]
pub enum Challenge {
    /// Make canaries to send, and a sealed expectation of each one's class.
    New(new::New),
    /// Find canaries in the log, and compare their classes with what was expected.
    Check(check::Check),
}

impl Challenge {
    /// Does it.
    ///
    /// # Errors
    /// Something given cannot be read or written, or is not what it should be.
    pub fn run(&self) -> Result<Printed> {
        match self {
            Self::New(new) => new.run(),
            Self::Check(check) => check.run(),
        }
    }
}
