//! `ask budget`: what was spent of each privacy budget, on which release, and when.
//!
//! The verification works out each charge's beginning again from the charges before it, over the
//! sliding horizon; here they are laid out in the order in which they were recorded. Releases of
//! local reports are charged to nobody here: every device paid for its own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use privet_audit_log::record::{DpCharge, DpRelease, Record};
use serde_json::{Value, json};

use crate::answer::{Answer, Printed};
use crate::brought::Brought;
use crate::evidence::{Evidence, Told};
use crate::period::show;
use crate::show::{billionths, trillionths};

/// Of which account.
#[derive(clap::Args)]
pub struct Budget {
    #[command(flatten)]
    brought: Brought,
    /// This account only.
    #[arg(long)]
    account: Option<String>,
}

/// A record with its place.
struct Placed<T> {
    incarnation: u64,
    index: u64,
    ts: i64,
    said: T,
}

/// Everything that the records say about budgets.
#[derive(Default)]
struct Books {
    charges: Vec<Placed<DpCharge>>,
    releases: BTreeMap<String, Placed<DpRelease>>,
    paid: BTreeSet<String>,
}

impl Books {
    fn take(&mut self, told: &Told<'_>) {
        let (incarnation, index, ts) = (told.incarnation, told.index, told.entry.ts);
        match &told.entry.record {
            // A charge that is said again after a crash is the same one.
            Record::DpCharge(charge) if self.paid.insert(charge.release.clone()) => {
                self.charges.push(Placed { incarnation, index, ts, said: charge.clone() });
            }
            Record::DpRelease(release) => {
                let placed = Placed { incarnation, index, ts, said: release.clone() };
                self.releases.entry(release.release.clone()).or_insert(placed);
            }
            _ => {}
        }
    }
}

impl Budget {
    /// Answers.
    ///
    /// # Errors
    /// There is no log to speak of, or no such account in it.
    pub fn run(&self) -> Result<Printed> {
        let evidence = Evidence::gather(&self.brought)?;
        let accounts = &evidence.report.budgets;
        if let Some(name) = &self.account
            && !accounts.iter().any(|account| account.account == *name)
        {
            let names: Vec<&str> = accounts.iter().map(|account| account.account.as_str()).collect();
            bail!("nothing was charged to an account `{name}` in this log; there are {}", listed(&names));
        }
        let mut books = Books::default();
        evidence.walk(&mut |told| books.take(told))?;
        let mut answer = Answer::to(match &self.account {
            Some(name) => format!("What was spent of the privacy budget of {name}?"),
            None => "What was spent of the privacy budgets?".to_owned(),
        });
        let wanted = |name: &str| self.account.as_ref().is_none_or(|wanted| wanted == name);
        let mut told = Vec::new();
        for account in accounts.iter().filter(|account| wanted(&account.account)) {
            answer.line(format!(
                "{}: at most {} of {} {} in any {} s, {} charges, {} releases",
                account.account,
                billionths(account.spent_most),
                billionths(account.cap),
                account.measure,
                account.horizon_secs,
                account.charges,
                account.releases
            ));
            let own = books.charges.iter().filter(|charge| charge.said.account == account.account);
            let charges: Vec<Value> = own.map(|charge| one(charge, &books, &mut answer)).collect();
            told.push(json!({"account": account, "charges": charges}));
        }
        if accounts.is_empty() {
            answer.line("nothing was charged");
        }
        let local = local(&books, &mut answer);
        answer.value = json!({"accounts": told, "local_releases": local});
        answer.proved.push("every charge's beginning was worked out again from the charges before it".to_owned());
        answer.assumed.push(
            "each charge is what its draws cost: `privet export verify` derives receipts again from their bytes"
                .to_owned(),
        );
        answer.print(&evidence, self.brought.json)
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn one(charge: &Placed<DpCharge>, books: &Books, answer: &mut Answer) -> Value {
    let said = &charge.said;
    let released = books.releases.get(&said.release);
    let window = format!("{} to {}", show(said.start.saturating_mul(1000)), show(said.end.saturating_mul(1000)));
    let out = released.map_or_else(|| "not released".to_owned(), |placed| format!("released, {}", placed.said.output));
    answer.line(format!(
        "  {}: {} for {window}; {} before, {} after; {out}",
        show(charge.ts),
        billionths(said.amount),
        billionths(said.before),
        billionths(said.after)
    ));
    if said.delta.cap > 0 {
        let delta = said.delta;
        answer.line(format!(
            "    delta {}; {} before, {} after, of {}",
            trillionths(delta.amount),
            trillionths(delta.before),
            trillionths(delta.after),
            trillionths(delta.cap)
        ));
    }
    json!({
        "release": said.release,
        "export": said.export,
        "policy": said.policy,
        "charged": show(charge.ts),
        "incarnation": charge.incarnation,
        "record": charge.index,
        "start": said.start,
        "end": said.end,
        "measure": said.measure,
        "amount": said.amount,
        "before": said.before,
        "after": said.after,
        "cap": said.cap,
        "delta": said.delta,
        "stages": said.stages,
        "output": released.map(|placed| &placed.said.output),
        "release_record": released.map(|placed| json!({"incarnation": placed.incarnation, "record": placed.index})),
    })
}

fn local(books: &Books, answer: &mut Answer) -> Vec<Value> {
    let mut all = Vec::new();
    for placed in books.releases.values() {
        let Some(local) = &placed.said.local else { continue };
        answer.line(format!(
            "{}: local reports, {} answers by `{}`, each device spent an epsilon of {} on its report; {}",
            placed.said.export,
            local.answers,
            local.method,
            billionths(local.epsilon),
            placed.said.output
        ));
        all.push(json!({"release": placed.said, "incarnation": placed.incarnation, "record": placed.index}));
    }
    all
}
