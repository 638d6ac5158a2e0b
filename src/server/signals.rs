//! The signals that end this process or replace it.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

/// Streams of the signals that are handled.
pub(super) struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    quit: Option<Signal>,
    user: Option<Signal>,
    rotate: Option<Signal>,
}

/// The action that a signal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalAction {
    /// SIGTERM: finish the requests in flight, then end.
    Drain,
    /// SIGINT: end at once.
    End,
    /// SIGQUIT: hand the sockets over to a successor that the operator starts.
    HandOver,
    /// SIGUSR2: start a successor, and hand the sockets over to it.
    Succeed,
}

impl Signals {
    /// Installs the handlers: from here on, none of these signals has its default effect.
    pub(super) fn listen() -> Self {
        Self {
            terminate: listen(SignalKind::terminate()),
            interrupt: listen(SignalKind::interrupt()),
            quit: listen(SignalKind::quit()),
            user: listen(SignalKind::user_defined2()),
            rotate: listen(SignalKind::user_defined1()),
        }
    }

    pub(super) async fn next(&mut self) -> SignalAction {
        loop {
            tokio::select! {
                () = received(&mut self.terminate) => return SignalAction::Drain,
                () = received(&mut self.interrupt) => return SignalAction::End,
                () = received(&mut self.quit) => return SignalAction::HandOver,
                () = received(&mut self.user) => return SignalAction::Succeed,
                // Tools that rotate NGINX's logs send SIGUSR1.
                () = received(&mut self.rotate) => {
                    info!(event = "log_rotation_ignored", "SIGUSR1 ignored: logs go to standard error, its reader rotates them");
                }
            }
        }
    }
}

fn listen(kind: SignalKind) -> Option<Signal> {
    let complain = |error: &io::Error| error!(event = "signal_handler_failed", %error, signal = kind.as_raw_value(), "cannot install a signal handler");
    signal(kind).inspect_err(complain).ok()
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
