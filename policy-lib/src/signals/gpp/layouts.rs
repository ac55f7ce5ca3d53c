//! The sections of the United States as data: which fields stand where, and what each is about.
//!
//! After "Sections/US-National" and "Sections/US-States" of IAB Tech Lab's Global
//! Privacy Platform. Indiana, Kentucky, Maryland and Rhode Island are specified with a
//! section header that no known encoder writes; they are read without it.

/// What a field of a section is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The version of the section's coding.
    Version,
    /// The version of the agreement the sender works under.
    Agreement,
    /// Whether the person was told, or under which agreement the sender works: nothing the person chose.
    Circumstance,
    Sale,
    Sharing,
    Targeted,
    Sensitive,
    KnownChild,
    /// Processing beyond what was disclosed.
    Additional,
    /// The Global Privacy Control of the browser.
    Gpc,
    /// The type of a segment behind the core.
    SegmentType,
}

/// One field, or a list of fields of one width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) about: About,
    /// Bits of one value.
    pub(super) bits: u8,
    /// Values of a list; `None` for a single value.
    pub(super) list: Option<u8>,
    /// What stands for the field where its segment is missing.
    pub(super) absent: u8,
}

impl Field {
    const fn of(name: &'static str, about: About, bits: u8) -> Self {
        Self { name, about, bits, list: None, absent: 0 }
    }

    const fn list(name: &'static str, about: About, values: u8) -> Self {
        Self { name, about, bits: 2, list: Some(values), absent: 0 }
    }

    /// How many values it has.
    pub(super) const fn values(&self) -> u8 {
        match self.list {
            Some(values) => values,
            None => 1,
        }
    }
}

/// How one section is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) id: u16,
    /// The client-side prefix, as in `usca`.
    pub(super) name: &'static str,
    pub(super) core: &'static [Field],
    /// The segment that may stand behind the core.
    pub(super) second: &'static [Field],
}

/// The layout of a section.
pub(super) fn layout(id: u16) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|layout| layout.id == id)
}

/// US national strings of version 1 are shorter: 12 kinds of sensitive data and 2 groups of children.
pub(super) const NATIONAL: u16 = 7;

use About::{
    Additional, Agreement, Circumstance, Gpc, KnownChild, Sale, SegmentType, Sensitive, Sharing, Targeted, Version,
};

const VERSION: Field = Field::of("Version", Version, 6);
const PROCESSING_NOTICE: Field = Field::of("ProcessingNotice", Circumstance, 2);
const SHARING_NOTICE: Field = Field::of("SharingNotice", Circumstance, 2);
const SALE_NOTICE: Field = Field::of("SaleOptOutNotice", Circumstance, 2);
const SHARING_OPT_OUT_NOTICE: Field = Field::of("SharingOptOutNotice", Circumstance, 2);
const TARGETED_NOTICE: Field = Field::of("TargetedAdvertisingOptOutNotice", Circumstance, 2);
const SENSITIVE_NOTICE: Field = Field::of("SensitiveDataProcessingOptOutNotice", Circumstance, 2);
const SENSITIVE_NOTICE_IOWA: Field = Field::of("SensitiveDataOptOutNotice", Circumstance, 2);
const LIMIT_NOTICE: Field = Field::of("SensitiveDataLimitUseNotice", Circumstance, 2);
const SALE: Field = Field::of("SaleOptOut", Sale, 2);
const SHARING: Field = Field::of("SharingOptOut", Sharing, 2);
const TARGETED: Field = Field::of("TargetedAdvertisingOptOut", Targeted, 2);
const CHILD: Field = Field::of("KnownChildSensitiveDataConsents", KnownChild, 2);
const PERSONAL: Field = Field::of("PersonalDataConsents", Additional, 2);
const ADDITIONAL: Field = Field::of("AdditionalDataProcessingConsent", Additional, 2);
const COVERED: Field = Field::of("MspaCoveredTransaction", Circumstance, 2);
const OPTION_MODE: Field = Field::of("MspaOptOutOptionMode", Circumstance, 2);
const PROVIDER_MODE: Field = Field::of("MspaServiceProviderMode", Circumstance, 2);
const AGREEMENT_VERSION: Field = Field::of("MspaVersion", Agreement, 6);
const AGREEMENT_MODE: Field = Field::of("MspaMode", Circumstance, 2);

const fn sensitive(kinds: u8) -> Field {
    Field::list("SensitiveDataProcessing", Sensitive, kinds)
}

const fn children(groups: u8) -> Field {
    Field::list("KnownChildSensitiveDataConsents", KnownChild, groups)
}

/// A segment that says whether the browser sent Global Privacy Control.
const GPC: &[Field] = &[Field { absent: 1, ..Field::of("GpcSegmentType", SegmentType, 2) }, Field::of("Gpc", Gpc, 1)];
const NOTHING: &[Field] = &[];
/// Sensitive data has a segment of its own.
const SENSITIVE_SEGMENT: &[Field] = &[sensitive(8)];

/// What the laws of 2024 and later have in common.
const fn later(sensitive: Field, child: Field) -> [Field; 12] {
    [
        VERSION,
        PROCESSING_NOTICE,
        SALE_NOTICE,
        TARGETED_NOTICE,
        SALE,
        TARGETED,
        sensitive,
        child,
        ADDITIONAL,
        COVERED,
        OPTION_MODE,
        PROVIDER_MODE,
    ]
}

