//! Files that are made to keep the reader busy: each is answered within a second,
//! by a code, in plain words, and with the way out.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use privet_policy::diagnostic::{Severity, SourceFile};
use privet_policy::yaml::BYTES_MAX;

/// What a line of YAML may begin, hold or never end.
const UNITS: [&str; 34] = [
    "[",
    "{",
    "[[",
    "{a: ",
    "- ",
    "-\n",
    "? ",
    ": ",
    ":",
    "!a ",
    "&a ",
    "*a ",
    "---\n",
    "%YAML 1.2\n",
    "# x\n",
    " ",
    "\n",
    "\t",
    "\0",
    "\u{feff}",
    "x",
    "x\n  ",
    "'",
    "\"\\n",
    "\"",
    "|\n ",
    ">\n\n x",
    "a: b: c\n",
    "a: b\n",
    "k: [1, 2]\n",
    "\\",
    "<<: ",
    "~: ",
    "kind: X\n---\n",
];

const CONTRACT: &str =
    "apiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {name: c}\nmatch: {format: json}\nfields:\n";

/// Every value is twice the one before it, or ten times.
fn laughs(levels: usize, times: usize) -> String {
    let mut text = String::from("a0: &a0 [x, x, x]\n");
    for level in 1..levels {
        let below = vec![format!("*a{}", level - 1); times].join(", ");
        writeln!(text, "a{level}: &a{level} [{below}]").unwrap();
    }
    text
}

/// The same with merge keys.
fn merges(levels: usize) -> String {
    let mut text = String::from("m0: &m0 {a: 1, b: 2, c: 3, d: 4}\n");
    for level in 1..levels {
        let below = vec![format!("*m{}", level - 1); 10].join(", ");
        writeln!(text, "m{level}: &m{level}\n  <<: [{below}]").unwrap();
    }
    text
}

/// So many lines, each with its number.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|number| line(number) + "\n").collect()
}

/// An export by so many keys, none of which is among the contract's values, and those are as many.
fn keys_that_nobody_has(count: usize) -> String {
    let listed = |letter: &str| (0..count).map(|number| format!("{letter}{number}")).collect::<Vec<_>>().join(", ");
    let contract = "apiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {name: c}\n\
         match: {format: segment, type: track}\nfields:\n  properties.k: {category: user, enum: [";
    let export = "]}\n---\napiVersion: privet.dev/v1alpha1\nkind: Export\nmetadata: {name: e}\npurpose: analytics\n\
         from: {contract: c}\nunit: userId\nwindow: {length: 1d}\nbounds: {keys_per_unit: 1, rows_per_key: 1}\n\
         count: {noise: discrete_laplace, epsilon: \"1\"}\nbudget: {horizon: 1d, epsilon: \"1\"}\nkeys: {properties.k: [";
    format!("{contract}{}{export}{}]}}\n", listed("a"), listed("b"))
}

