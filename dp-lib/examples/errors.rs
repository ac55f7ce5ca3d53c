//! Publishes workloads of known truth: reads one JSON object a line from
//! standard input, writes one for each to standard output, for `tools/dp-error`.
//!
//! ```text
//! {"name": "counts", "measure": "count", "clamp": [0, 50], "keys_per_unit": 1, "noise": "discrete_laplace",
//!  "loss": "1", "keys": 1000, "releases": 100, "values": [3, 14, 50]}
//! {"name": "counts", "published": [4, 2, 3]}
//! ```
//!
//! Each key of each release has a row of every value, each from a unit of its own;
//! with `keys_per_unit` above one, so many keys in turn share their units. Every
//! release goes the whole way: its rows are observed, bounded and added up, it is
//! paid for in a ledger, drawn, committed and acknowledged. What is written is
//! what the receipts say.

use std::io::BufRead;
use std::num::NonZeroU64;
use std::sync::Arc;

use privet_dp::accountant::Budget;
use privet_dp::aggregate::{Aggregate, Clamp};
use privet_dp::bound::{Admission, ContributionBounds};
use privet_dp::fleet::Fleet;
use privet_dp::ledger::{Claim, Ledger, Spent};
use privet_dp::loss::Loss;
use privet_dp::mechanism::{Mechanism, Noise, Spec};
use privet_dp::query::{Column, KeyTable, Keys, Query, RowKey};
use privet_dp::receipt::{Facts, Receipt};
use privet_dp::schedule::{Schedule, Tiling};
use privet_dp::window::{OpenWindow, Span};
use serde::{Deserialize, Serialize};

type Error = Box<dyn std::error::Error>;

const POLICY: [u8; 32] = [7; 32];
const MEMORY_BYTES_MAX: u64 = 1 << 30;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Workload {
    name: String,
    measure: Measure,
    clamp: [i64; 2],
    keys_per_unit: u64,
    noise: Noise,
    loss: String,
    keys: usize,
    releases: u32,
    values: Vec<i64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Measure {
    Count,
    Sum,
    Mean,
}

#[derive(Serialize)]
struct Published {
    name: String,
    published: Vec<i64>,
}

fn main() -> Result<(), Error> {
    for line in std::io::stdin().lock().lines() {
        println!("{}", serde_json::to_string(&published(serde_json::from_str(&line?)?)?)?);
    }
    Ok(())
}

fn published(workload: Workload) -> Result<Published, Error> {
    let directory = tempfile::tempdir()?;
    let ledger = Ledger::open(&directory.path().join("ledger.redb"))?;
    let query = Arc::new(query(&workload)?);
    let of = query.aggregate().name();
    let mut published = Vec::with_capacity(workload.keys * workload.releases as usize);
    for hour in 0..i64::from(workload.releases) {
        let receipt = release(&workload, &query, &ledger, hour * 3600)?;
        published.extend(receipt.values.iter().filter(|row| row.of == of).map(|row| row.value));
    }
    Ok(Published { name: workload.name, published })
}

fn query(workload: &Workload) -> Result<Query, Error> {
    let [low, high] = workload.clamp;
    let clamp = Clamp::new(low, high, 0)?;
    let aggregate = match workload.measure {
        Measure::Count => Aggregate::Count,
        Measure::Sum => Aggregate::Sum(clamp),
        Measure::Mean => Aggregate::Mean(clamp),
    };
    let bounds = ContributionBounds::new(workload.keys_per_unit, 1)?;
    let loss = Loss::from_decimal(workload.noise.measure(), &workload.loss)?;
    let length = Span::parse("1h")?;
    let releases = NonZeroU64::new(u64::from(workload.releases)).ok_or("no releases")?;
    let values = (0..workload.keys).map(|key| key.to_string()).collect();
    Ok(Query {
        name: workload.name.clone(),
        unit: "userId".to_owned(),
        keys: Keys::Declared(KeyTable::new(vec![Column { name: "key".to_owned(), values }])?),
        admission: Admission::within_memory(MEMORY_BYTES_MAX, bounds, &aggregate),
        mechanism: Mechanism::calibrate(Spec::of(aggregate, bounds, workload.noise, loss))?,
        ids_per_person: NonZeroU64::MIN,
        schedule: Schedule::new(Tiling::Tumbling(length)),
        fleet: Fleet::ONE_POD,
        budget: Budget { limit: loss.times(releases).ok_or("the budget is beyond counting")?, horizon: length },
        nonnegative: false,
    })
}

fn release(workload: &Workload, query: &Arc<Query>, ledger: &Ledger, at_secs: i64) -> Result<Receipt, Error> {
    let window = query.schedule.tiling().window_at(at_secs);
    let mut open = OpenWindow::open(Arc::clone(query), window, POLICY, window.start(), 0)?;
    for key in 0..workload.keys {
        for (row, value) in workload.values.iter().enumerate() {
            let unit = format!("{}:{row}", key as u64 / workload.keys_per_unit);
            open.observe(unit.as_bytes(), RowKey::At(key), *value, &POLICY);
        }
    }
    let closed = open.close(window.end()).ok_or("the window was given up")?;
    let shard = ledger.shard(0);
    let Spent::Paid(paid, charged) = ledger.spend(&Claim::of(query, &POLICY, window, shard)?)? else {
        return Err("the window was released before".into());
    };
    let noised = query.mechanism.release(paid, closed.cells)?;
    let prev_receipt = ledger.chain_head(&query.name)?;
    let circumstances = closed.circumstances;
    let facts = Facts { query, policy: &POLICY, window, circumstances, shard, charged, prev_receipt };
    let receipt = Receipt::new(facts, &noised);
    ledger.acknowledge(ledger.commit(noised, &receipt)?.release)?;
    Ok(receipt)
}
