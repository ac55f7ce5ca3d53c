//! Configuration files and what is said about them.
//!
//! Each `proxy/tests/config/NAME.yaml` that is wrong has its message in
//! `NAME.txt`. Run with `PRIVET_BLESS=1` to write the messages anew, and read
//! the difference.

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

fn parsed(name: &str) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    Config::parse(name, &text, Path::new("/etc/privet"))
}

#[test]
fn every_mistake_is_told_as_it_was_agreed() {
    let bless = std::env::var_os("PRIVET_BLESS").is_some();
    let mut compared = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let expected = entry.unwrap().path();
        let wrong = expected.with_extension("yaml");
        let name = wrong.file_name().unwrap().to_str().unwrap().to_owned();
        if expected.extension().is_none_or(|ending| ending != "txt") {
            continue;
        }
        let said = format!("{}\n", parsed(&name).unwrap_err());
        if bless {
            std::fs::write(&expected, &said).unwrap();
        }
        assert_eq!(said, std::fs::read_to_string(&expected).unwrap(), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 11);
}

#[test]
fn a_minimal_file_is_complete() {
    let config = parsed("minimal.yaml").unwrap();
    assert_eq!(config.policies, Path::new("/etc/privet/policies"));
    assert_eq!(config.log.directory, Path::new("/etc/privet/log"));
    assert_eq!(config.log.durability, Durability::Sync);
    assert_eq!(config.limits, Limits::default());
    assert_eq!((config.admin, config.metrics), (ADMIN_DEFAULT, METRICS_DEFAULT));
    assert!(config.admin.ip().is_loopback() && config.metrics.ip().is_loopback());
    assert_eq!(config.keyring, None);
    assert_eq!((config.shadow, config.signatures), (None, None));
    assert!(config.listeners[0].tls.is_none());
}

#[test]
fn everything_that_is_written_arrives() {
    let config = parsed("full.yaml").unwrap();
    let [shop, devices] = config.listeners.as_slice() else { panic!("two listeners") };
    assert_eq!(shop.facts.jurisdiction.as_deref(), Some("eu"));
    assert_eq!(shop.facts.jurisdiction_header.as_ref().unwrap(), "x-jurisdiction");
    assert_eq!(shop.facts.trusted_peers, ["10.0.0.0/8".parse().unwrap(), "2001:db8::1/128".parse().unwrap()]);
    assert_eq!(shop.tls.as_ref().unwrap().client_ca.as_deref(), Some(Path::new("/etc/privet/tls/ca.crt")));
    assert_eq!(devices.address.to_string(), "[::1]:8081");
    assert_eq!(config.policies, Path::new("/etc/privet/policies"));
    assert_eq!(config.shadow.as_deref(), Some(Path::new("/etc/privet/next")));
    let signatures = config.signatures.unwrap();
    let names: Vec<_> = signatures.signers.iter().map(SignerKey::name).collect();
    assert_eq!(
        (names.as_slice(), signatures.required, signatures.required_to_loosen),
        (&["marla", "odalys"][..], 1, 2)
    );
    assert_eq!(config.log.durability, Durability::Lease(5000.try_into().unwrap()));
    assert_eq!(config.log.anchor_dir, Path::new("/var/lib/privet-anchor"));
    assert_eq!(config.upstream.identity.unwrap().key, Path::new("/etc/privet/tls/client.key"));
    assert_eq!(config.limits.rate_per_source.unwrap().burst.get(), 100);
    assert_eq!(config.limits.header_timeout, Duration::from_secs(5));
    assert_eq!(config.drain, Drain { delay: Duration::from_secs(3), grace: Duration::from_secs(25) });
}

#[test]
fn to_loosen_needs_as_many_as_any_change_where_nothing_is_said() {
    let text = std::fs::read_to_string(folder().join("full.yaml")).unwrap();
    let text = text.replace("  required: 1\n  required_to_loosen: 2\n", "  required: 2\n");
    let signatures = Config::parse("full.yaml", &text, Path::new("/")).unwrap().signatures.unwrap();
    assert_eq!((signatures.required, signatures.required_to_loosen), (2, 2));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Path::new("/nowhere/privet.yaml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration `/nowhere/privet.yaml`");
}

#[test]
fn the_documented_example_is_the_tested_one() {
    let documented = std::fs::read_to_string(folder().join("../../../docs/configuration.md")).unwrap();
    let example = std::fs::read_to_string(folder().join("full.yaml")).unwrap();
    assert!(documented.contains(&format!("```yaml\n{example}```")), "docs/configuration.md shows full.yaml");
}
