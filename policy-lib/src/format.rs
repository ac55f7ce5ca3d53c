//! The wire formats that privet understands.

use std::fmt;
use std::str::FromStr;

/// How events are written on the wire, request and answer alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Segment's HTTP tracking API.
    Segment,
    /// RudderStack's data plane, which speaks Segment's language and more.
    RudderStack,
    /// Snowplow's tracker protocol: payloads by POST, pixels by GET.
    Snowplow,
    /// Google Analytics 4, Measurement Protocol.
    Ga4,
    /// OpenTelemetry logs over HTTP, JSON and protobuf.
    Otlp,
    /// CloudEvents 1.0 over HTTP: binary, structured and batch.
    CloudEvents,
    /// One JSON object, or an array of them.
    Json,
    /// One JSON object a line.
    Ndjson,
}

impl Format {
    /// Every format, in the order diagnostics list them.
    pub const ALL: [Self; 8] = [
        Self::Segment,
        Self::RudderStack,
        Self::Snowplow,
        Self::Ga4,
        Self::Otlp,
        Self::CloudEvents,
        Self::Json,
        Self::Ndjson,
    ];

    /// The name policies, configuration and the command line use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::RudderStack => "rudderstack",
            Self::Snowplow => "snowplow",
            Self::Ga4 => "ga4",
            Self::Otlp => "otlp",
            Self::CloudEvents => "cloudevents",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The written name is no format that privet knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format, want one of segment, rudderstack, snowplow, ga4, otlp, cloudevents, json, ndjson")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(written: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.name() == written).ok_or(UnknownFormat)
    }
}
