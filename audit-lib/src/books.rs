//! Double-entry books over the records of one incarnation.
//!
//! The writer derives each batch from these books, recovery and verification
//! replay records through the same [`Books::apply`], so what the writer calls
//! correct is what the auditor checks.

use std::collections::BTreeMap;

use crate::counts::{Delta, Fate};
use crate::record::{
    Batch, BypassCheck, Challenge, Config, DurabilityName, Entry, Events, NameKind, Outcome, OutcomeRow, Pairs,
    PolicyLoad, Record, Requests, is_address, is_reason,
};

/// Rows of one outcome record; more make further records.
const OUTCOME_ROWS_MAX: usize = 1000;

/// Something that does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discrepancy {
    /// A stable short name.
    pub code: &'static str,
    /// What is wrong, in numbers and declared names.
    pub message: String,
}

/// The running sums of one incarnation.
#[derive(Clone, Debug)]
pub struct Books {
    /// The next record's index.
    pub next_seq: u64,
    /// The next batch's number.
    pub next_batch: u64,
    /// Requests in flight.
    pub requests_in_flight: u64,
    /// Events decoded and undecided.
    pub events_in_flight: u64,
    /// Released and without an outcome, by batch and destination.
    pub outstanding: BTreeMap<(u64, u32), u64>,
    /// How many policies have a number.
    pub policies: u32,
    /// How many classes have a number.
    pub classes: u32,
    /// How many destinations have a number.
    pub destinations: u32,
    /// How many listeners have a number.
    pub listeners: u32,
    /// How many refusals have a number.
    pub refusals: u32,
    /// The lease in force.
    pub lease: u64,
    /// Whether a `config` was seen.
    pub configured: bool,
    /// How many have to sign a policy, as `config` says.
    pub signers_required: u64,
    /// Challenges that the batch to come has to count.
    pub challenged: BTreeMap<u32, u64>,
    /// What the last batch counts beside its challenges.
    pub unchallenged: Pairs,
    /// Whether a `close` or `recover` was seen.
    pub ended: bool,
    /// Time of the last record, Unix milliseconds.
    pub last_ts: i64,
    /// Time of the last record, milliseconds since the start.
    pub last_mono: u64,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            next_seq: 0,
            next_batch: 1,
            requests_in_flight: 0,
            events_in_flight: 0,
            outstanding: BTreeMap::new(),
            policies: 0,
            classes: 0,
            destinations: 0,
            listeners: 0,
            refusals: 0,
            lease: 0,
            configured: false,
            signers_required: 0,
            challenged: BTreeMap::new(),
            unchallenged: Pairs::new(),
            ended: false,
            last_ts: 0,
            last_mono: 0,
        }
    }
}

impl Books {
    /// Makes the batch that says what `sum` adds to these books.
    #[must_use]
    pub fn fold(&self, sum: &Delta, since: i64) -> Batch {
        let (arrivals, decisions) = (&sum.arrivals, &sum.decisions);
        let ended = arrivals.answered + arrivals.refused.sum() + arrivals.aborted;
        let settled = decisions.events() + arrivals.withheld;
        Batch {
            batch: self.next_batch,
            since,
            requests: Requests {
                carry_in: self.requests_in_flight,
                arrived: arrivals.requests,
                answered: arrivals.answered,
                refused: arrivals.refused.pairs(),
                aborted: arrivals.aborted,
                carry_out: (self.requests_in_flight + arrivals.requests).saturating_sub(ended),
            },
            events: Events {
                carry_in: self.events_in_flight,
                arrived: arrivals.events,
                kept: decisions.kept,
                dropped: decisions.dropped,
                withheld: arrivals.withheld,
                carry_out: (self.events_in_flight + arrivals.events).saturating_sub(settled),
            },
            bytes: arrivals.bytes,
            listeners: arrivals.listeners.pairs(),
            classes: decisions.classes.pairs(),
            released: decisions.released.pairs(),
        }
    }

    /// Makes the outcome records of these fates.
    #[must_use]
    pub fn outcomes(fates: &BTreeMap<(u64, u32), Fate>) -> Vec<Outcome> {
        let rows: Vec<OutcomeRow> = fates
            .iter()
            .filter(|(_, fate)| fate.sum() > 0)
            .map(|((batch, to), fate)| (*batch, *to, fate.acknowledged, fate.refused, fate.unknown))
            .collect();
        rows.chunks(OUTCOME_ROWS_MAX).map(|rows| Outcome { rows: rows.to_vec() }).collect()
    }

