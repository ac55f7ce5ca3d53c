//! Actions and their options.

use std::collections::BTreeMap;

use super::Compiler;
use crate::action::{Action, ActionKind, Generalize, PseudonymShape, TokenMode};
use crate::detect::{Detector, DetectorSet};
use crate::diagnostic::Diagnostic;
use crate::generalize::{AgeBands, GeoCell, IpPrefix, NumberBucket, TimeGrain, UrlForm, UrlPart, UserAgentPart};
use crate::source::{ActionSource, PolicySource, Reader, keys};
use crate::span::Spanned;
use crate::taxonomy::nearest;
use crate::yaml::{Node, Value};

impl Compiler {
    /// An action without its domain, which the rule's `for` gives a pseudonym.
    pub(super) fn action(&mut self, source: &ActionSource, sets: &DetectorSets) -> Option<Action> {
        let mut reader = Reader::default();
        let action = read(source, sets, &mut reader);
        reader.into_diagnostics().into_iter().for_each(|error| self.report(error));
        action
    }

    /// Detectors by the names that `kind: DetectorSet` gives them.
    pub(super) fn detector_sets(&mut self, source: &PolicySource) -> DetectorSets {
        let (mut sets, mut reader) = (DetectorSets::new(), Reader::default());
        for set in &source.detector_sets {
            if set.name.value.parse::<Detector>().is_ok() {
                let message = format!("`{}` is the name of a detector", set.name.value);
                reader.report(Diagnostic::error("P007", &set.name.at, message).help("give the set another name"));
            }
            let detectors = read_detectors(&set.detectors, &DetectorSets::new(), &mut reader);
            sets.insert(set.name.value.clone(), detectors);
        }
        reader.into_diagnostics().into_iter().for_each(|error| self.report(error));
        sets
    }
}

/// Detectors by the name of their set.
pub(super) type DetectorSets = BTreeMap<String, DetectorSet>;

