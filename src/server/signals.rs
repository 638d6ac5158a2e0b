//! The signals that this process obeys.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

/// Those that end it, one way or the other.
pub(super) struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    quit: Option<Signal>,
    user: Option<Signal>,
    rotate: Option<Signal>,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// SIGTERM: finish what is in flight, and end.
    Drain,
    /// SIGINT: end.
    End,
    /// SIGQUIT: hand the sockets over to a successor that somebody starts.
    HandOver,
    /// SIGUSR2: start a successor, and hand the sockets over to it.
    Succeed,
}

impl Signals {
    /// From here on none of them has the system's effect.
    pub(super) fn listen() -> Self {
        Self {
            terminate: listen(SignalKind::terminate()),
            interrupt: listen(SignalKind::interrupt()),
            quit: listen(SignalKind::quit()),
            user: listen(SignalKind::user_defined2()),
            rotate: listen(SignalKind::user_defined1()),
        }
    }

    pub(super) async fn next(&mut self) -> Order {
        loop {
            tokio::select! {
                () = received(&mut self.terminate) => return Order::Drain,
                () = received(&mut self.interrupt) => return Order::End,
                () = received(&mut self.quit) => return Order::HandOver,
                () = received(&mut self.user) => return Order::Succeed,
                // What rotates NGINX's logs sends it.
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
