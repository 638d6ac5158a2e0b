//! A sender that speaks HTTP/2.

use super::{Answer, PATIENCE, Sender};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

/// One connection, on which one request follows the other.
pub(crate) struct Http2 {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Http2 {
    pub(crate) fn connect(sender: &Sender) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut config = (*sender.config).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let address = sender.address;
        let requests = runtime.block_on(async {
            let socket = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost")?;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
            let (requests, connection) = h2::client::handshake(stream).await?;
            tokio::spawn(connection);
            Ok::<_, Failure>(requests)
        })?;
        Ok(Self { runtime, requests })
    }

    /// Sends a request with these headers, in the form `name: value`.
    pub(crate) fn send(&mut self, method: &str, target: &str, headers: &[&str], body: &str) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(method).uri(format!("https://localhost{target}"));
        for (name, value) in headers.iter().filter_map(|header| header.split_once(": ")) {
            request = request.header(name, value);
        }
        let (request, body) = (request.body(())?, Bytes::copy_from_slice(body.as_bytes()));
        let requests = self.requests.clone();
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange(requests, request, body)).await? })
    }

    pub(crate) fn post(&mut self, body: &str) -> Result<Answer, Failure> {
        self.send("POST", super::WEBHOOK, &["content-type: application/json"], body)
    }
}

async fn exchange(requests: SendRequest<Bytes>, request: Request<()>, body: Bytes) -> Result<Answer, Failure> {
    let mut requests = requests.ready().await?;
    let (response, mut stream) = requests.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        // A refusal may come before the body has been sent, which then is not an error.
        let _ = stream.send_data(body, true);
    }
    let (head, mut incoming) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = incoming.data().await {
        let chunk = chunk?;
        incoming.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Ok(Answer { status: head.status.as_u16(), headers, body: String::from_utf8_lossy(&body).into_owned() })
}
