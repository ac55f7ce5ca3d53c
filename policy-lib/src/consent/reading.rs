//! Reading what a request and its events say: each kind of signal where its clients put it.
//!
//! Promise: a signal that is there and cannot be read is `unavailable`, and told
//! as a [`Fault`]; none is looked for that no purpose asks about.

use std::borrow::Cow;

use privet_json::{Kind, Node};

use super::{Consent, ConsentStates, Signalled};
use crate::format::Format;
use crate::path::{Origin, Path, Step, chosen};
use crate::policy::{OptOut, PlaceNo, Policy, PurposeNo, Recipient};
use crate::signals::att::{AttStatus, ad_tracking_enabled};
use crate::signals::google::{Gcd, Gcs, GoogleConsent, MeasurementConsent};
use crate::signals::onetrust::Groups;
use crate::signals::rudderstack::ConsentManagement;
use crate::signals::snowplow::ConsentPreferences;
use crate::signals::{Said, Unreadable, gpc, onetrust};
use crate::source::{GoogleConsent as Asked, GrantSource};
use crate::{iglu, snowplow};

/// The request around the events, as far as facts stand in it.
pub trait RequestFacts {
    /// Every value of a header that is text.
    fn header(&self, lower_case_name: &str) -> Vec<&str>;
    /// Whether a header is there, whatever its value: one that is no text is there, too.
    fn has_header(&self, lower_case_name: &str) -> bool {
        !self.header(lower_case_name).is_empty()
    }
    /// Every value of a query parameter, decoded.
    fn query(&self, name: &str) -> Vec<Cow<'_, str>>;
    /// Every value of a cookie, as it stands there.
    fn cookie(&self, name: &str) -> Vec<Cow<'_, str>>;
}

/// A kind of consent signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// A string of the Transparency and Consent Framework.
    Tcf,
    /// A string of the Global Privacy Platform.
    Gpp,
    /// A US Privacy string.
    UsPrivacy,
    /// Segment's category preferences.
    Segment,
    /// RudderStack's consent management object.
    RudderStack,
    /// OneTrust's cookie.
    OneTrust,
    /// Google's consent mode.
    Google,
    /// Snowplow's consent preferences.
    Snowplow,
    /// Apple's tracking status.
    Att,
    /// A member that the policy names.
    Field,
}

impl Signal {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Tcf,
        Self::Gpp,
        Self::UsPrivacy,
        Self::Segment,
        Self::RudderStack,
        Self::OneTrust,
        Self::Google,
        Self::Snowplow,
        Self::Att,
        Self::Field,
    ];

    /// The word for metrics and outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcf => "tcf",
            Self::Gpp => "gpp",
            Self::UsPrivacy => "us_privacy",
            Self::Segment => "segment",
            Self::RudderStack => "rudderstack",
            Self::OneTrust => "onetrust",
            Self::Google => "google",
            Self::Snowplow => "snowplow",
            Self::Att => "att",
            Self::Field => "field",
        }
    }
}

/// A signal that was there and could not be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// Which kind.
    pub signal: Signal,
    /// Why not: one of a closed list of words.
    pub reason: &'static str,
}

/// What is told of signals while they are read. It has no `Debug`: what was written nearly names a person.
#[derive(Clone, Copy)]
pub enum Heard<'a> {
    /// One could not be relied on.
    Fault(Fault),
    /// A consent string counted.
    Evidence {
        /// Of which kind.
        signal: Signal,
        /// As it stood there. Keep a digest of it, never this.
        written: &'a str,
        /// What it says to everyone alike.
        says: ConsentStates,
    },
}

/// Something else stands where an object or a word should.
const WRONG_TYPE: &str = "wrong_type";

/// What a signal's meaning depends on beside the policy.
#[derive(Clone, Copy)]
pub(crate) struct Circumstance {
    /// When it was received, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// The jurisdiction of the person.
    pub(crate) place: PlaceNo,
}

/// Reads for one policy, at one time and place.
pub(crate) struct Reading<'a> {
    policy: &'a Policy,
    at: Circumstance,
    heard: &'a dyn Fn(Heard<'_>),
}

