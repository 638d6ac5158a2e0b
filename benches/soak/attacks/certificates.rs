//! Clients with certificates that are not Netdata's, or cost more than that.

use super::{Attacker, get};
use crate::Failure;

/// Clients without a certificate, with that of another authority, and with one whose subject is
/// very long.
pub(super) async fn strangers(attacker: Attacker) -> Result<(), Failure> {
    for config in &attacker.target.strangers {
        // Refused in the handshake, or with 403.
        let _ = get(&attacker.client(config), "/webhooks/netdata?crc_token=x").await;
    }
    Ok(())
}

/// A chain of intermediates of one name, each of which may have issued each.
pub(super) async fn long_chain(attacker: Attacker) -> Result<(), Failure> {
    let client = attacker.client(&attacker.target.long_chain);
    let mut connection = client.connect().await?;
    for _ in 0..50 {
        connection
            .exchange(b"GET /webhooks/netdata?crc_token=x HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await?;
    }
    Ok(())
}
