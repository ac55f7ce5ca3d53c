//! Refuses to build a sidecar whose noise would not come from the system's libcrypto.
//!
//! Two things can go wrong in a manifest or an environment, and neither would
//! show in a test of the noise's distribution: OpenDP without `use-openssl`
//! draws from a generator that its own documentation calls non-secure, and
//! OpenSSL built from the pinned 2024 sources is a stale copy of cryptography.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.toml");
    refuse_other_randomness()?;
    refuse_vendored_openssl()?;
    println!("cargo:rustc-env=PRIVET_DP_OPENSSL={}", openssl_version()?);
    Ok(())
}

/// Cargo does not tell a crate which features its dependencies were given, but
/// features only ever add up: named in this manifest, `use-openssl` is on.
fn refuse_other_randomness() -> Result<(), Box<dyn Error>> {
    let manifest = fs::read_to_string(PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))?;
    let named = manifest.lines().any(|line| line.starts_with("opendp") && line.contains("\"use-openssl\""));
    named.then_some(()).ok_or_else(|| "dp-lib/Cargo.toml must give opendp the feature `use-openssl`: without it noise comes from a generator that upstream calls non-secure (docs/decisions/0001)".into())
}

/// `openssl-sys` sets this variable for the crates that depend on it directly.
fn refuse_vendored_openssl() -> Result<(), Box<dyn Error>> {
    match env::var_os("DEP_OPENSSL_VENDORED") {
        None => Ok(()),
        Some(_) => Err("OpenSSL was built from vendored sources: set OPENSSL_NO_VENDOR=1 and install libssl-dev, so that noise comes from the system's libcrypto (docs/decisions/0001)".into()),
    }
}

/// The version of the headers that were linked against, read from `0xMNN00PP0`.
fn openssl_version() -> Result<String, Box<dyn Error>> {
    let number = env::var("DEP_OPENSSL_VERSION_NUMBER")
        .map_err(|_| "openssl-sys named no OpenSSL version: only OpenSSL 3 is supported as the source of noise")?;
    let number = u64::from_str_radix(&number, 16)?;
    let (major, minor, patch) = (number >> 28, (number >> 20) & 0xff, (number >> 4) & 0xff);
    if major < 3 {
        return Err(format!(
            "OpenSSL {major}.{minor} is too old: RAND_priv_bytes of OpenSSL 3 or newer is the source of noise"
        )
        .into());
    }
    Ok(format!("{major}.{minor}.{patch}"))
}
