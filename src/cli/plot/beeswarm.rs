//! Attributions of many cases, as shap's summary plot has them (Lundberg and others, 2018).

use std::collections::BTreeMap;

use super::scale::{Scale, short, sound};
use super::words::{name, printable, width};
use super::{AXIS, END, GRID, MARGIN, MIDDLE, NOTE, Svg, TOP, WIDTH, colour, every};

/// What a swarm shows.
#[derive(Default)]
pub(in crate::cli) struct Swarm<'a> {
    pub(in crate::cli) title: &'a str,
    /// Under the axis.
    pub(in crate::cli) label: &'a str,
    /// Features; those without a name are called `x0`, `x1` and so on.
    pub(in crate::cli) names: &'a [String],
    /// A row for each case with a figure for each feature.
    pub(in crate::cli) attributions: &'a [Vec<f64>],
    /// The features' own values in the same form, or none.
    pub(in crate::cli) values: &'a [Vec<f64>],
    /// Lines of single features; the others are added up case by case.
    pub(in crate::cli) most: usize,
}

/// Dots of a picture; of more cases every so many are drawn.
const DOTS: usize = 3000;

/// Height of a line.
const ROW: f64 = 28.0;
const RADIUS: f64 = 2.4;

/// The widest names.
const NAMES: f64 = 160.0;

/// Dots that are as near as this are laid one above the other.
const NEAR: f64 = 3.6;

/// Of dots without a value.
const GREY: &str = "#8a8a8a";

/// A line of dots: the attribution of each case and the share of low to high of its value.
struct Row {
    name: String,
    size: f64,
    dots: Vec<(f64, Option<f64>)>,
}

/// A line for each feature, by mean size; dots are cases, coloured by the feature's value.
pub(in crate::cli) fn beeswarm(of: &Swarm<'_>) -> String {
    let rows = rows(of);
    if rows.iter().all(|row| row.dots.is_empty()) {
        return Svg::blank(of.title);
    }
    let said: Vec<String> = rows.iter().map(|r| format!("{}: {}", printable(&r.name), short(r.size))).collect();
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = Svg::new(of.title, &format!("Mean sizes: {}", said.join(", ")), bottom + 70.0);
    let names = rows.iter().map(|r| width(&printable(&r.name))).fold(0.0, f64::max).min(NAMES);
    let left = MARGIN + names + 10.0;
    let dots = rows.iter().flat_map(|row| row.dots.iter().map(|(at, _)| *at));
    let scale = Scale::over(dots.chain([0.0]), left + 8.0, WIDTH - MARGIN - 8.0);
    svg.axis_below(&scale, TOP, bottom);
    svg.line([scale.at(0.0), TOP], [scale.at(0.0), bottom], AXIS);
    for (n, row) in rows.iter().enumerate() {
        let middle = TOP + ROW * (n as f64 + 0.5);
        svg.line([left, middle], [WIDTH - MARGIN, middle], &format!("{GRID} stroke-dasharray=\"2 3\""));
        svg.name([left - 6.0, middle + 4.0], END, &row.name, NAMES);
        draw(&mut svg, &scale, row, middle);
    }
    svg.name([(scale.start + scale.end) / 2.0, bottom + 36.0], MIDDLE, of.label, scale.end - scale.start);
    let shown = rows.iter().map(|row| row.dots.len()).max().unwrap_or(0);
    legend(&mut svg, of, shown, bottom + 58.0);
    svg.end()
}

fn rows(of: &Swarm<'_>) -> Vec<Row> {
    let features = of.attributions.iter().map(Vec::len).max().unwrap_or(0);
    let figure = |case: usize, feature: usize| {
        of.attributions.get(case).and_then(|row| row.get(feature)).copied().filter(|a| sound(*a))
    };
    let cases = 0..of.attributions.len();
    let all = |feature: usize| cases.clone().filter_map(move |case| figure(case, feature));
    let mut order: Vec<(f64, usize)> = (0..features).map(|f| (size(all(f)), f)).collect();
    order.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let most = of.most.max(1);
    let (first, others) = order.split_at(if order.len() > most + 1 { most } else { order.len() });
    let lines = first.len() + usize::from(!others.is_empty());
    let drawn: Vec<usize> = every(of.attributions.len(), DOTS / lines.max(1)).collect();
    let mut rows: Vec<Row> = Vec::new();
    for &(size, feature) in first {
        let shares = shares(of.values, feature);
        let dots = drawn.iter().filter_map(|&case| Some((figure(case, feature)?, shares.get(case).copied().flatten())));
        rows.push(Row { name: name(of.names, feature), size, dots: dots.collect() });
    }
    if !others.is_empty() {
        let sum = |case: usize| others.iter().filter_map(|(_, f)| figure(case, *f)).sum::<f64>();
        let name = format!("{} other features", others.len());
        rows.push(Row {
            name,
            size: size(cases.map(sum)),
            dots: drawn.iter().map(|case| (sum(*case), None)).collect(),
        });
    }
    rows
}

/// The mean of sizes.
fn size(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0.0, 0.0), |(n, sum), value| (n + 1.0, sum + value.abs()));
    if n > 0.0 { sum / n } else { 0.0 }
}

