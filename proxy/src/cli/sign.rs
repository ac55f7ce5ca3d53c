//! `privet signer` and `privet sign`: who stands for a policy bundle.
//!
//! Promise: a private key is written whole, readable by its owner alone, never over
//! another file, and never printed; only policies that compile are signed.
//!
//! Not here: the keys of pseudonyms, which are [`super::keys`]'s.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use privet_audit_log::signing::{SIGNATURE_ENDING, Signed, SignerKey, signers};
use privet_policy::policy::Policy;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Outcome, cannot};
use crate::policies;
use crate::reload::Place;
use crate::signing::SigningKey;

/// The arguments of `privet signer`.
#[derive(Debug, clap::Args)]
pub struct SignerArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SignerCommand,
}

/// What can be done with a signer's key.
#[derive(Debug, clap::Subcommand)]
pub enum SignerCommand {
    /// Makes a private key, and prints the line for the configuration's `signatures.signers`.
    Init {
        /// Where the private key goes, readable by you alone. Keep a key that signs policies off the machines that
        /// privet runs on; one that signs a pod's receipts (`exports.publish.http`) is the pod's, and signs nothing else.
        file: PathBuf,
        /// The signer's name, of a-z, 0-9, `-` and `_`; the file's name without its ending if not given.
        #[arg(long)]
        name: Option<String>,
    },
}

/// The arguments of `privet sign`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy directory. A signature goes into `signatures/NAME.sig` in it.
    pub policies: PathBuf,
    /// Your private key, as `privet signer init` makes it, or any Ed25519 key as PKCS#8 in PEM.
    #[arg(long, value_name = "FILE", required_unless_present = "verify", conflicts_with = "verify")]
    pub key: Option<PathBuf>,
    /// The name to sign under, where the key's file does not say it.
    #[arg(long, conflicts_with = "verify")]
    pub name: Option<String>,
    /// Signs nothing, and tells which of the given signers signed.
    #[arg(long, requires = "signer")]
    pub verify: bool,
    /// A signer's public key, as `privet signer init` prints it, or a file of them; may stand more than once.
    #[arg(long, value_name = "KEY", requires = "verify")]
    pub signer: Vec<String>,
    /// How many of them are enough; all of them if not given.
    #[arg(long, value_name = "NUMBER", requires = "verify")]
    pub required: Option<usize>,
    /// Machine output on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Why nothing was done.
enum Refused {
    /// What was asked for must not be done.
    No(String),
    /// The system said no, or what was given is no key or policy.
    Cannot(String),
}

/// Makes a key.
#[must_use]
pub fn run_signer(args: &SignerArgs) -> Outcome {
    let SignerCommand::Init { file, name } = &args.command;
    ended(init(file, name.as_deref()).map(|()| Outcome::Fine))
}

/// Signs, or tells who did.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    ended(match &args.key {
        Some(key) => sign(args, key).map(|()| Outcome::Fine),
        None => verify(args),
    })
}

fn ended(done: Result<Outcome, Refused>) -> Outcome {
    match done {
        Ok(outcome) => outcome,
        Err(Refused::Cannot(why)) => cannot(&why),
        Err(Refused::No(why)) => {
            cannot(&why);
            Outcome::Findings
        }
    }
}

fn init(file: &Path, name: Option<&str>) -> Result<(), Refused> {
    let stem = || file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = name.unwrap_or_else(stem);
    let text = SigningKey::fresh_file(name).map_err(|error| Refused::No(format!("`{name}`: {error}")))?;
    write_new(file, text.as_bytes())?;
    let public = text.lines().next().unwrap_or_default();
    writeln!(io::stdout().lock(), "{public}").map_err(|error| said(file, &error))
}

/// Writes a file that nobody else may read: first under another name, so that it is whole or not there.
fn write_new(file: &Path, bytes: &[u8]) -> Result<(), Refused> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fresh = parent.join(format!(".privet-signer.{}", std::process::id()));
    let written = write_whole(&fresh, 0o600, bytes)
        // A link, unlike a rename, never replaces what is there.
        .and_then(|()| fs::hard_link(&fresh, file))
        .and_then(|()| File::open(parent)?.sync_all());
    let _ = fs::remove_file(&fresh);
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Refused::No(format!("`{}` is there already and is not written over", file.display())))
        }
        Err(error) => Err(said(file, &error)),
    }
}

