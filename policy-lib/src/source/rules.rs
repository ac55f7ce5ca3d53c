//! `kind: Purpose`, `Destination`, `Rule` and `Export` as they were written.

use super::keys::Keys;
use super::measure::{KeySource, read_keys};
use super::window::refuse_beside_tables;
use super::{Reader, keys, name_of};
use crate::diagnostic::Diagnostic;
use crate::export::{Bounds, Fleet, Measure, Window};
use crate::path::{Origin, Path, Step};
use crate::policy::{AgeClass, Basis, OptOut, Recipient, Regime};
use crate::span::{Span, Spanned};
use crate::yaml::{Node, Value};

/// Why data is processed, and what may permit it.
#[derive(Debug)]
pub struct PurposeSource {
    /// A data use of the taxonomy.
    pub name: Spanned<String>,
    /// The legal basis.
    pub basis: Basis,
    /// Signals that grant it.
    pub granted_by: Vec<GrantSource>,
    /// Signals that refuse it.
    pub opted_out_by: Vec<OptOut>,
    /// Further members of events that hold a TC string.
    pub tcf_at: Vec<Path>,
    /// Further members of events that hold a GPP string.
    pub gpp_at: Vec<Path>,
    /// Whether opt-out signals bind every recipient, not third parties only.
    pub everywhere: bool,
    /// Which regime holds where; `default` first.
    pub jurisdictions: Vec<(Spanned<String>, Regime)>,
    /// How an unknown age is treated.
    pub unknown_age: AgeClass,
    /// Age classes it may be about; none means all.
    pub ages: Vec<AgeClass>,
    /// Contracts it may be about; none means all.
    pub contracts: Vec<Spanned<String>>,
}

/// One signal that can grant a purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantSource {
    /// Purposes and special features of the TCF, all of them.
    Tcf {
        /// Numbers of purposes.
        purposes: Vec<u8>,
        /// Numbers of special features.
        special_features: Vec<u8>,
    },
    /// A category of Segment's `categoryPreferences`.
    Segment(String),
    /// An id in RudderStack's `consentManagement`.
    RudderStack(String),
    /// A group of OneTrust's cookie.
    OneTrust(String),
    /// A type of Google's consent mode.
    Google(GoogleConsent),
    /// A scope of Snowplow's `consent_preferences`.
    Snowplow(String),
    /// A member of the event.
    Field {
        /// Where it stands.
        path: Path,
        /// The values that grant; anything else that is present refuses.
        given: Vec<String>,
    },
}

/// What Google's consent mode asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GoogleConsent {
    /// Storage for advertising.
    AdStorage,
    /// Storage for analytics.
    AnalyticsStorage,
    /// Sending user data for advertising.
    AdUserData,
    /// Personalized advertising.
    AdPersonalization,
}

impl GoogleConsent {
    /// The word that Google uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdStorage => "ad_storage",
            Self::AnalyticsStorage => "analytics_storage",
            Self::AdUserData => "ad_user_data",
            Self::AdPersonalization => "ad_personalization",
        }
    }
}

/// Where events go.
#[derive(Debug)]
pub struct DestinationSource {
    /// `metadata.name`.
    pub name: Spanned<String>,
    /// The base URL.
    pub url: Spanned<String>,
    /// Whether its answer is the client's.
    pub primary: bool,
    /// Who it is.
    pub recipient: Recipient,
    /// Its vendor number in the TCF.
    pub tcf_vendor: Option<u16>,
    /// What it may use data for.
    pub purposes: Vec<Spanned<String>>,
    /// Request paths that pass as they are.
    pub paths: Vec<String>,
    /// Jurisdictions it sits in.
    pub located_in: Vec<Spanned<String>>,
    /// Headers that every request to it gets.
    pub headers: Vec<(Spanned<String>, Spanned<String>)>,
    /// Which of its response headers the client may see, besides what every client needs.
    pub response_headers: Vec<Spanned<String>>,
    /// Which cookies it may set at the client.
    pub response_cookies: Vec<Spanned<String>>,
    /// What its collector needs, in place of the envelope's own list.
    pub requires: Option<Vec<Vec<Spanned<Path>>>>,
    /// How it orders forms that coarseness cannot.
    pub prefer: Vec<Spanned<String>>,
}

