//! Certificates by ACME (RFC 8555), validated by TLS-ALPN-01 (RFC 8737) on the HTTPS listener itself.
//!
//! ```text
//!  orders     one order from account to certificate: takes each step, and writes it down before
//!   ├ authority   the authority, as orders need it
//!   │  └ client   … over HTTP (`http`), with deadlines
//!   ├ schedule    when to renew, and how long to wait after a failure
//!   ├ records     what is written down
//!   └ store       where: a folder, or what else there is for several machines
//!  follower   presents what the store holds: the certificate, and answers to validations
//!   ├ issued      a chain that fits its key and names
//!   └ answer      the certificate that answers a validation
//!  hello      whether a connection is a validation
//!  trial      a validation that is only tried
//!  directory  what the authority says of itself
//!  clock      whether its time is that of this machine
//! ```
//!
//! One process orders, the one that holds the lock; all that share the store follow it. What is to
//! be done next always follows from the store and from the authority, so that a process may end at
//! any point, and another one goes on.

mod answer;
mod authority;
mod client;
mod clock;
mod directory;
mod follower;
mod hello;
mod http;
mod issued;
mod orders;
mod records;
mod schedule;
mod store;
mod trial;
mod unread;

pub(crate) use answer::{Answer, Answers, PROTOCOL};
pub(crate) use client::AcmeClient;
#[cfg(test)]
pub(crate) use clock::ClockSkew;
pub(crate) use directory::Directory;
pub(crate) use follower::Follower;
pub(crate) use hello::{HelloReader, MAX_HELLO};
pub(crate) use orders::{AcmeEvent, Next, Obstacles, Orders, unix_now};
#[cfg(test)]
pub(crate) use records::ProblemRecord;
pub(crate) use records::{AcmeStatus, account_url};
pub(crate) use store::{Folder, Held, Lock, Store};
pub(crate) use trial::{Trial, TrialAnswer};
pub(crate) use unread::UnreadCertificate;
