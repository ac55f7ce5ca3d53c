//! The store in a file: one pod, restarts, the desk and its commands.

use std::fs;

use serde_json::{Value, json};

use super::pod::{PURPOSE, Place, Pod, Says, TOKEN, privet};

const ONLY_POD: &str = "  store: embedded\n  directory: consent\n  only_pod: true\n";

fn bytes_of(place: &Place) -> Vec<u8> {
    fs::read(place.path("consent/consent.redb")).unwrap()
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn a_refusal_on_the_wire_outlives_the_pod_and_no_id_is_kept() {
    let place = Place::with(ONLY_POD, true);
    let pod = place.start();
    assert!(pod.passes_us("somebody-1", Says::Nothing), "silence permits where every refusal is remembered");
    assert!(!pod.passes_us("somebody-1", Says::No));
    assert!(!pod.passes_us("somebody-1", Says::Nothing), "at once");
    pod.until("it is written", |pod| pod.metric("privet_refusals_stored_total") >= 1.0);
    pod.stop();
    assert!(!holds(&bytes_of(&place), "somebody-1"), "no id in the file");
    assert!(holds(&bytes_of(&place), "refused:wire:analytics"));
    let pod = place.start();
    assert!(!pod.passes_us("somebody-1", Says::Nothing));
    assert!(pod.passes_us("somebody-2", Says::Nothing));
    assert!(pod.passes_eu("somebody-1", Says::Yes), "a newer grant holds for its own event");
    assert!(!pod.passes_us("somebody-1", Says::Nothing), "and for no other");
    pod.stop();
}

#[test]
fn a_refusal_that_waits_is_written_before_the_end() {
    let place = Place::with(ONLY_POD, true);
    let pod = place.start();
    for number in 0..50 {
        assert!(!pod.passes_us(&format!("somebody-{number}"), Says::No));
    }
    pod.stop();
    let pod = place.start();
    for number in 0..50 {
        assert!(!pod.passes_us(&format!("somebody-{number}"), Says::Nothing), "{number}");
    }
    pod.stop();
}

#[test]
fn a_file_that_others_do_not_share_makes_silence_refuse() {
    let place = Place::with("  store: embedded\n", true);
    let pod = place.start();
    assert!(!pod.passes_us("somebody-1", Says::Nothing));
    assert!(pod.passes_us("somebody-1", Says::Yes));
    assert!(pod.readyz().contains("treated as opt_in"), "{}", pod.readyz());
    pod.stop();
}

#[test]
fn the_desk_decides_and_only_an_authenticated_grant_undoes_it() {
    let place = Place::with(ONLY_POD, true);
    let pod = place.start();
    let (status, answer) = pod.ask("/v1/consent/withdraw", &json!({"subject": " u-1 ", "purposes": [PURPOSE]}));
    assert_eq!((status, &answer["decisions"][0]["by"]), (200, &Value::from("api")), "{answer}");
    assert!(!pod.passes_us("u-1", Says::Nothing) && !pod.passes_eu("u-1", Says::Yes), "no event undoes it");
    assert!(pod.passes_us("u-2", Says::Nothing));
    let given = json!({"subject": "u-1", "purposes": [PURPOSE], "state": "given"});
    assert_eq!(pod.ask("/v1/consent/set", &given).0, 200);
    assert!(pod.passes_eu("u-1", Says::Nothing), "a stored grant speaks for a silent event");
    assert!(!pod.passes_eu("u-1", Says::No));
    let everything = json!({"subject": "u-3"});
    assert_eq!(pod.ask("/v1/consent/withdraw", &everything).1["decisions"][0]["purpose"], "*");
    assert!(!pod.passes_us("u-3", Says::Nothing));
    let child = json!({"subject": "u-4", "age": "child"});
    assert_eq!(pod.ask("/v1/consent/set", &child).1["age"], "child");
    assert!(!pod.passes_us("u-4", Says::Nothing), "a child's silence refuses");
    pod.stop();
}

#[test]
fn erasing_forgets_what_lets_more_leave_and_keeps_what_holds_it_back() {
    let place = Place::with(ONLY_POD, true);
    let pod = place.start();
    let subject = json!({"subject": "u-1"});
    pod.ask("/v1/consent/set", &json!({"subject": "u-1", "purposes": [PURPOSE], "state": "given", "age": "adult"}));
    assert!(pod.passes_eu("u-1", Says::Nothing));
    let (status, answer) = pod.ask("/v1/subject/erase", &subject);
    assert_eq!((status, &answer["stays"]["decisions"], &answer["why"]), (200, &json!([]), &Value::Null), "{answer}");
    assert!(!pod.passes_eu("u-1", Says::Nothing), "the grant is gone");
    assert_eq!(pod.ask("/v1/subject/show", &subject).1["store"], json!({"decisions": [], "age": null}));
    assert!(!pod.passes_us("u-1", Says::No));
    pod.until("it is written", |pod| pod.metric("privet_refusals_stored_total") >= 1.0);
    let (_, answer) = pod.ask("/v1/subject/erase", &subject);
    assert_eq!(answer["stays"]["decisions"][0]["state"], "refused", "{answer}");
    assert!(answer["why"].as_str().unwrap().contains("more would leave"));
    assert_eq!(answer["memory_of_this_pod"][0]["purpose"], PURPOSE);
    assert!(!pod.passes_us("u-1", Says::Nothing));
    pod.stop();
}

#[test]
fn nobody_is_served_without_the_token_and_mistakes_are_told() {
    let place = Place::with(ONLY_POD, true);
    let pod = place.start();
    let body = r#"{"subject": "secret-subject"}"#;
    let longer = format!("authorization: Bearer {TOKEN}x\r\n");
    let twice = format!("authorization: Bearer {TOKEN}\r\nauthorization: Bearer {TOKEN}\r\n");
    let basic = format!("authorization: Basic {TOKEN}\r\n");
    for headers in ["", "authorization: Bearer \r\n", longer.as_str(), twice.as_str(), basic.as_str()] {
        assert_eq!(pod.ask_with("/v1/consent/get", body, headers).0, 401, "{headers}");
    }
    let lower = format!("authorization: bearer {TOKEN}\r\n");
    assert_eq!(pod.ask_with("/v1/consent/get", body, &lower).0, 200);
    for (path, body, says) in [
        ("/v1/consent/set", json!({"subject": "secret-subject"}), "nothing to set"),
        ("/v1/consent/set", json!({"subject": "secret-subject", "purposes": [PURPOSE]}), "belong together"),
        ("/v1/consent/set", json!({"subject": "secret-subject", "state": "given", "age": "adult"}), "belong together"),
        ("/v1/consent/set", json!({"subject": "secret-subject", "purposes": ["analytics"], "state": "given"}), PURPOSE),
        (
            "/v1/consent/set",
            json!({"subject": "secret-subject", "purposes": ["*"], "state": "given"}),
            "no such purpose",
        ),
        ("/v1/consent/withdraw", json!({"subject": "secret-subject", "state": "given"}), "nothing else"),
        ("/v1/consent/get", json!({"subject": "0000-0000"}), "nobody"),
        ("/v1/consent/get", json!({"subject": "secret-subject", "colour": 1}), "the body is not"),
        ("/v1/consent/get", json!([]), "the body is not"),
    ] {
        let (status, answer) = pod.ask(path, &body);
        let said = answer["error"].as_str().unwrap();
        assert!(status == 400 && said.contains(says), "{path} {body}: {said}");
        assert!(!said.contains("secret-subject"), "{said}");
    }
    assert_eq!(pod.ask("/v1/consent/other", &json!({"subject": "secret-subject"})).0, 404);
    let huge = format!("{{\"subject\": \"{}\"}}", "x".repeat(70_000));
    assert_eq!(pod.ask_with("/v1/consent/get", &huge, &lower).0, 413);
    pod.stop();
}

#[test]
fn the_commands_ask_the_desk() {
    let place = Place::with(ONLY_POD, true);
    let pod = place.start();
    let (admin, token) = (format!("http://{}", pod.admin), place.path("token").display().to_string());
    let run = |command: &[&str], input: &str| {
        let arguments = [command, &["--admin", &admin, "--token-file", &token]].concat();
        let output = privet(&arguments, input);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (status, out, _) = run(&["consent", "withdraw", "--purpose", PURPOSE], "u-1\n");
    assert!(status == 0 && out.starts_with("refused") && out.contains(PURPOSE), "{out}");
    let (status, out, _) = run(&["consent", "get", "--subject", "u-1", "--json"], "");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &answer["decisions"][0]["state"]), (0, &Value::from("refused")));
    let (status, out, _) = run(&["consent", "set", "--purpose", PURPOSE, "--state", "given", "--age", "adult"], "u-2");
    assert!(status == 0 && out.contains("given") && out.contains("adult"), "{out}");
    assert_eq!(run(&["subject", "show", "--json"], "u-2").0, 0);
    let (status, out, _) = run(&["subject", "erase"], "u-2");
    assert!(status == 0 && out.contains("nothing is held"), "{out}");
    let (status, out, _) = run(&["subject", "erase"], "u-1");
    assert!(status == 0 && out.contains("this stays"), "{out}");
    let (status, _, said) = run(&["consent", "set", "--purpose", "analytics", "--state", "given"], "u-2");
    assert!(status == 1 && said.contains("no such purpose") && !said.contains("u-2"), "{said}");
    fs::write(place.path("token"), "another-token-altogether").unwrap();
    let (status, _, said) = run(&["consent", "get"], "u-1");
    assert!(status == 1 && said.contains("has another token"), "{said}");
    pod.stop();
    let (status, _, said) = run(&["consent", "get"], "u-1");
    assert!(status == 2 && said.contains("cannot ask the sidecar"), "{said}");
    assert_eq!(run(&["consent", "set"], "u-1").0, 2, "there is nothing to set");
}

