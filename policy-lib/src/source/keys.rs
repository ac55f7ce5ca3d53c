//! Every map of a policy file: its keys, what may stand at each, and what it means.
//!
//! Promise: the reader knows a key only from here, and so does the schema for
//! editors ([`crate::schema`]), so neither can know one that the other does not,
//! and none goes without a description. To add a key, add a line.

use super::contract::{ROLES, TYPES};
use super::rules::{AGES, BASES, GOOGLE_CONSENTS, GPP_OPT_OUTS, KNOWN_AGES, RECIPIENTS, REGIMES, SIGNALS};
use crate::action::{ActionKind, PseudonymShape, TokenMode};
use crate::consent::Consent;
use crate::detect::Detector;
use crate::export::Method;
use crate::format::Format;
use crate::generalize::{TimeGrain, UrlPart, UserAgentPart};

/// A map of the language.
#[derive(Debug)]
pub struct Keys {
    /// What it is called; for a document, its kind.
    pub name: &'static str,
    /// Keys that it has as others have them.
    shared: &'static [Key],
    own: &'static [Key],
    /// What stands at keys that the author chooses, where there may be such.
    pub others: Option<(Form, &'static str)>,
    /// Keys of which exactly one is there; none of them are mostly.
    pub choice: &'static [&'static str],
    /// A key, and what the map is instead where that is there.
    pub instead: Option<(&'static str, &'static Self)>,
}

/// One key of a map.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What may stand there.
    pub form: Form,
    /// What it means, for whoever writes it.
    pub means: &'static str,
    /// Whether the map is not understood without it.
    pub required: bool,
}

