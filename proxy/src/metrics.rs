//! Every metric of the sidecar, each with its unit and the question it answers.
//!
//! Promise: labels come from closed enums, so neither a sender nor a policy can
//! add a series, and no series counts by contract, jurisdiction or consent.
//! Handles are made once; touching one is an atomic add. Nothing is global:
//! each [`Metrics`] is a registry of its own.
//!
//! Not here: serving them over HTTP; that is [`crate::admin`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError, RwLock};

use metrics::{Counter, Gauge, Histogram, Key, Label as Pair, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use privet_audit_log::record::RefusalReason;
use privet_policy::consent::Fault;

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// The value as it is published.
    fn value(self) -> &'static str;
    /// Its place in [`Label::ALL`].
    fn index(self) -> usize;
}

/// Declares an enum whose variants are label values.
macro_rules! label {
    ($(#[$about:meta])* $kind:ident as $name:literal { $($(#[$doc:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind { $($(#[$doc])* $variant,)+ }

        impl Label for $kind {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = &[$(Self::$variant,)+];
            fn value(self) -> &'static str {
                match self { $(Self::$variant => $value,)+ }
            }
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// Why the enforcement log was not shipped.
    NotShipped as "reason" {
        /// The store does not answer.
        Unanswered = "unanswered",
        /// The store says that it cannot now.
        Later = "later",
        /// The store says that it will not.
        Refused = "refused",
        /// The log on the disk cannot be read, or moved on.
        Log = "log",
        /// The store holds another log under the same name.
        Conflict = "conflict",
    }
}

label! {
    /// How an event's question to the consent store was answered.
    ConsentLookup as "answer" {
        /// From memory, without waiting.
        Cached = "cached",
        /// By the store.
        Stored = "stored",
        /// Not, or not in time.
        Unavailable = "unavailable",
        /// Not asked: the request has too many subjects.
        TooMany = "too_many",
    }
}

label! {
    /// Why the consent store did not answer.
    ConsentFailure as "reason" {
        /// It took too long.
        TimedOut = "timed_out",
        /// It cannot be reached, or the connection ended.
        Connection = "connection",
        /// It takes nobody new.
        Full = "full",
        /// It holds something that is no record.
        Unreadable = "unreadable",
        /// It was let alone after several failures.
        Resting = "resting",
        /// It is not known to be ours.
        Locked = "locked",
        /// It said that it cannot.
        Failed = "failed",
    }
}

label! {
    /// What came of posting a receipt to its receiver.
    PostOutcome as "outcome" {
        /// The receiver has it.
        Taken = "taken",
        /// The receiver will not take it as it is.
        Refused = "refused",
        /// The receiver cannot take it now.
        Later = "later",
        /// There was no answer.
        Unanswered = "unanswered",
    }
}

label! {
    /// Why a socket of the pod may be a way around the sidecar.
    Suspicion as "reason" {
        /// A port that events go to on loopback also listens beyond it.
        CollectorOpen = "collector_open",
        /// Somebody else in the pod is connected to a collector on loopback.
        CollectorReached = "collector_reached",
        /// Somebody outside of the pod is connected to a collector's port.
        CollectorReachedFromOutside = "collector_reached_from_outside",
        /// Somebody else in the pod is connected to the address and port of a collector on another machine.
        CollectorReachedDirectly = "collector_reached_directly",
        /// Something else listens beyond loopback, on a port that nobody expects.
        Listens = "listens",
    }
}

label! {
    /// What came of a message to the telemetry collector.
    TelemetrySent as "outcome" {
        /// It has it.
        Taken = "taken",
        /// It answered with another status than success.
        Refused = "refused",
        /// There was no answer in time.
        Unanswered = "unanswered",
        /// The token file is gone or holds none.
        Unprepared = "unprepared",
    }
}

label! {
    /// Why a window of an export was not published, or not yet.
    WithheldFor as "reason" {
        /// More privacy units came than it may hold.
        TooManyUnits = "too_many_units",
        /// Earlier windows still waited.
        Backlog = "backlog",
        /// The process started within it.
        Restart = "restart",
        /// It was closed early.
        Drained = "drained",
        /// Load was shed while it was open.
        Shed = "shed",
        /// The ring of shards changed while it was open.
        RingChanged = "ring_changed",
        /// The budget has no room, or the ledger cannot be written.
        Unpaid = "unpaid",
        /// The release has been through the ledger before.
        Before = "before",
        /// The enforcement log did not take the charge.
        Unrecorded = "unrecorded",
        /// It was paid for and could not be drawn or committed.
        Lost = "lost",
        /// It is committed and not out yet.
        Unpublished = "unpublished",
    }
}

label! {
    /// What a client was told.
    Answer as "answer" {
        /// 2xx and 3xx.
        Success = "success",
        /// 429.
        Later = "too_many",
        /// Other 4xx.
        Client = "client_error",
        /// 5xx.
        Server = "server_error",
    }
}

impl Answer {
    /// The class of a status.
    #[must_use]
    pub fn of(status: http::StatusCode) -> Self {
        match status.as_u16() {
            429 => Self::Later,
            400..=499 => Self::Client,
            500.. => Self::Server,
            _ => Self::Success,
        }
    }
}

label! {
    /// Where and why a whole request was refused, `step.code`.
    RefusedAt as "code" {
        /// The byte budget, or the rate of its source, was used up.
        AcceptOverloaded = "accept.overloaded",
        /// Its body was too large.
        AcceptTooLarge = "accept.too_large",
        /// Its body came too slowly.
        AcceptTimedOut = "accept.timed_out",
        /// No policy was in force.
        AcceptNotReady = "accept.not_ready",
        /// The sidecar was stopping.
        AcceptDraining = "accept.draining",
        /// It was no proper HTTP.
        AcceptMalformed = "accept.malformed",
        /// A fault inside privet.
        Fault = "accept.fault",
        /// It was not of its format.
        DecodeMalformed = "decode.malformed",
        /// Its path is no event path.
        DecodePath = "decode.path",
        /// It grew too large when its content coding was undone.
        DecodeTooLarge = "decode.too_large",
        /// The enforcement log could not be written.
        AuditUnavailable = "audit.unavailable",
        /// The primary destination could not be reached or did not answer in time.
        ForwardUnavailable = "forward.unavailable",
    }
}

label! {
    /// What became of an event.
    EventOutcome as "outcome" {
        /// Released to at least one destination.
        Kept = "kept",
        /// Policy released it to none.
        Dropped = "dropped",
        /// No contract matched it.
        Unmatched = "unmatched",
        /// It broke its contract.
        Invalid = "invalid",
    }
}

label! {
    /// Why a connection ended before its time.
    ConnectionEnd as "code" {
        /// The TLS handshake failed or took too long.
        Handshake = "handshake",
        /// Headers took too long.
        Headers = "headers_timed_out",
        /// Nothing came for too long.
        Idle = "idle",
        /// It broke HTTP, or the other end left.
        Broken = "broken",
    }
}

label! {
    /// What became of one request to a collector.
    SendOutcome as "outcome" {
        /// The primary took it.
        PrimaryAcknowledged = "primary_acknowledged",
        /// The primary answered with a refusal.
        PrimaryRefused = "primary_refused",
        /// Nobody knows whether the primary has it.
        PrimaryUnknown = "primary_unknown",
        /// The copy was taken.
        CopyAcknowledged = "copy_acknowledged",
        /// The copy was answered with a refusal.
        CopyRefused = "copy_refused",
        /// Nobody knows whether the copy arrived.
        CopyUnknown = "copy_unknown",
        /// The copy found its queue full.
        CopyQueueFull = "copy_queue_full",
    }
}

label! {
    /// Something that is loaded again when its files change.
    Reloaded as "what" {
        /// The policy directory.
        Policies = "policies",
        /// The directory of the policy in shadow.
        Shadow = "shadow",
        /// The keyring directory.
        Keyring = "keyring",
        /// Certificates, keys and authorities.
        Certificates = "certificates",
    }
}

label! {
    /// What the policy in shadow would do with an event, beside the one that is enforced.
    ShadowEffect as "effect" {
        /// The same.
        Same = "same",
        /// Less of it would leave.
        Tighter = "tighter",
        /// More of it would leave.
        Looser = "looser",
        /// Some more and some less, or in forms that cannot be ordered.
        Mixed = "mixed",
        /// It would leave, and does not.
        WouldLeave = "would_leave",
        /// It would not leave, and does.
        WouldNotLeave = "would_not_leave",
        /// The policy in shadow could not judge it, a fault in privet.
        Failed = "failed",
    }
}

label! {
    /// What a refused policy bundle lacked.
    BundleRefused as "reason" {
        /// It had no signature.
        Unsigned = "unsigned",
        /// None of its signatures was a configured signer's over it.
        WronglySigned = "wrongly_signed",
        /// Too few signed.
        TooFewSigners = "too_few_signers",
        /// Too few signed for a change that lets more leave.
        TooFewToLoosen = "too_few_to_loosen",
    }
}

impl From<RefusalReason> for BundleRefused {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::Unsigned => Self::Unsigned,
            RefusalReason::WronglySigned => Self::WronglySigned,
            RefusalReason::TooFewSigners => Self::TooFewSigners,
            RefusalReason::TooFewToLoosen => Self::TooFewToLoosen,
        }
    }
}