fn read(source: &ActionSource, sets: &DetectorSets, reader: &mut Reader) -> Option<Action> {
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
        (ActionKind::Pseudonymize, options) => Some(pseudonymize(options.as_ref(), reader)),
        (ActionKind::Tokenize, Some(options)) => tokenize(options, reader),
        (ActionKind::Tokenize, None) => needs_options(&source.kind, "tokenize: {key: support}", reader),
        (ActionKind::Scrub, Some(options)) => scrub(options, sets, reader),
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

fn pseudonymize(options: Option<&Node>, reader: &mut Reader) -> Action {
    let mut shape = PseudonymShape::default();
    if let Some(options) = options {
        reader.allow(options, &keys::PSEUDONYMIZE);
        let shapes = PseudonymShape::ALL.map(|shape| (shape.name(), shape));
        let written = reader.optional_text(options, "shape");
        shape = written.and_then(|written| reader.word(&written, "shape", &shapes)).unwrap_or_default();
    }
    Action::Pseudonymize { domain: String::new(), shape }
}

/// `{key: support, mode: deterministic}`.
fn tokenize(options: &Node, reader: &mut Reader) -> Option<Action> {
    reader.allow(options, &keys::TOKENIZE);
    let modes = TokenMode::ALL.map(|mode| (mode.name(), mode));
    let mode = reader.optional_text(options, "mode");
    let mode = mode.and_then(|written| reader.word(&written, "mode", &modes)).unwrap_or_default();
    let key = reader.required_text(options, "key")?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if key.value.is_empty() || key.value.len() > TOKEN_KEY_BYTES_MAX || !key.value.bytes().all(plain) {
        let message = "the name of a key is 1 to 32 lower-case letters, digits, `-` and `_`";
        reader.report(Diagnostic::error("P015", &key.at, message).label("no name of a key"));
        return None;
    }
    Some(Action::Tokenize { key: key.value, mode })
}

/// The longest name of a key, in bytes; it stands in every token.
const TOKEN_KEY_BYTES_MAX: usize = 32;

fn scrub(options: &Node, sets: &DetectorSets, reader: &mut Reader) -> Option<Action> {
    reader.allow(options, &keys::SCRUB);
    let listed = reader.required(options, "detectors")?;
    let written = reader.texts(listed);
    let detectors = read_detectors(&written, sets, reader);
    if written.is_empty() {
        reader.report(
            Diagnostic::error("P015", &listed.at, "a scrub without detectors keeps everything")
                .help("list at least one, or write `keep`"),
        );
    }
    (!detectors.is_empty()).then_some(Action::Scrub(detectors))
}

/// Detectors by their own names and by those of sets.
fn read_detectors(written: &[Spanned<String>], sets: &DetectorSets, reader: &mut Reader) -> DetectorSet {
    let mut detectors = Vec::new();
    for written in written {
        match (written.value.parse::<Detector>(), sets.get(&written.value)) {
            (Ok(detector), _) => detectors.push(detector),
            (Err(_), Some(set)) => detectors.extend(set.iter()),
            (Err(_), None) => {
                let names = || Detector::ALL.iter().map(|detector| detector.name());
                let known = names().chain(sets.keys().map(String::as_str));
                let unknown =
                    Diagnostic::error("P014", &written.at, format!("there is no detector `{}`", written.value))
                        .label("unknown detector")
                        .suggest(nearest(&written.value, known))
                        .note(format!("docs/detectors.md lists the {} there are", Detector::ALL.len()));
                reader.report(unknown);
            }
        }
    }
    DetectorSet::from_iter(detectors)
}

fn generalize(options: &Node, reader: &mut Reader) -> Option<Generalize> {
    reader.allow(options, &keys::GENERALIZE);
    let Value::Map(members) = &options.value else { return None };
    let [(what, how)] = members.as_slice() else {
        let words = keys::GENERALIZE.names().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        reader.report(Diagnostic::error("P015", &options.at, format!("want exactly one of {words}")));
        return None;
    };
    match what.value.as_str() {
        "time" => {
            let grains = TimeGrain::ALL.map(|grain| (grain.name(), grain));
            let written = reader.text(how)?;
            reader.word(&written, "time grain", &grains).map(Generalize::Time)
        }
        "url" => url_form(how, reader).map(Generalize::Url),
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
        "geo" => geo_cell(how, reader).map(Generalize::Geo),
        "age" => age_bands(how, reader).map(Generalize::Age),
        "user_agent" => {
            let parts = UserAgentPart::ALL.map(|part| (part.name(), part));
            let written = reader.text(how)?;
            reader.word(&written, "part of a user agent", &parts).map(Generalize::UserAgent)
        }
        _ => None,
    }
}

/// `host`, `without_query`, or `{query: [utm_source]}`: all but the parameters that are not listed.
fn url_form(how: &Node, reader: &mut Reader) -> Option<UrlForm> {
    if let Value::Map(_) = how.value {
        reader.allow(how, &keys::URL_FORM);
        let names = reader.required(how, "query")?;
        let names = reader.texts(names);
        let plain = |name: &str| !name.is_empty() && !name.contains(['=', '&', ';', '#', '%', ' ']);
        for odd in names.iter().filter(|name| !plain(&name.value)) {
            let message = format!("`{}` is no parameter name as a URL writes it", odd.value);
            reader.report(Diagnostic::error("P015", &odd.at, message).label("want letters, digits, `_`, `-`, `.`"));
        }
        return Some(UrlForm::with_query(names.into_iter().map(|name| name.value).collect()));
    }
    let parts = UrlPart::ALL.map(|part| (part.name(), part));
    let written = reader.text(how)?;
    reader.word(&written, "part of a URL", &parts).map(UrlForm::of)
}

/// `{decimals: 2}` or `{geohash: 5}`.
fn geo_cell(how: &Node, reader: &mut Reader) -> Option<GeoCell> {
    reader.allow(how, &keys::GEO);
    let size = |name: &str| how.get(name).and_then(Node::scalar).and_then(|text| text.parse::<u64>().ok());
    let cell = match (how.get("decimals"), how.get("geohash")) {
        (Some(_), None) => size("decimals").and_then(GeoCell::decimals),
        (None, Some(_)) => size("geohash").and_then(GeoCell::geohash),
        _ => None,
    };
    if cell.is_none() {
        let wanted = Diagnostic::error("P015", &how.at, "a cell is `{decimals: 0 to 5}` or `{geohash: 1 to 10}`")
            .label("how large is a cell?")
            .help("`{decimals: 2}` is about a kilometre, `{geohash: 5}` about five");
        reader.report(wanted);
    }
    cell
}

/// `default`, or the ages at which bands begin.
fn age_bands(how: &Node, reader: &mut Reader) -> Option<AgeBands> {
    if how.scalar() == Some("default") {
        return Some(AgeBands::default());
    }
    // What is no number is no age at which a band could begin.
    let ages: Vec<u64> = reader.texts(how).iter().map(|text| text.value.parse().unwrap_or(0)).collect();
    let bands = AgeBands::beginning(&ages);
    if bands.is_none() {
        let message = "bands begin at ages from 1 to 120, each older than the one before, such as `[13, 18, 25, 65]`";
        reader.report(Diagnostic::error("P015", &how.at, message).help("or write `default`"));
    }
    bands
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
