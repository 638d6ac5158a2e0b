//! `queue export`: everything with its body, one JSON object a line, which `send file --exported`
//! sends again.

use super::masked_head::masked_head;
use super::{QueueError, describe};
use crate::delivery::{Filter, Found, Operator};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::io::{self, IsTerminal as _, Write};

/// Prints the notifications that `filter` selects, the oldest first. Returns `true`.
pub(super) fn run(
    store: &dyn Operator,
    filter: &Filter,
    out: &mut impl Write,
) -> Result<bool, QueueError> {
    let ids = store.ids(filter)?;
    let progress = progress(ids.len() as u64);
    for id in ids {
        // One that has been delivered meanwhile is left out.
        if let Some(found) = store.find(id)? {
            writeln!(out, "{}", exported(&found))?;
        }
        progress.inc(1);
    }
    out.flush()?;
    progress.finish_and_clear();
    Ok(true)
}

/// Returns a notification as JSON, with its head, and its body as it is.
pub(super) fn exported(found: &Found) -> Value {
    let mut object = describe::json(&found.listed);
    object["head"] = masked_head(&found.head).into();
    match std::str::from_utf8(&found.body) {
        Ok(text) => object["body"] = text.into(),
        Err(_) => object["body_base64"] = BASE64_STANDARD.encode(&found.body).into(),
    }
    object
}

/// Returns the progress bar, which is shown on a terminal that does not show the notifications.
fn progress(count: u64) -> ProgressBar {
    let target = match io::stdout().is_terminal() {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let template = "{elapsed_precise} {wide_bar} {pos}/{len}, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::with_draw_target(Some(count), target).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_exported_as_it_is() {
        let exported = |body: &[u8]| {
            exported(&Found {
                body: body.to_owned(),
                ..Found::default()
            })
        };
        let text = exported("{\"a\":\"ü\"}".as_bytes());
        assert_eq!(text["body"], "{\"a\":\"ü\"}");
        let binary = exported(b"\xff\x00");
        assert_eq!(binary["body_base64"], "/wA=");
        assert_eq!(binary.get("body"), None);
    }
}
