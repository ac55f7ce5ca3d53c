//! Consent signals against strings that others wrote and the reference decoders decoded.

use privet_policy::signals::tcf::{Shown, TcString};
use serde_json::Value;

const TCF_FOUND: &str = include_str!("data/consent/tcf-found.ndjson");
const TCF_GENERATED: &str = include_str!("data/consent/tcf-generated.ndjson");

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
