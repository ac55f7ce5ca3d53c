//! Detectors: what in a free text is an address, a phone number, a card.
//!
//! Promise: time linear in the text, no backtracking, no allocation but the
//! caller's; a detector's finding never depends on which others run beside it;
//! and what [`scrub`] writes holds nothing that [`find`] would still find, for
//! the same set or any smaller one.
//!
//! Not here: names of people, places or firms (that needs a model), or any
//! promise that *everything* personal is found: a detector is a net, and the
//! scores in `tests/detector_scores.rs` say how fine. A rule that must not leak
//! drops the field instead.
//!
//! A detector is one file, with `possible` (could this text hold one, judged by
//! counting byte classes) and `find`, and one line in the table below.

mod card;
mod context;
mod digits;
mod email;
mod ip;
mod lens;
mod phone;
mod set;
mod sight;

use std::fmt;
use std::str::FromStr;

pub use set::DetectorSet;
use sight::Sight;

/// Declares the closed set of detectors: `/// doc`, variant, published name, module.
macro_rules! detectors {
    ($($(#[$doc:meta])* $variant:ident $name:literal $module:ident;)+) => {
        /// One kind of personal data that free text may hold. The names are Presidio's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Detector {
            $($(#[$doc])* $variant,)+
        }

        impl Detector {
            /// Every detector.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// The name policies and reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What a scrubbed text holds in the place of a finding.
            #[must_use]
            pub const fn tag(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("<", $name, ">"),)+
                }
            }

            fn possible(self, sight: &Sight) -> bool {
                match self {
                    $(Self::$variant => $module::possible(sight),)+
                }
            }

            fn find(self, text: &str, sight: &Sight, found: &mut Vec<Found>) {
                match self {
                    $(Self::$variant => $module::find(text, sight, found),)+
                }
            }
        }
    };
}

detectors! {
    /// An email address, plain, percent-encoded, HTML-escaped or inside a URL.
    EmailAddress "EMAIL_ADDRESS" email;
    /// A phone number, international or in a national shape.
    PhoneNumber "PHONE_NUMBER" phone;
    /// A payment card number: issuer prefix, length and Luhn checksum.
    CreditCard "CREDIT_CARD" card;
    /// An IPv4 or IPv6 address, with its zone or prefix length.
    IpAddress "IP_ADDRESS" ip;
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no detector has this name")]
pub struct UnknownDetector;

impl FromStr for Detector {
    type Err = UnknownDetector;

    fn from_str(text: &str) -> Result<Self, UnknownDetector> {
        Self::ALL.into_iter().find(|detector| detector.name() == text).ok_or(UnknownDetector)
    }
}

/// One finding in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub detector: Detector,
    /// Its first byte; on a character boundary.
    pub start: usize,
    /// One past its last byte; on a character boundary.
    pub end: usize,
    /// How sure, in percent: a checksum or an unmistakable shape is above 80, a guess by context about 50.
    pub score: u8,
}

/// Finds what the detectors of `set` know, in order of place.
///
/// `found` is emptied first. Findings do not overlap: where those of two
/// detectors do, one finding covers both and carries the name of the surer
/// (then the longer). Hence a larger set covers every byte a smaller one does.
pub fn find(text: &str, set: DetectorSet, found: &mut Vec<Found>) {
    found.clear();
    let sight = Sight::of(text.as_bytes());
    for detector in set.iter().filter(|detector| detector.possible(&sight)) {
        detector.find(text, &sight, found);
    }
    settle(found);
}

/// Sorts by place and makes one finding of those that overlap.
fn settle(found: &mut Vec<Found>) {
    if found.len() < 2 {
        return;
    }
    found.sort_unstable_by_key(|one| (one.start, one.end, one.detector));
    found.dedup_by(|next, kept| {
        let overlaps = next.start < kept.end;
        if overlaps {
            let surer = if rank(next) > rank(kept) { *next } else { *kept };
            let end = kept.end.max(next.end);
            *kept = Found { start: kept.start, end, ..surer };
        }
        overlaps
    });
}

const fn rank(found: &Found) -> (u8, usize) {
    (found.score, found.end - found.start)
}

/// How often a scrubbed text is searched again before it is given up.
const PASSES_MAX: usize = 8;

/// Appends `text` to `out`, each finding replaced by its [`Detector::tag`];
/// returns how many were replaced.
///
/// Taking a finding away can uncover another one beside it, so the result is
/// searched again until it holds none: scrubbing twice changes nothing. A text
/// built to stay dirty for longer than a few passes is replaced as a whole by
/// one tag.
pub fn scrub(text: &str, set: DetectorSet, out: &mut String) -> usize {
    let mut found = Vec::new();
    find(text, set, &mut found);
    if found.is_empty() {
        out.push_str(text);
        return 0;
    }
    let mut replaced = 0;
    let mut clean = String::with_capacity(text.len());
    let mut dirty = text.to_owned();
    for _ in 0..PASSES_MAX {
        replaced += found.len();
        clean.clear();
        replace(&dirty, &found, &mut clean);
        find(&clean, set, &mut found);
        if found.is_empty() {
            out.push_str(&clean);
            return replaced;
        }
        std::mem::swap(&mut dirty, &mut clean);
    }
    out.push_str(found.first().map_or("", |first| first.detector.tag()));
    replaced + 1
}

fn replace(text: &str, found: &[Found], out: &mut String) {
    let mut from = 0;
    for one in found {
        out.push_str(text.get(from..one.start).unwrap_or_default());
        out.push_str(one.detector.tag());
        from = one.end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
}

#[cfg(test)]
mod tests;
