//! Replacing the program without closing its sockets.
//!
//! The process that runs and the one that is to succeed it meet at a unix socket, and nowhere is a
//! moment in which nobody would accept a connection:
//!
//! ```text
//!  running                                            successor (run --upgrade)
//!  SIGQUIT: listens at upgrade_socket      ◀──────    connects, as soon as somebody is there
//!  sockets, and what each is called        ──────▶    reads everything again, tests itself
//!                                          ◀──────    ready
//!  go                                      ──────▶    writes the pid file, accepts connections
//!                                          ◀──────    serving
//!  tells systemd whom to follow, drains    ──────▶
//! ```
//!
//! Until `serving` has arrived the running process accepts connections as ever, so whatever goes
//! wrong with a successor, or if none comes, changes nothing: it goes on, and says so. It calls a
//! take-over off with `no`; should it end without a word, a successor that has the sockets serves
//! all the same.
//!
//! A successor has read its configuration before it connects, so that a mistake in it is found
//! while nothing has happened yet. It reads everything again once it has the sockets: by what it
//! read first it could trust an authority that was withdrawn while it waited. What is wrong by then
//! ends it, and a configuration that changes until it serves does, too: the running process goes
//! on, by what holds now.
//!
//! Both make sure that the other belongs to the same user, and that the socket lies where no other
//! user can have put it.

pub(super) mod launch;
mod predecessor;
mod running;
mod socket;
mod successor;
mod wire;

pub(super) use predecessor::{Permission, Predecessor};
pub(super) use running::Legacy;
pub(super) use successor::Successor;
