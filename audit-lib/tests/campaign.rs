//! Whatever is done to a log, verification with key and anchor finds it: drawn cases.
//!
//! Each case takes a log, does one thing of seven kinds to it, and verifies. Half of the kinds work on files
//! as they are, the others on records, with every hash, tile and checkpoint made to fit: what a
//! thief of the disk could do who knows the format. How many is `PRIVET_MUTATIONS`; the seed is fixed.
//! `tools/log-mutations 100000` is the full campaign.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use privet_audit_log::Log;
use privet_audit_log::counts::Delta;
use privet_audit_log::note::{Checkpoint, Signer};
use privet_audit_log::verify::{Options, Report, verify};
use support::image::{Dice, Image, apply, image, rebuild, records, tiles_only};
use support::{Hand, acknowledged, armed, assert_clean, declarations, run_once, settings, traffic, work};

const KINDS: [&str; 7] = ["flip", "delete", "reorder", "truncate", "replay", "splice", "resign"];
const INCARNATIONS: [&str; 2] = ["1", "2"];

/// A log that is put right after each case, another of the same shape, and how it was earlier.
struct World {
    root: tempfile::TempDir,
    whole: Image,
    other: Image,
    earlier: Vec<Image>,
    options: Options,
    report: Report,
}

impl World {
    fn of(root: tempfile::TempDir, form: fn(&Image) -> Image, other: &Image, earlier: Vec<Image>) -> Self {
        let log = root.path().join("log");
        let full = image(&log);
        let whole = form(&full);
        apply(&log, &full, &whole);
        let options = armed(root.path());
        let report = verify(&log, &options).unwrap();
        assert_clean(&report);
        Self { root, whole, other: form(other), earlier: earlier.iter().map(form).collect(), options, report }
    }

    /// Writes the changed log, verifies it, and puts it right. Whether that was noticed.
    fn notices(&self, changed: &Image) -> bool {
        let log = self.root.path().join("log");
        apply(&log, &self.whole, changed);
        let verified = verify(&log, &self.options);
        apply(&log, changed, &self.whole);
        // Where segments are gone and tiles hold every record, nothing is lost, and the report says so.
        verified.map_or(true, |report| !report.is_clean() || self.is_a_mirror(&report))
    }

    fn is_a_mirror(&self, report: &Report) -> bool {
        let roots =
            |report: &Report| -> Vec<String> { report.incarnations.iter().map(|one| one.root.clone()).collect() };
        roots(report) == roots(&self.report) && report.gaps.iter().any(|gap| gap.code == "no_segments")
    }
}

/// Two closed incarnations of few records.
fn two_small(root: &Path) -> Vec<Image> {
    let mut clock = Hand(0);
    run_once(root, &mut clock);
    let earlier = image(&root.join("log"));
    clock.later(5000);
    run_once(root, &mut clock);
    vec![earlier]
}

/// One closed incarnation of several tiles, the first of whose segments are gone.
fn one_long(root: &Path) -> Vec<Image> {
    let mut clock = Hand(0);
    let mut settings = settings(root);
    settings.segment_bytes = 30_000;
    settings.config = None;
    let dir = settings.dir.clone();
    let (mut log, _) = Log::open(settings, clock.now()).unwrap();
    let declared = Delta { declared: declarations(&dir), ..Delta::default() };
    log.commit(&work(declared, false), clock.later(1)).unwrap();
    let mut earlier = Vec::new();
    for batch in 1..330 {
        let mut delta = traffic(20, 5);
        if batch > 1 {
            delta.merge(&acknowledged(batch - 1, 0, 80));
        }
        log.commit(&work(delta, true), clock.later(110)).unwrap();
        if batch % 95 == 0 {
            earlier.push(image(&dir));
        }
    }
    log.close(&Delta::default(), clock.later(10)).unwrap();
    earlier
}

fn world(run: fn(&Path) -> Vec<Image>, form: fn(&Image) -> Image) -> World {
    let (root, elsewhere) = (support::scratch(), support::scratch());
    let earlier = run(root.path());
    run(elsewhere.path());
    World::of(root, form, &image(&elsewhere.path().join("log")), earlier)
}

/// Does one thing to files as they are; says what.
fn mutate_files(kind: &str, world: &World, changed: &mut Image, dice: &mut Dice) -> String {
    let paths: Vec<PathBuf> = changed.keys().filter(|path| !changed[*path].is_empty()).cloned().collect();
    let path = dice.pick(&paths).clone();
    let name = path.display().to_string();
    let bytes = changed.get_mut(&path).unwrap();
    let (at, to) = (dice.roll(bytes.len()), dice.roll(bytes.len()));
    match kind {
        "flip" => {
            bytes[at] ^= 1 << dice.roll(8);
            format!("a bit of byte {at} of {name}")
        }
        "delete" => match dice.roll(4) {
            0 => {
                changed.remove(&path);
                format!("{name} removed")
            }
            1 => {
                let first = path.components().next().unwrap().as_os_str().to_owned();
                changed.retain(|path, _| !path.starts_with(&first));
                format!("{} removed", first.display())
            }
            _ => {
                bytes.drain(at.min(to)..=at.max(to));
                format!("bytes {at} to {to} of {name} removed")
            }
        },
        "reorder" => {
            bytes.swap(at, to);
            format!("bytes {at} and {to} of {name} swapped")
        }
        "truncate" => {
            bytes.truncate(at);
            format!("{name} cut to {at} bytes")
        }
        "replay" => {
            let earlier = dice.pick(&world.earlier);
            match earlier.get(&path).filter(|before| dice.roll(3) > 0 && *before != bytes) {
                Some(before) => {
                    *bytes = before.clone();
                    format!("{name} as it was earlier")
                }
                None if dice.roll(2) == 0 => {
                    *changed = earlier.clone();
                    "the whole log as it was earlier".to_owned()
                }
                None => {
                    let piece = bytes[at.min(to)..=at.max(to)].to_vec();
                    let place = dice.roll(bytes.len() + 1);
                    bytes.splice(place..place, piece);
                    format!("bytes {at} to {to} of {name} again at {place}")
                }
            }
        }
        _ => match world.other.get(&path).filter(|theirs| !theirs.is_empty()) {
            Some(theirs) if dice.roll(2) == 0 => {
                *bytes = theirs.clone();
                format!("{name} of another log")
            }
            theirs => {
                let theirs = theirs.unwrap_or(bytes);
                let from = dice.roll(theirs.len());
                let piece = theirs[from..].to_vec();
                bytes.truncate(at);
                bytes.extend_from_slice(&piece);
                format!("{name} up to byte {at}, then another log's from {from}")
            }
        },
    }
}

