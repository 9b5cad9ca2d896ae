//! Attributions of one case, or importances, as bars.

use super::scale::{Scale, short, signed, sound};
use super::words::{count, name, printable, width};
use super::{AXIS, END, MARGIN, MIDDLE, NOTE, Svg, TOP, WIDTH, colour};

/// What bars show.
#[derive(Default)]
pub(in crate::cli) struct Bars<'a> {
    pub(in crate::cli) title: &'a str,
    /// Under the axis.
    pub(in crate::cli) label: &'a str,
    /// Features; those without a name are called `x0`, `x1` and so on.
    pub(in crate::cli) names: &'a [String],
    /// The features' own values in this case, or none.
    pub(in crate::cli) own: &'a [f64],
    /// A bar each.
    pub(in crate::cli) values: &'a [f64],
    /// Low and high of each value, or none.
    pub(in crate::cli) intervals: &'a [(f64, f64)],
    /// Bars of single features; the others are added up.
    pub(in crate::cli) most: usize,
}

/// Height of a bar with what is free around it.
const ROW: f64 = 23.0;
const THICK: f64 = 15.0;
const WHISKER: &str = "stroke=\"#222222\"";

/// The widest names.
const NAMES: f64 = 200.0;

struct Row {
    name: String,
    /// Such as ` = 0.06`.
    own: String,
    value: f64,
    interval: Option<(f64, f64)>,
}

impl Row {
    /// The value and, if it has one, its interval.
    fn ends(&self) -> [f64; 3] {
        let (low, high) = self.interval.unwrap_or((self.value, self.value));
        [low, self.value, high]
    }
}

/// The largest values as bars, by size; red raises, blue lowers.
pub(in crate::cli) fn bars(of: &Bars<'_>) -> String {
    let rows = rows(of);
    if rows.is_empty() {
        return Svg::blank(of.title);
    }
    let said: Vec<String> =
        rows.iter().map(|r| format!("{}{}: {}", printable(&r.name), r.own, signed(r.value))).collect();
    let absent = of.values.iter().filter(|v| !sound(**v)).count();
    let bottom = TOP + ROW * rows.len() as f64;
    let lines = usize::from(!of.label.is_empty()) + usize::from(absent > 0);
    let mut svg = Svg::new(of.title, &said.join(", "), bottom + 26.0 + 18.0 * lines as f64);

    let scale = scale(&rows);
    svg.axis_below(&scale, TOP, bottom);
    for (n, row) in rows.iter().enumerate() {
        let middle = TOP + ROW * (n as f64 + 0.5);
        let (low, high) = bar(&mut svg, &scale, row, middle);
        svg.name_and([names(&rows) + MARGIN, middle + 4.0], END, &row.name, &row.own, NAMES);
        let look = format!("fill=\"{}\"", colour::of(row.value));
        if row.value < 0.0 {
            svg.text([low - 5.0, middle + 4.0], &format!("{END} {look}"), &signed(row.value));
        } else {
            svg.text([high + 5.0, middle + 4.0], &look, &signed(row.value));
        }
    }
    svg.line([scale.at(0.0), TOP], [scale.at(0.0), bottom], AXIS);
    let mut y = bottom + 36.0;
    if !of.label.is_empty() {
        svg.name([(scale.start + scale.end) / 2.0, y], MIDDLE, of.label, scale.end - scale.start);
        y += 18.0;
    }
    if absent > 0 {
        let said = format!("{} without a finite value: left out", count(absent, "feature"));
        svg.text([WIDTH - MARGIN, y], &format!("{END} {NOTE}"), &said);
    }
    svg.end()
}

/// By size, equal ones in their order; what is beyond the most is one row. A single one would be no fewer rows.
fn rows(of: &Bars<'_>) -> Vec<Row> {
    let mut order: Vec<(usize, f64)> = of.values.iter().copied().enumerate().filter(|(_, v)| sound(*v)).collect();
    order.sort_by(|(_, a), (_, b)| b.abs().total_cmp(&a.abs()));
    let most = of.most.max(1);
    let shown = if order.len() > most + 1 { most } else { order.len() };
    let row = |&(i, value): &(usize, f64)| Row {
        name: name(of.names, i),
        own: of.own.get(i).map_or_else(String::new, |own| format!(" = {}", short(*own))),
        value,
        interval: of.intervals.get(i).copied().filter(|(low, high)| sound(*low) && sound(*high)),
    };
    let (first, others) = order.split_at(shown);
    let mut rows: Vec<Row> = first.iter().map(row).collect();
    if !others.is_empty() {
        let value = others.iter().map(|(_, value)| value).sum();
        rows.push(Row { name: format!("{} other features", others.len()), own: String::new(), value, interval: None });
    }
    rows
}