/// What happens to data of some categories for some purposes.
#[derive(Debug)]
pub struct RuleSource {
    /// `metadata.name`.
    pub name: Spanned<String>,
    /// Data categories; each covers its descendants.
    pub data: Vec<Spanned<String>>,
    /// Purposes; each covers its descendants.
    pub purposes: Vec<Spanned<String>>,
    /// Destinations; none means all.
    pub to: Vec<Spanned<String>>,
    /// Destinations that sit in one of these jurisdictions; none means all.
    pub located_in: Vec<Spanned<String>>,
    /// Contracts; none means all.
    pub contracts: Vec<Spanned<String>>,
    /// Jurisdictions; none means all.
    pub jurisdictions: Vec<Spanned<String>>,
    /// Age classes; none means all.
    pub ages: Vec<AgeClass>,
    /// What to do.
    pub action: ActionSource,
    /// Why.
    pub because: Option<String>,
    /// Where the action stands.
    pub at: Span,
}

/// An action and its options, not yet given a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionSource {
    /// The action's word.
    pub kind: Spanned<String>,
    /// Its options, as written.
    pub options: Option<Node>,
}

/// A declared export, names not yet resolved.
#[derive(Debug)]
pub struct ExportSource {
    /// `metadata.name`.
    pub name: Spanned<String>,
    /// The purpose that must be permitted.
    pub purpose: Spanned<String>,
    /// The contract whose events are counted; none where tables are posted.
    pub contract: Option<Spanned<String>>,
    /// The privacy unit's path.
    pub unit: Spanned<Path>,
    /// The grouping columns.
    pub keys: Vec<KeySource>,
    /// When it counts and publishes.
    pub window: Window,
    /// By which pods.
    pub fleet: Option<Fleet>,
    /// How much of one unit counts.
    pub bounds: Bounds,
    /// What is measured, at what loss.
    pub measure: Measure,
    /// How long the budget lasts.
    pub horizon: Spanned<String>,
    /// Pure budget.
    pub budget_epsilon: Option<Spanned<String>>,
    /// zCDP budget.
    pub budget_rho: Option<Spanned<String>>,
    /// The delta of the budget.
    pub budget_delta: Option<Spanned<String>>,
    /// Identifiers per person.
    pub ids_per_person: Option<Spanned<u64>>,
    /// `log_readers`.
    pub log_readers: Option<Spanned<String>>,
    /// How many cells of known truth are published.
    pub canaries: Option<Spanned<u64>>,
    /// Whether a column without numbers below zero is published.
    pub nonnegative: bool,
}

pub(super) const BASES: [(&str, Basis); 6] = [
    ("consent", Basis::Consent),
    ("legitimate_interests", Basis::LegitimateInterests),
    ("contract", Basis::Contract),
    ("legal_obligation", Basis::LegalObligation),
    ("vital_interests", Basis::VitalInterests),
    ("public_interest", Basis::PublicInterest),
];
pub(super) const REGIMES: [(&str, Regime); 2] = [("opt_in", Regime::OptIn), ("opt_out", Regime::OptOut)];
pub(super) const RECIPIENTS: [(&str, Recipient); 3] =
    [("self", Recipient::Own), ("processor", Recipient::Processor), ("third_party", Recipient::ThirdParty)];
pub(super) const AGES: [(&str, AgeClass); 3] =
    [("adult", AgeClass::Adult), ("child", AgeClass::Child), ("unknown", AgeClass::Unknown)];
pub(super) const KNOWN_AGES: [(&str, AgeClass); 2] = [("adult", AgeClass::Adult), ("child", AgeClass::Child)];
pub(super) const SIGNALS: [(&str, OptOut); 4] =
    [("gpc", OptOut::Gpc), ("dnt", OptOut::Dnt), ("att", OptOut::Att), ("sp_anonymous", OptOut::SpAnonymous)];
pub(super) const GPP_OPT_OUTS: [(&str, OptOut); 4] = [
    ("sale", OptOut::GppSale),
    ("sharing", OptOut::GppSharing),
    ("targeted_advertising", OptOut::GppTargeted),
    ("sensitive_data", OptOut::GppSensitive),
];
pub(super) const GOOGLE_CONSENTS: [(&str, GoogleConsent); 4] = [
    (GoogleConsent::AdStorage.name(), GoogleConsent::AdStorage),
    (GoogleConsent::AnalyticsStorage.name(), GoogleConsent::AnalyticsStorage),
    (GoogleConsent::AdUserData.name(), GoogleConsent::AdUserData),
    (GoogleConsent::AdPersonalization.name(), GoogleConsent::AdPersonalization),
];

