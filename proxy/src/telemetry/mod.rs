//! What privet tells an OpenTelemetry collector about itself: the metrics of
//! `/metrics`, and so many requests step by step.
//!
//! Promise: it never holds an event up; what waits is bounded; a collector that
//! is away costs traces, which are counted, and no metric, because points count
//! from the start on. No value from an event is in any of it.
//!
//! Source: OTLP 1.9 over HTTP with protobuf, <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.

mod exposition;
mod message;
pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use crate::bearer::header_in;
use crate::clock::Clock;
use crate::config::Otlp;
use crate::metrics::{Metrics, TelemetrySent};
use crate::outbound::Outbound;
use crate::tls::{self, TlsError};

use message::Origin;
use trace::Tracer;

/// How long the last metrics of a process may take at its end.
const LAST_WITHIN: Duration = Duration::from_secs(2);

/// Tells the collector, where there is one.
pub struct Telemetry {
    /// Which requests are traced; none where nobody is told.
    pub tracer: Arc<Tracer>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    collector: Option<Collector>,
}

struct Collector {
    otlp: Otlp,
    origin: Origin,
    http: Outbound,
}

impl Telemetry {
    /// Ready to tell; nothing is sent before [`Telemetry::run`].
    ///
    /// # Errors
    /// [`TlsError`] where the files of TLS cannot be used.
    pub fn new(otlp: Option<&Otlp>, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let collector = otlp.map(|otlp| Collector::new(otlp, clock.as_ref())).transpose()?;
        let tracer = Arc::new(Tracer::new(otlp.map_or(0, |otlp| otlp.traces_one_in)));
        Ok(Self { tracer, metrics, clock, collector })
    }

    /// Sends at every interval, for as long as the process serves.
    pub async fn run(self: Arc<Self>) {
        let Some(collector) = &self.collector else { return };
        let mut every = tokio::time::interval(collector.otlp.interval);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick is at once, when there is nothing to tell.
        every.tick().await;
        let mut heard = true;
        loop {
            every.tick().await;
            let told = self.tell(collector, collector.otlp.timeout).await;
            if told != heard {
                heard = told;
                let endpoint = &collector.otlp.endpoint;
                if heard {
                    tracing::info!(%endpoint, "the telemetry collector takes what it is sent again");
                } else {
                    tracing::warn!(%endpoint, "the telemetry collector does not take what it is sent; traces are given up");
                }
            }
        }
    }

    /// Sends what there is at the end, within two seconds.
    pub async fn last(&self) {
        if let Some(collector) = &self.collector {
            self.tell(collector, LAST_WITHIN.min(collector.otlp.timeout)).await;
        }
    }

    /// Whether the collector took everything.
    async fn tell(&self, collector: &Collector, within: Duration) -> bool {
        let (traces, given_up) = self.tracer.take();
        self.metrics.traces_given_up.increment(given_up);
        let mut heard = true;
        if !traces.is_empty() {
            let body = message::traces(&collector.origin, &traces);
            let taken = self.counted(collector.post(&collector.otlp.traces, body, within).await);
            if !taken {
                self.metrics.traces_given_up.increment(traces.len() as u64);
            }
            heard &= taken;
        }
        let families = exposition::read(&self.metrics.render());
        let now = nanoseconds(self.clock.as_ref());
        let body = message::metrics(&collector.origin, &families, now);
        heard & self.counted(collector.post(&collector.otlp.metrics, body, within).await)
    }

    fn counted(&self, sent: TelemetrySent) -> bool {
        self.metrics.telemetry_sends.of(sent).increment(1);
        sent == TelemetrySent::Taken
    }
}

impl Collector {
    fn new(otlp: &Otlp, clock: &dyn Clock) -> Result<Self, TlsError> {
        let (tls, _) = tls::client(&otlp.tls)?;
        let origin =
            Origin { service: otlp.service.clone(), instance: otlp.instance.clone(), started_ns: nanoseconds(clock) };
        Ok(Self { otlp: otlp.clone(), origin, http: Outbound::new(tls) })
    }

    async fn post(&self, to: &Uri, body: Vec<u8>, within: Duration) -> TelemetrySent {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = to.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if let Some(file) = &self.otlp.token_file {
            let Ok(token) = header_in(file) else { return TelemetrySent::Unprepared };
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        match self.http.status(request, within).await {
            Some(status) if status.is_success() => TelemetrySent::Taken,
            Some(_) => TelemetrySent::Refused,
            None => TelemetrySent::Unanswered,
        }
    }
}

/// Nanoseconds of Unix time; 0 before 1970.
fn nanoseconds(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.now().as_nanosecond()).unwrap_or(0)
}
