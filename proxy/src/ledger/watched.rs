//! The pods' logs as they stand in the store, each held against what was rolled of it before.
//!
//! Promise: a log is rolled forward only if its checkpoint is signed by the key that was rolled first, and its tiles prove
//! that nothing rolled before was changed. What contradicts itself is a finding, once, and stays where it was. The first
//! key seen under an origin is believed: whoever may write the store may name logs. One log whose objects cannot be read
//! does not stand in the way of the others. Bounds: 100,000 origins, 10,000 findings told apart; beyond, no new log is
//! rolled and the metric says so; 200,000 names on 2,000 pages and 30 s in one look; of each object what its kind may have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use privet_audit_log::canonical::INTEGER_MAX;
use privet_audit_log::note::{Checkpoint, VerifierKey};
use privet_audit_log::proof::verify_consistency;
use privet_audit_log::tile::TileName;
use privet_audit_log::tiled::{self, Tiles, decode_tile};
use privet_audit_log::tree::{Hash, TILE_WIDTH};

use crate::ship::{HEADS, head_key};
use crate::store::{Fault, Key, NOTE_BYTES_MAX, PAGE_KEYS_MAX, Store, Tag};

const LOGS_MAX: usize = 100_000;
/// Of one look. A store that lists on and on, in names or in empty pages, is not followed.
const NAMES_MAX: usize = PAGE_KEYS_MAX;
const PAGES_MAX: usize = 2_000;
const TILE_BYTES_MAX: usize = TILE_WIDTH * 32;
const FINDINGS_MAX: usize = 10_000;
/// What was not looked at by then waits for the next round: the ledger's own records must not be further apart than
/// its verifier allows.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// What was rolled of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rolled {
    pub(super) size: u64,
    pub(super) root: Hash,
    /// `sha256:` of its key's text.
    pub(super) key: String,
}

/// Why a log is not rolled forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// Its checkpoint is smaller than one before.
    RolledBack,
    /// Its tree does not continue the one before.
    Inconsistent,
    /// Its checkpoint is not signed by its key.
    Unsigned,
    /// Its key is another than before.
    OtherKey,
    /// The copied checkpoint is not under its own name, or is none.
    Misplaced,
}

impl Reason {
    /// The word that the ledger's log uses.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::RolledBack => "rolled_back",
            Self::Inconsistent => "inconsistent",
            Self::Unsigned => "unsigned",
            Self::OtherKey => "other_key",
            Self::Misplaced => "misplaced",
        }
    }
}

/// A contradiction in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Contradiction {
    pub(super) origin: String,
    pub(super) reason: Reason,
    /// What the store shows, where it shows anything.
    pub(super) seen: Option<(u64, Hash)>,
}

/// What one look at the store found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Logs that moved on, by origin.
    pub(super) moved: BTreeMap<String, Rolled>,
    /// What is new of contradictions.
    pub(super) contradictions: Vec<Contradiction>,
    /// Logs whose objects were not all there, to be looked at again.
    pub(super) unread: usize,
}

/// All watched logs.
pub(super) struct Watched {
    store: Store,
    rolled: BTreeMap<String, Rolled>,
    /// The tag of each copied checkpoint when it was last dealt with.
    seen: BTreeMap<String, Tag>,
    told: BTreeSet<Contradiction>,
}

/// What became of one copied checkpoint.
enum Judged {
    Same,
    Moved(String, Rolled),
    Contradicts(Contradiction),
    Unread,
}

impl Watched {
    pub(super) fn new(store: Store, rolled: BTreeMap<String, Rolled>) -> Self {
        Self { store, rolled, seen: BTreeMap::new(), told: BTreeSet::new() }
    }

    /// How many logs were rolled.
    pub(super) fn len(&self) -> usize {
        self.rolled.len()
    }

    /// What was rolled of a log before.
    pub(super) fn rolled(&self, origin: &str) -> Option<&Rolled> {
        self.rolled.get(origin)
    }

    /// Looks at every log whose checkpoint changed since the last look. What was found before a fault is part of it: it
    /// has been seen, and would not be found again.
    pub(super) async fn look(&mut self) -> (Look, Option<Fault>) {
        let (mut look, mut fault) = (Look::default(), None);
        if let Err(ended) = self.look_into(&mut look, &mut fault).await {
            fault = Some(ended);
        }
        (look, fault)
    }

