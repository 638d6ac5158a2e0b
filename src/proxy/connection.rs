//! Serves one connection: reads each HTTP/1.1 head whole, judges its framing, and hands it to Pingora.
//!
//! Pingora's own reading of a head has no deadline, allows a megabyte, and repairs what it should refuse. Here a head
//! arrives in time and in bounds and can be read in one way only, before Pingora parses it.

use super::http2_deadline::Http2Deadline;
use super::{Gate, Gateway, respond};
use crate::framing;
use crate::rejection::Rejection;
use crate::telemetry::access_log;
use crate::telemetry::context::{Context, Outcome, new_request_id};
use bytes::BytesMut;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::default_h2_options;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// The first read of a head asks for this much; most heads and their bodies fit.
const FIRST_READ: usize = 4096;

/// How long a refused sender may take to read why.
const FAREWELL: Duration = Duration::from_secs(2);

/// What every downstream connection is served by.
pub struct Downstream {
    proxy: Arc<HttpProxy<Gateway>>,
    gate: Arc<Gate>,
}

/// Why there is no head.
enum NoHead {
    /// The sender closed the connection, or was silent for too long, between requests.
    Idle,
    /// It is refused.
    Refused(Rejection),
}

impl Downstream {
    /// Serves requests through `gate`.
    pub fn new(gate: Arc<Gate>, draining: ShutdownWatch, conf: &Arc<ServerConf>) -> Self {
        let limits = *gate.policy().limits();
        let mut proxy = HttpProxy::new(Gateway::new(gate.clone(), draining), conf.clone());
        proxy.handle_init_modules();
        let mut options = HttpServerOptions::default();
        options.h2_idle_timeout = Some(limits.idle_timeout);
        proxy.server_options = Some(options);
        let mut h2 = default_h2_options();
        h2.max_header_list_size(u32::try_from(limits.max_header_size).unwrap_or(u32::MAX));
        proxy.h2_options = Some(h2);
        Self { proxy: Arc::new(proxy), gate }
    }

    /// Serves requests until the connection ends. A drain that is signalled through `shutdown` lets the request in
    /// flight finish.
    pub async fn serve(&self, stream: Stream, mut shutdown: ShutdownWatch) {
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            let limit = self.gate.policy().limits().header_timeout;
            self.proxy.process_new(Box::new(Http2Deadline::new(stream, limit)), &shutdown).await;
            return;
        }
        let mut next = Some(ReusedHttpStream::new(stream, None));
        while let Some((mut stream, settings)) = next.map(ReusedHttpStream::consume) {
            let head = tokio::select! {
                biased;
                head = self.read_head(&mut stream) => head,
                () = draining(&mut shutdown) => Err(NoHead::Idle),
            };
            let head = match head {
                Ok(head) => head,
                Err(NoHead::Idle) => return close(stream).await,
                Err(NoHead::Refused(rejection)) => return refuse(stream, &rejection).await,
            };
            let limits = *self.gate.policy().limits();
            let mut session = ServerSession::new_http1(stream);
            session.set_keepalive(Some(limits.idle_timeout.as_secs().max(1)));
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            session.set_pipelined_prefix(head);
            session.set_total_drain_timeout(Some(FAREWELL));
            next = self.proxy.process_new_http(session, &shutdown).await;
        }
    }

    /// Reads until a head is complete; what follows it in the same read stays behind it.
    async fn read_head(&self, stream: &mut Stream) -> Result<BytesMut, NoHead> {
        let limits = *self.gate.policy().limits();
        let mut bytes = BytesMut::with_capacity(FIRST_READ);
        let first = timeout(limits.idle_timeout, stream.read_buf(&mut bytes)).await;
        if !matches!(first, Ok(Ok(1..))) {
            return Err(NoHead::Idle);
        }
        let deadline = Instant::now() + limits.header_timeout;
        loop {
            // An empty line before the request line is to be ignored (RFC 9112 section 2.2).
            while bytes.starts_with(b"\r\n") {
                let _ = bytes.split_to(2);
            }
            let length = framing::head_length(&bytes);
            if length.unwrap_or(bytes.len()) > limits.max_header_size {
                return Err(NoHead::Refused(Rejection::HeaderTooLarge(limits.max_header_size)));
            }
            if let Some(length) = length {
                framing::check(&bytes[..length]).map_err(NoHead::Refused)?;
                return Ok(bytes);
            }
            framing::check_unfinished(&bytes).map_err(NoHead::Refused)?;
            match timeout_at(deadline, stream.read_buf(&mut bytes)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Err(NoHead::Idle),
                Err(_) => return Err(NoHead::Refused(Rejection::Timeout("head"))),
            }
        }
    }
}

/// Returns when the process is to end.
async fn draining(shutdown: &mut ShutdownWatch) {
    // An error says that nobody can signal any more, which is as good as the signal.
    let _ = shutdown.wait_for(|draining| *draining).await;
}

/// Says why, and closes.
async fn refuse(mut stream: Stream, rejection: &Rejection) {
    let mut context = Context::new();
    context.request_id = new_request_id();
    context.outcome = Some(Outcome::Refused(rejection.code()));
    context.remote_addr = stream
        .get_socket_digest()
        .and_then(|digest| digest.peer_addr().and_then(|address| address.as_inet()).map(|address| address.ip()));
    let message = respond::raw(rejection, &context.request_id);
    let farewell = async {
        stream.write_all(&message).await?;
        stream.shutdown().await?;
        // Closing with unread data would reset the connection, and the sender might never see why.
        let mut discarded = [0; 4096];
        while stream.read(&mut discarded).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whether it was heard makes no difference.
    let _ = timeout(FAREWELL, farewell).await;
    access_log::write_unparsed(rejection.status(), &context);
}

async fn close(mut stream: Stream) {
    let _ = timeout(FAREWELL, AsyncWriteExt::shutdown(&mut stream)).await;
}
