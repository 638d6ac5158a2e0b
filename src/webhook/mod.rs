//! What Netdata Cloud sends: the challenge, notifications, and their shapes; and the signatures that
//! vouch for it to applications.

pub mod challenge;
pub(crate) mod notification;
pub(crate) mod request;
pub(crate) mod signer;
