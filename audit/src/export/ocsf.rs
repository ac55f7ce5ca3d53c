//! OCSF 1.5 events: one a record.
//!
//! Starts and ends are *Application Lifecycle* (6002); all else is the *Base Event* (0), which the
//! schema keeps for what no other class describes. `raw_data` is the record as it is stored and
//! `raw_data_hash` its SHA-256, so nothing is lost on the way; the leaf and its place stand in
//! `unmapped`.
//!
//! The profile `record_integrity` is not used: its attestation is over the OCSF event's own
//! serialization, and what the log signs is the record. Claiming one for the other would be untrue.

use anyhow::Result;
use privet_audit_log::record::Record;
use privet_audit_log::tree::Hash;
use serde_json::{Value, json};

use super::Lines;
use crate::evidence::{Evidence, Told};

/// The schema's version.
const VERSION: &str = "1.5.0";

/// A class of the schema with one of its activities.
#[derive(Clone, Copy)]
struct Class {
    category: u64,
    class: u64,
    activity: u64,
    name: &'static str,
}

const START: Class = Class { category: 6, class: 6002, activity: 3, name: "Start" };
const STOP: Class = Class { category: 6, class: 6002, activity: 4, name: "Stop" };
const OTHER: Class = Class { category: 0, class: 0, activity: 99, name: "" };

/// How bad it is, as the schema numbers it: 1 informational, 2 low, 3 medium, 4 high.
const fn severity(record: &Record) -> u64 {
    match record {
        Record::PolicyRefused(_) | Record::Recover(_) => 3,
        Record::Degraded(_) | Record::Gap(_) => 4,
        _ => 1,
    }
}

const fn class(record: &Record) -> Class {
    match record {
        Record::Open(_) => START,
        Record::Close(_) | Record::Recover(_) => STOP,
        _ => OTHER,
    }
}

/// Writes the events, oldest first.
///
/// # Errors
/// See [`Evidence::walk`]; a line cannot be written.
pub fn events(evidence: &Evidence, out: &mut Lines<'_>) -> Result<usize> {
    evidence.walk(&mut |told| out.push(&event(told)))?;
    out.end()
}

fn event(told: &Told<'_>) -> Value {
    let Class { category, class, activity, name } = class(&told.entry.record);
    let kind = told.entry.record.kind();
    let mut event = json!({
        "category_uid": category,
        "class_uid": class,
        "activity_id": activity,
        "activity_name": if name.is_empty() { kind } else { name },
        "type_uid": class * 100 + activity,
        "severity_id": severity(&told.entry.record),
        "time": told.entry.ts,
        "message": format!("privet enforcement log: {kind}"),
        "metadata": {
            "version": VERSION,
            "product": {"name": "privet", "vendor_name": "privet", "version": env!("CARGO_PKG_VERSION")},
            "log_name": told.names.origin,
            "log_provider": "privet",
            "event_code": kind,
            "sequence": told.index,
            "uid": format!("{}#{}", told.names.origin, told.index),
        },
        "raw_data": String::from_utf8_lossy(told.bytes),
        "raw_data_hash": {"algorithm": "SHA-256", "algorithm_id": 3, "value": Hash::of(told.bytes).to_hex()},
        "unmapped": {"leaf_hash": Hash::leaf(told.bytes).to_hex(), "index": told.index, "record": told.value()},
    });
    if class == START.class
        && let Some(event) = event.as_object_mut()
    {
        event.insert("app".to_owned(), json!({"name": "privet", "vendor_name": "privet", "uid": told.names.origin}));
    }
    event
}
