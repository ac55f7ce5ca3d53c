//! Accounts for lists of releases: reads one JSON object a line from standard
//! input and writes one for each to standard output, for `tools/dp-accounting`.
//!
//! ```text
//! {"name": "hours", "deltas": [1e-9], "releases": [{"event": "laplace", "scale": 100, "shift": 1, "times": 720}]}
//! {"name": "hours", "epsilons": [{"basic": 7.2, "zcdp": 1.7, "plain": 1.7, "pld": 1.6}]}
//! ```
//!
//! An event is `laplace` or `gaussian` (discrete, with a `scale` and a `shift`) or
//! `pure` (with an `epsilon`).

use std::error::Error;
use std::io::BufRead;
use std::num::NonZeroU64;

use privet_dp::accountant::pld::Event;
use privet_dp::accountant::report::{Release, Report};
use privet_dp::loss::{Delta, Loss, Measure};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    name: String,
    deltas: Vec<f64>,
    releases: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    times: NonZeroU64,
    #[serde(flatten)]
    event: WrittenEvent,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum WrittenEvent {
    Laplace { scale: f64, shift: NonZeroU64 },
    Gaussian { scale: f64, shift: NonZeroU64 },
    Pure { epsilon: f64 },
}

#[derive(Serialize)]
struct Answer {
    name: String,
    epsilons: Vec<AnsweredEpsilons>,
}

#[derive(Serialize)]
struct AnsweredEpsilons {
    basic: Option<f64>,
    zcdp: Option<f64>,
    plain: Option<f64>,
    pld: Option<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    for line in std::io::stdin().lock().lines() {
        println!("{}", serde_json::to_string(&answered(serde_json::from_str(&line?)?)?)?);
    }
    Ok(())
}

fn answered(list: List) -> Result<Answer, Box<dyn Error>> {
    let releases = list.releases.iter().map(release).collect::<Result<Vec<_>, _>>()?;
    let deltas = list.deltas.iter().map(|delta| Delta::from_pico((delta * 1e12).round() as u64));
    let deltas = deltas.collect::<Option<Vec<_>>>().ok_or("a delta is above zero and below one")?;
    let report = Report::of(&releases, &deltas);
    if let Some(why) = report.no_pld {
        return Err(format!("{}: {why}", list.name).into());
    }
    let epsilons = report.rows.iter().map(|row| AnsweredEpsilons {
        basic: row.basic,
        zcdp: row.zcdp,
        plain: row.plain,
        pld: row.pld,
    });
    Ok(Answer { name: list.name, epsilons: epsilons.collect() })
}

fn release(written: &Written) -> Result<Release, Box<dyn Error>> {
    let event = match written.event {
        WrittenEvent::Laplace { scale, shift } => Event::DiscreteLaplace { scale: scale.to_string().parse()?, shift },
        WrittenEvent::Gaussian { scale, shift } => Event::DiscreteGaussian { scale: scale.to_string().parse()?, shift },
        WrittenEvent::Pure { epsilon } => {
            let nano = Loss::from_decimal(Measure::Pure, &epsilon.to_string())?.nano();
            Event::Pure { epsilon_nano: NonZeroU64::new(nano).ok_or("an epsilon is above zero")? }
        }
    };
    Ok(Release { event, delta_pico: 0, times: written.times })
}
