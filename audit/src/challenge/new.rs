//! `challenge new`: canaries, and what is expected of each.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use privet_audit_log::challenge::{HEADER, Token};
use privet_audit_log::policies;
use privet_audit_log::tree::Hash;
use privet_policy::Policy;
use privet_policy::consent::Memory;
use privet_policy::format::Format;
use privet_policy::prove::{Canary, Sample, canaries};
use serde_json::{Value, json};

use super::decided::{FORMATS, decided};
use super::expected::{EXPECTATION, Expectation, Expected, PRIVATE, PUBLIC, REQUESTS, SEAL};
use super::key::{AuditorSecret, random, write_new};
use crate::answer::Printed;
use crate::classes;
use crate::written::outside_of_logs;

/// More canaries than this are no spot check.
const COUNT_MAX: usize = 10_000;
/// How many fields are tried before a kind is passed over.
const FIELDS_TRIED: usize = 8;
/// How often a kind's turn may come before the policies are given up.
const ROUNDS_MAX: usize = 16;

/// Which canaries.
#[derive(clap::Args)]
pub struct New {
    /// The policies that run, as you have agreed to them.
    #[arg(long, value_name = "DIR")]
    policies: PathBuf,
    /// How many canaries.
    #[arg(long, value_name = "N")]
    count: usize,
    /// A directory to make, for all files of the challenge.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Your private key, as an earlier challenge left it; a new one is made if not given.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Your name in a new key: a-z, 0-9, `-` and `_`.
    #[arg(long, default_value = "auditor")]
    name: String,
    /// The jurisdiction that the listener gives its requests.
    #[arg(long, default_value = "default")]
    jurisdiction: String,
    /// Canaries of this format only; may stand more than once. The listener must take it.
    #[arg(long = "format", value_name = "FORMAT")]
    formats: Vec<Format>,
}

/// One canary, ready to be sent.
struct Made {
    request: Value,
    expected: Expected,
}

impl New {
    /// Makes the directory.
    ///
    /// # Errors
    /// The policies do not compile, have no canary of these formats, or the directory is there already.
    pub fn run(&self) -> Result<Printed> {
        if self.count == 0 || self.count > COUNT_MAX {
            bail!("`--count {}`: 1 to {COUNT_MAX}", self.count);
        }
        let files = policies::read(&self.policies)
            .with_context(|| format!("cannot read the policies at {}", self.policies.display()))?;
        let policy = match classes::compile(&files) {
            Ok(policy) => policy,
            Err(why) => bail!("the policies at {} do not compile: {why}", self.policies.display()),
        };
        let kinds = self.kinds(&policy)?;
        outside_of_logs(&self.out)?;
        fs::create_dir(&self.out).with_context(|| format!("cannot make {}", self.out.display()))?;
        let secret = match &self.key {
            Some(path) => AuditorSecret::read(path)?,
            None => AuditorSecret::make(&self.out.join(PRIVATE), &self.name)?,
        };
        let now = Timestamp::now();
        let mut made = Vec::new();
        // A kind whose samples break their own contract gives none; another takes its turn.
        for kind in shuffled(kinds)?.iter().cycle().take(self.count * ROUNDS_MAX) {
            made.extend(self.make(&policy, kind, &secret, now)?);
            if made.len() == self.count {
                break;
            }
        }
        if made.len() < self.count {
            bail!("no sample of these policies' contracts is valid for its contract: no canary can be made");
        }
        self.write(&policy, &secret, &made, now)
    }

    fn kinds(&self, policy: &Policy) -> Result<Vec<Canary>> {
        let place = policy.place(&self.jurisdiction);
        let wanted = |canary: &Canary| {
            let format = policy.contract(canary.contract()).format;
            FORMATS.contains(&format) && (self.formats.is_empty() || self.formats.contains(&format))
        };
        let kinds: Vec<Canary> = canaries(policy, place).into_iter().filter(wanted).collect();
        if kinds.is_empty() {
            let known = FORMATS.map(Format::name).join(", ");
            bail!("the policies have no contract that a canary could follow; canaries can be of {known}");
        }
        Ok(kinds)
    }

