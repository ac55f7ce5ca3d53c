//! The witness protocol's texts and its one decision (c2sp.org/tlog-witness, `add-checkpoint`).
//!
//! Promise: a checkpoint is let through only if it is signed by a key of its log and continues the one let through
//! before, by a proof. Not here: HTTP, keeping what was let through (which has to be durable before anybody is told, and
//! undivided with [`judge`]), and the cosignature ([`crate::cosignature`]).

use std::fmt;

use thiserror::Error;

use crate::note::{Checkpoint, VerifierKey, split_note};
use crate::proof::verify_consistency;
use crate::tree::Hash;

/// The most hashes of a proof that the protocol allows.
pub const PROOF_LINES_MAX: usize = 63;

/// The content type of a 409's body.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// A request to cosign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness is believed to have cosigned last.
    pub old: u64,
    /// From there to the checkpoint.
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub note: String,
}

/// Why a checkpoint is not cosigned.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Declined {
    /// The request is not as the protocol writes it.
    #[error("the request is not an old size, a proof, an empty line and a signed checkpoint")]
    Malformed,
    /// The old size is past the checkpoint's.
    #[error("the old size is more than the size of the checkpoint")]
    Backwards,
    /// No log of this origin is known here.
    #[error("the log is not known here")]
    UnknownLog,
    /// No key of this log signed it.
    #[error("no key of this log signed the checkpoint")]
    Unsigned,
    /// Another size was cosigned last.
    #[error("the size cosigned last is {0}")]
    Stale(u64),
    /// The same size was cosigned with another root: the log has two histories.
    #[error("another root was cosigned at size {0}")]
    Forked(u64),
    /// The proof does not lead from the one to the other.
    #[error("the consistency proof does not hold")]
    BadProof,
}

impl Declined {
    /// The HTTP status that the protocol has for it.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed | Self::Backwards => 400,
            Self::Unsigned => 403,
            Self::UnknownLog => 404,
            Self::Stale(_) | Self::Forked(_) => 409,
            Self::BadProof => 422,
        }
    }

    /// The size that a 409 tells.
    #[must_use]
    pub const fn known_size(&self) -> Option<u64> {
        match self {
            Self::Stale(size) | Self::Forked(size) => Some(*size),
            _ => None,
        }
    }
}

/// A decimal without leading zeroes, of ASCII digits alone.
fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// Reads the body of a 409.
#[must_use]
pub fn parse_size(body: &str) -> Option<u64> {
    body.strip_suffix('\n').and_then(decimal)
}

impl AddCheckpoint {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`Declined::Malformed`].
    pub fn parse(body: &str) -> Result<Self, Declined> {
        let (head, note) = body.split_once("\n\n").ok_or(Declined::Malformed)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let proof: Option<Vec<Hash>> = lines.map(Hash::from_base64).collect();
        let (Some(old), Some(proof)) = (old, proof) else { return Err(Declined::Malformed) };
        let well_formed = proof.len() <= PROOF_LINES_MAX && Checkpoint::claimed(note).is_ok();
        if well_formed { Ok(Self { old, proof, note: note.to_owned() }) } else { Err(Declined::Malformed) }
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.note)
    }
}

/// Decides whether `request` may be cosigned where `known` was let through last for its log, if anything was.
///
/// `keys` are those of every log that is known; one whose name is the checkpoint's origin has to have signed it. Gives
/// the checkpoint, and its text as the log wrote it.
///
/// # Errors
/// [`Declined`], in the order in which the protocol names the checks.
pub fn judge<'r>(
    request: &'r AddCheckpoint,
    keys: &[VerifierKey],
    known: Option<&Checkpoint>,
) -> Result<(Checkpoint, &'r str), Declined> {
    let (text, _) = split_note(&request.note).map_err(|_| Declined::Malformed)?;
    let claimed = Checkpoint::parse(text).map_err(|_| Declined::Malformed)?;
    let mut own = keys.iter().filter(|key| key.name() == claimed.origin).peekable();
    if own.peek().is_none() {
        return Err(Declined::UnknownLog);
    }
    if !own.any(|key| Checkpoint::open(&request.note, key).is_ok()) {
        return Err(Declined::Unsigned);
    }
    if request.old > claimed.size {
        return Err(Declined::Backwards);
    }
    let (size, root) = known.map_or((0, Hash::empty()), |known| (known.size, known.root));
    if request.old != size {
        return Err(Declined::Stale(size));
    }
    continues((size, root), (claimed.size, claimed.root), &request.proof)?;
    Ok((claimed, text))
}

