//! What others wrote accepts what we write, and the other way round.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privet_audit_log::note::{Checkpoint, VerifierKey};
use privet_audit_log::proof::{consistency, inclusion, verify_consistency, verify_inclusion};
use privet_audit_log::tile::{TileName, decode_bundle, encode_tile};
use privet_audit_log::tree::{Hash, Tree, merkle_root};
use serde_json::Value;
use sha2::Sha256;
use support::{Hand, declarations, open, traffic, work};
use tlog_tiles::{HashReader as _, TileReader};

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn hash(value: &Value) -> Option<Hash> {
    let bytes: [u8; 32] = STANDARD.decode(value.as_str().unwrap_or_default()).ok()?.try_into().ok()?;
    Some(Hash(bytes))
}

/// Some cases need only that two roots differ, and give a few bytes for each.
fn root(value: &Value) -> Hash {
    hash(value).unwrap_or_else(|| Hash::of(value.as_str().unwrap_or_default().as_bytes()))
}

fn proof(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().map_or(Some(Vec::new()), |steps| steps.iter().map(hash).collect())
}

#[test]
fn the_vectors_of_transparency_dev_merkle_are_judged_as_they_say() {
    let text = fs::read_to_string(data("merkle/proofs.ndjson")).unwrap();
    let (mut good, mut bad) = (0, 0);
    for line in text.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let case = &vector["case"];
        let number = |name: &str| case[name].as_u64().unwrap_or(0);
        let accepted = match vector["kind"].as_str().unwrap() {
            "consistency" => (|| {
                let old = (number("size1"), root(&case["root1"]));
                let new = (number("size2"), root(&case["root2"]));
                verify_consistency(old, new, &proof(&case["proof"])?).ok()
            })(),
            "inclusion" => (|| {
                let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
                verify_inclusion(leaf, number("leafIdx"), number("treeSize"), &proof(&case["proof"])?, root).ok()
            })(),
            other => {
                // Proofs for subtrees are of a later draft; this log makes none.
                assert!(other.starts_with("subtree"), "an unexpected kind of vector: {other}");
                continue;
            }
        };
        let wrong = case["wantErr"].as_bool().unwrap();
        assert_eq!(accepted.is_none(), wrong, "{}", vector["file"]);
        if wrong { bad += 1 } else { good += 1 }
    }
    assert!(good >= 8 && bad > 100, "{good} good and {bad} bad vectors were run");
}

#[test]
fn a_log_of_tessera_reads_as_ours_does() {
    let key = VerifierKey::parse(&fs::read_to_string(data("tlog-tiles/verifier-key.txt")).unwrap()).unwrap();
    let bundle = fs::read(data("tlog-tiles/tile/entries/000.p/15")).unwrap();
    let entries = decode_bundle(&bundle).unwrap();
    let (mut tree, mut filled) = (Tree::default(), Vec::new());
    for size in 0..=entries.len() {
        let note = fs::read_to_string(data(&format!("tlog-tiles/checkpoint.{size}"))).unwrap();
        let checkpoint = Checkpoint::open(&note, &key).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (tree.size(), tree.root()));
        if let Some(entry) = entries.get(size) {
            tree.push(Hash::leaf(entry), &mut filled);
            let tile = fs::read(data(&format!("tlog-tiles/tile/0/000.p/{}", size + 1))).unwrap();
            assert_eq!(tile, encode_tile(&tree.unfinished()[0]));
        }
    }
}

