//! When nothing was drawn, nobody waits; when something was, what has to go on goes on.

use super::super::pace::Pace;
use super::*;

/// Longer than any test may take.
const LONG: Pace = Pace::of(Duration::from_secs(120));

fn ledger(bench: &Bench) -> Arc<Ledger> {
    Arc::new(Ledger::open(&bench.settings().ledger).unwrap())
}

/// A stop waits for no slot of windows that are given up.
#[test]
fn windows_that_are_withheld_before_a_draw_wait_for_no_slot() {
    let mut export = export("1h");
    (export.window.publish_marked, export.window.splits_max) = (Vec::new(), None);
    let bench = Bench::of(&export, NOON + 60);
    let begun = Instant::now();
    let outcomes = bench.releaser(&ledger(&bench)).at_pace(LONG).release_all(Some(Early::Drain));
    assert!(matches!(&outcomes[..], [Outcome { result: Err(Withheld::Marked(_)), .. }]), "{outcomes:?}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// What is drawn for does, whatever becomes of it.
#[test]
fn a_window_that_is_drawn_for_waits_for_its_slot() {
    let bench = Bench::at(NOON);
    let slot = Duration::from_millis(700);
    let mut releaser = bench.releaser(&ledger(&bench)).at_pace(Pace::of(slot));
    bench.clock.set(NOON + 3600);
    let begun = Instant::now();
    let outcomes = releaser.release_all(None);
    assert!(matches!(&outcomes[..], [Outcome { result: Ok(_), .. }]), "{outcomes:?}");
    assert!(begun.elapsed() >= slot);
}

fn posted() -> Bench {
    let mut export = Export { contract: None, ..export("1h") };
    export.window.splits_max = None;
    (export.horizon.value, export.budget_epsilon) = ("2h".to_owned(), Some(text("120")));
    Bench::of(&export, NOON)
}

fn text(value: &str) -> Spanned<String> {
    Spanned::new(value.to_owned(), Span::default())
}

fn post(line: &ExportLine, bench: &Bench, start_secs: i64) -> Result<Vec<u8>, Withheld> {
    let query = Arc::clone(&bench.plans.exports[0].query);
    let window = query.schedule.tiling().window_at(start_secs);
    line.post(query, POLICY, window, Exact::new(Cells::declared(1, vec![10, 20, 30])))
}

/// Whoever brings a table for a window that can be paid for no more is told so; no window is missing for it.
#[test]
fn a_table_for_a_window_before_the_horizon_is_its_senders_mistake() {
    let bench = posted();
    let line = bench.start();
    post(&line, &bench, NOON - 3600).unwrap();
    let refused = post(&line, &bench, NOON - 4 * 3600).unwrap_err();
    assert!(matches!(refused, Withheld::Unpaid(CannotSpend::BeforeHorizon { .. })), "{refused}");
    assert!(refused.is_askers_mistake());
    let none = "privet_export_windows_withheld_total{reason=\"unpaid\"} 0";
    assert!(bench.metrics.render().contains(none), "{}", bench.metrics.render());
}

#[test]
fn no_table_is_taken_while_the_process_stops() {
    let bench = posted();
    let line = bench.start();
    drop(line.drain());
    let refused = post(&line, &bench, NOON - 3600).unwrap_err();
    assert!(matches!(refused, Withheld::Stopping), "{refused}");
    assert!(bench.log.charges.lock().unwrap().is_empty());
}
