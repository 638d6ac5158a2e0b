//! A client connection, and its requests and responses, whose sizes are bounded.

use super::stream::{Breakage, DrainingStream};
use super::{ClientFailure, ClientRequest, ClientResponse, Stream, WebhookTarget};
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::error::Error as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Maximum size in bytes of a head, and of the part of a body that is read.
const MAX_PART: usize = 64 * 1024;

/// Limit for the end of a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Failure of a connection that the server has closed.
const CLOSED: ClientFailure = ClientFailure::HungUp("the connection was closed");

type HttpRequest = http::Request<Full<Bytes>>;

/// Protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// A connection for requests, one at a time.
pub(crate) struct ClientConnection {
    requests: RequestHandle,
    /// Task that drives the connection; aborted when this is dropped.
    _driver: AbortOnDropHandle<()>,
    ended: CancellationToken,
    breakage: Arc<Breakage>,
    scheme: &'static str,
    authority: String,
}

enum RequestHandle {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl ClientConnection {
    /// Starts `protocol` on a stream to `target`.
    pub(crate) async fn open(
        stream: impl Stream + 'static,
        protocol: Protocol,
        target: &WebhookTarget,
    ) -> Result<Self, ClientFailure> {
        let (stream, breakage) = DrainingStream::new(stream);
        let end = End {
            ended: CancellationToken::new(),
            breakage: breakage.clone(),
        };
        let ended = end.ended.clone();
        let started = match protocol {
            Protocol::Http1 => start_http1(TokioIo::new(stream), end).await,
            Protocol::Http2 => start_http2(TokioIo::new(stream), end).await,
        };
        let (requests, driver) = started.map_err(|error| explain(&error, &breakage))?;
        Ok(Self {
            requests,
            _driver: driver,
            ended,
            breakage,
            scheme: target.scheme(),
            authority: target.authority(),
        })
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self.requests {
            RequestHandle::Http1(_) => Protocol::Http1,
            RequestHandle::Http2(_) => Protocol::Http2,
        }
    }

    /// Waits until a request can be sent. Fails if the connection has ended.
    pub(crate) async fn ready(&mut self) -> Result<(), ClientFailure> {
        let ready = match &mut self.requests {
            RequestHandle::Http1(requests) => requests.ready().await,
            RequestHandle::Http2(requests) => requests.ready().await,
        };
        match ready {
            Ok(()) => Ok(()),
            Err(error) => Err(self.explain(&error).await),
        }
    }

    /// Sends a request and reads the response.
    pub(crate) async fn exchange(
        &mut self,
        request: &ClientRequest,
    ) -> Result<ClientResponse, ClientFailure> {
        self.ready().await?;
        let request = self.http_request(request);
        let request = request.map_err(|error| ClientFailure::Other(error.to_string()))?;
        let (head, body) = match self.answer(request).await {
            Some(Ok(answer)) => answer.into_parts(),
            Some(Err(error)) => return Err(self.explain(&error).await),
            None => return Err(self.breakage.failure().unwrap_or(CLOSED)),
        };
        Ok(ClientResponse {
            status: head.status.as_u16(),
            headers: head.headers,
            body: read(body).await,
        })
    }

    /// Returns the head of the response; `None` if the connection has ended without a result for
    /// the request, as happens to one that hyper receives at that very moment.
    async fn answer(
        &mut self,
        request: HttpRequest,
    ) -> Option<hyper::Result<http::Response<Incoming>>> {
        let ended = self.ended.cancelled();
        let mut answer = pin!(self.requests.send(request));
        tokio::select! {
            biased;
            answer = &mut answer => Some(answer),
            // The response may have arrived with the end, and still be in the channel.
            () = ended => timeout(CLOSE_TIMEOUT, answer).await.ok(),
        }
    }

    fn http_request(&self, request: &ClientRequest) -> http::Result<HttpRequest> {
        let mut message = http::Request::new(Full::new(request.body.clone()));
        *message.method_mut() = request.method.clone();
        *message.headers_mut() = request.headers.clone();
        let target = request.target.parse()?;
        match self.protocol() {
            Protocol::Http1 => {
                let host = HeaderValue::try_from(&self.authority)?;
                message.headers_mut().insert(HOST, host);
                *message.uri_mut() = target;
            }
            Protocol::Http2 => {
                *message.uri_mut() = self.absolute(target)?;
                *message.version_mut() = Version::HTTP_2;
            }
        }
        Ok(message)
    }

    /// Returns a target with the scheme and the authority, which HTTP/2 has in place of `Host`.
    fn absolute(&self, target: Uri) -> http::Result<Uri> {
        let mut parts = target.into_parts();
        parts.scheme = Some(self.scheme.parse()?);
        parts.authority = Some(self.authority.parse()?);
        Ok(Uri::from_parts(parts)?)
    }

    /// Returns the reason of an error. A request on a broken connection fails without one: the
    /// driver records it.
    async fn explain(&self, error: &hyper::Error) -> ClientFailure {
        if error.is_canceled() {
            // Ignore the error: the failure is less specific then.
            let _ = timeout(CLOSE_TIMEOUT, self.ended.cancelled()).await;
        }
        explain(error, &self.breakage)
    }

