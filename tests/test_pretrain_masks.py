"""Which tokens are hidden: a partition, of the asked share, the same for any split of the work."""

from __future__ import annotations

import hashlib
import itertools
import math

import numpy as np
import pytest
import torch

from unisurg.pretrain.draws import generator
from unisurg.pretrain.masks import (
    Grid,
    TokenMasks,
    block_mask,
    block_size,
    dense_mask,
    make_masks,
    masked_positions,
    passes,
    place_block,
    union_mask,
)
from unisurg.settings import BlockRow, Masks

GRIDS = [(4, 6, 6), (8, 14, 14), (2, 7, 12), (1, 3, 3)]
SMALL = BlockRow(count=8, scale=0.15, aspect=(0.75, 1.5), temporal=1.0)
LARGE = BlockRow(count=2, scale=0.70, aspect=(0.75, 1.5), temporal=1.0)


def masks(
    kind: str = "multiblock",
    ratio: tuple[float, float] | None = (0.75, 0.95),
    truncate: str = "random",
    temporal: float = 1.0,
) -> Masks:
    rows = [row.model_copy(update={"temporal": temporal}).model_dump() for row in (SMALL, LARGE)]
    return Masks.model_validate(
        {"kind": kind, "ratio": ratio, "truncate": truncate, "blocks": rows}
    )


EVERY_KIND = {
    "tubes of blocks": masks(),
    "blocks in space and time": masks(temporal=0.5),
    "single tubes": masks(kind="tube"),
    "published, padded": masks(ratio=None, truncate="none"),
    "published, padded, short": masks(ratio=None, truncate="none", temporal=0.5),
    "published, cut at random": masks(ratio=None, truncate="random"),
    "published, cut at the end": masks(ratio=None, truncate="prefix"),
}
UNCUT = [name for name in EVERY_KIND if "cut" not in name]
every_kind = pytest.mark.parametrize("settings", EVERY_KIND.values(), ids=EVERY_KIND.keys())
uncut = pytest.mark.parametrize("settings", [EVERY_KIND[name] for name in UNCUT], ids=UNCUT)
with_ratio = pytest.mark.parametrize(
    "settings", [m for m in EVERY_KIND.values() if m.ratio], ids=UNCUT[:3]
)


def lists(indices: torch.Tensor, valid: torch.Tensor | None) -> list[list[int]]:
    """The indices of each sample without padding."""
    valid = torch.ones_like(indices, dtype=torch.bool) if valid is None else valid
    return [row[real].tolist() for row, real in zip(indices, valid, strict=True)]


def same(a: TokenMasks, b: TokenMasks) -> bool:
    fields = ("keep", "hidden", "keep_valid", "hidden_valid")
    pairs = [(getattr(a, name), getattr(b, name)) for name in fields]
    return all(y is None if x is None else y is not None and torch.equal(x, y) for x, y in pairs)


# --- theorems of every kind


@uncut
@pytest.mark.parametrize("grid", GRIDS[:3])
def test_visible_and_hidden_tokens_partition_the_clip(settings: Masks, grid: Grid) -> None:
    for row, step in itertools.product((0, 1), range(5)):
        made = make_masks(settings, row, 0, step, 6, grid)
        keep, hidden = lists(made.keep, made.keep_valid), lists(made.hidden, made.hidden_valid)
        for visible, masked in zip(keep, hidden, strict=True):
            assert sorted(visible + masked) == list(range(math.prod(grid)))


@every_kind
@pytest.mark.parametrize("grid", GRIDS[:3])
def test_indices_ascend_within_the_clip_and_neither_list_is_ever_empty(
    settings: Masks, grid: Grid
) -> None:
    for row, step in itertools.product((0, 1), range(5)):
        made = make_masks(settings, row, 0, step, 6, grid)
        assert made.keep.dtype == made.hidden.dtype == torch.int64
        for indices, valid in ((made.keep, made.keep_valid), (made.hidden, made.hidden_valid)):
            assert 0 <= indices.min() <= indices.max() < math.prod(grid)
            assert all(
                one and all(a < b for a, b in itertools.pairwise(one))
                for one in lists(indices, valid)
            )


