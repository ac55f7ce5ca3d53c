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
    assert_eq!(compared, 31);
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
    assert_eq!((config.keyring, config.telemetry, config.bypass), (None, None, None));
    assert_eq!(config.console, Console { enabled: true, token_file: None });
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
    assert_eq!(config.console.token_file.as_deref(), Some(Path::new("/etc/privet/console/token")));
    let signatures = config.signatures.unwrap();
    let names: Vec<_> = signatures.signers.iter().map(SignerKey::name).collect();
    assert_eq!(
        (names.as_slice(), signatures.required, signatures.required_to_loosen),
        (&["marla", "odalys"][..], 1, 2)
    );
    let Store::PostgreSql(remote) = &config.consent.store else { panic!("PostgreSQL") };
    assert_eq!((remote.host.as_str(), remote.port, remote.database.as_str()), ("consent.example.org", 5432, "privet"));
    assert_eq!((remote.connections, remote.connect_timeout), (8, Duration::from_millis(500)));
    assert_eq!(remote.tls.as_ref().unwrap().ca.as_deref(), Some(Path::new("/etc/privet/tls/consent.crt")));
    assert_eq!((config.consent.timeout, config.consent.fresh), (Duration::from_millis(50), Duration::from_secs(30)));
    assert_eq!(config.consent.token_file.as_deref(), Some(Path::new("/etc/privet/consent/token")));
    let receiver = config.exports.publish.http.unwrap();
    assert!(config.exports.publish.parquet);
    assert_eq!(receiver.url, "https://receipts.example.org/v1/receipts");
    assert_eq!(receiver.token_file.as_deref(), Some(Path::new("/etc/privet/exports/token")));
    assert_eq!(receiver.signing_key_file, Path::new("/etc/privet/exports/signing.key"));
    assert_eq!(receiver.timeout, Duration::from_secs(20));
    assert_eq!(receiver.tls.ca.as_deref(), Some(Path::new("/etc/privet/tls/receipts.crt")));
    assert_eq!(config.bypass.unwrap().listening, [9100].into());
    assert_eq!(config.auditors[0].name(), "odalys");
    let otlp = config.telemetry.unwrap();
    assert_eq!(otlp.metrics, "https://otel.example.org:4318/v1/metrics");
    assert_eq!(otlp.traces, "https://otel.example.org:4318/v1/traces");
    assert_eq!((otlp.interval, otlp.timeout), (Duration::from_secs(15), Duration::from_secs(5)));
    assert_eq!((otlp.traces_one_in, otlp.service.as_str()), (1000, "shop-privet"));
    assert_eq!(otlp.token_file.as_deref(), Some(Path::new("/etc/privet/telemetry/token")));
    assert_eq!(config.log.durability, Durability::Lease(5000.try_into().unwrap()));
    assert_eq!(config.log.anchor_dir, Path::new("/var/lib/privet-anchor"));
    assert_eq!(config.upstream.identity.unwrap().key, Path::new("/etc/privet/tls/client.key"));
    let ship = config.log.ship.unwrap();
    let StoreAt::S3(bucket) = &ship.to else { panic!("a bucket") };
    assert_eq!(
        (bucket.endpoint.host(), bucket.bucket.as_str(), bucket.prefix.as_str()),
        (Some("s3.example.org"), "privet-logs", "prod")
    );
    assert_eq!((bucket.timeout, ship.every, ship.seal_to.len()), (Duration::from_secs(20), Duration::from_secs(5), 1));
    assert_eq!(ship.channels(), ["shipped_log", "ledger_log"]);
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
fn a_store_s_address_may_be_short_and_loopback_needs_no_tls() {
    let with = |consent: &str| {
        let text = std::fs::read_to_string(folder().join("minimal.yaml")).unwrap();
        let text = format!("{text}\nkeyring: keys\nconsent: {{{consent}}}\n");
        Config::parse("minimal.yaml", &text, Path::new("/")).map(|config| match config.consent.store {
            Store::Embedded(_) => panic!("embedded"),
            Store::Redis(remote) | Store::PostgreSql(remote) => (remote.host, remote.port, remote.database),
        })
    };
    let address = |host: &str, port, database: &str| (host.to_owned(), port, database.to_owned());
    for (consent, want) in [
        ("store: redis, url: 'redis://127.0.0.1'", address("127.0.0.1", 6379, "0")),
        ("store: redis, url: 'redis://localhost:7000/3'", address("localhost", 7000, "3")),
        ("store: redis, url: 'redis://[::1]:7000/'", address("::1", 7000, "0")),
        ("store: redis, url: 'rediss://a.example', tls: {}", address("a.example", 6379, "0")),
        ("store: postgresql, url: 'postgres://localhost'", address("localhost", 5432, "privet")),
    ] {
        assert_eq!(with(consent).unwrap(), want, "{consent}");
    }
    for wrong in [
        "store: redis, url: 'rediss://127.0.0.1'",
        "store: redis, url: 'redis://127.0.0.1/name'",
        "store: redis, url: 'redis://127.0.0.1/0?password=x'",
        "store: postgresql, url: 'redis://127.0.0.1'",
        "store: postgresql, url: 'postgresql:///privet'",
    ] {
        assert!(with(wrong).is_err(), "{wrong}");
    }
}

