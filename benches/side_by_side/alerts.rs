//! What is sent: an alert as the service sends it, of a given size.

use serde_json::{Value, json};

/// An alert of exactly `size` bytes, at least 1,024: its log of other active alerts grows, as it
/// does on a node in trouble.
pub(crate) fn alert(size: usize) -> String {
    let mut entries = Vec::new();
    while render(&entries, 0).len() + ENTRY <= size {
        entries.push(json!({
            "name": format!("disk_space_usage_{:03}", entries.len()),
            "status": "Warning",
            "triggered_at": "2026-03-01T04:12:31-05:00",
        }));
    }
    let missing = size.saturating_sub(render(&entries, 0).len());
    render(&entries, missing)
}

/// More than an entry of the log needs.
const ENTRY: usize = 96;

fn render(entries: &[Value], padding: usize) -> String {
    let alert = json!({
        "message": "Raised to warning, System memory utilization = 87.1%, on web-1.example.com",
        "space": {"id": "7f0b9a4e-51c6-4b8e-8f7b-2f6f5a1f3f10", "name": "Acme & Sons", "slug": "acme-sons"},
        "node": {"id": "1b0e5c5a-2e5a-4f0e-9c39-57a9ce2f3c77", "hostname": "web-1.example.com", "rooms": []},
        "alert": {
            "name": "ram_in_use",
            "context": "system.ram",
            "url": "https://app.netdata.cloud/spaces/acme-sons/alerts",
            "transition_id": "0d4b7a8e-8c58-4f8b-a3e5-5b1f6f0e9d22",
            "chart": {"id": "system.ram", "name": "system.ram"},
            "state": {"status": "Warning", "value": 87.1, "value_str": "87.1%"},
            "prev_state": {"status": "Clear", "value": 61, "value_str": "61%"},
            "triggered_at": "2026-03-01T05:00:00-05:00",
            "duration": {"value": 130, "non_clear": 0, "value_str": "2 minutes"},
            "rendered": {"info": "x".repeat(padding), "summary": "System memory utilization"},
            "log": {"total": {"critical": 0, "warning": entries.len()}, "entries": entries},
        }
    });
    // As the service writes it.
    alert.to_string().replace('&', "\\u0026")
}
