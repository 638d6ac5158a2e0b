//! Check: the server's certificate has a chain to a known authority, is for this name, and valid.

use crate::commands::client::{ClientFailure, WebhookTarget, path_words};
use crate::commands::doctor::client::{Exchange, ExchangeOutcome};
use crate::commands::doctor::finding::CheckFinding;
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

/// Certificates that expire sooner than this should be renewed.
const RENEWAL: i64 = 14 * DAY;

pub(in crate::commands::doctor) fn check(
    target: &WebhookTarget,
    exchange: &Exchange,
    options: &CheckOptions,
) -> Vec<CheckFinding> {
    let chain = &exchange.shown.chain;
    let parse = |der| x509_parser::parse_x509_certificate(der).map(|(_, parsed)| parsed);
    let parsed: Result<Vec<X509Certificate<'_>>, _> = chain.iter().map(|der| parse(der)).collect();
    let remedy = "configure a chain in PEM: the leaf first, then each issuer, such as fullchain.pem of certbot";
    match parsed {
        Ok(parsed) if !parsed.is_empty() => {
            let now = ASN1Time::now().timestamp();
            let path = verify(chain, valid_at(&parsed[0], now), &options.roots);
            let (needed, spare) = sort(chain, &parsed, path.as_deref().ok());
            let validity = check_validity(&needed, &spare, now);
            vec![
                check_chain(chain, &parsed, path.err(), options),
                check_name(target, chain),
                validity,
            ]
        }
        Ok(_) => vec![none(&exchange.outcome)],
        Err(error) => vec![CheckFinding::fail(
            "chain",
            format!("a certificate cannot be parsed: {error}"),
            remedy,
        )],
    }
}

fn none(outcome: &ExchangeOutcome) -> CheckFinding {
    let why = match outcome {
        ExchangeOutcome::Failed(ClientFailure::NotTls) => {
            return CheckFinding::fail(
                "chain",
                "this port does not speak TLS, but the URL begins with https://",
                "enable TLS on this port, or use the port for TLS; http:// is for servers behind a load balancer that terminates TLS",
            );
        }
        ExchangeOutcome::Refused(why) | ExchangeOutcome::HungUp(why) => why.clone(),
        ExchangeOutcome::Failed(failure) => failure.to_string(),
        ExchangeOutcome::Silent => "no response in time".into(),
        ExchangeOutcome::Answered(_) => "the server sent none".into(),
    };
    CheckFinding::fail(
        "chain",
        format!("there was no TLS handshake with a certificate: {why}"),
        "enable TLS 1.2 or 1.3 on the port, and allow connections from this machine (listen.allow, proxy_protocol)",
    )
}

/// Reports a URL with http:// instead of https://.
pub(in crate::commands::doctor) fn tls_under_http() -> CheckFinding {
    CheckFinding::fail(
        "certificate",
        "this port speaks TLS, but the URL begins with http://",
        "use https:// in the URL",
    )
}

/// Returns the current time, or the nearest one at which the certificate is valid: its validity is a
/// separate check.
fn valid_at(leaf: &X509Certificate<'_>, now: i64) -> i64 {
    let validity = leaf.validity();
    now.min(validity.not_after.timestamp())
        .max(validity.not_before.timestamp())
}