    /// A canary of this kind that is decided as its kind says, with some field or another in it.
    fn make(&self, policy: &Policy, kind: &Canary, secret: &AuditorSecret, now: Timestamp) -> Result<Option<Made>> {
        let token = Token::new(random()?);
        let [a, b, c, d] = random()?;
        let id = format!("canary-{a:02x}{b:02x}{c:02x}{d:02x}");
        for _ in 0..FIELDS_TRIED {
            let field = usize::try_from(u32::from_le_bytes(random()?))?;
            let mut sample = kind.sample(policy, field, &id, now.as_millisecond());
            if sample.format == Format::RudderStack {
                // Its SDKs send it, and a listener of several formats tells this one from Segment's by it.
                sample.headers.push(("anonymousid".to_owned(), id.clone()));
            }
            let class = |memory| decided(policy, &sample, memory, now.as_millisecond());
            let (Some((contract, lasting)), Some((_, forgetful))) = (class(Memory::Lasting), class(Memory::Forgetful))
            else {
                continue;
            };
            let expected = Expected {
                token: token.digest(),
                contract: policy.contract_name(contract),
                class: Hash::of(lasting.as_bytes()).to_address(),
                class_forgetful: Hash::of(forgetful.as_bytes()).to_address(),
            };
            return Ok(Some(Made { request: request(&sample, &token, secret), expected }));
        }
        Ok(None)
    }

    fn write(&self, policy: &Policy, secret: &AuditorSecret, made: &[Made], now: Timestamp) -> Result<Printed> {
        let lines: String = made.iter().map(|made| format!("{}\n", made.request)).collect();
        let expectation = Expectation {
            version: 1,
            made: now.to_string(),
            policy: policy.digest().to_string(),
            jurisdiction: self.jurisdiction.clone(),
            requests: Hash::of(lines.as_bytes()).to_address(),
            canaries: made.iter().map(|made| made.expected.clone()).collect(),
        };
        let text = serde_json::to_string_pretty(&expectation)? + "\n";
        let file = |name: &str, bytes: &[u8]| write_new(&self.out.join(name), bytes, 0o600);
        file(REQUESTS, lines.as_bytes())?;
        file(EXPECTATION, text.as_bytes())?;
        file(SEAL, secret.seal(text.as_bytes()).as_bytes())?;
        file(PUBLIC, format!("{}\n", secret.public()).as_bytes())?;
        Ok((said(&self.out, secret, made), true))
    }
}

/// The kinds in an order that nobody could foresee.
fn shuffled(mut kinds: Vec<Canary>) -> Result<Vec<Canary>> {
    for last in (1..kinds.len()).rev() {
        // The remainder of 64 random bits: no kind is likelier by more than the number of kinds in 2^64.
        let other = u64::from_le_bytes(random()?) % (last as u64 + 1);
        kinds.swap(last, usize::try_from(other)?);
    }
    Ok(kinds)
}

fn request(sample: &Sample, token: &Token, secret: &AuditorSecret) -> Value {
    let mut headers = sample.headers.clone();
    headers.push((HEADER.to_owned(), secret.header(token)));
    json!({
        "id": token.as_str(),
        "method": "POST",
        "target": sample.target,
        "headers": headers,
        "body_b64": STANDARD.encode(sample.body.to_string()),
        "format": sample.format.name(),
        "jurisdiction": sample.jurisdiction,
    })
}

fn said(out: &Path, secret: &AuditorSecret, made: &[Made]) -> String {
    let mut contracts: Vec<&str> = made.iter().map(|made| made.expected.contract.as_str()).collect();
    contracts.sort_unstable();
    contracts.dedup();
    format!(
        "{} canaries of {} contracts in {}\nprivet's configuration needs your public key: {}\ngive {REQUESTS} alone to whoever sends: privet challenge send {} URL\n",
        made.len(),
        contracts.len(),
        out.display(),
        secret.public(),
        out.display()
    )
}
