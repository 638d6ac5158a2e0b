//! Texts with variables, as NGINX has them.

/// Replaces the variables of `text` with their values, which may be variables themselves. The error
/// is the first variable that is not known.
pub(super) fn expand(text: &str, known: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push_str("$$");
            rest = after;
            continue;
        }
        let (name, after) = split_name(after);
        let value = known(name).ok_or_else(|| name.to_owned())?;
        expanded.push_str(&apart(value, after));
        rest = after;
    }
    Ok(expanded + rest)
}

/// Returns the variable that a text is, if it is nothing else.
pub(super) fn alone(text: &str) -> Option<&str> {
    let (name, rest) = split_name(text.strip_prefix('$')?);
    (rest.is_empty() && !name.is_empty()).then_some(name)
}

/// Puts braces around a variable that would go on in what follows.
fn apart(value: String, after: &str) -> String {
    match alone(&value) {
        Some(name) if after.starts_with(is_part) => format!("${{{name}}}"),
        _ => value,
    }
}

/// Splits what follows a `$` after the name of a variable, which may be in braces.
fn split_name(text: &str) -> (&str, &str) {
    let braced = text.strip_prefix('{').and_then(|it| it.split_once('}'));
    braced.unwrap_or_else(|| text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len())))
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
