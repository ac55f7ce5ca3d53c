//! What it costs to keep evidence in `lease` durability: processor time an event, and bytes of log an event.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use privet::audit::{ClassNo, Delivery, DestNo, ListenerNo, Recorder, Tally};
use privet::clock::SystemClock;
use privet_audit_log::policies::Files;
use privet_audit_log::{Durability, LEAF_MS, Settings};
use privet_benches::cpu;
use privet_benches::sample::Samples;

const ROUNDS: usize = 9;
const EVENTS_PER_ROUND: u64 = 400_000;
/// The most an event may cost the thread that carries its request, in microseconds, at batches of 20.
const TARGET_MICROS: f64 = 0.2;
const EVENTS_PER_SEC: u64 = 100_000;
/// The most bytes an event may add to the log at that rate, in [`CLASSES`] classes.
const TARGET_BYTES: f64 = 0.1;
const CLASSES: u64 = 16;
const BATCH: u64 = 20;
const PACED_FOR: Duration = Duration::from_secs(10);

/// Prints both costs.
pub fn table() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    println!("\nevidence in `lease` durability, median of {ROUNDS} rounds\n");
    println!("| events a request | us an event, request path | us an event, all threads | spread |\n|---|---|---|---|");
    for each in [1, BATCH, 200] {
        runtime.block_on(cost(each))?;
    }
    runtime.block_on(bytes())
}

/// A log in a directory of its own, with what its counts go by.
struct Bench {
    recorder: Recorder,
    listener: ListenerNo,
    to: DestNo,
    classes: Vec<ClassNo>,
}

impl Bench {
    fn of(dir: &Path) -> Result<Self, Box<dyn Error>> {
        let durability = Durability::Lease { events: 1 << 20 };
        let settings = Settings { durability, ..Settings::new(dir, "privet.example/bench") };
        let (recorder, _) = Recorder::open(settings, Arc::new(SystemClock::default()))?;
        let files = Files::from([("rules.yaml".to_owned(), b"kind: Rule".to_vec())]);
        let policy = recorder.policy_loaded(&"a".repeat(64), &files, Vec::new())?;
        let class =
            |n| recorder.class(policy, &format!("{{\"contract\":\"storefront.search/{n}\",\"outcome\":\"ruled\"}}"));
        Ok(Self {
            listener: recorder.listener("events")?,
            to: recorder.destination("collector")?,
            classes: (0..CLASSES).map(class).collect::<Result<_, _>>()?,
            recorder,
        })
    }

    /// Accounts for one request as the event line does, its events in two classes.
    async fn carry(&self, each: u64, number: u64) -> Result<(), Box<dyn Error>> {
        let mut arrival = self.recorder.arrived(self.listener, 1_359 * each);
        arrival.decoded(each);
        let mut tally = Tally::default();
        let class = |n: u64| self.classes.get((n % CLASSES) as usize).copied().ok_or("no class");
        tally.kept(class(number)?, each - each / 4);
        tally.dropped(class(number + 1)?, each / 4);
        tally.released(self.to, each - each / 4);
        let mut batch = self.recorder.append(&mut arrival, &tally).await?;
        batch.outcome(self.to, Delivery::Acknowledged, each - each / 4);
        arrival.answered();
        Ok(())
    }
}

async fn cost(each: u64) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let bench = Bench::of(directory.path())?;
    let mut samples = Samples::default();
    let whole = cpu::of_process(std::process::id())?;
    for _ in 0..ROUNDS {
        let begun = cpu::of_this_thread()?;
        for number in 0..EVENTS_PER_ROUND / each {
            bench.carry(each, number).await?;
        }
        let used = cpu::of_this_thread()?.saturating_sub(begun);
        samples.add(used.as_secs_f64() * 1e6 / EVENTS_PER_ROUND as f64);
    }
    bench.recorder.close().await?;
    let whole = cpu::of_process(std::process::id())?.saturating_sub(whole);
    let whole = whole.as_secs_f64() * 1e6 / (EVENTS_PER_ROUND * ROUNDS as u64) as f64;
    let micros = samples.median();
    println!("| {each} | {micros:.3} | {whole:.3} | {:.0} % |", samples.spread() * 100.0);
    if each == BATCH {
        let word = if micros <= TARGET_MICROS { "within" } else { "OVER" };
        eprintln!("batches of {each}: evidence costs {micros:.3} us an event, {word} {TARGET_MICROS} us");
    }
    Ok(())
}

/// Sends at a pace, then measures what the log keeps: bundles and tiles.
async fn bytes() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let bench = Bench::of(directory.path())?;
    let begun = Instant::now();
    let mut events = 0;
    while begun.elapsed() < PACED_FOR {
        while events < (begun.elapsed().as_secs_f64() * EVENTS_PER_SEC as f64) as u64 {
            bench.carry(BATCH, events / BATCH).await?;
            events += BATCH;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    bench.recorder.close().await?;
    let report = privet_audit_log::verify::verify(directory.path(), &Default::default())?;
    if !report.is_clean() || report.totals.events != events {
        return Err("the log of the bench does not verify".into());
    }
    let kept = size_below(&directory.path().join("1/tile"))? as f64;
    let measured = kept / events as f64;
    let batches_per_sec = 1000.0 / LEAF_MS as f64;
    let computed = kept / report.totals.batches as f64 * batches_per_sec / EVENTS_PER_SEC as f64;
    println!(
        "\n| events a second | batches | bytes an event, measured | computed at {EVENTS_PER_SEC} a second |\n|---|---|---|---|"
    );
    println!("| {rate:.0} | {} | {measured:.4} | {computed:.4} |", report.totals.batches);
    let word = if measured <= TARGET_BYTES { "within" } else { "OVER" };
    eprintln!("{rate:.0} events a second in {CLASSES} classes: {measured:.4} bytes an event, {word} {TARGET_BYTES}");
    Ok(())
}

fn size_below(directory: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for item in std::fs::read_dir(directory)? {
        let item = item?;
        sum += if item.file_type()?.is_dir() { size_below(&item.path())? } else { item.metadata()?.len() };
    }
    Ok(sum)
}
