//! What every kind of signal says about a purpose, to whom, and for how long.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::borrow::Cow;
use std::cell::RefCell;

use privet_json::{Index, Limits};
use privet_policy::batch::{Batch, Group};
use privet_policy::consent::{
    Consent, Fault, Heard, Memory, NothingStored, RequestFacts, Signal, StoreUnavailable, Stored, StoredDecisions,
};
use privet_policy::decide::{Decision, Outcome, decide};
use privet_policy::diagnostic::SourceFile;
use privet_policy::policy::{AgeClass, Policy, PurposeNo};
use privet_policy::signals::tcf::Draft;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const NOW_MS: i64 = 1_795_000_000_000;

/// One purpose, one contract, and a destination of each kind; the processor is the TCF's vendor 812.
fn policy(purpose: &str) -> Policy {
    let text = format!(
        "apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {{name: view}}
match: {{format: FORMAT}}
fields: {{id: {{role: subject, category: user.unique_id}}, page: {{category: system.operations}}}}
---
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {{name: analytics.reporting}}
{purpose}
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {{name: own}}
url: http://127.0.0.1:1
primary: true
recipient: self
requires: []
purposes: [analytics.reporting]
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {{name: vendor}}
url: http://127.0.0.1:2
recipient: processor
tcf_vendor: 812
requires: []
purposes: [analytics.reporting]
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {{name: third}}
url: http://127.0.0.1:3
recipient: third_party
requires: []
purposes: [analytics.reporting]
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {{name: all}}
data: [system.operations]
for: [analytics.reporting]
action: keep
"
    );
    let formats = [("google", "ga4"), ("snowplow", "snowplow")];
    let format = formats.iter().find(|(signal, _)| purpose.contains(signal)).map_or("json", |(_, format)| format);
    let files = [SourceFile { name: "p.yaml".into(), text: text.replace("FORMAT", format) }];
    let compiled = privet_policy::compile(&files);
    let errors: Vec<_> = compiled.diagnostics.iter().map(|told| told.render(&files, false)).collect();
    compiled.policy.unwrap_or_else(|| panic!("{errors:?}"))
}