@every_kind
def test_hidden_tokens_are_masked_and_visible_ones_are_not(settings: Masks) -> None:
    dense = dense_mask(settings, 1, 0, 3, 4, (4, 6, 6)).reshape(4, -1)
    made = make_masks(settings, 1, 0, 3, 4, (4, 6, 6))
    assert dense[np.arange(4)[:, None], made.hidden.numpy()].all()
    assert not dense[np.arange(4)[:, None], made.keep.numpy()].any()


@with_ratio
@pytest.mark.parametrize("grid", GRIDS)
def test_every_sample_hides_one_number_of_tokens_within_the_ratio(
    settings: Masks, grid: Grid
) -> None:
    for row, step in itertools.product((0, 1), range(10)):
        made = make_masks(settings, row, 0, step, 4, grid)
        assert made.valid is None
        assert made.keep.shape[1] + made.hidden.shape[1] == math.prod(grid)
        assert 0.75 <= made.hidden.shape[1] / math.prod(grid) <= 0.95


@every_kind
def test_a_mask_depends_on_seed_step_row_and_sample_alone(settings: Masks) -> None:
    def mask(row: int, seed: int, step: int, batch: int = 4) -> np.ndarray:
        return dense_mask(settings, row, seed, step, batch, (4, 14, 14))

    assert np.array_equal(mask(0, 1, 2), mask(0, 1, 2))
    assert np.array_equal(mask(0, 1, 2), mask(0, 1, 2, batch=8)[:4])
    for other in (mask(1, 1, 2), mask(0, 3, 2), mask(0, 1, 3)):
        assert not np.array_equal(mask(0, 1, 2), other)
    assert len({m.tobytes() for m in mask(0, 1, 2)}) == 4


@every_kind
def test_any_split_into_processes_and_parts_has_the_same_masks(settings: Masks) -> None:
    whole = make_masks(settings, 0, 0, 0, 8, (4, 6, 6))
    for world in (1, 2, 4):
        for rank in range(world):
            share = make_masks(settings, 0, 0, 0, 8, (4, 6, 6)).of_rank(rank, world)
            assert torch.equal(share.hidden, whole.hidden[rank::world])
            assert torch.equal(share.keep, whole.keep[rank::world])
            parts = [share.part(index, 2) for index in range(2)]
            assert torch.equal(torch.cat([part.hidden for part in parts]), share.hidden)
            if whole.keep_valid is not None:
                assert torch.equal(share.keep_valid, whole.keep_valid[rank::world])
                assert torch.equal(torch.cat([p.keep_valid for p in parts]), share.keep_valid)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    made = make_masks(masks(), 0, 0, 0, 6, (4, 6, 6))
    with pytest.raises(ValueError, match=r"pretrain\.batch.*6 samples.*4 processes"):
        made.of_rank(0, 4)
    with pytest.raises(ValueError, match="4 parts"):
        made.part(0, 4)


def test_what_belongs_to_hidden_tokens_is_taken_from_what_belongs_to_all() -> None:
    made = make_masks(masks(), 0, 0, 0, 3, (4, 6, 6))
    tokens = torch.arange(144).expand(3, -1)
    assert torch.equal(made.take_hidden(tokens), made.hidden)
    wide = torch.stack([tokens, -tokens], dim=-1)
    assert torch.equal(made.take_hidden(wide)[..., 1], -made.hidden)


def test_validity_covers_visible_and_hidden_tokens_together() -> None:
    made = make_masks(EVERY_KIND["published, padded"], 0, 0, 0, 6, (4, 6, 6))
    assert made.valid.shape == (6, made.keep.shape[1] + made.hidden.shape[1])
    assert made.valid.sum(dim=1).tolist() == [144] * 6
    one_sided = TokenMasks(made.keep, made.hidden, made.keep_valid)
    assert one_sided.valid[:, made.keep.shape[1] :].all()


# --- tubes


