//! Adjoints of tract's fused recurrent cells.

use tract_onnx::tract_core::internal::*;

use super::{Kernel, Real, slice};

fn sigmoid<T: Real>(x: T) -> T {
    (T::one() + (-x).exp()).recip()
}

/// Inputs: cotangents of the hidden and the cell state, gates before their activation `[.., 4 hidden]` in the order
/// input, output, forget, cell, and the cell state before. Outputs: cotangents of the last two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct LstmAdjoint {
    pub(in crate::engine) hidden: usize,
}

impl Kernel for LstmAdjoint {
    const NAME: &'static str = "LstmAdjoint";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[2].without_value(), inputs[3].without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (gh, gc, gates, before) = args_4!(inputs);
        let (h, one) = (self.hidden, T::one());
        let (gate_values, cells) = (slice::<T>(&gates)?, slice::<T>(&before)?);
        let (gh, gc) = (slice::<T>(&gh)?, slice::<T>(&gc)?);
        let (mut pulled, mut cell) = (vec![T::zero(); gate_values.len()], vec![T::zero(); cells.len()]);
        for (k, (&c, cell)) in cells.iter().zip(&mut cell).enumerate() {
            let (row, j) = (k / h * 4 * h, k % h);
            let [i, o, f] = [0, 1, 2].map(|gate| sigmoid(gate_values[row + gate * h + j]));
            let new = gate_values[row + 3 * h + j].tanh();
            let t = (f * c + i * new).tanh();
            let g = gc[k] + gh[k] * o * (one - t * t);
            let slopes =
                [g * new * i * (one - i), gh[k] * t * o * (one - o), g * c * f * (one - f), g * i * (one - new * new)];
            slopes.into_iter().enumerate().for_each(|(gate, s)| pulled[row + gate * h + j] = s);
            *cell = g * f;
        }
        Ok(tvec![Tensor::from_shape(gates.shape(), &pulled)?, Tensor::from_shape(before.shape(), &cell)?])
    }
}

/// Inputs: cotangent of the state, the two halves of the gates before their activation `[.., 3 hidden]` in the order
/// update, reset, candidate, and the state before. Outputs: cotangents of the last three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct GruAdjoint {
    pub(in crate::engine) hidden: usize,
}

impl Kernel for GruAdjoint {
    const NAME: &'static str = "GruAdjoint";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(inputs[1..].iter().map(|fact| fact.without_value()).collect())
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (g, x, r, before) = args_4!(inputs);
        let (h, one) = (self.hidden, T::one());
        let (g, xs, rs, states) = (slice::<T>(&g)?, slice::<T>(&x)?, slice::<T>(&r)?, slice::<T>(&before)?);
        let (mut gx, mut gr, mut state) = (vec![T::zero(); xs.len()], vec![T::zero(); rs.len()], states.to_vec());
        for (k, (&last, state)) in states.iter().zip(&mut state).enumerate() {
            let [at_z, at_r, at_h] = [0, 1, 2].map(|gate| k / h * 3 * h + gate * h + k % h);
            let (z, reset) = (sigmoid(xs[at_z] + rs[at_z]), sigmoid(xs[at_r] + rs[at_r]));
            let new = (xs[at_h] + reset * rs[at_h]).tanh();
            let of_new = g[k] * (one - z) * (one - new * new);
            let of_z = g[k] * (last - new) * z * (one - z);
            let of_reset = of_new * rs[at_h] * reset * (one - reset);
            (gx[at_z], gx[at_r], gx[at_h]) = (of_z, of_reset, of_new);
            (gr[at_z], gr[at_r], gr[at_h]) = (of_z, of_reset, of_new * reset);
            *state = g[k] * z;
        }
        let state = Tensor::from_shape(before.shape(), &state)?;
        Ok(tvec![Tensor::from_shape(x.shape(), &gx)?, Tensor::from_shape(r.shape(), &gr)?, state])
    }
}