/// What the laws of 2023 have in common.
const fn earlier(sensitive: Field, child: Field) -> [Field; 11] {
    [
        VERSION,
        SHARING_NOTICE,
        SALE_NOTICE,
        TARGETED_NOTICE,
        SALE,
        TARGETED,
        sensitive,
        child,
        COVERED,
        OPTION_MODE,
        PROVIDER_MODE,
    ]
}

const NATIONAL_FIELDS: &[Field] = &[
    VERSION,
    SHARING_NOTICE,
    SALE_NOTICE,
    SHARING_OPT_OUT_NOTICE,
    TARGETED_NOTICE,
    SENSITIVE_NOTICE,
    LIMIT_NOTICE,
    SALE,
    SHARING,
    TARGETED,
    sensitive(16),
    children(3),
    PERSONAL,
    COVERED,
    OPTION_MODE,
    PROVIDER_MODE,
];

/// Version 1 of the national section, which stands where the version 2 does.
pub(super) const NATIONAL_1: Layout = Layout {
    id: NATIONAL,
    name: "usnat",
    core: &[
        VERSION,
        SHARING_NOTICE,
        SALE_NOTICE,
        SHARING_OPT_OUT_NOTICE,
        TARGETED_NOTICE,
        SENSITIVE_NOTICE,
        LIMIT_NOTICE,
        SALE,
        SHARING,
        TARGETED,
        sensitive(12),
        children(2),
        PERSONAL,
        COVERED,
        OPTION_MODE,
        PROVIDER_MODE,
    ],
    second: GPC,
};

const CALIFORNIA: &[Field] = &[
    VERSION,
    SALE_NOTICE,
    SHARING_OPT_OUT_NOTICE,
    LIMIT_NOTICE,
    SALE,
    SHARING,
    sensitive(9),
    children(2),
    PERSONAL,
    COVERED,
    OPTION_MODE,
    PROVIDER_MODE,
];

const UTAH: &[Field] = &[
    VERSION,
    SHARING_NOTICE,
    SALE_NOTICE,
    TARGETED_NOTICE,
    SENSITIVE_NOTICE,
    SALE,
    TARGETED,
    sensitive(8),
    CHILD,
    COVERED,
    OPTION_MODE,
    PROVIDER_MODE,
];

const IOWA: &[Field] = &[
    VERSION,
    PROCESSING_NOTICE,
    SALE_NOTICE,
    TARGETED_NOTICE,
    SENSITIVE_NOTICE_IOWA,
    SALE,
    TARGETED,
    sensitive(8),
    CHILD,
    COVERED,
    OPTION_MODE,
    PROVIDER_MODE,
];

const MONTANA: &[Field] = &[
    VERSION,
    SHARING_NOTICE,
    SALE_NOTICE,
    TARGETED_NOTICE,
    SALE,
    TARGETED,
    sensitive(8),
    children(3),
    ADDITIONAL,
    COVERED,
    OPTION_MODE,
    PROVIDER_MODE,
];

const MARYLAND: &[Field] = &[
    AGREEMENT_VERSION,
    COVERED,
    AGREEMENT_MODE,
    PROCESSING_NOTICE,
    SALE_NOTICE,
    TARGETED_NOTICE,
    SALE,
    TARGETED,
    ADDITIONAL,
];

/// Indiana, Kentucky and Rhode Island.
const SEPARATE: &[Field] = &[
    AGREEMENT_VERSION,
    COVERED,
    AGREEMENT_MODE,
    PROCESSING_NOTICE,
    SALE_NOTICE,
    TARGETED_NOTICE,
    SALE,
    TARGETED,
    CHILD,
    ADDITIONAL,
];

const LAYOUTS: &[Layout] = &[
    Layout { id: NATIONAL, name: "usnat", core: NATIONAL_FIELDS, second: GPC },
    Layout { id: 8, name: "usca", core: CALIFORNIA, second: GPC },
    Layout { id: 9, name: "usva", core: &earlier(sensitive(8), CHILD), second: NOTHING },
    Layout { id: 10, name: "usco", core: &earlier(sensitive(7), CHILD), second: GPC },
    Layout { id: 11, name: "usut", core: UTAH, second: NOTHING },
    Layout { id: 12, name: "usct", core: &earlier(sensitive(8), children(3)), second: GPC },
    Layout { id: 13, name: "usfl", core: &later(sensitive(8), children(3)), second: NOTHING },
    Layout { id: 14, name: "usmt", core: MONTANA, second: GPC },
    Layout { id: 15, name: "usor", core: &later(sensitive(11), children(3)), second: GPC },
    Layout { id: 16, name: "ustx", core: &later(sensitive(8), CHILD), second: GPC },
    Layout { id: 17, name: "usde", core: &later(sensitive(9), children(5)), second: GPC },
    Layout { id: 18, name: "usia", core: IOWA, second: GPC },
    Layout { id: 19, name: "usne", core: &later(sensitive(8), CHILD), second: GPC },
    Layout { id: 20, name: "usnh", core: &later(sensitive(8), children(3)), second: GPC },
    Layout { id: 21, name: "usnj", core: &later(sensitive(10), children(5)), second: GPC },
    Layout { id: 22, name: "ustn", core: &later(sensitive(8), CHILD), second: GPC },
    Layout { id: 23, name: "usmn", core: &later(sensitive(8), CHILD), second: GPC },
    Layout { id: 24, name: "usmd", core: MARYLAND, second: GPC },
    Layout { id: 25, name: "usin", core: SEPARATE, second: SENSITIVE_SEGMENT },
    Layout { id: 26, name: "usky", core: SEPARATE, second: SENSITIVE_SEGMENT },
    Layout { id: 27, name: "usri", core: SEPARATE, second: SENSITIVE_SEGMENT },
];
