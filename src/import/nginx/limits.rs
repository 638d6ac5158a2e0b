//! Sizes, times and rates that are limited.

use super::scope::Scope;
use crate::import::directive::Directive;
use crate::import::draft::{Keys, Value};
use crate::import::quantity::{bytes, duration, seconds, size};
use crate::import::report::Ledger;

/// Below this, Go's clients, which keep idle connections for 90 s, lose requests.
const SAFE_IDLE: u64 = 91;

/// Writes `[limits]`, which is for all routes alike.
pub(super) struct Limits<'r, 't> {
    pub(super) ledger: &'r Ledger,
    pub(super) http: &'t [Directive],
    pub(super) keys: &'r mut Keys,
}

impl<'t> Limits<'_, 't> {
    /// Of a server, or of a location whose requests are passed on.
    pub(super) fn carry(&mut self, scope: &Scope<'t>, is_webhook: bool) {
        for (name, key) in [("client_header_timeout", "header_timeout"), ("client_body_timeout", "body_timeout")] {
            if let Some(directive) = scope.one(name) {
                self.set(directive, key, duration(directive.value()).map(Value::from));
            }
        }
        self.idle_timeout(scope);
        self.header_size(scope);
        if !is_webhook {
            let remedy = "limits are for all routes alike: this one would hold alerts up, too, so say in [limits] what they can \
                          bear";
            let limits = scope.all("limit_req").into_iter().chain(scope.all("limit_conn"));
            return limits.filter(|it| !self.ledger.mentions(it)).for_each(|it| self.ledger.not_carried(it, remedy));
        }
        scope.all("limit_req").into_iter().for_each(|it| self.rate(it));
        scope.all("limit_conn").into_iter().for_each(|it| self.connections(it));
    }

    /// The first who says something is right; `value` is `None` where that cannot be said here.
    fn set(&mut self, directive: &Directive, key: &str, value: Option<Value>) {
        let full = format!("limits.{key}");
        // More than that is an error.
        let value = value.filter(|value| !matches!(value, Value::Number(1_000_000_001..)));
        match (value, self.keys.get(key)) {
            (None, _) => self.ledger.not_carried(directive, format!("{full} keeps its default")),
            (Some(value), Some(other)) if *other != value => {
                self.ledger.not_carried(directive, format!("{full} is for all routes alike, and is {other}"));
            }
            (Some(value), _) => {
                self.ledger.carried(directive, format!("{full} = {value}"));
                self.keys.set(key, value);
            }
        }
    }

    fn idle_timeout(&mut self, scope: &Scope<'t>) {
        let Some(directive) = scope.one("keepalive_timeout") else { return };
        match duration(directive.value()) {
            Some(time) if seconds(&time) >= SAFE_IDLE => self.set(directive, "idle_timeout", Some(time.into())),
            _ => {
                let hole = "Netdata Cloud's client keeps idle connections for 90 s, and loses an alert when the server closes \
                            first; limits.idle_timeout stays at 300s";
                self.ledger.closed(directive, hole);
            }
        }
    }

    fn header_size(&mut self, scope: &Scope<'t>) {
        let Some(directive) = scope.one("large_client_header_buffers") else { return };
        let total = match directive.arguments.as_slice() {
            [number, each] => {
                number.parse::<u64>().ok().zip(bytes(each)).and_then(|(number, each)| number.checked_mul(each))
            }
            _ => None,
        };
        let total = total.filter(|total| (1024..=1 << 20).contains(total));
        self.set(directive, "max_header_size", total.map(|total| size(total).into()));
    }

    /// `limit_req zone=… burst=…`, with the zone's rate.
    fn rate(&mut self, directive: &'t Directive) {
        let parameter = |it: &'t Directive, name: &str| {
            it.arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
        };
        let zone = parameter(directive, "zone").unwrap_or_default();
        let Some(zone) = self.zone("limit_req_zone", zone) else {
            self.ledger.not_carried(directive, "requests are counted by address: limits.requests_per_second");
            return;
        };
        let rate = parameter(zone, "rate").and_then(|rate| match rate.split_once("r/") {
            Some((number, "s")) => number.parse::<u64>().ok(),
            Some((number, "m")) => Some(number.parse::<u64>().ok()?.div_ceil(60)),
            _ => None,
        });
        if let (Some(rate), Some((minutely, "m"))) =
            (rate, parameter(zone, "rate").and_then(|rate| rate.split_once("r/")))
            && minutely.parse() != Ok(rate * 60)
        {
            let remedy = format!("{minutely} in a minute cannot be said, only whole numbers in a second: {rate}");
            self.ledger.not_carried(zone, remedy);
        }
        self.set(directive, "requests_per_second", rate.filter(|rate| *rate > 0).map(Value::from));
        if let Some(burst) = parameter(directive, "burst").and_then(|burst| burst.parse::<u64>().ok()) {
            self.set(directive, "burst", Some(burst.into()));
        }
    }

    fn connections(&mut self, directive: &'t Directive) {
        let limit = directive.arguments.get(1).and_then(|limit| limit.parse::<u64>().ok());
        match self.zone("limit_conn_zone", directive.value()) {
            Some(_) => self.set(directive, "max_connections_per_address", limit.map(Value::from)),
            None => self
                .ledger
                .not_carried(directive, "connections are counted by address: limits.max_connections_per_address"),
        }
    }

    /// The zone of this name, if it is about addresses.
    fn zone(&self, kind: &str, name: &str) -> Option<&'t Directive> {
        let named = |it: &&Directive| {
            it.name == kind
                && it.arguments.iter().any(|argument| {
                    argument.strip_prefix("zone=").is_some_and(|zone| zone.split(':').next() == Some(name))
                })
        };
        let zone = self.http.iter().find(named)?;
        let is_by_address = matches!(zone.value(), "$binary_remote_addr" | "$remote_addr");
        if is_by_address {
            self.ledger.carried(zone, "[limits]");
        } else {
            self.ledger.not_carried(zone, "only addresses are counted by");
        }
        is_by_address.then_some(zone)
    }
}
