//! What both passes cost, in CPU time of one thread, over the real events of
//! `tests/data` between 1,000 and 1,800 bytes:
//!
//! `cargo run --release -p privet-json --example rate`
//!
//! Each figure is the median of rounds in which the candidates alternate.

use std::error::Error;
use std::hint::black_box;

use privet_json::{Edit, Edits, Index, Key, Limits, Node, Plan, PlanBuilder, PlanNodeId, Step, rewrite};
use serde_json::Value;

const ROUNDS: usize = 15;
const PASSES: usize = 4_000;

/// Six edits an event might undergo; the arithmetic behind them is not ours.
#[derive(Clone, Copy)]
enum Action {
    Drop,
    Pseudonymize,
    Hour,
    WithoutQuery,
    /// Kept, but only after asking the caller.
    Ask,
}

#[derive(Default)]
struct Rules {
    dropped: usize,
}

impl Edits<Action> for Rules {
    fn edit(&mut self, action: Action, value: Node<'_>, out: &mut Vec<u8>) -> Edit {
        let raw = value.raw();
        match action {
            Action::Drop => return Edit::Drop,
            Action::Ask => return Edit::Keep,
            Action::Pseudonymize => {
                let mixed = raw.iter().fold(0_u64, |mixed, byte| mixed.rotate_left(9) ^ u64::from(*byte));
                out.push(b'"');
                out.extend((0..16).map(|n| b'a' + ((mixed >> (4 * n)) & 15) as u8));
                out.push(b'"');
            }
            Action::Hour => {
                out.extend_from_slice(raw.get(..14).unwrap_or(raw));
                out.extend_from_slice(b":00:00Z\"");
            }
            Action::WithoutQuery => {
                let end = raw.iter().position(|byte| *byte == b'?').unwrap_or(raw.len() - 1);
                out.extend_from_slice(raw.get(..end).unwrap_or(raw));
                out.push(b'"');
            }
        }
        Edit::Written
    }
    fn edit_key(&mut self, _: Action, _: Key<'_>, _: &mut Vec<u8>) -> Edit {
        Edit::Keep
    }
    fn splice(&mut self, _: u32, _: Node<'_>, _: &mut Vec<u8>) -> Edit {
        Edit::Drop
    }
    fn dropped(&mut self, _: PlanNodeId) {
        self.dropped += 1;
    }
}

/// The paths that have one of the six edits.
fn action_for(path: &[Step]) -> Option<Action> {
    let names: Vec<&str> = path.iter().map(|step| if let Step::Key(key) = step { key.as_ref() } else { "" }).collect();
    match names.as_slice() {
        ["userId" | "anonymousId"] => Some(Action::Pseudonymize),
        [.., "traits", "email" | "phone" | "name"] => Some(Action::Drop),
        ["timestamp" | "originalTimestamp" | "sentAt"] => Some(Action::Hour),
        [.., "page", "url"] => Some(Action::WithoutQuery),
        _ => None,
    }
}

/// Declares every scalar of an event, as a contract would: kept, or edited.
fn declare(plan: &mut Vec<(Vec<Step>, Option<Action>)>, path: &mut Vec<Step>, value: &Value) {
    let below: Vec<(Step, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, value)| (Step::key(key), value)).collect(),
        Value::Array(elements) => elements.iter().map(|value| (Step::Element, value)).collect(),
        _ => {
            if !plan.iter().any(|(declared, _)| declared == path) {
                plan.push((path.clone(), action_for(path)));
            }
            return;
        }
    };
    for (step, value) in below {
        path.push(step);
        declare(plan, path, value);
        path.pop();
    }
}

fn plan(events: &[&str], asking: bool) -> Result<Plan<Action>, Box<dyn Error>> {
    let mut declared = Vec::new();
    for event in events {
        declare(&mut declared, &mut Vec::new(), &serde_json::from_str(event)?);
    }
    let mut plan = PlanBuilder::new();
    for (path, action) in &declared {
        match action {
            Some(action) => plan.leaf(path, *action),
            None if asking => plan.leaf(path, Action::Ask),
            None => plan.keep(path),
        };
    }
    Ok(plan.build()?)
}

