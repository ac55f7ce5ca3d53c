//! Two pods and one store between them: what one is told the other knows, and what happens when the store does not answer.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::pod::{PURPOSE, Place, Pod, Says};
use super::servers::{Cable, Kind, Server};

/// How long an event may take while the store does not answer: the configured 250 ms, and what a machine with
/// two cores and six other builds takes to come back to a thread.
const BOUND: Duration = Duration::from_millis(1_500);

#[test]
fn redis_between_two_pods() {
    two_pods_and_a_store_that_fails(Server::start(Kind::Redis));
}

#[test]
fn postgresql_between_two_pods() {
    two_pods_and_a_store_that_fails(Server::start(Kind::PostgreSql));
}

#[test]
fn redis_over_tls() {
    a_store_over_tls(&Server::start_with_tls(Kind::Redis));
}

#[test]
fn postgresql_over_tls() {
    a_store_over_tls(&Server::start_with_tls(Kind::PostgreSql));
}

#[test]
fn a_pod_that_hears_nothing_believes_nothing_redis() {
    a_partition(&Server::start(Kind::Redis));
}

#[test]
fn a_pod_that_hears_nothing_believes_nothing_postgresql() {
    a_partition(&Server::start(Kind::PostgreSql));
}

/// A pod with four connections to Redis, all of them up, that waits long, and the way there.
fn behind_a_cable(server: &Server) -> (Cable, Place, Pod) {
    let cable = server.cable();
    let section = server.section_through(cable.port).replace("timeout_ms: 250", "timeout_ms: 8000");
    let place = Place::with(&section.replace("connections: 2", "connections: 4"), true);
    let pod = place.start();
    pod.until_heard();
    for number in 0..4 {
        assert!(pod.passes_us(&format!("somebody-{number}"), Says::Nothing), "every connection is up");
    }
    (cable, place, pod)
}

#[test]
fn a_look_up_that_is_slow_hands_out_nothing_that_another_pod_has_overtaken() {
    let server = Server::start(Kind::Redis);
    let (cable, _place, pod) = behind_a_cable(&server);
    let elsewhere = Place::with(&server.section(), true);
    let other = elsewhere.start();
    other.until_heard();
    cable.hold_next_look_up();
    thread::scope(|scope| {
        let first = scope.spawn(|| pod.passes_us("somebody-else", Says::Nothing));
        cable.until_it_holds();
        assert_eq!(other.ask("/v1/consent/withdraw", &json!({"subject": "somebody-else"})).0, 200);
        thread::sleep(Duration::from_millis(900));
        let second = scope.spawn(|| pod.passes_us("somebody-else", Says::Nothing));
        thread::sleep(Duration::from_millis(200));
        cable.let_go();
        assert!(!second.join().unwrap() && !first.join().unwrap(), "it has been heard of");
    });
    pod.stop();
    other.stop();
}

#[test]
fn a_change_that_was_given_up_and_comes_late_is_heard_of() {
    let server = Server::start(Kind::Redis);
    let (cable, _place, pod) = behind_a_cable(&server);
    cable.hold_next_write();
    assert_eq!(pod.ask("/v1/consent/withdraw", &json!({"subject": "somebody-else"})).0, 503);
    assert!(pod.passes_us("somebody-else", Says::Nothing), "nothing is stored yet, and that is known for a minute");
    cable.let_go();
    pod.until("the withdrawal is written", |_| server.contents().contains("refused:api:*"));
    within_a_second("a withdrawal that came late", &pod, |pod| !pod.passes_us("somebody-else", Says::Nothing));
    pod.stop();
}

