//! The event line, in the order it happens:
//! accept -> decode -> decide -> transform -> audit -> forward.
//!
//! Promise: each step takes what the step before it made, so none can be
//! skipped; nothing is sent that was not recorded; whatever cannot be done ends
//! in a refusal in the client's own words, and in a count.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::Response;
use privet_dp::window::PolicyDigest;
use privet_policy::consent::{Heard, Memory};
use privet_policy::decide::{Decision, Outcome, Refusal as Refused};
use privet_policy::format::Format;
use privet_policy::policy::{AgeClass, ContractNo, DestinationNo, Policy, Response as Listed};

use crate::accept::{self, Carry, Held};
use crate::audit::{
    Arrival, CannotRecord, ClassNo, Delivery as Fate, DestNo, ListenerNo, PolicyNo, Recorder, RefusedAs, Tally,
};
use crate::challenges::{Canary, Challenges};
use crate::consent::{Answers, ConsentStore, SubjectKey};
use crate::contained::{Panicked, contained};
use crate::decide::{Surroundings, decide};
use crate::decode::{DecodeLimits, Decoded, Scratch, decode, format_asked, format_hint};
use crate::export::{ExportLine, Seen, Watched};
use crate::formats::{
    Refusal, Unready, answer_refusal, answer_success, forbid_keeping, pass_response_headers, passed_status, preflight,
};
use crate::forward::{Delivery, Reply, Upstreams};
use crate::metrics::{EventOutcome, Metrics, RefusedAt};
use crate::recorded::Recorded;
use crate::remember::WireRefusals;
use crate::request::{Asked, ListenerFacts, RawRequest};
use crate::shadow::{Judged, Shadow};
use crate::telemetry::trace::{Step, Tracer, Watch};
use crate::transform::{Enforcement, Minimized, pass, transform};

/// Seconds after which a client may try again.
const RETRY_SECS: u32 = 5;

/// The event line.
pub struct Line {
    in_force: ArcSwapOption<InForce>,
    recorder: Recorder,
    exports: ArcSwapOption<ExportLine>,
    refusals: WireRefusals,
    consent: Option<ConsentStore>,
    metrics: Arc<Metrics>,
    tracer: Arc<Tracer>,
    challenges: Challenges,
    limits: DecodeLimits,
    listeners: RwLock<HashMap<String, ListenerNo>>,
}

/// A policy with all it needs to run. Swapped whole, between requests.
pub struct InForce {
    /// The policy and its keys.
    pub enforcement: Enforcement,
    /// The connections to its destinations.
    pub upstreams: Upstreams,
    /// Its exports.
    pub exports: Watched,
    /// Its number in the log.
    pub policy: PolicyNo,
    /// Its destinations' numbers in the log.
    pub destinations: Vec<DestNo>,
    /// Its classes' numbers in the log, as far as they occurred.
    pub classes: Arc<Classes>,
    /// Another policy that is only tried out beside it.
    pub shadow: ArcSwapOption<Shadow>,
}

/// What a class is known by inside the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum ClassKey {
    Ruled(u32),
    Unmatched(Format),
    Malformed(Format),
    Invalid(ContractNo),
}

impl ClassKey {
    fn of(format: Format, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Ruled(verdict) => Self::Ruled(verdict.number),
            Outcome::Unmatched => Self::Unmatched(format),
            Outcome::Malformed => Self::Malformed(format),
            Outcome::Invalid(contract) => Self::Invalid(*contract),
        }
    }
}

/// Class numbers by what they are known by.
#[derive(Default)]
pub struct Classes(RwLock<HashMap<ClassKey, ClassNo>>);

