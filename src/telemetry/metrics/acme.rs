//! Metrics of certificates by ACME.

use super::{counters, gauge, gauges};
use crate::tls::acme::{AcmeEvent, AcmeStatus};
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Registry};

/// The metrics of orders, validations and renewals.
pub(super) struct AcmeMetrics {
    orders: [IntCounter; 2],
    validations: [IntCounter; 2],
    failures: IntGauge,
    /// Times are series of their own, so that one that is unknown is absent.
    retry: IntGaugeVec,
    renewal: IntGaugeVec,
    last_success: IntGaugeVec,
}

impl AcmeMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let orders = counters(
            registry,
            "acme_orders_total",
            "Orders of certificates by ACME, by how they ended.",
            &["outcome"],
        );
        let validations = counters(
            registry,
            "acme_validations_total",
            "Validations by authorities, by whether they were answered.",
            &["outcome"],
        );
        let time = |name, help| gauges(registry, name, help, &[]);
        Self {
            orders: ["issued", "failed"].map(|outcome| orders.with_label_values(&[outcome])),
            validations: ["answered", "failed"]
                .map(|outcome| validations.with_label_values(&[outcome])),
            failures: gauge(
                registry,
                "acme_failures",
                "Orders that failed since a certificate was issued last.",
            ),
            retry: time(
                "acme_retry_timestamp_seconds",
                "When the next order is placed after a failure.",
            ),
            renewal: time(
                "acme_renewal_timestamp_seconds",
                "When the certificate is renewed.",
            ),
            last_success: time(
                "acme_last_success_timestamp_seconds",
                "When a certificate was issued last.",
            ),
        }
    }

    pub(super) fn order(&self, event: AcmeEvent) {
        let index = match event {
            AcmeEvent::Issued => 0,
            AcmeEvent::Failed => 1,
        };
        self.orders[index].inc();
    }

    pub(super) fn validation(&self, is_answered: bool) {
        self.validations[usize::from(!is_answered)].inc();
    }

    pub(super) fn status(&self, status: Option<&AcmeStatus>) {
        let failures = status.map_or(0, |status| status.failures.into());
        self.failures.set(failures);
        set(&self.retry, status.and_then(|status| status.retry_at));
        set(&self.renewal, status.and_then(|status| status.renewal_at));
        set(
            &self.last_success,
            status.and_then(|status| status.last_success),
        );
    }
}

/// Sets a time, or removes its series.
fn set(time: &IntGaugeVec, value: Option<i64>) {
    match value {
        Some(value) => time.with_label_values::<&str>(&[]).set(value),
        // Ignore the error: the series did not exist.
        None => drop(time.remove_label_values::<&str>(&[])),
    }
}
