//! Policies with damage: whatever is written, the compiler answers, and soon.
//!
//! A slice runs with the other tests; `PRIVET_CASES=1000000` runs for minutes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use privet_policy::diagnostic::SourceFile;
use privet_policy::exposure::exposure;

/// Words that mean something somewhere, and some that mean trouble.
const WORDS: [&str; 40] = [
    "keep",
    "drop",
    "pseudonymize",
    "generalize",
    "scrub",
    "redact",
    "true",
    "null",
    "~",
    "[]",
    "{}",
    "*",
    "&a",
    "*a",
    "---",
    "0",
    "-1",
    "18446744073709551616",
    "1e999",
    "\"",
    "'",
    "user",
    "analytics",
    "properties.*",
    "items[].x",
    "[a=b]",
    "$header.x",
    "$path.0",
    "$cookie.*",
    "key_category: user",
    "keys: [a]",
    "required: true",
    "kind: Rule",
    "kind: Suite",
    "default",
    "opt_out",
    "\u{1f}",
    "\t",
    "a.b.c.d.e.f",
    "\u{feff}",
];

/// Policies that compile, and others.
fn texts() -> (Vec<String>, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = below(&root.join("../policies")).join("\n---\n");
    let (wrong, mut right) = (below(&root.join("tests/errors")), below(&root.join("tests/data/design.yaml")));
    right.push(shipped);
    (right, wrong)
}

/// The text of every policy file below a place.
fn below(place: &Path) -> Vec<String> {
    let mut left: Vec<PathBuf> = vec![place.to_owned()];
    let mut texts = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "yaml") {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
    texts.sort();
    texts
}

/// xorshift64*: the same damage in every run (Vigna 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % bound.max(1)
    }
}

fn damage(text: &str, dice: &mut Dice) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=dice.below(3) {
        let at = dice.below(lines.len());
        match dice.below(7) {
            0 => drop(lines.drain(at..(at + 1 + dice.below(3)).min(lines.len()))),
            1 => lines.insert(at, lines.get(dice.below(lines.len())).cloned().unwrap_or_default()),
            2 => lines.insert(at, WORDS.get(dice.below(WORDS.len())).copied().unwrap().to_owned()),
            choice => {
                let Some(line) = lines.get_mut(at) else { continue };
                let mut words: Vec<&str> = line.split_inclusive([' ', ':', ',', '[', '{', '.']).collect();
                let word = dice.below(words.len());
                let other = WORDS.get(dice.below(WORDS.len())).copied().unwrap();
                match choice {
                    3 if !words.is_empty() => drop(words.remove(word)),
                    4 => words.insert(word, other),
                    _ => words.iter_mut().skip(word).take(1).for_each(|old| *old = other),
                }
                *line = words.concat();
            }
        }
    }
    lines.join("\n")
}

#[test]
fn damaged_policies_are_answered() {
    let cases: u64 = std::env::var("PRIVET_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3_000);
    let seed: u64 = std::env::var("PRIVET_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let ((right, wrong), mut dice) = (texts(), Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let (mut compiled, mut slowest) = (0, Duration::ZERO);
    for case in 0..cases {
        let texts = if case % 2 == 0 { &right } else { &wrong };
        let text = damage(texts.get(dice.below(texts.len())).unwrap(), &mut dice);
        let files = [SourceFile { name: "damaged.yaml".into(), text: text.clone() }];
        let begun = Instant::now();
        let answer = std::panic::catch_unwind(|| {
            let answer = privet_policy::compile(&files);
            answer.diagnostics.iter().for_each(|diagnostic| drop(diagnostic.render(&files, false)));
            answer.policy.map(|policy| exposure(&policy).len())
        });
        slowest = slowest.max(begun.elapsed());
        let Ok(rows) = answer else { panic!("case {case} of seed {seed} panics:\n{text}") };
        compiled += u64::from(rows.is_some());
    }
    println!("{cases} cases, {compiled} still compile, the slowest took {slowest:?}");
    assert!(compiled > cases / 100, "the damage is too great: {compiled} of {cases} compile");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}
