//! Metrics of connections and their TLS handshakes.

use super::{counters, gauge};
use crate::tls::RefusalCode;
use prometheus::{IntCounter, IntGauge, Registry};

/// The reason why a connection was refused before any data was exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionRefusal {
    /// The PROXY protocol header is missing, late or unreadable.
    ProxyProtocol,
    /// The address is not in `listen.allow`.
    NotAllowed,
    /// The limit `limits.max_connections` is reached.
    MaxConnections,
    /// The limit `limits.max_connections_per_address` is reached.
    MaxConnectionsPerAddress,
}

impl ConnectionRefusal {
    const ALL: [Self; 4] = [
        Self::ProxyProtocol,
        Self::NotAllowed,
        Self::MaxConnections,
        Self::MaxConnectionsPerAddress,
    ];

    /// Returns the value of the label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ProxyProtocol => "proxy_protocol",
            Self::NotAllowed => "not_allowed",
            Self::MaxConnections => "max_connections",
            Self::MaxConnectionsPerAddress => "max_connections_per_address",
        }
    }
}

/// The metrics of connections.
pub(crate) struct ConnectionMetrics {
    open: IntGauge,
    refused: [IntCounter; ConnectionRefusal::ALL.len()],
    handshakes_ok: IntCounter,
    handshakes_refused: [IntCounter; RefusalCode::ALL.len()],
}

impl ConnectionMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let handshakes = counters(
            registry,
            "handshakes_total",
            "TLS handshakes, by how they ended.",
            &["outcome", "reason"],
        );
        let refusals = counters(
            registry,
            "connections_refused_total",
            "Connections closed before anything was said on them.",
            &["reason"],
        );
        Self {
            open: gauge(registry, "connections", "Connections that are open."),
            refused: ConnectionRefusal::ALL
                .map(|code| refusals.with_label_values(&[code.as_str()])),
            handshakes_ok: handshakes.with_label_values(&["ok", ""]),
            handshakes_refused: RefusalCode::ALL
                .map(|code| handshakes.with_label_values(&["refused", code.as_str()])),
        }
    }

    /// Counts a handshake, by the reason if it was refused.
    pub(crate) fn handshake(&self, refused: Option<RefusalCode>) {
        match refused {
            None => self.handshakes_ok.inc(),
            Some(code) => self.handshakes_refused[code as usize].inc(),
        }
    }

    /// Counts a connection that is refused.
    pub(crate) fn refused(&self, why: ConnectionRefusal) {
        self.refused[why as usize].inc();
    }

    /// Returns the gauge of open connections.
    pub(crate) fn open(&self) -> &IntGauge {
        &self.open
    }
}
