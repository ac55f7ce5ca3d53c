//! `privet schema`: the JSON Schema of policy files, for editors.

use std::io::{self, Write};

use privet_policy::schema::schema;

use super::{Outcome, written};

/// The arguments of `privet schema`: none.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the schema.
#[must_use]
pub fn run(_: &Args) -> Outcome {
    written(writeln!(io::stdout().lock(), "{:#}", schema()), Outcome::Fine)
}
