//! One connection, and what is asked and answered on it, within bounds of size.

use super::stream::{Breakage, HeardOut};
use super::{ClientFailure, ClientRequest, ClientResponse, Stream, WebhookTarget};
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Version};
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

/// Bytes of a head, or of what is read of a body.
const MAX_PART: usize = 64 * 1024;

/// How long the end of a connection may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// The server has said all that it had to say.
const CLOSED: ClientFailure = ClientFailure::HungUp("the connection was closed");

type HttpRequest = http::Request<Full<Bytes>>;

/// What is spoken on a connection.
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

/// A connection that is ready for requests, one at a time.
pub(crate) struct ClientConnection {
    requests: Requests,
    /// What keeps it alive; it ends with this.
    _driver: AbortOnDropHandle<()>,
    ended: CancellationToken,
    breakage: Arc<Breakage>,
    scheme: &'static str,
    authority: String,
}

enum Requests {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl ClientConnection {
    /// Speaks `protocol` with what is at `place`.
    pub(crate) async fn open(
        stream: impl Stream + 'static,
        protocol: Protocol,
        place: &WebhookTarget,
    ) -> Result<Self, ClientFailure> {
        let (stream, breakage) = HeardOut::new(stream);
        let stream = TokioIo::new(stream);
        let ended = CancellationToken::new();
        let refuse = |error| explain(&error, &breakage);
        let (requests, driver) = match protocol {
            Protocol::Http1 => {
                let mut builder = http1::Builder::new();
                let (requests, driver) = builder
                    .max_buf_size(MAX_PART)
                    .handshake(stream)
                    .await
                    .map_err(refuse)?;
                (Requests::Http1(requests), drive(driver, &ended, &breakage))
            }
            Protocol::Http2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.max_header_list_size(MAX_PART as u32);
                let (requests, driver) = builder.handshake(stream).await.map_err(refuse)?;
                (Requests::Http2(requests), drive(driver, &ended, &breakage))
            }
        };
        Ok(Self {
            requests,
            _driver: driver,
            ended,
            breakage,
            scheme: place.scheme(),
            authority: place.authority(),
        })
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self.requests {
            Requests::Http1(_) => Protocol::Http1,
            Requests::Http2(_) => Protocol::Http2,
        }
    }

    /// Waits until there can be a request. It cannot if the connection has ended.
    pub(crate) async fn ready(&mut self) -> Result<(), ClientFailure> {
        let ready = match &mut self.requests {
            Requests::Http1(requests) => requests.ready().await,
            Requests::Http2(requests) => requests.ready().await,
        };
        match ready {
            Ok(()) => Ok(()),
            Err(error) => Err(self.explain(&error).await),
        }
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn exchange(
        &mut self,
        request: &ClientRequest,
    ) -> Result<ClientResponse, ClientFailure> {
        self.ready().await?;
        let request = self
            .message(request)
            .map_err(|error| ClientFailure::Other(error.to_string()))?;
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

    /// The head of the answer; nothing if the connection has ended without a word about the
    /// request, as happens to one that is handed over at that very moment: hyper forgets it.
    async fn answer(
        &mut self,
        request: HttpRequest,
    ) -> Option<hyper::Result<http::Response<Incoming>>> {
        let ended = self.ended.cancelled();
        let requests = &mut self.requests;
        let answer = async move {
            match requests {
                Requests::Http1(requests) => requests.send_request(request).await,
                Requests::Http2(requests) => requests.send_request(request).await,
            }
        };
        let mut answer = pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => Some(answer),
            // The answer may have come with the end, and be on its way from one task to the other.
            () = ended => timeout(FAREWELL, answer).await.ok(),
        }
    }

    fn message(&self, request: &ClientRequest) -> http::Result<HttpRequest> {
        let mut message = http::Request::new(Full::new(request.body.clone()));
        *message.method_mut() = request.method.clone();
        *message.headers_mut() = request.headers.clone();
        let target = request.target.parse::<http::Uri>()?;
        match self.protocol() {
            Protocol::Http1 => {
                *message.uri_mut() = target;
                message
                    .headers_mut()
                    .insert(HOST, HeaderValue::try_from(&self.authority)?);
            }
            Protocol::Http2 => {
                let mut parts = target.into_parts();
                parts.scheme = Some(self.scheme.parse()?);
                parts.authority = Some(self.authority.parse()?);
                *message.uri_mut() = http::Uri::from_parts(parts)?;
                *message.version_mut() = Version::HTTP_2;
            }
        }
        Ok(message)
    }

    /// Who asks on a connection that broke hears only that it did; what drives it knows why.
    async fn explain(&self, error: &hyper::Error) -> ClientFailure {
        if error.is_canceled() {
            // Without it, there is less to say.
            let _ = timeout(FAREWELL, self.ended.cancelled()).await;
        }
        explain(error, &self.breakage)
    }

    /// Ends the connection as is usual.
    pub(crate) async fn close(self) {
        drop(self.requests);
        // Who does not agree is not waited for.
        let _ = timeout(FAREWELL, self.ended.cancelled()).await;
    }

    /// Waits until the other side ends the connection.
    pub(crate) async fn closed(self) {
        self.ended.cancelled().await;
    }
}

/// Keeps a connection alive, and says when and how it has ended.
fn drive(
    driver: impl Future<Output = hyper::Result<()>> + Send + 'static,
    ended: &CancellationToken,
    breakage: &Arc<Breakage>,
) -> AbortOnDropHandle<()> {
    let (ended, breakage) = (ended.clone().drop_guard(), breakage.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = driver.await {
            breakage.speaking(explain(&error, &breakage));
        }
        drop(ended);
    }))
}

/// What is there of a body, within bounds: whatever breaks it off, the status is what counts.
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

    /// The answer to a request, where `bytes` are all that is answered.
    async fn answer(bytes: Vec<u8>, protocol: Protocol) -> Result<ClientResponse, ClientFailure> {
        let place = WebhookTarget::parse("http://hooks.example/x").unwrap();
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let server = tokio::spawn(async move {
            // Nothing is answered before something is asked.
            let _ = theirs.read(&mut [0; 1024]).await;
            let _ = theirs.write_all(&bytes).await;
            let _ = theirs.shutdown().await;
            let _ = theirs.read_to_end(&mut Vec::new()).await;
        });
        let mut connection = ClientConnection::open(ours, protocol, &place).await?;
        let answer = connection
            .exchange(&ClientRequest::post(&place, Bytes::new()))
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
