//! `privet consent decode`, as the binary.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const TCF_FOUND: &str = include_str!("../../policy-lib/tests/data/consent/tcf-found.ndjson");
const GPP_STRINGS: &str = include_str!("../../policy-lib/tests/data/consent/gpp-strings.ndjson");
const GPP_SECTIONS: &str = include_str!("../../policy-lib/tests/data/consent/gpp-sections.ndjson");

fn decode(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_privet"))
        .args(["consent", "decode"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Where nothing is read from it, it may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn cases(ndjson: &str) -> Vec<Value> {
    ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One answer a question, in order.
fn answers(questions: &[Value]) -> Vec<Value> {
    let input = questions.iter().fold(String::new(), |mut lines, question| {
        writeln!(lines, "{question}").unwrap();
        lines
    });
    let output = decode(&["--lines"], &input);
    assert_eq!(output.status.code(), Some(0));
    cases(str::from_utf8(&output.stdout).unwrap())
}

#[test]
fn every_vector_is_decoded_or_rejected_by_lines() {
    let (tcf, gpp, sections) = (cases(TCF_FOUND), cases(GPP_STRINGS), cases(GPP_SECTIONS));
    let section = |case: &Value| json!({"section": case["section"], "encoded": case["encoded"]});
    let questions = tcf.iter().map(|case| json!({"tcf": case["tcString"]}));
    let questions = questions.chain(gpp.iter().map(|case| json!({"gpp": case["gppString"]})));
    let questions: Vec<Value> =
        questions.chain(sections.iter().map(|case| json!({"gpp_section": section(case)}))).collect();
    let expected = tcf.iter().map(|case| case.get("decoded").cloned());
    let whole = |case: &Value| json!({"sectionIds": case["sectionIds"], "sections": case["sections"]});
    let expected = expected.chain(gpp.iter().map(|case| case.get("sections").map(|_| whole(case))));
    let expected = expected.chain(sections.iter().map(|case| Some(case["fields"].clone())));
    let answers = answers(&questions);
    assert_eq!(answers.len(), questions.len());
    for ((answer, expected), question) in answers.iter().zip(expected).zip(&questions) {
        assert_eq!(answer.get("decoded"), expected.as_ref(), "{question}");
        assert_eq!(answer["error"].is_string(), expected.is_none(), "{question}");
    }
}

#[test]
fn a_line_that_asks_nothing_readable_is_answered_and_the_next_one_is_read() {
    let input = "nonsense\n\n{}\n{\"tcf\":7}\n{\"tcf\":\"C\",\"gpp\":\"D\"}\n{\"smoke\":\"x\"}\n{\"id\":5,\"us_privacy\":\"1YNN\"}";
    let answers = cases(str::from_utf8(&decode(&["--lines"], input).stdout).unwrap());
    let codes: Vec<&Value> = answers.iter().map(|answer| &answer["code"]).collect();
    assert_eq!(
        codes,
        ["no_object", "not_one_signal", "no_text", "not_one_signal", "not_one_signal"]
            .map(Value::from)
            .iter()
            .chain([&Value::Null])
            .collect::<Vec<_>>()
    );
    assert_eq!(answers[5]["id"], 5);
    assert_eq!(answers[5]["decoded"]["Notice"], "Y");
}

#[test]
fn what_must_not_count_says_so_beside_what_it_says() {
    let answers = answers(&[
        json!({"tcf": "CPuDXznPuDXznMOAAAENCZCAAEAAAAAAAAAAAAAAAAAA"}),
        json!({"gpp": "DBABBgA~xlgWEYCZAA"}),
        json!({"gpp": "DBABTA~1YYN"}),
    ]);
    assert!(answers[0]["unusable"].as_str().unwrap().contains("version 4"));
    assert!(answers[1]["unusable"].as_str().unwrap().starts_with("usca: "));
    assert_eq!(answers[2].get("unusable"), None);
}

#[test]
fn one_signal_is_shown_alone_and_is_never_echoed_where_it_cannot_be_read() {
    let shown = decode(&["--gcd", "13t3n3R3l5l1"], "");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["ad_storage"], "granted");
    assert_eq!(shown["ad_user_data"], "denied");
    let refused = decode(&["--tcf", "secret-of-odalys"], "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty() && !String::from_utf8_lossy(&refused.stderr).contains("odalys"));
    assert_eq!(decode(&[], "").status.code(), Some(2));
    assert_eq!(decode(&["--gpc"], "").stdout, b"true\n");
}
