//! Both passes against an independent reading of the same rules: documents as
//! `serde_json` trees, plans as plain lists of declarations. Nothing of the
//! crate's trie, index or copying is used on the other side.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may fail loudly")]

mod tree;

use std::fmt::Write;

use privet_json::{Edit, Edits, Emitted, Index, Key, Limits, Node, PlanBuilder, PlanNodeId, Step, rewrite};
use proptest::prelude::*;
use serde_json::Value;
use tree::{Declaration, Tree, What};

const KEYS: [&str; 8] = ["a", "b", "c", "kind", "é", "", "q\"\\", "😀\n"];
const TEXTS: [&str; 8] = [
    "",
    "a",
    "ab",
    "b/1",
    "q\"\\\u{1}",
    "é\u{2028}",
    "😀",
    "a long text of more than one word, and more than thirty-two bytes",
];
const NUMBERS: [&str; 8] = ["0", "-0", "7", "-12", "1.50", "1e3", "9007199254740993", "123456789012345678901234567890"];
const SPACES: [&str; 6] = ["", "", "", " ", "\n\t", "\r\n          "];

/// A document before anyone chose how to write it.
#[derive(Clone, Debug)]
enum Doc {
    Null,
    Bool(bool),
    Number(&'static str),
    Text(&'static str),
    Array(Vec<Doc>),
    Object(Vec<(&'static str, Doc)>),
}

fn docs() -> impl Strategy<Value = Doc> {
    let scalar = prop_oneof![
        Just(Doc::Null),
        any::<bool>().prop_map(Doc::Bool),
        proptest::sample::select(&NUMBERS[..]).prop_map(Doc::Number),
        proptest::sample::select(&TEXTS[..]).prop_map(Doc::Text),
    ];
    let member = |inner| (proptest::sample::select(&KEYS[..]), inner);
    scalar.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Doc::Array),
            proptest::collection::vec(member(inner), 0..6).prop_map(|members| Doc::Object(unique(members))),
        ]
    })
}

fn unique(mut members: Vec<(&'static str, Doc)>) -> Vec<(&'static str, Doc)> {
    let mut seen = Vec::new();
    members.retain(|(key, _)| {
        !seen.contains(key) && {
            seen.push(key);
            true
        }
    });
    members
}

/// Writes a document in one of its many forms, chosen by `dice`.
struct Writer {
    dice: u64,
    out: String,
}

impl Writer {
    fn roll(&mut self, sides: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) as usize % sides
    }

    fn space(&mut self) {
        let space = SPACES[self.roll(SPACES.len())];
        self.out.push_str(space);
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        let escaping = self.roll(3) == 0;
        for scalar in text.chars() {
            let must = scalar < ' ' || scalar == '"' || scalar == '\\';
            match scalar {
                '\n' if self.roll(2) == 0 => self.out.push_str("\\n"),
                '"' | '\\' if self.roll(2) == 0 => self.out.extend(['\\', scalar]),
                '/' if escaping => self.out.push_str("\\/"),
                _ if must || (escaping && self.roll(2) == 0) => {
                    for unit in scalar.encode_utf16(&mut [0; 2]) {
                        write!(self.out, "\\u{unit:04X}").unwrap();
                    }
                }
                _ => self.out.push(scalar),
            }
        }
        self.out.push('"');
    }

    fn doc(&mut self, doc: &Doc) {
        match doc {
            Doc::Null => self.out.push_str("null"),
            Doc::Bool(truth) => write!(self.out, "{truth}").unwrap(),
            Doc::Number(text) => self.out.push_str(text),
            Doc::Text(text) => self.text(text),
            Doc::Array(elements) => {
                self.out.push('[');
                self.space();
                for (n, element) in elements.iter().enumerate() {
                    self.comma(n);
                    self.doc(element);
                    self.space();
                }
                self.out.push(']');
            }
            Doc::Object(members) => {
                self.out.push('{');
                self.space();
                for (n, (key, value)) in members.iter().enumerate() {
                    self.comma(n);
                    self.text(key);
                    self.space();
                    self.out.push(':');
                    self.space();
                    self.doc(value);
                    self.space();
                }
                self.out.push('}');
            }
        }
    }

    fn comma(&mut self, n: usize) {
        if n > 0 {
            self.out.push(',');
            self.space();
        }
    }
}

