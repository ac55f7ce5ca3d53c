//! What may be done to a field, and which of two treatments is the coarser.
//!
//! Coarseness is a partial order. A is at least as coarse as B if A can be made
//! from B's output with privet's one-way keys but no key that opens:
//!
//! ```text
//! drop < redact < generalize (along one chain), pseudonymize (within one domain) < scrub (by detector set) < keep
//! ```
//!
//! Not here: carrying an action out; that is the transform step of `privet`.

use std::cmp::Ordering;
use std::fmt;

use crate::detect::DetectorSet;
use crate::generalize::{IpPrefix, NumberBucket, TimeGrain, UrlPart};

/// One treatment of a field, resolved for one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The field does not leave.
    Drop,
    /// The field leaves with a constant of its type.
    Redact,
    /// The value leaves coarser.
    Generalize(Generalize),
    /// The value leaves as a keyed one-way value; it is still personal data.
    Pseudonymize {
        /// The key's domain: the purpose as the rule's `for` names it.
        domain: String,
    },
    /// The text leaves with what the detectors find replaced.
    Scrub(DetectorSet),
    /// The value leaves as it came.
    Keep,
}

/// How a value is made coarser. Each variant is one chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Generalize {
    /// A moment, to the start of its hour, day, ...
    Time(TimeGrain),
    /// An address, to its prefix.
    Ip(IpPrefix),
    /// A number, to the lower end of its bucket.
    Number(NumberBucket),
    /// A URL, to a part of it.
    Url(UrlPart),
}

impl Action {
    /// The word policies use for this kind of action.
    #[must_use]
    pub const fn kind(&self) -> ActionKind {
        match self {
            Self::Drop => ActionKind::Drop,
            Self::Redact => ActionKind::Redact,
            Self::Generalize(_) => ActionKind::Generalize,
            Self::Pseudonymize { .. } => ActionKind::Pseudonymize,
            Self::Scrub(_) => ActionKind::Scrub,
            Self::Keep => ActionKind::Keep,
        }
    }

    /// Compares by coarseness: `Less` is coarser, `None` means neither can be made from the other.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Generalize(a), Self::Generalize(b)) => a.compare(b),
            (Self::Scrub(a), Self::Scrub(b)) => compare_sets(*a, *b),
            (a, b) if a == b => Some(Ordering::Equal),
            (a, b) => match a.level().cmp(&b.level()) {
                Ordering::Equal => None,
                decided => Some(decided),
            },
        }
    }

    /// Where the kind stands between `drop` and `keep`; kinds of one level compare among themselves only.
    const fn level(&self) -> u8 {
        match self {
            Self::Drop => 0,
            Self::Redact => 1,
            Self::Generalize(_) | Self::Pseudonymize { .. } => 2,
            Self::Scrub(_) => 3,
            Self::Keep => 4,
        }
    }
}

impl Generalize {
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Time(a), Self::Time(b)) => a.compare(*b),
            (Self::Ip(a), Self::Ip(b)) => a.compare(*b),
            (Self::Number(a), Self::Number(b)) => a.compare(b),
            (Self::Url(a), Self::Url(b)) => a.compare(*b),
            _ => None,
        }
    }
}

/// More detectors replace more, so a larger set is coarser.
fn compare_sets(a: DetectorSet, b: DetectorSet) -> Option<Ordering> {
    match (a.is_subset(b), b.is_subset(a)) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Greater),
        (false, true) => Some(Ordering::Less),
        (false, false) => None,
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generalize(Generalize::Time(grain)) => write!(f, "generalize time {grain}"),
            Self::Generalize(Generalize::Ip(prefix)) => write!(f, "generalize ip {prefix}"),
            Self::Generalize(Generalize::Number(bucket)) => write!(f, "generalize number {bucket}"),
            Self::Generalize(Generalize::Url(part)) => write!(f, "generalize url {part}"),
            Self::Pseudonymize { domain } => write!(f, "pseudonymize {domain}"),
            Self::Scrub(detectors) => write!(f, "scrub {detectors}"),
            plain => f.write_str(plain.kind().name()),
        }
    }
}