#[test]
fn a_look_up_that_is_slow_hands_out_nothing_that_a_withdrawal_has_overtaken() {
    let server = Server::start(Kind::Redis);
    let (cable, _place, pod) = behind_a_cable(&server);
    cable.hold_next_look_up();
    thread::scope(|scope| {
        let first = scope.spawn(|| pod.passes_us("somebody-else", Says::Nothing));
        cable.until_it_holds();
        assert_eq!(pod.ask("/v1/consent/withdraw", &json!({"subject": "somebody-else"})).0, 200);
        let second = scope.spawn(|| pod.passes_us("somebody-else", Says::Nothing));
        thread::sleep(Duration::from_millis(300));
        cable.let_go();
        assert!(!second.join().unwrap(), "it came after the withdrawal was answered");
        assert!(!first.join().unwrap(), "it was still being decided");
    });
    pod.stop();
}

#[test]
fn what_is_refused_before_a_pod_ever_reached_the_store_is_written_when_it_does() {
    let mut server = Server::start(Kind::Redis);
    let place = Place::with(&server.section(), true);
    server.kill();
    let pod = place.start();
    assert!(!pod.passes_us("somebody-1", Says::No));
    server.restart();
    pod.until_heard();
    pod.until("it is written", |pod| pod.metric("privet_refusals_stored_total") >= 1.0);
    pod.stop();
    let pod = place.start();
    pod.until_heard();
    pod.until("others are not meant", |pod| pod.passes_us("somebody-2", Says::Nothing));
    assert!(!pod.passes_us("somebody-1", Says::Nothing));
    pod.stop();
}

#[test]
fn a_full_redis_makes_silence_refuse_in_every_pod_until_somebody_vouches_for_it() {
    a_full_store(&Server::start(Kind::Redis), "privet:consent:whole");
}

#[test]
fn a_full_postgresql_makes_silence_refuse_in_every_pod_until_somebody_vouches_for_it() {
    a_full_store(&Server::start(Kind::PostgreSql), "privet_consent_meta");
}

/// `mark` is what the note of a pod names when the store's mark is missing.
fn a_full_store(server: &Server, mark: &str) {
    let places = [(); 3].map(|()| Place::with(&server.section(), true));
    let (one, other) = (places[0].start(), places[1].start());
    for pod in [&one, &other] {
        pod.until_heard();
        pod.until("silence permits", |pod| pod.passes_us("somebody-2", Says::Nothing));
    }
    server.fill(true);
    assert!(!one.passes_us("somebody-1", Says::No));
    one.until("it is said", |pod| pod.readyz().contains("no room for refusals"));
    other.until("the other hears of it", |pod| pod.readyz().contains(mark));
    assert!(!other.passes_us("somebody-1", Says::Nothing) && !other.passes_us("somebody-2", Says::Nothing));
    let late = places[2].start();
    late.until_heard();
    assert!(late.readyz().contains(mark), "who comes later is told: {}", late.readyz());
    server.fill(false);
    one.until("it is written", |pod| pod.metric("privet_refusals_stored_total") >= 1.0);
    assert!(!other.passes_us("somebody-2", Says::Nothing), "others may have lost some");
    [one, other, late].into_iter().for_each(Pod::stop);
    server.vouch();
    let pod = places[1].start();
    pod.until_heard();
    pod.until("silence permits", |pod| pod.passes_us("somebody-2", Says::Nothing));
    assert!(!pod.passes_us("somebody-1", Says::Nothing));
    pod.stop();
}

/// While one pod is cut off, somebody withdraws at the other.
fn a_partition(server: &Server) {
    let cable = server.cable();
    let (one, other) = (Place::with(&server.section(), true), Place::with(&server.section_through(cable.port), true));
    let (one, other) = (one.start(), other.start());
    one.until_heard();
    other.until_heard();
    other.until("silence permits", |pod| pod.passes_us("somebody-1", Says::Nothing));
    other.until("silence permits", |pod| pod.passes_us("somebody-2", Says::Nothing));
    cable.cut(true);
    assert_eq!(one.ask("/v1/consent/withdraw", &json!({"subject": "somebody-1"})).0, 200);
    let (begun, mut last) = (Instant::now(), Duration::ZERO);
    while other.passes_us("somebody-1", Says::Nothing) {
        last = begun.elapsed();
    }
    println!("the last event of a cut off pod that left, after the withdrawal: {last:?}");
    assert!(last < Duration::from_secs(1), "{last:?}");
    for _ in 0..20 {
        assert!(!other.passes_us("somebody-1", Says::Nothing) && !other.passes_us("somebody-1", Says::Yes));
    }
    cable.cut(false);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert!(!other.passes_us("somebody-1", Says::Nothing), "what it knew before is not believed afterwards");
    }
    other.until("the others are as before", |pod| pod.passes_us("somebody-2", Says::Nothing));
    other.until_heard();
    one.stop();
    other.stop();
}

