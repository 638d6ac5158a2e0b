//! A TLS client that accepts any server, and records the certificates and requests of handshakes.

use crate::tls::AnyServer;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, NamedGroup, SignatureScheme,
    SupportedProtocolVersion,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Records of a handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct HandshakeRecord {
    /// The server's chain, leaf first; empty if the handshake failed before it.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Subjects of the authorities in the CertificateRequest, if there was one.
    pub(super) asked_for: Option<Vec<Vec<u8>>>,
}

/// TLS configuration of a client that records its handshakes.
#[derive(Clone, Debug)]
pub(super) struct RecordingTls {
    pub(super) config: Arc<ClientConfig>,
    recorder: Arc<Recorder>,
    sessions: Arc<OneSession>,
}

impl RecordingTls {
    /// Creates a client with or without a certificate, for these versions. Without ALPN, servers
    /// use HTTP/1.1.
    pub(super) fn new(
        credentials: Option<Arc<CertifiedKey>>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self, String> {
        let recorder = Arc::new(Recorder::new(credentials));
        let sessions = Arc::new(OneSession::default());
        let config = recorder.clone().client_config(versions);
        let mut config = config.map_err(|error| error.to_string())?;
        config.resumption = Resumption::store(sessions.clone());
        Ok(Self {
            config: Arc::new(config),
            recorder,
            sessions,
        })
    }

    /// Returns the records of the last handshake. A resumed one has none.
    pub(super) fn take_shown(&self) -> HandshakeRecord {
        std::mem::take(&mut *lock(&self.recorder.shown))
    }

    /// Returns `true` if there is a session to resume.
    pub(super) fn has_session(&self) -> bool {
        lock(&self.sessions.tls12).is_some() || lock(&self.sessions.tls13).is_some()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Recorder {
    shown: Mutex<HandshakeRecord>,
    credentials: Option<Arc<CertifiedKey>>,
    any_server: AnyServer,
}

impl Recorder {
    fn new(credentials: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            shown: Mutex::default(),
            credentials,
            any_server: AnyServer::default(),
        }
    }

    fn client_config(
        self: Arc<Self>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<ClientConfig, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(self.clone());
        Ok(config.with_client_cert_resolver(self))
    }
}

impl ResolvesClientCert for Recorder {
    fn resolve(&self, authorities: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        lock(&self.shown).asked_for = Some(authorities.iter().map(|name| name.to_vec()).collect());
        // Presented to any server: forgers do so, too.
        self.credentials.clone()
    }

    fn has_certs(&self) -> bool {
        self.credentials.is_some()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = [leaf].into_iter().chain(above).cloned();
        lock(&self.shown).chain = chain.map(CertificateDer::into_owned).collect();
        self.any_server
            .verify_server_cert(leaf, above, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any_server
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any_server
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any_server.supported_verify_schemes()
    }
}

/// The last session, under any server name: attackers resume sessions under other names, too.
#[derive(Debug, Default)]
struct OneSession {
    tls12: Mutex<Option<Tls12ClientSessionValue>>,
    tls13: Mutex<Option<Tls13ClientSessionValue>>,
}

impl ClientSessionStore for OneSession {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        *lock(&self.tls12) = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        lock(&self.tls12).clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        *lock(&self.tls12) = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        *lock(&self.tls13) = Some(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        lock(&self.tls13).take()
    }
}
