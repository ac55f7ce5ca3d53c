//! A window of a million units: memory and time of observing.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
#![cfg(target_os = "linux")]

mod support;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use privet_dp::accountant::Budget;
use privet_dp::bound::Admission;
use privet_dp::fleet::Fleet;
use privet_dp::mechanism::Noise;
use privet_dp::query::{Column, KeyTable, Keys, Query, RowKey};
use privet_dp::schedule::{Schedule, Tiling};
use privet_dp::window::{OpenWindow, Span, Window};

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_million_units_fit_96_megabytes() {
    let mechanism = support::mechanism(Noise::DiscreteLaplace, 2, 3, "0.1");
    let length = Span::parse("1h").unwrap();
    let sections = ["apps", "games", "books"].map(str::to_owned).to_vec();
    let query = Query {
        name: "searches".to_owned(),
        unit: "userId".to_owned(),
        keys: Keys::Declared(KeyTable::new(vec![Column { name: "section".to_owned(), values: sections }]).unwrap()),
        admission: Admission { lot_max: u64::MAX, units_max: NonZeroU64::new(1_000_000).unwrap() },
        budget: Budget { limit: mechanism.loss(), horizon: length },
        mechanism,
        ids_per_person: NonZeroU64::MIN,
        nonnegative: false,
        schedule: Schedule::new(Tiling::Tumbling(length)),
        fleet: Fleet::ONE_POD,
    };
    let window = Window::at(0, length);
    let before = resident_bytes();
    let mut open = OpenWindow::open(Arc::new(query), window, [0; 32], window.start(), 0).unwrap();
    let mut observe = |rows: usize| {
        let started = Instant::now();
        for unit in 0_u32..1_000_000 {
            open.observe(format!("user-{unit:08}").as_bytes(), RowKey::At((unit as usize + rows) % 3), 0, &[0; 32]);
        }
        started.elapsed().as_nanos() / 1_000_000
    };
    let (first_ns, again_ns) = (observe(0), observe(1));
    let grown = resident_bytes() - before;
    support::row(
        "memory of 10^6 units in a window",
        &format!("{} MB; {first_ns} ns for a new unit, {again_ns} ns for a known one", grown >> 20),
        "at most 96 MB",
        grown <= 96 << 20,
    );
    assert!(open.close(window.end()).is_some());
}
