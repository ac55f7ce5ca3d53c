//! What one event costs inside privet, on one thread, beside what it costs to
//! merely validate its JSON.
//!
//! Rows alternate in every round; a figure is the median of the rounds, in
//! thread CPU time. `--consent` measures the store's cache alone, `--evidence` the
//! enforcement log, `--signals` TC strings. `--profile ROW [BATCH [PASSES]]` runs one row alone, for a profiler.

mod consent;
mod evidence;
mod signals;

use std::hint::black_box;
use std::process::ExitCode;

use privet::decode::{DecodeLimits, Scratch, decode};
use privet::request::RawRequest;
use privet::transform::{Enforcement, transform};
use privet_benches::enforce::{decided, enforced, through};
use privet_benches::sample::{self, Samples};
use privet_benches::traffic::{Batch, batches, request};
use privet_benches::{cpu, policy};
use privet_json::{Index, Limits};
use privet_policy::consent::{NothingStored, StoreUnavailable, Stored, StoredDecisions};
use privet_policy::decide::Outcome;
use privet_policy::policy::PurposeNo;
use serde::de::IgnoredAny;

const ROUNDS: usize = 9;
/// Events in one measurement: some tens of milliseconds.
const EVENTS_PER_MEASUREMENT: usize = 48_000;
/// The most one event may cost with six actions, in microseconds.
const TARGET_MICROS: f64 = 2.5;

/// Every purpose has been refused by somebody else: nobody here is found in the store, but it must be asked.
struct SomebodyElse;

impl StoredDecisions for SomebodyElse {
    fn is_empty(&self) -> bool {
        false
    }

    fn recall(&self, _: &str, _: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        Ok(())
    }
}

/// One size of batch, with all that its rows work on.
struct Bench {
    requests: Vec<(Batch, RawRequest)>,
    enforcement: Enforcement,
    limits: DecodeLimits,
    scratch: Scratch,
    index: Index,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    Validate,
    Index,
    Decode,
    Decide,
    Enforce,
    EnforceAsking,
}

impl Row {
    const ALL: [Self; 6] =
        [Self::Validate, Self::Index, Self::Decode, Self::Decide, Self::Enforce, Self::EnforceAsking];

    const fn name(self) -> &'static str {
        match self {
            Self::Validate => "serde_json IgnoredAny",
            Self::Index => "strict index",
            Self::Decode => "decode",
            Self::Decide => "decode, decide",
            Self::Enforce => "decode, decide, transform",
            Self::EnforceAsking => "the same, a store asked",
        }
    }
}

impl Bench {
    fn of(size: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let requests: Result<Vec<_>, _> =
            batches(size).into_iter().map(|batch| request(&batch).map(|raw| (batch, raw))).collect();
        Ok(Self {
            requests: requests?,
            enforcement: policy::enforcement()?,
            limits: DecodeLimits::default(),
            scratch: Scratch::default(),
            index: Index::new(),
        })
    }

    fn events(&self) -> usize {
        self.requests.iter().map(|(batch, _)| batch.events).sum()
    }

    fn bytes(&self) -> usize {
        self.requests.iter().map(|(batch, _)| batch.body.len()).sum()
    }

    /// Does a row's work on every request once; gives the bytes or events it ended with.
    fn pass(&mut self, row: Row) -> usize {
        let Self { requests, enforcement, limits, scratch, index } = self;
        let mut made = 0;
        for (batch, raw) in requests {
            made += match row {
                Row::Validate => serde_json::from_str::<IgnoredAny>(black_box(&batch.body)).map_or(0, |_| 1),
                Row::Index => {
                    index.read(black_box(batch.body.as_bytes()), &Limits::default()).map_or(0, |_| index.len())
                }
                Row::Decode => through(raw, limits, scratch, |decoded| decoded.event_count()),
                Row::Decide => {
                    through(raw, limits, scratch, |decoded| decided(enforcement, raw, decoded, &NothingStored).len())
                }
                Row::Enforce => enforced(enforcement, raw, limits, scratch, &NothingStored),
                Row::EnforceAsking => enforced(enforcement, raw, limits, scratch, &SomebodyElse),
            };
        }
        made
    }

