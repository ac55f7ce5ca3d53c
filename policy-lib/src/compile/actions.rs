//! Actions and their options.

use super::Compiler;
use crate::action::{Action, ActionKind, Generalize};
use crate::detect::{Detector, DetectorSet};
use crate::diagnostic::Diagnostic;
use crate::generalize::{IpPrefix, NumberBucket, TimeGrain, UrlPart};
use crate::source::{ActionSource, Reader, keys};
use crate::span::Spanned;
use crate::taxonomy::nearest;
use crate::yaml::{Node, Value};

impl Compiler {
    /// An action without its domain, which the rule's `for` gives a pseudonym.
    pub(super) fn action(&mut self, source: &ActionSource) -> Option<Action> {
        let mut reader = Reader::default();
        let action = read(source, &mut reader);
        reader.into_diagnostics().into_iter().for_each(|error| self.report(error));
        action
    }
}

fn read(source: &ActionSource, reader: &mut Reader) -> Option<Action> {
    let Some(kind) = ActionKind::named(&source.kind.value) else {
        let words = || ActionKind::ALL.into_iter().map(ActionKind::name);
        let unknown = Diagnostic::error("P011", &source.kind.at, format!("there is no action `{}`", source.kind.value))
            .label("unknown action")
            .suggest(nearest(&source.kind.value, words()))
            .note(format!("the actions are {}", words().collect::<Vec<_>>().join(", ")));
        reader.report(unknown);
        return None;
    };
    match (kind, &source.options) {
        (ActionKind::Keep, None) => Some(Action::Keep),
        (ActionKind::Redact, None) => Some(Action::Redact),
        (ActionKind::Drop, None) => Some(Action::Drop),
        (ActionKind::Pseudonymize, options) => {
            options.iter().for_each(|options| reader.allow(options, &keys::PSEUDONYMIZE));
            Some(Action::Pseudonymize { domain: String::new() })
        }
        (ActionKind::Scrub, Some(options)) => scrub(options, reader),
        (ActionKind::Generalize, Some(options)) => generalize(options, reader).map(Action::Generalize),
        (ActionKind::Scrub, None) => needs_options(
            &source.kind,
            "scrub: {detectors: [EMAIL_ADDRESS, PHONE_NUMBER, CREDIT_CARD, IP_ADDRESS]}",
            reader,
        ),
        (ActionKind::Generalize, None) => needs_options(&source.kind, "generalize: {time: hour}", reader),
        (_, Some(options)) => {
            reader.report(Diagnostic::error("P015", &options.at, format!("`{}` has no options", source.kind.value)));
            None
        }
    }
}

fn needs_options(kind: &Spanned<String>, example: &str, reader: &mut Reader) -> Option<Action> {
    let bare = Diagnostic::error("P015", &kind.at, format!("`{}` needs to be told how", kind.value))
        .help(format!("write for example `{example}`"));
    reader.report(bare);
    None
}

fn scrub(options: &Node, reader: &mut Reader) -> Option<Action> {
    reader.allow(options, &keys::SCRUB);
    let listed = reader.required(options, "detectors")?;
    let (mut detectors, written) = (Vec::new(), reader.texts(listed));
    for written in &written {
        match written.value.parse::<Detector>() {
            Ok(detector) => detectors.push(detector),
            Err(_) => {
                let names = || Detector::ALL.iter().map(|detector| detector.name());
                let unknown =
                    Diagnostic::error("P014", &written.at, format!("there is no detector `{}`", written.value))
                        .label("unknown detector")
                        .suggest(nearest(&written.value, names()))
                        .note(format!("the detectors are {}", names().collect::<Vec<_>>().join(", ")));
                reader.report(unknown);
            }
        }
    }
    if written.is_empty() {
        reader.report(
            Diagnostic::error("P015", &listed.at, "a scrub without detectors keeps everything")
                .help("list at least one, or write `keep`"),
        );
    }
    (!detectors.is_empty()).then(|| Action::Scrub(DetectorSet::from_iter(detectors)))
}

fn generalize(options: &Node, reader: &mut Reader) -> Option<Generalize> {
    reader.allow(options, &keys::GENERALIZE);
    let Value::Map(members) = &options.value else { return None };
    let [(what, how)] = members.as_slice() else {
        reader.report(Diagnostic::error("P015", &options.at, "want exactly one of `time`, `ip`, `number` and `url`"));
        return None;
    };
    match what.value.as_str() {
        "time" => {
            let grains = TimeGrain::ALL.map(|grain| (grain.name(), grain));
            let written = reader.text(how)?;
            reader.word(&written, "time grain", &grains).map(Generalize::Time)
        }
        "url" => {
            let parts = UrlPart::ALL.map(|part| (part.name(), part));
            let written = reader.text(how)?;
            reader.word(&written, "part of a URL", &parts).map(Generalize::Url)
        }
        "number" => {
            let written = reader.text(how)?;
            let bucket = NumberBucket::parse(&written.value);
            if bucket.is_none() {
                reader.report(Diagnostic::error(
                    "P015",
                    &written.at,
                    "the width of a bucket is a positive decimal, such as `10` or `0.5`",
                ));
            }
            bucket.map(Generalize::Number)
        }
        "ip" => ip_prefix(how, reader).map(Generalize::Ip),
        _ => None,
    }
}

/// `{v4: 24, v6: 48}`, either left out, or the word `default`.
fn ip_prefix(how: &Node, reader: &mut Reader) -> Option<IpPrefix> {
    if how.scalar() == Some("default") || how.value == Value::Null {
        return Some(IpPrefix::default());
    }
    reader.allow(how, &keys::IP);
    let default = IpPrefix::default();
    let mut bits = |name: &str, default: u8, max: u8| match how.get(name) {
        None => Some(default),
        Some(node) => {
            let bits = node
                .scalar()
                .and_then(|text| text.trim_start_matches('/').parse::<u8>().ok())
                .filter(|bits| *bits < max);
            if bits.is_none() {
                reader.report(Diagnostic::error(
                    "P015",
                    &node.at,
                    format!("want the leading bits that stay, less than {max}"),
                ));
            }
            bits
        }
    };
    let (v4, v6) = (bits("v4", default.v4, 32), bits("v6", default.v6, 128));
    Some(IpPrefix { v4: v4?, v6: v6? })
}
