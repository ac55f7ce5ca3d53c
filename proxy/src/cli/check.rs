//! `privet check`: compiles a policy directory and shows every mistake.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use privet_policy::diagnostic::{Diagnostic, Severity, SourceFile};
use serde_json::json;

use crate::cli::Outcome;
use crate::policies;
use crate::run::chain;

/// The arguments of `privet check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy directory.
    pub policies: PathBuf,
    /// Machine output on stdout.
    #[arg(long)]
    pub json: bool,
    /// Machine output as SARIF 2.1.0, for those who show findings beside code.
    #[arg(long, conflicts_with = "json")]
    pub sarif: bool,
}

/// Compiles and tells.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let files = match policies::read(&args.policies) {
        Ok(files) => files,
        Err(error) => return super::cannot(&chain(&error)),
    };
    let (compiled, diagnostics) = compile(&files);
    let told = match (args.sarif, args.json) {
        (true, _) => tell_sarif(&files, &diagnostics),
        (_, true) => tell_machine(&files, &diagnostics, compiled),
        _ => tell(&files, &diagnostics, compiled),
    };
    super::written(told, if compiled.is_some() { Outcome::Fine } else { Outcome::Findings })
}

/// What a policy that compiles consists of.
#[derive(Clone, Copy)]
struct Size {
    digest: privet_policy::policy::Digest,
    contracts: usize,
    purposes: usize,
    destinations: usize,
    rules: usize,
    exports: usize,
}

/// Compiles everything, the exports' numbers included.
fn compile(files: &[SourceFile]) -> (Option<Size>, Vec<Diagnostic>) {
    let loaded = policies::compile(files);
    let size = loaded.policy.map(|(policy, _)| Size {
        digest: policy.digest(),
        contracts: policy.contracts().len(),
        purposes: policy.purposes().len(),
        destinations: policy.destinations().len(),
        rules: policy.rules().len(),
        exports: policy.exports().len() + policy.surveys().len(),
    });
    (size, loaded.diagnostics)
}

fn tell(files: &[SourceFile], diagnostics: &[Diagnostic], size: Option<Size>) -> io::Result<()> {
    let mut errors = io::stderr().lock();
    let styled = errors.is_terminal();
    for diagnostic in diagnostics {
        writeln!(errors, "{}\n", diagnostic.render(files, styled))?;
    }
    let count = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let (wrong, doubtful) = (count(Severity::Error), count(Severity::Warning));
    let mut out = io::stdout().lock();
    match size {
        Some(size) => {
            writeln!(
                out,
                "the policy compiles: {} contracts, {} purposes, {} destinations, {} rules, {} exports",
                size.contracts, size.purposes, size.destinations, size.rules, size.exports
            )?;
            writeln!(out, "digest {}", size.digest)?;
            if doubtful > 0 {
                writeln!(out, "{doubtful} warnings")?;
            }
        }
        None => {
            writeln!(out, "the policy does not compile: {wrong} errors, {doubtful} warnings")?;
            let first = diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error);
            first.map_or(Ok(()), |first| writeln!(out, "`privet explain {}` tells more", first.code))?;
        }
    }
    Ok(())
}

fn tell_machine(files: &[SourceFile], diagnostics: &[Diagnostic], size: Option<Size>) -> io::Result<()> {
    let rows: Vec<_> = diagnostics
        .iter()
        .map(|diagnostic| {
            let (file, line, column) = diagnostic.place(files);
            json!({
                "severity": if diagnostic.severity == Severity::Error { "error" } else { "warning" },
                "code": diagnostic.code,
                "message": diagnostic.message,
                "file": file,
                "line": line,
                "column": column,
                "help": diagnostic.help,
                "note": diagnostic.note,
            })
        })
        .collect();
    let report = json!({
        "compiles": size.is_some(),
        "digest": size.map(|size| size.digest.to_string()),
        "diagnostics": rows,
    });
    writeln!(io::stdout().lock(), "{report}")
}

/// SARIF 2.1.0 (OASIS): one run, one result a diagnostic.
fn tell_sarif(files: &[SourceFile], diagnostics: &[Diagnostic]) -> io::Result<()> {
    let results: Vec<_> = diagnostics
        .iter()
        .map(|diagnostic| {
            let (file, line, column) = diagnostic.place(files);
            let said = [Some(&diagnostic.message), diagnostic.help.first(), diagnostic.note.as_ref()];
            let text = said.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(". ");
            json!({
                "ruleId": diagnostic.code,
                "level": if diagnostic.severity == Severity::Error { "error" } else { "warning" },
                "message": {"text": text},
                "locations": [{"physicalLocation": {
                    "artifactLocation": {"uri": file},
                    "region": {"startLine": line, "startColumn": column},
                }}],
            })
        })
        .collect();
    let report = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": {"name": "privet", "version": env!("CARGO_PKG_VERSION")}}, "results": results}],
    });
    writeln!(io::stdout().lock(), "{report}")
}
