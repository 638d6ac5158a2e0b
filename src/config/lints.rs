//! Reports what is unwise about certificates and keys, though it works.

use rustls::pki_types::CertificateDer;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// A certificate that expires sooner than this is to be renewed now, however long it is valid.
const RENEWAL: i64 = 14 * DAY;

const DAY: i64 = 24 * 60 * 60;

/// Returns how long before its end a certificate should have been renewed: with a quarter of its
/// lifetime left, but not earlier than two weeks before.
pub(crate) fn renewal_margin(not_before: i64, not_after: i64) -> i64 {
    RENEWAL.min((not_after - not_before).max(0) / 4)
}

/// Reports a private key that other users of the machine may read.
pub(super) fn on_key_file(path: &Path) -> Option<String> {
    if is_credential(path) {
        return None;
    }
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let readers = other_readers(mode)?;
    Some(format!(
        "{} is open to {readers} (mode {mode:04o}): chmod 600, and chown to the user of this program",
        path.display()
    ))
}

/// Returns `true` for credentials of systemd, which it protects by other means than their mode.
fn is_credential(path: &Path) -> bool {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
    directory.is_some_and(|directory| path.starts_with(directory))
}

/// Names the users beside the owner to which a mode gives a right.
fn other_readers(mode: u32) -> Option<&'static str> {
    match (mode & 0o070 != 0, mode & 0o007 != 0) {
        (false, false) => None,
        (true, false) => Some("its group"),
        (_, true) => Some("every user of this machine"),
    }
}