/// CPU nanoseconds this thread has used.
fn cpu_ns() -> Result<u64, Box<dyn Error>> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(schedstat.split(' ').next().ok_or("no time in schedstat")?.parse()?)
}

type Candidate<'a> = (&'a str, Box<dyn FnMut(&str) + 'a>);

fn main() -> Result<(), Box<dyn Error>> {
    let all = include_str!("../tests/data/events.ndjson");
    let events: Vec<&str> = all.lines().filter(|line| (1_000..1_800).contains(&line.len())).collect();
    let bytes: usize = events.iter().map(|event| event.len()).sum();
    let (kept, asked) = (plan(&events, false)?, plan(&events, true)?);
    let limits = Limits::default();

    let mut edits = 0;
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let mut index = Index::new();
    candidates.push((
        "index",
        Box::new(move |event| {
            black_box(index.read(event.as_bytes(), &limits).is_ok());
        }),
    ));
    for (name, plan) in
        [("index + rewrite, kept fields in the plan", &kept), ("index + rewrite, every field asked", &asked)]
    {
        let (mut index, mut out, mut rules) = (Index::new(), Vec::new(), Rules::default());
        candidates.push((
            name,
            Box::new(move |event| {
                out.clear();
                if let Ok(root) = index.read(event.as_bytes(), &limits) {
                    let _ = black_box(rewrite(index.node(event.as_bytes(), root), plan, &mut rules, &mut out));
                }
                black_box(&out);
            }),
        ));
    }
    candidates.push((
        "serde_json IgnoredAny",
        Box::new(|event| {
            black_box(serde_json::from_slice::<serde::de::IgnoredAny>(event.as_bytes()).is_ok());
        }),
    ));
    candidates.push((
        "serde_json Value",
        Box::new(|event| {
            black_box(serde_json::from_slice::<Value>(event.as_bytes()).is_ok());
        }),
    ));

    for event in &events {
        let (mut index, mut out) = (Index::new(), Vec::new());
        let root = index.read(event.as_bytes(), &limits)?;
        let mut counting = Counting { rules: Rules::default(), edits: &mut edits };
        let _ = rewrite(index.node(event.as_bytes(), root), &kept, &mut counting, &mut out);
    }
    let count = events.len();
    println!("{count} events, {} B mean, {:.1} edits mean", bytes / count, f64::from(edits) / count as f64);

    let mut times = vec![Vec::new(); candidates.len()];
    for _ in 0..ROUNDS {
        for ((_, run), times) in candidates.iter_mut().zip(&mut times) {
            let before = cpu_ns()?;
            for _ in 0..PASSES {
                events.iter().for_each(|event| run(event));
            }
            times.push(cpu_ns()? - before);
        }
    }
    for ((name, _), times) in candidates.iter().zip(&mut times) {
        times.sort_unstable();
        let median = times.get(ROUNDS / 2).copied().unwrap_or_default() as f64;
        let per_event = median / (PASSES * count) as f64 / 1e3;
        let rate = (bytes * PASSES) as f64 / median * 1e3;
        println!("{name:42} {per_event:6.3} us/event {rate:7.0} MB/s");
    }
    Ok(())
}

/// Counts the edits that change something.
struct Counting<'a> {
    rules: Rules,
    edits: &'a mut u32,
}

impl Edits<Action> for Counting<'_> {
    fn edit(&mut self, action: Action, value: Node<'_>, out: &mut Vec<u8>) -> Edit {
        *self.edits += 1;
        self.rules.edit(action, value, out)
    }
    fn edit_key(&mut self, action: Action, key: Key<'_>, out: &mut Vec<u8>) -> Edit {
        self.rules.edit_key(action, key, out)
    }
    fn splice(&mut self, tag: u32, node: Node<'_>, out: &mut Vec<u8>) -> Edit {
        self.rules.splice(tag, node, out)
    }
    fn dropped(&mut self, nearest: PlanNodeId) {
        self.rules.dropped(nearest);
    }
}
