//! Texts with variables, as NGINX has them.

/// Replaces the variables of `text` with their values. The error is the first variable that is not
/// known.
pub(super) fn expand(text: &str, known: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut parts = text.split('$');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = split_name(part);
        expanded.push_str(&known(name).ok_or_else(|| name.to_owned())?);
        expanded.push_str(rest);
    }
    Ok(expanded)
}

/// Splits what follows a `$` after the name of a variable, which may be in braces.
fn split_name(text: &str) -> (&str, &str) {
    if let Some(split) = text.strip_prefix('{').and_then(|text| text.split_once('}')) {
        return split;
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()))
}