@pytest.mark.parametrize(
    ("area", "digest"),
    [((6, 6), "0252eb5c67bbe0b0"), ((14, 14), "517a9bf5c49d2726"), ((7, 12), "3a458db44dd0a353")],
)
def test_tubes_of_blocks_are_those_of_every_earlier_run(area: tuple[int, int], digest: str) -> None:
    seen = hashlib.sha256()
    for seed, step, row in itertools.product((0, 7), range(6), (0, 1)):
        mask = dense_mask(masks(), row, seed, step, 4, (3, *area))
        assert np.array_equal(mask, np.repeat(mask[:, :1], 3, axis=1))
        seen.update(np.packbits(mask[:, 0]).tobytes())
    assert seen.hexdigest()[:16] == digest


def test_token_indices_of_tubes_are_those_of_every_earlier_run() -> None:
    made = make_masks(masks(), 0, 0, 0, 2, (2, 6, 6))
    assert made.keep.tolist() == [
        [0, 1, 6, 12, 29, 34, 35, 36, 37, 42, 48, 65, 70, 71],
        [0, 3, 9, 15, 29, 32, 35, 36, 39, 45, 51, 65, 68, 71],
    ]


def test_single_tubes_are_drawn_alike_over_all_positions_and_are_scattered() -> None:
    settings = masks(kind="tube", ratio=(0.5, 0.5))
    assert passes(settings) == 1
    assert passes(masks()) == 2
    drawn = np.concatenate([dense_mask(settings, 0, 0, s, 8, (2, 6, 6)) for s in range(100)])
    assert np.array_equal(drawn[:, 0], drawn[:, 1])
    # Each of 36 shares has a deviation of 0.5 / sqrt(800), here allowed four times.
    assert np.abs(drawn[:, 0].mean(axis=0) - 0.5).max() < 0.071
    together = (drawn[:, 0, :, 1:] & drawn[:, 0, :, :-1]).mean()
    assert together == pytest.approx(0.5 * 17 / 35, abs=0.01)


def test_blocks_are_compact_where_scattered_positions_would_not_be() -> None:
    """Neighbours are hidden together far more often than chance would have it."""
    row = BlockRow(count=2, scale=0.3, aspect=(0.75, 1.5), temporal=1.0)
    together = []
    for step in range(50):
        [mask] = block_mask(row, 98, generator(0, "test", step), (1, 14, 14))
        assert mask.sum() == 98
        together.append((mask[:, 1:] & mask[:, :-1]).mean())
    assert np.mean(together) > 0.35  # scattered: 0.5 * 0.5


def test_the_masked_share_covers_the_whole_range() -> None:
    drawn = {masked_positions((0.75, 0.95), generator(0, "t", i), (1, 6, 6)) for i in range(300)}
    assert drawn == set(range(27, 35))


def test_a_ratio_that_no_number_of_positions_meets_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"masks\.ratio.*2 x 2.*widen the range"):
        masked_positions((0.76, 0.95), generator(0, "t"), (1, 2, 2))


# --- blocks


@pytest.mark.parametrize("row", [SMALL, LARGE, SMALL.model_copy(update={"temporal": 0.3})])
def test_a_block_has_its_scale_aspect_and_duration_within_rounding(row: BlockRow) -> None:
    time, height, width = grid = (10, 40, 40)
    for draw in range(200):
        rng = generator(0, "test", draw)
        steps, rows, columns = block_size(row, row.scale * height * width, rng, grid)
        assert steps == math.floor(row.temporal * time + 1e-6)
        # Rounding moves each side by half a position at most; a side never leaves the grid.
        assert (rows - 0.5) * (columns - 0.5) <= row.scale * height * width
        if rows < height and columns < width:
            assert (rows + 0.5) * (columns + 0.5) >= row.scale * height * width
            assert (rows - 0.5) / (columns + 0.5) <= row.aspect[1]
            assert (rows + 0.5) / (columns - 0.5) >= row.aspect[0]


def test_a_block_may_lie_at_every_place_of_the_grid_and_nowhere_else() -> None:
    places = {
        tuple(part.start for part in place_block((2, 3, 4), generator(0, "t", i), (3, 4, 6)))
        for i in range(400)
    }
    assert places == set(itertools.product(range(2), range(2), range(3)))


def test_blocks_of_a_published_batch_are_of_one_size() -> None:
    settings = masks(ratio=None).model_copy(
        update={"blocks": (LARGE.model_copy(update={"count": 1, "temporal": 0.5}),)}
    )
    for step in range(20):
        boxes = set()
        for mask in dense_mask(settings, 0, 0, step, 6, (8, 14, 14)):
            sides = tuple(len(np.unique(axis)) for axis in np.nonzero(mask))
            assert mask.sum() == math.prod(sides)
            boxes.add(sides)
        assert len(boxes) == 1
        assert boxes.pop()[0] == 4


