//! A cache of valid chains, so that validating one again costs a comparison.

use crate::auth::ClientIdentity;
use rustls::pki_types::CertificateDer;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of cached chains. Netdata Cloud has one, and a few while it rotates.
const REMEMBERED: usize = 16;

/// A chain that leads to a trusted authority.
#[derive(Debug)]
pub(super) struct GoodChain {
    /// The chain as it was presented, leaf first.
    chain: Vec<CertificateDer<'static>>,
    /// The seconds since 1970 in which every certificate of the path is valid.
    pub(super) validity: RangeInclusive<i64>,
    pub(super) identity: Arc<ClientIdentity>,
}

impl GoodChain {
    /// Creates an entry for a chain that was presented.
    pub(super) fn new(
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        validity: RangeInclusive<i64>,
        identity: ClientIdentity,
    ) -> Arc<Self> {
        let chain = std::iter::once(leaf).chain(above);
        Arc::new(Self {
            chain: chain.map(|der| der.clone().into_owned()).collect(),
            validity,
            identity: Arc::new(identity),
        })
    }

    fn is_of(&self, leaf: &CertificateDer<'_>, above: &[CertificateDer<'_>]) -> bool {
        self.chain
            .split_first()
            .is_some_and(|(known, rest)| known == leaf && rest == above)
    }
}

/// The chains that were validated last.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<VecDeque<Arc<GoodChain>>>);

impl Memory {
    fn chains(&self) -> MutexGuard<'_, VecDeque<Arc<GoodChain>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the entry of this chain, if it is valid at `now`, in seconds since 1970.
    pub(super) fn recall(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: i64,
    ) -> Option<Arc<GoodChain>> {
        let chains = self.chains();
        let known = chains.iter().find(|good| good.is_of(leaf, above))?;
        known.validity.contains(&now).then(|| known.clone())
    }

    /// Adds a chain in place of the oldest one.
    pub(super) fn remember(&self, good: Arc<GoodChain>) {
        let mut chains = self.chains();
        // The chain may be present with another path that has expired, or through another thread.
        chains.retain(|other| other.chain != good.chain);
        if chains.len() == REMEMBERED {
            chains.pop_front();
        }
        chains.push_back(good);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    /// Certificates, and the first of them as an identity.
    fn certificates(count: usize) -> Vec<CertificateDer<'static>> {
        let key = KeyPair::generate().unwrap();
        let certificate = |serial: usize| {
            let mut params = CertificateParams::default();
            params.serial_number = Some((serial as u64).into());
            params.self_signed(&key).unwrap().der().clone()
        };
        (0..count).map(certificate).collect()
    }

    fn good(chain: &[CertificateDer<'static>], validity: RangeInclusive<i64>) -> Arc<GoodChain> {
        let identity = ClientIdentity::from_der(&chain[0]).unwrap();
        GoodChain::new(&chain[0], &chain[1..], validity, identity)
    }

    #[test]
    fn only_the_very_chain_is_recalled_and_only_while_it_holds() {
        let memory = Memory::default();
        let [a, b, c] = &certificates(3)[..] else {
            unreachable!("there are three")
        };
        memory.remember(good(&[a.clone(), b.clone()], 100..=200));
        let check = |chain: &[&CertificateDer<'static>], now, expected: bool| {
            let above: Vec<_> = chain[1..].iter().map(|der| (*der).clone()).collect();
            assert_eq!(
                memory.recall(chain[0], &above, now).is_some(),
                expected,
                "{now} {}",
                chain.len()
            );
        };
        for (now, holds) in [
            (99, false),
            (100, true),
            (150, true),
            (200, true),
            (201, false),
        ] {
            check(&[a, b], now, holds);
        }
        check(&[a], 150, false);
        check(&[b], 150, false);
        check(&[b, a], 150, false);
        check(&[a, c], 150, false);
        check(&[c, b], 150, false);
        check(&[a, b, c], 150, false);
        check(&[a, b, b], 150, false);
        // What is found out later replaces it.
        memory.remember(good(&[a.clone(), b.clone()], 300..=400));
        check(&[a, b], 150, false);
        check(&[a, b], 300, true);
        assert_eq!(memory.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_first_makes_room_for_the_last() {
        let memory = Memory::default();
        let all = certificates(REMEMBERED + 2);
        let known = || {
            all.iter()
                .map(|leaf| memory.recall(leaf, &[], 0).is_some())
                .collect::<Vec<_>>()
        };
        for (index, leaf) in all.iter().enumerate() {
            memory.remember(good(std::slice::from_ref(leaf), 0..=0));
            let expected: Vec<_> = (0..all.len())
                .map(|other| other <= index && other + REMEMBERED > index)
                .collect();
            assert_eq!(known(), expected, "{index}");
        }
        assert_eq!(memory.0.lock().unwrap().len(), REMEMBERED);
        // One that is remembered again is the last.
        memory.remember(good(&[all[2].clone()], 0..=0));
        memory.remember(good(&[all[0].clone()], 0..=0));
        assert!(known()[2] && !known()[3]);
    }
}
