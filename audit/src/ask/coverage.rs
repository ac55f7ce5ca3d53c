//! `ask coverage`: what share of a period the log speaks for.
//!
//! A running sidecar leaves a record at least once a minute, traffic or not. So the time between two
//! neighbouring records is spoken for, unless it is longer than two heartbeats; before an incarnation
//! and after its last record nothing is. Where the wall clock went ahead of the monotonic one by more than that, as
//! it does while a machine is suspended, nothing is either. What the log says of itself (it could not be written, nothing
//! was released) is spoken for, and is listed.

use anyhow::Result;
use privet_audit_log::HEARTBEAT_MS;
use privet_audit_log::record::Record;
use serde::Serialize;
use serde_json::{Value, json};

use crate::alive::LastAlive;
use crate::answer::{Answer, Printed};
use crate::brought::Brought;
use crate::evidence::{Evidence, Told};
use crate::period::{Period, PeriodArgs, show};

/// A longer silence is none of a running sidecar: two heartbeats, and the ten seconds that times may be rounded by.
#[expect(clippy::cast_possible_wrap, reason = "two minutes in milliseconds")]
const SILENCE_MS_MAX: i64 = 2 * HEARTBEAT_MS as i64 + 10_000;

/// Of which period.
#[derive(clap::Args)]
pub struct Coverage {
    #[command(flatten)]
    brought: Brought,
    #[command(flatten)]
    period: PeriodArgs,
}

/// A time that is spoken for, by one incarnation without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Stretch {
    incarnation: u64,
    from_ms: i64,
    to_ms: i64,
}

/// What the records say about when the sidecar ran.
#[derive(Debug, Default)]
struct Watch {
    stretches: Vec<Stretch>,
    checks: Vec<Check>,
    /// Until when the newest stretch goes.
    alive: Option<LastAlive>,
    last_mono: u64,
    heartbeats: u64,
    bypass: Option<String>,
}

/// One look at the pod's sockets.
#[derive(Debug, Serialize)]
struct Check {
    incarnation: u64,
    record: u64,
    ts: i64,
    suspect: u64,
}

impl Watch {
    fn take(&mut self, told: &Told<'_>) {
        match told.entry.record.kind() {
            "heartbeat" => self.heartbeats += 1,
            "bypass.check" => self.check(told),
            "config" => self.bypass = told.value().get("bypass").and_then(Value::as_str).map(str::to_owned),
            _ => {}
        }
        // Lengths go by the monotonic clock: the wall clock may be set.
        let silence = told.entry.mono.saturating_sub(self.last_mono);
        self.last_mono = told.entry.mono;
        let goes_on = i64::try_from(silence).is_ok_and(|silence| silence <= SILENCE_MS_MAX) && !leapt(told);
        match (self.stretches.last_mut(), &mut self.alive) {
            (Some(last), Some(alive)) if last.incarnation == told.incarnation && goes_on => {
                alive.hear(told, told.entry.ts);
                last.to_ms = alive.ms();
            }
            _ => {
                let (incarnation, ts) = (told.incarnation, told.entry.ts);
                self.alive = Some(LastAlive::of(told, ts));
                self.stretches.push(Stretch { incarnation, from_ms: ts, to_ms: ts });
            }
        }
    }

    fn check(&mut self, told: &Told<'_>) {
        let suspect = told.value().get("suspect").and_then(Value::as_u64).unwrap_or(u64::MAX);
        self.checks.push(Check { incarnation: told.incarnation, record: told.index, ts: told.entry.ts, suspect });
    }

    /// The period, its open ends those of the log.
    fn bounds(&self, period: Period) -> (i64, i64) {
        let first = self.stretches.first().map_or(0, |stretch| stretch.from_ms);
        let last = self.stretches.iter().map(|stretch| stretch.to_ms).max().unwrap_or(first);
        (period.from.unwrap_or(first), period.to.unwrap_or(last))
    }

    /// The stretches within these bounds, and the breaks before, between and after them.
    fn within(&self, (from, to): (i64, i64)) -> (Vec<Stretch>, Vec<(i64, i64)>) {
        let clipped = self.stretches.iter().filter_map(|stretch| {
            let clipped = Stretch { from_ms: stretch.from_ms.max(from), to_ms: stretch.to_ms.min(to), ..*stretch };
            (clipped.from_ms <= clipped.to_ms).then_some(clipped)
        });
        let mut all: Vec<Stretch> = clipped.collect();
        all.sort_by_key(|stretch| (stretch.from_ms, stretch.incarnation));
        let (mut breaks, mut at) = (Vec::new(), from);
        for stretch in &all {
            if stretch.from_ms > at {
                breaks.push((at, stretch.from_ms));
            }
            at = at.max(stretch.to_ms);
        }
        if at < to {
            breaks.push((at, to));
        }
        (all, breaks)
    }
}

/// Whether the wall clock went on without the process for longer than a running one is silent. The monotonic clock stands
/// still while a machine is suspended, so this is how such a time shows; a clock that was set ahead shows the same.
fn leapt(told: &Told<'_>) -> bool {
    matches!(&told.entry.record, Record::Clock(clock) if clock.moved_ms > SILENCE_MS_MAX)
}

