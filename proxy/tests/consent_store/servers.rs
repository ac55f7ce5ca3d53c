//! Redis and PostgreSQL of the system, started for one test on loopback in a directory of their own,
//! and ended with it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub const PASSWORD: &str = "a-password-for-these-tests";

/// How a server is started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Redis,
    PostgreSql,
}

/// A server that runs, or did until it was killed.
pub struct Server {
    kind: Kind,
    tls: bool,
    port: u16,
    directory: tempfile::TempDir,
    child: Child,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program of the system; one that is not there fails the test and says what to install.
fn program(name: &str, package: &str) -> PathBuf {
    let versions =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/bin".into(), "/usr/sbin".into()]).chain(versions);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: install the Debian package {package} (tools/needs test does)"))
}

/// PostgreSQL refuses to run as root, so root runs it as `postgres`.
fn as_nobody_special(program: &Path) -> Command {
    if !am_root() {
        return Command::new(program);
    }
    let mut command = Command::new(self::program("setpriv", "util-linux"));
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
    command
}

fn am_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.starts_with(b"0\n")
}

impl Server {
    pub fn start(kind: Kind) -> Self {
        Self::start_with(kind, false)
    }

    /// With TLS under an authority whose certificate is in `ca.pem`, and without a way in the clear.
    pub fn start_with_tls(kind: Kind) -> Self {
        Self::start_with(kind, true)
    }

    fn start_with(kind: Kind, tls: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        if tls {
            make_certificates(directory.path());
        }
        let port = free_port();
        if kind == Kind::PostgreSql {
            make_cluster(directory.path());
        }
        let child = spawn(kind, tls, port, directory.path());
        let server = Self { kind, tls, port, directory, child };
        server.until_it_answers();
        server
    }

    /// The section `consent` of a sidecar that uses it.
    pub fn section(&self) -> String {
        self.section_through(self.port)
    }

    /// The same of one that reaches it through another port.
    pub fn section_through(&self, port: u16) -> String {
        let password = self.directory.path().join("password");
        let (store, url, user) = match self.kind {
            Kind::Redis => ("redis", format!("redis://localhost:{port}/1"), ""),
            Kind::PostgreSql => ("postgresql", format!("postgresql://localhost:{port}/postgres"), "  user: privet\n"),
        };
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        let tls = if self.tls {
            format!("  tls: {{ca: {}}}\n", self.directory.path().join("ca.pem").display())
        } else {
            String::new()
        };
        format!(
            "  store: {store}\n  url: {url}\n{user}  password_file: {}\n{tls}  timeout_ms: 250\n  connect_timeout_ms: 1000\n  connections: 2\n",
            password.display()
        )
    }

