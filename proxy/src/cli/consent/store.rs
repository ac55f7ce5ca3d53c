//! `privet consent get`, `set` and `withdraw`: the desk of a running sidecar, from the command line.
//!
//! Promise: neither the subject nor the token is printed or put into an address. Not
//! here: reading a store's file or database directly. The sidecar has it, and its cache.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use http::Uri;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::{Outcome, cannot, written};
use crate::config::Config;
use crate::run::chain;

/// How long a sidecar may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Whom to ask, and about whom.
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// The sidecar's configuration, which names its admin address and its token.
    #[arg(long, value_name = "FILE", required_unless_present = "admin")]
    config: Option<PathBuf>,
    /// The sidecar's admin address, such as http://127.0.0.1:9901.
    #[arg(long, value_name = "URL", requires = "token_file")]
    admin: Option<String>,
    /// The file of the token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The subject's id; without it, it is read from standard input, where no list of processes shows it.
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
}

/// A decision, or an age.
#[derive(Debug, clap::Args)]
pub struct SetArgs {
    #[command(flatten)]
    whom: GetArgs,
    /// A purpose of the policy in force; may stand several times.
    #[arg(long = "purpose", value_name = "NAME", requires = "state")]
    purposes: Vec<String>,
    /// What the subject decided.
    #[arg(long, value_enum, requires = "purposes")]
    state: Option<State>,
    /// How old the subject is.
    #[arg(long, value_enum, required_unless_present = "purposes")]
    age: Option<Age>,
}

/// What is withdrawn.
#[derive(Debug, clap::Args)]
pub struct WithdrawArgs {
    #[command(flatten)]
    whom: GetArgs,
    /// A purpose of the policy in force; may stand several times. Without one: everything, now and later.
    #[arg(long = "purpose", value_name = "NAME")]
    purposes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// Agreed.
    Given,
    /// Did not.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Age {
    /// A child.
    Child,
    /// An adult.
    Adult,
}

pub(super) fn get(args: &GetArgs) -> Outcome {
    ask("/v1/consent/get", args, json!({}))
}

pub(super) fn set(args: &SetArgs) -> Outcome {
    let mut body = json!({});
    if let Some(state) = args.state {
        let state = if state == State::Given { "given" } else { "refused" };
        body = json!({"purposes": args.purposes, "state": state});
    }
    if let (Some(age), Some(body)) = (args.age, body.as_object_mut()) {
        body.insert("age".to_owned(), if age == Age::Child { "child" } else { "adult" }.into());
    }
    ask("/v1/consent/set", &args.whom, body)
}

pub(super) fn withdraw(args: &WithdrawArgs) -> Outcome {
    ask("/v1/consent/withdraw", &args.whom, json!({"purposes": args.purposes}))
}

/// Asks a sidecar about a subject and prints what it says.
pub(in crate::cli) fn ask(path: &str, args: &GetArgs, body: Value) -> Outcome {
    match asked(path, args, body) {
        Ok((200, answer)) => print(args.json, &answer),
        Ok((_, answer)) => {
            let why = answer.get("error").and_then(Value::as_str).unwrap_or("the sidecar refused and does not say why");
            cannot(why);
            Outcome::Findings
        }
        Err(why) => cannot(&why),
    }
}

fn asked(path: &str, args: &GetArgs, mut body: Value) -> Result<(u16, Value), String> {
    let (address, token) = args.desk()?;
    let subject = args.subject()?;
    if let Some(body) = body.as_object_mut() {
        body.insert("subject".to_owned(), subject.as_str().into());
    }
    let body = Zeroizing::new(body.to_string());
    let request = Zeroizing::new(format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
        token.as_str(),
        body.len(),
        body.as_str()
    ));
    let answer = exchange(&address, request.as_bytes())
        .map_err(|error| format!("cannot ask the sidecar at {address}: {error}"))?;
    read(&answer).ok_or_else(|| format!("what answers at {address} is no sidecar"))
}

