//! `privet challenge send`: sends an auditor's canaries, as any client would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use serde::Deserialize;

use crate::cli::{Outcome, cannot};
use crate::config::Upstream;
use crate::outbound::Outbound;
use crate::run::chain;
use crate::tls;

/// The file that the sender needs.
const REQUESTS: &str = "requests.ndjson";
/// Between two canaries: fewer come through than a sidecar records as challenges.
const PAUSE: Duration = Duration::from_millis(1_050);
/// For one canary.
const WITHIN: Duration = Duration::from_secs(30);

/// The arguments of `privet challenge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Sends the canaries that `privet-audit challenge new` made, about one a second.
    Send(Send),
}

#[derive(Debug, clap::Args)]
struct Send {
    /// The directory, or its `requests.ndjson`.
    challenge: PathBuf,
    /// Where the sidecar takes events, such as `https://events.example.org`.
    url: String,
    /// Who signed the sidecar's certificate, PEM; the public web's authorities if not given.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// One canary, as `docs/auditor-guide.md` writes it.
#[derive(Deserialize)]
struct Canary {
    id: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body_b64: String,
}

impl Canary {
    /// The request at an address without a path.
    fn request(&self, base: &str) -> Option<Request<Full<Bytes>>> {
        let body = STANDARD.decode(&self.body_b64).ok()?;
        let uri: Uri = format!("{base}{}", self.target).parse().ok()?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = self.method.parse::<Method>().ok()?;
        *request.uri_mut() = uri;
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().ok()?;
            request.headers_mut().append(name, value.parse::<HeaderValue>().ok()?);
        }
        Some(request)
    }
}

/// Sends what is to be sent.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let Command::Send(send) = &args.command;
    let canaries = match read(&send.challenge) {
        Ok(canaries) => canaries,
        Err(why) => return cannot(&why),
    };
    let upstream = Upstream { ca: send.ca.clone(), identity: None };
    let http = match tls::client(&upstream) {
        Ok((tls, _)) => Outbound::new(tls),
        Err(error) => return cannot(&chain(&error)),
    };
    let base = send.url.trim_end_matches('/');
    let mut requests = Vec::with_capacity(canaries.len());
    for canary in &canaries {
        match canary.request(base) {
            Some(request) => requests.push((canary, request)),
            None => {
                return cannot(&format!(
                    "cannot send the canary {} to {base}: not a request with an address",
                    canary.id
                ));
            }
        }
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(send_all(&http, requests)),
        Err(error) => cannot(&chain(&error)),
    }
}

/// The canaries of a challenge.
fn read(challenge: &Path) -> Result<Vec<Canary>, String> {
    let file = if challenge.is_dir() { challenge.join(REQUESTS) } else { challenge.to_owned() };
    let text = std::fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let canary = |(at, line): (usize, &str)| {
        let canary = serde_json::from_str(line);
        canary.map_err(|error| format!("{}:{}: this is no canary: {error}", file.display(), at + 1))
    };
    let canaries: Vec<Canary> = lines.map(canary).collect::<Result<_, _>>()?;
    if canaries.is_empty() { Err(format!("{} holds no canary", file.display())) } else { Ok(canaries) }
}

/// Tells of each how it was answered; what was not answered with success may never have been counted.
#[expect(clippy::print_stdout, reason = "the answers are the command's result")]
async fn send_all(http: &Outbound, requests: Vec<(&Canary, Request<Full<Bytes>>)>) -> Outcome {
    let (all, mut taken) = (requests.len(), 0);
    for (at, (canary, request)) in requests.into_iter().enumerate() {
        if at > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let status = http.status(request, WITHIN).await;
        taken += usize::from(status.is_some_and(|status| status.is_success()));
        println!("{}  {}", canary.id, status.as_ref().map_or("no answer", StatusCode::as_str));
    }
    println!("{taken} of {all} answered with success; check the log with `privet-audit challenge check`");
    if taken == all { Outcome::Fine } else { Outcome::Findings }
}
