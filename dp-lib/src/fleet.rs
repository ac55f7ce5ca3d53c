//! Fleets: which pod counts a unit, and what its losses at several add up to.
//!
//! Promise: nothing about a fleet is implied. Each topology names the
//! composition that its guarantee rests on and the number that every charge is
//! multiplied by, and both follow from what the policy declares.
//!
//! **`per_pod`** trusts nothing in front of the pods. A person whose events
//! reach several ledgers is released about by each, and sequential composition
//! adds the losses up (Dwork and Roth 2014, theorem 3.16; Bun and Steinke 2016,
//! lemma 1.7). So a charge is multiplied by the number of ledgers that live
//! within one horizon: pods, and volumes or restarts that lost one.
//!
//! **`user_sharded`** counts a unit at the one shard that owns it, by
//! rendezvous hashing (Thaler and Ravishankar 1998) of the unit. The choice
//! depends on no other unit's data, so shards compose in parallel (McSherry,
//! PINQ 2009, theorem 4): the fleet's loss is the largest of one shard's. The
//! sidecar checks ownership itself; an event that reached another shard is not
//! counted. Parallel composition needs one partition: receipts of one window
//! have to name one ring. Where the ring changed within a window, a unit may
//! have been counted by its old owner and by its new one.
//!
//! Not here: who routes events, and who agrees on the ring; that is the platform.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::digest::Digest;

/// The most ledgers that a charge is multiplied by.
pub const LEDGERS_MAX: u64 = 10_000;

/// The most shards of a ring.
pub const SHARDS_MAX: usize = 256;

const SHARD_NAME_BYTES_MAX: usize = 253;

/// How pods share the counting, as a policy declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fleet {
    /// Every pod counts what reaches it.
    PerPod {
        /// How many ledgers a person's events may reach within one horizon.
        ledgers: NonZeroU64,
    },
    /// Every unit counts at the one shard that owns it.
    UserSharded,
}

/// Who adds noise to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// Every pod for itself.
    PerPod,
    /// Every shard for the units that it owns.
    UserSharded,
}

/// How the losses of pods combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Composition {
    /// They add up.
    Sequential,
    /// The largest of them is the fleet's.
    Parallel,
}

/// What a fleet guarantees, and at what price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetGuarantee {
    /// Who adds noise to what.
    pub topology: Topology,
    /// How the losses of pods combine.
    pub composition: Composition,
    /// What every charge is multiplied by: how many ledgers may release about one unit.
    pub multiplier: NonZeroU64,
}

impl Fleet {
    /// One pod whose ledger is never lost; the fleet of a policy that names none.
    pub const ONE_POD: Self = Self::PerPod { ledgers: NonZeroU64::MIN };

    /// A fleet of pods with so many ledgers, from 1 to [`LEDGERS_MAX`].
    #[must_use]
    pub fn per_pod(ledgers: u64) -> Option<Self> {
        NonZeroU64::new(ledgers).filter(|ledgers| ledgers.get() <= LEDGERS_MAX).map(|ledgers| Self::PerPod { ledgers })
    }

    /// What the fleet guarantees. `through_ring_changes`: whether windows are
    /// published in which the ring changed, in which a unit may have had two owners.
    #[must_use]
    pub fn guarantee(self, through_ring_changes: bool) -> FleetGuarantee {
        let owners = NonZeroU64::MIN.saturating_add(u64::from(through_ring_changes));
        match self {
            Self::PerPod { ledgers } => {
                FleetGuarantee { topology: Topology::PerPod, composition: Composition::Sequential, multiplier: ledgers }
            }
            Self::UserSharded => FleetGuarantee {
                topology: Topology::UserSharded,
                composition: Composition::Parallel,
                multiplier: owners,
            },
        }
    }
}

impl FleetGuarantee {
    /// The guarantee in words, for receipts and for whoever plans an export.
    #[must_use]
    pub fn text(&self) -> String {
        match (self.topology, self.multiplier.get()) {
            (Topology::PerPod, 1) => "holds for this ledger alone: a person counted by several pods, or by a pod that \
                                      lost its ledger, loses the sum of what each releases"
                .to_owned(),
            (Topology::PerPod, ledgers) => format!(
                "every charge counts {ledgers} times: a person counted by {ledgers} ledgers within the horizon loses \
                 no more than the limit in all"
            ),
            (Topology::UserSharded, 1) => "a person is counted by the one shard that owns the identifier, so the \
                                           losses of shards do not add up, as long as all receipts of a window name \
                                           one ring"
                .to_owned(),
            (Topology::UserSharded, owners) => format!(
                "a person is counted by the one shard that owns the identifier, and by {owners} in a window in which \
                 the ring changed once: every charge counts {owners} times"
            ),
        }
    }
}

