"""Small networks as ONNX files, written byte by byte: the tests need no package to export them.

Field numbers are those of onnx.proto3 (ONNX, IR version 8).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import yaml

FLOAT = 1
CARD = {
    "name": "redness 1",
    "licence": "Apache-2.0",
    "width_px": 8,
    "height_px": 6,
    "layout": "NCHW",
    "channels": "RGB",
    "mean": [0.0, 0.0, 0.0],
    "std": [1.0, 1.0, 1.0],
    "output": 0,
    "activation": "softmax",
    "outside": 1,
    "threshold": 0.5,
}
Shape = Sequence[int | str]


def red_is_inside(
    folder: Path,
    *,
    batch: int | str = "n",
    layout: str = "NCHW",
    opset: int = 13,
    columns: Sequence[Sequence[float]] = ((8.0, 0.0), (-4.0, 0.0), (-4.0, 0.0)),
    **card: object,
) -> Path:
    """A plug-in: logits (inside, outside) = (8 R - 4 G - 4 B, 0) of the mean colour 0..1.

    `columns` holds other weights, one row per colour and one column per answer. `card` changes
    fields of the card; None leaves one out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places: Shape = (3, 6, 8) if layout == "NCHW" else (6, 8, 3)
    axes = (2, 3) if layout == "NCHW" else (1, 2)
    n_answers = len(columns[0])
    nodes = [
        node("ReduceMean", ["frames"], ["colour"], axes=axes, keepdims=0),
        node("MatMul", ["colour", "weights"], ["logits"]),
    ]
    graph = b"".join(
        [
            *(field(1, one) for one in nodes),
            field(2, b"redness"),
            field(5, tensor("weights", (3, n_answers), [w for row in columns for w in row])),
            field(11, value("frames", (batch, *places))),
            field(12, value("logits", (batch, n_answers))),
        ]
    )
    model = number(1, 8) + field(8, number(2, opset)) + field(7, graph)
    (folder / "detector.onnx").write_bytes(model)
    fields = {**CARD, "layout": layout, **card}
    written = {key: one for key, one in fields.items() if one is not None}
    (folder / "detector.yaml").write_text(yaml.safe_dump(written))
    return folder


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: object) -> bytes:
    parts = [field(1, name.encode()) for name in inputs]
    parts += [field(2, name.encode()) for name in outputs]
    parts.append(field(4, kind.encode()))
    for name, setting in attributes.items():
        whole = isinstance(setting, int)
        body = number(3, setting) if whole else b"".join(number(8, i) for i in setting)
        parts.append(field(5, field(1, name.encode()) + body + number(20, 2 if whole else 7)))
    return b"".join(parts)


def tensor(name: str, shape: Sequence[int], values: Sequence[float]) -> bytes:
    sizes = b"".join(number(1, size) for size in shape)
    raw = struct.pack(f"<{len(values)}f", *values)
    return sizes + number(2, FLOAT) + field(8, name.encode()) + field(9, raw)


def value(name: str, shape: Shape) -> bytes:
    sizes = [number(1, s) if isinstance(s, int) else field(2, s.encode()) for s in shape]
    kind = number(1, FLOAT) + field(2, b"".join(field(1, size) for size in sizes))
    return field(1, name.encode()) + field(2, field(1, kind))


def field(place: int, body: bytes) -> bytes:
    """A length-delimited field of protocol buffers."""
    return varint(place << 3 | 2) + varint(len(body)) + body


def number(place: int, size: int) -> bytes:
    return varint(place << 3) + varint(size)


def varint(size: int) -> bytes:
    out = bytearray()
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes([*out, size])