    fn until_it_answers(&self) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the server does not come up");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// All processes of the server: PostgreSQL has one a connection.
    fn processes(&self) -> Vec<u32> {
        let own = self.child.id();
        let children = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let number: u32 = entry.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name, which may hold anything but the last parenthesis: state, parent.
            let parent: u32 = status.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            (parent == own).then_some(number)
        });
        std::iter::once(own).chain(children.collect::<Vec<_>>()).collect()
    }

    fn signal(&self, signal: &str) {
        for process in self.processes() {
            // One may have ended since it was listed.
            Command::new("kill").args([signal, &process.to_string()]).stderr(Stdio::null()).status().unwrap();
        }
    }

    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    pub fn kill(&mut self) {
        self.signal("-KILL");
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub fn restart(&mut self) {
        fs::remove_file(self.directory.path().join("data/postmaster.pid")).ok();
        self.child = spawn(self.kind, self.tls, self.port, self.directory.path());
        self.until_it_answers();
    }

    /// Everything that the server keeps, as its own client shows it.
    pub fn contents(&self) -> String {
        let output = match self.kind {
            Kind::Redis => Command::new(program("redis-cli", "redis-tools"))
                .args(["-p", &self.port.to_string(), "-n", "1", "--no-auth-warning", "-a", PASSWORD])
                .args(["EVAL", "local all = {} for _, key in ipairs(redis.call('KEYS', '*')) do all[#all + 1] = key if redis.call('TYPE', key).ok == 'hash' then for _, value in ipairs(redis.call('HGETALL', key)) do all[#all + 1] = value end end end return all", "0"])
                .output(),
            Kind::PostgreSql => {
                self.psql("SELECT encode(subject, 'escape'), encode(subject, 'hex'), fact, at_ms FROM privet_consent")
            }
        };
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn psql(&self, statements: &str) -> std::io::Result<Output> {
        Command::new(program("psql", "postgresql-client"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "privet", "-d", "postgres", "-At"])
            .args(["-c", statements])
            .env("PGPASSWORD", PASSWORD)
            .output()
    }

    /// From now on it has no room for anything new, or it has again.
    pub fn fill(&self, full: bool) {
        match self.kind {
            Kind::Redis => self.redis(&["CONFIG", "SET", "maxmemory", if full { "1" } else { "0" }]),
            // What it answers when the disk is full.
            Kind::PostgreSql if full => self.sql(
                "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$;
                 CREATE TRIGGER full_disk BEFORE INSERT ON privet_consent EXECUTE FUNCTION full_disk()",
            ),
            Kind::PostgreSql => self.sql("DROP FUNCTION full_disk CASCADE"),
        }
    }

    /// Says that nothing is missing in it, as its operator would.
    pub fn vouch(&self) {
        match self.kind {
            Kind::Redis => self.redis(&["SET", "privet:consent:whole", "1"]),
            Kind::PostgreSql => self.sql("INSERT INTO privet_consent_meta VALUES ('whole', '')"),
        }
    }

    fn sql(&self, statements: &str) {
        let output = self.psql(statements).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a command of Redis.
    pub fn redis(&self, arguments: &[&str]) {
        let port = self.port.to_string();
        let output = Command::new(program("redis-cli", "redis-tools"))
            .args(["-p", &port, "-n", "1", "--no-auth-warning", "-a", PASSWORD])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A way to the server that can be cut.
    pub fn cable(&self) -> Cable {
        Cable::to(self.port)
    }
}

/// Carries bytes between a port of its own and a server, unless it is cut: then they wait.
pub struct Cable {
    pub port: u16,
    cut: Arc<AtomicBool>,
    slow: Arc<Slow>,
}

/// Keeps back what the server answers on the first connection by which somebody asks for a record of Redis, or
/// the first change of one on its way there.
#[derive(Default)]
struct Slow {
    look_up_wanted: AtomicBool,
    write_wanted: AtomicBool,
    held: AtomicBool,
}

impl Slow {
    /// Whether bytes on their way to the server are the one that is waited for.
    fn takes(&self, wanted: &AtomicBool, word: &[u8], bytes: &[u8]) -> bool {
        let takes = bytes.windows(word.len()).any(|seen| seen == word) && wanted.swap(false, Ordering::SeqCst);
        if takes {
            self.held.store(true, Ordering::SeqCst);
        }
        takes
    }

    fn until_let_go(&self) {
        until(|| !self.held.load(Ordering::SeqCst));
    }
}

impl Cable {
    fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, cut) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
        let (is_cut, slow) = (cut.clone(), Arc::<Slow>::default());
        let is_slow = slow.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (there, back) = (is_cut.clone(), is_cut.clone());
                let (slow_there, slow_back, chosen) = (is_slow.clone(), is_slow.clone(), Arc::<AtomicBool>::default());
                let asked = chosen.clone();
                thread::spawn(move || {
                    carry(near, far, |bytes| {
                        until(|| !there.load(Ordering::SeqCst));
                        if slow_there.takes(&slow_there.look_up_wanted, b"HGETALL", bytes) {
                            asked.store(true, Ordering::SeqCst);
                        }
                        if slow_there.takes(&slow_there.write_wanted, b"HSET", bytes) {
                            slow_there.until_let_go();
                        }
                    });
                });
                thread::spawn(move || {
                    carry(far_too, near_too, |_| {
                        until(|| !back.load(Ordering::SeqCst));
                        if chosen.load(Ordering::SeqCst) {
                            slow_back.until_let_go();
                        }
                    });
                });
            }
        });
        Self { port, cut, slow }
    }

    /// The answer to the next look-up is kept back, and all that come after it by the same connection.
    pub fn hold_next_look_up(&self) {
        self.slow.look_up_wanted.store(true, Ordering::SeqCst);
    }

    /// The next change of a record is kept back on its way to the server.
    pub fn hold_next_write(&self) {
        self.slow.write_wanted.store(true, Ordering::SeqCst);
    }

    /// Waits until one is.
    pub fn until_it_holds(&self) {
        until(|| self.slow.held.load(Ordering::SeqCst));
    }

    /// Lets go of what was kept back.
    pub fn let_go(&self) {
        self.slow.held.store(false, Ordering::SeqCst);
    }

    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }
}