/// One counter for each value of a label.
pub struct Counters<L> {
    handles: Vec<Counter>,
    label: std::marker::PhantomData<fn(L)>,
}

impl<L: Label> Counters<L> {
    /// The counter of one value.
    pub fn of(&self, label: L) -> &Counter {
        self.handles.get(label.index()).expect("there is a handle for every value of the label")
    }
}

/// One gauge for each value of a label.
pub struct Gauges<L> {
    handles: Vec<Gauge>,
    label: std::marker::PhantomData<fn(L)>,
}

impl<L: Label> Gauges<L> {
    /// The gauge of one value.
    pub fn of(&self, label: L) -> &Gauge {
        self.handles.get(label.index()).expect("there is a handle for every value of the label")
    }
}

/// One counter for each kind of signal and reason that occurred: both come from
/// lists in the code, so no sender can add a series.
pub struct SignalFaults {
    recorder: PrometheusRecorder,
    known: RwLock<HashMap<Fault, Counter>>,
}

impl SignalFaults {
    const NAME: &'static str = "privet_signals_unreadable_total";

    fn new(recorder: PrometheusRecorder) -> Self {
        let question = "consent signals that were there and could not be relied on: is a consent platform misbehaving?";
        recorder.describe_counter(Self::NAME.into(), Some(Unit::Count), question.into());
        Self { recorder, known: RwLock::default() }
    }

