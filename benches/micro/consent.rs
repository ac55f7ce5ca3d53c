//! What it costs to resolve one subject from the consent store's cache, on one thread.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use privet::clock::SystemClock;
use privet::config::{Consent, Embedded, Store};
use privet::consent::{Answers, ConsentStore, Fact, Ground, Record};
use privet::remember::WireRefusals;
use privet_benches::sample::Samples;
use privet_benches::{cpu, policy};
use privet_policy::Policy;
use privet_policy::consent::StoredDecisions;

/// Subjects in the cache; every hundredth has a record.
const SUBJECTS: usize = 10_000;
const ROUNDS: usize = 9;
const PASSES: usize = 20;
/// The most one resolution may cost, in nanoseconds.
const TARGET_NANOS: f64 = 300.0;

/// Prints the median of the rounds, in thread CPU time.
pub fn table() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let directory = tempfile::tempdir()?;
    let enforcement = policy::enforcement()?;
    let subjects: Vec<String> = (0..SUBJECTS).map(|number| format!("8f14e45f-{number:08}")).collect();
    let store = runtime.block_on(filled(directory.path(), &enforcement.policy, &subjects))?;
    let refusals = WireRefusals::default();
    let mut samples = Samples::default();
    for _ in 0..ROUNDS {
        let begun = cpu::of_this_thread()?;
        for _ in 0..PASSES {
            resolve(&store, &enforcement.policy, &refusals, &subjects)?;
        }
        let used = cpu::of_this_thread()?.saturating_sub(begun);
        samples.add(used.as_secs_f64() * 1e9 / (PASSES * SUBJECTS) as f64);
    }
    let nanos = samples.median();
    println!("\na subject resolved from the consent store's cache, {SUBJECTS} in it, median of {ROUNDS} rounds\n");
    println!("| ns | spread |\n|---|---|\n| {nanos:.0} | {:.0} % |", samples.spread() * 100.0);
    let word = if nanos <= TARGET_NANOS { "within" } else { "OVER" };
    eprintln!("a subject from the cache costs {nanos:.0} ns, {word} {TARGET_NANOS} ns");
    runtime.block_on(store.close());
    Ok(())
}

async fn filled(
    directory: &std::path::Path,
    policy: &Policy,
    subjects: &[String],
) -> Result<ConsentStore, Box<dyn std::error::Error>> {
    let embedded = Embedded { directory: directory.to_owned(), subjects_max: 1_000_000, only_pod: true };
    let settings = Consent {
        store: Store::Embedded(embedded),
        timeout: Duration::from_secs(10),
        cache_bytes_max: 64 << 20,
        fresh: Duration::from_secs(3_600),
        token_file: None,
    };
    let ground = Ground { health: Arc::default(), metrics: Arc::default(), clock: Arc::new(SystemClock::default()) };
    let store = ConsentStore::open(&settings, ground)?;
    store.unlock(None, &settings)?;
    let purpose = policy.purposes().first().ok_or("the policy has no purpose")?;
    for subject in subjects.iter().step_by(100) {
        store.learn(subject, Record::of([Fact::decided(&purpose.name, true)], 1)).await?;
    }
    let refusals = WireRefusals::default();
    for some in subjects.chunks(1_000) {
        let mut answers = Answers::default();
        let missed = {
            let seen = store.recollection(policy, refusals.under(policy), &answers);
            // Nothing is in the cache yet, so each of them fails.
            for subject in some {
                seen.recall_with_age(subject, &mut |_, _| {}).ok();
            }
            seen.missed()
        };
        store.ask(missed, &mut answers, store.patience()).await;
    }
    Ok(store)
}

fn resolve(
    store: &ConsentStore,
    policy: &Policy,
    refusals: &WireRefusals,
    subjects: &[String],
) -> Result<(), Box<dyn std::error::Error>> {
    let answers = Answers::default();
    let seen = store.recollection(policy, refusals.under(policy), &answers);
    for subject in subjects {
        black_box(seen.recall_with_age(black_box(subject), &mut |purpose, stored| {
            black_box((purpose, stored));
        }))?;
    }
    if seen.missed().is_empty() { Ok(()) } else { Err("the cache does not hold them all".into()) }
}