/// What may stand somewhere.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// Nothing.
    Nothing,
    /// `true` or `false`.
    Flag,
    /// A text; numbers and truth values count, as they are written.
    Text,
    /// A text that this regular expression is about (ECMA-262).
    Matching(&'static str),
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// A whole number between these two.
    Whole(u64, u64),
    /// A number above zero.
    Positive,
    /// A map of these keys.
    Map(&'static Keys),
    /// A map of exactly one of these keys.
    One(&'static Keys),
    /// A map whose keys the author chooses.
    Named(&'static Form),
    /// A list, or one element of it alone.
    List(&'static Form),
    /// The same, and not empty.
    AtLeastOne(&'static Form),
    /// A list and nothing else.
    OnlyList(&'static Form),
    /// Any of these.
    Either(&'static [Form]),
    /// What a rule does.
    Action,
    /// Whatever YAML can say.
    Anything,
}

impl Keys {
    const fn document(kind: &'static str, own: &'static [Key]) -> Self {
        Self { name: kind, shared: &DOCUMENT, own, others: None, choice: &[], instead: None }
    }

    const fn map(name: &'static str, own: &'static [Key]) -> Self {
        Self { name, shared: &[], own, others: None, choice: &[], instead: None }
    }

    /// The same map, with exactly one of these keys.
    const fn with_one_of(self, choice: &'static [&'static str]) -> Self {
        Self { choice, ..self }
    }

    /// The same map, unless it has this key: then it is another one.
    const fn unless(self, key: &'static str, instead: &'static Self) -> Self {
        Self { instead: Some((key, instead)), ..self }
    }

    /// Every key, the shared ones first.
    pub fn iter(&self) -> impl Iterator<Item = &'static Key> {
        self.shared.iter().chain(self.own)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.iter().map(|key| key.name)
    }
}

const fn may(name: &'static str, form: Form, means: &'static str) -> Key {
    Key { name, form, means, required: false }
}

const fn must(name: &'static str, form: Form, means: &'static str) -> Key {
    Key { name, form, means, required: true }
}

/// The first of each pair.
fn words<T>(pairs: &[(&'static str, T)]) -> Vec<&'static str> {
    pairs.iter().map(|(word, _)| *word).collect()
}

const TEXTS: Form = Form::List(&Form::Text);
const COUNT: Form = Form::Whole(1, u64::MAX);
const FORMAT: Form = Form::Word(|| Format::ALL.map(Format::name).to_vec());
const AGE: Form = Form::Word(|| words(&AGES));
const STATE: Form = Form::Word(|| Consent::ALL.map(Consent::name).to_vec());
const DETECTOR: Form = Form::Word(|| Detector::ALL.map(Detector::name).to_vec());

/// Every kind of document.
pub static KINDS: [&Keys; 8] = [&CONTRACT, &DESTINATION, &DETECTOR_SET, &EXPORT, &PURPOSE, &RULE, &SUITE, &TAXONOMY];

/// What every document says of itself.
static DOCUMENT: [Key; 3] = [
    must("apiVersion", Form::Word(|| vec![super::API_VERSION]), "The version of the language the file is written in."),
    must("kind", Form::Word(|| KINDS.map(|kind| kind.name).to_vec()), "What the document describes."),
    must("metadata", Form::Map(&METADATA), "What the document is called and whose it is."),
];

pub(super) static METADATA: Keys = Keys::map(
    "Metadata",
    &[
        must(
            "name",
            Form::Text,
            "The name: unique among documents of one kind. The log, decisions and differences use it.",
        ),
        may("version", Form::Text, "The version of a contract, 1 if not written. The log names it."),
        may("owner", Form::Text, "Who answers for the document."),
        may("description", Form::Text, "What readers should know of it."),
        may("labels", Form::Named(&Form::Text), "Words of your own; privet does not read them."),
    ],
);

pub(super) static CONTRACT: Keys = Keys::document(
    "Contract",
    &[
        must("match", Form::Map(&MATCH), "Which events follow this contract."),
        may("subjects", TEXTS, "Whom its events are about: data subjects of the taxonomy, such as `customer`."),
        may(
            "fields",
            Form::Named(&Form::Map(&FIELD)),
            "The fields of the event, by path. What is not named here does not leave.",
        ),
    ],
);

static MATCH: Keys = Keys {
    others: Some((
        Form::AtLeastOne(&Form::Text),
        "A member of the event, by path, and the values it has in events of this contract.",
    )),
    ..Keys::map("Match", &[must("format", FORMAT, "The wire format of the events.")])
};

pub(super) static FIELD: Keys = Keys::map(
    "Field",
    &[
        may(
            "type",
            Form::List(&Form::Word(|| words(&TYPES))),
            "The types its value may have; any but object and array if not written.",
        ),
        may("category", Form::Text, "Its data category, from the taxonomy. Without one no rule can let it leave."),
        may("required", Form::Flag, "Whether an event without it is invalid."),
        may("enum", TEXTS, "The only values it may have."),
        may("max_length", COUNT, "The most characters it may have."),
        may("free_text", Form::Flag, "Whether people type it, so that it may hold anything."),
        may("url", Form::Flag, "Whether it holds a URL or a part of one, so that it may hold anything."),
        may("role", Form::Word(|| words(&ROLES)), "What the envelope uses it for."),
        may("keys", TEXTS, "For a path with `*`: the member names that may leave."),
        may("key_category", Form::Text, "For a path with `*`: the data category of the member names."),
        may(
            "encoding",
            Form::Matching(ENCODING),
            "How its value is encoded: `json`, `base64`, `base64url`, `percent`, or several with `+` between, the outermost first.",
        ),
        may(
            "may_contain",
            TEXTS,
            "Data categories that its text may hold besides its own; all of `user` if not written.",
        ),
        may("description", Form::Text, "What readers should know of it."),
    ],
);

pub(super) static PURPOSE: Keys = Keys::document(
    "Purpose",
    &[
        must("basis", Form::Word(|| words(&BASES)), "The legal basis, one of those in GDPR Article 6(1)."),
        may(
            "granted_by",
            Form::List(&Form::One(&GRANT)),
            "Signals that grant it; one that is there and does not grant refuses.",
        ),
        may("opted_out_by", Form::List(&OPT_OUT), "Signals that refuse it."),
        may("everywhere", Form::Flag, "Whether opt-out signals bind every recipient, not third parties alone."),
        may(
            "jurisdictions",
            Form::Named(&Form::Word(|| words(&REGIMES))),
            "What silence means, by jurisdiction; `default` is every other.",
        ),
        may("age", Form::Map(&PURPOSE_AGE), "How an unknown age counts."),
        may("ages", Form::List(&AGE), "The age classes it may be about; all if not written."),
        may("contracts", TEXTS, "The contracts it may be about; all if not written."),
    ],
);

pub(super) static GRANT: Keys = Keys::map(
    "Grant",
    &[
        may("tcf", Form::Map(&TCF), "Purposes of the IAB's Transparency and Consent Framework."),
        may("segment", Form::Map(&SEGMENT), "A category of the consent object in Segment's context."),
        may("rudderstack", Form::Map(&RUDDERSTACK), "An id of the consent object in RudderStack's context."),
        may("onetrust", Form::Map(&ONETRUST), "A group of OneTrust's cookie."),
        may("google", Form::Map(&GOOGLE), "A type of Google's consent mode."),
        may("snowplow", Form::Map(&SNOWPLOW), "A scope of Snowplow's consent preferences."),
        may("field", Form::Map(&GRANT_FIELD), "A member of the event."),
    ],
);

pub(super) static TCF: Keys = Keys::map(
    "Tcf",
    &[
        must("purposes", Form::List(&Form::Whole(1, 24)), "The numbers of the purposes, all of them needed."),
        may(
            "special_features",
            Form::List(&Form::Whole(1, 12)),
            "The numbers of the special features, all of them needed besides.",
        ),
        may("at", TEXTS, "Members of events that hold the string, besides the usual places."),
    ],
);

pub(super) static SEGMENT: Keys =
    Keys::map("Segment", &[must("category", Form::Text, "The category's name in `categoryPreferences`.")]);

pub(super) static RUDDERSTACK: Keys =
    Keys::map("RudderStack", &[must("consent", Form::Text, "The id in `allowedConsentIds` or `deniedConsentIds`.")]);

pub(super) static ONETRUST: Keys = Keys::map(
    "OneTrust",
    &[must("group", Form::Text, "The group's id in the cookie `OptanonConsent`, such as `C0002`.")],
);

pub(super) static GOOGLE: Keys = Keys::map(
    "Google",
    &[must("consent", Form::Word(|| words(&GOOGLE_CONSENTS)), "The type of consent, as consent mode names it.")],
);

pub(super) static SNOWPLOW: Keys =
    Keys::map("Snowplow", &[must("scope", Form::Text, "The scope in `consentScopes` of `consent_preferences`.")]);

pub(super) static GRANT_FIELD: Keys = Keys::map(
    "GrantField",
    &[
        must("path", Form::Text, "Where it stands."),
        may("given", TEXTS, "The values that grant, `true` if not written; any other value refuses."),
    ],
);

const OPT_OUT: Form = Form::Either(&[Form::Word(|| words(&SIGNALS)), Form::Map(&GPP)]);

pub(super) static GPP: Keys = Keys::map(
    "Gpp",
    &[
        must("gpp", Form::List(&Form::Word(|| words(&GPP_OPT_OUTS))), "Opt-outs of the IAB's Global Privacy Platform."),
        may("at", TEXTS, "Members of events that hold the string, besides the usual places."),
    ],
);

pub(super) static PURPOSE_AGE: Keys = Keys::map(
    "PurposeAge",
    &[may("unknown", Form::Word(|| words(&KNOWN_AGES)), "What a person of unknown age is taken for.")],
);

pub(super) static DESTINATION: Keys = Keys::document(
    "Destination",
    &[
        must("url", Form::Text, "The base URL of the collector."),
        may("primary", Form::Flag, "Whether its answer is the client's. Exactly one destination is primary."),
        must("recipient", Form::Word(|| words(&RECIPIENTS)), "Who receives the data."),
        may("tcf_vendor", Form::Whole(1, 65_535), "Its vendor number in the Transparency and Consent Framework."),
        must("purposes", TEXTS, "What it may use data for."),
        may(
            "paths",
            TEXTS,
            "Request paths that pass as they are, those that are no event's by GET and with nothing of the person.",
        ),
        may("located_in", TEXTS, "Jurisdictions it sits in."),
        may("headers", Form::Named(&Form::Text), "Headers that every request to it gets."),
        may("response", Form::Map(&RESPONSE), "What of its answers comes back to the client."),
        may("requires", REQUIRES, "What its collector needs of an event, in place of what the format asks for."),
        may(
            "prefer",
            TEXTS,
            "Kinds of action, or purposes of pseudonyms, most wanted first, where two forms of a field cannot be ordered.",
        ),
    ],
);

pub(super) static RESPONSE: Keys = Keys::map(
    "Response",
    &[
        may("headers", TEXTS, "Headers that come back, besides what every client needs."),
        may("cookies", TEXTS, "Cookies that it may set, by name."),
    ],
);

const ENCODING: &str = r"^(json|(base64|base64url|percent)(\+(base64|base64url|percent)){0,3}(\+json)?)$";

const REQUIRES: Form =
    Form::Either(&[Form::Nothing, Form::List(&Form::Either(&[Form::Text, Form::Map(&REQUIREMENT)]))]);

pub(super) static REQUIREMENT: Keys =
    Keys::map("Requirement", &[must("one_of", TEXTS, "Paths of which one has to be there.")]);

pub(super) static RULE: Keys = Keys::document(
    "Rule",
    &[
        must("data", TEXTS, "The data categories it is about; each covers those below it."),
        must("for", TEXTS, "The purposes it is about; each covers those below it."),
        may("to", TEXTS, "The destinations it is about; all if not written."),
        may("located_in", TEXTS, "The destinations it is about, by where they sit; all if not written."),
        may("contracts", TEXTS, "The contracts it is about; all if not written."),
        may("jurisdictions", TEXTS, "The jurisdictions it is about; all if not written."),
        may("ages", Form::List(&AGE), "The age classes it is about; all if not written."),
        must("action", Form::Action, "What happens to the data. Within one purpose the strictest rule wins."),
        may("because", Form::Text, "Why. Decisions show it."),
    ],
);

/// How an action may be written, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct ActionForm {
    /// Whether its word alone is enough.
    pub alone: bool,
    /// What may follow its word.
    pub options: Option<Form>,
    /// What it does.
    pub means: &'static str,
}

/// How an action may be written.
#[must_use]
pub fn action(kind: ActionKind) -> ActionForm {
    let bare = |means| ActionForm { alone: true, options: None, means };
    match kind {
        ActionKind::Keep => bare("The value leaves as it came."),
        ActionKind::Drop => bare("The field does not leave."),
        ActionKind::Redact => bare("The field leaves with a constant in the place of its value."),
        ActionKind::Pseudonymize => ActionForm {
            alone: true,
            options: Some(Form::Map(&PSEUDONYMIZE)),
            means: "The value leaves as a keyed one-way value, one for each purpose; it is still personal data.",
        },
        ActionKind::Tokenize => ActionForm {
            alone: false,
            options: Some(Form::Map(&TOKENIZE)),
            means: "The value leaves sealed; who holds the key can open it again.",
        },
        ActionKind::Scrub => ActionForm {
            alone: false,
            options: Some(Form::Map(&SCRUB)),
            means: "The text leaves with what the detectors find in it replaced.",
        },
        ActionKind::Generalize => {
            ActionForm { alone: false, options: Some(Form::One(&GENERALIZE)), means: "The value leaves coarser." }
        }
    }
}

pub(crate) static PSEUDONYMIZE: Keys = Keys::map(
    "Pseudonymize",
    &[may(
        "shape",
        Form::Word(|| PseudonymShape::ALL.map(PseudonymShape::name).to_vec()),
        "What the pseudonym looks like, so that the collector's schema still holds; `text` if not written.",
    )],
);

pub(crate) static TOKENIZE: Keys = Keys::map(
    "Tokenize",
    &[
        must("key", Form::Matching("^[a-z0-9_-]{1,32}$"), "The name of the key in the keyring."),
        may(
            "mode",
            Form::Word(|| TokenMode::ALL.map(TokenMode::name).to_vec()),
            "Whether equal values have equal tokens; `deterministic` if not written.",
        ),
    ],
);

/// A detector, or the name of a set of them.
const DETECTORS: Form = Form::AtLeastOne(&Form::Either(&[DETECTOR, Form::Text]));

pub(crate) static SCRUB: Keys = Keys::map(
    "Scrub",
    &[must("detectors", DETECTORS, "What to look for: detectors, or names of detector sets. At least one.")],
);

pub(super) static DETECTOR_SET: Keys = Keys::document(
    "DetectorSet",
    &[must("detectors", Form::AtLeastOne(&DETECTOR), "The detectors that its name stands for. At least one.")],
);

pub(crate) static GENERALIZE: Keys = Keys::map(
    "Generalize",
    &[
        may(
            "time",
            Form::Word(|| TimeGrain::ALL.map(TimeGrain::name).to_vec()),
            "A time becomes the beginning of its minute, hour, day or month.",
        ),
        may("ip", PREFIX, "An address becomes its network: the leading bits stay. `default` keeps 24 and 48."),
        may("number", Form::Positive, "A number becomes the lower end of its bucket, whose width this is."),
        may("url", URL, "A URL loses its query, all but listed parameters of it, or all but its host."),
        may("geo", Form::One(&GEO), "A place becomes the cell that holds it."),
        may("age", BANDS, "An age in years becomes its band: the ages at which bands begin, or `default`."),
        may(
            "user_agent",
            Form::Word(|| UserAgentPart::ALL.map(UserAgentPart::name).to_vec()),
            "A user agent becomes its family, with the system it runs on or without.",
        ),
    ],
);

const URL: Form = Form::Either(&[Form::Word(|| UrlPart::ALL.map(UrlPart::name).to_vec()), Form::Map(&URL_FORM)]);

pub(crate) static URL_FORM: Keys = Keys::map(
    "UrlForm",
    &[must(
        "query",
        Form::List(&Form::Matching("^[^=&;#% ]+$")),
        "The parameters that stay, as the URL writes their names.",
    )],
);

pub(crate) static GEO: Keys = Keys::map(
    "Geo",
    &[
        may("decimals", Form::Whole(0, 5), "Decimals of a degree that stay: 2 is about a kilometre."),
        may("geohash", Form::Whole(1, 10), "Characters of a geohash that stay: 5 is about five kilometres."),
    ],
);

const BANDS: Form = Form::Either(&[Form::Word(|| vec!["default"]), Form::AtLeastOne(&Form::Whole(1, 120))]);

const PREFIX: Form = Form::Either(&[Form::Nothing, Form::Word(|| vec!["default"]), Form::Map(&IP)]);

pub(crate) static IP: Keys = Keys::map(
    "IpPrefix",
    &[
        may("v4", Form::Whole(0, 31), "How many leading bits of an IPv4 address stay, 24 if not written."),
        may("v6", Form::Whole(0, 127), "How many leading bits of an IPv6 address stay, 48 if not written."),
    ],
);

pub(super) static EXPORT: Keys = Keys::document(
    "Export",
    &[
        must("purpose", Form::Text, "The purpose that must be permitted for an event to be counted."),
        must("from", Form::Map(&EXPORT_FROM), "Which events are counted."),
        must("unit", Form::Text, "Where the identifier stands whose presence is hidden."),
        must("window", Form::Map(&WINDOW), "How long events are gathered before a count is published."),
        may("fleet", Form::Map(&FLEET), "Which pods count, and what their losses add up to; one pod if not written."),
        must(
            "keys",
            Form::Named(&Form::Either(&[TEXTS, Form::Map(&PRIVATE)])),
            "What is counted by: a path, and every value that is published, or how many units a private key must have.",
        ),
        must("bounds", Form::Map(&BOUNDS), "How much one unit counts at most in one window."),
        may("count", Form::Map(&COUNT_OF), "Counts rows. An export has one measure, of these seven."),
        may("units", Form::Map(&UNITS_OF), "Counts distinct units."),
        may("sum", Form::Map(&SUM_OF), "Adds values up."),
        may("mean", Form::Map(&MEAN_OF), "Adds values up and divides by their count."),
        may("histogram", Form::Map(&HISTOGRAM_OF), "Counts rows between edges of a value."),
        may("quantiles", Form::Map(&QUANTILES_OF), "Says which candidates shares of the rows are below."),
        may("top", Form::Map(&TOP_OF), "Counts rows of the keys that have the most."),
        may(
            "canaries",
            Form::Whole(0, 1_000),
            "How many cells of known truth each release publishes with the same noise. 32 if not written.",
        ),
        may("nonnegative", Form::Flag, "Publish a column without numbers below zero, too: for display, not for sums."),
        must("budget", Form::Map(&BUDGET), "The most privacy loss over the horizon."),
        may(
            "ids_per_person",
            Form::Whole(1, 1_000),
            "How many identifiers one person may have; it multiplies the loss. 1 if not written.",
        ),
        may(
            "log_readers",
            Form::Word(|| vec!["trusted"]),
            "Say `trusted` where readers of the enforcement log may see exact counts.",
        ),
    ],
)
.with_one_of(&["count", "units", "sum", "mean", "histogram", "quantiles", "top"])
.unless("reports", &SURVEY);

pub(super) static SURVEY: Keys = Keys::document(
    "ExportOfReports",
    &[
        must("purpose", Form::Text, "The purpose that must be permitted for a report to be counted."),
        must("from", Form::Map(&SURVEY_FROM), "Which events bring the reports."),
        must("unit", Form::Text, "Where the identifier stands of which one report counts in a window."),
        must("window", Form::Map(&WINDOW), "How long reports are gathered before estimates are published."),
        must(
            "reports",
            Form::Map(&REPORTS),
            "In place of a measure, its keys and its budget: answers that were randomized on the devices.",
        ),
        may("nonnegative", Form::Flag, "Publish a column without numbers below zero, too: for display, not for sums."),
    ],
);

pub(super) static SURVEY_FROM: Keys =
    Keys::map("ReportsFrom", &[must("contract", Form::Text, "The contract whose events bring the reports.")]);

/// The methods of `privet-ldp`.
pub(super) const METHODS: [(&str, Method); 3] =
    [("kary", Method::Kary), ("unary", Method::Unary), ("projective", Method::Projective)];

/// What may be said of who reports.
pub(super) const PRESENCES: [(&str, ()); 1] = [("public", ())];

/// The most answers of a question: each is a published row.
pub(super) const ANSWERS_MAX: u64 = 100_000;

pub(super) static REPORTS: Keys = Keys::map(
    "Reports",
    &[
        must("field", Form::Text, "Where the report stands: base64url text, as the device made it."),
        must("method", Form::Word(|| words(&METHODS)), "How the devices randomize, as they were declared."),
        must(
            "answers",
            Form::Either(&[Form::Whole(2, ANSWERS_MAX), Form::OnlyList(&Form::Text)]),
            "How many answers there are, or their names, in the order in which the devices number them from zero.",
        ),
        must(
            "epsilon",
            Form::Text,
            "What one report tells at most, a decimal in quotes, as the devices were declared.",
        ),
        must(
            "presence",
            Form::Word(|| words(&PRESENCES)),
            "Say `public`: local noise hides an answer, and not who reported nor how many did.",
        ),
    ],
);

pub(super) static EXPORT_FROM: Keys = Keys::map(
    "ExportFrom",
    &[
        may("contract", Form::Text, "The contract whose events are counted."),
        may(
            "table",
            Form::Word(|| vec!["posted"]),
            "In place of a contract: exact tables that others in the pod post to `/v1/exports/NAME`.",
        ),
    ],
)
.with_one_of(&["contract", "table"]);

/// What a window may be marked with and published all the same.
const MARKS: [&str; 3] = ["restart", "drained", "ring_changed"];

pub(super) static WINDOW: Keys = Keys::map(
    "Window",
    &[
        may("length", Form::Text, "How long it is, such as `1h` or `1d`."),
        may("calendar", Form::Word(|| vec!["hour", "day"]), "In place of a length: hours or days of a time zone."),
        may("timezone", Form::Text, "The calendar's time zone, such as `Europe/Berlin`."),
        may("time", Form::Text, "Where the event's own time stands; without it, an event counts when it arrives."),
        may("allowed_lateness", Form::Text, "How long after its end a window is held open, such as `10m`."),
        may(
            "late",
            Form::Word(|| vec!["next_window", "drop"]),
            "What becomes of later events; they count in the next window if not written.",
        ),
        may("publish_after", Form::Text, "How long after its close a window is published, such as `30s`."),
        may(
            "publish_marked",
            Form::List(&Form::Word(|| MARKS.to_vec())),
            "Marks of windows that were not counted whole and are published all the same.",
        ),
        may(
            "splits_max",
            Form::Whole(0, 24),
            "How often a window may be closed early; each time is a release more, paid for in every window. 0 if not written.",
        ),
    ],
);

pub(super) static FLEET: Keys = Keys::map(
    "Fleet",
    &[
        must(
            "topology",
            Form::Word(|| vec!["per_pod", "user_sharded"]),
            "Whether every pod counts what reaches it, or every unit at the one shard that owns it.",
        ),
        may(
            "ledgers",
            Form::Whole(1, 10_000),
            "How many ledgers live within one horizon; it multiplies the loss. 1 if not written.",
        ),
    ],
);

pub(super) static BOUNDS: Keys = Keys::map(
    "Bounds",
    &[
        must("keys_per_unit", COUNT, "In how many groups one unit counts."),
        may("rows_per_key", COUNT, "How often it counts in each. Not for `units`, where it counts once."),
        may("rows_per_unit", COUNT, "How often it counts in all of them together, where that is less."),
        may(
            "admission",
            Form::Text,
            "Which share of all units counts, such as \"0.1\"; each unit is in by its own lot. All if not written.",
        ),
    ],
);

pub(super) static PRIVATE: Keys = Keys::map(
    "PrivateKeys",
    &[
        must("min_units", Form::Whole(1, 1_000_000), "How many units a key must have to be looked at."),
        may(
            "keys_max",
            Form::Whole(1, 100_000),
            "How many keys a window may have; it is withheld where there are more. 10000 if not written.",
        ),
    ],
);

/// What an export may measure.
pub(super) struct MeasureKeys {
    /// The member.
    pub key: &'static str,
    /// What may stand in it.
    pub keys: &'static Keys,
}

pub(super) static MEASURES: [MeasureKeys; 7] = [
    MeasureKeys { key: "count", keys: &COUNT_OF },
    MeasureKeys { key: "units", keys: &UNITS_OF },
    MeasureKeys { key: "sum", keys: &SUM_OF },
    MeasureKeys { key: "mean", keys: &MEAN_OF },
    MeasureKeys { key: "histogram", keys: &HISTOGRAM_OF },
    MeasureKeys { key: "quantiles", keys: &QUANTILES_OF },
    MeasureKeys { key: "top", keys: &TOP_OF },
];

/// The noises that `privet-dp` draws.
pub const NOISES: [&str; 2] = ["discrete_laplace", "discrete_gaussian"];

const NOISE: Form = Form::Word(|| NOISES.to_vec());
const EPSILON: Key = may("epsilon", Form::Text, "The pure loss of one release, a decimal in quotes.");
const RHO: Key = may("rho", Form::Text, "The zero-concentrated loss of one release, a decimal in quotes.");
const DELTA: Key = may(
    "delta",
    Form::Text,
    "With private keys: the probability that one person's key is published, such as \"1e-9\".",
);

static COUNT_OF: Keys = Keys::map("Count", &[must("noise", NOISE, "Where the noise comes from."), EPSILON, RHO, DELTA]);

static UNITS_OF: Keys = Keys::map("Units", &[must("noise", NOISE, "Where the noise comes from."), EPSILON, RHO, DELTA]);

static SUM_OF: Keys = Keys::map(
    "Sum",
    &[
        must("of", Form::Text, "Where the value stands."),
        must("clamp", TEXTS, "The least and the greatest value; what is beyond counts as that."),
        may("decimals", Form::Whole(0, 6), "How many decimals of the value count. 0 if not written."),
        must("noise", NOISE, "Where the noise comes from."),
        EPSILON,
        RHO,
        DELTA,
    ],
);

static MEAN_OF: Keys = Keys::map(
    "Mean",
    &[
        must("of", Form::Text, "Where the value stands."),
        must("clamp", TEXTS, "The least and the greatest value; what is beyond counts as that."),
        may("decimals", Form::Whole(0, 6), "How many decimals of the value count. 0 if not written."),
        must("noise", NOISE, "Where the noise comes from."),
        EPSILON,
        RHO,
        DELTA,
    ],
);

static HISTOGRAM_OF: Keys = Keys::map(
    "Histogram",
    &[
        must("of", Form::Text, "Where the value stands."),
        must("edges", TEXTS, "The values between which rows are counted, rising."),
        may("decimals", Form::Whole(0, 6), "How many decimals of the value count. 0 if not written."),
        must("noise", NOISE, "Where the noise comes from."),
        EPSILON,
        RHO,
        DELTA,
    ],
);

static QUANTILES_OF: Keys = Keys::map(
    "Quantiles",
    &[
        must("of", Form::Text, "Where the value stands."),
        must("at", TEXTS, "The quantiles, such as \"0.5\" and \"0.95\", rising."),
        must("candidates", TEXTS, "The values that may be answered, rising."),
        may("decimals", Form::Whole(0, 6), "How many decimals of the value count. 0 if not written."),
        may("noise", NOISE, "Where noise on counts comes from, where keys are private."),
        EPSILON,
        RHO,
        DELTA,
    ],
);

static TOP_OF: Keys = Keys::map(
    "Top",
    &[
        must("k", Form::Whole(1, 1_000), "How many keys are published."),
        must("noise", NOISE, "Where the noise comes from."),
        EPSILON,
        RHO,
        DELTA,
    ],
);

pub(super) static BUDGET: Keys = Keys::map(
    "Budget",
    &[
        must("horizon", Form::Text, "How long the budget lasts, such as `30d`."),
        may("epsilon", Form::Text, "The most pure loss, a decimal in quotes."),
        may("rho", Form::Text, "The most zero-concentrated loss, a decimal in quotes."),
        may("delta", Form::Text, "With private keys: the most probability that one person's key is published."),
    ],
);

pub(super) static TAXONOMY: Keys = Keys::document(
    "Taxonomy",
    &[
        may("categories", Form::Named(&Form::Text), "Data categories to add, and what each means."),
        may("uses", Form::Named(&Form::Text), "Purposes to add, and what each means."),
        may("subjects", Form::Named(&Form::Text), "Data subjects to add, and what each means."),
    ],
);

pub(super) static SUITE: Keys = Keys::document(
    "Suite",
    &[
        may("given", Form::Map(&GIVEN), "What comes in with every test that does not say otherwise."),
        must("cases", Form::OnlyList(&Form::Map(&CASE)), "The tests."),
    ],
);

static REQUEST: [Key; 10] = [
    may(
        "format",
        Form::Word(|| Format::ALL.map(Format::name).into_iter().chain(["auto"]).collect()),
        "The wire format; by path and body if not written.",
    ),
    may("path", Form::Text, "Path and query of the request."),
    may("headers", Form::Named(&Form::Text), "Headers of the request."),
    may("jurisdiction", Form::Text, "Where the person is, such as `us-ca`."),
    may("age", AGE, "The person's age class."),
    may("peer", Form::Text, "The sender's address."),
    may("time", Form::Text, "When the request is received, RFC 3339."),
    may("consent", Form::Named(&DECIDED), "Decisions as if stored before, by purpose; `*` is every purpose."),
    may("event", Form::Anything, "The event, written as YAML."),
    may("body", Form::Text, "The body as it is sent, in place of an event."),
];

pub(super) static GIVEN: Keys = Keys::map("Given", &REQUEST);

pub(super) static CASE: Keys = Keys {
    shared: &REQUEST,
    ..Keys::map(
        "Case",
        &[must("name", Form::Text, "What the test shows."), must("expect", Form::Map(&EXPECT), "What is expected.")],
    )
};

const DECIDED: Form = Form::Either(&[STATE, Form::Flag, Form::Map(&DECISION)]);

/// `privet apply` reads this, not the policy's reader.
static DECISION: Keys = Keys::map(
    "Decision",
    &[
        must("state", Form::Either(&[STATE, Form::Flag]), "What the person decided."),
        may("at", Form::Text, "When, RFC 3339; the time of the request if not written."),
    ],
);

pub(super) static EXPECT: Keys = Keys::map(
    "Expect",
    &[
        may("status", Form::Text, "The status the client is told."),
        may("outcome", Form::Word(|| vec!["kept", "dropped", "unmatched", "invalid"]), "What becomes of the event."),
        may("contract", Form::Text, "The contract the event follows."),
        may("consent", Form::Named(&STATE), "The state of consent, by purpose."),
        may("to", Form::Named(&LEAVES), "What leaves, by destination."),
    ],
);

const LEAVES: Form = Form::Either(&[Form::Word(|| vec!["nothing"]), Form::Map(&LEAVING)]);

pub(super) static LEAVING: Keys = Keys::map(
    "Leaving",
    &[
        may("event", Form::Anything, "The whole of what leaves."),
        may("has", Form::Named(&Form::Anything), "Paths and the values that leave there; `{any: true}` is any value."),
        may("lacks", TEXTS, "Paths at which nothing leaves."),
        may("by", Form::Named(&Form::Text), "Paths, and the rule behind what became of each."),
    ],
);
