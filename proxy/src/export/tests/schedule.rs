//! Windows that are late, marked, split, and shared among pods.

use super::*;

/// The export of the other tests, published only where it was counted whole.
fn whole_only(change: impl FnOnce(&mut WrittenWindow)) -> Export {
    let mut export = export("1h");
    export.window = WrittenWindow::of_length(text("1h"));
    change(&mut export.window);
    export
}

fn text(value: &str) -> Spanned<String> {
    Spanned::new(value.to_owned(), Span::default())
}

fn by_event_time(late: &str) -> Export {
    whole_only(|window| {
        window.time = Some(Spanned::new(privet_policy::path::Path::keys(&["sentAt"]), Span::default()));
        window.allowed_lateness = Some(text("10m"));
        window.late = Some(text(late));
        window.publish_marked = vec![text("restart")];
    })
}

impl Bench {
    /// Waits, within bounds, until so many windows were withheld for this reason.
    pub(super) fn wait_for_withheld(&self, reason: &str, windows: usize) {
        let line = format!("privet_export_windows_withheld_total{{reason=\"{reason}\"}} {windows}");
        let started = Instant::now();
        while !self.metrics.render().contains(&line) {
            assert!(started.elapsed() < Duration::from_secs(20), "{line} in\n{}", self.metrics.render());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn charges(&self) -> usize {
        self.log.charges.lock().unwrap().len()
    }
}

fn units(line: &ExportLine, units: std::ops::Range<u32>, key: usize, event_secs: Option<i64>) {
    units.for_each(|unit| line.observe(0, Row { event_secs, ..row(&unit.to_le_bytes(), key) }, &POLICY));
}

#[test]
fn a_window_that_the_process_started_in_is_withheld_and_costs_nothing() {
    let bench = Bench::of(&whole_only(|_| {}), NOON + 1);
    let line = bench.start();
    units(&line, 0..50, 0, None);
    bench.clock.set(NOON + 3600);
    bench.wait_for_withheld("restart", 1);
    units(&line, 0..50, 1, None);
    bench.clock.set(NOON + 7200);
    let files = bench.wait_for(1);
    assert_eq!((files.len(), bench.charges()), (1, 1));
    assert!(near(&values(&files[0]), [0, 50, 0]));
    assert!(receipt(&files[0]).window.marks.is_empty());
}

#[test]
fn a_mark_that_is_listed_is_published_with_its_window() {
    let listed = whole_only(|window| window.publish_marked = vec![text("restart")]);
    let bench = Bench::of(&listed, NOON + 1);
    let _line = bench.start();
    bench.clock.set(NOON + 3600);
    let published = receipt(&bench.wait_for(1)[0]);
    assert_eq!(published.window.marks.iter().collect::<Vec<_>>(), [Mark::Restart]);
    assert_eq!(published.window.observed_from.as_second(), NOON + 1);
}

#[test]
fn a_window_in_which_load_was_shed_is_never_published() {
    let bench = Bench::at(NOON);
    let line = bench.start();
    units(&line, 0..50, 0, None);
    line.shed();
    bench.clock.set(NOON + 3600);
    bench.wait_for_withheld("shed", 1);
    assert_eq!(bench.charges(), 0);
    units(&line, 0..50, 1, None);
    bench.clock.set(NOON + 7200);
    assert!(near(&values(&bench.wait_for(1)[0]), [0, 50, 0]), "the next window is whole again");
    bench.clock.set(NOON + 10_800);
    // A window may not have been opened yet when its first second comes.
    line.shed();
    bench.clock.set(NOON + 14_400);
    bench.wait_for_withheld("shed", 2);
    line.shed();
    assert!(line.flush_now().is_empty(), "closing early does not publish what may not be published");
    let drained = line.drain();
    assert!(matches!(drained[0].result, Err(Withheld::Marked(Mark::Shed))));
}

#[test]
fn a_window_is_published_at_its_slot() {
    let slotted = whole_only(|window| window.publish_after = Some(text("30s")));
    let bench = Bench::of(&slotted, NOON);
    let line = bench.start();
    units(&line, 0..60, 0, None);
    bench.clock.set(NOON + 3629);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!((bench.charges(), bench.files().len()), (0, 0), "the slot is not there yet");
    // Until then, whoever withdraws is taken out of the window that waits.
    (0_u32..40).for_each(|unit| line.withdraw(&unit.to_le_bytes()));
    units(&line, 0..60, 2, None);
    bench.clock.set(NOON + 3630);
    let files = bench.wait_for(1);
    assert!(near(&values(&files[0]), [20, 0, 0]), "{:?}", values(&files[0]));
    assert_eq!(receipt(&files[0]).window.end.as_second(), NOON + 3600);
}

#[test]
fn a_late_event_counts_in_its_own_window_as_long_as_that_is_held_open() {
    let bench = Bench::of(&by_event_time("next_window"), NOON);
    let line = bench.start();
    units(&line, 0..10, 0, Some(NOON + 60));
    bench.clock.set(NOON + 3600 + 599);
    units(&line, 10..30, 0, Some(NOON + 3599));
    units(&line, 0..30, 1, Some(NOON + 3600));
    // What claims to come from the future comes now; what has no time comes now.
    units(&line, 30..35, 1, Some(NOON + 999_999));
    units(&line, 35..40, 1, None);
    // Older than every open window: the first one that is still open.
    units(&line, 40..44, 2, Some(NOON - 1));
    bench.clock.set(NOON + 3600 + 600);
    let first = bench.wait_for(1).remove(0);
    assert!(near(&values(&first), [30, 0, 4]), "{:?}", values(&first));
    // Its window is closed now, and is not opened again.
    units(&line, 50..53, 2, Some(NOON + 3599));
    bench.clock.set(NOON + 7200 + 600);
    let files = bench.wait_for(2);
    assert!(near(&values(&files[1]), [0, 40, 3]), "{:?}", values(&files[1]));
    assert_eq!(fs::read(&first).unwrap(), fs::read(&files[0]).unwrap());
}

#[test]
fn a_late_event_may_be_dropped() {
    let bench = Bench::of(&by_event_time("drop"), NOON);
    let line = bench.start();
    units(&line, 0..20, 0, Some(NOON - 1));
    units(&line, 20..30, 0, Some(NOON));
    bench.clock.set(NOON + 4200);
    assert!(near(&values(&bench.wait_for(1)[0]), [10, 0, 0]));
}

#[test]
fn a_withdrawal_reaches_both_open_windows() {
    let bench = Bench::of(&by_event_time("next_window"), NOON);
    let line = bench.start();
    units(&line, 0..50, 0, Some(NOON));
    bench.clock.set(NOON + 3700);
    units(&line, 0..50, 1, Some(NOON + 3700));
    (0_u32..40).for_each(|unit| line.withdraw(&unit.to_le_bytes()));
    bench.clock.set(NOON + 7800);
    let files = bench.wait_for(2);
    assert!(near(&values(&files[0]), [10, 0, 0]) && near(&values(&files[1]), [0, 10, 0]));
}

/// A policy that exports no more leaves windows behind, which a refusal of whatever purpose reaches.
#[test]
fn a_withdrawal_reaches_the_windows_that_an_earlier_policy_left() {
    let bench = Bench::of(&whole_only(|window| window.publish_after = Some(text("30m"))), NOON);
    let line = bench.start();
    units(&line, 0..20, 0, None);
    bench.clock.set(NOON + 3600);
    line.observe(0, row(b"next window", 0), &POLICY);
    line.adopt(&Plans::default(), NEXT_POLICY, PolicyChange::Tightens).unwrap();
    (0_u32..10).for_each(|unit| line.withdraw_from_earlier(&unit.to_le_bytes()));
    bench.clock.set(NOON + 5400);
    assert!(near(&values(&bench.wait_for(1)[0]), [10, 0, 0]));
}

#[test]
fn a_pod_that_is_drained_publishes_what_it_may_and_counts_no_more() {
    let drained = whole_only(|window| window.publish_marked = vec![text("drained")]);
    let bench = Bench::of(&drained, NOON);
    let line = bench.start();
    units(&line, 0..40, 2, None);
    bench.clock.set(NOON + 900);
    let outcomes = line.drain();
    let published = receipt(&outcomes[0].result.as_ref().unwrap().path);
    assert_eq!(published.window.marks.iter().collect::<Vec<_>>(), [Mark::Drained]);
    assert_eq!(published.window.observed_until.as_second(), NOON + 900);
    units(&line, 0..40, 2, None);
    bench.clock.set(NOON + 7200);
    assert!(line.drain().is_empty());
    assert_eq!(bench.charges(), 1);
}

#[test]
fn a_pod_that_is_drained_gives_up_what_may_not_be_published_so() {
    let bench = Bench::of(&whole_only(|_| {}), NOON);
    let line = bench.start();
    assert!(line.flush_now().is_empty(), "a window that may not be split goes on");
    units(&line, 0..40, 2, None);
    let outcomes = line.drain();
    assert!(matches!(outcomes[0].result, Err(Withheld::Marked(Mark::Drained))));
    bench.wait_for_withheld("drained", 1);
    assert_eq!((bench.charges(), bench.files().len()), (0, 0));
}

#[test]
fn a_window_is_split_as_often_as_is_paid_for() {
    let bench = Bench::at(NOON);
    let line = bench.start();
    for published in [1, 1, 0, 0] {
        assert_eq!(line.flush_now().len(), published);
    }
    units(&line, 0..40, 0, None);
    bench.clock.set(NOON + 3600);
    units(&line, 0..40, 1, None);
    bench.clock.set(NOON + 7200);
    let files = bench.wait_for(3);
    assert!(near(&values(&files[2]), [0, 40, 0]), "counting went on with the next window");
    assert!(receipt(&files[2]).window.marks.is_empty());
}

#[test]
fn days_of_a_time_zone_are_windows() {
    let daily = whole_only(|window| {
        window.length = None;
        (window.calendar, window.timezone) = (Some(text("day")), Some(text("Europe/Berlin")));
    });
    // The day that has 25 hours.
    let begins = "2026-10-24T22:00:00Z".parse::<Timestamp>().unwrap().as_second();
    let bench = Bench::of(&daily, begins);
    let line = bench.start();
    units(&line, 0..20, 0, None);
    bench.clock.set(begins + 25 * 3600 - 1);
    units(&line, 20..40, 0, None);
    bench.clock.set(begins + 25 * 3600);
    let files = bench.wait_for(1);
    assert!(near(&values(&files[0]), [40, 0, 0]));
    assert_eq!(receipt(&files[0]).window.end.to_string(), "2026-10-25T23:00:00Z");
}

fn sharded(listed: &[&str]) -> Export {
    let mut export = whole_only(|window| window.publish_marked = listed.iter().map(|mark| text(mark)).collect());
    export.fleet = Some(privet_policy::export::Fleet { topology: text("user_sharded"), ledgers: None });
    export
}

fn ring(epoch: u64, own: &str) -> Ring {
    Ring::new(epoch, ["a", "b", "c"].map(str::to_owned).to_vec(), own).unwrap()
}

#[test]
fn the_shards_of_a_ring_count_each_unit_once() {
    let mut counted = [0; 3];
    for own in ["a", "b", "c"] {
        let mut bench = Bench::of(&sharded(&[]), NOON);
        bench.ring = Some(ring(41, own));
        let line = bench.start();
        units(&line, 0..900, 1, None);
        bench.clock.set(NOON + 3600);
        let published = receipt(&bench.wait_for(1)[0]);
        published.values.iter().zip(&mut counted).for_each(|(row, counted)| *counted += row.value);
        let place = published.privacy.fleet.ring.unwrap();
        assert_eq!((place.epoch, place.shard.as_str()), (41, own));
        assert_eq!(published.privacy.this_release.loss().unwrap().nano(), 60_000_000_000);
    }
    assert!((counted[1] - 900).abs() <= 18 && counted[0].abs() <= 18, "{counted:?}");
}

#[test]
fn a_sharded_export_without_a_ring_is_off() {
    let bench = Bench::of(&sharded(&["restart", "drained", "ring_changed"]), NOON);
    let line = bench.start();
    units(&line, 0..100, 1, None);
    bench.clock.set(NOON + 3600);
    assert!(line.drain().is_empty());
    assert_eq!(bench.charges(), 0);
}

#[test]
fn a_start_with_another_ring_marks_the_window_however_often_it_starts() {
    let mut bench = Bench::of(&sharded(&["restart", "drained"]), NOON);
    bench.ring = Some(ring(41, "a"));
    drop(bench.start());
    for (at, epoch, reason, windows) in [(NOON + 60, 42, "ring_changed", 1), (NOON + 120, 42, "ring_changed", 2)] {
        bench.clock.set(at);
        bench.ring = Some(ring(epoch, "a"));
        let line = bench.start();
        drop(line.drain());
        bench.wait_for_withheld(reason, windows);
    }
    bench.clock.set(NOON + 3660);
    let line = bench.start();
    bench.clock.set(NOON + 7200);
    let published = receipt(&bench.wait_for(1)[0]);
    assert_eq!(published.window.marks.iter().collect::<Vec<_>>(), [Mark::Restart]);
    drop(line);
}

#[test]
fn a_window_in_which_the_ring_changed_twice_is_not_counted() {
    let mut bench = Bench::of(&sharded(&["restart", "drained", "ring_changed"]), NOON);
    for (at, epoch) in [(NOON, 41), (NOON + 60, 42), (NOON + 120, 43)] {
        bench.clock.set(at);
        bench.ring = Some(ring(epoch, "a"));
        drop(bench.start());
    }
    let line = bench.start();
    units(&line, 0..100, 1, None);
    assert!(line.flush_now().is_empty(), "three shards may have counted a unit");
    bench.clock.set(NOON + 3600);
    units(&line, 0..100, 1, None);
    bench.clock.set(NOON + 7200);
    let published = receipt(&bench.wait_for(1)[0]);
    assert_eq!((published.window.start.as_second(), published.window.marks.is_empty()), (NOON + 3600, true));
}

#[test]
fn a_pod_without_a_memory_of_its_ring_begins_with_the_next_window() {
    let mut bench = Bench::of(&sharded(&["restart", "drained", "ring_changed"]), NOON + 1);
    bench.ring = Some(ring(41, "a"));
    let line = bench.start();
    assert!(line.flush_now().is_empty());
    bench.clock.set(NOON + 3600);
    units(&line, 0..100, 1, None);
    bench.clock.set(NOON + 7200);
    let published = receipt(&bench.wait_for(1)[0]);
    assert_eq!((published.window.start.as_second(), published.window.marks.is_empty()), (NOON + 3600, true));
}

#[test]
fn a_window_through_a_ring_change_is_charged_for_both_owners() {
    let mut bench = Bench::of(&sharded(&["restart", "ring_changed"]), NOON);
    bench.ring = Some(ring(41, "a"));
    drop(bench.start());
    bench.ring = Some(ring(42, "a"));
    bench.clock.set(NOON + 60);
    let line = bench.start();
    bench.clock.set(NOON + 3600);
    let published = receipt(&bench.wait_for(1)[0]);
    assert!(published.window.marks.contains(Mark::RingChanged));
    assert_eq!(published.privacy.this_release.loss().unwrap().nano(), 120_000_000_000);
    assert_eq!(verify(&[published.to_bytes()]).map(|report| report.receipts), Ok(1));
    drop(line);
}
