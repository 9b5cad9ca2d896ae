//! Curves over one feature: partial dependence, accumulated effects; over shares: deletion, insertion.

use super::frame::{BOTTOM, Frame, HEIGHT};
use super::scale::{short, sound};
use super::words::printable;
use super::{END, MARGIN, NOTE, Svg, WIDTH, every};

/// What curves show.
#[derive(Default)]
pub(in crate::cli) struct Curves<'a> {
    pub(in crate::cli) title: &'a str,
    /// Of the level axis, then of the upright one.
    pub(in crate::cli) labels: [&'a str; 2],
    pub(in crate::cli) x: &'a [f64],
    /// A value for each x.
    pub(in crate::cli) mean: &'a [f64],
    /// Low and high for each x, or none.
    pub(in crate::cli) band: Option<(&'a [f64], &'a [f64])>,
    /// Curves of single cases, values for each x.
    pub(in crate::cli) individual: &'a [Vec<f64>],
    /// Where the cases are: ticks on the level axis, such as deciles.
    pub(in crate::cli) rug: &'a [f64],
}

/// Single cases that are drawn; more would hide one another.
const CASES: usize = 50;

/// Points of the mean that are dots as well; more would hide the line.
const DOTS: usize = 32;

const MEAN: &str = "#0072b2";
const LINE: &str = "fill=\"none\" stroke=\"#0072b2\" stroke-width=\"2.2\" stroke-linejoin=\"round\"";
const BAND: &str = "fill=\"#0072b2\" fill-opacity=\"0.16\"";
const SINGLE: &str = "fill=\"none\" stroke=\"#8a8a8a\" stroke-width=\"0.8\" stroke-opacity=\"0.5\"";
const RUG: &str = "stroke=\"#444444\"";

/// The mean, over its band and curves of single cases in grey.
pub(in crate::cli) fn curves(of: &Curves<'_>) -> String {
    let Some(description) = description(of) else { return Svg::blank(of.title) };
    let shown: Vec<&[f64]> = every(of.individual.len(), CASES).map(|i| of.individual[i].as_slice()).collect();
    let (low, high) = of.band.unwrap_or_default();
    let heights = [of.mean, low, high].into_iter().chain(shown.iter().copied()).flatten().copied();
    let frame = Frame::new(of.x.iter().copied(), heights, WIDTH - MARGIN, 10.0);
    let note = note(of, shown.len());
    let mut svg = Svg::new(of.title, &description, HEIGHT + if note.is_empty() { 0.0 } else { 20.0 });
    frame.draw(&mut svg, of.labels);
    let points = |values: &[f64]| -> Vec<Option<[f64; 2]>> {
        let at = |(x, y): (&f64, &f64)| (sound(*x) && sound(*y)).then(|| [frame.x.at(*x), frame.y.at(*y)]);
        of.x.iter().zip(values).map(at).collect()
    };
    for single in shown {
        svg.path(points(single), SINGLE);
    }
    let (lower, upper): (Vec<_>, Vec<_>) =
        points(low).into_iter().zip(points(high)).filter_map(|(l, h)| l.zip(h)).unzip();
    if !lower.is_empty() {
        svg.path(upper.into_iter().chain(lower.into_iter().rev()).map(Some), BAND);
    }
    let mean = points(of.mean);
    svg.path(mean.iter().copied(), LINE);
    if mean.len() <= DOTS {
        mean.into_iter().flatten().for_each(|at| svg.circle(at, 2.8, MEAN));
    }
    for at in of.rug.iter().filter(|r| frame.x.holds(**r)).map(|r| frame.x.at(*r)) {
        svg.line([at, BOTTOM - 7.0], [at, BOTTOM], RUG);
    }
    svg.text([WIDTH - MARGIN, HEIGHT + 8.0], &format!("{END} {NOTE}"), &note);
    svg.end()
}

/// What is not said by the axes.
fn note(of: &Curves<'_>, shown: usize) -> String {
    let all = of.individual.len();
    let cases = match (shown, all) {
        (_, 0) => None,
        (_, 1) => Some("grey: a single case".to_owned()),
        _ if shown < all => Some(format!("grey: {shown} of {all} cases")),
        _ => Some(format!("grey: {all} cases")),
    };
    let rug = (!of.rug.is_empty()).then(|| "ticks: where the cases are".to_owned());
    [cases, rug].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// The ends of the mean and its bounds; `None` if there is no mean.
fn description(of: &Curves<'_>) -> Option<String> {
    let points = || of.x.iter().zip(of.mean).filter(|(x, y)| sound(**x) && sound(**y));
    let ((x1, y1), (x2, y2)) = (points().next()?, points().next_back()?);
    let (low, high) = points().fold((*y1, *y1), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
    let [x, y] = of.labels.map(printable);
    let [x1, y1, x2, y2, low, high] = [*x1, *y1, *x2, *y2, low, high].map(short);
    Some(format!("{y} over {x}: {y1} at {x1}, {y2} at {x2}, from {low} to {high}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sound_xml;
    use super::*;

    #[test]
    fn a_gap_breaks_the_line_and_single_cases_are_thinned() {
        let x: Vec<f64> = (0..6).map(f64::from).collect();
        let mean = [0.0, 1.0, f64::NAN, 2.0, f64::INFINITY, 3.0];
        let individual = vec![vec![1.0; 6]; 442];
        let (low, high) = ([-1.0; 6], [4.0; 6]);
        let of = Curves {
            title: "t",
            labels: ["<x>", "y"],
            x: &x,
            mean: &mean,
            individual: &individual,
            ..Curves::default()
        };
        let svg = curves(&Curves { band: Some((&low, &high)), rug: &[-1.0, 2.5, f64::NAN], ..of });
        sound_xml(&svg);
        let counts = [SINGLE, BAND, LINE, RUG, "<circle"].map(|look| svg.matches(look).count());
        assert_eq!(counts, [50, 1, 1, 1, 4]);
        let line = svg.split("<path ").find(|part| part.contains(LINE)).unwrap();
        assert_eq!(line.matches('M').count(), 3, "{line}");
        assert!(svg.contains("grey: 50 of 442 cases") && svg.contains("y over &lt;x&gt;: 0 at 0, 3 at 5, from 0 to 3"));
    }

    #[test]
    fn any_input_gives_a_picture() {
        let nan = [f64::NAN];
        for (x, mean) in [(&[][..], &[][..]), (&[1.0], &[]), (&[1.0], &[2.0]), (&[0.0, 1.0], &[0.0, 0.0]), (&nan, &nan)]
        {
            sound_xml(&curves(&Curves { x, mean, individual: &[vec![]], ..Curves::default() }));
        }
        let x: Vec<f64> = (0..1000).map(|i| f64::from(i) * 1e290).collect();
        sound_xml(&curves(&Curves { x: &x, mean: &x, band: Some((&x, &[])), ..Curves::default() }));
    }
}