#[test]
fn ct_merkle_accepts_our_roots_and_proofs() {
    let records: Vec<Vec<u8>> = (0..300_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let leaves: Vec<Hash> = records.iter().map(|record| Hash::leaf(record)).collect();
    let mut theirs = ct_merkle::mem_backed_tree::MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for (n, record) in records.iter().enumerate() {
        theirs.push(record.clone());
        let ours = merkle_root(&leaves[..=n]);
        assert_eq!(theirs.root().as_bytes().as_slice(), ours.0);
    }
    let root = theirs.root();
    for index in [0, 1, 127, 128, 255, 256, 299] {
        let path = inclusion(&leaves, index as u64).unwrap();
        let bytes = path.iter().flat_map(|hash| hash.0).collect();
        let proof = ct_merkle::InclusionProof::<Sha256>::try_from_bytes(bytes).unwrap();
        root.verify_inclusion(&records[index], index as u64, &proof).unwrap();
    }
    for old in [1_usize, 2, 100, 128, 256, 257, 299] {
        let path = consistency(&leaves, old as u64).unwrap();
        let bytes = path.iter().flat_map(|hash| hash.0).collect();
        let proof = ct_merkle::ConsistencyProof::<Sha256>::try_from_bytes(bytes).unwrap();
        let old_root = merkle_root(&leaves[..old]);
        let old_root = ct_merkle::RootHash::<Sha256>::new(old_root.0.into(), old as u64);
        root.verify_consistency(&old_root, &proof).unwrap();
    }
}

struct Files(PathBuf);

impl TileReader for Files {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &tlog_tiles::Tile| {
            let width = u16::try_from(tile.width()).unwrap();
            let name = TileName { level: Some(tile.level()), index: tile.level_index(), width };
            fs::read(self.0.join(name.path())).unwrap()
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

#[test]
fn tlog_tiles_reads_our_tiles_and_checkpoint() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let (mut log, _) = open(root.path(), clock);
    let mut first = traffic(10, 10);
    first.declared = declarations(&root.path().join("log"));
    log.commit(&work(first, true), clock.later(100)).unwrap();
    for _ in 0..560 {
        log.commit(&work(traffic(10, 10), true), clock.later(100)).unwrap();
    }
    log.close(&privet_audit_log::counts::Delta::default(), clock.later(1)).unwrap();
    let dir = root.path().join("log/1");
    let note = fs::read_to_string(dir.join("checkpoint")).unwrap();
    let text = support::keys(root.path())[0].open(&note).unwrap().to_owned();
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!(checkpoint.to_bytes(), text.as_bytes());
    assert!(checkpoint.size() > 512);
    let files = Files(dir.clone());
    let reader = tlog_tiles::TileHashReader::new(checkpoint.size(), *checkpoint.hash(), &files);
    let bundle = fs::read(dir.join("tile/entries/001")).unwrap();
    for (n, entry) in decode_bundle(&bundle).unwrap().into_iter().enumerate() {
        let index = 256 + n as u64;
        let leaf = tlog_tiles::record_hash(entry);
        let stored = reader.read_hashes(&[tlog_tiles::stored_hash_index(0, index)]).unwrap();
        assert_eq!(stored, vec![leaf]);
        if n % 50 == 0 {
            let proof = tlog_tiles::prove_record(checkpoint.size(), index, &reader).unwrap();
            tlog_tiles::check_record(&proof, checkpoint.size(), *checkpoint.hash(), index, leaf).unwrap();
        }
    }
}

#[test]
fn signed_note_accepts_our_keys_and_notes_and_we_accept_theirs() {
    use signed_note::{Note, StandardVerifier, Verifier, VerifierList};
    let root = support::scratch();
    support::sample(root.path());
    for (n, key) in support::keys(root.path()).into_iter().enumerate() {
        let theirs = StandardVerifier::new(&key.to_string()).unwrap();
        assert_eq!(theirs.name(), key.name());
        let known = VerifierList::new(vec![Box::new(theirs)]);
        let note = fs::read_to_string(root.path().join(format!("log/{}/checkpoint", n + 1))).unwrap();
        let read = Note::from_bytes(note.as_bytes()).unwrap();
        assert_eq!(read.verify(&known).unwrap().0.len(), 1);
        assert_eq!(read.text(), key.open(&note).unwrap().as_bytes());
        let changed = note.replacen("\n\n", "0\n\n", 1);
        assert!(Note::from_bytes(changed.as_bytes()).unwrap().verify(&known).is_err());
        assert_eq!(key.open(std::str::from_utf8(&read.to_bytes()).unwrap()).unwrap().as_bytes(), read.text());
    }
}
