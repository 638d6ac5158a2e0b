//! The server's certificate: whole up to an authority that is known, for this name, and valid now.

use crate::commands::client::{ClientFailure, WebhookTarget, path_words};
use crate::commands::doctor::client::{Exchange, ExchangeOutcome};
use crate::commands::doctor::finding::Finding;
use crate::commands::doctor::options::CheckOptions;
use crate::commands::doctor::target::dns_names;
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

pub(in crate::commands::doctor) fn check(
    place: &WebhookTarget,
    conversation: &Exchange,
    means: &CheckOptions,
) -> Vec<Finding> {
    let chain = &conversation.shown.chain;
    let parse = |der| x509_parser::parse_x509_certificate(der).map(|(_, parsed)| parsed);
    let parsed: Result<Vec<X509Certificate<'_>>, _> = chain.iter().map(|der| parse(der)).collect();
    let remedy = "serve a chain in PEM: the leaf first, and each issuer after it, such as fullchain.pem of certbot";
    match parsed {
        Ok(parsed) if !parsed.is_empty() => {
            let now = ASN1Time::now().timestamp();
            let path = verify(chain, valid_at(&parsed[0], now), &means.roots);
            let (needed, spare) = sort(chain, &parsed, path.as_deref().ok());
            let validity = check_validity(&needed, &spare, now);
            vec![
                check_chain(chain, &parsed, path.err(), means),
                check_name(place, chain),
                validity,
            ]
        }
        Ok(_) => vec![none(&conversation.outcome)],
        Err(error) => vec![Finding::fail(
            "chain",
            format!("a certificate cannot be read: {error}"),
            remedy,
        )],
    }
}

fn none(outcome: &ExchangeOutcome) -> Finding {
    let why = match outcome {
        ExchangeOutcome::Failed(ClientFailure::NotTls) => {
            return Finding::fail(
                "chain",
                "what is spoken at this port is not TLS, and the URL begins with https://",
                "let this port speak TLS, or name one that does; http:// is for behind a balancer that ends TLS",
            );
        }
        ExchangeOutcome::Refused(why) | ExchangeOutcome::HungUp(why) => why.clone(),
        ExchangeOutcome::Failed(failure) => failure.to_string(),
        ExchangeOutcome::Silent => "nothing was answered in time".into(),
        ExchangeOutcome::Answered(_) => "none was shown".into(),
    };
    Finding::fail(
        "chain",
        format!("there was no TLS handshake with a certificate: {why}"),
        "let the port speak TLS 1.2 or 1.3, and this machine connect (listen.allow, proxy_protocol)",
    )
}

/// The URL has http:// where it should have https://.
pub(in crate::commands::doctor) fn tls_under_http() -> Finding {
    Finding::fail(
        "certificate",
        "TLS is spoken at this port, and the URL begins with http://",
        "write https:// in the URL",
    )
}

/// Now, or when the certificate was valid: that it is valid now is a check of its own.
fn valid_at(leaf: &X509Certificate<'_>, now: i64) -> i64 {
    let validity = leaf.validity();
    now.min(validity.not_after.timestamp())
        .max(validity.not_before.timestamp())
}

fn check_chain(
    chain: &[CertificateDer<'_>],
    parsed: &[X509Certificate<'_>],
    error: Option<webpki::Error>,
    means: &CheckOptions,
) -> Finding {
    let Some(error) = error else {
        let (sent, issuer) = (count(chain.len()), parsed[0].issuer());
        return Finding::pass(
            "chain",
            format!(
                "{sent} sent, issued by {issuer}, known to {}",
                means.roots_name
            ),
        );
    };
    let last = top(parsed);
    let is_self_issued = last.issuer().as_raw() == last.subject().as_raw();
    let is_known = means
        .roots
        .subjects()
        .iter()
        .any(|name| name.as_ref() == last.issuer().as_raw());
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
            format!(
                "{sent} sent, and that of \"{}\", the issuer of \"{}\", is missing",
                last.issuer(),
                last.subject()
            ),
            "serve the whole chain: fullchain.pem, not cert.pem (with --server-ca FILE, name its authority)",
        );
    }
    Finding::fail(
        "chain",
        format!(
            "\"{}\" cannot be verified: {}",
            parsed[0].subject(),
            explain(&error)
        ),
        "get a new certificate of a public authority, such as Let's Encrypt",
    )
}

fn explain(error: &webpki::Error) -> &'static str {
    match error {
        webpki::Error::UnknownIssuer => path_words(&webpki::Error::InvalidSignatureForPublicKey),
        other => path_words(other),
    }
}

