//! What the words around a number are about.
//!
//! A bare number of nine digits may be a passport, an account or an order. A
//! word decides, and the nearest words decide first: those between the number
//! and the number before it.

use super::super::context::{self, Lexicon};

/// A set of subjects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::detect) struct Topics(u16);

impl Topics {
    pub(super) const NONE: Self = Self(0);
    pub(super) const PASSPORT: Self = Self(1);
    pub(super) const DRIVING: Self = Self(1 << 1);
    pub(super) const SOCIAL: Self = Self(1 << 2);
    pub(super) const TAX: Self = Self(1 << 3);
    pub(super) const HEALTH: Self = Self(1 << 4);
    pub(super) const PHYSICIAN: Self = Self(1 << 5);
    pub(super) const BANK: Self = Self(1 << 6);
    pub(super) const ROUTING: Self = Self(1 << 7);
    pub(super) const VEHICLE: Self = Self(1 << 8);
    pub(super) const POSTAL: Self = Self(1 << 9);
    pub(super) const IDENTITY: Self = Self(1 << 10);
    pub(super) const VOTER: Self = Self(1 << 11);
    pub(super) const COMPANY: Self = Self(1 << 12);
    /// A postal code itself, not only an address.
    pub(super) const ZIP: Self = Self(1 << 13);

