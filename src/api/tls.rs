//! TLS on the service's port, with certificates that may change while it runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, rustls};
use tokio_stream::wrappers::ReceiverStream;

use crate::error::{Error, Result};

/// The files are looked at again at the first handshake after so long.
const PAUSE: Duration = Duration::from_secs(2);

/// What a handshake may take, and how many may be under way.
const PATIENCE: Duration = Duration::from_secs(10);
const HANDSHAKES: usize = 256;

/// How long nobody is accepted after that failed, as it does where too many files are open.
const BREATH: Duration = Duration::from_millis(100);

/// The table `[tls]` of a configuration file. All files are PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The service's certificate, and those between it and the authority that callers trust.
    pub certificate: PathBuf,
    /// The key of the first of them.
    pub key: PathBuf,
    /// Authorities whose certificates clients may show to say who they are.
    pub client_ca: Option<PathBuf>,
}

/// The bytes of the files.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    fn read(settings: &Settings) -> Result<Self> {
        let read = |field: &str, path: &PathBuf| {
            std::fs::read(path).map_err(|e| Error::invalid(format!("tls.{field}"), format!("{}: {e}", path.display())))
        };
        Ok(Self {
            certificate: read("certificate", &settings.certificate)?,
            key: read("key", &settings.key)?,
            client_ca: settings.client_ca.as_ref().map(|path| read("client_ca", path)).transpose()?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for bytes in [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten() {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        hash.finalize().into()
    }

    fn config(&self) -> Result<Arc<ServerConfig>> {
        let refuse = |field: &str, e: &dyn std::fmt::Display| Error::invalid(format!("tls.{field}"), e.to_string());
        let certificates = |field: &str, pem: &[u8]| {
            let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            match found {
                Ok(found) if found.is_empty() => Err(refuse(field, &"there is no certificate; PEM was expected")),
                found => found.map_err(|e| refuse(field, &e)),
            }
        };
        let chain = certificates("certificate", &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|e| refuse("key", &e))?;
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let config = config.map_err(|e| Error::internal("TLS", e))?;
        let config = match &self.client_ca {
            None => config.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for root in certificates("client_ca", pem)? {
                    roots.add(root).map_err(|e| refuse("client_ca", &e))?;
                }
                // Who shows none may have a token; that is for those to say who know what a call needs.
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .allow_unauthenticated()
                    .build();
                config.with_client_cert_verifier(verifier.map_err(|e| refuse("client_ca", &e))?)
            }
        };
        let mut config = config.with_single_cert(chain, key).map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => refuse("key", &"is not the key of tls.certificate"),
            other => refuse("certificate", &other),
        })?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

/// What a handshake needs, as of the last look at the files.
struct State {
    config: Arc<ServerConfig>,
    digest: [u8; 32],
    looked: Instant,
}

/// Shakes hands with those who connect.
pub struct Acceptor {
    settings: Settings,
    state: Mutex<State>,
}

impl Acceptor {
    /// Reads the files, which must be right.
    pub fn new(settings: Settings) -> Result<Self> {
        let files = Files::read(&settings)?;
        let state = State { config: files.config()?, digest: files.digest(), looked: Instant::now() };
        Ok(Self { settings, state: Mutex::new(state) })
    }

    /// What the files say now. The whole is made anew, so that no session outlives the authority that it began under.
    /// While files are wrong, as they are between two writes, what was right before stays.
    fn config(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() < PAUSE {
            return state.config.clone();
        }
        state.looked = Instant::now();
        match Files::read(&self.settings) {
            Ok(files) if files.digest() == state.digest => {}
            Ok(files) => {
                // Said once, whether it is right or wrong.
                state.digest = files.digest();
                match files.config() {
                    Ok(config) => {
                        tracing::info!("the certificates have changed");
                        state.config = config;
                    }
                    Err(error) => tracing::error!(%error, "the new certificates are wrong; those before stay"),
                }
            }
            Err(error) => tracing::error!(%error, "the certificates cannot be read; those before stay"),
        }
        state.config.clone()
    }

    /// Connections whose handshake is done. Each shakes hands in a task of its own, so that a slow one holds up no other.
    pub fn incoming(self, listener: TcpListener) -> ReceiverStream<std::io::Result<TlsStream<TcpStream>>> {
        let (sender, receiver) = mpsc::channel(1);
        let (acceptor, handshakes) = (Arc::new(self), Arc::new(Semaphore::new(HANDSHAKES)));
        tokio::spawn(async move {
            // It is never closed.
            while let Ok(permit) = handshakes.clone().acquire_owned().await {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = sender.closed() => return,
                };
                let stream = match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "nobody can connect");
                        tokio::time::sleep(BREATH).await;
                        continue;
                    }
                };
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    let done = tokio::time::timeout(PATIENCE, acceptor.handshake(stream)).await;
                    drop(permit);
                    match done {
                        // An error means that the service has ended.
                        Ok(Ok(stream)) => drop(sender.send(Ok(stream)).await),
                        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
                        Err(_) => tracing::debug!("a handshake took too long"),
                    }
                });
            }
        });
        ReceiverStream::new(receiver)
    }

    async fn handshake(self: Arc<Self>, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        // Files may be on a network.
        let config = tokio::task::spawn_blocking(move || self.config()).await.map_err(std::io::Error::other)?;
        TlsAcceptor::from(config).accept(stream).await
    }
}
