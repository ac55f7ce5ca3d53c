//! One attempt to post a receipt to its receiver.
//!
//! Promise: an attempt ends by its deadline, whatever the receiver does. Of the
//! answer only the status is looked at, and nothing of it is logged.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use thiserror::Error;
use zeroize::Zeroizing;

use super::signature;
use crate::bearer::header_in;
use crate::clock::Clock;
use crate::config::Receiver;
use crate::outbound::Outbound;
use crate::signing::{BadSigningKey, SigningKey};
use crate::tls::{self, TlsError};

/// The name that a key signs under whose file does not name its signer.
const NAMELESS: &str = "privet";

/// Why a receiver cannot be used. Nothing of a key or token is in it.
#[derive(Debug, Error)]
pub enum CannotOpen {
    /// A file cannot be read.
    #[error("cannot read `{}`", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The signing key is none.
    #[error("cannot use the signing key `{}`", file.display())]
    Key {
        /// Its file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: BadSigningKey,
    },
    /// The files of TLS do not work.
    #[error("cannot use `tls`")]
    Tls(#[source] TlsError),
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The receiver has it.
    Taken,
    /// The receiver says that it will not take it as it is.
    Refused(StatusCode),
    /// The receiver says that it cannot now.
    Later(StatusCode),
    /// No answer in time, or none at all.
    Unanswered,
    /// The request could not be made, for its token file is gone or changed to none.
    Unprepared,
}

/// A receiver, and what a request to it needs.
pub(super) struct Post {
    http: Outbound,
    url: Uri,
    key: SigningKey,
    token_file: Option<PathBuf>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl Post {
    /// Reads the receiver's files; a token file is read again at each attempt.
    pub(super) fn open(receiver: &Receiver, clock: Arc<dyn Clock>) -> Result<Self, CannotOpen> {
        let (tls, _) = tls::client(&receiver.tls).map_err(CannotOpen::Tls)?;
        let key = signing_key(&receiver.signing_key_file)?;
        if let Some(file) = &receiver.token_file {
            header_in(file).map_err(|source| CannotOpen::Unreadable { file: file.clone(), source })?;
        }
        let http = Outbound::new(tls);
        let (url, token_file) = (receiver.url.clone(), receiver.token_file.clone());
        Ok(Self { http, url, key, token_file, timeout: receiver.timeout, clock })
    }

    /// Posts a receipt's bytes once, within the receiver's time and this one.
    pub(super) async fn attempt(&self, release: &str, receipt: Vec<u8>, within: Duration) -> Attempt {
        let Some(request) = self.request(release, receipt) else { return Attempt::Unprepared };
        self.http.status(request, self.timeout.min(within)).await.map_or(Attempt::Unanswered, judged)
    }

    fn request(&self, release: &str, receipt: Vec<u8>) -> Option<Request<Full<Bytes>>> {
        let created = self.clock.now().as_second();
        let mut headers = signature::headers(&self.key, &self.url, release, &receipt, created)?;
        if let Some(file) = &self.token_file {
            headers.insert(AUTHORIZATION, header_in(file).ok()?);
        }
        let mut request = Request::new(Full::new(Bytes::from(receipt)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = headers;
        Some(request)
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").finish_non_exhaustive()
    }
}

/// Only 2xx says that the receiver has it: a redirect is not followed, for the signature names the address.
fn judged(status: StatusCode) -> Attempt {
    match status {
        status if status.is_success() => Attempt::Taken,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Attempt::Later(status),
        status if status.is_server_error() => Attempt::Later(status),
        status => Attempt::Refused(status),
    }
}

fn read(file: &Path) -> Result<Zeroizing<String>, CannotOpen> {
    let text = std::fs::read_to_string(file);
    text.map(Zeroizing::new).map_err(|source| CannotOpen::Unreadable { file: file.to_owned(), source })
}

fn signing_key(file: &Path) -> Result<SigningKey, CannotOpen> {
    let text = read(file)?;
    let key = match SigningKey::read(&text, None) {
        Err(BadSigningKey::Nameless) => SigningKey::read(&text, Some(NAMELESS)),
        key => key,
    };
    key.map_err(|source| CannotOpen::Key { file: file.to_owned(), source })
}
