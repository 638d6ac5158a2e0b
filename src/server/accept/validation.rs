//! The one exemption from client certificates: an authority validates a name of this server.
//!
//! Authorities have no client certificate. What they ask is answered by a handshake of its own,
//! after which the connection is closed: nothing of it reaches a request. It is chosen only once the
//! whole hello has been read, and only while a validation is pending.

use super::ConnectionHandler;
use super::admission::NOT_ALLOWED;
use super::arrival::Arrival;
use super::linger::AlertLinger;
use crate::http::timeout::{Deadline, Late};
use crate::proxy::{DRAIN_READ_TIMEOUT, after_shutdown};
use crate::telemetry::metrics::ConnectionRefusal;
use crate::telemetry::repeated::Repeated;
use crate::tls::Refusal;
use crate::tls::acme::{Answer, HelloReader, MAX_HELLO, PROTOCOL};
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::server::ShutdownWatch;
use rustls::ServerConfig;
use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};

/// Validations that are answered at once. A certificate of 25 names is validated by six places, each
/// of which asks for every name.
pub(super) const AT_ONCE: usize = 256;

/// Connections at once from addresses outside `listen.allow` whose hello is read, because it may be
/// that of a validation.
pub(super) const STRANGERS_AT_ONCE: usize = 256;

/// The longest time for the whole handshake of a validation.
const LIMIT: Duration = Duration::from_secs(10);

/// What the hello of a connection asks for.
pub(super) enum Hello {
    /// The ordinary handshake.
    Ordinary,
    /// The answer to a validation that is pending.
    Validation(Arc<Answer>),
    /// Nothing more: the connection has been refused, or the process ends.
    Ended,
}

impl ConnectionHandler {
    /// Reads the hello of a connection if it may be that of a validation. What was read is added to
    /// `bytes`.
    pub(super) async fn read_hello(
        &self,
        stream: &mut TcpStream,
        bytes: &mut Cow<'_, [u8]>,
        arrival: &Arrival,
        deadline: &mut Deadline,
        shutdown: &mut ShutdownWatch,
    ) -> Result<Hello, Refusal> {
        let mut answer = None;
        if self.presented.answers.are_pending() {
            let recognized = self.recognize(stream, bytes.to_mut(), deadline);
            answer = tokio::select! {
                biased;
                recognized = Box::pin(recognized) => match (recognized, arrival.late()) {
                    (Ok(recognized), _) => recognized,
                    (Err(_), None) => None,
                    (Err(_), Some(late)) => return Err(late),
                },
                () = after_shutdown(shutdown, DRAIN_READ_TIMEOUT) => return Ok(Hello::Ended),
            };
        }
        Ok(match answer {
            Some(answer) => Hello::Validation(answer),
            None if arrival.stranger.is_some() => {
                let refused = self.refuse(arrival.peer, ConnectionRefusal::NotAllowed, NOT_ALLOWED);
                refused.unwrap_or(Hello::Ended)
            }
            None => Hello::Ordinary,
        })
    }

    /// Reads the hello of a connection, in addition to what was read before. Returns the answer if
    /// it is that of a pending validation.
    async fn recognize(
        &self,
        stream: &mut TcpStream,
        bytes: &mut Vec<u8>,
        deadline: &mut Deadline,
    ) -> Result<Option<Arc<Answer>>, Late> {
        let mut reader = HelloReader::default();
        let mut parsed = 0;
        loop {
            if let Some(verdict) = reader.read(&bytes[parsed..], &self.presented.answers) {
                return Ok(verdict);
            }
            parsed = bytes.len();
            if parsed >= MAX_HELLO {
                return Ok(None);
            }
            match deadline.wait(stream.read_buf(bytes)).await? {
                Ok(1..) => {}
                // The ordinary handshake finds the same, and reports it.
                Ok(0) | Err(_) => return Ok(None),
            }
        }
    }

    /// Answers a validation, and closes the connection.
    pub(super) async fn validate(
        &self,
        stream: L4Stream,
        spare: AlertLinger,
        answer: &Answer,
        peer: SocketAddr,
    ) {
        let mut deadline =
            Deadline::after(self.gate.policy().limits().handshake_timeout.min(LIMIT));
        // Those above the number wait for their turn, as long as they may.
        let result = match deadline.wait(self.validations.acquire()).await {
            Ok(_permit) => {
                let handshake = handshake(stream, answer.config.clone());
                deadline.wait(handshake).await
            }
            Err(late) => Err(late),
        };
        let result = result.unwrap_or_else(|late| Err(io::Error::other(late)));
        // That of the self-test is neither counted nor logged.
        if self.monitor.is_ready() {
            self.report_validation(peer, &answer.name, &result);
        }
        spare.linger().await;
    }

    fn report_validation(&self, peer: SocketAddr, name: &str, result: &io::Result<()>) {
        self.monitor.validation(result.is_ok());
        match result {
            Ok(()) if Repeated::ValidationAnswered.may_be_written() => {
                info!(event = "acme_validation_answered", remote_addr = %peer.ip(), name, "a validation was answered");
            }
            Ok(()) => {}
            Err(error) => {
                debug!(event = "acme_validation_failed", remote_addr = %peer.ip(), name, %error, "a validation was not answered");
            }
        }
    }
}

async fn handshake(stream: L4Stream, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut stream = TlsAcceptor::from(config).accept(stream).await?;
    // The resolver has tested it for each hello; this holds whatever the resolver did.
    if stream.get_ref().1.alpn_protocol() != Some(PROTOCOL) {
        return Err(io::Error::other("another protocol was negotiated"));
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Domain;
    use crate::server::acme::stand_in;
    use crate::tls::PresentedCertificate;
    use crate::tls::acme::UnreadCertificate;
    use rustls::ClientConfig;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::ServerName;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    /// Makes the handshake of a client that offers `protocols` with these settings.
    async fn shake(config: ServerConfig, protocols: &[&[u8]]) -> io::Result<()> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(UnreadCertificate))
            .with_no_client_auth();
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::spawn(async move {
            let socket = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("hooks.example").unwrap();
            let connected = TlsConnector::from(Arc::new(client))
                .connect(name, socket)
                .await;
            if let Ok(mut stream) = connected {
                // Ignore the error: the server closes the connection.
                let _ = stream.read(&mut [0]).await;
            }
        });
        let (socket, _) = listener.accept().await.unwrap();
        let result = handshake(L4Stream::from(socket), Arc::new(config)).await;
        client.await.unwrap();
        result
    }

    fn answer() -> ServerConfig {
        let domain = Domain::parse("hooks.example").unwrap();
        let answer = Answer::new(&domain, "hooks.example", &[7; 32]).unwrap();
        ServerConfig::clone(&answer.config)
    }

    #[tokio::test]
    async fn a_handshake_without_the_protocol_is_none_of_a_validation() {
        assert!(shake(answer(), &[PROTOCOL]).await.is_ok());
        // The resolver refuses it.
        assert!(shake(answer(), &[]).await.is_err());
        // Whatever the resolver does.
        let mut lax = answer();
        let any = PresentedCertificate::of(Arc::new(stand_in().unwrap()));
        lax.cert_resolver = Arc::new(any);
        lax.alpn_protocols = vec![b"h2".to_vec(), PROTOCOL.to_vec()];
        assert!(shake(lax.clone(), &[PROTOCOL]).await.is_ok());
        for protocols in [&[][..], &[&b"h2"[..]]] {
            let error = shake(lax.clone(), protocols).await.unwrap_err();
            assert!(error.to_string().contains("another protocol"), "{error}");
        }
    }
}