/// A request that goes no further, and what is said about it.
struct Stopped {
    format: Option<Format>,
    refusal: Refusal,
    counted: RefusedAt,
    recorded: RefusedAs,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What becomes of the events of a request.
struct Decided {
    decisions: Vec<Decision>,
    /// The policy in shadow, where there is one, and what would become of them by it.
    shadow: Option<(Arc<Shadow>, Judged)>,
}

/// How often a request asks the store at most: what was in memory may be gone when the answers come.
const PASSES_MAX: usize = 3;

/// What a line is made of.
pub struct Parts {
    /// The enforcement log.
    pub recorder: Recorder,
    /// What is remembered of refusals.
    pub refusals: WireRefusals,
    /// What is stored of earlier decisions.
    pub consent: Option<ConsentStore>,
    /// Where things are counted.
    pub metrics: Arc<Metrics>,
    /// Which requests are traced.
    pub tracer: Arc<Tracer>,
    /// Whose canaries are known.
    pub challenges: Challenges,
    /// Bounds on one request.
    pub limits: DecodeLimits,
}

impl Line {
    /// A line with no policy in force: it refuses everything.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            in_force: ArcSwapOption::empty(),
            recorder: parts.recorder,
            exports: ArcSwapOption::empty(),
            refusals: parts.refusals,
            consent: parts.consent,
            metrics: parts.metrics,
            tracer: parts.tracer,
            challenges: parts.challenges,
            limits: parts.limits,
            listeners: RwLock::default(),
        }
    }

    /// Puts a policy in force, from the next request on.
    pub fn enforce(&self, in_force: InForce) {
        self.in_force.store(Some(Arc::new(in_force)));
    }

    /// The policy in force.
    #[must_use]
    pub fn in_force(&self) -> Option<Arc<InForce>> {
        self.in_force.load_full()
    }

    /// Has permitted events observed by an export line.
    pub fn observe_with(&self, exports: Arc<ExportLine>) {
        self.exports.store(Some(exports));
    }

    /// What is remembered of refusals on the wire, in this process alone.
    #[must_use]
    pub const fn refusals(&self) -> &WireRefusals {
        &self.refusals
    }

    /// The export line, if there is one.
    #[must_use]
    pub fn exports(&self) -> Option<Arc<ExportLine>> {
        self.exports.load_full()
    }

    /// Takes a unit out of what is being counted.
    pub fn withdraw(&self, unit: &str) {
        if let Some(exports) = &*self.exports.load() {
            exports.withdraw(unit.as_bytes());
        }
    }

    /// Tells the export line that what others sent decided about whose events count.
    fn shed(&self) {
        if let Some(exports) = &*self.exports.load() {
            exports.shed();
        }
    }

    /// Ends the export line; open windows are discarded.
    pub fn stop_exports(&self) {
        self.exports.store(None);
    }

    /// Takes one request from here to its destinations.
    ///
    /// One record and one commit a request, however many events it holds.
    async fn take(
        &self,
        raw: &RawRequest,
        room: Held<'_>,
        arrival: &mut Arrival,
        canary: Option<Canary<'_>>,
        watch: &mut Watch,
    ) -> Result<Response<Bytes>, Stopped> {
        let in_force = self.in_force.load_full().ok_or_else(|| Stopped::unready(raw, Unready::Policy))?;
        let (_room, format, minimized, tally) = match self.minimize(&in_force, raw, room, arrival, watch).await {
            Ok(minimized) => minimized,
            Err(stopped) => match pass(&in_force.enforcement, raw, &stopped.refusal) {
                Some(passing) => return self.pass(&in_force, raw, passing, arrival).await,
                None => return Err(stopped),
            },
        };
        let begun = Instant::now();
        let token = canary.as_ref().map(Canary::token);
        let recorded = Recorded::by(&self.recorder, arrival, minimized, &tally, token).await;
        self.metrics.audit_seconds.record(begun.elapsed());
        let recorded = recorded.map_err(|error| self.unrecorded(format, error))?;
        if let Some(mut canary) = canary {
            canary.recorded();
        }
        watch.done(Step::Record);
        let answer = forward(&in_force, raw, format, recorded).await;
        watch.done(Step::Forward);
        answer
    }

    /// Takes a request that is no event to the destination that lists its path.
    /// It is recorded before it is sent, as a request with no events.
    async fn pass(
        &self,
        in_force: &InForce,
        raw: &RawRequest,
        passing: Minimized,
        arrival: &mut Arrival,
    ) -> Result<Response<Bytes>, Stopped> {
        let format = format_hint(raw);
        let recorded = Recorded::by(&self.recorder, arrival, passing, &Tally::default(), None).await;
        let (shares, _) = recorded.map_err(|error| self.unrecorded(format, error))?.into_parts();
        self.metrics.requests_passed.increment(1);
        for share in shares {
            let destination = in_force.enforcement.policy.destination(share.destination);
            match in_force.upstreams.send(&destination.name, share.forward).await {
                Delivery::Acknowledged(reply) | Delivery::Refused(reply)
                    if !reply.status.is_redirection() && reply.is_whole() =>
                {
                    return Ok(passed_on(raw, format.unwrap_or(Format::Json), &destination.response, reply));
                }
                _ => {}
            }
        }
        Err(Stopped::undelivered(format))
    }

    /// Decode, decide and transform: from bytes to what may leave. Waits for nothing, or
    /// a bounded time for what is stored of people nobody asked about lately.
    async fn minimize<'a>(
        &self,
        in_force: &InForce,
        raw: &RawRequest,
        mut room: Held<'a>,
        arrival: &mut Arrival,
        watch: &mut Watch,
    ) -> Result<(Held<'a>, Format, Minimized, Tally), Stopped> {
        let decoded = SCRATCH
            .with_borrow_mut(|scratch| decode(raw, &self.limits, scratch))
            .map_err(|refusal| Stopped::by_decode(raw, refusal))?;
        arrival.decoded(decoded.event_count() as u64);
        watch.done(Step::Decode);
        let decided = self.decide(in_force, raw, &decoded, &mut room).await;
        watch.done(Step::Decide);
        let minimized = decided.and_then(|decided| self.minimize_decided(in_force, raw, &decoded, &decided, &mut room));
        watch.done(Step::Transform);
        let format = decoded.format;
        SCRATCH.with_borrow_mut(|scratch| scratch.reclaim(decoded));
        minimized.map(|(minimized, tally)| (room, format, minimized, tally))
    }

    /// What may leave waits in memory for its collector, so it is paid for before
    /// anything is counted: a refused client comes again, and counts once.
    fn minimize_decided(
        &self,
        in_force: &InForce,
        raw: &RawRequest,
        decoded: &Decoded,
        Decided { decisions, shadow }: &Decided,
        room: &mut Held<'_>,
    ) -> Result<(Minimized, Tally), Stopped> {
        let minimized = transform(&in_force.enforcement, raw, decoded, decisions);
        if !room.grow(minimized.bytes().saturating_sub(room.bytes())) {
            return Err(Stopped::overloaded(decoded.format));
        }
        self.observe(in_force, decoded, decisions);
        self.metrics.fields_undeclared.increment(u64::from(minimized.undeclared));
        let tally = self.tally(in_force, decoded, decisions, &minimized);
        if let Some((shadow, judged)) = shadow {
            shadow.count(decisions, judged);
        }
        let tally = tally.map_err(|error| self.unrecorded(decoded.format, error))?;
        Ok((minimized, tally))
    }

    /// What becomes of every event, and what would become of it by the policy in shadow.
    ///
    /// A decision is a pure function of what is known, so it is made again once more is
    /// known. What people refuse here is remembered whatever becomes of the request; where it cannot be, the request
    /// has to come again.
    async fn decide(
        &self,
        in_force: &InForce,
        raw: &RawRequest,
        decoded: &Decoded,
        room: &mut Held<'_>,
    ) -> Result<Decided, Stopped> {
        let mut answers = Answers::default();
        let (mut decided, mut missed) = self.decide_knowing(in_force, raw, decoded, &answers);
        let mut enough = true;
        if let (Some(store), false) = (&self.consent, missed.is_empty()) {
            let until = store.patience();
            // The body waits in memory as long as the answer does.
            enough = room.grow(decoded.body.len().saturating_sub(room.bytes()));
            for _ in 0..if enough { PASSES_MAX } else { 0 } {
                store.ask(missed, &mut answers, until).await;
                (decided, missed) = self.decide_knowing(in_force, raw, decoded, &answers);
                if missed.is_empty() {
                    break;
                }
            }
            if !missed.is_empty() {
                // The store did not answer for all, so others decide whether these events may count.
                self.shed();
            }
        }
        // Whoever is told that a refusal was taken does not say it again.
        if !self.remember(in_force, raw, &decided) || !enough {
            return Err(Stopped::overloaded(decoded.format));
        }
        Ok(decided)
    }

    /// Both policies judge on what was refused before this request. Gives the subjects, too, that
    /// the store has to be asked about; as long as there are any, they count as unavailable.
    fn decide_knowing(
        &self,
        in_force: &InForce,
        raw: &RawRequest,
        decoded: &Decoded,
        answers: &Answers,
    ) -> (Decided, Vec<SubjectKey>) {
        let mut missed = Vec::new();
        let mut by = |policy: &Policy| {
            let (decisions, more) = self.decide_by(policy, raw, decoded, answers);
            missed.extend(more);
            decisions
        };
        let decisions = by(&in_force.enforcement.policy);
        let shadow = in_force.shadow.load_full().map(|shadow| {
            let judged = shadow.judge(&mut by);
            (shadow, judged)
        });
        (Decided { decisions, shadow }, missed)
    }

    fn decide_by(
        &self,
        policy: &Policy,
        raw: &RawRequest,
        decoded: &Decoded,
        answers: &Answers,
    ) -> (Vec<Decision>, Vec<SubjectKey>) {
        let remembered = self.refusals.under(policy);
        let heard = |heard: Heard<'_>| match heard {
            Heard::Fault(fault) => self.metrics.signals_unreadable.count(fault),
            Heard::Evidence { .. } => {}
        };
        let around =
            |stored, memory| Surroundings { stored, memory, heard: &heard, jurisdiction: None, age: AgeClass::Unknown };
        let Some(store) = &self.consent else {
            return (decide(policy, raw, decoded, &around(&remembered, Memory::Forgetful)), Vec::new());
        };
        let stored = store.recollection(policy, remembered, answers);
        let decisions = decide(policy, raw, decoded, &around(&stored, store.memory()));
        (decisions, stored.missed())
    }

    /// Only the refusals that the enforced policy knows are remembered. Says whether they are.
    fn remember(&self, in_force: &InForce, raw: &RawRequest, decided: &Decided) -> bool {
        let policy = &in_force.enforcement.policy;
        let at_ms = raw.received_at.as_millisecond();
        let refusals: Vec<&Refused> =
            decided.decisions.iter().filter_map(|decision| decision.refusal.as_deref()).collect();
        if refusals.is_empty() {
            return true;
        }
        refusals.iter().for_each(|refusal| self.withdraw_refused(in_force, refusal));
        if !self.refusals.remember(policy, raw.peer, &refusals, at_ms) {
            self.metrics.refusals_not_remembered.increment(1);
            return false;
        }
        if let Some(store) = &self.consent {
            refusals.iter().for_each(|refusal| store.keep(policy, refusal, at_ms));
        }
        true
    }

    /// Takes whoever refuses what is counted for out of the open windows. Windows that an
    /// earlier policy left are for purposes that are not known here: any refusal reaches them.
    fn withdraw_refused(&self, in_force: &InForce, refusal: &Refused) {
        if in_force.exports.purposes().any(|purpose| refusal.purposes.contains(purpose)) {
            refusal.subjects.iter().for_each(|subject| self.withdraw(subject));
        } else if let Some(exports) = self.exports.load().as_deref() {
            refusal.subjects.iter().for_each(|subject| exports.withdraw_from_earlier(subject.as_bytes()));
        }
    }

    /// Shows permitted events to the export line.
    fn observe(&self, in_force: &InForce, decoded: &Decoded, decisions: &[Decision]) {
        if in_force.exports.is_empty() {
            return;
        }
        let running = self.exports.load();
        let digest: PolicyDigest = in_force.enforcement.policy.digest().0;
        let Some(observer) = running.as_ref().and_then(|exports| exports.observer(&digest)) else { return };
        let around = decoded.groups().flat_map(|group| group.events.map(move |_| group.around));
        for ((decision, event), around) in decisions.iter().zip(&decoded.events).zip(around) {
            let Some(contract) = contract_of(&decision.outcome) else { continue };
            let event = decoded.index.node(&decoded.body, *event);
            let malformed = in_force.exports.see(&observer, contract, decision, Seen { event, around });
            self.metrics.export_reports_malformed.increment(malformed);
        }
    }

    /// The decisions in numbers, as the log takes them.
    fn tally(
        &self,
        in_force: &InForce,
        decoded: &Decoded,
        decisions: &[Decision],
        minimized: &Minimized,
    ) -> Result<Tally, CannotRecord> {
        let mut tally = Tally::default();
        for (outcome, events) in counted(decoded.format, decisions) {
            let kept = matches!(outcome, Outcome::Ruled(verdict) if verdict.treatments.iter().any(Option::is_some));
            let class = self.class(in_force, decoded.format, outcome)?;
            if kept {
                tally.kept(class, events);
            } else {
                tally.dropped(class, events);
            }
            self.metrics.events.of(word(outcome, kept)).increment(events);
        }
        if !decoded.malformed_lines.is_empty() {
            let lines = decoded.malformed_lines.len() as u64;
            tally.dropped(self.class(in_force, decoded.format, &Outcome::Malformed)?, lines);
            self.metrics.events.of(EventOutcome::Invalid).increment(lines);
        }
        for share in &minimized.shares {
            if let Some(number) = in_force.destinations.get(usize::from(share.destination.0)) {
                tally.released(*number, u64::from(share.events));
            }
        }
        Ok(tally)
    }

    /// The log's number for what was decided, declared at its first use.
    fn class(&self, in_force: &InForce, format: Format, outcome: &Outcome) -> Result<ClassNo, CannotRecord> {
        let key = ClassKey::of(format, outcome);
        let known = in_force.classes.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let policy = &in_force.enforcement.policy;
        let document = match outcome {
            Outcome::Ruled(verdict) => policy.class_of(verdict),
            Outcome::Unmatched => policy.unmatched_class(format),
            Outcome::Malformed => policy.malformed_class(format),
            Outcome::Invalid(contract) => policy.invalid_class(*contract),
        };
        let number = self.recorder.class(in_force.policy, &document)?;
        in_force.classes.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, number);
        Ok(number)
    }

    fn unrecorded(&self, format: impl Into<Option<Format>>, error: CannotRecord) -> Stopped {
        tracing::debug!(%error, "a request was refused because it cannot be recorded");
        let refusal = Refusal::Unavailable { because: Unready::Log, retry_after_secs: RETRY_SECS };
        Stopped {
            format: format.into(),
            refusal,
            counted: RefusedAt::AuditUnavailable,
            recorded: RefusedAs::CannotRecord,
        }
    }

    fn listener(&self, name: &str) -> Option<ListenerNo> {
        let known = self.listeners.read().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        known.or_else(|| {
            let number = self.recorder.listener(name).ok()?;
            self.listeners.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), number);
            Some(number)
        })
    }

    fn say(&self, raw: &RawRequest, stopped: &Stopped) -> Response<Bytes> {
        if matches!(stopped.counted, RefusedAt::AcceptOverloaded | RefusedAt::AuditUnavailable) {
            self.shed();
        }
        self.metrics.requests_refused.of(stopped.counted).increment(1);
        answer_refusal(stopped.format, &stopped.refusal, &raw.asked())
    }
}

