"""The cache of tokens refuses what it cannot keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unisurg.evaluation.extraction import cache


def write(path: Path, tokens: np.ndarray, dtype: str) -> np.ndarray:
    with cache.Writer(path, len(tokens), dtype) as writer:
        writer.add(tokens)
        writer.finish(None, None)
    return np.load(path)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_token_that_float16_does_not_hold_is_an_error_that_names_the_setting(
    sign: int, tmp_path: Path
) -> None:
    tokens = np.ones((2, 1, 1, 1, 3), np.float32)
    tokens[1, ..., 2] = sign * 7e4
    with pytest.raises(cache.TokensTooLarge, match=r"7e\+04 .* features\.dtype: float32"):
        write(tmp_path / "a.npy", tokens, "float16")
    assert list(tmp_path.iterdir()) == []
    assert np.array_equal(write(tmp_path / "a.npy", tokens, "float32"), tokens)


def test_the_largest_number_of_float16_is_kept(tmp_path: Path) -> None:
    tokens = np.full((1, 1, 1, 1, 1), 65504, np.float32)
    assert write(tmp_path / "a.npy", tokens, "float16").item() == 65504
