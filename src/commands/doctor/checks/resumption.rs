//! A resumed session gets nobody in who would not get in with a full handshake.
//!
//! Servers verify certificates in full handshakes only. In several of them a session that was made
//! where nothing was demanded, under another name for example, was enough afterwards
//! (CVE-2025-23419, CVE-2025-23048, CVE-2025-68121).

use super::admission::{AdmissionVerdict, judge};
use crate::commands::doctor::client::CheckClient;
use crate::commands::doctor::finding::Finding;
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

const REMEDY: &str = "switch resumption off (nginx: ssl_session_tickets off; ssl_session_cache off; Apache: \
                      SSLSessionTickets off; SSLSessionCache none), or update the server";

pub(in crate::commands::doctor) async fn check(
    client: CheckClient<'_>,
    expected: &Expectation,
    nobody: AdmissionVerdict,
    forged: Option<Arc<CertifiedKey>>,
    trusted: Option<Arc<CertifiedKey>>,
) -> Result<Finding, String> {
    if !expected.demands_certificate {
        return Ok(Finding::skip(CHECK, "no certificate is demanded here"));
    }
    if let AdmissionVerdict::GotIn(_) = nobody {
        return Ok(Finding::skip(
            CHECK,
            "skipped: who has no certificate gets in anyway",
        ));
    }
    let (mut resumed, mut unclear) = (Vec::new(), None);
    for (version, number) in [(&TLS13, "1.3"), (&TLS12, "1.2")] {
        for (who, credentials, has_name) in [
            ("no certificate", None, true),
            ("no certificate and no server name", None, false),
            ("a forged certificate", forged.clone(), true),
        ] {
            let what = format!("a TLS {number} session of a client with {who}");
            match steal(client, expected, &nobody, credentials, has_name, version).await? {
                ResumptionAttempt::Impossible => {}
                ResumptionAttempt::Refused => resumed.push(what),
                ResumptionAttempt::Unclear(why) => unclear = unclear.or(Some((what, why))),
                ResumptionAttempt::GotIn(answer) => {
                    let text = format!("{what}, resumed, got through and was answered {answer}");
                    return Ok(Finding::fail(CHECK, text, REMEDY));
                }
            }
        }
    }
    if let Some((what, why)) = unclear {
        let text = format!(
            "{what}, resumed, is not refused as in a full handshake, so it may get through: {why}"
        );
        return Ok(Finding::warn(CHECK, text, REMEDY));
    }
    for (version, number) in [(&TLS13, "1.3"), (&TLS12, "1.2")] {
        if let Some(trusted) = trusted.clone()
            && outlives(client, expected, trusted, version).await?
        {
            return Ok(Finding::warn(
                CHECK,
                format!(
                    "a TLS {number} session of a trusted client is resumed without its certificate: whether a certificate \
                     that was withdrawn meanwhile still gets in cannot be told from here"
                ),
                REMEDY,
            ));
        }
    }
    Ok(match resumed.first() {
        None if matches!(nobody, AdmissionVerdict::Unclear(_)) => Finding::skip(
            CHECK,
            "skipped: it cannot be told whether who has no certificate is refused",
        ),
        None => Finding::pass(
            CHECK,
            "nobody gets a session to resume who would not get in anyway",
        ),
        Some(what) => Finding::pass(
            CHECK,
            format!("{what} can be resumed, and is refused all the same"),
        ),
    })
}

/// What became of a session that proves nothing.
enum ResumptionAttempt {
    /// There was none, or it was not resumed, or its owner got in anyway, which is found elsewhere.
    Impossible,
    Refused,
    /// It was refused in a full handshake, and is answered otherwise now; says how.
    Unclear(String),
    GotIn(String),
}

async fn steal(
    client: CheckClient<'_>,
    expected: &Expectation,
    nobody: &AdmissionVerdict,
    credentials: Option<Arc<CertifiedKey>>,
    has_name: bool,
    version: &'static SupportedProtocolVersion,
) -> Result<ResumptionAttempt, String> {
    let tls = RecordingTls::new(credentials, &[version])?;
    // An address is not sent as a server name.
    let name = if has_name {
        client.place.server_name()
    } else {
        ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST))
    };
    let request = post(client.place);
    let first = client.ask_as(name, Some(&tls), &request).await;
    // Under no name, it may be welcome: what counts is the name under which it is resumed.
    let before = if has_name {
        judge(expected, &first, true)
    } else {
        nobody.clone()
    };
    if !tls.has_session() || matches!(before, AdmissionVerdict::GotIn(_)) {
        return Ok(ResumptionAttempt::Impossible);
    }
    let second = client.ask(Some(&tls), &request).await;
    Ok(match judge(expected, &second, true) {
        _ if !second.was_resumed => ResumptionAttempt::Impossible,
        AdmissionVerdict::GotIn(answer) => ResumptionAttempt::GotIn(answer),
        AdmissionVerdict::Refused(_) => ResumptionAttempt::Refused,
        AdmissionVerdict::Unclear(why) if matches!(before, AdmissionVerdict::Refused(_)) => {
            ResumptionAttempt::Unclear(why)
        }
        AdmissionVerdict::Unclear(_) => ResumptionAttempt::Impossible,
    })
}

/// Whether a session of a trusted client is resumed; not if the client is not trusted.
async fn outlives(
    client: CheckClient<'_>,
    expected: &Expectation,
    trusted: Arc<CertifiedKey>,
    version: &'static SupportedProtocolVersion,
) -> Result<bool, String> {
    let tls = RecordingTls::new(Some(trusted), &[version])?;
    let request = get(client.place, "doctor").last();
    let first = client.ask(Some(&tls), &request).await;
    let is_trusted = matches!(judge(expected, &first, true), AdmissionVerdict::GotIn(_));
    Ok(is_trusted && tls.has_session() && client.ask(Some(&tls), &request).await.was_resumed)
}
