"""Values and gradients of every operation, from PyTorch in double precision: writes ops.json beside this file.

    python test/golden/ops.py

Inputs are f32 (or i32) and exact; outputs and gradients are rounded to f32. The gradient is that of
sum(output * cotangent). A case names the operation, its attributes, and its inputs in the order the operation takes them.
"""

import base64
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(20261121)
cases = []


def pack(t):
    if t is None:
        return None
    kind = np.int32 if t.dtype in (torch.int32, torch.int64) else np.float32
    array = t.detach().numpy().astype(kind)
    return {"shape": list(t.shape), "dtype": "i32" if kind is np.int32 else "f32", "data": base64.b64encode(array.tobytes()).decode()}


def rand(*shape, low=-2.0, high=2.0):
    return (low + (high - low) * torch.rand(*shape)).float()


def ids(*rows):
    return torch.tensor(rows[0] if len(rows) == 1 else rows, dtype=torch.int32)


def case(op, inputs, function, attrs=None, round_to_bf16=False):
    """`function` maps the inputs (floats as double, with gradients) to the output."""
    leaves = [t.double().requires_grad_() if t is not None and t.is_floating_point() else t for t in inputs]
    out = function(*leaves)
    cotangent = torch.randn(out.shape).float()
    out.backward(cotangent.bfloat16().double() if round_to_bf16 else cotangent.double())
    grads = [t.grad if t is not None and t.is_floating_point() else None for t in leaves]
    cases.append({
        "op": op, "attrs": attrs or {}, "inputs": [pack(t) for t in inputs], "output": pack(out),
        "cotangent": pack(cotangent), "grads": [pack(g) for g in grads],
    })


# ---- elementwise ------------------------------------------------------------------------------------------------
for name, f in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum, "minimum": torch.minimum}.items():
    case(name, [rand(2, 3, 4), rand(3, 1, low=0.5)], f)
tied = torch.tensor([1.0, 2.0, -3.0])
case("maximum", [tied, torch.tensor([1.0, 1.0, 4.0])], torch.maximum)
case("minimum", [tied, torch.tensor([1.0, 1.0, 4.0])], torch.minimum)

real = torch.tensor([-30.0, -9.5, -4.0, -1.25, -0.01, 0.02, 0.75, 1.5, 5.0, 12.0, 40.0])
above0 = torch.tensor([1e-4, 0.1, 0.9, 1.0, 2.5, 1000.0])
unary = {
    "neg": (torch.neg, real), "exp": (torch.exp, real.clamp(-30, 12)), "log": (torch.log, above0), "sqrt": (torch.sqrt, above0),
    "rsqrt": (torch.rsqrt, above0), "square": (torch.square, real), "abs": (torch.abs, real), "reciprocal": (torch.reciprocal, above0),
    "sigmoid": (torch.sigmoid, real), "tanh": (torch.tanh, real), "softplus": (lambda x: torch.logaddexp(x, torch.zeros_like(x)), real),
    "relu": (torch.relu, torch.cat([real, torch.zeros(1)])), "gelu": (F.gelu, real), "geluTanh": (lambda x: F.gelu(x, approximate="tanh"), real), "silu": (F.silu, real),
    "normalCdf": (torch.special.ndtr, real), "sin": (torch.sin, real), "cos": (torch.cos, real),
}
for name, (f, x) in unary.items():
    case(name, [x], f)
case("affine", [real], lambda x: -0.5 * x + 3, {"alpha": -0.5, "beta": 3})
case("clamp", [real], lambda x: x.clamp(-1.25, 1.5), {"low": -1.25, "high": 1.5})

# ---- shapes and reductions ----------------------------------------------------------------------------------------
case("permute", [rand(2, 3, 4, 2)], lambda x: x.permute(2, 0, 3, 1), {"axes": [2, 0, 3, 1]})
case("slice", [rand(2, 5, 3)], lambda x: x[:, 1:4], {"axis": 1, "start": 1, "length": 3})
case("concat", [rand(2, 1, 2), rand(2, 3, 2)], lambda a, b: torch.cat([a, b], 1), {"axis": 1})
case("expand", [rand(3, 1)], lambda x: x.expand(2, 3, 4), {"shape": [2, 3, 4]})
case("sum", [rand(3, 4, 5)], lambda x: x.sum((0, 2)), {"axes": [0, 2]})
case("mean", [rand(3, 4, 5)], lambda x: x.mean(1, keepdim=True), {"axes": [1], "keep": True})
case("max", [torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]])], lambda x: x.gather(1, x.max(1, keepdim=True).indices)[:, 0], {"axes": [1]})
case("min", [rand(3, 4, 5)], lambda x: x.amin((0, 1, 2)), {"axes": [0, 1, 2]})

