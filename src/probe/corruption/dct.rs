//! The cosine transform of JPEG, with integers as in libjpeg, so that results are equal to the bit.
//!
//! The algorithm is that of Loeffler, Ligtenberg and Moschytz (1989) with 11 multiplications a row of 8; the constants
//! have 13 bits behind the point, and 2 more bits are kept between the passes.

/// Bits behind the point of the constants.
const BITS: u32 = 13;
/// Bits that the first pass keeps.
const KEPT: u32 = 2;

const C0_298: i32 = 2446;
const C0_390: i32 = 3196;
const C0_541: i32 = 4433;
const C0_765: i32 = 6270;
const C0_899: i32 = 7373;
const C1_175: i32 = 9633;
const C1_501: i32 = 12_299;
const C1_847: i32 = 15_137;
const C1_961: i32 = 16_069;
const C2_053: i32 = 16_819;
const C2_562: i32 = 20_995;
const C3_072: i32 = 25_172;

/// Replaces samples (-128 to 127) by what is left of them when their transform is rounded to multiples of `divisors`.
pub(super) fn quantized(block: &mut [i32; 64], divisors: &[i32; 64]) {
    for row in block.as_chunks_mut::<8>().0 {
        forward(row, BITS - KEPT);
    }
    columns(block, |column| forward(column, BITS + KEPT));
    for (value, divisor) in block.iter_mut().zip(divisors) {
        // The transform is 8 times too large; halves are rounded away from zero.
        let (divisor8, half) = (8 * divisor, 4 * divisor);
        // Most are small, and dividing is slow.
        let size = value.abs() + half;
        *value = if size < divisor8 { 0 } else { value.signum() * (size / divisor8) * divisor };
    }
    if block[1..].iter().all(|v| *v == 0) {
        // The same for all: what both passes of the way back make of the mean alone.
        *block = [descale(block[0] << KEPT, KEPT + 3); 64];
        return;
    }
    columns(block, |column| {
        // Mostly only the mean is left.
        if column[1..].iter().all(|v| *v == 0) {
            *column = [column[0] << KEPT; 8]
        } else {
            inverse(column, BITS - KEPT)
        }
    });
    for row in block.as_chunks_mut::<8>().0 {
        inverse(row, BITS + KEPT + 3);
    }
}

fn columns(block: &mut [i32; 64], change: impl Fn(&mut [i32; 8])) {
    for x in 0..8 {
        let mut column: [i32; 8] = std::array::from_fn(|y| block[8 * y + x]);
        change(&mut column);
        column.iter().enumerate().for_each(|(y, v)| block[8 * y + x] = *v);
    }
}

/// Without the last `bits`, rounded.
fn descale(value: i32, bits: u32) -> i32 {
    (value + (1 << (bits - 1))) >> bits
}

/// One row or column of the transform, without its last `bits`.
fn forward(d: &mut [i32; 8], bits: u32) {
    let [s0, s1, s2, s3] = [d[0] + d[7], d[1] + d[6], d[2] + d[5], d[3] + d[4]];
    let [t7, t6, t5, t4] = [d[0] - d[7], d[1] - d[6], d[2] - d[5], d[3] - d[4]];
    let (sum03, sum12, difference03, difference12) = (s0 + s3, s1 + s2, s0 - s3, s1 - s2);
    let both = (difference12 + difference03) * C0_541;
    let odd = odd([t4, t5, t6, t7]);
    *d = [
        (sum03 + sum12) << BITS,
        odd[3],
        both + difference03 * C0_765,
        odd[2],
        (sum03 - sum12) << BITS,
        odd[1],
        both - difference12 * C1_847,
        odd[0],
    ]
    .map(|v| descale(v, bits));
}

/// One row or column of the way back, without its last `bits`.
fn inverse(d: &mut [i32; 8], bits: u32) {
    let both = (d[2] + d[6]) * C0_541;
    let (low, high) = (both - d[6] * C1_847, both + d[2] * C0_765);
    let (sum, difference) = ((d[0] + d[4]) << BITS, (d[0] - d[4]) << BITS);
    let even = [sum + high, difference + low, difference - low, sum - high];
    let odd = odd([d[7], d[5], d[3], d[1]]);
    for i in 0..4 {
        d[i] = descale(even[i] + odd[3 - i], bits);
        d[7 - i] = descale(even[i] - odd[3 - i], bits);
    }
}

/// The rotations of the odd half, which are the same in both directions.
fn odd([a, b, c, d]: [i32; 4]) -> [i32; 4] {
    let all = (a + b + c + d) * C1_175;
    let (outer, inner) = (-(a + d) * C0_899, -(b + c) * C2_562);
    let (left, right) = (all - (a + c) * C1_961, all - (b + d) * C0_390);
    [a * C0_298 + outer + left, b * C2_053 + inner + right, c * C3_072 + inner + left, d * C1_501 + outer + right]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors_of_one_lose_at_most_rounding_and_large_ones_all_but_the_mean() {
        let clean: [i32; 64] = std::array::from_fn(|i| (i as i32 * 37) % 256 - 128);
        let mut block = clean;
        quantized(&mut block, &[1; 64]);
        assert!(block.iter().zip(&clean).all(|(a, b)| (a - b).abs() <= 1), "{block:?}");
        let mut divisors = [100_000; 64];
        divisors[0] = 1;
        quantized(&mut block, &divisors);
        let mean = clean.iter().sum::<i32>() as f64 / 64.0;
        assert!(block.iter().all(|v| (f64::from(*v) - mean).abs() <= 1.0), "{mean}: {block:?}");
    }
}