impl Carry for Line {
    fn tend(&self) {
        self.refusals.tend();
    }

    async fn carry(&self, mut raw: RawRequest, room: Held<'_>) -> Response<Bytes> {
        if let Some(answer) = preflight(&raw) {
            return answer;
        }
        let Some(listener) = self.listener(&raw.listener.name) else {
            return self.say(&raw, &Stopped::unready(&raw, Unready::Log));
        };
        let mut arrival = self.recorder.arrived(listener, raw.body.len() as u64);
        let canary = self.challenges.take(&mut raw.headers);
        let mut watch = self.tracer.begin(raw.received_at);
        let stopped = match contained(self.take(&raw, room, &mut arrival, canary, &mut watch)).await {
            Ok(Ok(answer)) => {
                arrival.answered();
                self.tracer.end(watch, &raw.listener.name, answer.status().as_u16(), None);
                return answer;
            }
            Ok(Err(stopped)) => stopped,
            Err(Panicked) => {
                self.metrics.panics.increment(1);
                Stopped::faulty(&raw)
            }
        };
        arrival.refused(stopped.recorded);
        let answer = self.say(&raw, &stopped);
        self.tracer.end(watch, &raw.listener.name, answer.status().as_u16(), Some(stopped.recorded.name()));
        answer
    }

