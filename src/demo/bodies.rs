//! What the stand-in sends: bodies as Netdata Cloud documents and sends them, and two that it never would.
//!
//! They are written so that reading one and writing it anew would change its bytes: spaces, `\u0026`, `87.10`.

/// An alert in the documented shape.
pub(super) const ALERT_FLAT: &str = include_str!("bodies/alert_flat.json");
/// An alert as the service sends it.
pub(super) const ALERT_NESTED: &str = include_str!("bodies/alert_nested.json");
/// A node became unreachable, in the documented shape.
pub(super) const REACHABILITY_FLAT: &str = include_str!("bodies/reachability_flat.json");
/// A node became reachable, as the service sends it.
pub(super) const REACHABILITY_NESTED: &str = include_str!("bodies/reachability_nested.json");
/// The operator pressed *Test*.
pub(super) const TEST: &str = include_str!("bodies/test.json");
/// JSON, but `state` is a string where it must be an object.
pub(super) const SCHEMA_MISMATCH: &str = include_str!("bodies/schema_mismatch.json");
/// Looks like JSON to those who do not read to the end.
pub(super) const NOT_JSON: &str = "{\"alert\": \"ram_in_use\", \"severity\": critical}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_written_anew_is_not_the_same() {
        for body in [ALERT_FLAT, ALERT_NESTED, REACHABILITY_FLAT, REACHABILITY_NESTED] {
            let json: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_ne!(json.to_string(), body);
            assert_ne!(serde_json::to_string_pretty(&json).unwrap(), body);
        }
    }
}
