//! The chain of privacy budgets: each charge begins where the one before ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{DpCharge, DpRelease};

use super::report::{AccountReport, Report};

/// Budgets over all incarnations; a ledger outlives a process, so its chain does too.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    accounts: BTreeMap<(String, u64), AccountReport>,
    seen_in: BTreeMap<(String, u64), u64>,
    charged: BTreeMap<String, (String, u64)>,
    released: BTreeSet<String>,
}

impl Budgets {
    pub(super) fn charge(&mut self, charge: &DpCharge, at: (u64, u64), report: &mut Report) {
        let place = (Some(at.0), Some(at.1));
        let name = format!("account `{}`, period {}", charge.account, charge.period);
        if u128::from(charge.before) + u128::from(charge.amount) != u128::from(charge.after) {
            let sum = format!("{name}: {} and {} are not {}", charge.before, charge.amount, charge.after);
            report.finding("budget_sum", place, sum);
        }
        if charge.after > charge.cap {
            report.finding("budget_cap", place, format!("{name}: {} spent of {}", charge.after, charge.cap));
        }
        let key = (charge.account.clone(), charge.period);
        let account = self.accounts.entry(key.clone()).or_default();
        let (known, spent) = (account.charges > 0, account.spent);
        let same_process = self.seen_in.insert(key, at.0) == Some(at.0);
        let message = format!("{name}: the charge begins at {}, the chain stood at {spent}", charge.before);
        match charge.before.cmp(&spent) {
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater if !(known && same_process) => {
                report.gap("budget_unlogged", at.0, format!("{message}: spent, and nothing released for it in this log"));
            }
            _ => report.finding("budget_chain", place, message),
        }
        if known && account.measure != charge.measure {
            report.finding("budget_measure", place, format!("{name}: the measure changed within a period"));
        }
        account.account.clone_from(&charge.account);
        account.measure.clone_from(&charge.measure);
        account.period = charge.period;
        account.spent = charge.after;
        account.cap = charge.cap;
        account.charges += 1;
        let paid = (charge.account.clone(), charge.period);
        if self.charged.insert(charge.release.clone(), paid).is_some() {
            report.finding("budget_twice", place, format!("release `{}` is paid for twice", charge.release));
        }
    }

    pub(super) fn release(&mut self, release: &DpRelease, at: (u64, u64), report: &mut Report) {
        let place = (Some(at.0), Some(at.1));
        match self.charged.get(&release.release) {
            Some(paid) if paid.0 == release.account => {
                if let Some(account) = self.accounts.get_mut(paid) {
                    account.releases += 1;
                }
            }
            _ => report.finding("release_unpaid", place, format!("release `{}` has no charge", release.release)),
        }
        if !self.released.insert(release.release.clone()) {
            report.finding("release_twice", place, format!("`{}` is released twice", release.release));
        }
    }

    pub(super) fn into_accounts(self) -> Vec<AccountReport> {
        self.accounts.into_values().collect()
    }
}
