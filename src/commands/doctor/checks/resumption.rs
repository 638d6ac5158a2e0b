//! Check: session resumption does not bypass client authentication.
//!
//! Servers verify certificates in full handshakes only. Several of them accepted sessions that were
//! made where no certificate was required, for example under another name (CVE-2025-23419,
//! CVE-2025-23048, CVE-2025-68121).

use super::admission::{AdmissionVerdict, judge};
use crate::commands::doctor::client::CheckClient;
use crate::commands::doctor::finding::CheckFinding;
use crate::commands::doctor::recording_client::RecordingTls;
use crate::commands::doctor::requests::{get, post};
use crate::commands::doctor::target::Expectation;
use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use std::net::Ipv4Addr;
use std::sync::Arc;

const CHECK: &str = "resumption";

const REMEDY: &str = "disable resumption (nginx: ssl_session_tickets off; ssl_session_cache off; Apache: \
                      SSLSessionTickets off; SSLSessionCache none), or update the server";

const VERSIONS: [(&SupportedProtocolVersion, &str); 2] = [(&TLS13, "1.3"), (&TLS12, "1.2")];

pub(in crate::commands::doctor) async fn check(
    client: CheckClient<'_>,
    expected: &Expectation,
    anonymous: AdmissionVerdict,
    forged: Option<Arc<CertifiedKey>>,
    trusted: Option<Arc<CertifiedKey>>,
) -> Result<CheckFinding, String> {
    if !expected.demands_certificate {
        return Ok(CheckFinding::skip(
            CHECK,
            "this path does not require a certificate",
        ));
    }
    if let AdmissionVerdict::Accepted(_) = anonymous {
        return Ok(CheckFinding::skip(
            CHECK,
            "skipped: requests without a certificate are accepted anyway",
        ));
    }
    let attempts = match try_untrusted(client, expected, &anonymous, forged).await? {
        Ok(attempts) => attempts,
        Err(finding) => return Ok(finding),
    };
    if let Some(finding) = attempts.unclear {
        return Ok(finding);
    }
    if let Some(finding) = check_trusted(client, expected, trusted).await? {
        return Ok(finding);
    }
    Ok(match attempts.resumed {
        None if matches!(anonymous, AdmissionVerdict::Unclear(_)) => CheckFinding::skip(
            CHECK,
            "skipped: unclear whether a request without a certificate is refused",
        ),
        None => CheckFinding::pass(
            CHECK,
            "session resumption does not bypass client authentication",
        ),
        Some(session) => CheckFinding::pass(
            CHECK,
            format!("{session} can be resumed, but its requests are refused"),
        ),
    })
}

/// Attempts that were not accepted.
#[derive(Default)]
struct Attempts {
    /// Description of the first session that was resumed and refused.
    resumed: Option<String>,
    /// CheckFinding on the first attempt whose result is unclear.
    unclear: Option<CheckFinding>,
}

/// Resumes sessions of untrusted clients. Returns a finding as an error if one is accepted.
async fn try_untrusted(
    client: CheckClient<'_>,
    expected: &Expectation,
    anonymous: &AdmissionVerdict,
    forged: Option<Arc<CertifiedKey>>,
) -> Result<Result<Attempts, CheckFinding>, String> {
    let mut attempts = Attempts::default();
    for (version, number) in VERSIONS {
        for (identity, credentials, has_name) in [
            ("no certificate", None, true),
            ("no certificate and no server name", None, false),
            ("a forged certificate", forged.clone(), true),
        ] {
            let session = format!("a TLS {number} session of a client with {identity}");
            match resume(client, expected, anonymous, credentials, has_name, version).await? {
                ResumptionAttempt::Impossible => {}
                ResumptionAttempt::Refused => {
                    attempts.resumed.get_or_insert(session);
                }
                ResumptionAttempt::Unclear(why) => {
                    let text = format!(
                        "{session}, resumed, is not refused as in a full handshake, so it may be accepted: {why}"
                    );
                    let finding = || CheckFinding::warn(CHECK, text, REMEDY);
                    attempts.unclear.get_or_insert_with(finding);
                }
                ResumptionAttempt::Accepted(response) => {
                    let text =
                        format!("{session}, resumed, was accepted, with response {response}");
                    return Ok(Err(CheckFinding::fail(CHECK, text, REMEDY)));
                }
            }
        }
    }
    Ok(Ok(attempts))
}

/// Reports sessions of a trusted client that are resumed.
async fn check_trusted(
    client: CheckClient<'_>,
    expected: &Expectation,
    trusted: Option<Arc<CertifiedKey>>,
) -> Result<Option<CheckFinding>, String> {
    let Some(trusted) = trusted else {
        return Ok(None);
    };
    for (version, number) in VERSIONS {
        if outlives(client, expected, trusted.clone(), version).await? {
            let text = format!(
                "a TLS {number} session of a trusted client is resumed without its certificate: unclear whether a \
                 certificate that was withdrawn in the meantime is still accepted"
            );
            return Ok(Some(CheckFinding::warn(CHECK, text, REMEDY)));
        }
    }
    Ok(None)
}

/// Result of the resumption of a session without a trusted certificate.
enum ResumptionAttempt {
    /// There was no session, or it was not resumed, or the client is accepted in any case, which
    /// another check reports.
    Impossible,
    Refused,
    /// A full handshake is refused, but the resumed one is not clearly refused; holds the response.
    Unclear(String),
    Accepted(String),
}

async fn resume(
    client: CheckClient<'_>,
    expected: &Expectation,
    anonymous: &AdmissionVerdict,
    credentials: Option<Arc<CertifiedKey>>,
    has_name: bool,
    version: &'static SupportedProtocolVersion,
) -> Result<ResumptionAttempt, String> {
    let tls = RecordingTls::new(credentials, &[version])?;
    // Addresses are not sent as server names.
    let name = if has_name {
        client.target.server_name()
    } else {
        ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST))
    };
    let request = post(client.target);
    let first = client.ask_as(name, Some(&tls), &request).await;
    // Without a name, the client may be accepted: the name at the resumption counts.
    let before = if has_name {
        judge(expected, &first, true)
    } else {
        anonymous.clone()
    };
    if !tls.has_session() || matches!(before, AdmissionVerdict::Accepted(_)) {
        return Ok(ResumptionAttempt::Impossible);
    }
    let second = client.ask(Some(&tls), &request).await;
    Ok(match judge(expected, &second, true) {
        _ if !second.was_resumed => ResumptionAttempt::Impossible,
        AdmissionVerdict::Accepted(answer) => ResumptionAttempt::Accepted(answer),
        AdmissionVerdict::Refused(_) => ResumptionAttempt::Refused,
        AdmissionVerdict::Unclear(why) if matches!(before, AdmissionVerdict::Refused(_)) => {
            ResumptionAttempt::Unclear(why)
        }
        AdmissionVerdict::Unclear(_) => ResumptionAttempt::Impossible,
    })
}

/// Returns `true` if the session of a trusted client is resumed.
async fn outlives(
    client: CheckClient<'_>,
    expected: &Expectation,
    trusted: Arc<CertifiedKey>,
    version: &'static SupportedProtocolVersion,
) -> Result<bool, String> {
    let tls = RecordingTls::new(Some(trusted), &[version])?;
    let request = get(client.target, "doctor").last();
    let first = client.ask(Some(&tls), &request).await;
    let is_trusted = matches!(judge(expected, &first, true), AdmissionVerdict::Accepted(_));
    Ok(is_trusted && tls.has_session() && client.ask(Some(&tls), &request).await.was_resumed)
}
