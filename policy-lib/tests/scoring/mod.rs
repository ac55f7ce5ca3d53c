//! Labelled texts, and how many of their labels the detectors find.

use std::collections::BTreeMap;

use privet_policy::detect::{Detector, DetectorSet, Found, find_each};
use serde_json::Value;

/// Why a file of labelled texts cannot be read.
pub type Error = Box<dyn std::error::Error>;

/// Findings that are right, wrong and missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Score {
    pub right: usize,
    pub wrong: usize,
    pub missing: usize,
}

impl Score {
    pub fn precision(self) -> f64 {
        self.right as f64 / (self.right + self.wrong).max(1) as f64
    }

    pub fn recall(self) -> f64 {
        self.right as f64 / (self.right + self.missing).max(1) as f64
    }

    pub fn f1(self) -> f64 {
        2.0 * self.right as f64 / (2 * self.right + self.wrong + self.missing).max(1) as f64
    }

    fn add(&mut self, ours: &[Range], labels: &Labels, matches: fn(Range, Range) -> bool) {
        let (right, labelled) = match labels {
            Labels::Count(count) => (ours.len().min(*count), *count),
            Labels::Spans(spans) => {
                let mut open = spans.clone();
                let right = ours.iter().filter(|one| {
                    let label = open.iter().position(|label| matches(**one, *label));
                    label.map(|nth| open.swap_remove(nth)).is_some()
                });
                (right.count(), spans.len())
            }
        };
        self.right += right;
        self.wrong += ours.len() - right;
        self.missing += labelled - right;
    }
}

/// From and up to, in code points.
pub type Range = (usize, usize);

/// What should be found for one detector.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// These spans.
    Spans(Vec<Range>),
    /// So many, anywhere.
    Count(usize),
}

/// A text and what should be found in it, for the detectors its labels speak of.
pub struct Labelled {
    pub text: String,
    pub labels: BTreeMap<Detector, Labels>,
}

/// Reads one JSON object a line, with `text` and either `spans` (`[{"entity",
/// "start", "end"}]`, every span of the text labelled that is of [`LABELLED`])
/// or `entities` and, labelled for these alone, `expected_spans` (`[[start,
/// end]]`), `expected_count`, or `expected_valid` (whether the text as a whole is
/// one). Offsets count code points.
pub fn read(lines: &str) -> Result<Vec<Labelled>, Error> {
    lines.lines().map(|line| Ok(labelled(&serde_json::from_str(line)?))).collect()
}

fn labelled(case: &Value) -> Labelled {
    let text = text_of(case, "text").unwrap_or_default().to_owned();
    let labels = match case.get("spans").and_then(Value::as_array) {
        Some(spans) => LABELLED.map(|(name, detector)| (detector, all_labelled(name, spans))).into(),
        None => entities(case).map(|detector| (detector, one_labelled(case))).collect(),
    };
    Labelled { text, labels }
}

/// The labels of Presidio's synthetic texts that a detector stands for.
pub const LABELLED: [(&str, Detector); 10] = [
    ("EMAIL_ADDRESS", Detector::EmailAddress),
    ("PHONE_NUMBER", Detector::PhoneNumber),
    ("CREDIT_CARD", Detector::CreditCard),
    ("IP_ADDRESS", Detector::IpAddress),
    ("IBAN_CODE", Detector::IbanCode),
    ("DOMAIN_NAME", Detector::Url),
    ("DATE_TIME", Detector::DateTime),
    ("US_SSN", Detector::UsSsn),
    ("US_DRIVER_LICENSE", Detector::UsDriverLicense),
    ("ZIP_CODE", Detector::ZipCode),
];

fn all_labelled(name: &str, spans: &[Value]) -> Labels {
    let spans = spans.iter().filter(|span| text_of(span, "entity") == Some(name));
    Labels::Spans(spans.filter_map(|span| Some((number(span.get("start")?)?, number(span.get("end")?)?))).collect())
}

fn one_labelled(case: &Value) -> Labels {
    let spans: Vec<Range> =
        case.get("expected_spans").and_then(Value::as_array).into_iter().flatten().filter_map(range).collect();
    if let Some(valid) = case.get("expected_valid").and_then(Value::as_bool) {
        return Labels::Count(usize::from(valid));
    }
    let count = case.get("expected_count").and_then(number).unwrap_or_default();
    if spans.is_empty() { Labels::Count(count) } else { Labels::Spans(spans) }
}

/// Presidio's cases name their entities at one of two places.
fn entities(case: &Value) -> impl Iterator<Item = Detector> {
    let lists = [case.get("entities"), case.get("other").and_then(|other| other.get("entities"))];
    lists.into_iter().flatten().filter_map(Value::as_array).flatten().filter_map(|name| name.as_str()?.parse().ok())
}

fn text_of<'v>(value: &'v Value, member: &str) -> Option<&'v str> {
    value.get(member)?.as_str()
}

fn number(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn range(value: &Value) -> Option<Range> {
    match value.as_array()?.as_slice() {
        [start, end] => Some((number(start)?, number(end)?)),
        _ => None,
    }
}

/// Scores per detector.
#[derive(Default)]
pub struct Scores {
    /// A finding counts if it is the labelled span.
    pub exact: BTreeMap<Detector, Score>,
    /// A finding counts if it overlaps the labelled span.
    pub overlapping: BTreeMap<Detector, Score>,
}

/// Scores the detectors on labelled texts; `miss` hears of each text where they differ.
pub fn score(texts: &[Labelled], mut miss: impl FnMut(&Labelled, Detector, &[Range])) -> Scores {
    let mut scores = Scores::default();
    let mut found = Vec::new();
    for text in texts {
        find_each(&text.text, DetectorSet::ALL, &mut found);
        for (detector, labels) in &text.labels {
            let ours = ranges(&text.text, &found, *detector);
            scores.exact.entry(*detector).or_default().add(&ours, labels, |a, b| a == b);
            scores.overlapping.entry(*detector).or_default().add(&ours, labels, |a, b| a.0 < b.1 && b.0 < a.1);
            let same = match labels {
                Labels::Count(count) => ours.len() == *count,
                Labels::Spans(spans) => ours.len() == spans.len() && ours.iter().all(|one| spans.contains(one)),
            };
            if !same {
                miss(text, *detector, &ours);
            }
        }
    }
    scores
}

fn ranges(text: &str, found: &[Found], detector: Detector) -> Vec<Range> {
    let code_points = |end: usize| text.get(..end).unwrap_or_default().chars().count();
    let ours = found.iter().filter(|one| one.detector == detector);
    ours.map(|one| (code_points(one.start), code_points(one.end))).collect()
}