/// How wide the names are.
fn names(rows: &[Row]) -> f64 {
    let wide = |row: &Row| width(&printable(&row.name)) + width(&row.own);
    rows.iter().map(wide).fold(0.0, f64::max).min(NAMES)
}

/// Between the names and the right, with room for the figures at the ends of the bars.
fn scale(rows: &[Row]) -> Scale {
    let room = |lowers: bool| {
        let figures = rows.iter().filter(|r| (r.value < 0.0) == lowers).map(|r| width(&signed(r.value)) + 5.0);
        figures.fold(if lowers { 0.0 } else { MARGIN }, f64::max)
    };
    let start = MARGIN + names(rows) + 10.0 + room(true);
    Scale::over(rows.iter().flat_map(Row::ends).chain([0.0]), start, WIDTH - MARGIN - room(false))
}

/// A bar and its interval; how far they reach.
fn bar(svg: &mut Svg, scale: &Scale, row: &Row, middle: f64) -> (f64, f64) {
    let (zero, at) = (scale.at(0.0), scale.at(row.value));
    let fill = format!("fill=\"{}\"", colour::of(row.value));
    svg.rect([zero, middle - THICK / 2.0], [at, middle + THICK / 2.0], &fill);
    let Some((low, high)) = row.interval.map(|(low, high)| (scale.at(low), scale.at(high))) else {
        return (zero.min(at), zero.max(at));
    };
    svg.line([low, middle], [high, middle], WHISKER);
    for end in [low, high] {
        svg.line([end, middle - 3.0], [end, middle + 3.0], WHISKER);
    }
    (zero.min(low), zero.max(high))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sound_xml;
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("f{i}")).collect()
    }

    fn places(svg: &str, words: &[&str]) -> Vec<usize> {
        let body = svg.split_once("</desc>").unwrap().1;
        words.iter().map(|word| body.find(&format!(">{word}<")).unwrap_or_else(|| panic!("{word}: {svg}"))).collect()
    }

    #[test]
    fn bars_are_sorted_by_size_and_the_others_are_added_up() {
        let (names, values) = (names(5), [0.5, -3.0, 1.0, -0.25, 0.0]);
        let svg = bars(&Bars { title: "t", names: &names, values: &values, most: 2, ..Bars::default() });
        sound_xml(&svg);
        assert!(places(&svg, &["f1", "f2", "3 other features"]).is_sorted());
        places(&svg, &["\u{2212}3", "+1", "+0.25"]);
        // One that is left over is shown itself.
        let svg = bars(&Bars { names: &names, values: &values, most: 4, ..Bars::default() });
        assert!(places(&svg, &["f1", "f2", "f0", "f3", "f4"]).is_sorted());
    }

    #[test]
    fn what_is_not_finite_is_left_out_and_said() {
        let values = [f64::NAN, 1.0, f64::INFINITY, -0.0];
        let intervals = [(0.0, 1.0), (f64::NAN, 2.0), (0.0, 1.0), (-0.5, 0.5)];
        let svg =
            bars(&Bars { values: &values, intervals: &intervals, own: &[1.0, f64::NAN], most: 10, ..Bars::default() });
        sound_xml(&svg);
        places(&svg, &["x1 = NaN", "x3", "2 features without a finite value: left out"]);
        assert_eq!(svg.matches(WHISKER).count(), 3, "a whisker of three lines, of the sound interval");
    }

    #[test]
    fn any_input_gives_a_picture() {
        let hostile = ["</text><script>alert(1)</script>\0\u{202e}".to_owned(), "\" onload=\"x".repeat(1000)];
        for values in
            [vec![], vec![0.0; 784], vec![1.0], vec![-1e308, 1e308], vec![1e299, -1e299, 1e-299], vec![5e-324]]
        {
            let svg = bars(&Bars { title: &hostile[0], names: &hostile, values: &values, most: 10, ..Bars::default() });
            sound_xml(&svg);
        }
    }
}
