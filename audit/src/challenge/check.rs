//! `challenge check`: every canary is in the log, proved, and in the class that the policy decides.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use privet_audit_log::tlog_proof::TlogProof;
use privet_audit_log::verify::leaves;
use serde::Deserialize;
use serde_json::{Value, json};

use super::expected::{Expectation, Expected, REQUESTS};
use crate::answer::{Answer, Printed};
use crate::brought::{Brought, read_text};
use crate::evidence::{Evidence, Told};
use crate::prove::file_in;
use crate::written::{Overwrite, outside_of_logs, write};

/// Which challenge.
#[derive(clap::Args)]
pub struct Check {
    #[command(flatten)]
    brought: Brought,
    /// The challenge's directory.
    challenge: PathBuf,
    /// Write each canary's record and its inclusion proof into this directory.
    #[arg(long, value_name = "DIR")]
    proofs: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
}

/// What a `challenge` record says.
#[derive(Debug, Deserialize)]
struct Said {
    token: String,
    events: u64,
    classes: Vec<(u32, u64)>,
}

/// A `challenge` record, where it stands.
#[derive(Clone, Debug)]
struct Seen {
    incarnation: u64,
    index: u64,
    events: u64,
    /// Class ids with their policies and counts.
    classes: Vec<(String, String, u64)>,
    consent: Option<String>,
    bytes: Vec<u8>,
}

/// What the log says of challenges.
#[derive(Debug, Default)]
struct Found {
    by_token: HashMap<String, Vec<Seen>>,
    consent: Option<String>,
}

impl Found {
    fn take(&mut self, told: &Told<'_>) {
        match told.entry.record.kind() {
            "open" => self.consent = None,
            "config" => self.consent = told.value().get("consent").and_then(Value::as_str).map(str::to_owned),
            "challenge" => self.challenge(told),
            _ => {}
        }
    }

    fn challenge(&mut self, told: &Told<'_>) {
        let Ok(said) = serde_json::from_slice::<Said>(told.bytes) else { return };
        let named = |(number, count): &(u32, u64)| {
            let (id, policy) = told.names.classes.get(*number as usize).cloned().unwrap_or_default();
            (id, policy, *count)
        };
        let seen = Seen {
            incarnation: told.incarnation,
            index: told.index,
            events: said.events,
            classes: said.classes.iter().map(named).collect(),
            consent: self.consent.clone(),
            bytes: told.bytes.to_vec(),
        };
        self.by_token.entry(said.token).or_default().push(seen);
    }
}

/// The leaves and published checkpoints of the incarnations in which canaries stand.
struct Prover<'a> {
    evidence: &'a Evidence,
    read: HashMap<u64, privet_audit_log::verify::Leaves>,
}

impl Prover<'_> {
    fn prove(&mut self, seen: &Seen) -> Result<TlogProof> {
        if !self.read.contains_key(&seen.incarnation) {
            self.read.insert(seen.incarnation, leaves(self.evidence.log(), seen.incarnation)?);
        }
        let read = self.read.get(&seen.incarnation).context("it was just read")?;
        Ok(TlogProof::prove(&read.leaves, seen.index, &read.checkpoint)?)
    }
}

