//! Whatever is done to a log, verification with key and anchor finds it.
//!
//! Each case takes a fresh copy of a real log in memory, breaks one thing, and
//! writes it to a directory to be verified. The number of cases is
//! `PRIVET_MUTATIONS` (default 1500), the seed is fixed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use privet_audit_log::note::{Checkpoint, Signer};
use privet_audit_log::tile::{decode_bundle, encode_bundle, encode_tile};
use privet_audit_log::tree::{Hash, Tree};
use privet_audit_log::verify::{Options, verify};
use support::{armed, assert_clean, files_below, sample};

type Image = BTreeMap<PathBuf, Vec<u8>>;

/// xorshift64*, so that a failure names a case that can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }
}

fn image(log: &Path) -> Image {
    let evidence = |path: &PathBuf| path.file_name().is_some_and(|name| name != "lock" && name != "reserve");
    let files = files_below(log).into_iter().filter(evidence);
    files.map(|file| (file.strip_prefix(log).unwrap().to_owned(), fs::read(&file).unwrap())).collect()
}

/// Writes what differs between two images.
fn apply(log: &Path, from: &Image, to: &Image) {
    for path in from.keys().filter(|path| !to.contains_key(*path)) {
        fs::remove_file(log.join(path)).unwrap();
    }
    for (path, bytes) in to.iter().filter(|(path, bytes)| from.get(*path) != Some(bytes)) {
        fs::create_dir_all(log.join(path).parent().unwrap()).unwrap();
        fs::write(log.join(path), bytes).unwrap();
    }
}

/// Breaks one thing; says what.
fn mutate(image: &mut Image, other: &Image, dice: &mut Dice) -> String {
    let paths: Vec<PathBuf> = image.keys().cloned().collect();
    let path = paths[dice.roll(paths.len())].clone();
    let name = path.display().to_string();
    let bytes = image.get_mut(&path).unwrap();
    match dice.roll(7) {
        0 | 1 => {
            let (at, bit) = (dice.roll(bytes.len()), dice.roll(8));
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} of {name}")
        }
        2 => {
            let keep = dice.roll(bytes.len());
            bytes.truncate(keep);
            format!("{name} cut to {keep} bytes")
        }
        3 => {
            image.remove(&path);
            format!("{name} removed")
        }
        4 => {
            let (at, with) = (dice.roll(bytes.len() + 1), dice.roll(256) as u8);
            bytes.insert(at, with);
            format!("a byte put into {name} at {at}")
        }
        5 => {
            // The same file of another log of the same shape, where it differs.
            match other.get(&path).filter(|theirs| *theirs != bytes) {
                Some(theirs) => {
                    *bytes = theirs.clone();
                    format!("{name} taken from another log")
                }
                None => {
                    bytes.push(0);
                    format!("a byte appended to {name}")
                }
            }
        }
        _ => {
            let (a, b) = (dice.roll(bytes.len()), dice.roll(bytes.len()));
            if bytes[a] == bytes[b] {
                bytes[a] ^= 0x20;
                format!("byte {a} of {name} changed")
            } else {
                bytes.swap(a, b);
                format!("bytes {a} and {b} of {name} swapped")
            }
        }
    }
}

#[test]
fn every_change_to_any_file_is_found() {
    let (root, elsewhere) = (support::scratch(), support::scratch());
    sample(root.path());
    sample(elsewhere.path());
    let log = root.path().join("log");
    let options = armed(root.path());
    let whole = image(&log);
    let other = image(&elsewhere.path().join("log"));
    assert_clean(&verify(&log, &options).unwrap());
    let cases = std::env::var("PRIVET_MUTATIONS").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1500);
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for case in 0..cases {
        let mut changed = whole.clone();
        let what = mutate(&mut changed, &other, &mut dice);
        apply(&log, &whole, &changed);
        // Without its segments a closed log is what a mirror of tiles holds: whole, and said.
        let found = verify(&log, &options)
            .map_or(true, |report| !report.is_clean() || report.gaps.iter().any(|gap| gap.code == "no_segments"));
        assert!(found, "case {case} was not found: {what}");
        apply(&log, &changed, &whole);
    }
    assert_clean(&verify(&log, &options).unwrap());
}

/// A log whose segments are gone, as a mirror of tiles has it: records can be rewritten at will.
fn tiles_only(image: &Image) -> Image {
    image
        .iter()
        .filter(|(path, _)| !path.to_string_lossy().contains("wal/"))
        .map(|(p, b)| (p.clone(), b.clone()))
        .collect()
}

