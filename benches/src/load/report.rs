//! The figures for people and for machines, and whether they are good enough.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::rounds::{Row, Scope, Table, Target};

/// The most CPU an event may cost in lease mode, in that of the pass-through, by events in a request.
const TARGETS: [(usize, f64); 2] = [(1, 1.35), (20, 4.0)];

/// A finished table.
pub(super) struct Report {
    pinned: bool,
    secs: f64,
    rounds: usize,
    connections: usize,
    lines: Vec<Line>,
    peak_kib: [u64; 3],
}

/// One target at one size of batch.
struct Line {
    batch: usize,
    target: Target,
    cpu_us: f64,
    spread: f64,
    ratio: f64,
    requests_per_sec: f64,
    events_per_sec: f64,
    p50_us: f64,
    p99_us: f64,
    passed: f64,
}

impl Line {
    fn of(batch: usize, target: Target, row: &Row, reference: &Row) -> Self {
        Self {
            batch,
            target,
            cpu_us: row.cpu_us.median(),
            spread: row.cpu_us.spread(),
            ratio: row.cpu_us.over(&reference.cpu_us).median(),
            requests_per_sec: row.requests_per_sec.median(),
            events_per_sec: row.events_per_sec.median(),
            p50_us: row.p50_us.median(),
            p99_us: row.p99_us.median(),
            passed: row.passed.median(),
        }
    }

    /// The most that the ratio may be, where that is settled.
    fn bound(&self) -> Option<f64> {
        let settled = TARGETS.iter().find(|(batch, _)| *batch == self.batch);
        settled.filter(|_| self.target == Target::Lease).map(|(_, most)| *most)
    }
}

impl Report {
    pub(super) fn of(scope: &Scope, table: &Table) -> Self {
        let line_of = |(batch, rows): &(usize, [Row; 3])| {
            let [reference, ..] = rows;
            let lines = Target::ALL.into_iter().zip(rows);
            lines.map(|(target, row)| Line::of(*batch, target, row, reference)).collect::<Vec<_>>()
        };
        Self {
            pinned: table.pinned,
            secs: scope.length.as_secs_f64(),
            rounds: scope.rounds,
            connections: scope.connections,
            lines: table.rows.iter().flat_map(line_of).collect(),
            peak_kib: table.peak_kib,
        }
    }

    /// Whether every settled ratio holds.
    pub(super) fn holds(&self) -> bool {
        self.lines.iter().all(|line| line.bound().is_none_or(|most| line.ratio <= most))
    }

    pub(super) fn markdown(&self) -> String {
        let pinned =
            if self.pinned { "proxies on one processor, client and upstream on another" } else { "not pinned" };
        let mut text = format!(
            "{} connections, {} rounds of {} s, {pinned}\n\n\
             | batch | target | CPU us/event | spread | x pass-through | target | req/s | events/s | p50 us | p99 us | bytes passed |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
            self.connections, self.rounds, self.secs
        );
        for line in &self.lines {
            let bound = match line.bound() {
                Some(most) if line.ratio <= most => format!("<= {most}: within"),
                Some(most) => format!("<= {most}: OVER"),
                None => String::new(),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {:.2} | {:.0} % | {:.2} | {bound} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} % |",
                line.batch,
                line.target.name(),
                line.cpu_us,
                line.spread * 100.0,
                line.ratio,
                line.requests_per_sec,
                line.events_per_sec,
                line.p50_us,
                line.p99_us,
                line.passed * 100.0,
            );
        }
        let peaks: Vec<String> = Target::ALL
            .iter()
            .zip(self.peak_kib)
            .map(|(target, kib)| format!("{} {:.1} MiB", target.name(), kib as f64 / 1024.0))
            .collect();
        let _ = write!(text, "\nmost memory: {}", peaks.join("; "));
        text
    }

    pub(super) fn json(&self) -> String {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "batch": line.batch,
                    "target": line.target.name(),
                    "cpu_us_per_event": line.cpu_us,
                    "cpu_spread": line.spread,
                    "ratio_to_pass_through": line.ratio,
                    "ratio_max": line.bound(),
                    "requests_per_sec": line.requests_per_sec,
                    "events_per_sec": line.events_per_sec,
                    "p50_us": line.p50_us,
                    "p99_us": line.p99_us,
                    "bytes_passed": line.passed,
                })
            })
            .collect();
        let whole = json!({
            "secs": self.secs,
            "rounds": self.rounds,
            "connections": self.connections,
            "pinned": self.pinned,
            "peak_kib": self.peak_kib,
            "lines": lines,
        });
        format!("{whole:#}\n")
    }
}
