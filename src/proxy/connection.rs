//! Serves one connection: reads each HTTP/1.1 head whole, judges its framing, and has the request answered.
//!
//! Pingora's own reading of a head has no deadline, allows a megabyte, and repairs what it should refuse. Here a head
//! arrives in time and in bounds and can be read in one way only, before anybody acts on it.

use super::http1::Http1;
use super::http2;
use super::session::Session as _;
use super::{BehindPingora, Gate, Gateway, respond};
use crate::framing;
use crate::head::Head;
use crate::read::read;
use crate::rejection::Rejection;
use crate::telemetry::context::{Context, Outcome, new_request_id};
use crate::telemetry::{Monitor, access_log};
use bytes::BytesMut;
use pingora::apps::{HttpServerApp as _, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Digest, Stream};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a connection without a request is kept when the process is to end. What has been sent just now arrives and
/// is answered, with word that the connection closes; closing at once would lose it.
const LAST_CALL: Duration = Duration::from_secs(1);

/// How long a refused sender may take to read why.
const FAREWELL: Duration = Duration::from_secs(2);

/// What every downstream connection is served by.
pub struct Downstream {
    pub(super) gateway: Arc<Gateway>,
    /// For what Pingora's own sessions carry.
    pub(super) proxy: Arc<HttpProxy<BehindPingora>>,
}

/// Why there is no head.
enum NoHead {
    /// The sender closed the connection, or was silent for too long, between requests.
    Idle,
    /// It is refused.
    Refused(Rejection),
}

impl Downstream {
    /// Serves requests through `gate`, of which `monitor` is told.
    pub fn new(gate: Arc<Gate>, draining: ShutdownWatch, conf: &Arc<ServerConf>, monitor: Arc<Monitor>) -> Self {
        let gateway = Arc::new(Gateway::new(gate, draining, monitor));
        let mut proxy = HttpProxy::new(BehindPingora(gateway.clone()), conf.clone());
        proxy.handle_init_modules();
        Self { gateway, proxy: Arc::new(proxy) }
    }

