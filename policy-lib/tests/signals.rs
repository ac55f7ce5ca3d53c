//! Consent signals against strings that others wrote and the reference decoders decoded.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use privet_json::{Limits, Node};
use privet_policy::signals::att::AttStatus;
use privet_policy::signals::google::{Gcd, Gcs, MeasurementConsent};
use privet_policy::signals::gpp::{self, Choice, GppString, Section, ShownSection, Unreliable};
use privet_policy::signals::onetrust::Groups;
use privet_policy::signals::rudderstack::ConsentManagement;
use privet_policy::signals::snowplow::ConsentPreferences;
use privet_policy::signals::tcf::{Restriction, Shown, TcString, Unusable};
use privet_policy::signals::us_privacy::UsPrivacy;
use privet_policy::signals::{Said, TEXT_BYTES_MAX, Unreadable};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

const TCF_FOUND: &str = include_str!("data/consent/tcf-found.ndjson");
const TCF_GENERATED: &str = include_str!("data/consent/tcf-generated.ndjson");

const GPP_STRINGS: &str = include_str!("data/consent/gpp-strings.ndjson");
const GPP_SECTIONS: &str = include_str!("data/consent/gpp-sections.ndjson");

fn lines(ndjson: &str) -> impl Iterator<Item = Value> {
    ndjson.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn every_tc_string_decodes_as_the_reference_decodes_it_or_is_rejected_where_it_rejects() {
    let (mut decoded, mut rejected) = (0, 0);
    for case in lines(TCF_FOUND).chain(lines(TCF_GENERATED)) {
        let read = TcString::read(case["tcString"].as_str().unwrap());
        match case.get("decoded") {
            Some(expected) => {
                let ours = serde_json::to_value(Shown(&read.unwrap())).unwrap();
                assert_eq!(&ours, expected, "{}", case["id"]);
                decoded += 1;
            }
            None => {
                assert!(read.is_err(), "{} {}", case["id"], case["error"]);
                rejected += 1;
            }
        }
    }
    assert_eq!((decoded, rejected), (125, 43));
}

#[test]
fn every_gpp_string_decodes_as_the_reference_decodes_it_or_is_rejected_where_it_rejects() {
    let (mut decoded, mut rejected) = (0, 0);
    for case in lines(GPP_STRINGS) {
        let read = GppString::read(case["gppString"].as_str().unwrap());
        if case.get("error").is_some() {
            assert!(read.is_err(), "{} {}", case["id"], case["error"]);
            rejected += 1;
        } else {
            let ours = serde_json::to_value(gpp::Shown(&read.unwrap())).unwrap();
            assert_eq!(ours["sectionIds"], case["sectionIds"], "{}", case["id"]);
            assert_eq!(ours["sections"], case["sections"], "{}", case["id"]);
            decoded += 1;
        }
    }
    assert_eq!((decoded, rejected), (24, 7));
}

#[test]
fn every_gpp_section_decodes_as_the_reference_decodes_it() {
    for case in lines(GPP_SECTIONS) {
        let id = u16::try_from(case["sectionId"].as_u64().unwrap()).unwrap();
        assert_eq!(Section::numbered(case["section"].as_str().unwrap()), Some(id));
        let read = Section::read(id, case["encoded"].as_str().unwrap()).unwrap().unwrap();
        assert_eq!(serde_json::to_value(ShownSection(&read)).unwrap(), case["fields"], "{}", case["encoded"]);
    }
}

/// Bits as `0` and `1`, the slow way: what the fast reader is compared with.
fn bits_of(segment: &str) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    segment.chars().map(|letter| format!("{:06b}", alphabet.find(letter).unwrap())).collect()
}

