"""Makes test/golden/formats/*.gguf by gguf-py's own writer: python test/golden/gguf_files.py

The files are committed; the tests do not run this. Needs numpy and gguf.
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type, GGUFEndian, GGUFWriter, quants

HERE = Path(__file__).parent / "formats"


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def every_type():
    """A metadata value of every type; a tensor of every plain type and two of blocks."""
    writer = GGUFWriter(HERE / "every-type.gguf", "golden")
    writer.add_uint8("v.u8", 200)
    writer.add_int8("v.i8", -100)
    writer.add_uint16("v.u16", 60000)
    writer.add_int16("v.i16", -30000)
    writer.add_uint32("v.u32", 4_000_000_000)
    writer.add_int32("v.i32", -2_000_000_000)
    writer.add_float32("v.f32", 0.1)
    writer.add_bool("v.bool", True)
    writer.add_string("v.string", "caf\u00e9 \U0001f600")
    writer.add_uint64("v.u64", 2**64 - 1)
    writer.add_int64("v.i64", -5)
    writer.add_float64("v.f64", 0.1)
    writer.add_array("a.strings", ["", "the", "\u65e5\u672c", "a string beyond the short ones"])
    writer.add_array("a.i32", [1, -2, 3])
    writer.add_array("a.f32", [0.5, -1.5])
    writer.add_array("a.bool", [True, False])
    writer.add_custom_alignment(64)
    rng = np.random.default_rng(1)
    for name, dtype in [("f32", np.float32), ("f16", np.float16), ("f64", np.float64), ("i8", np.int8), ("i16", np.int16), ("i32", np.int32), ("i64", np.int64)]:
        writer.add_tensor(f"t.{name}", np.arange(1, 7).reshape(2, 3).astype(dtype))
    for kind in (Type.BF16, Type.Q8_0, Type.Q4_0):
        rows = rng.normal(size=(2, 1, 64)).astype(np.float32)
        writer.add_tensor(f"t.{kind.name.lower()}", quants.quantize(rows, kind), raw_dtype=kind)
    finish(writer)


def nested():
    writer = GGUFWriter(HERE / "nested.gguf", "golden")
    writer.add_array("a.nested", [[1, 2], [3]])
    finish(writer)


def split():
    writer = GGUFWriter(HERE / "split.gguf", "golden", split_max_tensors=2)
    for i in range(5):
        writer.add_tensor(f"t{i}", np.full(4, i, np.float32))
    finish(writer)


def big_endian():
    writer = GGUFWriter(HERE / "big-endian.gguf", "golden", endianess=GGUFEndian.BIG)
    writer.add_tensor("t", np.ones(4, np.float32))
    finish(writer)


every_type()
nested()
split()
big_endian()
