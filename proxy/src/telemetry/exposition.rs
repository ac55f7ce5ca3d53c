//! What `/metrics` shows, as values.
//!
//! Promise: whoever is sent metrics is sent what `/metrics` shows at that
//! moment, no series more and none less.
//!
//! Not here: any text but that of [`crate::metrics::Metrics::render`]. A line that is not of it is left out.

use std::collections::BTreeMap;

/// What a family's series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
}

/// The series of one name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Family {
    pub name: String,
    pub question: String,
    pub kind: Kind,
    pub series: Vec<Series>,
}

/// One series: its labels and its value now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    pub labels: Vec<(String, String)>,
    /// The value of a counter or gauge, the sum of a histogram.
    pub value: f64,
    /// How many were counted by a histogram.
    pub count: u64,
    /// Upper bounds, ascending and finite, each with how many were at most that.
    pub buckets: Vec<(f64, u64)>,
}

/// The families of a rendered text, in its order.
pub(super) fn read(text: &str) -> Vec<Family> {
    let mut questions = BTreeMap::new();
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        if let Some((name, question)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            questions.insert(name.to_owned(), question.to_owned());
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let kind = match kind {
                "counter" => Kind::Counter,
                "gauge" => Kind::Gauge,
                "histogram" => Kind::Histogram,
                _ => continue,
            };
            let question = questions.remove(name).unwrap_or_default();
            families.push(Family { name: name.to_owned(), question, kind, series: Vec::new() });
        } else if let (Some(family), Some(sample)) = (families.last_mut(), Sample::read(line)) {
            family.take(sample);
        }
    }
    families.retain(|family| !family.series.is_empty());
    families
}

struct Sample<'t> {
    name: &'t str,
    labels: Vec<(String, String)>,
    value: f64,
}

impl<'t> Sample<'t> {
    /// `name{label="value",...} number`. Labels of ours hold no quotes and no commas: they are of closed sets.
    fn read(line: &'t str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
            let (name, value) = label.split_once('=')?;
            Some((name.to_owned(), value.strip_prefix('"')?.strip_suffix('"')?.to_owned()))
        });
        Some(Self { name, labels: labels.collect::<Option<_>>()?, value: value.parse().ok()? })
    }
}

impl Family {
    fn take(&mut self, sample: Sample<'_>) {
        let Sample { name, mut labels, value } = sample;
        let Some(part) = name.strip_prefix(&self.name) else { return };
        let bound = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1);
        let at = self.series.iter().position(|series| series.labels == labels);
        let at = at.unwrap_or_else(|| {
            self.series.push(Series { labels, ..Series::default() });
            self.series.len() - 1
        });
        let Some(series) = self.series.get_mut(at) else { return };
        match (self.kind, part) {
            (Kind::Histogram, "_bucket") => {
                if let Some(bound) = bound.and_then(|bound| bound.parse::<f64>().ok()).filter(|bound| bound.is_finite())
                {
                    series.buckets.push((bound, value as u64));
                }
            }
            (Kind::Histogram, "_count") => series.count = value as u64,
            (Kind::Histogram, "_sum") | (Kind::Counter | Kind::Gauge, "") => series.value = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Answer, Metrics};

    #[test]
    fn what_is_rendered_is_read_whole() {
        let metrics = Metrics::new();
        metrics.requests.of(Answer::Later).increment(3);
        metrics.in_flight_bytes.set(7.5);
        metrics.request_seconds.record(0.0002);
        metrics.request_seconds.record(7.0);
        let text = metrics.render();
        let families = read(&text);
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert_eq!(families.iter().map(|family| family.name.as_str()).collect::<Vec<_>>(), names);
        let family = |name: &str| families.iter().find(|family| family.name == name).unwrap();
        let requests = family("privet_requests_total");
        let later = requests.series.iter().find(|series| series.labels == [("answer".into(), "too_many".into())]);
        assert_eq!(later.unwrap().value, 3.0);
        assert!(requests.question.contains("are clients being served?"), "{}", requests.question);
        assert_eq!(family("privet_in_flight_bytes").series[0].value, 7.5);
        let seconds = &family("privet_request_seconds").series[0];
        assert_eq!((seconds.count, seconds.value), (2, 7.0002));
        assert_eq!(seconds.buckets.first(), Some(&(0.0001, 0)));
        assert_eq!(seconds.buckets.last(), Some(&(10.0, 2)));
    }
}
