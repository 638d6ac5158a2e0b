//! Writes HTML in which nothing that came from elsewhere can be markup.

use std::fmt::{self, Display, Write};

/// A document in the making. Markup is what stands in the source of this program; everything else
/// is escaped.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of ours.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, or the value of an attribute between double quotes, from anywhere.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(Escaped(&mut self.0), "{text}");
        self
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Escapes what is written to it, for text and for quoted attributes alike.
struct Escaped<'s>(&'s mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // A browser would drop it, and join what it separates.
                '\0' => self.0.push(char::REPLACEMENT_CHARACTER),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut html = Html::default();
        html.markup("<p title=\"").text(text).markup("\">");
        html.finish()
    }

    #[test]
    fn what_comes_from_elsewhere_is_never_markup() {
        for (text, expected) in [
            ("plain, äöü, 日本", "plain, äöü, 日本"),
            (
                "<script>alert(1)</script>",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            (
                "\"><img src=x onerror=alert(1)>",
                "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;",
            ),
            ("' onmouseover='x", "&#39; onmouseover=&#39;x"),
            ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
            ("<scr\0ipt>", "&lt;scr\u{fffd}ipt&gt;"),
            ("<!-- --> ]]>", "&lt;!-- --&gt; ]]&gt;"),
        ] {
            assert_eq!(escaped(text), format!("<p title=\"{expected}\">"));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_ends_its_attribute_or_starts_a_tag(text in "\\PC*|[<>&\"'/=a-z \0]*") {
            let html = escaped(&text);
            let inside = &html[10..html.len() - 2];
            proptest::prop_assert!(!inside.contains(['<', '>', '"', '\'', '\0']));
        }
    }
}
