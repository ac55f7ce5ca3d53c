//! One request's events, and what stands around them.
//!
//! A batch is an object whose one member holds events, or holds objects of the
//! next level. What stands beside that member belongs to every event under it:
//! each event is judged on the merged view.

use std::ops::Range;

use privet_json::Node;

use crate::consent::{Heard, Memory, RequestFacts, StoredDecisions};
use crate::format::Format;
use crate::policy::{AgeClass, PlaceNo};

/// The members that lead from a body to its events, the outermost first; each
/// but the last holds objects that have the next.
pub type Levels = &'static [&'static str];

/// How deep a batch may be nested.
pub const LEVELS_MAX: usize = 3;

/// One request's events and everything their verdicts depend on.
pub struct Batch<'a> {
    /// The wire format.
    pub format: Format,
    /// The events.
    pub events: &'a [Node<'a>],
    /// The places, ascending, of those that are no event of the format.
    pub unfit: &'a [usize],
    /// Which events have what around them; every event is in one group, in order.
    pub groups: &'a [Group<'a>],
    /// The kind that the request path gives an event that names none.
    pub implied: Option<&'a str>,
    /// The request.
    pub request: &'a dyn RequestFacts,
    /// When it was received, in milliseconds since 1970.
    pub received_ms: i64,
    /// Where the person is.
    pub place: PlaceNo,
    /// How old the person is, if that is known already.
    pub age: AgeClass,
    /// What was decided earlier.
    pub stored: &'a dyn StoredDecisions,
    /// Whether refusals are remembered.
    pub memory: Memory,
    /// Where signals are told of that cannot be relied on, and consent strings that count.
    pub heard: &'a dyn Fn(Heard<'_>),
}

/// Neighbouring events that stand in the same objects.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Their places in [`Batch::events`].
    pub events: Range<usize>,
    /// Those objects.
    pub around: Around<'a>,
}

impl Group<'_> {
    /// This many events with nothing around them.
    #[must_use]
    pub fn bare(events: usize) -> Self {
        Self { events: 0..events, around: Around::default() }
    }
}

/// The objects around an event whose other members it shares with its neighbours, the outermost first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a>([Option<Node<'a>>; LEVELS_MAX]);

impl<'a> Around<'a> {
    /// The objects of each level.
    #[must_use]
    pub const fn of(levels: [Option<Node<'a>>; LEVELS_MAX]) -> Self {
        Self(levels)
    }

    /// Each object.
    pub fn iter(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        self.0.into_iter().flatten()
    }
}
