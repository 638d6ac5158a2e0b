//! The reverse proxy: what becomes of a request, from its head to its line in the log.

mod admit;
mod body;
mod connection;
mod forward;
mod http1;
mod http2;
mod http2_deadline;
mod rate;
mod respond;
mod session;
mod stream;
mod upstream;

pub use crate::telemetry::context::{Context, Outcome};
pub use admit::{Admitted, Authorized, Gate, Policy, Verified};
pub use connection::Downstream;

use crate::head::Head;
use crate::telemetry::Monitor;
use crate::telemetry::access_log::{self, Answered};
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use pingora_proxy::ProxyHttp;
use session::{PingoraSession, Session};
use std::sync::Arc;

/// Admits requests and forwards what is verified.
pub struct Gateway {
    gate: Arc<Gate>,
    /// Turns true when the process is to end.
    draining: ShutdownWatch,
    monitor: Arc<Monitor>,
}

impl Gateway {
    /// A gateway behind `gate`, whose requests `monitor` is told of.
    pub fn new(gate: Arc<Gate>, draining: ShutdownWatch, monitor: Arc<Monitor>) -> Self {
        Self { gate, draining, monitor }
    }

    /// Answers the request of which `head` was read.
    async fn serve<S: Session>(&self, session: &mut S, head: &Head) {
        let mut in_flight = InFlight { context: Context::new(), is_over: false };
        let context = &mut in_flight.context;
        match self.gate.admit_over(session, head, context).await {
            Some(Admitted::Notification(verified)) => {
                upstream::forward(&self.draining, session, head, context, &verified).await;
            }
            Some(Admitted::Request(authorized)) => {
                // Most requests are none of these, and need not pay for the room.
                let passage = stream::pass_on(&self.draining, session, head, context, &authorized);
                Box::pin(passage).await;
            }
            None => {}
        }
        let (tls, status, bytes_sent) = (session.tls_version(), session.status(), session.bytes_sent());
        let answered = Answered { head, tls, status, bytes_sent };
        access_log::write(&answered, context);
        self.monitor.request(&answered, context);
        in_flight.is_over = true;
    }
}

/// A request that has not been answered to its end.
struct InFlight {
    context: Context,
    is_over: bool,
}

/// It ends early when the process does: then this line is all there is of it.
impl Drop for InFlight {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let context = &self.context;
        let notification = context.notification.as_deref();
        tracing::warn!(
            request_id = context.request_id,
            remote_addr = context.remote_addr.map(tracing::field::display),
            route = context.route.as_deref(),
            transition_id = notification.and_then(|notification| notification.transition_id.as_deref()),
            upstream = context.upstream.as_deref(),
            "the request was cut off"
        );
    }
}

/// Behind a session of Pingora's, for the requests whose bodies it reads.
struct BehindPingora(Arc<Gateway>);

#[async_trait]
impl ProxyHttp for BehindPingora {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut pingora_proxy::Session, (): &mut ()) -> pingora::Result<bool> {
        let limit = self.0.gate.policy().limits().body_timeout;
        let mut session = PingoraSession::new(session, limit);
        let head = session.head();
        self.0.serve(&mut session, &head).await;
        Ok(true)
    }

    /// Nothing comes this far: `request_filter` has answered every request.
    async fn upstream_peer(&self, _: &mut pingora_proxy::Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Error::e_explain(ErrorType::InternalError, "no request goes to its upstream on this way")
    }
}
