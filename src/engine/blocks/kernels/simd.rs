//! One vector of sixteen float32 lanes on every instruction set, so that layouts, loops and bits are the same everywhere.
//!
//! Code generic over [`Simd`] is `inline(always)` down to the function that [`dispatch`] compiles once per instruction
//! set: only there are the features enabled. Closures would not inherit them, and every intrinsic inside one would
//! become a call; therefore kernels are written with loops and macros.

use std::sync::OnceLock;

/// Lanes of a vector, and channels of a block.
pub(in super::super) const LANES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// What this machine runs, best first.
    #[must_use]
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 && is_x86_feature_detected!("avx512f") {
                all.push(Self::Avx512);
            }
            if avx2 {
                all.push(Self::Avx2);
            }
        }
        all.push(Self::Portable);
        all
    }

    pub(super) fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::all()[0])
    }

    /// Pixels of a dense tile.
    pub(super) fn pixels(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86::Avx512::PIXELS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::Avx2::PIXELS,
            Self::Portable => Portable::PIXELS,
        }
    }
}

/// # Safety
/// Every method needs a machine that has the instruction set; pointers are to sixteen floats, with no alignment.
pub(super) trait Simd: Copy {
    type V: Copy;
    /// Accumulators of a dense tile, blocks of output channels by pixels: as many as leave registers for the operands.
    const BLOCKS: usize;
    const PIXELS: usize;
    /// The same for few rows of a product, where weights are met once and loads count.
    const FEW_BLOCKS: usize;
    const FEW_PIXELS: usize;
    /// Accumulators of a depthwise tile: pixels in a row.
    const RUN: usize;
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    /// `a * b + c`, rounded once where the machine can.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// The greater of two, `b` where either is not a number.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The lesser of two, `b` where either is not a number.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `v` where `low < mask < high`, else zero.
    unsafe fn keep(v: Self::V, mask: Self::V, low: f32, high: f32) -> Self::V;
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks)] // Each is a few intrinsics under the promise of the trait.
#[allow(clippy::wildcard_imports)] // Intrinsics.
pub(super) mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512;

    #[rustfmt::skip]
    impl Simd for Avx512 {
        type V = __m512;
        const BLOCKS: usize = 2;
        const PIXELS: usize = 14;
        const FEW_BLOCKS: usize = 4;
        const FEW_PIXELS: usize = 4;
        const RUN: usize = 7;
        #[inline(always)] unsafe fn splat(x: f32) -> Self::V { unsafe { _mm512_set1_ps(x) } }
        #[inline(always)] unsafe fn load(p: *const f32) -> Self::V { unsafe { _mm512_loadu_ps(p) } }
        #[inline(always)] unsafe fn store(p: *mut f32, v: Self::V) { unsafe { _mm512_storeu_ps(p, v) } }
        #[inline(always)] unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V { unsafe { _mm512_fmadd_ps(a, b, c) } }
        #[inline(always)] unsafe fn add(a: Self::V, b: Self::V) -> Self::V { unsafe { _mm512_add_ps(a, b) } }
        #[inline(always)] unsafe fn mul(a: Self::V, b: Self::V) -> Self::V { unsafe { _mm512_mul_ps(a, b) } }
        #[inline(always)] unsafe fn max(a: Self::V, b: Self::V) -> Self::V { unsafe { _mm512_max_ps(a, b) } }
        #[inline(always)] unsafe fn min(a: Self::V, b: Self::V) -> Self::V { unsafe { _mm512_min_ps(a, b) } }
        #[inline(always)] unsafe fn keep(v: Self::V, mask: Self::V, low: f32, high: f32) -> Self::V { unsafe {
            let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(mask, _mm512_set1_ps(low));
            let inside = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(above, mask, _mm512_set1_ps(high));
            _mm512_maskz_mov_ps(inside, v)
        } }
    }

    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2;

    #[rustfmt::skip]
    impl Simd for Avx2 {
        type V = [__m256; 2];
        const BLOCKS: usize = 1;
        const PIXELS: usize = 6;
        const FEW_BLOCKS: usize = 2;
        const FEW_PIXELS: usize = 2;
        const RUN: usize = 4;
        #[inline(always)] unsafe fn splat(x: f32) -> Self::V { unsafe { [_mm256_set1_ps(x); 2] } }
        #[inline(always)] unsafe fn load(p: *const f32) -> Self::V { unsafe { [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))] } }
        #[inline(always)] unsafe fn store(p: *mut f32, [v, w]: Self::V) { unsafe { _mm256_storeu_ps(p, v); _mm256_storeu_ps(p.add(8), w) } }
        #[inline(always)] unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V { unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] } }
        #[inline(always)] unsafe fn add(a: Self::V, b: Self::V) -> Self::V { unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] } }
        #[inline(always)] unsafe fn mul(a: Self::V, b: Self::V) -> Self::V { unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] } }
        #[inline(always)] unsafe fn max(a: Self::V, b: Self::V) -> Self::V { unsafe { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] } }
        #[inline(always)] unsafe fn min(a: Self::V, b: Self::V) -> Self::V { unsafe { [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])] } }
        #[inline(always)] unsafe fn keep(v: Self::V, mask: Self::V, low: f32, high: f32) -> Self::V { unsafe { [half(v[0], mask[0], low, high), half(v[1], mask[1], low, high)] } }
    }

    #[inline(always)]
    unsafe fn half(v: __m256, mask: __m256, low: f32, high: f32) -> __m256 {
        unsafe {
            let above = _mm256_cmp_ps::<_CMP_GT_OQ>(mask, _mm256_set1_ps(low));
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(mask, _mm256_set1_ps(high));
            _mm256_and_ps(v, _mm256_and_ps(above, below))
        }
    }
}

