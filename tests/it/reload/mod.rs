//! Trust that changes: whatever a session or a connection was once allowed, each request is judged
//! by the trust of now.
//!
//! The window of `run --upgrade` is in `upgrade::window`.

mod configuration;
mod files;
mod lists;
mod withdrawal;

use crate::support::{Connection, Http2, Leaf, Origin, Pki, Proxy, Sender};
use rustls::SupportedProtocolVersion;

const ALERT: &str = "{\"alert\":\"x\"}";

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// Everything a client may have kept from when it was welcome.
struct Veteran {
    name: String,
    sender: Sender,
    open: Connection,
    http2: Http2,
}

impl Veteran {
    fn all(proxy: &Proxy, leaf: &Leaf) -> Vec<Self> {
        VERSIONS
            .iter()
            .map(|version| Self::new(proxy, leaf, version))
            .collect()
    }

    fn new(proxy: &Proxy, leaf: &Leaf, version: &'static SupportedProtocolVersion) -> Self {
        let sender = Sender::with_versions(proxy, Some(leaf), &[version]);
        let mut open = sender.connect().unwrap();
        assert_eq!(open.post(ALERT).unwrap().status, 200);
        let mut http2 = Http2::connect(&sender).unwrap();
        assert_eq!(http2.post(ALERT).unwrap().status, 200);
        Self {
            name: format!("{version:?}"),
            sender,
            open,
            http2,
        }
    }

    /// Neither what is open nor what is resumed nor a new connection gets a request through: where
    /// requests are answered, they are refused with `code`.
    fn meets_refusal(mut self, origin: &Origin, code: &str) {
        let before = origin.received().len();
        self.open.post(ALERT).unwrap().refuses(403, code);
        self.http2.post(ALERT).unwrap().refuses(403, code);
        let mut again = self.sender.connect().unwrap();
        match (code, again.post(ALERT)) {
            // The chain is good, so that the handshake is, too.
            ("common_name_mismatch", answer) => answer.unwrap().refuses(403, code),
            (_, answer) => assert!(answer.is_err(), "{}: {answer:?}", self.name),
        }
        assert!(!again.is_resumed(), "{}", self.name);
        assert_eq!(origin.received().len(), before, "{}", self.name);
    }
}

/// Welcomes clients with `leaf`'s certificate, changes the configuration, and welcomes them no
/// more.
fn withdrawn(pki: &Pki, leaf: &Leaf, code: &str, change: impl FnOnce(&str) -> String) {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(pki, &config);
    let veterans = Veteran::all(&proxy, leaf);
    proxy.reload(&change(&config));
    veterans
        .into_iter()
        .for_each(|veteran| veteran.meets_refusal(&origin, code));
}

/// The proxy's own certificate, as a client sees it.
fn server_certificate(proxy: &Proxy) -> Vec<u8> {
    Sender::to(proxy, None).server_certificate()
}
