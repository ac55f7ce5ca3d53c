//! The messages of OpenTelemetry that privet writes about itself.
//!
//! Promise: they hold what [`super::exposition`] and [`super::trace`] hold, and
//! what [`Origin`] says of this process.
//!
//! Source: opentelemetry-proto 1.9, `metrics/v1/metrics.proto`, `trace/v1/trace.proto`,
//! `resource/v1/resource.proto`, `common/v1/common.proto`.

use super::exposition::{Family, Kind, Series};
use super::trace::{Span, Trace};
use crate::protobuf::{FIXED64, VARINT, write_bytes, write_fixed, write_message, write_tag, write_varint};

/// Points count from the start of the process on.
const CUMULATIVE: u64 = 2;
const KIND_INTERNAL: u64 = 1;
const KIND_SERVER: u64 = 2;
const STATUS_ERROR: u64 = 2;

/// Who says it.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`: the pod's name, where it is known.
    pub instance: Option<String>,
    /// When the process started, in nanoseconds of Unix time.
    pub started_ns: u64,
}

/// A value of an attribute.
pub(super) enum Value<'a> {
    Text(&'a str),
    Number(u64),
}

/// An `ExportMetricsServiceRequest` of all series at a time in nanoseconds of Unix time.
pub(super) fn metrics(origin: &Origin, families: &[Family], at_ns: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(1, &mut out, |out| {
        origin.write(out);
        write_message(2, out, |out| {
            scope(out);
            let times = Times { started_ns: origin.started_ns, at_ns };
            families.iter().for_each(|family| write_message(2, out, |out| metric(family, times, out)));
        });
    });
    out
}

/// An `ExportTraceServiceRequest` of some requests.
pub(super) fn traces(origin: &Origin, traces: &[Trace]) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(1, &mut out, |out| {
        origin.write(out);
        write_message(2, out, |out| {
            scope(out);
            for trace in traces {
                write_message(2, out, |out| root(trace, out));
                trace.spans.iter().for_each(|span| write_message(2, out, |out| step(trace, span, out)));
            }
        });
    });
    out
}

impl Origin {
    fn write(&self, out: &mut Vec<u8>) {
        write_message(1, out, |out| {
            attribute(1, "service.name", &Value::Text(&self.service), out);
            attribute(1, "service.version", &Value::Text(env!("CARGO_PKG_VERSION")), out);
            if let Some(instance) = &self.instance {
                attribute(1, "service.instance.id", &Value::Text(instance), out);
            }
        });
    }
}

fn scope(out: &mut Vec<u8>) {
    write_message(1, out, |out| {
        write_bytes(1, b"privet", out);
        write_bytes(2, env!("CARGO_PKG_VERSION").as_bytes(), out);
    });
}

/// `KeyValue` with an `AnyValue`.
fn attribute(number: u32, key: &str, value: &Value<'_>, out: &mut Vec<u8>) {
    write_message(number, out, |out| {
        write_bytes(1, key.as_bytes(), out);
        write_message(2, out, |out| match value {
            Value::Text(text) => write_bytes(1, text.as_bytes(), out),
            Value::Number(number) => write_number(3, *number, out),
        });
    });
}

fn write_number(number: u32, value: u64, out: &mut Vec<u8>) {
    write_tag(number, VARINT, out);
    write_varint(value, out);
}

fn write_ns(number: u32, ns: u64, out: &mut Vec<u8>) {
    write_fixed(number, FIXED64, &ns.to_le_bytes(), out);
}

fn write_double(number: u32, value: f64, out: &mut Vec<u8>) {
    write_fixed(number, FIXED64, &value.to_le_bytes(), out);
}

#[derive(Clone, Copy)]
struct Times {
    started_ns: u64,
    at_ns: u64,
}

impl Times {
    fn write(self, out: &mut Vec<u8>) {
        write_ns(2, self.started_ns, out);
        write_ns(3, self.at_ns, out);
    }
}

/// Names and units as OpenTelemetry writes them: what makes a Prometheus name of them adds `_total` again.
fn metric(family: &Family, times: Times, out: &mut Vec<u8>) {
    let name = family.name.strip_suffix("_total").unwrap_or(&family.name);
    let unit = match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    };
    write_bytes(1, name.as_bytes(), out);
    write_bytes(2, family.question.as_bytes(), out);
    write_bytes(3, unit.as_bytes(), out);
    let points = |out: &mut Vec<u8>, point: fn(&Series, Times, &mut Vec<u8>)| {
        family.series.iter().for_each(|series| write_message(1, out, |out| point(series, times, out)));
    };
    match family.kind {
        Kind::Gauge => write_message(5, out, |out| points(out, number_point)),
        Kind::Counter => write_message(7, out, |out| {
            points(out, number_point);
            write_number(2, CUMULATIVE, out);
            write_number(3, 1, out);
        }),
        Kind::Histogram => write_message(9, out, |out| {
            points(out, histogram_point);
            write_number(2, CUMULATIVE, out);
        }),
    }
}

fn number_point(series: &Series, times: Times, out: &mut Vec<u8>) {
    times.write(out);
    write_double(4, series.value, out);
    labels(7, series, out);
}

/// Counts between bounds, where the series has counts up to each bound.
fn histogram_point(series: &Series, times: Times, out: &mut Vec<u8>) {
    times.write(out);
    write_ns(4, series.count, out);
    write_double(5, series.value, out);
    let upto = series.buckets.iter().map(|(_, upto)| *upto).chain([series.count]);
    let mut before = 0;
    write_message(6, out, |out| {
        for upto in upto {
            out.extend_from_slice(&upto.saturating_sub(before).to_le_bytes());
            before = before.max(upto);
        }
    });
    write_message(7, out, |out| {
        series.buckets.iter().for_each(|(bound, _)| out.extend_from_slice(&bound.to_le_bytes()));
    });
    labels(9, series, out);
}

fn labels(number: u32, series: &Series, out: &mut Vec<u8>) {
    series.labels.iter().for_each(|(name, value)| attribute(number, name, &Value::Text(value), out));
}

fn root(trace: &Trace, out: &mut Vec<u8>) {
    write_bytes(1, &trace.id, out);
    write_bytes(2, &trace.root, out);
    write_bytes(5, b"privet.request", out);
    write_number(6, KIND_SERVER, out);
    write_ns(7, trace.start_ns, out);
    write_ns(8, trace.end_ns, out);
    attribute(9, "privet.listener", &Value::Text(&trace.listener), out);
    attribute(9, "http.response.status_code", &Value::Number(u64::from(trace.status)), out);
    if let Some(refused) = trace.refused {
        attribute(9, "privet.refused", &Value::Text(refused), out);
    }
    if trace.status >= 500 {
        write_message(15, out, |out| write_number(3, STATUS_ERROR, out));
    }
}

fn step(trace: &Trace, span: &Span, out: &mut Vec<u8>) {
    write_bytes(1, &trace.id, out);
    write_bytes(2, &span.id, out);
    write_bytes(4, &trace.root, out);
    write_bytes(5, span.step.name().as_bytes(), out);
    write_number(6, KIND_INTERNAL, out);
    write_ns(7, span.start_ns, out);
    write_ns(8, span.end_ns, out);
}
