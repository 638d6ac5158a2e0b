//! Reads a ClientHello before anything is chosen by it, and says whether it is that of a validation.

use super::{Answer, Answers};
use rustls::server::Acceptor;
use std::sync::Arc;

/// The maximum length of a hello, with its records. Those of browsers have 2 KiB.
pub(crate) const MAX_HELLO: usize = 32 * 1024;

/// A hello as far as it has arrived.
///
/// The parser sends nothing, so that whatever it has read can be read again.
#[derive(Default)]
pub(crate) struct HelloReader(Acceptor);

impl HelloReader {
    /// Reads further bytes. Returns `None` as long as the hello is not complete; then the answer to
    /// the validation, if it is one. What is not a hello is not a validation.
    pub(crate) fn read(
        &mut self,
        mut bytes: &[u8],
        answers: &Answers,
    ) -> Option<Option<Arc<Answer>>> {
        while !bytes.is_empty() {
            match self.0.read_tls(&mut bytes) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Some(None),
            }
            match self.0.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    let protocols = hello.alpn().into_iter().flatten();
                    return Some(answers.find(hello.server_name(), protocols));
                }
                Err(_) => return Some(None),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Domain;
    use crate::tls::acme::PROTOCOL;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    /// The first flight of a client.
    fn hello(name: &str, protocols: &[&[u8]]) -> Vec<u8> {
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn answers() -> Answers {
        let domain = Domain::parse("hooks.example").unwrap();
        let answer = Answer::new(&domain, "hooks.example", &[7; 32]).unwrap();
        let answers = Answers::default();
        answers.replace([("hooks.example".to_owned(), Arc::new(answer))].into());
        answers
    }

    #[test]
    fn a_hello_is_judged_once_it_is_whole_however_it_arrives() {
        let answers = answers();
        for (name, protocols, expected) in [
            ("hooks.example", &[PROTOCOL][..], true),
            ("HOOKS.example.", &[PROTOCOL], true),
            ("hooks.example", &[PROTOCOL, b"h2"], false),
            ("hooks.example", &[], false),
            ("other.example", &[PROTOCOL], false),
            ("192.0.2.1", &[PROTOCOL], false),
        ] {
            let bytes = hello(name, protocols);
            for size in [1, 7, bytes.len()] {
                let mut reader = HelloReader::default();
                let mut verdict = None;
                for chunk in bytes.chunks(size) {
                    assert!(verdict.is_none(), "before the end");
                    verdict = reader.read(chunk, &answers);
                }
                assert_eq!(
                    verdict.unwrap().is_some(),
                    expected,
                    "{name} {protocols:?} {size}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_a_hello_is_not_a_validation() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0x16, 3, 1, 0, 4, 2, 0, 0, 0],
            &[0xff; 64],
        ] {
            let verdict = HelloReader::default().read(bytes, &answers());
            assert!(matches!(verdict, Some(None)), "{bytes:?}");
        }
    }
}
