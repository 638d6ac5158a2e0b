//! Check: current versions of TLS are enabled.

use crate::commands::doctor::client::CheckClient;
use crate::commands::doctor::finding::CheckFinding;
use crate::commands::doctor::recording_client::RecordingTls;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

const CHECK: &str = "TLS versions";

pub(in crate::commands::doctor) async fn check(
    client: CheckClient<'_>,
) -> Result<CheckFinding, String> {
    let offered = (
        is_offered(client, &TLS12).await?,
        is_offered(client, &TLS13).await?,
    );
    Ok(match offered {
        (true, true) => CheckFinding::pass(CHECK, "1.2 and 1.3"),
        (false, true) => CheckFinding::pass(CHECK, "1.3 only"),
        (true, false) => CheckFinding::warn(
            CHECK,
            "1.2 without 1.3: the client certificate goes over the wire unencrypted",
            "offer TLS 1.3, too (nginx: ssl_protocols TLSv1.2 TLSv1.3)",
        ),
        (false, false) => CheckFinding::fail(
            CHECK,
            "neither 1.2 nor 1.3, with any safe cipher suite",
            "offer TLS 1.2 and 1.3, with ECDHE and AES-GCM or ChaCha20",
        ),
    })
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
