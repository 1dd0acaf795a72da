"""A view shows the head what it names, on one scale for every encoder."""

from __future__ import annotations

import pytest
import torch

from unisurg.evaluation.probing.views import View, views_for

GRID = (4, 2, 3)


def clips(batch: int = 5, dim: int = 6) -> torch.Tensor:
    """Tokens with a large common offset and features of unlike scale, as encoders give them."""
    torch.manual_seed(0)
    scale = torch.logspace(-2, 2, dim)
    return 50 + torch.randn(batch, 4 * 2 * 3, dim) * scale


@pytest.mark.parametrize("name", ["tokens", "change"])
def test_over_the_clips_it_was_fitted_to_every_feature_has_mean_0_and_deviation_1(
    name: str,
) -> None:
    tokens = clips()
    view = View(name, 6, GRID).fit(tokens.split(2))
    seen = view(tokens).flatten(0, 1)
    assert seen.shape[-1] == view.width
    assert torch.allclose(seen.mean(0), torch.zeros(view.width), atol=1e-3)
    assert torch.allclose(seen.std(0, correction=0), torch.ones(view.width), atol=1e-3)


def test_the_batches_that_a_view_is_fitted_to_do_not_matter() -> None:
    tokens = clips(batch=9)
    whole, parts = (View("change", 6, GRID).fit(tokens.split(n)) for n in (9, 2))
    assert torch.allclose(whole.mean, parts.mean, rtol=1e-6)
    assert torch.allclose(whole.deviation, parts.deviation, rtol=1e-6)


def test_the_scale_of_an_encoder_and_its_offset_do_not_matter() -> None:
    tokens = clips()
    other = 3 * tokens - 7
    for name in ("tokens", "change"):
        ours, theirs = (View(name, 6, GRID).fit([x])(x) for x in (tokens, other))
        assert torch.allclose(ours, theirs, atol=1e-2)


def test_change_is_blind_to_the_still_scene() -> None:
    tokens = clips()
    scene = torch.randn(5, 1, 6, 6).expand(-1, 4, -1, -1).flatten(1, 2)
    view = View("change", 6, GRID)
    assert torch.allclose(view(tokens), view(tokens + scene), atol=1e-4)
    assert view(scene).abs().max() < 1e-5


def test_change_is_the_way_moved_since_the_step_before_at_the_same_place() -> None:
    tokens = torch.zeros(1, 24, 1)
    tokens[0, 2 * 6 + 5] = -3.0  # time step 2, the last place
    moved = View("change", 1, GRID)(tokens)[0, :, 1].view(4, 6)
    assert moved[:, 5].tolist() == [0, 0, 3, 3]
    assert not moved[:, :5].any()


def test_the_view_of_a_clip_depends_on_that_clip_alone() -> None:
    view = View("change", 6, GRID).fit([clips()])
    tokens = clips(batch=3)
    assert torch.allclose(view(tokens)[1:2], view(tokens[1:2]))


def test_a_constant_feature_stays_finite() -> None:
    view = View("tokens", 2, GRID).fit([torch.ones(3, 24, 2)])
    assert torch.equal(view(torch.ones(1, 24, 2)), torch.zeros(1, 24, 2))


def test_a_still_picture_has_no_view_of_change() -> None:
    assert views_for(["tokens", "change"], (1, 4, 4)) == ["tokens"]
    assert views_for(["tokens", "change"], (2, 4, 4)) == ["tokens", "change"]
    with pytest.raises(ValueError, match=r"probe\.view.*add `tokens`"):
        views_for(["change"], (1, 4, 4))
