//! When an export counts and publishes, and by which pods: what was written becomes a schedule and a fleet.

use privet_dp::calendar::{CalendarUnit, Zone};
use privet_dp::fleet::{Fleet, LEDGERS_MAX};
use privet_dp::schedule::{EventTime, Late, Mark, Marks, NotASchedule, SPLITS_MAX, Schedule, Tiling};
use privet_dp::window::Span;
use privet_policy::diagnostic::Diagnostic;
use privet_policy::export::Window;
use privet_policy::span::Spanned;

use super::{Planner, span};

impl Planner<'_> {
    /// A table that somebody brings whole has no parts.
    pub(super) fn posted_in_one_part(&mut self) {
        let splits = self.export.window.splits_max.as_ref().filter(|splits| splits.value > 0);
        if let (Some(splits), None) = (splits, &self.export.contract) {
            self.report(
                Diagnostic::error("P121", &splits.at, "a table that is posted is released once, in one part")
                    .help("leave `splits_max` away: a drained pod holds nothing of this export"),
            );
        }
    }

    /// The fleet; one pod where none is written.
    pub(super) fn fleet(&mut self) -> Option<Fleet> {
        let Some(written) = &self.export.fleet else { return Some(Fleet::ONE_POD) };
        let ledgers = written.ledgers.as_ref();
        match (written.topology.value.as_str(), ledgers) {
            ("per_pod", None) => Some(Fleet::ONE_POD),
            ("per_pod", Some(ledgers)) => {
                let fleet = Fleet::per_pod(ledgers.value);
                if fleet.is_none() {
                    let message = format!("`ledgers` must be from 1 to {LEDGERS_MAX}");
                    self.report(Diagnostic::error("P122", &ledgers.at, message).help(
                        "count the ledgers that live within one horizon: pods, and volumes or restarts that lose one",
                    ));
                }
                fleet
            }
            ("user_sharded", None) => Some(Fleet::UserSharded),
            ("user_sharded", Some(ledgers)) => {
                let message = "shards of one ring do not add up, so `ledgers` has no meaning here";
                self.report(
                    Diagnostic::error("P122", &ledgers.at, message)
                        .help("leave it away, or write `topology: per_pod` if a person's events may reach any pod"),
                );
                None
            }
            (other, _) => {
                let message = format!("there is no topology `{other}`");
                self.report(
                    Diagnostic::error("P122", &written.topology.at, message).help(
                        "write `per_pod`, or `user_sharded` where the platform gives every pod its place in a ring",
                    ),
                );
                None
            }
        }
    }
}

/// Reads a `window:`, and goes on after a mistake to find the next.
pub(super) struct Windows<'a> {
    pub(super) window: &'a Window,
    pub(super) problems: &'a mut Vec<Diagnostic>,
}

