//! The one page that people get: how a certificate stands. Every text in it is somebody's and is shown as text.

use serde_json::Value;

/// A page with a title, a sentence and what is known, name by name.
pub(crate) fn page(title: &str, verdict: &str, rows: &[(&str, &Value)]) -> String {
    let mut html = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    text(&mut html, title);
    html.push_str("</title></head><body>\n<h1>");
    text(&mut html, title);
    html.push_str("</h1>\n<p><strong>");
    text(&mut html, verdict);
    html.push_str("</strong></p>\n<dl>\n");
    for (name, value) in rows {
        let shown = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Array(list) => {
                let texts =
                    list.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), ToOwned::to_owned));
                texts.collect::<Vec<_>>().join(", ")
            }
            other => other.to_string(),
        };
        html.push_str("<dt>");
        text(&mut html, name);
        html.push_str("</dt><dd><bdi>");
        text(&mut html, &shown);
        html.push_str("</bdi></dd>\n");
    }
    html.push_str("</dl>\n</body></html>\n");
    html
}

/// No letter of it is markup, moves another one, or stays invisible.
fn text(html: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\\' => html.push(letter),
            _ => html.extend(letter.escape_debug()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_becomes_markup_or_moves_another_one() {
        let hostile = "</dd><script>alert(1)</script>\"'&\u{202e}\0\u{1b}\n";
        let html = page(
            hostile,
            hostile,
            &[("name", &json!(hostile)), ("list", &json!([hostile, 1])), ("none", &json!(null))],
        );
        for harm in ["<script", "alert(1)</", "\u{202e}", "\0", "\u{1b}", "none"] {
            assert!(!html.contains(harm), "{harm:?}: {html}");
        }
        assert!(html.contains("&lt;/dd&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\\u{202e}"));
    }
}