#[test]
fn without_a_keyring_the_file_has_a_secret_beside_it_and_another_one_does_not_open_it() {
    let place = Place::with(ONLY_POD, false);
    let pod = place.start();
    assert_eq!(pod.ask("/v1/consent/withdraw", &json!({"subject": "u-1"})).0, 200);
    pod.stop();
    place.configure(ONLY_POD, true);
    let pod = place.start();
    assert!(!pod.passes_us("u-1", Says::Nothing) && pod.passes_us("u-2", Says::Nothing), "the secret beside it counts");
    pod.stop();
    fs::remove_file(place.path("consent/subjects.secret")).unwrap();
    let pod = place.start();
    assert!(pod.readyz().contains("first used with a keyring"), "{}", pod.readyz());
    assert!(!pod.passes_us("u-2", Says::Nothing) && !pod.passes_eu("u-2", Says::Yes), "unavailable, never absent");
    assert_eq!(pod.ask("/v1/consent/get", &json!({"subject": "u-1"})).0, 503);
    pod.stop();
}

#[test]
fn a_refusal_that_finds_no_room_is_owed_whatever_is_written_meanwhile_and_after_a_restart() {
    let place = Place::with(&format!("{ONLY_POD}  subjects_max: 2\n"), true);
    let pod = place.start();
    assert!(pod.passes_us("somebody-4", Says::Nothing));
    for subject in ["somebody-1", "somebody-2"] {
        assert!(!pod.passes_us(subject, Says::No));
    }
    pod.until("they are written", |pod| pod.metric("privet_refusals_stored_total") >= 2.0);
    assert!(!pod.passes_us("somebody-3", Says::No));
    pod.until("it is said", |pod| pod.readyz().contains("no room for refusals"));
    assert!(!pod.passes_us("somebody-4", Says::Nothing), "who refused and found no room is not known to all");
    let known = json!({"subject": "somebody-1", "age": "adult"});
    assert_eq!(pod.ask("/v1/consent/set", &known).0, 200, "there is room for who is known");
    assert!(!pod.passes_us("somebody-4", Says::Nothing), "nothing was paid by that");
    assert_eq!(pod.ask("/v1/consent/withdraw", &json!({"subject": "somebody-5"})).0, 507);
    let (_, shown) = pod.ask("/v1/subject/show", &json!({"subject": "somebody-3"}));
    assert_eq!((&shown["store"]["decisions"], shown["memory_of_this_pod"].as_array().unwrap().len()), (&json!([]), 1));
    assert!(pod.metric("privet_consent_failures_total{reason=\"full\"}") >= 1.0);
    pod.stop();
    let pod = place.start();
    assert!(pod.readyz().contains("refusals were lost for want of room"), "{}", pod.readyz());
    assert!(!pod.passes_us("somebody-3", Says::Nothing) && !pod.passes_us("somebody-4", Says::Nothing));
    assert!(pod.passes_us("somebody-4", Says::Yes), "a grant is all it takes");
    pod.stop();
    fs::write(place.path("consent/whole"), "").unwrap();
    let pod = place.start();
    assert!(pod.passes_us("somebody-4", Says::Nothing), "whoever runs it vouches for it");
    pod.stop();
}

