//! Why a request gets no success: a closed list, shared by every step of the line.
//!
//! Promise: nothing here holds, prints or counts a value, a key or a path from a
//! request; an offset into the body is the most that is told.
//!
//! Not here: which status a client is answered with. That depends on the format
//! and is decided in [`answers`](crate::formats::answers).

use privet_json::{Malformed, MalformedKind};
use thiserror::Error;

/// Why a request was refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The request cannot be read as what its format says it is.
    #[error("{fault} at byte {at} of the decoded body")]
    Malformed {
        /// What is wrong.
        fault: Fault,
        /// Where: bytes from the start of the decoded body, of the coded one for
        /// [`Fault::Coding`], 0 for a fault outside the body.
        at: usize,
    },
    /// The body, one event of it or their number is over a bound.
    #[error("{0}")]
    TooLarge(Bound),
    /// The content coding is none that privet decodes.
    #[error("the content coding is not supported, send the body as gzip, deflate, zstd, br or without one")]
    UnsupportedCoding,
    /// The text is in another encoding than UTF-8.
    #[error("the charset is not supported, send utf-8")]
    UnsupportedCharset,
    /// A media type of this format that privet cannot read.
    #[error("the media type is not supported, send the JSON form")]
    UnsupportedMedia,
    /// No format that this listener takes fits the request.
    #[error("the request fits no format of this listener")]
    UnknownFormat,
    /// The path takes no events.
    #[error("this path takes no events")]
    NotAnEventPath,
    /// The path takes events, but not by this method.
    #[error("this path takes events by POST")]
    MethodNotAllowed,
    /// Aggregates pass only through a declared export.
    #[error("aggregates do not pass here, they leave through an export")]
    Aggregates,
    /// Enforcement or delivery is impossible for now; the same request may succeed later.
    #[error("{because}, try again later")]
    Unavailable {
        /// What is missing.
        because: Unready,
        /// After how many seconds a retry makes sense.
        retry_after_secs: u32,
    },
    /// A defect of privet. Nothing was let out.
    #[error("the request could not be processed, nothing was passed on")]
    Internal,
}

impl Refusal {
    /// A refusal for a fault at an offset.
    #[must_use]
    pub const fn malformed(fault: Fault, at: usize) -> Self {
        Self::Malformed { fault, at }
    }

    /// A refusal for what the strict reader found; running into one of its bounds
    /// on the whole body is a matter of size, not of form.
    #[must_use]
    pub const fn from_json(malformed: &Malformed) -> Self {
        match malformed.kind {
            MalformedKind::TooManyNodes => Self::TooLarge(Bound::Values),
            MalformedKind::TooLarge => Self::TooLarge(Bound::Body),
            kind => Self::Malformed { fault: Fault::Json(kind), at: malformed.at },
        }
    }

    /// The stable code of this refusal: a metric label, and what the sender is told.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { fault, .. } => fault.code(),
            Self::TooLarge(bound) => bound.code(),
            Self::UnsupportedCoding => "unsupported_coding",
            Self::UnsupportedCharset => "unsupported_charset",
            Self::UnsupportedMedia => "unsupported_media",
            Self::UnknownFormat => "unknown_format",
            Self::NotAnEventPath => "not_an_event_path",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Aggregates => "aggregates",
            Self::Unavailable { because, .. } => because.code(),
            Self::Internal => "internal",
        }
    }
}

/// What makes a request unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The strict reader refused the text.
    #[error("{0}")]
    Json(MalformedKind),
    /// There is no body.
    #[error("the body is empty")]
    Empty,
    /// The compressed body is broken, truncated or followed by something else.
    #[error("the compressed body is broken")]
    Coding,
    /// A header that decides how the body is read is repeated or unreadable.
    #[error("a content header is repeated or unreadable")]
    Header,
    /// An event, or the body that holds events, is no JSON object.
    #[error("an event must be a JSON object")]
    NotAnObject,
    /// A batch request has no `batch` array.
    #[error("the batch has no array of events")]
    NoBatch,
    /// A CloudEvents attribute is named or written as none may be.
    #[error("an event attribute is malformed")]
    Attribute,
    /// A CloudEvents attribute that every event must have is missing or empty.
    #[error("a required event attribute is missing")]
    MissingAttribute,
    /// The CloudEvents version is neither 1.0 nor 0.3.
    #[error("the event's specversion is not supported")]
    SpecVersion,
    /// `data` and `data_base64` in one event.
    #[error("the event holds its data twice")]
    DataTwice,
    /// A query that the collector reads has a name twice, or text that cannot be read.
    #[error("a query parameter is repeated or unreadable")]
    Query,
    /// A Snowplow body is no `payload_data`, or says more than one may.
    #[error("the body is no payload_data of schema and data")]
    Payload,
    /// The body is no protobuf message of its kind, or one that can be read in two ways.
    #[error("the protobuf message is malformed")]
    Protobuf,
}

impl Fault {
    /// The stable code of this fault.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Json(kind) => kind.code(),
            Self::Empty => "empty_body",
            Self::Coding => "malformed_coding",
            Self::Header => "malformed_header",
            Self::NotAnObject => "not_an_object",
            Self::NoBatch => "no_batch",
            Self::Attribute => "malformed_attribute",
            Self::MissingAttribute => "missing_attribute",
            Self::SpecVersion => "unsupported_specversion",
            Self::DataTwice => "data_twice",
            Self::Query => "malformed_query",
            Self::Payload => "not_a_payload",
            Self::Protobuf => "malformed_protobuf",
        }
    }
}

/// Which bound a request is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Bound {
    /// The whole decoded body.
    #[error("the body is too large")]
    Body,
    /// The body grows too much when it is decompressed.
    #[error("the body grows too much when decompressed")]
    Ratio,
    /// One event of it.
    #[error("an event is too large")]
    Event,
    /// The number of events.
    #[error("the request holds too many events")]
    Events,
    /// The number of values in all of them.
    #[error("the request holds too many values")]
    Values,
}

impl Bound {
    /// The stable code of this bound.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Body => "body_too_large",
            Self::Ratio => "ratio_too_large",
            Self::Event => "event_too_large",
            Self::Events => "too_many_events",
            Self::Values => "too_many_values",
        }
    }
}

/// What is missing for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unready {
    /// No policy is loaded.
    #[error("no policy is loaded")]
    Policy,
    /// The enforcement log cannot take a record.
    #[error("the enforcement log cannot be written")]
    Log,
    /// The keyring is missing.
    #[error("the keys are not available")]
    Keys,
    /// More requests or bytes than there is room for.
    #[error("too many requests")]
    Overload,
    /// The primary destination does not answer.
    #[error("the destination does not answer")]
    Destination,
    /// The process is about to exit.
    #[error("shutting down")]
    Draining,
}

impl Unready {
    /// The stable code of this state.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Policy => "policy_unavailable",
            Self::Log => "log_unavailable",
            Self::Keys => "keys_unavailable",
            Self::Overload => "overload",
            Self::Destination => "destination_unavailable",
            Self::Draining => "draining",
        }
    }
}
