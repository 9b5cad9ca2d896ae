"""Networks exported from torch with their gradients in float64, for tests/it/gradients.rs.

    pip install torch torchvision onnx onnxscript
    python tests/golden/gradients.py                # small networks of each family: tests/models/gradients.zip
    python tests/golden/gradients.py --large DIR    # networks of the usual sizes, one pair of files each

Each network comes as NAME.onnx and NAME.npz: x (its input), seed (the cotangent of its output), y and grad64 (computed in
float64 with the same weights), error32 (the relative error of torch's own float32 gradient). Weights are random. Small
networks have weights in steps of 1/64, so that they pack well; NAME_20 is the network at opset 20 by torch's other
exporter, NAME_f64 the network in double precision.
"""

import argparse
import copy
import io
import pathlib
import sys
import warnings
import zipfile

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import nn

warnings.filterwarnings("ignore")


class Fn(nn.Module):
    """A function as a module."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.function(self, x)


class Dense(nn.Module):
    """A linear layer that is exported as a product and a sum: tract's Gemm knows no double precision."""

    def __init__(self, linear):
        super().__init__()
        self.weight, self.bias = nn.Parameter(linear.weight.detach().T.clone()), linear.bias

    def forward(self, x):
        return x @ self.weight + self.bias


def densify(module):
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Dense(child))
        else:
            densify(child)
    return module


# Networks with operators that tract has in single precision alone.
SINGLE = {"mlp", "vit", "group_norm", "inverted", "lstm", "lstm_both", "gru", "gru_both", "activations"}

# Large networks that are exported in double precision too.
DOUBLE = {"resnet50", "squeezenet1_0", "densenet121", "mobilenet_v2"}


def conv_bn(i, o, k=3, s=1, g=1, act=nn.ReLU):
    return nn.Sequential(nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(o), act())


class Residual(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.a, self.b = conv_bn(i, o, 3, s), nn.Sequential(nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o))
        self.short = nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        return torch.relu(self.b(self.a(x)) + self.short(x))


class Inverted(nn.Module):
    """MobileNet v3's block: expand, depthwise, squeeze and excite, project."""

    def __init__(self, c, act):
        super().__init__()
        self.expand, self.depth = conv_bn(c, 3 * c, 1, act=act), conv_bn(3 * c, 3 * c, 5, 2, 3 * c, act)
        self.squeeze, self.excite = nn.Conv2d(3 * c, 4, 1), nn.Conv2d(4, 3 * c, 1)
        self.project = nn.Conv2d(3 * c, c, 1)

    def forward(self, x):
        x = self.depth(self.expand(x))
        s = F.hardsigmoid(self.excite(torch.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return self.project(x * s)


class UNet(nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.down, self.mid = conv_bn(2, 4), conv_bn(4, 8)
        self.up = nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1)
        self.out = nn.Conv2d(8, 2, 1)
        self.mode = mode

    def forward(self, x):
        a = self.down(x)
        b = self.mid(F.max_pool2d(a, 2))
        y = self.out(torch.cat([a, self.up(b)], 1))
        align = {} if self.mode == "nearest" else {"align_corners": False}
        return F.interpolate(y, scale_factor=2.0, mode=self.mode, **align)


class Transformer(nn.Module):
    def __init__(self, width, heads, depth, classes, mlp=2):
        super().__init__()
        self.heads = heads
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                dict(
                    n1=nn.LayerNorm(width), qkv=nn.Linear(width, 3 * width), o=nn.Linear(width, width),
                    n2=nn.LayerNorm(width), a=nn.Linear(width, mlp * width), b=nn.Linear(mlp * width, width),
                )
            )
            for _ in range(depth)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x):
        n, t, d = x.shape
        for m in self.blocks:
            q, k, v = m["qkv"](m["n1"](x)).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
            w = torch.softmax(q @ k.transpose(-1, -2) / (d // self.heads) ** 0.5, -1)
            x = x + m["o"]((w @ v).transpose(1, 2).reshape(n, t, d))
            x = x + m["b"](F.gelu(m["a"](m["n2"](x))))
        return self.head(self.norm(x)[:, 0])


class ViT(nn.Module):
    def __init__(self, size, patch, width, heads, depth, classes):
        super().__init__()
        self.patch = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.place = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, width) * 0.1)
        self.body = Transformer(width, heads, depth, classes)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        return self.body(torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place)


