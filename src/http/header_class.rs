//! Classifies the header fields of requests by whose they are: the client's, this hop's, this
//! program's, or a trusted proxy's.
//!
//! Everything that depends on the names of fields uses this one table: which fields are not passed
//! on, which ones the configuration may not set, which ones are believed only if they come from
//! `listen.trusted_proxies`, and which ones no client can assert.

use std::cmp::Ordering;

/// The treatment of a request's field by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The field ends at this hop (RFC 9110 section 7.6.1). The configuration cannot set it.
    HopByHop,
    /// The field frames the message and is generated again. The configuration cannot set it.
    Framing,
    /// This program sets the field, or removes it. The configuration cannot set it.
    Ours,
    /// This program sets the field, unless the configuration does.
    Preset,
    /// The field describes where a request came from, or how it looked before a proxy changed it.
    /// It is passed on if a trusted proxy sent it, and dropped otherwise.
    Forwarding,
    /// The field asserts a client certificate or an identity to applications that believe the proxy
    /// in front of them. It is dropped, unless the configuration sets it or passes it on.
    Identity,
}

use Class::{Forwarding, Framing, HopByHop, Identity, Ours, Preset};

/// The known names, in their order, in lower case and with `-` for every sign.
const NAMES: [(&str, Class); 128] = [
    ("auth-type", Identity),
    ("auth-user", Identity),
    ("cert-cookie", Identity),
    ("cert-flags", Identity),
    ("cert-issuer", Identity),
    ("cert-serialnumber", Identity),
    ("cert-subject", Identity),
    ("cf-access-authenticated-user-email", Identity),
    ("cf-access-jwt-assertion", Identity),
    ("cf-connecting-ip", Forwarding),
    ("cf-connecting-ipv6", Forwarding),
    ("cf-pseudo-ipv4", Forwarding),
    ("cf-visitor", Forwarding),
    ("client-cert", Ours),
    ("client-cert-chain", Ours),
    ("client-certificate", Identity),
    ("client-dn", Identity),
    ("client-ip", Forwarding),
    ("client-verify", Identity),
    ("connection", HopByHop),
    ("content-length", Framing),
    ("expect", HopByHop),
    ("fastly-client-ip", Forwarding),
    ("fly-client-ip", Forwarding),
    ("forwarded", Preset),
    ("forwarded-for", Forwarding),
    ("front-end-https", Forwarding),
    ("host", Preset),
    ("http2-settings", HopByHop),
    ("idempotency-key", Ours),
    ("iv-creds", Identity),
    ("iv-groups", Identity),
    ("iv-user", Identity),
    ("keep-alive", HopByHop),
    ("logon-user", Identity),
    ("proxy", Forwarding),
    ("proxy-authorization", HopByHop),
    ("proxy-connection", HopByHop),
    ("remote-email", Identity),
    ("remote-groups", Identity),
    ("remote-ident", Identity),
    ("remote-name", Identity),
    ("remote-user", Identity),
    ("sm-user", Identity),
    ("smuser", Identity),
    ("te", HopByHop),
    ("teleport-jwt-assertion", Identity),
    ("trailer", HopByHop),
    ("transfer-encoding", HopByHop),
    ("true-client-ip", Forwarding),
    ("upgrade", HopByHop),
    ("webhook-id", Ours),
    ("webhook-signature", Ours),
    ("webhook-timestamp", Ours),
    ("x-anonymous-consumer", Identity),
    ("x-apigateway-api-userinfo", Identity),
    ("x-appengine-user-ip", Forwarding),
    ("x-arr-clientcert", Identity),
    ("x-auth-email", Identity),
    ("x-auth-groups", Identity),
    ("x-auth-user", Identity),
    ("x-auth-username", Identity),
    ("x-authenticated-groups", Identity),
    ("x-authenticated-scope", Identity),
    ("x-authenticated-user", Identity),
    ("x-authenticated-userid", Identity),
    ("x-azure-clientip", Forwarding),
    ("x-azure-socketip", Forwarding),
    ("x-client-cert", Identity),
    ("x-client-certificate", Identity),
    ("x-client-cn", Identity),
    ("x-client-dn", Identity),
    ("x-client-fingerprint", Identity),
    ("x-client-i-dn", Identity),
    ("x-client-ip", Forwarding),
    ("x-client-issuer", Identity),
    ("x-client-s-dn", Identity),
    ("x-client-serial", Identity),
    ("x-client-subject", Identity),
    ("x-client-verify", Identity),
    ("x-cluster-client-ip", Forwarding),
    ("x-consumer-custom-id", Identity),
    ("x-consumer-id", Identity),
    ("x-consumer-username", Identity),
    ("x-credential-identifier", Identity),
    ("x-credential-username", Identity),
    ("x-endpoint-api-userinfo", Identity),
    ("x-envoy-external-address", Forwarding),
    ("x-envoy-original-path", Forwarding),
    ("x-forwarded", Forwarding),
    ("x-forwarded-access-token", Identity),
    ("x-forwarded-client-cert", Identity),
    ("x-forwarded-email", Identity),
    ("x-forwarded-for", Preset),
    ("x-forwarded-groups", Identity),
    ("x-forwarded-host", Preset),
    ("x-forwarded-preferred-username", Identity),
    ("x-forwarded-proto", Preset),
    ("x-forwarded-tls-client-cert", Identity),
    ("x-forwarded-tls-client-cert-info", Identity),
    ("x-forwarded-user", Identity),
    ("x-goog-iap-jwt-assertion", Identity),
    ("x-host", Forwarding),
    ("x-http-host-override", Forwarding),
    ("x-jwt-assertion", Identity),
    ("x-ms-client-principal", Identity),
    ("x-original-forwarded-for", Forwarding),
    ("x-original-host", Forwarding),
    ("x-original-uri", Forwarding),
    ("x-original-url", Forwarding),
    ("x-originating-ip", Forwarding),
    ("x-proxyuser-ip", Forwarding),
    ("x-real-ip", Forwarding),
    ("x-remote-addr", Forwarding),
    ("x-remote-group", Identity),
    ("x-remote-groups", Identity),
    ("x-remote-ip", Forwarding),
    ("x-remote-user", Identity),
    ("x-replaced-path", Forwarding),
    ("x-request-id", Preset),
    ("x-rewrite-url", Forwarding),
    ("x-scheme", Forwarding),
    ("x-script-name", Forwarding),
    ("x-spiffe-id", Identity),
    ("x-ssl", Identity),
    ("x-sso-user", Identity),
    ("x-url-scheme", Forwarding),
    ("x-userinfo", Identity),
];

