//! The load run: privet beside a plain pass-through, in one run.
//!
//! Every part is a process of its own, started from this same binary and so
//! built alike: an upstream that counts, the pass-through, privet in lease and
//! in sync mode, and a client that asks again as soon as it is answered. In each
//! round every proxy serves every size of batch; a figure is the median of the
//! rounds, a ratio the median of the rounds' ratios.
//!
//! Promise: loopback only, bounded in time, nothing left running. A round whose
//! counts do not add up is no figure but an error.

mod client;
mod exports;
mod paced;
mod pass;
mod process;
mod report;
mod rounds;
mod upstream;

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use privet::cli::{Cli, Command, LogFormat, LogLevel, run, tell_panics_by_place};

pub use exports::Beside;
pub use rounds::Scope;

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// A file, a socket or a process.
    #[error("{doing}")]
    System {
        /// What was being done.
        doing: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A process did not say what it should.
    #[error("{0}")]
    Unexpected(String),
    /// There is no keyring.
    #[error("cannot make a key")]
    Key(#[from] privet::keys::BadKeyring),
}

/// Names what was being done when the system said no.
fn while_doing(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Failed {
    let doing = doing.into();
    |source| Failed::System { doing, source }
}

/// What one process of the rig is.
enum Role {
    Whole { scope: Scope, directory: PathBuf, gate: bool },
    Upstream,
    Pass { to: SocketAddr },
    Privet { config: PathBuf },
    Client { to: SocketAddr, batch: usize, connections: usize, length: Duration },
    Exports { scope: Beside, directory: PathBuf },
    Paced(paced::Pace),
}

/// The rig as a program: the whole of it, or the part that its arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match Role::read(&arguments) {
        Some(role) => tell(role.play()),
        None => {
            eprintln!(
                "usage: load [--secs S] [--rounds N] [--batches 1,20,200] [--connections N] [--out DIR] [--gate]\n       load --exports [--secs S] [--rounds N] [--batch N] [--rate N] [--connections N] [--out DIR]"
            );
            ExitCode::from(2)
        }
    }
}

/// A run of a second or two whose figures mean nothing; that there are some is what it shows.
#[must_use]
pub fn smoke() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| !word.starts_with('-'))
        && let Some(role) = Role::read(&arguments)
    {
        return tell(role.play());
    }
    let directory = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => return tell(Err(while_doing("cannot make a directory")(error))),
    };
    let scope = Scope { length: Duration::from_millis(250), rounds: 1, batches: vec![1, 20], connections: 4 };
    tell(whole(&scope, directory.path().to_owned(), false))
}

fn tell(done: Result<bool, Failed>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {}", privet::run::chain(&error));
            ExitCode::FAILURE
        }
    }
}

impl Role {
    fn read(arguments: &[String]) -> Option<Self> {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Some(match words.as_slice() {
            ["upstream"] => Self::Upstream,
            ["pass", to] => Self::Pass { to: to.parse().ok()? },
            ["privet", config] => Self::Privet { config: config.into() },
            ["client", to, batch, connections, millis] => Self::Client {
                to: to.parse().ok()?,
                batch: batch.parse().ok()?,
                connections: connections.parse().ok()?,
                length: Duration::from_millis(millis.parse().ok()?),
            },
            ["paced", to, batch, connections, millis, rate, first] => Self::Paced(paced::Pace {
                to: to.parse().ok()?,
                batch: batch.parse().ok()?,
                connections: connections.parse().ok()?,
                length: Duration::from_millis(millis.parse().ok()?),
                rate: rate.parse().ok().filter(|rate| *rate > 0)?,
                first: first.parse().ok()?,
            }),
            ["--exports", options @ ..] => Self::exports(options)?,
            options => Self::whole(options)?,
        })
    }

    fn exports(options: &[&str]) -> Option<Self> {
        let mut scope = Beside::default();
        let mut directory = results_directory();
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match *option {
                "--secs" => scope.length = Duration::from_secs_f64(options.next()?.parse().ok()?),
                "--rounds" => scope.rounds = options.next()?.parse().ok()?,
                "--connections" => scope.connections = options.next()?.parse().ok()?,
                "--batch" => scope.batch = options.next()?.parse().ok()?,
                "--rate" => scope.rate = options.next()?.parse().ok()?,
                "--out" => directory = options.next()?.into(),
                _ => return None,
            }
        }
        Some(Self::Exports { scope, directory })
    }

    fn whole(options: &[&str]) -> Option<Self> {
        let mut scope = Scope::default();
        let (mut directory, mut gate) = (results_directory(), false);
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match *option {
                "--gate" => gate = true,
                "--secs" => scope.length = Duration::from_secs_f64(options.next()?.parse().ok()?),
                "--rounds" => scope.rounds = options.next()?.parse().ok()?,
                "--connections" => scope.connections = options.next()?.parse().ok()?,
                "--batches" => {
                    scope.batches = options.next()?.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
                }
                "--out" => directory = options.next()?.into(),
                _ => return None,
            }
        }
        Some(Self::Whole { scope, directory, gate })
    }

    /// Does what the role is about; says whether the gates held, where they were asked for.
    fn play(self) -> Result<bool, Failed> {
        if let Self::Whole { scope, directory, gate } = self {
            return whole(&scope, directory, gate);
        }
        if let Self::Exports { scope, directory } = self {
            return beside(&scope, &directory);
        }
        end_with_parent();
        match self {
            Self::Whole { .. } | Self::Exports { .. } => {}
            Self::Paced(pace) => paced::run(pace)?,
            Self::Upstream => upstream::serve()?,
            Self::Pass { to } => pass::serve(to)?,
            Self::Privet { config } => return Ok(privet(config)),
            Self::Client { to, batch, connections, length } => client::run(to, batch, connections, length)?,
        }
        Ok(true)
    }
}

fn beside(scope: &Beside, directory: &Path) -> Result<bool, Failed> {
    std::fs::create_dir_all(directory).map_err(while_doing("cannot make the directory for results"))?;
    exports::measure(scope, directory)
}

fn whole(scope: &Scope, directory: PathBuf, gate: bool) -> Result<bool, Failed> {
    std::fs::create_dir_all(&directory).map_err(while_doing("cannot make the directory for results"))?;
    let table = rounds::measure(scope, &directory)?;
    let report = report::Report::of(scope, &table);
    println!("{}", report.markdown());
    for (name, text) in [("load.md", report.markdown()), ("load.json", report.json())] {
        std::fs::write(directory.join(name), text).map_err(while_doing("cannot write the results"))?;
    }
    eprintln!("written to {}", directory.display());
    Ok(!gate || report.holds())
}

/// `bench/` beside the profile's directory in which cargo put this binary.
fn results_directory() -> PathBuf {
    let binary = std::env::current_exe().unwrap_or_default();
    binary.ancestors().nth(3).map_or_else(|| PathBuf::from("bench"), |target| target.join("bench"))
}

/// `privet run`, as the `privet` binary does it.
fn privet(config: PathBuf) -> bool {
    tell_panics_by_place();
    let command = Command::Run(run::Args { config });
    let cli = Cli { command, log_level: LogLevel::Warn, log_format: LogFormat::Text };
    cli.execute() == privet::cli::Outcome::Fine
}

/// Ends this process when the one that started it is gone, however that went.
fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// The runtime that `privet run` uses, with as many workers as the process has processors.
fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(while_doing("cannot start a runtime"))
}