/// Whether the proof leads from what was cosigned last to what is asked for.
fn continues(old: (u64, Hash), new: (u64, Hash), proof: &[Hash]) -> Result<(), Declined> {
    match (old.0, new.0) {
        (same, size) if same == size && old.1 != new.1 => Err(Declined::Forked(size)),
        // From nothing everything follows, and nothing proves it.
        (0, _) => {
            if proof.is_empty() {
                Ok(())
            } else {
                Err(Declined::BadProof)
            }
        }
        _ => verify_consistency(old, new, proof).map_err(|_| Declined::BadProof),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::Signer;
    use crate::proof::consistency;
    use crate::tree::merkle_root;

    fn log() -> Signer {
        Signer::from_seed("log.example/1", &[9; 32]).unwrap()
    }

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|n| Hash::leaf(&n.to_be_bytes())).collect()
    }

    fn at(size: u64) -> Checkpoint {
        Checkpoint { origin: "log.example/1".into(), size, root: merkle_root(&leaves(size)) }
    }

    fn request(old: u64, size: u64) -> AddCheckpoint {
        let proof = consistency(&leaves(size), old).unwrap_or_default();
        AddCheckpoint { old, proof, note: log().sign(&at(size).to_text()) }
    }

    fn judged(request: &AddCheckpoint, known: Option<u64>) -> Result<Checkpoint, Declined> {
        let keys = [log().verifier().clone()];
        judge(request, &keys, known.map(at).as_ref()).map(|(checkpoint, _)| checkpoint)
    }

    #[test]
    fn a_checkpoint_that_continues_the_last_is_let_through_in_its_own_bytes() {
        for (known, old, size) in [(None, 0, 5), (Some(5), 5, 9), (Some(9), 9, 9), (None, 0, 0), (Some(0), 0, 3)] {
            let request = request(old, size);
            assert_eq!(AddCheckpoint::parse(&request.to_string()), Ok(request.clone()));
            assert_eq!(judged(&request, known), Ok(at(size)), "{known:?} {old} {size}");
        }
    }

    #[test]
    fn each_refusal_has_the_status_that_the_text_gives_it() {
        let stale = judged(&request(5, 9), Some(7)).unwrap_err();
        assert_eq!((stale.status(), stale.known_size()), (409, Some(7)));
        assert_eq!(judged(&request(5, 9), None), Err(Declined::Stale(0)));
        assert_eq!(judged(&AddCheckpoint { old: 10, ..request(5, 9) }, Some(10)).unwrap_err().status(), 400);
        let bad = AddCheckpoint { proof: request(4, 9).proof, ..request(5, 9) };
        assert_eq!(judged(&bad, Some(5)).unwrap_err().status(), 422);
        assert_eq!(
            judged(&AddCheckpoint { proof: vec![Hash::of(b"x")], ..request(0, 9) }, None).unwrap_err().status(),
            422
        );
        assert_eq!(
            judged(&AddCheckpoint { proof: vec![Hash::of(b"x")], ..request(9, 9) }, Some(9)).unwrap_err().status(),
            422
        );
        let fork = Checkpoint { root: Hash::of(b"other"), ..at(9) };
        let fork = AddCheckpoint { note: log().sign(&fork.to_text()), ..request(9, 9) };
        assert_eq!(judged(&fork, Some(9)), Err(Declined::Forked(9)));
        let stranger = Signer::from_seed("log.example/1", &[8; 32]).unwrap();
        let unsigned = AddCheckpoint { note: stranger.sign(&at(9).to_text()), ..request(0, 9) };
        assert_eq!(judged(&unsigned, None).unwrap_err().status(), 403);
        let elsewhere = Signer::from_seed("elsewhere.example/1", &[8; 32]).unwrap();
        let other = Checkpoint { origin: "elsewhere.example/1".into(), ..at(9) };
        let unknown = AddCheckpoint { note: elsewhere.sign(&other.to_text()), ..request(0, 9) };
        assert_eq!(judged(&unknown, None).unwrap_err().status(), 404);
    }

    #[test]
    fn a_signature_by_an_unknown_key_beside_the_logs_changes_nothing() {
        let stranger = Signer::from_seed("log.example/1", &[8; 32]).unwrap().sign(&at(9).to_text());
        let line = stranger.split("\n\n").nth(1).unwrap();
        let asked = request(5, 9);
        let both = asked.note.replacen("\n\n", &format!("\n\n{line}"), 1);
        assert!(
            both.matches('\u{2014}').count() == 2 && judged(&AddCheckpoint { note: both, ..asked }, Some(5)).is_ok()
        );
    }

    #[test]
    fn a_body_that_is_not_as_written_is_malformed() {
        let good = request(5, 9).to_string();
        let many = vec![Hash::of(b"x"); 64];
        for body in [
            good.replacen("old 5", "old 05", 1),
            good.replacen("old 5", "old +5", 1),
            good.replacen("old 5", "old  5", 1),
            good.replacen("old 5", "size 5", 1),
            good.replacen("old 5\n", "", 1),
            good.replacen("\n\n", "\n", 1),
            good.replacen("=\n", "\n", 1),
            good.trim_end().to_owned(),
            String::new(),
            "old 0\n\n".to_owned(),
            AddCheckpoint { proof: many, ..request(5, 9) }.to_string(),
        ] {
            assert_eq!(AddCheckpoint::parse(&body), Err(Declined::Malformed), "{body}");
        }
        assert_eq!(parse_size("20852163\n"), Some(20_852_163));
        for body in ["20852163", "", "\n", "01\n", "1\n\n", "-1\n", "18446744073709551616\n"] {
            assert_eq!(parse_size(body), None, "{body:?}");
        }
    }

    proptest::proptest! {
        /// A request has one way to be written: what is read is written back, byte for byte.
        #[test]
        fn a_changed_request_is_malformed_or_the_same_bytes(at in 0_usize..400, with in "\\PC|\n|[0-9]", cut in 0_usize..3) {
            let good = request(5, 9).to_string();
            let at = (0..=at.min(good.len())).rev().find(|at| good.is_char_boundary(*at)).unwrap_or(0);
            let rest: String = good[at..].chars().skip(cut).collect();
            let body = format!("{}{with}{rest}", &good[..at]);
            if let Ok(read) = AddCheckpoint::parse(&body) {
                proptest::prop_assert_eq!(read.to_string(), body);
            }
        }
    }

    /// The request of the specification, whose keys nobody published: it parses, byte for byte.
    #[test]
    fn the_published_example_is_a_request() {
        let body = include_str!("../tests/data/tlog-witness-request.txt");
        let request = AddCheckpoint::parse(body).unwrap();
        assert_eq!((request.old, request.proof.len()), (20_852_014, 4));
        assert_eq!(request.to_string(), body);
    }
}
