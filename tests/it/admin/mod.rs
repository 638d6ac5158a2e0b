//! The admin listener: its pages, metrics and rules of access.

mod access;
mod exposition;
mod process;
mod readiness;
mod requests;

use crate::support::{Leaf, Operator, Origin, Pki, Proxy, Sender};

const ALERT: &str = "{\"alert\":{\"name\":\"ram\",\"state\":{\"status\":\"Critical\"}}}";

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

struct Scene {
    origin: Origin,
    proxy: Proxy,
    operator: Operator,
}

impl Scene {
    /// With `more` behind the configuration.
    fn new(pki: &Pki, verify: &str, more: &str) -> Self {
        let origin = Origin::spawn();
        let config = Proxy::config(&origin, verify, "") + more + ADMIN;
        Self::spawn(pki, &config, origin)
    }

    fn spawn(pki: &Pki, config: &str, origin: Origin) -> Self {
        let proxy = Proxy::spawn(pki, config);
        let operator = Operator::of(&proxy);
        Self {
            origin,
            proxy,
            operator,
        }
    }

    fn sender(&self, leaf: Option<&Leaf>) -> Sender {
        Sender::to(&self.proxy, leaf)
    }
}

/// A series of `requests_total`.
fn requests(route: &str, outcome: &str, code: &str) -> String {
    format!("requests_total{{code=\"{code}\",outcome=\"{outcome}\",route=\"{route}\"}}")
}

fn handshakes(outcome: &str, reason: &str) -> String {
    format!("handshakes_total{{outcome=\"{outcome}\",reason=\"{reason}\"}}")
}
