//! Any bytes at all, as the files of a policy directory.
//!
//! A byte 0 ends a file. Whatever is written, the compiler answers, and what it
//! says can be shown; what compiles can be listed and asked about.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privet_policy::diagnostic::{Severity, SourceFile};
use privet_policy::exposure::exposure;
use privet_policy::prove::{Question, prove};

fuzz_target!(|bytes: &[u8]| {
    let texts = bytes.split(|byte| *byte == 0).take(4);
    let files: Vec<SourceFile> = texts
        .zip(0..)
        .map(|(text, number): (&[u8], u8)| SourceFile {
            name: format!("{number}.yaml"),
            text: String::from_utf8_lossy(text).into_owned(),
        })
        .collect();
    let compiled = privet_policy::compile(&files);
    for diagnostic in &compiled.diagnostics {
        let shown = diagnostic.render(&files, false);
        assert!(shown.contains(diagnostic.code), "a diagnostic without its code");
        let (_, line, column) = diagnostic.place(&files);
        let text = files.get(diagnostic.at.file).map_or("", |file| &file.text);
        assert!(line <= text.matches('\n').count() + 1 && column <= text.len() + 1, "a place outside of the file");
    }
    let broken = compiled.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    assert_eq!(compiled.policy.is_none(), broken, "a policy with errors, or none without");
    let Some(policy) = compiled.policy else { return };
    let rows = exposure(&policy);
    let question = Question { never: "user", to: None, purpose: None, unless_consent: None, allow: &[], at_ms: 0 };
    let answer = prove(&policy, &question);
    assert!(answer.leaves.is_empty() || !rows.is_empty(), "something leaves that is not exposed");
    assert_eq!(answer.counterexample.is_some(), !answer.leaves.is_empty(), "a counterexample to a proof");
});
