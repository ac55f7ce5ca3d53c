//! Connections to a store on another machine: to whom, with which TLS, and for how long one is waited for.
//!
//! Not here: how many there are, and what is said on a connection.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::config::Remote;
use crate::tls::{self, TlsError};

/// Why a store on another machine cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum CannotLink {
    /// The password's file cannot be read.
    #[error("cannot read the password in `{file}`")]
    Password {
        /// Which.
        file: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The host is no name that a certificate could have.
    #[error("`{0}` is no host name")]
    Host(String),
    /// A certificate or key is missing or wrong.
    #[error("cannot set up tls to a store")]
    Tls(#[from] TlsError),
}

/// Where a store is and how it is spoken to.
#[derive(Clone)]
pub(crate) struct Link {
    host: String,
    port: u16,
    pub(crate) database: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Zeroizing<String>>,
    tls: Option<Tls>,
    pub(crate) connect_timeout: Duration,
    pub(crate) connections: usize,
}

/// What TLS to this store needs.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    pub(crate) async fn connect(self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name, stream).await
    }
}

impl Link {
    pub(crate) fn new(remote: &Remote) -> Result<Self, CannotLink> {
        let password = remote.password_file.as_ref().map(|file| {
            let text = std::fs::read_to_string(file).map(Zeroizing::new);
            text.map(|text| Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
                .map_err(|source| CannotLink::Password { file: file.display().to_string(), source })
        });
        let tls = remote.tls.as_ref().map(|files| {
            let (config, _) = tls::client(files)?;
            let name = ServerName::try_from(remote.host.clone()).map_err(|_| CannotLink::Host(remote.host.clone()))?;
            Ok::<_, CannotLink>(Tls { connector: TlsConnector::from(Arc::new(config)), name })
        });
        Ok(Self {
            host: remote.host.clone(),
            port: remote.port,
            database: remote.database.clone(),
            user: remote.user.clone(),
            password: password.transpose()?,
            tls: tls.transpose()?,
            connect_timeout: remote.connect_timeout,
            connections: remote.connections,
        })
    }

    pub(crate) fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    /// A TCP connection, before any TLS.
    pub(crate) async fn tcp(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The result of connecting, or that it took too long.
    pub(crate) async fn within<T, E: From<Elapsed>>(
        &self,
        connecting: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        timeout(self.connect_timeout, connecting).await?
    }
}
