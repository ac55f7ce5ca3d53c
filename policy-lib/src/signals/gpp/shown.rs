//! A GPP string as JSON, with the names and the shapes of the reference decoder.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::canada::TcfCanada;
use super::ids::Ids;
use super::us::UsSection;
use super::{Decoding, GppString, Section};
use crate::signals::bits::Decoded;
use crate::signals::tcf::{GppFields, Numbers, Streamed, moment, spaced_letters};

/// All that a GPP string says: `sectionIds`, and `sections` by their prefixes.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a GppString);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(Some(2))?;
        object.serialize_entry("sectionIds", &self.0.sections.iter().map(Section::id).collect::<Vec<_>>())?;
        object.serialize_entry("sections", &Sections(&self.0.sections))?;
        object.end()
    }
}

struct Sections<'a>(&'a [Section]);

impl Serialize for Sections<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|section| (section.name(), ShownSection(section))))
    }
}

/// All that one section says, with the names of its specification.
#[derive(Clone, Copy, Debug)]
pub struct ShownSection<'a>(pub &'a Section);

impl Serialize for ShownSection<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0.0 {
            Decoding::Europe(tcf) => GppFields(tcf).serialize(to),
            Decoding::Canada(canada) => show_canada(canada, to),
            Decoding::UsPrivacy(letters, _) => show_us_privacy(*letters, to),
            Decoding::Us(section) => show_us(section, to),
        }
    }
}

fn show_us<S: Serializer>(section: &UsSection, to: S) -> Result<S::Ok, S::Error> {
    let mut object = to.serialize_map(None)?;
    for (field, values) in section.fields() {
        match (field.list, field.bits) {
            (Some(_), _) => object.serialize_entry(field.name, values)?,
            (None, 1) => object.serialize_entry(field.name, &values.contains(&1))?,
            (None, _) => object.serialize_entry(field.name, &values.first())?,
        }
    }
    object.end()
}

/// The version is `null` where it is no digit, as the reference decoder has it.
fn show_us_privacy<S: Serializer>([version, answers @ ..]: [u8; 4], to: S) -> Result<S::Ok, S::Error> {
    let mut object = to.serialize_map(Some(4))?;
    object.serialize_entry("Version", &version.is_ascii_digit().then(|| version - b'0'))?;
    for (name, answer) in ["Notice", "OptOutSale", "LspaCovered"].into_iter().zip(answers) {
        object.serialize_entry(name, &char::from(answer))?;
    }
    object.end()
}

struct Members<'a>(&'a Decoded, Ids);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.1.members(self.0))
    }
}

#[derive(Serialize)]
struct Restriction<'a> {
    key: u8,
    #[serde(rename = "type")]
    kind: u8,
    ids: Members<'a>,
}

fn show_canada<S: Serializer>(canada: &TcfCanada, to: S) -> Result<S::Ok, S::Error> {
    let TcfCanada { decoded, core, sets, publisher, disclosed } = canada;
    let truths = |numbers: Numbers| numbers.each().collect::<Vec<_>>();
    let restrictions = || {
        let each = sets.restrictions(decoded);
        each.map(|one| Restriction { key: one.purpose, kind: one.kind, ids: Members(decoded, one.vendors) })
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
    object.serialize_entry("TcfPolicyVersion", &core.policy_version)?;
    object.serialize_entry("UseNonStandardStacks", &core.non_standard_texts)?;
    object.serialize_entry("SpecialFeatureExpressConsent", &truths(core.special_features))?;
    object.serialize_entry("PurposesExpressConsent", &truths(core.express))?;
    object.serialize_entry("PurposesImpliedConsent", &truths(core.implied))?;
    object.serialize_entry("VendorExpressConsent", &Members(decoded, sets.express))?;
    object.serialize_entry("VendorImpliedConsent", &Members(decoded, sets.implied))?;
    object.serialize_entry("PubRestrictions", &Streamed(restrictions))?;
    object.serialize_entry("PubPurposesSegmentType", &3)?;
    object.serialize_entry("PubPurposesExpressConsent", &truths(publisher.express))?;
    object.serialize_entry("PubPurposesImpliedConsent", &truths(publisher.implied))?;
    object.serialize_entry("NumCustomPurposes", &publisher.custom_express.width())?;
    object.serialize_entry("CustomPurposesExpressConsent", &truths(publisher.custom_express))?;
    object.serialize_entry("CustomPurposesImpliedConsent", &truths(publisher.custom_implied))?;
    object.serialize_entry("DisclosedVendorsSegmentType", &1)?;
    object.serialize_entry("DisclosedVendors", &Members(decoded, *disclosed))?;
    object.end()
}
