//! A TC string as JSON, with the names and the shapes of the reference decoder's model.

use jiff::Timestamp;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::restrictions::Restricted;
use super::{Numbers, Publisher, Range, TcString, Vendors, in_order};
use crate::signals::bits::Decoded;

/// All that a TC string says, for people and for comparison with other decoders.
///
/// Keys as in `TCModel` of `@iabtcf/core`: moments in ISO 8601, sets as ascending
/// lists of numbers, restrictions one object for each purpose and type.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a TcString);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Model<'a> {
    version: u8,
    created: String,
    last_updated: String,
    cmp_id: u16,
    cmp_version: u16,
    consent_screen: u8,
    consent_language: String,
    vendor_list_version: u16,
    policy_version: u8,
    is_service_specific: bool,
    purpose_one_treatment: bool,
    publisher_country_code: String,
    special_feature_optins: Vec<u8>,
    purpose_consents: Vec<u8>,
    purpose_legitimate_interests: Vec<u8>,
    vendor_consents: Members<'a>,
    vendor_legitimate_interests: Members<'a>,
    vendor_consents_max_id: u16,
    vendor_legitimate_interests_max_id: u16,
    vendors_disclosed: Members<'a>,
    vendors_allowed: Members<'a>,
    publisher_consents: Vec<u8>,
    publisher_legitimate_interests: Vec<u8>,
    num_custom_purposes: u8,
    publisher_custom_consents: Vec<u8>,
    publisher_custom_legitimate_interests: Vec<u8>,
    publisher_restrictions: Vec<ShownRestriction>,
}

/// Vendors in order, written one by one: a few ranges may name hundreds of thousands.
struct Members<'a> {
    decoded: &'a Decoded,
    vendors: Vendors,
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.vendors.members(self.decoded))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRestriction {
    purpose_id: u8,
    restriction_type: u8,
    vendors: Ranges,
}

struct Ranges(Vec<Range>);

impl Serialize for Ranges {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(in_order(self.0.clone()))
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let TcString { decoded, core, others, .. } = self.0;
        let publisher = others.publisher.unwrap_or(Publisher::NONE);
        let members = |vendors: Option<Vendors>| Members { decoded, vendors: vendors.unwrap_or_default() };
        let numbers = |numbers: Numbers| numbers.iter().collect();
        Model {
            version: core.version,
            created: moment(core.created_ms),
            last_updated: moment(core.last_updated_ms),
            cmp_id: core.cmp_id,
            cmp_version: core.cmp_version,
            consent_screen: core.consent_screen,
            consent_language: letters(core.consent_language),
            vendor_list_version: core.vendor_list_version,
            policy_version: core.policy_version,
            is_service_specific: core.service_specific,
            purpose_one_treatment: core.purpose_one_treatment,
            publisher_country_code: letters(core.publisher_country.map(|letter| letter.to_ascii_uppercase())),
            special_feature_optins: numbers(core.special_features),
            purpose_consents: numbers(core.purpose_consents),
            purpose_legitimate_interests: numbers(core.purpose_interests),
            vendor_consents: members(Some(self.0.consents)),
            vendor_legitimate_interests: members(Some(self.0.interests)),
            vendor_consents_max_id: self.0.consents.greatest(),
            vendor_legitimate_interests_max_id: self.0.interests.greatest(),
            vendors_disclosed: members(others.disclosed),
            vendors_allowed: members(others.allowed),
            publisher_consents: numbers(publisher.consents),
            publisher_legitimate_interests: numbers(publisher.interests),
            num_custom_purposes: publisher.custom_consents.width,
            publisher_custom_consents: numbers(publisher.custom_consents),
            publisher_custom_legitimate_interests: numbers(publisher.custom_interests),
            publisher_restrictions: gathered(self.0.restrictions.iter(decoded)),
        }
        .serialize(to)
    }
}

/// One object for each purpose and type, in the order in which they first stand.
fn gathered(entries: impl Iterator<Item = Restricted>) -> Vec<ShownRestriction> {
    let mut gathered: Vec<ShownRestriction> = Vec::new();
    for Restricted { purpose, restriction, vendors } in entries {
        let number = restriction.number();
        match gathered.iter_mut().find(|of| of.purpose_id == purpose && of.restriction_type == number) {
            Some(of) => of.vendors.0.push(vendors),
            None => gathered.push(ShownRestriction {
                purpose_id: purpose,
                restriction_type: number,
                vendors: Ranges(vec![vendors]),
            }),
        }
    }
    gathered
}

