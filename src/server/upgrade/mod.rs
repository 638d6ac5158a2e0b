//! Replaces the running program without closing its listening sockets.
//!
//! The running process and its successor communicate over a unix socket. At every moment, one of the
//! two accepts connections:
//!
//! ```text
//!  running                                            successor (run --upgrade)
//!  SIGQUIT: listens at upgrade_socket      ◀──────    connects, as soon as it can          
//!  sockets, with their addresses           ──────▶    reads everything again, tests itself
//!                                          ◀──────    ready
//!  go                                      ──────▶    writes the pid file, accepts connections
//!                                          ◀──────    serving
//!  notifies systemd, bye, drains           ──────▶
//! ```
//!
//! Until it receives `serving`, the running process accepts connections as before. If the successor
//! fails, or does not come, the running process logs that and continues. It cancels an upgrade with
//! `no`. If it ends without a message, a successor that has received the sockets serves anyway.
//!
//! A successor reads its configuration before it connects, so that a mistake is found early. It
//! reads everything again once it has the sockets, because it could otherwise trust an authority
//! that was withdrawn in the meantime. It ends if there is an error by then, or if the configuration
//! changes before it serves; the running process continues with the current configuration.
//!
//! Both processes verify that the other one belongs to the same user, and that no other user can
//! have created the socket.

pub(super) mod launch;
mod predecessor;
mod running;
mod socket;
mod successor;
mod wire;

pub(super) use predecessor::{RunningProcess, ServeGrant};
pub(super) use running::ListenSockets;
pub(super) use successor::Successor;