    /// Counts one.
    pub fn count(&self, fault: Fault) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&fault).cloned();
        let counter = known.unwrap_or_else(|| {
            let labels = vec![Pair::new("signal", fault.signal.name()), Pair::new("reason", fault.reason)];
            let counter = self.recorder.register_counter(&Key::from_parts(Self::NAME, labels), &METADATA);
            self.known.write().unwrap_or_else(PoisonError::into_inner).insert(fault, counter.clone());
            counter
        });
        counter.increment(1);
    }
}

/// Something that sets gauges just before they are read.
type Sampler = Box<dyn Fn() + Send + Sync>;

/// The registry and all its handles.
pub struct Metrics {
    /// Requests answered, by what the client was told: are clients being served?
    pub requests: Counters<Answer>,
    /// Requests refused whole, by step and reason: why did we lose events?
    pub requests_refused: Counters<RefusedAt>,
    /// Requests that are no events, passed on to a destination that lists their path: do SDKs get their settings?
    pub requests_passed: Counter,
    /// Seconds from the end of a request's headers to its answer: what latency do we add, the collector's included?
    pub request_seconds: Histogram,
    /// Bytes of request bodies as they were sent: how much comes in?
    pub request_body_bytes: Counter,
    /// Events, by what became of them: how much is released, how much is not?
    pub events: Counters<EventOutcome>,
    /// Members and elements that no contract names, dropped from what was released: is a contract out of date?
    pub fields_undeclared: Counter,
    /// Requests sent back for their refusals, which were of too many new subjects of one source at once.
    pub refusals_not_remembered: Counter,
    /// Consent signals that were there and could not be relied on: is a consent platform misbehaving?
    pub signals_unreadable: SignalFaults,
    /// Refusals on the wire that were written to the consent store.
    pub refusals_stored: Counter,
    /// Refusals on the wire that were not written: were they remembered by this pod alone?
    pub refusals_not_stored: Counter,
    /// Questions of events to the consent store, one a subject, by how they were answered.
    pub consent_lookups: Counters<ConsentLookup>,
    /// Questions that the consent store did not answer, by why.
    pub consent_failures: Counters<ConsentFailure>,
    /// Seconds the consent store took to answer or to fail: does it slow us down?
    pub consent_seconds: Histogram,
    /// 1 while the consent store is let alone after several failures.
    pub consent_resting: Gauge,
    /// 1 while changes of the consent store are heard: does a withdrawal arrive in time?
    pub consent_heard: Gauge,
    /// Purposes that would permit by silence and are treated as opt-in, for want of a shared consent store.
    pub purposes_without_memory: Gauge,
    /// Requests that panicked and failed alone: is there a fault in privet?
    pub panics: Counter,
    /// Connections open now: how near is `connections_max`?
    pub connections_open: Gauge,
    /// Connections ended before their time: is someone holding them open?
    pub connections_ended: Counters<ConnectionEnd>,
    /// Bytes of bodies in memory now: how near is `in_flight_bytes_max`?
    pub in_flight_bytes: Gauge,
    /// Requests sent to collectors, by outcome: do the collectors take them?
    pub sends: Counters<SendOutcome>,
    /// Connecting tries beyond the first: is a collector hard to reach?
    pub send_retries: Counter,
    /// Seconds from sending to the primary's whole answer: how much of the latency is the collector's?
    pub send_seconds: Histogram,
    /// Copies waiting or being sent now: does a secondary collector keep up?
    pub copies_queued: Gauge,
    /// Reloads that took effect: did my change arrive?
    pub reloads: Counters<Reloaded>,
    /// Reloads that were rejected, the old version kept: was my change wrong?
    pub reloads_rejected: Counters<Reloaded>,
    /// 1 while the files on disk are not what is in force: is somebody's change still not in force?
    pub reload_stale: Gauges<Reloaded>,
    /// Policy bundles refused for want of signatures: is somebody changing policies without the others?
    pub bundles_refused: Counters<BundleRefused>,
    /// Windows of exports that were not published, by reason: why is there no receipt?
    pub export_windows_withheld: Counters<WithheldFor>,
    /// Reports in permitted events that were none of their question's: were devices declared otherwise than the policy?
    pub export_reports_malformed: Counter,
    /// Attempts to post a receipt, by what came of them: does the receiver have our receipts?
    pub export_posts: Counters<PostOutcome>,
    /// Sockets that may be a way around the sidecar, by reason: does something go past us?
    pub bypass_suspect: Gauges<Suspicion>,
    /// Messages to the telemetry collector, by what came of them: does it know what we know?
    pub telemetry_sends: Counters<TelemetrySent>,
    /// Traces that were given up: is the sample too large, or the collector away?
    pub traces_given_up: Counter,
    /// Events, by what the policy in shadow would do with them: is it what we meant?
    pub shadow_events: Counters<ShadowEffect>,
    /// 1 while requests are served: is this pod ready?
    pub ready: Gauge,
    /// Seconds to make a record durable: does the disk slow us down?
    pub audit_seconds: Histogram,
    /// 1 while the enforcement log can be written: are we refusing for lack of a log?
    pub log_writable: Gauge,
    /// Objects of the enforcement log that were shipped: does the store have our log?
    pub ship_objects: Counter,
    /// Attempts to ship that failed, by why: would a lost node lose records?
    pub ship_failures: Counters<NotShipped>,
    handle: PrometheusHandle,
    samplers: Mutex<Vec<Sampler>>,
}

