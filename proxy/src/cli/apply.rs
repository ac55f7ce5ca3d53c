//! `privet apply`: what would leave, and why, without sending anything.

use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use privet_policy::Policy;
use privet_policy::format::Format;
use privet_policy::policy::AgeClass;
use serde_json::{Value, json};

use crate::cli::framing::unframed;
use crate::cli::{Outcome, cannot, complain, written};
use crate::clock::{Clock, SystemClock};
use crate::decode::{Scratch, path};
use crate::formats::rudderstack;
use crate::formats::snowplow::{self, opened};
use crate::keys::Keyring;
use crate::offline::{AssumedDecisions, Parts, Question, Sent, think};
use crate::policies;
use crate::request as wire;
use crate::run::chain;
use crate::sidecar::keyring_in;
use crate::transform::Enforcement;

/// The arguments of `privet apply`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy directory.
    #[arg(long, value_name = "DIR")]
    pub policies: PathBuf,
    /// The wire format: segment, rudderstack, snowplow, ga4, otlp, cloudevents, json, ndjson, or auto by path and body.
    #[arg(long, default_value = "auto", value_name = "FMT")]
    pub format: String,
    /// A request header; may be given again.
    #[arg(long = "header", value_name = "K: V")]
    pub headers: Vec<String>,
    /// The request path, with a query if there is one.
    #[arg(long, value_name = "P")]
    pub path: Option<String>,
    /// The keyring directory; a random key if not given.
    #[arg(long, value_name = "DIR")]
    pub keyring: Option<PathBuf>,
    /// The jurisdiction, such as `us-ca`.
    #[arg(long, value_name = "J")]
    pub jurisdiction: Option<String>,
    /// The age class: adult, child or unknown.
    #[arg(long, value_name = "A")]
    pub age: Option<String>,
    /// The sender's address.
    #[arg(long, value_name = "IP")]
    pub peer: Option<IpAddr>,
    /// When the request was received; now if not given.
    #[arg(long, value_name = "RFC3339")]
    pub time: Option<Timestamp>,
    /// Decisions as if stored before: a JSON map of purposes to given, refused, absent or unavailable; `*` is every purpose.
    #[arg(long, value_name = "FILE")]
    pub consent: Option<PathBuf>,
    /// Where to write the decision as JSON; `-` is stderr.
    #[arg(long, value_name = "FILE")]
    pub decision: Option<PathBuf>,
    /// One JSON object a line in, one a line out, many requests in one process.
    #[arg(long)]
    pub lines: bool,
    /// The answer as JSON, as a line of `--lines` has it.
    #[arg(long)]
    pub json: bool,
}

/// Thinks one request through, or many.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let (enforcement, defaults) = match prepare(args) {
        Ok(prepared) => prepared,
        Err(why) => return cannot(&why),
    };
    if args.lines { lines(&enforcement, &defaults) } else { single(args, &enforcement, &defaults) }
}

/// What holds for a request that does not say otherwise.
pub(super) struct Defaults {
    format: Option<Format>,
    headers: Vec<(String, String)>,
    path: Option<String>,
    jurisdiction: Option<String>,
    age: AgeClass,
    peer: Option<IpAddr>,
    time: Option<Timestamp>,
    consent: Option<Value>,
    clock: SystemClock,
}

impl Defaults {
    /// Nothing but the clock.
    pub(super) fn bare() -> Self {
        Self {
            format: None,
            headers: Vec::new(),
            path: None,
            jurisdiction: None,
            age: AgeClass::Unknown,
            peer: None,
            time: None,
            consent: None,
            clock: SystemClock::default(),
        }
    }
}

