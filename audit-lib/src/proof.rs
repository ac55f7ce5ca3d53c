//! Inclusion and consistency proofs of RFC 6962, made and checked.
//!
//! Making follows RFC 6962 sections 2.1.1 and 2.1.2 over leaf hashes in memory;
//! checking follows the algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2.

use thiserror::Error;

use crate::tree::{Hash, merkle_root};

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProofError {
    /// The index or the sizes cannot belong together.
    #[error("the index or the tree sizes do not belong together")]
    OutOfRange,
    /// Too many or too few hashes for these sizes.
    #[error("the proof has the wrong number of hashes for these tree sizes")]
    WrongLength,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    WrongRoot,
}

/// The audit path of the leaf at `index`, from the leaf upwards.
///
/// # Errors
/// [`ProofError::OutOfRange`] where there is no such leaf.
pub fn inclusion(leaves: &[Hash], index: u64) -> Result<Vec<Hash>, ProofError> {
    let index = usize::try_from(index).map_err(|_| ProofError::OutOfRange)?;
    if index >= leaves.len() {
        return Err(ProofError::OutOfRange);
    }
    let mut path = Vec::new();
    let (mut rest, mut at) = (leaves, index);
    while rest.len() > 1 {
        let (left, right) = rest.split_at(split_point(rest.len()));
        if at < left.len() {
            path.push(merkle_root(right));
            rest = left;
        } else {
            path.push(merkle_root(left));
            at -= left.len();
            rest = right;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the first `old` leaves are a prefix of all of them.
///
/// # Errors
/// [`ProofError::OutOfRange`] where `old` is zero or past the end.
pub fn consistency(leaves: &[Hash], old: u64) -> Result<Vec<Hash>, ProofError> {
    let old = usize::try_from(old).map_err(|_| ProofError::OutOfRange)?;
    if old == 0 || old > leaves.len() {
        return Err(ProofError::OutOfRange);
    }
    let mut path = Vec::new();
    let (mut rest, mut size, mut known) = (leaves, old, true);
    while size < rest.len() {
        let (left, right) = rest.split_at(split_point(rest.len()));
        if size <= left.len() {
            path.push(merkle_root(right));
            rest = left;
        } else {
            path.push(merkle_root(left));
            size -= left.len();
            rest = right;
            known = false;
        }
    }
    if !known {
        path.push(merkle_root(rest));
    }
    path.reverse();
    Ok(path)
}

/// The largest power of two below `n`, for n of at least two.
fn split_point(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// Checks that `leaf` stands at `index` in the tree of `size` leaves with `root`.
///
/// # Errors
/// See [`ProofError`].
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash], root: Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for step in path {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            hash = Hash::node(step, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(&hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    settle(last, hash == root)
}

/// Checks that the tree of `old` leaves with `old_root` is a prefix of the tree
/// of `new` leaves with `new_root`.
///
/// # Errors
/// See [`ProofError`].
pub fn verify_consistency(
    (old, old_root): (u64, Hash),
    (new, new_root): (u64, Hash),
    path: &[Hash],
) -> Result<(), ProofError> {
    // From an empty tree everything follows, so a proof of it would prove nothing.
    if old > new || (old == 0 && new > 0) {
        return Err(ProofError::OutOfRange);
    }
    if old == new {
        return if path.is_empty() { settle(0, old_root == new_root) } else { Err(ProofError::WrongLength) };
    }
    let whole = old.is_power_of_two().then_some(old_root);
    let mut steps = whole.iter().chain(path);
    let first = *steps.next().ok_or(ProofError::WrongLength)?;
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (first, first);
    for step in steps {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            old_hash = Hash::node(step, &old_hash);
            new_hash = Hash::node(step, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = Hash::node(&new_hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    settle(last, old_hash == old_root && new_hash == new_root)
}

fn settle(left_over: u64, same: bool) -> Result<(), ProofError> {
    match (left_over, same) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::WrongRoot),
        _ => Err(ProofError::WrongLength),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|n| Hash::leaf(&n.to_be_bytes())).collect()
    }

    #[test]
    fn every_proof_of_every_small_tree_holds_and_none_holds_elsewhere() {
        for size in 1_u64..40 {
            let all = leaves(size);
            let root = merkle_root(&all);
            for index in 0..size {
                let path = inclusion(&all, index).unwrap();
                let leaf = all[usize::try_from(index).unwrap()];
                assert_eq!(verify_inclusion(leaf, index, size, &path, root), Ok(()));
                assert!(verify_inclusion(leaf, (index + 1) % size, size, &path, root).is_err() || size == 1);
            }
            for old in 1..=size {
                let path = consistency(&all, old).unwrap();
                let old_root = merkle_root(&all[..usize::try_from(old).unwrap()]);
                assert_eq!(verify_consistency((old, old_root), (size, root), &path), Ok(()));
                let wrong = Hash::leaf(b"wrong");
                assert!(verify_consistency((old, wrong), (size, root), &path).is_err());
                assert!(verify_consistency((old, old_root), (size, wrong), &path).is_err());
            }
        }
    }
}