/// The shards of a fleet, and which of them this pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    epoch: u64,
    shards: Vec<String>,
    /// What each shard's scores are made with, in the order of their names.
    scores_by: Vec<u64>,
    own: usize,
}

/// Which ring a window was counted by, and at which place in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingPlace {
    /// The ring's number, which grows with every change.
    pub epoch: u64,
    /// The digest of epoch and shards: receipts of one window have to agree on it.
    pub ring_sha256: Digest,
    /// The shard's name.
    pub shard: String,
    /// How many shards there are.
    pub shards: u64,
}

/// Why names make no ring.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotARing {
    /// No shard, or too many.
    #[error("a ring has from 1 to {SHARDS_MAX} shards")]
    Size,
    /// A name that receipts cannot carry.
    #[error("a shard's name has 1 to {SHARD_NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`")]
    Name,
    /// Two shards would own the same units.
    #[error("the shard `{0}` is listed twice")]
    Twice(String),
    /// This pod would own nothing, and nobody what it should.
    #[error("the ring has no shard `{0}`")]
    NotInIt(String),
}

impl Ring {
    /// The ring of these shards, in any order, of which `own` is this pod.
    ///
    /// # Errors
    /// No shards or too many, names that are none or come twice, and a pod outside of it.
    pub fn new(epoch: u64, mut shards: Vec<String>, own: &str) -> Result<Self, NotARing> {
        if shards.is_empty() || shards.len() > SHARDS_MAX {
            return Err(NotARing::Size);
        }
        if !shards.iter().all(|name| is_shard_name(name)) {
            return Err(NotARing::Name);
        }
        shards.sort();
        if let Some(pair) = shards.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(NotARing::Twice(pair.concat().split_off(pair.concat().len() / 2)));
        }
        let own =
            shards.binary_search_by(|name| name.as_str().cmp(own)).map_err(|_| NotARing::NotInIt(own.to_owned()))?;
        let scores_by = shards.iter().map(|name| prefix(b"shard", name.as_bytes())).collect();
        Ok(Self { epoch, shards, scores_by, own })
    }

    /// Whether this pod owns a unit. Exactly one shard of a ring does.
    #[must_use]
    pub fn owns(&self, unit: &[u8]) -> bool {
        self.owner_of(unit) == self.own
    }

    /// Its place, for receipts.
    #[must_use]
    pub fn place(&self) -> RingPlace {
        RingPlace {
            epoch: self.epoch,
            ring_sha256: self.digest(),
            shard: self.shards.get(self.own).cloned().unwrap_or_default(),
            shards: self.shards.len() as u64,
        }
    }

    /// The digest of epoch and shards.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let epoch = self.epoch.to_be_bytes();
        let fields = [b"privet-dp ring v1".as_slice(), &epoch].into_iter();
        Digest::of_fields(&fields.chain(self.shards.iter().map(String::as_bytes)).collect::<Vec<_>>())
    }

    /// The shard with the highest score; of two that tie, the last by name. The
    /// epoch is no part of a score, so a ring that grows by one shard moves
    /// the units of that shard and no others.
    ///
    /// A score is a mix of two SHA-256 prefixes, of the unit and of the shard's
    /// name: the unit is hashed once, however many shards there are.
    fn owner_of(&self, unit: &[u8]) -> usize {
        let unit = prefix(b"unit", unit);
        let best = self.scores_by.iter().enumerate().max_by_key(|(_, shard)| mix(unit ^ **shard));
        best.map_or(0, |(at, _)| at)
    }
}