fn prepare(args: &Args) -> Result<(Enforcement, Defaults), String> {
    let policy = policy(args)?;
    let keyring = keyring(args)?;
    let headers = args.headers.iter().map(|header| match header.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err("a header is written `Name: value`".to_owned()),
    });
    let consent = args.consent.as_ref().map(|file| {
        let text = fs::read(file).map_err(|error| format!("cannot read `{}`: {error}", file.display()))?;
        serde_json::from_slice(&text)
            .map_err(|error| format!("`{}` is not JSON: line {}", file.display(), error.line()))
    });
    let defaults = Defaults {
        format: format(&args.format)?,
        headers: headers.collect::<Result<_, String>>()?,
        path: args.path.clone(),
        jurisdiction: args.jurisdiction.clone(),
        age: args.age.as_deref().map_or(Ok(AgeClass::Unknown), age)?,
        peer: args.peer,
        time: args.time,
        consent: consent.transpose()?,
        clock: SystemClock::default(),
    };
    if let Some(consent) = &defaults.consent {
        AssumedDecisions::read(consent, &policy, Timestamp::UNIX_EPOCH).map_err(|error| error.to_string())?;
    }
    let enforcement = Enforcement::new(policy, &keyring).map_err(|missing| missing.to_string())?;
    Ok((enforcement, defaults))
}

fn policy(args: &Args) -> Result<Arc<Policy>, String> {
    let files = policies::read(&args.policies).map_err(|error| chain(&error))?;
    let loaded = policies::compile(&files);
    match loaded.policy {
        Some((policy, _)) => Ok(Arc::new(policy)),
        None => Err(format!("{}\nthe policy does not compile", policies::errors(&files, &loaded.diagnostics))),
    }
}

fn keyring(args: &Args) -> Result<Keyring, String> {
    match &args.keyring {
        Some(directory) => keyring_in(directory),
        None => {
            complain("no keyring given: pseudonyms are made with a random key and will not join with others");
            Keyring::random().map_err(|error| error.to_string())
        }
    }
}

pub(super) fn format(written: &str) -> Result<Option<Format>, String> {
    match written {
        "auto" => Ok(None),
        written => written.parse().map(Some).map_err(|error: privet_policy::format::UnknownFormat| error.to_string()),
    }
}

pub(super) fn age(written: &str) -> Result<AgeClass, String> {
    [AgeClass::Adult, AgeClass::Child, AgeClass::Unknown]
        .into_iter()
        .find(|age| age.name() == written)
        .ok_or_else(|| "an age class is one of adult, child, unknown".to_owned())
}

/// The path an SDK would use, where none is given.
const fn usual_path(format: Option<Format>) -> &'static str {
    match format {
        Some(Format::Segment | Format::RudderStack) => "/v1/batch",
        Some(Format::Ga4) => "/mp/collect",
        Some(Format::Snowplow) => privet_policy::snowplow::PAYLOAD_PATH,
        Some(Format::Otlp) => "/v1/logs",
        _ => "/",
    }
}

/// The method an SDK would use, where none is given: an event without a body is a pixel, where its format has one.
fn usual_method(format: Option<Format>, target: &str, body: &[u8]) -> &'static str {
    let pixel = body.is_empty()
        && match format {
            Some(Format::Snowplow) => target.contains('?'),
            Some(Format::RudderStack) => rudderstack::is_pixel(path(target)),
            None => rudderstack::is_pixel(path(target)) || is_tracker_pixel(target),
            _ => false,
        };
    if pixel { "GET" } else { "POST" }
}

/// Whether a target alone says that it is a pixel of Snowplow's.
fn is_tracker_pixel(target: &str) -> bool {
    snowplow::is_announced(&wire::Asked { method: &http::Method::GET, target, headers: &http::HeaderMap::new() })
}

fn single(args: &Args, enforcement: &Enforcement, defaults: &Defaults) -> Outcome {
    let mut body = Vec::new();
    if let Err(error) = io::stdin().lock().read_to_end(&mut body) {
        return cannot(&format!("cannot read the body from stdin: {error}"));
    }
    let path = defaults.path.clone().unwrap_or_else(|| path_for(defaults.format, &body).to_owned());
    let asked = Asked { path: Some(path), body, ..Asked::default() };
    let answer = match asked
        .question(defaults, &enforcement.policy)
        .and_then(|question| ask(enforcement, &question, &mut Scratch::default()))
    {
        Ok(answer) => answer,
        Err(why) => return cannot(&why),
    };
    match tell(args, &answer) {
        Err(error) => cannot(&format!("cannot write: {error}")),
        Ok(()) if answer.refused.is_some() => Outcome::Findings,
        Ok(()) => Outcome::Fine,
    }
}

