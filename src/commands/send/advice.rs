//! What whoever sends can do about a refusal or a failure.

use crate::commands::client::ClientFailure;
use crate::rejection::{PRESENT_CERTIFICATE, TRUST_CERTIFICATE, client_advice};
use rustls::{AlertDescription, CertificateError};

/// Of an answer that is none that was hoped for.
pub(super) fn of_refusal(status: u16, code: Option<&str>) -> Option<&'static str> {
    code.and_then(client_advice).or_else(|| of_status(status))
}

/// Of others than this program.
fn of_status(status: u16) -> Option<&'static str> {
    Some(match status {
        300..=399 => "name the URL that it leads to: Netdata Cloud follows no redirects",
        400 | 495 | 496 => {
            "see the server's log; if it wants a client certificate, present one with --cert FILE --key FILE"
        }
        401 => "send credentials: --bearer-file FILE, or --basic USERNAME --password-file FILE",
        403 => {
            "see the server's log for who may send, and present a certificate or credentials that it accepts"
        }
        404 | 405 => "compare the path of the URL with what the application serves",
        413 => "let the server accept longer bodies",
        502..=504 => "see whether the application behind the server runs, and what keeps it busy",
        500..=599 => "see the server's log",
        _ => return None,
    })
}

/// Of what ended without an answer.
pub(super) fn of_failure(
    failure: &ClientFailure,
    was_connected: bool,
    presented: bool,
) -> Option<&'static str> {
    Some(match failure {
        ClientFailure::Alert(alert) => of_alert(*alert, presented),
        ClientFailure::Untrusted(error) => of_certificate(error),
        ClientFailure::HungUp(_) if !was_connected => {
            "see whether TLS is negotiated at this port, and whether the server lets this address connect (here: listen.allow)"
        }
        ClientFailure::HungUp(_) => "see the server's log",
        ClientFailure::Silent if !was_connected => {
            "see whether a firewall is in between, and whether the address is right"
        }
        ClientFailure::Silent => {
            "see what keeps the server busy, or wait longer with --timeout SECONDS"
        }
        ClientFailure::Unresolved(_) => {
            "compare the name in the URL, or name an address with --connect-to"
        }
        ClientFailure::NobodyListens => {
            "see whether the server runs, and listens at this address and port"
        }
        ClientFailure::NotTls => "use http://, or a port where TLS is negotiated",
        ClientFailure::NotHttp(_) => "use https://, or a port where HTTP is negotiated",
        ClientFailure::NoFilesLeft => "raise the limit with \"ulimit -n\", or lower --concurrency",
        ClientFailure::Other(_) => return None,
    })
}

fn of_alert(alert: AlertDescription, presented: bool) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            PRESENT_CERTIFICATE
        }
        AlertDescription::HandshakeFailure if !presented => PRESENT_CERTIFICATE,
        AlertDescription::CertificateExpired => "present a certificate that is valid now",
        AlertDescription::CertificateRevoked => "present a certificate that has not been revoked",
        AlertDescription::ProtocolVersion => "let the server speak TLS 1.2 or 1.3",
        AlertDescription::UnrecognisedName => "use a name in the URL that the server knows",
        AlertDescription::NoApplicationProtocol => "leave --http out",
        _ if presented => TRUST_CERTIFICATE,
        _ => "see the server's log",
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "name the authority that issued it with --ca FILE; if that is a public one, let the server send the whole chain"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "use a name that it is for in the URL, with --connect-to ADDRESS if that leads elsewhere"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "let the server have a new one"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "compare the clock of this machine with that of the server's authority"
        }
        _ => "let the server have a certificate that is made for servers (doctor says more)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_others_is_advised_by_its_status() {
        for status in [301, 400, 401, 403, 404, 413, 496, 500, 503] {
            assert!(
                of_refusal(status, None).is_some()
                    && of_refusal(status, Some("of_others")).is_some(),
                "{status}"
            );
        }
        assert_eq!(of_refusal(418, None), None);
    }
}