impl GetArgs {
    /// Where the sidecar's desk is, and the token for it.
    fn desk(&self) -> Result<(String, Zeroizing<String>), String> {
        let config = self.config.as_deref().map(Config::load).transpose().map_err(|error| chain(&error))?;
        let address = match (&self.admin, &config) {
            (Some(url), _) => address_of(url)?,
            (None, Some(config)) => config.admin.to_string(),
            (None, None) => return Err("name the sidecar: `--config FILE`, or `--admin URL`".to_owned()),
        };
        let configured = config.and_then(|config| config.consent.token_file);
        let Some(file) = self.token_file.clone().or(configured) else {
            return Err("the configuration has no `consent.token_file`, so nobody may ask the sidecar".to_owned());
        };
        let token = std::fs::read_to_string(&file).map(Zeroizing::new);
        let token = token.map_err(|error| format!("cannot read the token in `{}`: {error}", file.display()))?;
        let token = Zeroizing::new(token.trim().to_owned());
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("`{}` holds no token: one line of printable ASCII", file.display()));
        }
        Ok((address, token))
    }

    fn subject(&self) -> Result<Zeroizing<String>, String> {
        if let Some(subject) = &self.subject {
            return Ok(Zeroizing::new(subject.clone()));
        }
        let mut text = Zeroizing::new(String::new());
        let read = std::io::stdin().take(64 << 10).read_to_string(&mut text);
        read.map_err(|error| format!("cannot read the subject from standard input: {error}"))?;
        Ok(Zeroizing::new(text.trim().to_owned()))
    }
}

fn address_of(url: &str) -> Result<String, String> {
    let uri: Option<Uri> = url.parse().ok();
    let plain = uri.filter(|uri| uri.scheme_str() == Some("http"));
    let authority = plain.as_ref().and_then(Uri::authority).filter(|authority| !authority.as_str().contains('@'));
    let Some(authority) = authority else {
        return Err("`--admin` wants an address such as http://127.0.0.1:9901".to_owned());
    };
    Ok(if authority.port().is_some() { authority.to_string() } else { format!("{authority}:9901") })
}

fn exchange(address: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let resolved = address.to_socket_addrs()?.next();
    let resolved = resolved.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "no such host"))?;
    let mut stream = TcpStream::connect_timeout(&resolved, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The status and the document of an HTTP/1.1 answer.
fn read(answer: &[u8]) -> Option<(u16, Value)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let document = serde_json::from_str(body).unwrap_or_else(|_| json!({"error": body.trim()}));
    Some((status, document))
}

fn print(as_json: bool, answer: &Value) -> Outcome {
    let text = if as_json { format!("{answer}\n") } else { lines(answer) };
    written(io::stdout().lock().write_all(text.as_bytes()), Outcome::Fine)
}

/// The answer for people: a line a decision, then what else there is.
fn lines(answer: &Value) -> String {
    let record = ["store", "stays"].iter().find_map(|key| answer.get(key)).unwrap_or(answer);
    let word = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    let mut lines = String::new();
    for decision in record.get("decisions").and_then(Value::as_array).into_iter().flatten() {
        let (state, purpose) = (word(decision, "state"), word(decision, "purpose"));
        let (by, at) = (word(decision, "by"), word(decision, "at"));
        lines.push_str(&format!("{state:<8} {purpose:<48} by {by:<5} {at}\n"));
    }
    if let Some(age) = record.get("age").and_then(Value::as_str) {
        lines.push_str(&format!("age      {age}\n"));
    }
    for refusal in answer.get("memory_of_this_pod").and_then(Value::as_array).into_iter().flatten() {
        let (purpose, at) = (word(refusal, "purpose"), word(refusal, "at"));
        lines.push_str(&format!("refused  {purpose:<48} in this pod's memory, {at}\n"));
    }
    if lines.is_empty() {
        lines.push_str("nothing is held about this subject\n");
    }
    if let Some(why) = answer.get("why").and_then(Value::as_str) {
        lines.push_str(&format!("erased; this stays: {why}\n"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain_http_without_a_user() {
        assert_eq!(address_of("http://127.0.0.1:9901").unwrap(), "127.0.0.1:9901");
        assert_eq!(address_of("http://[::1]").unwrap(), "[::1]:9901");
        for wrong in ["https://a", "127.0.0.1:9901", "http://u:p@a:1", ""] {
            assert!(address_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_read_by_status_and_document() {
        let answer = b"HTTP/1.1 400 Bad Request\r\na: b\r\n\r\n{\"error\": \"no\"}";
        assert_eq!(read(answer), Some((400, json!({"error": "no"}))));
        assert_eq!(read(b"HTTP/1.1 405 No\r\n\r\nPOST only\n"), Some((405, json!({"error": "POST only"}))));
        assert_eq!(read(b"SSH-2.0-x"), None);
    }

    #[test]
    fn people_read_a_line_a_decision() {
        let decision = json!({"purpose": "analytics", "state": "refused", "by": "api", "at": "2026-11-25T00:00:00Z"});
        let text = lines(&json!({"decisions": [decision], "age": "child"}));
        assert!(text.starts_with("refused  analytics") && text.contains("by api") && text.contains("age      child"));
        assert_eq!(lines(&json!({"decisions": [], "age": null})), "nothing is held about this subject\n");
        assert!(
            lines(&json!({"erased": true, "stays": {"decisions": [decision]}, "why": "so"})).ends_with("stays: so\n")
        );
    }
}
