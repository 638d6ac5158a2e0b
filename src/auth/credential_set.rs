//! The credentials that a route accepts, found without comparing each of them.

use crate::auth::secret::SecretDigest;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use subtle::{Choice, ConstantTimeEq as _};

/// Something that a request must present.
pub(super) trait Credential: Hash {
    /// Returns true if both are the same, in constant time.
    fn matches(&self, other: &Self) -> Choice;
}

impl Credential for SecretDigest {
    fn matches(&self, other: &Self) -> Choice {
        self.matches(other)
    }
}

/// A set of credentials.
///
/// A look-up takes as long for a thousand as for one. Which place it looks at depends on a hash
/// whose key is drawn for each set: its duration tells nothing about the credentials, because a
/// client cannot choose what has a given hash. What stands there is compared in constant time.
#[derive(Clone, Debug)]
pub(super) struct CredentialSet<C> {
    key: RandomState,
    by_hash: HashMap<u64, Vec<C>>,
}

impl<C> Default for CredentialSet<C> {
    fn default() -> Self {
        Self {
            key: RandomState::new(),
            by_hash: HashMap::new(),
        }
    }
}

impl<C: Credential> CredentialSet<C> {
    pub(super) fn insert(&mut self, credential: C) {
        let hash = self.key.hash_one(&credential);
        self.by_hash.entry(hash).or_default().push(credential);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Returns true if one of the credentials is this one.
    pub(super) fn knows(&self, given: &C) -> Choice {
        let hash = self.key.hash_one(given);
        let candidates = self.by_hash.get(&hash).into_iter().flatten();
        candidates.fold(0u8.ct_eq(&1), |any, known| any | known.matches(given))
    }

    /// Returns `true` if `other` accepts each of these.
    pub(super) fn is_subset_of(&self, other: &Self) -> bool {
        let mut all = self.by_hash.values().flatten();
        all.all(|credential| bool::from(other.knows(credential)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A credential whose hash is that of all others.
    struct Colliding(SecretDigest);

    impl Hash for Colliding {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            0.hash(state);
        }
    }

    impl Credential for Colliding {
        fn matches(&self, other: &Self) -> Choice {
            self.0.matches(&other.0)
        }
    }

    fn digest(number: u32) -> SecretDigest {
        SecretDigest::of(&number.to_be_bytes())
    }

    fn set<C: Credential>(make: impl Fn(u32) -> C) -> CredentialSet<C> {
        let mut set = CredentialSet::default();
        (0..1_000).for_each(|number| set.insert(make(number)));
        set
    }

    fn knows<C: Credential>(set: &CredentialSet<C>, given: C) -> bool {
        set.knows(&given).into()
    }

    #[test]
    fn each_of_a_thousand_is_known_and_nothing_else() {
        let digests = set(digest);
        assert!((0..1_000).all(|number| knows(&digests, digest(number))));
        assert!(!(1_000..2_000).any(|number| knows(&digests, digest(number))));
        assert!(!knows(&CredentialSet::default(), digest(0)));
    }

    #[test]
    fn an_equal_hash_is_not_a_match() {
        let colliding = set(|number| Colliding(digest(number)));
        assert!((0..1_000).all(|number| knows(&colliding, Colliding(digest(number)))));
        assert!(!knows(&colliding, Colliding(digest(1_000))));
    }

    #[test]
    fn a_subset_has_no_credential_of_its_own() {
        let digests = set(digest);
        let mut some = CredentialSet::default();
        some.insert(digest(7));
        assert!(some.is_subset_of(&digests) && !digests.is_subset_of(&some));
        some.insert(digest(1_000));
        assert!(!some.is_subset_of(&digests));
    }
}