/// The path from the leaf up to an authority, without the latter.
fn verify(
    chain: &[CertificateDer<'_>],
    when: i64,
    roots: &RootCertStore,
) -> Result<Vec<CertificateDer<'static>>, webpki::Error> {
    let when = UnixTime::since_unix_epoch(Duration::from_secs(when.max(0).unsigned_abs()));
    let algorithms = aws_lc_rs::default_provider()
        .signature_verification_algorithms
        .all;
    let leaf = EndEntityCert::try_from(&chain[0])?;
    let usage = KeyUsage::server_auth();
    let path = leaf.verify_for_usage(
        algorithms,
        &roots.roots,
        &chain[1..],
        when,
        usage,
        None,
        None,
    )?;
    let above = path
        .intermediate_certificates()
        .map(|certificate| certificate.der().into_owned());
    Ok([chain[0].clone().into_owned()]
        .into_iter()
        .chain(above)
        .collect())
}

type Certificates<'c, 'd> = Vec<&'c X509Certificate<'d>>;

/// Those that are on the path, or all if there is none, and the others. An authority of one's own
/// that signed itself matters to nobody who knows it.
fn sort<'c, 'd>(
    chain: &[CertificateDer<'_>],
    parsed: &'c [X509Certificate<'d>],
    path: Option<&[CertificateDer<'_>]>,
) -> (Certificates<'c, 'd>, Certificates<'c, 'd>) {
    let counts = |it: &X509Certificate<'_>| {
        it.issuer().as_raw() != it.subject().as_raw() || parsed.len() == 1
    };
    let both = chain
        .iter()
        .zip(parsed)
        .filter(|(der, it)| counts(it) || path.is_some_and(|path| path.contains(der)));
    let (needed, spare): (Vec<_>, Vec<_>) =
        both.partition(|(der, _)| path.is_none_or(|path| path.contains(der)));
    let bare =
        |both: Vec<(_, &'c X509Certificate<'d>)>| both.into_iter().map(|(_, it)| it).collect();
    (bare(needed), bare(spare))
}

fn count(certificates: usize) -> String {
    format!(
        "{certificates} certificate{}",
        if certificates == 1 { "" } else { "s" }
    )
}

/// The certificate that is found by going from each to its issuer.
fn top<'c, 'd>(parsed: &'c [X509Certificate<'d>]) -> &'c X509Certificate<'d> {
    let mut top = &parsed[0];
    for _ in parsed {
        let issuer = parsed
            .iter()
            .find(|other| other.subject().as_raw() == top.issuer().as_raw());
        top = issuer.unwrap_or(top);
    }
    top
}

fn check_name(place: &WebhookTarget, chain: &[CertificateDer<'_>]) -> Finding {
    let leaf = EndEntityCert::try_from(&chain[0]);
    match leaf.map(|leaf| leaf.verify_is_valid_for_subject_name(&place.server_name())) {
        Ok(Ok(())) => Finding::pass("certificate name", format!("it is for {}", place.host)),
        _ => {
            let names = dns_names(&chain[0]);
            let names = if names.is_empty() {
                "no host".into()
            } else {
                names[..names.len().min(10)].join(", ")
            };
            Finding::fail(
                "certificate name",
                format!("it is for {names}, not for {}", place.host),
                "get a certificate for this name, or use a name that it is for in the URL",
            )
        }
    }
}

fn check_validity(
    needed: &[&X509Certificate<'_>],
    spare: &[&X509Certificate<'_>],
    now: i64,
) -> Finding {
    const CHECK: &str = "certificate validity";
    if let Some(early) = needed
        .iter()
        .find(|it| it.validity().not_before.timestamp() > now)
    {
        return Finding::fail(
            CHECK,
            format!(
                "\"{}\" is not valid before {}",
                early.subject(),
                early.validity().not_before
            ),
            "see whether the clock of this machine is right; otherwise get a new certificate",
        );
    }
    let Some(first) = needed
        .iter()
        .min_by_key(|it| it.validity().not_after.timestamp())
    else {
        return Finding::skip(CHECK, "every certificate signed itself");
    };
    let not_after = first.validity().not_after;
    let left = not_after.timestamp() - now;
    let renew = "renew it, and see why that did not happen by itself";
    let old = spare
        .iter()
        .find(|it| it.validity().not_after.timestamp() < now);
    match (left, old) {
        (..0, _) => Finding::fail(
            CHECK,
            format!("\"{}\" has expired on {not_after}", first.subject()),
            renew,
        ),
        (0..RENEWAL, _) => {
            let text = format!(
                "\"{}\" expires in {} days, on {not_after}",
                first.subject(),
                left / DAY
            );
            Finding::warn(CHECK, text, renew)
        }
        (_, Some(old)) => Finding::warn(
            CHECK,
            format!(
                "\"{}\", which is sent and not needed, has expired on {}",
                old.subject(),
                old.validity().not_after
            ),
            "leave it out of the chain: some clients mind it",
        ),
        _ => Finding::pass(
            CHECK,
            format!("{} days left, until {not_after}", left / DAY),
        ),
    }
}
