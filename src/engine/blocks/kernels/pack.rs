//! Weights in the order in which the kernels read them.

use super::aligned::Aligned;
use super::simd::LANES;

/// `[blocks of outputs, blocks of channels, taps, channels, 16]`, zero for outputs past the last.
pub(super) fn dense(outputs: usize, depth: usize, taps: usize, weight: impl Fn(usize, usize, usize) -> f32) -> Aligned {
    let mut packed = Vec::with_capacity(outputs.div_ceil(LANES) * depth * taps * LANES);
    for block in (0..outputs).step_by(LANES) {
        for first in (0..depth).step_by(LANES) {
            for tap in 0..taps {
                for channel in first..depth.min(first + LANES) {
                    let weight = |output| if output < outputs { weight(output, tap, channel) } else { 0.0 };
                    packed.extend((block..block + LANES).map(weight));
                }
            }
        }
    }
    Aligned::from(&packed[..])
}

/// `[C, taps]` to `[blocks, taps, 16]`.
pub(super) fn depthwise(kernel: &[f32], taps: usize) -> Aligned {
    let channels = kernel.len() / taps;
    let mut packed = Aligned::zeros(channels.div_ceil(LANES) * taps * LANES);
    for (i, weight) in kernel.iter().enumerate() {
        let (channel, tap) = (i / taps, i % taps);
        packed[(channel / LANES * taps + tap) * LANES + channel % LANES] = *weight;
    }
    packed
}

/// A bias for each lane. A negative zero becomes a positive one, to which adding zeros changes nothing.
pub(super) fn bias(bias: &[f32]) -> Aligned {
    let mut packed: Vec<f32> = bias.iter().map(|bias| bias + 0.0).collect();
    packed.resize(bias.len().next_multiple_of(LANES), 0.0);
    Aligned::from(&packed[..])
}