def test_short_blocks_leave_no_position_hidden_through_the_whole_clip() -> None:
    row = LARGE.model_copy(update={"count": 1, "temporal": 0.5})
    settings = masks(ratio=None).model_copy(update={"blocks": (row,)})
    mask = dense_mask(settings, 0, 0, 0, 8, (8, 14, 14))
    assert not mask.all(axis=1).any()
    assert len({tuple(m.any(axis=(1, 2))) for m in mask}) > 1


def test_blocks_that_always_cover_everything_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"masks\.blocks.*lower count, scale or temporal"):
        union_mask((2, 3, 3), 1, generator(0, "t"), (2, 3, 3))


def test_a_mask_that_covers_everything_is_drawn_anew() -> None:
    """Eight blocks of 3 x 3 in 4 x 4 leave a corner only if none of them lies in it."""
    drawn = [union_mask((1, 3, 3), 8, generator(0, "t", i), (1, 4, 4)) for i in range(200)]
    assert not any(mask.all() for mask in drawn)


# --- batches of unequal masks


def supervision(truncate: str) -> np.ndarray:
    """Hidden tokens at each time step, over V-JEPA 2's two rows at 16 x 224 x 224, batch 24."""
    settings = masks(ratio=None, truncate=truncate)
    counts = np.zeros(8)
    for row, step in itertools.product((0, 1), range(15)):
        hidden = make_masks(settings, row, 0, step, 24, (8, 14, 14)).hidden
        counts += np.bincount(hidden.numpy().ravel() // 196, minlength=8)
    return counts / counts[0]


def test_cutting_at_the_end_starves_the_last_time_step_six_fold() -> None:
    relative = supervision("prefix")
    assert relative[-1] == pytest.approx(0.166, abs=0.05)
    assert relative[:4] == pytest.approx(1, abs=0.01)


def test_cutting_at_random_supervises_all_time_steps_alike() -> None:
    assert supervision("random").min() > 0.98


def test_no_time_step_of_tubes_is_supervised_less_than_another() -> None:
    hidden = make_masks(masks(), 0, 0, 0, 24, (8, 14, 14)).hidden
    assert len(set(np.bincount(hidden.numpy().ravel() // 196, minlength=8))) == 1


@pytest.mark.parametrize("truncate", ["prefix", "random"])
def test_a_cut_brings_every_sample_to_the_shortest_of_the_global_batch(truncate: str) -> None:
    dense = dense_mask(masks(ratio=None), 0, 0, 0, 8, (8, 14, 14)).reshape(8, -1)
    made = make_masks(masks(ratio=None, truncate=truncate), 0, 0, 0, 8, (8, 14, 14))
    assert made.hidden.shape[1] == dense.sum(axis=1).min() < dense.sum(axis=1).max()
    assert made.keep.shape[1] == (~dense).sum(axis=1).min()
    assert made.valid is None
    if truncate == "prefix":
        first = np.flatnonzero(dense[0])[: made.hidden.shape[1]]
        assert made.hidden[0].tolist() == first.tolist()


def test_a_padded_list_repeats_its_last_index_and_says_so() -> None:
    made = make_masks(masks(ratio=None, truncate="none"), 0, 0, 0, 8, (8, 14, 14))
    lengths = made.hidden_valid.sum(dim=1)
    assert lengths.min() < lengths.max() == made.hidden.shape[1]
    for indices, length in zip(made.hidden, lengths, strict=True):
        assert (indices[length:] == indices[length - 1]).all()


def test_masks_move_to_a_device_whole() -> None:
    made = make_masks(masks(ratio=None, truncate="none"), 0, 0, 0, 4, (4, 6, 6))
    moved = made.to(torch.device("meta"))
    fields = (moved.keep, moved.hidden, moved.keep_valid, moved.hidden_valid)
    assert {x.device.type for x in fields} == {"meta"}
    assert same(made.to(torch.device("cpu")), made)
