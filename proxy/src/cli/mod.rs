//! The commands of `privet`, one module each.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub mod apply;
pub mod challenge;
pub mod check;
pub mod consent;
pub mod demo;
pub mod detect;
pub mod diff;
pub mod explain;
pub mod export;
pub mod exposure;
mod framing;
pub mod keys;
pub mod ledger;
pub mod prove;
pub mod run;
pub mod schema;
pub mod sign;
pub mod subject;
mod table;
pub mod test;
pub mod witness;

/// How a command ended, as its exit status tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to complain about.
    Fine,
    /// It ran, and found or refused something.
    Findings,
    /// It could not run: wrong arguments, missing files, taken addresses.
    CannotRun,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Fine => Self::SUCCESS,
            Outcome::Findings => Self::from(1),
            Outcome::CannotRun => Self::from(2),
        }
    }
}

/// A privacy hedge: it stands in front of event collectors, and nothing personal leaves unless a written policy, and the
/// person's own choice, allow it.
#[derive(Debug, Parser)]
#[command(name = "privet", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much to say on stderr.
    #[arg(long, global = true, value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
    /// How to say it.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the sidecar.
    Run(run::Args),
    /// Shows the main job on this machine.
    Demo(demo::Args),
    /// Compiles a policy directory and shows every mistake.
    Check(check::Args),
    /// Shows what would leave of a request, and why.
    Apply(Box<apply::Args>),
    /// Runs the policy authors' tests.
    Test(test::Args),
    /// Lists exactly what can leave: field, destination, purpose, consent, jurisdiction, age.
    Exposure(exposure::Args),
    /// Proves that a data category never leaves, or shows a request with which it does.
    Prove(prove::Args),
    /// Compares what two policies let leave.
    Diff(diff::Args),
    /// Reads and changes what people decided.
    Consent(consent::Args),
    /// Sends an auditor's canaries.
    Challenge(challenge::Args),
    /// Shows what exports cost and have spent, and whether their receipts say the truth.
    Export(export::Args),
    /// Shows or forgets all that is held about a person.
    Subject(subject::Args),
    /// Finds personal data in texts: lines of `{"text": ...}` to lines of entities.
    Detect(detect::Args),
    /// Makes, rotates and lists the keys of pseudonyms.
    Keys(keys::Args),
    /// Makes the key of somebody who signs policies.
    Signer(sign::SignerArgs),
    /// Signs a policy directory, or tells who did.
    Sign(sign::Args),
    /// Tells the long story of an error code.
    Explain(explain::Args),
    /// Prints the JSON Schema of policy files, for editors.
    Schema(schema::Args),
    /// Rolls up the shipped logs of many pods into one witnessed log.
    Ledger(ledger::Args),
    /// Cosigns checkpoints of logs that it knows, as c2sp.org/tlog-witness has it.
    Witness(witness::Args),
}

/// How much to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What somebody has to look at.
    Error,
    /// And what may become such.
    Warn,
    /// And what happens in the life of the process.
    Info,
    /// And its inner steps.
    Debug,
}

/// How to say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

impl Cli {
    /// Does what the command says.
    #[must_use]
    pub fn execute(self) -> Outcome {
        self.log();
        match self.command {
            Command::Run(args) => run::run(&args),
            Command::Demo(args) => demo::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Apply(args) => apply::run(&args),
            Command::Test(args) => test::run(&args),
            Command::Exposure(args) => exposure::run(&args),
            Command::Prove(args) => prove::run(&args),
            Command::Diff(args) => diff::run(&args),
            Command::Consent(args) => consent::run(&args),
            Command::Challenge(args) => challenge::run(&args),
            Command::Export(args) => export::run(&args),
            Command::Subject(args) => subject::run(&args),
            Command::Detect(args) => detect::run(&args),
            Command::Keys(args) => keys::run(&args),
            Command::Signer(args) => sign::run_signer(&args),
            Command::Sign(args) => sign::run(&args),
            Command::Explain(args) => explain::run(&args),
            Command::Schema(args) => schema::run(&args),
            Command::Ledger(args) => ledger::run(&args),
            Command::Witness(args) => witness::run(&args),
        }
    }

    /// Only privet's own lines: the HTTP libraries print headers of requests at `debug`.
    fn log(&self) {
        let level = match self.log_level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        };
        let ours = Targets::new().with_target("privet", level);
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let registry = tracing_subscriber::registry().with(ours);
        // Only the first call in a process can set this; tests run several commands in one.
        match self.log_format {
            LogFormat::Text => registry.with(lines.with_target(false)).try_init().ok(),
            LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init().ok(),
        };
    }
}

/// Says something on standard error. Where that cannot be said either, the exit status does.
pub(crate) fn complain(what: &str) {
    writeln!(io::stderr().lock(), "{what}").ok();
}

/// Says why a command cannot run.
pub(crate) fn cannot(why: &str) -> Outcome {
    complain(why);
    Outcome::CannotRun
}

/// How a command ends whose answer was written, or not. Whoever closed the pipe has read enough.
pub(crate) fn written(answer: io::Result<()>, outcome: Outcome) -> Outcome {
    match answer.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => cannot(&format!("cannot write the answer: {error}")),
        _ => outcome,
    }
}

/// Makes a panic tell its place and nothing else: its message may quote what the code was working on.
pub fn tell_panics_by_place() {
    std::panic::set_hook(Box::new(|panic| {
        let (file, line) = panic.location().map_or(("", 0), |place| (place.file(), place.line()));
        tracing::error!(file, line, "a panic, a fault in privet; its message is withheld");
    }));
}
