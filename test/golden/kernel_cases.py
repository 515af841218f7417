"""Writes kernel_cases.json: kernel calls with the results PyTorch gives, computed in float64 from float32 inputs.

A case is {name, kernel, args}; an array in args is {dtype, in?, want?}, base64 of little-endian bytes: `in` what
it holds before the call (absent: an output), `want` what it must hold after; a list of buffers is a list of those.
Run anew, from the repository: python test/golden/kernel_cases.py
"""

import base64
import json
import math
import pathlib
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssExperts, eager_attention_forward
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

rng = np.random.default_rng(7)
cases = []


def case(name, kernel, **args):
    cases.append({"name": name, "kernel": kernel, "args": args})


def rand(*shape, low=-2.0, high=2.0):
    """float32 values in float64, so that PyTorch computes in double from what the kernel reads."""
    return torch.tensor(rng.uniform(low, high, shape).astype(np.float32)).double()


def pack(x, dtype):
    x = torch.as_tensor(x)
    if dtype == "bf16":
        raw = x.to(torch.bfloat16).view(torch.int16).numpy()
    elif dtype == "f16":
        raw = x.to(torch.float16).numpy()
    else:
        raw = x.detach().to(torch.float32 if dtype == "f32" else torch.int32).numpy()
    return base64.b64encode(np.ascontiguousarray(raw).tobytes()).decode()


def given(x, dtype="f32"):
    return {"dtype": dtype, "in": pack(x, dtype)}


def want(x, dtype="f32"):
    return {"dtype": dtype, "want": pack(x, dtype)}


def change(before, after, dtype="f32"):
    return {"dtype": dtype, "in": pack(before, dtype), "want": pack(after, dtype)}


def grads(y, dy, *inputs):
    return torch.autograd.grad(y, inputs, dy)


# ---- memory ----------------------------------------------------------------------------------------------
x = torch.tensor([1.0, 1.00390625, 1.01171875, -3.3, 3.4e38, 1e-40, math.inf, -math.inf, math.nan, -0.0, 1.0039063])
case("f32 to bf16", "cast", x=given(x), out=want(x, "bf16"), n=len(x))
x = rand(9)
case("bf16 to f32", "cast", x=given(x, "bf16"), out=want(x.to(torch.bfloat16)), n=9)
x = torch.tensor([2.7, -2.7, 0.99, -0.99, 16777217.0, -5.0])
case("f32 to i32", "cast", x=given(x), out=want(x.to(torch.int32), "i32"), n=6)
x = rand(2, 3, 4, 5)
case("transpose", "stridedCopy", x=given(x), out=want(x.permute(0, 2, 1, 3).contiguous()), dims=[2, 4, 3, 5],
     xStrides=[60, 5, 20, 1], outStrides=[60, 15, 5, 1], accumulate=False)
total = rand(3, 5)
case("expand's gradient", "stridedCopy", x=given(x), out=change(total, total + x.sum((0, 2))), dims=[2, 3, 4, 5],
     xStrides=[60, 20, 5, 1], outStrides=[0, 5, 0, 1], accumulate=True)

# ---- elementwise --------------------------------------------------------------------------------------------
unary = {
    "neg": torch.neg, "abs": torch.abs, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt,
    "square": torch.square, "reciprocal": torch.reciprocal, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "softplus": lambda x: F.softplus(x, threshold=1000), "relu": torch.relu, "gelu": F.gelu,
    "geluTanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "normalCdf": torch.special.ndtr,
    "affine": lambda x: -1.5 * x + 0.25, "clamp": lambda x: x.clamp(-1.5, 0.25), "sin": torch.sin, "cos": torch.cos,
}
wide = torch.tensor([-80, -20, -6, -3.2, -3, -2.9, -1.5, -1, -0.3, -1e-4, 1e-4, 0.25, 0.7, 1, 2.9, 3.1, 5, 9, 30, 80])
for op, f in unary.items():
    x = (wide.abs() if op in ("log", "sqrt", "rsqrt") else wide).double().requires_grad_()
    dy = rand(len(x))
    y = f(x)
    numbers = dict(n=len(x), alpha=-1.5, beta=0.25)
    case(op, "unary", op=op, x=given(x), out=want(y), **numbers)
    case(op, "unaryGrad", op=op, x=given(x), y=given(y), dy=given(dy), dx=want(grads(y, dy, x)[0]), **numbers)
