"""Makes test/golden/formats/fp8.json: python test/golden/fp8.py (needs torch). The file is committed; the tests do not run this."""

import json
from pathlib import Path

import torch

torch.manual_seed(2)
codes = torch.arange(256, dtype=torch.uint8)
table = codes.view(torch.float8_e4m3fn).to(torch.float32)

ROWS, COLUMNS, BLOCK = 6, 10, 4
weights = torch.randint(0, 256, (ROWS, COLUMNS), dtype=torch.uint8)
weights[(weights & 0x7F) == 0x7F] = 0
scales = torch.rand(2, 3) + 0.01
spread = scales.repeat_interleave(BLOCK, 0)[:ROWS].repeat_interleave(BLOCK, 1)[:, :COLUMNS]
scaled = weights.view(torch.float8_e4m3fn).to(torch.float32) * spread

(Path(__file__).parent / "formats" / "fp8.json").write_text(json.dumps({
    "table": [None if value != value else value for value in table.tolist()],
    "rows": ROWS, "columns": COLUMNS, "block": BLOCK,
    "weights": weights.flatten().tolist(), "scales": scales.flatten().tolist(), "scaled": scaled.flatten().tolist(),
}) + "\n")
