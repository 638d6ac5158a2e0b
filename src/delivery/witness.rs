//! The witness of what becomes of stored notifications, beside their application.

use super::store::Listed;

/// Learns of stored notifications that do not reach their application, and of those that do.
pub(crate) trait Witness: Send + Sync {
    /// A notification was set aside for this reason.
    fn parked(&self, notification: &Listed, reason: &str);
    /// A notification that was parked was deleted to make room.
    fn dropped(&self, notification: &Listed);
    /// Returns the ids of the parked notifications that are known here.
    fn set_aside(&self) -> Vec<i64>;
    /// The parked notification with this id is not in the store any longer: an operator has deleted
    /// it.
    fn deleted(&self, id: i64);
    /// The application has taken the notification with this Idempotency-Key.
    fn delivered(&self, route: &str, idempotency: &str);
}