case("relu and abs at 0", "unaryGrad", op="relu", x=given([0.0]), y=given([0.0]), dy=given([3.0]), dx=want([0.0]),
     n=1, alpha=0, beta=0)

a, b = rand(2, 3, 1, 4).round(decimals=0), rand(1, 3, 5, 1).round(decimals=0) + 0.5
a[0, 0] = b[0, 0, 0, 0]
for op, f in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "max": torch.maximum,
              "min": torch.minimum, "less": torch.lt, "equal": torch.eq}.items():
    case(f"{op}, both sides broadcast", "binary", op=op, a=given(a), b=given(b), out=want(f(a, b).double()),
         dims=[2, 3, 5, 4], aStrides=[12, 4, 0, 1], bStrides=[0, 5, 1, 0])

# ---- reductions ----------------------------------------------------------------------------------------------
x = rand(3, 7, 5)
for op, f in {"sum": torch.sum, "max": torch.amax, "min": torch.amin}.items():
    case(op, "reduce", op=op, x=given(x), out=want(f(x, 1)), outer=3, n=7, inner=5)
case("105 numbers", "sumSquares", x=given(x), out=want([(x * x).sum()]), n=105)

# ---- rows ----------------------------------------------------------------------------------------------------
x = rand(4, 9, low=-30, high=30)
x[1, 2:5] = -math.inf
x[2] += 1000
x.requires_grad_()
y, dy = torch.softmax(x, 1), rand(4, 9)
case("some -inf, some large", "softmax", x=given(x), out=want(y), rows=4, n=9)
case("some -inf, some large", "logSumExp", x=given(x), out=want(torch.logsumexp(x, 1)), rows=4, n=9)
case("a row of -inf", "logSumExp", x=given([[-math.inf] * 3]), out=want([-math.inf]), rows=1, n=3)
x = rand(4, 9).requires_grad_()
y = torch.softmax(x, 1)
case("4 rows of 9", "softmaxGrad", y=given(y), dy=given(dy), dx=want(grads(y, dy, x)[0]), rows=4, n=9)

x = torch.tensor([[1.0, 3, 3, 2, 3], [0, -0.0, 0, 0, 0], [-math.inf, 5, -math.inf, 7, -math.inf]])
values, ids = torch.sort(x, dim=1, descending=True, stable=True)
for k in (1, 3, 5):
    case(f"ties, k {k}", "topk", x=given(x), values=want(values[:, :k]), ids=want(ids[:, :k], "i32"), rows=3, n=5, k=k)

x = rand(4, 6).requires_grad_()
ids = torch.tensor([[0, 5], [3, 3], [2, 1], [-1, 4]])
y = torch.gather(x, 1, ids.clamp(min=0)) * (ids >= 0)
dy = rand(4, 2)
case("repeated and missing ids", "takeAlong", x=given(x), ids=given(ids, "i32"), out=want(y), rows=4, n=6, k=2)
case("repeated and missing ids", "takeAlongGrad", dy=given(dy), ids=given(ids, "i32"), dx=want(grads(y, dy, x)[0]),
     rows=4, n=6, k=2)

x, w, b, dy = rand(5, 7).requires_grad_(), rand(7).requires_grad_(), rand(7).requires_grad_(), rand(5, 7)
rstd = torch.rsqrt((x * x).mean(1) + 1e-5)
y = F.rms_norm(x, (7,), w, 1e-5)
dx, dw = grads(y, dy, x, w)
case("weighted", "rmsNorm", x=given(x), weight=given(w), out=want(y), rstd=want(rstd), rows=5, n=7, eps=1e-5)
case("weighted", "rmsNormGrad", x=given(x), weight=given(w), rstd=given(rstd), dy=given(dy), dx=want(dx),
     dweight=want(dw), rows=5, n=7)
