//! What a ledger was charged, and what became of each charge, as the ledger itself tells it.

use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use privet_dp::ledger::Entry;
use serde_json::{Value, json};

use super::told;
use crate::cli::{Outcome, cannot, table};
use crate::config::Config;
use crate::export;
use crate::run::chain;

/// Reads the ledger that this configuration names; changes nothing in it.
pub(super) fn run(config: &Path, machine: bool) -> Outcome {
    let config = match Config::load_to_look(config) {
        Ok(config) => config,
        Err(error) => return cannot(&error.to_string()),
    };
    match export::charges(&config.exports) {
        Ok(entries) if machine => told(tell_machine(&entries)),
        Ok(entries) => told(tell(&entries)),
        Err(error) => cannot(&chain(&error)),
    }
}

fn tell(entries: &[Entry]) -> io::Result<()> {
    let lines: Vec<[String; 5]> = entries
        .iter()
        .map(|entry| {
            let pod = entry.holder.clone().unwrap_or_else(|| "-".to_owned());
            [entry.budget_name.clone(), began(entry), pod, entry.charge.to_string(), entry.state.to_owned()]
        })
        .collect();
    table::print(&mut io::stdout().lock(), ["budget", "window", "pod", "charged", "release"], &lines)
}

fn began(entry: &Entry) -> String {
    Timestamp::from_second(entry.start_secs).map_or_else(|_| entry.start_secs.to_string(), |start| start.to_string())
}

fn tell_machine(entries: &[Entry]) -> io::Result<()> {
    let charges: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "budget": entry.budget_name, "window_start": began(entry), "pod": entry.holder,
                "release_id": entry.release.to_string(), "measure": entry.charge.measure().symbol(),
                "nano": entry.charge.nano(), "delta_pico": entry.charge.delta_pico(), "state": entry.state,
            })
        })
        .collect();
    writeln!(io::stdout().lock(), "{}", json!({"charges": charges}))
}
