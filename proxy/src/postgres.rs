//! How PostgreSQL is logged in to, with TLS where it is spoken.
//!
//! Promise: what goes wrong is told by its kind alone: PostgreSQL's texts may quote values.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use privet_dp::ledger::shared::{Dial, Dialed, Dialing, kind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, NoTls, TlsConnect, TlsStream};
use tokio_rustls::client::TlsStream as Encrypted;

use crate::link::{Link, Tls};

/// Who logs in to which database.
pub(crate) fn login(link: &Link) -> Config {
    let mut config = Config::new();
    config.dbname(&link.database).application_name("privet");
    config.user(link.user.as_deref().unwrap_or("privet"));
    if let Some(password) = &link.password {
        config.password(password.as_str());
    }
    let mode = if link.tls().is_some() { SslMode::Require } else { SslMode::Disable };
    config.ssl_mode(mode);
    config
}

/// Makes connections for whoever waits for them on a thread of its own, such as the budget ledger.
pub(crate) fn dial(link: Link) -> Dial {
    Box::new(move || {
        let link = link.clone();
        let connecting: Dialing =
            Box::pin(async move { link.within(connected(&link)).await.map_err(|Failed(what)| what) });
        connecting
    })
}

async fn connected(link: &Link) -> Result<Dialed, Failed> {
    let (config, stream) = (login(link), link.tcp().await?);
    match link.tls() {
        None => {
            let (client, connection) = config.connect_raw(stream, NoTls).await?;
            Ok(Dialed { client, drive: Box::pin(async move { drop(connection.await) }) })
        }
        Some(tls) => {
            let (client, connection) = config.connect_raw(stream, tls).await?;
            Ok(Dialed { client, drive: Box::pin(async move { drop(connection.await) }) })
        }
    }
}

/// What went wrong, without a value.
struct Failed(String);

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self(error.kind().to_string())
    }
}

impl From<tokio::time::error::Elapsed> for Failed {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self("no connection in time".to_owned())
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(kind(&error))
    }
}

/// A connection that PostgreSQL agreed to encrypt.
pub(super) struct Sealed(Encrypted<TcpStream>);

impl TlsConnect<TcpStream> for Tls {
    type Stream = Sealed;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Sealed>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move { Tls::connect(self, stream).await.map(Sealed) })
    }
}

impl TlsStream for Sealed {
    /// None: the server is known by its certificate, which has to be signed by the configured authority.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Sealed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Sealed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