y = F.rms_norm(x, (7,), None, 1e-5)
case("plain", "rmsNorm", x=given(x), weight=None, out=want(y), rstd=want(rstd), rows=5, n=7, eps=1e-5)
case("plain", "rmsNormGrad", x=given(x), weight=None, rstd=given(rstd), dy=given(dy), dx=want(grads(y, dy, x)[0]),
     dweight=None, rows=5, n=7)
mean, rstd = x.mean(1), torch.rsqrt(x.var(1, correction=0) + 1e-5)
y = F.layer_norm(x, (7,), w, b, 1e-5)
dx, dw, db = grads(y, dy, x, w, b)
case("weight and bias", "layerNorm", x=given(x), weight=given(w), bias=given(b), out=want(y), mean=want(mean),
     rstd=want(rstd), rows=5, n=7, eps=1e-5)
case("weight and bias", "layerNormGrad", x=given(x), weight=given(w), mean=given(mean), rstd=given(rstd), dy=given(dy),
     dx=want(dx), dweight=want(dw), dbias=want(db), rows=5, n=7)

# rope: [tokens, heads, headDim], the half style by transformers, the interleaved by complex numbers (RoFormer, eq. 34)
T, H, D, rotary = 4, 3, 10, 8
position = torch.tensor([0, 5, 2, 7])
angle = torch.arange(9.0).double()[:, None] * 10000 ** (-torch.arange(0, rotary, 2).double() / rotary)
cos, sin = angle.cos().float().double(), angle.sin().float().double()
x = rand(T, H, D).requires_grad_()
turn, rest = x[..., :rotary], x[..., rotary:]
both = [torch.cat([t[position], t[position]], -1)[None] for t in (cos, sin)]
half, _ = apply_rotary_pos_emb(turn.transpose(0, 1)[None], turn.transpose(0, 1)[None], *both)
pairs = torch.view_as_complex(turn.unflatten(-1, (-1, 2)).contiguous())
inter = torch.view_as_real(pairs * torch.complex(cos, sin)[position][:, None]).flatten(-2)
for style, turned in (("halves", half[0].transpose(0, 1)), ("interleaved", inter)):
    y, dy = torch.cat([turned, rest], -1), rand(T, H, D)
    common = dict(cos=given(cos), sin=given(sin), position=given(position, "i32"), tokens=T, heads=H, headDim=D,
                  rotary=rotary, interleaved=style == "interleaved")
    case(style, "rope", x=given(x), out=want(y), inverse=False, **common)
    case(f"{style}, gradient", "rope", x=given(dy), out=want(grads(y, dy, x)[0]), inverse=True, **common)

x = rand(5, 11, low=-9, high=9).requires_grad_()
target, dloss = torch.tensor([3, -100, 0, 10, -1]), rand(5)
loss = F.cross_entropy(x, target.where(target >= 0, -100), reduction="none")
case("ignored targets", "crossEntropy", logits=given(x), target=given(target, "i32"), loss=want(loss),
     lse=want(torch.logsumexp(x, 1)), rows=5, n=11)
case("ignored targets", "crossEntropyGrad", logits=given(x), target=given(target, "i32"),
     lse=given(torch.logsumexp(x, 1)), dloss=given(dloss), dlogits=want(grads(loss, dloss, x)[0]), rows=5, n=11)

x, dy = rand(3, 10).requires_grad_(), rand(3, 5)
gate, up = x.chunk(2, 1)
y = F.silu(gate) * up
case("3 rows of 5", "swiglu", x=given(x), out=want(y), rows=3, n=5)
case("3 rows of 5", "swigluGrad", x=given(x), dout=given(dy), dx=want(grads(y, dy, x)[0]), rows=3, n=5)

