//! The privacy engineer's tools, as the binary.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")
}

fn privet(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_privet"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// The shipped policies, one file of them changed.
fn changed(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&policies(), directory.path());
    let path = directory.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} says no `{from}`");
    fs::write(path, text.replace(from, to)).unwrap();
    directory
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap()
        }
    }
}

#[test]
fn a_counterexample_really_leaks() {
    let shipped = policies();
    let shipped = shipped.to_str().unwrap();
    let mut replayed = 0;
    for category in [
        "user.unique_id",
        "user.behavior.event_time",
        "user.device.ip_address",
        "user.behavior.search_history",
        "system.operations",
        "system.authentication",
    ] {
        let answer = privet(&["prove", shipped, "--never", category, "--json"], "");
        assert_eq!(answer.status.code(), Some(1), "{category}");
        let answer = json(&answer);
        let line = answer["counterexample"].to_string();
        let applied = json(&privet(&["apply", "--policies", shipped, "--lines"], &format!("{line}\n")));
        let way = &answer["leaves"][0];
        let forward = &applied["forwards"][0];
        assert_eq!(forward["destination"], way["destination"], "{applied}");
        let body = STANDARD.decode(forward["body_b64"].as_str().unwrap()).unwrap();
        let rows = applied["decision"]["events"][0]["fields"].as_array().unwrap();
        let row =
            rows.iter().find(|row| row["path"] == way["field"]).unwrap_or_else(|| panic!("{category}: {applied}"));
        assert_eq!((&row["action"], &row["rule"]), (&way["action"], &way["rule"]), "{category}");
        assert!(!body.is_empty());
        replayed += 1;
    }
    assert_eq!(replayed, 6);
}

#[test]
fn a_proof_ends_with_0_and_says_what_it_assumed() {
    let shipped = policies();
    let shipped = shipped.to_str().unwrap();
    let proved = privet(&["prove", shipped, "--never", "user.contact", "--allow", "scrub"], "");
    assert_eq!(proved.status.code(), Some(0), "{}", out(&proved));
    assert!(out(&proved).contains("proved: `user.contact` never leaves"));
    assert!(out(&proved).contains("assumed harmless"));
    let open = privet(&["prove", shipped, "--never", "user.contact"], "");
    assert_eq!(open.status.code(), Some(1));
    assert!(out(&open).contains("it may leave"));
    let wrong = privet(&["prove", shipped, "--never", "user.contact.emial"], "");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean `user.contact.email`?"));
}

#[test]
fn a_finer_form_loosens_and_a_coarser_one_tightens() {
    let (shipped, coarser) = (policies(), changed("rules/reporting.yaml", "time: hour", "time: day"));
    let (shipped, coarser) = (shipped.to_str().unwrap(), coarser.path().to_str().unwrap());
    let tightened = privet(&["diff", shipped, coarser, "--json"], "");
    assert_eq!(tightened.status.code(), Some(0));
    let summary = &json(&tightened)["summary"];
    assert_eq!((&summary["loosen"], &summary["neutral"]), (&0.into(), &0.into()));
    assert!(summary["tighten"].as_u64().unwrap() > 10);
    assert_eq!(privet(&["diff", coarser, shipped], "").status.code(), Some(1));
    assert_eq!(privet(&["diff", coarser, shipped, "--allow-loosen"], "").status.code(), Some(0));
    let same = privet(&["diff", shipped, shipped], "");
    assert_eq!(out(&same), "0 loosen, 0 tighten, 0 neutral\n");
}

#[test]
fn the_exposure_names_every_way_out_and_no_other() {
    let shipped = policies();
    let exposed = json(&privet(&["exposure", shipped.to_str().unwrap(), "--json"], ""));
    let rows = exposed["rows"].as_array().unwrap();
    let query =
        rows.iter().find(|row| row["contract"] == "storefront.search" && row["field"] == "properties.query").unwrap();
    assert_eq!((&query["action"], &query["rule"]), (&"scrub".into(), &"search-text".into()));
    assert_eq!(query["consent"], serde_json::json!(["given"]));
    assert_eq!(query["may_contain"], serde_json::json!(["user"]));
    assert!(rows.iter().all(|row| row["action"] != "drop"));
    assert!(!rows.iter().any(|row| row["category"].as_str().unwrap_or_default().starts_with("user.contact")));
}

