//! Serves a connection: determines the client address, checks limits, performs the TLS handshake,
//! and passes the connection on to the proxy.

mod connection_limit;
mod opening;
mod proxy_protocol;
mod validation;

use super::acme::Presented;
use crate::config::Listen;
use crate::http::forwarded::is_trusted;
use crate::http::timeout::{Deadline, timeout};
use crate::proxy::{
    DRAIN_READ_TIMEOUT, Downstream, Gate, KEEPALIVE_DRAIN_GRACE, Policy, after_shutdown,
};
use crate::sanitize::sanitize;
use crate::telemetry::metrics::ConnectionRefusal;
use crate::telemetry::repeated::Repeated;
use crate::telemetry::{Monitor, access_log};
use crate::tls::{self, Refusal, RefusalCode};
use arc_swap::{ArcSwap, ArcSwapOption};
use connection_limit::{ConnectionLimits, ConnectionPermit, LimitReached};
use ipnet::IpNet;
use opening::Opening;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::{GetSocketDigest as _, SocketDigest, Stream};
use pingora::server::ShutdownWatch;
use proxy_protocol::{ConnectionSource, ProxyHeader};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

/// The addresses that may connect, and those of load balancers that name the client.
pub(super) struct Access {
    allow: Vec<IpNet>,
    /// Peers that send a PROXY protocol header.
    proxies: Vec<IpNet>,
}

impl Access {
    pub(super) fn new(listen: &Listen) -> Self {
        let proxies = listen.trusted_proxies.iter();
        let proxies = proxies.filter(|_| listen.proxy_protocol);
        Self {
            allow: listen.allow.clone(),
            proxies: proxies.copied().collect(),
        }
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        self.allow.is_empty() || is_trusted(address, &self.allow)
    }
}

/// The origin of an accepted connection.
struct Arrival {
    peer: SocketAddr,
    /// The content of the PROXY protocol header, if one was sent. Unless it names a client, `peer` is
    /// the address of the load balancer.
    source: Option<ConnectionSource>,
    /// Bytes that were read after that header.
    rest: Vec<u8>,
    /// Present if the address is not in `listen.allow`, and may be that of a validation.
    stranger: Option<OwnedSemaphorePermit>,
}

impl Arrival {
    fn direct(peer: SocketAddr) -> Self {
        Self {
            peer,
            source: None,
            rest: Vec::new(),
            stranger: None,
        }
    }

    /// The origin of a connection through the load balancer `peer`.
    fn through(peer: SocketAddr, header: ProxyHeader) -> Self {
        Self {
            peer: header.source.client().unwrap_or(peer),
            source: Some(header.source),
            rest: header.rest,
            stranger: None,
        }
    }

    /// Returns `true` for a health check of a load balancer.
    fn is_of_balancer(&self) -> bool {
        self.source == Some(ConnectionSource::Balancer)
    }

    /// Returns the refusal of a hello that did not arrive in time; `None` if the address is refused.
    fn late(&self) -> Option<Refusal> {
        self.stranger.is_none().then(late)
    }

    /// Returns `true` if a load balancer has not named the client.
    fn is_anonymous(&self) -> bool {
        self.source.is_some_and(|source| source.client().is_none())
    }
}

/// Serves connections; one object for all of them.
pub(super) struct ConnectionHandler {
    acceptor: ArcSwapOption<Acceptor>,
    access: ArcSwap<Access>,
    limits: Arc<ConnectionLimits>,
    presented: Presented,
    validations: Semaphore,
    strangers: Arc<Semaphore>,
    gate: Arc<Gate>,
    downstream: Downstream,
    monitor: Arc<Monitor>,
}

impl ConnectionHandler {
    pub(super) fn new(
        acceptor: Option<Acceptor>,
        presented: Presented,
        access: Access,
        gate: Arc<Gate>,
        downstream: Downstream,
        monitor: Arc<Monitor>,
    ) -> Self {
        Self {
            acceptor: ArcSwapOption::from_pointee(acceptor),
            access: ArcSwap::from_pointee(access),
            limits: Arc::default(),
            presented,
            validations: Semaphore::new(validation::AT_ONCE),
            strangers: Arc::new(Semaphore::new(validation::STRANGERS_AT_ONCE)),
            gate,
            downstream,
            monitor,
        }
    }