    /// What is in either set.
    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether they have one in common.
    pub(super) const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// How far back words are read, in bytes.
const REACH_BEFORE: usize = 72;

/// How far ahead.
const REACH_AFTER: usize = 40;

/// What is spoken of right before and after the place `start..end`.
pub(super) fn around(text: &str, start: usize, end: usize) -> Topics {
    let near = number_before(text, start);
    let mut topics = before(text, start, start - near);
    if topics == Topics::NONE {
        topics = after(text, end);
    }
    if topics == Topics::NONE && start - near < REACH_BEFORE {
        topics = before(text, start, REACH_BEFORE);
    }
    topics
}

fn before(text: &str, start: usize, reach: usize) -> Topics {
    context::before(text, start, reach).fold(Topics::NONE, |topics, word| topics.or(WORDS.of(word)))
}

fn after(text: &str, end: usize) -> Topics {
    let rest = text.as_bytes().get(end..).unwrap_or_default();
    let clause =
        rest.iter().take(REACH_AFTER).take_while(|byte| !byte.is_ascii_digit() && !b".;,\n<".contains(byte)).count();
    // Cut where a character begins.
    let to = (end..=end + clause).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(end);
    before(text, to, to - end)
}

/// Where the nearest number before `start` ends, within reach.
fn number_before(text: &str, start: usize) -> usize {
    let floor = start.saturating_sub(REACH_BEFORE);
    let head = text.as_bytes().get(floor..start).unwrap_or_default();
    head.iter().rposition(u8::is_ascii_digit).map_or(floor, |at| floor + at + 1)
}

const P: Topics = Topics::PASSPORT;
const D: Topics = Topics::DRIVING;
const S: Topics = Topics::SOCIAL;
const T: Topics = Topics::TAX;
const H: Topics = Topics::HEALTH;
const M: Topics = Topics::PHYSICIAN;
const B: Topics = Topics::BANK;
const R: Topics = Topics::ROUTING;
const V: Topics = Topics::VEHICLE;
const Z: Topics = Topics::POSTAL;
const I: Topics = Topics::IDENTITY;
const E: Topics = Topics::VOTER;
const C: Topics = Topics::COMPANY;
/// A postal code.
const ZP: Topics = Topics::POSTAL.or(Topics::ZIP);

/// Words of the countries whose numbers we know, in their languages and in English.
static WORDS: Lexicon<Topics> = Lexicon::new(&[
    ("*ausweis*", I),
    ("*kennzeichen*", V),
    ("*konto*", B),
    ("*krankenkasse*", H),
    ("*passport*", P),
    ("*registration", V.or(C)),
    ("*steuer*", T),
    ("*versichert*", H.or(S)),
    ("*versicherung*", H.or(S)),
    ("aadhaar*", I),
    ("aadhar*", I),
    ("aba", R),
    ("abn", C.or(T)),
    ("account*", B),
    ("acct*", B),
    ("acn", C),
    ("address*", Z),
    ("adhar", I),
    ("adresse", Z),
    ("anschrift", Z),
    ("arztnummer", M),
    ("bank*", B.or(R)),
    ("betriebsst*", M),
    ("bike*", V),
    ("bir", T),
    ("brn", C),
    ("bsn", S),
    ("bsnr", M),
    ("business", C.or(T)),
    ("car", V),
    ("carnet", D),
    ("checking", B),
    ("cif", C.or(T)),
    ("citizen*", I),
    ("codice", I.or(T)),
    ("company", C),
    ("conducir", D),
    ("dea", M),
    ("debit", B),
    ("deposit", B),
    ("dl", D),
    ("dln", D),
    ("dni", I.or(T)),
    ("doctor", M),
    ("document*", I.or(P)),
    ("driver*", D),
    ("driving", D),
    ("egk*", H),
    ("ein", T),
    ("election", E),
    ("elector*", E),
    ("epic", E),
    ("extranjer*", I),
    ("fahrerlaubnis*", D),
    ("fahrzeug*", V),
    ("fin", I),
    ("fiscal*", I.or(T)),
    ("foreign*", I),
    ("frn", I),
    ("fuehrerschein*", D),
    ("führerschein*", D),
    ("gst*", T),
    ("guida", D),
    ("handelsregister*", C),
    ("health*", H),
    ("henkil*", I),
    ("hetu", I),
    ("id", I),
    ("identi*", I),
    ("idnr", T),
    ("ids", I),
    ("insurance", S.or(H)),
    ("irs", T),
    ("itin", T),
    ("kfz*", V),
    ("kimlik", I),
    ("kvnr", H),
    ("lanr", M),
    ("licen*", D),
    ("mbi", H),
    ("medicaid", H),
    ("medical", H.or(M)),
    ("medicare", H),
    ("member*", H),
    ("nas", S),
    ("national*", I.or(S)),
    ("nhs", H),
    ("ni", S),
    ("nic", I),
    ("nie", I),
    ("nif", I.or(T)),
    ("nin", I.or(S)),
    ("nino", S),
    ("npi", M),
    ("nric", I),
    ("organisation*", C),
    ("organization*", C),
    ("orgnr", C),
    ("pan", T),
    ("partita", T.or(C)),
    ("pasaporte*", P),
    ("pass", P),
    ("passaporto", P),
    ("passnummer", P),
    ("paszport*", P),
    ("patente", D),
    ("patient*", H),
    ("payroll", B.or(S)),
    ("permis", D),
    ("permit", D.or(I)),
    ("person*", I),
    ("pesel", I),
    ("physician*", M),
    ("pin", ZP),
    ("pincode", ZP),
    ("piva", T.or(C)),
    ("plaka*", V),
    ("plate*", V),
    ("plz", ZP),
    ("pnr", I),
    ("post", Z),
    ("postal", ZP),
    ("postc*", ZP),
    ("postleitzahl*", ZP),
    ("postnummer", ZP),
    ("prescriber*", M),
    ("provider*", M),
    ("reg", V.or(C)),
    ("regist*", V.or(C)),
    ("reisepass*", P),
    ("rentenvers*", S),
    ("resident*", I),
    ("routing", R),
    ("rrn", I),
    ("rvnr", S),
    ("savings", B),
    ("seguridad", S),
    ("sin", S),
    ("social*", S),
    ("sozial*", S),
    ("sozialvers*", S),
    ("ssn*", S),
    ("sv", S),
    ("svnr", S),
    ("tax*", T),
    ("tc", I),
    ("tckn", I),
    ("tfn", T),
    ("tin", T),
    ("tnin", I),
    ("transfer", B.or(R)),
    ("travel", P),
    ("truck", V),
    ("uen", C),
    ("umsatz*", T),
    ("ust*", T),
    ("vat*", T),
    ("vehicle*", V),
    ("vote*", E),
    ("vrn", V),
    ("wire", B.or(R)),
    ("zip*", ZP),
    ("zulassung*", V),
    ("บัตร*", I),
    ("เลข*", I.or(T)),
    ("運転*", D),
    ("면허*", D),
    ("사업자*", C),
    ("여권*", P),
    ("외국인*", I),
    ("운전*", D),
    ("주민*", I),
]);
