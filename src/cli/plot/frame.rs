//! Two axes with their labels.

use super::scale::Scale;
use super::words::width;
use super::{AXIS, END, GRID, MARGIN, MIDDLE, Svg, TOP};

/// Height of a picture with two axes, without notes below.
pub(super) const HEIGHT: f64 = 310.0;

/// Where the level axis is.
pub(super) const BOTTOM: f64 = HEIGHT - 46.0;

/// The room for what is drawn, and its scales.
pub(super) struct Frame {
    pub(super) x: Scale,
    pub(super) y: Scale,
    pub(super) left: f64,
    pub(super) right: f64,
}

impl Frame {
    /// Up to `right`, as far as the values go and `inset` more on all sides.
    pub(super) fn new(
        x: impl IntoIterator<Item = f64>,
        y: impl IntoIterator<Item = f64>,
        right: f64,
        inset: f64,
    ) -> Self {
        let y = Scale::over(y, BOTTOM - inset, TOP + inset);
        let labels = y.ticks(5.0).iter().map(|(_, label)| width(label)).fold(0.0, f64::max);
        let left = MARGIN + 20.0 + labels + 8.0;
        Self { x: Scale::over(x, left + inset, right - inset), y, left, right }
    }

    pub(super) fn draw(&self, svg: &mut Svg, labels: [&str; 2]) {
        let &Self { left, right, .. } = self;
        for (y, label) in self.y.ticks(5.0) {
            svg.line([left, y], [right, y], GRID);
            svg.text([left - 8.0, y + 4.0], END, &label);
        }
        svg.axis_below(&self.x, TOP, BOTTOM);
        svg.line([left, BOTTOM], [right, BOTTOM], AXIS);
        svg.name([(left + right) / 2.0, HEIGHT - 10.0], MIDDLE, labels[0], right - left);
        svg.upright([MARGIN + 10.0, (TOP + BOTTOM) / 2.0], labels[1], BOTTOM - TOP);
    }
}