    /// Replaces the policy, for open connections as well, and the acceptor for new connections.
    pub(super) fn replace(&self, acceptor: Option<Acceptor>, access: Access, policy: Policy) {
        // The policy comes first: it checks each request again, whatever the result of the handshake
        // was.
        self.gate.replace(policy);
        self.access.store(Arc::new(access));
        self.acceptor.store(acceptor.map(Arc::new));
    }

    /// Returns what handshakes present.
    pub(super) fn presented(&self) -> &Presented {
        &self.presented
    }

    pub(super) fn policy(&self) -> Arc<Policy> {
        self.gate.policy()
    }

    /// Determines the client address and counts the connection, before anything else is done for
    /// it.
    async fn admit(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        is_tls: bool,
    ) -> Option<(Arrival, ConnectionPermit)> {
        let access = self.access.load_full();
        let mut arrival = self.arrival(&access, stream, peer).await?;
        arrival.stranger = self.check_access(&access, &arrival, is_tls)?;
        let permit = self.enter(arrival.peer)?;
        Some((arrival, permit))
    }

    /// Determines the client address.
    async fn arrival(
        &self,
        access: &Access,
        stream: &mut TcpStream,
        peer: SocketAddr,
    ) -> Option<Arrival> {
        match is_trusted(peer.ip(), &access.proxies) {
            true => self.read_proxy_header(stream, peer).await,
            false => Some(Arrival::direct(peer)),
        }
    }

    /// Reads the PROXY protocol header, which the load balancer `peer` has to send.
    async fn read_proxy_header(&self, stream: &mut TcpStream, peer: SocketAddr) -> Option<Arrival> {
        let limit = self.gate.policy().limits().handshake_timeout;
        let code = ConnectionRefusal::ProxyProtocol;
        match timeout(limit, proxy_protocol::read(stream)).await {
            Ok(Ok(Some(header))) => Some(Arrival::through(peer, header)),
            Ok(Ok(None)) => silent(peer),
            Ok(Err(error)) => self.refuse(peer, code, &error.to_string()),
            Err(_) => self.refuse(peer, code, "there is no PROXY protocol header in time"),
        }
    }

    /// Returns `None` if the connection may not be made from this address. If it may only validate a
    /// name, the permit for that is in what is returned.
    fn check_access(
        &self,
        access: &Access,
        arrival: &Arrival,
        is_tls: bool,
    ) -> Option<Option<OwnedSemaphorePermit>> {
        let peer = arrival.peer;
        if access.is_allowed(peer.ip()) {
            return Some(None);
        }
        if arrival.is_of_balancer() {
            return not_allowed_check(peer);
        }
        match self.admit_stranger(is_tls) {
            None => self.refuse(peer, ConnectionRefusal::NotAllowed, NOT_ALLOWED),
            stranger => Some(stranger),
        }
    }

    /// Returns permission for a connection from an address outside `listen.allow`, whose hello may be
    /// that of a validation: authorities do not publish their addresses.
    fn admit_stranger(&self, is_tls: bool) -> Option<OwnedSemaphorePermit> {
        let may_validate = is_tls && self.presented.answers.are_pending();
        let permit = may_validate.then(|| self.strangers.clone().try_acquire_owned());
        permit?.ok()
    }

    /// Counts the connection, if the limits allow another one.
    fn enter(&self, peer: SocketAddr) -> Option<ConnectionPermit> {
        let limits = *self.gate.policy().limits();
        let entered = self.limits.acquire(
            peer.ip().to_canonical(),
            limits.max_connections,
            limits.max_connections_per_address,
        );
        match entered {
            Ok(permit) => Some(permit),
            Err(reached) => self.refuse(peer, reached.into(), reached.as_str()),
        }
    }

    fn refuse<T>(&self, peer: SocketAddr, code: ConnectionRefusal, reason: &str) -> Option<T> {
        let peer = peer.ip();
        self.monitor.connection_refused(peer, code, reason);
        log_refused_connection(peer, code.as_str(), reason);
        None
    }

    pub(super) async fn serve(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        is_tls: bool,
        mut shutdown: ShutdownWatch,
    ) {
        let admitted = self.admit_in_time(&mut stream, peer, is_tls, &mut shutdown);
        let admitted = admitted.await;
        let Some((arrival, _permit)) = admitted else {
            return;
        };
        let _connected = self.monitor.connected();
        let served = self.serve_admitted(stream, &arrival, is_tls, shutdown);
        if let Err(refusal) = served.await {
            self.report_refusal(&arrival, &refusal);
        }
    }