    /// Everything still outstanding, as unknown.
    #[must_use]
    pub fn unknowns(&self) -> BTreeMap<(u64, u32), Fate> {
        let unknown = |count: &u64| Fate { unknown: *count, ..Fate::default() };
        self.outstanding.iter().map(|(key, count)| (*key, unknown(count))).collect()
    }

    /// Enters a record and says what about it does not add up.
    pub fn apply(&mut self, entry: &Entry) -> Vec<Discrepancy> {
        let mut wrong = Vec::new();
        self.place(entry, &mut wrong);
        match &entry.record {
            Record::Open(open) => {
                self.refusals = u32::try_from(open.refusals.len()).unwrap_or(u32::MAX);
                self.lease = open.lease;
            }
            Record::Config(config) => self.enter_config(config, &mut wrong),
            Record::Name(name) => match name.kind {
                NameKind::Destination => count_up(&mut self.destinations, name.n, "destination", &mut wrong),
                NameKind::Listener => count_up(&mut self.listeners, name.n, "listener", &mut wrong),
            },
            Record::PolicyLoad(policy) => self.enter_policy(policy, &mut wrong),
            Record::PolicyRefused(refused) if refused.signers.len() as u64 >= refused.required => {
                let (signed, needed) = (refused.signers.len(), refused.required);
                let message = format!("a policy was refused that {signed} signed where {needed} were needed");
                report(&mut wrong, "policy_refused", message);
            }
            Record::Class(class) => {
                count_up(&mut self.classes, class.n, "class", &mut wrong);
                declared(class.policy, self.policies, "policy", &mut wrong);
            }
            Record::Batch(batch) => self.enter_batch(batch, &mut wrong),
            Record::Outcome(outcome) => self.enter_outcome(outcome, &mut wrong),
            Record::Challenge(challenge) => self.enter_challenge(challenge, &mut wrong),
            Record::BypassCheck(check) => check_sockets(check, &mut wrong),
            Record::Lease(lease) => self.lease = lease.events,
            Record::Recover(recover) => {
                if recover.lease != self.lease {
                    report(
                        &mut wrong,
                        "lease",
                        format!("a lease of {} is stated, {} was granted", recover.lease, self.lease),
                    );
                }
                self.end([recover.abandoned_requests, recover.abandoned_events], &mut wrong);
            }
            Record::Close(close) => self.end([close.abandoned_requests, close.abandoned_events], &mut wrong),
            _ => {}
        }
        wrong
    }

    fn place(&mut self, entry: &Entry, wrong: &mut Vec<Discrepancy>) {
        if entry.seq != self.next_seq {
            report(wrong, "sequence", format!("the record says it is {}, and it is {}", entry.seq, self.next_seq));
        }
        if (self.next_seq == 0) != matches!(entry.record, Record::Open(_)) {
            report(
                wrong,
                "open",
                format!("record {} is `{}`; `open` stands first, and only there", self.next_seq, entry.record.kind()),
            );
        }
        if self.ended {
            report(wrong, "after_end", "a record after the end of the incarnation".to_owned());
        }
        self.next_seq += 1;
        self.last_ts = entry.ts;
        self.last_mono = entry.mono;
    }

    fn enter_config(&mut self, config: &Config, wrong: &mut Vec<Discrepancy>) {
        if self.configured || self.next_batch > 1 {
            report(wrong, "config", "`config` stands once, and before the first batch".to_owned());
        }
        self.configured = true;
        if (config.durability == DurabilityName::Lease) != (self.lease > 0) {
            report(wrong, "config", format!("the durability is not that of a lease of {} events", self.lease));
        }
        if !is_address(&config.digest) {
            report(wrong, "config", "the digest of the configuration is none".to_owned());
        }
        let Some(needed) = &config.signatures else { return };
        self.signers_required = needed.required;
        let in_reach = 1..=needed.signers.len() as u64;
        if !in_reach.contains(&needed.required) || !in_reach.contains(&needed.required_to_loosen) {
            report(wrong, "config", "policies need signatures of none, or of more than there are signers".to_owned());
        }
    }

