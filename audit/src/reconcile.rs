//! `reconcile`: the collector's own counts against what the log says was sent and taken.
//!
//! An event that a collector acknowledged reached it between the beginning of its batch and the
//! record of its outcome. So over a period at least those count whose whole span lies inside, and at
//! most those whose span touches it, those whose fate nobody knows, and those that a crash left
//! uncounted. A collector's count outside of these bounds is a finding: something reached it that was
//! not recorded, or did not reach it and was recorded so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use privet_audit_log::record::{Batch, NameKind, Outcome, Record};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Printed};
use crate::brought::{Brought, read_text};
use crate::evidence::{Evidence, Told};
use crate::period::{Bounds, Period, Span, Where, moment};

/// More rows than this are no summary.
const ROWS_MAX: usize = 10_000;

/// What to compare.
#[derive(clap::Args)]
pub struct Reconcile {
    #[command(flatten)]
    brought: Brought,
    /// The collector's counts, CSV with a header or a JSON array: `destination`, `from`, `to`, `events`, and
    /// `requests` if it counts them.
    #[arg(long, value_name = "FILE")]
    counts: PathBuf,
    /// How far the collector's clock may be from the pod's, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    skew: u32,
}

/// A row as it was written.
#[derive(Debug, Deserialize)]
struct Written {
    destination: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    events: u64,
    #[serde(default)]
    requests: Option<u64>,
}

/// One count of the collector, with what the log says of the same.
#[derive(Debug)]
struct Row {
    destination: String,
    period: Period,
    events: u64,
    requests: Option<u64>,
    released: Bounds,
    acknowledged: Bounds,
    /// Events whose fate nobody knows and that may have reached the collector in this period.
    unknown: u64,
    /// Events that are on their way, as far as the log goes.
    open: u64,
    /// At most so many left uncounted.
    uncounted: u64,
}

impl Row {
    const fn at_most(&self) -> u64 {
        self.acknowledged.at_most.saturating_add(self.unknown).saturating_add(self.open).saturating_add(self.uncounted)
    }

    const fn is_explained(&self) -> bool {
        self.acknowledged.at_least <= self.events && self.events <= self.at_most()
    }
}

/// What was released of one batch to one destination, and has no outcome yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    span: Span,
    events: u64,
}

/// Joins the log with the rows.
struct Joining {
    rows: Vec<Row>,
    pending: BTreeMap<(u64, u64, u32), Pending>,
    /// Destination names by incarnation and number, for what is still pending at the end.
    names: HashMap<(u64, u32), String>,
    /// The destinations that the log names.
    known: BTreeSet<String>,
    /// Events released to destinations that no row is about.
    unasked: BTreeMap<String, u64>,
    skew_ms: i64,
    /// When the incarnation at hand began.
    opened: i64,
}

impl Reconcile {
    /// Answers.
    ///
    /// # Errors
    /// There is no log to speak of, or the counts cannot be read.
    pub fn run(&self) -> Result<Printed> {
        let rows = read(&self.counts)?;
        let evidence = Evidence::gather(&self.brought)?;
        let mut joining = Joining {
            rows,
            pending: BTreeMap::new(),
            names: HashMap::new(),
            known: BTreeSet::new(),
            unasked: BTreeMap::new(),
            skew_ms: i64::from(self.skew) * 1000,
            opened: 0,
        };
        evidence.walk(&mut |told| joining.take(told))?;
        joining.leave_open();
        let mut answer = Answer::to(format!("Do the counts in {} agree with the log?", self.counts.display()));
        let told: Vec<Value> = joining.rows.iter().map(|row| tell(row, &joining.known, &mut answer)).collect();
        for (name, events) in &joining.unasked {
            answer.assumed.push(format!("{events} events were released to `{name}`, which no count is about"));
        }
        answer.assumed.push(format!(
            "the collector's clock is within {} s of the pod's, and the collector counts what it acknowledges",
            self.skew
        ));
        answer.value = json!({"rows": told, "released_and_not_asked_about": joining.unasked});
        answer.print(&evidence, self.brought.json)
    }
}

fn read(path: &Path) -> Result<Vec<Row>> {
    let text = read_text(path)?;
    let written: Vec<Written> = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text).with_context(|| format!("{} is no array of counts", path.display()))?
    } else {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let rows = reader.deserialize().take(ROWS_MAX + 1).collect::<Result<_, csv::Error>>();
        rows.with_context(|| format!("{} is no CSV of destination,from,to,events", path.display()))?
    };
    if written.is_empty() || written.len() > ROWS_MAX {
        bail!("{} has {} counts, and 1 to {ROWS_MAX} are compared", path.display(), written.len());
    }
    let rows = written.into_iter().enumerate();
    rows.map(|(at, row)| compile(row).with_context(|| format!("{}, count {}", path.display(), at + 1))).collect()
}

fn compile(row: Written) -> Result<Row> {
    let moment_of = |text: Option<String>| text.filter(|text| !text.is_empty()).map(|text| moment(&text)).transpose();
    let period = Period { from: moment_of(row.from).context("`from`")?, to: moment_of(row.to).context("`to`")? };
    if let (Some(from), Some(to)) = (period.from, period.to)
        && from >= to
    {
        bail!("`from` is not before `to`");
    }
    Ok(Row {
        destination: row.destination,
        period,
        events: row.events,
        requests: row.requests,
        released: Bounds::default(),
        acknowledged: Bounds::default(),
        unknown: 0,
        open: 0,
        uncounted: 0,
    })
}

