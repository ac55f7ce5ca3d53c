//! Reads lists of events, a JSON object a line, and writes the epsilon of each
//! by every accountant: `tools/dp-accounting` compares them with another library.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

use std::io::stdin;

use privet_dp::accountant::pld::{Event, Pld};
use privet_dp::loss::{Delta, Loss, Measure};
use privet_dp::mechanism::Noise;
use serde_json::{Value, json};

fn main() {
    for line in stdin().lines() {
        let list: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let delta = list["delta"].as_f64().unwrap();
        let events: Vec<(Event, u64)> = list["events"].as_array().unwrap().iter().map(event).collect();
        let pld = Pld::of(&events).unwrap().epsilon_at(delta);
        println!("{}", json!({"pld": pld, "basic": basic(&events), "zcdp": zcdp(&events, delta)}));
    }
}

fn event(written: &Value) -> (Event, u64) {
    let noise = Noise::named(written["noise"].as_str().unwrap()).unwrap();
    let (scale, moved) = (written["scale"].as_f64().unwrap(), written["moved"].as_u64().unwrap());
    (Event::Additive { noise, scale, moved }, written["count"].as_u64().unwrap())
}

/// The sum of epsilons, in integers as the ledger adds them up; none for Gaussian noise.
fn basic(events: &[(Event, u64)]) -> Option<f64> {
    let nano = |(event, count): &(Event, u64)| match event {
        Event::Additive { noise: Noise::DiscreteLaplace, scale, moved } => {
            Some((*moved as f64 / scale * 1e9).ceil() as u64 * count)
        }
        _ => None,
    };
    Some(events.iter().map(nano).sum::<Option<u64>>()? as f64 / 1e9)
}

/// The epsilon of the sum of rhos, in integers.
fn zcdp(events: &[(Event, u64)], delta: f64) -> f64 {
    let nano = |(event, count): &(Event, u64)| match event {
        Event::Additive { noise: Noise::DiscreteLaplace, scale, moved } => {
            ((*moved as f64 / scale).powi(2) / 2.0 * 1e9).ceil() as u64 * count
        }
        Event::Additive { scale, moved, .. } => ((*moved as f64 / scale).powi(2) / 2.0 * 1e9).ceil() as u64 * count,
        Event::Pure { .. } | Event::Failure { .. } => panic!("no rho"),
    };
    let rho = Loss::from_nano(Measure::Zcdp, events.iter().map(nano).sum()).unwrap();
    rho.epsilon_at(Delta::from_pico((delta * 1e12).round() as u64).unwrap()).parse().unwrap()
}
