//! Consent signals against strings that others wrote and the reference decoders decoded.
#![allow(clippy::unwrap_used)]

use privet_policy::signals::gpp::{self, GppString, Section, ShownSection};
use privet_policy::signals::tcf::{Shown, TcString};
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
