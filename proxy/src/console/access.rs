//! Who may read.
//!
//! Promise: without a token only a request to a loopback address that also names
//! one is answered. A page of a stranger whose name was made to point here
//! (DNS rebinding) sends that name, and is refused.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use http::uri::Authority;
use http::{HeaderMap, StatusCode, header};

use super::answer::{self, Answer};
use crate::bearer::Token;
use crate::config;

/// Why there is no console at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the console's token in `{}`", file.display())]
pub struct CannotOpen {
    file: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Who may read, by the configuration.
pub(crate) enum Access {
    /// Whoever has the token.
    Token(Token),
    /// Whoever is on this machine and says so.
    Loopback,
    /// Nobody, and the way out.
    Nobody(&'static str),
}

/// A request that is not answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(StatusCode, &'static str);

impl Refused {
    /// The same for whoever opens the page: text to read.
    pub(super) fn page(&self) -> Answer {
        answer::text(self.0, self.1)
    }

    pub(super) fn answer(&self) -> Answer {
        let mut answer = answer::problem(self.0, self.1);
        if self.0 == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

const OFF: &str = "the console is off: the configuration says `console.enabled: false`";
const TOKEN_NEEDED: &str = "the console is off: the admin address is no loopback one, and the configuration names no \
    `console.token_file`. Write a token of 16 bytes or more into a file, name it there, and restart; or put `admin.address` on loopback";
const NOT_NAMED: &str = "without a token the console answers to `localhost` and loopback addresses alone: open it by one of these, \
    or name a `console.token_file`";
const NO_TOKEN: &str = "`Authorization: Bearer TOKEN` is missing or has another token than `console.token_file`";

impl Access {
    /// What the configuration comes to.
    ///
    /// # Errors
    /// A token file that cannot be used.
    pub(crate) fn of(console: &config::Console, admin: SocketAddr) -> Result<Self, CannotOpen> {
        if !console.enabled {
            return Ok(Self::Nobody(OFF));
        }
        match &console.token_file {
            Some(file) => {
                let token = Token::in_file(file).map_err(|source| CannotOpen { file: file.clone(), source })?;
                Ok(Self::Token(token))
            }
            None if admin.ip().is_loopback() => Ok(Self::Loopback),
            None => Ok(Self::Nobody(TOKEN_NEEDED)),
        }
    }

    /// Whether a request may have data.
    pub(super) fn admits(&self, headers: &HeaderMap) -> Result<(), Refused> {
        match self {
            Self::Token(token) if token.lets_in(headers) => Ok(()),
            Self::Token(_) => Err(Refused(StatusCode::UNAUTHORIZED, NO_TOKEN)),
            Self::Loopback | Self::Nobody(_) => self.shows_the_page(headers),
        }
    }

    /// Whether a request may have the page, which holds no data and asks for the token.
    pub(super) fn shows_the_page(&self, headers: &HeaderMap) -> Result<(), Refused> {
        match self {
            Self::Token(_) => Ok(()),
            Self::Loopback if names_loopback(headers) => Ok(()),
            Self::Loopback => Err(Refused(StatusCode::FORBIDDEN, NOT_NAMED)),
            Self::Nobody(why) => Err(Refused(StatusCode::FORBIDDEN, why)),
        }
    }
}

/// Whether the only `Host` is `localhost` or a loopback address.
fn names_loopback(headers: &HeaderMap) -> bool {
    let mut written = headers.get_all(header::HOST).iter();
    let (Some(one), None) = (written.next(), written.next()) else { return false };
    let Some(authority) = one.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn from(host: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::HOST, header::HeaderValue::from_static(host))])
    }

    fn access(admin: &str, token_file: Option<&Path>) -> Access {
        let console = config::Console { enabled: true, token_file: token_file.map(Path::to_owned) };
        Access::of(&console, admin.parse().unwrap()).unwrap()
    }

    #[test]
    fn on_loopback_only_loopback_names_are_answered() {
        let access = access("127.0.0.1:9901", None);
        for host in ["localhost", "LOCALHOST:9901", "127.0.0.1:9901", "127.8.0.1", "[::1]:1"] {
            assert_eq!(access.admits(&from(host)), Ok(()), "{host}");
        }
        for host in ["rebound.example:9901", "localhost.example", "127.0.0.1.example", "10.0.0.1", "localhost@a", ""] {
            assert_eq!(access.admits(&from(host)), Err(Refused(StatusCode::FORBIDDEN, NOT_NAMED)), "{host}");
        }
        let mut twice = from("localhost");
        twice.append(header::HOST, header::HeaderValue::from_static("rebound.example"));
        assert!(access.admits(&twice).is_err());
        assert!(access.admits(&HeaderMap::new()).is_err());
    }

    #[test]
    fn elsewhere_nobody_reads_without_a_token_and_the_page_asks_for_it() {
        let none = access("0.0.0.0:9901", None);
        assert_eq!(none.admits(&from("localhost")), Err(Refused(StatusCode::FORBIDDEN, TOKEN_NEEDED)));
        assert_eq!(none.shows_the_page(&from("localhost")), Err(Refused(StatusCode::FORBIDDEN, TOKEN_NEEDED)));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "an auditor's token of some length\n").unwrap();
        let access = access("0.0.0.0:9901", Some(&file));
        let mut headers = from("pod.example");
        assert_eq!(access.admits(&headers), Err(Refused(StatusCode::UNAUTHORIZED, NO_TOKEN)));
        assert_eq!(access.shows_the_page(&headers), Ok(()));
        let bearer = header::HeaderValue::from_static("Bearer an auditor's token of some length");
        headers.insert(header::AUTHORIZATION, bearer);
        assert_eq!(access.admits(&headers), Ok(()));
    }

    #[test]
    fn a_token_on_loopback_is_asked_for_there_too_and_off_is_off() {
        let off = config::Console { enabled: false, token_file: None };
        let off = Access::of(&off, "127.0.0.1:1".parse().unwrap()).unwrap();
        assert_eq!(off.admits(&from("localhost")), Err(Refused(StatusCode::FORBIDDEN, OFF)));
        let missing = config::Console { enabled: true, token_file: Some("/nowhere/token".into()) };
        let error = Access::of(&missing, "127.0.0.1:1".parse().unwrap()).map(drop).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the console's token in `/nowhere/token`");
    }
}
