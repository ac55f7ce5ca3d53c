use privet_dp::fleet::Fleet;
use privet_dp::schedule::{EventTime, Late, Mark};

use super::super::Plan;
use super::super::tests::from_policies;

const WRITTEN: &str = "window: {length: 1h}";

fn planned(instead: &str) -> Plan {
    from_policies(WRITTEN, instead).unwrap_or_else(|shown| panic!("{instead}\n{shown}")).remove(0)
}

/// The message and the line under the caret of the one problem.
fn shown(instead: &str) -> String {
    from_policies(WRITTEN, instead).map(|_| instead).expect_err("it cannot be planned")
}

#[track_caller]
fn shows(instead: &str, parts: &[&str]) {
    let shown = shown(instead);
    for part in parts {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert_eq!(shown.matches("error[").count(), 1, "{shown}");
}

#[test]
fn everything_that_is_written_arrives() {
    let plan = planned(
        "window: {length: 1h, time: originalTimestamp, allowed_lateness: 10m, late: drop, publish_after: 30s, publish_marked: [restart, ring_changed]}",
    );
    let schedule = &plan.query.schedule;
    assert_eq!(schedule.event_time(), Some(EventTime { lateness_secs: 600, late: Late::Drop }));
    assert_eq!(schedule.publish_after_secs(), 30);
    assert_eq!(Mark::ALL.map(|mark| schedule.publishes(mark)), [true, false, false, true]);
    assert_eq!(plan.time.unwrap().to_string(), "originalTimestamp");
    assert_eq!(plan.query.fleet, Fleet::ONE_POD);
}

#[test]
fn windows_that_are_open_together_share_the_memory() {
    let units = |instead| planned(instead).query.admission.units_max.get();
    let (one, two) = (units(WRITTEN), units("window: {length: 1h, time: originalTimestamp}"));
    assert!(one.abs_diff(2 * two) <= 2 && two > 100_000 || one == 1_000_000, "{one} {two}");
}

#[test]
fn a_calendar_counts_one_window_more() {
    shows(
        "window: {calendar: hour, timezone: Europe/Berlin}",
        &[
            "error[P115]: 721 windows at epsilon 0.1 each do not fit a budget of epsilon 72",
            "cost epsilon 72.1 together",
        ],
    );
    let plan = planned("window: {calendar: day, timezone: europe/berlin}");
    assert_eq!(plan.query.budget.windows(&plan.query.schedule), 31);
    assert_eq!(planned("window: {calendar: hour, timezone: UTC}").query.schedule.tiling().usual_length().secs(), 3600);
}

#[test]
fn a_split_is_a_release_of_every_window() {
    shows(
        "window: {length: 1h, splits_max: 1}",
        &[
            "error[P115]: 720 windows of up to 2 releases at epsilon 0.1 each do not fit a budget of epsilon 72",
            "room for 720 releases in 30d",
            "cost epsilon 144 together",
        ],
    );
    assert_eq!(planned("window: {length: 2h, splits_max: 1}").query.schedule.releases_max(), 2);
}

#[test]
fn a_fleet_multiplies_what_it_has_to() {
    shows(
        "window: {length: 1h}\nfleet: {topology: per_pod, ledgers: 3}",
        &["720 windows at epsilon 0.3 each do not fit", "every charge counts 3 times", "cost epsilon 216 together"],
    );
    let sharded = planned("window: {length: 1h}\nfleet: {topology: user_sharded}");
    assert_eq!(sharded.query.guarantee().multiplier.get(), 1);
    let through_changes = "window: {length: 2h, publish_marked: [ring_changed]}\nfleet: {topology: user_sharded}";
    assert_eq!(planned(through_changes).query.guarantee().multiplier.get(), 2);
    assert_eq!(planned("window: {length: 1h}\nfleet: {topology: per_pod}").query.guarantee().multiplier.get(), 1);
}

#[test]
fn a_window_is_of_one_length_or_of_a_calendar() {
    shows("window: {splits_max: 0}", &["error[P116]: nothing says how long a window is"]);
    shows(
        "window: {length: 1h, calendar: day, timezone: UTC}",
        &["error[P116]: a window has a `length` or a `calendar`, not both"],
    );
    shows("window: {length: 1h, timezone: UTC}", &["error[P116]", "^^^"]);
}

#[test]
fn a_calendar_names_a_zone_that_there_is() {
    shows(
        "window: {calendar: week, timezone: UTC}",
        &["error[P117]: `week` is no part of a calendar", "write `hour` or `day`"],
    );
    shows("window: {calendar: day}", &["error[P117]: a calendar needs a `timezone`"]);
    shows(
        "window: {calendar: day, timezone: Europe/Berln}",
        &[
            "error[P117]: there is no time zone `Europe/Berln`",
            "^^^^^^^^^^^^",
            "such as `Europe/Berlin`",
            "privet brings the IANA database 20",
        ],
    );
}

#[test]
fn nothing_is_late_without_a_time() {
    shows(
        "window: {length: 1h, allowed_lateness: 10m}",
        &["error[P118]", "`allowed_lateness` has no meaning", "add `time:`"],
    );
    shows("window: {length: 1h, late: drop}", &["error[P118]", "`late` has no meaning"]);
    shows(
        "window: {length: 1h, time: originalTimestamp, late: keep}",
        &["error[P118]: `keep` is nothing that can become of a late event"],
    );
}

#[test]
fn a_window_waits_no_longer_than_it_is() {
    shows(
        "window: {length: 1h, time: originalTimestamp, allowed_lateness: 61m}",
        &["error[P119]: a window may be held open for one window's length (1h) at most", "^^^"],
    );
    shows(
        "window: {length: 1h, publish_after: 2h}",
        &["error[P119]: a window may be published one window's length (1h) after"],
    );
    shows("window: {length: 1h, publish_after: soon}", &["error[P106]: `soon` is no length of time"]);
}

#[test]
fn shed_windows_cannot_be_listed() {
    shows(
        "window: {length: 1h, publish_marked: [restart, shed]}",
        &[
            "error[P120]: a window in which load was shed cannot be published",
            "^^^^ no epsilon would hold",
            "one person moves the counts of others without bound",
        ],
    );
    shows("window: {length: 1h, publish_marked: [crashed]}", &["error[P120]: no window is marked `crashed`"]);
}

#[test]
fn splits_and_ledgers_have_bounds() {
    shows("window: {length: 1h, splits_max: 25}", &["error[P121]: `splits_max` must be from 0 to 24"]);
    let counted = "from: {contract: storefront.search}\nunit: userId\nwindow: {length: 1h}";
    let posted = "from: {table: posted}\nunit: userId\nwindow: {length: 2h, splits_max: 1}";
    let shown = from_policies(counted, posted).map(drop).expect_err("it has parts");
    assert!(shown.contains("error[P121]: a table that is posted is released once, in one part"), "{shown}");
    shows(
        "window: {length: 1h}\nfleet: {topology: per_pod, ledgers: 0}",
        &["error[P122]: `ledgers` must be from 1 to 10000"],
    );
    shows(
        "window: {length: 1h}\nfleet: {topology: user_sharded, ledgers: 2}",
        &["error[P122]: shards of one ring do not add up"],
    );
    shows("window: {length: 1h}\nfleet: {topology: mesh}", &["error[P122]: there is no topology `mesh`"]);
}
