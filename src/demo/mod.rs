//! Shows what the proxy does.

/// Plays the scenes.
pub fn run(once: bool) -> Result<bool, String> {
    let _ = once;
    Err("not here yet".into())
}
