//! One incarnation on its way to the store.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use privet_audit_log::note::{Checkpoint, VerifierKey};
use privet_audit_log::tile::{TileName, decode_bundle, encode_bundle};
use privet_audit_log::tiled::{self, Tiles, decode_tile};
use privet_audit_log::tree::{Hash, TILE_WIDTH};

use super::files::{CHECKPOINT, ENTRIES, HASHES};
use super::pass::Content;
use super::{Shipper, Unshipped, head_key};
use crate::store::{NOTE_BYTES_MAX, Over, Tag};

/// What the store holds of an incarnation.
#[derive(Clone, Debug)]
pub(super) struct Shipped {
    /// The size of the checkpoint there; 0 where there is none.
    size: u64,
    /// That checkpoint's tag.
    tag: Option<Tag>,
    /// Whether the incarnation ended and all of it is there.
    whole: bool,
}

impl Shipper {
    /// Ships what one incarnation has and the store does not.
    pub(super) async fn incarnation(&mut self, number: u64, is_newest: bool) -> Result<(), Unshipped> {
        let known = self.shipped.get(&number).cloned();
        if known.as_ref().is_some_and(|known| known.whole) {
            return Ok(());
        }
        let Some(note) = self.note(number)? else { return Ok(()) };
        let key = self.signing_key(number)?;
        // Before anything in the store gives way to it: what is on the volume is its writers' word, the signature is not.
        let claimed = Checkpoint::open(&note, &key).map_err(|_| Unshipped::Damaged(number))?;
        let nothing_new = known.as_ref().is_some_and(|known| known.size == claimed.size && known.tag.is_some());
        if is_newest && nothing_new {
            return Ok(());
        }
        let is_new = known.is_none();
        let known = match known {
            Some(known) => known,
            None => self.found(number, &key, &claimed).await?,
        };
        if is_new {
            self.place(&format!("{number}/vkey"), format!("{key}\n").into_bytes(), Content::Proving).await?;
        }
        self.agrees(number, &claimed)?;
        for name in tiled::grown(known.size, claimed.size) {
            self.tile(number, name).await?;
        }
        let known_size = known.size;
        let mut now = known;
        if claimed.size > now.size || now.tag.is_none() {
            self.checkpoint(number, &claimed, &note, &mut now).await?;
        }
        // Of one that was only found there, nobody knows whether its copy was written, too.
        if (is_new || known_size < claimed.size)
            && let Some(head) = head_key(&claimed.origin)
        {
            self.store.write(&head, note.into_bytes(), Over::Anything).await?;
        }
        if !is_newest {
            // A crash left records after the last checkpoint; the next incarnation vouches for them.
            for name in self.tiles_past(number, claimed.size)? {
                self.tile(number, name).await?;
            }
            now.whole = true;
        }
        self.shipped.insert(number, now);
        Ok(())
    }

    /// What the store holds when it is first looked at. Only what this incarnation signed may be there.
    async fn found(&self, number: u64, key: &VerifierKey, here: &Checkpoint) -> Result<Shipped, Unshipped> {
        let there = self.there(&format!("{number}/checkpoint"), NOTE_BYTES_MAX).await?;
        let Some(there) = there else { return Ok(Shipped { size: 0, tag: None, whole: false }) };
        let opened = String::from_utf8(there.bytes).ok().and_then(|note| Checkpoint::open(&note, key).ok());
        let ours = opened.filter(|opened| opened.size < here.size || opened == here);
        let ours = ours.ok_or_else(|| Unshipped::Conflict(format!("{number}/checkpoint")))?;
        Ok(Shipped { size: ours.size, tag: Some(there.tag), whole: false })
    }

    /// Puts the checkpoint over the one before, and removes what only that one needed.
    async fn checkpoint(
        &mut self,
        number: u64,
        claimed: &Checkpoint,
        note: &str,
        now: &mut Shipped,
    ) -> Result<(), Unshipped> {
        let name = format!("{number}/checkpoint");
        let key = self.key(&name)?;
        let over = now.tag.as_ref().map_or(Over::Nothing, Over::This);
        if !self.store.write(&key, note.as_bytes().to_vec(), over).await? {
            // Somebody else wrote there, or our own write was not answered: look again.
            self.shipped.remove(&number);
            return match self.there(&name, NOTE_BYTES_MAX).await? {
                Some(there) if there.bytes == note.as_bytes() => Err(Unshipped::Moved),
                _ => Err(Unshipped::Conflict(name)),
            };
        }
        self.parts.metrics.ship_objects.increment(1);
        let (stale, kept) = (tiled::edge(now.size), tiled::edge(claimed.size));
        for name in stale.difference(&kept) {
            // What stays there too long is no harm: it is what its name says.
            let ending = if name.level.is_none() && !self.parts.ship.seal_to.is_empty() { ".age" } else { "" };
            self.store.remove(&self.key(&format!("{number}/{}{ending}", name.path()))?).await.ok();
        }
        now.size = claimed.size;
        now.tag = self.there(&name, NOTE_BYTES_MAX).await?.map(|there| there.tag);
        Ok(())
    }