# transformers' gpt-oss interleaves gate and up; the kernel has one after the other.
x = rand(3, 10, low=-9, high=9)
for alpha, limit in ((1.702, 7.0), (0.5, 2.0)):
    y = GptOssExperts._apply_gate(SimpleNamespace(alpha=alpha, limit=limit), torch.stack(x.chunk(2, 1), -1).flatten(1))
    case(f"limit {limit}", "swigluClamped", x=given(x), out=want(y), rows=3, n=5, alpha=alpha, limit=limit)

x, bias, counts = rand(6, 3), rand(3, 3), torch.tensor([2, 0, 3])
y = x + torch.cat([bias.repeat_interleave(counts, 0), torch.zeros(1, 3)])
case("an empty group and a row of none", "groupBias", x=given(x), bias=given(bias), offsets=given([0, 2, 2, 5], "i32"),
     out=want(y), rows=6, groups=3, n=3)

# ---- rows picked by id ------------------------------------------------------------------------------------------
table, ids = rand(6, 4), torch.tensor([5, 0, -1, 5, 2])
picked = table[ids.clamp(min=0)] * (ids >= 0)[:, None]
case("missing and repeated ids", "gatherRows", x=given(table), ids=given(ids, "i32"), out=want(picked), rows=5, n=4)
x, there = rand(5, 4), ids >= 0
case("missing and repeated ids", "scatterAddRows", x=given(x), ids=given(ids, "i32"),
     out=change(table, table.index_add(0, ids[there], x[there])), rows=5, n=4, outRows=6)

y, w = rand(7, 4).requires_grad_(), rand(3, 2).requires_grad_()
row, dout = torch.tensor([[4, 0], [-1, 6], [2, 1]]), rand(3, 4)
there = (row >= 0)[..., None]
out = (w[..., None] * y[row.clamp(min=0)] * there).sum(1)
dy, dw = grads(out, dout, y, w)
sizes = dict(tokens=3, k=2, n=4)
case("weighted", "combineRows", y=given(y), row=given(row, "i32"), weight=given(w), out=want(out), **sizes)
case("weighted", "combineRowsGrad", y=given(y), row=given(row, "i32"), weight=given(w), dout=given(dout), dy=want(dy),
     dweight=want(dw), rows=7, **sizes)
out = (y[row.clamp(min=0)] * there).sum(1)
case("no weights", "combineRows", y=given(y), row=given(row, "i32"), weight=None, out=want(out), **sizes)
case("no weights", "combineRowsGrad", y=given(y), row=given(row, "i32"), weight=None, dout=given(dout),
     dy=want(grads(out, dout, y)[0]), dweight=None, rows=7, **sizes)

# ---- products ---------------------------------------------------------------------------------------------------
def rounded(x, bf16):
    return x.bfloat16().double() if bf16 else x


a, b, before = rand(2, 5, 6), rand(2, 6, 3), rand(2, 5, 3)
for bf16 in (False, True):
    for transA in (False, True):
        for transB in (False, True):
            y = rounded(a, bf16) @ rounded(b, bf16)
            name = f"a{'^T' if transA else ''} b{'^T' if transB else ''}{', bf16' if bf16 else ''}"
            case(name, "gemm", a=given(a.mT if transA else a), b=given(b.mT if transB else b),
                 out=change(before, before + y) if transA else want(y), batch=2, m=5, n=3, k=6,
                 transA=transA, transB=transB, accumulate=transA, bf16=bf16)
case("stored in bf16", "gemm", a=given(a, "bf16"), b=given(b, "bf16"), out=want(rounded(a, True) @ rounded(b, True), "bf16"),
     batch=2, m=5, n=3, k=6, transA=False, transB=False, accumulate=False, bf16=True)

