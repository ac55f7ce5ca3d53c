//! `window:` and `fleet:` of an export as they were written.

use super::keys;
use super::read::Reader;
use crate::export::{Fleet, Window};
use crate::span::Spanned;
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
            splits_max: whole(node, "splits_max", reader),
        })
    }
}

impl Fleet {
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        let node = document.get("fleet")?;
        reader.allow(node, &keys::FLEET);
        let topology = reader.required_text(node, "topology")?;
        Some(Self { topology, ledgers: whole(node, "ledgers", reader) })
    }
}

/// A member that is a whole number, if it is there; its bounds are `privet-dp`'s.
fn whole(node: &Node, name: &str, reader: &mut Reader) -> Option<Spanned<u64>> {
    let member = node.get(name)?;
    let number = member.scalar().and_then(|text| text.parse().ok());
    if number.is_none() {
        reader.wrong_type(member, "a whole number");
    }
    number.map(|number| Spanned::new(number, member.at.clone()))
}
