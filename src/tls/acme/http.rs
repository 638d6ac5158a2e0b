//! The HTTP client for authorities: every wait has an end, and what a response says beside its body
//! is kept.
//!
//! Each request has a connection of its own. An order takes a dozen, every few weeks.

use super::clock::ClockSkew;
use crate::config::system_authorities;
use bytes::Bytes;
use http::header::{DATE, HOST, LINK, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

/// Time to connect, with the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time to connect to one address, so that there is some left for the next one: that of IPv6 may
/// lead nowhere.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for a request and its response, with connecting.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum length of a response. Chains have 10 KiB.
const MAX_BODY: usize = 1 << 20;

const AGENT: HeaderValue = HeaderValue::from_static(concat!(
    "netdata-webhook-proxy/",
    env!("CARGO_PKG_VERSION"),
    " instant-acme"
));

/// What the last response said beside its body.
#[derive(Clone, Debug, Default)]
pub(super) struct LastResponse {
    pub(super) status: Option<StatusCode>,
    pub(super) retry_after: Option<Duration>,
    /// The terms of service to agree to, if that is asked for.
    pub(super) terms: Option<String>,
    /// The last that is known of the clock, if there was no response.
    pub(super) clock_skew: Option<ClockSkew>,
}

/// A client that trusts the system's authorities and those of the configuration.
#[derive(Clone)]
pub(super) struct DeadlineClient {
    tls: TlsConnector,
    last: Arc<Mutex<LastResponse>>,
}

impl DeadlineClient {
    pub(super) fn new(directory_ca: &[CertificateDer<'static>]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match system_authorities() {
            Ok(system) => drop(roots.add_parsable_certificates(system.iter().cloned())),
            // The configured ones may be all that is needed.
            Err(error) if directory_ca.is_empty() => return Err(format!("the directory {error}")),
            Err(_) => {}
        }
        roots.add_parsable_certificates(directory_ca.iter().cloned());
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            last: Arc::default(),
        })
    }

    /// Returns what the last response said; nothing if there was none.
    pub(super) fn last(&self) -> LastResponse {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, last: LastResponse) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    async fn exchange(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> io::Result<Response<Full<Bytes>>> {
        let uri = request.uri().clone();
        let stream = timeout(CONNECT_TIMEOUT, self.connect(&uri))
            .await
            .map_err(|_| late("connect", CONNECT_TIMEOUT))??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // Ends with the exchange, also with one that is given up.
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let response = sender.send_request(addressed(request, &uri)?).await;
        let (parts, body) = response.map_err(io::Error::other)?.into_parts();
        self.note(LastResponse::of(
            parts.status,
            &parts.headers,
            SystemTime::now(),
        ));
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(io::Error::other)?.to_bytes();
        Ok(Response::from_parts(parts, Full::new(body)))
    }

    async fn connect(
        &self,
        uri: &Uri,
    ) -> io::Result<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + use<>> {
        if uri.scheme_str() != Some("https") {
            return Err(io::Error::other("the authority names a URL without https"));
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let addresses = lookup_host((host, uri.port_u16().unwrap_or(443))).await?;
        let stream = connect_to_any(addresses, ADDRESS_TIMEOUT).await?;
        self.tls.connect(name, stream).await.map_err(with_hint)
    }
}

impl HttpClient for DeadlineClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            client.note(LastResponse {
                clock_skew: client.last().clock_skew,
                ..LastResponse::default()
            });
            let host = request.uri().host().unwrap_or_default().to_owned();
            let response = match timeout(REQUEST_TIMEOUT, client.exchange(request)).await {
                Ok(response) => response,
                Err(_) => Err(late("answer", REQUEST_TIMEOUT)),
            };
            response
                .map(BytesResponse::from)
                .map_err(|error| Error::Other(format!("{host}: {error}").into()))
        })
    }
}

/// Connects to the first address that answers in time.
async fn connect_to_any(
    addresses: impl Iterator<Item = SocketAddr>,
    limit: Duration,
) -> io::Result<TcpStream> {
    let mut last = io::Error::other("it has no address");
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = late("connect", limit),
        }
    }
    Err(last)
}

