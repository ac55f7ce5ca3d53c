//! Reports that were randomized on devices, from their clients to published estimates.

use std::fs;
use std::process::Output;

use privet_audit_log::note::VerifierKey;
use privet_audit_log::verify::{Options, verify as verify_log};
use privet_dp::receipt::{LocalReceipt, verify};
use privet_ldp::{Epsilon, Method, NoEntropy, Randomizer};
use serde_json::{Value, json};

use crate::measures::POLICY;
use crate::running::{Running, post, privet};

const DOCUMENTED: &str = include_str!("../../../docs/ldp.md");
const PEOPLE: u32 = 2_000;

/// The policy that docs/ldp.md shows, with its purpose and destination.
fn documented() -> String {
    let (_, rest) = DOCUMENTED.split_once("```yaml\n").unwrap();
    let (shown, _) = rest.split_once("```\n").unwrap();
    format!("{POLICY}{shown}")
}

/// The same, published although the test ends its window.
fn ended() -> String {
    let window = "window: {length: 1d}";
    assert!(documented().contains(window));
    documented().replace(window, "window: {length: 1d, publish_marked: [restart, drained]}")
}

fn randomizer() -> Randomizer {
    Randomizer::new(Method::Kary, 4, Epsilon::from_decimal("1").unwrap()).unwrap()
}

