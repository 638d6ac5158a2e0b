//! Secrets that cannot be printed, and the only ways to compare them.

use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// A secret that is needed as it is: the key of the challenge.
///
/// It is erased from memory when it is dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Creates a secret of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes themselves. Never log them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The SHA-256 of a secret that is only compared: a password, a Bearer token, a user name.
///
/// Comparing digests hides the length as well, and the secret itself need not stay in memory.
///
/// Its hash is for tables whose key no client knows: with another one, the time of a look-up would
/// tell which digests begin alike.
#[derive(Clone, Hash)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Returns the digest of `secret`.
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Returns a digest that was computed elsewhere, as 64 hexadecimal digits; `None` if it is
    /// anything else.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let mut digest = [0; 32];
        hex::decode_to_slice(hex, &mut digest).ok()?;
        Some(Self(digest))
    }

    /// Returns true if both are digests of the same secret, in constant time.
    pub fn matches(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_cannot_be_printed() {
        assert_eq!(
            format!("{:?}", Secret::new(b"hunter2".to_vec())),
            "Secret(..)"
        );
        assert_eq!(
            format!("{:?}", SecretDigest::of(b"hunter2")),
            "SecretDigest(..)"
        );
    }

    #[test]
    fn a_digest_matches_only_its_own_secret() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let given = SecretDigest::from_hex(hex).unwrap();
        assert!(bool::from(given.matches(&SecretDigest::of(b"abc"))));
        assert!(!bool::from(given.matches(&SecretDigest::of(b"abd"))));
        for index in 0..hex.len() {
            let mut other = hex.to_owned();
            let digit = if hex[index..].starts_with('0') {
                "1"
            } else {
                "0"
            };
            other.replace_range(index..=index, digit);
            let other = SecretDigest::from_hex(&other).unwrap();
            assert!(!bool::from(given.matches(&other)), "digit {index}");
        }
        assert!(SecretDigest::from_hex(&hex[1..]).is_none());
        assert!(SecretDigest::from_hex(&format!("{hex}0")).is_none());
        assert!(SecretDigest::from_hex(&hex.replace('b', "g")).is_none());
        assert!(
            SecretDigest::from_hex(&hex.replace("ba", "+a")).is_none(),
            "a sign is not a digit"
        );
    }
}