/// Adds what may be wrong here, to an error about the times in the authority's own certificate.
fn with_hint(error: io::Error) -> io::Error {
    use rustls::{CertificateError, Error};
    let inner = error.get_ref().and_then(|error| error.downcast_ref());
    match inner {
        Some(Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        )) => io::Error::other(format!("{error}; is the clock of this machine right?")),
        _ => error,
    }
}

fn late(what: &str, limit: Duration) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("it did not {what} within {limit:?}"),
    )
}

/// Writes a request as a server takes it: with its path alone, and a `Host`.
fn addressed(
    mut request: Request<BodyWrapper<Bytes>>,
    uri: &Uri,
) -> io::Result<Request<BodyWrapper<Bytes>>> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(authority).map_err(io::Error::other)?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(USER_AGENT, AGENT);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(io::Error::other)?;
    Ok(request)
}

impl LastResponse {
    fn of(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Self {
        Self {
            status: Some(status),
            retry_after: text(headers, RETRY_AFTER).and_then(|value| retry_after(value, now)),
            terms: headers.get_all(LINK).iter().find_map(terms),
            clock_skew: text(headers, DATE).and_then(|date| ClockSkew::from_date(date, now)),
        }
    }
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Reads `Retry-After` in either form: seconds, or a date.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    match value.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(value.trim()).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

/// Returns the URL of a link to the terms of service.
fn terms(link: &HeaderValue) -> Option<String> {
    let (url, parameters) = link.to_str().ok()?.split_once('>')?;
    parameters
        .contains("terms-of-service")
        .then(|| url.trim_start().trim_start_matches('<').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_wait_is_read_in_either_form() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let check = |value, expected: Option<u64>| {
            assert_eq!(
                retry_after(value, now),
                expected.map(Duration::from_secs),
                "{value}"
            );
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        for value in ["", "soon", "-1"] {
            check(value, None);
        }
    }

    #[tokio::test]
    async fn an_address_that_leads_nowhere_leaves_time_for_the_next() {
        use tokio::net::{TcpListener, TcpSocket};
        let any = "127.0.0.1:0".parse().unwrap();
        // What is beyond the queue of a listener gets no answer.
        let full = TcpSocket::new_v4().unwrap();
        full.bind(any).unwrap();
        let full = full.listen(1).unwrap();
        let nowhere = full.local_addr().unwrap();
        let limit = Duration::from_millis(200);
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(limit, TcpStream::connect(nowhere)).await {
            queued.push(stream.unwrap());
        }
        let answering = TcpListener::bind(any).await.unwrap();
        let somewhere = answering.local_addr().unwrap();
        let stream = connect_to_any([nowhere, somewhere].into_iter(), limit).await;
        assert_eq!(stream.unwrap().peer_addr().unwrap(), somewhere);
        let error = connect_to_any([nowhere].into_iter(), limit)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("did not connect"), "{error}");
        let error = connect_to_any([].into_iter(), limit).await.unwrap_err();
        assert!(error.to_string().contains("no address"), "{error}");
    }

    #[test]
    fn a_certificate_that_is_out_of_time_may_be_the_fault_of_the_clock() {
        use rustls::CertificateError::{Expired, NotValidYet, UnknownIssuer};
        let told = |fault| {
            let error = rustls::Error::InvalidCertificate(fault);
            with_hint(io::Error::new(io::ErrorKind::InvalidData, error)).to_string()
        };
        for fault in [Expired, NotValidYet] {
            assert!(told(fault).ends_with("is the clock of this machine right?"));
        }
        assert!(!told(UnknownIssuer).contains("clock"));
    }

    #[test]
    fn terms_are_found_among_links() {
        let check = |link: &'static str, expected: Option<&str>| {
            assert_eq!(
                terms(&HeaderValue::from_static(link)).as_deref(),
                expected,
                "{link}"
            );
        };
        check(
            "<https://ca/terms>;rel=\"terms-of-service\"",
            Some("https://ca/terms"),
        );
        check("<https://ca/directory>;rel=\"index\"", None);
        check("https://ca/terms", None);
    }
}
