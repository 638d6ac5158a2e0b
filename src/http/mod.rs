//! HTTP messages as bytes: framing, heads, bodies, paths, header classes, forwarded addresses.

pub(crate) mod buffers;
#[cfg(feature = "server")]
pub(crate) mod chunked;
pub(crate) mod forwarded;
pub mod framing;
pub mod header_class;
pub(crate) mod list;
pub mod path;
#[cfg(feature = "server")]
pub(crate) mod read;
pub(crate) mod request_head;
pub(crate) mod response_head;
pub(crate) mod timeout;
pub(crate) mod url;