/// The beginnings of known names, with whatever follows. In the same order, and none of them begins with another.
const PREFIXES: [(&str, Class); 22] = [
    ("cf-client-cert-", Identity),
    ("oidc-", Identity),
    ("shib-", Identity),
    ("ssl-client-", Identity),
    ("tailscale-user-", Identity),
    ("x-amzn-mtls-", Identity),
    ("x-amzn-oidc-", Identity),
    ("x-auth-request-", Identity),
    ("x-authentik-", Identity),
    ("x-client-cert-", Identity),
    ("x-forwarded-", Forwarding),
    ("x-goog-authenticated-user-", Identity),
    ("x-ms-client-principal-", Identity),
    ("x-ms-token-", Identity),
    ("x-mtls-", Identity),
    ("x-netdata-", Ours),
    ("x-pomerium-", Identity),
    ("x-remote-extra-", Identity),
    ("x-ssl-", Identity),
    ("x-tls-client-", Identity),
    ("x-vouch-", Identity),
    ("x-webauth-", Identity),
];

/// Returns the class of a name, if it has one. A client may send any other field.
pub fn class(name: &[u8]) -> Option<Class> {
    entry(name).map(|(_, class)| class)
}

/// Returns the class of a name, and under which one it is known.
pub(crate) fn entry(name: &[u8]) -> Option<(&'static str, Class)> {
    if let Ok(found) = NAMES.binary_search_by(|(known, _)| compare(known.as_bytes(), name)) {
        return Some(NAMES[found]);
    }
    // What begins with one of these comes after it, and before the next one.
    let is_before = |(prefix, _): &(&str, _)| compare(prefix.as_bytes(), name).is_le();
    let after = PREFIXES.partition_point(is_before);
    let (prefix, class) = *PREFIXES[..after].last()?;
    let start = name.get(..prefix.len())?;
    is_same(start, prefix.as_bytes()).then_some((prefix, class))
}