impl Check {
    /// Checks.
    ///
    /// # Errors
    /// There is no log to speak of, or the challenge cannot be read or was changed since it was sealed.
    pub fn run(&self) -> Result<Printed> {
        let (expectation, auditor) = Expectation::read(&self.challenge)?;
        let requests = read_text(&self.challenge.join(REQUESTS)).ok();
        let evidence = Evidence::gather(&self.brought)?;
        let mut found = Found::default();
        evidence.walk(&mut |told| found.take(told))?;
        let mut prover = Prover { evidence: &evidence, read: HashMap::new() };
        let mut answer = Answer::to(format!(
            "Are the {} canaries of {} in the log, in the classes that policy {} decides?",
            expectation.canaries.len(),
            auditor.name(),
            expectation.policy
        ));
        if requests
            .is_some_and(|text| privet_audit_log::tree::Hash::of(text.as_bytes()).to_address() != expectation.requests)
        {
            answer.object("requests", format!("{REQUESTS} is not what it was when the expectation was sealed"));
        }
        let mut told = Vec::new();
        for expected in &expectation.canaries {
            let all = found.by_token.get(&expected.token).map(Vec::as_slice).unwrap_or_default();
            told.push(self.canary(&expectation, expected, all, &mut prover, &mut answer)?);
        }
        let right = told.iter().filter(|one| one.get("right") == Some(&Value::Bool(true))).count();
        answer.line(format!("{right} of {} are there, proved, and in the class that was expected", told.len()));
        answer.value = json!({
            "auditor": auditor.to_string(),
            "made": expectation.made,
            "policy": expectation.policy,
            "right": right,
            "canaries": told,
        });
        answer.proved.push("the expectation is what was sealed when the canaries were made".to_owned());
        answer.assumed.push(format!(
            "the listener gives its requests the jurisdiction `{}`, and the canaries were sent as they were made",
            expectation.jurisdiction
        ));
        answer.assumed.push(
            "a canary is decided like anyone's event: its header tells the sidecar that it is one, so look at the collector too".to_owned(),
        );
        answer.print(&evidence, self.brought.json)
    }

    fn canary(
        &self,
        expectation: &Expectation,
        expected: &Expected,
        all: &[Seen],
        prover: &mut Prover<'_>,
        answer: &mut Answer,
    ) -> Result<Value> {
        let short = expected.token.get(..19).unwrap_or(&expected.token);
        let of = format!("canary {short}… of {}", expected.contract);
        let Some(seen) = all.first() else {
            answer.object("canary_missing", format!("{of}: no record of it"));
            return Ok(json!({"token": expected.token, "contract": expected.contract, "right": false, "seen": 0}));
        };
        let before = answer.findings.len();
        if all.len() > 1 {
            answer.object("canary_repeated", format!("{of}: {} records of it; it was sent again", all.len()));
        }
        if let Some(wrong) = against(expectation, expected, seen) {
            answer.object("canary_class", format!("{of}: {wrong}"));
        }
        let proof = prover.prove(seen);
        match &proof {
            Ok(proof) => self.keep(expected, seen, proof)?,
            Err(error) => {
                answer.object("canary_unproved", format!("{of}: {error:#}; ask again after the next checkpoint"))
            }
        }
        Ok(json!({
            "token": expected.token,
            "contract": expected.contract,
            "right": answer.findings.len() == before,
            "seen": all.len(),
            "incarnation": seen.incarnation,
            "record": seen.index,
            "classes": seen.classes.iter().map(|(id, _, count)| json!([id, count])).collect::<Vec<_>>(),
            "proved": proof.is_ok(),
        }))
    }

    fn keep(&self, expected: &Expected, seen: &Seen, proof: &TlogProof) -> Result<()> {
        let Some(dir) = &self.proofs else { return Ok(()) };
        let name = expected.token.strip_prefix("sha256:").unwrap_or(&expected.token);
        let if_there = self.overwrite.if_there();
        outside_of_logs(dir)?;
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        write(&file_in(dir, name), proof.to_string().as_bytes(), if_there)?;
        write(&dir.join(format!("{name}.record")), &seen.bytes, if_there)
    }
}

/// What is wrong with what the log says of a canary, if anything.
fn against(expectation: &Expectation, expected: &Expected, seen: &Seen) -> Option<String> {
    let [(class, policy, 1)] = seen.classes.as_slice() else {
        return Some(format!(
            "the log counts {} events in {} classes, and it was one",
            seen.events,
            seen.classes.len()
        ));
    };
    if *policy != expectation.policy {
        return Some(format!("it was decided by policy {policy}; make canaries from that one"));
    }
    // A store in memory forgets; of the others only the sidecar knows whether it answered.
    let forgets = seen.consent.as_deref() == Some("memory");
    let lasts = matches!(seen.consent.as_deref(), Some("redis" | "postgresql"));
    let fits = (*class == expected.class && !forgets) || (*class == expected.class_forgetful && !lasts);
    (!fits).then(|| format!("the log has it in class {class}, and the policy decides {}", expected.class))
}
