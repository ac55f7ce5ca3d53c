//! Where the noise comes from: decision 0001, held by a test.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use privet_dp::mechanism::{Noise, OPENDP_VERSION, RNG};

/// This crate calls no function of libcrypto. Only OpenDP does, and only with
/// `use-openssl`; without it the linker leaves the library out. Static builds
/// (the container image) are not looked at here, but they build from the same manifest.
#[cfg(target_os = "linux")]
#[test]
fn opendp_draws_from_the_systems_libcrypto() {
    let drawn = support::noise(&support::mechanism(Noise::DiscreteLaplace, 1, 1, "1"), 10);
    assert_eq!(drawn.len(), 10);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let library = maps.lines().find(|line| line.contains("libcrypto.so.3"));
    assert!(library.is_some(), "OpenDP was built without use-openssl: its noise is not from libcrypto");
    assert!(library.is_some_and(|line| !line.contains("/target/")), "{library:?} was built here, not installed");
}

#[test]
fn receipts_name_the_generator() {
    assert!(RNG.starts_with("OpenSSL 3.") && RNG.ends_with("RAND_priv_bytes"), "{RNG}");
    assert_eq!(OPENDP_VERSION, "0.16.0");
}