impl<'a> Reading<'a> {
    /// Reads in a circumstance.
    pub(crate) const fn new(policy: &'a Policy, at: Circumstance, heard: &'a dyn Fn(Heard<'_>)) -> Self {
        Self { policy, at, heard }
    }

    /// What a request says outside of its body.
    pub(crate) fn request(&self, request: &dyn RequestFacts) -> Signalled {
        let mut said = Signalled::default();
        let strings = &self.policy.strings;
        let at = |query, cookie| request.query(query).into_iter().chain(request.cookie(cookie)).collect::<Vec<_>>();
        if strings.tcf {
            self.strings(Signal::Tcf, &at("gdpr_consent", "euconsent-v2"), &mut said);
        }
        if strings.gpp {
            self.strings(Signal::Gpp, &at("gpp", "__gpp"), &mut said);
            // Also beside the GPP, which supersedes it: of two answers the stricter counts, as everywhere.
            self.strings(Signal::UsPrivacy, &at("us_privacy", "usprivacy"), &mut said);
            // Some platforms name the cookie as the parameter.
            self.strings(Signal::UsPrivacy, &request.cookie("us_privacy"), &mut said);
        }
        let mut web = Web { request, onetrust: None, onetrust_gpc: None, google: None };
        for (number, purpose) in self.policy.numbered_purposes() {
            for grant in &purpose.granted_by {
                match grant {
                    GrantSource::OneTrust(group) => self.onetrust(number, web.onetrust(), group, &mut said),
                    GrantSource::Google(asked) => self.google(number, web.google(), *asked, &mut said),
                    _ => {}
                }
            }
            for signal in &purpose.opted_out_by {
                let saw_control = *signal == OptOut::Gpc && web.onetrust_saw_gpc();
                let state = if saw_control { Consent::Refused } else { of_headers(*signal, request) };
                self.policy.opt_out(number, *signal, state, &mut said);
            }
        }
        said
    }

    /// What OneTrust's cookies say of one group.
    fn onetrust(&self, number: PurposeNo, cookies: &[Result<Groups, Unreadable>], group: &str, said: &mut Signalled) {
        for cookie in cookies {
            match cookie {
                Ok(groups) => match groups.changed_ms() {
                    Some(at_ms) => said.say_dated(number, state(groups.category(group)), at_ms),
                    None => said.say(number, state(groups.category(group))),
                },
                Err(why) => said.say(number, self.unavailable(Signal::OneTrust, why.code())),
            }
        }
    }

    /// What Google's parameters say of one type of consent.
    fn google(&self, number: PurposeNo, modes: &[Result<Mode, Unreadable>], asked: Asked, said: &mut Signalled) {
        for mode in modes {
            said.say(
                number,
                match mode {
                    Ok(mode) => mode.state(asked),
                    Err(why) => self.unavailable(Signal::Google, why.code()),
                },
            );
        }
    }

    fn unavailable(&self, signal: Signal, reason: &'static str) -> Consent {
        (self.heard)(Heard::Fault(Fault { signal, reason }));
        Consent::Unavailable
    }

    /// What an event says, or what stands around several of them.
    pub(crate) fn node(&self, node: Node<'_>, format: Format) -> Signalled {
        let mut said = Signalled::default();
        let strings = &self.policy.strings;
        if strings.tcf {
            self.strings(Signal::Tcf, &texts_in(node, "IABTCF_TCString", &strings.tcf_at), &mut said);
        }
        if strings.gpp {
            self.strings(Signal::Gpp, &texts_in(node, "IABGPP_HDR_GppString", &strings.gpp_at), &mut said);
            self.strings(Signal::UsPrivacy, &texts_in(node, "IABUSPrivacy_String", &[]), &mut said);
            self.sections(node, &mut said);
        }
        let mut objects =
            Objects { node, segment: None, rudderstack: None, google: None, active_groups: None, saw_gpc: None };
        let preferences = (format == Format::Snowplow).then(|| preferences(node)).flatten();
        for (number, purpose) in self.policy.numbered_purposes() {
            for grant in &purpose.granted_by {
                let (signal, state) = match grant {
                    GrantSource::Segment(category) => (Signal::Segment, objects.segment().state(category)),
                    GrantSource::RudderStack(id) => (Signal::RudderStack, state(objects.rudderstack().category(id))),
                    GrantSource::Google(asked) if format == Format::Ga4 => {
                        (Signal::Google, state(objects.google().category(asked.name())))
                    }
                    GrantSource::Snowplow(scope) => match &preferences {
                        Some(Ok(preferences)) => (Signal::Snowplow, state(preferences.category(scope))),
                        Some(Err(OtherModel)) => (Signal::Snowplow, Consent::Unavailable),
                        None => continue,
                    },
                    GrantSource::OneTrust(group) => {
                        self.active_groups(number, objects.active_groups(), group, &mut said);
                        continue;
                    }
                    GrantSource::Field { path, given } => (Signal::Field, field(node, path, given)),
                    _ => continue,
                };
                if state == Consent::Unavailable {
                    self.unavailable(signal, WRONG_TYPE);
                }
                said.say(number, state);
            }
            if purpose.opted_out_by.contains(&OptOut::Gpc) && objects.saw_gpc() {
                self.policy.opt_out(number, OptOut::Gpc, Consent::Refused, &mut said);
            }
            if purpose.opted_out_by.contains(&OptOut::Att) {
                self.policy.opt_out(number, OptOut::Att, self.att(node), &mut said);
            }
        }
        said
    }

    /// What OneTrust's list of active groups says of one group.
    fn active_groups(
        &self,
        number: PurposeNo,
        lists: &[Result<Groups, Unreadable>],
        group: &str,
        said: &mut Signalled,
    ) {
        for list in lists {
            said.say(
                number,
                match list {
                    Ok(groups) => state(groups.category(group)),
                    Err(why) => self.unavailable(Signal::OneTrust, why.code()),
                },
            );
        }
    }

    /// What an app was told about tracking: only the status that permits it does.
    fn att(&self, node: Node<'_>) -> Consent {
        let device = node.get("context").and_then(|context| context.get("device"));
        let there = |name| device.and_then(|device| device.get(name)).filter(|member| member.kind() != Kind::Null);
        let status = there("attTrackingStatus").map(|member| AttStatus::of(member).map(AttStatus::permits));
        let enabled = there("adTrackingEnabled").map(ad_tracking_enabled);
        let each = status.into_iter().chain(enabled).map(|permits| match permits {
            Ok(true) => Consent::Absent,
            Ok(false) => Consent::Refused,
            Err(why) => self.unavailable(Signal::Att, why.code()),
        });
        each.fold(Consent::Absent, Consent::and)
    }

    /// Sections of the GPP that an app passes on one by one, beside the whole string or instead of it.
    fn sections(&self, node: Node<'_>, said: &mut Signalled) {
        let holders = [Some(node), node.get("context")].into_iter().flatten();
        for (key, value) in holders.flat_map(|holder| holder.members()) {
            let Some(id) = section_named(&key.text()).filter(|_| value.kind() != Kind::Null) else { continue };
            let (text, mut one) = (value.text().unwrap_or_default(), Signalled::default());
            self.policy.hear_gpp_section(id, &text, self.at, &mut one, &|fault| (self.heard)(Heard::Fault(fault)));
            (self.heard)(Heard::Evidence { signal: Signal::Gpp, written: &text, says: one.all });
            said.add(&one);
        }
    }

    /// Consent strings of one kind.
    fn strings(&self, signal: Signal, texts: &[Cow<'_, str>], said: &mut Signalled) {
        let faults = &|fault| (self.heard)(Heard::Fault(fault));
        for text in texts {
            let mut one = Signalled::default();
            match signal {
                Signal::Tcf => self.policy.hear_tcf(text, self.at, &mut one, faults),
                Signal::Gpp => self.policy.hear_gpp(text, self.at, &mut one, faults),
                _ => self.policy.hear_us_privacy(text, &mut one, faults),
            }
            (self.heard)(Heard::Evidence { signal, written: text, says: one.all });
            said.add(&one);
        }
    }
}

impl Policy {
    /// One opt-out of one purpose, to those whom it binds.
    pub(crate) fn opt_out(&self, number: PurposeNo, signal: OptOut, state: Consent, said: &mut Signalled) {
        let purpose_binds_all = self.purpose(number).is_some_and(|purpose| purpose.everywhere);
        let everywhere = purpose_binds_all || !signal.binds_third_parties_only();
        for (audience, who) in self.audiences.iter() {
            if everywhere || who.recipient == Recipient::ThirdParty {
                said.deny(audience, self.audiences.len(), number, state);
            }
        }
    }
}

/// What stands around an event's body, each read when it is first asked for.
struct Web<'r> {
    request: &'r dyn RequestFacts,
    onetrust: Option<Vec<Result<Groups, Unreadable>>>,
    onetrust_gpc: Option<bool>,
    google: Option<Vec<Result<Mode, Unreadable>>>,
}

/// Google's consent mode as one parameter says it.
enum Mode {
    Storages(Gcs),
    All(Gcd),
}

impl Mode {
    fn state(&self, asked: Asked) -> Consent {
        let (storages, all) = match self {
            Self::Storages(gcs) => ([gcs.ad_storage, gcs.analytics_storage], None),
            Self::All(gcd) => {
                ([gcd.ad_storage, gcd.analytics_storage], Some([gcd.ad_user_data, gcd.ad_personalization]))
            }
        };
        let said = match asked {
            Asked::AdStorage => Some(storages[0]),
            Asked::AnalyticsStorage => Some(storages[1]),
            Asked::AdUserData => all.map(|[data, _]| data),
            Asked::AdPersonalization => all.map(|[_, personalization]| personalization),
        };
        match said {
            Some(GoogleConsent::Granted) => Consent::Given,
            Some(GoogleConsent::Denied) => Consent::Refused,
            Some(GoogleConsent::Unset) | None => Consent::Absent,
        }
    }
}

impl Web<'_> {
    fn onetrust(&mut self) -> &[Result<Groups, Unreadable>] {
        let read = || self.request.cookie("OptanonConsent").iter().map(|cookie| Groups::of_cookie(cookie)).collect();
        self.onetrust.get_or_insert_with(read)
    }

