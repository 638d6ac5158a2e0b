//! The reverse proxy: Pingora's phases, each of which asks a module and notes the outcome.

mod admit;
mod body;
mod connection;
mod forward;
mod http2_deadline;
mod rate;
mod respond;
mod upstream;

pub use crate::telemetry::context::{Context, Outcome};
pub use admit::{Gate, Policy, Verified};
pub use connection::Downstream;

use crate::exchange::{Exchange, Timeouts};
use crate::telemetry::access_log;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use pingora_proxy::{ProxyHttp, Session};
use std::sync::Arc;

/// Admits requests and forwards what is verified.
pub struct Gateway {
    gate: Arc<Gate>,
    exchange: Exchange,
    /// Turns true when the process is to end.
    draining: ShutdownWatch,
}

impl Gateway {
    /// A gateway behind `gate`.
    pub fn new(gate: Arc<Gate>, draining: ShutdownWatch) -> Self {
        Self { gate, exchange: Exchange::new(Timeouts::default()), draining }
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new()
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<bool> {
        session.set_write_timeout(Some(self.gate.policy().limits().body_timeout));
        if let Some(verified) = self.gate.admit(session, context).await {
            upstream::forward(&self.exchange, &self.draining, session, context, &verified).await;
        }
        Ok(true)
    }

    /// Nothing comes this far: `request_filter` has answered every request.
    async fn upstream_peer(&self, _: &mut Session, _: &mut Context) -> pingora::Result<Box<HttpPeer>> {
        Error::e_explain(ErrorType::InternalError, "a webhook is never streamed to its upstream")
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, context: &mut Context) {
        access_log::write(session, context);
    }
}
