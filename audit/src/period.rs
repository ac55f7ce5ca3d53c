//! Periods of time, and what a record that spans their edge does to a count.
//!
//! A batch says when it began and when it was written, no more, and quiet ones round both to 10 s.
//! So an event in it may lie on either side of an edge within. A count over a period is therefore
//! two numbers: at least what lies inside for sure, at most what may.

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};

/// When something happened: at the earliest and at the latest, in milliseconds of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// At the earliest.
    pub first: i64,
    /// At the latest.
    pub last: i64,
}

impl Span {
    /// The same, begun no later than this.
    #[must_use]
    pub fn since(self, first: i64) -> Self {
        Self { first: self.first.min(first), ..self }
    }
}

/// Where a span lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Inside for sure.
    Inside,
    /// It spans an edge.
    Edge,
    /// Outside for sure.
    Outside,
}

/// The arguments that say a period.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PeriodArgs {
    /// From this moment on: RFC 3339, or a day of UTC. The log's beginning if not given.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Up to but not including this moment. The log's end if not given.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

/// From `from` up to but not including `to`, in milliseconds of Unix time; open where not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// The first moment.
    pub from: Option<i64>,
    /// The moment after the last.
    pub to: Option<i64>,
}

impl PeriodArgs {
    /// Reads both moments.
    ///
    /// # Errors
    /// One is no time, or they are the wrong way round.
    pub fn period(&self) -> Result<Period> {
        let moment = |text: &Option<String>, name: &str| {
            text.as_deref().map(|text| moment(text).with_context(|| format!("`--{name} {text}`"))).transpose()
        };
        let period = Period { from: moment(&self.from, "from")?, to: moment(&self.to, "to")? };
        match (period.from, period.to) {
            (Some(from), Some(to)) if from >= to => bail!("`--from` is not before `--to`"),
            _ => Ok(period),
        }
    }
}

/// A moment in milliseconds of Unix time: RFC 3339 with its offset, or a day, which begins at 0 h UTC.
///
/// # Errors
/// It is neither.
pub fn moment(text: &str) -> Result<i64> {
    if let Ok(day) = text.parse::<Date>()
        && !text.contains(['T', 't', ' '])
    {
        return Ok(day.to_zoned(TimeZone::UTC).context("no such day")?.timestamp().as_millisecond());
    }
    let timestamp: Timestamp =
        text.parse().ok().context("not a time such as 2026-11-25T14:00:00Z, nor a day such as 2026-11-25")?;
    Ok(timestamp.as_millisecond())
}

/// A moment as people read it: UTC, to the second where it has no fraction.
#[must_use]
pub fn show(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |time| time.to_string())
}

impl Period {
    /// Where something lies.
    #[must_use]
    pub fn place(&self, span: Span) -> Where {
        let before = self.from.is_some_and(|from| span.last < from);
        let after = self.to.is_some_and(|to| span.first >= to);
        let early = self.from.is_some_and(|from| span.first < from);
        let late = self.to.is_some_and(|to| span.last >= to);
        match (before || after, early || late) {
            (true, _) => Where::Outside,
            (false, true) => Where::Edge,
            (false, false) => Where::Inside,
        }
    }

    /// Whether it has an edge at all.
    #[must_use]
    pub const fn is_bounded(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// The period in words.
    #[must_use]
    pub fn words(&self) -> String {
        match (self.from, self.to) {
            (None, None) => "over the whole log".to_owned(),
            (Some(from), None) => format!("from {} on", show(from)),
            (None, Some(to)) => format!("before {}", show(to)),
            (Some(from), Some(to)) => format!("from {} up to {}", show(from), show(to)),
        }
    }

    /// The period for machines: RFC 3339, or null.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"from": self.from.map(show), "to": self.to.map(show)})
    }
}

/// A count over a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// What lies inside for sure.
    pub at_least: u64,
    /// With what spans an edge.
    pub at_most: u64,
}

impl Bounds {
    /// Counts what lies there.
    pub fn add(&mut self, place: Where, count: u64) {
        match place {
            Where::Inside => {
                self.at_least = self.at_least.saturating_add(count);
                self.at_most = self.at_most.saturating_add(count);
            }
            Where::Edge => self.at_most = self.at_most.saturating_add(count),
            Where::Outside => {}
        }
    }
}

impl Bounds {
    /// Adds another count.
    pub fn join(&mut self, other: Self) {
        self.at_least = self.at_least.saturating_add(other.at_least);
        self.at_most = self.at_most.saturating_add(other.at_most);
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.at_least == self.at_most {
            write!(f, "{}", self.at_least)
        } else {
            write!(f, "{} to {}", self.at_least, self.at_most)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_over_an_edge_counts_as_at_most_only() {
        let period = Period { from: Some(100), to: Some(200) };
        for (first, last, place) in [
            (100, 199, Where::Inside),
            (99, 199, Where::Edge),
            (100, 200, Where::Edge),
            (99, 200, Where::Edge),
            (0, 99, Where::Outside),
            (200, 300, Where::Outside),
        ] {
            assert_eq!(period.place(Span { first, last }), place, "{first} to {last}");
        }
        let mut bounds = Bounds::default();
        for (place, count) in [(Where::Inside, 3), (Where::Edge, 4), (Where::Outside, 5)] {
            bounds.add(place, count);
        }
        assert_eq!((bounds, bounds.to_string().as_str()), (Bounds { at_least: 3, at_most: 7 }, "3 to 7"));
        assert_eq!(Period::default().place(Span { first: i64::MIN, last: i64::MAX }), Where::Inside);
    }

    #[test]
    fn a_moment_is_rfc_3339_or_a_day() {
        assert_eq!(moment("1970-01-02").unwrap(), 86_400_000);
        assert_eq!(moment("1970-01-01T01:00:00+01:00").unwrap(), 0);
        assert_eq!(moment("1970-01-01T00:00:00.25Z").unwrap(), 250);
        for wrong in ["", "yesterday", "1970-01-01T00:00:00", "1970-13-01", "17"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
        let args = |from: &str, to: &str| PeriodArgs { from: Some(from.into()), to: Some(to.into()) };
        assert!(args("1970-01-02", "1970-01-01").period().is_err());
        assert_eq!(args("1970-01-01", "1970-01-02").period().unwrap().to, Some(86_400_000));
    }
}
