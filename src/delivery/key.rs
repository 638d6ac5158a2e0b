//! The key of a notification: what must stay in order with it.

use super::order::Key;
use sha2::{Digest as _, Sha256};

/// Returns the key of the notifications about `subject` on `route`.
pub(crate) fn subject_key(route: &str, subject: &[u8]) -> Key {
    let mut hash = Sha256::new();
    hash.update(route.as_bytes());
    // No path has this byte, so that no two pairs give the same bytes.
    hash.update([0]);
    hash.update(subject);
    let digest: [u8; 32] = hash.finalize().into();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    Key(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_subjects_have_keys_of_their_own() {
        let keys = [("/a", "b"), ("/a", "c"), ("/ab", ""), ("/b", "b")]
            .map(|(route, subject)| subject_key(route, subject.as_bytes()));
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key));
        }
        assert_eq!(subject_key("/a", b"b"), keys[0]);
    }
}
