//! Advice on refusals and failures of requests.

use crate::commands::client::ClientFailure;
use crate::rejection::{PRESENT_CERTIFICATE, TRUST_CERTIFICATE, client_advice};
use crate::tls::CertificateFault;
use rustls::AlertDescription;
use std::ops::RangeInclusive;

const SEE_LOG: &str = "see the server's log";

const OF_STATUSES: [(RangeInclusive<u16>, &str); 9] = [
    (
        300..=399,
        "use the URL of the redirect: Netdata Cloud does not follow redirects",
    ),
    (400..=400, PERHAPS_CERTIFICATE),
    (495..=496, PERHAPS_CERTIFICATE),
    (
        401..=401,
        "send credentials: --bearer-file FILE, or --basic USERNAME --password-file FILE",
    ),
    (
        403..=403,
        "see the server's log for the reason, and present a certificate or credentials that it accepts",
    ),
    (
        404..=405,
        "compare the path of the URL with what the application serves",
    ),
    (413..=413, "raise the server's limit of body sizes"),
    (
        502..=504,
        "check that the application behind the server runs and responds in time",
    ),
    (500..=599, SEE_LOG),
];

const PERHAPS_CERTIFICATE: &str = "see the server's log; if it requires a client certificate, present one with --cert FILE --key FILE";

/// Returns advice on a response that is not a success.
pub(super) fn of_refusal(status: u16, code: Option<&str>) -> Option<&'static str> {
    code.and_then(client_advice).or_else(|| of_status(status))
}

/// Returns advice on a response without a code of this program.
fn of_status(status: u16) -> Option<&'static str> {
    let mut rows = OF_STATUSES.iter();
    let row = rows.find(|(statuses, _)| statuses.contains(&status))?;
    Some(row.1)
}

/// Returns advice on a request that ended without a response.
pub(super) fn of_failure(
    failure: &ClientFailure,
    was_connected: bool,
    presented: bool,
) -> Option<&'static str> {
    Some(match failure {
        ClientFailure::Alert(alert) => of_alert(*alert, presented),
        ClientFailure::Untrusted(error) => of_certificate(error.into()),
        ClientFailure::HungUp(_) if was_connected => SEE_LOG,
        ClientFailure::HungUp(_) => HUNG_UP_AT_ONCE,
        ClientFailure::Silent if was_connected => {
            "check the load of the server, or wait longer with --timeout SECONDS"
        }
        ClientFailure::Silent => "check the address, and firewalls on the way",
        failure => return of_attempt(failure),
    })
}

const HUNG_UP_AT_ONCE: &str = "check that the port is one for TLS, and that the server accepts connections from this address (here: listen.allow)";

/// Returns advice on a connection that could not be made.
fn of_attempt(failure: &ClientFailure) -> Option<&'static str> {
    Some(match failure {
        ClientFailure::Unresolved(_) => {
            "check the name in the URL, or give an address with --connect-to"
        }
        ClientFailure::ConnectionRefused => {
            "check that the server runs, and listens on this address and port"
        }
        ClientFailure::NotTls => "use http://, or a port for TLS",
        ClientFailure::NotHttp(_) => "use https://, or a port for HTTP",
        ClientFailure::NoFilesLeft => "raise the limit with \"ulimit -n\", or lower --concurrency",
        _ => return None,
    })
}

const OF_ALERTS: [(AlertDescription, &str); 7] = [
    (AlertDescription::CertificateRequired, PRESENT_CERTIFICATE),
    (AlertDescription::NoCertificate, PRESENT_CERTIFICATE),
    (
        AlertDescription::CertificateExpired,
        "present a certificate that is valid now",
    ),
    (
        AlertDescription::CertificateRevoked,
        "present a certificate that has not been revoked",
    ),
    (
        AlertDescription::ProtocolVersion,
        "enable TLS 1.2 or 1.3 on the server",
    ),
    (
        AlertDescription::UnrecognisedName,
        "use a name in the URL that the server is configured for",
    ),
    (AlertDescription::NoApplicationProtocol, "omit --http"),
];

fn of_alert(alert: AlertDescription, presented: bool) -> &'static str {
    let mut rows = OF_ALERTS.iter();
    match rows.find(|(known, _)| *known == alert) {
        Some((_, advice)) => advice,
        None if presented => TRUST_CERTIFICATE,
        None if alert == AlertDescription::HandshakeFailure => PRESENT_CERTIFICATE,
        None => SEE_LOG,
    }
}

const GIVE_AUTHORITY: &str = "give the authority that issued it with --ca FILE; if it is a public authority, configure the server to send the whole chain";

const USE_ITS_NAME: &str = "use one of its names in the URL, with --connect-to ADDRESS if that name resolves to another server";

fn of_certificate(fault: CertificateFault) -> &'static str {
    match fault {
        CertificateFault::UnknownIssuer | CertificateFault::BadSignature => GIVE_AUTHORITY,
        CertificateFault::Name => USE_ITS_NAME,
        CertificateFault::Expired => "renew the server's certificate",
        CertificateFault::NotYetValid => "check the clock of this machine",
        _ => "install a certificate for servers (doctor reports details)",
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
