//! TLS identities, from files to what rustls runs on.
//!
//! Promise: only ring does cryptography here, chosen explicitly; files that do
//! not fit together are refused before they are used. Not here: noticing that
//! a file changed; that is [`crate::reload`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use zeroize::Zeroizing;

use crate::config::{Identity, Tls, Upstream};

/// Why an identity cannot be used. Never shows a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{}`", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file holds no certificate, or not in PEM.
    #[error("`{}` holds no PEM certificate", .0.display())]
    NoCertificate(PathBuf),
    /// A file holds no private key, or not in PEM.
    #[error("`{}` holds no PEM private key", .0.display())]
    NoKey(PathBuf),
    /// The files can be read and do not work.
    #[error("cannot use `{}`: {reason}", file.display())]
    Unusable {
        /// Which.
        file: PathBuf,
        /// What rustls said.
        reason: String,
    },
}

impl TlsError {
    /// The file that does not work.
    #[must_use]
    pub fn file(&self) -> &Path {
        match self {
            Self::Unreadable { file, .. } | Self::Unusable { file, .. } => file,
            Self::NoCertificate(file) | Self::NoKey(file) => file,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(source) => Err(TlsError::Unreadable { file: file.to_owned(), source }),
    }
}

fn unusable(file: &Path) -> impl FnOnce(&dyn std::fmt::Display) -> TlsError {
    move |reason| TlsError::Unusable { file: file.to_owned(), reason: reason.to_string() }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(TlsError::NoCertificate(file.to_owned())),
    }
}

fn certified(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| TlsError::NoKey(key.to_owned()))?;
    let identity = CertifiedKey::from_der(chain, private, &provider()).map_err(|error| unusable(key)(&error))?;
    Ok(identity)
}

fn roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| unusable(file)(&error))?;
    }
    Ok(roots)
}

/// What a listener speaks TLS with: HTTP/2 or HTTP/1.1 by ALPN.
///
/// # Errors
/// [`TlsError`] when a file is missing or the files do not fit together.
pub fn server(files: &Tls) -> Result<ServerConfig, TlsError> {
    let identity = certified(&files.certificate, &files.key)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.certificate)(&error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider())
                .build()
                .map_err(|error| unusable(ca)(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if files.client_ca.is_some() {
        // A resumed session would skip a check that a changed authority makes.
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    Ok(config)
}

/// privet's own certificate towards collectors; swapped when its files change.
#[derive(Debug)]
pub struct ClientIdentity {
    files: Identity,
    current: ArcSwap<CertifiedKey>,
}

impl ClientIdentity {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] when a file is missing or the two do not fit together.
    pub fn load(files: Identity) -> Result<Self, TlsError> {
        let current = certified(&files.certificate, &files.key)?;
        Ok(Self { files, current: ArcSwap::from_pointee(current) })
    }

    /// Reads the files again; connections made from now on use them.
    ///
    /// # Errors
    /// [`TlsError`]; then the old identity stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(certified(&self.files.certificate, &self.files.key)?));
        Ok(())
    }
}

impl ResolvesClientCert for ClientIdentity {
    fn resolve(&self, _authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let identity = self.current.load_full();
        identity.key.choose_scheme(schemes).map(|_| identity)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What collectors are spoken to with, and the identity in it that can be reloaded.
///
/// # Errors
/// [`TlsError`] when a file is missing or does not work.
pub fn client(files: &Upstream) -> Result<(ClientConfig, Option<Arc<ClientIdentity>>), TlsError> {
    let roots = match &files.ca {
        Some(ca) => roots(ca)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(Path::new("the ring provider"))(&error))?
        .with_root_certificates(roots);
    let identity = files.identity.clone().map(ClientIdentity::load).transpose()?.map(Arc::new);
    let config = match &identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::<ClientIdentity>::clone(identity)),
        None => builder.with_no_client_auth(),
    };
    Ok((config, identity))
}
