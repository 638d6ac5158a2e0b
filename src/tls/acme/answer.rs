//! Answers validations (RFC 8737): a certificate that holds the digest of the authority's question,
//! for clients that ask for nothing else.

use crate::config::Domain;
use arc_swap::ArcSwapOption;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// The protocol that a validation, and nothing else, negotiates.
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

/// The answers to the validations that are pending.
///
/// Its copies share them. Most of the time there is none, which costs connections one comparison.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(Arc<ArcSwapOption<HashMap<String, Arc<Answer>>>>);

impl Answers {
    /// Returns `true` if a validation is pending.
    pub(crate) fn are_pending(&self) -> bool {
        self.0.load().is_some()
    }

    /// Returns the answer for a client that offers exactly the protocol of validations, and asks
    /// for a name whose validation is pending.
    pub(super) fn find<'p>(
        &self,
        server_name: Option<&str>,
        protocols: impl Iterator<Item = &'p [u8]>,
    ) -> Option<Arc<Answer>> {
        let pending = self.0.load();
        let answer = pending.as_ref()?.get(server_name?)?;
        is_validation(protocols).then(|| answer.clone())
    }

    /// Returns the answer for a server name.
    pub(super) fn get(&self, server_name: &str) -> Option<Arc<Answer>> {
        self.0.load().as_ref()?.get(server_name).cloned()
    }

    /// Returns the number of pending validations.
    pub(super) fn count(&self) -> usize {
        self.0.load().as_ref().map_or(0, |pending| pending.len())
    }

    /// Replaces all answers, by server name.
    pub(crate) fn replace(&self, answers: HashMap<String, Arc<Answer>>) {
        self.0
            .store((!answers.is_empty()).then(|| Arc::new(answers)));
    }
}

/// Returns `true` if a client offers the protocol of validations, once, and no other.
fn is_validation<'p>(mut protocols: impl Iterator<Item = &'p [u8]>) -> bool {
    protocols.next() == Some(PROTOCOL) && protocols.next().is_none()
}

/// The answer to the validation of a name.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The name that is validated, as it is configured.
    pub(crate) name: String,
    /// What the certificate holds.
    pub(super) digest: Vec<u8>,
    /// The settings of a handshake that ends without any data of an application.
    pub(crate) config: Arc<ServerConfig>,
}

impl Answer {
    /// Makes the answer for `domain`. `identifier` is the name as the authority wrote it, for some
    /// compare the certificate byte for byte.
    pub(crate) fn new(domain: &Domain, identifier: &str, digest: &[u8]) -> Result<Self, String> {
        if digest.len() != 32 {
            return Err("the digest of a validation has another length than 32 bytes".into());
        }
        let certified = certify(domain, identifier, digest)
            .map_err(|error| format!("cannot answer the validation of {identifier}: {error}"))?;
        let resolver = OnlyForValidations {
            server_name: domain.server_name(),
            certified: Arc::new(certified),
        };
        Ok(Self {
            name: domain.to_string(),
            digest: digest.to_vec(),
            config: Arc::new(config(resolver)?),
        })
    }
}

/// Presents the answer to nothing but a validation.
///
/// The hello by which these settings were chosen may be followed by another one, after a
/// HelloRetryRequest.
#[derive(Debug)]
struct OnlyForValidations {
    server_name: String,
    certified: Arc<CertifiedKey>,
}

impl ResolvesServerCert for OnlyForValidations {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_asked = hello.server_name() == Some(&self.server_name);
        let is_validation = hello.alpn().is_some_and(is_validation);
        (is_asked && is_validation).then(|| self.certified.clone())
    }
}

fn config(resolver: OnlyForValidations) -> Result<ServerConfig, String> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        // Validators may use either, whatever clients must.
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Makes the certificate with a key that is used for nothing else.
fn certify(domain: &Domain, identifier: &str, digest: &[u8]) -> Result<CertifiedKey, String> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![match domain {
        Domain::Dns(_) => SanType::DnsName(
            identifier
                .try_into()
                .map_err(|error: rcgen::Error| error.to_string())?,
        ),
        Domain::Ip(address) => SanType::IpAddress(*address),
    }];
    // Validators compare subject and issuer, which are both empty here.
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let certificate = params
        .self_signed(&key)
        .map_err(|error| error.to_string())?;
    let signing_key =
        aws_lc_rs::sign::any_ecdsa_type(&PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(
        vec![certificate.der().clone()],
        signing_key,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::extensions::{GeneralName, ParsedExtension};

    fn pending(domain: &str) -> Answers {
        let domain = Domain::parse(domain).unwrap();
        let answer = Answer::new(&domain, &domain.to_string(), &[7; 32]).unwrap();
        let answers = Answers::default();
        answers.replace([(domain.server_name(), Arc::new(answer))].into());
        answers
    }

    #[test]
    fn exactly_the_protocol_and_a_pending_name_are_answered() {
        let answers = pending("hooks.example");
        let check = |name: Option<&str>, protocols: &[&[u8]], expected: bool| {
            let found = answers.find(name, protocols.iter().copied());
            assert_eq!(found.is_some(), expected, "{name:?} {protocols:?}");
        };
        let name = Some("hooks.example");
        check(name, &[PROTOCOL], true);
        check(name, &[], false);
        check(name, &[PROTOCOL, PROTOCOL], false);
        check(name, &[PROTOCOL, b"h2"], false);
        check(name, &[b"http/1.1", PROTOCOL], false);
        check(name, &[b"ACME-TLS/1"], false);
        check(name, &[b"acme-tls/1\0"], false);
        check(name, &[b"acme-tls/"], false);
        check(None, &[PROTOCOL], false);
        check(Some("other.example"), &[PROTOCOL], false);
        check(Some("a.hooks.example"), &[PROTOCOL], false);
        check(Some(""), &[PROTOCOL], false);
        answers.replace(HashMap::new());
        assert!(!answers.are_pending());
        check(name, &[PROTOCOL], false);
    }

    #[test]
    fn an_answer_has_one_name_and_the_digest_and_is_its_own_issuer() {
        for (name, identifier) in [
            ("hooks.example", "Hooks.example"),
            ("192.0.2.1", "192.0.2.1"),
        ] {
            let domain = Domain::parse(name).unwrap();
            let certified = certify(&domain, identifier, &[9; 32]).unwrap();
            let (_, certificate) = x509_parser::parse_x509_certificate(&certified.cert[0]).unwrap();
            assert_eq!(
                certificate.subject().as_raw(),
                certificate.issuer().as_raw()
            );
            let names = certificate.subject_alternative_name().unwrap().unwrap();
            let expected = match &domain {
                Domain::Dns(_) => GeneralName::DNSName(identifier),
                Domain::Ip(_) => GeneralName::IPAddress(&[192, 0, 2, 1]),
            };
            assert_eq!(names.value.general_names, [expected]);
            let extension = certificate
                .extensions()
                .iter()
                .find(|it| it.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
                .unwrap();
            assert!(extension.critical);
            assert!(matches!(
                extension.parsed_extension(),
                ParsedExtension::UnsupportedExtension { .. }
            ));
            assert_eq!(extension.value, [&[4, 32][..], &[9; 32]].concat());
        }
        assert!(Answer::new(&Domain::parse("a.example").unwrap(), "a.example", &[1; 31]).is_err());
    }
}
