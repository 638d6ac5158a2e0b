//! Templates of bodies, with `$name` in the places of values.

/// Names and values, which are JSON.
pub(super) type Values = [(&'static str, String)];

/// Inserts the values into `template`, and joins its lines. A name without a value is kept.
pub(super) fn render(template: &str, values: &Values) -> String {
    let mut rendered = String::with_capacity(2 * template.len());
    for line in template.lines() {
        let mut parts = line.trim_start().split('$');
        rendered.push_str(parts.next().unwrap_or_default());
        for part in parts {
            insert(&mut rendered, part, values);
        }
    }
    rendered
}

/// Appends the value for the name at the start of `part`, and the rest of it.
fn insert(rendered: &mut String, part: &str, values: &Values) {
    let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_');
    let (name, rest) = part.split_at(end.unwrap_or(part.len()));
    match values.iter().find(|(known, _)| *known == name) {
        Some((_, value)) => rendered.push_str(value),
        None => rendered.extend(["$", name]),
    }
    rendered.push_str(rest);
}

/// Escapes text for a JSON string as Go does, which escapes HTML characters, too.
pub(super) fn text(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1]
        .replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_they_belong() {
        let values = [("a", "1".to_owned()), ("a_b", text("$a & \"<ü>\"\n"))];
        let rendered = render(
            "{\n  \"x\": $a,\n  \"y\": \"$a_b%\",\n  \"z\": \"$c$\"\n}\n",
            &values,
        );
        assert_eq!(
            rendered,
            "{\"x\": 1,\"y\": \"$a \\u0026 \\\"\\u003cü\\u003e\\\"\\n%\",\"z\": \"$c$\"}"
        );
        let json: serde_json::Value = serde_json::from_str(&rendered).unwrap();
        assert_eq!(json["y"], "$a & \"<ü>\"\n%");
    }
}