#[test]
fn a_redis_that_evicts_or_was_emptied_makes_silence_refuse() {
    let server = Server::start(Kind::Redis);
    let place = Place::with(&server.section(), true);
    let pod = place.start();
    pod.until("silence permits", |pod| pod.passes_us("somebody-1", Says::Nothing));
    pod.stop();
    server.redis(&["CONFIG", "SET", "maxmemory", "100mb"]);
    server.redis(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let pod = place.start();
    pod.until_heard();
    assert!(pod.readyz().contains("noeviction"), "{}", pod.readyz());
    assert!(!pod.passes_us("somebody-1", Says::Nothing));
    pod.until("it is counted", |pod| pod.metric("privet_purposes_without_memory") == 1.0);
    pod.until("a grant is all it takes", |pod| pod.passes_us("somebody-1", Says::Yes));
    server.redis(&["FLUSHALL"]);
    server.redis(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    pod.until("it is noticed", |pod| pod.readyz().contains("was emptied"));
    assert!(!pod.passes_us("somebody-1", Says::Yes), "what was refused is not known any more");
    pod.stop();
}

fn two_pods_and_a_store_that_fails(mut server: Server) {
    let places = [Place::with(&server.section(), true), Place::with(&server.section(), true)];
    let (one, other) = (places[0].start(), places[1].start());
    one.until_heard();
    other.until_heard();
    silence_permits(&one);
    silence_permits(&other);
    a_withdrawal_arrives(&one, &other);
    a_grant_arrives(&one, &other);
    a_refusal_on_the_wire_arrives(&one, &other);
    assert!(!server.contents().contains("somebody"), "no id in the store: {}", server.contents());
    assert!(server.contents().contains("refused:wire:"), "{}", server.contents());

    server.pause();
    nothing_leaves_while_the_store_is_silent(&one);
    server.resume();
    it_is_as_it_was(&one, &other);

    server.kill();
    nothing_leaves_while_the_store_is_silent(&other);
    server.restart();
    it_is_as_it_was(&one, &other);
    one.stop();
    other.stop();
}

fn silence_permits(pod: &Pod) {
    pod.until("silence permits", |pod| pod.passes_us("somebody-1", Says::Nothing));
    assert!(!pod.readyz().contains("treated as opt_in"), "{}", pod.readyz());
}

fn within_a_second(what: &str, pod: &Pod, holds: impl Fn(&Pod) -> bool) {
    let took = pod.until(what, holds);
    println!("{what}: {took:?}");
    assert!(took < Duration::from_secs(1), "{what}: {took:?}");
}

fn a_withdrawal_arrives(one: &Pod, other: &Pod) {
    let withdrawn = json!({"subject": "somebody-1", "purposes": [PURPOSE]});
    assert_eq!(one.ask("/v1/consent/withdraw", &withdrawn).0, 200);
    assert!(!one.passes_us("somebody-1", Says::Nothing), "at once where it was withdrawn");
    within_a_second("a withdrawal at the other pod", other, |pod| !pod.passes_us("somebody-1", Says::Nothing));
    assert!(!other.passes_eu("somebody-1", Says::Yes), "no event undoes it");
    other.until("others are not meant", |pod| pod.passes_us("somebody-2", Says::Nothing));
}

fn a_grant_arrives(one: &Pod, other: &Pod) {
    let given = json!({"subject": "somebody-3", "purposes": [PURPOSE], "state": "given"});
    assert!(!other.passes_eu("somebody-3", Says::Nothing), "that nothing is stored is remembered for a while");
    assert_eq!(one.ask("/v1/consent/set", &given).0, 200);
    within_a_second("a grant at the other pod", other, |pod| pod.passes_eu("somebody-3", Says::Nothing));
}

fn a_refusal_on_the_wire_arrives(one: &Pod, other: &Pod) {
    other.until("silence permits", |pod| pod.passes_us("somebody-4", Says::Nothing));
    assert!(!one.passes_us("somebody-4", Says::No));
    within_a_second("a refusal on the wire at the other pod", other, |pod| !pod.passes_us("somebody-4", Says::Nothing));
}

/// For three seconds nothing leaves that needs a grant or absence, each event waits a bounded time, and it is counted.
fn nothing_leaves_while_the_store_is_silent(pod: &Pod) {
    let begun = Instant::now();
    let failures = || {
        ["timed_out", "connection", "resting", "failed"]
            .map(|reason| pod.metric(&format!("privet_consent_failures_total{{reason=\"{reason}\"}}")))
    };
    let before: f64 = failures().iter().sum();
    let (mut events, mut longest) = (0, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(3) {
        events += 1;
        for (subject, says) in
            [(format!("somebody-new-{events}"), Says::Yes), (format!("somebody-newer-{events}"), Says::Nothing)]
        {
            let asked = Instant::now();
            let passed = pod.passes_us(&subject, says) || pod.passes_eu(&subject, says);
            longest = longest.max(asked.elapsed() / 2);
            assert!(!passed, "the store did not say that nothing was refused");
        }
    }
    println!("{events} rounds while the store was silent, the longest event took {longest:?}");
    assert!(longest < BOUND, "{longest:?}");
    assert!(failures().iter().sum::<f64>() > before, "it is counted");
    assert!(!pod.passes_us("somebody-2", Says::Nothing), "what is known is too old to be believed");
    assert_eq!(pod.ask("/v1/consent/withdraw", &json!({"subject": "somebody-5"})).0, 503);
    pod.until("it is said", |pod| pod.metric("privet_consent_store_heard") == 0.0);
    assert!(pod.readyz().contains("consent_store_fault"), "{}", pod.readyz());
}

fn it_is_as_it_was(one: &Pod, other: &Pod) {
    for pod in [one, other] {
        pod.until("the store answers again", |pod| pod.passes_us("somebody-2", Says::Nothing));
        pod.until_heard();
        pod.until("a stored grant holds", |pod| pod.passes_eu("somebody-3", Says::Nothing));
        assert!(!pod.passes_us("somebody-1", Says::Nothing) && !pod.passes_us("somebody-4", Says::Nothing));
        assert!(!pod.readyz().contains("consent_store_fault"), "{}", pod.readyz());
    }
}

fn a_store_over_tls(server: &Server) {
    let place = Place::with(&server.section(), true);
    let pod = place.start();
    pod.until_heard();
    assert_eq!(pod.ask("/v1/consent/withdraw", &json!({"subject": "somebody-1"})).0, 200);
    assert!(!pod.passes_us("somebody-1", Says::Nothing));
    pod.until("silence permits", |pod| pod.passes_us("somebody-2", Says::Nothing));
    pod.stop();
    let section = server.section();
    let without_ca: String =
        section.lines().filter(|line| !line.contains("tls:")).map(|line| format!("{line}\n")).collect();
    let place = Place::with(&format!("{without_ca}  tls: {{}}\n"), true);
    let pod = place.start();
    pod.until("the certificate is refused", |pod| pod.readyz().contains("cannot connect to the store"));
    assert!(!pod.passes_us("somebody-2", Says::Nothing));
    pod.stop();
}
