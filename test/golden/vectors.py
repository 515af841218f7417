"""Writes routing/vectors: routing specs, inputs and what must come out, for any implementation of docs/routing.md.

    python test/golden/vectors.py

Needs numpy. Vectors worked by hand are in vectors_by_hand.py, vectors_of_losses.py and vectors_of_capacity.py, random ones in
vectors_at_random.py. routing_oracle.py computes, and routing_checks.py computes a second time in another way;
a disagreement stops this script.
"""

import json
import sys
from pathlib import Path

import routing_checks as checks
import routing_oracle as oracle
import vectors_at_random
import vectors_by_hand
import vectors_of_capacity
import vectors_of_losses

FOLDER = Path(__file__).resolve().parents[2] / "routing" / "vectors"
LIBRARIES = (
    "libraries",
    "Routers of public models, on random logits.",
    "transformers 5.18; test/golden/router_blocks.py runs its classes against these",
)
AT_RANDOM = "Random logits of three decimals; expected values from the float64 oracle (routing/README.md)."
WIDTH = 140
BY_HAND = 2e-8  # logits are logarithms rounded to 9 digits


def vector(name, derivation, spec, given, expected, worked):
    """Checks one vector in every way there is, and returns it as it is written."""
    out = oracle.route(spec, given)
    checks.check(spec, given, out)
    assert checks.stands_on_ties(spec, given, out) == (
        "tie" in name.split()
    ), f"{name}: a vector that stands on ties says so in its name, and no other does"
    if not worked:
        expected = {key: out[key] for key in expected}
    for key, value in expected.items():
        got = oracle.causality(spec) if key == "causality" else out[key]
        if isinstance(value, dict):
            got = {k: got[k] for k in value}
        assert checks.close(got, value, BY_HAND), f"{name}: {key}: by hand {value}, the oracle has {got}"
    return {"name": name, "derivation": derivation, "spec": spec, "input": given, "expected": expected}


def topics():
    for name, about, source, write in [
        *vectors_by_hand.TOPICS,
        *vectors_of_losses.TOPICS,
        *vectors_of_capacity.TOPICS,
        (*LIBRARIES, lambda add: None),
    ]:
        vectors = []
        write(lambda *parts: vectors.append(vector(*parts, worked=True)))
        at_random = vectors_at_random.TOPICS.get(name)
        if at_random:
            at_random(lambda title, *parts: vectors.append(vector(title, [AT_RANDOM], *parts, worked=False)))
        yield name, {"about": about, "source": source, "vectors": vectors}


def rounded(value):
    """9 significant digits; a float that is whole is written as one."""
    if isinstance(value, float):
        value = float(f"{value:.9g}")
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, (list, tuple)) else value


def pretty(value, indent=""):
    """JSON with short values on a line, rows of numbers packed into lines, and a line for each step of a derivation."""
    flat = json.dumps(value, ensure_ascii=False)
    text = isinstance(value, list) and any(isinstance(v, str) and " " in v for v in value)
    if not isinstance(value, (dict, list)) or len(flat) + len(indent) <= WIDTH and not text and "derivation" not in value:
        return flat
    deeper = indent + " "
    if isinstance(value, dict):
        inner = [f"{json.dumps(k)}: {pretty(v, deeper)}" for k, v in value.items()]
        return f"{{\n{deeper}" + f",\n{deeper}".join(inner) + f"\n{indent}}}"
    inner = [pretty(v, deeper) for v in value]
    if text or isinstance(value[0], dict):
        return f"[\n{deeper}" + f",\n{deeper}".join(inner) + f"\n{indent}]"
    lines = [inner[0]]
    for row in inner[1:]:
        if len(lines[-1]) + len(row) + len(deeper) < WIDTH:
            lines[-1] += ", " + row
        else:
            lines.append(row)
    return "[" + f",\n{deeper}".join(lines) + "]"


if __name__ == "__main__":
    checks.fuzz()
    files = {name: pretty(rounded(topic)) + "\n" for name, topic in topics()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, text in files.items():
        (FOLDER / f"{name}.json").write_text(text)
    count = sum(text.count('"derivation"') for text in files.values())
    size = sum(file.stat().st_size for file in FOLDER.parent.rglob("*") if file.is_file())
    print(f"{len(files)} files, {count} vectors; routing/ holds {size} bytes")
    sys.exit(size > 150_000)  # it is published with the package
