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
//! counting byte classes) and `find`, and one line in the table below; or, for an
//! identifier that somebody was given, one row in [`national`] and one line.

mod advertising_id;
mod api_key;
mod card;
mod context;
mod crypto;
mod date;
mod digits;
mod email;
mod iban;
mod ip;
mod jwt;
mod lens;
mod mac;
mod national;
mod phone;
mod private_key;
mod runs;
mod set;
mod sight;
mod url;

use std::fmt;
use std::str::FromStr;

pub use set::DetectorSet;
use sight::Sight;

/// Declares the closed set of detectors: `/// doc`, variant, published name, and the module of those that have their own.
macro_rules! detectors {
    (
        own { $($(#[$doc:meta])* $variant:ident $name:literal $($module:ident)::+;)+ }
        identifiers { $($(#[$given_doc:meta])* $given:ident $given_name:literal;)+ }
    ) => {
        /// One kind of personal data that free text may hold. The names are Presidio's, where it has one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Detector {
            $($(#[$doc])* $variant,)+
            $($(#[$given_doc])* $given,)+
        }

        impl Detector {
            /// Every detector.
            pub const ALL: [Self; [$(Self::$variant,)+ $(Self::$given),+].len()] =
                [$(Self::$variant,)+ $(Self::$given),+];

            /// The name policies and reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    $(Self::$given => $given_name,)+
                }
            }

            /// What a scrubbed text holds in the place of a finding.
            #[must_use]
            pub const fn tag(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("<", $name, ">"),)+
                    $(Self::$given => concat!("<", $given_name, ">"),)+
                }
            }

            /// Runs a detector that has its own module; identifiers are found together.
            fn find(self, text: &str, sight: &Sight, found: &mut Vec<Found>) {
                match self {
                    $(Self::$variant => if $($module)::+::possible(sight) { $($module)::+::find(text, sight, found) },)+
                    $(Self::$given)|+ => {}
                }
            }
        }

        /// The detectors that are rows of [`national`].
        const IDENTIFIERS: DetectorSet = DetectorSet::EMPTY$(.with(Detector::$given))+;
    };
}

detectors! {
    own {
        /// An email address, plain, percent-encoded, HTML-escaped or inside a URL.
        EmailAddress "EMAIL_ADDRESS" email;
        /// A phone number, international or in a national shape.
        PhoneNumber "PHONE_NUMBER" phone;
        /// A payment card number: issuer prefix, length and Luhn checksum.
        CreditCard "CREDIT_CARD" card;
        /// An IPv4 or IPv6 address, with its zone or prefix length.
        IpAddress "IP_ADDRESS" ip;
        /// A hardware address.
        MacAddress "MAC_ADDRESS" mac;
        /// A URL with a scheme, or a host without one.
        Url "URL" url;
        /// An international bank account number: the country's length and two check digits.
        IbanCode "IBAN_CODE" iban;
        /// An address of a cryptocurrency.
        Crypto "CRYPTO" crypto;
        /// A date, with or without a year, or a day of the week.
        DateTime "DATE_TIME" date;
        /// A date beside a word of being born.
        DateOfBirth "DATE_OF_BIRTH" date::birth;
        /// A JSON web token.
        Jwt "JWT" jwt;
        /// An API key, by its maker's prefix or by the name in front of it.
        ApiKey "API_KEY" api_key;
        /// A private key in its textual armour.
        PrivateKey "PRIVATE_KEY" private_key;
        /// A device's id for advertisers or vendors.
        AdvertisingId "ADVERTISING_ID" advertising_id;
        /// A mobile number of the Philippines.
        PhMobileNumber "PH_MOBILE_NUMBER" phone::national::philippines;
        /// A phone number of Turkey.
        TrPhoneNumber "TR_PHONE_NUMBER" phone::national::turkey;
    }
    identifiers {
        /// A United States social security number.
        UsSsn "US_SSN";
        /// A United States individual taxpayer number.
        UsItin "US_ITIN";
        /// A United States passport.
        UsPassport "US_PASSPORT";
        /// A driver license of a state of the United States.
        UsDriverLicense "US_DRIVER_LICENSE";
        /// A bank account in the United States.
        UsBankNumber "US_BANK_NUMBER";
        /// A routing number of a bank in the United States.
        AbaRoutingNumber "ABA_ROUTING_NUMBER";
        /// A Medicare beneficiary of the United States.
        UsMbi "US_MBI";
        /// A health care provider of the United States.
        UsNpi "US_NPI";
        /// A registration with the Drug Enforcement Administration of the United States.
        MedicalLicense "MEDICAL_LICENSE";
        /// A postal code of whatever country, where a word says so.
        ZipCode "ZIP_CODE";
        /// A patient of the National Health Service.
        UkNhs "UK_NHS";
        /// A national insurance number of the United Kingdom.
        UkNino "UK_NINO";
        /// A passport of the United Kingdom.
        UkPassport "UK_PASSPORT";
        /// A driving licence of Great Britain.
        UkDrivingLicence "UK_DRIVING_LICENCE";
        /// A number plate of Great Britain.
        UkVehicleRegistration "UK_VEHICLE_REGISTRATION";
        /// A postcode of the United Kingdom.
        UkPostcode "UK_POSTCODE";
        /// A business of Australia.
        AuAbn "AU_ABN";
        /// A company of Australia.
        AuAcn "AU_ACN";
        /// A tax file number of Australia.
        AuTfn "AU_TFN";
        /// A Medicare card of Australia.
        AuMedicare "AU_MEDICARE";
        /// A social insurance number of Canada.
        CaSin "CA_SIN";
        /// A postal code of Canada.
        CaPostalCode "CA_POSTAL_CODE";
        /// A tax id of Germany.
        DeTaxId "DE_TAX_ID";
        /// A tax number of Germany.
        DeTaxNumber "DE_TAX_NUMBER";
        /// A VAT number of Germany.
        DeVatId "DE_VAT_ID";
        /// A pension insurance number of Germany.
        DeSocialSecurity "DE_SOCIAL_SECURITY";
        /// A health insurance number of Germany.
        DeHealthInsurance "DE_HEALTH_INSURANCE";
        /// An identity card of Germany.
        DeIdCard "DE_ID_CARD";
        /// A passport of Germany.
        DePassport "DE_PASSPORT";
        /// A driving licence of Germany.
        DeFuehrerschein "DE_FUEHRERSCHEIN";
        /// A physician of Germany.
        DeLanr "DE_LANR";
        /// A doctor's practice of Germany.
        DeBsnr "DE_BSNR";
        /// A number plate of Germany.
        DeKfz "DE_KFZ";
        /// An entry in the commercial register of Germany.
        DeHandelsregister "DE_HANDELSREGISTER";
        /// A postal code of Germany.
        DePlz "DE_PLZ";
        /// A tax and identity number of Spain.
        EsNif "ES_NIF";
        /// A foreigner's number of Spain.
        EsNie "ES_NIE";
        /// A passport of Spain.
        EsPassport "ES_PASSPORT";
        /// A personal identity code of Finland.
        FiPersonalIdentityCode "FI_PERSONAL_IDENTITY_CODE";
        /// An Aadhaar number of India.
        InAadhaar "IN_AADHAAR";
        /// A permanent account number of India.
        InPan "IN_PAN";
        /// A goods and services tax number of India.
        InGstin "IN_GSTIN";
        /// A passport of India.
        InPassport "IN_PASSPORT";
        /// A voter's card of India.
        InVoter "IN_VOTER";
        /// A number plate of India.
        InVehicleRegistration "IN_VEHICLE_REGISTRATION";
        /// A fiscal code of Italy.
        ItFiscalCode "IT_FISCAL_CODE";
        /// A VAT number of Italy.
        ItVatCode "IT_VAT_CODE";
        /// A driver license of Italy.
        ItDriverLicense "IT_DRIVER_LICENSE";
        /// An identity card of Italy.
        ItIdentityCard "IT_IDENTITY_CARD";
        /// A passport of Italy.
        ItPassport "IT_PASSPORT";
        /// A resident's number of Korea.
        KrRrn "KR_RRN";
        /// A foreigner's number of Korea.
        KrFrn "KR_FRN";
        /// A business of Korea.
        KrBrn "KR_BRN";
        /// A driver license of Korea.
        KrDriverLicense "KR_DRIVER_LICENSE";
        /// A passport of Korea.
        KrPassport "KR_PASSPORT";
        /// A national identity number of Nigeria.
        NgNin "NG_NIN";
        /// A number plate of Nigeria.
        NgVehicleRegistration "NG_VEHICLE_REGISTRATION";
        /// A taxpayer of the Philippines.
        PhTin "PH_TIN";
        /// A person in the population register of Poland.
        PlPesel "PL_PESEL";
        /// A personal number of Sweden.
        SePersonnummer "SE_PERSONNUMMER";
        /// An organisation of Sweden.
        SeOrganisationsnummer "SE_ORGANISATIONSNUMMER";
        /// An identity card of Singapore, of a citizen or a foreigner.
        SgNricFin "SG_NRIC_FIN";
        /// An entity of Singapore.
        SgUen "SG_UEN";
        /// A national identity number of Thailand.
        ThTnin "TH_TNIN";
        /// A national identity number of Turkey.
        TrNationalId "TR_NATIONAL_ID";
        /// A number plate of Turkey.
        TrLicensePlate "TR_LICENSE_PLATE";
        /// An identity number of South Africa.
        ZaIdNumber "ZA_ID_NUMBER";
    }
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
    find_each(text, set, found);
    merge(found, |_, _| true);
}

/// Finds what each detector of `set` knows as if it ran alone: where two know
/// the same place, both say so. In order of place, then of [`Detector::ALL`].
///
/// `found` is emptied first.
pub fn find_each(text: &str, set: DetectorSet, found: &mut Vec<Found>) {
    found.clear();
    let sight = Sight::of(text.as_bytes());
    for detector in set.without(IDENTIFIERS).iter() {
        detector.find(text, &sight, found);
    }
    let identifiers = set.intersection(IDENTIFIERS);
    if !identifiers.is_empty() && national::possible(&sight) {
        national::find(text, identifiers, found);
    }
    found.sort_unstable_by_key(|one| (one.detector, one.start, one.end));
    merge(found, |next, kept| next.detector == kept.detector);
    found.sort_unstable_by_key(|one| (one.start, one.end, one.detector));
}

/// Makes one finding of neighbours that overlap and may merge, under the name of the surer.
fn merge(found: &mut Vec<Found>, may: impl Fn(&Found, &Found) -> bool) {
    found.dedup_by(|next, kept| {
        let overlaps = may(next, kept) && next.start < kept.end;
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