    /// A fault that is one object's is put into `aside`, and the others are looked at.
    async fn look_into(&mut self, look: &mut Look, aside: &mut Option<Fault>) -> Result<(), Fault> {
        let heads = Key::new(HEADS).ok_or(Fault::Unreadable)?;
        let (mut from, mut names) = (None, 0_usize);
        let begun = Instant::now();
        for _ in 0..PAGES_MAX {
            let page = self.store.list(&heads, from.as_deref()).await?;
            names = names.saturating_add(page.objects.len());
            if names > NAMES_MAX {
                return Err(Fault::TooMuch);
            }
            for (name, tag) in page.objects {
                if self.seen.get(&name) == Some(&tag) {
                    continue;
                }
                if begun.elapsed() > LOOK_MAX {
                    look.unread += 1;
                    return Ok(());
                }
                match self.look_at(name, tag, look).await {
                    Err(fault) if fault.is_of_one_object() => {
                        look.unread += 1;
                        aside.get_or_insert(fault);
                    }
                    done => done?,
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
        Err(Fault::TooMuch)
    }

    async fn look_at(&mut self, name: String, tag: Tag, look: &mut Look) -> Result<(), Fault> {
        let is_known = self.seen.contains_key(&name);
        if !is_known && self.seen.len() >= LOGS_MAX {
            look.unread += 1;
            return Ok(());
        }
        match self.judge(&name).await? {
            Judged::Unread => {
                look.unread += 1;
                return Ok(());
            }
            Judged::Same => {}
            Judged::Moved(origin, rolled) => drop(look.moved.insert(origin, rolled)),
            Judged::Contradicts(found) => {
                if self.told.len() < FINDINGS_MAX && self.told.insert(found.clone()) {
                    look.contradictions.push(found);
                }
            }
        }
        self.seen.insert(name, tag);
        Ok(())
    }

    async fn judge(&self, name: &str) -> Result<Judged, Fault> {
        let Some(head) = Key::new(format!("{HEADS}/{name}")) else { return Ok(Judged::Unread) };
        let note = match self.store.read(&head, NOTE_BYTES_MAX).await {
            Ok(Some(object)) => String::from_utf8(object.bytes).unwrap_or_default(),
            Ok(None) => return Ok(Judged::Unread),
            // No checkpoint is as long: what is there is none.
            Err(Fault::TooMuch) => String::new(),
            Err(fault) => return Err(fault),
        };
        let claimed =
            Checkpoint::claimed(&note).ok().filter(|claimed| head_key(&claimed.origin).as_ref() == Some(&head));
        // No record could hold such a size, and no log reaches it.
        let claimed = claimed.filter(|claimed| claimed.size <= INTEGER_MAX);
        let Some(claimed) = claimed else {
            let origin = head.as_str().to_owned();
            return Ok(Judged::Contradicts(Contradiction { origin, reason: Reason::Misplaced, seen: None }));
        };
        let Some(key) = self.key_of(&claimed.origin).await? else { return Ok(Judged::Unread) };
        let contradicts = |reason| {
            let seen = Some((claimed.size, claimed.root));
            Ok(Judged::Contradicts(Contradiction { origin: claimed.origin.clone(), reason, seen }))
        };
        let digest = Hash::of(key.to_string().as_bytes()).to_address();
        let before = self.rolled.get(&claimed.origin);
        if before.is_some_and(|before| before.key != digest) {
            return contradicts(Reason::OtherKey);
        }
        if Checkpoint::open(&note, &key).is_err() {
            return contradicts(Reason::Unsigned);
        }
        let before = before.map(|before| (before.size, before.root));
        match before {
            Some((size, _)) if claimed.size < size => return contradicts(Reason::RolledBack),
            Some((size, root)) if claimed.size == size && claimed.root == root => return Ok(Judged::Same),
            Some((size, _)) if claimed.size == size => return contradicts(Reason::Inconsistent),
            _ => {}
        }
        match self.continues(before, &claimed).await? {
            None => Ok(Judged::Unread),
            Some(false) => contradicts(Reason::Inconsistent),
            Some(true) => {
                Ok(Judged::Moved(claimed.origin, Rolled { size: claimed.size, root: claimed.root, key: digest }))
            }
        }
    }

    async fn key_of(&self, origin: &str) -> Result<Option<VerifierKey>, Fault> {
        let Some(at) = Key::new(format!("{origin}/vkey")) else { return Ok(None) };
        let Some(object) = self.store.read(&at, NOTE_BYTES_MAX).await? else { return Ok(None) };
        let key = String::from_utf8(object.bytes).ok().and_then(|text| VerifierKey::parse(&text).ok());
        Ok(key.filter(|key| key.name() == origin))
    }

    /// Whether the shipped tiles lead from what was rolled to the checkpoint; nothing where tiles are missing.
    async fn continues(&self, before: Option<(u64, Hash)>, now: &Checkpoint) -> Result<Option<bool>, Fault> {
        let old = before.filter(|(size, _)| *size > 0);
        let names = match old {
            Some((size, _)) => tiled::needed_for_consistency(size, now.size),
            None => tiled::needed_for_root(now.size),
        };
        let mut tiles = Tiles::new();
        for name in names {
            match self.tile(&now.origin, name).await? {
                Some(tile) => drop(tiles.insert(name, tile)),
                None => return Ok(None),
            }
        }
        Ok(Some(match old {
            Some(old) => tiled::consistency(old.0, now.size, &tiles)
                .is_some_and(|proof| verify_consistency(old, (now.size, now.root), &proof).is_ok()),
            None => tiled::root(now.size, &tiles) == Some(now.root),
        }))
    }

    async fn tile(&self, origin: &str, name: TileName) -> Result<Option<Vec<Hash>>, Fault> {
        let Some(at) = Key::new(format!("{origin}/{}", name.path())) else { return Ok(None) };
        let object = self.store.read(&at, TILE_BYTES_MAX).await?;
        Ok(object.and_then(|object| decode_tile(&object.bytes, name.width)))
    }

    /// Takes over what is rolled now. Only once it is in the ledger's log.
    pub(super) fn roll(&mut self, moved: BTreeMap<String, Rolled>) {
        self.rolled.extend(moved);
    }

    /// Forgets that these were seen, for they could not be recorded.
    pub(super) fn look_again(&mut self) {
        self.seen.clear();
        self.told.clear();
    }
}
