//! What a policy means: names resolved, contradictions gone, ready to run.
//!
//! Only [`crate::compile`] makes a [`Policy`]. Everything in it is finite, so
//! everything it can decide can be listed.

use std::fmt;

use crate::action::{Action, Generalize, Preference};
use crate::consent::{AudienceNo, Audiences, Strings};
use crate::encoding::Encoding;
use crate::export::{Export, Survey};
use crate::format::Format;
use crate::matching::Matcher;
use crate::path::Path;
use crate::shape::Shape;
use crate::shared::SharedCache;
use crate::source::GrantSource;
use crate::taxonomy::Taxonomy;
use crate::verdict::{Covering, VerdictCache};

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    pub(crate) digest: Digest,
    pub(crate) contracts: Vec<Contract>,
    pub(crate) purposes: Vec<Purpose>,
    pub(crate) destinations: Vec<Destination>,
    pub(crate) audiences: Audiences,
    pub(crate) strings: Strings,
    pub(crate) rules: Vec<Rule>,
    pub(crate) exports: Vec<Export>,
    pub(crate) surveys: Vec<Survey>,
    /// Jurisdictions that some purpose or rule names; the first is `default`.
    pub(crate) places: Vec<String>,
    pub(crate) taxonomy: Taxonomy,
    pub(crate) matcher: Matcher,
    pub(crate) covering: Covering,
    pub(crate) verdicts: VerdictCache,
    pub(crate) shared: SharedCache,
}

/// SHA-256 over the canonical form of a policy's documents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A contract's place in [`Policy::contracts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContractNo(pub u16);
/// A destination's place in [`Policy::destinations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationNo(pub u8);
/// A purpose's place in [`Policy::purposes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PurposeNo(pub u8);
/// A jurisdiction's place in [`Policy::places`]; 0 is `default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PlaceNo(pub u8);

/// A set of purposes; a policy declares at most 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PurposeSet(pub u64);

impl PurposeSet {
    /// The most purposes a policy may declare.
    pub const MAX: usize = 64;

    /// The set with one more purpose.
    #[must_use]
    pub const fn with(self, purpose: PurposeNo) -> Self {
        Self(self.0 | 1 << purpose.0)
    }

    /// Whether the purpose is in the set.
    #[must_use]
    pub const fn contains(self, purpose: PurposeNo) -> bool {
        self.0 >> purpose.0 & 1 == 1
    }

    /// What is in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The purposes in the set, in order.
    pub fn iter(self) -> impl Iterator<Item = PurposeNo> {
        (0..64).map(PurposeNo).filter(move |purpose| self.contains(*purpose))
    }
}

/// The agreed schema of an event type, its format's envelope included.
#[derive(Debug)]
pub struct Contract {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The wire format it is about.
    pub format: Format,
    /// What an event must hold to be of this type.
    pub conditions: Vec<(Path, Vec<String>)>,
    /// Every declared field.
    pub fields: Vec<Field>,
    /// Whom its events are about: data subjects of the taxonomy.
    pub subjects: Vec<String>,
    /// The purposes that may be about it.
    pub purposes: PurposeSet,
    /// The fields as a trie, for one walk over an event.
    pub(crate) shape: Shape,
}

/// One declared field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where its value stands.
    pub path: Path,
    /// The types its value may have.
    pub types: FieldTypes,
    /// Its data category; without one no rule can let it leave.
    pub category: Option<String>,
    /// Whether an event without it is invalid.
    pub required: bool,
    /// The only values it may have.
    pub values: Option<Vec<String>>,
    /// The most characters it may have.
    pub max_length: Option<u64>,
    /// Whether people type it.
    pub free_text: bool,
    /// Whether it holds a URL or a part of one.
    pub url: bool,
    /// What the envelope uses it for.
    pub role: Option<Role>,
    /// For a path that ends in `*`: the category of the member names.
    pub key_category: Option<String>,
    /// How its value is encoded.
    pub encoding: Option<Encoding>,
    /// What kept or scrubbed text may hold.
    pub may_contain: Vec<String>,
}

impl Field {
    /// Whether its value may say more than its category: people's own words, or a URL.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.free_text || self.url
    }

    /// Whether what leaves of its value may do so too.
    #[must_use]
    pub fn tells_more(&self, action: &Action) -> bool {
        let readable = match action {
            Action::Keep | Action::Scrub(_) => true,
            Action::Generalize(Generalize::Url(form)) => form.keeps_values(),
            _ => false,
        };
        self.is_open() && readable
    }
}

/// The types a field's value may have; a `null` is as good as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FieldTypes(u8);