#[test]
fn what_waited_for_room_is_written_once_there_is_some() {
    let place = Place::with(&format!("{ONLY_POD}  subjects_max: 2\n"), true);
    let pod = place.start();
    assert_eq!(pod.ask("/v1/consent/set", &json!({"subject": "somebody-1", "age": "adult"})).0, 200);
    assert!(!pod.passes_us("somebody-2", Says::No));
    pod.until("it is written", |pod| pod.metric("privet_refusals_stored_total") >= 1.0);
    assert!(!pod.passes_us("somebody-3", Says::No));
    pod.until("it is said", |pod| pod.readyz().contains("no room for refusals"));
    assert!(!place.path("consent/whole").exists(), "a crash would not hide it");
    assert_eq!(pod.ask("/v1/subject/erase", &json!({"subject": "somebody-1"})).0, 200);
    pod.until("nothing is owed, though somebody else goes on refusing", |pod| {
        !pod.passes_us("somebody-2", Says::No) && pod.passes_us("somebody-4", Says::Nothing)
    });
    pod.until("the mark is back", |pod| place.path("consent/whole").exists() && !pod.readyz().contains("no room"));
    pod.stop();
    let pod = place.start();
    assert!(!pod.passes_us("somebody-3", Says::Nothing) && pod.passes_us("somebody-4", Says::Nothing));
    pod.stop();
}

