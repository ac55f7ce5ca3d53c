//! `privet keys`: the keyring directory.
//!
//! Promise: a key is written whole or not at all, readable by its owner alone,
//! and never over another; no secret is ever printed. `reveal` prints what tokens
//! were made of: personal data, on stdout and nowhere else.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::json;

use super::{Outcome, cannot, table};
use crate::keys::{PSEUDONYM_ENDING, Secret, TOKEN_ENDING, begins, check_value};
use crate::sidecar::keyring_in;

/// The arguments of `privet keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with a keyring.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Makes a keyring with one fresh key.
    Init {
        /// The keyring directory.
        keyring: PathBuf,
        /// The name of the epoch; the current month if not given.
        #[arg(long)]
        epoch: Option<String>,
        /// Makes the key of this name for tokens, instead of the one for pseudonyms.
        #[arg(long, value_name = "NAME")]
        token: Option<String>,
    },
    /// Adds a fresh key: pseudonyms made with it do not join with earlier ones.
    Rotate {
        /// The keyring directory.
        keyring: PathBuf,
        /// The name of the epoch; it has to sort after all others.
        #[arg(long)]
        epoch: Option<String>,
        /// Rotates the key of this name for tokens; tokens sealed before still open.
        #[arg(long, value_name = "NAME")]
        token: Option<String>,
        /// How long until the key is used, so that every pod has it by then.
        #[arg(long, default_value = "10m", value_name = "TIME")]
        grace: SignedDuration,
    },
    /// Lists keys, their epochs, and which are current.
    List {
        /// The keyring directory.
        keyring: PathBuf,
        /// Machine output on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Prints what tokens were made of: those given, else one a line of standard input.
    Reveal {
        /// The keyring directory.
        keyring: PathBuf,
        /// The tokens.
        tokens: Vec<String>,
        /// Machine output on stdout: a line `{"value"}` or `{"error"}` for each.
        #[arg(long)]
        json: bool,
    },
}

/// Why nothing was done.
enum Refused {
    /// What was asked for must not be done.
    No(String),
    /// The system said no.
    Cannot(String),
}

/// Does it.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let done = match &args.command {
        Command::Init { keyring, epoch, token } => {
            Family::of(token.as_deref()).and_then(|family| init(keyring, &family, epoch.as_deref()))
        }
        Command::Rotate { keyring, epoch, token, grace } => {
            Family::of(token.as_deref()).and_then(|family| rotate(keyring, &family, epoch.as_deref(), *grace))
        }
        Command::List { keyring, json } => list(keyring, *json),
        Command::Reveal { keyring, tokens, json } => reveal(keyring, tokens, *json),
    };
    match done {
        Ok(()) => Outcome::Fine,
        Err(Refused::Cannot(why)) => cannot(&why),
        Err(Refused::No(why)) => {
            cannot(&why);
            Outcome::Findings
        }
    }
}

/// Keys that take each other's place, one an epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Pseudonyms,
    Token(String),
}

impl Family {
    fn of(token: Option<&str>) -> Result<Self, Refused> {
        let Some(name) = token else { return Ok(Self::Pseudonyms) };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
            let why = "the name of a token key is 1 to 32 lower-case letters, digits, `-` and `_`";
            return Err(Refused::No(why.to_owned()));
        }
        Ok(Self::Token(name.to_owned()))
    }

    /// Whose key a file of this name is, and of which epoch.
    fn of_file(name: &str) -> Option<(Self, &str)> {
        if let Some(epoch) = name.strip_suffix(PSEUDONYM_ENDING) {
            return Some((Self::Pseudonyms, epoch));
        }
        let (key, epoch) = name.strip_suffix(TOKEN_ENDING)?.split_once('.')?;
        Some((Self::Token(key.to_owned()), epoch))
    }

    fn file(&self, epoch: &str) -> String {
        match self {
            Self::Pseudonyms => format!("{epoch}{PSEUDONYM_ENDING}"),
            Self::Token(name) => format!("{name}.{epoch}{TOKEN_ENDING}"),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Pseudonyms => "pseudonyms",
            Self::Token(name) => name,
        }
    }
}

fn init(keyring: &Path, family: &Family, epoch: Option<&str>) -> Result<(), Refused> {
    DirBuilder::new().recursive(true).mode(0o700).create(keyring).map_err(|error| said(keyring, &error))?;
    if let Some(current) = epochs(keyring, family)?.pop() {
        let name = keyring.display();
        return Err(Refused::No(format!(
            "`{name}` has the key `{current}` already; `privet keys rotate` adds another"
        )));
    }
    add(keyring, family, epoch.map_or_else(month, str::to_owned), None)
}

