//! Texts with variables, as NGINX has them.

/// `text` with what `known` says of its variables. The error is the first variable of which nothing
/// is known.
pub(super) fn expand(text: &str, known: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (name, after) = split_name(&rest[at + 1..]);
        expanded.push_str(&rest[..at]);
        expanded.push_str(&known(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The name at the start of what follows a `$`, with braces or without, and the rest.
fn split_name(text: &str) -> (&str, &str) {
    if let Some((name, rest)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) {
        return (name, rest);
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_or_named() {
        let known = |name: &str| (name != "c").then(|| format!("<{name}>"));
        assert_eq!(
            expand("a$b-${d}e$$", &known).as_deref(),
            Ok("a<b>-<d>e<><>")
        );
        assert_eq!(expand("a$b-${c}d", &known), Err("c".into()));
        assert_eq!(expand("", &known).as_deref(), Ok(""));
    }
}