/// Bounds of latency buckets, in seconds, from 100 microseconds to 10 seconds.
const SECONDS_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A new registry with every metric at zero.
    #[must_use]
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&SECONDS_BUCKETS)
            .expect("the list of buckets is not empty")
            .build_recorder();
        let declare = Declare { recorder: &recorder };
        let metrics = Self {
            requests: declare.counters(
                "privet_requests_total",
                Unit::Count,
                "requests answered: are clients being served?",
            ),
            requests_refused: declare.counters(
                "privet_requests_refused_total",
                Unit::Count,
                "requests refused whole: why did we lose events?",
            ),
            requests_passed: declare.counter(
                "privet_requests_passed_total",
                Unit::Count,
                "requests that are no events, passed on to a destination that lists their path: do SDKs get their settings?",
            ),
            request_seconds: declare.histogram(
                "privet_request_seconds",
                Unit::Seconds,
                "from the end of the headers to the answer: what latency do we add, the collector's included?",
            ),
            request_body_bytes: declare.counter(
                "privet_request_body_bytes_total",
                Unit::Bytes,
                "bodies as they were sent: how much comes in?",
            ),
            events: declare.counters(
                "privet_events_total",
                Unit::Count,
                "events: how much is released, how much is not?",
            ),
            refusals_not_remembered: declare.counter(
                "privet_refusals_not_remembered_total",
                Unit::Count,
                "requests sent back for their refusals, of too many new subjects of one source at once: is someone flooding the memory?",
            ),
            refusals_stored: declare.counter(
                "privet_refusals_stored_total",
                Unit::Count,
                "subjects whose refusals on the wire were written to the consent store: are they remembered?",
            ),
            refusals_not_stored: declare.counter(
                "privet_refusals_not_stored_total",
                Unit::Count,
                "subjects whose refusals were not written to the consent store: is it full, or down for too long?",
            ),
            consent_lookups: declare.counters(
                "privet_consent_lookups_total",
                Unit::Count,
                "subjects that events asked the consent store about: does the store answer?",
            ),
            consent_failures: declare.counters(
                "privet_consent_failures_total",
                Unit::Count,
                "questions the consent store did not answer: why are events treated as unavailable?",
            ),
            consent_seconds: declare.histogram(
                "privet_consent_store_seconds",
                Unit::Seconds,
                "from asking the consent store to its answer or failure: does it slow us down?",
            ),
            consent_resting: declare.gauge(
                "privet_consent_store_resting",
                Unit::Count,
                "1 while the consent store is let alone after several failures: is it down?",
            ),
            consent_heard: declare.gauge(
                "privet_consent_store_heard",
                Unit::Count,
                "1 while changes of the consent store are heard: does a withdrawal arrive in time?",
            ),
            fields_undeclared: declare.counter(
                "privet_fields_undeclared_total",
                Unit::Count,
                "members that no contract names, dropped from what was released: is a contract out of date?",
            ),
            purposes_without_memory: declare.gauge(
                "privet_purposes_without_memory",
                Unit::Count,
                "purposes treated as opt-in for want of a shared consent store: does silence still refuse?",
            ),
            panics: declare.counter(
                "privet_panics_total",
                Unit::Count,
                "requests that panicked and failed alone: is there a fault in privet?",
            ),
            connections_open: declare.gauge(
                "privet_connections_open",
                Unit::Count,
                "connections open now: how near is connections_max?",
            ),
            connections_ended: declare.counters(
                "privet_connections_ended_total",
                Unit::Count,
                "connections ended before their time: is someone holding them open?",
            ),
            in_flight_bytes: declare.gauge(
                "privet_in_flight_bytes",
                Unit::Bytes,
                "bodies in memory now: how near is in_flight_bytes_max?",
            ),
            sends: declare.counters("privet_sends_total", Unit::Count, "requests to collectors: do they take them?"),
            send_retries: declare.counter(
                "privet_send_retries_total",
                Unit::Count,
                "connecting tries beyond the first: is a collector hard to reach?",
            ),
            send_seconds: declare.histogram(
                "privet_send_seconds",
                Unit::Seconds,
                "from sending to the primary's whole answer: how much of the latency is the collector's?",
            ),
            copies_queued: declare.gauge(
                "privet_copies_queued",
                Unit::Count,
                "copies waiting or being sent now: does a secondary collector keep up?",
            ),
            reloads: declare.counters("privet_reloads_total", Unit::Count, "reloads in force: did my change arrive?"),
            reloads_rejected: declare.counters(
                "privet_reloads_rejected_total",
                Unit::Count,
                "reloads rejected, the old version kept: was my change wrong?",
            ),
            reload_stale: declare.gauges(
                "privet_reload_stale",
                Unit::Count,
                "1 while the files are not what is in force: is somebody's change still not in force?",
            ),
            bundles_refused: declare.counters(
                "privet_bundles_refused_total",
                Unit::Count,
                "policy bundles refused for want of signatures: is somebody changing policies without the others?",
            ),
            export_windows_withheld: declare.counters(
                "privet_export_windows_withheld_total",
                Unit::Count,
                "windows of exports that were not published: why is there no receipt?",
            ),
            export_reports_malformed: declare.counter(
                "privet_export_reports_malformed_total",
                Unit::Count,
                "reports that were none of their question's: were devices declared otherwise than the policy?",
            ),
            export_posts: declare.counters(
                "privet_export_posts_total",
                Unit::Count,
                "attempts to post a receipt, by what came of them: does the receiver have our receipts?",
            ),
            bypass_suspect: declare.gauges(
                "privet_bypass_suspect",
                Unit::Count,
                "sockets in the pod that may be a way around privet: does something go past us?",
            ),
            telemetry_sends: declare.counters(
                "privet_telemetry_sends_total",
                Unit::Count,
                "messages to the telemetry collector, by what came of them: does it know what we know?",
            ),
            traces_given_up: declare.counter(
                "privet_traces_given_up_total",
                Unit::Count,
                "traces that were given up: is the sample too large, or the collector away?",
            ),
            shadow_events: declare.counters(
                "privet_shadow_events_total",
                Unit::Count,
                "events by what the policy in shadow would do with them: is it what we meant?",
            ),
            ready: declare.gauge("privet_ready", Unit::Count, "1 while requests are served: is this pod ready?"),
            audit_seconds: declare.histogram(
                "privet_audit_seconds",
                Unit::Seconds,
                "to make a record durable: does the disk slow us down?",
            ),
            ship_objects: declare.counter(
                "privet_ship_objects_total",
                Unit::Count,
                "objects of the enforcement log that were shipped: does the store have our log?",
            ),
            ship_failures: declare.counters(
                "privet_ship_failures_total",
                Unit::Count,
                "attempts to ship the enforcement log that failed: would a lost node lose records?",
            ),
            log_writable: declare.gauge(
                "privet_log_writable",
                Unit::Count,
                "1 while the enforcement log can be written: are we refusing for lack of a log?",
            ),
            handle: recorder.handle(),
            signals_unreadable: SignalFaults::new(recorder),
            samplers: Mutex::new(Vec::new()),
        };
        metrics.log_writable.set(1.0);
        metrics
    }

    /// Adds something that sets gauges just before they are read.
    pub fn sample_with(&self, sampler: impl Fn() + Send + Sync + 'static) {
        self.samplers.lock().expect("no sampler panics while the list is locked").push(Box::new(sampler));
    }

    /// All metrics in Prometheus's text format.
    #[must_use]
    pub fn render(&self) -> String {
        for sampler in self.samplers.lock().expect("no sampler panics while the list is locked").iter() {
            sampler();
        }
        self.handle.render()
    }

    /// Folds histogram samples into their buckets; without it they pile up until someone reads.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Makes handles and their descriptions.
