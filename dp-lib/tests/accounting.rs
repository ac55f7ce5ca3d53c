//! Our privacy loss distributions beside those of PyPI's dp-accounting, whose
//! answers were recorded by `tools/dp-accounting`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use privet_dp::accountant::pld::{Event, Pld};
use privet_dp::mechanism::Noise;
use serde_json::Value;

#[test]
fn epsilons_are_within_a_hundredth_of_theirs_and_never_below_their_lower_bound() {
    let mut lists = 0;
    for line in include_str!("data/dp-accounting.ndjson").lines() {
        let list: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| list[name].as_f64().unwrap();
        let events: Vec<(Event, u64)> = list["events"].as_array().unwrap().iter().map(event).collect();
        let ours = Pld::of(&events).unwrap().epsilon_at(number("delta")).unwrap();
        let (optimistic, pessimistic) = (number("optimistic"), number("pessimistic"));
        assert!(ours >= optimistic * (1.0 - 1e-6), "{ours} below {optimistic}: {line}");
        assert!(ours <= pessimistic * 1.01, "{ours} above {pessimistic}: {line}");
        lists += 1;
    }
    assert_eq!(lists, 20);
}

fn event(written: &Value) -> (Event, u64) {
    let noise = Noise::named(written["noise"].as_str().unwrap()).unwrap();
    let (scale, moved) = (written["scale"].as_f64().unwrap(), written["moved"].as_u64().unwrap());
    (Event::Additive { noise, scale, moved }, written["count"].as_u64().unwrap())
}