/// SplitMix64: good for a test, unfit for a device.
fn seeded(mut state: u64) -> impl FnMut(&mut [u8]) -> Result<(), NoEntropy> {
    move |bytes: &mut [u8]| {
        for chunk in bytes.chunks_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// Half of all people like spring, a quarter summer, the others autumn; winter nobody.
fn answer_of(person: u32) -> u32 {
    [0, 1, 0, 2][person as usize % 4]
}

fn event(person: u32, report: &Value, agreed: bool) -> Value {
    json!({
        "type": "track", "event": "Season Chosen", "anonymousId": format!("device-{person}"),
        "messageId": format!("m-{person}"), "timestamp": "2026-11-22T21:50:42.259Z",
        "context": {"consent": {"categoryPreferences": {"Analytics": agreed}}}, "properties": {"report": report},
    })
}

async fn send(privet: &Running, events: &[Value]) {
    for batch in events.chunks(100) {
        let body = json!({"batch": batch}).to_string();
        let (status, answer) = post(privet.address, "/v1/batch", "content-type: application/json", &body).await;
        assert_eq!(status, 200, "{answer}");
    }
}

/// Everybody's report, from a seeded coin.
fn reports() -> Vec<Value> {
    let (randomizer, mut entropy) = (randomizer(), seeded(42));
    let report = |person| randomizer.randomize(answer_of(person), &mut entropy).unwrap().text().as_str().into();
    (0..PEOPLE).map(report).collect()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Of four estimates one is further off than four standard errors but once in
/// 4,000 times; the seed is fixed, so it is the same each time.
#[tokio::test(flavor = "multi_thread")]
async fn what_devices_report_is_published_as_estimates_that_verify() {
    let running = Running::under(&ended(), "exports: {directory: exports, volume: persistent}\n").await;
    let events: Vec<Value> = (0..).zip(reports()).map(|(person, report)| event(person, &report, true)).collect();
    send(&running, &events).await;
    // Sent again, as memoized reports are; and those that never agreed do not count.
    send(&running, &events[..100]).await;
    let never: Vec<Value> = (0..50).map(|person| event(PEOPLE + person, &reports()[0], false)).collect();
    send(&running, &never).await;
    let stopped = running.stop_files("favourite-season").await;
    let [bytes] = stopped.files.as_slice() else { panic!("{} receipts", stopped.files.len()) };

    let receipt = LocalReceipt::from_bytes(bytes).unwrap();
    assert_eq!(receipt.reports, PEOPLE);
    let names: Vec<&str> = receipt.values.iter().map(|row| row.key[0].as_str()).collect();
    assert_eq!(names, ["spring", "summer", "autumn", "winter"]);
    for (row, holders) in receipt.values.iter().zip([PEOPLE / 2, PEOPLE / 4, PEOPLE / 4, 0]) {
        let off = (row.value - i64::from(holders)).abs() as f64;
        let standard_error = randomizer().standard_error(holders, PEOPLE);
        assert!(off < 4.0 * standard_error, "{row:?} is {off} off, of {standard_error}");
    }
    assert!(verify(&[bytes]).is_ok());

    let root = stopped.directory.path();
    let keys = VerifierKey::parse_all(&fs::read_to_string(root.join("anchor/vkey")).unwrap()).unwrap();
    let anchor = fs::read_to_string(root.join("anchor/checkpoint")).unwrap();
    let options = Options { keys: Some(keys), anchor: Some(anchor), ..Options::default() };
    let log = verify_log(&root.join("log"), &options).unwrap();
    assert!(log.is_clean(), "{:?}", log.findings);

    let checked = privet(&["export", "verify", "exports"], root);
    assert!(checked.status.success(), "{}", stdout(&checked));
    let said = stdout(&checked);
    assert!(said.contains("1 receipts verified") && said.contains("nothing was charged"), "{said}");
    let spent = privet(&["export", "ledger", "exports"], root);
    assert!(stdout(&spent).contains("nothing here, epsilon 1 a report"), "{}", stdout(&spent));

    let file = fs::read_dir(root.join("exports/favourite-season")).unwrap().next().unwrap().unwrap().path();
    let tampered = String::from_utf8(bytes.clone()).unwrap().replace("\"reports\":2000", "\"reports\":2001");
    fs::write(&file, tampered).unwrap();
    let refused = privet(&["export", "verify", "exports"], root);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stdout(&refused).contains("no set of so many reports has its estimates"), "{}", stdout(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_reports_are_counted_and_refuse_no_event() {
    let running = Running::under(&ended(), "exports: {directory: exports, volume: persistent}\n").await;
    let other = Randomizer::new(Method::Unary, 4, Epsilon::from_decimal("1").unwrap()).unwrap();
    let other = other.randomize(0, &mut seeded(1)).unwrap();
    let malformed = [
        json!(""),
        json!("not a report"),
        json!("AQEAAAQAO5rKAAQ"),
        json!(other.text().as_str()),
        json!("A".repeat(5000)),
    ];
    let mut events: Vec<Value> = (0..).zip(&malformed).map(|(person, report)| event(person, report, true)).collect();
    let mut without = event(100, &json!(null), true);
    without["properties"] = json!({});
    events.push(without);
    // The contract wants a text there, so this event follows none and is looked at by no export.
    events.push(event(101, &json!(17), true));
    events.push(event(0, &reports()[0], true));
    send(&running, &events).await;
    let stopped = running.stop_files("favourite-season").await;
    let receipt = LocalReceipt::from_bytes(&stopped.files[0]).unwrap();
    assert_eq!(receipt.reports, 1, "a device that sent nonsense may still report");
    let counted = format!("privet_export_reports_malformed_total {}\n", malformed.len());
    assert!(stopped.metrics.contains(&counted), "{}", stopped.metrics);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_refuses_is_taken_out_of_the_open_survey() {
    let running = Running::under(&ended(), "exports: {directory: exports, volume: persistent}\n").await;
    let reports = reports();
    let agreed: Vec<Value> = (0..40).map(|person| event(person, &reports[person as usize], true)).collect();
    send(&running, &agreed).await;
    let refused: Vec<Value> = (0..30).map(|person| event(person, &reports[person as usize], false)).collect();
    send(&running, &refused).await;
    let stopped = running.stop_files("favourite-season").await;
    let receipt = LocalReceipt::from_bytes(&stopped.files[0]).unwrap();
    let left = &reports[30..40];
    // Of k-ary reports each hits one answer, and no other device's is among these.
    let hits = |answer: u32| {
        let is_it = |report: &&Value| report.as_str().unwrap().ends_with(["A", "E", "I", "M"][answer as usize]);
        left.iter().filter(is_it).count() as u32
    };
    assert_eq!(receipt.reports, 10);
    for (answer, row) in (0..).zip(&receipt.values) {
        assert_eq!(randomizer().hits_behind(row.value, 10), Some(hits(answer)), "{row:?}");
    }
}

#[test]
fn a_survey_is_listed_and_planned() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("policies")).unwrap();
    fs::write(directory.path().join("policies/policy.yaml"), documented()).unwrap();
    let run = |arguments: &[&str]| {
        let output = privet(arguments, directory.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        stdout(&output)
    };
    let listed = run(&["export", "list", "policies"]);
    assert!(listed.contains("favourite-season") && listed.contains("survey.season"), "{listed}");
    let planned = run(&["export", "plan", "policies"]);
    for part in [
        "a report tells at most epsilon 1, whoever has it; nothing is charged here",
        "10000 reports",
        "1000000 reports",
    ] {
        assert!(planned.contains(part), "{part} not in {planned}");
    }
    let planned: Value = serde_json::from_str(&run(&["export", "plan", "policies", "--json"])).unwrap();
    // Four answers at 0.1 ms each beside 0.1 s, once for what leaves at that moment and once for what is in memory.
    assert_eq!((&planned["release_ms"], &planned["stop_ms"]), (&101.into(), &201.into()));
    let error = &planned["exports"][0]["standard_errors"][1];
    let (told, worked_out) = (error["of_10_percent"].as_f64().unwrap(), randomizer().standard_error(1_000, 10_000));
    assert!((told - worked_out).abs() < 1e-9, "{error}");
}

/// The mistakes that only the numbers show, each with its line.
#[test]
fn a_survey_that_cannot_be_asked_is_told_with_its_place() {
    for (from, to, told) in [
        ("epsilon: \"1\"", "epsilon: \"11\"", "an epsilon above 10 hides nobody"),
        ("epsilon: \"1\"", "epsilon: much", "write epsilon as a decimal number"),
        (
            "method: kary\n  answers: [spring, summer, autumn, winter]",
            "method: unary\n  answers: 1025",
            "write `method: projective`",
        ),
        ("metadata: {name: favourite-season}", "metadata: {name: a/b}", "cannot name an export"),
        ("window: {length: 1d}", "window: {length: 1d, late: drop}", "`late` has no meaning"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        assert!(documented().contains(from), "{from}");
        fs::write(directory.path().join("policy.yaml"), documented().replace(from, to)).unwrap();
        let output = privet(&["check", "."], directory.path());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(told) && said.contains("policy.yaml:"), "{told} not in {said}");
    }
}
