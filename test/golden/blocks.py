"""Makes test/golden/blocks.json: python test/golden/blocks.py PATH/TO/libggml-base.so

Block formats by gguf-py (pip install gguf): random blocks and what they decode to, f32 rows and what they encode to. gguf-py
encodes no q4_k, so ggml itself does: the library comes with any build of llama.cpp (npm: @node-llama-cpp/linux-x64). The file
is committed; the tests do not run this.
"""

import base64
import ctypes
import json
import sys
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, quants

rng = np.random.default_rng(4)


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


# Where the f16 scales stand in a block: random bits there would often be NaN or infinite, so they get plain numbers.
SCALES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q2_K: [80, 82], Type.Q3_K: [108],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.IQ4_NL: [0], Type.MXFP4: [],
}


def decoded(kind, places):
    elements, size = GGML_QUANT_SIZES[kind]
    count = max(4, 512 // elements)
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for place in places:
        scales = rng.normal(0, 1, count).astype(np.float16)
        scales[:2] = [2e-6, 60000]  # subnormal; large
        blocks[:, place : place + 2] = scales.view(np.uint8).reshape(count, 2)
    if kind == Type.MXFP4:
        blocks[:3, 0] = [0, 1, 255]
    return {"bytes": text(blocks), "values": text(quants.dequantize(blocks, kind))}


def encoded(kind, rows):
    return {"values": text(rows), "bytes": text(quants.quantize(rows, kind))}


def rows_to_encode():
    """Normal weights of several sizes, all zeros, one outlier, ties of the largest, one sign only."""
    rows = rng.normal(0, 1, (10, 256)).astype(np.float32) * np.logspace(-4, 2, 10, dtype=np.float32)[:, None]
    rows[3] = 0
    rows[4, 17] = 50
    rows[5, :64] = np.tile([1, -1], 32)
    rows[6] = abs(rows[6])
    rows[7] = -abs(rows[7])
    return rows


def q4_k_by_ggml(rows, library):
    out = np.zeros((len(rows), 144), np.uint8)
    ggml = ctypes.CDLL(library)
    ggml.quantize_row_q4_K_ref.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    ggml.quantize_row_q4_K_ref.restype = None
    ggml.quantize_row_q4_K_ref(rows.ctypes.data, out.ctypes.data, rows.size)
    return {"values": text(rows), "bytes": text(out)}


rows = rows_to_encode()
result = {
    "decode": {kind.name.lower(): decoded(kind, places) for kind, places in SCALES.items()},
    "encode": {kind.name.lower(): encoded(kind, rows) for kind in (Type.Q4_0, Type.Q8_0)},
}
result["encode"]["q4_k"] = q4_k_by_ggml(rows, sys.argv[1])
(Path(__file__).parent / "blocks.json").write_text(json.dumps(result, indent=1) + "\n")
