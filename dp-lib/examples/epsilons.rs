//! Accounts for lists of releases: reads one JSON object a line from standard
//! input and writes one for each to standard output, for `tools/dp-accounting`.
//!
//! ```text
//! {"name": "hours", "deltas": [1e-9], "releases": [{"event": "laplace", "scale": 100, "shift": 1, "times": 720}]}
//! {"name": "hours", "epsilons": [{"basic": 7.2, "zcdp": 1.7, "renyi": 1.7, "plain": 1.7, "pld": 1.6}], "seconds": 0.02}
//! ```
//!
//! An event is `laplace` or `gaussian` (discrete, with a `scale` and a `shift`) or
//! `pure` (with an `epsilon`).

#[path = "../tests/releases/mod.rs"]
mod releases;

use std::io::BufRead;
use std::time::Instant;

use privet_dp::accountant::report::{Epsilons, Report};
use releases::{Error, List};
use serde::Serialize;

#[derive(Serialize)]
struct Answer {
    name: String,
    epsilons: Vec<AnsweredEpsilons>,
    seconds: f64,
}

#[derive(Serialize)]
struct AnsweredEpsilons {
    basic: Option<f64>,
    zcdp: Option<f64>,
    renyi: Option<f64>,
    plain: Option<f64>,
    pld: Option<f64>,
}

impl From<&Epsilons> for AnsweredEpsilons {
    fn from(row: &Epsilons) -> Self {
        Self { basic: row.basic, zcdp: row.zcdp, renyi: row.renyi, plain: row.plain, pld: row.pld }
    }
}

fn main() -> Result<(), Error> {
    for line in std::io::stdin().lock().lines() {
        println!("{}", serde_json::to_string(&answered(&serde_json::from_str(&line?)?)?)?);
    }
    Ok(())
}

fn answered(list: &List) -> Result<Answer, Error> {
    let (releases, deltas) = (list.releases()?, list.deltas()?);
    let began = Instant::now();
    let report = Report::of(&releases, &deltas);
    if let Some(why) = report.no_pld {
        return Err(format!("{}: {why}", list.name).into());
    }
    let epsilons = report.rows.iter().map(AnsweredEpsilons::from).collect();
    Ok(Answer { name: list.name.clone(), epsilons, seconds: began.elapsed().as_secs_f64() })
}
