//! As much of SVG as a picture of a test needs. Text is escaped, numbers are short, colours follow the reader's theme.

use std::fmt::{self, Write};

/// Classes used below. The background is drawn too: a page may be dark where its reader's theme is light.
const STYLE: &str = "\
.page{fill:#ffffff}\
text{font:12px system-ui,sans-serif;fill:#3b4252}\
.title{font-size:15px;font-weight:600;fill:#1f2430}\
.grid{stroke:#d5dae3;stroke-width:1}\
.skipped{fill:none;stroke:#8a93a6;stroke-width:1.2}\
.boundary{fill:none;stroke:#b4531a;stroke-width:2;stroke-dasharray:6 4}\
.boundary-text{fill:#b4531a}\
.statistic{fill:none;stroke:#2563c9;stroke-width:2;stroke-linejoin:round}\
.look{fill:#2563c9}\
.statistic-text{fill:#2563c9}\
.decision{stroke:#1a7f4b;stroke-width:2}\
.decision-text{fill:#1a7f4b;font-weight:600}\
@media(prefers-color-scheme:dark){\
.page{fill:#161a22}\
text{fill:#c3cad8}\
.title{fill:#eef1f6}\
.grid{stroke:#3a4152}\
.skipped{stroke:#7f899c}\
.boundary{stroke:#f0a36b}.boundary-text{fill:#f0a36b}\
.statistic{stroke:#7fb0ff}.look,.statistic-text{fill:#7fb0ff}\
.decision{stroke:#5fd39a}.decision-text{fill:#5fd39a}}";

/// A drawing under way.
pub(super) struct Drawing(String);

impl Drawing {
    /// `title` and `description` are what is read aloud.
    pub(super) fn new(size: (u16, u16), title: &str, description: &str) -> Self {
        let (width, height) = size;
        let mut drawing = Self(String::new());
        drawing.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\"><title>{}</title><desc>{}</desc>\
             <style>{STYLE}</style><rect class=\"page\" width=\"{width}\" height=\"{height}\"/>",
            Escaped(title),
            Escaped(description),
        ));
        drawing
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    pub(super) fn polyline(&mut self, class: &str, points: &[(f64, f64)]) {
        self.add(format_args!("<polyline class=\"{class}\" points=\""));
        for (index, (x, y)) in points.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            self.add(format_args!("{gap}{x:.1},{y:.1}"));
        }
        self.add(format_args!("\"/>"));
    }

    /// A point that tells more when it is pointed at.
    pub(super) fn dot(&mut self, class: &str, at: (f64, f64), tells: &str) {
        self.add(format_args!(
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}</title></circle>",
            at.0,
            at.1,
            Escaped(tells)
        ));
    }

    pub(super) fn text(&mut self, class: &str, anchor: Anchor, at: (f64, f64), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.add(format_args!(
            "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            at.0,
            at.1,
            Escaped(text)
        ));
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }

    fn add(&mut self, part: fmt::Arguments<'_>) {
        self.0.write_fmt(part).expect("writing to a string does not fail");
    }
}

/// Which end of a text is at its place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Text that cannot leave its element, and holds only what XML allows.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\u{fffe}' | '\u{ffff}' => f.write_char(char::REPLACEMENT_CHARACTER)?,
                _ if letter.is_control() => f.write_char(' ')?,
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_element() {
        let text = Escaped("</text><script>\"&'\u{0}\u{ffff}").to_string();
        assert_eq!(text, "&lt;/text&gt;&lt;script&gt;&quot;&amp;&#39; \u{fffd}");
    }
}
