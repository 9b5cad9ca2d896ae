//! Attributions of words, as HTML.

use std::fmt::Write;

use super::colour;
use super::scale::{signed, sound};
use super::words::printable;
use crate::cli::html::escape;

/// How much of the paper the largest attribution colours, so that the words on it stay easy to read.
const FULL: f64 = 0.55;

/// The words in their order, on red where they raise the score and on blue where they lower it; each says its figure when
/// pointed at.
pub(in crate::cli) fn tokens(words: &[String], attributions: &[f64]) -> String {
    let figure = |i: usize| attributions.get(i).copied().filter(|a| sound(*a));
    let most = (0..words.len()).filter_map(figure).fold(0.0, |most: f64, a| most.max(a.abs()));
    // Printers leave out backgrounds unless told.
    let mut html = "<p class=\"tokens\" style=\"print-color-adjust:exact\">".to_owned();
    for (i, word) in words.iter().enumerate() {
        let share = figure(i).filter(|_| most > 0.0).map_or(0.0, |a| a.abs() / most);
        let paper = colour::pale(figure(i).unwrap_or(0.0), FULL * share);
        let said = figure(i).map_or_else(|| "no value".to_owned(), signed);
        // Writing to a String cannot fail.
        let _ = write!(
            html,
            "<span style=\"background:{paper};color:#222222\" title=\"{said}\">{}</span> ",
            escape(&printable(word))
        );
    }
    html.push_str("</p>");
    html
}

#[cfg(test)]
mod tests {
    use super::super::tests::sound_xml;
    use super::*;

    /// Relative luminance (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        let linear = |c: f64| if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(part(1)) + 0.7152 * linear(part(3)) + 0.0722 * linear(part(5))
    }

    #[test]
    fn words_are_escaped_and_stay_easy_to_read() {
        let words = ["good", "<i>bad</i>", "\"", "\0", "beyond"].map(str::to_owned);
        let html = tokens(&words, &[2.0, -2.0, 0.0, f64::NAN]);
        sound_xml(&html);
        assert_eq!(html.matches("<span").count(), 5);
        let titles: Vec<&str> = html.split("title=\"").skip(1).map(|t| t.split('"').next().unwrap()).collect();
        assert_eq!(titles, ["+2", "\u{2212}2", "0", "no value", "no value"]);
        let papers: Vec<&str> = html.split("background:").skip(1).map(|p| &p[..7]).collect();
        assert_eq!(papers[2..], ["#ffffff"; 3]);
        for paper in papers {
            let contrast = (luminance(paper) + 0.05) / (luminance("#222222") + 0.05);
            assert!(contrast > 4.5, "{paper}: {contrast}");
        }
        sound_xml(&tokens(&[], &[]));
    }
}