impl FieldTypes {
    /// Not written: any scalar.
    pub const NONE: Self = Self(0);
    /// A string.
    pub const STRING: Self = Self(1);
    /// A whole number.
    pub const INTEGER: Self = Self(2);
    /// Any number.
    pub const NUMBER: Self = Self(4 | 2);
    /// A number that is not whole; [`FieldTypes::NUMBER`] is this or a whole one.
    pub(crate) const FRACTION: Self = Self(4);
    /// `true` or `false`.
    pub const BOOLEAN: Self = Self(8);
    /// An object; its members leave only if they are declared.
    pub const OBJECT: Self = Self(16);
    /// An array; its elements leave only if they are declared.
    pub const ARRAY: Self = Self(32);
    /// Any scalar.
    pub const SCALAR: Self = Self(1 | 2 | 4 | 8);

    /// Either of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every type of `other` is allowed.
    #[must_use]
    pub const fn allows(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether some type of `other` is allowed.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What an envelope uses a field for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Names the person.
    Subject,
    /// Says where the event is meant to go.
    Routing,
    /// Proves that the sender may send.
    Auth,
    /// Says how the event is to be read.
    Schema,
    /// Tells the person's age, in years or as `child` or `adult`.
    Age,
}

impl Role {
    /// Whether a field of this role leaves with its event by the built-in rule.
    #[must_use]
    pub const fn leaves(self) -> bool {
        matches!(self, Self::Routing | Self::Auth | Self::Schema)
    }

    /// The role's word in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Routing => "routing",
            Self::Auth => "auth",
            Self::Schema => "schema",
            Self::Age => "age",
        }
    }
}

/// A legal basis (GDPR Article 6(1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// Point (a).
    Consent,
    /// Point (f); a person may object.
    LegitimateInterests,
    /// Point (b).
    Contract,
    /// Point (c).
    LegalObligation,
    /// Point (d).
    VitalInterests,
    /// Point (e).
    PublicInterest,
}

/// What silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Regime {
    /// Silence is no consent.
    OptIn,
    /// Silence permits until someone objects.
    OptOut,
}

/// Who receives data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recipient {
    /// The controller itself.
    Own,
    /// Someone who processes on the controller's behalf.
    Processor,
    /// Anyone else.
    ThirdParty,
}

/// How old the person is, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum AgeClass {
    /// Old enough to consent.
    Adult,
    /// Not old enough.
    Child,
    /// Nobody said.
    #[default]
    Unknown,
}

impl AgeClass {
    /// The word policies and the command line use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adult => "adult",
            Self::Child => "child",
            Self::Unknown => "unknown",
        }
    }
}

/// A signal that refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptOut {
    /// Global Privacy Control.
    Gpc,
    /// A GPP section's sale opt-out.
    GppSale,
    /// A GPP section's sharing opt-out.
    GppSharing,
    /// A GPP section's targeted advertising opt-out.
    GppTargeted,
    /// A GPP section's opt-out of processing sensitive data of some kind.
    GppSensitive,
    /// Do Not Track.
    Dnt,
    /// Apple's App Tracking Transparency, in any state but authorized.
    Att,
    /// Snowplow's request not to be identified.
    SpAnonymous,
}

impl OptOut {
    /// Whether it is about selling and sharing, so that it binds third parties
    /// alone unless the purpose says otherwise.
    #[must_use]
    pub const fn binds_third_parties_only(self) -> bool {
        matches!(self, Self::Gpc) || self.is_gpp()
    }

    /// Whether it stands in a GPP string.
    #[must_use]
    pub const fn is_gpp(self) -> bool {
        matches!(self, Self::GppSale | Self::GppSharing | Self::GppTargeted | Self::GppSensitive)
    }
}

/// Why data is processed.
#[derive(Debug, PartialEq, Eq)]
pub struct Purpose {
    /// A data use of the taxonomy.
    pub name: String,
    /// The legal basis.
    pub basis: Basis,
    /// Signals that grant it.
    pub granted_by: Vec<GrantSource>,
    /// Signals that refuse it.
    pub opted_out_by: Vec<OptOut>,
    /// Whether those bind every recipient.
    pub everywhere: bool,
    /// The regime of each of [`Policy::places`].
    pub regimes: Vec<Regime>,
    /// How an unknown age is treated.
    pub unknown_age: AgeClass,
    /// The age classes it may be about; `None` means all.
    pub ages: Option<Vec<AgeClass>>,
}

/// Where events go.
#[derive(Debug)]
pub struct Destination {
    /// Its name.
    pub name: String,
    /// Its base URL.
    pub url: String,
    /// Whether its answer is the client's.
    pub primary: bool,
    /// Who it is.
    pub recipient: Recipient,
    /// Whom consent signals mean by it.
    pub audience: AudienceNo,
    /// What it may use data for.
    pub purposes: PurposeSet,
    /// Request paths that pass as they are.
    pub paths: Vec<String>,
    /// Jurisdictions it sits in.
    pub located_in: Vec<String>,
    /// Headers that every request to it gets.
    pub headers: Vec<(String, String)>,
    /// What of its response the client may see.
    pub response: Response,
    /// How it orders forms that coarseness cannot.
    pub prefer: Preference,
}