class Text(nn.Module):
    """Tokens to classes; differentiated to the embedding's output."""

    def __init__(self, words, width, heads, depth, classes, mlp=2):
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.body = Transformer(width, heads, depth, classes, mlp)

    def forward(self, x):
        return self.body(self.words(x))


class Recurrent(nn.Module):
    def __init__(self, kind, width, hidden, both=False):
        super().__init__()
        self.rnn = kind(width, hidden, batch_first=True, bidirectional=both)
        self.head = nn.Linear(hidden * (1 + both), 3)

    def forward(self, x):
        y = self.rnn(x)[0]
        return self.head(y[:, -1] + y.mean(1))


class Lstm(nn.Module):
    def __init__(self, width, hidden, layers):
        super().__init__()
        self.rnn, self.head = nn.LSTM(width, hidden, layers, batch_first=True), nn.Linear(hidden, 3)

    def forward(self, x):
        y, (h, c) = self.rnn(x)
        return self.head(torch.tanh(c[-1]) + h[0] + y[:, 1])


def movement(m, x):
    a = x[:, 1:5:2].flip(2) + x[:, [3, 0]]
    b = torch.cat([a, x[:, -2:]], 1).roll(2, 3)
    c, d = b.split([1, 3], 1)
    e = F.pad(d, (2, 1, 1, 0), mode="reflect") + F.pad(d, (1, 2, 0, 1), mode="replicate")
    e = e + F.pad(d, (0, 3, 1, 0), value=0.5)
    f = torch.where(e > 0.2, e * e, c.mean((1, 2, 3), keepdim=True) + 3 * e).clamp(-0.8, 0.9)
    return f.repeat(1, 2, 1, 1).permute(0, 2, 1, 3)[:, :, ::3].flatten(1).unflatten(1, (-1, 2)).squeeze()


def reductions(m, x):
    parts = [
        x.mean(2), x.amax(2), x.amin(2), x.prod(2), x.logsumexp(2), x.std(2), x.norm(dim=2), x.abs().sum(2),
        (x * x).mean(2), x.cumsum(2)[:, :, 1], x.var(2, unbiased=False),
    ]
    return torch.stack(parts, 1)


def arithmetic(m, x):
    p = x.abs() + 0.5
    y = torch.pow(p, 1.7) + torch.pow(1.3, x) + torch.pow(p, p) + p.sqrt() + p.rsqrt() + p.log() + 1 / p
    y = y + torch.sin(x) * torch.cos(x) + x.exp() / (2 + p) - torch.maximum(x, -x.flip(1))
    return y + torch.minimum(x, x.roll(1, 1)) * m.w + (x - m.w) / m.v + torch.tril(x) + torch.triu(x, 1)


def activations(m, x):
    fs = [
        F.relu, F.relu6, F.silu, F.mish, F.elu, F.selu, F.softplus, F.leaky_relu, F.gelu, F.hardswish, F.hardsigmoid,
        F.softsign, torch.tanh, torch.sigmoid, F.celu, lambda x: F.gelu(x, approximate="tanh"), m.prelu, F.hardtanh,
        F.logsigmoid, F.tanhshrink, F.softshrink,
    ]
    return sum(f(x * (1 + i / 10)) * (i + 1) for i, f in enumerate(fs))


def softmaxes(m, x):
    y = torch.softmax(x, 1) * 3 + torch.log_softmax(x, 2) + torch.softmax(5 * x, 3) + torch.log_softmax(3 * x, 1)
    return y.flatten(1)


def products(m, x):
    y = torch.einsum("bij,bkj->bik", x, x) + x @ m.w @ x.transpose(1, 2)
    return torch.einsum("bij,jk->bki", y, m.u).sum(1) + torch.einsum("bij->bi", y)


def indexing(m, x):
    y = torch.gather(x, 2, m.places.expand(x.shape[0], -1, -1)) + x[:, m.rows]
    return y.scatter(2, m.places.expand(x.shape[0], -1, -1)[:, :, :1], x[:, m.rows][:, :, 1:2] * 2)


def parameters(**tensors):
    return {name: nn.Parameter(t, requires_grad=False) for name, t in tensors.items()}


def convolutions():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=2, dilation=2), nn.ReLU(), nn.Conv2d(4, 8, (3, 2), (2, 1), (1, 0), groups=2), nn.Tanh(),
        nn.ZeroPad2d((0, 1, 1, 0)), nn.Conv2d(8, 4, 1, 2), nn.ELU(), nn.Conv2d(4, 4, 3, 1, 1, groups=4), nn.Flatten(),
    )


