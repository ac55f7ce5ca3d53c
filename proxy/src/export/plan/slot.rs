//! How long a policy's releases take, which is known before anything is counted.
//!
//! Promise: the shortest window has room for the releases of all exports, so
//! that none waits until it is given up; and how long a process may take to stop
//! can be told to whoever stops it.
//!
//! Not here: the waiting itself ([`super::super::pace`]).

use std::time::Duration;

use privet_dp::schedule::Schedule;
use privet_policy::diagnostic::Diagnostic;
use privet_policy::export::Window;

use super::super::counted::cells;
use super::super::pace::Pace;
use super::Plans;

/// How often all exports could leave within the shortest window, at least: the noise
/// thread has to keep up with them, also where a machine is slow.
const SLOTS_IN_A_WINDOW: u32 = 4;

impl Plans {
    /// How long after the end of their windows tables leave, where the windows of all
    /// exports end at once: the slot that hides how long noise took to draw. Nothing else is
    /// released meanwhile.
    #[must_use]
    pub fn release_takes(&self) -> Duration {
        Pace::REAL.lasts(self.cells().map(|(cells, _)| cells).sum())
    }

    /// How long it takes at most, after the last request, until the exports of a process that
    /// stops are out: what is being released at that moment, then every window in memory, where
    /// all may be published early. A draw that misses its slot takes another one, and what
    /// PostgreSQL takes to answer comes beside it.
    #[must_use]
    pub fn stop_takes(&self) -> Duration {
        let in_memory = self.cells().map(|(cells, windows)| cells.saturating_mul(windows)).sum();
        self.release_takes() + Pace::REAL.lasts(in_memory)
    }

    /// Of each export and survey, how many numbers a release has at most, and how many
    /// windows it has in memory.
    fn cells(&self) -> impl Iterator<Item = (usize, usize)> {
        let windows = |schedule: &Schedule| usize::try_from(schedule.windows_in_memory()).unwrap_or(usize::MAX);
        let exports = self.exports.iter().map(move |plan| (cells(&plan.query), windows(&plan.query.schedule)));
        let surveys = self.surveys.iter().map(|plan| &plan.survey);
        exports.chain(surveys.map(move |survey| (survey.question.answers().len(), windows(&survey.schedule))))
    }

    /// The schedules of exports, then those of surveys; none of a table that is posted, for
    /// whoever posts waits.
    fn schedules(&self) -> impl Iterator<Item = Option<&Schedule>> {
        let exports = self.exports.iter().map(|plan| plan.contract.as_ref().map(|_| &plan.query.schedule));
        exports.chain(self.surveys.iter().map(|plan| Some(&plan.survey.schedule)))
    }
}

/// That tables would leave so long after their windows that the next ones wait, and in the
/// end are given up. `windows` are those that were written for the plans, in their order.
pub(super) fn longer_than_windows<'a>(windows: impl Iterator<Item = &'a Window>, plans: &Plans) -> Option<Diagnostic> {
    let lengths = plans.schedules().map(|schedule| Some(schedule?.tiling().usual_length()));
    let counting = windows.zip(lengths).filter_map(|(written, length)| Some((written, length?)));
    let (written, length) = counting.min_by_key(|(_, length)| length.secs())?;
    let takes = plans.release_takes();
    if takes * SLOTS_IN_A_WINDOW <= Duration::from_secs(length.secs()) {
        return None;
    }
    let at = written.length.as_ref().map_or(&written.at, |length| &length.at);
    let numbers: usize = plans.cells().map(|(cells, _)| cells).sum();
    let least = (takes * SLOTS_IN_A_WINDOW).as_secs_f64().ceil();
    let takes = takes.as_secs_f64();
    let message = format!("tables would leave {takes:.1}s after windows of {length}, and the next ones wait for them");
    let problem = Diagnostic::error("P129", at, message).note(format!(
        "the exports of this policy draw up to {numbers} numbers at once, canaries included; how long that took is hidden by a fixed time for each"
    ));
    Some(problem.help(format!(
        "make this window at least {least}s long, or draw less at once: fewer keys or `keys_max`, fewer intervals or candidates"
    )))
}

#[cfg(test)]
mod tests {
    use privet_policy::export::Export;

    use super::super::plan;
    use super::super::tests::{searches, text};
    use super::*;

    /// Three keys and 32 canaries: 38 numbers, 103.8 ms.
    fn of(length: &str, canaries: u64) -> Export {
        let mut export = searches();
        export.window.length = Some(text(length, 2));
        export.canaries.value = canaries;
        (export.horizon, export.budget_epsilon) = (text("1d", 7), Some(text("100000", 8)));
        export
    }

    #[test]
    fn what_a_release_and_a_stop_take_follows_from_the_numbers_alone() {
        let mut late = of("1h", 32);
        late.window.publish_after = Some(text("30s", 11));
        let plans = plan(&[of("1m", 32)], &[]).unwrap();
        assert_eq!(plans.release_takes(), Duration::from_micros(103_800));
        assert_eq!(plans.stop_takes(), Duration::from_micros(2 * 103_800));
        let plans = plan(&[late], &[]).unwrap();
        assert_eq!(plans.stop_takes(), Duration::from_micros(103_800 + 107_600), "one more window waits");
    }

    #[test]
    fn a_release_that_takes_longer_than_a_quarter_of_the_shortest_window_is_refused() {
        assert!(plan(&[of("1s", 994)], &[]).is_ok());
        let mut other = of("1h", 1000);
        other.name = text("other", 12);
        for exports in [vec![of("1s", 1000), other.clone()], vec![other.clone(), of("1s", 1000)]] {
            let problems = plan(&exports, &[]).unwrap_err();
            assert_eq!((problems[0].code, problems[0].at.bytes.start, problems.len()), ("P129", 2, 1));
            assert!(problems[0].message.contains("0.3s after windows of 1s"), "{}", problems[0].message);
        }
        other.contract = None;
        assert!(plan(&[other.clone(), of("1s", 400)], &[]).is_ok(), "0.25 s in all");
        other.window.length = Some(text("1s", 2));
        let only_posted = plan(&[other], &[]);
        assert!(only_posted.is_ok(), "whoever posts waits: {:?}", only_posted.err());
    }
}
