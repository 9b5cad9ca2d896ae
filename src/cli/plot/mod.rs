//! Pictures as SVG text, for pages and files: no scripts, no loads, white paper of their own, the same bytes for the same
//! figures. Numbers that are not finite are left out; names are untrusted.

mod accuracy;
mod bars;
mod beeswarm;
mod colour;
mod curves;
mod frame;
mod heat;
mod scale;
mod tokens;
mod words;

use std::fmt::Write;

use self::scale::Scale;
use self::words::{SIZE, printable, shorten, width};
use super::html::escape;

pub(super) use self::accuracy::{Curve, Dot, accuracy};
pub(super) use self::bars::{Bars, bars};
pub(super) use self::beeswarm::{Swarm, beeswarm};
pub(super) use self::curves::{Curves, curves};
pub(super) use self::heat::{Heat, heat};
pub(super) use self::tokens::tokens;

/// Of all pictures, in the units of their coordinates.
const WIDTH: f64 = 560.0;

/// Free on all sides.
const MARGIN: f64 = 10.0;

/// Where a picture begins under its title.
const TOP: f64 = 34.0;

const GRID: &str = "stroke=\"#e4e4e4\"";
const AXIS: &str = "stroke=\"#888888\"";
const END: &str = "text-anchor=\"end\"";
const MIDDLE: &str = "text-anchor=\"middle\"";
const NOTE: &str = "fill=\"#6a6a6a\"";

/// Places of at most `most` of `n` things, in even steps.
fn every(n: usize, most: usize) -> impl Iterator<Item = usize> {
    let kept = n.min(most);
    (0..kept).map(move |i| i * n / kept)
}

/// A picture that is being drawn.
struct Svg(String);

impl Svg {
    /// White paper with a title; `description` is for those who do not see it.
    fn new(title: &str, description: &str, height: f64) -> Self {
        let mut svg = Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
             height=\"{height:.0}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"{SIZE}\" \
             fill=\"#333333\"><title>{}</title><desc>{}</desc><rect width=\"{WIDTH}\" height=\"{height:.0}\" \
             fill=\"#ffffff\"/>",
            escape(&printable(title)),
            escape(description)
        ));
        svg.name([MARGIN, 20.0], "font-size=\"13\" font-weight=\"600\"", title, 0.87 * (WIDTH - 2.0 * MARGIN));
        svg
    }

    /// A picture of nothing.
    fn blank(title: &str) -> String {
        let mut svg = Self::new(title, "There is nothing to show.", TOP + 30.0);
        svg.text([MARGIN, TOP + 10.0], NOTE, "There is nothing to show.");
        svg.end()
    }

    // Writing to a String cannot fail, here and below.
    fn text(&mut self, [x, y]: [f64; 2], look: &str, text: &str) {
        let _ = write!(self.0, "<text x=\"{x:.1}\" y=\"{y:.1}\" {look}>{}</text>", escape(text));
    }

    /// An untrusted text, shortened to its room; then the full one shows when pointed at.
    fn name(&mut self, at: [f64; 2], look: &str, name: &str, room: f64) {
        self.name_and(at, look, name, "", room);
    }

    /// The same with a text after it, which is kept whole.
    fn name_and(&mut self, [x, y]: [f64; 2], look: &str, name: &str, tail: &str, room: f64) {
        let (full, short) = (printable(name), shorten(name, room - width(tail)));
        let tip = if short == full { String::new() } else { format!("<title>{}</title>", escape(&full)) };
        let (short, tail) = (escape(&short), escape(tail));
        let _ = write!(self.0, "<text x=\"{x:.1}\" y=\"{y:.1}\" {look}>{tip}{short}{tail}</text>");
    }

    /// An untrusted text that is read from below, `room` high, its middle at `y`.
    fn upright(&mut self, [x, y]: [f64; 2], name: &str, room: f64) {
        let turn = format!("{MIDDLE} transform=\"rotate(-90 {x:.1} {y:.1})\"");
        self.name([x, y], &turn, name, room);
    }

    fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], look: &str) {
        let _ = write!(self.0, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {look}/>");
    }

    /// From corner to corner.
    fn rect(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], look: &str) {
        let (x, y, width, height) = (x1.min(x2), y1.min(y2), (x2 - x1).abs(), (y2 - y1).abs());
        let _ = write!(self.0, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" {look}/>");
    }

    fn circle(&mut self, [x, y]: [f64; 2], radius: f64, fill: &str) {
        let _ = write!(self.0, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\"/>");
    }

    /// A line from point to point, broken where one is missing.
    fn path(&mut self, points: impl IntoIterator<Item = Option<[f64; 2]>>, look: &str) {
        let (mut path, mut pen) = (String::new(), 'M');
        for point in points {
            if let Some([x, y]) = point {
                let _ = write!(path, "{pen}{x:.1} {y:.1}");
            }
            pen = if point.is_some() { 'L' } else { 'M' };
        }
        let _ = write!(self.0, "<path d=\"{path}\" {look}/>");
    }

    /// Lines upright between two heights, with their figures below: as many as do not touch.
    fn axis_below(&mut self, scale: &Scale, top: f64, bottom: f64) {
        let ticks = |apart: f64| scale.ticks((scale.end - scale.start) / apart);
        let free = |ticks: &Vec<(f64, String)>| {
            ticks.windows(2).all(|t| t[1].0 - t[0].0 >= width(&t[0].1).max(width(&t[1].1)) + 8.0)
        };
        let ticks = [60.0, 90.0].into_iter().map(ticks).find(free).unwrap_or_else(|| ticks(140.0));
        for (x, label) in ticks {
            self.line([x, top], [x, bottom], GRID);
            let half = width(&label) / 2.0;
            self.text([x.clamp(half, WIDTH - half), bottom + 16.0], MIDDLE, &label);
        }
    }

    fn end(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }
}

#[cfg(test)]
mod tests {
    /// Tags in pairs, no text that could be markup, no number that is none.
    pub(super) fn sound_xml(svg: &str) {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("a tag has no end: {part}"));
            let name: String = tag.chars().take_while(|c| c.is_alphanumeric() || *c == '/').collect();
            let known = ["svg", "title", "desc", "rect", "text", "line", "circle", "path", "p", "span"];
            assert!(known.contains(&name.trim_matches('/')), "a tag of its own: {tag}");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            let attributes =
                tag.split('"').step_by(2).all(|a| a.chars().all(|c| c.is_alphanumeric() || " =/-:".contains(c)));
            assert!(attributes, "{tag}");
            let figures: Vec<&str> = tag.split('"').skip(1).step_by(2).collect();
            assert!(!figures.iter().any(|f| f.contains("NaN") || f.contains("inf")) || tag.contains("title="), "{tag}");
            assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop().as_deref(), Some(name), "{svg}"),
                None if tag.ends_with('/') => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}