/// How high a feature's values are, from the 5th percentile, 0, to the 95th, 1, so that few far ones do not make all
/// others alike.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn shares(values: &[Vec<f64>], feature: usize) -> Vec<Option<f64>> {
    let own: Vec<Option<f64>> = values.iter().map(|row| row.get(feature).copied().filter(|v| sound(*v))).collect();
    let mut sorted: Vec<f64> = own.iter().copied().flatten().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get((share * (sorted.len().max(1) - 1) as f64).round() as usize).copied();
    let ends = |low: f64, high: f64| at(low).zip(at(high)).filter(|(low, high)| low < high);
    let ends = ends(0.05, 0.95).or_else(|| ends(0.0, 1.0));
    let share = |value: f64| ends.map_or(0.5, |(low, high)| ((value - low) / (high - low)).clamp(0.0, 1.0));
    own.into_iter().map(|value| value.map(share)).collect()
}

/// Dots that would hide one another are laid above and below, in the order of the cases.
#[allow(clippy::cast_possible_truncation)]
fn draw(svg: &mut Svg, scale: &Scale, row: &Row, middle: f64) {
    let mut piles: BTreeMap<i64, usize> = BTreeMap::new();
    let layers: Vec<usize> = row
        .dots
        .iter()
        .map(|(value, _)| {
            let pile = piles.entry((scale.at(*value) / NEAR).round() as i64).or_default();
            *pile += 1;
            *pile
        })
        .collect();
    let highest = piles.values().max().map_or(0, |n| n / 2).max(1);
    let step = ((ROW / 2.0 - RADIUS - 0.6) / highest as f64).min(NEAR);
    for ((value, share), layer) in row.dots.iter().zip(layers) {
        let side = if layer % 2 == 0 { -1.0 } else { 1.0 };
        let fill = share.map_or_else(|| GREY.to_owned(), colour::ramp);
        svg.circle([scale.at(*value), middle + side * (layer / 2) as f64 * step], RADIUS, &fill);
    }
}

/// What the colours are, and how many of the cases are drawn.
fn legend(svg: &mut Svg, of: &Swarm<'_>, shown: usize, y: f64) {
    let cases = of.attributions.len();
    if shown < cases {
        svg.text([WIDTH - MARGIN, y], &format!("{END} {NOTE}"), &format!("{shown} of {cases} cases are drawn"));
    }
    if of.values.is_empty() {
        return;
    }
    let said = "the feature's value: low";
    let (start, steps) = (MARGIN + width(said) + 6.0, 30);
    svg.text([start - 6.0, y], &format!("{END} {NOTE}"), said);
    for step in 0..steps {
        let (x, fill) = (start + 3.0 * f64::from(step), colour::ramp(f64::from(step) / f64::from(steps - 1)));
        svg.rect([x, y - 9.0], [x + 3.0, y], &format!("fill=\"{fill}\" shape-rendering=\"crispEdges\""));
    }
    svg.text([start + 3.0 * f64::from(steps) + 6.0, y], NOTE, "high");
}

#[cfg(test)]
mod tests {
    use super::super::tests::sound_xml;
    use super::*;

    fn table(cases: usize, features: usize) -> Vec<Vec<f64>> {
        let value = |case: usize, feature: usize| ((case * 7 + feature * 3) % 11) as f64 * (feature + 1) as f64;
        (0..cases).map(|case| (0..features).map(|feature| value(case, feature)).collect()).collect()
    }

    #[test]
    fn a_dot_is_a_case_and_lines_are_sorted_by_mean_size() {
        let table = table(40, 4);
        let svg = beeswarm(&Swarm { attributions: &table, values: &table, most: 2, ..Swarm::default() });
        sound_xml(&svg);
        assert_eq!(svg.matches("<circle").count(), 40 * 3);
        assert_eq!(svg.matches(GREY).count(), 40);
        let at = |word: &str| svg.find(&format!(">{word}</text>")).unwrap();
        assert!(at("x3") < at("x2") && at("x2") < at("2 other features"));
    }

    #[test]
    fn dots_are_thinned_and_it_is_said() {
        let table = table(5000, 10);
        let svg = beeswarm(&Swarm { attributions: &table, values: &table, most: 10, ..Swarm::default() });
        assert_eq!(svg.matches("<circle").count(), DOTS);
        assert!(svg.contains("300 of 5000 cases are drawn"));
    }

    #[test]
    fn values_far_off_do_not_take_the_colours() {
        let mut values: Vec<Vec<f64>> = (0..100).map(|i| vec![f64::from(i)]).collect();
        (values[0][0], values[1][0]) = (1e9, f64::NAN);
        let shares = shares(&values, 0);
        assert_eq!((shares[0], shares[1]), (Some(1.0), None));
        assert!(shares[50].unwrap() > 0.4 && shares[50].unwrap() < 0.6);
        assert_eq!(super::shares(&[vec![3.0], vec![3.0]], 0), [Some(0.5), Some(0.5)]);
    }

    #[test]
    fn any_input_gives_a_picture() {
        let names = ["<b>\0&\"".repeat(50)];
        let ragged = vec![vec![f64::NAN, 1e299], vec![], vec![-0.0, f64::INFINITY, 5e-324]];
        for attributions in [vec![], vec![vec![]], vec![vec![0.0]; 3], ragged, vec![vec![0.5; 784]]] {
            let svg = beeswarm(&Swarm { names: &names, attributions: &attributions, most: 10, ..Swarm::default() });
            sound_xml(&svg);
        }
    }
}