/// Returns the names of a class, in lower case; those that begin like one end in `*`.
pub fn names(class: Class) -> Vec<String> {
    let is_of_class = |(_, other): &&(&str, Class)| *other == class;
    let whole = NAMES.iter().filter(is_of_class);
    let begun = PREFIXES.iter().filter(is_of_class);
    let whole = whole.map(|(name, _)| (*name).to_owned());
    whole
        .chain(begun.map(|(prefix, _)| format!("{prefix}*")))
        .collect()
}

/// Returns `true` for headers that this program sets or removes, whatever the configuration says.
pub(crate) fn is_reserved(name: &str) -> bool {
    matches!(class(name.as_bytes()), Some(HopByHop | Framing | Ours))
}

/// Returns `true` if a name is spelt as a proxy spells it. A trusted proxy may have let any other
/// spelling pass unchanged, from a client that hopes for an application to which both are the same.
pub(crate) fn is_plainly_spelt(name: &[u8]) -> bool {
    name.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// Returns `true` if two names are the same to an application behind a CGI-like interface, which
/// ignores case and the difference between one sign and another: PHP makes the same variable of
/// `X.A`, `x_a` and `X-A`.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && compare(one, other) == Ordering::Equal
}

/// Compares names in the order to which [`is_same`] names are equal.
pub(crate) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    one.iter().map(canonical).cmp(other.iter().map(canonical))
}

/// The sign that each byte counts as. With this table, finding the class of a name takes 16 ns; it
/// takes 59 ns if each byte is judged.
const CANONICAL: [u8; 256] = {
    let (mut table, mut byte) = ([b'-'; 256], 0);
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

#[inline]
fn canonical(byte: &u8) -> u8 {
    CANONICAL[usize::from(*byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_has_every_name_once() {
        for pair in NAMES.windows(2) {
            assert_eq!(
                compare(pair[0].0.as_bytes(), pair[1].0.as_bytes()),
                Ordering::Less,
                "{pair:?}"
            );
        }
        for pair in PREFIXES.windows(2) {
            assert_eq!(
                compare(pair[0].0.as_bytes(), pair[1].0.as_bytes()),
                Ordering::Less,
                "{pair:?}"
            );
            assert!(!pair[1].0.starts_with(pair[0].0), "{pair:?}");
        }
        for (name, expected) in NAMES {
            assert!(name.bytes().all(|byte| byte == canonical(&byte)), "{name}");
            assert_eq!(class(name.as_bytes()), Some(expected), "{name}");
        }
    }

    #[test]
    fn names_are_the_same_whatever_their_case_and_their_signs() {
        for (name, expected) in [
            ("Host", Some(Preset)),
            ("TRANSFER_ENCODING", Some(HopByHop)),
            ("content.length", Some(Framing)),
            ("X.Netdata.Client.CN", Some(Ours)),
            ("x_netdata~anything", Some(Ours)),
            ("X-Netdata-", Some(Ours)),
            ("X-Netdata", None),
            ("XNetdata-Client-CN", None),
            ("X--Netdata-Client-CN", None),
            ("client!cert", Some(Ours)),
            ("Client-Certs", None),
            ("X-Forwarded-For", Some(Preset)),
            ("X-Forwarded-Anything", Some(Forwarding)),
            ("X_Forwarded*Port", Some(Forwarding)),
            ("X-Forwarding", None),
            ("Proxy", Some(Forwarding)),
            ("Proxy-Status", None),
            ("X_SSL.Client~Verify", Some(Identity)),
            ("X-SSL", Some(Identity)),
            ("XSSL-Client", None),
            ("SSL_CLIENT_S_DN", Some(Identity)),
            ("X-Forwarded-User", Some(Identity)),
            ("X-Forwarded-User-Agent", Some(Forwarding)),
            ("X-Zzz", None),
            ("Aaa", None),
            ("Authorization", None),
            ("", None),
        ] {
            assert_eq!(class(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn what_is_reserved_cannot_be_set() {
        for (name, expected) in [
            ("client_cert_chain", true),
            ("expect", true),
            ("http2-settings", true),
            ("content-length", true),
            ("x-netdata-x", true),
            ("host", false),
            ("x-real-ip", false),
            ("x-forwarded-for", false),
            ("x-a", false),
        ] {
            assert_eq!(is_reserved(name), expected, "{name}");
        }
    }
}
