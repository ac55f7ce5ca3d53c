//! `kind: Suite`: the authors' tests, as they were written.
//!
//! A suite says nothing about what leaves, so it is no part of a policy's digest.

use super::{Reader, keys, name_of};
use crate::diagnostic::Diagnostic;
use crate::span::Spanned;
use crate::yaml::{Node, Value};

/// The tests of one document.
#[derive(Debug)]
pub struct SuiteSource {
    /// `metadata.name`.
    pub name: Spanned<String>,
    /// The tests.
    pub cases: Vec<CaseSource>,
}

/// One test.
#[derive(Debug)]
pub struct CaseSource {
    /// What it shows.
    pub name: Spanned<String>,
    /// What comes in.
    pub given: GivenSource,
    /// What is expected.
    pub expect: ExpectSource,
}

/// The request of a test. What a case does not say, its suite's `given` says.
#[derive(Clone, Debug, Default)]
pub struct GivenSource {
    /// The wire format.
    pub format: Option<Spanned<String>>,
    /// Path and query.
    pub path: Option<Spanned<String>>,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The jurisdiction.
    pub jurisdiction: Option<String>,
    /// The age class.
    pub age: Option<Spanned<String>>,
    /// The sender's address.
    pub peer: Option<Spanned<String>>,
    /// When it is received, RFC 3339.
    pub time: Option<Spanned<String>>,
    /// Decisions as if stored before.
    pub consent: Option<Node>,
    /// The body.
    pub body: Option<BodySource>,
}

/// The body of a test's request.
#[derive(Clone, Debug)]
pub enum BodySource {
    /// One event, written as YAML.
    Event(Node),
    /// Text, as it is sent.
    Text(String),
}

/// What a test expects.
#[derive(Debug, Default)]
pub struct ExpectSource {
    /// The status the client is told.
    pub status: Option<Spanned<String>>,
    /// `kept`, `dropped`, `unmatched` or `invalid`.
    pub outcome: Option<Spanned<String>>,
    /// The contract that is followed.
    pub contract: Option<Spanned<String>>,
    /// Purposes and their states.
    pub consent: Vec<(Spanned<String>, Spanned<String>)>,
    /// What leaves, by destination.
    pub to: Vec<(Spanned<String>, LeavingSource)>,
}

/// What a test expects to leave for one destination.
#[derive(Debug)]
pub enum LeavingSource {
    /// `nothing`.
    Nothing,
    /// An event of which this holds.
    Event {
        /// The whole of it.
        event: Option<Node>,
        /// Members and their values.
        has: Vec<(Spanned<String>, Node)>,
        /// Members that are not there.
        lacks: Vec<Spanned<String>>,
        /// Members and the rule behind what became of them.
        by: Vec<(Spanned<String>, Spanned<String>)>,
    },
}

impl SuiteSource {
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        reader.allow(document, &keys::SUITE);
        let name = name_of(document, reader)?;
        let shared = document.get("given").map(|given| {
            reader.allow(given, &keys::GIVEN);
            GivenSource::read(given, reader)
        });
        let cases = reader.required(document, "cases")?;
        let Value::List(cases) = &cases.value else {
            reader.wrong_type(cases, "a list of tests");
            return None;
        };
        let shared = shared.unwrap_or_default();
        let cases = cases.iter().filter_map(|case| CaseSource::read(case, &shared, reader)).collect();
        Some(Self { name, cases })
    }
}

impl CaseSource {
    fn read(node: &Node, shared: &GivenSource, reader: &mut Reader) -> Option<Self> {
        reader.allow(node, &keys::CASE);
        let name = reader.required_text(node, "name")?;
        let given = GivenSource::read(node, reader).or(shared);
        if given.body.is_none() {
            let message = "there is no event to test with";
            reader.report(Diagnostic::error("P004", &name.at, message).help("add `event: {...}` or `body: ...`"));
        }
        let expect = ExpectSource::read(reader.required(node, "expect")?, reader);
        Some(Self { name, given, expect })
    }
}

impl GivenSource {
    fn read(node: &Node, reader: &mut Reader) -> Self {
        let headers = node.get("headers").map(|headers| pairs(headers, reader)).unwrap_or_default();
        let text = |name: &str, reader: &mut Reader| reader.optional_text(node, name);
        let body = match (node.get("event"), text("body", reader)) {
            (Some(event), _) => Some(BodySource::Event(event.clone())),
            (None, body) => body.map(|body| BodySource::Text(body.value)),
        };
        Self {
            format: text("format", reader),
            path: text("path", reader),
            headers: headers.into_iter().map(|(name, value)| (name.value, value.value)).collect(),
            jurisdiction: text("jurisdiction", reader).map(|text| text.value),
            age: text("age", reader),
            peer: text("peer", reader),
            time: text("time", reader),
            consent: node.get("consent").cloned(),
            body,
        }
    }

    /// What another says where this says nothing; headers of both, this one's first.
    fn or(mut self, other: &Self) -> Self {
        let own: Vec<String> = self.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        let inherited = other.headers.iter().filter(|(name, _)| !own.contains(&name.to_ascii_lowercase()));
        self.headers.extend(inherited.cloned());
        Self {
            format: self.format.or_else(|| other.format.clone()),
            path: self.path.or_else(|| other.path.clone()),
            headers: self.headers,
            jurisdiction: self.jurisdiction.or_else(|| other.jurisdiction.clone()),
            age: self.age.or_else(|| other.age.clone()),
            peer: self.peer.or_else(|| other.peer.clone()),
            time: self.time.or_else(|| other.time.clone()),
            consent: self.consent.or_else(|| other.consent.clone()),
            body: self.body.or_else(|| other.body.clone()),
        }
    }
}

impl ExpectSource {
    fn read(node: &Node, reader: &mut Reader) -> Self {
        reader.allow(node, &keys::EXPECT);
        let consent = node.get("consent").map(|consent| pairs(consent, reader)).unwrap_or_default();
        let mut to = Vec::new();
        if let Some(destinations) = node.get("to") {
            for (destination, leaving) in reader.members(destinations) {
                to.push((destination.clone(), LeavingSource::read(leaving, reader)));
            }
        }
        Self {
            status: reader.optional_text(node, "status"),
            outcome: reader.optional_text(node, "outcome"),
            contract: reader.optional_text(node, "contract"),
            consent,
            to,
        }
    }
}

impl LeavingSource {
    fn read(node: &Node, reader: &mut Reader) -> Self {
        if node.scalar() == Some("nothing") {
            return Self::Nothing;
        }
        reader.allow(node, &keys::LEAVING);
        let has = node.get("has").map(|has| reader.members(has).to_vec()).unwrap_or_default();
        let by = node.get("by").map(|by| pairs(by, reader)).unwrap_or_default();
        let lacks = reader.optional_texts(node, "lacks");
        for path in has.iter().map(|(path, _)| path).chain(&lacks).chain(by.iter().map(|(path, _)| path)) {
            reader.path(path);
        }
        Self::Event { event: node.get("event").cloned(), has, lacks, by }
    }
}

/// The members of a map of texts.
pub(super) fn pairs(node: &Node, reader: &mut Reader) -> Vec<(Spanned<String>, Spanned<String>)> {
    reader.members(node).iter().filter_map(|(key, value)| Some((key.clone(), reader.text(value)?))).collect()
}
