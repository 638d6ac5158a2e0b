//! Check: current versions of TLS are enabled.

use crate::commands::doctor::client::CheckClient;
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::commands::doctor::recording_client::RecordingTls;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

const CHECK: Check = Check("TLS versions");

pub(crate) async fn check(client: CheckClient<'_>) -> Result<CheckFinding, String> {
    let has_tls12 = is_offered(client, &TLS12).await?;
    let has_tls13 = is_offered(client, &TLS13).await?;
    Ok(judge(has_tls12, has_tls13))
}

fn judge(has_tls12: bool, has_tls13: bool) -> CheckFinding {
    match (has_tls12, has_tls13) {
        (true, true) => CHECK.pass("1.2 and 1.3"),
        (false, true) => CHECK.pass("1.3 only"),
        (true, false) => CHECK.warn(
            "1.2 without 1.3: the client certificate goes over the wire unencrypted",
            "offer TLS 1.3, too (nginx: ssl_protocols TLSv1.2 TLSv1.3)",
        ),
        (false, false) => CHECK.fail(
            "neither 1.2 nor 1.3, with any safe cipher suite",
            "offer TLS 1.2 and 1.3, with ECDHE and AES-GCM or ChaCha20",
        ),
    }
}

/// Returns `true` if the handshake reaches the server's certificate, even if it is refused later.
async fn is_offered(
    client: CheckClient<'_>,
    version: &'static SupportedProtocolVersion,
) -> Result<bool, String> {
    let tls = RecordingTls::new(None, &[version])?;
    // Ignore the error: only the certificate matters.
    let _ = client.open(Some(&tls)).await;
    Ok(!tls.take_shown().chain.is_empty())
}
