//! Starting the parts of the rig, each a process of this binary on its own processor.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Failed, while_doing};

/// The word before the address on which a part listens.
const READY: &str = "ready ";
/// The longest a part may take to listen.
const START_MAX: Duration = Duration::from_secs(20);

/// Tells the process that started this one where it listens.
pub(super) fn ready(address: SocketAddr) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{READY}{address}").and_then(|()| out.flush());
}

/// Which processor a part runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// The proxies: the first.
    Proxy,
    /// Client and upstream: the second.
    Around,
}

/// Whether parts can be kept to processors of their own.
pub(super) fn can_pin() -> bool {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let taskset = Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    processors > 1 && taskset.is_ok_and(|status| status.success())
}

/// A running part. It ends when this is dropped, and when this process ends.
pub(super) struct Part {
    child: Child,
    _stdin: Option<ChildStdin>,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Part {
    /// Starts a part that says by itself where it listens.
    pub(super) fn start(role: &[&str], seat: Seat, pinned: bool) -> Result<Self, Failed> {
        let mut child = command(role, seat, pinned)?
            .stdout(Stdio::piped())
            .spawn()
            .map_err(while_doing("cannot start a part of the rig"))?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(while_doing("cannot hear from a part of the rig"))?;
        }
        let address = line.trim().strip_prefix(READY).and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| Failed::Unexpected(format!("`{}` did not start", role.join(" "))))?;
        Ok(Self { child, _stdin: stdin, address })
    }

    /// Starts a part that listens where it is told to.
    pub(super) fn start_at(role: &[&str], seat: Seat, pinned: bool, address: SocketAddr) -> Result<Self, Failed> {
        let mut child = command(role, seat, pinned)?.spawn().map_err(while_doing("cannot start a part of the rig"))?;
        let stdin = child.stdin.take();
        let part = Self { child, _stdin: stdin, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > START_MAX {
                return Err(Failed::Unexpected(format!("`{}` does not listen", role.join(" "))));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(part)
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a part to its end and gives what it said.
pub(super) fn run(role: &[&str], seat: Seat, pinned: bool) -> Result<String, Failed> {
    let mut child = command(role, seat, pinned)?
        .stdout(Stdio::piped())
        .spawn()
        .map_err(while_doing("cannot start a part of the rig"))?;
    // Kept until the end: a part ends when its stdin does.
    let stdin = child.stdin.take();
    let output = child.wait_with_output().map_err(while_doing("cannot hear from a part of the rig"))?;
    drop(stdin);
    String::from_utf8(output.stdout).map_err(|_| Failed::Unexpected("a part of the rig said no text".to_owned()))
}

fn command(role: &[&str], seat: Seat, pinned: bool) -> Result<Command, Failed> {
    let binary = std::env::current_exe().map_err(while_doing("cannot find this binary"))?;
    let mut command = if pinned {
        let mut command = Command::new("taskset");
        let processor = if seat == Seat::Proxy { "0" } else { "1" };
        command.args(["--cpu-list", processor]).arg(binary);
        command
    } else {
        Command::new(binary)
    };
    command.args(role).stdin(Stdio::piped());
    Ok(command)
}

/// An address on loopback that nobody listens on now.
pub(super) fn free_address() -> Result<SocketAddr, Failed> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(while_doing("cannot find a free port"))
}
