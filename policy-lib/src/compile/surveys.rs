//! Exports of reports: names and paths resolved; the numbers are `privet-ldp`'s to judge.

use std::collections::HashSet;

use super::Compiler;
use super::counted::Counted;
use super::exports::as_declared;
use crate::diagnostic::Diagnostic;
use crate::export::{Answers, Reports, Survey};
use crate::policy::{Contract, Purpose};
use crate::source::SurveySource;
use crate::span::Spanned;

impl Compiler {
    pub(super) fn survey(
        &mut self,
        source: &SurveySource,
        contracts: &[Contract],
        purposes: &[Purpose],
    ) -> Option<Survey> {
        self.check_counted_purpose(&source.purpose, purposes);
        let contract = self.counted_contract(&source.purpose, &source.contract, contracts, purposes)?;
        let declared = |path| as_declared(path, Some(contract));
        let (unit, field) = (declared(&source.unit), declared(&source.reports.field));
        let mut window = source.window.clone();
        window.time = window.time.as_ref().map(declared);
        self.check_counted(&unit, Counted::Unit, contract);
        self.check_counted(&field, Counted::Report, contract);
        window.time.iter().for_each(|time| self.check_counted(time, Counted::Time, contract));
        self.check_answers(&source.reports.answers);
        Some(Survey {
            name: source.name.clone(),
            purpose: source.purpose.value.clone(),
            contract: contract.name.clone(),
            unit: unit.value,
            window,
            reports: Reports { field, ..source.reports.clone() },
            nonnegative: source.nonnegative,
        })
    }

    fn check_answers(&mut self, answers: &Spanned<Answers>) {
        let Answers::Named(names) = &answers.value else { return };
        let mut seen = HashSet::new();
        if names.len() < 2 || !names.iter().all(|name| seen.insert(name)) {
            self.report(
                Diagnostic::error("P022", &answers.at, "a question has at least two answers, each of them listed once")
                    .note("devices number the answers in this order, from zero, and every one is published"),
            );
        }
    }
}