#[test]
fn the_shipped_tests_pass_and_a_wrong_one_points_at_its_line() {
    let shipped = policies();
    let passed = privet(&["test", shipped.to_str().unwrap(), "--min-coverage", "100"], "");
    assert_eq!(passed.status.code(), Some(0), "{}", String::from_utf8_lossy(&passed.stderr));
    let wrong = changed("tests/search.yaml", "properties.results: 3\n", "properties.results: 4\n");
    let failed = privet(&["test", wrong.path().to_str().unwrap()], "");
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains("error[T001]") && said.contains("it leaves as 3"), "{said}");
    assert!(said.contains("properties.results: 4"), "{said}");
    let uncovered = privet(&["test", shipped.to_str().unwrap(), "--min-coverage", "101"], "");
    assert_eq!(uncovered.status.code(), Some(1));
}

#[test]
fn suites_change_nothing_about_a_policy() {
    let without = changed("tests/search.yaml", "kind: Suite", "kind: Suite");
    fs::remove_dir_all(without.path().join("tests")).unwrap();
    let digest = |directory: &Path| {
        let said = out(&privet(&["check", directory.to_str().unwrap()], ""));
        said.lines().find(|line| line.starts_with("digest")).unwrap().to_owned()
    };
    assert_eq!(digest(without.path()), digest(&policies()));
}

