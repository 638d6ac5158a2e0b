//! A sender that speaks HTTP/2.

use super::{Answer, PATIENCE, Sender};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use rustls::pki_types::ServerName;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

/// One connection, on which one request follows the other.
pub(crate) struct Http2 {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
}

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Http2 {
    pub(crate) fn connect(sender: &Sender) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let mut config = (*sender.config).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let address = sender.address;
        let requests = runtime.block_on(async {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            let name = ServerName::try_from("localhost")?;
            let stream = TlsConnector::from(Arc::new(config))
                .connect(name, socket)
                .await?;
            let (requests, connection) = h2::client::handshake(stream).await?;
            tokio::spawn(connection);
            Ok::<_, Failure>(requests)
        })?;
        Ok(Self { runtime, requests })
    }

    /// Sends a request with these headers, in the form `name: value`.
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[&str],
        body: &str,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://localhost{target}"));
        for (name, value) in headers.iter().filter_map(|header| header.split_once(": ")) {
            request = request.header(name, value);
        }
        let (request, body) = (request.body(())?, Bytes::copy_from_slice(body.as_bytes()));
        let requests = self.requests.clone();
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, exchange(requests, request, body)).await?
        })
    }

    /// Begins a request whose body follows in parts.
    pub(crate) fn begin(self, request: Request<()>) -> Result<Http2Stream, Failure> {
        let mut requests = self.requests.clone();
        let (answer, body) = self.runtime.block_on(async {
            requests = requests.ready().await?;
            requests.send_request(request, false)
        })?;
        Ok(Http2Stream {
            runtime: self.runtime,
            answer: Some(answer),
            body,
            incoming: None,
        })
    }

    pub(crate) fn post(&mut self, body: &str) -> Result<Answer, Failure> {
        self.send(
            "POST",
            super::WEBHOOK,
            &["content-type: application/json"],
            body,
        )
    }
}

impl Http2 {
    /// Posts `first`, and as soon as `is_time` says so, `second` on another stream. Returns both
    /// answers.
    pub(crate) fn post_both(
        &mut self,
        first: &str,
        is_time: impl Fn() -> bool,
        second: &str,
    ) -> Result<[Answer; 2], Failure> {
        let post = |body: &str| {
            let request = Request::post(format!("https://localhost{}", super::WEBHOOK))
                .header("content-type", "application/json")
                .body(())?;
            let body = Bytes::copy_from_slice(body.as_bytes());
            Ok::<_, Failure>(exchange(self.requests.clone(), request, body))
        };
        let (first, second) = (post(first)?, post(second)?);
        let second = async {
            while !is_time() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            second.await
        };
        let both = async { tokio::try_join!(first, second) };
        let both = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, both).await })??;
        Ok(both.into())
    }
}

/// A request and its answer, in parts.
pub(crate) struct Http2Stream {
    runtime: Runtime,
    answer: Option<ResponseFuture>,
    body: SendStream<Bytes>,
    incoming: Option<RecvStream>,
}

impl Http2Stream {
    /// Sends a part of the body, no faster than it is taken.
    pub(crate) fn send(&mut self, mut part: Bytes) -> Result<(), Failure> {
        let body = &mut self.body;
        self.runtime.block_on(async {
            while !part.is_empty() {
                body.reserve_capacity(part.len());
                let capacity = poll_fn(|cx| body.poll_capacity(cx))
                    .await
                    .ok_or("the stream has ended")??;
                body.send_data(part.split_to(capacity.min(part.len())), false)?;
            }
            Ok(())
        })
    }

    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        Ok(self.body.send_data(Bytes::new(), true)?)
    }

    pub(crate) fn reset(&mut self) {
        self.body.send_reset(h2::Reason::CANCEL);
        // The connection's task sends it before this one is told.
        self.runtime
            .block_on(async { poll_fn(|cx| self.body.poll_reset(cx)).await })
            .ok();
    }

    pub(crate) fn head(&mut self) -> Result<Answer, Failure> {
        let answer = self.answer.take().expect("the head is read once");
        let answer = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, answer).await })??;
        let (head, incoming) = answer.into_parts();
        self.incoming = Some(incoming);
        Ok(Answer {
            status: head.status.as_u16(),
            headers: texts(&head.headers),
            body: String::new(),
        })
    }

    /// The next part of the body; none at its end.
    pub(crate) fn some(&mut self) -> Result<Bytes, Failure> {
        let incoming = self.incoming.as_mut().expect("the head is read first");
        self.runtime.block_on(async {
            match tokio::time::timeout(PATIENCE, incoming.data()).await? {
                None => Ok(Bytes::new()),
                Some(part) => {
                    let part = part?;
                    incoming.flow_control().release_capacity(part.len())?;
                    Ok(part)
                }
            }
        })
    }
}

fn texts(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

async fn exchange(
    requests: SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
) -> Result<Answer, Failure> {
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
    let headers = texts(&head.headers);
    Ok(Answer {
        status: head.status.as_u16(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