# ---- rows -------------------------------------------------------------------------------------------------------------
case("softmax", [rand(3, 7, low=-20, high=20)], lambda x: x.softmax(-1))
case("logSumExp", [rand(3, 7, low=-20, high=20)], lambda x: x.logsumexp(-1))
case("topk", [rand(4, 9)], lambda x: x.topk(3).values, {"k": 3})
case("takeAlong", [rand(2, 5), ids([4, 0, 4], [1, 2, 3])], lambda x, i: x.gather(1, i.long()))
case("rmsNorm", [rand(3, 8), rand(8)], lambda x, w: F.rms_norm(x, (8,), w, 1e-5), {"eps": 1e-5})
case("layerNorm", [rand(3, 8), rand(8), rand(8)], lambda x, w, b: F.layer_norm(x, (8,), w, b, 1e-5), {"eps": 1e-5})
case("swiglu", [rand(3, 10)], lambda x: F.silu(x[:, :5]) * x[:, 5:])
case("crossEntropy", [rand(4, 6, low=-9, high=9), ids([2, -1, 0, 5])], lambda x, t: F.cross_entropy(x, t.long(), reduction="none", ignore_index=-1))
case("gatherRows", [rand(4, 3), ids([3, 0, 3], [1, 1, 2])], lambda x, i: F.embedding(i.long(), x))
case("scatterAddRows", [rand(5, 3), ids([3, 0, 3, 1, 3])], lambda x, i: torch.zeros(4, 3, dtype=x.dtype).index_add(0, i.long(), x), {"outRows": 4})


def combine(y, row, weight=None):
    kept = (row >= 0).double()
    picked = y[row.clamp(min=0).long()] * kept[..., None]
    return (picked * weight[..., None]).sum(1) if weight is not None else picked.sum(1)


# Three tokens, two picks each; token 1 has lost one; the last row of six belongs to nobody.
token, row = ids([1, 0, 2, 0, 2, -1]), ids([1, 3], [0, -1], [2, 4])
case("dispatchRows", [rand(3, 4), token, row], lambda x, t, r: x[t.clamp(min=0).long()] * (t >= 0).double()[:, None])
case("combineRows", [rand(6, 4), row, rand(3, 2)], combine)
case("combineRows", [rand(6, 4), row], combine)

# ---- products -----------------------------------------------------------------------------------------------------------
for precision in ["f32", "bf16"]:
    # The gradient of rounding is taken to be 1; the cotangent of each product is rounded like its operands.
    low = precision == "bf16"
    r = (lambda t: t + (t.detach().float().bfloat16().double() - t.detach())) if low else (lambda t: t)
    options = {"precision": precision}
    case("matmul", [rand(2, 3, 5), rand(5, 4)], lambda a, b: r(a) @ r(b), options, low)
    case("matmul", [rand(2, 5, 3), rand(2, 4, 5)], lambda a, b: r(a).mT @ r(b).mT, {**options, "transA": True, "transB": True}, low)

    def grouped(x, w, offsets):
        rows = torch.arange(x.shape[0])
        out = torch.zeros(x.shape[0], w.shape[2], dtype=x.dtype)
        for e in range(w.shape[0]):
            mine = ((rows >= offsets[e]) & (rows < offsets[e + 1])).double()[:, None]
            out = out + mine * (r(x) @ r(w[e]))
        return out

    offsets = ids([0, 3, 3, 6])
    case("groupedMatmul", [rand(7, 5), rand(3, 5, 4), offsets], grouped, options, low)
    case("groupedMatmul", [rand(7, 5), rand(3, 4, 5), offsets], lambda x, w, o: grouped(x, w.mT, o), {**options, "transW": True}, low)


