//! Fewer and smaller changes to a row that has the wanted answer.

use super::search::Search;
use crate::error::Result;

/// Times that a way is halved.
const HALVINGS: usize = 12;

impl Search<'_> {
    /// Brings a row that has the wanted answer as near to the case as it goes.
    pub(super) fn polish(&mut self, mut x: Vec<f32>) -> Result<()> {
        loop {
            let before = self.space.distance(self.own, &x);
            x = self.restore(x)?;
            x = self.tighten(x)?;
            x = self.halve(self.own, x)?;
            self.keep(&x);
            if self.left == 0 || self.space.distance(self.own, &x) > before * 0.999 {
                return Ok(());
            }
        }
    }

    /// Gives features their own values back, those that cost the least margin first, while the answer stays.
    fn restore(&mut self, mut x: Vec<f32>) -> Result<Vec<f32>> {
        loop {
            let mut costs = self.costs(&x)?;
            costs.retain(|cost| cost.reached);
            costs.sort_by(|a, b| a.cost.total_cmp(&b.cost));
            let restored = |count: usize| {
                let mut row = x.clone();
                costs.iter().take(count).for_each(|cost| row[cost.feature] = self.own[cost.feature]);
                row
            };
            // As many of them together as can be; one can.
            let (mut can, mut cannot) = (usize::from(!costs.is_empty()), costs.len() + 1);
            while can + 1 < cannot {
                let middle = usize::midpoint(can, cannot);
                match self.replies(&[restored(middle)])?.first() {
                    Some(reply) if reply.reached => can = middle,
                    _ => cannot = middle,
                }
            }
            if can == 0 {
                return Ok(x);
            }
            x = restored(can);
        }
    }

    /// Brings features nearer to their own values, one after the other, those that cost the least margin for their way
    /// first.
    fn tighten(&mut self, mut x: Vec<f32>) -> Result<Vec<f32>> {
        let mut costs = self.costs(&x)?;
        costs.sort_by(|a, b| (a.cost / a.way).total_cmp(&(b.cost / b.way)));
        for Cost { feature, .. } in costs {
            let near = self.with(&x, feature, self.own[feature]);
            x = self.halve(&near, x)?;
        }
        Ok(x)
    }

    /// What it costs to give each changed feature its own value back; of `x`, which has the wanted answer.
    fn costs(&mut self, x: &[f32]) -> Result<Vec<Cost>> {
        let changed: Vec<usize> = (0..x.len()).filter(|feature| x[*feature] != self.own[*feature]).collect();
        let mut rows = vec![x.to_vec()];
        rows.extend(changed.iter().map(|feature| self.with(x, *feature, self.own[*feature])));
        let replies = self.replies(&rows)?;
        let Some((whole, without)) = replies.split_first() else { return Ok(Vec::new()) };
        let costs = changed.iter().zip(&rows[1..]).zip(without).map(|((feature, row), reply)| Cost {
            feature: *feature,
            cost: whole.margin - reply.margin,
            way: self.space.distance(x, row),
            reached: reply.reached,
        });
        Ok(costs.collect())
    }

    /// The point nearest to `near` on the straight way to `far`, as settled, that has the wanted answer, if the answer
    /// changes once on it; `far` has it.
    pub(super) fn halve(&mut self, near: &[f32], mut far: Vec<f32>) -> Result<Vec<f32>> {
        let mut near = near.to_vec();
        for _ in 0..HALVINGS {
            let wanted: Vec<f32> = near.iter().zip(&far).map(|(a, b)| f32::midpoint(*a, *b)).collect();
            let middle = self.space.row(&wanted, self.own);
            if middle == near || middle == far {
                break;
            }
            match self.replies(std::slice::from_ref(&middle))?.first() {
                Some(reply) if reply.reached => far = middle,
                Some(_) => near = middle,
                None => break,
            }
        }
        Ok(far)
    }
}

/// What a changed feature is worth.
struct Cost {
    feature: usize,
    /// Margin that is lost without the change.
    cost: f64,
    /// The way that is saved.
    way: f64,
    /// Whether the answer stays without it.
    reached: bool,
}