/// Whoever looks at a ledger from outside of a pod has no name in it, and needs none.
#[test]
fn whoever_only_looks_need_not_say_which_pod_it_is() {
    let minimal = std::fs::read_to_string(folder().join("minimal.yaml")).unwrap();
    for exports in [
        "ledger: {store: postgresql, url: 'postgres://127.0.0.1', user: privet}",
        "ring: {epoch: 1, shards: [a, b]}",
        "ring: {epoch: 1, count: 3}",
    ] {
        let text = format!("{minimal}\nexports: {{directory: out, {exports}}}\n");
        let read = |part| Config::parse_for("minimal.yaml", &text, Path::new("/"), part);
        let refused = read(Part::Runs).unwrap_err().to_string();
        assert!(refused.contains("is not known") && refused.contains("POD_NAME"), "{refused}");
        assert!(read(Part::Looks).is_ok(), "{exports}");
    }
}

#[test]
fn receipts_cross_the_network_encrypted_and_carry_no_password() {
    let with = |url: &str| {
        let text = std::fs::read_to_string(folder().join("minimal.yaml")).unwrap();
        let http = format!("{{url: '{url}', signing_key_file: key}}");
        let text = format!("{text}\nexports: {{directory: out, publish: {{http: {http}}}}}\n");
        Config::parse("minimal.yaml", &text, Path::new("/")).map(|config| config.exports.publish.http.unwrap().url)
    };
    for right in
        ["https://a.example/", "https://a.example:8443/in?tenant=1", "http://127.0.0.1:9/", "http://[::1]:9/in"]
    {
        assert_eq!(with(right).unwrap(), right);
    }
    for wrong in
        ["http://a.example/", "http://10.0.0.1/", "ftp://a.example/", "a.example", "/in", "https://a.example/#x"]
    {
        assert!(with(wrong).is_err(), "{wrong}");
    }
    let said = with("https://marla:swordfish@a.example/").unwrap_err().to_string();
    assert!(!said.contains("swordfish"), "{said}");
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

#[test]
fn a_ledgers_file_is_whole_or_refused_with_every_mistake() {
    let witness = |n: u8| {
        privet_audit_log::kept::KeptKey::generate(&format!("w{n}.example"), privet_audit_log::kept::Use::Witness)
    };
    let keys: Vec<String> = (0..2).map(|n| witness(n).unwrap().public().unwrap()).collect();
    let text = format!(
        "apiVersion: privet.dev/v1alpha1\nkind: Ledger\nstore: {{directory: logs}}\n\
         log: {{directory: ledger, anchor_dir: anchor, origin: privet.example.org/ledger}}\nkey_file: key\n\
         witnesses:\n  - {{url: \"https://w0.example/\", vkey: \"{}\"}}\n  - {{url: \"http://127.0.0.1:7070\", vkey: \"{}\"}}\n",
        keys[0], keys[1]
    );
    let ledger = ledger::Ledger::parse("ledger.yaml", &text, Path::new("/etc")).unwrap();
    assert_eq!((ledger.quorum, ledger.witnesses.len(), ledger.every), (2, 2, Duration::from_secs(10)));
    assert_eq!(
        (ledger.store, ledger.key_file.as_path()),
        (StoreAt::Directory("/etc/logs".into()), Path::new("/etc/key"))
    );
    for (right, wrong, why) in [
        ("kind: Ledger", "kind: Config", "`kind`"),
        ("anchor_dir: anchor", "anchor_dir: ledger/anchor", "`anchor_dir` lies inside"),
        ("http://127.0.0.1:7070", "http://w1.example", "on this machine"),
        (&keys[1], &keys[0], "there already"),
        (&keys[1], "w1.example+00000000+AAAA", "want a witness's key"),
        ("store: {directory: logs}", "store: {}", "`directory` or `s3` is missing"),
        ("key_file: key", "quorum: 3", "outside of what it may be"),
    ] {
        let error = ledger::Ledger::parse("ledger.yaml", &text.replace(right, wrong), Path::new("/etc")).unwrap_err();
        assert!(error.to_string().contains(why), "{wrong}: {error}");
    }
    // Beside two stores, all that is wrong within them and in each witness.
    let wrong = text
        .replace("{directory: logs}", "{directory: logs, s3: {endpoint: 'http://s3.example', region: r, buckt: b}}")
        .replace("https://w0.example/", "http://w0.example/")
        .replace(&keys[1], "w1.example");
    let error = ledger::Ledger::parse("ledger.yaml", &wrong, Path::new("/etc")).unwrap_err().to_string();
    let told = ["two stores", "want `https://HOST[:PORT]`", "no `buckt`", "`access_key_file` is missing"];
    for why in told.into_iter().chain(["ledger.yaml:7:", "ledger.yaml:8:", "want a witness's key"]) {
        assert!(error.contains(why), "{why}: {error}");
    }
    assert!(!error.contains("shipped"), "a ledger ships nothing: {error}");
}
