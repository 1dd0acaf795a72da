"""Networks from weights wherever they come from: our folders, `.pt` releases, `transformers`.

A source is opened first, which tells what it holds, and built into networks second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from unisurg.models import checkpoints
from unisurg.models.checkpoints import CheckpointError, fill, read_json
from unisurg.models.encoder import CHANNELS, VisionTransformer
from unisurg.models.positions import RotaryDtype
from unisurg.models.predictor import Predictor
from unisurg.models.published import (
    FOREIGN,
    RELEASE,
    TRANSFORMERS,
    WRAPPERS,
    Layout,
    Row,
    encoder_rows,
    predictor_rows,
    to_ours,
)
from unisurg.models.sizes import ENCODERS, PREDICTORS, Size
from unisurg.models.unpickle import read_pickle

M = TypeVar("M", bound=nn.Module)

ENCODER_PARTS = ("target_encoder", "encoder")  # in the order of preference
PREDICTOR_PART = "predictor"
INDEX = "model.safetensors.index.json"
MODEL = "model.safetensors"

# Values that `transformers` leaves out of a config.json or that one may leave out, and their
# defaults there; the second group has no other value here.
DEFAULTS = {
    "num_attention_heads": 16,
    "pred_num_attention_heads": 12,
    "crop_size": 256,
    "frames_per_clip": 64,
}
FIXED = {"hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True}


@dataclass(frozen=True)
class Source:
    """Published weights: tensors by part, under their published names without wrappers."""

    path: Path
    kind: str
    layout: Layout
    parts: dict[str, dict[str, Tensor]]
    config: dict[str, Any]  # empty for a release, which comes without one


def load_encoder(path: Path, heads: int | None = None) -> VisionTransformer:
    """The encoder of a folder of ours, a `transformers` folder or a `.pt`, for evaluation.

    Args:
        heads: of the attention, needed for a `.pt` whose size is not in `sizes.ENCODERS`.

    Returns:
        An encoder on the CPU that maps a normalised float clip `(B, 3, T, H, W)` to tokens
        `(B, N, D)`.

    Raises:
        CheckpointError: the weights are missing, damaged or of another network.
    """
    if is_own(path):
        return checkpoints.load_encoder(path)
    return build_encoder(open_source(path), heads=heads)


def is_own(path: Path) -> bool:
    """Whether `path` is a folder in our own format."""
    config = path / checkpoints.CONFIG
    return config.is_file() and "format" in _object(read_json(config))


def open_source(path: Path) -> Source:
    """Read published weights without building anything.

    Raises:
        CheckpointError: the path is missing, damaged, or holds no weights of the known kinds.
    """
    return _open_folder(path) if path.is_dir() else _open_release(path)


def build_encoder(
    source: Source,
    which: str | None = None,
    heads: int | None = None,
    rotary_dtype: RotaryDtype = "float32",
) -> VisionTransformer:
    """The encoder of a source, in evaluation mode on the CPU.

    Args:
        which: `target_encoder` or `encoder` of a release [the first that is there].
        heads: of the attention [as the configuration says, or the table of sizes].
        rotary_dtype: in which the frequencies of its positions are to be built.

    Raises:
        CheckpointError: naming tensors that are missing, unknown or of another shape.
    """
    name = which or next((part for part in ENCODER_PARTS if part in source.parts), "encoder")
    state, where = _part(source, name), f"{source.path}: {name}"
    size, tubelet = encoder_size(source, name, heads)
    rows = encoder_rows(source.layout, size, tubelet)
    _check(state, rows, where)
    encoder = VisionTransformer(size, tubelet, 0.0, "vjepa2", rotary_dtype)
    return _filled(encoder, state, rows, source.path)


def build_predictor(
    source: Source, heads: int | None = None, rotary_dtype: RotaryDtype = "float32"
) -> Predictor:
    """The predictor of a source that has one, in evaluation mode on the CPU.

    Raises:
        CheckpointError: as for the encoder.
    """
    state, where = _part(source, PREDICTOR_PART), f"{source.path}: {PREDICTOR_PART}"
    layout = source.layout
    enter = _tensor(state, f"{layout.enter}.weight", 2, where)
    leave = _tensor(state, f"{layout.leave}.weight", 2, where)
    size = _size(
        state,
        layout.predictor_blocks,
        enter.shape[0],
        heads or source.config.get("pred_num_attention_heads"),
        PREDICTORS,
        f"{where}; pass --predictor-heads",
    )
    tokens = [value for name, value in state.items() if name.startswith(layout.mask_tokens)]
    size = replace(size, mask_tokens=sum(value.numel() for value in tokens) // size.dim)
    rows = predictor_rows(layout, size, enter.shape[1], leave.shape[0])
    _check(state, rows, where)
    predictor = Predictor(
        size, enter.shape[1], leave.shape[0], rotary="vjepa2", rotary_dtype=rotary_dtype
    )
    return _filled(predictor, state, rows, source.path)


def encoder_size(
    source: Source, part: str, heads: int | None = None
) -> tuple[Size, tuple[int, int, int]]:
    """Size and tubelet of an encoder, from the shapes of its tensors.

    Raises:
        CheckpointError: the tensors are not there, or the heads are not known.
    """
    state, where, layout = _part(source, part), f"{source.path}: {part}", source.layout
    _refuse_foreign(state, where)
    patches = _tensor(state, f"{layout.embed}.weight", 5, where)
    dim, channels, frames, height, width = patches.shape
    if channels != CHANNELS:
        raise CheckpointError(
            f"{where}: {layout.embed}.weight takes {channels} channels, expected {CHANNELS}"
        )
    heads = heads or source.config.get("num_attention_heads")
    size = _size(state, layout.blocks, dim, heads, ENCODERS, f"{where}; pass --heads")
    return size, (frames, height, width)


def _open_release(path: Path) -> Source:
    content = read_pickle(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a dictionary")
    parts = {
        name: {_unwrapped(key): value for key, value in content[name].items()}
        for name in (*ENCODER_PARTS, PREDICTOR_PART)
        if isinstance(content.get(name), Mapping)
    }
    if not parts and any(isinstance(value, Tensor) for value in content.values()):
        tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
        parts = {"encoder": {_unwrapped(key): value for key, value in tensors.items()}}
    if not parts:
        raise CheckpointError(
            f"{path}: holds {', '.join(map(str, content)) or 'nothing'}; expected target_encoder,"
            " encoder and predictor, or the tensors of an encoder"
        )
    return Source(path, "V-JEPA 2 release", RELEASE, parts, {})


def _unwrapped(name: str) -> str:
    while name.startswith(WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def _open_folder(path: Path) -> Source:
    file = path / checkpoints.CONFIG
    config = _object(read_json(file))
    if config.get("model_type") != "vjepa2":
        found = config.get("model_type")
        raise CheckpointError(f"{file}: model_type is {found!r}, expected 'vjepa2'")
    for field, value in FIXED.items():
        if config.get(field, value) != value:
            raise CheckpointError(f"{file}: {field} is {config[field]!r}, expected {value!r}")
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in _folder_tensors(path).items():
        # A classifier keeps its network under this name, beside a head that is no part of it.
        name = name.removeprefix("vjepa2.")
        parts.setdefault(name.split(".", 1)[0], {})[name] = tensor
    return Source(path, "transformers folder", TRANSFORMERS, parts, DEFAULTS | config)


def _folder_tensors(path: Path) -> dict[str, Tensor]:
    files = [MODEL]
    if (path / INDEX).is_file():
        index = _object(read_json(path / INDEX))
        files = sorted({Path(name).name for name in _object(index.get("weight_map")).values()})
    tensors: dict[str, Tensor] = {}
    for name in files:
        try:
            tensors |= load_file(path / name)
        except FileNotFoundError:
            raise CheckpointError(f"{path / name}: no such file; download it too") from None
        except SafetensorError as error:
            raise CheckpointError(f"{path / name}: not a safetensors file: {error}") from None
    return tensors


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _part(source: Source, name: str) -> dict[str, Tensor]:
    try:
        return source.parts[name]
    except KeyError:
        there = ", ".join(source.parts) or "nothing"
        raise CheckpointError(f"{source.path}: no {name}; there is {there}") from None


def _tensor(state: Mapping[str, Tensor], name: str, ndim: int, where: str) -> Tensor:
    if name not in state:
        raise CheckpointError(f"{where}: not of V-JEPA 2: lacks {name}, has {_some(list(state))}")
    if state[name].ndim != ndim:
        raise CheckpointError(
            f"{where}: not of a V-JEPA 2 for video: {name} is {tuple(state[name].shape)},"
            f" expected {ndim} axes"
        )
    return state[name]


def _size(
    state: Mapping[str, Tensor],
    blocks: str,
    dim: int,
    heads: int | None,
    table: Mapping[str, Size],
    where: str,
) -> Size:
    """Width, depth and MLP as the tensors say, heads as given or as in a row that agrees."""
    pattern = re.compile(re.escape(blocks) + r"\.(\d+)\.")
    depth = len({match[1] for name in state if (match := pattern.match(name))})
    hidden = _tensor(state, f"{blocks}.0.mlp.fc1.weight", 2, where).shape[0]
    alike = [
        row for row in table.values() if (row.dim, row.depth, row.hidden) == (dim, depth, hidden)
    ]
    if alike and heads in (None, alike[0].heads):
        return alike[0]
    if heads is None:
        raise CheckpointError(
            f"{where}: no known size is {dim} wide and {depth} deep with {hidden} in the MLP, and"
            " the weights do not tell how many heads they have"
        )
    return Size(dim, depth, heads, hidden / dim)


def _refuse_foreign(state: Mapping[str, Tensor], where: str) -> None:
    for start, what in FOREIGN.items():
        names = [name for name in state if name.startswith(start)]
        if names:
            raise CheckpointError(f"{where}: not of V-JEPA 2: {_some(names)}: {what}")


def _check(state: Mapping[str, Tensor], rows: list[Row], where: str) -> None:
    """Every row is there in its shape, and nothing else."""
    _refuse_foreign(state, where)
    shapes = {name: row.shape for row in rows for name in row.theirs}
    faults = {
        "lacks": [name for name in shapes if name not in state],
        "does not know": [name for name in state if name not in shapes],
        "has other shapes in": [
            f"{name} {tuple(state[name].shape)}, expected {shape}"
            for name, shape in shapes.items()
            if name in state and tuple(state[name].shape) != shape
        ],
    }
    told = [f"{fault} {_some(names)}" for fault, names in faults.items() if names]
    if told:
        raise CheckpointError(f"{where}: not of V-JEPA 2: {'; '.join(told)}")


def _some(names: list[str], most: int = 6) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _filled(module: M, state: Mapping[str, Tensor], rows: list[Row], path: Path) -> M:
    fill(module, to_ours(state, rows), path)
    return module.eval()