/// Holds a value against the few words of JSON Schema that ours use.
fn holds(schema: &Value, value: &Value, at: &str) {
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().find(|one| (one["type"] == "null") == value.is_null());
        return holds(fits.unwrap_or_else(|| panic!("{at}: {value}")), value, at);
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value} is none of {words:?}");
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    assert!(types.contains(&kind.into()), "{at}: {kind}, not {types:?}");
    for (number, element) in value.as_array().into_iter().flatten().enumerate() {
        holds(&schema["items"], element, &format!("{at}[{number}]"));
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let known = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
        assert!(known.is_object(), "{at}: the schema has no `{name}`");
        holds(known, member, &format!("{at}.{name}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(name.as_str().unwrap()).is_some(), "{at}: `{name}` is missing");
    }
}

#[test]
fn outputs_are_what_their_schemas_promise() {
    let schema = |name: &str| -> Value {
        let path = policies().join(format!("../docs/schemas/{name}.json"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let (shipped, coarser) = (policies(), changed("rules/reporting.yaml", "time: hour", "time: day"));
    let shipped = shipped.to_str().unwrap();
    holds(&schema("exposure"), &json(&privet(&["exposure", shipped, "--json"], "")), "exposure");
    let compared = json(&privet(&["diff", coarser.path().to_str().unwrap(), shipped, "--json"], ""));
    assert!(!compared["cells"].as_array().unwrap().is_empty());
    holds(&schema("diff"), &compared, "diff");
    let event = r#"{"type":"track","event":"Search Performed","userId":"u-1","messageId":"m-1","other":1,"context":{"consent":{"categoryPreferences":{"Analytics":true}}}}"#;
    let line = serde_json::json!({"target": "/v1/track", "body_b64": STANDARD.encode(event), "format": "segment"});
    let broken = serde_json::json!({"target": "/", "body_b64": STANDARD.encode("{}\nbroken"), "format": "ndjson"});
    let answers = out(&privet(&["apply", "--policies", shipped, "--lines"], &format!("{line}\n{broken}\n")));
    for answer in answers.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        assert!(!answer["decision"]["events"].as_array().unwrap().is_empty(), "{answer}");
        holds(&schema("decision"), &answer["decision"], "decision");
    }
}

#[test]
fn captures_go_through_as_they_were_recorded_chunk_framing_and_all() {
    let (shipped, mut chunked) = (policies(), 0);
    for format in ["segment", "rudderstack", "snowplow", "ga4", "otlp", "cloudevents"] {
        let path = policies().join(format!("../tests/data/{format}-captures.ndjson"));
        let recorded = fs::read_to_string(path).unwrap();
        let answers = out(&privet(&["apply", "--policies", shipped.to_str().unwrap(), "--lines"], &recorded));
        assert_eq!(answers.lines().count(), recorded.lines().count());
        for (line, answer) in recorded.lines().zip(answers.lines()) {
            let (line, answer): (Value, Value) =
                (serde_json::from_str(line).unwrap(), serde_json::from_str(answer).unwrap());
            chunked += usize::from(line["body_framing"] == "chunked");
            // Settings are fetched, and no destination here lists their path.
            let settings = line["method"] == "GET" && !line["target"].as_str().unwrap().starts_with("/i?");
            let taken = answer["status"].as_u64().is_some_and(|status| (200..300).contains(&status));
            assert!(if settings { answer["status"] == 405 } else { taken }, "{} {}", line["client"], answer["error"]);
        }
    }
    assert!(chunked > 0);
}

#[test]
fn the_schema_of_policy_files_is_printed_as_it_is_committed() {
    let printed = privet(&["schema"], "");
    assert_eq!(printed.status.code(), Some(0));
    assert_eq!(out(&printed), fs::read_to_string(policies().join("schema.json")).unwrap());
    for noise in privet_policy::source::keys::NOISES {
        assert!(privet_dp::mechanism::Noise::named(noise).is_some(), "{noise}");
    }
}

#[test]
fn findings_can_be_had_as_sarif() {
    let wrong = changed("rules/reporting.yaml", "time: hour", "time: huor");
    let told = privet(&["check", wrong.path().to_str().unwrap(), "--sarif"], "");
    assert_eq!(told.status.code(), Some(1));
    let told = json(&told);
    let result = &told["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"P025".into(), &"error".into()));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "rules/reporting.yaml");
    assert!(place["region"]["startLine"].as_u64().unwrap() > 1);
}

#[test]
fn a_keyring_is_made_once_rotated_and_listed_without_a_secret() {
    let place = tempfile::tempdir().unwrap();
    let keyring = place.path().join("keyring");
    let named = keyring.to_str().unwrap();
    assert_eq!(privet(&["keys", "rotate", named], "").status.code(), Some(2), "there is no directory yet");
    assert_eq!(privet(&["keys", "init", named, "--epoch", "2026-10"], "").status.code(), Some(0));
    let again = privet(&["keys", "init", named], "");
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("privet keys rotate"));
    assert_eq!(privet(&["keys", "rotate", named, "--epoch", "2026-09"], "").status.code(), Some(1));
    assert_eq!(privet(&["keys", "rotate", named, "--epoch", "../x"], "").status.code(), Some(1));
    assert_eq!(privet(&["keys", "rotate", named, "--grace", "0s"], "").status.code(), Some(0));
    let listed = privet(&["keys", "list", named, "--json"], "");
    let keys = json(&listed)["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 2);
    assert_eq!(
        (&keys[0]["epoch"], &keys[0]["current"], &keys[1]["current"]),
        (&"2026-10".into(), &false.into(), &true.into())
    );
    assert_eq!(keys[0]["mode"], "600");
    assert_ne!(keys[0]["check"], keys[1]["check"]);
    for file in fs::read_dir(&keyring).unwrap().map(Result::unwrap) {
        let secret = fs::read_to_string(file.path()).unwrap();
        assert!(!out(&listed).contains(secret.trim()));
    }
    assert_eq!(fs::read_dir(&keyring).unwrap().count(), 2, "nothing but keys is left behind");
    let later = privet(&["keys", "rotate", named, "--epoch", "2998", "--grace", "2h"], "");
    assert_eq!(later.status.code(), Some(0), "{}", String::from_utf8_lossy(&later.stderr));
    let keys = json(&privet(&["keys", "list", named, "--json"], ""))["keys"].as_array().unwrap().clone();
    assert_eq!((&keys[1]["current"], &keys[2]["current"]), (&true.into(), &false.into()), "its time has not come");
    assert!(keys[2]["from"].as_str().unwrap().ends_with('Z'));
    let applied =
        privet(&["apply", "--policies", policies().to_str().unwrap(), "--keyring", named, "--format", "segment"], "{}");
    assert!(applied.stderr.is_empty(), "{}", String::from_utf8_lossy(&applied.stderr));
    fs::write(keyring.join("2999.key"), "short").unwrap();
    let broken = privet(&["keys", "list", named], "");
    assert_eq!(broken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("2999.key"));
}

#[test]
fn what_a_policy_seals_is_revealed_with_its_key_only() {
    let sealing = changed("rules/reporting.yaml", "action: pseudonymize", "action: {tokenize: {key: support}}");
    let sealing = sealing.path().to_str().unwrap();
    let place = tempfile::tempdir().unwrap();
    let keyring = place.path().join("keyring");
    let keyring = keyring.to_str().unwrap();
    let event = r#"{"type":"track","event":"Search Performed","userId":"u-1","messageId":"m-1","properties":{"section":"apps"},"context":{"consent":{"categoryPreferences":{"Analytics":true}}}}"#;
    let apply = ["apply", "--policies", sealing, "--keyring", keyring, "--format", "segment", "--path", "/v1/track"];
    assert_eq!(privet(&["keys", "init", keyring, "--epoch", "1"], "").status.code(), Some(0));
    let lacking = privet(&apply, event);
    assert_eq!(lacking.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&lacking.stderr).contains("privet keys init DIR --token support"));
    assert_eq!(privet(&["keys", "init", keyring, "--token", "support", "--epoch", "1"], "").status.code(), Some(0));
    let first = json(&privet(&apply, event))["userId"].as_str().unwrap().to_owned();
    assert!(first.starts_with("tk1.support.1."), "{first}");
    let rotate = ["keys", "rotate", keyring, "--token", "support", "--epoch", "2", "--grace", "0s"];
    assert_eq!(privet(&rotate, "").status.code(), Some(0));
    let second = json(&privet(&apply, event))["userId"].as_str().unwrap().to_owned();
    assert!(second.starts_with("tk1.support.2."), "{second}");
    assert_eq!(out(&privet(&["keys", "reveal", keyring, &first, &second], "")), "u-1\nu-1\n");
    let lines = privet(&["keys", "reveal", keyring, "--json"], &format!("{first}\nu-1\n"));
    assert_eq!(lines.status.code(), Some(1));
    assert!(out(&lines).starts_with("{\"value\":\"u-1\"}\n{\"error\":"), "{}", out(&lines));
    fs::remove_file(Path::new(keyring).join("support.1.token")).unwrap();
    let gone = privet(&["keys", "reveal", keyring, &first], "");
    assert_eq!((gone.status.code(), out(&gone).as_str()), (Some(1), ""));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("support.1.token"));
}

#[test]
fn a_thousand_cases_run_in_a_second() {
    let many = changed("tests/search.yaml", "kind: Suite", "kind: Suite");
    let mut suite = String::from("apiVersion: privet.dev/v1alpha1\nkind: Suite\nmetadata: {name: many}\ncases:\n");
    for case in 0..3_000 {
        suite.push_str(&format!(
            "  - {{name: case {case}, event: {{type: track, event: Search Performed, userId: u-{case}, messageId: m-1, context: {{consent: {{categoryPreferences: {{Analytics: true}}}}}}}}, path: /v1/track, expect: {{outcome: kept}}}}\n"
        ));
    }
    fs::write(many.path().join("tests/many.yaml"), suite).unwrap();
    let begun = std::time::Instant::now();
    let passed = privet(&["test", many.path().to_str().unwrap(), "--json"], "");
    let secs = begun.elapsed().as_secs_f64();
    assert_eq!(passed.status.code(), Some(0), "{}", String::from_utf8_lossy(&passed.stderr));
    let cases = json(&passed)["cases"].as_array().unwrap().len();
    assert!(cases > 3_000, "{cases}");
    assert!(cases as f64 / secs > 1_000.0, "{cases} cases took {secs:.2} s, compiling included");
}

#[test]
fn detect_answers_line_by_line_and_names_a_bad_line_by_its_number() {
    let found =
        privet(&["detect", "--detectors", "EMAIL_ADDRESS,UK_NINO"], "{\"text\": \"zoë@home.example\"}\nsecret\n");
    assert_eq!(found.status.code(), Some(0));
    let out = out(&found);
    let (first, second) = out.trim_end().split_once('\n').unwrap();
    assert_eq!(first, r#"{"entities":[{"end":16,"score":1.0,"start":0,"type":"EMAIL_ADDRESS"}]}"#);
    assert!(second.starts_with(r#"{"error":"line 2: "#) && !second.contains("secret"), "{second}");
    assert_eq!(privet(&["detect", "--detectors", "EMAIL"], "").status.code(), Some(2));
}

/// What `privet run` says of a configuration with these lines, and how it ends; nothing where it goes on running.
fn failed_start(root: &Path, more: &str) -> Option<(i32, String)> {
    let config = format!(
        "apiVersion: privet.dev/v1alpha1\nkind: Config\n\
         admin: {{address: \"127.0.0.1:0\"}}\nmetrics: {{address: \"127.0.0.1:0\"}}\npolicies: policies\n\
         log: {{directory: log, anchor_dir: anchor, origin: privet.example.org/start}}\n{more}"
    );
    fs::write(root.join("privet.yaml"), config).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_privet"))
        .args(["run", "--config", "privet.yaml"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > std::time::Duration::from_secs(30) {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let ended = child.wait_with_output().unwrap();
    Some((ended.status.code()?, String::from_utf8(ended.stderr).unwrap()))
}

#[test]
fn a_start_that_fails_for_its_configuration_leaves_nothing_in_the_log() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let events = "listeners: [{name: events, address: \"127.0.0.1:0\", formats: [segment]}]\n";
    let at = |address: &str| format!("listeners: [{{name: events, address: \"{address}\", formats: [segment]}}]\n");
    let served = "listeners:\n- {name: a, address: \"127.0.0.1:0\", formats: [segment], tls: {certificate: no.crt, key: no.key}}\n";
    // Each with what has to be said: of files the place too, of a port its owner.
    for (more, said) in [
        (format!("{events}console: {{token_file: notthere}}\n"), "privet.yaml:8:23"),
        (format!("{events}console: {{token_file: short}}\n"), "fewer than 16 bytes"),
        (format!("{events}consent: {{token_file: notthere}}\n"), "privet.yaml:8:23"),
        (format!("{events}exports: {{directory: e, token_file: notthere}}\n"), "privet.yaml:8:37"),
        (format!("{events}upstream: {{ca: notthere}}\n"), "privet.yaml:8:16"),
        (served.to_owned(), "privet.yaml:8:76"),
        (at(&taken.to_string()), "the listener `events` cannot listen on"),
        // The store is a file, so its directory cannot be made.
        (format!("{events}consent: {{directory: short/within}}\n"), "embedded store"),
    ] {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("policies")).unwrap();
        fs::write(root.path().join("short"), "0123456789").unwrap();
        let (code, told) = failed_start(root.path(), &more).unwrap_or_else(|| panic!("it runs with {more}"));
        assert_eq!(code, 2, "{told}");
        assert!(told.contains(said), "{more}: wants `{said}`: {told}");
        assert!(!root.path().join("log/1").exists(), "{more}: an incarnation is there: {told}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_2_and_a_closed_pipe_is_quiet() {
    let policies = policies();
    let policies = policies.to_str().unwrap();
    let commands: [&[&str]; 8] = [
        &["schema"],
        &["explain"],
        &["explain", "P016"],
        &["check", policies],
        &["check", policies, "--json"],
        &["exposure", policies],
        &["diff", policies, policies],
        &["export", "list", policies],
    ];
    for command in commands {
        let to = |out: Stdio| Command::new(env!("CARGO_BIN_EXE_privet")).args(command).stdout(out).output().unwrap();
        let full = to(fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into());
        let said = String::from_utf8(full.stderr).unwrap();
        assert_eq!(full.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains("cannot write the answer: No space left") && !said.contains("panic"), "{said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = to(writer.into());
        assert_eq!((closed.status.code(), closed.stderr.as_slice()), (Some(0), b"".as_slice()), "{command:?}");
    }
}
