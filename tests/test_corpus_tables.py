"""Tables: the same rows give the same bytes, and what does not belong is refused by name."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unisurg.corpus import tables
from unisurg.corpus.intervals import State, paint, to_rows, whole
from unisurg.corpus.tables import TABLES, TableError

ROWS = 300


def example(table: str, seed: int = 0) -> pd.DataFrame:
    """Rows of any table, with every column, in random order."""
    rng = np.random.default_rng(seed)
    made = {name: _values(name, kind, table, rng) for name, kind in TABLES[table].columns.items()}
    return pd.DataFrame(made).sample(frac=1, random_state=seed, ignore_index=True)


def _values(name: str, kind: str, table: str, rng: np.random.Generator) -> object:
    if name in TABLES[table].choices:
        return rng.choice(sorted(TABLES[table].choices[name]), ROWS)
    if kind == tables.STRING:
        return [f"{name}-{i:04d}" for i in range(ROWS)]
    if kind == tables.MAP:
        return [{"scan": str(i), "clean": "2"} for i in range(ROWS)]
    if kind == "bool":
        return rng.random(ROWS) < 0.5
    if kind.startswith("float"):
        return np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(size=ROWS)).astype(kind)
    limits = np.iinfo(kind)
    return rng.integers(limits.min, limits.max, ROWS, dtype=kind, endpoint=True)


@pytest.mark.parametrize("table", TABLES)
def test_every_table_comes_back_as_it_was_written_sorted_by_its_key(
    table: str, tmp_path: Path
) -> None:
    rows = example(table)
    tables.write(tmp_path / "t.parquet", rows, table)
    expected = rows.sort_values(list(TABLES[table].key), ignore_index=True)
    back = tables.read(tmp_path / "t.parquet", table)
    pd.testing.assert_frame_equal(back, expected, check_dtype=False, check_exact=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "t.parquet"]


@pytest.mark.parametrize("table", TABLES)
def test_the_same_rows_in_any_order_and_any_dress_give_the_same_bytes(
    table: str, tmp_path: Path
) -> None:
    one, two = tmp_path / "1.parquet", tmp_path / "2.parquet"
    rows = example(table)
    tables.write(one, rows, table)
    dressed = rows.sample(frac=1, random_state=1)[rows.columns[::-1]].astype(object)
    tables.write(two, dressed, table)
    assert one.read_bytes() == two.read_bytes()


def test_nan_of_any_bits_and_a_negative_zero_are_written_alike(tmp_path: Path) -> None:
    rows = example("shots")
    rows.loc[:9, "score"] = np.float32(math.nan)
    rows.loc[10:19, "score"] = np.float32(0.0)
    tables.write(tmp_path / "1", rows, "shots")
    rows.loc[:9, "score"] = -np.float32(math.nan)
    rows.loc[10:19, "score"] = np.float32(-0.0)
    tables.write(tmp_path / "2", rows, "shots")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize("table", [name for name, known in TABLES.items() if known.later])
def test_what_a_later_stage_fills_in_need_not_be_there(table: str, tmp_path: Path) -> None:
    known = TABLES[table]
    tables.write(tmp_path / "t", example(table).drop(columns=list(known.later)), table)
    back = tables.read(tmp_path / "t", table)
    assert list(back.columns) == list(known.columns)
    for name, value in known.later.items():
        assert back[name].isna().all() if value is np.nan else (back[name] == value).all()
    numbers = back.select_dtypes("number").dtypes
    assert all(str(numbers[name]) == known.columns[name] for name in numbers.index)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_rows_keeps_its_columns(table: str, tmp_path: Path) -> None:
    tables.write(tmp_path / "t", example(table).iloc[:0], table)
    assert list(tables.read(tmp_path / "t", table).columns) == list(TABLES[table].columns)


def test_hashes_use_all_64_bits(tmp_path: Path) -> None:
    rows = example("frames")
    rows["phash_100"] = np.uint64(2**64 - 1)
    tables.write(tmp_path / "t", rows, "frames")
    back = tables.read(tmp_path / "t", "frames", columns=["phash_100"])
    assert list(back.columns) == ["phash_100"]
    assert back["phash_100"].dtype == np.uint64
    assert (back["phash_100"] == 2**64 - 1).all()


def test_the_join_of_single_videos_is_the_table_of_all_in_any_order(tmp_path: Path) -> None:
    rows = example("frames")
    rows["video_id"] = [f"v{i % 7}" for i in range(ROWS)]
    rows["k"] = np.arange(ROWS, dtype=np.int32)
    tables.write(tmp_path / "all", rows, "frames")
    parts = []
    for video, group in rows.groupby("video_id"):
        parts.append(tmp_path / str(video))
        tables.write(parts[-1], group, "frames")
    for order in (parts, parts[::-1]):
        tables.join(tmp_path / "joined", order, "frames")
        assert (tmp_path / "joined").read_bytes() == (tmp_path / "all").read_bytes()
    with pytest.raises(TableError, match=r"joined: two rows with the key \{'video_id': 'v3'"):
        tables.join(tmp_path / "joined", [*parts, tmp_path / "v3"], "frames")
    tables.join(tmp_path / "none", [], "frames")
    assert tables.read(tmp_path / "none", "frames").empty


def test_intervals_go_through_their_table(tmp_path: Path) -> None:
    intervals = paint(whole(9.5), [(2, 3)], State.BLUR, "lap_var <= 15", "clean")
    tables.write(tmp_path / "t", pd.DataFrame(to_rows("v", intervals)), "intervals")
    assert tables.read(tmp_path / "t", "intervals").to_dict("records") == to_rows("v", intervals)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="state"), "no column state"),
        (lambda t: t.assign(speed=1), "unknown column speed"),
        (lambda t: t.assign(start_s="soon"), "column start_s is no float64"),
        (lambda t: t.assign(reason=7), "column reason is no str"),
        (lambda t: t.assign(reason=[None, *t["reason"][1:]]), "column reason: 1 rows have no"),
        (lambda t: t.assign(state="kept"), "column state: 'kept' is none of"),
        (lambda t: pd.concat([t, t[:1]]), r"two rows with the key \{'video_id': .*'start_s'"),
    ],
)
def test_rows_that_do_not_belong_are_refused_by_file_and_column_and_leave_the_old_table(
    change, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "intervals.parquet"
    rows = example("intervals").dropna()
    tables.write(path, rows, "intervals")
    before = path.read_bytes()
    with pytest.raises(TableError, match=rf"intervals\.parquet: {words}"):
        tables.write(path, change(rows), "intervals")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("values", [[1.5] * ROWS, [math.nan] * ROWS, [2**40] * ROWS])
def test_a_whole_number_is_never_rounded_cut_or_lost(values: list[float], tmp_path: Path) -> None:
    with pytest.raises(TableError, match="column shot_id"):
        tables.write(tmp_path / "t", example("shots").assign(shot_id=values), "shots")


def test_a_file_that_is_no_such_table_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "shots.parquet"
    with pytest.raises(TableError, match="no such file; run the stage"):
        tables.read(path, "shots")
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(TableError, match=r"no table `shots`.*run the stage"):
        tables.read(path, "shots")
    tables.write(path, example("intervals"), "intervals")
    with pytest.raises(TableError, match="no column shot_id; run the stage"):
        tables.read(path, "shots")
    tables.write(path, example("shots"), "shots")
    table = pq.read_table(path)
    pq.write_table(table.set_column(4, "score", table["score"].cast(pa.float64())), path)
    with pytest.raises(TableError, match="column score is double, not float; run the stage"):
        tables.read(path, "shots")
    pq.write_table(table.append_column("speed", table["score"]), path)
    with pytest.raises(TableError, match="unknown column speed; run the stage"):
        tables.read(path, "shots")


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_is_an_error_and_never_another_number(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / "frames.parquet"
    tables.write(path, example("frames"), "frames")
    sound = tables.read(path, "frames")
    damaged = bytearray(path.read_bytes())
    damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    path.write_bytes(damaged)
    try:
        back = tables.read(path, "frames")
    except TableError as error:
        assert "frames.parquet" in str(error)  # noqa: PT017
    else:
        pd.testing.assert_frame_equal(back, sound)


def test_a_half_overwritten_table_is_an_error_and_not_fewer_rows(tmp_path: Path) -> None:
    path = tmp_path / "frames.parquet"
    tables.write(path, example("frames"), "frames")
    whole_bytes = path.read_bytes()
    path.write_bytes(whole_bytes[: len(whole_bytes) // 2])
    with pytest.raises(TableError, match=r"frames\.parquet: no table"):
        tables.read(path, "frames")
