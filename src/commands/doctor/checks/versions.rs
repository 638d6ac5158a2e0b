//! The versions of TLS that are good are spoken.

use crate::commands::doctor::client::CheckClient;
use crate::commands::doctor::finding::Finding;
use crate::commands::doctor::recording_client::RecordingTls;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

const CHECK: &str = "TLS versions";

pub(in crate::commands::doctor) async fn check(client: CheckClient<'_>) -> Result<Finding, String> {
    let offered = (
        is_offered(client, &TLS12).await?,
        is_offered(client, &TLS13).await?,
    );
    Ok(match offered {
        (true, true) => Finding::pass(CHECK, "1.2 and 1.3"),
        (false, true) => Finding::pass(CHECK, "1.3 alone"),
        (true, false) => Finding::warn(
            CHECK,
            "1.2 without 1.3: the client certificate goes over the wire unencrypted",
            "offer TLS 1.3, too (nginx: ssl_protocols TLSv1.2 TLSv1.3)",
        ),
        (false, false) => Finding::fail(
            CHECK,
            "neither 1.2 nor 1.3, with any cipher suite that is safe",
            "offer TLS 1.2 and 1.3, with ECDHE and AES-GCM or ChaCha20",
        ),
    })
}

/// Whether it got as far as the server's certificate. Whether it let anybody in does not matter
/// here.
async fn is_offered(
    client: CheckClient<'_>,
    version: &'static SupportedProtocolVersion,
) -> Result<bool, String> {
    let tls = RecordingTls::new(None, &[version])?;
    // Nothing is asked, so nothing is waited for but the handshake.
    let _ = client.open(Some(&tls)).await;
    Ok(!tls.take_shown().chain.is_empty())
}
