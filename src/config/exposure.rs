//! Clients beside one's own Netdata Cloud that a configuration lets in, which its operator may not
//! have thought of.

use super::{ClientTrust, Config, Route, RouteKind, Verify, files};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

/// The common name of the authorities that "send certificate" and "demo" make.
pub(crate) const THROW_AWAY: &str = "Root CA (throw-away)";

/// The note on a route where the certificate of Netdata Cloud is all that is demanded.
pub(crate) const OPEN_TO_CUSTOMERS: &str = "any customer of Netdata Cloud can post here, because all of them send with the same certificate: name your \
     spaces, or demand auth.bearer or auth.basic";

impl ClientTrust {
    /// Returns a warning for each authority whose certificates pass for those of Netdata Cloud
    /// although it is not Netdata's: one beside the built-in one, or a throw-away one.
    pub(crate) fn foreign_authorities(&self) -> Vec<String> {
        if self.verify == Verify::Off {
            return Vec::new();
        }
        let builtin = files::builtin_authorities();
        let is_beside = self.trusts_netdata();
        let foreign = self.authorities.iter().filter(|it| !builtin.contains(it));
        foreign.filter_map(|der| warning(der, is_beside)).collect()
    }

    /// Returns `true` if certificates of Netdata's own authority are trusted.
    fn trusts_netdata(&self) -> bool {
        let builtin = files::builtin_authorities();
        self.verify != Verify::Off && self.authorities.iter().any(|it| builtin.contains(it))
    }
}

fn warning(der: &CertificateDer<'_>, is_beside: bool) -> Option<String> {
    let (_, authority) = x509_parser::parse_x509_certificate(der).ok()?;
    let (subject, end) = (authority.subject(), authority.validity().not_after);
    let name = format!("\"{subject}\", until {end}");
    match is_throw_away(&authority) {
        true => Some(warning_of_throw_away(&name)),
        false => is_beside.then(|| warning_of_another(&name)),
    }
}

fn warning_of_throw_away(name: &str) -> String {
    format!(
        "trusts a throw-away authority of \"send certificate\" ({name}): whatever has its files passes for Netdata Cloud; \
         remove it after the test"
    )
}

fn warning_of_another(name: &str) -> String {
    format!(
        "trusts another authority beside Netdata's own ({name}): a certificate of it with an accepted name passes for \
         Netdata Cloud; remove it, unless that is intended"
    )
}

fn is_throw_away(authority: &X509Certificate<'_>) -> bool {
    let mut names = authority.subject().iter_common_name();
    names.any(|name| name.as_str() == Ok(THROW_AWAY))
}

impl Config {
    /// Returns a note if any customer of Netdata Cloud can post to `route`.
    pub(crate) fn openness(&self, route: &Route) -> Option<&'static str> {
        let client = &self.tls.as_ref()?.client;
        let is_open = route.kind == RouteKind::Webhook
            && route.spaces.is_empty()
            && route.requirements.client_certificate
            && route.requirements.authorization.is_empty();
        (is_open && client.trusts_netdata()).then_some(OPEN_TO_CUSTOMERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    fn authority(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&KeyPair::generate().unwrap());
        certificate.unwrap().der().clone()
    }

    #[test]
    fn an_authority_beside_netdatas_is_warned_of_and_a_throw_away_one_always() {
        let netdata = files::builtin_authorities();
        let (other, throw_away) = (authority("Other CA"), authority(THROW_AWAY));
        for (authorities, verify, expected) in [
            (netdata.clone(), Verify::Require, &[][..]),
            (vec![other.clone()], Verify::Require, &[]),
            (
                [netdata.clone(), vec![other.clone()]].concat(),
                Verify::Request,
                &["Other CA"],
            ),
            (
                vec![throw_away.clone()],
                Verify::Require,
                &["throw-away authority"],
            ),
            (
                [vec![throw_away], netdata.clone(), vec![other]].concat(),
                Verify::Require,
                &["throw-away authority", "Other CA"],
            ),
            (vec![authority(THROW_AWAY)], Verify::Off, &[]),
        ] {
            let trust = ClientTrust {
                authorities,
                ..ClientTrust::netdata().with_verify(verify)
            };
            let warnings = trust.foreign_authorities();
            assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
            for (warning, part) in warnings.iter().zip(expected) {
                assert!(
                    warning.contains(part) && warning.contains("until "),
                    "{warning}"
                );
            }
        }
    }
}
