//! The accountants beside Google's dp-accounting, on every ninth of the lists of
//! `tools/dp-accounting`. Nothing here is random.

mod releases;

use privet_dp::accountant::report::Report;
use releases::List;
use serde::Deserialize;

/// A list, and what dp-accounting says of it at each delta.
#[derive(Deserialize)]
struct Known {
    #[serde(flatten)]
    list: List,
    /// Pessimistic.
    upper: Vec<f64>,
    /// Optimistic.
    lower: Vec<f64>,
}

#[test]
fn losses_by_distribution_are_as_tight_as_others_and_sums_nearly() {
    let lines = include_str!("data/dp-accounting-0.6.0.ndjson").lines();
    let known: Vec<Known> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(known.len(), 22);
    for Known { list, upper, lower } in known {
        let report = Report::of(&list.releases().unwrap(), &list.deltas().unwrap());
        assert_eq!(report.no_pld, None);
        assert_eq!((report.rows.len(), upper.len(), lower.len()), (3, 3, 3));
        for ((row, upper), lower) in report.rows.iter().zip(upper).zip(lower) {
            let (pld, plain) = (row.pld.unwrap(), row.plain.unwrap());
            let what = format!("{} at {}: {lower} <= {pld}, {plain} <= {upper}", list.name, row.delta);
            assert!(pld >= lower && pld <= 1.01 * upper, "{what}");
            assert!(plain >= lower && plain <= 1.10 * upper, "{what}");
            assert!(row.least() <= row.basic.or(row.zcdp), "{what}");
        }
    }
}
