//! `privet demo`: the main job end to end on this machine, with nothing else needed.
//!
//! A collector of our own on loopback, the shipped policies, requests that real
//! SDKs sent, more made up for the export, and at the end the log verified. It
//! is the sidecar itself that runs here, opened and closed as `run` does.

mod collector;
mod traffic;

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use privet_audit_log::note::VerifierKey;
use privet_audit_log::verify::{Options, Report, verify};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::export::Outcome as Release;
use crate::keys::Secret;
use crate::run::{Foundation, chain, open, stop_signal};
use crate::sidecar::Sidecar;
use collector::Collector;
use traffic::Sent;

/// The shipped policies: names and texts.
pub const SHIPPED_POLICIES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped_policies.rs"));

/// How the demonstration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Everything added up and the log verified.
    Fine,
    /// Something did not.
    Findings,
}

/// Why it could not be shown.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {why}")]
pub struct CannotShow {
    doing: &'static str,
    why: String,
}

fn cannot(doing: &'static str) -> impl Fn(&dyn std::error::Error) -> CannotShow {
    move |error| CannotShow { doing, why: chain(error) }
}

/// Where the demonstration keeps its files.
struct Places {
    root: PathBuf,
}

impl Places {
    fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn of(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Policies, a keyring and a configuration, as an operator would lay them out.
    fn lay_out(&self, once: bool) -> io::Result<()> {
        for (name, text) in SHIPPED_POLICIES {
            let file = self.of("policies").join(name);
            fs::create_dir_all(file.parent().unwrap_or(&self.root))?;
            fs::write(file, text)?;
        }
        fs::create_dir_all(self.of("keyring"))?;
        let key = self.of("keyring").join("demo.key");
        if !key.exists() {
            fs::write(key, Secret::random().map_err(io::Error::other)?.file(None).as_bytes())?;
        }
        let (events, admin, metrics) = if once { (0, 0, 0) } else { (8080, 9901, 9902) };
        fs::write(self.of("privet.yaml"), configuration(events, admin, metrics))
    }
}

fn configuration(events: u16, admin: u16, metrics: u16) -> String {
    format!(
        "apiVersion: privet.dev/v1alpha1\n\
         kind: Config\n\
         listeners:\n\
         \x20 - {{name: demo, address: \"127.0.0.1:{events}\", formats: [segment, rudderstack, snowplow, ga4, otlp, cloudevents, json, ndjson]}}\n\
         admin: {{address: \"127.0.0.1:{admin}\"}}\n\
         metrics: {{address: \"127.0.0.1:{metrics}\"}}\n\
         policies: policies\n\
         keyring: keyring\n\
         log: {{directory: log, anchor_dir: anchor, origin: privet.example.org/demo, durability: sync}}\n\
         exports: {{directory: exports, volume: persistent}}\n\
         drain: {{delay_secs: 0, grace_secs: 5}}\n"
    )
}

/// Runs the demonstration.
///
/// # Errors
/// [`CannotShow`] where a step cannot be taken at all.
pub async fn show(root: &Path, once: bool, out: &mut (dyn Write + Send)) -> Result<Shown, CannotShow> {
    fs::create_dir_all(root).map_err(|error| cannot("cannot make the directory")(&error))?;
    let places = Places::at(&root.canonicalize().map_err(|error| cannot("cannot find the directory")(&error))?);
    places.lay_out(once).map_err(|error| cannot("cannot lay out the files")(&error))?;
    let told = |error: io::Error| cannot("cannot write to the terminal")(&error);
    let collector = Collector::start(&places.of("forwarded.ndjson"))
        .await
        .map_err(|error| cannot("cannot start the collector")(&error))?;
    writeln!(out, "privet demo in {}", places.root.display()).map_err(told)?;
    writeln!(out, "  collector      http://{} writes forwarded.ndjson", collector.address()).map_err(told)?;

    let config =
        Config::load(&places.of("privet.yaml")).map_err(|error| cannot("cannot read the configuration")(&error))?;
    let foundation =
        Foundation::lay(&config, Arc::new(SystemClock::default())).map_err(|error| cannot("cannot start")(&error))?;
    let admin = foundation.admin_address;
    let sidecar = Sidecar::assemble(&config, &foundation).map_err(|error| cannot("cannot start")(&error))?;
    sidecar.send_everything_to(format!("http://{}", collector.address()));
    let sources = sidecar.load(&config);
    let line = Arc::clone(&sidecar.line);
    let opened = open(&config, foundation, Arc::clone(&line), sources)
        .await
        .map_err(|error| cannot("cannot open the listener")(&error))?;
    let address = opened
        .addresses()
        .first()
        .copied()
        .ok_or_else(|| CannotShow { doing: "cannot open the listener", why: "it has no address".to_owned() })?;
    writeln!(
        out,
        "  privet         http://{address} takes segment, rudderstack, snowplow, ga4, otlp, cloudevents, json and ndjson"
    )
    .map_err(told)?;

    let (stop, stopped) = oneshot::channel::<()>();
    let visitor = visit(address, admin, once, out, stop, Arc::clone(&line));
    let served = opened.serve(async { drop(stopped.await) }, async || sidecar.close().await);
    let (visited, served) = tokio::join!(visitor, served);
    served.map_err(|error| cannot("cannot close the log")(&error))?;
    let (sent, releases) = visited?;
    let received = collector.stop().await;
    let report = check_log(&places)?;
    summary(&places, &sent, received, &releases, &report, out).map_err(told)
}

/// Sends everything, has the export published, and waits for the visitor to leave.
async fn visit(
    address: SocketAddr,
    admin: SocketAddr,
    once: bool,
    out: &mut (dyn Write + Send),
    stop: oneshot::Sender<()>,
    line: Arc<crate::line::Line>,
) -> Result<(Sent, Vec<Release>), CannotShow> {
    let sent = traffic::send(address, out).await.map_err(|error| cannot("cannot send the traffic")(&error));
    let exports = line.exports();
    let releases = match exports {
        Some(exports) => tokio::task::spawn_blocking(move || exports.flush_now()).await.unwrap_or_default(),
        None => Vec::new(),
    };
    drop(line);
    if !once && sent.is_ok() {
        let asked = stop_signal().map_err(|error| cannot("cannot wait for signals")(&error))?;
        writeln!(
            out,
            "\nstill running: console at http://{admin}/console, health at http://{admin}/readyz, events at http://{address}; stop it with Ctrl-C"
        )
        .ok();
        asked.await;
    }
    stop.send(()).ok();
    Ok((sent?, releases))
}

fn check_log(places: &Places) -> Result<Report, CannotShow> {
    let read = |name: &str| {
        fs::read_to_string(places.of("anchor").join(name)).map_err(|error| cannot("cannot read the anchor")(&error))
    };
    let keys: Result<Vec<VerifierKey>, _> =
        read("vkey")?.lines().filter(|line| !line.trim().is_empty()).map(VerifierKey::parse).collect();
    let keys = keys.map_err(|error| cannot("cannot read the verification key")(&error))?;
    let options = Options { keys: Some(keys), anchor: Some(read("checkpoint")?), ..Options::default() };
    verify(&places.of("log"), &options).map_err(|error| cannot("cannot verify the log")(&error))
}

fn summary(
    places: &Places,
    sent: &Sent,
    received: u64,
    releases: &[Release],
    report: &Report,
    out: &mut (dyn Write + Send),
) -> io::Result<Shown> {
    let totals = &report.totals;
    let refused: u64 = totals.refused.values().sum();
    writeln!(
        out,
        "\nrequests {:>6} sent = {} answered + {} refused + {} preflights",
        sent.requests, sent.answered, sent.refused, sent.preflights
    )?;
    writeln!(
        out,
        "events   {:>6} in   = {} forwarded + {} dropped + {} withheld",
        totals.events, totals.kept, totals.dropped, totals.withheld
    )?;
    for class in &report.classes {
        let document: Value = serde_json::from_str(&class.document).unwrap_or_default();
        if let Some(outcome) = document.get("outcome").and_then(Value::as_str).filter(|outcome| *outcome != "ruled") {
            writeln!(out, "         {:>6} {outcome} ({})", class.events, named(&document))?;
        }
    }
    writeln!(out, "collector {received} requests received, written to {}", places.of("forwarded.ndjson").display())?;
    let published = tell_releases(releases, out)?;
    for finding in &report.findings {
        writeln!(out, "finding: {} {}", finding.code, finding.message)?;
    }
    let adds_up = totals.events == totals.kept + totals.dropped + totals.withheld + totals.events_unfinished
        && sent.requests == sent.answered + sent.refused + sent.preflights
        && totals.requests == totals.answered + refused + totals.aborted + totals.requests_unfinished;
    if !adds_up {
        writeln!(out, "the counts do not add up")?;
    }
    if report.is_clean() {
        writeln!(out, "\nlog verified")?;
    } else {
        writeln!(out, "\nthe log does not verify: {} findings", report.findings.len())?;
    }
    Ok(if report.is_clean() && adds_up && published { Shown::Fine } else { Shown::Findings })
}

/// What a class is about, in the policy's words.
fn named(document: &Value) -> &str {
    ["contract", "format"].into_iter().find_map(|member| document.get(member).and_then(Value::as_str)).unwrap_or("")
}

/// Shows each published table; says `false` where one is missing.
fn tell_releases(releases: &[Release], out: &mut (dyn Write + Send)) -> io::Result<bool> {
    let mut all = !releases.is_empty();
    for release in releases {
        match &release.result {
            Ok(published) => {
                writeln!(out, "\nexport {} (receipt {})", release.export, published.path.display())?;
                let receipt = fs::read(&published.path)
                    .ok()
                    .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
                    .unwrap_or_default();
                tell_receipt(&receipt, out)?;
            }
            Err(withheld) => {
                all = false;
                writeln!(out, "\nexport {} withheld: {}", release.export, chain(withheld))?;
            }
        }
    }
    Ok(all)
}

fn tell_receipt(receipt: &Value, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let rows = receipt.get("values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for row in rows {
        let key = row
            .get("key")
            .and_then(Value::as_array)
            .map(|parts| parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
            .unwrap_or_default();
        let number = |value: Option<&Value>| value.map_or_else(|| "?".to_owned(), Value::to_string);
        let interval = row.get("ci95").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        writeln!(
            out,
            "  {key:<28} {:>8}   95 % interval {} to {}",
            number(row.get("value")),
            number(interval.first()),
            number(interval.last())
        )?;
    }
    let loss = receipt.pointer("/privacy/this_release").map(Value::to_string).unwrap_or_default();
    let stages = receipt.get("stages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |stage: &Value, name| stage.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let drawn: Vec<String> =
        stages.iter().map(|stage| format!("noise {}, scale {}", text(stage, "noise"), text(stage, "scale"))).collect();
    writeln!(out, "  {}; this release costs {loss}", drawn.join("; "))
}
