//! `[admin]`: the address of the admin listener.

use super::parsed;
use crate::config::AdminSettings;
use crate::config::document::TableReader;
use std::net::SocketAddr;

/// Reads the section.
pub(super) fn admin(table: &mut TableReader<'_>) -> Option<AdminSettings> {
    let text = table.string("listen");
    let text = text.filter(|text| !text.value.is_empty())?;
    let listen = parsed(table, text, parse)?;
    warn_of_exposure(table, listen);
    Some(AdminSettings { listen })
}

fn parse(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "must be an address and a port, such as \"127.0.0.1:9464\"")
}

fn warn_of_exposure(table: &TableReader<'_>, listen: SocketAddr) {
    if !listen.ip().to_canonical().is_loopback() {
        let message = "is not a loopback address: the admin listener has no authentication, and any client that reaches it \
                       sees the tokens of Test notifications";
        table.warn("listen", message);
    }
}