fn rotate(keyring: &Path, family: &Family, epoch: Option<&str>, grace: SignedDuration) -> Result<(), Refused> {
    let Some(last) = epochs(keyring, family)?.pop() else {
        return Err(Refused::No(format!("there is no key in `{}`; `privet keys init` makes one", keyring.display())));
    };
    let epoch = epoch.map_or_else(|| after(&last), str::to_owned);
    if epoch <= last {
        let why = format!("`{epoch}` does not sort after `{last}`, so it would not be current; give it with --epoch");
        return Err(Refused::No(why));
    }
    if grace.is_negative() {
        return Err(Refused::No("a key cannot begin in the past: give a --grace of 0s or more".to_owned()));
    }
    let from = (!grace.is_zero()).then(|| Timestamp::now().saturating_add(grace)).transpose();
    let from = from.map_err(|error| Refused::No(error.to_string()))?;
    // Whole seconds, for people who read the file.
    let from = from.and_then(|from| Timestamp::from_second(from.as_second() + 1).ok());
    add(keyring, family, epoch, from)
}

/// Prints what each token was made of, and says which cannot be opened.
fn reveal(keyring: &Path, tokens: &[String], machine: bool) -> Result<(), Refused> {
    let keyring = keyring_in(keyring).map_err(Refused::Cannot)?;
    let mut closed = 0;
    let mut each = |number: usize, token: &str| -> io::Result<()> {
        let mut out = io::stdout().lock();
        match (keyring.reveal(token.trim()), machine) {
            (Ok(value), false) => writeln!(out, "{}", value.as_str()),
            (Ok(value), true) => writeln!(out, "{}", json!({"value": value.as_str()})),
            (Err(why), machine) => {
                closed += 1;
                cannot(&format!("token {number}: {why}"));
                if machine { writeln!(out, "{}", json!({"error": why.to_string()})) } else { Ok(()) }
            }
        }
    };
    let wrote = if tokens.is_empty() {
        let mut lines = io::stdin().lock().lines().enumerate();
        lines.try_for_each(|(number, line)| each(number + 1, &line?))
    } else {
        tokens.iter().enumerate().try_for_each(|(number, token)| each(number + 1, token))
    };
    wrote.map_err(|error| Refused::Cannot(error.to_string()))?;
    if closed > 0 { Err(Refused::No(format!("{closed} tokens stay closed"))) } else { Ok(()) }
}

/// This month, or what comes after the last epoch where that is this month's or a later one.
fn after(last: &str) -> String {
    let month = month();
    if month.as_str() > last {
        return month;
    }
    let (stem, number) = match last.rsplit_once('.') {
        Some((stem, number)) => (stem, number.parse::<u32>().ok()),
        None => (last, Some(1)),
    };
    match number {
        Some(number) if number < 99 => format!("{stem}.{:02}", number + 1),
        _ => format!("{last}.02"),
    }
}

fn month() -> String {
    Timestamp::now().to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string()
}

/// Writes one fresh key: first under another name, so that a reader never sees half of it.
fn add(keyring: &Path, family: &Family, epoch: String, from: Option<Timestamp>) -> Result<(), Refused> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if epoch.is_empty() || epoch.len() > 64 || epoch.starts_with('.') || !epoch.bytes().all(plain) {
        let why = "an epoch's name is 1 to 64 letters, digits, `.`, `_` and `-`, and begins with no dot";
        return Err(Refused::No(why.to_owned()));
    }
    let key = Secret::random().map_err(|error| Refused::Cannot(error.to_string()))?.file(from);
    let place = keyring.join(family.file(&epoch));
    let fresh = keyring.join(format!(".{epoch}.{}", std::process::id()));
    let written = write_whole(&fresh, key.as_bytes())
        // A link, unlike a rename, never replaces what is there.
        .and_then(|()| fs::hard_link(&fresh, &place))
        .and_then(|()| File::open(keyring)?.sync_all());
    let _ = fs::remove_file(&fresh);
    match written {
        Ok(()) => {
            let (what, keyring) = (family.name(), keyring.display());
            let since = from.map_or_else(|| "is now".to_owned(), |from| format!("from {from} on is"));
            let _ = writeln!(io::stdout(), "the current epoch of the {what} in `{keyring}` {since} `{epoch}`");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Refused::No(format!("`{}` is there already and is not written over", place.display())))
        }
        Err(error) => Err(said(&place, &error)),
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Every key file: whose it is and its epoch, sorted.
fn files(keyring: &Path) -> Result<Vec<(Family, String)>, Refused> {
    let entries = fs::read_dir(keyring).map_err(|error| said(keyring, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| said(keyring, &error))?.file_name();
        let key = name.to_str().filter(|name| !name.starts_with('.')).and_then(Family::of_file);
        files.extend(key.map(|(family, epoch)| (family, epoch.to_owned())));
    }
    files.sort();
    Ok(files)
}

