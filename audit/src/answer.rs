//! An answer, and what it stands on.
//!
//! Promise: no answer without what was proved, what was assumed and every gap, in text and in JSON
//! alike. Where the log itself has findings the answer is shown and is not called established.

use std::fmt::Write as _;

use anyhow::Result;
use privet_audit_log::verify::Report;
use serde::Serialize;
use serde_json::{Value, json};

use crate::evidence::Evidence;
use crate::show;

/// Something that the answer found and that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Objection {
    /// A stable short name.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// The question in one line.
    pub question: String,
    /// The answer for people: whole lines.
    pub text: String,
    /// The answer for machines.
    pub value: Value,
    /// What must not be.
    pub findings: Vec<Objection>,
    /// What was proved for this answer, besides the log.
    pub proved: Vec<String>,
    /// What was assumed for this answer, besides the log's own assumptions.
    pub assumed: Vec<String>,
    /// Whether the answer is a document in Markdown.
    pub markdown: bool,
}

/// What a command prints, and whether nothing was found.
pub type Printed = (String, bool);

impl Answer {
    /// An answer to fill.
    #[must_use]
    pub fn to(question: impl Into<String>) -> Self {
        Self {
            question: question.into(),
            text: String::new(),
            value: Value::Null,
            findings: Vec::new(),
            proved: Vec::new(),
            assumed: Vec::new(),
            markdown: false,
        }
    }

    /// Adds a line for people.
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str("  ");
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    /// Adds a finding.
    pub fn object(&mut self, code: &'static str, message: impl Into<String>) {
        self.findings.push(Objection { code, message: message.into() });
    }

    /// Lays the answer out on what it stands on.
    ///
    /// # Errors
    /// Only what the layout itself refuses.
    pub fn print(self, evidence: &Evidence, machine: bool) -> Result<Printed> {
        let clean = self.findings.is_empty() && evidence.report.is_clean();
        let text = if machine { self.machine(evidence, clean)? } else { self.people(evidence, clean)? };
        Ok((text, clean))
    }

    fn machine(&self, evidence: &Evidence, clean: bool) -> Result<String> {
        let report = &evidence.report;
        let all = json!({
            "question": self.question,
            "answer": self.value,
            "established": clean,
            "findings": self.findings,
            "proved": self.proved_all(evidence),
            "assumptions": self.assumed_all(report),
            "gaps": report.gaps,
            "gaps_unlisted": report.gaps_unlisted,
            "log_findings": report.findings,
            "log_findings_unlisted": report.findings_unlisted,
        });
        Ok(serde_json::to_string_pretty(&all)? + "\n")
    }

    fn people(&self, evidence: &Evidence, clean: bool) -> Result<String> {
        let report = &evidence.report;
        let mut out = format!("{}\n{}", self.question, self.text);
        if self.markdown {
            self.sections(evidence).iter().for_each(|(title, items)| markdown_list(title, items, &mut out));
        } else {
            show::list("Proved", self.proved_all(evidence).iter().map(String::as_str), &mut out)?;
            show::list("Assumed", self.assumed_all(report).into_iter(), &mut out)?;
            show::gaps(report, &mut out)?;
            if !self.findings.is_empty() {
                writeln!(out, "\nFound")?;
                self.findings.iter().try_for_each(|found| writeln!(out, "  [{}] {}", found.code, found.message))?;
            }
            show::log_findings(report, &mut out)?;
        }
        let found = self.findings.len() as u64 + report.findings.len() as u64 + report.findings_unlisted;
        match clean {
            true => writeln!(out, "\nestablished")?,
            false => writeln!(out, "\nNOT established: {found} findings")?,
        }
        Ok(out)
    }

    /// The same as sections of a document.
    fn sections(&self, evidence: &Evidence) -> [(&'static str, Vec<String>); 4] {
        let report = &evidence.report;
        let assumed = self.assumed_all(report).into_iter().map(str::to_owned).collect();
        let gaps = show::gap_lines(report);
        let own = self.findings.iter().map(|found| format!("[{}] {}", found.code, found.message));
        let found = own.chain(report.findings.iter().map(|found| format!("[{}] {}", found.code, found.message)));
        [("Proved", self.proved_all(evidence)), ("Assumed", assumed), ("Gaps", gaps), ("Found", found.collect())]
    }

    fn proved_all(&self, evidence: &Evidence) -> Vec<String> {
        let report = &evidence.report;
        let but = if report.is_clean() { "" } else { ", but for the findings in the log" };
        let mut proved = vec![format!(
            "{} records in {} incarnations were hashed and their sums, signatures and links checked{but}",
            report.totals.records,
            report.incarnations.len()
        )];
        proved.push(format!(
            "{} of {} classes were compiled again from the policies kept beside the log",
            evidence.judged.agreed,
            report.classes.len()
        ));
        for digest in &evidence.judged.equal_to_given {
            proved.push(format!("policy {digest} is the one that was given"));
        }
        proved.extend(self.proved.iter().cloned());
        proved
    }

    fn assumed_all<'a>(&'a self, report: &'a Report) -> Vec<&'a str> {
        report.assumptions.iter().chain(&self.assumed).map(String::as_str).collect()
    }
}

fn markdown_list(title: &str, items: &[String], out: &mut String) {
    out.push_str(&format!("\n## {title}\n\n"));
    if items.is_empty() {
        out.push_str("None.\n");
    }
    items.iter().for_each(|item| out.push_str(&format!("- {item}\n")));
}
