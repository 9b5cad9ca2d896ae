//! Random geometries against the definition.

use super::super::slice;
use super::*;
use crate::tensor::Rng;

fn draw(shape: &[usize], rng: &mut Rng) -> Tensor {
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.range(-1.0, 1.0)).collect();
    Tensor::from_shape(shape, &values).unwrap()
}

fn run(conv: &Conv, x: &Tensor, kernel: &Tensor) -> Tensor {
    let bias = Tensor::zero_dt(DatumType::F64, &[kernel.shape()[0]]).unwrap();
    let inputs = [x, kernel, &bias].map(|t| t.clone().into_tvalue());
    conv.run::<f64>(inputs.into_iter().collect()).unwrap().remove(0)
}

/// The definition, for two axes.
fn naive(conv: &Conv, x: &Tensor, kernel: &Tensor) -> Vec<f64> {
    let (x, k) = (x.to_plain_array_view::<f64>().unwrap(), kernel.to_plain_array_view::<f64>().unwrap());
    let (a, b) = (conv.spans[0], conv.spans[1]);
    let outputs = k.shape()[0] / conv.groups;
    let mut y = Vec::new();
    let at = |span: &Span, o: usize, t: usize, length: usize| {
        let at = (o * span.stride + t * span.dilation).cast_signed() - span.before;
        let place = (at.rem_euclid(span.spread.cast_signed()) == 0).then(|| at.div_euclid(span.spread.cast_signed()));
        place.and_then(|p| usize::try_from(p).ok()).filter(|p| *p < length)
    };
    for (n, o) in (0..x.shape()[0]).flat_map(|n| (0..k.shape()[0]).map(move |o| (n, o))) {
        for (i, j) in (0..a.output).flat_map(|i| (0..b.output).map(move |j| (i, j))) {
            let mut sum = 0.0;
            for (c, (s, t)) in
                (0..k.shape()[1]).flat_map(|c| (0..a.kernel).flat_map(move |s| (0..b.kernel).map(move |t| (c, (s, t)))))
            {
                let channel = o / outputs * k.shape()[1] + c;
                if let (Some(p), Some(q)) = (at(&a, i, s, x.shape()[2]), at(&b, j, t, x.shape()[3])) {
                    sum += k[[o, c, s, t]] * x[[n, channel, p, q]];
                }
            }
            y.push(sum);
        }
    }
    y
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    slice::<f64>(a).unwrap().iter().zip(slice::<f64>(b).unwrap()).map(|(a, b)| a * b).sum()
}

#[test]
fn random_geometries_agree_with_the_definition_and_with_their_adjoint() {
    for case in 0..400 {
        let mut rng = Rng::new(1, "convolution", &case.to_string(), 0);
        let mut pick = |low: usize, high: usize| low + rng.below(high - low + 1);
        let (groups, channels, outputs) = (pick(1, 3), pick(1, 3), pick(1, 4));
        let input = [pick(1, 9), pick(1, 9)];
        let spans: TVec<Span> = input
            .iter()
            .map(|length| {
                let (kernel, stride, dilation) = (pick(1, 4), pick(1, 3), pick(1, 3));
                let spread = if stride == 1 { pick(1, 3) } else { 1 };
                let before = pick(0, 4).cast_signed() - 1;
                let room = (length - 1) * spread + 1 + pick(0, 4);
                Span { kernel, stride, dilation, spread, before, output: room.div_ceil(stride) }
            })
            .collect();
        let conv = Conv { spans, groups };
        let kernel = [outputs * groups, channels, conv.spans[0].kernel, conv.spans[1].kernel];
        let mut rng = Rng::new(2, "convolution", &case.to_string(), 0);
        let x = draw(&[2, channels * groups, input[0], input[1]], &mut rng);
        let kernel = draw(&kernel, &mut rng);
        let y = run(&conv, &x, &kernel);
        let expected = naive(&conv, &x, &kernel);
        let apart = slice::<f64>(&y).unwrap().iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-12, "{conv:?} {input:?}: {apart}");
        // <g, conv(x)> = <adjoint(g), x>.
        let g = draw(y.shape(), &mut rng);
        let spans = conv.spans.iter().zip(input).map(|(span, length)| span.adjoint(length)).collect();
        let back = run(&Conv { spans, groups }, &g, &adjoint_kernel(&kernel, groups).unwrap());
        assert_eq!(back.shape(), x.shape());
        assert!((dot(&g, &y) - dot(&back, &x)).abs() < 1e-10, "{conv:?} {input:?}");
    }
}