impl Joining {
    fn take(&mut self, told: &Told<'_>) {
        match &told.entry.record {
            Record::Batch(batch) => self.batch(told, batch),
            Record::Outcome(outcome) => self.outcome(told, outcome),
            Record::Open(_) => self.opened = told.entry.ts,
            Record::Name(name) if name.kind == NameKind::Destination => {
                self.known.insert(name.name.clone());
            }
            Record::Recover(recover) => {
                let ran = self.widened(told.span().since(self.opened));
                for row in self.rows.iter_mut().filter(|row| row.period.place(ran) != Where::Outside) {
                    row.uncounted = row.uncounted.saturating_add(recover.lease);
                }
            }
            _ => {}
        }
    }

    fn batch(&mut self, told: &Told<'_>, batch: &Batch) {
        let span = self.widened(told.span());
        for (number, events) in &batch.released {
            let name = told.names.destination(*number);
            let mut asked = false;
            for row in self.rows.iter_mut().filter(|row| row.destination == name) {
                asked = true;
                row.released.add(row.period.place(span), *events);
            }
            if !asked {
                *self.unasked.entry(name.clone()).or_default() += events;
            }
            self.names.insert((told.incarnation, *number), name);
            self.pending.insert((told.incarnation, batch.batch, *number), Pending { span, events: *events });
        }
    }

    fn outcome(&mut self, told: &Told<'_>, outcome: &Outcome) {
        let last = self.widened(told.span()).last;
        for (batch, number, acknowledged, refused, unknown) in &outcome.rows {
            let key = (told.incarnation, *batch, *number);
            let Some(pending) = self.pending.get_mut(&key) else { continue };
            let first = pending.span.first;
            pending.events = pending.events.saturating_sub(acknowledged + refused + unknown);
            if pending.events == 0 {
                self.pending.remove(&key);
            }
            let name = told.names.destination(*number);
            for row in self.rows.iter_mut().filter(|row| row.destination == name) {
                row.acknowledged.add(row.period.place(Span { first, last }), *acknowledged);
                if row.may_hold_from(first) {
                    row.unknown = row.unknown.saturating_add(*unknown);
                }
            }
        }
    }

    /// What has no outcome when the log ends is on its way, or was when it was copied.
    fn leave_open(&mut self) {
        for ((incarnation, _, number), pending) in &self.pending {
            let Some(name) = self.names.get(&(*incarnation, *number)) else { continue };
            for row in self.rows.iter_mut().filter(|row| row.destination == *name) {
                if row.may_hold_from(pending.span.first) {
                    row.open = row.open.saturating_add(pending.events);
                }
            }
        }
    }

    const fn widened(&self, span: Span) -> Span {
        Span { first: span.first.saturating_sub(self.skew_ms), last: span.last.saturating_add(self.skew_ms) }
    }
}

impl Row {
    /// Whether something that happened at some time from this moment on may have happened in its period.
    fn may_hold_from(&self, first: i64) -> bool {
        self.period.place(Span { first, last: i64::MAX }) != Where::Outside
    }
}

/// A word misspelt, or a collector that events reached on another way: the log's sums for it would be zero and mean nothing.
fn unknown(destination: &str, known: &BTreeSet<String>) -> String {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("the log has no destination `{destination}`; it has {has}")
}

fn tell(row: &Row, known: &BTreeSet<String>, answer: &mut Answer) -> Value {
    let explained = row.is_explained();
    let (low, high) = (row.acknowledged.at_least, row.at_most());
    answer.line(format!(
        "{} {}: the collector counts {}, the log {} acknowledged of {} released; {} unknown, {} on their way, {} uncounted",
        row.destination,
        row.period.words(),
        row.events,
        row.acknowledged,
        row.released,
        row.unknown,
        row.open,
        row.uncounted
    ));
    if !known.contains(&row.destination) {
        answer.object("destination", unknown(&row.destination, known));
    } else if !explained {
        let (way, by) = if row.events < low { ("fewer", low - row.events) } else { ("more", row.events - high) };
        answer.object(
            "counts",
            format!(
                "{} {}: the collector counts {}, {by} {way} than the log explains ({low} to {high})",
                row.destination,
                row.period.words(),
                row.events
            ),
        );
    }
    if row.requests.is_some() {
        let unchecked = "requests are not compared: the log counts them where they come in, not by destination";
        if !answer.assumed.iter().any(|known| known == unchecked) {
            answer.assumed.push(unchecked.to_owned());
        }
    }
    json!({
        "destination": row.destination,
        "period": row.period.json(),
        "collector": {"events": row.events, "requests": row.requests},
        "released": row.released,
        "acknowledged": row.acknowledged,
        "unknown": row.unknown,
        "open": row.open,
        "uncounted_at_most": row.uncounted,
        "explained": explained,
        "explained_from": low,
        "explained_to": high,
    })
}
