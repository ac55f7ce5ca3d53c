//! What a release costs in the ledger of a file: from the claim to committed bytes, without the draw.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use privet_dp::accountant::Budget;
use privet_dp::bound::Admission;
use privet_dp::exact::Exact;
use privet_dp::fleet::Fleet;
use privet_dp::ledger::{Claim, Ledger, Spent};
use privet_dp::loss::{Loss, Measure};
use privet_dp::mechanism::{Cells, Noise};
use privet_dp::query::{KeyTable, Keys, Query};
use privet_dp::receipt::{Facts, Receipt};
use privet_dp::schedule::{Schedule, Tiling};
use privet_dp::window::{Circumstances, Span};

const RELEASES: i64 = 2_000;

fn query() -> Query {
    let mechanism = support::mechanism(Noise::DiscreteLaplace, 1, 1, "0.001");
    Query {
        name: "cost".to_owned(),
        unit: "userId".to_owned(),
        keys: Keys::Declared(KeyTable::new(vec![]).unwrap()),
        admission: Admission::within_memory(1 << 20, mechanism.bounds(), mechanism.aggregate()),
        mechanism,
        ids_per_person: NonZeroU64::MIN,
        schedule: Schedule::new(Tiling::Tumbling(Span::parse("1h").unwrap())),
        fleet: Fleet::ONE_POD,
        budget: Budget {
            limit: Loss::from_decimal(Measure::Pure, "1000").unwrap(),
            horizon: Span::parse("365d").unwrap(),
        },
        nonnegative: false,
    }
}

/// Pays for and commits one hour. The time in the ledger, both steps together.
fn release(ledger: &Ledger, query: &Query, hour: i64) -> Duration {
    let window = query.schedule.tiling().window_at(hour * 3600);
    let shard = ledger.posted();
    let claim = Claim::of(query, &[0; 32], window, shard).unwrap();
    let begun = Instant::now();
    let Spent::Paid(paid, charged) = ledger.spend(&claim).unwrap() else { panic!("reserved before") };
    let reserving = begun.elapsed();
    let noised = query.mechanism.release(paid, Exact::new(Cells::declared(1, vec![100]))).unwrap();
    let circumstances = Circumstances::whole(window);
    let prev_receipt = ledger.chain_head(&query.name).unwrap();
    let facts = Facts { query, policy: &[0; 32], window, circumstances, shard, charged, prev_receipt };
    let receipt = Receipt::new(facts, &noised);
    let begun = Instant::now();
    let unsent = ledger.commit(noised, &receipt).unwrap();
    let committing = begun.elapsed();
    ledger.acknowledge(unsent.release).unwrap();
    reserving + committing
}

#[test]
#[ignore = "measures: run it alone, with --nocapture, on a disk like the one that counts"]
fn reserve_and_commit() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, query) = (Ledger::open(&directory.path().join("ledger.redb")).unwrap(), query());
    let mut times: Vec<Duration> = (0..RELEASES).map(|hour| release(&ledger, &query, hour)).collect();
    times.sort_unstable();
    let of_thousand = |rank: usize| times[times.len() * rank / 1000];
    println!(
        "reserve and commit: p50 {:?}, p99 {:?}, max {:?}",
        of_thousand(500),
        of_thousand(990),
        times[times.len() - 1]
    );
}
