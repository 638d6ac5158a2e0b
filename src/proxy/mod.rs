//! The reverse proxy: what becomes of a request, from its head to its line in the log.

mod body;
#[cfg(feature = "server")]
mod deliver;
#[cfg(feature = "server")]
mod downstream;
mod gate;
#[cfg(feature = "server")]
mod pass_through;
mod rate_limit;
mod respond;
mod session;
mod upstream_request;

pub use crate::telemetry::context::{Context, Outcome};
pub use downstream::Downstream;
pub(crate) use downstream::{LAST_CALL, LAST_PART, over};
pub use gate::{Admitted, Authorized, Gate, Policy, Verified};

use crate::http::request_head::Head;
use crate::rejection::Rejection;
use crate::telemetry::Monitor;
use crate::telemetry::access_log::{self, Answered};
use pingora::server::ShutdownWatch;
use session::Session;
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
        Self {
            gate,
            draining,
            monitor,
        }
    }

    /// Answers the request of which `head` was read, or refuses it if there is a reason to.
    async fn serve<S: Session>(&self, session: &mut S, head: &Head, rejection: Option<Rejection>) {
        let mut in_flight = InFlight {
            context: Context::new(),
            is_over: false,
        };
        let context = &mut in_flight.context;
        let was_read = rejection.is_none();
        let admitted = match rejection {
            Some(rejection) => self.gate.refuse(session, head, context, &rejection).await,
            None => self.gate.admit_over(session, head, context).await,
        };
        match admitted {
            Some(Admitted::Notification(verified)) => {
                deliver::forward(&self.draining, session, head, context, &verified).await;
            }
            Some(Admitted::Request(authorized)) => {
                // Most requests are none of these, and need not pay for the room.
                let passage =
                    pass_through::pass_on(&self.draining, session, head, context, &authorized);
                Box::pin(passage).await;
            }
            None => {}
        }
        let (tls, status, bytes_sent) = (
            session.tls_version(),
            session.status(),
            session.bytes_sent(),
        );
        let answered = Answered {
            head,
            was_read,
            tls,
            status,
            bytes_sent,
        };
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
            transition_id =
                notification.and_then(|notification| notification.transition_id.as_deref()),
            upstream = context.upstream.as_deref(),
            "the request was cut off"
        );
    }
}
