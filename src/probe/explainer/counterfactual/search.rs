//! The search for the nearest row with the wanted answer.

use super::space::Space;
use super::wish::Reply;
use crate::error::Result;
use crate::tensor::Rng;

/// Background rows that are started from.
const STARTS: usize = 20;
/// Background rows that are asked at once.
const ASKED: usize = 50;
/// Features that are pushed to an end of their range one after the other, at most.
const STEPS: usize = 8;
/// Shells around the case, each twice as wide as the last, and rows drawn in each.
const SHELLS: usize = 16;
const DRAWN: usize = 50;

/// Asks for the replies to some rows.
pub(super) type Ask<'a> = dyn FnMut(Vec<Vec<f32>>) -> Result<Vec<Reply>> + 'a;

/// A search around one case.
pub(super) struct Search<'a> {
    pub(super) space: &'a Space,
    pub(super) own: &'a [f32],
    pub(super) ask: &'a mut Ask<'a>,
    /// Rows that may still be asked.
    pub(super) left: usize,
    /// Whether fewer changes are worth more than a shorter way.
    pub(super) sparse: bool,
    /// The best row so far that has the wanted answer.
    pub(super) best: Option<Vec<f32>>,
}

impl Search<'_> {
    /// Looks everywhere while rows may be asked; `margin` is that of the case itself.
    pub(super) fn run(&mut self, margin: f64, background: &[Vec<f32>], rng: &mut Rng) -> Result<()> {
        self.push(margin)?;
        self.start_from_rows(background)?;
        if self.best.is_none() {
            self.spheres(rng)?;
        }
        Ok(())
    }

    /// Pushes features to an end of their range, one after the other, whichever gains most for its way, until the answer
    /// is reached; for a linear model this is the shortest way.
    fn push(&mut self, mut margin: f64) -> Result<()> {
        let mut x = self.own.to_vec();
        for _ in 0..STEPS {
            let open: Vec<usize> = self.space.free().filter(|feature| x[*feature] == self.own[*feature]).collect();
            // Each has two ends to be pushed to; a third of what is left goes into what comes of it.
            if 8 * open.len() > self.left {
                return Ok(());
            }
            let ends = open.iter().flat_map(|feature| self.space.ends(*feature).map(|end| (*feature, end)));
            let moves: Vec<Vec<f32>> =
                ends.map(|(feature, end)| self.with(&x, feature, end)).filter(|moved| *moved != x).collect();
            if moves.is_empty() {
                return Ok(());
            }
            let replies = self.replies(&moves)?;
            // The way to the border, were the margin to rise evenly; and what is gained on a unit of way.
            let space = self.space;
            let gain = |reply: &Reply, moved: &[f32]| (reply.margin - margin) / space.distance(&x, moved);
            let mut hits: Vec<(f64, &Vec<f32>)> = moves
                .iter()
                .zip(&replies)
                .filter(|(_, reply)| reply.reached)
                .map(|(moved, reply)| (-margin / gain(reply, moved), moved))
                .collect();
            hits.sort_by(|a, b| a.0.total_cmp(&b.0));
            // Another move may gain more and still not be enough alone.
            let alone = hits.first().map_or(0.0, |(way, _)| -margin / way);
            for (_, moved) in hits.into_iter().take(3) {
                let near = self.halve(&x, moved.clone())?;
                self.polish(near)?;
            }
            let short = moves.iter().zip(&replies).filter(|(_, reply)| !reply.reached);
            let gains = short.map(|(moved, reply)| (gain(reply, moved), moved, reply.margin));
            let rising = gains.filter(|(gain, ..)| *gain > alone);
            let Some((_, moved, raised)) = rising.max_by(|a, b| a.0.total_cmp(&b.0)) else { return Ok(()) };
            (x, margin) = (moved.clone(), raised);
        }
        Ok(())
    }

    /// Starts from the nearest background rows that have the wanted answer, what must not change left as it is.
    fn start_from_rows(&mut self, background: &[Vec<f32>]) -> Result<()> {
        let settled = background.iter().map(|row| self.space.row(row, self.own));
        let mut rows: Vec<(f64, Vec<f32>)> = settled.map(|row| (self.space.distance(self.own, &row), row)).collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        rows.dedup_by(|a, b| a.1 == b.1);
        let (mut starts, least) = (Vec::new(), self.left / 2);
        for rows in rows.chunks(ASKED) {
            let rows: Vec<Vec<f32>> = rows.iter().map(|(_, row)| row.clone()).collect();
            let replies = self.replies(&rows)?;
            starts.extend(rows.into_iter().zip(replies).filter(|(_, reply)| reply.reached).map(|(row, _)| row));
            if starts.len() >= STARTS || self.left < least {
                break;
            }
        }
        starts.truncate(STARTS);
        starts.into_iter().try_for_each(|start| self.polish(start))
    }

    /// Draws rows in shells around the case, each wider than the last, until one has the wanted answer: growing spheres
    /// (Laugel and others 2017, arXiv:1712.08443).
    fn spheres(&mut self, rng: &mut Rng) -> Result<()> {
        let free: Vec<usize> = self.space.free().collect();
        let mut radius = 0.25;
        for _ in 0..SHELLS {
            let mut draw = || {
                let way: Vec<f64> = free.iter().map(|_| rng.normal()).collect();
                let length = way.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
                let far = radius * (1.0 + rng.uniform()) / length;
                let mut row = self.own.to_vec();
                for (feature, way) in free.iter().zip(way) {
                    #[allow(clippy::cast_possible_truncation)]
                    let wanted = (f64::from(row[*feature]) + far * way * self.space.scale(*feature)) as f32;
                    row[*feature] = self.space.settle(*feature, wanted, row[*feature]);
                }
                row
            };
            let rows: Vec<Vec<f32>> = (0..DRAWN).map(|_| draw()).collect();
            let replies = self.replies(&rows)?;
            let reached = rows.into_iter().zip(replies).filter(|(_, reply)| reply.reached).map(|(row, _)| row);
            let distance = |row: &Vec<f32>| self.space.distance(self.own, row);
            if let Some(nearest) = reached.min_by(|a, b| distance(a).total_cmp(&distance(b))) {
                return self.polish(nearest);
            }
            radius *= 2.0;
        }
        Ok(())
    }

    /// Keeps the row if it is better than the best.
    pub(super) fn keep(&mut self, x: &[f32]) {
        let worth = |x: &[f32]| {
            let (changed, distance) = (self.changed(x), self.space.distance(self.own, x));
            if self.sparse { (changed, distance) } else { (0, distance) }
        };
        let worse = |best: &Vec<f32>| worth(x) < worth(best);
        if self.best.as_ref().is_none_or(worse) {
            self.best = Some(x.to_vec());
        }
    }

    /// How many features differ from the case's own.
    pub(super) fn changed(&self, x: &[f32]) -> usize {
        x.iter().zip(self.own).filter(|(a, b)| a != b).count()
    }

    pub(super) fn with(&self, x: &[f32], feature: usize, wanted: f32) -> Vec<f32> {
        let mut row = x.to_vec();
        row[feature] = self.space.settle(feature, wanted, self.own[feature]);
        row
    }

    /// Replies to as many of the rows as may still be asked.
    pub(super) fn replies(&mut self, rows: &[Vec<f32>]) -> Result<Vec<Reply>> {
        let rows: Vec<Vec<f32>> = rows.iter().take(self.left).cloned().collect();
        self.left -= rows.len();
        if rows.is_empty() { Ok(Vec::new()) } else { (self.ask)(rows) }
    }
}
