//! `kind: Export` with `reports`, as it was written.

use super::keys;
use super::rules::part;
use super::{Reader, name_of};
use crate::diagnostic::Diagnostic;
use crate::export::{Answers, Reports, Window};
use crate::path::Path;
use crate::span::Spanned;
use crate::yaml::{Node, Value};

/// An export of reports that were randomized on devices.
#[derive(Debug)]
pub struct SurveySource {
    /// `metadata.name`.
    pub name: Spanned<String>,
    /// The purpose that must be permitted.
    pub purpose: Spanned<String>,
    /// The contract whose events bring the reports.
    pub contract: Spanned<String>,
    /// The path of the identifier of which one report counts.
    pub unit: Spanned<Path>,
    /// When it counts and publishes.
    pub window: Window,
    /// What was asked.
    pub reports: Reports,
    /// Whether a column without numbers below zero is published.
    pub nonnegative: bool,
}

impl SurveySource {
    /// Whether a `kind: Export` is one of reports.
    pub(super) fn is_one(document: &Node) -> bool {
        document.get("reports").is_some()
    }

    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        allow(document, reader);
        let name = name_of(document, reader);
        let purpose = reader.required_text(document, "purpose");
        let contract = read_from(document, reader);
        let unit = reader.required_text(document, "unit").and_then(|written| reader.path(&written));
        let (window, reports) = (Window::read(document, reader), Reports::read(document, reader));
        let nonnegative = reader.flag(document, "nonnegative");
        Some(Self {
            name: name?,
            purpose: purpose?,
            contract: contract?,
            unit: unit?,
            window: window?,
            reports: reports?,
            nonnegative,
        })
    }
}

/// The contract whose events bring the reports: nobody brings them as a table.
fn read_from(document: &Node, reader: &mut Reader) -> Option<Spanned<String>> {
    let from = reader.required(document, "from")?;
    reader.allow_beside(from, &keys::SURVEY_FROM, &["table"]);
    let Some(table) = from.get("table") else { return reader.required_text(from, "contract") };
    let posted = Diagnostic::error("P044", &table.at, "reports come in events, not in tables");
    reader.report(
        posted
            .label("beside `reports`")
            .help("write `from: {contract: ...}`: the contract of the events that bring the reports"),
    );
    None
}

/// Reports every key that reports do not have: those that other exports have with the reason.
fn allow(document: &Node, reader: &mut Reader) {
    let Value::Map(members) = &document.value else { return };
    let survey = |name: &&str| keys::SURVEY.names().any(|key| key == *name);
    let others: Vec<&str> = keys::EXPORT.names().filter(|name| !survey(name)).collect();
    for (key, _) in members.iter().filter(|(key, _)| others.contains(&key.value.as_str())) {
        let message = format!("`{}` has no meaning beside `reports`", key.value);
        reader.report(
            Diagnostic::error("P044", &key.at, message)
                .label("the noise came with the reports, and each device paid for its own")
                .help(format!("leave `{}` away, or count events in place of reports", key.value)),
        );
    }
    reader.allow_beside(document, &keys::SURVEY, &others);
}

impl Reports {
    fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        let node = part(document, "reports", &keys::REPORTS, reader)?;
        let field = reader.required_text(node, "field").and_then(|written| reader.path(&written));
        let method = reader.required_text(node, "method").and_then(|written| {
            let method = reader.word(&written, "method of randomizing", &keys::METHODS)?;
            Some(Spanned::new(method, written.at))
        });
        let answers = reader.required(node, "answers").and_then(|answers| read_answers(answers, reader));
        let epsilon = reader.required_text(node, "epsilon");
        let presence = presence(node, reader);
        presence.map(|()| Some(Self { field: field?, method: method?, answers: answers?, epsilon: epsilon? }))?
    }
}

fn read_answers(node: &Node, reader: &mut Reader) -> Option<Spanned<Answers>> {
    if matches!(node.value, Value::List(_)) {
        let names = reader.texts(node).into_iter().map(|name| name.value).collect();
        return Some(Spanned::new(Answers::Named(names), node.at.clone()));
    }
    let number = node.scalar().and_then(|text| text.parse().ok());
    let Some(answers) = number.filter(|number| (2..=keys::ANSWERS_MAX).contains(number)) else {
        reader.wrong_type(node, "a whole number from 2 to 100000, or a list of names");
        return None;
    };
    Some(Spanned::new(Answers::Numbered(answers), node.at.clone()))
}

/// Nothing hides who reports, so the author has to say that this is known.
fn presence(node: &Node, reader: &mut Reader) -> Option<()> {
    let Some(written) = node.get("presence") else {
        let missing = Diagnostic::error("P004", &node.at, "`presence` is missing");
        reader.report(missing.help("write `presence: public` if it may be known who reports, and how many do").note(
            "local noise hides an answer alone; a receipt states how many reported, and k-ary estimates add up to it",
        ));
        return None;
    };
    let written = reader.text(written)?;
    reader.word(&written, "presence that reports can have", &keys::PRESENCES)
}
