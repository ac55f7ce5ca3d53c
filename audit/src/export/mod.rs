//! `export`: the records of a verified log in other formats.
//!
//! Promise: only what was verified is exported; where the log has findings nothing is written, and
//! the findings are printed. Every exported record names the leaf it comes from, so that whoever has it
//! can ask for its proof. The same log gives the same bytes. Records are written as they are read, into
//! a file of another name that takes its own when it is whole.

mod cloudevents;
mod ocsf;
mod openlineage;
mod parquet;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::answer::{Answer, Printed};
use crate::brought::Brought;
use crate::evidence::Evidence;
use crate::written::{Fresh, Overwrite};

/// Where all this was made, as formats that name a producer want it.
const PRODUCER: &str = concat!("urn:privet:privet-audit:", env!("CARGO_PKG_VERSION"));

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// OCSF events, a JSON object a line.
    Ocsf,
    /// OpenLineage run events, one a policy and contract, a JSON object a line.
    Openlineage,
    /// CloudEvents 1.0, one a record, a JSON object a line.
    Cloudevents,
    /// Parquet, a row a record.
    Parquet,
}

/// What to export.
#[derive(clap::Args)]
pub struct Export {
    /// The format.
    format: Format,
    #[command(flatten)]
    brought: Brought,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Export {
    /// Exports.
    ///
    /// # Errors
    /// There is no log to speak of, or the file cannot be written.
    pub fn run(&self) -> Result<Printed> {
        // Where it cannot be written is said before a long log is read.
        let fresh = Fresh::begin(&self.out, self.overwrite.if_there())?;
        let evidence = Evidence::gather(&self.brought)?;
        let mut answer = Answer::to(format!("What does the log say, in another format, in {}?", self.out.display()));
        if evidence.report.is_clean() {
            let rows = self.write(&evidence, fresh)?;
            answer.line(format!("{rows} written"));
            answer.value = serde_json::json!({"file": self.out.display().to_string(), "written": rows});
        } else {
            answer.line("nothing was written: the log has findings");
        }
        answer.print(&evidence, self.brought.json)
    }

    fn write(&self, evidence: &Evidence, mut fresh: Fresh) -> Result<usize> {
        let written = self.format.write(evidence, &mut fresh)?;
        fresh.keep()?;
        Ok(written)
    }
}

impl Format {
    fn write(self, evidence: &Evidence, out: &mut (impl Write + Send)) -> Result<usize> {
        match self {
            Self::Parquet => parquet::table(evidence, out),
            Self::Ocsf => ocsf::events(evidence, &mut Lines::to(out)),
            Self::Openlineage => openlineage::events(evidence, &mut Lines::to(out)),
            Self::Cloudevents => cloudevents::events(evidence, &mut Lines::to(out)),
        }
    }
}

/// A JSON value a line, until one cannot be written.
struct Lines<'a> {
    out: &'a mut dyn Write,
    written: usize,
    failed: io::Result<()>,
}

impl<'a> Lines<'a> {
    fn to(out: &'a mut dyn Write) -> Self {
        Self { out, written: 0, failed: Ok(()) }
    }

    fn push(&mut self, value: &Value) {
        if self.failed.is_ok() {
            self.failed = writeln!(self.out, "{value}");
            self.written += 1;
        }
    }

    /// How many were written.
    fn end(&mut self) -> Result<usize> {
        std::mem::replace(&mut self.failed, Ok(())).context("cannot write the export")?;
        Ok(self.written)
    }
}