/// Does one thing to the records of an incarnation and makes every hash and checkpoint fit; says what.
fn mutate_records(kind: &str, world: &World, changed: &mut Image, dice: &mut Dice) -> String {
    let incarnation = INCARNATIONS[dice.roll(2)];
    let mut of = records(changed, incarnation);
    let (at, to) = (dice.roll(of.len()), dice.roll(of.len()));
    let what = match kind {
        "flip" => {
            let digits: Vec<usize> = (0..of[at].len()).filter(|i| of[at][*i].is_ascii_digit()).collect();
            let digit = *dice.pick(&digits);
            of[at][digit] = b'0' + (of[at][digit] - b'0' + 1 + dice.roll(9) as u8) % 10;
            format!("a digit of record {at}")
        }
        "delete" => {
            of.drain(at.min(to)..=at.max(to).min(at.min(to) + 3));
            format!("records from {} deleted", at.min(to))
        }
        "reorder" => {
            let moved = of.remove(at);
            of.insert(to.min(of.len()), moved);
            format!("record {at} moved to {to}")
        }
        "truncate" => {
            of.truncate(at.max(1));
            format!("cut to {at} records")
        }
        "replay" => {
            let again = of[at].clone();
            of.insert(to, again);
            format!("record {at} again at {to}")
        }
        "splice" => {
            let theirs = if dice.roll(2) == 0 { &world.other } else { &world.whole };
            let from = records(theirs, INCARNATIONS[dice.roll(2)]);
            let piece = dice.pick(&from).clone();
            if dice.roll(2) == 0 {
                of[at] = piece
            } else {
                of.insert(at, piece)
            }
            format!("a record of another log at {at}")
        }
        _ => "all of it".to_owned(),
    };
    if dice.roll(2) == 0 {
        renumber(&mut of);
    }
    if of.is_empty() {
        return format!("{incarnation}: {what}, nothing left");
    }
    let name = Checkpoint::claimed(std::str::from_utf8(&changed[&Path::new(incarnation).join("checkpoint")]).unwrap());
    let stranger = Signer::from_seed(&name.unwrap().origin, &[dice.roll(256) as u8; 32]).unwrap();
    let signs = kind == "resign" || dice.roll(2) == 0;
    // A record that names the stranger's key, as whoever writes a log anew would have it.
    if signs && dice.roll(2) == 0 {
        introduce(&mut of, &stranger);
    }
    rebuild(changed, incarnation, &of, signs.then_some(&stranger));
    format!("{incarnation}: {what}, signed anew: {signs}")
}

/// Gives every record the number of its place.
fn renumber(of: &mut [Vec<u8>]) {
    for (place, record) in of.iter_mut().enumerate() {
        let text = String::from_utf8(record.clone()).unwrap();
        if let Some((before, after)) = text.split_once("\"seq\":") {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            *record = format!("{before}\"seq\":{place}{rest}").into_bytes();
        }
    }
}

/// Puts the stranger's key into the first record.
fn introduce(of: &mut [Vec<u8>], stranger: &Signer) {
    let text = String::from_utf8(of[0].clone()).unwrap();
    if let Some((before, after)) = text.split_once("\"vkey\":\"")
        && let Some((_, rest)) = after.split_once('"')
    {
        of[0] = format!("{before}\"vkey\":\"{}\"{rest}", stranger.verifier()).into_bytes();
    }
}

#[test]
fn every_change_is_found() {
    let cases: u32 = std::env::var("PRIVET_MUTATIONS").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000);
    let on_files = [world(two_small, Image::clone), world(one_long, Image::clone)];
    let on_records = world(two_small, tiles_only);
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut tried: BTreeMap<&str, u32> = BTreeMap::new();
    let begun = Instant::now();
    let mut case = 0;
    while case < cases {
        let kind = *dice.pick(&KINDS);
        let records = kind == "resign" || dice.roll(2) == 0;
        // One case in eight of those on files, for it takes longest.
        let world = if records { &on_records } else { &on_files[usize::from(dice.roll(8) == 0)] };
        let mut changed = world.whole.clone();
        let mutate = if records { mutate_records } else { mutate_files };
        let what = mutate(kind, world, &mut changed, &mut dice);
        if changed == world.whole {
            continue;
        }
        assert!(world.notices(&changed), "case {case} was not found: {kind}: {what}");
        *tried.entry(kind).or_default() += 1;
        case += 1;
    }
    println!("{cases} changes, all found, in {:.1} s: {tried:?}", begun.elapsed().as_secs_f64());
    for world in on_files.iter().chain([&on_records]) {
        assert_clean(&verify(&world.root.path().join("log"), &world.options).unwrap());
    }
}