offsets, E, R, K, N = [0, 3, 3, 7, 8], 4, 9, 5, 6
for bf16 in (False, True):
    x, w, dy = rand(R, K), rand(E, K, N), rand(R, N)
    xr, wr = rounded(x, bf16).requires_grad_(), rounded(w, bf16).requires_grad_()
    y = torch.cat([xr[i:j] @ wr[e] for e, (i, j) in enumerate(zip(offsets, offsets[1:]))] + [torch.zeros(1, N)])
    dx, dw = grads(y, rounded(dy, bf16), xr, wr)
    sizes = dict(offsets=given(torch.tensor(offsets), "i32"), rows=R, experts=E, bf16=bf16)
    tail = ", bf16" if bf16 else ""
    case("forward" + tail, "groupedGemm", x=given(x), w=given(w), out=want(y), n=N, k=K, transW=False, **sizes)
    case("gradient of x" + tail, "groupedGemm", x=given(dy), w=given(w), out=want(dx), n=K, k=N, transW=True, **sizes)
    case("gradient of w" + tail, "groupedGemmOuter", a=given(x), b=given(dy), out=want(dw), m=K, n=N, **sizes)

# gate and up of the rows times w1 [2N, K]; then back from w2 [K, N], the matrix after the unit.
for bf16 in (False, True):
    x, w1, w2, dy = rand(R, K), rand(E, 2 * N, K), rand(E, K, N), rand(R, K)
    both = torch.cat([rounded(x, bf16)[i:j] @ rounded(w1, bf16)[e].mT for e, (i, j) in enumerate(zip(offsets, offsets[1:]))]
                     + [torch.zeros(1, 2 * N)])
    y = F.silu(both[:, :N]) * both[:, N:]
    sizes = dict(offsets=given(torch.tensor(offsets), "i32"), rows=R, experts=E, n=N, k=K, bf16=bf16)
    tail = ", bf16" if bf16 else ""
    case("both kept" + tail, "groupedSwiglu", x=given(x), w=given(w1), gateUp=want(both), out=want(y), **sizes)
    case("output alone" + tail, "groupedSwiglu", x=given(x), w=given(w1), gateUp=None, out=want(y), **sizes)
    gate_up = both.float().double().requires_grad_()
    y = F.silu(gate_up[:, :N]) * gate_up[:, N:]
    z = torch.cat([y[i:j] @ rounded(w2, bf16)[e].mT for e, (i, j) in enumerate(zip(offsets, offsets[1:]))] + [torch.zeros(1, K)])
    case("gradient" + tail, "groupedSwigluGrad", dy=given(dy), w=given(w2), gateUp=given(gate_up),
         out=want(grads(z, rounded(dy, bf16), gate_up)[0]), **sizes)