fn write_whole(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sign(args: &Args, key: &Path) -> Result<(), Refused> {
    let text = Zeroizing::new(fs::read_to_string(key).map_err(|error| said(key, &error))?);
    let key = SigningKey::read(&text, args.name.as_deref())
        .map_err(|error| Refused::Cannot(format!("`{}`: {error}", key.display())))?;
    let digest = compiled(&args.policies)?.digest().to_string();
    let directory = args.policies.join("signatures");
    let name = key.public().name();
    let file = directory.join(format!("{name}{SIGNATURE_ENDING}"));
    // One signature of a signer is replaced by the next, and a reader never sees half of it.
    let fresh = directory.join(format!(".{name}.{}", std::process::id()));
    let line = format!("{}\n", key.sign(&digest));
    let written = fs::create_dir_all(&directory)
        .and_then(|()| write_whole(&fresh, 0o644, line.as_bytes()))
        .and_then(|()| fs::rename(&fresh, &file));
    written.map_err(|error| said(&file, &error))?;
    let mut out = io::stdout().lock();
    let told = match args.json {
        true => writeln!(out, "{}", json!({"digest": digest, "signer": name, "file": file.display().to_string()})),
        false => writeln!(out, "signed {digest} as {name}: `{}`", file.display()),
    };
    told.map_err(|error| said(&file, &error))
}

/// A policy that may be signed: a whole directory, for there is nowhere to put a signature beside one file.
fn compiled(directory: &Path) -> Result<Policy, Refused> {
    if !directory.is_dir() {
        return Err(Refused::Cannot(format!("`{}` is no directory", directory.display())));
    }
    policies::open(directory).map_err(Refused::No)
}

fn verify(args: &Args) -> Result<Outcome, Refused> {
    let keys = keys(&args.signer)?;
    let needed = args.required.unwrap_or(keys.len());
    let digest = compiled(&args.policies)?.digest().to_string();
    let files = Place::policies(&args.policies).read().map_err(|error| said(&args.policies, &error))?;
    let named = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let signed = signers(named, &digest, &keys);
    tell(&digest, &signed, needed, args.json).map_err(|error| said(&args.policies, &error))?;
    let enough = needed > 0 && signed.signers.len() >= needed;
    Ok(if enough { Outcome::Fine } else { Outcome::Findings })
}

fn tell(digest: &str, signed: &Signed, needed: usize, machine: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if machine {
        return writeln!(out, "{}", json!({"digest": digest, "signers": signed.signers, "required": needed}));
    }
    writeln!(out, "digest {digest}")?;
    signed.signers.iter().try_for_each(|name| writeln!(out, "signed by {name}"))?;
    writeln!(out, "{} of {needed} signatures", signed.signers.len())
}

/// Keys as they are given: a line each, or a file of lines.
fn keys(given: &[String]) -> Result<Vec<SignerKey>, Refused> {
    let mut keys: Vec<SignerKey> = Vec::new();
    for given in given {
        let text = match given.parse::<SignerKey>() {
            Ok(_) => given.clone(),
            Err(error) => fs::read_to_string(given)
                .map_err(|_| Refused::Cannot(format!("`{given}` is no file to read, and {error}")))?,
        };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let key: SignerKey = line.parse().map_err(|error| Refused::Cannot(format!("`{given}`: {error}")))?;
            if keys.iter().any(|known| known.is_same_key(&key) || known.name() == key.name()) {
                return Err(Refused::Cannot(format!("the signer `{}` or its key is given twice", key.name())));
            }
            keys.push(key);
        }
    }
    Ok(keys)
}

fn said(path: &Path, error: &io::Error) -> Refused {
    Refused::Cannot(format!("`{}`: {error}", path.display()))
}