/// Vendors of one section of the core string, and what stands behind it; none where it is not whole.
fn naive_vendors(bits: &str) -> Option<(BTreeSet<u16>, &str)> {
    let number = |bits: &str| u16::from_str_radix(bits, 2).ok();
    let max = number(bits.get(..16)?)?;
    let mut rest = bits.get(17..)?;
    let mut vendors = BTreeSet::new();
    if bits.get(16..17)? == "0" {
        let field = rest.get(..usize::from(max))?;
        vendors.extend(field.chars().zip(1..).filter(|(bit, _)| *bit == '1').map(|(_, vendor)| vendor));
        return Some((vendors, rest.get(usize::from(max)..)?));
    }
    let entries = number(rest.get(..12)?)?;
    rest = rest.get(12..)?;
    for _ in 0..entries {
        let first = number(rest.get(1..17)?)?;
        let last = if rest.starts_with('1') { number(rest.get(17..33)?)? } else { first };
        rest = rest.get(if rest.starts_with('1') { 33 } else { 17 }..)?;
        vendors.extend(first..=last);
    }
    Some((vendors, rest))
}

/// A string never says more than its bits.
fn assert_says_no_more_than_its_bits(text: &str, read: &TcString) {
    let bits = bits_of(text.split('.').next().unwrap());
    assert!(bits.starts_with("000010") || bits.starts_with("000001"));
    if !bits.starts_with("000010") {
        assert!(read.usable(i64::MAX).is_err());
        return;
    }
    let (consents, rest) = naive_vendors(&bits[213..]).unwrap();
    let (interests, _) = naive_vendors(rest).unwrap();
    let bit = |at: usize| bits.as_bytes()[at] == b'1';
    for purpose in 1..=24 {
        assert_eq!(read.purpose_consent(purpose), bit(151 + usize::from(purpose)));
        assert_eq!(read.purpose_interest(purpose), bit(175 + usize::from(purpose)));
        assert!(!read.consents(purpose, None) || read.purpose_consent(purpose));
    }
    for vendor in (0..=1_500).chain([u16::MAX]) {
        assert_eq!(read.vendor_consent(vendor), consents.contains(&vendor), "vendor {vendor}");
        assert_eq!(read.vendor_interest(vendor), interests.contains(&vendor), "vendor {vendor}");
        assert!(!read.consents(1, Some(vendor)) || read.purpose_consent(1) && consents.contains(&vendor));
        assert!(!read.permits_interest(3, Some(vendor)), "purpose 3 has no legitimate interest");
    }
}

fn tc_strings() -> Vec<String> {
    let all = lines(TCF_FOUND).chain(lines(TCF_GENERATED)).filter(|case| case.get("decoded").is_some());
    all.map(|case| case["tcString"].as_str().unwrap().to_owned()).filter(|text| text.len() < 700).collect()
}

fn gpp_strings() -> Vec<String> {
    lines(GPP_STRINGS).map(|case| case["gppString"].as_str().unwrap().to_owned()).collect()
}

/// Changes one character to the one whose six bits differ in one place.
fn flipped(text: &str, at: usize, bit: u8) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut letters = text.as_bytes().to_vec();
    let at = at % letters.len();
    if let Some(value) = alphabet.iter().position(|letter| *letter == letters[at]) {
        letters[at] = alphabet[value ^ 1 << bit];
    }
    String::from_utf8(letters).unwrap()
}