    /// Also where the groups beside it cannot be read.
    fn onetrust_saw_gpc(&mut self) -> bool {
        let saw = || self.request.cookie("OptanonConsent").iter().any(|cookie| onetrust::saw_gpc(cookie));
        *self.onetrust_gpc.get_or_insert_with(saw)
    }

    fn google(&mut self) -> &[Result<Mode, Unreadable>] {
        self.google.get_or_insert_with(|| {
            let storages = self.request.query("gcs").into_iter().map(|text| Gcs::read(&text).map(Mode::Storages));
            let all = self.request.query("gcd").into_iter().map(|text| Gcd::read(&text).map(Mode::All));
            storages.chain(all).collect()
        })
    }
}

/// The consent objects of an event, each found when it is first asked for.
struct Objects<'a> {
    node: Node<'a>,
    segment: Option<CategoryPreferences<'a>>,
    rudderstack: Option<ConsentManagement<'a>>,
    google: Option<MeasurementConsent<'a>>,
    active_groups: Option<Vec<Result<Groups, Unreadable>>>,
    saw_gpc: Option<bool>,
}

impl<'a> Objects<'a> {
    fn segment(&mut self) -> &CategoryPreferences<'a> {
        self.segment.get_or_insert_with(|| CategoryPreferences::of(self.node))
    }

    fn rudderstack(&mut self) -> &ConsentManagement<'a> {
        self.rudderstack.get_or_insert_with(|| ConsentManagement::of(self.node))
    }

    fn google(&mut self) -> &MeasurementConsent<'a> {
        self.google.get_or_insert_with(|| MeasurementConsent::of(self.node))
    }

    /// OneTrust's list, where a page passes it on.
    fn active_groups(&mut self) -> &[Result<Groups, Unreadable>] {
        let read =
            || texts_in(self.node, "OnetrustActiveGroups", &[]).iter().map(|text| Groups::of_active(text)).collect();
        self.active_groups.get_or_insert_with(read)
    }

    /// Whether a page copied the browser's `navigator.globalPrivacyControl` into the event, and it was on.
    fn saw_gpc(&mut self) -> bool {
        let saw = || {
            let context = self.node.get("context");
            let navigator = context.and_then(|context| context.get("navigator"));
            let holders = [Some(self.node), context, navigator].into_iter().flatten();
            holders.filter_map(|holder| holder.get("globalPrivacyControl")).any(gpc::is_on)
        };
        *self.saw_gpc.get_or_insert_with(saw)
    }
}