struct Declare<'a> {
    recorder: &'a PrometheusRecorder,
}

const METADATA: Metadata<'static> = Metadata::new("privet", Level::INFO, None);

impl Declare<'_> {
    fn counter(&self, name: &'static str, unit: Unit, question: &'static str) -> Counter {
        self.recorder.describe_counter(name.into(), Some(unit), question.into());
        self.recorder.register_counter(&Key::from_static_name(name), &METADATA)
    }

    fn gauge(&self, name: &'static str, unit: Unit, question: &'static str) -> Gauge {
        self.recorder.describe_gauge(name.into(), Some(unit), question.into());
        self.recorder.register_gauge(&Key::from_static_name(name), &METADATA)
    }

    fn histogram(&self, name: &'static str, unit: Unit, question: &'static str) -> Histogram {
        self.recorder.describe_histogram(name.into(), Some(unit), question.into());
        self.recorder.register_histogram(&Key::from_static_name(name), &METADATA)
    }

    fn counters<L: Label>(&self, name: &'static str, unit: Unit, question: &'static str) -> Counters<L> {
        self.recorder.describe_counter(name.into(), Some(unit), question.into());
        let handles = keys::<L>(name).map(|key| self.recorder.register_counter(&key, &METADATA)).collect();
        Counters { handles, label: std::marker::PhantomData }
    }

    fn gauges<L: Label>(&self, name: &'static str, unit: Unit, question: &'static str) -> Gauges<L> {
        self.recorder.describe_gauge(name.into(), Some(unit), question.into());
        let handles = keys::<L>(name).map(|key| self.recorder.register_gauge(&key, &METADATA)).collect();
        Gauges { handles, label: std::marker::PhantomData }
    }
}

