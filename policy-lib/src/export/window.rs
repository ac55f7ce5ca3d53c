//! When an export counts and publishes, and by which pods, as its author wrote it.

use crate::path::Path;
use crate::span::{Span, Spanned};

/// `window:` of an export, still as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Where it stands.
    pub at: Span,
    /// `length`, such as `1h`.
    pub length: Option<Spanned<String>>,
    /// `calendar`: `hour` or `day`.
    pub calendar: Option<Spanned<String>>,
    /// `timezone`, such as `Europe/Berlin`.
    pub timezone: Option<Spanned<String>>,
    /// `time`: where the event's own time stands.
    pub time: Option<Spanned<Path>>,
    /// `allowed_lateness`, such as `10m`.
    pub allowed_lateness: Option<Spanned<String>>,
    /// `late`: `next_window` or `drop`.
    pub late: Option<Spanned<String>>,
    /// `publish_after`, such as `30s`.
    pub publish_after: Option<Spanned<String>>,
    /// `publish_marked`: the marks with which a window is published all the same.
    pub publish_marked: Vec<Spanned<String>>,
    /// `splits_max`: how often a window may be closed early.
    pub splits_max: Option<Spanned<u64>>,
}

/// `fleet:` of an export, still as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// `topology`: `per_pod` or `user_sharded`.
    pub topology: Spanned<String>,
    /// `ledgers`: how many a person's events may reach within one horizon.
    pub ledgers: Option<Spanned<u64>>,
}

impl Window {
    /// A window of one length and nothing else.
    #[must_use]
    pub fn of_length(length: Spanned<String>) -> Self {
        Self {
            at: length.at.clone(),
            length: Some(length),
            calendar: None,
            timezone: None,
            time: None,
            allowed_lateness: None,
            late: None,
            publish_after: None,
            publish_marked: Vec::new(),
            splits_max: None,
        }
    }

    /// Whether both mean the same, wherever they are written.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        let values = |window: &Self| {
            let texts = [
                &window.length,
                &window.calendar,
                &window.timezone,
                &window.allowed_lateness,
                &window.late,
                &window.publish_after,
            ];
            let texts = texts.map(|text| text.as_ref().map(|text| text.value.clone()));
            let mut marks: Vec<_> = window.publish_marked.iter().map(|mark| mark.value.clone()).collect();
            marks.sort();
            let time = window.time.as_ref().map(|time| time.value.clone());
            (texts, marks, time, window.splits_max.as_ref().map_or(0, |splits| splits.value))
        };
        values(self) == values(other)
    }
}

impl Fleet {
    /// Whether both mean the same, wherever they are written; an export that names no fleet is one pod's.
    #[must_use]
    pub fn mean(one: Option<&Self>, other: Option<&Self>) -> bool {
        let values = |fleet: Option<&Self>| {
            fleet.map_or(("per_pod".to_owned(), 1), |fleet| {
                (fleet.topology.value.clone(), fleet.ledgers.as_ref().map_or(1, |ledgers| ledgers.value))
            })
        };
        values(one) == values(other)
    }
}
