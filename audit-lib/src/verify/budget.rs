//! Privacy budgets: every charge is worked out again from the charges before it.
//!
//! A budget's horizon slides: what a charge begins from is the largest sum of
//! earlier charges over any span of the horizon's length that holds its window.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{DpCharge, DpRelease};

use super::report::{AccountReport, Report};

#[derive(Debug, Default)]
struct Account {
    report: AccountReport,
    spends: BTreeMap<i64, u128>,
    /// How much more the ledger says than this log.
    unlogged: u64,
}

impl Account {
    /// A horizon of the largest sum can be slid until it begins with a spend, or with the window itself.
    fn spent_around(&self, start: i64, horizon: u64) -> u128 {
        let length = i64::try_from(horizon).unwrap_or(i64::MAX);
        let earliest = start.saturating_sub(length).saturating_add(1);
        let firsts = self.spends.range(earliest..=start).map(|(first, _)| *first).chain([start]);
        let sum = |first: i64| self.spends.range(first..first.saturating_add(length)).map(|(_, nano)| nano).sum();
        firsts.map(sum).max().unwrap_or(0)
    }
}

/// Budgets over all incarnations; a ledger outlives a process.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    accounts: BTreeMap<String, Account>,
    charged: BTreeMap<String, DpCharge>,
    released: BTreeMap<String, DpRelease>,
    releases_of: BTreeMap<String, BTreeSet<String>>,
}

impl Budgets {
    pub(super) fn charge(&mut self, charge: &DpCharge, at: (u64, u64), report: &mut Report) {
        let place = (Some(at.0), Some(at.1));
        let name = format!("budget `{}`", charge.account);
        match self.charged.get(&charge.release) {
            // Said again after a crash, in the same words.
            Some(known) if known == charge => return,
            Some(_) => {
                return report.finding(
                    "budget_twice",
                    place,
                    format!("release `{}` is paid for twice", charge.release),
                );
            }
            None => {}
        }
        if u128::from(charge.before) + u128::from(charge.amount) != u128::from(charge.after) {
            let sum = format!("{name}: {} and {} are not {}", charge.before, charge.amount, charge.after);
            report.finding("budget_sum", place, sum);
        }
        let delta = charge.delta;
        if u128::from(delta.before) + u128::from(delta.amount) != u128::from(delta.after) {
            let sum = format!("{name}: deltas of {} and {} are not {}", delta.before, delta.amount, delta.after);
            report.finding("budget_sum", place, sum);
        }
        if delta.after > delta.cap {
            let cap = format!("{name}: a delta of {} spent of {}", delta.after, delta.cap);
            report.finding("budget_cap", place, cap);
        }
        if charge.after > charge.cap {
            report.finding("budget_cap", place, format!("{name}: {} spent of {}", charge.after, charge.cap));
        }
        let account = self.accounts.entry(charge.account.clone()).or_default();
        let shown = account.spent_around(charge.start, charge.horizon);
        let (before, unlogged) = (u128::from(charge.before), u128::from(account.unlogged));
        if before < shown {
            report.finding(
                "budget_chain",
                place,
                format!("{name}: the charge begins at {before}, this log shows {shown}"),
            );
        } else if before > shown + unlogged {
            account.unlogged = u64::try_from(before - shown).unwrap_or(u64::MAX);
            let message = format!(
                "{name}: the charge begins at {before}, this log shows {shown}; the rest was spent and nothing released for it here"
            );
            report.gap("budget_unlogged", at.0, message);
        }
        *account.spends.entry(charge.start).or_default() += u128::from(charge.amount);
        let sums = &mut account.report;
        sums.account.clone_from(&charge.account);
        sums.measure.clone_from(&charge.measure);
        sums.spent_most = sums.spent_most.max(charge.after);
        sums.cap = charge.cap;
        sums.horizon_secs = charge.horizon;
        sums.charges += 1;
        self.charged.insert(charge.release.clone(), charge.clone());
    }

