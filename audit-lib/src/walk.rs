//! The records of a log once more, for questions that a verification does not answer.
//!
//! Promise: what is visited is exactly what was verified. [`walk`] hashes what it visits, and its
//! caller compares the root with the one that [`crate::verify`] found, so a log that changed between
//! the two readings answers nothing. Memory is that of one write-ahead segment.
//!
//! Not here: any check of what the records say.

use std::io;
use std::path::Path;

use crate::stored::{Item, Stored};
use crate::tree::{Hash, Tree};

/// What was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Number of records visited.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Visits the first `size` records of an incarnation in order, each with its index in the tree.
///
/// # Errors
/// What the disk says.
pub fn walk(log: &Path, incarnation: u64, size: u64, visit: &mut dyn FnMut(u64, &[u8])) -> io::Result<Walked> {
    let (mut tree, mut filled) = (Tree::default(), Vec::new());
    Stored::new(log, incarnation).read(&mut |item| {
        if let Item::Record(bytes) = item
            && tree.size() < size
        {
            visit(tree.size(), bytes);
            tree.push(Hash::leaf(bytes), &mut filled);
            filled.clear();
        }
    })?;
    Ok(Walked { size: tree.size(), root: tree.root() })
}