/// A body on stdin of Segment or RudderStack is a batch if it has one, else a single call; a payload of Snowplow shows itself.
fn path_for(format: Option<Format>, body: &[u8]) -> &'static str {
    if format.is_none() && opened::first_event("", body).is_some() {
        return usual_path(Some(Format::Snowplow));
    }
    let is_batch = || serde_json::from_slice::<Value>(body).map_or(true, |body| body.get("batch").is_some());
    if matches!(format, Some(Format::Segment | Format::RudderStack)) && !is_batch() {
        "/v1/track"
    } else {
        usual_path(format)
    }
}

fn tell(args: &Args, answer: &Answer) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", answer.json(None))?;
    } else {
        for sent in &answer.forwards {
            out.write_all(&sent.forward.body)?;
            writeln!(out)?;
        }
    }
    if let Some(refused) = &answer.refused {
        complain(&format!("refused with status {}: {refused}", answer.status));
    }
    match &args.decision {
        Some(file) if file.as_os_str() == "-" => complain(&answer.decision.to_string()),
        Some(file) => fs::write(file, format!("{}\n", answer.decision))?,
        None => {}
    }
    Ok(())
}

/// The longest line, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 20;

fn lines(enforcement: &Enforcement, defaults: &Defaults) -> Outcome {
    let (mut input, mut out) = (io::stdin().lock(), io::BufWriter::new(io::stdout().lock()));
    let mut scratch = Scratch::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) if line.iter().all(u8::is_ascii_whitespace) => continue,
            Ok(_) => {}
            Err(error) => return cannot(&format!("cannot read a line from stdin: {error}")),
        }
        let answer = answer_line(enforcement, defaults, &line, &mut scratch);
        let told = writeln!(out, "{answer}").and_then(|()| out.flush());
        if told.is_err() {
            return written(told, Outcome::Fine);
        }
    }
    Outcome::Fine
}

fn answer_line(enforcement: &Enforcement, defaults: &Defaults, line: &[u8], scratch: &mut Scratch) -> Value {
    let Ok(written) = serde_json::from_slice::<Value>(line) else {
        return json!({"status": 400, "error": "the line is not JSON"});
    };
    let id = written.get("id").cloned();
    let answer = Asked::read(&written)
        .and_then(|asked| asked.question(defaults, &enforcement.policy))
        .and_then(|question| ask(enforcement, &question, scratch));
    match answer {
        Ok(answer) => answer.json(id),
        Err(why) => with_id(json!({"status": 400, "error": why}), id),
    }
}

fn with_id(mut answer: Value, id: Option<Value>) -> Value {
    if let (Some(answer), Some(id)) = (answer.as_object_mut(), id) {
        answer.insert("id".to_owned(), id);
    }
    answer
}

/// One request as it was asked about; what is missing comes from the defaults.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) format: Option<Format>,
    pub(super) jurisdiction: Option<String>,
    pub(super) age: Option<AgeClass>,
    pub(super) peer: Option<IpAddr>,
    pub(super) time: Option<Timestamp>,
    pub(super) consent: Option<Value>,
}

