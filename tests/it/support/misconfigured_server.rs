//! A server with configurable mistakes: those that the program itself cannot make.

use super::{Leaf, PATIENCE, Pki};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, HandshakeKind,
    RootCertStore, ServerConfig, ServerConnection, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A request, and the properties of its TLS session.
pub(crate) struct Seen {
    /// `GET /path?query`.
    pub(crate) request: String,
    pub(crate) has_certificate: bool,
    pub(crate) is_resumed: bool,
}

type Answers = Arc<dyn Fn(&Seen) -> String + Send + Sync>;

/// A TLS server and the mistakes that it makes. By default it demands a certificate of `pki`,
/// resumes no sessions, and responds with 200.
#[derive(Clone)]
pub(crate) struct MisconfiguredServer {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    trusted: Vec<CertificateDer<'static>>,
    /// The authorities in the CertificateRequest, if they differ from the trusted ones.
    named: Option<Vec<CertificateDer<'static>>>,
    asks: bool,
    is_optional: bool,
    accept_any_client_cert: bool,
    accept_unknown_issuer: bool,
    resumes: bool,
    versions: Vec<&'static SupportedProtocolVersion>,
    idle: Duration,
    body_delay: Duration,
    answers: Answers,
    requests: Arc<AtomicUsize>,
}

impl MisconfiguredServer {
    /// With a server certificate of `pki` for `localhost`.
    pub(crate) fn new(pki: &Pki) -> Self {
        let leaf = pki.leaf(|params| {
            params.subject_alt_names = rcgen::CertificateParams::new(["localhost".to_owned()])
                .unwrap()
                .subject_alt_names;
            params.extended_key_usages.clear();
        });
        Self {
            chain: leaf.chain.clone(),
            key: Arc::new(leaf.key()),
            trusted: vec![pki.authority().clone()],
            named: None,
            asks: true,
            is_optional: false,
            accept_any_client_cert: false,
            accept_unknown_issuer: false,
            resumes: false,
            versions: rustls::ALL_VERSIONS.to_vec(),
            idle: PATIENCE,
            body_delay: Duration::ZERO,
            answers: Arc::new(|_| "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()),
            requests: Arc::default(),
        }
    }

    /// Presents this server certificate.
    pub(crate) fn shows(mut self, leaf: &Leaf) -> Self {
        self.chain = leaf.chain.clone();
        self.key = Arc::new(leaf.key());
        self
    }

    /// Sends no CertificateRequest.
    pub(crate) fn no_client_cert(mut self) -> Self {
        self.asks = false;
        self
    }

    /// Names these authorities in its CertificateRequest, whichever it trusts.
    pub(crate) fn names(mut self, authorities: &[CertificateDer<'static>]) -> Self {
        self.named = Some(authorities.to_vec());
        self
    }

    /// Completes handshakes of clients without a certificate, too.
    pub(crate) fn optional_client_cert(mut self) -> Self {
        self.is_optional = true;
        self
    }

    /// Accepts every client certificate.
    pub(crate) fn accept_any_client_cert(mut self) -> Self {
        self.accept_any_client_cert = true;
        self
    }

    /// Accepts client certificates of unknown authorities, as `optional_no_ca` does.
    pub(crate) fn accept_unknown_issuer(mut self) -> Self {
        self.accept_unknown_issuer = true;
        self
    }

    pub(crate) fn resumes(mut self) -> Self {
        self.resumes = true;
        self
    }

    pub(crate) fn speaks(mut self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions.to_vec();
        self
    }

    /// Closes connections that are idle for this long.
    pub(crate) fn waits(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Waits for this long before it sends the body of a response.
    pub(crate) fn delay_body(mut self, body_delay: Duration) -> Self {
        self.body_delay = body_delay;
        self
    }

    /// Responds with what `answers` returns; closes the connection if that is empty.
    pub(crate) fn answers(
        mut self,
        answers: impl Fn(&Seen) -> String + Send + Sync + 'static,
    ) -> Self {
        self.answers = Arc::new(answers);
        self
    }

    /// Starts the server on a free port of this machine.
    pub(crate) fn spawn(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(self.config());
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (this, config) = (self.clone(), config.clone());
                // An error is the end of the connection.
                thread::spawn(move || this.serve(socket, config).ok());
            }
        });
        address
    }

    fn config(&self) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        for authority in &self.trusted {
            roots.add(authority.clone()).unwrap();
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let strict = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .unwrap();
        let named = self.named.as_deref().unwrap_or(&self.trusted);
        let verifier = Arc::new(Verifier {
            strict,
            hints: named.iter().map(|der| subject(der)).collect(),
            is_mandatory: !self.is_optional,
            accept_any_client_cert: self.accept_any_client_cert,
            accept_unknown_issuer: self.accept_unknown_issuer,
        });
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap();
        let builder = match self.asks {
            true => builder.with_client_cert_verifier(verifier),
            false => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .unwrap();
        config.session_storage = match self.resumes {
            true => ServerSessionMemoryCache::new(64),
            false => Arc::new(NoServerSessionStorage {}),
        };
        config.send_tls13_tickets = if self.resumes { 2 } else { 0 };
        config
    }

    fn serve(&self, socket: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
        socket.set_read_timeout(Some(self.idle))?;
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let mut bytes = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(read) => bytes.extend_from_slice(&chunk[..read]),
                // A session that is refused may have an alert to send still.
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    while stream.conn.wants_write() {
                        stream.conn.write_tls(&mut stream.sock)?;
                    }
                    stream.sock.shutdown(std::net::Shutdown::Write)?;
                    let _ = stream.sock.read_to_end(&mut Vec::new());
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                bytes.drain(..end + 4);
                self.requests.fetch_add(1, Ordering::SeqCst);
                let seen = Seen {
                    request: head
                        .lines()
                        .next()
                        .unwrap()
                        .trim_end_matches(" HTTP/1.1")
                        .to_owned(),
                    has_certificate: stream.conn.peer_certificates().is_some(),
                    is_resumed: stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
                };
                let answer = (self.answers)(&seen);
                if answer.is_empty() {
                    return Ok(());
                }
                let (head, body) =
                    answer.split_at(answer.find("\r\n\r\n").map_or(answer.len(), |end| end + 4));
                stream.write_all(head.as_bytes())?;
                if !body.is_empty() {
                    thread::sleep(self.body_delay);
                    stream.write_all(body.as_bytes())?;
                }
            }
        }
    }
}

fn subject(certificate: &CertificateDer<'_>) -> DistinguishedName {
    let anchor = webpki::anchor_from_trusted_cert(certificate).unwrap();
    DistinguishedName::in_sequence(&anchor.subject)
}

#[derive(Debug)]
struct Verifier {
    strict: Arc<dyn ClientCertVerifier>,
    hints: Vec<DistinguishedName>,
    is_mandatory: bool,
    accept_any_client_cert: bool,
    accept_unknown_issuer: bool,
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.strict.verify_client_cert(leaf, above, now) {
            _ if self.accept_any_client_cert => Ok(ClientCertVerified::assertion()),
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
                if self.accept_unknown_issuer =>
            {
                Ok(ClientCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.strict
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.strict
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}