    fn crowded(&self) {
        self.shed();
    }

    fn refuse(&self, listener: &ListenerFacts, asked: &Asked<'_>, refusal: accept::Refusal) -> Response<Bytes> {
        // A source's rate is shared by all behind its address, so it couples units as a full sidecar does.
        if refusal == accept::Refusal::Overloaded {
            self.shed();
        }
        let format = format_asked(&listener.formats, asked);
        let (refusal, recorded) = worded(refusal);
        if let Some(number) = self.listener(&listener.name) {
            self.recorder.arrived(number, 0).refused(recorded);
        }
        answer_refusal(format, &refusal, asked)
    }
}

/// The shell's refusals in the line's words.
const fn worded(refusal: accept::Refusal) -> (Refusal, RefusedAs) {
    match refusal {
        accept::Refusal::Overloaded => {
            (Refusal::Unavailable { because: Unready::Overload, retry_after_secs: RETRY_SECS }, RefusedAs::Overloaded)
        }
        accept::Refusal::TooLarge => (Refusal::TooLarge(crate::formats::Bound::Body), RefusedAs::TooLarge),
        accept::Refusal::TimedOut => {
            (Refusal::Unavailable { because: Unready::Overload, retry_after_secs: RETRY_SECS }, RefusedAs::TimedOut)
        }
        accept::Refusal::NotReady => {
            (Refusal::Unavailable { because: Unready::Policy, retry_after_secs: RETRY_SECS }, RefusedAs::NotReady)
        }
        accept::Refusal::Fault => (Refusal::Internal, RefusedAs::Internal),
        accept::Refusal::Draining => {
            (Refusal::Unavailable { because: Unready::Draining, retry_after_secs: RETRY_SECS }, RefusedAs::NotReady)
        }
        accept::Refusal::Malformed => (Refusal::malformed(crate::formats::Fault::Empty, 0), RefusedAs::Unparseable),
    }
}