/// A moment in ISO 8601 with milliseconds, as JavaScript writes it.
pub(in crate::signals) fn moment(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()).unwrap_or_default()
}

pub(in crate::signals) fn letters(letters: [u8; 2]) -> String {
    letters.map(char::from).iter().collect()
}

/// Two letters where 63 is a space, as the Global Privacy Platform writes strings of a fixed length.
pub(in crate::signals) fn spaced_letters(written: [u8; 2]) -> String {
    letters(written.map(|letter| if letter == b'A' + 63 { b' ' } else { letter })).trim().to_owned()
}

/// A list that is written one by one and never held.
pub(in crate::signals) struct Streamed<F>(pub(in crate::signals) F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Streamed<F> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0())
    }
}

/// A TC string with the names and the shapes of the Global Privacy Platform's reference decoder.
pub(in crate::signals) struct GppFields<'a>(pub(in crate::signals) &'a TcString);

#[derive(Serialize)]
struct KeyedRestriction {
    key: u8,
    #[serde(rename = "type")]
    kind: u8,
    ids: Ranges,
}

impl Serialize for GppFields<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let TcString { decoded, core, others, consents, interests, restrictions } = self.0;
        let publisher = others.publisher.unwrap_or(Publisher::NONE);
        let members = |vendors: Option<Vendors>| Members { decoded, vendors: vendors.unwrap_or_default() };
        let truths = |numbers: Numbers| numbers.each().collect::<Vec<_>>();
        let restrictions = || {
            let each = restrictions.each(decoded);
            each.map(|one| KeyedRestriction { key: one.purpose, kind: one.kind, ids: Ranges(one.ranges) })
        };
        let mut object = to.serialize_map(None)?;
        object.serialize_entry("Version", &core.version)?;
        object.serialize_entry("Created", &moment(core.created_ms))?;
        object.serialize_entry("LastUpdated", &moment(core.last_updated_ms))?;
        object.serialize_entry("CmpId", &core.cmp_id)?;
        object.serialize_entry("CmpVersion", &core.cmp_version)?;
        object.serialize_entry("ConsentScreen", &core.consent_screen)?;
        object.serialize_entry("ConsentLanguage", &spaced_letters(core.consent_language))?;
        object.serialize_entry("VendorListVersion", &core.vendor_list_version)?;
        object.serialize_entry("PolicyVersion", &core.policy_version)?;
        object.serialize_entry("IsServiceSpecific", &core.service_specific)?;
        object.serialize_entry("UseNonStandardStacks", &core.non_standard_texts)?;
        object.serialize_entry("SpecialFeatureOptins", &truths(core.special_features))?;
        object.serialize_entry("PurposeConsents", &truths(core.purpose_consents))?;
        object.serialize_entry("PurposeLegitimateInterests", &truths(core.purpose_interests))?;
        object.serialize_entry("PurposeOneTreatment", &core.purpose_one_treatment)?;
        object.serialize_entry("PublisherCountryCode", &spaced_letters(core.publisher_country))?;
        object.serialize_entry("VendorConsents", &members(Some(*consents)))?;
        object.serialize_entry("VendorLegitimateInterests", &members(Some(*interests)))?;
        object.serialize_entry("PublisherRestrictions", &Streamed(restrictions))?;
        object.serialize_entry("PublisherPurposesSegmentType", &3)?;
        object.serialize_entry("PublisherConsents", &truths(publisher.consents))?;
        object.serialize_entry("PublisherLegitimateInterests", &truths(publisher.interests))?;
        object.serialize_entry("NumCustomPurposes", &publisher.custom_consents.width)?;
        object.serialize_entry("PublisherCustomConsents", &truths(publisher.custom_consents))?;
        object.serialize_entry("PublisherCustomLegitimateInterests", &truths(publisher.custom_interests))?;
        object.serialize_entry("VendorsAllowedSegmentType", &2)?;
        object.serialize_entry("VendorsAllowed", &members(others.allowed))?;
        object.serialize_entry("VendorsDisclosedSegmentType", &1)?;
        object.serialize_entry("VendorsDisclosed", &members(others.disclosed))?;
        object.end()
    }
}