impl Asked {
    fn read(line: &Value) -> Result<Self, String> {
        let text = |member: &str| match line.get(member) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{member}` must be a text")),
        };
        let parsed = |member: &str, wanted: &str| -> Result<Option<String>, String> {
            text(member).map_err(|_| format!("`{member}` must be {wanted}"))
        };
        let headers = match line.get("headers") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(pairs)) => pairs.iter().map(header_pair).collect::<Result<_, String>>()?,
            Some(_) => return Err("`headers` must be a list of [name, value]".to_owned()),
        };
        let body = text("body_b64")?.unwrap_or_default();
        let body = STANDARD.decode(body).map_err(|_| "`body_b64` must be base64".to_owned())?;
        let named = text("format")?.map_or(Ok(None), |written| format(&written))?;
        let peer = parsed("peer", "an IP address")?
            .map(|peer| peer.parse().map_err(|_| "`peer` must be an IP address".to_owned()));
        let time =
            parsed("time", "RFC 3339")?.map(|time| time.parse().map_err(|_| "`time` must be RFC 3339".to_owned()));
        Ok(Self {
            method: text("method")?,
            path: text("target")?.or(text("path")?),
            body: unframed(&headers, body),
            headers,
            format: named,
            jurisdiction: text("jurisdiction")?,
            age: text("age")?.map(|written| age(&written)).transpose()?,
            peer: peer.transpose()?,
            time: time.transpose()?,
            consent: line.get("consent").filter(|consent| !consent.is_null()).cloned(),
        })
    }

    pub(super) fn question(self, defaults: &Defaults, policy: &Policy) -> Result<Question, String> {
        let time = self.time.or(defaults.time).unwrap_or_else(|| defaults.clock.now());
        let format = self.format.or(defaults.format);
        let consent = self.consent.as_ref().or(defaults.consent.as_ref());
        let stored = consent
            .map_or_else(|| Ok(AssumedDecisions::default()), |written| AssumedDecisions::read(written, policy, time));
        let target = self.path.or_else(|| defaults.path.clone()).unwrap_or_else(|| usual_path(format).to_owned());
        let parts = Parts {
            method: self.method.unwrap_or_else(|| usual_method(format, &target, &self.body).to_owned()),
            target,
            headers: defaults.headers.iter().cloned().chain(self.headers).collect(),
            body: self.body,
            peer: self.peer.or(defaults.peer),
            time,
            format,
        };
        Ok(Question {
            raw: parts.request().map_err(|error| error.to_string())?,
            jurisdiction: self.jurisdiction.or_else(|| defaults.jurisdiction.clone()),
            age: self.age.unwrap_or(defaults.age),
            stored: stored.map_err(|error| error.to_string())?,
        })
    }
}

fn header_pair(pair: &Value) -> Result<(String, String), String> {
    match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(name), Value::String(value)]) => Ok((name.clone(), value.clone())),
        _ => Err("each of `headers` must be [name, value]".to_owned()),
    }
}

/// What came of one request.
struct Answer {
    status: u16,
    forwards: Vec<Sent>,
    decision: Value,
    refused: Option<String>,
}

/// Fails only where thinking itself fails: a panic in one request must not end the others.
fn ask(enforcement: &Enforcement, question: &Question, scratch: &mut Scratch) -> Result<Answer, String> {
    Ok(match think(enforcement, question, scratch) {
        Ok(verdict) => {
            Answer { status: verdict.status, forwards: verdict.forwards, decision: verdict.decision, refused: None }
        }
        Err(refused) => Answer {
            status: refused.status,
            forwards: Vec::new(),
            decision: json!({"events": []}),
            refused: Some(refused.refusal.to_string()),
        },
    })
}

impl Answer {
    fn json(&self, id: Option<Value>) -> Value {
        if let Some(why) = &self.refused {
            return with_id(json!({"status": self.status, "error": why}), id);
        }
        let forwards: Vec<Value> = self.forwards.iter().map(forward).collect();
        with_id(json!({"status": self.status, "forwards": forwards, "decision": self.decision}), id)
    }
}

fn forward(sent: &Sent) -> Value {
    let headers: Vec<[String; 2]> = sent
        .forward
        .headers
        .iter()
        .map(|(name, value)| [name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()])
        .collect();
    json!({
        "destination": sent.destination,
        "method": sent.forward.method.as_str(),
        "target": sent.forward.target,
        "headers": headers,
        "body_b64": STANDARD.encode(&sent.forward.body),
    })
}