fn check_chain(
    chain: &[CertificateDer<'_>],
    parsed: &[X509Certificate<'_>],
    error: Option<webpki::Error>,
    options: &CheckOptions,
) -> CheckFinding {
    let sent = count(chain.len());
    let roots_name = &options.roots_name;
    let Some(error) = error else {
        let issuer = parsed[0].issuer();
        let text = format!("{sent} sent, issued by {issuer}, known to {roots_name}");
        return CheckFinding::pass("chain", text);
    };
    let last = top(parsed);
    let (issuer, subject) = (last.issuer(), last.subject());
    let is_self_issued = issuer.as_raw() == subject.as_raw();
    let known_names = options.roots.subjects();
    let is_known = known_names
        .iter()
        .any(|name| name.as_ref() == issuer.as_raw());
    if is_self_issued && !is_known {
        return CheckFinding::fail(
            "chain",
            format!(
                "it ends with \"{subject}\", which is self-signed and not known to {roots_name}"
            ),
            "get a certificate of a public authority, such as Let's Encrypt; for your own authority, use --ca FILE",
        );
    }
    if matches!(error, webpki::Error::UnknownIssuer) && !is_known {
        return CheckFinding::fail(
            "chain",
            format!(
                "{sent} sent, but that of \"{issuer}\", the issuer of \"{subject}\", is missing"
            ),
            "send the whole chain: fullchain.pem, not cert.pem (with --ca FILE, give its authority)",
        );
    }
    let (leaf, reason) = (parsed[0].subject(), explain(&error));
    CheckFinding::fail(
        "chain",
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

/// Returns the path from the leaf to an authority, without the authority.
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

/// Splits the chain into the certificates on the path, or all if there is none, and the others.
/// Self-signed authorities are left out: clients that trust them have them already.
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

/// Returns the certificate at the end of the chain of issuers.
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

fn check_name(target: &WebhookTarget, chain: &[CertificateDer<'_>]) -> CheckFinding {
    const CHECK: &str = "certificate name";
    let host = &target.host;
    let leaf = EndEntityCert::try_from(&chain[0]);
    let verified = leaf.map(|leaf| {
        leaf.verify_is_valid_for_subject_name(&target.server_name())
            .is_ok()
    });
    if verified == Ok(true) {
        return CheckFinding::pass(CHECK, format!("it is for {host}"));
    }
    let names = dns_names(&chain[0]);
    let names = if names.is_empty() {
        "no host".into()
    } else {
        names[..names.len().min(10)].join(", ")
    };
    CheckFinding::fail(
        CHECK,
        format!("it is for {names}, not for {host}"),
        "get a certificate for this name, or use one of its names in the URL",
    )
}

const VALIDITY: &str = "certificate validity";

fn check_validity(
    needed: &[&X509Certificate<'_>],
    spare: &[&X509Certificate<'_>],
    now: i64,
) -> CheckFinding {
    if let Some(finding) = not_yet_valid(needed, now) {
        return finding;
    }
    let first = needed
        .iter()
        .min_by_key(|it| it.validity().not_after.timestamp());
    let Some(first) = first else {
        return CheckFinding::skip(VALIDITY, "every certificate is self-signed");
    };
    let subject = first.subject();
    let not_after = first.validity().not_after;
    let left = not_after.timestamp() - now;
    let days = left / DAY;
    let renew = "renew it, and check why it was not renewed automatically";
    if left < 0 {
        let text = format!("\"{subject}\" expired on {not_after}");
        return CheckFinding::fail(VALIDITY, text, renew);
    }
    if left < RENEWAL {
        let text = format!("\"{subject}\" expires in {days} days, on {not_after}");
        return CheckFinding::warn(VALIDITY, text, renew);
    }
    expired_spare(spare, now).unwrap_or_else(|| {
        CheckFinding::pass(VALIDITY, format!("{days} days left, until {not_after}"))
    })
}

fn not_yet_valid(needed: &[&X509Certificate<'_>], now: i64) -> Option<CheckFinding> {
    let early = needed
        .iter()
        .find(|it| it.validity().not_before.timestamp() > now)?;
    let (subject, not_before) = (early.subject(), early.validity().not_before);
    Some(CheckFinding::fail(
        VALIDITY,
        format!("\"{subject}\" is not valid before {not_before}"),
        "check the clock of this machine; if it is right, get a new certificate",
    ))
}

fn expired_spare(spare: &[&X509Certificate<'_>], now: i64) -> Option<CheckFinding> {
    let old = spare
        .iter()
        .find(|it| it.validity().not_after.timestamp() < now)?;
    let (subject, not_after) = (old.subject(), old.validity().not_after);
    Some(CheckFinding::warn(
        VALIDITY,
        format!("\"{subject}\", which is sent but not needed, expired on {not_after}"),
        "remove it from the chain: some clients reject it",
    ))
}