/// Everything that can be asked of a GPP string.
fn ask_everything(text: &str) {
    let Ok(read) = GppString::read(text) else { return };
    serde_json::to_writer(std::io::sink(), &gpp::Shown(&read)).unwrap();
    for id in 0..=30 {
        let _ = read.us(id);
    }
    let _ = read.canada().map(|canada| canada.express_consent(1, Some(12)));
    let _ = read.tcf().map(|tcf| tcf.consents(1, Some(12)));
    assert!(!format!("{read:?}").contains('~'));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn garbage_is_unreadable_and_never_a_panic(text in ".{0,200}", letters in "[C-Dc]?[A-Za-z0-9_.~-]{0,400}") {
        for text in [text.as_str(), letters.as_str()] {
            if let Ok(read) = TcString::read(text) {
                assert_says_no_more_than_its_bits(text, &read);
            }
            ask_everything(text);
            ask_everything(&format!("DBABMA~{text}"));
            ask_everything(&format!("DBABDA~{text}"));
            ask_everything(&format!("DBABLA~{text}"));
            let readings = [
                UsPrivacy::read(text).err(),
                Gcs::read(text).err(),
                Gcd::read(text).err(),
                AttStatus::read(text).err(),
                Groups::of_cookie(text).err(),
                Groups::of_active(text).err(),
            ];
            for why in readings.into_iter().flatten() {
                prop_assert!(!why.code().is_empty() && (text.len() < 4 || !why.to_string().contains(text)));
            }
        }
    }

    #[test]
    fn a_flipped_bit_says_no_more_than_its_bits(which in any::<Index>(), at in any::<usize>(), bit in 0..6_u8) {
        let strings = tc_strings();
        let text = flipped(which.get::<String>(&strings), at, bit);
        if let Ok(read) = TcString::read(&text) {
            assert_says_no_more_than_its_bits(&text, &read);
        }
        ask_everything(&text);
    }

    #[test]
    fn a_flipped_or_cut_gpp_string_is_no_panic(which in any::<Index>(), at in any::<usize>(), bit in 0..6_u8) {
        let strings = gpp_strings();
        let text = which.get(&strings);
        ask_everything(&flipped(text, at, bit));
        ask_everything(&text[..at % text.len()]);
    }

    #[test]
    fn a_string_cut_off_within_its_core_is_unreadable(which in any::<Index>(), at in any::<usize>()) {
        let strings = tc_strings();
        let core = which.get(&strings).split('.').next().unwrap();
        let cut = &core[..at % core.len()];
        match TcString::read(cut) {
            // Only padding was cut off.
            Ok(read) => assert_says_no_more_than_its_bits(cut, &read),
            Err(why) => prop_assert!(matches!(why, Unreadable::Empty | Unreadable::Truncated | Unreadable::NotBase64Url)),
        }
    }
}

/// A core segment bit by bit, then the segments given, with a policy of version 5.
fn tc_string(purposes: &str, interests: &str, vendors: &str, restrictions: &str, others: &[String]) -> String {
    let moment = format!("{:036b}", 17_000_000_000_u64);
    let fixed = format!("{}{}{}{}", "000000000010", "000000000001", "000000", "000100001101");
    let core = format!(
        "000010{moment}{moment}{fixed}{list}{policy:06b}10{features}{purposes:0<24}{interests:0<24}0{country}{vendors}{restrictions}",
        list = "000000000111",
        policy = 5,
        features = "000000000000",
        country = "000011000100",
    );
    let mut segments = vec![core];
    segments.extend_from_slice(others);
    segments.iter().map(|bits| letters_of(bits)).collect::<Vec<_>>().join(".")
}

fn letters_of(bits: &str) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let six = bits.as_bytes().chunks(6).map(|six| format!("{:0<6}", str::from_utf8(six).unwrap()));
    six.map(|six| char::from(alphabet[usize::from_str_radix(&six, 2).unwrap()])).collect()
}

/// The vendors 1 to 4 for consent, 3 for interest, as bit fields.
const VENDORS: &str = "00000000000001000111100000000000000110001";
const NO_RESTRICTIONS: &str = "000000000000";
/// When the strings above are read, a day after they were made.
const NOW_MS: i64 = 1_700_000_000_000 + 24 * 60 * 60 * 1000;

/// The vendors 1 and 2 were disclosed.
fn disclosed() -> String {
    "0010000000000000010011".to_owned()
}