impl Coverage {
    /// Answers. A break is no finding where the log says itself that nothing ran; a silence within
    /// an incarnation is one of the verification's.
    ///
    /// # Errors
    /// There is no log to speak of.
    pub fn run(&self) -> Result<Printed> {
        let period = self.period.period()?;
        let evidence = Evidence::gather(&self.brought)?;
        let mut watch = Watch::default();
        evidence.walk(&mut |told| watch.take(told))?;
        let bounds = watch.bounds(period);
        let (stretches, breaks) = watch.within(bounds);
        let mut answer = Answer::to(format!("What does the log speak for, {}?", period.words()));
        let (missing, asked) = (sum(&breaks), (bounds.1 - bounds.0).max(0));
        answer.line(format!("{} of {} s, {}", seconds(asked - missing), seconds(asked), share(asked - missing, asked)));
        for stretch in &stretches {
            let Stretch { incarnation, from_ms, to_ms } = stretch;
            answer.line(format!("incarnation {incarnation} from {} to {}", show(*from_ms), show(*to_ms)));
        }
        for (from, to) in &breaks {
            answer.line(format!("nothing from {} to {}: {} s", show(*from), show(*to), seconds(to - from)));
        }
        let beyond = beyond(&evidence, period, bounds, &mut answer);
        let checks = checks(&watch, period, &mut answer);
        answer.value = json!({
            "from": show(bounds.0),
            "to": show(bounds.1),
            "asked_ms": asked,
            "evidenced_ms": asked - missing,
            "stretches": stretches,
            "breaks": breaks.iter().map(|(from, to)| json!({"from_ms": from, "to_ms": to})).collect::<Vec<_>>(),
            "heartbeats": watch.heartbeats,
            "lost": beyond,
            "bypass": watch.bypass,
            "bypass_checks": checks,
        });
        answer
            .assumed
            .push("the pod's wall clock was right: the log orders records, and takes times from it".to_owned());
        answer.assumed.push("this is the only pod that was asked about: each pod keeps its own log".to_owned());
        answer.print(&evidence, self.brought.json)
    }
}

fn sum(breaks: &[(i64, i64)]) -> i64 {
    breaks.iter().map(|(from, to)| to - from).sum()
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// A share of a hundred, rounded down: nothing is called whole that is not.
fn share(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return "a period of no length".to_owned();
    }
    let thousandths = i128::from(part) * 100_000 / i128::from(whole);
    format!("{}.{:03} %", thousandths / 1000, thousandths % 1000)
}

/// Time that was asked about and lies outside of the log altogether, and incarnations that are missing.
fn beyond(evidence: &Evidence, period: Period, (from, to): (i64, i64), answer: &mut Answer) -> Vec<String> {
    let report = &evidence.report;
    let begins = report.incarnations.first().map_or(to, |one| one.from_ms);
    let ends = report.incarnations.iter().map(|one| one.to_ms).max().unwrap_or(from);
    if period.is_bounded() && (from < begins || to > ends) {
        answer.object(
            "beyond_log",
            format!("the log speaks from {} to {}, and more was asked about", show(begins), show(ends)),
        );
    }
    let lost = report.findings.iter().filter(|finding| matches!(finding.code, "lost" | "missing_incarnation"));
    lost.map(|finding| finding.message.clone()).collect()
}

fn checks(watch: &Watch, period: Period, answer: &mut Answer) -> Value {
    let inside =
        |check: &&Check| period.from.is_none_or(|from| check.ts >= from) && period.to.is_none_or(|to| check.ts < to);
    let all: Vec<&Check> = watch.checks.iter().filter(inside).collect();
    let suspect: Vec<&&Check> = all.iter().filter(|check| check.suspect > 0).collect();
    if all.is_empty() {
        answer.line("the pod's sockets were not looked at: whether something went past privet, the log cannot say");
    } else {
        answer.line(format!(
            "the pod's sockets were looked at {} times, {} times with suspects",
            all.len(),
            suspect.len()
        ));
    }
    for check in &suspect {
        answer.object(
            "bypass",
            format!("incarnation {}, record {}: {} suspect sockets", check.incarnation, check.record, check.suspect),
        );
    }
    json!({"looked": all.len(), "suspect": suspect})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_are_what_no_stretch_holds() {
        let stretch = |incarnation, from_ms, to_ms| Stretch { incarnation, from_ms, to_ms };
        let watch = Watch {
            stretches: vec![stretch(1, 100, 200), stretch(2, 150, 300), stretch(3, 400, 500)],
            ..Watch::default()
        };
        let breaks = |from, to| watch.within((from, to)).1;
        assert_eq!(breaks(100, 500), vec![(300, 400)]);
        assert_eq!(breaks(0, 600), vec![(0, 100), (300, 400), (500, 600)]);
        assert_eq!(breaks(310, 320), vec![(310, 320)]);
        assert_eq!(breaks(110, 290), vec![]);
        assert_eq!((share(999_999, 1_000_000).as_str(), share(1, 0).as_str()), ("99.999 %", "a period of no length"));
    }
}
