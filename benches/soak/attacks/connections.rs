//! Connections that begin something and never end it, or are nothing.

use super::Attacker;
use crate::Failure;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::sleep;

/// TCP connections that never say anything.
pub(super) async fn silent(attacker: Attacker) -> Result<(), Failure> {
    let client = attacker.trusted();
    let held = join_all((0..500).map(|_| client.tcp())).await;
    sleep(Duration::from_secs(7)).await;
    drop(held);
    Ok(())
}

/// The beginning of a ClientHello.
pub(super) async fn half_handshake(attacker: Attacker) -> Result<(), Failure> {
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = attacker.trusted().tcp().await?;
        stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).await?;
        held.push(stream);
    }
    sleep(Duration::from_secs(7)).await;
    Ok(())
}

pub(super) async fn half_head(attacker: Attacker) -> Result<(), Failure> {
    attacker
        .hold(
            50,
            Duration::from_secs(7),
            b"POST /webhooks/netdata HTTP/1.1\r\nHost: loc",
        )
        .await
}

pub(super) async fn half_body(attacker: Attacker) -> Result<(), Failure> {
    let half = b"POST /webhooks/netdata HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{\"alert\":";
    attacker.hold(50, Duration::from_secs(12), half).await
}

/// What is no TLS, and what is no HTTP.
pub(super) async fn garbage(attacker: Attacker) -> Result<(), Failure> {
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        &[0xff; 4096],
        b"\x16\x03\x01\xff\xff",
    ] {
        attacker.trusted().tcp().await?.write_all(bytes).await?;
    }
    let _ = attacker.connect().await?.exchange(&[b'\0'; 4096]).await;
    Ok(())
}

/// Connect and close, as balancers check.
pub(super) async fn knocks(attacker: Attacker) -> Result<(), Failure> {
    for _ in 0..50 {
        drop(attacker.trusted().tcp().await?);
    }
    Ok(())
}