def pools():
    return nn.Sequential(
        nn.MaxPool2d(3, 2, 1), nn.Conv2d(2, 3, 3, padding=1), nn.AvgPool2d(2, 1, 1, count_include_pad=False),
        nn.AvgPool2d(3, 2, 1), nn.MaxPool2d(2, 2, ceil_mode=True), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
    )


def small():
    """Name, module, input; a third entry of a tuple is the inner tensor that is differentiated to."""
    torch.manual_seed(0)
    x = torch.randn
    yield "mlp", nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)), x(3, 6)
    yield "residual", nn.Sequential(conv_bn(3, 4, 7, 2), nn.MaxPool2d(3, 2, 1), Residual(4, 6, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)), x(3, 3, 16, 16)
    yield "inverted", nn.Sequential(conv_bn(3, 4, 3, 2, act=nn.Hardswish), Inverted(4, nn.Hardswish), Inverted(4, nn.SiLU), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)), x(3, 3, 15, 15)
    yield "relu6", nn.Sequential(conv_bn(3, 4, 3, 2, act=nn.ReLU6), conv_bn(4, 4, 3, 1, 4, nn.ReLU6), nn.Flatten(), nn.Linear(144, 3)), x(3, 3, 12, 12) * 4
    yield "dense", Fn(lambda m, x: m.b(torch.cat([x, m.a(x), x * 2], 1)).mean((2, 3)), a=nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1)), b=nn.Conv2d(10, 3, 3)), x(3, 3, 9, 9)
    yield "unet_bilinear", UNet("bilinear"), x(2, 2, 8, 6)
    yield "unet_nearest", UNet("nearest"), x(2, 2, 6, 8)
    yield "unet_bicubic", UNet("bicubic"), x(2, 2, 6, 6)
    yield "vit", ViT(16, 8, 12, 3, 2, 4), x(3, 3, 16, 16)
    yield "text", Text(20, 8, 2, 1, 3), torch.randint(0, 20, (3, 7))
    yield "lstm", Lstm(4, 5, 2), x(3, 6, 4)
    yield "lstm_both", Recurrent(nn.LSTM, 4, 3, True), x(3, 6, 4)
    yield "gru", Recurrent(nn.GRU, 4, 5), x(3, 6, 4)
    yield "gru_both", Recurrent(nn.GRU, 4, 3, True), x(3, 6, 4)
    yield "rnn", Recurrent(nn.RNN, 4, 5), x(3, 6, 4)
    yield "group_norm", nn.Sequential(nn.Conv2d(3, 6, 3), nn.GroupNorm(3, 6), nn.Mish(), nn.Conv2d(6, 2, 3), nn.Flatten()), x(3, 3, 8, 8)
    yield "instance_norm", nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.ELU(), nn.Conv2d(4, 2, 3), nn.Flatten()), x(3, 3, 8, 8)
    yield "activations", Fn(activations, prelu=nn.PReLU(5)), x(3, 5, 4)
    yield "convolutions", convolutions(), x(3, 2, 13, 12)
    yield "conv1d", nn.Sequential(nn.Conv1d(2, 4, 5, 2, 2), nn.Tanh(), nn.ConvTranspose1d(4, 2, 4, 3, 1, dilation=2), nn.MaxPool1d(3), nn.Flatten()), x(3, 2, 17)
    yield "conv3d", nn.Sequential(nn.Conv3d(2, 3, (2, 3, 3), (1, 2, 1), 1), nn.ReLU(), nn.AvgPool3d(2), nn.Flatten()), x(2, 2, 4, 7, 6)
    yield "transposed", nn.Sequential(nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), groups=2), nn.Tanh(), nn.Conv2d(6, 2, 3, bias=False), nn.Flatten()), x(3, 4, 5, 4)
    yield "pools", pools(), x(3, 2, 15, 14)
    yield "movement", Fn(movement), x(3, 6, 5, 7)
    yield "reductions", Fn(reductions), x(3, 4, 5)
    yield "arithmetic", Fn(arithmetic, **parameters(w=x(4), v=x(5, 1).abs() + 1)), x(3, 5, 4)
    yield "softmaxes", Fn(softmaxes), x(3, 4, 5, 3)
    yield "products", Fn(products, **parameters(w=x(4, 4), u=x(3, 3))), x(2, 3, 4)
    yield "indexing", Fn(indexing, **parameters(places=torch.randint(0, 3, (1, 2, 3))), rows=torch.tensor([3, 1])), x(3, 4, 3)


