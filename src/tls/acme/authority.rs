//! The authority, as orders need it: each call is one step, and can be repeated.

use super::clock::ClockSkew;
use crate::config::ExternalAccount;
use async_trait::async_trait;
use std::fmt;
use std::time::Duration;

/// An authority that issues certificates.
#[async_trait]
pub(crate) trait Authority: Send {
    /// Returns how far this clock is from that of the authority, if it has answered.
    fn clock_skew(&self) -> Option<ClockSkew>;

    /// Creates an account, or finds the one that the key has already.
    async fn register(&mut self, request: Registration<'_>) -> Result<Registered, AcmeError>;

    /// Uses an account from now on.
    async fn sign_in(&mut self, account: &str, key: &[u8]) -> Result<(), AcmeError>;

    /// Replaces the contact of the account.
    async fn change_contact(&mut self, email: Option<&str>) -> Result<(), AcmeError>;

    /// Places an order, and returns its URL.
    async fn place(&mut self, request: OrderRequest<'_>) -> Result<String, AcmeError>;

    /// Returns the state of an order.
    async fn look(&mut self, order: &str) -> Result<OrderView, AcmeError>;

    /// Says that every pending validation of the order is answered.
    async fn validate(&mut self, order: &str) -> Result<(), AcmeError>;

    /// Asks for the certificate of an order that is ready, by a request in DER.
    async fn finalize(&mut self, order: &str, request: &[u8]) -> Result<(), AcmeError>;

    /// Returns the chain of an order that is valid, in PEM.
    async fn fetch(&mut self, order: &str) -> Result<String, AcmeError>;

    /// Returns the window in which a certificate is to be renewed (RFC 9773).
    async fn renewal_window(&mut self, certificate: &str) -> Result<RenewalWindow, AcmeError>;
}

/// An account to create.
pub(crate) struct Registration<'r> {
    /// The key in PKCS #8. With an account that exists elsewhere, the library makes one itself.
    pub(super) key: &'r [u8],
    pub(super) email: Option<&'r str>,
    pub(super) eab: Option<&'r ExternalAccount>,
}

/// An account that was created or found.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(super) url: String,
    /// The key in PKCS #8, if it is another than the given one.
    pub(super) key: Option<Vec<u8>>,
}

/// An order to place.
#[derive(Clone, Copy)]
pub(crate) struct OrderRequest<'r> {
    pub(super) domains: &'r [crate::config::Domain],
    pub(super) profile: Option<&'r str>,
    /// The identifier of the certificate that is renewed.
    pub(super) replaces: Option<&'r str>,
}

/// The status of an order (RFC 8555, section 7.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderStatus {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

/// The state of an order.
#[derive(Clone, Debug)]
pub(crate) struct OrderView {
    pub(super) status: OrderStatus,
    /// The validations that are pending.
    pub(super) validations: Vec<ValidationView>,
    /// Why the order, or one of its validations, failed.
    pub(super) error: Option<AcmeError>,
    /// The time before the next look, if the authority says.
    pub(super) retry_after: Option<Duration>,
}

/// A validation that is pending.
#[derive(Clone, Debug)]
pub(crate) struct ValidationView {
    /// The name as the authority wrote it.
    pub(super) identifier: String,
    /// The digest of the key authorization; `None` if the authority offers no TLS-ALPN-01.
    pub(super) digest: Option<Vec<u8>>,
}

/// When to renew a certificate.
#[derive(Clone, Debug)]
pub(crate) struct RenewalWindow {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) explanation: Option<String>,
    pub(super) retry_after: Duration,
}

/// What an error means for the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// The step is to be repeated: a nonce was used up, or the order is not there yet.
    Again,
    /// The account is unknown to the authority.
    AccountGone,
    /// The authority refuses what was asked for; the order is of no use.
    Refused,
    /// The authority does not answer, or not now.
    Away,
}

/// An error of an authority, or on the way there.
#[derive(Clone, Debug)]
pub(crate) struct AcmeError {
    pub(super) kind: ErrorKind,
    /// A word: the authority's own, or one of ours.
    pub(super) code: String,
    pub(super) detail: String,
    /// The time for which the authority asks not to be asked.
    pub(super) retry_after: Option<Duration>,
}

impl AcmeError {
    pub(super) fn new(kind: ErrorKind, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.into(),
            detail: detail.into(),
            retry_after: None,
        }
    }

    pub(super) fn refused(code: &str, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, code, detail)
    }
}

impl fmt::Display for AcmeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}
