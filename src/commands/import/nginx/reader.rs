//! The context in which a location is read.

use super::server::{ProxiedLocation, ServerBlock};
use super::variables::{Constants, NginxMaps};
use crate::commands::import::directive::Directive;
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::ConfigTable;
use std::path::Path;
use toml_edit::Value;

/// The part of a configuration that is imported.
pub(super) struct NginxSite<'r, 't> {
    pub(super) http: &'t [Directive],
    pub(super) maps: &'r NginxMaps<'t>,
    /// The directory to which the names of files are relative.
    pub(super) prefix: &'r Path,
    pub(super) server: &'r ServerBlock<'t>,
    pub(super) is_tls: bool,
}

/// Reads what is in effect for a location. Each module has the methods for one subject.
pub(super) struct LocationReader<'r, 't> {
    pub(super) site: &'r NginxSite<'r, 't>,
    pub(super) target: &'r ProxiedLocation<'t>,
    pub(super) constants: Constants<'t>,
    pub(super) ledger: &'r Ledger,
}

impl<'r, 't> LocationReader<'r, 't> {
    pub(super) fn new(
        site: &'r NginxSite<'r, 't>,
        target: &'r ProxiedLocation<'t>,
        ledger: &'r Ledger,
    ) -> Self {
        let server = site.server;
        let constants = Constants::of(&target.scope, site.maps, &server.names(), site.is_tls);
        Self {
            site,
            target,
            constants,
            ledger,
        }
    }

    /// Sets a key, or reports that there is no value for it.
    pub(super) fn carry(
        &self,
        directive: &Directive,
        key: &str,
        value: Option<impl Into<Value>>,
        table: &mut ConfigTable,
    ) {
        match value {
            Some(value) => {
                table.set(key.trim_start_matches("limits."), value);
                self.ledger.carried(directive, key);
            }
            None => {
                let remedy = format!("this cannot be imported: set {key}");
                self.ledger.not_carried(directive, remedy);
            }
        }
    }
}
