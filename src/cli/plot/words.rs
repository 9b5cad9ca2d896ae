//! Text that fits and does no harm.

/// The size of letters in a picture.
pub(super) const SIZE: f64 = 12.0;

/// Letters of a full name that are kept where it is not shown.
const FULL: usize = 200;

/// Without what XML forbids and what would turn the direction of other text around; at most `FULL` letters.
pub(super) fn printable(text: &str) -> String {
    let own = |c: char| match c {
        '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    let mut letters = text.chars().map(own);
    let kept: String = letters.by_ref().take(FULL).collect();
    if letters.next().is_some() { kept + "…" } else { kept }
}

/// How wide a text is at most, as DejaVu Sans, the widest of the usual fonts, would print it.
pub(super) fn width(text: &str) -> f64 {
    let letter = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' | ' ' | 'f' | 't' | 'r' | '(' | ')' | '-' => {
            0.41
        }
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 1.0,
        '+' | '=' | '<' | '>' | '\u{2212}' => 0.84,
        'A'..='Z' => 0.73,
        '\u{1100}'.. => 1.0,
        _ => 0.64,
    };
    SIZE * text.chars().map(letter).sum::<f64>()
}

/// The text, or its beginning and an ellipsis in the room there is.
pub(super) fn shorten(text: &str, room: f64) -> String {
    let text = printable(text);
    if width(&text) <= room {
        return text;
    }
    let (mut kept, mut used) = (String::new(), width("…"));
    for c in text.chars() {
        used += width(c.encode_utf8(&mut [0; 4]));
        if used > room {
            break;
        }
        kept.push(c);
    }
    kept.trim_end().to_owned() + "…"
}

/// The name of a feature, or its number for want of one.
pub(super) fn name(names: &[String], feature: usize) -> String {
    names.get(feature).filter(|name| !name.trim().is_empty()).map_or_else(|| format!("x{feature}"), Clone::clone)
}

/// `1 case`, `2 cases`.
pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_shortened_to_its_room() {
        assert_eq!(shorten("bmi", 100.0), "bmi");
        let short = shorten(&"serum".repeat(100), 100.0);
        assert!(short.ends_with('…') && short.starts_with("serum") && width(&short) <= 100.0, "{short}");
        assert_eq!(shorten("bmi", 0.0), "…");
        assert_eq!(printable(&"a".repeat(5000)).chars().count(), FULL + 1);
    }

    #[test]
    fn what_xml_forbids_is_replaced() {
        assert_eq!(printable("a\0b\u{202e}c\nd"), "a\u{fffd}b\u{fffd}c d");
        assert_eq!(
            (name(&["a".into()], 0), name(&[" ".into()], 0), name(&[], 7)),
            ("a".into(), "x0".into(), "x7".into())
        );
    }
}
