//! `privet keys`: the keyring directory.
//!
//! Promise: a key is written whole or not at all, readable by its owner alone,
//! and never over another; no secret is ever printed.
//!
//! Not here: `reveal`, which needs tokens that a key opens.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;

use super::{Outcome, cannot, table};
use crate::keys::{Keyring, check_value};

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
    },
    /// Adds a fresh key: pseudonyms made from then on do not join with earlier ones.
    Rotate {
        /// The keyring directory.
        keyring: PathBuf,
        /// The name of the epoch; it has to sort after all others.
        #[arg(long)]
        epoch: Option<String>,
    },
    /// Lists epochs and which is current.
    List {
        /// The keyring directory.
        keyring: PathBuf,
        /// Machine output on stdout.
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
        Command::Init { keyring, epoch } => init(keyring, epoch.as_deref()),
        Command::Rotate { keyring, epoch } => rotate(keyring, epoch.as_deref()),
        Command::List { keyring, json } => list(keyring, *json),
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

fn init(keyring: &Path, epoch: Option<&str>) -> Result<(), Refused> {
    DirBuilder::new().recursive(true).mode(0o700).create(keyring).map_err(|error| said(keyring, &error))?;
    if let Some(current) = epochs(keyring)?.pop() {
        let name = keyring.display();
        return Err(Refused::No(format!(
            "`{name}` has the key `{current}` already; `privet keys rotate` adds another"
        )));
    }
    add(keyring, epoch.map_or_else(month, str::to_owned))
}

fn rotate(keyring: &Path, epoch: Option<&str>) -> Result<(), Refused> {
    let Some(last) = epochs(keyring)?.pop() else {
        return Err(Refused::No(format!("there is no key in `{}`; `privet keys init` makes one", keyring.display())));
    };
    let epoch = epoch.map_or_else(|| after(&last), str::to_owned);
    if epoch <= last {
        let why = format!("`{epoch}` does not sort after `{last}`, so it would not be current; give it with --epoch");
        return Err(Refused::No(why));
    }
    add(keyring, epoch)
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
fn add(keyring: &Path, epoch: String) -> Result<(), Refused> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if epoch.is_empty() || epoch.len() > 64 || epoch.starts_with('.') || !epoch.bytes().all(plain) {
        let why = "an epoch's name is 1 to 64 letters, digits, `.`, `_` and `-`, and begins with no dot";
        return Err(Refused::No(why.to_owned()));
    }
    let key = Keyring::fresh_key_file().map_err(|error| Refused::Cannot(error.to_string()))?;
    let place = keyring.join(format!("{epoch}.key"));
    let fresh = keyring.join(format!(".{epoch}.{}", std::process::id()));
    let written = write_whole(&fresh, key.as_bytes())
        // A link, unlike a rename, never replaces what is there.
        .and_then(|()| fs::hard_link(&fresh, &place))
        .and_then(|()| File::open(keyring)?.sync_all());
    let _ = fs::remove_file(&fresh);
    match written {
        Ok(()) => {
            let _ = writeln!(io::stdout(), "the current epoch of `{}` is `{epoch}`", keyring.display());
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

/// The names of all epochs, the current one last.
fn epochs(keyring: &Path) -> Result<Vec<String>, Refused> {
    let entries = fs::read_dir(keyring).map_err(|error| said(keyring, &error))?;
    let mut epochs = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| said(keyring, &error))?.file_name();
        epochs.extend(name.to_str().and_then(|name| name.strip_suffix(".key")).map(str::to_owned));
    }
    epochs.sort();
    Ok(epochs)
}

/// One key as it is listed.
struct Listed {
    epoch: String,
    current: bool,
    check: String,
    mode: u32,
    created: String,
}

fn list(keyring: &Path, machine: bool) -> Result<(), Refused> {
    let names = epochs(keyring)?;
    let mut keys = Vec::new();
    for (number, epoch) in names.iter().enumerate() {
        let path = keyring.join(format!("{epoch}.key"));
        let (bytes, metadata) =
            fs::read(&path).and_then(|bytes| Ok((bytes, fs::metadata(&path)?))).map_err(|error| said(&path, &error))?;
        let check = check_value(&bytes).unwrap_or_else(|| "not a key".to_owned());
        let created = metadata.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
        keys.push(Listed {
            epoch: epoch.clone(),
            current: number + 1 == names.len(),
            check,
            mode: metadata.permissions().mode() & 0o777,
            created: created.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default(),
        });
    }
    let open = keys.iter().filter(|key| key.mode & 0o077 != 0).count();
    tell(&keys, machine).map_err(|error| said(keyring, &error))?;
    if open > 0 {
        cannot(&format!("{open} keys can be read by others than their owner; `chmod 600` them"));
    }
    match keys.iter().find(|key| key.check == "not a key") {
        Some(key) => Err(Refused::No(format!("`{}.key` is not 32 bytes in base64 on one line", key.epoch))),
        None => Ok(()),
    }
}

fn tell(keys: &[Listed], machine: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if machine {
        let rows: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "epoch": key.epoch,
                    "current": key.current,
                    "check": key.check,
                    "mode": format!("{:03o}", key.mode),
                    "created": key.created,
                })
            })
            .collect();
        return writeln!(out, "{}", json!({"keys": rows}));
    }
    let rows: Vec<[String; 5]> = keys
        .iter()
        .map(|key| {
            let current = if key.current { "current" } else { "" };
            [key.epoch.clone(), current.to_owned(), key.check.clone(), format!("{:03o}", key.mode), key.created.clone()]
        })
        .collect();
    table::print(&mut out, ["epoch", "", "check value", "mode", "created"], &rows)
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
