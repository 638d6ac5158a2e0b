//! The witness of what becomes of stored notifications, beside their application.

use super::store::Listed;

/// Learns of stored notifications that do not reach their application, and of those that do.
pub(crate) trait Witness: Send + Sync {
    /// A notification was set aside for this reason.
    fn parked(&self, notification: &Listed, reason: &str);
    /// A notification that was parked was deleted to make room.
    fn dropped(&self, notification: &Listed);
    /// The application has taken the notification with this Idempotency-Key.
    fn delivered(&self, route: &str, idempotency: &str);
}