impl PurposeSource {
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        reader.allow(document, &keys::PURPOSE);
        let name = name_of(document, reader);
        let basis =
            reader.required_text(document, "basis").and_then(|written| reader.word(&written, "legal basis", &BASES));
        let granted_by =
            list(document, "granted_by").iter().filter_map(|node| GrantSource::read(node, reader)).collect();
        let opted_out_by = list(document, "opted_out_by").iter().flat_map(|node| read_opt_out(node, reader)).collect();
        let tcf_at = further_places(document, "granted_by", "tcf", reader);
        let gpp_at = further_places(document, "opted_out_by", "gpp", reader);
        let jurisdictions = document.get("jurisdictions").map(|node| read_regimes(node, reader)).unwrap_or_default();
        let unknown_age = document.get("age").and_then(|age| {
            reader.allow(age, &keys::PURPOSE_AGE);
            let written = reader.optional_text(age, "unknown")?;
            reader.word(&written, "age class", &KNOWN_AGES)
        });
        Some(Self {
            name: name?,
            basis: basis?,
            granted_by,
            opted_out_by,
            tcf_at,
            gpp_at,
            everywhere: reader.flag(document, "everywhere"),
            jurisdictions,
            unknown_age: unknown_age.unwrap_or(AgeClass::Adult),
            ages: read_ages(document, reader),
            contracts: reader.optional_texts(document, "contracts"),
        })
    }
}

fn read_ages(document: &Node, reader: &mut Reader) -> Vec<AgeClass> {
    let written = reader.optional_texts(document, "ages");
    written.iter().filter_map(|written| reader.word(written, "age class", &AGES)).collect()
}

/// The nodes of a list member; a single value counts as a list of one.
fn list<'a>(node: &'a Node, name: &str) -> &'a [Node] {
    match node.get(name) {
        None => &[],
        Some(Node { value: Value::List(nodes), .. }) => nodes,
        Some(single) => std::slice::from_ref(single),
    }
}

fn read_regimes(node: &Node, reader: &mut Reader) -> Vec<(Spanned<String>, Regime)> {
    let mut regimes = Vec::new();
    for (place, regime) in reader.members(node) {
        let regime = reader.text(regime).and_then(|written| reader.word(&written, "regime", &REGIMES));
        let place = Spanned::new(place.value.to_ascii_lowercase(), place.at.clone());
        regimes.extend(regime.map(|regime| (place, regime)));
    }
    regimes
}

/// Signals that are one name in one member.
type NamedGrant = (&'static str, &'static Keys, &'static str, fn(String) -> GrantSource);
const NAMED_GRANTS: [NamedGrant; 4] = [
    ("segment", &keys::SEGMENT, "category", GrantSource::Segment),
    ("rudderstack", &keys::RUDDERSTACK, "consent", GrantSource::RudderStack),
    ("onetrust", &keys::ONETRUST, "group", GrantSource::OneTrust),
    ("snowplow", &keys::SNOWPLOW, "scope", GrantSource::Snowplow),
];

impl GrantSource {
    fn read_tcf(tcf: &Node, reader: &mut Reader) -> Self {
        reader.allow(tcf, &keys::TCF);
        let purposes = reader.required(tcf, "purposes").map(|node| reader.texts(node)).unwrap_or_default();
        let features = reader.optional_texts(tcf, "special_features");
        Self::Tcf {
            purposes: purposes.iter().filter_map(|purpose| small_number(purpose, 24, reader)).collect(),
            special_features: features.iter().filter_map(|feature| small_number(feature, 12, reader)).collect(),
        }
    }

    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        reader.allow(node, &keys::GRANT);
        if matches!(&node.value, Value::Map(members) if members.len() > 1) {
            reader.wrong_type(node, "exactly one signal");
        }
        if let Some(tcf) = node.get("tcf") {
            return Some(Self::read_tcf(tcf, reader));
        }
        for (name, keys, member, signal) in NAMED_GRANTS {
            if let Some(named) = node.get(name) {
                reader.allow(named, keys);
                return reader.required_text(named, member).map(|written| signal(written.value));
            }
        }
        if let Some(google) = node.get("google") {
            reader.allow(google, &keys::GOOGLE);
            let written = reader.required_text(google, "consent")?;
            return reader.word(&written, "type of consent", &GOOGLE_CONSENTS).map(Self::Google);
        }
        let field = reader.required(node, "field")?;
        reader.allow(field, &keys::GRANT_FIELD);
        let written = reader.required_text(field, "path")?;
        let path = reader.path(&written)?.value;
        let given: Vec<_> = reader.optional_texts(field, "given").into_iter().map(|value| value.value).collect();
        Some(Self::Field { path, given: if given.is_empty() { vec!["true".to_owned()] } else { given } })
    }
}

