//! Lists of releases as `tools/dp-accounting` writes them, one JSON object a line.

use std::num::NonZeroU64;

use privet_dp::accountant::pld::Event;
use privet_dp::accountant::release::Release;
use privet_dp::loss::{Delta, Loss, Measure};
use serde::Deserialize;

/// Whatever is wrong with a line.
pub type Error = Box<dyn std::error::Error>;

/// Releases and the deltas at which their epsilons are asked for.
#[derive(Deserialize)]
pub struct List {
    /// What it is called.
    pub name: String,
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

impl List {
    /// The releases, as the accountants take them.
    pub fn releases(&self) -> Result<Vec<Release>, Error> {
        self.releases.iter().map(release).collect()
    }

    /// The deltas.
    pub fn deltas(&self) -> Result<Vec<Delta>, Error> {
        let deltas = self.deltas.iter().map(|delta| Delta::from_pico((delta * 1e12).round() as u64));
        Ok(deltas.collect::<Option<_>>().ok_or("a delta is above zero and below one")?)
    }
}

fn release(written: &Written) -> Result<Release, Error> {
    let event = match written.event {
        WrittenEvent::Laplace { scale, shift } => Event::DiscreteLaplace { scale: scale.to_string().parse()?, shift },
        WrittenEvent::Gaussian { scale, shift } => Event::DiscreteGaussian { scale: scale.to_string().parse()?, shift },
        WrittenEvent::Pure { epsilon } => {
            let nano = Loss::from_decimal(Measure::Pure, &epsilon.to_string())?.nano();
            Event::Pure { epsilon_nano: NonZeroU64::new(nano).ok_or("an epsilon is above zero")? }
        }
    };
    Ok(Release { event, times: written.times })
}
