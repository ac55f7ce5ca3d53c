//! A log held in memory, so that it can be broken, written out, and put right again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use privet_audit_log::note::{Checkpoint, Signer};
use privet_audit_log::tile::{decode_bundle, encode_bundle, encode_tile};
use privet_audit_log::tree::{Hash, Tree};

use super::files_below;

/// Files by their path in the log.
pub type Image = BTreeMap<PathBuf, Vec<u8>>;

/// xorshift64*, so that a failure names a case that can be run again.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

pub fn image(log: &Path) -> Image {
    let evidence = |path: &PathBuf| path.file_name().is_some_and(|name| name != "lock" && name != "reserve");
    let files = files_below(log).into_iter().filter(evidence);
    files.map(|file| (file.strip_prefix(log).unwrap().to_owned(), fs::read(&file).unwrap())).collect()
}

/// Writes what differs between two images.
pub fn apply(log: &Path, from: &Image, to: &Image) {
    for path in from.keys().filter(|path| !to.contains_key(*path)) {
        fs::remove_file(log.join(path)).unwrap();
        // A directory that holds nothing goes too, so that an incarnation can be gone.
        for dir in log.join(path).ancestors().skip(1).take_while(|dir| *dir != log) {
            if fs::remove_dir(dir).is_err() {
                break;
            }
        }
    }
    for (path, bytes) in to.iter().filter(|(path, bytes)| from.get(*path) != Some(bytes)) {
        fs::create_dir_all(log.join(path).parent().unwrap()).unwrap();
        fs::write(log.join(path), bytes).unwrap();
    }
}

/// A log whose segments are gone, as a mirror of tiles has it: records can be rewritten at will.
pub fn tiles_only(image: &Image) -> Image {
    image
        .iter()
        .filter(|(path, _)| !path.to_string_lossy().contains("wal/"))
        .map(|(p, b)| (p.clone(), b.clone()))
        .collect()
}

/// Rewrites one incarnation's records, tiles and checkpoint; signs with `signer`, or leaves the note's signature.
pub fn rebuild(image: &mut Image, incarnation: &str, records: &[Vec<u8>], signer: Option<&Signer>) {
    let prefix = Path::new(incarnation).join("tile");
    image.retain(|path, _| !path.starts_with(&prefix));
    let (mut tree, mut filled) = (Tree::default(), Vec::new());
    records.iter().for_each(|record| tree.push(Hash::leaf(record), &mut filled));
    assert!(filled.is_empty() && records.len() < 256, "a small log");
    let at = |kind: &str| Path::new(incarnation).join(format!("tile/{kind}/000.p/{}", records.len()));
    image.insert(at("entries"), encode_bundle(records.iter().map(Vec::as_slice)));
    image.insert(at("0"), encode_tile(&tree.unfinished()[0]));
    let path = Path::new(incarnation).join("checkpoint");
    let old = String::from_utf8(image[&path].clone()).unwrap();
    let claimed = Checkpoint::claimed(&old).unwrap();
    let text = Checkpoint { size: tree.size(), root: tree.root(), ..claimed }.to_text();
    let note = match signer {
        Some(signer) => signer.sign(&text),
        None => format!("{text}{}", &old[old.find("\n\n").unwrap() + 1..]),
    };
    image.insert(path, note.into_bytes());
}

pub fn records(image: &Image, incarnation: &str) -> Vec<Vec<u8>> {
    let prefix = Path::new(incarnation).join("tile/entries");
    let bundle =
        image.iter().filter(|(path, _)| path.starts_with(&prefix)).max_by_key(|(_, bytes)| bytes.len()).unwrap().1;
    decode_bundle(bundle).unwrap().into_iter().map(<[u8]>::to_vec).collect()
}
