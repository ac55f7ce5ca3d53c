//! `ask policy-at`: which policy was in force at a moment.
//!
//! A load's time is rounded down to 10 s, so within ten seconds after it two policies are possible;
//! the answer then names both.

use anyhow::{Result, bail};
use privet_audit_log::record::{PolicyLoad, Record};
use privet_policy::diff::{Change, Diff, diff};
use serde_json::{Value, json};

use crate::alive::LastAlive;
use crate::answer::{Answer, Printed};
use crate::brought::Brought;
use crate::evidence::{Evidence, Told};
use crate::period::{Span, moment, show};

/// Of the differences to the policy before, so many are listed for people; `privet diff` lists all.
const LISTED_MAX: usize = 20;

/// The moment.
#[derive(clap::Args)]
pub struct PolicyAt {
    #[command(flatten)]
    brought: Brought,
    /// RFC 3339, or a day of UTC.
    time: String,
}

/// One time that a policy came into force.
#[derive(Clone, Debug)]
struct Load {
    incarnation: u64,
    index: u64,
    span: Span,
    said: PolicyLoad,
}

/// How long an incarnation is known to have run.
#[derive(Clone, Copy, Debug)]
struct Ran {
    incarnation: u64,
    first: i64,
    alive: LastAlive,
}

impl Ran {
    const fn holds(&self, ms: i64) -> bool {
        self.first <= ms && ms <= self.alive.ms()
    }
}

/// Everything that the records say about when policies were in force.
#[derive(Debug, Default)]
struct History {
    loads: Vec<Load>,
    ran: Vec<Ran>,
}

impl History {
    fn take(&mut self, told: &Told<'_>) {
        let span = told.span();
        match self.ran.last_mut() {
            Some(ran) if ran.incarnation == told.incarnation => ran.alive.hear(told, span.last),
            _ => self.ran.push(Ran {
                incarnation: told.incarnation,
                first: span.first,
                alive: LastAlive::of(told, span.last),
            }),
        }
        if let Record::PolicyLoad(said) = &told.entry.record {
            self.loads.push(Load { incarnation: told.incarnation, index: told.index, span, said: said.clone() });
        }
    }

    /// The policies that may have been in force then, the likelier last.
    fn at(&self, ms: i64) -> Vec<&Load> {
        let Some(ran) = self.ran.iter().rev().find(|ran| ran.holds(ms)) else {
            return Vec::new();
        };
        let own = || self.loads.iter().filter(|load| load.incarnation == ran.incarnation);
        let settled = own().rfind(|load| load.span.last < ms);
        let changing = own().filter(|load| load.span.first <= ms && ms <= load.span.last);
        settled.into_iter().chain(changing).collect()
    }

    /// The last load of another policy before this one, in whatever incarnation.
    fn before(&self, load: &Load) -> Option<&Load> {
        let earlier = |known: &&Load| (known.incarnation, known.index) < (load.incarnation, load.index);
        self.loads.iter().filter(earlier).rfind(|known| known.said.digest != load.said.digest)
    }
}

impl PolicyAt {
    /// Answers.
    ///
    /// # Errors
    /// There is no log to speak of, or the time cannot be read.
    pub fn run(&self) -> Result<Printed> {
        let Ok(ms) = moment(&self.time) else {
            bail!("`{}` is no time such as 2026-11-25T14:00:00Z, nor a day such as 2026-11-25", self.time);
        };
        let evidence = Evidence::gather(&self.brought)?;
        let mut history = History::default();
        evidence.walk(&mut |told| history.take(told))?;
        let mut answer = Answer::to(format!("Which policy was in force at {}?", show(ms)));
        answer
            .assumed
            .push("the pod's wall clock was right: the log orders records, and takes times from it".to_owned());
        let found = history.at(ms);
        match found.as_slice() {
            [] => none(&mut answer, &history, ms),
            [_] => {}
            _ => answer.line("it changed within these ten seconds, to which the log rounds: one of these was in force"),
        }
        let told: Vec<Value> = found.iter().map(|load| one(&evidence, &history, load, &mut answer)).collect();
        answer.value = json!({"time": show(ms), "policies": told});
        answer.print(&evidence, self.brought.json)
    }
}

fn none(answer: &mut Answer, history: &History, ms: i64) {
    let ran = history.ran.iter().find(|ran| ran.holds(ms));
    let why = match ran {
        Some(ran) => format!(
            "none: incarnation {} had loaded no policy by then, and nothing passes without one",
            ran.incarnation
        ),
        None => "the log does not speak of then: no incarnation is known to have run".to_owned(),
    };
    answer.line(&why);
    answer.object("no_policy", why);
}

fn one(evidence: &Evidence, history: &History, load: &Load, answer: &mut Answer) -> Value {
    let said = &load.said;
    answer.line(format!("policy {}", said.digest));
    answer.line(format!(
        "  in force since {}, by record {} of incarnation {}",
        show(load.span.first),
        load.index,
        load.incarnation
    ));
    answer.line(format!("  {} files, bundle {}", said.files, said.bundle));
    let signers =
        if said.signers.is_empty() { "nobody, as far as the log says".to_owned() } else { said.signers.join(", ") };
    answer.line(format!("  signed by {signers}"));
    let before = history.before(load);
    let difference = before.and_then(|before| difference(evidence, before, load, answer));
    if before.is_none() {
        answer.line("  no other policy was in force before it");
    }
    json!({
        "digest": said.digest,
        "bundle": said.bundle,
        "files": said.files,
        "signers": said.signers,
        "since": show(load.span.first),
        "incarnation": load.incarnation,
        "record": load.index,
        "before": before.map(|before| &before.said.digest),
        "difference": difference,
    })
}

fn difference(evidence: &Evidence, before: &Load, load: &Load, answer: &mut Answer) -> Option<Value> {
    answer.line(format!("  before it policy {}", before.said.digest));
    let policies = evidence.policies();
    let (Some(old), Some(new)) = (policies.get(&before.said.digest), policies.get(&load.said.digest)) else {
        answer.line("  the difference cannot be worked out: one of both is not kept, or does not compile");
        return None;
    };
    let diff = diff(old, new);
    let [loosen, tighten, neutral] = [Change::Loosen, Change::Tighten, Change::Neutral].map(|way| diff.count(way));
    answer.line(format!("  against it: {loosen} loosened, {tighten} tightened, {neutral} neutral"));
    list(&diff, answer);
    Some(diff.json(old, new))
}

fn list(diff: &Diff, answer: &mut Answer) {
    for cell in diff.cells.iter().take(LISTED_MAX) {
        let place = &cell.place;
        let form = |content: &Option<privet_policy::diff::Content>| {
            content.as_ref().map_or_else(|| "nothing".to_owned(), |content| content.action.to_string())
        };
        answer.line(format!(
            "    {}: {} {} to {} for {}: {} becomes {}",
            cell.change.name(),
            place.contract,
            place.part.label(&place.field),
            place.destination,
            place.purpose,
            form(&cell.old),
            form(&cell.new)
        ));
    }
    for other in diff.others.iter().take(LISTED_MAX) {
        answer.line(format!("    {}: {} {}: {}", other.change.name(), other.kind, other.name, other.what));
    }
    let more = diff.cells.len().saturating_sub(LISTED_MAX) + diff.others.len().saturating_sub(LISTED_MAX);
    if more > 0 {
        answer.line(format!("    and {more} more; `privet diff` lists them"));
    }
}
