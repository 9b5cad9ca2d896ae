//! Accuracy over severity.

use std::fmt::Write;

use crate::cli::html::escape;

/// A figure with its interval at one severity.
pub(in crate::cli) struct Dot {
    pub(in crate::cli) at: f64,
    pub(in crate::cli) value: f64,
    pub(in crate::cli) low: f64,
    pub(in crate::cli) high: f64,
}

/// A named curve.
pub(in crate::cli) struct Curve {
    pub(in crate::cli) name: String,
    pub(in crate::cli) dots: Vec<Dot>,
}

/// Colours that stay apart for colour-blind readers (Okabe and Ito, 2008).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"];

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;

/// Accuracy over severity 1 to 5, with intervals; `clean` is a dashed line with its band.
pub(in crate::cli) fn accuracy(curves: &[Curve], clean: Option<&Dot>) -> String {
    let x = |severity: f64| LEFT + (severity - 0.7) / 4.6 * (WIDTH - LEFT - RIGHT);
    let base = base(curves, clean);
    let y = |value: f64| TOP + (1.0 - value) / (1.0 - base) * (HEIGHT - TOP - BOTTOM);
    let (start, end) = (LEFT, WIDTH - RIGHT);
    let mut svg = format!(
        "<svg class=\"accuracy\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"accuracy by severity\">"
    );
    // Writing to a String cannot fail, so the results below carry nothing.
    for tick in 0..=5 {
        let value = base + (1.0 - base) * f64::from(tick) / 5.0;
        let at = y(value);
        let _ = write!(svg, "<line class=\"grid\" x1=\"{start}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
        let _ = write!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.2}</text>", start - 6.0, at + 4.0);
    }
    for severity in 1..=5 {
        let at = x(f64::from(severity));
        let _ = write!(
            svg,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{severity}</text>",
            HEIGHT - BOTTOM + 16.0
        );
    }
    let middle = (start + end) / 2.0;
    let axis = if base > 0.0 { format!("severity (accuracy from {base} up)") } else { "severity".to_owned() };
    let _ = write!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{axis}</text>", HEIGHT - 6.0);
    if let Some(clean) = clean {
        let (top, bottom, at) = (y(clean.high), y(clean.low), y(clean.value));
        let (width, height) = (end - start, bottom - top);
        let _ =
            write!(svg, "<rect class=\"band\" x=\"{start}\" y=\"{top:.1}\" width=\"{width}\" height=\"{height:.1}\"/>");
        let _ = write!(svg, "<line class=\"clean\" x1=\"{start}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
    }
    for (number, curve) in curves.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        // Side by side, so that intervals of one severity do not hide one another.
        let nudge = (number as f64 - (curves.len() as f64 - 1.0) / 2.0) * 6.0;
        let points: Vec<String> =
            curve.dots.iter().map(|d| format!("{:.1},{:.1}", x(d.at) + nudge, y(d.value))).collect();
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            points.join(" ")
        );
        for dot in &curve.dots {
            let (at, low, high) = (x(dot.at) + nudge, y(dot.low), y(dot.high));
            let _ = write!(
                svg,
                "<line stroke=\"{colour}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\"/>"
            );
            let _ = write!(svg, "<circle fill=\"{colour}\" cx=\"{at:.1}\" cy=\"{:.1}\" r=\"3\"/>", y(dot.value));
        }
        let (key, line) = (TOP + 12.0 + 20.0 * number as f64, end + 12.0);
        let _ = write!(svg, "<circle fill=\"{colour}\" cx=\"{}\" cy=\"{key}\" r=\"4\"/>", line + 4.0);
        let _ = write!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", line + 14.0, key + 4.0, escape(&curve.name));
    }
    if clean.is_some() {
        let (key, line) = (TOP + 12.0 + 20.0 * curves.len() as f64, end + 12.0);
        let _ = write!(svg, "<line class=\"clean\" x1=\"{line}\" x2=\"{}\" y1=\"{key}\" y2=\"{key}\"/>", line + 10.0);
        let _ = write!(svg, "<text x=\"{}\" y=\"{}\">clean</text>", line + 14.0, key + 4.0);
    }
    svg.push_str("</svg>");
    svg
}

/// Where the axis of accuracy begins: as high as all intervals allow, so that curves near 1 can be told apart.
fn base(curves: &[Curve], clean: Option<&Dot>) -> f64 {
    let lowest = curves.iter().flat_map(|c| &c.dots).chain(clean).map(|d| d.low).fold(1.0, f64::min);
    [0.9, 0.8, 0.5].into_iter().find(|base| *base <= lowest).unwrap_or(0.0)
}
