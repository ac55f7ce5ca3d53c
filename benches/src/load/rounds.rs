//! Rounds: every proxy serves every size of batch, in turn.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use privet::keys::Secret;

use super::client::Load;
use super::process::{Part, Seat, can_pin, free_address, run};
use super::upstream::Arrived;
use super::{Failed, while_doing};
use crate::sample::Samples;
use crate::{cpu, policy};

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Of one measurement.
    pub length: Duration,
    /// How often everything is measured.
    pub rounds: usize,
    /// Events in a request.
    pub batches: Vec<usize>,
    /// Connections that ask at the same time.
    pub connections: usize,
}

impl Default for Scope {
    fn default() -> Self {
        Self { length: Duration::from_secs(3), rounds: 3, batches: vec![1, 20, 200], connections: 64 }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Pass,
    Lease,
    Sync,
}

impl Target {
    pub(super) const ALL: [Self; 3] = [Self::Pass, Self::Lease, Self::Sync];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass-through",
            Self::Lease => "privet, lease",
            Self::Sync => "privet, sync",
        }
    }
}

/// One target's figures at one size of batch, a sample a round.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) cpu_us: Samples,
    pub(super) requests_per_sec: Samples,
    pub(super) events_per_sec: Samples,
    pub(super) p50_us: Samples,
    pub(super) p99_us: Samples,
    /// Bytes that arrived upstream, as a share of those sent.
    pub(super) passed: Samples,
}

/// All rows: by batch, then by target.
pub(super) struct Table {
    pub(super) pinned: bool,
    pub(super) rows: Vec<(usize, [Row; 3])>,
    /// The most memory each target held, in KiB.
    pub(super) peak_kib: [u64; 3],
}

/// Starts everything, measures, and ends it again.
pub(super) fn measure(scope: &Scope, directory: &Path) -> Result<Table, Failed> {
    let work = tempfile::tempdir_in(directory).map_err(while_doing("cannot make a directory"))?;
    let pinned = can_pin();
    let upstream = Part::start(&["upstream"], Seat::Around, pinned)?;
    let pass = Part::start(&["pass", &upstream.address.to_string()], Seat::Proxy, pinned)?;
    let lease = privet(work.path(), "lease", upstream.address, pinned)?;
    let sync = privet(work.path(), "sync", upstream.address, pinned)?;
    let rig = Rig { upstream, targets: [pass, lease, sync], pinned, scope };
    let mut rows: Vec<(usize, [Row; 3])> = scope.batches.iter().map(|batch| (*batch, Default::default())).collect();
    for (batch, _) in &rows {
        for target in Target::ALL {
            rig.load(target, *batch, scope.length.min(Duration::from_millis(500)))?;
        }
    }
    for round in 0..scope.rounds {
        for (batch, row) in &mut rows {
            for turn in 0..Target::ALL.len() {
                // Each round begins with another target, so that none always comes after the same.
                let place = (turn + round) % Target::ALL.len();
                if let (Some(target), Some(row)) = (Target::ALL.get(place), row.get_mut(place)) {
                    eprintln!("round {}: batches of {batch}, {}", round + 1, target.name());
                    rig.sample(*target, *batch, row)?;
                }
            }
        }
    }
    let mut peak_kib = [0; 3];
    for (peak, part) in peak_kib.iter_mut().zip(&rig.targets) {
        *peak = cpu::peak_memory_kib(part.pid()).map_err(while_doing("a proxy is gone"))?;
    }
    Ok(Table { pinned, rows, peak_kib })
}

struct Rig<'a> {
    upstream: Part,
    targets: [Part; 3],
    pinned: bool,
    scope: &'a Scope,
}

