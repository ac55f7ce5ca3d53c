//! Receipts as they lie in files, put back into their chains.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use privet_dp::digest::Digest;
use privet_dp::ledger::LedgerId;
use privet_dp::receipt::AnyReceipt;

/// One file.
pub(super) struct Filed {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// Nothing where it is no receipt.
    pub(super) receipt: Option<AnyReceipt>,
}

/// The files named, and every `.json` below directories that are.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Filed>, String> {
    let mut filed = Vec::new();
    for path in paths {
        collect(path, true, &mut filed)?;
    }
    Ok(filed)
}

fn collect(path: &Path, named: bool, filed: &mut Vec<Filed>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(failed)?;
        let mut below: Vec<PathBuf> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?;
        below.sort();
        return below.iter().try_for_each(|path| collect(path, false, filed));
    }
    let is_receipt = path.extension().is_some_and(|ending| ending == "json")
        && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    if named || is_receipt {
        let bytes = fs::read(path).map_err(failed)?;
        let receipt = AnyReceipt::from_bytes(&bytes).ok();
        filed.push(Filed { path: path.to_owned(), bytes, receipt });
    }
    Ok(())
}

/// Which chain a receipt is in: of its query, in its pod's ledger. What is no
/// receipt is a chain of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChainName {
    pub(super) query: String,
    pub(super) ledger: Option<LedgerId>,
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ledger {
            Some(ledger) => write!(f, "{} of ledger {}", self.query, ledger.short()),
            None => f.write_str(&self.query),
        }
    }
}

impl ChainName {
    fn of(filed: &Filed) -> Self {
        match &filed.receipt {
            Some(receipt) => Self { query: receipt.query().to_owned(), ledger: Some(receipt.ledger().chain) },
            None => Self { query: filed.path.display().to_string(), ledger: None },
        }
    }
}

/// The receipts of each chain, each after the one that it names; what follows
/// on nothing that is here comes by its window.
pub(super) fn chains(filed: Vec<Filed>) -> BTreeMap<ChainName, Vec<Filed>> {
    let mut chains: BTreeMap<ChainName, Vec<Filed>> = BTreeMap::new();
    for file in filed {
        chains.entry(ChainName::of(&file)).or_default().push(file);
    }
    chains.into_iter().map(|(name, files)| (name, in_order(files))).collect()
}

fn in_order(mut files: Vec<Filed>) -> Vec<Filed> {
    let start = |file: &Filed| file.receipt.as_ref().map(|receipt| receipt.window().start);
    files.sort_by(|one, other| start(one).cmp(&start(other)).then_with(|| one.path.cmp(&other.path)));
    let mut ordered: Vec<Filed> = Vec::with_capacity(files.len());
    let known: Vec<Digest> = files.iter().map(|file| Digest::of(&file.bytes)).collect();
    while !files.is_empty() {
        let last = ordered.last().map(|file| Digest::of(&file.bytes));
        let prev = |file: &Filed| file.receipt.as_ref().map(AnyReceipt::prev_receipt);
        let next = files.iter().position(|file| last.is_some() && prev(file) == last);
        let next = next.or_else(|| files.iter().position(|file| prev(file).is_none_or(|prev| !known.contains(&prev))));
        ordered.push(files.remove(next.unwrap_or(0)));
    }
    ordered
}
