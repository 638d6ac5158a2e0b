//! Requests whose heads, bodies or answers are more than any client needs.

use super::Attacker;
use crate::Failure;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

/// As many options as a head can hold.
pub(super) async fn connection_tokens(attacker: Attacker) -> Result<(), Failure> {
    let tokens = "a,".repeat(14_000);
    let request =
        format!("GET /app/x HTTP/1.1\r\nHost: localhost\r\nConnection: {tokens}b\r\n\r\n");
    let mut connection = attacker.connect().await?;
    for _ in 0..50 {
        connection.exchange(request.as_bytes()).await?;
    }
    Ok(())
}

/// Answers that take an hour, whose client leaves after a second.
pub(super) async fn endless_answer(attacker: Attacker) -> Result<(), Failure> {
    let request = b"GET /app/endless HTTP/1.1\r\nHost: localhost\r\n\r\n";
    attacker.hold(20, Duration::from_secs(1), request).await
}

pub(super) async fn hostile_bodies(attacker: Attacker) -> Result<(), Failure> {
    let deep = "[".repeat(500_000);
    let long = format!("{{\"alert\":\"{}\"", "x".repeat(900_000));
    let names: String = (0..20_000)
        .map(|number| format!("\"{number}\":0,"))
        .collect();
    for body in [
        deep,
        long,
        format!("{{{names}\"0\":0}}"),
        "{\"alert\":1e999999999}".into(),
        "\0".repeat(1000),
    ] {
        let length = body.len();
        let head = format!(
            "POST /webhooks/netdata HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        );
        // The answer may come before the whole body has been taken.
        let _ = attacker
            .connect()
            .await?
            .exchange((head + &body).as_bytes())
            .await;
    }
    Ok(())
}

pub(super) async fn odd_chunks(attacker: Attacker) -> Result<(), Failure> {
    for chunks in [
        "\r\n\r\n",
        "1;a=\n\r\nx\r\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "ffffffffffffffff1\r\n",
        "-1\r\n\r\n",
    ] {
        let head = "POST /webhooks/netdata HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = attacker
            .connect()
            .await?
            .exchange(format!("{head}{chunks}").as_bytes())
            .await;
    }
    Ok(())
}

/// Pipelined requests whose answers are never read.
pub(super) async fn unread_answers(attacker: Attacker) -> Result<(), Failure> {
    let request =
        b"GET /webhooks/netdata?crc_token=x HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000);
    let mut connection = attacker.connect().await?;
    timeout(
        Duration::from_secs(5),
        connection.stream.write_all(&request),
    )
    .await??;
    Ok(())
}
