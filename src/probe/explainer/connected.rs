//! Clusters of pixels, made connected.

use std::collections::VecDeque;

/// A pixel that belongs to none.
const NONE: u32 = u32::MAX;

/// Makes `count` clusters connected: each keeps its largest part, and those that then have fewer pixels than `least`
/// are given up, the largest of all never. Free pixels are taken over by what they touch. `size` is in rows and columns.
#[allow(clippy::cast_precision_loss)]
pub(super) fn connect(labels: &mut [u32], size: [usize; 2], count: usize, least: f64) {
    let strays = strays(labels, size, count);
    labels.iter_mut().zip(strays).filter(|(_, stray)| *stray).for_each(|(label, _)| *label = NONE);
    grow(labels, size);
    let mut pixels = vec![0usize; count];
    labels.iter().for_each(|label| pixels[*label as usize] += 1);
    let most = pixels.iter().copied().max().unwrap_or(0) as f64;
    let enough = least.min(most);
    labels.iter_mut().filter(|label| (pixels[**label as usize] as f64) < enough).for_each(|label| *label = NONE);
    grow(labels, size);
}

/// Which pixels are not in the largest part of their cluster, the first of several.
fn strays(labels: &[u32], size: [usize; 2], count: usize) -> Vec<bool> {
    let mut stray = vec![true; labels.len()];
    let mut seen = vec![false; labels.len()];
    // The first pixel of each cluster's largest part, and its size.
    let mut largest = vec![(0, 0); count];
    let mut part = Vec::new();
    // Flags the part of a pixel; returns its size.
    let mut flag = |first: usize, flags: &mut Vec<bool>, to: bool| {
        let mut pixels = 0;
        flags[first] = to;
        part.push(first);
        while let Some(pixel) = part.pop() {
            pixels += 1;
            for next in neighbours(pixel, size) {
                if labels[next] == labels[first] && flags[next] != to {
                    flags[next] = to;
                    part.push(next);
                }
            }
        }
        pixels
    };
    for first in 0..labels.len() {
        if !seen[first] {
            let pixels = flag(first, &mut seen, true);
            let best = &mut largest[labels[first] as usize];
            if pixels > best.1 {
                *best = (first, pixels);
            }
        }
    }
    for (first, _) in largest.into_iter().filter(|(_, pixels)| *pixels > 0) {
        flag(first, &mut stray, false);
    }
    stray
}

/// Gives the pixels of none to what they touch, from its borders on.
fn grow(labels: &mut [u32], size: [usize; 2]) {
    let open = |pixel: &usize| labels[*pixel] != NONE && neighbours(*pixel, size).any(|next| labels[next] == NONE);
    let mut queue: VecDeque<usize> = (0..labels.len()).filter(open).collect();
    while let Some(pixel) = queue.pop_front() {
        for next in neighbours(pixel, size) {
            if labels[next] == NONE {
                labels[next] = labels[pixel];
                queue.push_back(next);
            }
        }
    }
}

/// Above, left, right and below.
pub(super) fn neighbours(pixel: usize, [height, width]: [usize; 2]) -> impl Iterator<Item = usize> {
    let (y, x) = (pixel / width, pixel % width);
    let above = (y > 0).then(|| pixel - width);
    let left = (x > 0).then(|| pixel - 1);
    let right = (x + 1 < width).then_some(pixel + 1);
    let below = (y + 1 < height).then_some(pixel + width);
    [above, left, right, below].into_iter().flatten()
}

/// Numbers clusters by their first pixels.
pub(super) fn number(labels: &mut [u32], count: usize) {
    let (mut numbers, mut next) = (vec![NONE; count], 0);
    for label in labels {
        let number = &mut numbers[*label as usize];
        if *number == NONE {
            *number = next;
            next += 1;
        }
        *label = *number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strays_and_small_clusters_join_what_they_touch() {
        #[rustfmt::skip]
        let mut labels = [
            2, 2, 2, 0, 0,
            2, 0, 2, 0, 0,
            2, 2, 1, 0, 0,
        ];
        connect(&mut labels, [3, 5], 3, 2.0);
        assert!([0, 1, 2, 5, 6, 7, 10, 11].iter().all(|pixel| labels[*pixel] == 2), "{labels:?}");
        assert!(labels.iter().all(|label| [0, 2].contains(label)), "{labels:?}");
        number(&mut labels, 3);
        assert_eq!((labels[0], labels[4]), (0, 1));
    }

    #[test]
    fn of_small_clusters_alone_one_stays() {
        let mut labels = [0, 1, 2, 2];
        connect(&mut labels, [2, 2], 3, 9.0);
        assert_eq!(labels, [2; 4]);
    }
}
