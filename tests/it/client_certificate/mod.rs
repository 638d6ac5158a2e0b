//! Which certificates a client gets through with, in every mode.

mod accepted;
mod asked;
mod effort;
mod refused;

use crate::support::{Answer, Leaf, Origin, Pki, Proxy, Sender, WEBHOOK};
use rustls::SupportedProtocolVersion;

const ALERT: &str = "{\"alert\":\"x\"}";

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// The same application behind both modes.
struct Scene {
    origin: Origin,
    require: Proxy,
    request: Proxy,
}

impl Scene {
    fn new() -> Self {
        let origin = Origin::spawn();
        let require = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
        let request = Proxy::in_front_of(&origin, Pki::shared(), "request", "");
        Self {
            origin,
            require,
            request,
        }
    }

    fn post(
        proxy: &Proxy,
        leaf: Option<&Leaf>,
        version: &'static SupportedProtocolVersion,
    ) -> std::io::Result<Answer> {
        Sender::with_versions(proxy, leaf, &[version]).send("POST", WEBHOOK, "", ALERT)
    }

    /// Passes in both modes, over both versions of TLS.
    #[track_caller]
    fn accepts(&self, what: &str, leaf: &Leaf) {
        for proxy in [&self.require, &self.request] {
            for version in VERSIONS {
                let answer = Self::post(proxy, Some(leaf), version)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(answer.status, 200, "{what} {version:?}: {answer:?}");
            }
        }
    }

    /// The chain is good and the name is not: 403 in both modes.
    #[track_caller]
    fn refuses_name(&self, leaf: &Leaf) {
        for proxy in [&self.require, &self.request] {
            for version in VERSIONS {
                Self::post(proxy, Some(leaf), version)
                    .unwrap()
                    .refuses(403, "common_name_mismatch");
            }
        }
    }

    /// No handshake in the one mode, and an explanation in the other.
    #[track_caller]
    fn refuses_chain(&self, what: &str, leaf: &Leaf) {
        for version in VERSIONS {
            let refused = Self::post(&self.require, Some(leaf), version);
            assert!(refused.is_err(), "{what} {version:?}: {refused:?}");
            Self::post(&self.request, Some(leaf), version)
                .unwrap_or_else(|error| panic!("{what} {version:?}: {error}"))
                .refuses(403, "client_certificate_invalid");
        }
    }

    /// No handshake in either mode: where the certificate cannot be read, its key cannot be used
    /// either, so that nothing proves that the client holds it.
    #[track_caller]
    fn cannot_read(&self, what: &str, leaf: &Leaf) {
        for proxy in [&self.require, &self.request] {
            for version in VERSIONS {
                let refused = Self::post(proxy, Some(leaf), version);
                assert!(refused.is_err(), "{what} {version:?}: {refused:?}");
            }
        }
    }
}
