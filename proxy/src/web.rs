//! One request to a server that the configuration names, and its bounded answer.
//!
//! Promise: an answer ends by its deadline and is no longer than asked for; redirects are not followed, for what is signed
//! names its address. Not here: events; collectors are spoken to by [`crate::forward`].

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};

use crate::config::Upstream;
use crate::outbound::{Sender, sender};
use crate::tls::{self, TlsError};

/// No answer that could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// None at all, or none in time.
    #[error("no answer in time")]
    InTime,
    /// A longer one than was asked for.
    #[error("an answer that is too long")]
    ShortEnough,
}

impl NoAnswer {
    /// Why a body was not read whole.
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        if error.is::<LengthLimitError>() { Self::ShortEnough } else { Self::InTime }
    }
}

/// A client with pooled connections.
pub(crate) struct Web {
    http: Sender,
    timeout: Duration,
}

impl Web {
    /// Reads the files of TLS.
    pub(crate) fn open(files: &Upstream, timeout: Duration) -> Result<Self, TlsError> {
        let (tls, _) = tls::client(files)?;
        Ok(Self { http: sender(tls, 2), timeout })
    }

    /// Asks, and reads an answer of at most `most` bytes.
    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>, most: usize) -> Result<Response<Bytes>, NoAnswer> {
        let asking = async {
            let answer = self.http.request(request).await.map_err(|_| NoAnswer::InTime)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, most).collect().await.map_err(|error| NoAnswer::of(&*error))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(self.timeout, asking).await.map_err(|_| NoAnswer::InTime)?
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").finish_non_exhaustive()
    }
}