/// The members under one signal's `at`, wherever it stands in a list of signals.
fn further_places(document: &Node, signals: &str, signal: &str, reader: &mut Reader) -> Vec<Path> {
    let mut places = Vec::new();
    for node in list(document, signals) {
        // `at` stands in what a grant says, and beside what an opt-out lists.
        let holder = node.get(signal).map(|inner| if matches!(inner.value, Value::Map(_)) { inner } else { node });
        for written in holder.map(|holder| reader.optional_texts(holder, "at")).unwrap_or_default() {
            let Some(path) = reader.path(&written) else { continue };
            let plain = path.value.steps.iter().all(|step| matches!(step, Step::Key(_)));
            if plain && path.value.origin == Origin::Event {
                places.push(path.value);
            } else {
                let message = format!("`{}` is no plain member of an event", path.value);
                reader
                    .report(Diagnostic::error("P008", &path.at, message).label("want members, such as `context.tcf`"));
            }
        }
    }
    places
}

fn small_number(written: &Spanned<String>, max: u8, reader: &mut Reader) -> Option<u8> {
    let number = written.value.parse().ok().filter(|number| (1..=max).contains(number));
    if number.is_none() {
        reader.report(Diagnostic::error("P025", &written.at, format!("wanted a number from 1 to {max}")));
    }
    number
}

fn read_opt_out(node: &Node, reader: &mut Reader) -> Vec<OptOut> {
    match &node.value {
        Value::Map(_) => {
            reader.allow(node, &keys::GPP);
            let written = reader.required(node, "gpp").map(|node| reader.texts(node)).unwrap_or_default();
            written.iter().filter_map(|written| reader.word(written, "GPP opt-out", &GPP_OPT_OUTS)).collect()
        }
        _ => reader
            .text(node)
            .and_then(|written| reader.word(&written, "opt-out signal", &SIGNALS))
            .into_iter()
            .collect(),
    }
}

impl DestinationSource {
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        reader.allow(document, &keys::DESTINATION);
        let name = name_of(document, reader);
        let url = reader.required_text(document, "url");
        let recipient = reader
            .required_text(document, "recipient")
            .and_then(|written| reader.word(&written, "recipient", &RECIPIENTS));
        let purposes = reader.required(document, "purposes").map(|node| reader.texts(node)).unwrap_or_default();
        let requires = document.get("requires").map(|node| read_requires(node, reader));
        let tcf_vendor =
            reader.optional_count(document, "tcf_vendor").and_then(|vendor| u16::try_from(vendor.value).ok());
        let response = document.get("response");
        response.iter().for_each(|response| reader.allow(response, &keys::RESPONSE));
        let mut of_response =
            |member| response.map(|response| reader.optional_texts(response, member)).unwrap_or_default();
        let (response_headers, response_cookies) = (of_response("headers"), of_response("cookies"));
        Some(Self {
            name: name?,
            url: url?,
            located_in: lower_case(reader.optional_texts(document, "located_in")),
            headers: read_headers(document, reader),
            response_headers: lower_case(response_headers),
            response_cookies,
            primary: reader.flag(document, "primary"),
            recipient: recipient?,
            tcf_vendor,
            purposes,
            paths: reader.optional_texts(document, "paths").into_iter().map(|path| path.value).collect(),
            requires,
            prefer: reader.optional_texts(document, "prefer"),
        })
    }
}

/// Names of jurisdictions and headers are told apart in lower case.
fn lower_case(written: Vec<Spanned<String>>) -> Vec<Spanned<String>> {
    written.into_iter().map(|text| Spanned::new(text.value.to_ascii_lowercase(), text.at)).collect()
}

fn read_headers(document: &Node, reader: &mut Reader) -> Vec<(Spanned<String>, Spanned<String>)> {
    let Some(headers) = document.get("headers") else { return Vec::new() };
    let members = reader.members(headers);
    members.iter().filter_map(|(name, value)| Some((name.clone(), reader.text(value)?))).collect()
}