/// A choice is told in words that are not known here.
struct OtherModel;

/// The data of a Snowplow event that tells what a person chose.
fn preferences(event: Node<'_>) -> Option<Result<ConsentPreferences<'_>, OtherModel>> {
    let described = event.get(snowplow::EVENT)?.get("data")?;
    let schema = described.get("schema")?.text()?;
    if iglu::up_to_model(&schema) == iglu::up_to_model(CONSENT_PREFERENCES) {
        return described.get("data").map(ConsentPreferences::of).map(Ok);
    }
    let is_of_another = CONSENT_PREFERENCES
        .rsplit_once('/')
        .is_some_and(|(name, _)| schema.rsplit_once('/').is_some_and(|(other, _)| other == name));
    is_of_another.then_some(Err(OtherModel))
}

/// The event that Snowplow's trackers send when a person chooses.
const CONSENT_PREFERENCES: &str = "iglu:com.snowplowanalytics.snowplow/consent_preferences/jsonschema/1-0-0";

/// What a decoded signal says of a category is what it says of the purpose.
const fn state(said: Said) -> Consent {
    match said {
        Said::Granted => Consent::Given,
        Said::Refused => Consent::Refused,
        Said::Absent => Consent::Absent,
        Said::Unreadable => Consent::Unavailable,
    }
}

/// The texts in the member, of an event or of its `context`, in which apps pass on what their consent platform
/// stored, and at further places. What stands there and is no text is a string that cannot be read.
fn texts_in<'a>(node: Node<'a>, usual: &str, further: &[Path]) -> Vec<Cow<'a, str>> {
    let in_context = node.get("context").and_then(|context| context.get(usual));
    let usual = node.get(usual).into_iter().chain(in_context);
    let all = usual.chain(further.iter().filter_map(|path| follow(node, &path.steps)));
    all.filter(|value| value.kind() != Kind::Null).map(|value| value.text().unwrap_or_default()).collect()
}

