//! The attacks. Each is one round, which is repeated until the end.

mod certificates;
mod connections;
mod http2;
mod identity;
mod requests;
mod target;

pub(crate) use target::{Target, get};

use crate::Failure;
use crate::client::{Client, Connection};
use futures_util::future::join_all;
use rustls::ClientConfig;
use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// One way to do harm.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    round: fn(Attacker) -> Round,
}

type Round = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// One side of one attack, with an address of its own.
#[derive(Clone)]
struct Attacker {
    target: Arc<Target>,
    source: Ipv4Addr,
}

macro_rules! attacks {
    ($($room:ident: $($name:ident)*;)*) => {
        /// Every attack.
        pub(crate) const ALL: &[Attack] = &[$($(Attack {
            name: stringify!($name),
            round: |attacker| Box::pin($room::$name(attacker)),
        },)*)*];
    };
}

attacks! {
    connections: silent half_handshake half_head half_body garbage knocks;
    certificates: strangers long_chain;
    http2: rapid_reset reset_posts settings_flood ping_flood priority_flood window_flood;
    requests: connection_tokens endless_answer hostile_bodies odd_chunks unread_answers;
}

impl Attack {
    /// Repeats it until `stop`, and says how often it was done.
    pub(crate) fn launch(
        &self,
        index: usize,
        target: &Arc<Target>,
        stop: &Arc<AtomicBool>,
    ) -> JoinHandle<String> {
        let last = u8::try_from(index + 2).expect("there are not that many attacks");
        let attacker = Attacker {
            target: target.clone(),
            source: Ipv4Addr::new(127, 0, 1, last),
        };
        let (round, stop) = (self.round, stop.clone());
        tokio::spawn(async move {
            let (mut rounds, mut cut) = (0, 0);
            while !stop.load(Ordering::SeqCst) {
                rounds += 1;
                cut += u32::from(round(attacker.clone()).await.is_err());
                sleep(Duration::from_millis(100)).await;
            }
            format!("{rounds} rounds, {cut} of them cut short")
        })
    }
}

impl Attacker {
    fn client(&self, config: &Arc<ClientConfig>) -> Client {
        Client {
            source: Some(self.source),
            address: self.target.address,
            config: config.clone(),
        }
    }

    fn trusted(&self) -> Client {
        self.client(&self.target.trusted)
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        self.trusted().connect().await
    }

    /// Sends frames over HTTP/2, and reads until the proxy closes or nothing more comes for a
    /// second.
    async fn flood(&self, frames: Vec<u8>) -> Result<(), Failure> {
        let stream = self.client(&self.target.trusted_http2).tls().await?;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let read = async {
            let mut buffer = vec![0; 65536];
            while let Ok(Ok(1..)) = timeout(Duration::from_secs(1), reader.read(&mut buffer)).await
            {
            }
        };
        let write = async {
            // It may be cut off.
            let _ = writer.write_all(&frames).await;
            let _ = writer.flush().await;
        };
        timeout(
            Duration::from_secs(20),
            futures_util::future::join(read, write),
        )
        .await?;
        Ok(())
    }

    /// Holds what `begin` opens, many times at once, for a while.
    async fn hold(
        &self,
        count: usize,
        length: Duration,
        bytes: &'static [u8],
    ) -> Result<(), Failure> {
        let opening = (0..count).map(|_| async {
            let mut connection = self.connect().await.ok()?;
            connection.stream.write_all(bytes).await.ok()?;
            connection.stream.flush().await.ok()?;
            Some(connection)
        });
        let held = join_all(opening).await;
        sleep(length).await;
        drop(held);
        Ok(())
    }
}