/// Sends what was recorded: the primary's share now, the others as copies.
async fn forward(
    in_force: &InForce,
    raw: &RawRequest,
    format: Format,
    recorded: Recorded,
) -> Result<Response<Bytes>, Stopped> {
    let (shares, mut batch) = recorded.into_parts();
    let policy = &in_force.enforcement.policy;
    let number = |destination: DestinationNo| in_force.destinations.get(usize::from(destination.0)).copied();
    let nothing = Listed::default();
    let (mut answer, mut listed) = (None, &nothing);
    let (primary, copies): (Vec<_>, Vec<_>) =
        shares.into_iter().partition(|share| policy.destination(share.destination).primary);
    for share in copies {
        let (Some(number), events) = (number(share.destination), u64::from(share.events)) else { continue };
        let mut own = batch.split(number);
        let done = move |delivery: Delivery| own.outcome(number, fate(&delivery), events);
        // A copy that finds no room is given up: its record, dropped unsent, says so.
        in_force.upstreams.copy(&policy.destination(share.destination).name, share.forward, done).ok();
    }
    for share in primary {
        let destination = policy.destination(share.destination);
        listed = &destination.response;
        let delivery = in_force.upstreams.send(&destination.name, share.forward).await;
        if let Some(number) = number(share.destination) {
            batch.outcome(number, fate(&delivery), u64::from(share.events));
        }
        answer = Some(delivery);
    }
    match answer {
        None => Ok(answer_success(format, &raw.asked())),
        Some(Delivery::Acknowledged(reply)) => Ok(passed_on(raw, format, listed, reply)),
        // A redirect would count as success with some clients and lose the events.
        Some(Delivery::Refused(reply)) if !reply.status.is_redirection() => Ok(passed_on(raw, format, listed, reply)),
        Some(Delivery::Refused(_) | Delivery::Unknown(_)) => Err(Stopped::undelivered(Some(format))),
    }
}

