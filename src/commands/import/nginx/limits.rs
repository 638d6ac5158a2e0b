//! Reads limits of size, time and rate.

use super::reader::LocationReader;
use crate::commands::import::directive::InEffect;
use crate::commands::import::quantity::{self, bytes};
use crate::commands::import::toml_writer::ConfigTable;

/// The largest number of requests per second.
const MAX_RATE: u32 = 1_000_000_000;

impl LocationReader<'_, '_> {
    /// Carries over timeouts and sizes to `[limits]`.
    pub(super) fn limits(&self, limits: &mut ConfigTable) {
        let scope = &self.target.scope;
        if let Some(directive) = scope.one("keepalive_timeout") {
            quantity::idle_timeout(directive, limits, self.ledger);
        }
        for directive in scope.all("limit_req") {
            let rate = self.rate(directive.parameter("zone"));
            let key = "limits.requests_per_second";
            self.carry(directive, key, rate.map(i64::from), limits);
            let burst = directive.parameter("burst").and_then(|it| it.parse().ok());
            if let (Some(burst), Some(_)) = (burst, rate) {
                limits.set("burst", i64::from(MAX_RATE.min(burst)));
            }
        }
    }

    /// Returns the requests per second of a `limit_req_zone` by address.
    fn rate(&self, name: Option<&str>) -> Option<u32> {
        let http = self.site.http.iter();
        let mut zones = http.filter(|it| it.name == "limit_req_zone");
        let zone = zones.find(|it| {
            let zone = it.parameter("zone").and_then(|zone| zone.split(':').next());
            zone == name && matches!(it.value(), "$binary_remote_addr" | "$remote_addr")
        })?;
        let (number, unit) = zone.parameter("rate")?.split_once("r/")?;
        let seconds = if unit == "m" { 60 } else { 1 };
        let rate = number.parse::<u32>().ok()?.div_ceil(seconds);
        (1..MAX_RATE).contains(&rate).then_some(rate)
    }

    pub(super) fn max_body(&self) -> Option<String> {
        let is_webhook = self.target.is_webhook;
        let Some(directive) = self.target.scope.one("client_max_body_size") else {
            // The default of NGINX is that of a webhook.
            return (!is_webhook).then(|| "1MiB".to_owned());
        };
        let limit = bytes(directive.value());
        quantity::max_body(directive, limit, is_webhook, self.ledger)
    }
}
