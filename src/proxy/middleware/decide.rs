//! The decisions alone: values in, a decision out, for servers that are not Pingora's.

use crate::auth::Presented;
use crate::http::request_head::{HttpVersion, RequestHead};
use crate::http::response_head::ResponseHead;
use crate::proxy::gate::Gate;
use crate::proxy::respond;
use crate::proxy::session::{BodyPart, ClientGone, Session};
use crate::proxy::transaction::Transaction;
use crate::proxy::verified::Decision;
use crate::rejection::Rejection;
use crate::telemetry::context::Context;
use crate::tls::Trust;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderName, Response, StatusCode};
use pingora::protocols::Digest;
use rustls::pki_types::CertificateDer;

impl Gate {
    /// Decides about a request whose head and body have been read, without I/O.
    ///
    /// `peer_certificates` is the chain that the client presented, leaf first, and empty if it
    /// presented none; its chain is verified here, against the current trust. Read no more of a
    /// body than `max_body` before calling this: what is longer is refused, but it is in memory by
    /// then. Rates are not limited, because the client's address is not known here.
    pub fn decide(
        &self,
        parts: &Parts,
        body: &Bytes,
        peer_certificates: &[CertificateDer<'static>],
    ) -> Decision<Response<Bytes>> {
        let policy = self.policy();
        if !policy.is_responsible_for(target(parts)) {
            return Decision::Unrouted;
        }
        let head = head(parts);
        let mut session = BufferedSession::new(peer_certificates, body);
        let mut context = Context::new();
        let mut transaction = Transaction::new(&mut session, &head, &mut context);
        // Ready at once, unless the memory for bodies is exhausted and would have to be waited for.
        let decision = self.judge_by(&policy, &mut transaction).now_or_never();
        let decision = decision.unwrap_or_else(|| {
            let _ = respond::reject(&mut transaction, &Rejection::Overloaded).now_or_never();
            Decision::Answered(())
        });
        decision.answered_with(|| session.into_response())
    }
}

impl Decision {
    /// Adds the response to the decision that a request has been answered.
    fn answered_with<R>(self, response: impl FnOnce() -> R) -> Decision<R> {
        match self {
            Self::Deliver(verified) => Decision::Deliver(verified),
            Self::PassThrough(authorized) => Decision::PassThrough(authorized),
            Self::Unrouted => Decision::Unrouted,
            Self::Answered(()) => Decision::Answered(response()),
        }
    }
}

/// Returns the request target in origin form, as it is sent over HTTP/1.1.
fn target(parts: &Parts) -> &[u8] {
    parts
        .uri
        .path_and_query()
        .map_or(b"/", |target| target.as_str().as_bytes())
}

fn head(parts: &Parts) -> RequestHead {
    let version = HttpVersion::from(parts.version);
    let fields = parts.headers.iter();
    let fields = fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    RequestHead::from_parts(version, parts.method.as_str(), target(parts), fields)
}

/// A request that has been read, and the response that it gets.
struct BufferedSession<'r> {
    peer_certificates: &'r [CertificateDer<'static>],
    body: Option<Bytes>,
    head: Option<ResponseHead>,
    response: BytesMut,
}

impl<'r> BufferedSession<'r> {
    fn new(peer_certificates: &'r [CertificateDer<'static>], body: &Bytes) -> Self {
        Self {
            peer_certificates,
            body: Some(body.clone()).filter(|body| !body.is_empty()),
            head: None,
            response: BytesMut::new(),
        }
    }

    fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(self.response.freeze());
        let Some(head) = self.head else {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        };
        *response.status_mut() = head.status();
        for (name, value) in head.fields() {
            if let (Ok(name), Ok(value)) = (name.try_into(), value.try_into()) {
                response.headers_mut().append::<HeaderName>(name, value);
            }
        }
        response
    }
}

impl Session for BufferedSession<'_> {
    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn presented(&self, trust: &Trust) -> Presented {
        match self.peer_certificates {
            [] => Presented::Nothing,
            chain => trust.judge(chain),
        }
    }

    fn presented_before(&self, _: &Trust) -> Option<Presented> {
        None
    }

    /// Certificates are demanded as of a TLS connection: a request over plain HTTP has none.
    fn tls_version(&self) -> Option<&str> {
        Some("TLS")
    }

    async fn read_body(&mut self) -> BodyPart {
        Ok(self.body.take())
    }

    fn is_body_done(&mut self) -> bool {
        self.body.is_none()
    }

    async fn write_continue(&mut self) -> Result<(), ClientGone> {
        Ok(())
    }

    fn close_after(&mut self) {}

    async fn begin(&mut self, head: &ResponseHead) -> Result<(), ClientGone> {
        self.head = Some(head.clone());
        Ok(())
    }

    async fn write(&mut self, part: Bytes) -> Result<(), ClientGone> {
        self.response.extend_from_slice(&part);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ClientGone> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), ClientGone> {
        Ok(())
    }

    async fn abort(&mut self) {}

    fn status(&self) -> Option<u16> {
        self.head.as_ref().map(|head| head.status().as_u16())
    }

    fn bytes_sent(&self) -> u64 {
        self.response.len() as u64
    }
}