/// The collector's answer, with the headers that may pass.
fn passed_on(raw: &RawRequest, format: Format, listed: &Listed, reply: Reply) -> Response<Bytes> {
    let mut answer = Response::new(reply.body);
    *answer.status_mut() = passed_status(format, reply.status);
    pass_response_headers(&reply.headers, listed, &raw.headers, answer.headers_mut());
    forbid_keeping(format, &raw.asked(), answer.headers_mut());
    answer
}

const fn fate(delivery: &Delivery) -> Fate {
    match delivery {
        Delivery::Acknowledged(_) => Fate::Acknowledged,
        Delivery::Refused(_) => Fate::Refused,
        Delivery::Unknown(_) => Fate::Unknown,
    }
}

/// How many events of a request came out the same; there are few ways.
fn counted(format: Format, decisions: &[Decision]) -> Vec<(&Outcome, u64)> {
    let mut counts: Vec<(ClassKey, &Outcome, u64)> = Vec::with_capacity(4);
    for Decision { outcome, .. } in decisions {
        let key = ClassKey::of(format, outcome);
        match counts.iter_mut().find(|(known, ..)| *known == key) {
            Some((.., events)) => *events += 1,
            None => counts.push((key, outcome, 1)),
        }
    }
    counts.into_iter().map(|(_, outcome, events)| (outcome, events)).collect()
}

