//! `window:` and `fleet:` of an export as they were written.

use super::keys;
use super::read::Reader;
use crate::export::{Fleet, Window};
use crate::yaml::Node;

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
