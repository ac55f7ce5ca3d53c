//! `privet challenge send`: sends an auditor's canaries, as any client would.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use serde::Deserialize;

use crate::cli::{Outcome, cannot, written};
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
    let base = match address(&send.url) {
        Ok(base) => base,
        Err(why) => return cannot(&why),
    };
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

/// An address without a path at its end, as requests are sent to.
fn address(url: &str) -> Result<&str, String> {
    let wrong = |why: &str| Err(format!("cannot send to `{url}`: {why}"));
    let uri: Uri = match url.parse() {
        Ok(uri) => uri,
        Err(error) => return wrong(&format!("{error}")),
    };
    match (uri.scheme_str(), uri.host(), uri.query()) {
        (Some("http" | "https"), Some(host), None) if !host.is_empty() => Ok(url.trim_end_matches('/')),
        (Some("http" | "https"), _, Some(_)) => wrong("each canary brings its own query"),
        _ => {
            wrong("an address begins with `http://` or `https://` and names a host, as https://events.example.org does")
        }
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
/// All are sent, whether somebody reads that or not.
async fn send_all(http: &Outbound, requests: Vec<(&Canary, Request<Full<Bytes>>)>) -> Outcome {
    let (all, mut taken) = (requests.len(), 0);
    let mut told = Ok(());
    for (at, (canary, request)) in requests.into_iter().enumerate() {
        if at > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let answer = http.ask(request, WITHIN).await;
        taken += usize::from(answer.as_ref().is_ok_and(StatusCode::is_success));
        let answer = match answer {
            Ok(status) => status.as_str().to_owned(),
            Err(why) => format!("no answer: {}", chain(&why)),
        };
        told = told.and_then(|()| writeln!(io::stdout().lock(), "{}  {answer}", canary.id));
    }
    let sum = format!("{taken} of {all} answered with success; check the log with `privet-audit challenge check`");
    let told = told.and_then(|()| writeln!(io::stdout().lock(), "{sum}"));
    written(told, if taken == all { Outcome::Fine } else { Outcome::Findings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_named_with_the_way_out() {
        assert_eq!(address("https://events.example.org/in/"), Ok("https://events.example.org/in"));
        assert_eq!(address("http://[::1]:8080"), Ok("http://[::1]:8080"));
        for (url, said) in [
            ("ftp://x", "begins with `http://` or `https://`"),
            ("events.example.org", "begins with `http://` or `https://`"),
            ("/v1/track", "begins with `http://` or `https://`"),
            ("http://", "cannot send to `http://`"),
            ("http://a b", "cannot send to `http://a b`"),
            ("http://a/?x=1", "brings its own query"),
            ("", "cannot send to ``"),
        ] {
            let why = address(url).unwrap_err();
            assert!(why.contains(said), "{url}: {why}");
        }
    }

    #[tokio::test]
    async fn who_is_not_there_is_said_to_be_not_there() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = free.local_addr().unwrap();
        drop(free);
        let http = Outbound::new(tls::client(&Upstream::default()).unwrap().0);
        let request = Request::post(format!("http://{nobody}/")).body(Full::default()).unwrap();
        let why = http.ask(request, WITHIN).await.unwrap_err();
        assert!(chain(&why).to_lowercase().contains("refused"), "{}", chain(&why));
    }
}
