//! Decides whether an `Authorization` header contains credentials that a route accepts.

use crate::auth::credential_set::{Credential, CredentialSet};
use crate::auth::secret::SecretDigest;
use crate::rejection::{Rejection, Schemes};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use subtle::Choice;

/// The credentials that a route accepts, each scheme with several of them for rotation.
///
/// Basic and Bearer share the one header, so a request that holds any of these passes.
#[derive(Clone, Debug, Default)]
pub struct Authorization {
    basic: CredentialSet<BasicCredential>,
    bearer: CredentialSet<SecretDigest>,
}

#[derive(Clone, Debug, Hash)]
struct BasicCredential {
    username: SecretDigest,
    password: SecretDigest,
}

impl Credential for BasicCredential {
    fn matches(&self, other: &Self) -> Choice {
        // `&`, not `&&`: the password is compared even if the name is wrong.
        self.username.matches(&other.username) & self.password.matches(&other.password)
    }
}

/// The scheme with which a request passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthScheme {
    /// The Basic scheme of RFC 7617.
    Basic,
    /// The Bearer scheme of RFC 6750.
    Bearer,
}

impl Authorization {
    /// Accepts this user with this password, too.
    pub fn with_basic(mut self, username: &str, password: SecretDigest) -> Self {
        self.basic.insert(BasicCredential {
            username: SecretDigest::of(username.as_bytes()),
            password,
        });
        self
    }

    /// Accepts this token, too.
    pub fn with_bearer(mut self, token: SecretDigest) -> Self {
        self.bearer.insert(token);
        self
    }

    /// Returns `true` if no credentials are required.
    pub fn is_empty(&self) -> bool {
        self.basic.is_empty() && self.bearer.is_empty()
    }

    /// Returns `true` if credentials are required, and all that are accepted are accepted by `other`,
    /// too.
    pub fn accepts_only(&self, other: &Self) -> bool {
        !self.is_empty()
            && self.basic.is_subset_of(&other.basic)
            && self.bearer.is_subset_of(&other.bearer)
    }

    /// Returns the schemes that `WWW-Authenticate` offers.
    pub fn schemes(&self) -> Schemes {
        Schemes {
            basic: !self.basic.is_empty(),
            bearer: !self.bearer.is_empty(),
        }
    }

    /// Judges all the `Authorization` headers of a request; there must be exactly one.
    ///
    /// How long it takes tells nothing about the accepted credentials.
    pub fn check<'h>(
        &self,
        mut headers: impl Iterator<Item = &'h [u8]>,
    ) -> Result<AuthScheme, Rejection> {
        let header = headers.next();
        let header = header.ok_or(Rejection::AuthorizationMissing(self.schemes()))?;
        let is_only = headers.next().is_none();
        Credentials::parse(header)
            .filter(|_| is_only)
            .and_then(|credentials| self.judge(&credentials))
            .ok_or(Rejection::AuthorizationInvalid(self.schemes()))
    }

    /// Returns the scheme of credentials that are accepted.
    fn judge(&self, credentials: &Credentials<'_>) -> Option<AuthScheme> {
        let (scheme, is_known) = match credentials {
            Credentials::Basic { username, password } => {
                (AuthScheme::Basic, self.knows_basic(username, password))
            }
            Credentials::Bearer { token } => (AuthScheme::Bearer, self.knows_bearer(token)),
        };
        bool::from(is_known).then_some(scheme)
    }

    fn knows_basic(&self, username: &[u8], password: &[u8]) -> Choice {
        let given = BasicCredential {
            username: SecretDigest::of(username),
            password: SecretDigest::of(password),
        };
        self.basic.knows(&given)
    }

    fn knows_bearer(&self, token: &[u8]) -> Choice {
        self.bearer.knows(&SecretDigest::of(token))
    }
}

/// The credentials in one `Authorization` header.
enum Credentials<'h> {
    Basic {
        username: Vec<u8>,
        password: Vec<u8>,
    },
    Bearer {
        token: &'h [u8],
    },
}

impl<'h> Credentials<'h> {
    /// Parses `auth-scheme 1*SP token68`, the scheme in any case (RFC 9110 section 11.4).
    fn parse(header: &'h [u8]) -> Option<Self> {
        let header = header.trim_ascii();
        let space = header.iter().position(|b| *b == b' ')?;
        let (scheme, value) = (&header[..space], header[space..].trim_ascii_start());
        if value.is_empty() || !value.iter().copied().all(is_token68) {
            return None;
        }
        if scheme.eq_ignore_ascii_case(b"basic") {
            return Self::parse_basic(value);
        }
        scheme
            .eq_ignore_ascii_case(b"bearer")
            .then_some(Self::Bearer { token: value })
    }