/// Returns what senders may have against a server's chain. `is_known` tells whether a subject is
/// that of an authority which they know anyway.
pub(super) fn on_chain(
    chain: &[CertificateDer<'_>],
    now: i64,
    is_known: impl Fn(&[u8]) -> bool,
) -> Vec<String> {
    let parse = |der| Some(x509_parser::parse_x509_certificate(der).ok()?.1);
    let chain: Option<Vec<X509Certificate<'_>>> = chain.iter().map(|der| parse(der)).collect();
    let Some((leaf, above)) = chain.as_deref().and_then(<[_]>::split_first) else {
        return Vec::new();
    };
    let soon = on_validity(leaf, now).filter(|_| is_valid(leaf, now));
    let spare = above.iter().filter_map(|it| on_spare(it, now));
    soon.into_iter()
        .chain(spare)
        .chain(on_names(leaf))
        .chain(on_kind(leaf))
        .chain(on_issuer(leaf, above, is_known))
        .collect()
}

fn on_names(leaf: &X509Certificate<'_>) -> Option<String> {
    let has_none = dns_names(leaf).is_empty();
    has_none.then(|| "has no DNS name in its subjectAltName: clients will reject it".into())
}

/// Reports a leaf as "openssl req -x509" makes it, unless it is told otherwise.
fn on_kind(leaf: &X509Certificate<'_>) -> Option<String> {
    leaf.is_ca().then(|| {
        "is a CA certificate (CA:TRUE), which strict clients reject for a server: create one with \
         basicConstraints = CA:FALSE"
            .into()
    })
}

/// Returns why no client accepts a server's leaf now.
pub(super) fn on_leaf(chain: &[CertificateDer<'_>], now: i64) -> Option<String> {
    let (_, leaf) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
    let what = on_validity(&leaf, now).filter(|_| !is_valid(&leaf, now))?;
    Some(format!(
        "{what}: clients reject it; renew it, or set the clock of this machine"
    ))
}

fn is_valid(certificate: &X509Certificate<'_>, now: i64) -> bool {
    let validity = certificate.validity();
    (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
}

/// Checks a certificate above the leaf, which may be needed or not: a client that verifies the
/// chain finds a path of its own.
fn on_spare(certificate: &X509Certificate<'_>, now: i64) -> Option<String> {
    let what = on_validity(certificate, now)?;
    Some(match is_valid(certificate, now) {
        true => what,
        false => format!(
            "{what}: clients that need it reject the chain; renew it, or remove it if no client does"
        ),
    })
}

fn on_validity(certificate: &X509Certificate<'_>, now: i64) -> Option<String> {
    let (subject, validity) = (certificate.subject(), certificate.validity());
    let (begin, end) = (validity.not_before, validity.not_after);
    let left = end.timestamp() - now;
    if left < 0 {
        return Some(format!("\"{subject}\" has expired on {end}"));
    }
    if begin.timestamp() > now {
        return Some(format!("\"{subject}\" is not valid before {begin}"));
    }
    let days = left / DAY;
    let margin = renewal_margin(begin.timestamp(), end.timestamp());
    (left < margin).then(|| format!("\"{subject}\" expires in {days} days, on {end}: renew it"))
}

/// Requires each certificate to be issued by the next one, and the last by a known authority.
fn on_issuer(
    leaf: &X509Certificate<'_>,
    above: &[X509Certificate<'_>],
    is_known: impl Fn(&[u8]) -> bool,
) -> Option<String> {
    let wrong = first_out_of_order(leaf, above);
    wrong.or_else(|| forgotten(leaf, above.is_empty(), is_known))
}

fn first_out_of_order(leaf: &X509Certificate<'_>, above: &[X509Certificate<'_>]) -> Option<String> {
    let lower = std::iter::once(leaf).chain(above);
    let is_wrong = |(lower, upper): &(&X509Certificate<'_>, &X509Certificate<'_>)| {
        lower.issuer().as_raw() != upper.subject().as_raw()
    };
    let (lower, upper) = lower.zip(above).find(is_wrong)?;
    Some(format!(
        "\"{}\" was issued by \"{}\", but \"{}\" follows: put the leaf first, and each issuer after it",
        lower.subject(),
        lower.issuer(),
        upper.subject()
    ))
}

/// Reports that the intermediate is forgotten. Roots are known or not, and are left out of chains.
fn forgotten(
    leaf: &X509Certificate<'_>,
    is_alone: bool,
    is_known: impl Fn(&[u8]) -> bool,
) -> Option<String> {
    let issuer = leaf.issuer();
    let is_forgotten =
        is_alone && issuer.as_raw() != leaf.subject().as_raw() && !is_known(issuer.as_raw());
    is_forgotten.then(|| {
        format!(
            "lacks the certificate of the issuer, \"{issuer}\": clients that do not have it will reject the server; use the \
             full chain"
        )
    })
}

/// Returns the hosts that a certificate is for.
fn dns_names<'c>(certificate: &'c X509Certificate<'_>) -> Vec<&'c str> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
        .collect()
}

/// Returns the host that the first certificate of a chain is for, if it is for one and no more.
pub(super) fn only_host(chain: &[CertificateDer<'_>]) -> Option<String> {
    let (_, leaf) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
    match dns_names(&leaf)[..] {
        [name] if !name.starts_with('*') => Some(name.to_owned()),
        _ => None,
    }
}

/// Returns the hosts that the first certificate of a chain is for, and until when, in words.
pub(super) fn describe(chain: &[CertificateDer<'_>]) -> Option<String> {
    let (_, leaf) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
    let names = match dns_names(&leaf) {
        names if names.is_empty() => "no host".to_owned(),
        names => names.join(", "),
    };
    Some(format!("for {names}, until {}", leaf.validity().not_after))
}

/// Returns `true` if this is the subject of an authority that the system trusts, as do other
/// systems with the same lists.
pub(super) fn is_known_to_system(subject: &[u8]) -> bool {
    let roots = rustls_native_certs::load_native_certs().certs;
    roots
        .iter()
        .filter_map(|der| x509_parser::parse_x509_certificate(der).ok())
        .any(|(_, it)| it.subject().as_raw() == subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the advice on a chain, with a certificate for each of these subjects, issued by the
    /// next one.
    fn advice(hosts: &[&str], days: i64, subjects: &[&str], known: &str) -> String {
        use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
        let params = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let authority = |name: &str| {
            let mut params = params(name);
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let now = time::OffsetDateTime::now_utc();
        let mut leaf = params(subjects[0]);
        leaf.not_after = now + time::Duration::days(days) + time::Duration::hours(1);
        leaf.subject_alt_names = CertificateParams::new(
            hosts
                .iter()
                .map(|host| (*host).to_owned())
                .collect::<Vec<_>>(),
        )
        .unwrap()
        .subject_alt_names;
        let issuer = authority(subjects[1]);
        let leaf = leaf
            .signed_by(&KeyPair::generate().unwrap(), &issuer)
            .unwrap();
        let mut chain = vec![leaf.der().clone()];
        chain.extend(
            subjects[2..]
                .iter()
                .map(|name| authority(name).der().clone()),
        );
        let is_known = |subject: &[u8]| {
            subject
                == x509_parser::parse_x509_certificate(authority(known).der())
                    .unwrap()
                    .1
                    .subject()
                    .as_raw()
        };
        let now = now.unix_timestamp();
        on_leaf(&chain, now)
            .into_iter()
            .chain(on_chain(&chain, now, is_known))
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn chains_are_judged_as_senders_will() {
        let check = |hosts, days, subjects, known, expected: &str| {
            let advice = advice(hosts, days, subjects, known);
            assert!(
                advice.contains(expected) && advice.is_empty() == expected.is_empty(),
                "{expected:?}: {advice:?}"
            );
        };
        let host = &["a.example"][..];
        // The certificate, its issuer, and what else is in the file.
        check(
            host,
            90,
            &["leaf", "intermediate", "intermediate"],
            "root",
            "",
        );
        check(host, 90, &["leaf", "root"], "root", "");
        check(
            host,
            90,
            &["leaf", "intermediate"],
            "root",
            "lacks the certificate of the issuer, \"CN=intermediate\"",
        );
        check(
            host,
            90,
            &["leaf", "intermediate", "other"],
            "root",
            "but \"CN=other\" follows",
        );
        check(&[], 90, &["leaf", "root"], "root", "has no DNS name");
        check(
            &["192.0.2.1"],
            90,
            &["leaf", "root"],
            "root",
            "has no DNS name",
        );
        check(host, 14, &["leaf", "root"], "root", "");
        check(
            host,
            13,
            &["leaf", "root"],
            "root",
            "\"CN=leaf\" expires in 13 days",
        );
        check(host, 0, &["leaf", "root"], "root", "expires in 0 days");
        check(host, -1, &["leaf", "root"], "root", "has expired");
    }

    #[test]
    fn short_lives_are_warned_of_by_their_last_quarter() {
        for (days, margin) in [
            (365 * 20, 14 * DAY),
            (90, 14 * DAY),
            (45, 45 * DAY / 4),
            (6, 36 * 3600),
        ] {
            assert_eq!(
                renewal_margin(1_000_000, 1_000_000 + days * DAY),
                margin,
                "{days}"
            );
        }
        assert_eq!(renewal_margin(10, 0), 0);
    }

    #[test]
    fn keys_are_for_their_owner() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, who) in [
            (0o600, None),
            (0o400, None),
            (0o640, Some("its group")),
            (0o644, Some("every user")),
            (0o604, Some("every user")),
        ] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            let advice = on_key_file(file.path());
            assert_eq!(advice.is_some(), who.is_some(), "{mode:o}");
            assert!(
                advice.unwrap_or_default().contains(who.unwrap_or_default()),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn each_right_of_others_to_a_key_is_warned_of() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for bit in 0..9 {
            let mode = 1 << bit;
            fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600 | mode)).unwrap();
            assert_eq!(on_key_file(file.path()).is_some(), mode < 0o100, "{mode:o}");
        }
    }

    #[test]
    fn a_certificate_is_valid_from_its_first_second_to_its_last() {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let at = |seconds| time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let (first, last) = (1_000_000_000, 1_100_000_000);
        (params.not_before, params.not_after) = (at(first), at(last));
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = [params.self_signed(&key).unwrap().der().clone()];
        let soon = |now| !on_chain(&chain, now, |_| true).is_empty();
        for (now, is_refused, is_warned_of) in [
            (first - 1, true, false),
            (first, false, false),
            (last - RENEWAL, false, false),
            (last - RENEWAL + 1, false, true),
            (last, false, true),
            (last + 1, true, false),
        ] {
            assert_eq!(
                (on_leaf(&chain, now).is_some(), soon(now)),
                (is_refused, is_warned_of),
                "{now}"
            );
        }
    }
}
