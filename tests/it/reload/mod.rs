//! Trust that changes: whatever a session or a connection was once allowed, each request is judged
//! by the trust of now.
//!
//! The window of `run --upgrade` is in `upgrade::window`.

mod configuration;
mod files;
mod lists;
mod withdrawal;

use crate::support::{Connection, Http2, Leaf, Origin, Pki, Proxy, Sender, is_event};
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

    /// Neither what is open nor what is resumed nor a new connection gets a request through.
    fn meets_refusal(mut self, origin: &Origin) {
        let before = origin.received().len();
        let open = self.open.post(ALERT);
        assert!(
            open.as_ref().is_ok_and(|answer| answer.status == 403) || open.is_err(),
            "{}: {open:?}",
            self.name
        );
        let http2 = self.http2.post(ALERT);
        assert!(
            http2.as_ref().is_ok_and(|answer| answer.status == 403) || http2.is_err(),
            "{}: {http2:?}",
            self.name
        );
        let mut again = self.sender.connect().unwrap();
        let answer = again.post(ALERT);
        assert!(
            answer.as_ref().is_ok_and(|answer| answer.status == 403) || answer.is_err(),
            "{}: {answer:?}",
            self.name
        );
        assert!(!again.is_resumed(), "{}", self.name);
        assert_eq!(origin.received().len(), before, "{}", self.name);
    }
}

/// Welcomes clients with `leaf`'s certificate, changes the configuration, and welcomes them no
/// more.
fn withdrawn(pki: &Pki, leaf: &Leaf, change: impl FnOnce(&str) -> String) {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(pki, &config);
    let veterans = Veteran::all(&proxy, leaf);
    proxy.reload(&change(&config));
    assert!(
        proxy
            .log()
            .iter()
            .any(|line| is_event(line, "config_reloaded")),
        "{:#?}",
        proxy.log()
    );
    veterans
        .into_iter()
        .for_each(|veteran| veteran.meets_refusal(&origin));
}

/// The proxy's own certificate, as a client sees it.
fn server_certificate(proxy: &Proxy) -> Vec<u8> {
    Sender::to(proxy, None).server_certificate()
}
