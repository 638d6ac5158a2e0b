//! Check: session resumption does not bypass client authentication.
//!
//! Servers verify certificates in full handshakes only. Several of them accepted sessions that were
//! made where no certificate was required, for example under another name (CVE-2025-23419,
//! CVE-2025-23048, CVE-2025-68121).

use super::admission::{AdmissionVerdict, judge};
use crate::commands::doctor::client::CheckClient;
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::commands::doctor::recording_client::RecordingTls;
use crate::commands::doctor::requests::{get, post};
use crate::commands::doctor::target::Expectation;
use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const CHECK: Check = Check("resumption");

const REMEDY: &str = "disable resumption (nginx: ssl_session_tickets off; ssl_session_cache off; Apache: \
                      SSLSessionTickets off; SSLSessionCache none), or update the server";

const VERSIONS: [(&SupportedProtocolVersion, &str); 2] = [(&TLS13, "1.3"), (&TLS12, "1.2")];

pub(crate) async fn check(
    client: CheckClient<'_>,
    expected: &Expectation,
    anonymous: AdmissionVerdict,
    forged: Option<Arc<CertifiedKey>>,
    trusted: Option<Arc<CertifiedKey>>,
) -> Result<CheckFinding, String> {
    if !expected.demands_certificate {
        return Ok(CHECK.skip("this path does not require a certificate"));
    }
    if let AdmissionVerdict::Accepted(_) = anonymous {
        return Ok(CHECK.skip("skipped: requests without a certificate are accepted anyway"));
    }
    let resumption = Resumption {
        client,
        expected,
        anonymous,
    };
    resumption.examine(forged, trusted).await
}

/// Resumption of sessions at one server.
struct Resumption<'t> {
    client: CheckClient<'t>,
    expected: &'t Expectation,
    /// Verdict on requests without a certificate in full handshakes.
    anonymous: AdmissionVerdict,
}

/// An untrusted client, in words, with its certificate.
struct Untrusted {
    identity: &'static str,
    credentials: Option<Arc<CertifiedKey>>,
    has_name: bool,
}

/// Attempts that were not accepted.
#[derive(Default)]
struct Attempts {
    /// Description of the first session that was resumed and refused.
    resumed: Option<String>,
    /// Finding on the first attempt whose result is unclear.
    unclear: Option<CheckFinding>,
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

impl Resumption<'_> {
    async fn examine(
        &self,
        forged: Option<Arc<CertifiedKey>>,
        trusted: Option<Arc<CertifiedKey>>,
    ) -> Result<CheckFinding, String> {
        let attempts = match self.try_untrusted(&untrusted_clients(forged)).await? {
            Ok(attempts) => attempts,
            Err(finding) => return Ok(finding),
        };
        if let Some(finding) = attempts.unclear {
            return Ok(finding);
        }
        let finding = self.check_trusted(trusted).await?;
        Ok(finding.unwrap_or_else(|| self.bypasses_nothing(attempts.resumed)))
    }

    fn bypasses_nothing(&self, resumed: Option<String>) -> CheckFinding {
        match resumed {
            Some(session) => CHECK.pass(format!(
                "{session} can be resumed, but its requests are refused"
            )),
            None if matches!(self.anonymous, AdmissionVerdict::Unclear(_)) => {
                CHECK.skip("skipped: unclear whether a request without a certificate is refused")
            }
            None => CHECK.pass("session resumption does not bypass client authentication"),
        }
    }

    /// Resumes sessions of untrusted clients. Returns a finding as an error if one is accepted.
    async fn try_untrusted(
        &self,
        clients: &[Untrusted],
    ) -> Result<Result<Attempts, CheckFinding>, String> {
        let mut attempts = Attempts::default();
        for (version, number) in VERSIONS {
            for client in clients {
                let identity = client.identity;
                let session = format!("a TLS {number} session of a client with {identity}");
                let attempt = self.resume(client, version).await?;
                if let Err(finding) = attempts.add(session, attempt) {
                    return Ok(Err(finding));
                }
            }
        }
        Ok(Ok(attempts))
    }

    /// Reports sessions of a trusted client that are resumed.
    async fn check_trusted(
        &self,
        trusted: Option<Arc<CertifiedKey>>,
    ) -> Result<Option<CheckFinding>, String> {
        let Some(trusted) = trusted else {
            return Ok(None);
        };
        for (version, number) in VERSIONS {
            if self.outlives(trusted.clone(), version).await? {
                return Ok(Some(outlived(number)));
            }
        }
        Ok(None)
    }

