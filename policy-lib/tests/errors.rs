//! What the compiler says to whoever wrote a mistake, word for word.
//!
//! Each `errors/CODE-what.yaml` holds one mistake; `PRIVET_BLESS=1` writes down
//! what is said about it, for a person to read before it is committed.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use privet_policy::diagnostic::SourceFile;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors")
}

fn cases() -> Vec<String> {
    let names = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut cases: Vec<String> = names.filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned)).collect();
    cases.sort();
    cases
}

/// The code that a case is about.
fn code(case: &str) -> &str {
    case.split('-').next().unwrap()
}

#[test]
fn every_mistake_is_told_with_its_place_and_the_way_out() {
    let (mut wrong, bless) = (Vec::new(), std::env::var_os("PRIVET_BLESS").is_some());
    for case in cases() {
        let text = fs::read_to_string(directory().join(format!("{case}.yaml"))).unwrap();
        let files = [SourceFile { name: format!("{case}.yaml"), text }];
        let compiled = privet_policy::compile(&files);
        let said: Vec<String> =
            compiled.diagnostics.iter().map(|diagnostic| diagnostic.render(&files, false)).collect();
        let said = said.join("\n\n") + "\n";
        let told: BTreeSet<&str> = compiled.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        let other = |told: &&str| *told != code(&case) && !told.starts_with('W');
        if !told.contains(code(&case)) || told.iter().any(other) {
            wrong.push(format!("{case} says {told:?}:\n{said}"));
        }
        for word in ["Some(", "None", "Error(", "::", "{ "] {
            if compiled.diagnostics.iter().any(|diagnostic| diagnostic.message.contains(word)) {
                wrong.push(format!("{case} speaks Rust:\n{said}"));
            }
        }
        let expected = directory().join(format!("{case}.txt"));
        if bless {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{case} says:\n{said}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nif that is right, run with PRIVET_BLESS=1 and read the difference",
        wrong.join("\n")
    );
}

#[test]
fn every_code_has_a_case() {
    let mut codes = BTreeSet::new();
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let quoted = text.split('"').filter(|word| {
                word.len() == 4
                    && word.starts_with(['P', 'W'])
                    && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
            });
            codes.extend(quoted.map(str::to_owned));
        }
    }
    let cases = cases();
    let covered: BTreeSet<&str> = cases.iter().map(|case| code(case)).collect();
    let missing: Vec<&String> = codes.iter().filter(|known| !covered.contains(known.as_str())).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
    assert!(codes.len() > 20, "{codes:?}");
}
