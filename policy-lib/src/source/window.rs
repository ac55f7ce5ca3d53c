//! `window:` and `fleet:` of an export as they were written, and what of them a posted table cannot have.

use super::keys;
use super::read::Reader;
use crate::diagnostic::Diagnostic;
use crate::export::{Fleet, Window};
use crate::yaml::{Node, Value};

impl Window {
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        let node = reader.required(document, "window")?;
        reader.allow(node, &keys::WINDOW);
        let time = reader.optional_text(node, "time").and_then(|written| reader.path(&written));
        Some(Self {
            at: node.at.clone(),
            length: reader.optional_text(node, "length"),
            calendar: reader.optional_text(node, "calendar"),
            timezone: reader.optional_text(node, "timezone"),
            time,
            allowed_lateness: reader.optional_text(node, "allowed_lateness"),
            late: reader.optional_text(node, "late"),
            publish_after: reader.optional_text(node, "publish_after"),
            publish_marked: reader.optional_texts(node, "publish_marked"),
            splits_max: reader.optional_whole(node, "splits_max"),
        })
    }
}

impl Fleet {
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        let node = document.get("fleet")?;
        reader.allow(node, &keys::FLEET);
        let topology = reader.required_text(node, "topology")?;
        Some(Self { topology, ledgers: reader.optional_whole(node, "ledgers") })
    }
}

/// What is about events one by one: where it stands, and why a whole table has none of it.
const ABOUT_EVENTS: [(&str, &str, &str); 6] = [
    ("window", "time", "a table is posted for its window, whatever the times of its rows"),
    ("window", "allowed_lateness", "a table is posted when its window is over"),
    ("window", "late", "a table is posted when its window is over"),
    ("window", "publish_after", "a table is published when it is posted"),
    ("window", "publish_marked", "whoever posts a table says that it is whole"),
    ("bounds", "admission", "units cannot be told apart in a table"),
];

/// Reports what an export says of events that never come.
pub(super) fn refuse_beside_tables(document: &Node, reader: &mut Reader) {
    for (part, name, why) in ABOUT_EVENTS {
        let Some(Value::Map(members)) = document.get(part).map(|node| &node.value) else { continue };
        let Some((key, _)) = members.iter().find(|(key, _)| key.value == name) else { continue };
        let message = format!("`{name}` has no meaning where tables are posted");
        let stray = Diagnostic::error("P050", &key.at, message).label(why);
        reader.report(stray.help(format!("leave `{name}` away, or count events: `from: {{contract: ...}}`")));
    }
}