    async fn tile(&mut self, number: u64, name: TileName) -> Result<(), Unshipped> {
        let (bytes, at) = (self.cut(number, name)?, format!("{number}/{}", name.path()));
        if name.level.is_some() {
            return self.place(&at, bytes, Content::Proving).await;
        }
        let entries = decode_bundle(&bytes).ok_or(Unshipped::Damaged(number))?;
        self.check_entries(number, name, &entries)?;
        self.documents(number, &entries).await?;
        drop(entries);
        self.place(&at, bytes, Content::Telling(&[])).await
    }

    /// A bundle's entries have the hashes of the tile beside it.
    fn check_entries(&self, number: u64, name: TileName, entries: &[&[u8]]) -> Result<(), Unshipped> {
        let tile = self.cut(number, TileName { level: Some(0), ..name })?;
        let hashes = decode_tile(&tile, name.width).ok_or(Unshipped::Damaged(number))?;
        let same = entries.iter().map(|entry| Hash::leaf(entry)).eq(hashes);
        if same { Ok(()) } else { Err(Unshipped::Damaged(number)) }
    }

    /// The hash tiles lead to the checkpoint's root.
    fn agrees(&self, number: u64, claimed: &Checkpoint) -> Result<(), Unshipped> {
        let mut tiles = Tiles::new();
        for name in tiled::needed_for_root(claimed.size) {
            let tile = decode_tile(&self.cut(number, name)?, name.width);
            tiles.insert(name, tile.ok_or(Unshipped::Damaged(number))?);
        }
        match tiled::root(claimed.size, &tiles) {
            Some(root) if root == claimed.root => Ok(()),
            _ => Err(Unshipped::Damaged(number)),
        }
    }

    fn note(&self, number: u64) -> Result<Option<String>, Unshipped> {
        let note = self.files.read(&format!("{number}/checkpoint"), CHECKPOINT)?;
        note.map(|note| String::from_utf8(note).map_err(|_| Unshipped::Damaged(number))).transpose()
    }

    /// The key in the incarnation's first record; where the key of that name is known from elsewhere, it has to be that.
    fn signing_key(&self, number: u64) -> Result<VerifierKey, Unshipped> {
        let damaged = || Unshipped::Damaged(number);
        let bundle = self.cut(number, TileName { level: None, index: 0, width: 1 })?;
        let entries = decode_bundle(&bundle).unwrap_or_default();
        let open: Option<serde_json::Value> = entries.first().and_then(|entry| serde_json::from_slice(entry).ok());
        let key = open.as_ref().and_then(|open| open.get("vkey")?.as_str()).map(VerifierKey::parse);
        let key = key.and_then(Result::ok).ok_or_else(damaged)?;
        let known = self.parts.keys.iter().find(|known| known.name() == key.name());
        let is_it = key.name() == format!("{}/{number}", self.parts.origin) && known.is_none_or(|known| *known == key);
        if is_it { Ok(key) } else { Err(damaged()) }
    }

    /// The bytes of a tile or bundle, from its own file or from a wider one: what a checkpoint needs may have grown since.
    fn cut(&self, number: u64, name: TileName) -> Result<Vec<u8>, Unshipped> {
        if let Some(bytes) = self.file(number, name)? {
            return Ok(bytes);
        }
        let wider = (name.width + 1..=256).rev().map(|width| TileName { width, ..name });
        for wider in wider {
            if let Some(bytes) = self.file(number, wider)? {
                return narrowed(&bytes, name).ok_or(Unshipped::Damaged(number));
            }
        }
        Err(Unshipped::Moved)
    }

    fn file(&self, number: u64, name: TileName) -> Result<Option<Vec<u8>>, Unshipped> {
        let kind = if name.level.is_some() { HASHES } else { ENTRIES };
        self.files.read(&format!("{number}/{}", name.path()), kind)
    }

    /// The tiles on the disk that reach past `size` leaves.
    fn tiles_past(&self, number: u64, size: u64) -> Result<Vec<TileName>, Unshipped> {
        let root = self.parts.log.join(number.to_string());
        let mut open = vec![root.join("tile")];
        let mut found = BTreeSet::new();
        while let Some(dir) = open.pop() {
            let listing = match fs::read_dir(&dir) {
                Ok(listing) => listing,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            for item in listing {
                let (item, path) = item.map(|item| (item.file_type(), item.path()))?;
                if item?.is_dir() {
                    open.push(path);
                } else if let Some(name) =
                    path.strip_prefix(&root).ok().and_then(|path| TileName::parse(path.to_str()?))
                {
                    found.insert(name);
                }
            }
        }
        let end = |name: &TileName| {
            let hashes = name.index.saturating_mul(TILE_WIDTH as u64).saturating_add(u64::from(name.width));
            hashes.saturating_mul(1_u64 << (8 * u32::from(name.level.unwrap_or(0).min(7))))
        };
        Ok(found.into_iter().filter(|name| end(name) > size).collect())
    }
}

/// The first hashes of a wider tile, or entries of a wider bundle.
fn narrowed(bytes: &[u8], to: TileName) -> Option<Vec<u8>> {
    let width = usize::from(to.width);
    match to.level {
        Some(_) => bytes.get(..width * 32).map(<[u8]>::to_vec),
        None => decode_bundle(bytes)?.get(..width).map(|entries| encode_bundle(entries.iter().copied())),
    }
}
