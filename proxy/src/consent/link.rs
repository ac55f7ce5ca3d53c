//! Connections to a store on another machine: to whom, with which TLS, how many, and for how long one is waited for.
//!
//! Promise: no more connections than configured; one on which anything failed, or was
//! given up, is not used again. Not here: what is said on a connection.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::StoreError;
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
    #[error("cannot set up tls to the consent store")]
    Tls(#[from] TlsError),
}

/// Where a store is and how it is spoken to.
#[derive(Clone)]
pub(super) struct Link {
    host: String,
    port: u16,
    pub(super) database: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<Zeroizing<String>>,
    tls: Option<Tls>,
    pub(super) connect_timeout: Duration,
    pub(super) connections: usize,
}

/// What TLS to this store needs.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    pub(super) async fn connect(self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name, stream).await
    }
}

impl Link {
    pub(super) fn new(remote: &Remote) -> Result<Self, CannotLink> {
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

    pub(super) fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    /// A TCP connection, before any TLS.
    pub(super) async fn tcp(&self) -> Result<TcpStream, StoreError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(StoreError::Connect)?;
        stream.set_nodelay(true).map_err(StoreError::Connect)?;
        Ok(stream)
    }

    /// The result of connecting, or that it took too long.
    pub(super) async fn within<T>(
        &self,
        connecting: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        timeout(self.connect_timeout, connecting).await.unwrap_or(Err(StoreError::TimedOut))
    }
}

/// A bounded number of connections that many requests use at once.
pub(super) struct Slots<C> {
    slots: Box<[Mutex<Option<C>>]>,
    next: AtomicUsize,
}

/// The use of one connection. Unless it was said to be sound, it is not used again.
pub(super) struct Lease<'a, C> {
    pub(super) connection: C,
    slot: &'a Mutex<Option<C>>,
    sound: bool,
}

impl<C: Clone> Slots<C> {
    pub(super) fn of(connections: usize) -> Self {
        Self { slots: (0..connections.max(1)).map(|_| Mutex::new(None)).collect(), next: AtomicUsize::new(0) }
    }

    /// The next connection; made where there is none. Whoever else wants the same one waits for it.
    pub(super) async fn lease(
        &self,
        connect: impl Future<Output = Result<C, StoreError>>,
    ) -> Result<Lease<'_, C>, StoreError> {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let slot = self.slots.get(place).ok_or(StoreError::TimedOut)?;
        let mut held = slot.lock().await;
        let connection = match &*held {
            Some(connection) => connection.clone(),
            None => held.insert(connect.await?).clone(),
        };
        drop(held);
        Ok(Lease { connection, slot, sound: false })
    }
}

impl<C> Lease<'_, C> {
    /// The answer came whole.
    pub(super) fn sound(mut self) {
        self.sound = true;
    }
}

impl<C> Drop for Lease<'_, C> {
    fn drop(&mut self) {
        // Whoever holds the lock is making a new one already.
        if let (false, Ok(mut slot)) = (self.sound, self.slot.try_lock()) {
            *slot = None;
        }
    }
}
