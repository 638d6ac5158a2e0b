//! The client of the benchmarks, which all share: TLS, HTTP/1.1 and HTTP/2, from an address of its
//! choice.

mod connection;
mod stream;

pub(crate) use connection::Connection;
pub(crate) use stream::exchange;

use crate::Failure;
use bytes::Bytes;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a connection or an answer is waited for; Netdata Cloud wants that of a challenge within
/// this.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that has not connected yet.
#[derive(Clone)]
pub(crate) struct Client {
    /// The address from which it connects; without one, the system's choice.
    pub(crate) source: Option<Ipv4Addr>,
    pub(crate) address: SocketAddr,
    pub(crate) config: Arc<ClientConfig>,
}

/// An answer's status, its body, and whether the connection stays.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    pub(crate) may_stay: bool,
}

impl Client {
    pub(crate) async fn tcp(&self) -> Result<TcpStream, Failure> {
        let socket = TcpSocket::new_v4()?;
        if let Some(source) = self.source {
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::from((source, 0)))?;
        }
        let stream = in_time(socket.connect(self.address)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub(crate) async fn tls(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let name = ServerName::try_from("localhost")?;
        let connector = TlsConnector::from(self.config.clone());
        let stream = self.tcp().await?;
        Ok(in_time(connector.connect(name, stream)).await??)
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection::new(self.tls().await?))
    }
}

/// Waits for no longer than [`PATIENCE`].
async fn in_time<F: Future>(future: F) -> Result<F::Output, Failure> {
    let result = timeout(PATIENCE, future).await;
    result.map_err(|_| "no answer in time".into())
}
