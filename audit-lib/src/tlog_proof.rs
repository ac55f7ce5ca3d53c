//! Inclusion proofs as text that stands by itself: c2sp.org/tlog-proof@v1.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>                 (optional, authenticated by nothing)
//! index <decimal>
//! <base64 hash>                  (zero or more, from the leaf's sibling to the root's child)
//!
//! <the signed checkpoint, verbatim>
//! ```
//!
//! Promise: [`TlogProof::prove`] makes no proof that does not hold, and [`TlogProof::check`] takes a
//! record for logged only where the path leads from its bytes to a root that the given key signed,
//! at the size that the same signature names. Not here: witnesses. Their cosignatures stay in the
//! checkpoint and are not looked at.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::note::{Checkpoint, NoteError, VerifierKey};
use crate::proof::{ProofError, inclusion, verify_inclusion};
use crate::tree::Hash;

/// The first line.
const VERSION: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 2^63 leaves has no longer path.
const PATH_MAX: usize = 63;

/// Why a text is no proof, or a proof does not hold.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadProof {
    /// Another first line.
    #[error("the first line is not `c2sp.org/tlog-proof@v1`")]
    Version,
    /// The opaque data is no base64.
    #[error("the line `extra` does not hold standard base64")]
    Extra,
    /// No index, or one with leading zeros.
    #[error("there is no line `index` with a decimal number without leading zeros")]
    Index,
    /// A line of the path is no hash.
    #[error("line {0} is not a SHA-256 hash in standard base64")]
    Hash(usize),
    /// No empty line before the checkpoint, or more hashes than any tree needs.
    #[error("no empty line ends the inclusion proof")]
    End,
    /// The checkpoint is malformed, or not signed by the key.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// The path does not lead from the record to the root.
    #[error("the inclusion proof: {0}")]
    Inclusion(#[from] ProofError),
}

/// A proof that a record stands at an index of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Opaque data, authenticated by nothing.
    pub extra: Option<Vec<u8>>,
    /// The record's index.
    pub index: u64,
    /// The hashes from the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The signed note, verbatim.
    pub checkpoint: String,
}

impl TlogProof {
    /// Proves the record at `index` under a published checkpoint, whose leaves are the first of `leaves`.
    ///
    /// # Errors
    /// The checkpoint does not cover the record, or is not over these leaves.
    pub fn prove(leaves: &[Hash], index: u64, checkpoint: &str) -> Result<Self, BadProof> {
        let claimed = Checkpoint::claimed(checkpoint)?;
        let size = usize::try_from(claimed.size).map_err(|_| ProofError::OutOfRange)?;
        let covered = leaves.get(..size).ok_or(ProofError::OutOfRange)?;
        let path = inclusion(covered, index)?;
        let at = usize::try_from(index).ok().and_then(|index| covered.get(index)).ok_or(ProofError::OutOfRange)?;
        verify_inclusion(*at, index, claimed.size, &path, claimed.root)?;
        Ok(Self { extra: None, index, path, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that `leaf` stands at the index, in the log that `key` signs for.
    ///
    /// # Errors
    /// The key did not sign the checkpoint, or the path leads elsewhere.
    pub fn check(&self, leaf: Hash, key: &VerifierKey) -> Result<Checkpoint, BadProof> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.path, checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{VERSION}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = BadProof;

    fn from_str(text: &str) -> Result<Self, BadProof> {
        let rest = text.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('\n')).ok_or(BadProof::Version)?;
        let (head, checkpoint) = rest.split_once("\n\n").ok_or(BadProof::End)?;
        let mut lines = head.split('\n').zip(2_usize..).peekable();
        let mut extra = None;
        if let Some((encoded, _)) = lines.peek().and_then(|(line, at)| Some((line.strip_prefix("extra ")?, *at))) {
            extra = Some(STANDARD.decode(encoded).map_err(|_| BadProof::Extra)?);
            lines.next();
        }
        let written = lines.next().and_then(|(line, _)| line.strip_prefix("index ")).ok_or(BadProof::Index)?;
        let index: u64 = written.parse().map_err(|_| BadProof::Index)?;
        if index.to_string() != written {
            return Err(BadProof::Index);
        }
        let hash = |(line, at): (&str, usize)| Hash::from_base64(line).ok_or(BadProof::Hash(at));
        let path: Vec<Hash> = lines.take(PATH_MAX + 1).map(hash).collect::<Result<_, _>>()?;
        if path.len() > PATH_MAX {
            return Err(BadProof::End);
        }
        Checkpoint::claimed(checkpoint)?;
        Ok(Self { extra, index, path, checkpoint: checkpoint.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::Signer;
    use crate::tree::merkle_root;

    const ORIGIN: &str = "privet.example/log/1";

    fn signer() -> Signer {
        Signer::from_seed(ORIGIN, &[7; 32]).unwrap()
    }

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|n| Hash::leaf(&n.to_be_bytes())).collect()
    }

    fn note(leaves: &[Hash]) -> String {
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size: leaves.len() as u64, root: merkle_root(leaves) };
        signer().sign(&checkpoint.to_text())
    }

    #[test]
    fn every_record_of_small_logs_is_proved_reads_back_and_checks() {
        for size in 1..20 {
            let all = leaves(size);
            let note = note(&all);
            for (index, leaf) in (0..size).zip(&all) {
                let proof = TlogProof::prove(&all, index, &note).unwrap();
                let read: TlogProof = proof.to_string().parse().unwrap();
                assert_eq!(read, proof);
                assert_eq!(read.check(*leaf, signer().verifier()).unwrap().size, size);
                assert!(read.check(Hash::leaf(b"another"), signer().verifier()).is_err());
            }
            assert!(TlogProof::prove(&all, size, &note).is_err());
        }
    }

    #[test]
    fn opaque_data_reads_back_and_proves_nothing() {
        let all = leaves(3);
        let proof =
            TlogProof { extra: Some(b"where it was sent".to_vec()), ..TlogProof::prove(&all, 1, &note(&all)).unwrap() };
        assert_eq!(proof.to_string().parse(), Ok(proof.clone()));
        assert!(proof.check(all[1], signer().verifier()).is_ok());
    }

    #[test]
    fn a_text_that_is_no_proof_says_where() {
        let all = leaves(3);
        let good = TlogProof::prove(&all, 1, &note(&all)).unwrap().to_string();
        for (from, to, wrong) in [
            ("@v1", "@v2", BadProof::Version),
            ("index 1", "index 01", BadProof::Index),
            ("index 1", "index +1", BadProof::Index),
            ("index 1", "extra ?\nindex 1", BadProof::Extra),
            ("index 1\n", "index 1\nnot a hash\n", BadProof::Hash(3)),
            ("\n\n", "\n", BadProof::Hash(5)),
        ] {
            let changed = good.replacen(from, to, 1);
            assert_eq!(changed.parse::<TlogProof>(), Err(wrong), "{changed}");
        }
        let other = Signer::from_seed(ORIGIN, &[8; 32]).unwrap();
        let proof: TlogProof = good.parse().unwrap();
        assert_eq!(proof.check(all[1], other.verifier()), Err(NoteError::Unsigned(ORIGIN.into()).into()));
        let moved = TlogProof { index: 0, ..proof };
        assert!(matches!(moved.check(all[1], signer().verifier()), Err(BadProof::Inclusion(_))));
    }
}
