//! The policy of the benchmarks: six actions over a contract that declares every member.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use privet::keys::Keyring;
use privet::policies;
use privet::transform::Enforcement;
use privet_policy::diagnostic::SourceFile;

const FILES: [(&str, &str); 4] = [
    ("purpose.yaml", include_str!("../policy/purpose.yaml")),
    ("destination.yaml", include_str!("../policy/destination.yaml")),
    ("contract.yaml", include_str!("../policy/contract.yaml")),
    ("rules.yaml", include_str!("../policy/rules.yaml")),
];
/// What is counted besides, where that is measured.
const EXPORTS: &str = include_str!("../policy/exports.yaml");
/// The address in `destination.yaml`.
const WRITTEN_COLLECTOR: &str = "127.0.0.1:8081";

/// Why the policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It does not compile.
    #[error("the policy of the benchmarks does not compile:\n{0}")]
    DoesNotCompile(String),
    /// There are no keys.
    #[error("cannot make a keyring")]
    NoKeys(#[from] privet::keys::BadKeyring),
    /// A key is not there.
    #[error(transparent)]
    MissingKey(#[from] privet::keys::MissingKey),
}

/// The policy with a random key.
///
/// # Errors
/// [`Unusable`].
pub fn enforcement() -> Result<Enforcement, Unusable> {
    let files = FILES.map(|(name, text)| SourceFile { name: name.to_owned(), text: text.to_owned() });
    let loaded = policies::compile(&files);
    let Some((policy, _)) = loaded.policy else {
        return Err(Unusable::DoesNotCompile(policies::errors(&files, &loaded.diagnostics)));
    };
    Ok(Enforcement::new(Arc::new(policy), &Keyring::random()?)?)
}

/// Writes the exports into a directory for the policy.
///
/// # Errors
/// Where the directory cannot be written.
pub fn write_exports(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("exports.yaml"), EXPORTS)
}

/// Writes the policy into a directory, for a collector at an address.
///
/// # Errors
/// Where the directory cannot be written.
pub fn write(directory: &Path, collector: SocketAddr) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (name, text) in FILES {
        fs::write(directory.join(name), text.replace(WRITTEN_COLLECTOR, &collector.to_string()))?;
    }
    Ok(())
}
