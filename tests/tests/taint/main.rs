//! What senders write is nowhere but in what is forwarded: not in the log, in a metric, a trace, a page, an answer, nor in
//! what the process says.
//!
//! A real process takes requests of others with a marker planted in whatever a sender can choose: values, names of members,
//! headers, cookies, queries, paths, and bodies that are broken at the marker. Then every output is searched for it, in every
//! encoding. The number of events is `PRIVET_TAINT` (default 3000); `tools/taint` runs 10^5.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod outputs;
mod plant;
mod process;
#[allow(dead_code, reason = "the corpus test looks at more of a case")]
#[path = "../corpus/naive.rs"]
mod naive;
#[allow(dead_code, reason = "the corpus test looks at more of a case")]
#[path = "../corpus/requests.rs"]
mod requests;

use std::collections::BTreeMap;

use outputs::{Output, Search};
use plant::{TAINT, plant};
use process::Privet;

/// Events where `PRIVET_TAINT` does not say.
const EVENTS: usize = 3_000;

#[test]
fn nothing_that_a_sender_wrote_is_in_any_output_of_the_process() {
    let wanted = std::env::var("PRIVET_TAINT").map_or(EVENTS, |text| text.parse().unwrap());
    let cases = requests::all();
    let mut privet = Privet::start();
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let (mut sent, mut round) = (0, 0);
    while privet.events_in() < wanted {
        for case in &cases {
            let answer = privet.send(case.format, &plant(case, sent, round));
            *statuses.entry(answer.status).or_default() += 1;
            sent += 1;
        }
        round += 1;
        println!("{sent} requests in {round} rounds, {} of {wanted} events", privet.events_in());
    }
    let outputs = privet.end();
    let (events, forwarded) = (privet.events_in(), privet.forwarded());
    println!("{sent} requests, {events} events, {} outputs searched, answers {statuses:?}", outputs.len());

    // It went all the way: taken, forwarded with markers, and refused.
    let search = Search::new(TAINT);
    let through = forwarded.iter().filter(|body| search.finds(&Output::new("forwarded", body.as_slice()))).count();
    assert!(through * 100 > sent, "markers are in only {through} forwarded bodies of {sent} requests");
    for status in [200, 400, 404] {
        assert!(statuses.contains_key(&status), "no answer {status} in {statuses:?}");
    }
    for place in ["an answer", "stderr", "/metrics", "/readyz", "/v1/metrics", "/v1/traces", "log/", "anchor/", "exports/"] {
        let bytes: usize =
            outputs.iter().filter(|output| output.place.contains(place)).map(|output| output.bytes.len()).sum();
        assert!(bytes > 0, "there is nothing from {place} to search");
    }
    let leaks: Vec<&str> =
        outputs.iter().filter(|output| search.finds(output)).map(|output| output.place.as_str()).take(20).collect();
    assert_eq!(leaks, [""; 0], "what a sender wrote is in these");
}