/// What of a destination's response the client may see, besides what every client needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Headers, in lower case.
    pub headers: Vec<String>,
    /// Cookies that it may set.
    pub cookies: Vec<String>,
}

/// What happens to data of some categories for some purposes.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    pub(crate) data: Vec<String>,
    pub(crate) purposes: Vec<String>,
    pub(crate) to: Option<Vec<DestinationNo>>,
    pub(crate) contracts: Option<Vec<ContractNo>>,
    pub(crate) places: Option<Vec<PlaceNo>>,
    pub(crate) ages: Option<Vec<AgeClass>>,
    /// The action; a pseudonym's domain is filled in from `for` where the rule is applied.
    pub(crate) action: Action,
}

impl Rule {
    /// Whether the rule asks nobody's age, or drops what is a child's: then a child's fields
    /// leave no finer than an adult's.
    pub(crate) fn is_no_milder_to_children(&self) -> bool {
        let Some(ages) = &self.ages else { return true };
        self.action == Action::Drop && ages.as_slice() == [AgeClass::Child]
    }
}

impl Policy {
    /// What identifies the policy in the log.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The data categories and data uses it may name.
    #[must_use]
    pub const fn taxonomy(&self) -> &Taxonomy {
        &self.taxonomy
    }

    /// Every contract.
    #[must_use]
    pub fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    /// One contract.
    ///
    /// # Panics
    /// If the number is not one of this policy's.
    #[must_use]
    pub fn contract(&self, number: ContractNo) -> &Contract {
        self.contracts.get(usize::from(number.0)).expect("contract numbers come from this policy")
    }

    /// The purposes of a destination that may be about a contract.
    #[must_use]
    pub fn purposes_at(&self, destination: DestinationNo, contract: ContractNo) -> PurposeSet {
        self.destination(destination).purposes.and(self.contract(contract).purposes)
    }

    /// Whether a purpose may be about somebody of an age.
    pub(crate) fn may_be_about(&self, purpose: PurposeNo, age: AgeClass) -> bool {
        let ages = self.purposes.get(usize::from(purpose.0)).and_then(|purpose| purpose.ages.as_ref());
        ages.is_none_or(|ages| ages.contains(&age))
    }

    /// Every purpose.
    #[must_use]
    pub fn purposes(&self) -> &[Purpose] {
        &self.purposes
    }

    /// Every purpose with its number.
    /// A purpose by its number, if there is one.
    pub(crate) fn purpose(&self, number: PurposeNo) -> Option<&Purpose> {
        self.purposes.get(usize::from(number.0))
    }

    pub(crate) fn numbered_purposes(&self) -> impl Iterator<Item = (PurposeNo, &Purpose)> {
        (0..).map(PurposeNo).zip(&self.purposes)
    }

    /// Every destination.
    #[must_use]
    pub fn destinations(&self) -> &[Destination] {
        &self.destinations
    }

    /// Every rule.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Every export that counts events.
    #[must_use]
    pub fn exports(&self) -> &[Export] {
        &self.exports
    }

    /// Every export of reports that were randomized on devices.
    #[must_use]
    pub fn surveys(&self) -> &[Survey] {
        &self.surveys
    }

    /// The purposes whose regime assumes that refusals are remembered, if any.
    pub fn purposes_that_need_memory(&self) -> impl Iterator<Item = &Purpose> {
        self.purposes.iter().filter(|purpose| purpose.needs_memory())
    }

    /// The jurisdiction a written name falls under: itself, or what stands
    /// before its last `-`, and so on up to `default`.
    #[must_use]
    pub fn place(&self, written: &str) -> PlaceNo {
        let mut name = written.to_ascii_lowercase();
        loop {
            if let Some(found) = self.places.iter().position(|place| *place == name) {
                return PlaceNo(u8::try_from(found).unwrap_or(0));
            }
            match name.rfind('-') {
                Some(dash) => name.truncate(dash),
                None => return PlaceNo::default(),
            }
        }
    }

    /// Every jurisdiction, `default` first.
    pub fn place_numbers(&self) -> impl Iterator<Item = PlaceNo> + use<> {
        (0..u8::try_from(self.places.len()).unwrap_or(u8::MAX)).map(PlaceNo)
    }

    /// The name of a jurisdiction.
    #[must_use]
    pub fn place_name(&self, place: PlaceNo) -> &str {
        self.places.get(usize::from(place.0)).map_or("default", String::as_str)
    }
}

impl Purpose {
    /// Whether silence may permit it somewhere.
    #[must_use]
    pub fn needs_memory(&self) -> bool {
        match self.basis {
            Basis::Consent => self.regimes.contains(&Regime::OptOut),
            Basis::LegitimateInterests => true,
            _ => false,
        }
    }

    /// The regime of a jurisdiction.
    #[must_use]
    pub fn regime(&self, place: PlaceNo) -> Regime {
        self.regimes.get(usize::from(place.0)).copied().unwrap_or(Regime::OptIn)
    }
}