    /// Serves requests until the connection ends. A drain that is signalled through `shutdown` lets the request in
    /// flight finish.
    pub async fn serve(&self, stream: Stream, shutdown: ShutdownWatch) {
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            // One of these lives as long as its connection, but most connections are not of this kind.
            return Box::pin(http2::serve(self, stream, shutdown)).await;
        }
        self.serve_http1(stream, shutdown).await;
    }

    async fn serve_http1(&self, mut stream: Stream, mut shutdown: ShutdownWatch) {
        let digest = digest(&stream);
        let mut input = BytesMut::new();
        loop {
            let head = match self.read_head(&mut stream, &mut input, &mut shutdown).await {
                Ok(head) => head,
                Err(NoHead::Idle) => return close(stream).await,
                Err(NoHead::Refused(rejection)) => {
                    return Box::pin(refuse(stream, rejection, &self.gateway.monitor)).await;
                }
            };
            // What follows is large while it lasts, and most of the time a connection is idle.
            stream = if head.first("transfer-encoding").is_some() {
                match Box::pin(self.hand_over(stream, &head, &mut input, &shutdown)).await {
                    Some(stream) => stream,
                    None => return,
                }
            } else {
                let limit = self.gateway.gate.policy().limits().body_timeout;
                let mut session = Http1::new(&mut stream, &digest, &mut input, &head, limit);
                if *shutdown.borrow() {
                    session.close_after();
                }
                Box::pin(self.gateway.serve(&mut session, &head)).await;
                match session.is_reusable() {
                    true => stream,
                    false => return close(stream).await,
                }
            };
        }
    }

    /// Lets Pingora carry a request. Afterwards the connection is ready for the next one, or gone.
    async fn hand_over(
        &self,
        stream: Stream,
        head: &Head,
        input: &mut BytesMut,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let limits = *self.gateway.gate.policy().limits();
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive(Some(limits.idle_timeout.as_secs().max(1)));
        let mut prefix = BytesMut::from(head.as_bytes());
        prefix.unsplit(input.split());
        session.set_pipelined_prefix(prefix);
        session.set_total_drain_timeout(Some(FAREWELL));
        let reused = self.proxy.process_new_http(session, shutdown).await;
        // Nothing is lost with the rest: Pingora does not reuse a connection of which it has read too much.
        reused.map(ReusedHttpStream::consume).map(|(stream, _)| stream)
    }

    /// Reads until a head is complete; what follows it in the same read stays behind in `input`.
    async fn read_head(
        &self,
        stream: &mut Stream,
        input: &mut BytesMut,
        shutdown: &mut ShutdownWatch,
    ) -> Result<Head, NoHead> {
        let limits = *self.gateway.gate.policy().limits();
        if input.is_empty() {
            let first = tokio::select! {
                biased;
                first = timeout(limits.idle_timeout, read(stream, input)) => first,
                () = last_call(shutdown) => return Err(NoHead::Idle),
            };
            if !matches!(first, Ok(Ok(1..))) {
                return Err(NoHead::Idle);
            }
        }
        // From here on a head is in flight, which a drain waits for as for anything else.
        let mut deadline = None;
        loop {
            // An empty line before the request line is to be ignored (RFC 9112 section 2.2).
            while input.starts_with(b"\r\n") {
                let _ = input.split_to(2);
            }
            let length = framing::head_length(input);
            if length.unwrap_or(input.len()) > limits.max_header_size {
                return Err(NoHead::Refused(Rejection::HeaderTooLarge(limits.max_header_size)));
            }
            if let Some(length) = length {
                return framing::parse(input.split_to(length).freeze()).map_err(NoHead::Refused);
            }
            framing::check_unfinished(input).map_err(NoHead::Refused)?;
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + limits.header_timeout);
            match timeout_at(deadline, read(stream, input)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Err(NoHead::Idle),
                Err(_) => return Err(NoHead::Refused(Rejection::Timeout("head"))),
            }
        }
    }
}

/// What is known about a connection.
pub(super) fn digest(stream: &Stream) -> Digest {
    Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: Vec::new(),
        proxy_digest: None,
        socket_digest: stream.get_socket_digest(),
    }
}

/// Returns when the process is to end.
pub(super) async fn draining(shutdown: &mut ShutdownWatch) {
    // An error says that nobody can signal any more, which is as good as the signal.
    let _ = shutdown.wait_for(|draining| *draining).await;
}

/// Returns when it is, and the last call is over.
async fn last_call(shutdown: &mut ShutdownWatch) {
    draining(shutdown).await;
    sleep(LAST_CALL).await;
}

/// Says why, and closes.
async fn refuse(mut stream: Stream, rejection: Rejection, monitor: &Monitor) {
    let mut context = Context::new();
    context.request_id = new_request_id();
    context.outcome = Some(Outcome::Refused(rejection.code()));
    context.rejection = Some(rejection.clone());
    context.remote_addr = stream
        .get_socket_digest()
        .and_then(|digest| digest.peer_addr().and_then(|address| address.as_inet()).map(|address| address.ip()));
    let (head, body) = respond::raw(&rejection, &context.request_id);
    let mut bytes_sent = 0;
    let farewell = async {
        stream.write_all((head + &body).as_bytes()).await?;
        bytes_sent = body.len() as u64;
        stream.shutdown().await?;
        // Closing with unread data would reset the connection, and the sender might never see why.
        let mut discarded = BytesMut::new();
        while read(&mut stream, &mut discarded).await? > 0 {
            discarded.clear();
        }
        Ok::<_, std::io::Error>(())
    };
    // Whether it was heard makes no difference.
    let _ = timeout(FAREWELL, farewell).await;
    access_log::write_unparsed(rejection.status(), bytes_sent, &context);
    monitor.unparsed(rejection.status(), &context);
}

async fn close(mut stream: Stream) {
    let _ = timeout(FAREWELL, AsyncWriteExt::shutdown(&mut stream)).await;
}
