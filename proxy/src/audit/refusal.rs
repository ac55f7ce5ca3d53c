//! Why a request is refused, as the log and the metrics name it.

/// Why a request was refused, as batches count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedAs {
    /// The body, or the request around it, cannot be parsed.
    Unparseable,
    /// Too many bytes, events or levels.
    TooLarge,
    /// A content coding or type that the listener does not take.
    Unsupported,
    /// A path or method that is no event endpoint.
    NoSuchEndpoint,
    /// The sender may not send here.
    Unauthorized,
    /// A bound was reached: memory, connections or rate.
    Overloaded,
    /// No policy is in force.
    NotReady,
    /// The log could not be written.
    CannotRecord,
    /// The primary destination did not take it.
    DestinationFailed,
    /// It took too long.
    TimedOut,
    /// A defect of the sidecar.
    Internal,
}

impl RefusedAs {
    /// All of them, by number.
    pub const ALL: [Self; 11] = [
        Self::Unparseable,
        Self::TooLarge,
        Self::Unsupported,
        Self::NoSuchEndpoint,
        Self::Unauthorized,
        Self::Overloaded,
        Self::NotReady,
        Self::CannotRecord,
        Self::DestinationFailed,
        Self::TimedOut,
        Self::Internal,
    ];

    /// The name that the log and the metrics use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unparseable => "unparseable",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::NoSuchEndpoint => "no_such_endpoint",
            Self::Unauthorized => "unauthorized",
            Self::Overloaded => "overloaded",
            Self::NotReady => "not_ready",
            Self::CannotRecord => "cannot_record",
            Self::DestinationFailed => "destination_failed",
            Self::TimedOut => "timed_out",
            Self::Internal => "internal",
        }
    }
}