/// Each entry is a path, or `one_of: [paths]`.
fn read_requires(node: &Node, reader: &mut Reader) -> Vec<Vec<Spanned<Path>>> {
    let nodes = match &node.value {
        Value::List(nodes) => nodes.as_slice(),
        Value::Null => &[],
        _ => std::slice::from_ref(node),
    };
    let mut wants = Vec::new();
    for node in nodes {
        let written = match &node.value {
            Value::Map(_) => {
                reader.allow(node, &keys::REQUIREMENT);
                reader.required(node, "one_of").map(|node| reader.texts(node)).unwrap_or_default()
            }
            _ => reader.texts(node),
        };
        wants.push(written.iter().filter_map(|path| reader.path(path)).collect());
    }
    wants
}

impl RuleSource {
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        reader.allow(document, &keys::RULE);
        let name = name_of(document, reader);
        let data = reader.required(document, "data").map(|node| reader.texts(node)).unwrap_or_default();
        let purposes = reader.required(document, "for").map(|node| reader.texts(node)).unwrap_or_default();
        let ages = read_ages(document, reader);
        let jurisdictions = reader.optional_texts(document, "jurisdictions");
        let action = reader.required(document, "action")?;
        Some(Self {
            name: name?,
            data,
            purposes,
            to: reader.optional_texts(document, "to"),
            located_in: lower_case(reader.optional_texts(document, "located_in")),
            contracts: reader.optional_texts(document, "contracts"),
            jurisdictions: lower_case(jurisdictions),
            ages,
            at: action.at.clone(),
            action: ActionSource::read(action, reader)?,
            because: reader.optional_text(document, "because").map(|text| text.value),
        })
    }
}

impl ActionSource {
    /// `keep`, or `{scrub: {detectors: [...]}}`.
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Map(members) => match members.as_slice() {
                [(kind, options)] => Some(Self { kind: kind.clone(), options: Some(options.clone()) }),
                _ => {
                    reader.wrong_type(node, "exactly one action");
                    None
                }
            },
            _ => reader.text(node).map(|kind| Self { kind, options: None }),
        }
    }
}

impl ExportSource {
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        reader.allow(document, &keys::EXPORT);
        let name = name_of(document, reader);
        let purpose = reader.required_text(document, "purpose");
        let contract = export_from(document, reader);
        if let Some(None) = contract {
            refuse_beside_tables(document, reader);
        }
        let unit = reader.required_text(document, "unit").and_then(|written| reader.path(&written));
        let (window, fleet) = (Window::read(document, reader), Fleet::read(document, reader));
        let keys = reader.required(document, "keys").map(|keys| read_keys(keys, reader)).unwrap_or_default();
        let (bounds, measure) = (Bounds::read(document, reader), Measure::read(document, reader));
        let budget = part(document, "budget", &keys::BUDGET, reader)?;
        let horizon = reader.required_text(budget, "horizon");
        Some(Self {
            name: name?,
            purpose: purpose?,
            contract: contract?,
            unit: unit?,
            keys,
            window: window?,
            fleet,
            bounds: bounds?,
            measure: measure?,
            horizon: horizon?,
            budget_epsilon: reader.optional_text(budget, "epsilon"),
            budget_rho: reader.optional_text(budget, "rho"),
            budget_delta: reader.optional_text(budget, "delta"),
            ids_per_person: reader.optional_count(document, "ids_per_person"),
            log_readers: reader.optional_text(document, "log_readers"),
            canaries: reader.optional_whole(document, "canaries"),
            nonnegative: reader.flag(document, "nonnegative"),
        })
    }
}

/// A member that is a map with these members.
pub(super) fn part<'a>(document: &'a Node, name: &str, known: &Keys, reader: &mut Reader) -> Option<&'a Node> {
    let node = reader.required(document, name)?;
    reader.allow(node, known);
    Some(node)
}

/// The contract that events are counted of, or nothing where tables are
/// posted; nothing at all where it says neither or both.
fn export_from(document: &Node, reader: &mut Reader) -> Option<Option<Spanned<String>>> {
    let from = part(document, "from", &keys::EXPORT_FROM, reader)?;
    let (contract, table) = (reader.optional_text(from, "contract"), reader.optional_text(from, "table"));
    match (contract, table) {
        (Some(contract), None) => Some(Some(contract)),
        (None, Some(table)) => reader.word(&table, "source of tables", &[("posted", ())]).map(|()| None),
        (None, None) => {
            reader.required(from, "contract");
            None
        }
        (Some(_), Some(table)) => {
            let both = Diagnostic::error("P043", &table.at, "an export counts events or takes tables, not both");
            reader.report(both.help("keep `contract` or `table`"));
            None
        }
    }
}
