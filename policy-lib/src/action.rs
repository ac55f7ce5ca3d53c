//! What may be done to a field, and which of two treatments is the coarser.
//!
//! Coarseness is a partial order. A is at least as coarse as B if A can be made
//! from B's output with privet's one-way keys but no key that opens:
//!
//! ```text
//! drop < redact < generalize (along one chain), pseudonymize (one domain and shape) < scrub (by detector set) < keep
//! drop < redact < tokenize (one key and mode) < keep
//! ```
//!
//! What a token seals can be told again by nobody without its key, so nothing but
//! redacting and dropping can be made from it: it compares with those and `keep` only.
//!
//! Not here: carrying an action out; that is the transform step of `privet`.

use std::cmp::Ordering;
use std::fmt;

use crate::detect::DetectorSet;
use crate::generalize::{AgeBands, GeoCell, IpPrefix, NumberBucket, TimeGrain, UrlForm, UserAgentPart};

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
        /// What the value looks like.
        shape: PseudonymShape,
    },
    /// The value leaves sealed; who holds the key can open it again.
    Tokenize {
        /// The key's name in the keyring.
        key: String,
        /// Whether equal values have equal tokens.
        mode: TokenMode,
    },
    /// The text leaves with what the detectors find replaced.
    Scrub(DetectorSet),
    /// The value leaves as it came.
    Keep,
}

/// What a pseudonym looks like, so that a collector's schema still holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PseudonymShape {
    /// 24 characters of base64url: 144 bits.
    #[default]
    Text,
    /// A UUID of version 8 (RFC 9562): 122 bits.
    Uuid,
    /// An address that no mail reaches, at `pseudonym.invalid` (RFC 2606): 125 bits.
    Email,
    /// 18 digits, the first not 0: 59 bits, so among a billion people two are likely to share one.
    Digits,
}

impl PseudonymShape {
    /// Every shape that policies name.
    pub const ALL: [Self; 4] = [Self::Text, Self::Uuid, Self::Email, Self::Digits];

    /// The word policies use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Uuid => "uuid",
            Self::Email => "email",
            Self::Digits => "digits",
        }
    }
}

/// Whether equal values have equal tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenMode {
    /// They do: tokens join, and tell how often a value occurs.
    #[default]
    Deterministic,
    /// Each token is new: it tells nothing but the value's length.
    Random,
}