    /// Admits a connection, as long as the process does not end.
    async fn admit_in_time(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        is_tls: bool,
        shutdown: &mut ShutdownWatch,
    ) -> Option<(Arrival, ConnectionPermit)> {
        tokio::select! {
            biased;
            admitted = self.admit(stream, peer, is_tls) => admitted,
            () = after_shutdown(shutdown, DRAIN_READ_TIMEOUT) => None,
        }
    }

    fn report_refusal(&self, arrival: &Arrival, refusal: &Refusal) {
        let peer = arrival.peer.ip();
        if arrival.is_of_balancer() {
            return log_ended_check(peer, &refusal.reason);
        }
        self.monitor.handshake(peer, Err(refusal));
        log_refusal(peer, refusal);
    }

    /// Serves a connection of the self-test. Refusals are expected, so they are not logged.
    pub(super) async fn serve_probe(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: ShutdownWatch,
    ) {
        let arrival = Arrival::direct(peer);
        let _ = access_log::without(self.serve_admitted(stream, &arrival, true, shutdown)).await;
    }

    async fn serve_admitted(
        &self,
        stream: TcpStream,
        arrival: &Arrival,
        is_tls: bool,
        mut shutdown: ShutdownWatch,
    ) -> Result<(), Refusal> {
        let stream: Stream = match is_tls {
            false => Box::new(with_address(stream, arrival.peer, &arrival.rest)),
            true => match self.secure(stream, arrival, &mut shutdown).await? {
                Some(stream) => stream,
                None => return Ok(()),
            },
        };
        let is_anonymous = arrival.is_anonymous();
        self.downstream.serve(stream, is_anonymous, shutdown).await;
        Ok(())
    }

    /// Performs the TLS handshake. Returns `None` if the client sends nothing, or the process ends.
    async fn secure(
        &self,
        mut stream: TcpStream,
        arrival: &Arrival,
        shutdown: &mut ShutdownWatch,
    ) -> Result<Option<Stream>, Refusal> {
        let mut deadline = Deadline::after(self.gate.policy().limits().handshake_timeout);
        let Some(opening) = opening(&stream, arrival, &mut deadline, shutdown).await? else {
            return Ok(silent(arrival.peer));
        };
        let mut rest = Cow::Borrowed(&arrival.rest);
        let mut answer = None;
        if self.presented.answers.are_pending() {
            let recognized = self.recognize(&mut stream, rest.to_mut(), &mut deadline);
            answer = tokio::select! {
                biased;
                recognized = Box::pin(recognized) => match (recognized, arrival.late()) {
                    (Ok(recognized), _) => recognized,
                    (Err(_), None) => None,
                    (Err(_), Some(late)) => return Err(late),
                },
                () = after_shutdown(shutdown, DRAIN_READ_TIMEOUT) => return Ok(None),
            };
        }
        if arrival.stranger.is_some() && answer.is_none() {
            return Ok(self.refuse(arrival.peer, ConnectionRefusal::NotAllowed, NOT_ALLOWED));
        }
        let (Some(acceptor), Some(spare)) = (self.acceptor.load_full(), AlertLinger::of(&stream))
        else {
            return Ok(None);
        };
        let stream = with_address(stream, arrival.peer, &rest);
        if let Some(answer) = answer {
            Box::pin(self.validate(stream, spare, &answer, arrival.peer)).await;
            return Ok(None);
        }
        // A handshake needs ten times the memory of the connection: its own box releases that
        // afterwards.
        let handshake = Self::handshake_or_linger(&acceptor, stream, spare, deadline);
        let stream = tokio::select! {
            biased;
            stream = Box::pin(handshake) => stream.map_err(|refusal| opening.explain(refusal))?,
            () = after_shutdown(shutdown, DRAIN_READ_TIMEOUT) => return Ok(None),
        };
        self.monitor.handshake(arrival.peer.ip(), Ok(()));
        Ok(Some(stream))
    }

    async fn handshake_or_linger(
        acceptor: &Acceptor,
        stream: L4Stream,
        spare: AlertLinger,
        mut deadline: Deadline,
    ) -> Result<Stream, Refusal> {
        let result = handshake(acceptor, stream, &mut deadline).await;
        if result.is_err() {
            spare.linger().await;
        }
        result
    }
}

/// Tells what the client speaks. Returns `None` if it sends nothing, or the process ends.
async fn opening(
    stream: &TcpStream,
    arrival: &Arrival,
    deadline: &mut Deadline,
    shutdown: &mut ShutdownWatch,
) -> Result<Option<Opening>, Refusal> {
    match arrival.rest.is_empty() {
        true => first_in_time(stream, deadline, shutdown).await,
        false => Ok(Some(Opening::of(&arrival.rest))),
    }
}

