//! The schema for editors, held against the reader by an independent validator:
//! what the reader takes the schema takes, and what the reader finds misspelt or
//! missing the schema finds too.
//!
//! `PRIVET_BLESS=1` writes `policies/schema.json`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use privet_policy::diagnostic::{Diagnostic, SourceFile};
use privet_policy::source::keys::KINDS;
use privet_policy::{schema, yaml};
use serde_json::Value;

/// What is wrong with the form of a document, as opposed to its names.
const FORM_CODES: [&str; 11] = ["P002", "P003", "P004", "P005", "P006", "P011", "P015", "P025", "P042", "P043", "P044"];

/// Whether a schema can know it. What may be preferred is the name of a purpose, too.
fn is_about_form(diagnostic: &Diagnostic) -> bool {
    FORM_CODES.contains(&diagnostic.code) && !diagnostic.message.contains("nor a purpose") && !is_between(diagnostic)
}

/// Whether a schema can know part of it only: that a name is a detector's where it
/// may be a set's, that numbers are ages where they have to ascend.
fn is_between(diagnostic: &Diagnostic) -> bool {
    diagnostic.code == "P014" || diagnostic.message.starts_with("bands begin")
}

struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Validator {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("policy.json", schema::schema()).unwrap();
        let index = compiler.compile("policy.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    /// What the schema says against a document, if anything.
    fn against(&self, document: &Value) -> Option<String> {
        self.schemas.validate(document, self.index).err().map(|error| format!("{error:#}"))
    }
}

/// The documents of a text, as an editor sees them.
fn documents(text: &str) -> Vec<Value> {
    let json = |node: &yaml::Node| {
        let mut text = String::new();
        node.json(&mut text);
        serde_json::from_str(&text).unwrap()
    };
    let documents: Vec<Value> = yaml::documents(text, 0).unwrap_or_default().iter().map(json).collect();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every policy file below a place: its name and text.
fn below(place: &Path) -> Vec<(String, String)> {
    let (mut left, mut found) = (vec![place.to_owned()], Vec::new());
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push((path.display().to_string(), fs::read_to_string(path).unwrap()));
        }
    }
    found.sort();
    found
}

/// What reader and compiler say of a text alone.
fn said(text: &str) -> Vec<Diagnostic> {
    let files = [SourceFile { name: "one.yaml".into(), text: text.to_owned() }];
    privet_policy::compile(&files).diagnostics
}

#[test]
fn the_schema_in_the_repository_is_this_one() {
    let path = root().join("../policies/schema.json");
    let made = format!("{:#}\n", schema::schema());
    if std::env::var_os("PRIVET_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "policies/schema.json is not what `privet schema` prints: run with PRIVET_BLESS=1");
}

#[test]
fn what_we_ship_is_valid() {
    let validator = Validator::new();
    let places = ["../policies", "tests/data/design.yaml", "src/taxonomy"];
    let mut kinds: Vec<String> = Vec::new();
    for (name, text) in places.iter().flat_map(|place| below(&root().join(place))) {
        for document in documents(&text) {
            assert_eq!(validator.against(&document), None, "{name}");
            kinds.push(document["kind"].as_str().unwrap().to_owned());
        }
    }
    assert!(KINDS.iter().all(|keys| kinds.iter().any(|kind| kind == keys.name)), "a kind of which nothing is shipped");
}

#[test]
fn what_is_written_wrong_is_not() {
    let validator = Validator::new();
    let (mut refused, mut passed) = (0, Vec::new());
    for (name, text) in below(&root().join("tests/errors")) {
        let code = Path::new(&name).file_name().unwrap().to_str().unwrap()[..4].to_owned();
        let wrong = documents(&text).iter().any(|document| validator.against(document).is_some());
        let all = said(&text);
        let told = all.iter().any(is_about_form);
        refused += u32::from(wrong);
        if told != wrong && code != "P001" && !all.iter().any(is_between) {
            passed.push(name);
        }
    }
    assert_eq!(passed, Vec::<String>::new());
    assert!(refused > 25, "{refused}");
}

#[test]
fn every_key_is_described_and_every_map_closed() {
    let schema = schema::schema();
    for (name, map) in schema["$defs"].as_object().unwrap().iter().filter(|(name, _)| *name != "Action") {
        assert!(!map["additionalProperties"].is_null(), "{name} is open");
        for (key, property) in map["properties"].as_object().unwrap() {
            let means = property["description"].as_str().unwrap_or_default();
            assert!(means.len() > 8 && means.ends_with('.'), "{name}.{key}: {means}");
        }
    }
}

/// xorshift64*: the same damage in every run (Vigna 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound.max(1)
    }
}