/// The section that a member such as `IABGPP_7_String` holds.
fn section_named(member: &str) -> Option<u16> {
    member.strip_prefix("IABGPP_")?.strip_suffix("_String")?.parse().ok()
}

fn follow<'a>(node: Node<'a>, steps: &[Step]) -> Option<Node<'a>> {
    steps.iter().try_fold(node, |node, step| match step {
        Step::Key(name) => node.get(name),
        _ => None,
    })
}

/// What the headers say.
fn of_headers(signal: OptOut, request: &dyn RequestFacts) -> Consent {
    let opts_out = |name| request.header(name).into_iter().any(gpc::opts_out);
    let refused = match signal {
        OptOut::Gpc => opts_out("sec-gpc"),
        // Coded as the other.
        OptOut::Dnt => opts_out("dnt"),
        OptOut::SpAnonymous => request.has_header("sp-anonymous"),
        OptOut::Att | OptOut::GppSale | OptOut::GppSharing | OptOut::GppTargeted | OptOut::GppSensitive => false,
    };
    if refused { Consent::Refused } else { Consent::Absent }
}

/// Segment's `context.consent.categoryPreferences`: a category that a present object lacks is refused.
///
/// Segment's documentation also spells the member `categoryPreference`.
enum CategoryPreferences<'a> {
    /// There is something in its place that is no object.
    Unreadable,
    /// What stands under each spelling.
    Written([Option<Node<'a>>; 2]),
}

impl<'a> CategoryPreferences<'a> {
    fn of(event: Node<'a>) -> Self {
        let there = |node: &Node<'_>| node.kind() != Kind::Null;
        match event.get("context").and_then(|context| context.get("consent")).filter(there) {
            None => Self::Written([None, None]),
            Some(consent) if consent.kind() != Kind::Object => Self::Unreadable,
            Some(consent) => {
                Self::Written(["categoryPreferences", "categoryPreference"].map(|name| consent.get(name).filter(there)))
            }
        }
    }

    fn state(&self, category: &str) -> Consent {
        match self {
            Self::Unreadable => Consent::Unavailable,
            Self::Written(objects) => {
                let each = objects.iter().flatten().map(|object| preference(*object, category));
                each.fold(Consent::Absent, Consent::and)
            }
        }
    }
}

fn preference(object: Node<'_>, category: &str) -> Consent {
    if object.kind() != Kind::Object {
        return Consent::Unavailable;
    }
    match object.get(category).map(|choice| (choice.kind(), choice.raw())) {
        Some((Kind::Bool, b"true")) => Consent::Given,
        None | Some((Kind::Bool | Kind::Null, _)) => Consent::Refused,
        Some(_) => Consent::Unavailable,
    }
}

/// A configured member: the listed values grant, any other refuses.
fn field(event: Node<'_>, path: &Path, given: &[String]) -> Consent {
    if path.origin != Origin::Event {
        return Consent::Unavailable;
    }
    field_below(event, &path.steps, given)
}

fn field_below(node: Node<'_>, steps: &[Step], given: &[String]) -> Consent {
    match (steps.split_first(), node.kind()) {
        (_, Kind::Null) => Consent::Absent,
        (None, Kind::Array | Kind::Object) => Consent::Unavailable,
        (None, Kind::String) => granted(given, &node.text().unwrap_or_default()),
        (None, Kind::Bool | Kind::Number) => granted(given, std::str::from_utf8(node.raw()).unwrap_or_default()),
        (Some((Step::Key(name), rest)), Kind::Object) => {
            node.get(name).map_or(Consent::Absent, |inner| field_below(inner, rest, given))
        }
        (Some((Step::Where { key, equals }, rest)), Kind::Array) => {
            let all = chosen(node, key, equals).map(|element| field_below(element, rest, given));
            all.fold(Consent::Absent, Consent::and)
        }
        _ => Consent::Unavailable,
    }
}

fn granted(given: &[String], value: &str) -> Consent {
    if given.iter().any(|word| word == value) { Consent::Given } else { Consent::Refused }
}

#[cfg(test)]
mod tests {
    use super::*;
    use privet_json::{Index, Limits};

    fn read(json: &str, state: impl FnOnce(Node<'_>) -> Consent) -> Consent {
        let mut index = Index::default();
        let root = index.read(json.as_bytes(), &Limits::default()).unwrap();
        state(index.node(json.as_bytes(), root))
    }

    #[test]
    fn segment_preferences_are_read_strictly() {
        for (json, state) in [
            (r#"{}"#, Consent::Absent),
            (r#"{"context":{}}"#, Consent::Absent),
            (r#"{"context":{"consent":null}}"#, Consent::Absent),
            (r#"{"context":{"consent":{}}}"#, Consent::Absent),
            (r#"{"context":{"consent":[]}}"#, Consent::Unavailable),
            (r#"{"context":{"consent":{"categoryPreferences":{}}}}"#, Consent::Refused),
            (r#"{"context":{"consent":{"categoryPreferences":{"Analytics":true}}}}"#, Consent::Given),
            (r#"{"context":{"consent":{"categoryPreferences":{"Analytics":false}}}}"#, Consent::Refused),
            (r#"{"context":{"consent":{"categoryPreferences":{"Analytics":"true"}}}}"#, Consent::Unavailable),
            (r#"{"context":{"consent":{"categoryPreferences":"Analytics"}}}"#, Consent::Unavailable),
            (r#"{"context":{"consent":{"categoryPreference":{"Analytics":true}}}}"#, Consent::Given),
            (
                r#"{"context":{"consent":{"categoryPreference":{"Analytics":true},"categoryPreferences":{"Analytics":false}}}}"#,
                Consent::Refused,
            ),
        ] {
            assert_eq!(read(json, |node| CategoryPreferences::of(node).state("Analytics")), state, "{json}");
        }
    }

    #[test]
    fn a_configured_member_grants_by_its_listed_values_only() {
        let path: Path = "consent.analytics".parse().unwrap();
        let given = ["true".to_owned(), "yes".to_owned()];
        for (json, state) in [
            (r#"{}"#, Consent::Absent),
            (r#"{"consent":{"analytics":null}}"#, Consent::Absent),
            (r#"{"consent":{"analytics":true}}"#, Consent::Given),
            (r#"{"consent":{"analytics":"yes"}}"#, Consent::Given),
            (r#"{"consent":{"analytics":"YES"}}"#, Consent::Refused),
            (r#"{"consent":{"analytics":{}}}"#, Consent::Unavailable),
            (r#"{"consent":"all"}"#, Consent::Unavailable),
        ] {
            assert_eq!(read(json, |node| field(node, &path, &given)), state, "{json}");
        }
    }
}