/// A document as text, with white space around it.
fn bodies() -> impl Strategy<Value = String> {
    (docs(), any::<u64>()).prop_map(|(doc, dice)| {
        let mut writer = Writer { dice, out: String::new() };
        writer.space();
        writer.doc(&doc);
        writer.space();
        writer.out
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || proptest::sample::select(&KEYS[..]).prop_map(Box::<str>::from);
    let text = || proptest::sample::select(&TEXTS[..]).prop_map(Box::<str>::from);
    let step = prop_oneof![
        5 => key().prop_map(Step::Key),
        2 => Just(Step::AnyKey),
        2 => Just(Step::Element),
        1 => (key(), text()).prop_map(|(key, equals)| Step::Where { key, equals }),
        1 => (key(), text()).prop_map(|(key, starts)| Step::WhereStarts { key, starts }),
    ];
    proptest::collection::vec(step, 0..4)
}

fn declarations() -> impl Strategy<Value = Vec<Declaration>> {
    let what = prop_oneof![
        6 => proptest::sample::select(&tree::FATES[..]).prop_map(What::Leaf),
        2 => Just(What::Keep),
        1 => Just(What::Whole),
        1 => any::<bool>().prop_map(|drop| What::Splice(u32::from(drop))),
        1 => Just(What::Container),
        2 => proptest::sample::select(&tree::FATES[..]).prop_map(What::AnyKeyAction),
    ];
    proptest::collection::vec((steps(), what), 0..10)
}

fn declare(plan: &mut PlanBuilder<tree::Fate>, (steps, what): &Declaration) {
    let _ = match what {
        What::Leaf(fate) => plan.leaf(steps, *fate),
        What::Keep => plan.keep(steps),
        What::Whole => plan.whole(steps),
        What::Splice(tag) => plan.splice(steps, *tag),
        What::Container => plan.container(steps),
        What::AnyKeyAction(fate) => plan.any_key_action(steps, *fate),
    };
}

fn builder(declarations: &[Declaration]) -> PlanBuilder<tree::Fate> {
    let mut plan = PlanBuilder::new();
    declarations.iter().for_each(|declaration| declare(&mut plan, declaration));
    plan
}

/// The declarations less those that contradict an earlier one.
fn consistent(declarations: Vec<Declaration>) -> Vec<Declaration> {
    let mut kept = Vec::new();
    for declaration in declarations {
        kept.push(declaration);
        if builder(&kept).build().is_err() {
            kept.pop();
        }
    }
    kept
}

/// Does with spans what the tree does with values.
#[derive(Default)]
struct Hand {
    dropped: Vec<PlanNodeId>,
}

fn deal(fate: tree::Fate, written: &str, out: &mut Vec<u8>) -> Edit {
    match fate {
        tree::Fate::Keep => Edit::Keep,
        tree::Fate::Drop => Edit::Drop,
        tree::Fate::Replace => {
            privet_json::write_string(written, out);
            Edit::Written
        }
        tree::Fate::WriteAndKeep => {
            out.extend_from_slice(b"]},junk");
            Edit::Keep
        }
        tree::Fate::WriteAndDrop => {
            out.extend_from_slice(b"junk\"");
            Edit::Drop
        }
    }
}

impl Edits<tree::Fate> for Hand {
    fn edit(&mut self, fate: tree::Fate, value: Node<'_>, out: &mut Vec<u8>) -> Edit {
        assert!(!value.kind().is_container());
        deal(fate, tree::REPLACEMENT, out)
    }
    fn edit_key(&mut self, fate: tree::Fate, key: Key<'_>, out: &mut Vec<u8>) -> Edit {
        deal(fate, &tree::replaced_key(&key.text()), out)
    }
    fn splice(&mut self, tag: u32, node: Node<'_>, out: &mut Vec<u8>) -> Edit {
        write!(Utf8(out), "{{\"spliced\":{}}}", node.len()).unwrap();
        if tag == 0 { Edit::Drop } else { Edit::Written }
    }
    fn dropped(&mut self, nearest: PlanNodeId) {
        self.dropped.push(nearest);
    }
}

struct Utf8<'a>(&'a mut Vec<u8>);

impl Write for Utf8<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn check_rewrite(body: &[u8], declarations: &[Declaration]) -> Result<(), TestCaseError> {
    let plan = builder(declarations).build().unwrap();
    let mut index = Index::new();
    let root = index.read(body, &Limits::default()).unwrap();
    let (mut hand, mut out) = (Hand::default(), Vec::new());
    let emitted = rewrite(index.node(body, root), &plan, &mut hand, &mut out);

    let document: Value = serde_json::from_slice(body).unwrap();
    let mut dropped = Vec::new();
    let expected = tree::rewrite(&document, declarations, &mut dropped);
    prop_assert_eq!(emitted == Emitted::Value, expected.is_some());
    if let Some(expected) = expected {
        let written: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(written, expected);
        // What leaves is as strict as what enters.
        index.read(&out, &Limits::default()).unwrap();
    } else {
        prop_assert!(out.is_empty());
    }
    let mut found: Vec<Vec<Step>> =
        hand.dropped.iter().map(|id| plan.steps(*id).into_iter().cloned().collect()).collect();
    found.sort_by_key(|steps| format!("{steps:?}"));
    dropped.sort_by_key(|steps| format!("{steps:?}"));
    prop_assert_eq!(found, dropped);
    Ok(())
}

/// Whether we and `serde_json` read the same out of `body`, or refuse it for
/// the same or for one of our stated reasons.
fn check_reading(body: &[u8]) -> Result<(), TestCaseError> {
    let mut index = Index::new();
    match (index.read(body, &Limits::default()), Tree::read(body)) {
        (Ok(root), Ok(tree)) => {
            prop_assert!(!tree.has_duplicate_key() && !tree.has_nul_key() && tree.depth() <= 64);
            prop_assert!(tree.agrees(index.node(body, root)));
        }
        (Ok(_), Err(refused)) => prop_assert!(refused.to_string().starts_with("number out of range"), "{}", refused),
        (Err(refused), Ok(tree)) => {
            let reason = match refused.kind.code() {
                "duplicate_key" => tree.has_duplicate_key(),
                "nul_in_key" => tree.has_nul_key(),
                "too_deep" => tree.depth() > 64,
                _ => false,
            };
            prop_assert!(reason, "{}", refused);
        }
        (Err(refused), Err(_)) => prop_assert!(refused.at <= body.len()),
    }
    Ok(())
}

/// Bytes that matter to a reader of JSON.
const SHARP: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\n",
    b"\0",
    b"\x1f",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xed\xa0\x80",
    b"0",
    b"-",
    b".",
    b"e",
    b"E+1",
    b"1e999",
    b"\\u0000",
    b"\\ud83d",
    b"\\ude00",
    b"\\u0061",
    b"\"a\":1,",
    b"null",
    b"true",
    b"\xef\xbb\xbf",
];