/// What is read is shown before it is sent on.
fn carry(mut from: TcpStream, mut to: TcpStream, show: impl Fn(&[u8])) {
    let mut bytes = [0; 4096];
    while let Ok(read) = from.read(&mut bytes) {
        show(&bytes[..read]);
        if read == 0 || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}

fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() && begun.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("-KILL");
        self.child.wait().ok();
    }
}

fn spawn(kind: Kind, tls: bool, port: u16, directory: &Path) -> Child {
    let (data, at) = (directory.join("data"), |name: &str| directory.join(name).display().to_string());
    let port = port.to_string();
    let mut command = match kind {
        Kind::Redis => {
            let mut command = Command::new(program("redis-server", "redis-server"));
            command.args(["--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
            command.args(["--requirepass", PASSWORD, "--dir", &data.display().to_string()]);
            if tls {
                command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
                command.args(["--tls-cert-file", &at("server.pem"), "--tls-key-file", &at("server.key")]);
                command.args(["--tls-ca-cert-file", &at("ca.pem")]);
            } else {
                command.args(["--port", &port]);
            }
            command
        }
        Kind::PostgreSql => {
            let mut command = as_nobody_special(&program("postgres", "postgresql"));
            command.arg("-D").arg(&data).args(["-p", &port, "-c", "listen_addresses=127.0.0.1"]);
            command.arg("-c").arg(format!("unix_socket_directories={}", data.display()));
            if tls {
                command.args(["-c", "ssl=on", "-c", "ssl_cert_file=server.pem", "-c", "ssl_key_file=server.key"]);
            }
            command
        }
    };
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap()
}

/// A database cluster that lets in by password alone, and by TLS alone where it has a certificate.
fn make_cluster(directory: &Path) {
    let data = directory.join("data");
    fs::write(directory.join("password"), format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(directory.join("password"), fs::Permissions::from_mode(0o644)).unwrap();
    give_away(&data);
    let made = as_nobody_special(&program("initdb", "postgresql"))
        .args(["-U", "privet", "-A", "scram-sha-256", "--no-sync", "--no-instructions", "-D"])
        .arg(&data)
        .arg("--pwfile")
        .arg(directory.join("password"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    if directory.join("ca.pem").exists() {
        for name in ["server.pem", "server.key"] {
            fs::copy(directory.join(name), data.join(name)).unwrap();
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o600)).unwrap();
            give_away(&data.join(name));
        }
        fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
    }
}

fn give_away(path: &Path) {
    if am_root() {
        assert!(Command::new("chown").arg("postgres:postgres").arg(path).status().unwrap().success());
    }
}

/// An authority and a server's certificate for `localhost`.
fn make_certificates(directory: &Path) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(directory.join("ca.pem"), authority_certificate.pem()).unwrap();
    fs::write(directory.join("server.pem"), certificate.pem()).unwrap();
    fs::write(directory.join("server.key"), key.serialize_pem()).unwrap();
}