def large():
    import torchvision.models as tv

    torch.manual_seed(0)
    image = torch.randn(2, 3, 224, 224)
    for name in (
        "resnet18 resnet50 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large efficientnet_b0 vgg11 densenet121 squeezenet1_0"
    ).split():
        yield name, getattr(tv, name)(weights=None), image
    yield "vit_small", ViT(224, 16, 192, 3, 6, 1000), image
    yield "text_encoder", Text(5000, 128, 4, 3, 10, 4), torch.randint(0, 5000, (2, 64))
    yield "lstm_large", Lstm(40, 64, 2), torch.randn(2, 50, 40)


def settle(module, coarse):
    """Figures for batch norm that are not 0 and 1, and weights in steps of 1/64."""
    for m in module.modules():
        if isinstance(m, (nn.BatchNorm2d,)) and coarse:
            m.running_mean.normal_(0, 0.3), m.running_var.uniform_(0.5, 1.5)
            m.weight.data.uniform_(0.5, 1.5), m.bias.data.normal_(0, 0.3)
    if coarse:
        for t in list(module.parameters()) + list(module.buffers()):
            if t.is_floating_point():
                t.data = torch.round(t.data * 64) / 64
    return module.eval()


def gradient(module, x, seed):
    """Output, and gradient to the input or, of tokens, to the embedding's output."""
    inner = None
    if not x.is_floating_point():
        table = module.words
        module.words = nn.Identity()
        x = table(x)
        inner = table
    x = x.detach().requires_grad_()
    y = module(x)
    seed = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) if seed is None else seed
    (y * seed.to(y.dtype)).sum().backward()
    if inner is not None:
        module.words = inner
    return y.detach(), x.grad, seed


def export(module, x, opset, path):
    if opset == 17:
        torch.onnx.export(module, (x,), path, opset_version=17, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}})
    else:
        torch.onnx.export(module, (x,), path, opset_version=opset, dynamo=True, input_names=["x"], output_names=["y"], dynamic_shapes=({0: "batch"},), external_data=False, verbose=False)
    model = onnx.load(path)
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del model.graph.value_info[:]
    if not x.is_floating_point():
        gather = next(n for n in model.graph.node if n.op_type == "Gather")
        old = gather.output[0]
        for node in model.graph.node:
            node.input[:] = ["embedded" if i == old else i for i in node.input]
            node.output[:] = ["embedded" if o == old else o for o in node.output]
    onnx.save(model, path)


def golden(module, x):
    y32, grad32, seed = gradient(module, x, None)
    double = densify(copy.deepcopy(module).double())
    y, grad, _ = gradient(double, x.double() if x.is_floating_point() else x, seed)
    error = float((grad32.double() - grad).norm() / grad.norm())
    arrays = dict(x=x.numpy(), seed=seed.numpy(), y=y.numpy(), grad64=grad.numpy(), error32=np.full(len(x), error))
    return double, arrays


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=pathlib.Path, help="write the networks of the usual sizes here")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent / "models"
    folder = arguments.large or pathlib.Path("/tmp/assay_gradients")
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, module, x in (large if arguments.large else small)():
        if arguments.only and arguments.only != name:
            continue
        module = settle(module, not arguments.large)
        double, arrays = golden(module, x)
        variants = [("", module, x, 17)]
        if not arguments.large:
            variants.append(("_20", module, x, 20))
        # Of the large ones, those with many ReLUs: in float32 one close to zero may take the other side.
        if name in DOUBLE or not arguments.large and x.is_floating_point() and name not in SINGLE:
            variants.append(("_f64", double, x.double(), 17))
        for suffix, variant, given, opset in variants:
            path = folder / f"{name}{suffix}.onnx"
            try:
                export(variant, given, opset, str(path))
            except Exception as e:
                print(f"{name}{suffix}: not exported: {str(e)[:200]}", file=sys.stderr)
                continue
            files[path.name] = path.read_bytes()
            if suffix:  # The same figures.
                continue
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **arrays)
            files[f"{name}.npz"] = buffer.getvalue()
            (folder / f"{name}.npz").write_bytes(buffer.getvalue())
    if not arguments.large and not arguments.only:
        with zipfile.ZipFile(root / "gradients.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, data in sorted(files.items()):
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