    fn enter_policy(&mut self, policy: &PolicyLoad, wrong: &mut Vec<Discrepancy>) {
        // A policy that comes back keeps its number.
        if policy.n >= self.policies {
            count_up(&mut self.policies, policy.n, "policy", wrong);
        }
        let signed = policy.signers.len() as u64;
        if signed < self.signers_required {
            let message = format!("a policy came into force that {signed} signed of {}", self.signers_required);
            report(wrong, "policy_unsigned", message);
        }
    }

    /// A challenge is recorded in one commit with what it counts: in the batch just made, or in the one to come.
    fn enter_challenge(&mut self, challenge: &Challenge, wrong: &mut Vec<Discrepancy>) {
        check_pairs(&challenge.classes, self.classes, "class", wrong);
        if challenge.events == 0 || total_wide(&challenge.classes) != u128::from(challenge.events) {
            report(wrong, "challenge", format!("a challenge of {} events has others by class", challenge.events));
        }
        if !is_address(&challenge.token) {
            report(wrong, "challenge", "the token of a challenge is no digest".to_owned());
        }
        if challenge.batch == self.next_batch {
            for (class, events) in &challenge.classes {
                let sum = self.challenged.entry(*class).or_default();
                *sum = sum.saturating_add(*events);
            }
        } else if challenge.batch.checked_add(1) == Some(self.next_batch) {
            take_away(&mut self.unchallenged, &challenge.classes, challenge.batch, wrong);
        } else {
            report(wrong, "challenge", format!("a challenge names batch {}, which is not now", challenge.batch));
        }
    }

    fn enter_batch(&mut self, batch: &Batch, wrong: &mut Vec<Discrepancy>) {
        if batch.batch != self.next_batch {
            report(wrong, "batch_number", format!("batch {} where {} was due", batch.batch, self.next_batch));
        }
        self.next_batch = batch.batch.saturating_add(1);
        let (requests, events) = (&batch.requests, &batch.events);
        if [requests.carry_in, events.carry_in] != [self.requests_in_flight, self.events_in_flight] {
            let message = format!(
                "batch {} carries in {} requests and {} events, the batch before carried out {} and {}",
                batch.batch, requests.carry_in, events.carry_in, self.requests_in_flight, self.events_in_flight
            );
            report(wrong, "carry", message);
        }
        let refused = total(&requests.refused);
        balance(
            wrong,
            ("requests", batch.batch),
            [requests.carry_in, requests.arrived],
            [requests.answered, refused, requests.aborted, requests.carry_out],
        );
        balance(
            wrong,
            ("events", batch.batch),
            [events.carry_in, events.arrived],
            [events.kept, events.dropped, events.withheld, events.carry_out],
        );
        let decided = u128::from(events.kept) + u128::from(events.dropped);
        if total_wide(&batch.classes) != decided {
            let message =
                format!("batch {}: classes sum to {}, decided are {decided}", batch.batch, total_wide(&batch.classes));
            report(wrong, "classes_sum", message);
        }
        if total(&batch.listeners) != requests.arrived {
            let message = format!(
                "batch {}: listeners sum to {}, requests in are {}",
                batch.batch,
                total(&batch.listeners),
                requests.arrived
            );
            report(wrong, "listeners_sum", message);
        }
        let most = batch.released.iter().map(|(_, count)| *count).max().unwrap_or(0);
        if most > events.kept || total_wide(&batch.released) < u128::from(events.kept) {
            let message = format!("batch {}: {} events kept cannot be released as recorded", batch.batch, events.kept);
            report(wrong, "released_sum", message);
        }
        for (pairs, known, what) in [
            (&requests.refused, self.refusals, "refusal"),
            (&batch.listeners, self.listeners, "listener"),
            (&batch.classes, self.classes, "class"),
            (&batch.released, self.destinations, "destination"),
        ] {
            check_pairs(pairs, known, what, wrong);
        }
        self.requests_in_flight = requests.carry_out;
        self.events_in_flight = events.carry_out;
        self.unchallenged.clone_from(&batch.classes);
        if !self.challenged.is_empty() {
            let challenged: Pairs = std::mem::take(&mut self.challenged).into_iter().collect();
            take_away(&mut self.unchallenged, &challenged, batch.batch, wrong);
        }
        for (destination, count) in &batch.released {
            self.outstanding.insert((batch.batch, *destination), *count);
        }
    }