/// An event that refuses for many people at once, and what its sender is told.
fn refuse_for(pod: &Pod, people: std::ops::Range<u32>) -> u16 {
    let ids: Vec<Value> = people.map(|number| json!({"id": format!("person-{number}"), "type": "x"})).collect();
    let event = json!({
        "type": "track", "event": "Search Performed", "userId": "u-1", "messageId": "m-1",
        "context": {"externalIds": ids, "consent": {"categoryPreferences": {"Analytics": false}}},
    });
    pod.post_us(&event.to_string()).0
}

#[test]
fn a_refusal_that_is_not_remembered_is_not_taken() {
    let place = Place::with(ONLY_POD, true);
    let pod = place.start();
    assert_eq!(refuse_for(&pod, 0..400), 200);
    assert!(!pod.passes_us("person-399", Says::Nothing), "under each of its ids");
    let mut last = 200;
    for sent in 1..200 {
        last = refuse_for(&pod, sent * 400..(sent + 1) * 400);
        if last != 200 {
            break;
        }
    }
    assert_eq!(last, 429, "its sender keeps it and comes again");
    assert!(pod.metric("privet_refusals_not_remembered_total") >= 1.0);
    assert_eq!(refuse_for(&pod, 0..400), 200, "who is known takes no room");
    pod.until("the source may again", |pod| refuse_for(pod, 1_000_000..1_000_010) == 200);
    pod.stop();
}
