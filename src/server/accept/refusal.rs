//! What is said about connections that were refused during the handshake.

use super::ConnectionHandler;
use super::arrival::Arrival;
use crate::sanitize::sanitize;
use crate::telemetry::repeated::Repeated;
use crate::tls::{Refusal, RefusalCode};
use std::net::IpAddr;
use tracing::{debug, warn};

impl ConnectionHandler {
    pub(super) fn report_refusal(&self, arrival: &Arrival, refusal: &Refusal) {
        let peer = arrival.peer.ip();
        if arrival.is_of_balancer() {
            return log_ended_check(peer, &refusal.reason);
        }
        self.monitor.handshake(peer, Err(refusal));
        log_refusal(peer, refusal);
    }
}

pub(super) fn explained(error: &str) -> Refusal {
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

pub(super) fn late() -> Refusal {
    let reason = "The handshake took too long.".to_owned();
    unidentified(RefusalCode::Timeout, reason)
}

fn log_ended_check(peer: IpAddr, reason: &str) {
    debug!(event = "balancer_check_ended", remote_addr = %peer, reason, "load balancer check ended");
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

/// The beginnings of errors about clients that left during the handshake.
const LEFT: [&str; 3] = ["tls handshake eof", "Connection reset", "Broken pipe"];

/// Explains an error of rustls.
fn explain(error: &str) -> (RefusalCode, String) {
    let explained = explain_client(error).or_else(|| explain_server(error));
    match explained {
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

/// Explains an error for which the client can do nothing.
fn explain_server(error: &str) -> Option<(RefusalCode, &'static str)> {
    let reason = "This server has no certificate yet: with tls.acme, the first one is still to be issued, or to be read \
                  from where it is kept.";
    let is_missing = error.ends_with("no server certificate chain resolved");
    is_missing.then_some((RefusalCode::ServerCertificateMissing, reason))
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
            let (code, reason) = explain(&format!("received fatal alert: {alert}"));
            assert_eq!(code, RefusalCode::ServerCertificateRefused, "{alert}");
            assert!(reason.ends_with('.') && !reason.contains(alert), "{reason}");
        }
        for other in ["HandshakeFailure", "ProtocolVersion", "DecryptError"] {
            let (code, _) = explain(&format!("received fatal alert: {other}"));
            assert_eq!(code, RefusalCode::TlsError, "{other}");
        }
    }
}