#[test]
fn consent_takes_the_purpose_the_vendor_its_disclosure_and_no_restriction_against() {
    // Purpose 2: vendor 1 may not at all; vendor 2 only on legitimate interest. Purpose 8: vendor 1 only with consent.
    let vendor = |id: u16| format!("000000000001{:017b}", id);
    let restrictions =
        ["000000000011", "00001000", &vendor(1), "00001010", &vendor(2), "00100001", &vendor(1)].concat();
    let read = TcString::read(&tc_string("11000001", "0", VENDORS, &restrictions, &[disclosed()])).unwrap();
    assert_eq!(read.usable(NOW_MS), Ok(()));
    assert!(read.consents(1, None) && read.consents(1, Some(1)));
    assert!(!read.consents(3, None), "the purpose");
    assert!(!read.consents(1, Some(5)), "the vendor");
    assert!(!read.consents(1, Some(3)), "vendor 3 was not disclosed");
    assert_eq!(read.restriction(2, 1), Some(Restriction::NotAllowed));
    assert_eq!(read.restriction(2, 2), Some(Restriction::RequireInterest));
    assert!(!read.consents(2, Some(1)) && !read.consents(2, Some(2)));
    assert!(read.consents(8, Some(1)), "a restriction to consent does not take consent away");
}

#[test]
fn what_must_not_count_as_consent_says_why() {
    let usable = |text: &str| TcString::read(text).unwrap().usable(NOW_MS);
    let whole = tc_string("1", "01", VENDORS, NO_RESTRICTIONS, &[disclosed()]);
    assert_eq!(usable(&whole), Ok(()));
    assert_eq!(usable(&tc_string("1", "01", VENDORS, NO_RESTRICTIONS, &[])), Err(Unusable::NothingDisclosed));
    for forbidden in ["1", "001", "0001", "00001", "000001"] {
        let text = tc_string("1", forbidden, VENDORS, NO_RESTRICTIONS, &[disclosed()]);
        assert_eq!(usable(&text), Err(Unusable::ForbiddenInterest), "{forbidden}");
    }
    let twice = tc_string("1", "0", VENDORS, NO_RESTRICTIONS, &[disclosed(), disclosed()]);
    assert_eq!(usable(&twice), Err(Unusable::Contradictory));
    let backward = "0000000000000100".to_owned() + "1000000000001" + "1" + "0000000000000100" + "0000000000000001";
    let text = tc_string("1", "0", &(backward + "00000000000000000"), NO_RESTRICTIONS, &[disclosed()]);
    assert_eq!(usable(&text), Err(Unusable::Contradictory));
    assert_eq!(TcString::read(&whole).unwrap().usable(0), Err(Unusable::FromTheFuture));
    let old = TcString::read("CPuDXznPuDXznMOAAAENCZCAAEAAAAAAAAAAAAAAAAAA").unwrap();
    assert_eq!(old.usable(NOW_MS), Err(Unusable::OldPolicy));
    let first = TcString::read("BObdrPUOevsguAfDqFENCNAAAAAmeAAA").unwrap();
    assert_eq!(first.usable(NOW_MS), Err(Unusable::Version1));
}

#[test]
fn a_signal_longer_than_any_honest_one_is_not_read() {
    let long = "C".repeat(TEXT_BYTES_MAX + 1);
    assert_eq!(TcString::read(&long).err(), Some(Unreadable::TooLong));
    assert_eq!(GppString::read(&long).err(), Some(Unreadable::TooLong));
    assert_eq!(Groups::of_cookie(&long).err(), Some(Unreadable::TooLong));
    let dotted = format!("{}.IAAA.IAAA.IAAA.IAAA.IAAA.IAAA.IAAA.IAAA.IAAA", tc_strings()[0]);
    assert_eq!(TcString::read(&dotted).err(), Some(Unreadable::TooLong));
}

#[test]
fn a_section_that_is_not_of_its_specification_is_unreliable() {
    let us = |text: &str, id| GppString::read(text).unwrap().us(id).unwrap();
    assert_eq!(us("DBABBgA~xlgWEYCZAA", 8), Err(Unreliable::UnknownVersion));
    assert_eq!(
        us("DBABLA~CAAAAAAAAQA.QA", 7),
        Err(Unreliable::UnknownVersion),
        "version 2 with the length of version 1"
    );
    assert_eq!(us("DBABLA~B__QAAAAAgA.QA", 7), Err(Unreliable::UnknownChoice));
    assert_eq!(us("DBABLA~BVQqAAAAAgA.gA", 7), Err(Unreliable::UnknownSegment));
    assert_eq!(us("DBABTA~1YYY", 6).unwrap().sale, Choice::OptedOut);
    assert_eq!(us("DBABTA~2YYY", 6), Err(Unreliable::UnknownChoice));
}