/// Arrays, which the compiler turns into whatever vectors the target has.
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// A fused product is a call into a library unless the target has it.
const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

macro_rules! each {
    ($i:ident => $value:expr) => {{
        let mut lanes = [0.0; LANES];
        for $i in 0..LANES {
            lanes[$i] = $value;
        }
        lanes
    }};
}

#[rustfmt::skip]
impl Simd for Portable {
    type V = [f32; LANES];
    const BLOCKS: usize = 1;
    const PIXELS: usize = 2;
    const FEW_BLOCKS: usize = 1;
    const FEW_PIXELS: usize = 1;
    const RUN: usize = 2;
    #[inline(always)] unsafe fn splat(x: f32) -> Self::V { [x; LANES] }
    #[inline(always)] unsafe fn load(p: *const f32) -> Self::V {
        // SAFETY: the caller's pointer is to sixteen floats.
        unsafe { p.cast::<Self::V>().read() }
    }
    #[inline(always)] unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: the caller's pointer is to sixteen floats.
        unsafe { p.cast::<Self::V>().write(v) }
    }
    #[inline(always)] unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V { each!(i => if FUSED { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] }) }
    #[inline(always)] unsafe fn add(a: Self::V, b: Self::V) -> Self::V { each!(i => a[i] + b[i]) }
    #[inline(always)] unsafe fn mul(a: Self::V, b: Self::V) -> Self::V { each!(i => a[i] * b[i]) }
    #[inline(always)] unsafe fn max(a: Self::V, b: Self::V) -> Self::V { each!(i => if a[i] > b[i] { a[i] } else { b[i] }) }
    #[inline(always)] unsafe fn min(a: Self::V, b: Self::V) -> Self::V { each!(i => if a[i] < b[i] { a[i] } else { b[i] }) }
    #[inline(always)] unsafe fn keep(v: Self::V, mask: Self::V, low: f32, high: f32) -> Self::V { each!(i => if mask[i] > low && mask[i] < high { v[i] } else { 0.0 }) }
}

/// The body for each index below `$n`, at most 14, written out. Were one loop over the accumulators left rolled, all of
/// them would live in memory, and the kernel would run at 40 % of its speed.
macro_rules! unroll {
    ($n:ident, $i:ident => $body:expr) => { unroll!(@ $n, $i, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13) };
    (@ $n:ident, $i:ident, $body:expr, $($k:literal)*) => {{ $( if $k < $n { let $i: usize = $k; $body; } )* }};
}
pub(super) use unroll;

/// `unsafe fn $name(isa, ..)`: the function `$body::<S, S::$size..>` compiled once per instruction set, with its
/// features enabled.
macro_rules! dispatch {
    ($(#[$doc:meta])* $name:ident = $body:ident[$($size:ident),*]($($arg:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub(super) unsafe fn $name(isa: super::simd::Isa, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            use super::simd::x86::{Avx2, Avx512};
            use super::simd::{Isa, Portable, Simd};
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx2,fma")]
            unsafe fn avx512($($arg: $type),*) {
                // SAFETY: the features are enabled here; the rest is promised by the caller.
                unsafe { $body::<Avx512, $({ Avx512::$size }),*>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $type),*) {
                // SAFETY: the features are enabled here; the rest is promised by the caller.
                unsafe { $body::<Avx2, $({ Avx2::$size }),*>($($arg),*) }
            }
            match isa {
                // SAFETY: an `Isa` is one of those the machine was asked for; the rest is promised by the caller.
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: the rest is promised by the caller.
                Isa::Portable => unsafe { $body::<Portable, $({ Portable::$size }),*>($($arg),*) },
            }
        }
    };
}
pub(super) use dispatch;
