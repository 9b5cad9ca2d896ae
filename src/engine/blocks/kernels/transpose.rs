//! Squares of eight rows by eight columns, turned in registers.

use super::simd::Isa;

pub(super) const SIDE: usize = 8;

/// Of so many columns, those that lie in whole squares; none on machines without a kernel.
pub(super) fn whole(columns: usize) -> usize {
    if Isa::best() == Isa::Portable { 0 } else { columns / SIDE * SIDE }
}

/// `y[j * y_step + i] = x[i * x_step + j]` for eight `i` and eight `j`: zero for `i` from `rows` on, and nothing for `j`
/// from `columns` on.
///
/// # Panics
/// Where a slice ends too early, and on machines for which [`whole`] is none.
pub(super) fn square(x: &[f32], x_step: usize, rows: usize, y: &mut [f32], y_step: usize, columns: usize) {
    let (rows, columns) = (rows.min(SIDE), columns.min(SIDE));
    assert!(rows == 0 || (rows - 1) * x_step + SIDE <= x.len(), "eight floats in each row");
    assert!(columns == 0 || (columns - 1) * y_step + SIDE <= y.len(), "eight floats in each column");
    assert!(Isa::best() != Isa::Portable, "AVX is there");
    // SAFETY: all rows and columns lie in the slices, and AVX is there with every instruction set but the portable one.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        avx(x.as_ptr(), x_step, rows, y.as_mut_ptr(), y_step, columns);
    }
}

/// # Safety
/// Eight floats can be read at each row and written at each column.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
#[allow(clippy::wildcard_imports)] // Intrinsics.
unsafe fn avx(x: *const f32, x_step: usize, rows: usize, y: *mut f32, y_step: usize, columns: usize) {
    use std::arch::x86_64::*;
    let mut a = [_mm256_setzero_ps(); SIDE];
    for i in 0..SIDE {
        if i < rows {
            // SAFETY: the row is there.
            a[i] = unsafe { _mm256_loadu_ps(x.add(i * x_step)) };
        }
    }
    // Pairs of rows, then of pairs, then of halves.
    let mut b = a;
    for i in [0, 2, 4, 6] {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for i in [0, 4] {
        a[i] = _mm256_shuffle_ps::<0x44>(b[i], b[i + 2]);
        a[i + 1] = _mm256_shuffle_ps::<0xee>(b[i], b[i + 2]);
        a[i + 2] = _mm256_shuffle_ps::<0x44>(b[i + 1], b[i + 3]);
        a[i + 3] = _mm256_shuffle_ps::<0xee>(b[i + 1], b[i + 3]);
    }
    for i in 0..4 {
        b[i] = _mm256_permute2f128_ps::<0x20>(a[i], a[i + 4]);
        b[i + 4] = _mm256_permute2f128_ps::<0x31>(a[i], a[i + 4]);
    }
    for j in 0..SIDE {
        if j < columns {
            // SAFETY: the column is there.
            unsafe { _mm256_storeu_ps(y.add(j * y_step), b[j]) }
        }
    }
}