/// Returns a connection as Pingora's, with the address of the client and the bytes that were read.
fn with_address(stream: TcpStream, peer: SocketAddr, rest: &[u8]) -> L4Stream {
    // Ignore the error: it only costs latency.
    let _ = stream.set_nodelay(true);
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    let _ = digest.peer_addr.set(Some(peer.into()));
    let mut stream = L4Stream::from(stream);
    stream.set_socket_digest(digest);
    stream.rewind(rest);
    stream
}

/// Waits for the first bytes, as long as the process does not end.
async fn first_in_time(
    stream: &TcpStream,
    deadline: &mut Deadline,
    shutdown: &mut ShutdownWatch,
) -> Result<Option<Opening>, Refusal> {
    tokio::select! {
        biased;
        first = first_bytes(stream, deadline) => first,
        () = after_shutdown(shutdown, KEEPALIVE_DRAIN_GRACE) => Ok(None),
    }
}

/// Waits for the first bytes. Returns `None` if the client closes the connection without sending
/// any, as the health checks of load balancers do. Until then, no TLS state is allocated.
async fn first_bytes(
    stream: &TcpStream,
    deadline: &mut Deadline,
) -> Result<Option<Opening>, Refusal> {
    let mut first = [0; Opening::LENGTH];
    match deadline.wait(stream.peek(&mut first)).await {
        Ok(Ok(length @ 1..)) => Ok(Some(Opening::of(&first[..length]))),
        Ok(_) => Ok(None),
        Err(_) => Err(late()),
    }
}

async fn handshake(
    acceptor: &Acceptor,
    stream: L4Stream,
    deadline: &mut Deadline,
) -> Result<Stream, Refusal> {
    let (result, refusal) = tls::observe(deadline.wait(acceptor.tls_handshake(stream))).await;
    match result {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(refusal.unwrap_or_else(|| explained(&error.to_string()))),
        Err(_) => Err(refusal.unwrap_or_else(late)),
    }
}

fn explained(error: &str) -> Refusal {
    let (code, reason) = explain(error);
    unidentified(code, reason)
}

/// Returns the refusal of a client that has not shown a certificate.
fn unidentified(code: RefusalCode, reason: String) -> Refusal {
    Refusal {
        code,
        reason,
        identity: None,
    }
}

/// The reason of a refusal by `listen.allow`.
const NOT_ALLOWED: &str = "the address is not in listen.allow";

fn late() -> Refusal {
    let reason = "The handshake took too long.".to_owned();
    unidentified(RefusalCode::Timeout, reason)
}

impl From<LimitReached> for ConnectionRefusal {
    fn from(reached: LimitReached) -> Self {
        match reached {
            LimitReached::Total => Self::MaxConnections,
            LimitReached::Address => Self::MaxConnectionsPerAddress,
        }
    }
}

/// Logs, at debug level, a client that closed the connection without sending anything, as the
/// health checks of load balancers do.
fn silent<T>(peer: SocketAddr) -> Option<T> {
    debug!(event = "connection_unused", remote_addr = %peer.ip(), "client connected and disconnected without sending data");
    None
}

/// Logs the check of a load balancer from an address that is not allowed. The check has succeeded
/// by connecting.
fn not_allowed_check<T>(peer: SocketAddr) -> Option<T> {
    debug!(event = "balancer_check_not_allowed", remote_addr = %peer.ip(), "load balancer check from an address outside listen.allow");
    None
}

fn log_ended_check(peer: IpAddr, reason: &str) {
    debug!(event = "balancer_check_ended", remote_addr = %peer, reason, "load balancer check ended");
}

fn log_refused_connection(peer: IpAddr, code: &str, reason: &str) {
    if Repeated::ConnectionRefused.may_be_written() {
        warn!(event = "connection_refused", remote_addr = %peer, code, reason, "connection refused");
    }
}

fn log_refusal(peer: IpAddr, refusal: &Refusal) {
    if !Repeated::HandshakeRefused.may_be_written() {
        return;
    }
    let identity = refusal.identity.as_ref();
    warn!(
        event = "handshake_refused",
        remote_addr = %peer,
        code = refusal.code.as_str(),
        reason = &*sanitize(&refusal.reason),
        subject = identity.map(|identity| identity.subject.as_str()),
        issuer = identity.map(|identity| identity.issuer.as_str()),
        serial = identity.map(|identity| sanitize(&identity.serial)).as_deref(),
        fingerprint = identity.map(|identity| identity.fingerprint.as_str()),
        "TLS handshake refused"
    );
}