    /// Parses the name and the password. The name ends at the first colon; the password may hold
    /// more of them (RFC 7617 section 2).
    fn parse_basic(value: &[u8]) -> Option<Self> {
        let decoded = BASE64_STANDARD.decode(value).ok()?;
        let colon = decoded.iter().position(|b| *b == b':')?;
        Some(Self::Basic {
            username: decoded[..colon].to_vec(),
            password: decoded[colon + 1..].to_vec(),
        })
    }
}

/// Returns `true` for the characters of a `token68` (RFC 9110 section 11.2).
fn is_token68(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(secret: &str) -> SecretDigest {
        SecretDigest::of(secret.as_bytes())
    }

    fn basic(credentials: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(credentials))
    }

    fn check(authorization: &Authorization, header: &str, expected: Option<AuthScheme>) {
        let verdict = authorization.check([header.as_bytes()].into_iter());
        assert_eq!(verdict.ok(), expected, "{header}");
    }

    #[test]
    fn basic_credentials_match_exactly() {
        let accepted = Authorization::default()
            .with_basic("netdata", digest("a:b:"))
            .with_basic("zweite", digest("pässword"));
        for good in [basic("netdata:a:b:"), basic("zweite:pässword")] {
            check(&accepted, &good, Some(AuthScheme::Basic));
            check(
                &accepted,
                &good.replace("Basic ", "bAsIc   "),
                Some(AuthScheme::Basic),
            );
        }
        for bad in [
            "netdata:a:b",
            "netdata:",
            "netdata",
            ":a:b:",
            "Netdata:a:b:",
            "zweite:a:b:",
            "",
            ":",
        ] {
            check(&accepted, &basic(bad), None);
        }
        for bad in [
            "Basic",
            "Basic ",
            "Basic !",
            "Basic bmV0ZGF0YTphOmI6\u{e9}",
            "bmV0ZGF0YTphOmI6",
            "Digest x",
            "",
        ] {
            check(&accepted, bad, None);
        }
        check(
            &accepted,
            &basic("netdata:a:b:").replace("Basic", "Bearer"),
            None,
        );
    }

    #[test]
    fn bearer_tokens_match_exactly() {
        let accepted = Authorization::default()
            .with_bearer(digest("old"))
            .with_bearer(digest("s3cret"));
        for good in [
            "bearer s3cret",
            "Bearer s3cret",
            "BEARER  s3cret",
            "Bearer old",
            " Bearer old ",
        ] {
            check(&accepted, good, Some(AuthScheme::Bearer));
        }
        for bad in [
            "Bearer s3cre",
            "Bearer s3crett",
            "Bearer S3CRET",
            "Bearers3cret",
            "Bearer s3cret x",
            "s3cret",
        ] {
            check(&accepted, bad, None);
        }
    }

    #[test]
    fn there_is_exactly_one_header() {
        let accepted = Authorization::default().with_bearer(digest("x"));
        let schemes = Schemes {
            basic: false,
            bearer: true,
        };
        let check =
            |headers: &[&str]| accepted.check(headers.iter().map(|header| header.as_bytes()));
        assert_eq!(check(&[]), Err(Rejection::AuthorizationMissing(schemes)));
        assert_eq!(check(&["Bearer x"]), Ok(AuthScheme::Bearer));
        assert_eq!(
            check(&["Bearer x", "Bearer x"]),
            Err(Rejection::AuthorizationInvalid(schemes))
        );
        assert_eq!(
            check(&["Bearer x", "Bearer y"]),
            Err(Rejection::AuthorizationInvalid(schemes))
        );
    }

    #[test]
    fn a_digest_may_stand_for_the_secret() {
        let digest = SecretDigest::from_hex(
            "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
        )
        .unwrap();
        check(
            &Authorization::default().with_bearer(digest),
            "Bearer secret",
            Some(AuthScheme::Bearer),
        );
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic(header in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
            let accepted = Authorization::default().with_basic("a", digest("b")).with_bearer(digest("c"));
            let _ = accepted.check([&header[..]].into_iter());
            let _ = accepted.check([&[b"Basic ", &header[..]].concat()[..]].into_iter());
        }

        #[test]
        fn exactly_the_accepted_credentials_pass(
            name in "[^:]{0,20}", password in "\\PC{0,20}", other_name in "[^:]{0,20}", other in "\\PC{0,20}"
        ) {
            let accepted = Authorization::default().with_basic(&name, digest(&password));
            check(&accepted, &basic(&format!("{name}:{password}")), Some(AuthScheme::Basic));
            let same = name == other_name && password == other;
            check(&accepted, &basic(&format!("{other_name}:{other}")), same.then_some(AuthScheme::Basic));
        }
    }

    #[test]
    fn a_token_is_of_the_signs_that_a_token_may_have() {
        for byte in 0..=255_u8 {
            let token = [b'a', byte, b'b'];
            let accepted = Authorization::default().with_bearer(SecretDigest::of(&token));
            let passes = byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            let header = [b"Bearer ", &token[..]].concat();
            assert_eq!(
                accepted.check([&header[..]].into_iter()).is_ok(),
                passes,
                "{byte:#x}"
            );
        }
    }
}
