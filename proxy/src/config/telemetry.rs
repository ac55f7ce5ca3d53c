//! Who is told what privet measures of itself, beside whoever reads `/metrics`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use privet_policy::diagnostic::Diagnostic;
use privet_policy::yaml::Node;

use super::Upstream;
use super::consent::is_loopback;
use super::read::{Reader, code};
use super::ring::pod_name;

const INTERVAL_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const SERVICE_DEFAULT: &str = "privet";

/// An OpenTelemetry collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// Its address, without the paths of the signals.
    pub endpoint: Uri,
    /// Where metrics go.
    pub metrics: Uri,
    /// Where traces go.
    pub traces: Uri,
    /// The file of a bearer token.
    pub token_file: Option<PathBuf>,
    /// From one message to the next.
    pub interval: Duration,
    /// From connecting to the end of the answer, for one message.
    pub timeout: Duration,
    /// One request in so many is traced; none where it is 0.
    pub traces_one_in: u32,
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`: the pod's name, where the platform says it.
    pub instance: Option<String>,
    /// Who signs its certificate, and privet's own.
    pub tls: Upstream,
}

impl Reader<'_> {
    /// The section `telemetry`; without one nobody is told.
    pub(super) fn telemetry(&mut self, node: Option<&Node>) -> Option<Option<Otlp>> {
        let Some(node) = node else { return Some(None) };
        let members = self.members(node, &["otlp"])?;
        let otlp = self.need(members, "otlp")?;
        self.otlp(otlp).map(Some)
    }

    fn otlp(&mut self, node: &Node) -> Option<Otlp> {
        let known = ["endpoint", "token_file", "interval_secs", "timeout_secs", "traces_one_in", "service", "tls"];
        let members = self.members(node, &known)?;
        let token_file = members.get("token_file").map(|node| self.file(node));
        let endpoint = self.need(members, "endpoint").and_then(|node| self.collector(node, token_file.is_some()));
        let mut within = |key, bounds, default| {
            members.get(key).map_or(Some(default), |node| self.whole(node, bounds).map(Duration::from_secs))
        };
        let interval = within("interval_secs", 5..=3600, INTERVAL_DEFAULT);
        let timeout = within("timeout_secs", 1..=300, TIMEOUT_DEFAULT);
        let one_in = members.get("traces_one_in").map(|node| self.positive(node));
        let service = members.get("service").map_or(Some(SERVICE_DEFAULT.to_owned()), |node| self.text(node));
        let tls = self.upstream(members.get("tls"));
        let [endpoint, metrics, traces] = endpoint?;
        Some(Otlp {
            endpoint,
            metrics,
            traces,
            token_file: token_file.map_or(Some(None), |file| file.map(Some))?,
            interval: interval?,
            timeout: timeout?,
            traces_one_in: one_in.map_or(Some(0), |one_in| one_in.map(NonZeroU32::get))?,
            service: service?,
            instance: pod_name(),
            tls,
        })
    }

    /// The address as it is written, and those of the two signals below it.
    fn collector(&mut self, node: &Node, token: bool) -> Option<[Uri; 3]> {
        let written = self.text(node)?;
        let base = written.trim_end_matches('/');
        let [metrics, traces] = ["metrics", "traces"].map(|signal| format!("{base}/v1/{signal}").parse::<Uri>().ok());
        let url = written.parse::<Uri>().ok().filter(|url| {
            url.host().is_some()
                && url.query().is_none()
                && !written.contains(['#', '@'])
                && matches!(url.scheme_str(), Some("http" | "https"))
        });
        let (Some(url), Some(metrics), Some(traces)) = (url, metrics, traces) else {
            let message = "this is no collector's address, want `http://HOST:4318` or `https://HOST[:PORT][/PATH]`";
            self.mistake(
                Diagnostic::error(code::VALUE, &node.at, message)
                    .note("metrics go to `/v1/metrics` below it, traces to `/v1/traces`"),
            );
            return None;
        };
        if let Some(signal) = ["/v1/metrics", "/v1/traces", "/v1/logs"].into_iter().find(|path| base.ends_with(path)) {
            self.mistake(
                Diagnostic::error(code::VALUE, &node.at, "this is the address of one signal, want the collector's own")
                    .help(format!(
                        "leave `{signal}` out: metrics go to `/v1/metrics` below it, traces to `/v1/traces`"
                    )),
            );
            return None;
        }
        if token && url.scheme_str() == Some("http") && !url.host().is_some_and(is_loopback) {
            self.mistake(
                Diagnostic::error(code::CONFLICT, &node.at, "a token would cross the network in the clear")
                    .help("write `https://`, or leave `token_file` out"),
            );
            return None;
        }
        Some([url, metrics, traces])
    }
}