/// An action without its options, as `Destination.prefer` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionKind {
    /// [`Action::Drop`]
    Drop,
    /// [`Action::Redact`]
    Redact,
    /// [`Action::Generalize`]
    Generalize,
    /// [`Action::Pseudonymize`]
    Pseudonymize,
    /// [`Action::Scrub`]
    Scrub,
    /// [`Action::Keep`]
    Keep,
}

impl ActionKind {
    /// Every kind, coarsest first.
    pub const ALL: [Self; 6] =
        [Self::Drop, Self::Redact, Self::Generalize, Self::Pseudonymize, Self::Scrub, Self::Keep];

    /// The word policies use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Redact => "redact",
            Self::Generalize => "generalize",
            Self::Pseudonymize => "pseudonymize",
            Self::Scrub => "scrub",
            Self::Keep => "keep",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(written: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == written)
    }
}

/// How a destination orders forms that coarseness cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preference(Vec<Preferred>);

/// One entry of `Destination.prefer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preferred {
    /// Every form of this kind.
    Kind(ActionKind),
    /// The pseudonym in this purpose's domain.
    Domain(String),
}

impl Preference {
    /// An order, most wanted first.
    #[must_use]
    pub const fn new(order: Vec<Preferred>) -> Self {
        Self(order)
    }

    /// The place of a form in this order; the first is preferred, and forms that
    /// are not listed share the last.
    #[must_use]
    pub fn rank(&self, action: &Action) -> usize {
        self.0.iter().position(|entry| entry.matches(action)).unwrap_or(usize::MAX)
    }

    /// The one of two incomparable forms that stands first in this order.
    #[must_use]
    pub fn choose<'a>(&self, a: &'a Action, b: &'a Action) -> Option<&'a Action> {
        match self.rank(a).cmp(&self.rank(b)) {
            Ordering::Less => Some(a),
            Ordering::Greater => Some(b),
            Ordering::Equal => None,
        }
    }
}

impl Preferred {
    fn matches(&self, action: &Action) -> bool {
        match (self, action) {
            (Self::Domain(wanted), Action::Pseudonymize { domain }) => wanted == domain,
            (Self::Domain(_), _) => false,
            (Self::Kind(kind), action) => action.kind() == *kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Detector;

    fn examples() -> Vec<Action> {
        let domain = |name: &str| Action::Pseudonymize { domain: name.to_owned() };
        vec![
            Action::Drop,
            Action::Redact,
            Action::Generalize(Generalize::Time(TimeGrain::Hour)),
            Action::Generalize(Generalize::Time(TimeGrain::Day)),
            Action::Generalize(Generalize::Url(UrlPart::Host)),
            Action::Generalize(Generalize::Url(UrlPart::WithoutQuery)),
            domain("analytics"),
            domain("marketing"),
            Action::Scrub(DetectorSet::from_iter([Detector::EmailAddress])),
            Action::Scrub(DetectorSet::from_iter([Detector::IpAddress])),
            Action::Scrub(DetectorSet::ALL),
            Action::Keep,
        ]
    }

    #[test]
    fn coarseness_is_a_partial_order() {
        let all = examples();
        for a in &all {
            assert_eq!(a.compare(a), Some(Ordering::Equal));
            for b in &all {
                assert_eq!(a.compare(b), b.compare(a).map(Ordering::reverse), "{a} {b}");
                for c in &all {
                    let leads = |x: &Action, y: &Action| matches!(x.compare(y), Some(Ordering::Less | Ordering::Equal));
                    assert!(!(leads(a, b) && leads(b, c)) || leads(a, c), "{a} {b} {c}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_made_from_each_other_has_no_order() {
        let all = examples();
        assert_eq!(all[2].compare(&all[6]), None);
        assert_eq!(all[6].compare(&all[7]), None);
        assert_eq!(all[2].compare(&all[4]), None);
        assert_eq!(all[8].compare(&all[9]), None);
        assert_eq!(all[3].compare(&all[2]), Some(Ordering::Less));
    }

    #[test]
    fn a_preference_orders_the_rest() {
        let all = examples();
        let prefer =
            Preference::new(vec![Preferred::Domain("marketing".into()), Preferred::Kind(ActionKind::Generalize)]);
        assert_eq!(prefer.choose(&all[6], &all[7]), Some(&all[7]));
        assert_eq!(prefer.choose(&all[2], &all[6]), Some(&all[2]));
        assert_eq!(Preference::default().choose(&all[6], &all[7]), None);
    }
}
