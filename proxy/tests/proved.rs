//! What `privet prove` says of a policy, against 10,000 random requests through `privet apply`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const POLICIES: usize = 25;
const REQUESTS: usize = 400;

/// Purposes, and the category of consent that grants each; the first and the last share theirs.
const PURPOSES: [(&str, &str); 3] = [
    ("analytics.reporting.content_performance", "A"),
    ("analytics.reporting.system", "B"),
    ("marketing.advertising.profiling", "A"),
];
const FOR: [&str; 4] =
    ["analytics.reporting.content_performance", "analytics", "marketing", "analytics.reporting.system"];
const DATA: [&str; 5] = ["user.contact.email", "user.contact", "user.device.ip_address", "user", "system.operations"];
const ACTIONS: [&str; 9] = [
    "keep",
    "drop",
    "redact",
    "pseudonymize",
    "{pseudonymize: {shape: uuid}}",
    "{tokenize: {key: k}}",
    "{generalize: {ip: default}}",
    "{generalize: {user_agent: family}}",
    "{scrub: {detectors: [CREDIT_CARD]}}",
];
const ONLY: [&str; 8] = ["", "", "", "", "ages: [child]", "jurisdictions: [us]", "to: [near]", "located_in: [us]"];
/// Where a value stands in a request, and its category.
const FIELDS: [(&str, &str); 8] = [
    ("mail", "user.contact.email"),
    ("phone", "user.contact.phone_number"),
    ("ip", "user.device.ip_address"),
    ("list[].id", "user.unique_id"),
    ("blob.mail", "user.contact.email"),
    ("$query.q", "user.contact.email"),
    // A wildcard stands beside each of these.
    ("map.mail", "user.contact.email"),
    ("items[kind=a].id", "user.unique_id"),
];
const ASKED: [&str; 4] = ["user.contact.email", "user.contact", "user.device", "user"];

/// xorshift64*: the same requests in every run (Vigna 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

fn policy(dice: &mut Dice) -> String {
    let mut text = String::new();
    for (purpose, category) in PURPOSES {
        let (ages, us) = (dice.one(&["", "", "ages: [adult]"]), dice.one(&["opt_in", "opt_out"]));
        writeln!(
            text,
            "apiVersion: privet.dev/v1alpha1\nkind: Purpose\nmetadata: {{name: {purpose}}}\nbasis: consent\ngranted_by: [{{segment: {{category: {category}}}}}]\nopted_out_by: [gpc]\njurisdictions: {{default: opt_in, us: {us}}}\n{ages}\n---"
        )
        .unwrap();
    }
    for (name, place, rest) in
        [("near", "eu", "primary: true\nrecipient: processor"), ("far", "us-ca", "recipient: third_party")]
    {
        writeln!(
            text,
            "apiVersion: privet.dev/v1alpha1\nkind: Destination\nmetadata: {{name: {name}}}\nurl: http://127.0.0.1:1\n{rest}\nlocated_in: [{place}]\nprefer: [pseudonymize, tokenize, generalize, scrub, analytics, marketing]\npurposes: [analytics, marketing]\n---"
        )
        .unwrap();
    }
    text.push_str("apiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {name: c}\nmatch: {format: json, type: t}\nfields:\n  blob: {encoding: base64url+json}\n  map.*: {category: system.operations, key_category: system.operations}\n  items[].id: {category: system.operations}\n  items[].kind: {category: system.operations}\n  items[kind=a].kind: {category: system.operations}\n");
    for (path, category) in FIELDS {
        writeln!(text, "  {path}: {{category: {category}}}").unwrap();
    }
    for number in 0..dice.below(6) {
        writeln!(
            text,
            "---\napiVersion: privet.dev/v1alpha1\nkind: Rule\nmetadata: {{name: r{number}}}\ndata: [{}]\nfor: [{}]\naction: {}\n{}",
            dice.one(&DATA),
            dice.one(&FOR),
            dice.one(&ACTIONS),
            dice.one(&ONLY),
        )
        .unwrap();
    }
    text
}

/// The value of a field in a request; addresses have to be some.
fn value(field: usize, request: usize) -> String {
    match FIELDS[field].0 {
        "ip" => format!("192.0.{}.{}", request / 250, request % 250),
        path => format!("zz{}zz{request}zz", path.replace(|odd: char| !odd.is_ascii_alphanumeric(), "")),
    }
}