#[test]
fn what_the_sections_of_the_states_say_is_seen_alike() {
    let mut seen = BTreeSet::new();
    for case in lines(GPP_SECTIONS).filter(|case| case["sectionId"].as_u64().unwrap() > 6) {
        let id = u16::try_from(case["sectionId"].as_u64().unwrap()).unwrap();
        let read = Section::read(id, case["encoded"].as_str().unwrap()).unwrap().unwrap();
        let fields = &case["fields"];
        let unused = fields
            .as_object()
            .unwrap()
            .values()
            .any(|value| value == 3 || value.as_array().is_some_and(|list| list.contains(&3.into())));
        let choices = read.us().unwrap();
        assert_eq!(choices.is_err(), unused, "{}", case["encoded"]);
        let Ok(choices) = choices else { continue };
        let coded = |choice: Choice| match choice {
            Choice::NotApplicable => 0,
            Choice::OptedOut => 1,
            Choice::DidNotOptOut => 2,
        };
        let field = |name: &str| fields[name].as_u64().unwrap_or_default();
        assert_eq!(coded(choices.sale), field("SaleOptOut"));
        assert_eq!(coded(choices.sharing), field("SharingOptOut"));
        assert_eq!(coded(choices.targeted), field("TargetedAdvertisingOptOut"));
        let sensitive: Vec<u64> = choices.sensitive.iter().map(|choice| coded(*choice)).collect();
        let expected: Vec<u64> =
            fields["SensitiveDataProcessing"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        assert_eq!(sensitive[..expected.len()], expected);
        seen.insert(id);
    }
    assert!(seen.len() >= 19, "{seen:?}");
}

fn with<T>(json: &str, ask: impl FnOnce(Node<'_>) -> T) -> T {
    let mut index = privet_json::Index::new();
    let root = index.read(json.as_bytes(), &Limits::default()).unwrap();
    ask(index.node(json.as_bytes(), root))
}

#[test]
fn rudderstack_needs_a_category_to_be_allowed_and_not_denied() {
    let said = |management: &str, id: &str| {
        with(&format!(r#"{{"context":{{"consentManagement":{management}}}}}"#), |event| {
            ConsentManagement::of(event).category(id)
        })
    };
    let both = r#"{"allowedConsentIds":["a","b"],"deniedConsentIds":["b","c"],"provider":"oneTrust"}"#;
    assert_eq!(
        ["a", "b", "c", "d"].map(|id| said(both, id)),
        [Said::Granted, Said::Refused, Said::Refused, Said::Refused]
    );
    assert_eq!(said(r#"{"deniedConsentIds":["C0004"]}"#, "C0001"), Said::Refused);
    assert_eq!(said("{}", "a"), Said::Refused);
    assert_eq!(said("null", "a"), Said::Absent);
    for unreadable in [
        "[]",
        "true",
        r#"{"allowedConsentIds":"a"}"#,
        r#"{"allowedConsentIds":[1]}"#,
        r#"{"deniedConsentIds":{"a":true}}"#,
    ] {
        assert_eq!(said(unreadable, "a"), Said::Unreadable, "{unreadable}");
    }
    let many = format!(r#"{{"allowedConsentIds":[{}"a"]}}"#, r#""x","#.repeat(1_024));
    assert_eq!(said(&many, "a"), Said::Unreadable);
}

#[test]
fn googles_and_snowplows_objects_grant_by_their_own_words_only() {
    let google = |consent: &str| {
        with(&format!(r#"{{"consent":{consent}}}"#), |body| MeasurementConsent::of(body).category("ad_user_data"))
    };
    assert_eq!(google(r#"{"ad_user_data":"GRANTED"}"#), Said::Granted);
    assert_eq!(google(r#"{"ad_user_data":"DENIED"}"#), Said::Refused);
    assert_eq!(google(r#"{"ad_user_data":"granted"}"#), Said::Unreadable);
    assert_eq!(google(r#"{"ad_personalization":"GRANTED"}"#), Said::Absent);
    assert_eq!(google("[]"), Said::Unreadable);
    let snowplow = |data: &str| with(data, |data| ConsentPreferences::of(data).category("marketing"));
    assert_eq!(snowplow(r#"{"eventType":"allow_all"}"#), Said::Granted);
    assert_eq!(snowplow(r#"{"eventType":"allow_selected","consentScopes":["marketing"]}"#), Said::Granted);
    assert_eq!(snowplow(r#"{"eventType":"allow_selected","consentScopes":["other"]}"#), Said::Refused);
    assert_eq!(snowplow(r#"{"eventType":"allow_selected"}"#), Said::Unreadable);
    assert_eq!(snowplow(r#"{"eventType":"withdrawn"}"#), Said::Refused);
    assert_eq!(snowplow(r#"{"eventType":"implicit_consent"}"#), Said::Absent);
    assert_eq!(snowplow("{}"), Said::Unreadable);
}

#[test]
fn only_authorized_permits_and_words_are_read_in_every_spelling() {
    for (written, status) in [
        ("0", AttStatus::NotDetermined),
        ("not-determined", AttStatus::NotDetermined),
        ("NOT_DETERMINED", AttStatus::NotDetermined),
        ("1", AttStatus::Restricted),
        ("2", AttStatus::Denied),
        ("3", AttStatus::Authorized),
        ("authorized", AttStatus::Authorized),
    ] {
        assert_eq!(AttStatus::read(written), Ok(status), "{written}");
        assert_eq!(status.permits(), status == AttStatus::Authorized);
    }
    for written in ["", "4", "03", "true", "unavailable", "authorised"] {
        assert!(AttStatus::read(written).is_err(), "{written}");
    }
    let of = |json: &str| with(&format!(r#"{{"s":{json}}}"#), |object| AttStatus::of(object.get("s").unwrap()));
    assert_eq!(of("3"), Ok(AttStatus::Authorized));
    assert!(of("3.0").is_err() && of("true").is_err());
}

#[test]
fn onetrust_refuses_a_group_that_is_named_twice_with_two_answers() {
    let cookie = |value: &str| Groups::of_cookie(value).map(|groups| groups.category("C0002"));
    assert_eq!(cookie("groups=C0001:1,C0002:1"), Ok(Said::Granted));
    assert_eq!(cookie("groups=C0002:1,C0002:0"), Ok(Said::Refused));
    assert_eq!(cookie("groups%3DC0001%253A1%252CC0002%253A1"), Ok(Said::Granted), "encoded twice");
    assert_eq!(cookie("groups=C0002:yes"), Err(Unreadable::NotAnAnswer));
    assert_eq!(cookie("groups=C0002:1&groups=C0002:0"), Err(Unreadable::NotOfThisKind));
    assert_eq!(cookie("consentId=C0002:1"), Err(Unreadable::NotOfThisKind));
    let active = Groups::of_active(",C0001,C0002,").unwrap();
    assert_eq!(
        (active.category("C0002"), active.category("C0003"), active.category("")),
        (Said::Granted, Said::Refused, Said::Refused)
    );
}

#[test]
fn canadas_vendors_are_read_in_both_codings_and_consent_only_if_an_encoder_would_write_them() {
    let canada = |text: &str| GppString::read(&format!("DBABDA~{text}")).unwrap();
    for text in [
        "BPSG_8APSG_8AAyACAENGdCgf_gfgAfgfgBgABABAAABAB4AACACAAA.fHHHA4444ao",
        "BPSG_8APSG_8AAyACAENGdCgf_gfgAfgfgBhADVqxGAD0AILVgAA.fHHHA4444ao",
    ] {
        let read = canada(text);
        let read = read.canada().unwrap();
        assert!(read.express_consent(1, None) && read.express_consent(1, Some(24)), "{text}");
        assert!(!read.express_consent(7, Some(24)) && !read.express_consent(1, Some(25)), "{text}");
    }
}
