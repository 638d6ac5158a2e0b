//! Check: the server sends a chain to a known authority.

use super::CHAIN;
use crate::commands::client::path_words;
use crate::commands::doctor::finding::CheckFinding;
use crate::commands::doctor::options::CheckOptions;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::time::ASN1Time;

type Path = Vec<CertificateDer<'static>>;

/// The chain that a server sent, leaf first.
pub(super) struct SentChain<'c> {
    ders: &'c [CertificateDer<'static>],
    certificates: Vec<X509Certificate<'c>>,
    /// Path from the leaf to an authority, without the authority.
    path: Result<Path, webpki::Error>,
    /// Time of the check, in seconds since the epoch.
    pub(super) now: i64,
}

impl<'c> SentChain<'c> {
    /// Parses and verifies a chain. Returns `None` if it is empty.
    pub(super) fn parse(
        ders: &'c [CertificateDer<'static>],
        roots: &RootCertStore,
    ) -> Result<Option<Self>, x509_parser::nom::Err<X509Error>> {
        let parse = |der| x509_parser::parse_x509_certificate(der).map(|(_, parsed)| parsed);
        let certificates: Vec<X509Certificate<'c>> = ders
            .iter()
            .map(|der| parse(der))
            .collect::<Result<_, _>>()?;
        let now = ASN1Time::now().timestamp();
        Ok(certificates.first().map(valid_at(now)).map(|when| Self {
            path: verify(ders, when, roots),
            ders,
            certificates,
            now,
        }))
    }

    fn leaf(&self) -> &X509Certificate<'c> {
        &self.certificates[0]
    }

    /// Splits the chain into the certificates on the path, or all if there is none, and the others.
    /// Self-signed authorities are left out: clients that trust them have them already.
    pub(super) fn sort(&self) -> (Vec<&X509Certificate<'c>>, Vec<&X509Certificate<'c>>) {
        let mut needed = Vec::new();
        let mut spare = Vec::new();
        for (der, certificate) in self.ders.iter().zip(&self.certificates) {
            match self.path.as_ref().map(|path| path.contains(der)) {
                Ok(true) => needed.push(certificate),
                Ok(false) if self.counts(certificate) => spare.push(certificate),
                Err(_) if self.counts(certificate) => needed.push(certificate),
                _ => {}
            }
        }
        (needed, spare)
    }

    fn counts(&self, certificate: &X509Certificate<'_>) -> bool {
        !is_self_issued(certificate) || self.certificates.len() == 1
    }

    /// Returns the certificate at the end of the chain of issuers.
    fn top(&self) -> &X509Certificate<'c> {
        let mut top = self.leaf();
        for _ in &self.certificates {
            let mut others = self.certificates.iter();
            let issuer = others.find(|other| other.subject().as_raw() == top.issuer().as_raw());
            top = issuer.unwrap_or(top);
        }
        top
    }

    /// Returns the number of certificates, in words.
    fn count(&self) -> String {
        let certificates = self.certificates.len();
        let plural = if certificates == 1 { "" } else { "s" };
        format!("{certificates} certificate{plural}")
    }
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw()
}

/// Returns the current time, or the nearest one at which the certificate is valid: its validity is a
/// separate check.
fn valid_at(now: i64) -> impl Fn(&X509Certificate<'_>) -> i64 {
    move |leaf| {
        let validity = leaf.validity();
        now.min(validity.not_after.timestamp())
            .max(validity.not_before.timestamp())
    }
}

fn verify(
    chain: &[CertificateDer<'_>],
    when: i64,
    roots: &RootCertStore,
) -> Result<Path, webpki::Error> {
    let provider = aws_lc_rs::default_provider();
    let leaf = EndEntityCert::try_from(&chain[0])?;
    let path = leaf.verify_for_usage(
        provider.signature_verification_algorithms.all,
        &roots.roots,
        &chain[1..],
        UnixTime::since_unix_epoch(Duration::from_secs(when.max(0).unsigned_abs())),
        KeyUsage::server_auth(),
        None,
        None,
    )?;
    let above = path.intermediate_certificates();
    let above = above.map(|certificate| certificate.der().into_owned());
    let leaf = chain[0].clone().into_owned();
    Ok([leaf].into_iter().chain(above).collect())
}

pub(super) fn check(chain: &SentChain<'_>, options: &CheckOptions) -> CheckFinding {
    let Err(error) = &chain.path else {
        return complete(chain, &options.roots_name);
    };
    let top = chain.top();
    let known_names = options.roots.subjects();
    let issuer = top.issuer().as_raw();
    let is_known = known_names.iter().any(|name| name.as_ref() == issuer);
    match error {
        _ if !is_known && is_self_issued(top) => unknown(top, &options.roots_name),
        webpki::Error::UnknownIssuer if !is_known => incomplete(chain, top),
        error => unverified(chain.leaf(), error),
    }
}

fn complete(chain: &SentChain<'_>, roots_name: &str) -> CheckFinding {
    let (sent, issuer) = (chain.count(), chain.leaf().issuer());
    CHAIN.pass(format!(
        "{sent} sent, issued by {issuer}, known to {roots_name}"
    ))
}

fn unknown(top: &X509Certificate<'_>, roots_name: &str) -> CheckFinding {
    let subject = top.subject();
    CHAIN.fail(
        format!("it ends with \"{subject}\", which is self-signed and not known to {roots_name}"),
        "get a certificate of a public authority, such as Let's Encrypt; for your own authority, use --ca FILE",
    )
}

fn incomplete(chain: &SentChain<'_>, top: &X509Certificate<'_>) -> CheckFinding {
    let (sent, issuer, subject) = (chain.count(), top.issuer(), top.subject());
    CHAIN.fail(
        format!("{sent} sent, but that of \"{issuer}\", the issuer of \"{subject}\", is missing"),
        "send the whole chain: fullchain.pem, not cert.pem (with --ca FILE, give its authority)",
    )
}

fn unverified(leaf: &X509Certificate<'_>, error: &webpki::Error) -> CheckFinding {
    let (leaf, reason) = (leaf.subject(), explain(error));
    CHAIN.fail(
        format!("\"{leaf}\" cannot be verified: {reason}"),
        "get a new certificate of a public authority, such as Let's Encrypt",
    )
}

fn explain(error: &webpki::Error) -> String {
    match error {
        webpki::Error::UnknownIssuer => path_words(&webpki::Error::InvalidSignatureForPublicKey),
        other => path_words(other),
    }
}