# ---- attention and position -------------------------------------------------------------------------------------------
def attention(q, k, v, sinks=None, causal=True, window=0, chunk=0, scale=None, queryStart=0):
    group = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(group, 2), v.repeat_interleave(group, 2)
    scores = torch.einsum("bihd,bjhd->bhij", q, k) * (scale or 1 / math.sqrt(q.shape[3]))
    position = queryStart + torch.arange(q.shape[1])[:, None]
    key = torch.arange(k.shape[1])[None, :]
    hidden = torch.zeros(q.shape[1], k.shape[1], dtype=torch.bool)
    if causal:
        hidden |= key > position
    if window:
        hidden |= key <= position - window
    if chunk:
        hidden |= key // chunk < position // chunk
    scores = scores.masked_fill(hidden, -torch.inf)
    if sinks is not None:
        scores = torch.cat([scores, sinks[None, :, None, None].expand(*scores.shape[:3], 1)], -1)
    return torch.einsum("bhij,bjhd->bihd", scores.softmax(-1)[..., : k.shape[1]], v)


for attrs in [{}, {"causal": False, "scale": 0.3}, {"window": 3}, {"queryStart": 2, "window": 4}]:
    queries = 5 if "queryStart" in attrs else 7
    case("attention", [rand(2, queries, 4, 6), rand(2, 7, 2, 6), rand(2, 7, 2, 6)], lambda q, k, v: attention(q, k, v, **attrs), attrs)


def rope(x, position, rotary, theta, interleaved):
    """Each pair as a complex number, times e^(i angle)."""
    half = rotary // 2
    angle = position.double()[:, None] * theta ** (-torch.arange(half).double() * 2 / rotary)
    turn = torch.polar(torch.ones_like(angle), angle)[:, None, :]
    first, second = (slice(0, rotary, 2), slice(1, rotary, 2)) if interleaved else (slice(0, half), slice(half, rotary))
    turned = torch.complex(x[..., first], x[..., second]) * turn
    out = x.clone()
    out[..., first], out[..., second] = turned.real, turned.imag
    return out


for interleaved in [False, True]:
    attrs = {"positions": 40, "rotary": 6, "theta": 10000, "interleaved": interleaved}
    case("rope", [rand(2, 4, 3, 8), ids([0, 1, 17, 39])], lambda x, p: rope(x, p, 6, 10000, interleaved), attrs)

# ---- optimizer: three steps of torch.optim.AdamW on 3 decayed and 2 other parameters, clipped to a norm of 1 ------------
values = rand(5)
decayed, rest = torch.nn.Parameter(values[:3].clone()), torch.nn.Parameter(values[3:].clone())
settings = {"lr": 0.1, "betas": (0.9, 0.95), "eps": 1e-8}
optimizer = torch.optim.AdamW([{"params": [decayed], "weight_decay": 0.1}, {"params": [rest], "weight_decay": 0.0}], **settings)
grads = [rand(5), rand(5, low=-0.1, high=0.1), rand(5, low=-9, high=9)]
after = []
for g in grads:
    decayed.grad, rest.grad = g[:3].clone(), g[3:].clone()
    torch.nn.utils.clip_grad_norm_([decayed, rest], 1.0)
    optimizer.step()
    after.append(pack(torch.cat([decayed.detach(), rest.detach()])))

# ---- attention, continued (here, so that the random numbers above stay) ---------------------------------------------------
attrs = {"chunk": 3, "scale": 0.6}
shapes = [(2, 7, 4, 6), (2, 7, 2, 6), (2, 7, 2, 3), (4,)]
case("attention", [rand(*shape) for shape in shapes], lambda q, k, v, sinks: attention(q, k, v, sinks, **attrs), attrs)

# ---- gpt-oss's experts ----------------------------------------------------------------------------------------------------
def clamped(x):
    gate, up = x.chunk(2, -1)
    gate, up = gate.clamp(max=1.5), up.clamp(-1.5, 1.5)
    return gate * torch.sigmoid(1.702 * gate) * (up + 1)


case("swigluClamped", [rand(4, 10)], clamped, {"alpha": 1.702, "limit": 1.5})
case("groupBias", [rand(6, 3), rand(4, 3), ids([0, 2, 2, 5, 6])], lambda x, b, o: x + b.repeat_interleave(o.diff(), 0))

golden = {"cases": cases, "adamw": {"values": pack(values), "grads": [pack(g) for g in grads], "after": after}}
path = pathlib.Path(__file__).with_name("ops.json")
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(f"{len(cases)} cases, {path.stat().st_size} bytes")
