//! Budgets and what was published, by the receipts that are out.
//!
//! Promise: every number stands in a receipt or in the policy in force. The
//! receipts themselves are served as they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use privet_dp::digest::Digest;
use privet_dp::receipt::{AnyReceipt, LossReceipt};
use serde_json::{Map, Value, json};

use super::answer::{self, Answer};
use super::shelf;
use crate::export::Watched;

/// How many receipts of an export are told: the newest.
const RECEIPTS_MAX: usize = 400;
/// The largest receipt that is read.
const RECEIPT_BYTES_MAX: u64 = 32 << 20;

/// The directory that receipts are published into.
pub(super) struct Receipts {
    root: PathBuf,
    /// Receipts do not change once they are out, so each is read once.
    known: Mutex<HashMap<PathBuf, Value>>,
}

impl Receipts {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), known: Mutex::default() }
    }

    /// A receipt's file: `<export>/<file>.json`.
    pub(super) async fn answer(&self, path: &str) -> Answer {
        match shelf::pieces(path) {
            Some(pieces) if is_receipt(&pieces) => shelf::send(self.root.clone(), pieces, "application/json").await,
            _ => answer::problem(StatusCode::NOT_FOUND, "no receipt has this name"),
        }
    }

    /// `{"exports": [...]}`: those of the policy in force, then those that only receipts know.
    pub(super) fn told(&self, declared: Option<&Watched>) -> Value {
        let mut exports: BTreeMap<String, Map<String, Value>> = declared.map(declarations).unwrap_or_default();
        let names: BTreeSet<String> = shelf::names(&self.root).unwrap_or_default().into_iter().collect();
        for name in names.into_iter().filter(|name| self.root.join(name).is_dir()) {
            exports.entry(name).or_default();
        }
        let mut told = Vec::new();
        let mut seen = HashMap::new();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, mut export) in exports {
            let files = self.files_of(&name);
            let left_out = files.len().saturating_sub(RECEIPTS_MAX);
            let newest = files.into_iter().skip(left_out);
            let mut receipts = Vec::new();
            for file in newest {
                let place = self.root.join(&name).join(&file);
                if let Some(line) = known.remove(&place).or_else(|| line(&place, &file)) {
                    receipts.push(line.clone());
                    seen.insert(place, line);
                }
            }
            export.insert("name".to_owned(), name.into());
            export.insert("receipts".to_owned(), receipts.into());
            export.insert("receipts_left_out".to_owned(), left_out.into());
            told.push(Value::Object(export));
        }
        *known = seen;
        json!({"exports": told})
    }

    /// The names of an export's receipts, by window.
    fn files_of(&self, export: &str) -> Vec<String> {
        let names = shelf::names(&self.root.join(export)).unwrap_or_default();
        names.into_iter().filter(|name| is_receipt(&[export.to_owned(), name.clone()])).collect()
    }
}

fn is_receipt(pieces: &[String]) -> bool {
    matches!(pieces, [_, file] if file.ends_with(".json") && !file.starts_with('.'))
}

/// What the policy declares of each export.
fn declarations(watched: &Watched) -> BTreeMap<String, Map<String, Value>> {
    let central = watched.exports().map(|plan| {
        let budget = plan.query.budget;
        let of = json!({
            "declared": true, "kind": "central", "purpose": plan.purpose, "contract": plan.contract, "unit": plan.query.unit,
            "limit": LossReceipt::from(budget.limit), "horizon": budget.horizon.to_string(), "horizon_secs": budget.horizon.secs(),
            "releases_in_horizon": plan.query.schedule.releases_in(budget.horizon),
            "charge": privet_dp::ledger::charge(&plan.query).map(LossReceipt::from),
        });
        (plan.query.name.clone(), of)
    });
    let local = watched.surveys().map(|plan| {
        let of = json!({
            "declared": true, "kind": "local", "purpose": plan.purpose, "contract": plan.contract, "unit": plan.survey.unit,
        });
        (plan.survey.name.clone(), of)
    });
    let members = |(name, of): (String, Value)| match of {
        Value::Object(members) => Some((name, members)),
        _ => None,
    };
    central.chain(local).filter_map(members).collect()
}

/// One receipt in a line: its window, what it cost, what is spent of what. `None` for what is no receipt.
fn line(place: &Path, file: &str) -> Option<Value> {
    let bytes = read(place).ok()?;
    let receipt = AnyReceipt::from_bytes(&bytes).ok()?;
    let window = receipt.window();
    let mut line = json!({
        "file": file, "sha256": Digest::of(&bytes), "release": receipt.release_id().to_string(),
        "start": window.start.as_second(), "end": window.end.as_second(),
        "observed_from": window.observed_from.as_second(), "observed_until": window.observed_until.as_second(),
        "status": window.status, "marks": window.marks,
        "prev": receipt.prev_receipt(),
    });
    let cost = match &receipt {
        AnyReceipt::Central(receipt) => json!({
            "kind": "central", "values": receipt.values.len(), "this": receipt.privacy.this_release,
            "spent": receipt.privacy.horizon.spent, "limit": receipt.privacy.horizon.limit, "horizon": receipt.privacy.horizon.length,
            "epsilon_at_delta": receipt.privacy.horizon.epsilon_at_delta, "unit": receipt.privacy.unit,
        }),
        AnyReceipt::Local(receipt) => json!({
            "kind": "local", "values": receipt.values.len(), "per_report": receipt.privacy.per_report,
            "reports": receipt.reports, "unit": receipt.privacy.unit,
        }),
    };
    if let (Value::Object(line), Value::Object(cost)) = (&mut line, cost) {
        line.extend(cost);
    }
    Some(line)
}

fn read(place: &Path) -> io::Result<Vec<u8>> {
    if fs::symlink_metadata(place)?.len() > RECEIPT_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    fs::read(place)
}
