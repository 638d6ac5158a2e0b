//! Values that only have to be plausible, and the same for the same seed: on any machine, and in
//! any version.

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

/// What a seed makes of everything that it is asked for by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeededRandom {
    seed: u64,
    /// 0 for what all notifications of a seed have in common.
    number: u64,
}

impl SeededRandom {
    /// For what stays as long as the seed does.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, number: 0 }
    }

    /// For what belongs to the `index`th notification.
    pub(super) fn at(self, index: u64) -> Self {
        Self {
            number: index.wrapping_add(1),
            ..self
        }
    }

    /// At most 32 bytes.
    pub(super) fn bytes<const N: usize>(&self, what: &str) -> [u8; N] {
        let digest = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(self.number.to_be_bytes());
        let digest: [u8; 32] = digest.chain_update(what).finalize().into();
        std::array::from_fn(|index| digest[index])
    }

    /// A number below `end`.
    pub(super) fn below(&self, what: &str, end: u64) -> u64 {
        u64::from_be_bytes(self.bytes(what)) % end.max(1)
    }

    pub(super) fn pick<T: Copy, const N: usize>(&self, what: &str, from: [T; N]) -> T {
        // What is below the length is an index.
        from[self.below(what, N as u64) as usize]
    }

    pub(super) fn uuid(&self, what: &str) -> Uuid {
        Builder::from_random_bytes(self.bytes(what)).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_stands_for_its_values_for_ever() {
        let chance = SeededRandom::new(7);
        assert_eq!(
            chance.uuid("space").to_string(),
            SeededRandom::new(7).uuid("space").to_string()
        );
        assert_eq!(
            chance.at(3).below("value", 1000),
            SeededRandom::new(7).at(3).below("value", 1000)
        );
        // As computed elsewhere: sha256(00…07 00…00 "space"), with the version and the variant of a
        // random UUID.
        assert_eq!(
            chance.uuid("space").to_string(),
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