#[derive(Clone, Debug)]
enum Harm {
    Insert(usize, usize),
    Overwrite(usize, usize),
    Remove(usize, usize),
    Repeat(usize, usize),
    Cut(usize),
}

fn harms() -> impl Strategy<Value = Vec<Harm>> {
    let place = || 0..4096_usize;
    let harm = prop_oneof![
        (place(), 0..SHARP.len()).prop_map(|(at, what)| Harm::Insert(at, what)),
        (place(), 0..SHARP.len()).prop_map(|(at, what)| Harm::Overwrite(at, what)),
        (place(), 1..4_usize).prop_map(|(at, bytes)| Harm::Remove(at, bytes)),
        (place(), 1..30_usize).prop_map(|(at, bytes)| Harm::Repeat(at, bytes)),
        place().prop_map(Harm::Cut),
    ];
    proptest::collection::vec(harm, 1..4)
}

fn harm(body: &mut Vec<u8>, harm: &Harm) {
    let within = |at: &usize| at % (body.len() + 1);
    match harm {
        Harm::Insert(at, what) => {
            let at = within(at);
            body.splice(at..at, SHARP[*what].iter().copied());
        }
        Harm::Overwrite(at, what) => {
            let at = within(at);
            let end = (at + SHARP[*what].len()).min(body.len());
            body.splice(at..end, SHARP[*what].iter().copied());
        }
        Harm::Remove(at, bytes) => {
            let at = within(at);
            let end = (at + bytes).min(body.len());
            body.drain(at..end);
        }
        Harm::Repeat(at, bytes) => {
            let at = within(at);
            let again = body[at..(at + bytes).min(body.len())].to_vec();
            body.splice(at..at, again);
        }
        Harm::Cut(at) => {
            let at = within(at);
            body.truncate(at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rewriting_is_what_a_tree_edit_would_do(body in bodies(), declared in declarations()) {
        check_rewrite(body.as_bytes(), &consistent(declared))?;
    }

    #[test]
    fn a_plan_that_keeps_all_is_the_identity(body in bodies()) {
        check_reading(body.as_bytes())?;
        let mut index = Index::new();
        let root = index.read(body.as_bytes(), &Limits::default()).unwrap();
        let (mut plan, mut out) = (PlanBuilder::new(), Vec::new());
        plan.keep_all();
        let emitted = rewrite(index.node(body.as_bytes(), root), &plan.build().unwrap(), &mut Hand::default(), &mut out);
        prop_assert_eq!(emitted, Emitted::Value);
        prop_assert_eq!(&out, body.trim_matches([' ', '\n', '\t', '\r']).as_bytes());
    }

    #[test]
    fn harmed_documents_are_read_as_serde_json_reads_them(body in bodies(), harms in harms()) {
        let mut body = body.into_bytes();
        harms.iter().for_each(|one| harm(&mut body, one));
        check_reading(&body)?;
    }

    #[test]
    fn strings_of_sharp_bytes_are_read_as_serde_json_reads_them(
        pieces in proptest::collection::vec(proptest::sample::select(SHARP), 0..12),
        quoted in any::<bool>(),
    ) {
        let mut body = pieces.concat();
        if quoted {
            body = [b"\"", body.as_slice(), b"\""].concat();
        }
        check_reading(&body)?;
    }

    #[test]
    fn any_bytes_at_all_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        check_reading(&body)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn real_events_harmed_or_not(line in 0..41_usize, harms in harms(), places in any::<[u64; 6]>()) {
        let line = include_str!("data/events.ndjson").lines().nth(line).unwrap();
        check_reading(line.as_bytes())?;
        check_rewrite(line.as_bytes(), &consistent(tree::declarations_for(line, &places)))?;
        let mut body = line.as_bytes().to_vec();
        harms.iter().for_each(|one| harm(&mut body, one));
        check_reading(&body)?;
    }
}