    pub(super) fn release(&mut self, release: &DpRelease, at: (u64, u64), report: &mut Report) {
        let place = (Some(at.0), Some(at.1));
        let is_of =
            |paid: &DpCharge| (&paid.export, paid.start, paid.end) == (&release.export, release.start, release.end);
        match self.charged.get(&release.release) {
            // Every device paid for its own report, and nobody for the release.
            None if release.local.is_some() => {}
            Some(paid) if release.local.is_none() && is_of(paid) => {
                self.releases_of.entry(paid.account.clone()).or_default().insert(release.release.clone());
            }
            _ => report.finding(
                "release_unpaid",
                place,
                format!("release `{}` has no charge for its window", release.release),
            ),
        }
        match self.released.get(&release.release) {
            Some(known) if known != release => {
                report.finding(
                    "release_twice",
                    place,
                    format!("`{}` is released twice, with different bytes", release.release),
                );
            }
            Some(_) => {}
            None => {
                self.released.insert(release.release.clone(), release.clone());
            }
        }
    }

    pub(super) fn into_accounts(self) -> Vec<AccountReport> {
        let releases = |name: &str| self.releases_of.get(name).map_or(0, |releases| releases.len() as u64);
        let mut accounts: Vec<AccountReport> = self.accounts.into_values().map(|account| account.report).collect();
        accounts.iter_mut().for_each(|account| account.releases = releases(&account.account));
        accounts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{DpDelta, DpLocal};

    fn charge(release: &str, start: i64, before: u64) -> DpCharge {
        DpCharge {
            account: "a".into(),
            export: "a".into(),
            release: release.into(),
            policy: String::new(),
            start,
            end: start + 3600,
            horizon: 4 * 3600,
            measure: "pure".into(),
            amount: 10,
            before,
            after: before + 10,
            cap: 40,
            delta: DpDelta::default(),
            stages: Vec::new(),
            keys_per_unit: 1,
            rows_per_key: 1,
        }
    }

    #[test]
    fn a_sliding_horizon_forgets_and_nothing_else_does() {
        let (mut budgets, mut report) = (Budgets::default(), Report::default());
        for hour in 0..10_u64 {
            let before = 10 * hour.min(3);
            budgets.charge(
                &charge(&hour.to_string(), i64::try_from(hour).unwrap() * 3600, before),
                (1, hour),
                &mut report,
            );
        }
        assert!(report.is_clean() && report.gaps.is_empty(), "{report:?}");
        budgets.charge(&charge("late", 10 * 3600, 20), (1, 10), &mut report);
        assert_eq!(report.findings[0].code, "budget_chain");
        budgets.charge(&charge("9", 9 * 3600, 0), (1, 11), &mut report);
        assert_eq!(report.findings[1].code, "budget_twice");
        assert_eq!(budgets.into_accounts()[0].spent_most, 40);
    }

    fn release(release: &str, local: bool) -> DpRelease {
        let local = local.then(|| DpLocal { method: "kary".into(), answers: 4, epsilon: 1_000_000_000 });
        DpRelease { export: "a".into(), release: release.into(), start: 0, end: 3600, output: String::new(), local }
    }

    #[test]
    fn a_release_is_paid_for_or_says_that_its_reports_were() {
        for (charged, local, codes) in [
            (true, false, &[][..]),
            (false, true, &[]),
            (false, false, &["release_unpaid"]),
            (true, true, &["release_unpaid"]),
        ] {
            let (mut budgets, mut report) = (Budgets::default(), Report::default());
            if charged {
                budgets.charge(&charge("r", 0, 0), (1, 0), &mut report);
            }
            budgets.release(&release("r", local), (1, 1), &mut report);
            let found: Vec<&str> = report.findings.iter().map(|finding| finding.code).collect();
            assert_eq!(found, codes, "{charged} {local}");
        }
    }

    #[test]
    fn a_local_release_that_is_said_twice_is_said_in_the_same_words() {
        let (mut budgets, mut report) = (Budgets::default(), Report::default());
        budgets.release(&release("r", true), (1, 0), &mut report);
        budgets.release(&release("r", true), (2, 0), &mut report);
        assert!(report.is_clean());
        let other = DpRelease { output: "sha256:1".into(), ..release("r", true) };
        budgets.release(&other, (2, 1), &mut report);
        assert_eq!(report.findings[0].code, "release_twice");
    }
}
