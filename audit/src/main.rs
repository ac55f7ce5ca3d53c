//! `privet-audit`: checks an enforcement log without trusting its writer.
//!
//! Promise: it reads files and nothing else. No network, no async, and no
//! writing. Exit status: 0 nothing found, 1 findings, 2 cannot verify.

mod classes;
mod prove;
mod show;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use privet_audit_log::note::VerifierKey;
use privet_audit_log::signing::SignerKey;
use privet_audit_log::verify::{Options, Report, verify};
use serde::Serialize;

use classes::Judged;

/// Checks the enforcement log of a privet sidecar.
#[derive(Parser)]
#[command(name = "privet-audit", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verify a log: every record, hash, signature and sum.
    Verify(Verify),
    /// Prove that a record stands in a log, as a c2sp.org/tlog-proof.
    Prove(prove::Prove),
}

#[derive(clap::Args)]
struct Verify {
    /// The log directory.
    log: PathBuf,
    /// Your own copy of the policies: classes are compiled again, and the report says which policy that ran equals it.
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Verification keys from outside the log: `NAME+ID+KEY`, or a file with one a line.
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// A signed checkpoint from outside the log.
    #[arg(long, value_name = "CHECKPOINT")]
    anchor: Option<PathBuf>,
    /// Keys of those who sign policies: lines that `privet signer init` printed, or files of them. Whom the log names as
    /// a policy's signer must then have signed it.
    #[arg(long, value_name = "KEY")]
    signer: Vec<String>,
    /// Write the report as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let done = match &arguments.command {
        Command::Verify(verify) => run_verify(verify),
        Command::Prove(prove) => prove.run().map(|text| (text, true)),
    };
    match done {
        Ok((text, clean)) => {
            print!("{text}");
            if clean { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("privet-audit: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[derive(Serialize)]
struct Machine<'a> {
    verified: bool,
    classes_compiled: Option<u64>,
    policies_equal_to_given: &'a [String],
    #[serde(flatten)]
    report: &'a Report,
}

fn run_verify(arguments: &Verify) -> Result<(String, bool)> {
    let options = Options {
        keys: arguments.key.as_deref().map(read_keys).transpose()?,
        anchor: arguments.anchor.as_deref().map(read_text).transpose()?,
        signers: read_signers(&arguments.signer)?,
    };
    let mut report = verify(&arguments.log, &options)?;
    let judged = match &arguments.policies {
        Some(given) => {
            let dir = fs::read_dir(given).map(drop);
            dir.with_context(|| format!("cannot read the policies at {}", given.display()))?;
            classes::judge(&arguments.log, Some(given), &mut report)
        }
        None => {
            let unchecked = "no policies were given: classes were not compiled again, and what they say was decided is the log's word";
            report.assumptions.push(unchecked.to_owned());
            Judged::default()
        }
    };
    let clean = report.is_clean();
    let mut text = String::new();
    if arguments.json {
        let machine = Machine {
            verified: clean,
            classes_compiled: arguments.policies.as_ref().map(|_| judged.agreed),
            policies_equal_to_given: &judged.equal_to_given,
            report: &report,
        };
        text = serde_json::to_string_pretty(&machine)? + "\n";
    } else {
        show::show(&report, &judged, &mut text)?;
    }
    Ok((text, clean))
}

/// A key as such, or a file of keys.
fn read_keys(given: &str) -> Result<Vec<VerifierKey>> {
    if let Ok(key) = VerifierKey::parse(given) {
        return Ok(vec![key]);
    }
    let text = read_text(Path::new(given)).context("`--key` is neither a verification key nor a file of them")?;
    VerifierKey::parse_all(&text).with_context(|| format!("cannot read the keys in {given}"))
}

fn read_signers(given: &[String]) -> Result<Option<Vec<SignerKey>>> {
    let mut keys = Vec::new();
    for given in given {
        if let Ok(key) = given.parse() {
            keys.push(key);
            continue;
        }
        let text =
            read_text(Path::new(given)).context("`--signer` is neither a signer's public key nor a file of them")?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            keys.push(line.parse().with_context(|| format!("cannot read the keys in {given}"))?);
        }
    }
    Ok((!given.is_empty()).then_some(keys))
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