fn keys<L: Label>(name: &'static str) -> impl Iterator<Item = Key> {
    L::ALL.iter().map(move |label| Key::from_parts(name, vec![Pair::new(L::NAME, label.value())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_there_before_anything_happens() {
        let text = Metrics::new().render();
        for name in ["privet_requests_total", "privet_panics_total", "privet_in_flight_bytes", "privet_sends_total"] {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} in\n{text}");
            assert!(text.contains(&format!("# HELP {name} ")), "{name} in\n{text}");
        }
        assert!(text.contains(r#"privet_requests_refused_total{code="accept.too_large"} 0"#), "{text}");
    }

    #[test]
    fn a_label_counts_for_itself_alone() {
        let metrics = Metrics::new();
        metrics.requests.of(Answer::Later).increment(3);
        metrics.request_seconds.record(0.0002);
        let text = metrics.render();
        assert!(text.contains(r#"privet_requests_total{answer="too_many"} 3"#), "{text}");
        assert!(text.contains(r#"privet_requests_total{answer="success"} 0"#), "{text}");
        assert!(text.contains(r#"privet_request_seconds_bucket{le="0.00025"} 1"#), "{text}");
    }

    #[test]
    fn samplers_run_before_reading() {
        let metrics = Metrics::new();
        let gauge = metrics.in_flight_bytes.clone();
        metrics.sample_with(move || gauge.set(7.0));
        assert!(metrics.render().contains("privet_in_flight_bytes 7"));
    }

    #[test]
    fn statuses_fall_into_their_class() {
        for (status, answer) in [
            (200, Answer::Success),
            (304, Answer::Success),
            (429, Answer::Later),
            (413, Answer::Client),
            (503, Answer::Server),
        ] {
            assert_eq!(Answer::of(http::StatusCode::from_u16(status).unwrap()), answer);
        }
    }
}
