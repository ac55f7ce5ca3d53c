//! Receipts of many pods held against each other: whether a fleet was as small
//! as every release of it was charged for.
//!
//! Promise: where more ledgers released about the units of one horizon than the
//! charge of a release counts, and their receipts are here, that is found.
//!
//! Not here: ledgers whose receipts are not among those that were given.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use thiserror::Error;

use super::Receipt;
use crate::fleet::{RingPlace, Topology};
use crate::ledger::LedgerId;
use crate::schedule::Mark;
use crate::window::Span;

/// A fleet that was another than its releases were charged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// The export.
    pub query: String,
    /// What there was too much of.
    pub what: Crowded,
}

/// What there was too much of in a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Crowded {
    /// More ledgers released within one horizon than a release in it was charged for.
    #[error(
        "{ledgers} ledgers released within one horizon of {horizon}, and a release was charged for {charged_times}"
    )]
    Ledgers {
        /// How many there were.
        ledgers: usize,
        /// How many the export's fleet was said to have, at least.
        charged_times: u64,
        /// Within what time.
        horizon: String,
    },
    /// Two rings owned the units of one window, and no mark says so.
    #[error("shards of two rings released the window that begins {window_start}, which is not marked `ring_changed`")]
    Rings {
        /// The window's first second.
        window_start: Timestamp,
    },
}

/// Checks of every query and unit that no more ledgers released about them than
/// its charges count, and that the shards of a window were of one ring.
#[must_use]
pub fn verify_fleet<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> Vec<Crowd> {
    let mut queries: BTreeMap<(&str, &str), Vec<&Receipt>> = BTreeMap::new();
    for receipt in receipts {
        queries.entry((&receipt.query, &receipt.privacy.unit)).or_default().push(receipt);
    }
    let mut crowds = Vec::new();
    for ((query, _), receipts) in queries {
        let found = [ledgers(&receipts), rings(&receipts)].into_iter().flatten();
        crowds.extend(found.map(|what| Crowd { query: query.to_owned(), what }));
    }
    crowds
}

/// The horizon that most ledgers released in, beyond what some release in it was
/// charged for. Shards of a ring own different units, and do not add up.
fn ledgers(receipts: &[&Receipt]) -> Option<Crowded> {
    let mut released: Vec<&Receipt> =
        receipts.iter().copied().filter(|receipt| receipt.privacy.fleet.topology == Topology::PerPod).collect();
    released.sort_by_key(|receipt| receipt.window.start);
    let all: HashSet<LedgerId> = released.iter().map(|receipt| receipt.ledger.id).collect();
    let least = released.iter().map(|receipt| receipt.privacy.fleet.charged_times).min()?;
    if all.len() as u64 <= least {
        return None;
    }
    let crowd_from = |(at, first): (usize, &&Receipt)| {
        let horizon = &first.privacy.horizon;
        let horizon_secs = horizon.span().map_or(0, Span::secs);
        let start = |receipt: &Receipt| receipt.window.start.as_second();
        let within = released.iter().skip(at).take_while(|later| start(later).abs_diff(start(first)) < horizon_secs);
        let (mut ledgers, mut charged_times) = (HashSet::new(), u64::MAX);
        for receipt in within {
            ledgers.insert(receipt.ledger.id);
            charged_times = charged_times.min(receipt.privacy.fleet.charged_times);
        }
        let (ledgers, horizon) = (ledgers.len(), horizon.length.clone());
        (ledgers as u64 > charged_times).then_some(Crowded::Ledgers { ledgers, charged_times, horizon })
    };
    let most = |crowd: &Crowded| match crowd {
        Crowded::Ledgers { ledgers, .. } => *ledgers,
        Crowded::Rings { .. } => 0,
    };
    released.iter().enumerate().filter_map(crowd_from).max_by_key(most)
}

/// The first window that shards of two rings released without a word about it.
fn rings(receipts: &[&Receipt]) -> Option<Crowded> {
    let mut owned: BTreeMap<Timestamp, &RingPlace> = BTreeMap::new();
    let unmarked = receipts.iter().filter(|receipt| !receipt.window.marks.contains(Mark::RingChanged));
    let mut mixed = unmarked.filter_map(|receipt| {
        let (start, ring) = (receipt.window.start, receipt.privacy.fleet.ring.as_ref()?);
        (owned.entry(start).or_insert(ring).ring_sha256 != ring.ring_sha256).then_some(start)
    });
    mixed.next().map(|window_start| Crowded::Rings { window_start })
}
