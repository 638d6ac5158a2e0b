//! Plausible values that depend on a seed only: they are the same on every machine and in every
//! version.

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

/// A source of values, each of which follows from the seed and the name of the value.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeededRandom {
    seed: u64,
    /// 0 for values that all notifications of a seed have in common.
    number: u64,
}

impl SeededRandom {
    /// Creates a source of values that all notifications of a seed have in common.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, number: 0 }
    }

    /// Returns the source of the values of the `index`th notification.
    pub(super) fn at(self, index: u64) -> Self {
        Self {
            number: index.wrapping_add(1),
            ..self
        }
    }

    /// Returns up to 32 bytes.
    pub(super) fn bytes<const N: usize>(&self, name: &str) -> [u8; N] {
        let digest = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(self.number.to_be_bytes());
        let digest: [u8; 32] = digest.chain_update(name).finalize().into();
        std::array::from_fn(|index| digest[index])
    }

    /// Returns a number below `end`.
    pub(super) fn below(&self, name: &str, end: u64) -> u64 {
        u64::from_be_bytes(self.bytes(name)) % end.max(1)
    }

    pub(super) fn pick<T: Copy, const N: usize>(&self, name: &str, from: [T; N]) -> T {
        // A number below the length is an index.
        from[self.below(name, N as u64) as usize]
    }

    pub(super) fn uuid(&self, name: &str) -> Uuid {
        Builder::from_random_bytes(self.bytes(name)).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_stands_for_its_values_for_ever() {
        let random = SeededRandom::new(7);
        assert_eq!(
            random.uuid("space").to_string(),
            SeededRandom::new(7).uuid("space").to_string()
        );
        assert_eq!(
            random.at(3).below("value", 1000),
            SeededRandom::new(7).at(3).below("value", 1000)
        );
        // As computed elsewhere: sha256(00…07 00…00 "space"), with the version and the variant of a
        // random UUID.
        assert_eq!(
            random.uuid("space").to_string(),
            "451b4e54-d8bf-4c8f-95aa-b103da75ef7d"
        );
    }

    #[test]
    fn what_differs_in_anything_differs() {
        let uuids = [
            SeededRandom::new(7).uuid("a"),
            SeededRandom::new(8).uuid("a"),
            SeededRandom::new(7).uuid("b"),
            SeededRandom::new(7).at(0).uuid("a"),
            SeededRandom::new(7).at(1).uuid("a"),
        ];
        for (index, uuid) in uuids.iter().enumerate() {
            assert!(!uuids[..index].contains(uuid));
        }
    }
}