impl TokenMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Deterministic, Self::Random];

    /// The word policies use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deterministic => "deterministic",
            Self::Random => "random",
        }
    }
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
    Url(UrlForm),
    /// A place, to its cell.
    Geo(GeoCell),
    /// An age in years, to its band.
    Age(AgeBands),
    /// A user agent, to its family.
    UserAgent(UserAgentPart),
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
            Self::Tokenize { .. } => ActionKind::Tokenize,
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
            (Self::Tokenize { .. }, other) | (other, Self::Tokenize { .. }) if other.is_some_form() => None,
            (a, b) => match a.level().cmp(&b.level()) {
                Ordering::Equal => None,
                decided => Some(decided),
            },
        }
    }

    /// Whether the value leaves in another form than its own.
    const fn is_some_form(&self) -> bool {
        !matches!(self, Self::Drop | Self::Redact | Self::Keep)
    }

    /// Where the kind stands between `drop` and `keep`; kinds of one level compare among themselves only.
    const fn level(&self) -> u8 {
        match self {
            Self::Drop => 0,
            Self::Redact => 1,
            Self::Generalize(_) | Self::Pseudonymize { .. } => 2,
            Self::Scrub(_) | Self::Tokenize { .. } => 3,
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
            (Self::Url(a), Self::Url(b)) => a.compare(b),
            (Self::Geo(a), Self::Geo(b)) => a.compare(*b),
            (Self::Age(a), Self::Age(b)) => a.compare(*b),
            (Self::UserAgent(a), Self::UserAgent(b)) => a.compare(*b),
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
            Self::Generalize(Generalize::Url(form)) => write!(f, "generalize url {form}"),
            Self::Generalize(Generalize::Geo(cell)) => write!(f, "generalize geo {cell}"),
            Self::Generalize(Generalize::Age(bands)) => write!(f, "generalize age {bands}"),
            Self::Generalize(Generalize::UserAgent(part)) => write!(f, "generalize user_agent {part}"),
            Self::Pseudonymize { domain, shape: PseudonymShape::Text } => write!(f, "pseudonymize {domain}"),
            Self::Pseudonymize { domain, shape } => write!(f, "pseudonymize {domain} as {}", shape.name()),
            Self::Tokenize { key, mode } => write!(f, "tokenize {key} {}", mode.name()),
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
    /// [`Action::Tokenize`]
    Tokenize,
    /// [`Action::Scrub`]
    Scrub,
    /// [`Action::Keep`]
    Keep,
}

impl ActionKind {
    /// Every kind, coarsest first.
    pub const ALL: [Self; 7] =
        [Self::Drop, Self::Redact, Self::Generalize, Self::Pseudonymize, Self::Tokenize, Self::Scrub, Self::Keep];

    /// The word policies use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Redact => "redact",
            Self::Generalize => "generalize",
            Self::Pseudonymize => "pseudonymize",
            Self::Tokenize => "tokenize",
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
            (Self::Domain(wanted), Action::Pseudonymize { domain, .. }) => wanted == domain,
            (Self::Domain(_), _) => false,
            (Self::Kind(kind), action) => action.kind() == *kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Detector;
    use crate::generalize::UrlPart;

    fn examples() -> Vec<Action> {
        let shaped = |name: &str, shape| Action::Pseudonymize { domain: name.to_owned(), shape };
        let domain = |name| shaped(name, PseudonymShape::Text);
        let token = |mode| Action::Tokenize { key: "support".to_owned(), mode };
        vec![
            Action::Drop,
            Action::Redact,
            Action::Generalize(Generalize::Time(TimeGrain::Hour)),
            Action::Generalize(Generalize::Time(TimeGrain::Day)),
            Action::Generalize(Generalize::Url(UrlForm::of(UrlPart::Host))),
            Action::Generalize(Generalize::Url(UrlForm::of(UrlPart::WithoutQuery))),
            domain("analytics"),
            domain("marketing"),
            Action::Scrub(DetectorSet::from_iter([Detector::EmailAddress])),
            Action::Scrub(DetectorSet::from_iter([Detector::IpAddress])),
            Action::Scrub(DetectorSet::ALL),
            Action::Keep,
            Action::Generalize(Generalize::Url(UrlForm::with_query(vec!["a".into(), "b".into()]))),
            Action::Generalize(Generalize::Url(UrlForm::with_query(vec!["a".into()]))),
            Action::Generalize(Generalize::Geo(GeoCell::Decimals(1))),
            Action::Generalize(Generalize::Geo(GeoCell::Geohash(4))),
            Action::Generalize(Generalize::Age(AgeBands::default())),
            Action::Generalize(Generalize::UserAgent(UserAgentPart::Family)),
            shaped("analytics", PseudonymShape::Uuid),
            token(TokenMode::Deterministic),
            token(TokenMode::Random),
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
        assert_eq!(all[6].compare(&all[18]), None, "one domain, two shapes");
        assert_eq!(all[19].compare(&all[20]), None);
        let forms = [ActionKind::Generalize, ActionKind::Pseudonymize, ActionKind::Scrub];
        for other in all.iter().filter(|action| forms.contains(&action.kind())) {
            assert_eq!(all[19].compare(other), None, "{other}");
        }
        assert_eq!(all[19].compare(&Action::Redact), Some(Ordering::Greater));
        assert_eq!(all[19].compare(&Action::Keep), Some(Ordering::Less));
    }

    #[test]
    fn each_chain_has_its_order() {
        let number = |width| Generalize::Number(NumberBucket::parse(width).unwrap());
        for (coarse, fine) in [
            (Generalize::Time(TimeGrain::Day), Generalize::Time(TimeGrain::Hour)),
            (Generalize::Ip(IpPrefix { v4: 16, v6: 32 }), Generalize::Ip(IpPrefix { v4: 24, v6: 48 })),
            (number("100"), number("10")),
            (Generalize::Url(UrlForm::of(UrlPart::Host)), Generalize::Url(UrlForm::of(UrlPart::WithoutQuery))),
            (Generalize::Geo(GeoCell::Geohash(3)), Generalize::Geo(GeoCell::Geohash(5))),
            (Generalize::Age(AgeBands::beginning(&[18]).unwrap()), Generalize::Age(AgeBands::default())),
            (Generalize::UserAgent(UserAgentPart::Family), Generalize::UserAgent(UserAgentPart::FamilyOs)),
        ] {
            let (coarse, fine) = (Action::Generalize(coarse), Action::Generalize(fine));
            assert_eq!(coarse.compare(&fine), Some(Ordering::Less), "{coarse} {fine}");
            assert_eq!(fine.compare(&coarse), Some(Ordering::Greater), "{coarse} {fine}");
            assert_eq!(coarse.compare(&all_but(&coarse)), None, "{coarse}");
        }
    }

    /// A generalization of another chain.
    fn all_but(action: &Action) -> Action {
        let time = Action::Generalize(Generalize::Time(TimeGrain::Month));
        match action {
            Action::Generalize(Generalize::Time(_)) => Action::Generalize(Generalize::Age(AgeBands::default())),
            _ => time,
        }
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