    /// Closes the connection in an orderly way.
    pub(crate) async fn close(self) {
        drop(self.requests);
        // Ignore the timeout: the server does not close.
        let _ = timeout(CLOSE_TIMEOUT, self.ended.cancelled()).await;
    }

    /// Waits until the server closes the connection.
    pub(crate) async fn closed(self) {
        self.ended.cancelled().await;
    }
}

impl RequestHandle {
    async fn send(&mut self, request: HttpRequest) -> hyper::Result<http::Response<Incoming>> {
        match self {
            Self::Http1(requests) => requests.send_request(request).await,
            Self::Http2(requests) => requests.send_request(request).await,
        }
    }
}

/// Records when and how a connection ends.
struct End {
    ended: CancellationToken,
    breakage: Arc<Breakage>,
}

type Started = hyper::Result<(RequestHandle, AbortOnDropHandle<()>)>;

async fn start_http1(stream: TokioIo<impl Stream + 'static>, end: End) -> Started {
    let mut builder = http1::Builder::new();
    let (requests, driver) = builder.max_buf_size(MAX_PART).handshake(stream).await?;
    Ok((RequestHandle::Http1(requests), end.drive(driver)))
}

async fn start_http2(stream: TokioIo<impl Stream + 'static>, end: End) -> Started {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.max_header_list_size(MAX_PART as u32);
    let (requests, driver) = builder.handshake(stream).await?;
    Ok((RequestHandle::Http2(requests), end.drive(driver)))
}

impl End {
    /// Spawns the task that drives the connection.
    fn drive(
        self,
        driver: impl Future<Output = hyper::Result<()>> + Send + 'static,
    ) -> AbortOnDropHandle<()> {
        let (ended, breakage) = (self.ended.drop_guard(), self.breakage);
        AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = driver.await {
                breakage.record_protocol_error(explain(&error, &breakage));
            }
            drop(ended);
        }))
    }
}

/// Reads a body up to its limit. Errors are ignored: only the status matters then.
async fn read(mut body: Incoming) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(&data[..data.len().min(MAX_PART - bytes.len())]);
        }
        if bytes.len() == MAX_PART {
            break;
        }
    }
    bytes
}

fn explain(error: &hyper::Error, breakage: &Breakage) -> ClientFailure {
    if let Some(failure) = breakage.failure() {
        return failure;
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return CLOSED;
    }
    let cause = error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    ClientFailure::NotHttp(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, proptest};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Returns the response to a request whose server sends only `bytes`.
    async fn answer(bytes: Vec<u8>, protocol: Protocol) -> Result<ClientResponse, ClientFailure> {
        let target = WebhookTarget::parse("http://hooks.example/x").unwrap();
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let server = tokio::spawn(async move {
            // The server responds to requests only.
            let _ = theirs.read(&mut [0; 1024]).await;
            let _ = theirs.write_all(&bytes).await;
            let _ = theirs.shutdown().await;
            let _ = theirs.read_to_end(&mut Vec::new()).await;
        });
        let mut connection = ClientConnection::open(ours, protocol, &target).await?;
        let answer = connection
            .exchange(&ClientRequest::post(&target, Bytes::new()))
            .await;
        drop(connection);
        server.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers_end_in_each_way_that_http_knows() {
        for (bytes, status, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", 200, "ab"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
                200,
                "abc",
            ),
            ("HTTP/1.0 400 Bad Request\r\n\r\nabc", 400, "abc"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                200,
                "abc",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nffffffffffffffff\r\nc",
                200,
                "abc",
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nabc",
                204,
                "",
            ),
        ] {
            let answer = answer(bytes.into(), Protocol::Http1).await.unwrap();
            assert_eq!(
                (answer.status, &*String::from_utf8_lossy(&answer.body)),
                (status, body),
                "{bytes}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_a_failure() {
        let hung_up = |failure: &ClientFailure| {
            *failure == ClientFailure::HungUp("the connection was closed")
        };
        for bytes in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
            let failure = answer(bytes.into(), Protocol::Http1).await.unwrap_err();
            assert!(hung_up(&failure), "{bytes:?}: {failure:?}");
        }
        for (bytes, protocol) in [
            ("SSH-2.0-x\r\n\r\n", Protocol::Http1),
            ("HTTP/1.1 abc\r\n\r\n", Protocol::Http1),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                Protocol::Http2,
            ),
        ] {
            let failure = answer(bytes.into(), protocol).await.unwrap_err();
            assert!(
                matches!(failure, ClientFailure::NotHttp(_)),
                "{bytes:?}: {failure:?}"
            );
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
        let endless = [head.as_bytes(), &[b'x'; 4 * MAX_PART]].concat();
        assert_eq!(
            answer(endless, Protocol::Http1).await.unwrap().body.len(),
            MAX_PART
        );
        assert!(
            answer(vec![b'x'; 4 * MAX_PART], Protocol::Http1)
                .await
                .is_err()
        );
        let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &b"A: b\r\n".repeat(MAX_PART)].concat();
        assert!(answer(endless, Protocol::Http1).await.is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            for head in [&b""[..], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] {
                for protocol in [Protocol::Http1, Protocol::Http2] {
                    let _ = runtime.block_on(answer([head, &bytes].concat(), protocol));
                }
            }
        }
    }
}
