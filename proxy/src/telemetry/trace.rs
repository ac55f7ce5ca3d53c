//! One request in so many, step by step: how long each took.
//!
//! Promise: a trace holds times, the listener's configured name, the status and
//! the refusal that the client was answered with. It holds no id that came in,
//! nor whether an event was kept or dropped: that is what a person decided, and
//! who reads traces is nobody's auditor. A request that is not traced costs one
//! addition.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Traces that wait to be sent; more are given up.
const WAITING_MAX: usize = 512;

/// A step of the event line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// From bytes to events.
    Decode,
    /// What becomes of each, the consent store included.
    Decide,
    /// What may leave.
    Transform,
    /// Until it is durable.
    Record,
    /// Until the primary destination has answered.
    Forward,
}

impl Step {
    /// The name of its span.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Decide => "decide",
            Self::Transform => "transform",
            Self::Record => "record",
            Self::Forward => "forward",
        }
    }
}

/// A step of a traced request, times in nanoseconds of Unix time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Random.
    pub id: [u8; 8],
    /// Which step.
    pub step: Step,
    /// When the step before was done.
    pub start_ns: u64,
    /// When it was done.
    pub end_ns: u64,
}

/// A traced request, times in nanoseconds of Unix time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Random.
    pub id: [u8; 16],
    /// The id of the span of the whole request, random.
    pub root: [u8; 8],
    /// The listener's configured name.
    pub listener: String,
    /// When its last byte had come in.
    pub start_ns: u64,
    /// When it was answered.
    pub end_ns: u64,
    /// The HTTP status of the answer.
    pub status: u16,
    /// Why it was refused, in the log's word.
    pub refused: Option<&'static str>,
    /// Its steps, as far as it came.
    pub spans: Vec<Span>,
}

/// The stop watch of one request; it does nothing where the request is not traced.
#[derive(Debug, Default)]
pub struct Watch(Option<Box<Running>>);

#[derive(Debug)]
struct Running {
    received_at: Timestamp,
    begun: Instant,
    done: Vec<(Step, Instant)>,
}

impl Watch {
    /// A step is done.
    pub fn done(&mut self, step: Step) {
        if let Some(running) = &mut self.0 {
            running.done.push((step, Instant::now()));
        }
    }
}

/// Chooses which requests are traced, and keeps what came of them until it is sent.
#[derive(Debug)]
pub struct Tracer {
    /// One in so many is traced; none where it is 0.
    one_in: u64,
    seen: AtomicU64,
    given_up: AtomicU64,
    waiting: Mutex<Vec<Trace>>,
    random: SystemRandom,
}

impl Tracer {
    /// One that traces one request in so many; none where that is 0.
    #[must_use]
    pub fn new(one_in: u32) -> Self {
        Self {
            one_in: u64::from(one_in),
            seen: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            waiting: Mutex::default(),
            random: SystemRandom::new(),
        }
    }

    /// Begins to watch a request whose last byte came in at a time.
    pub fn begin(&self, received_at: Timestamp) -> Watch {
        if self.one_in == 0 || !self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in) {
            return Watch::default();
        }
        Watch(Some(Box::new(Running { received_at, begun: Instant::now(), done: Vec::with_capacity(5) })))
    }

    /// Keeps what came of a request that was watched.
    pub fn end(&self, watch: Watch, listener: &str, status: u16, refused: Option<&'static str>) {
        let Some(running) = watch.0 else { return };
        // Without randomness an id could repeat; without an id there is no trace.
        let Some(trace) = self.trace(&running, listener, status, refused) else { return };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX {
            waiting.push(trace);
        } else {
            self.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The traces that wait, and how many found no room since the last call.
    pub fn take(&self) -> (Vec<Trace>, u64) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        (waiting, self.given_up.swap(0, Ordering::Relaxed))
    }

    fn trace(&self, running: &Running, listener: &str, status: u16, refused: Option<&'static str>) -> Option<Trace> {
        let start_ns = u64::try_from(running.received_at.as_nanosecond()).ok()?;
        let at = |when: Instant| {
            let since = when.saturating_duration_since(running.begun).as_nanos();
            start_ns.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
        };
        let mut spans = Vec::with_capacity(running.done.len());
        let mut since = start_ns;
        for (step, when) in &running.done {
            let end_ns = at(*when);
            spans.push(Span { id: self.id()?, step: *step, start_ns: since, end_ns });
            since = end_ns;
        }
        let end_ns = at(Instant::now());
        let listener = listener.to_owned();
        Some(Trace { id: self.id()?, root: self.id()?, listener, start_ns, end_ns, status, refused, spans })
    }

    fn id<const N: usize>(&self) -> Option<[u8; N]> {
        let mut id = [0; N];
        self.random.fill(&mut id).ok().map(|()| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(tracer: &Tracer) {
        let mut watch = tracer.begin(Timestamp::from_second(1_800_000_000).unwrap());
        watch.done(Step::Decode);
        watch.done(Step::Decide);
        tracer.end(watch, "events", 503, Some("cannot_record"));
    }

    #[test]
    fn one_in_so_many_is_traced_and_its_steps_follow_each_other() {
        let tracer = Tracer::new(3);
        (0..7).for_each(|_| traced(&tracer));
        let (traces, given_up) = tracer.take();
        assert_eq!((traces.len(), given_up), (3, 0));
        let [decode, decide] = traces[0].spans.as_slice() else { panic!("{:?}", traces[0].spans) };
        assert_eq!((decode.step, decide.step), (Step::Decode, Step::Decide));
        assert_eq!(decode.start_ns, 1_800_000_000_000_000_000);
        assert!(decode.end_ns == decide.start_ns && decide.end_ns <= traces[0].end_ns);
        assert_ne!(traces[0].id, traces[1].id);
        assert!(tracer.take().0.is_empty());
    }

    #[test]
    fn none_is_traced_where_nobody_asked() {
        let tracer = Tracer::new(0);
        traced(&tracer);
        assert!(tracer.take().0.is_empty());
    }

    #[test]
    fn what_nobody_takes_is_bounded_and_counted() {
        let tracer = Tracer::new(1);
        (0..WAITING_MAX + 9).for_each(|_| traced(&tracer));
        let (traces, given_up) = tracer.take();
        assert_eq!((traces.len(), given_up), (WAITING_MAX, 9));
    }
}