/// A request with every field, and what it says of consent.
fn request(dice: &mut Dice, number: usize) -> Value {
    let value = |field| value(field, number);
    let blob = URL_SAFE_NO_PAD.encode(json!({"mail": value(4)}).to_string());
    let mut event = json!({"map": {"mail": value(6), "other": "x"}, "items": [{"kind": "a", "id": value(7)}, {"kind": "b", "id": "y"}], "type": "t", "mail": value(0), "phone": value(1), "ip": value(2), "list": [{"id": value(3)}], "blob": blob});
    let said = [true, false][dice.below(2)];
    let consent = match dice.below(6) {
        0 => Value::Null,
        1 => json!({}),
        2 => json!({"A": said}),
        3 => json!({"B": said, "A": "yes"}),
        _ => json!({"A": true, "B": said}),
    };
    if !consent.is_null() {
        event["context"] = json!({"consent": {"categoryPreferences": consent}});
    }
    let mut headers = vec![json!(["content-type", "application/json"])];
    if dice.below(5) == 0 {
        headers.push(json!(["sec-gpc", "1"]));
    }
    let mut line = json!({
        "id": number.to_string(),
        "method": "POST",
        "target": format!("/?q={}", value(5)),
        "headers": headers,
        "body_b64": STANDARD.encode(event.to_string()),
        "format": "json",
        "age": dice.one(&["adult", "child", "unknown"]),
        "jurisdiction": dice.one(&["default", "us", "us-ca", "de"]),
    });
    if dice.below(6) == 0 {
        line["consent"] = json!({"*": dice.one(&["given", "refused", "absent", "unavailable"])});
    }
    line
}

fn privet(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_privet"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    // The answers of many requests fill the pipe before all are written.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().ok();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Whether what leaves for a destination holds a value of a field as it came.
fn holds(forward: &Value, field: usize, request: usize) -> bool {
    let body = STANDARD.decode(forward["body_b64"].as_str().unwrap()).unwrap();
    let event: Value = serde_json::from_slice(&body).unwrap();
    let blob = event["blob"].as_str().map(|blob| URL_SAFE_NO_PAD.decode(blob).unwrap()).unwrap_or_default();
    let all = format!("{event} {} {}", String::from_utf8_lossy(&blob), forward["target"]);
    all.contains(&value(field, request))
}

/// Whether anything of a category leaves with an answer, but as a constant; and that the rows say what the bytes say.
fn leaks(answer: &Value, never: &str, number: usize) -> bool {
    let rows = answer["decision"]["events"][0]["fields"].as_array().unwrap();
    let own = |category: &str| category == never || category.starts_with(&format!("{never}."));
    for forward in answer["forwards"].as_array().unwrap() {
        for (field, (path, _)) in FIELDS.iter().enumerate() {
            let row = rows.iter().find(|row| row["path"] == *path && row["destination"] == forward["destination"]);
            let action = row.unwrap_or_else(|| panic!("no row for {path}: {answer}"))["action"].as_str().unwrap();
            let raw = matches!(action, "keep" | "scrub");
            assert_eq!(holds(forward, field, number), raw, "{path} {action} {answer}");
        }
    }
    let sent = |to: &Value| answer["forwards"].as_array().unwrap().iter().any(|forward| forward["destination"] == *to);
    rows.iter().any(|row| {
        row["category"].as_str().is_some_and(own)
            && sent(&row["destination"])
            && row["action"] != "drop"
            && row["action"] != "redact"
    })
}

#[test]
fn prove_and_apply_agree_about_ten_thousand_requests() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut proved, mut leaking, mut policies) = (0, 0, 0);
    while policies < POLICIES {
        let place = tempfile::tempdir().unwrap();
        let named = place.path().to_str().unwrap();
        fs::write(place.path().join("policy.yaml"), policy(&mut dice)).unwrap();
        if privet(&["check", named], "").0 != Some(0) {
            continue;
        }
        policies += 1;
        let lines: String = (0..REQUESTS).map(|number| format!("{}\n", request(&mut dice, number))).collect();
        let (code, answers, said) = privet(&["apply", "--policies", named, "--lines"], &lines);
        assert_eq!(code, Some(0), "{said}");
        let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answers.len(), REQUESTS);
        for never in ASKED {
            let (code, answer, said) = privet(&["prove", named, "--never", never, "--json"], "");
            let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{said}"));
            let leak = answers.iter().enumerate().find(|(number, answer)| leaks(answer, never, *number));
            if code == Some(0) {
                assert!(leak.is_none(), "`{never}` is proved and leaves: {}", leak.unwrap().1);
                proved += 1;
                continue;
            }
            let line = format!("{}\n", answer["counterexample"]);
            let (_, replayed, _) = privet(&["apply", "--policies", named, "--lines"], &line);
            let replayed: Value = serde_json::from_str(&replayed).unwrap();
            let way = &answer["leaves"][0];
            let rows = replayed["decision"]["events"][0]["fields"].as_array().unwrap();
            let told = |row: &&Value| row["path"] == way["field"] && row["destination"] == way["destination"];
            assert_eq!(rows.iter().find(told).map(|row| &row["action"]), Some(&way["action"]), "{line}{replayed}");
            leaking += 1;
        }
    }
    assert!(proved > 10 && leaking > 10, "{proved} proved, {leaking} leaking");
}