impl Windows<'_> {
    /// The schedule, if nothing about it is wrong.
    pub(super) fn schedule(&mut self) -> Option<Schedule> {
        let before = self.problems.len();
        let schedule = self.tiling().map(Schedule::new)?;
        let schedule = self.with_event_times(schedule);
        let schedule = self.with_slot(schedule);
        let schedule = self.with_marks(schedule);
        let schedule = self.with_splits(schedule);
        (self.problems.len() == before).then_some(schedule)
    }

    fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    fn span(&mut self, written: &Spanned<String>) -> Option<Span> {
        span(written, self.problems)
    }

    fn tiling(&mut self) -> Option<Tiling> {
        let window = self.window;
        match (&window.length, &window.calendar, &window.timezone) {
            (Some(length), None, None) => self.span(length).map(Tiling::Tumbling),
            (None, Some(unit), zone) => self.calendar(unit, zone.as_ref()),
            (Some(_), Some(both), _) => {
                let message = "a window has a `length` or a `calendar`, not both";
                self.report(Diagnostic::error("P116", &both.at, message).help("leave one of them away"));
                None
            }
            (Some(_), None, Some(zone)) => {
                let message = "windows of one length tumble from 1970 in UTC, so a `timezone` has no meaning here";
                self.report(
                    Diagnostic::error("P116", &zone.at, message)
                        .help("write `calendar: hour` or `calendar: day` in place of the `length`"),
                );
                None
            }
            (None, None, _) => {
                self.report(
                    Diagnostic::error("P116", &window.at, "nothing says how long a window is")
                        .help("write `length: 1h`, or `calendar: day` and a `timezone`"),
                );
                None
            }
        }
    }

    fn calendar(&mut self, unit: &Spanned<String>, zone: Option<&Spanned<String>>) -> Option<Tiling> {
        let known = CalendarUnit::named(&unit.value);
        if known.is_none() {
            self.report(
                Diagnostic::error("P117", &unit.at, format!("`{}` is no part of a calendar", unit.value))
                    .help("write `hour` or `day`"),
            );
        }
        let Some(zone) = zone else {
            self.report(
                Diagnostic::error("P117", &unit.at, "a calendar needs a `timezone`")
                    .help("add `timezone: Europe/Berlin`, or `timezone: UTC`"),
            );
            return None;
        };
        let named = Zone::named(&zone.value).map_err(|error| {
            self.report(
                Diagnostic::error("P117", &zone.at, format!("there is no time zone `{}`", zone.value))
                    .help(error.to_string())
                    .note(format!("privet brings the IANA database {} with it", Zone::database_version())),
            );
        });
        Some(Tiling::Calendar(known?, named.ok()?))
    }

    fn with_event_times(&mut self, schedule: Schedule) -> Schedule {
        let window = self.window;
        if window.time.is_none() {
            for (written, name) in [(&window.allowed_lateness, "allowed_lateness"), (&window.late, "late")] {
                if let Some(written) = written {
                    let message =
                        format!("an event counts when it arrives, so nothing is late and `{name}` has no meaning");
                    self.report(
                        Diagnostic::error("P118", &written.at, message)
                            .help(format!("add `time:` with the path of the event's own time, or leave `{name}` away")),
                    );
                }
            }
            return schedule;
        }
        let late = match window.late.as_ref() {
            None => Late::NextWindow,
            Some(written) => Late::named(&written.value).unwrap_or_else(|| {
                let message = format!("`{}` is nothing that can become of a late event", written.value);
                self.report(Diagnostic::error("P118", &written.at, message).help("write `next_window` or `drop`"));
                Late::Drop
            }),
        };
        let allowed = window.allowed_lateness.as_ref();
        let lateness_secs = allowed.and_then(|written| self.span(written)).map_or(0, |span| span.secs());
        self.keep_or_report(schedule, allowed, "P119", |schedule| {
            schedule.by_event_time(EventTime { lateness_secs, late })
        })
    }

    fn with_slot(&mut self, schedule: Schedule) -> Schedule {
        let Some(written) = &self.window.publish_after else { return schedule };
        let Some(span) = self.span(written) else { return schedule };
        self.keep_or_report(schedule, Some(written), "P119", |schedule| schedule.published_after(span.secs()))
    }

    fn with_marks(&mut self, schedule: Schedule) -> Schedule {
        let mut marks = Marks::NONE;
        for written in &self.window.publish_marked {
            match Mark::named(&written.value) {
                Some(Mark::Shed) => self.report(shed_is_never_published(written)),
                Some(mark) => marks = marks.with(mark),
                None => self.report(
                    Diagnostic::error("P120", &written.at, format!("no window is marked `{}`", written.value))
                        .help("write `restart`, `drained` or `ring_changed`"),
                ),
            }
        }
        schedule.clone().publishing_marked(marks).unwrap_or(schedule)
    }

    fn with_splits(&mut self, schedule: Schedule) -> Schedule {
        let Some(written) = &self.window.splits_max else { return schedule };
        let times = written.value;
        if times > SPLITS_MAX {
            let message = format!("`splits_max` must be from 0 to {SPLITS_MAX}");
            self.report(
                Diagnostic::error("P121", &written.at, message)
                    .help("every split is paid for in every window: count how often a pod is drained within one"),
            );
        }
        schedule.clone().split_at_most(times).unwrap_or(schedule)
    }

    /// The schedule with a part more, or as it was and a problem at the place of that part.
    fn keep_or_report(
        &mut self,
        schedule: Schedule,
        written: Option<&Spanned<String>>,
        code: &'static str,
        add: impl FnOnce(Schedule) -> Result<Schedule, NotASchedule>,
    ) -> Schedule {
        add(schedule.clone()).unwrap_or_else(|error| {
            let at = written.map_or(&self.window.at, |written| &written.at);
            self.report(Diagnostic::error(code, at, error.to_string()).help("make it shorter, or the window longer"));
            schedule
        })
    }
}

fn shed_is_never_published(written: &Spanned<String>) -> Diagnostic {
    Diagnostic::error("P120", &written.at, "a window in which load was shed cannot be published")
        .label("no epsilon would hold")
        .help("leave `shed` away; to lose fewer windows, raise the limits that requests are refused at")
        .note("who is refused then depends on what others sent, so one person moves the counts of others without bound")
}

#[cfg(test)]
mod tests;