/// The names of all epochs of one family, the last one last.
fn epochs(keyring: &Path, family: &Family) -> Result<Vec<String>, Refused> {
    let own = files(keyring)?.into_iter().filter(|(known, _)| known == family);
    Ok(own.map(|(_, epoch)| epoch).collect())
}

/// One key as it is listed.
struct Listed {
    family: Family,
    epoch: String,
    current: bool,
    /// When it begins, where its file says so.
    from: Option<Timestamp>,
    /// `None` where the file holds no key.
    check: Option<String>,
    mode: u32,
    created: String,
}

fn list(keyring: &Path, machine: bool) -> Result<(), Refused> {
    let mut keys = Vec::new();
    for (family, epoch) in files(keyring)? {
        let path = keyring.join(family.file(&epoch));
        let (bytes, metadata) =
            fs::read(&path).and_then(|bytes| Ok((bytes, fs::metadata(&path)?))).map_err(|error| said(&path, &error))?;
        let created = metadata.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
        keys.push(Listed {
            family,
            epoch,
            current: false,
            from: begins(&bytes),
            check: check_value(&bytes),
            mode: metadata.permissions().mode() & 0o777,
            created: created.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default(),
        });
    }
    mark_current(&mut keys, Timestamp::now());
    let open = keys.iter().filter(|key| key.mode & 0o077 != 0).count();
    tell(&keys, machine).map_err(|error| said(keyring, &error))?;
    if open > 0 {
        cannot(&format!("{open} keys can be read by others than their owner; `chmod 600` them"));
    }
    match keys.iter().find(|key| key.check.is_none()) {
        Some(key) => Err(Refused::No(crate::keys::BadKeyring::NotAKey(key.family.file(&key.epoch)).to_string())),
        None => Ok(()),
    }
}

/// Marks the key of each family that is used now: the rule is the keyring's own.
fn mark_current(keys: &mut [Listed], now: Timestamp) {
    for family in keys.chunk_by_mut(|a, b| a.family == b.family) {
        let begun = |key: &Listed| key.from.is_none_or(|from| from <= now);
        let current = family.iter().rposition(begun).unwrap_or(0);
        if let Some(key) = family.get_mut(current) {
            key.current = true;
        }
    }
}

fn tell(keys: &[Listed], machine: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if machine {
        let rows: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "key": key.family.name(),
                    "epoch": key.epoch,
                    "current": key.current,
                    "from": key.from.map(|from| from.to_string()),
                    "check": key.check,
                    "mode": format!("{:03o}", key.mode),
                    "created": key.created,
                })
            })
            .collect();
        return writeln!(out, "{}", json!({"keys": rows}));
    }
    let rows: Vec<[String; 6]> = keys
        .iter()
        .map(|key| {
            let state = match (key.current, key.from) {
                (true, _) => "current".to_owned(),
                (false, Some(from)) if from > Timestamp::now() => format!("from {from}"),
                (false, _) => String::new(),
            };
            let check = key.check.clone().unwrap_or_else(|| "not a key".to_owned());
            [
                key.family.name().to_owned(),
                key.epoch.clone(),
                state,
                check,
                format!("{:03o}", key.mode),
                key.created.clone(),
            ]
        })
        .collect();
    table::print(&mut out, ["key", "epoch", "", "check value", "mode", "created"], &rows)
}

fn said(path: &Path, error: &io::Error) -> Refused {
    Refused::Cannot(format!("`{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_epoch_sorts_after_the_last() {
        let month = month();
        assert_eq!(after("2020-01"), month);
        for last in [month.as_str(), "2999-01", "z", "2999-01.02", "2999-01.98", "2999-01.99", "a.b"] {
            assert!(after(last).as_str() > last, "{last}: {}", after(last));
        }
    }
}