    fn enter_outcome(&mut self, outcome: &Outcome, wrong: &mut Vec<Discrepancy>) {
        for (batch, destination, acknowledged, refused, unknown) in &outcome.rows {
            let key = (*batch, *destination);
            let sum = u128::from(*acknowledged) + u128::from(*refused) + u128::from(*unknown);
            let open = self.outstanding.get(&key).copied().unwrap_or(0);
            if sum > u128::from(open) || sum == 0 {
                let message = format!(
                    "batch {batch}, destination {destination}: outcomes of {sum} events where {open} were released and open"
                );
                report(wrong, "outcome_sum", message);
            }
            let left = u64::try_from(u128::from(open).saturating_sub(sum)).unwrap_or(0);
            if left == 0 {
                self.outstanding.remove(&key)
            } else {
                self.outstanding.insert(key, left)
            };
        }
    }

    fn end(&mut self, abandoned: [u64; 2], wrong: &mut Vec<Discrepancy>) {
        self.ended = true;
        if abandoned != [self.requests_in_flight, self.events_in_flight] {
            let message = format!(
                "{} requests and {} events are stated as abandoned, {} and {} were in flight",
                abandoned[0], abandoned[1], self.requests_in_flight, self.events_in_flight
            );
            report(wrong, "abandoned", message);
        }
        if !self.challenged.is_empty() {
            report(wrong, "challenge", "a challenge was recorded, and no batch counts it".to_owned());
        }
        if !self.outstanding.is_empty() {
            report(wrong, "outcome_missing", format!("{} releases have no outcome at the end", self.outstanding.len()));
        }
    }
}

/// Takes what challenges count out of what their batch counts.
fn take_away(from: &mut Pairs, classes: &Pairs, batch: u64, wrong: &mut Vec<Discrepancy>) {
    for (class, events) in classes {
        let counted = from.iter_mut().find(|(n, _)| n == class).map(|(_, count)| count);
        let left = counted.as_ref().map_or(0, |count| **count);
        if *events > left {
            let message = format!("batch {batch} has {left} events of class {class} left, and a challenge {events}");
            report(wrong, "challenge", message);
        }
        if let Some(count) = counted {
            *count = left.saturating_sub(*events);
        }
    }
}

fn check_sockets(check: &BypassCheck, wrong: &mut Vec<Discrepancy>) {
    let sum: u128 = check.reasons.values().map(|sockets| u128::from(*sockets)).sum();
    if sum != u128::from(check.suspect) || check.reasons.iter().any(|(word, n)| *n == 0 || !is_reason(word)) {
        let message = format!("{} sockets are suspect, and {sum} have a reason that is a word", check.suspect);
        report(wrong, "bypass_reasons", message);
    }
}

fn report(wrong: &mut Vec<Discrepancy>, code: &'static str, message: String) {
    wrong.push(Discrepancy { code, message });
}

fn count_up(known: &mut u32, number: u32, what: &str, wrong: &mut Vec<Discrepancy>) {
    if number != *known {
        report(wrong, "numbering", format!("{what} {number} declared where {known} was due"));
    }
    *known = number.saturating_add(1);
}

fn declared(number: u32, known: u32, what: &str, wrong: &mut Vec<Discrepancy>) {
    if number >= known {
        report(wrong, "undeclared", format!("{what} {number} was never declared"));
    }
}

fn check_pairs(pairs: &Pairs, known: u32, what: &str, wrong: &mut Vec<Discrepancy>) {
    let mut before = None;
    for (number, count) in pairs {
        declared(*number, known, what, wrong);
        if *count == 0 || before.is_some_and(|before| before >= *number) {
            report(wrong, "pairs", format!("counts by {what} out of order, repeated, or zero"));
        }
        before = Some(*number);
    }
}

fn balance<const L: usize, const R: usize>(
    wrong: &mut Vec<Discrepancy>,
    (what, batch): (&str, u64),
    left: [u64; L],
    right: [u64; R],
) {
    let sum = |side: &[u64]| side.iter().map(|count| u128::from(*count)).sum::<u128>();
    if sum(&left) != sum(&right) {
        let message = format!("batch {batch}: {} {what} went in and {} came out", sum(&left), sum(&right));
        report(wrong, "balance", message);
    }
}

fn total(pairs: &Pairs) -> u64 {
    pairs.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count))
}

fn total_wide(pairs: &Pairs) -> u128 {
    pairs.iter().map(|(_, count)| u128::from(*count)).sum()
}