def stored(w, dtype):
    """A weight as its file would hold it, and the numbers that stand there."""
    if dtype == "q8_0":  # blocks of 32: an f16 scale, then 32 signed bytes
        scale = (w.abs().amax(-1, keepdim=True) / 127).numpy().astype("<f2")
        levels = np.rint(w.numpy() / scale).astype(np.int8)
        raw = base64.b64encode(b"".join(s.tobytes() + q.tobytes() for s, q in zip(scale, levels))).decode()
        return {"dtype": dtype, "in": raw}, torch.tensor(scale.astype(float) * levels)
    as_stored = w.to({"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype])
    return given(w, dtype), as_stored.double()


K, N = 32, 6
for dtype in ("f32", "bf16", "f16", "q8_0"):
    x, (piece, w) = rand(3, K), stored(rand(N, K), dtype)
    case(dtype, "linear", x=given(x), w=[piece], offsets=None, out=want(x @ w.mT), rows=3, groups=1, n=N, k=K, fast=False)
x, groups = rand(6, K), 3
pieces, ws = zip(*(stored(rand(N // 2, K), dtype) for dtype in ("f32", "q8_0", "bf16", "f16", "q8_0", "f32")))
w = torch.stack(ws).unflatten(0, (groups, 2)).flatten(1, 2)
y = torch.cat([x[:1] @ w[0].mT, x[1:5] @ w[2].mT, torch.zeros(1, N)])
case("groups in two pieces each", "linear", x=given(x), w=list(pieces), offsets=given([0, 1, 1, 5], "i32"), out=want(y),
     rows=6, groups=groups, n=N, k=K, fast=False)

# ---- attention ----------------------------------------------------------------------------------------------------
def attend(q, k, v, mask, sinks=None):
    """[batch, n, heads, features] -> out in that order, and lse [batch, heads, queries]; with sinks as gpt-oss has it."""
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    groups = q.shape[1] // k.shape[1]
    scores = (0.3 * q @ k.repeat_interleave(groups, 1).mT).masked_fill(~mask, -math.inf)
    if sinks is None:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3, enable_gqa=True).transpose(1, 2)
        return out, scores.logsumexp(-1)
    module = SimpleNamespace(num_key_value_groups=groups, sinks=sinks, training=False)
    bias = torch.zeros(mask.shape).double().masked_fill(~mask, -math.inf)
    out, _ = eager_attention_forward(module, q, k, v, bias, scaling=0.3)
    return out, torch.logaddexp(scores.logsumexp(-1), sinks[None, :, None])


def visible(i, j, causal, window, chunk):
    mask = torch.ones(torch.broadcast_shapes(i.shape, j.shape), dtype=torch.bool)
    if causal:
        mask &= j <= i
    if window:
        mask &= j > i - window
    if chunk:
        mask &= j >= i - i % chunk
    return mask


def attention(name, B, Q, J, H, G, D, V=None, start=0, window=0, chunk=0, causal=False, sinks=None):
    V = V or D
    q, k, v = (rand(B, n, h, d).requires_grad_() for n, h, d in ((Q, H, D), (J, G, D), (J, G, V)))
    mask = visible(torch.arange(Q)[:, None] + start, torch.arange(J)[None], causal, window, chunk)
    out, lse = attend(q, k, v, mask, sinks)
    dout = rand(B, Q, H, V)
    dq, dk, dv = grads(out, dout, q, k, v)
    shape = dict(batch=B, queries=Q, keys=J, heads=H, kvHeads=G, dim=D, valueDim=V, queryStart=start, window=window,
                 chunk=chunk, scale=0.3, causal=causal)
    qkv = dict(q=given(q), k=given(k), v=given(v))
    case(name, "attention", **qkv, sinks=None if sinks is None else given(sinks), out=want(out), lse=want(lse), **shape)
    case(name, "attentionGrad", **qkv, out=given(out), lse=given(lse), dout=given(dout), dq=want(dq), dk=want(dk),
         dv=want(dv), **shape)


attention("full", 2, 3, 5, 2, 2, 4)
attention("causal, grouped heads", 2, 6, 6, 4, 2, 4, causal=True)
attention("window", 1, 7, 7, 2, 1, 3, window=3, causal=True)
attention("window that looks ahead", 1, 4, 6, 1, 1, 3, start=1, window=2)
attention("two queries after a cache of five", 1, 2, 7, 4, 2, 4, start=5, causal=True)
attention("values narrower than keys", 1, 4, 4, 2, 1, 5, V=3, causal=True)
attention("values wider than keys", 2, 3, 4, 2, 2, 2, V=6)
attention("chunks of three", 1, 5, 7, 2, 1, 3, start=2, chunk=3, causal=True)
attention("chunks that look ahead", 1, 5, 5, 1, 1, 3, chunk=2)
attention("sinks", 2, 4, 4, 4, 2, 3, causal=True, sinks=rand(4))
attention("sinks, a window, values narrower than keys", 1, 6, 6, 2, 1, 4, V=2, window=2, causal=True, sinks=rand(2))

# Attention over pages: two sequences of 7 and 4 positions, their pages in no order; unfilled places hold NaN.
page_size, lengths, pages = 3, (7, 4), torch.tensor([[4, 0, 2], [1, 3, -1]])
row_sequence, row_position = torch.tensor([0, 1, 0, 1, 0]), torch.tensor([6, 3, 4, 0, 5])


def in_pages(sequences):
    """[positions, heads, features] of each sequence, in a pool of six pages."""
    pool = torch.full((6, page_size, *sequences[0].shape[1:]), math.nan).double()
    for s, rows in enumerate(sequences):
        for p, row in enumerate(rows):
            pool[pages[s, p // page_size], p % page_size] = row
    return pool


def paged(name, H, G, D, V=None, window=0, chunk=0, sinks=None, own_values=True):
    V = V or D
    ks = [rand(n, G, D) for n in lengths]
    vs = [rand(n, G, V) for n in lengths] if own_values else [k[..., :V] for k in ks]
    q_rows = rand(len(row_position), H, D)
    outs = []
    for q, s, p in zip(q_rows, row_sequence, row_position):
        mask = visible(p[None, None], torch.arange(lengths[s])[None], True, window, chunk)
        outs.append(attend(q[None, None], ks[s][None], vs[s][None], mask, sinks)[0][0, 0])
    case(name, "pagedAttention", q=given(q_rows), k=given(in_pages(ks)), v=given(in_pages(vs)) if own_values else None,
         sinks=None if sinks is None else given(sinks), pages=given(pages, "i32"), sequence=given(row_sequence, "i32"),
         position=given(row_position, "i32"), out=want(torch.stack(outs)), rows=len(row_position), heads=H, kvHeads=G,
         dim=D, valueDim=V, pageSize=page_size, maxPages=pages.shape[1], window=window, chunk=chunk, scale=0.3)


paged("grouped heads", 4, 2, 3)
paged("window, sinks", 2, 1, 3, window=3, sinks=rand(2))
paged("chunks of four", 2, 2, 2, chunk=4)
paged("values wider than keys", 2, 1, 2, V=4)
paged("values are the first features of keys", 3, 1, 5, V=3, own_values=False)

x, pool = rand(5, 4), rand(6, page_size, 4)
after = pool.clone()
after[pages[row_sequence, row_position // page_size], row_position % page_size] = x
case("five rows of two sequences", "appendPages", x=given(x), pool=change(pool, after), pages=given(pages, "i32"),
     sequence=given(row_sequence, "i32"), position=given(row_position, "i32"), rows=5, n=4, pageSize=page_size,
     maxPages=pages.shape[1])

# ---- optimizer: three steps, each from the state PyTorch was in ----------------------------------------------------
params = [torch.nn.Parameter(rand(4)), torch.nn.Parameter(rand(3))]
optimizer = torch.optim.AdamW([{"params": params[:1]}, {"params": params[1:], "weight_decay": 0}], lr=0.01,
                              betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
m, v = torch.zeros(7), torch.zeros(7)
for step in (1, 2, 3):
    before, grad = torch.cat([p.detach().clone() for p in params]), rand(7)
    for p, g in zip(params, grad.split([4, 3])):
        p.grad = g * 0.5
    optimizer.step()
    after = torch.cat([p.detach() for p in params])
    m2, v2 = (torch.cat([optimizer.state[p][key] for p in params]) for key in ("exp_avg", "exp_avg_sq"))
    case(f"step {step}", "adamw", param=change(before, after), grad=given(grad), m=change(m, m2), v=change(v, v2),
         gradScale=given([0.5]), n=7, decayed=4, step=step, lr=0.01, beta1=0.8, beta2=0.95, eps=1e-6, decay=0.1)
    m, v = m2.clone(), v2.clone()

# v -> v*a + b, in closed form.
x, a, b, rounds = rand(9), 0.75, 0.5, 11
case("closed form", "fmaChain", x=given(x), out=want(x * a**rounds + b * (1 - a**rounds) / (1 - a)), n=9, rounds=rounds, a=a, b=b)

path = pathlib.Path(__file__).with_name("kernel_cases.json")
lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)
path.write_text(f"[\n{lines}\n]\n")
print(f"{len(cases)} cases, {path.stat().st_size} bytes")
