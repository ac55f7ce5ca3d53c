//! Receipts of many pods held against each other: whether a fleet was as small
//! as every release of it was charged for.
//!
//! Promise: where more ledgers released about the units of one horizon than the
//! charge of a release counts, and their receipts are here, that is found.
//!
//! Not here: ledgers whose receipts are not among those that were given.

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

use super::Receipt;
use crate::fleet::Topology;
use crate::ledger::LedgerId;

/// More ledgers released in one horizon than each release was charged for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{ledgers} ledgers released within one horizon of {horizon}, and a release was charged for {charged_times}")]
pub struct Crowd {
    /// The export.
    pub query: String,
    /// How many there were.
    pub ledgers: usize,
    /// How many the export's fleet was said to have, at least.
    pub charged_times: u64,
    /// Within what time.
    pub horizon: String,
}

/// Checks that no query's units were released about by more ledgers than its
/// charges count. Shards of a ring own different units, and do not add up.
#[must_use]
pub fn verify_fleet<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> Vec<Crowd> {
    let mut queries: BTreeMap<&str, Vec<&Receipt>> = BTreeMap::new();
    for receipt in receipts {
        if receipt.privacy.fleet.topology == Topology::PerPod {
            queries.entry(&receipt.query).or_default().push(receipt);
        }
    }
    queries.into_values().filter_map(worst).collect()
}

/// The horizon that most ledgers released in, beyond what was charged.
fn worst(mut receipts: Vec<&Receipt>) -> Option<Crowd> {
    receipts.sort_by_key(|receipt| receipt.window.start);
    let mut within: HashMap<LedgerId, usize> = HashMap::new();
    let (mut first, mut worst) = (0, None::<Crowd>);
    for receipt in &receipts {
        *within.entry(receipt.ledger.id).or_default() += 1;
        let horizon_secs = receipt.privacy.horizon.span().map_or(0, |span| span.secs());
        while let Some(past) = receipts.get(first)
            && past.window.start.as_second().abs_diff(receipt.window.start.as_second()) >= horizon_secs.max(1)
        {
            if let Some(count) = within.get_mut(&past.ledger.id) {
                *count -= 1;
                if *count == 0 {
                    within.remove(&past.ledger.id);
                }
            }
            first += 1;
        }
        let (ledgers, charged_times) = (within.len(), receipt.privacy.fleet.charged_times);
        if ledgers as u64 > charged_times && worst.as_ref().is_none_or(|worst| worst.ledgers < ledgers) {
            let (query, horizon) = (receipt.query.clone(), receipt.privacy.horizon.length.clone());
            worst = Some(Crowd { query, ledgers, charged_times, horizon });
        }
    }
    worst
}
