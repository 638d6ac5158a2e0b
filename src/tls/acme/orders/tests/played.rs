//! An authority that is played, and outlives the processes that use it.

use crate::tls::acme::authority::{
    AcmeError, Authority, OrderRequest, OrderStatus, OrderView, Registered, Registration,
    RenewalWindow, ValidationView,
};
use crate::tls::acme::clock::ClockSkew;
use async_trait::async_trait;
use rcgen::{CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, KeyPair};
use rustls::pki_types::CertificateSigningRequestDer;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The time at which everything begins.
pub(super) const NOW: i64 = 1_800_000_000;

pub(super) const DAY: i64 = 24 * 60 * 60;

/// What an authority does, apart from its usual work.
#[derive(Default)]
pub(super) struct Plan {
    /// The number of calls after which the process ends: after the call had its effect, or before.
    pub(super) ends_after: Option<usize>,
    pub(super) ends_before: Option<usize>,
    /// The errors of the next calls of a name.
    pub(super) errors: Vec<(&'static str, AcmeError)>,
    pub(super) window: Option<(i64, i64)>,
    pub(super) clock_skew: Option<ClockSkew>,
    pub(super) lifetime: i64,
    pub(super) now: i64,
}

/// An authority that outlives the processes that use it.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) calls: Vec<String>,
    pub(super) accounts: Vec<Vec<u8>>,
    pub(super) orders: Vec<PlayedOrder>,
    pub(super) issuer: CertifiedIssuer<'static, KeyPair>,
}

pub(super) struct PlayedOrder {
    pub(super) status: OrderStatus,
    pub(super) names: Vec<String>,
    pub(super) is_validated: bool,
    pub(super) chain: String,
    pub(super) replaces: Option<String>,
}

#[derive(Clone)]
pub(super) struct Played(Arc<Mutex<World>>);

/// The panic that stands for the end of the process.
pub(super) const END: &str = "the process ends here";

impl Played {
    pub(super) fn new() -> Self {
        let params = CertificateParams::default();
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self(Arc::new(Mutex::new(World {
            plan: Plan {
                lifetime: 90 * DAY,
                now: NOW,
                ..Plan::default()
            },
            calls: Vec::new(),
            accounts: Vec::new(),
            orders: Vec::new(),
            issuer,
        })))
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the work of a call; the process may end before or after it.
    fn call<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut World) -> T,
    ) -> Result<T, AcmeError> {
        let mut world = self.world();
        world.calls.push(name.into());
        let number = world.calls.len();
        if let Some(at) = world
            .plan
            .errors
            .iter()
            .position(|(other, _)| *other == name)
        {
            return Err(world.plan.errors.remove(at).1);
        }
        if world.plan.ends_before == Some(number) {
            drop(world);
            panic!("{END}");
        }
        let result = work(&mut world);
        if world.plan.ends_after == Some(number) {
            drop(world);
            panic!("{END}");
        }
        Ok(result)
    }
}

fn index(url: &str) -> usize {
    url.rsplit('/').next().unwrap().parse().unwrap()
}

#[async_trait]
impl Authority for Played {
    fn clock_skew(&self) -> Option<ClockSkew> {
        self.world().plan.clock_skew
    }

    async fn register(&mut self, request: Registration<'_>) -> Result<Registered, AcmeError> {
        self.call("register", |world| {
            let known = world.accounts.iter().position(|key| key == request.key);
            let number = known.unwrap_or_else(|| {
                world.accounts.push(request.key.to_vec());
                world.accounts.len() - 1
            });
            Registered {
                url: format!("https://ca/account/{number}"),
                key: None,
            }
        })
    }

    async fn sign_in(&mut self, account: &str, key: &[u8]) -> Result<(), AcmeError> {
        assert_eq!(self.world().accounts[index(account)], key);
        Ok(())
    }

    async fn change_contact(&mut self, _: Option<&str>) -> Result<(), AcmeError> {
        self.call("change_contact", |_| ())
    }

    async fn place(&mut self, request: OrderRequest<'_>) -> Result<String, AcmeError> {
        let names = request.domains.iter().map(ToString::to_string).collect();
        let replaces = request.replaces.map(str::to_owned);
        self.call("place", |world| {
            world.orders.push(PlayedOrder {
                status: OrderStatus::Pending,
                names,
                is_validated: false,
                chain: String::new(),
                replaces,
            });
            format!("https://ca/order/{}", world.orders.len() - 1)
        })
    }

    async fn look(&mut self, order: &str) -> Result<OrderView, AcmeError> {
        self.call("look", |world| {
            let order = &mut world.orders[index(order)];
            if order.status == OrderStatus::Pending && order.is_validated {
                order.status = OrderStatus::Ready;
            }
            let pending = order
                .names
                .iter()
                .filter(|_| order.status == OrderStatus::Pending);
            let validations = pending.map(|name| ValidationView {
                identifier: name.clone(),
                digest: Some(vec![7; 32]),
            });
            OrderView {
                status: order.status,
                validations: validations.collect(),
                error: None,
                retry_after: None,
            }
        })
    }

    async fn validate(&mut self, order: &str) -> Result<(), AcmeError> {
        self.call("validate", |world| {
            world.orders[index(order)].is_validated = true
        })
    }

    async fn finalize(&mut self, order: &str, request: &[u8]) -> Result<(), AcmeError> {
        self.call("finalize", |world| {
            let request = CertificateSigningRequestDer::from(request.to_vec());
            let mut request = CertificateSigningRequestParams::from_der(&request).unwrap();
            let at = |time| time::OffsetDateTime::from_unix_timestamp(time).unwrap();
            request.params.not_before = at(world.plan.now);
            request.params.not_after = at(world.plan.now + world.plan.lifetime);
            request.params.serial_number = Some((world.orders.len() as u64 + 4096).into());
            request.params.use_authority_key_identifier_extension = true;
            let certificate = request.signed_by(&world.issuer).unwrap();
            let order = &mut world.orders[index(order)];
            assert_eq!(order.status, OrderStatus::Ready);
            (order.status, order.chain) = (OrderStatus::Valid, certificate.pem());
        })
    }

    async fn fetch(&mut self, order: &str) -> Result<String, AcmeError> {
        self.call("fetch", |world| world.orders[index(order)].chain.clone())
    }

    async fn renewal_window(&mut self, _: &str) -> Result<RenewalWindow, AcmeError> {
        let window = self.call("renewal_window", |world| world.plan.window)?;
        let (start, end) = window.ok_or_else(|| AcmeError::refused("unsupported", "no windows"))?;
        Ok(RenewalWindow {
            start,
            end,
            explanation: Some("https://ca/why".into()),
            retry_after: Duration::from_secs(6 * 60 * 60),
        })
    }
}
