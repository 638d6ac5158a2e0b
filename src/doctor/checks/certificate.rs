//! The server's certificate: whole up to an authority that is known, for this name, and valid now.

use crate::doctor::client::{Conversation, Outcome};
use crate::doctor::finding::Finding;
use crate::doctor::means::Means;
use crate::doctor::target::dns_names;
use crate::sender::Place;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;

const DAY: i64 = 24 * 60 * 60;

/// What expires sooner than this is to be renewed now.
const RENEWAL: i64 = 14 * DAY;

pub(in crate::doctor) fn check(place: &Place, conversation: &Conversation, means: &Means) -> Vec<Finding> {
    let chain = &conversation.shown.chain;
    let parse = |der| x509_parser::parse_x509_certificate(der).map(|(_, parsed)| parsed);
    let parsed: Result<Vec<X509Certificate<'_>>, _> = chain.iter().map(|der| parse(der)).collect();
    let remedy = "serve a chain in PEM: the leaf first, and each issuer after it, such as fullchain.pem of certbot";
    match parsed {
        Ok(parsed) if !parsed.is_empty() => {
            let now = ASN1Time::now().timestamp();
            vec![check_chain(chain, &parsed, now, means), check_name(place, chain), check_validity(&parsed, now)]
        }
        Ok(_) => vec![none(&conversation.outcome)],
        Err(error) => vec![Finding::fail("chain", format!("a certificate cannot be read: {error}"), remedy)],
    }
}

fn none(outcome: &Outcome) -> Finding {
    let why = match outcome {
        Outcome::Refused(why) | Outcome::HungUp(why) => why.clone(),
        Outcome::Failed(failure) => failure.to_string(),
        Outcome::Silent => "nothing was answered in time".into(),
        Outcome::Answered(_) => "none was shown".into(),
    };
    Finding::fail(
        "chain",
        format!("there was no TLS handshake with a certificate: {why}"),
        "let the port speak TLS 1.2 or 1.3, and this machine connect (listen.allow, proxy_protocol)",
    )
}

/// Judged at a time at which the leaf is valid: that it is valid now is a check of its own.
fn check_chain(chain: &[CertificateDer<'_>], parsed: &[X509Certificate<'_>], now: i64, means: &Means) -> Finding {
    let validity = parsed[0].validity();
    let when = now.min(validity.not_after.timestamp()).max(validity.not_before.timestamp());
    let error = match verify(chain, when, &means.roots) {
        Ok(()) => {
            let text =
                format!("{} sent, issued by {}, known to {}", count(chain.len()), parsed[0].issuer(), means.roots_name);
            return Finding::pass("chain", text);
        }
        Err(error) => error,
    };
    let last = top(parsed);
    let is_self_issued = last.issuer().as_raw() == last.subject().as_raw();
    let is_known = means.roots.subjects().iter().any(|name| name.as_ref() == last.issuer().as_raw());
    if is_self_issued && !is_known {
        return Finding::fail(
            "chain",
            format!(
                "it ends with \"{}\", which signed itself and is not known to {}",
                last.subject(),
                means.roots_name
            ),
            "get a certificate of a public authority, such as Let's Encrypt; for one of your own, --server-ca FILE",
        );
    }
    if matches!(error, webpki::Error::UnknownIssuer) && !is_known {
        let sent = count(chain.len());
        return Finding::fail(
            "chain",
            format!("{sent} sent, and that of \"{}\", the issuer of \"{}\", is missing", last.issuer(), last.subject()),
            "serve the whole chain: fullchain.pem, not cert.pem (with --server-ca FILE, name its authority)",
        );
    }
    Finding::fail(
        "chain",
        format!("\"{}\" cannot be verified: {}", parsed[0].subject(), explain(&error)),
        "get a new certificate of a public authority, such as Let's Encrypt",
    )
}

fn explain(error: &webpki::Error) -> String {
    match error {
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            "its issuer only has the name of one that is known".into()
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => "it is not for servers (extended key usage)".into(),
        other => format!("{other:?}"),
    }
}

fn verify(chain: &[CertificateDer<'_>], when: i64, roots: &RootCertStore) -> Result<(), webpki::Error> {
    let when = UnixTime::since_unix_epoch(Duration::from_secs(when.max(0).unsigned_abs()));
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    EndEntityCert::try_from(&chain[0])?
        .verify_for_usage(algorithms, &roots.roots, &chain[1..], when, KeyUsage::server_auth(), None, None)
        .map(drop)
}

fn count(certificates: usize) -> String {
    format!("{certificates} certificate{}", if certificates == 1 { "" } else { "s" })
}

/// The certificate that is found by going from each to its issuer.
fn top<'c, 'd>(parsed: &'c [X509Certificate<'d>]) -> &'c X509Certificate<'d> {
    let mut top = &parsed[0];
    for _ in parsed {
        let issuer = parsed.iter().find(|other| other.subject().as_raw() == top.issuer().as_raw());
        top = issuer.unwrap_or(top);
    }
    top
}

fn check_name(place: &Place, chain: &[CertificateDer<'_>]) -> Finding {
    let leaf = EndEntityCert::try_from(&chain[0]);
    match leaf.map(|leaf| leaf.verify_is_valid_for_subject_name(&place.server_name())) {
        Ok(Ok(())) => Finding::pass("certificate name", format!("it is for {}", place.host)),
        _ => {
            let names = dns_names(&chain[0]);
            let names = if names.is_empty() { "no host".into() } else { names[..names.len().min(10)].join(", ") };
            Finding::fail(
                "certificate name",
                format!("it is for {names}, not for {}", place.host),
                "get a certificate for this name, or use a name that it is for in the URL",
            )
        }
    }
}

fn check_validity(parsed: &[X509Certificate<'_>], now: i64) -> Finding {
    if let Some(early) = parsed.iter().find(|it| it.validity().not_before.timestamp() > now) {
        return Finding::fail(
            "certificate validity",
            format!("\"{}\" is not valid before {}", early.subject(), early.validity().not_before),
            "see whether the clock of this machine is right; otherwise get a new certificate",
        );
    }
    // The first to expire. An authority of one's own that signed itself matters to nobody who knows it.
    let counts = |it: &&X509Certificate<'_>| it.issuer().as_raw() != it.subject().as_raw() || parsed.len() == 1;
    let Some(first) = parsed.iter().filter(counts).min_by_key(|it| it.validity().not_after.timestamp()) else {
        return Finding::skip("certificate validity", "every certificate signed itself");
    };
    let not_after = first.validity().not_after;
    let left = not_after.timestamp() - now;
    let renew = "renew it, and see why that did not happen by itself";
    match left {
        ..0 => {
            Finding::fail("certificate validity", format!("\"{}\" has expired on {not_after}", first.subject()), renew)
        }
        0..RENEWAL => {
            let text = format!("\"{}\" expires in {} days, on {not_after}", first.subject(), left / DAY);
            Finding::warn("certificate validity", text, renew)
        }
        _ => Finding::pass("certificate validity", format!("{} days left, until {not_after}", left / DAY)),
    }
}