const fn word(outcome: &Outcome, kept: bool) -> EventOutcome {
    match outcome {
        Outcome::Ruled(_) if kept => EventOutcome::Kept,
        Outcome::Ruled(_) => EventOutcome::Dropped,
        Outcome::Unmatched => EventOutcome::Unmatched,
        Outcome::Invalid(_) | Outcome::Malformed => EventOutcome::Invalid,
    }
}

fn contract_of(outcome: &Outcome) -> Option<ContractNo> {
    match outcome {
        Outcome::Ruled(verdict) => Some(verdict.key.contract),
        Outcome::Invalid(_) | Outcome::Unmatched | Outcome::Malformed => None,
    }
}

impl Stopped {
    fn unready(raw: &RawRequest, because: Unready) -> Self {
        let refusal = Refusal::Unavailable { because, retry_after_secs: RETRY_SECS };
        Self { format: format_hint(raw), refusal, counted: RefusedAt::AcceptNotReady, recorded: RefusedAs::NotReady }
    }

    fn faulty(raw: &RawRequest) -> Self {
        Self {
            format: format_hint(raw),
            refusal: Refusal::Internal,
            counted: RefusedAt::Fault,
            recorded: RefusedAs::Internal,
        }
    }

    fn overloaded(format: Format) -> Self {
        Self {
            format: Some(format),
            refusal: Refusal::Unavailable { because: Unready::Overload, retry_after_secs: RETRY_SECS },
            counted: RefusedAt::AcceptOverloaded,
            recorded: RefusedAs::Overloaded,
        }
    }

    fn undelivered(format: Option<Format>) -> Self {
        Self {
            format,
            refusal: Refusal::Unavailable { because: Unready::Destination, retry_after_secs: RETRY_SECS },
            counted: RefusedAt::ForwardUnavailable,
            recorded: RefusedAs::DestinationFailed,
        }
    }

    fn by_decode(raw: &RawRequest, refusal: Refusal) -> Self {
        let (counted, recorded) = match refusal {
            Refusal::TooLarge(_) => (RefusedAt::DecodeTooLarge, RefusedAs::TooLarge),
            Refusal::NotAnEventPath | Refusal::MethodNotAllowed | Refusal::Aggregates => {
                (RefusedAt::DecodePath, RefusedAs::NoSuchEndpoint)
            }
            Refusal::UnsupportedCoding
            | Refusal::UnsupportedCharset
            | Refusal::UnsupportedMedia
            | Refusal::UnknownFormat => (RefusedAt::DecodeMalformed, RefusedAs::Unsupported),
            Refusal::Malformed { .. } => (RefusedAt::DecodeMalformed, RefusedAs::Unparseable),
            Refusal::Unavailable { .. } | Refusal::Internal => (RefusedAt::Fault, RefusedAs::Internal),
        };
        Self { format: format_hint(raw), refusal, counted, recorded }
    }
}