/// Rewrites one incarnation's records, tiles and checkpoint; signs with `signer`, or leaves the note's signature.
fn rebuild(image: &mut Image, incarnation: &str, records: &[Vec<u8>], signer: Option<&Signer>) {
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

fn records(image: &Image, incarnation: &str) -> Vec<Vec<u8>> {
    let prefix = Path::new(incarnation).join("tile/entries");
    let bundle =
        image.iter().filter(|(path, _)| path.starts_with(&prefix)).max_by_key(|(_, bytes)| bytes.len()).unwrap().1;
    decode_bundle(bundle).unwrap().into_iter().map(<[u8]>::to_vec).collect()
}

#[test]
fn records_rewritten_with_all_hashes_made_new_are_found() {
    let root = support::scratch();
    sample(root.path());
    let log = root.path().join("log");
    let options = armed(root.path());
    let full = image(&log);
    let whole = tiles_only(&full);
    apply(&log, &full, &whole);
    assert_clean(&verify(&log, &options).unwrap());
    let original = records(&whole, "2");
    let mut cases: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    for at in 0..original.len() {
        let mut without = original.clone();
        without.remove(at);
        cases.push((format!("record {at} deleted"), without));
        let mut twice = original.clone();
        twice.insert(at, original[at].clone());
        cases.push((format!("record {at} doubled"), twice));
        if at > 0 {
            let mut swapped = original.clone();
            swapped.swap(at - 1, at);
            cases.push((format!("records {} and {at} swapped", at - 1), swapped));
            cases.push((format!("cut at record {at}"), original[..at].to_vec()));
        }
        let text = String::from_utf8(original[at].clone()).unwrap();
        for (from, to) in [("\"kept\":1", "\"kept\":2"), ("[0,", "[0,1"), ("\"dropped\":", "\"dropped\":1")] {
            let edited = text.replacen(from, to, 1);
            if edited != text {
                let mut changed = original.clone();
                changed[at] = edited.into_bytes();
                cases.push((format!("a count of record {at} edited"), changed));
            }
        }
    }
    assert!(cases.len() > 60);
    let name = Checkpoint::claimed(std::str::from_utf8(&whole[Path::new("2/checkpoint")]).unwrap()).unwrap().origin;
    let stranger = Signer::from_seed(&name, &[3; 32]).unwrap();
    for signer in [None, Some(&stranger)] {
        for (what, records) in &cases {
            let mut changed = whole.clone();
            rebuild(&mut changed, "2", records, signer);
            apply(&log, &whole, &changed);
            assert!(!verify(&log, &options).unwrap().is_clean(), "{what}, signed anew: {}", signer.is_some());
            apply(&log, &changed, &whole);
        }
    }
}

#[test]
fn a_whole_log_written_anew_is_found_with_a_key_and_assumed_away_without() {
    let (root, forged) = (support::scratch(), support::scratch());
    sample(root.path());
    sample(forged.path());
    let log = forged.path().join("log");
    let report = verify(&log, &armed(root.path())).unwrap();
    let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&"key") && codes.contains(&"missing_incarnation") && codes.contains(&"root"), "{codes:?}");
    let report = verify(&log, &Options::default()).unwrap();
    assert_clean(&report);
    assert!(report.assumptions.iter().any(|assumption| assumption.contains("written anew")));
}

#[test]
fn an_incarnation_taken_away_is_found() {
    let root = support::scratch();
    sample(root.path());
    let log = root.path().join("log");
    let whole = image(&log);
    for gone in ["1", "2"] {
        let mut changed = whole.clone();
        changed.retain(|path, _| !path.starts_with(gone));
        apply(&log, &whole, &changed);
        fs::remove_dir_all(log.join(gone)).unwrap();
        let report = verify(&log, &armed(root.path())).unwrap();
        assert!(report.findings.iter().any(|finding| finding.code == "missing_incarnation"), "{gone}");
        apply(&log, &changed, &whole);
    }
    assert_clean(&verify(&log, &armed(root.path())).unwrap());
}

#[test]
fn a_log_rolled_back_to_an_earlier_checkpoint_is_found_with_the_anchor() {
    let root = support::scratch();
    let mut clock = support::Hand(0);
    let (mut log, _) = support::open(root.path(), clock);
    let early = image(&root.path().join("log"));
    let mut delta = support::traffic(10, 10);
    delta.declared = support::declarations(&root.path().join("log"));
    log.commit(&support::work(delta, true), clock.later(100)).unwrap();
    log.close(&privet_audit_log::counts::Delta::default(), clock.later(1)).unwrap();
    let dir = root.path().join("log");
    let late = image(&dir);
    apply(&dir, &late, &early);
    assert_clean(&verify(&dir, &Options::default()).unwrap());
    let report = verify(&dir, &armed(root.path())).unwrap();
    assert!(report.findings.iter().any(|finding| finding.code == "truncated"), "{:?}", report.findings);
}