/// Takes a key away, misspells one, or puts another value somewhere in a document.
fn damage(value: &mut Value, dice: &mut Dice) {
    let odd = [Value::Null, true.into(), 0.into(), "word".into(), Value::Array(Vec::new()), serde_json::json!({})];
    let inner = match value {
        Value::Object(members) if !members.is_empty() => {
            let key = members.keys().nth(dice.below(members.len())).cloned().unwrap();
            match dice.below(12) {
                0 => drop(members.remove(&key)),
                1 => drop(members.insert(format!("{key}x"), "word".into())),
                2 => drop(members.insert(key.clone(), odd[dice.below(odd.len())].clone())),
                _ => {}
            }
            members.get_mut(&key)
        }
        Value::Array(elements) if !elements.is_empty() => {
            let at = dice.below(elements.len());
            elements.get_mut(at)
        }
        _ => None,
    };
    if let Some(inner) = inner {
        damage(inner, dice);
    }
}

/// Tests are not compiled, only run: their words are not looked at before.
fn is_suite(document: &Value) -> bool {
    document["kind"] == "Suite"
}

#[test]
fn reader_and_schema_agree_about_damaged_documents() {
    let (validator, mut dice) = (Validator::new(), Dice(0x9e37_79b9_7f4a_7c15));
    let places = ["../policies", "tests/data/design.yaml", "src/taxonomy/privet.yaml", "tests/errors"];
    let texts: Vec<_> = places.iter().flat_map(|place| below(&root().join(place))).collect();
    let documents: Vec<Value> = texts.iter().flat_map(|(_, text)| documents(text)).collect();
    let (mut taken, mut refused) = (0, 0);
    for case in 0..6_000 {
        let mut document = documents[dice.below(documents.len())].clone();
        damage(&mut document, &mut dice);
        let text = document.to_string();
        let all = said(&text);
        // What stands at a path that is none is not read.
        let unread = all.iter().any(|diagnostic| diagnostic.code == "P008" || is_between(diagnostic));
        let form: Vec<_> = all.into_iter().filter(is_about_form).collect();
        let refusal = validator.against(&document);
        // Which noises, marks and calendars there are is privet-dp's to say, when the export is planned; a key's
        // name of digits alone needs no quotes.
        let members = [
            "/noise",
            "/window/publish_marked",
            "/window/late",
            "/window/calendar",
            "/fleet/topology",
            "/tokenize/key",
        ];
        let planned = refusal.as_ref().is_some_and(|refusal| members.iter().any(|member| refusal.contains(member)));
        if !is_suite(&document) && !unread && !planned {
            assert!(!(form.is_empty() && refusal.is_some()), "case {case}: {text}\nonly the schema says {refusal:?}");
        }
        let inherited =
            is_suite(&document) && form.iter().all(|diagnostic| diagnostic.message.starts_with("there is no event"));
        assert!(
            form.is_empty() || refusal.is_some() || inherited,
            "case {case}: {text}\nonly the reader says {form:?}"
        );
        taken += u32::from(refusal.is_none());
        refused += u32::from(refusal.is_some());
    }
    assert!(taken > 1_000 && refused > 1_000, "{taken} taken, {refused} refused");
}