/// What is too much, and the code that says so.
fn bombs() -> Vec<(&'static str, &'static str, String)> {
    let rule = |number| {
        format!(
            "apiVersion: privet.dev/v1alpha1\nkind: Rule\nmetadata: {{name: r{number}}}\ndata: [user]\nfor: [analytics]\naction: keep\n---"
        )
    };
    vec![
        ("billion laughs", "P040", laughs(10, 10)),
        ("deep laughs", "P040", laughs(60, 2)),
        (
            "one large text, many aliases",
            "P040",
            format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(5_000)),
        ),
        ("merge keys", "P040", merges(40)),
        ("anchors", "P040", lines(60_000, |number| format!("- &a{number} x"))),
        ("flow lists", "P040", "[".repeat(100_000) + &"]".repeat(100_000)),
        ("flow maps", "P040", "{a: ".repeat(100_000) + &"}".repeat(100_000)),
        ("lists in lists", "P040", "- ".repeat(100_000) + "x"),
        ("keys in keys", "P040", "? ".repeat(100_000) + "x"),
        ("maps in maps", "P040", lines(1_900, |depth| " ".repeat(depth) + "a:")),
        ("a million elements", "P040", format!("a: [{}]", "1,".repeat(1_000_000))),
        ("documents of 10 MB", "P040", "kind: Taxonomy\n---\n".repeat(500_000)),
        ("a text of 10 MB", "P040", "a: ".to_owned() + &"x".repeat(10 << 20)),
        ("10 MB of [", "P040", "[".repeat(10 << 20)),
        ("a long key", "P001", "k".repeat(1 << 20) + ": x"),
        ("long keys", "P001", lines(20, |number| format!("{number}{}: x", "k".repeat(100_000)))),
        ("fields", "P041", CONTRACT.to_owned() + &lines(60_000, |number| format!("  k{number}: {{category: user}}"))),
        (
            "wrong fields",
            "P041",
            CONTRACT.to_owned() + &lines(60_000, |number| format!("  k{number}: {{wrong: user}}")),
        ),
        ("wrong texts", "P041", format!("{CONTRACT}  a: {{keys: [{}]}}", "[], ".repeat(200_000))),
        ("rules", "P041", lines(11_000, rule)),
        ("keys that nobody has", "P045", keys_that_nobody_has(20_000)),
    ]
}

/// Compiles, shows every mistake, and says which codes there were.
fn answered(name: &str, text: String) -> (Vec<&'static str>, String) {
    let (bytes, begun) = (text.len(), Instant::now());
    let files = [SourceFile { name: "bomb.yaml".into(), text }];
    let compiled = privet_policy::compile(&files);
    let said: Vec<String> = compiled.diagnostics.iter().map(|diagnostic| diagnostic.render(&files, false)).collect();
    let took = begun.elapsed();
    println!("{name:?}: {bytes} bytes, {} mistakes, {took:?}", said.len());
    assert!(took < Duration::from_secs(1), "{name:?} takes {took:?}");
    let errors = compiled.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    let said = said.join("\n");
    for word in ["serialize", "Option", "::", "budget", "invalid type", "recursion"] {
        assert!(
            !said.contains(word) || files.iter().all(|file| file.text.contains(word)),
            "{name:?} speaks Rust: {word}"
        );
    }
    (errors.map(|error| error.code).collect(), said)
}

#[test]
fn what_is_too_much_is_said_within_a_second() {
    for (name, code, text) in bombs() {
        let (codes, said) = answered(name, text);
        assert!(codes.contains(&code), "{name}: {codes:?}");
        assert!(code == "P001" || (said.contains(" more ") && said.contains("= help: ")), "{name}: {codes:?}");
    }
}

#[test]
fn whatever_fills_a_file_is_answered_within_a_second() {
    for unit in UNITS {
        for text in [unit.repeat(BYTES_MAX / unit.len()), "a: ".to_owned() + &unit.repeat((BYTES_MAX - 3) / unit.len())]
        {
            let (codes, _) = answered(unit, text);
            assert!(!codes.is_empty(), "{unit:?} compiles");
        }
    }
}

#[test]
fn as_much_as_may_be_compiles() {
    let policy = include_str!("data/design.yaml").to_owned() + "---\n";
    let taxonomy =
        |number| format!("apiVersion: privet.dev/v1alpha1\nkind: Taxonomy\nmetadata: {{name: t{number}}}\n---");
    let (codes, said) = answered("documents", policy.clone() + &lines(20_000, taxonomy));
    assert_eq!(codes, Vec::<&str>::new(), "{said}");
    let names = (0..900).map(|number| format!("k{number}")).collect::<Vec<_>>().join(", ");
    let contract = CONTRACT.to_owned() + &format!("  \"a.*\": {{keys: [{names}], category: system.operations}}\n");
    let (codes, said) = answered("fields", policy + &contract);
    assert_eq!(codes, Vec::<&str>::new(), "{said}");
}