    async fn resume(
        &self,
        untrusted: &Untrusted,
        version: &'static SupportedProtocolVersion,
    ) -> Result<ResumptionAttempt, String> {
        let tls = RecordingTls::new(untrusted.credentials.clone(), &[version])?;
        let before = self.verdict_in_full(untrusted, &tls).await;
        if !tls.has_session() || matches!(before, AdmissionVerdict::Accepted(_)) {
            return Ok(ResumptionAttempt::Impossible);
        }
        let request = post(self.client.target);
        let second = self.client.ask(Some(&tls), &request).await;
        if !second.was_resumed {
            return Ok(ResumptionAttempt::Impossible);
        }
        Ok(compare(&before, judge(self.expected, &second, true)))
    }

    /// Judges a request in a full handshake, which makes a session.
    async fn verdict_in_full(&self, untrusted: &Untrusted, tls: &RecordingTls) -> AdmissionVerdict {
        let request = post(self.client.target);
        if untrusted.has_name {
            let exchange = self.client.ask(Some(tls), &request).await;
            return judge(self.expected, &exchange, true);
        }
        // Addresses are not sent as server names. Without a name, the client may be accepted: the
        // name at the resumption counts.
        let name = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
        self.client.ask_as(name, Some(tls), &request).await;
        self.anonymous.clone()
    }

    /// Returns `true` if the session of a trusted client is resumed.
    async fn outlives(
        &self,
        trusted: Arc<CertifiedKey>,
        version: &'static SupportedProtocolVersion,
    ) -> Result<bool, String> {
        let tls = RecordingTls::new(Some(trusted), &[version])?;
        let request = get(self.client.target, "doctor").last();
        let first = self.client.ask(Some(&tls), &request).await;
        let verdict = judge(self.expected, &first, true);
        if !matches!(verdict, AdmissionVerdict::Accepted(_)) || !tls.has_session() {
            return Ok(false);
        }
        Ok(self.client.ask(Some(&tls), &request).await.was_resumed)
    }
}

fn untrusted_clients(forged: Option<Arc<CertifiedKey>>) -> [Untrusted; 3] {
    let client = |identity, credentials, has_name| Untrusted {
        identity,
        credentials,
        has_name,
    };
    [
        client("no certificate", None, true),
        client("no certificate and no server name", None, false),
        client("a forged certificate", forged, true),
    ]
}

/// Compares the verdict on a resumed session with that on the full handshake before.
fn compare(before: &AdmissionVerdict, resumed: AdmissionVerdict) -> ResumptionAttempt {
    match resumed {
        AdmissionVerdict::Accepted(answer) => ResumptionAttempt::Accepted(answer),
        AdmissionVerdict::Refused(_) => ResumptionAttempt::Refused,
        AdmissionVerdict::Unclear(why) if matches!(before, AdmissionVerdict::Refused(_)) => {
            ResumptionAttempt::Unclear(why)
        }
        AdmissionVerdict::Unclear(_) => ResumptionAttempt::Impossible,
    }
}

impl Attempts {
    /// Adds the attempt to resume a session. Returns a finding as an error if it was accepted.
    fn add(&mut self, session: String, attempt: ResumptionAttempt) -> Result<(), CheckFinding> {
        match attempt {
            ResumptionAttempt::Impossible => {}
            ResumptionAttempt::Refused => {
                self.resumed.get_or_insert(session);
            }
            ResumptionAttempt::Unclear(why) => {
                self.unclear
                    .get_or_insert_with(|| may_be_accepted(&session, &why));
            }
            ResumptionAttempt::Accepted(response) => return Err(accepted(&session, &response)),
        }
        Ok(())
    }
}

fn may_be_accepted(session: &str, why: &str) -> CheckFinding {
    let text = format!(
        "{session}, resumed, is not refused as in a full handshake, so it may be accepted: {why}"
    );
    CHECK.warn(text, REMEDY)
}

fn accepted(session: &str, response: &str) -> CheckFinding {
    let text = format!("{session}, resumed, was accepted, with response {response}");
    CHECK.fail(text, REMEDY)
}

fn outlived(number: &str) -> CheckFinding {
    let text = format!(
        "a TLS {number} session of a trusted client is resumed without its certificate: unclear whether a \
         certificate that was withdrawn in the meantime is still accepted"
    );
    CHECK.warn(text, REMEDY)
}