/// Time that a refused client has to read the TLS alert.
const LINGER: Duration = Duration::from_secs(1);

/// A second handle to a connection, for use after a failed handshake has dropped the first one.
///
/// A client of TLS 1.3 may have sent its request by the time it is refused. Closing with that
/// unread would reset the connection, and the client would see the reset instead of the alert that
/// says why.
struct AlertLinger(OwnedFd);

impl AlertLinger {
    fn of(stream: &TcpStream) -> Option<Self> {
        let spare = stream.as_fd().try_clone_to_owned();
        spare.map(Self).map_err(|error| log_failed(&error)).ok()
    }

    /// Reads and discards until the client closes the connection, within [`LINGER`].
    async fn linger(self) {
        let Ok(stream) = TcpStream::from_std(std::net::TcpStream::from(self.0)) else {
            return;
        };
        // Ignore the result: there is nothing left to do either way.
        let _ = timeout(LINGER, read_out(stream)).await;
    }
}

async fn read_out(mut stream: TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut discarded = [0; 4096];
    while stream.read(&mut discarded).await? > 0 {}
    Ok(())
}

/// Logs that a connection is not served for want of a descriptor.
pub(super) fn log_failed(error: &std::io::Error) {
    if Repeated::ConnectionNotServed.may_be_written() {
        warn!(event = "connection_failed", %error, "cannot serve a connection");
    }
}

/// The beginnings of errors about clients that left during the handshake.
const LEFT: [&str; 3] = ["tls handshake eof", "Connection reset", "Broken pipe"];

/// Extracts the error of rustls from that of Pingora, which wraps it in text.
fn explain(error: &str) -> (RefusalCode, String) {
    let wrapped = error.rsplit_once("tls connect error: ");
    let error = wrapped.map_or(error.trim(), |(_, error)| error);
    match explain_client(error) {
        Some((code, reason)) => (code, reason.to_owned()),
        None => explain_failure(error),
    }
}

/// Explains an error about a client that did not take part in the handshake to its end.
fn explain_client(error: &str) -> Option<(RefusalCode, &'static str)> {
    if error == "peer sent no certificates" {
        let reason = "No client certificate was presented.";
        return Some((RefusalCode::CertificateMissing, reason));
    }
    let has_left = LEFT.iter().any(|left| error.starts_with(left));
    has_left.then_some((RefusalCode::Closed, "The client left during the handshake."))
}

/// Explains an error of the handshake itself.
fn explain_failure(error: &str) -> (RefusalCode, String) {
    match objection(error) {
        Some(objection) => (
            RefusalCode::ServerCertificateRefused,
            format!("The client does not accept the certificate of this server: {objection}."),
        ),
        None => (RefusalCode::TlsError, error.to_owned()),
    }
}

/// Returns the objection of a client to the server's certificate, if `error` is an alert that says
/// so (RFC 8446 section 6.2).
fn objection(error: &str) -> Option<&'static str> {
    Some(match error.strip_prefix("received fatal alert: ")? {
        "UnknownCA" => "it does not know the authority, or lacks an intermediate certificate",
        "CertificateExpired" => "it has expired, or the clock of the client is wrong",
        "CertificateRevoked" => "it was revoked",
        "BadCertificate" => "it is not for the name in the URL, or cannot be verified",
        "CertificateUnknown" | "UnsupportedCertificate" => "the client does not say why",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_about_the_certificate_of_the_server_have_a_code_of_their_own() {
        for alert in [
            "UnknownCA",
            "BadCertificate",
            "CertificateExpired",
            "CertificateRevoked",
            "CertificateUnknown",
            "UnsupportedCertificate",
        ] {
            let error = format!(
                " TLSHandshakeFailure context: tls connect error: received fatal alert: {alert}"
            );
            let (code, reason) = explain(&error);
            assert_eq!(code, RefusalCode::ServerCertificateRefused, "{alert}");
            assert!(reason.ends_with('.') && !reason.contains(alert), "{reason}");
        }
        for other in ["HandshakeFailure", "ProtocolVersion", "DecryptError"] {
            let (code, _) = explain(&format!("tls connect error: received fatal alert: {other}"));
            assert_eq!(code, RefusalCode::TlsError, "{other}");
        }
    }
}
