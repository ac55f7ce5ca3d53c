//! Between which times of witnesses a roll was made.
//!
//! A roll names the cosigned checkpoint that was published before it, so it was made after the earliest time in that one. It is
//! covered by every later cosigned checkpoint, so it was made before the latest time in the first of those that is at hand.
//! Each holds as long as one witness of a quorum has a right clock.

use std::collections::{BTreeMap, HashMap};
use std::io;

use crate::disk::{NOTE_BYTES_MAX, read_if_there};
use crate::quorum::TrustPolicy;
use crate::stored::Stored;
use crate::tree::Hash;
use crate::verify::Report;

use super::rolls::{Roll, Rolls};

/// A cosigned checkpoint: how many records it covers, and the earliest and the latest time in it.
#[derive(Clone, Copy)]
struct Cosigned {
    size: u64,
    earliest: Option<u64>,
    latest: Option<u64>,
}

/// What became of a named checkpoint.
#[derive(Clone, Copy)]
enum Found {
    Right(Cosigned),
    Absent,
    Wrong,
}

/// Fills in the times of the rolls. `newest` is the size of the ledger's newest checkpoint and its latest time.
pub(super) fn time(
    stored: &Stored,
    policy: &TrustPolicy,
    newest: Option<(u64, u64)>,
    rolls: &mut Rolls,
    report: &mut Report,
) -> io::Result<()> {
    let mut found: HashMap<String, Found> = HashMap::new();
    let (mut absent, mut latest) = (0_u64, BTreeMap::from_iter(newest));
    for roll in rolls.values_mut().flat_map(BTreeMap::values_mut) {
        let Some(hex) = &roll.witnessed else { continue };
        let one = match found.get(hex) {
            Some(one) => *one,
            None => {
                let one = look_up(stored, policy, hex)?;
                found.insert(hex.clone(), one);
                one
            }
        };
        match one {
            // What a roll names was published before it.
            Found::Right(cosigned) if cosigned.size <= roll.seq => {
                roll.not_before = cosigned.earliest;
                latest.extend(cosigned.latest.map(|latest| (cosigned.size, latest)));
            }
            Found::Absent => absent += 1,
            Found::Right(_) | Found::Wrong => report.finding("ledger_witnessed", (None, None), not_as_named(roll, hex)),
        }
    }
    if absent > 0 {
        report.assumptions.push(format!(
            "of {absent} rolls the cosigned checkpoint that they name is not in the ledger's directory: before when they were not made is the ledger's word"
        ));
    }
    not_after(rolls, &latest);
    Ok(())
}

fn not_as_named(roll: &Roll, hex: &str) -> String {
    format!(
        "the ledger's record {} names the cosigned checkpoint {hex}, which is not one that came before it",
        roll.seq
    )
}

fn look_up(stored: &Stored, policy: &TrustPolicy, hex: &str) -> io::Result<Found> {
    let bytes = match read_if_there(&stored.dir.join("cosigned").join(hex), NOTE_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Found::Absent),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Found::Wrong),
        Err(error) => return Err(error),
    };
    let note = String::from_utf8(bytes).ok().filter(|note| Hash::of(note.as_bytes()).to_hex() == hex);
    let Some(witnessed) = note.and_then(|note| policy.check(&note).ok()) else { return Ok(Found::Wrong) };
    let times = || witnessed.by.iter().map(|(_, time)| *time);
    Ok(Found::Right(Cosigned { size: witnessed.checkpoint.size, earliest: times().min(), latest: times().max() }))
}

/// Each roll was made before the earliest of the times at which something that covers it was cosigned.
fn not_after(rolls: &mut Rolls, latest: &BTreeMap<u64, u64>) {
    let mut best: BTreeMap<u64, u64> = BTreeMap::new();
    let mut least = u64::MAX;
    for (size, time) in latest.iter().rev() {
        least = least.min(*time);
        best.insert(*size, least);
    }
    for roll in rolls.values_mut().flat_map(BTreeMap::values_mut) {
        roll.not_after = best.range(roll.seq + 1..).next().map(|(_, time)| *time);
    }
}