impl Rig<'_> {
    fn part(&self, target: Target) -> &Part {
        let [pass, lease, sync] = &self.targets;
        match target {
            Target::Pass => pass,
            Target::Lease => lease,
            Target::Sync => sync,
        }
    }

    /// One run of the client; an error if anything was not answered with 200.
    fn load(&self, target: Target, batch: usize, length: Duration) -> Result<Load, Failed> {
        let role = [
            "client".to_owned(),
            self.part(target).address.to_string(),
            batch.to_string(),
            self.scope.connections.to_string(),
            length.as_millis().to_string(),
        ];
        let said = run(&role.each_ref().map(String::as_str), Seat::Around, self.pinned)?;
        let load: Load = serde_json::from_str(&said)
            .map_err(|_| Failed::Unexpected(format!("the client of {} ended early", target.name())))?;
        if load.errors > 0 || load.requests == 0 {
            let Load { requests, errors, .. } = load;
            let name = target.name();
            return Err(Failed::Unexpected(format!("{name}, batches of {batch}: {errors} errors, {requests} answers")));
        }
        Ok(load)
    }

    fn sample(&self, target: Target, batch: usize, row: &mut Row) -> Result<(), Failed> {
        let pid = self.part(target).pid();
        let used = || cpu::of_process(pid).map_err(while_doing(format!("{} is gone", target.name())));
        let (arrived, begun) = (self.arrived()?, used()?);
        let load = self.load(target, batch, self.scope.length)?;
        let cpu = used()?.saturating_sub(begun);
        let after = self.arrived()?;
        let (requests, bytes) = (after.requests - arrived.requests, after.bytes - arrived.bytes);
        let expected = if target == Target::Pass { load.requests } else { load.leaving };
        if requests != expected {
            let name = target.name();
            return Err(Failed::Unexpected(format!("{name}: {requests} requests arrived, want {expected}")));
        }
        let events = load.requests as f64 * batch as f64;
        row.cpu_us.add(cpu.as_secs_f64() * 1e6 / events);
        row.requests_per_sec.add(load.requests as f64 / load.secs);
        row.events_per_sec.add(events / load.secs);
        row.p50_us.add(load.p50_us);
        row.p99_us.add(load.p99_us);
        row.passed.add(bytes as f64 / load.bytes as f64);
        Ok(())
    }

    fn arrived(&self) -> Result<Arrived, Failed> {
        let mut answer = String::new();
        TcpStream::connect(self.upstream.address)
            .and_then(|mut stream| {
                stream.write_all(b"GET / HTTP/1.1\r\nhost: upstream\r\nconnection: close\r\n\r\n")?;
                stream.read_to_string(&mut answer)
            })
            .map_err(while_doing("cannot ask the upstream"))?;
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        serde_json::from_str(body).map_err(|_| Failed::Unexpected("the upstream tells no counts".to_owned()))
    }
}

/// privet with the policy of the benchmarks, its files in a directory of their own.
pub(super) fn privet(work: &Path, durability: &str, upstream: SocketAddr, pinned: bool) -> Result<Part, Failed> {
    let place = work.join(durability);
    let keyring = place.join("keyring");
    fs::create_dir_all(&keyring).map_err(while_doing("cannot make a directory"))?;
    policy::write(&place.join("policies"), upstream).map_err(while_doing("cannot write the policy"))?;
    fs::write(keyring.join("1.key"), &*Secret::random()?.file(None)).map_err(while_doing("cannot write a key"))?;
    let address = free_address()?;
    let config = place.join("privet.yaml");
    let text = format!(
        "apiVersion: privet.dev/v1alpha1
kind: Config
listeners:
  - {{name: events, address: \"{address}\", formats: [segment]}}
admin: {{address: \"127.0.0.1:0\"}}
metrics: {{address: \"127.0.0.1:0\"}}
policies: policies
keyring: keyring
log: {{directory: log, anchor_dir: anchor, origin: privet.example/{durability}, durability: {durability}}}
exports: {{directory: exports, volume: persistent}}
"
    );
    fs::write(&config, text).map_err(while_doing("cannot write a configuration"))?;
    Part::start_at(&["privet", &config.to_string_lossy()], Seat::Proxy, pinned, address)
}