#[derive(Clone, Default)]
struct Web {
    headers: Vec<(&'static str, String)>,
    query: Vec<(&'static str, String)>,
    cookies: Vec<(&'static str, String)>,
    /// A header that is there and whose value is no text.
    no_text: &'static str,
}

fn named<'a>(all: &'a [(&'static str, String)], name: &str) -> impl Iterator<Item = &'a str> {
    all.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
}

impl RequestFacts for Web {
    fn header(&self, name: &str) -> Vec<&str> {
        named(&self.headers, name).collect()
    }
    fn has_header(&self, name: &str) -> bool {
        name == self.no_text || !self.header(name).is_empty()
    }
    fn query(&self, name: &str) -> Vec<Cow<'_, str>> {
        named(&self.query, name).map(Cow::Borrowed).collect()
    }
    fn cookie(&self, name: &str) -> Vec<Cow<'_, str>> {
        named(&self.cookies, name).map(Cow::Borrowed).collect()
    }
}

/// A request with one event, and what was decided on it.
struct Asked<'a> {
    policy: &'a Policy,
    event: String,
    web: Web,
    now_ms: i64,
    place: &'static str,
    stored: &'a dyn StoredDecisions,
    faults: RefCell<Vec<Fault>>,
    evidence: RefCell<Vec<(Signal, usize, Consent)>>,
}

impl<'a> Asked<'a> {
    fn of(policy: &'a Policy) -> Self {
        let event = r#"{"id":"u-1","page":"home"}"#.to_owned();
        let (faults, evidence) = Default::default();
        Self {
            policy,
            event,
            web: Web::default(),
            now_ms: NOW_MS,
            place: "eu",
            stored: &NothingStored,
            faults,
            evidence,
        }
    }

    fn cookie(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.web.cookies.push((name, value.into()));
        self
    }

    fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.web.query.push((name, value.into()));
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.web.headers.push((name, value.to_owned()));
        self
    }

    fn event(mut self, rest: &str) -> Self {
        self.event = format!(r#"{{"id":"u-1","page":"home",{rest}}}"#);
        self
    }

    fn decide(&self) -> Decision {
        let mut index = Index::new();
        let root = index.read(self.event.as_bytes(), &Limits::default()).unwrap();
        let batch = Batch {
            format: self.policy.contracts()[0].format,
            events: &[index.node(self.event.as_bytes(), root)],
            unfit: &[],
            groups: &[Group::bare(1)],
            implied: None,
            request: &self.web,
            received_ms: self.now_ms,
            place: self.policy.place(self.place),
            age: AgeClass::Unknown,
            stored: self.stored,
            memory: Memory::Lasting,
            heard: &|heard| match heard {
                Heard::Fault(fault) => self.faults.borrow_mut().push(fault),
                Heard::Evidence { signal, written, says } => {
                    let told = (signal, written.len(), says.of(PurposeNo(0)));
                    self.evidence.borrow_mut().push(told);
                }
            },
        };
        decide(self.policy, &batch).pop().unwrap()
    }

    fn state(&self) -> Consent {
        self.decide().consent.of(PurposeNo(0))
    }

    /// Where the event goes: to ourselves, to the vendor, to a third party.
    fn leaves(&self) -> [bool; 3] {
        let decision = self.decide();
        let Outcome::Ruled(verdict) = &decision.outcome else { panic!("it follows a contract") };
        ["own", "vendor", "third"].map(|name| {
            let mut all = self.policy.destination_numbers();
            let to = all.find(|to| self.policy.destination(*to).name == name).unwrap();
            verdict.treatment(to).is_some()
        })
    }

    fn fault(&self) -> Option<(Signal, &'static str)> {
        self.faults.borrow().first().map(|fault| (fault.signal, fault.reason))
    }
}

fn tcf() -> Draft {
    Draft { at_ms: NOW_MS - DAY_MS, consents: vec![1, 8], vendors: vec![812], ..Draft::default() }
}

#[test]
fn a_tc_string_grants_a_purpose_and_a_vendor() {
    let policy = policy("basis: consent\ngranted_by: [{tcf: {purposes: [1, 8], at: [context.tc]}}]");
    let leaves = |draft: &Draft| Asked::of(&policy).cookie("euconsent-v2", draft.encode()).leaves();
    assert_eq!(Asked::of(&policy).leaves(), [false; 3], "nothing was said");
    assert_eq!(leaves(&tcf()), [true; 3]);
    assert_eq!(leaves(&Draft { consents: vec![8], ..tcf() }), [false; 3], "not every purpose");
    assert_eq!(leaves(&Draft { vendors: vec![7], ..tcf() }), [true, false, true], "another vendor");
    assert_eq!(leaves(&Draft { vendors: vec![], interested_vendors: vec![812], ..tcf() }), [true, false, true]);
    let places = [
        Asked::of(&policy).query("gdpr_consent", tcf().encode()),
        Asked::of(&policy).event(&format!(r#""IABTCF_TCString":"{}""#, tcf().encode())),
        Asked::of(&policy).event(&format!(r#""context":{{"IABTCF_TCString":"{}"}}"#, tcf().encode())),
        Asked::of(&policy).event(&format!(r#""context":{{"tc":"{}"}}"#, tcf().encode())),
        Asked::of(&policy).query("gpp", format!("DBABMA~{}", tcf().encode())),
    ];
    for asked in &places {
        assert_eq!((asked.leaves(), asked.fault()), ([true; 3], None));
    }
    let unreadable = Asked::of(&policy).cookie("euconsent-v2", tcf().encode()).query("gpp", "nonsense");
    assert_eq!(unreadable.state(), Consent::Unavailable, "it may have refused");
    let told = Asked::of(&policy).cookie("euconsent-v2", tcf().encode());
    told.decide();
    assert_eq!(*told.evidence.borrow(), [(Signal::Tcf, tcf().encode().len(), Consent::Given)]);
    let both = Asked::of(&policy).cookie("euconsent-v2", tcf().encode());
    let both = both.query("gdpr_consent", Draft { consents: vec![1], ..tcf() }.encode());
    assert_eq!(both.state(), Consent::Refused, "of two the stricter counts");
}

#[test]
fn a_tc_string_holds_for_thirteen_months_and_not_before_it_was_made() {
    let policy = policy("basis: consent\ngranted_by: [{tcf: {purposes: [8]}}]");
    let at = |now_ms| {
        let asked = Asked { now_ms, ..Asked::of(&policy).cookie("euconsent-v2", tcf().encode()) };
        (asked.state(), asked.fault())
    };
    let made = tcf().at_ms;
    assert_eq!(at(made), (Consent::Given, None));
    assert_eq!(at(made + 396 * DAY_MS), (Consent::Given, None));
    assert_eq!(at(made + 396 * DAY_MS + 1), (Consent::Unavailable, Some((Signal::Tcf, "expired"))));
    assert_eq!(at(made - DAY_MS), (Consent::Given, None), "clocks differ");
    assert_eq!(at(made - DAY_MS - 1), (Consent::Unavailable, Some((Signal::Tcf, "from_the_future"))));
}

#[test]
fn a_legitimate_interest_is_asked_of_its_own_bits() {
    let policy = policy("basis: legitimate_interests\ngranted_by: [{tcf: {purposes: [8]}}]");
    let leaves = |draft: &Draft| Asked::of(&policy).cookie("euconsent-v2", draft.encode()).leaves();
    assert_eq!(Asked::of(&policy).leaves(), [true; 3], "nobody objected");
    assert_eq!(leaves(&tcf()), [false; 3], "consent is no legitimate interest, and its absence an objection");
    let interest = Draft { interests: vec![8], interested_vendors: vec![812], ..Draft { consents: vec![], ..tcf() } };
    assert_eq!(leaves(&interest), [true; 3]);
    assert_eq!(leaves(&Draft { interested_vendors: vec![], ..interest }), [true, false, true]);
}

#[test]
fn opt_outs_of_the_united_states_bind_third_parties() {
    let one =
        |opt_outs: &str| format!("basis: consent\njurisdictions: {{default: opt_out}}\nopted_out_by: [{opt_outs}]");
    let sale = policy(&one("{gpp: [sale], at: [context.gpp]}"));
    let (opted_out, stayed) = ("DBABLA~BVQVAAAAAgA.QA", "DBABLA~BVQqAAAAAgA.QA");
    let third = |policy: &Policy, text: &str| {
        let leaves = Asked::of(policy).query("gpp", text).leaves();
        assert_eq!(leaves[..2], [true, true], "{text}");
        leaves[2]
    };
    assert!(third(&sale, stayed) && !third(&sale, opted_out));
    let in_event = Asked::of(&sale).event(&format!(r#""context":{{"gpp":"{opted_out}"}}"#));
    assert_eq!(in_event.leaves(), [true, true, false]);
    assert_eq!(Asked::of(&sale).cookie("__gpp", opted_out).leaves(), [true, true, false]);
    let everywhere = policy(&format!("{}\neverywhere: true", one("{gpp: [sale]}")));
    assert_eq!(Asked::of(&everywhere).query("gpp", opted_out).leaves(), [false; 3]);
    for (text, reason) in [("DBABLA~", "empty"), ("DBABLA", "sections_mismatch"), ("x", "not_base64url")] {
        let asked = Asked::of(&sale).query("gpp", text);
        assert_eq!(asked.leaves(), [true, true, false], "{text}");
        assert_eq!(asked.fault().map(|(signal, _)| signal), Some(Signal::Gpp), "{text} {reason}");
    }
    for (text, leaves) in [("1YYN", false), ("1YNN", true), ("1---", true), ("1Y", false)] {
        assert_eq!(Asked::of(&sale).query("us_privacy", text).leaves()[2], leaves, "{text}");
        for name in ["usprivacy", "us_privacy"] {
            assert_eq!(Asked::of(&sale).cookie(name, text).leaves()[2], leaves, "{name} {text}");
        }
    }
    // Beside a string with no section, with Europe's alone, and with one that says otherwise.
    let europe = format!("DBABMA~{}", tcf().encode());
    for beside in ["DBAA", &europe, stayed] {
        assert_eq!(Asked::of(&sale).query("gpp", beside).leaves(), [true; 3], "{beside}");
        let asked = Asked::of(&sale).query("us_privacy", "1YYN").query("gpp", beside);
        assert_eq!(asked.leaves(), [true, true, false], "of two answers the stricter counts: {beside}");
        let event = format!(r#""IABUSPrivacy_String":"1YYN","IABGPP_HDR_GppString":"{beside}""#);
        assert_eq!(Asked::of(&sale).event(&event).leaves(), [true, true, false], "{beside}");
    }
}

#[test]
fn a_section_with_a_segment_that_nobody_knows_is_in_doubt() {
    let policy = policy("basis: consent\njurisdictions: {default: opt_out}\nopted_out_by: [{gpp: [sale]}]");
    // National; California with Global Privacy Control off, then on; Virginia, which has no second segment; US Privacy.
    for (known, leftover) in [
        ("DBABLA~BVQqAAAAAgA.QA", "DBABLA~BVQqAAAAAgA.QA.YA"),
        ("DBABBg~BqqAAAAA.QA", "DBABBg~BqqAAAAA.QA.YA"),
        ("DBABRg~BqqAAAA", "DBABRg~BqqAAAA.YA"),
        ("DBABTA~1YNN", "DBABTA~1YNN.YA"),
    ] {
        assert_eq!(Asked::of(&policy).query("gpp", known).leaves(), [true; 3], "{known}");
        let asked = Asked::of(&policy).query("gpp", leftover);
        assert_eq!((asked.leaves(), asked.fault()), ([true, true, false], Some((Signal::Gpp, "unknown_segment"))));
    }
}

#[test]
fn sections_that_an_app_passes_on_one_by_one_count() {
    let policy = policy("basis: consent\njurisdictions: {default: opt_out}\nopted_out_by: [{gpp: [sale]}]");
    for (rest, leaves) in [
        (r#""IABGPP_7_String":"BVQVAAAAAgA.QA""#, false),
        (r#""context":{"IABGPP_7_String":"BVQVAAAAAgA.QA"}"#, false),
        (r#""IABGPP_7_String":"BVQqAAAAAgA.QA""#, true),
        (r#""IABGPP_6_String":"1YYN","IABGPP_HDR_GppString":"DBAA""#, false),
        (r#""IABGPP_7_String":7"#, false),
        (r#""IABGPP_7_String":null"#, true),
        (r#""IABGPP_99_String":"BVQqAAAAAgA""#, false),
        (r#""IABGPP_GppSID":"7","IABGPP_x_String":"BVQVAAAAAgA""#, true),
    ] {
        assert_eq!(Asked::of(&policy).event(rest).leaves(), [true, true, leaves], "{rest}");
    }
    let europe = crate::policy("basis: consent\ngranted_by: [{tcf: {purposes: [8]}}]");
    let asked = Asked::of(&europe).event(&format!(r#""IABGPP_2_String":"{}""#, tcf().encode()));
    assert_eq!(asked.leaves(), [true; 3]);
}

#[test]
fn global_privacy_control_counts_wherever_it_is_seen() {
    let policy = policy(
        "basis: consent\ngranted_by: [{segment: {category: Analytics}}]\njurisdictions: {default: opt_out}\nopted_out_by: [gpc]",
    );
    for (value, leaves) in [("1", false), ("0", true), ("1, 1", false), ("0,1", false), ("11", true)] {
        assert_eq!(Asked::of(&policy).header("sec-gpc", value).leaves(), [true, true, leaves], "{value}");
    }
    for (cookie, leaves) in [
        ("isGpcEnabled=1&groups=C0001%3A1", false),
        ("isGpcEnabled=0&groups=C0001%3A1", true),
        ("isGpcEnabled=0&isGpcEnabled=1", false),
        ("isGpcEnabled=1", false),
    ] {
        let asked = Asked::of(&policy).cookie("OptanonConsent", cookie);
        assert_eq!(asked.leaves(), [true, true, leaves], "no grant of the purpose asks for the cookie: {cookie}");
    }
}

#[test]
fn what_a_page_copied_into_the_event_counts() {
    let control = policy("basis: consent\njurisdictions: {default: opt_out}\nopted_out_by: [gpc]");
    for (rest, leaves) in [
        (r#""globalPrivacyControl":true"#, false),
        (r#""context":{"globalPrivacyControl":"1"}"#, false),
        (r#""context":{"navigator":{"globalPrivacyControl":1}}"#, false),
        (r#""globalPrivacyControl":false,"context":{"globalPrivacyControl":null}"#, true),
    ] {
        assert_eq!(Asked::of(&control).event(rest).leaves(), [true, true, leaves], "{rest}");
    }
    let onetrust = policy("basis: consent\ngranted_by: [{onetrust: {group: C0002}}]");
    for (rest, state) in [
        (r#""OnetrustActiveGroups":",C0001,C0002,""#, Consent::Given),
        (r#""context":{"OnetrustActiveGroups":",C0001,"}"#, Consent::Refused),
        (r#""OnetrustActiveGroups":"C0002""#, Consent::Unavailable),
        (r#""OnetrustActiveGroups":["C0002"]"#, Consent::Unavailable),
        (r#""OnetrustActiveGroups":null"#, Consent::Absent),
    ] {
        assert_eq!(Asked::of(&onetrust).event(rest).state(), state, "{rest}");
    }
    let both =
        Asked::of(&onetrust).event(r#""OnetrustActiveGroups":",C0002,""#).cookie("OptanonConsent", "groups=C0002:0");
    assert_eq!(both.state(), Consent::Refused, "of two the stricter counts");
}

#[test]
fn a_choice_in_words_of_another_model_is_in_doubt() {
    let policy = policy("basis: consent\ngranted_by: [{snowplow: {scope: analytics}}]");
    for (schema, state) in [
        ("consent_preferences/jsonschema/1-0-3", Consent::Refused),
        ("consent_preferences/jsonschema/2-0-0", Consent::Unavailable),
        ("link_click/jsonschema/1-0-1", Consent::Absent),
    ] {
        let data =
            format!(r#"{{"schema":"iglu:com.snowplowanalytics.snowplow/{schema}","data":{{"eventType":"deny_all"}}}}"#);
        let asked = Asked::of(&policy).event(&format!(r#""e":"ue","ue_pr":{{"data":{data}}}"#));
        assert_eq!(asked.state(), state, "{schema}");
    }
}

/// A GPP string with the section of Canada alone, by which the person agrees to purpose 1 and not to vendor 812.
fn canada(at_ms: i64, platform: u16) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letters = |value: i64, count: u32| -> String {
        (0..count).rev().map(|place| char::from(LETTERS[((value >> (6 * place)) & 63) as usize])).collect()
    };
    let (moment, platform) = (letters(at_ms / 100, 6), letters(platform.into(), 2));
    format!("DBABDA~B{moment}{moment}{platform}ACAENGdCgf_gfgAfgfgBgABABAAABAB4AACACAAA")
}

#[test]
fn a_string_of_canada_grants_there_while_it_holds_and_can_refuse_anywhere() {
    let policy =
        policy("basis: consent\ngranted_by: [{tcf: {purposes: [1]}}]\njurisdictions: {default: opt_in, ca: opt_in}");
    let at = |place, text: String| Asked { place, ..Asked::of(&policy).query("gpp", text) };
    let recent = || canada(NOW_MS - DAY_MS, 31);
    for place in ["ca", "ca-qc"] {
        assert_eq!(at(place, recent()).leaves(), [true, false, true], "another vendor is not the one of the string");
    }
    assert_eq!(at("eu", recent()).leaves(), [false; 3]);
    assert_eq!(at("eu", recent()).cookie("euconsent-v2", tcf().encode()).leaves(), [true, false, true]);
    for (text, reason) in [
        (canada(NOW_MS - 397 * DAY_MS, 31), "expired"),
        (canada(NOW_MS + 2 * DAY_MS, 31), "from_the_future"),
        (canada(NOW_MS - DAY_MS, 0), "unknown_cmp"),
    ] {
        let asked = at("ca", text);
        let (state, fault) = (asked.state(), asked.fault().map(|(_, reason)| reason));
        assert_eq!((state, fault), (Consent::Unavailable, Some(reason)));
    }
}

#[test]
fn the_other_opt_outs_bind_everyone() {
    let one = |opt_out: &str| {
        policy(&format!("basis: consent\njurisdictions: {{default: opt_out}}\nopted_out_by: [{opt_out}]"))
    };
    assert_eq!(Asked::of(&one("dnt")).header("dnt", "1").leaves(), [false; 3]);
    assert_eq!(Asked::of(&one("dnt")).header("dnt", "0, 1").leaves(), [false; 3]);
    let anonymous = one("sp_anonymous");
    assert_eq!(Asked::of(&anonymous).header("sp-anonymous", "*").leaves(), [false; 3]);
    let mut no_text = Asked::of(&anonymous);
    no_text.web.no_text = "sp-anonymous";
    assert_eq!(no_text.leaves(), [false; 3], "it is there, whatever it says");
    let att = one("att");
    for (device, leaves) in [
        (r#""attTrackingStatus":3"#, true),
        (r#""attTrackingStatus":2"#, false),
        (r#""attTrackingStatus":0"#, false),
        (r#""attTrackingStatus":null"#, true),
        (r#""attTrackingStatus":[3]"#, false),
        (r#""adTrackingEnabled":true"#, true),
        (r#""adTrackingEnabled":false"#, false),
        (r#""adTrackingEnabled":true,"attTrackingStatus":2"#, false),
        (r#""name":"phone""#, true),
    ] {
        let asked = Asked::of(&att).event(&format!(r#""context":{{"device":{{{device}}}}}"#));
        assert_eq!(asked.leaves(), [leaves; 3], "{device}");
    }
}

#[test]
fn consent_platforms_grant_by_name() {
    let onetrust = policy("basis: consent\ngranted_by: [{onetrust: {group: C0002}}]");
    for (cookie, state) in [
        ("groups=C0001%3A1%2CC0002%3A1", Consent::Given),
        ("groups=C0001%3A1%2CC0002%3A0", Consent::Refused),
        ("groups=C0001%3A1", Consent::Refused),
        ("datestamp=x", Consent::Unavailable),
    ] {
        assert_eq!(Asked::of(&onetrust).cookie("OptanonConsent", cookie).state(), state, "{cookie}");
    }
    let rudder = policy("basis: consent\ngranted_by: [{rudderstack: {consent: analytics}}]");
    for (object, state) in [
        (r#"{"allowedConsentIds":["analytics"],"deniedConsentIds":[]}"#, Consent::Given),
        (r#"{"allowedConsentIds":["analytics"],"deniedConsentIds":["analytics"]}"#, Consent::Refused),
        (r#"{"allowedConsentIds":["other"]}"#, Consent::Refused),
        (r#""all""#, Consent::Unavailable),
        ("null", Consent::Absent),
    ] {
        let asked = Asked::of(&rudder).event(&format!(r#""context":{{"consentManagement":{object}}}"#));
        assert_eq!(asked.state(), state, "{object}");
    }
    let google = policy("basis: consent\ngranted_by: [{google: {consent: ad_user_data}}]");
    for (object, state) in [
        (r#"{"ad_user_data":"GRANTED"}"#, Consent::Given),
        (r#"{"ad_user_data":"DENIED"}"#, Consent::Refused),
        (r#"{"ad_personalization":"GRANTED"}"#, Consent::Absent),
        (r#"{"ad_user_data":true}"#, Consent::Unavailable),
    ] {
        assert_eq!(Asked::of(&google).event(&format!(r#""consent":{object}"#)).state(), state, "{object}");
    }
    for (mode, state) in [
        ("11l1l1t1t5", Consent::Given),
        ("11t1t1p1t5", Consent::Refused),
        ("11l1l1l1l5", Consent::Absent),
        ("x", Consent::Unavailable),
    ] {
        assert_eq!(Asked::of(&google).query("gcd", mode).state(), state, "{mode}");
    }
}

/// Knows one refusal of the wire.
struct RefusedAt(i64);

impl StoredDecisions for RefusedAt {
    fn is_empty(&self) -> bool {
        false
    }
    fn recall(&self, _: &str, each: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        each(PurposeNo(0), Stored { given: false, at_ms: self.0, authenticated: false });
        Ok(())
    }
}

#[test]
fn a_grant_by_string_is_as_old_as_the_string() {
    let policy = policy("basis: consent\ngranted_by: [{tcf: {purposes: [8]}}]");
    let made = tcf().at_ms;
    for (refused_at, state) in [(made - 1, Consent::Given), (made, Consent::Refused), (made + 1, Consent::Refused)] {
        let stored = RefusedAt(refused_at);
        let asked = Asked { stored: &stored, ..Asked::of(&policy).cookie("euconsent-v2", tcf().encode()) };
        assert_eq!(asked.state(), state, "{refused_at}");
    }
}

#[test]
fn a_known_child_is_treated_as_one() {
    let policy = policy("basis: consent\njurisdictions: {default: opt_out}\nopted_out_by: [{gpp: [sale]}]");
    // Section 7 with KnownChildSensitiveDataConsents 0, 0 and then 1, 0.
    let (adult, child) = ("DBABLA~BVQqAAAAAAA.QA", "DBABLA~BVQqAAAAEAA.QA");
    assert_eq!(Asked::of(&policy).query("gpp", adult).leaves(), [true; 3]);
    assert_eq!(Asked::of(&policy).query("gpp", child).leaves(), [false; 3]);
}