/// The first 8 bytes of a SHA-256, of one kind of thing.
fn prefix(kind: &[u8], of: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::new().chain_update(kind).chain_update([0]).chain_update(of).finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): a bijection of
/// which every bit of the result depends on every bit of the argument.
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn is_shard_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=SHARD_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("privet-{number}")).collect()
    }

    fn ring(count: usize, own: usize) -> Ring {
        Ring::new(41, names(count), &format!("privet-{own}")).unwrap()
    }

    #[test]
    fn a_fleet_multiplies_by_what_it_declares() {
        let multiplier = |fleet: Fleet, changes| fleet.guarantee(changes).multiplier.get();
        assert_eq!(multiplier(Fleet::ONE_POD, true), 1);
        assert_eq!(multiplier(Fleet::per_pod(3).unwrap(), false), 3);
        assert_eq!(multiplier(Fleet::UserSharded, false), 1);
        assert_eq!(multiplier(Fleet::UserSharded, true), 2);
        assert_eq!((Fleet::per_pod(0), Fleet::per_pod(10_001)), (None, None));
    }

    #[test]
    fn every_guarantee_has_words_of_its_own() {
        let fleets = [Fleet::ONE_POD, Fleet::per_pod(3).unwrap(), Fleet::UserSharded];
        let mut texts: Vec<String> = fleets.into_iter().map(|fleet| fleet.guarantee(false).text()).collect();
        texts.push(Fleet::UserSharded.guarantee(true).text());
        assert!(texts[1].contains("3 times") && texts[3].contains("2 times"));
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 4);
    }

    #[test]
    fn names_that_make_no_ring_are_refused() {
        let of = |shards: &[&str], own| Ring::new(1, shards.iter().map(|name| (*name).to_owned()).collect(), own);
        assert_eq!(of(&[], "a"), Err(NotARing::Size));
        assert_eq!(Ring::new(1, names(257), "privet-0"), Err(NotARing::Size));
        assert_eq!(of(&["a", "b c"], "a"), Err(NotARing::Name));
        assert_eq!(of(&["a", "b", "a"], "a"), Err(NotARing::Twice("a".to_owned())));
        assert_eq!(of(&["a", "b"], "c"), Err(NotARing::NotInIt("c".to_owned())));
        assert_eq!(of(&["b", "a"], "a").unwrap().digest(), of(&["a", "b"], "b").unwrap().digest());
        assert_ne!(of(&["ab"], "ab").unwrap().digest(), of(&["a", "b"], "b").unwrap().digest());
    }

    /// One of 20,000 units moves with probability 1/8 when a ring of 7 grows to 8. Beyond 5 standard deviations (2500
    /// plus or minus 234) a fair hash falls with probability below 6e-7; the units are fixed, so it is the same each time.
    #[test]
    fn a_ring_that_grows_moves_the_share_of_the_new_shard_to_it_alone() {
        let (before, after) = (ring(7, 0), ring(8, 0));
        let owner = |ring: &Ring, unit: u32| ring.shards[ring.owner_of(&unit.to_le_bytes())].clone();
        let moved: Vec<u32> = (0..20_000).filter(|unit| owner(&before, *unit) != owner(&after, *unit)).collect();
        assert!(moved.iter().all(|unit| owner(&after, *unit) == "privet-7"));
        assert!((2266..=2734).contains(&moved.len()), "{}", moved.len());
    }

    /// 16 shards of 32,000 units: each owns 2000 plus or minus 216, which is 5 standard deviations; a fair hash leaves
    /// that range in one of the 16 with probability below 1e-5, and the units are fixed.
    #[test]
    fn shards_own_equal_shares() {
        let ring = ring(16, 0);
        let mut owned = [0_u32; 16];
        (0..32_000_u32).for_each(|unit| owned[ring.owner_of(format!("user-{unit}").as_bytes())] += 1);
        assert!(owned.iter().all(|units| (1784..=2216).contains(units)), "{owned:?}");
    }

    /// What each event of a sharded export costs a request: `cargo test -p privet-dp --release cost_of -- --ignored --nocapture`.
    #[test]
    #[ignore = "measures"]
    fn cost_of_ownership() {
        for shards in [3, 16, 256] {
            let ring = ring(shards, 0);
            let started = std::time::Instant::now();
            let owned = (0..20_000_u32).filter(|unit| ring.owns(format!("user-{unit}").as_bytes())).count();
            println!("{shards} shards: {} ns a unit ({owned} owned)", started.elapsed().as_nanos() / 20_000);
        }
    }

    proptest! {
        #[test]
        fn exactly_one_shard_owns_a_unit(unit: Vec<u8>, count in 1_usize..20) {
            let owners = (0..count).filter(|own| ring(count, *own).owns(&unit)).count();
            prop_assert_eq!(owners, 1);
        }

        #[test]
        fn the_order_of_shards_and_the_epoch_move_no_unit(unit: Vec<u8>) {
            let mut shards = names(9);
            shards.reverse();
            let other = Ring::new(42, shards, "privet-3").unwrap();
            prop_assert_eq!(other.owns(&unit), ring(9, 3).owns(&unit));
        }
    }
}