    /// Microseconds of CPU that a row takes for one event.
    fn measure(&mut self, row: Row) -> std::io::Result<f64> {
        let passes = EVENTS_PER_MEASUREMENT.div_ceil(self.events());
        let begun = cpu::of_this_thread()?;
        for _ in 0..passes {
            black_box(self.pass(row));
        }
        let used = cpu::of_this_thread()?.saturating_sub(begun);
        Ok(used.as_secs_f64() * 1e6 / (passes * self.events()) as f64)
    }

    /// That the rows do what they say: every event is ruled, those of the willing leave, and no other.
    fn check(&mut self) -> Result<(), String> {
        for (batch, raw) in &self.requests {
            let decoded = decode(raw, &self.limits, &mut self.scratch).map_err(|refusal| refusal.to_string())?;
            let decisions = decided(&self.enforcement, raw, &decoded, &NothingStored);
            if !decisions.iter().all(|decision| matches!(decision.outcome, Outcome::Ruled(_))) {
                return Err("an event follows no contract or breaks it".to_owned());
            }
            let minimized = transform(&self.enforcement, raw, &decoded, &decisions);
            let left: u32 = minimized.shares.iter().map(|share| share.events).sum();
            if left as usize != batch.leaving {
                return Err(format!("{left} events leave, want {}", batch.leaving));
            }
            for share in &minimized.shares {
                serde_json::from_slice::<IgnoredAny>(&share.forward.body).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

fn table(size: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut bench = Bench::of(size)?;
    bench.check()?;
    let mut samples: Vec<Samples> = vec![Samples::default(); Row::ALL.len()];
    for row in Row::ALL {
        bench.measure(row)?;
    }
    for _ in 0..ROUNDS {
        for (row, samples) in Row::ALL.into_iter().zip(&mut samples) {
            samples.add(bench.measure(row)?);
        }
    }
    let bytes = bench.bytes() as f64 / bench.events() as f64;
    println!("\nbatches of {size}, {bytes:.0} bytes an event, median of {ROUNDS} rounds\n");
    println!("| row | us an event | MB/s | x IgnoredAny | spread |");
    println!("|---|---|---|---|---|");
    let reference = samples.first().cloned().unwrap_or_default();
    for (row, samples) in Row::ALL.into_iter().zip(&samples) {
        let micros = samples.median();
        let ratio = samples.over(&reference).median();
        println!(
            "| {} | {micros:.2} | {:.0} | {ratio:.2} | {:.0} % |",
            row.name(),
            bytes / micros,
            samples.spread() * 100.0
        );
        if row == Row::Enforce {
            let word = if micros <= TARGET_MICROS { "within" } else { "OVER" };
            eprintln!("batches of {size}: six actions cost {micros:.2} us an event, {word} {TARGET_MICROS} us");
        }
    }
    Ok(())
}

/// One row alone, so many passes over all events.
fn profile(row: &str, size: usize, passes: usize) -> Result<(), Box<dyn std::error::Error>> {
    let row = match row {
        "index" => Row::Index,
        "decode" => Row::Decode,
        "decide" => Row::Decide,
        "enforce" => Row::Enforce,
        "asking" => Row::EnforceAsking,
        _ => return Err("want --profile index|decode|decide|enforce|asking [BATCH [PASSES]]".into()),
    };
    let mut bench = Bench::of(size)?;
    for _ in 0..passes {
        black_box(bench.pass(row));
    }
    Ok(())
}

fn profiled(row: &str, options: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let number = |place: usize, otherwise: usize| options.get(place).map_or(Ok(otherwise), |text| text.parse());
    profile(row, number(0, 1)?, number(1, 1_000)?)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] => table(1).and_then(|()| table(20)).and_then(|()| consent::table()).and_then(|()| signals::table()),
        ["--consent"] => consent::table(),
        ["--evidence"] => evidence::table(),
        ["--signals"] => signals::table(),
        ["--profile", row, options @ ..] => profiled(row, options),
        _ => Err("usage: micro [--consent | --evidence | --signals | --profile ROW [BATCH [PASSES]]]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("micro: {error}");
            ExitCode::FAILURE
        }
    }
}
