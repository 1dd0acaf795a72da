"""Motion scores: the published formula by hand, and what discounting the camera changes."""

from __future__ import annotations

import pytest
import torch

from unisurg.pretrain.motion import SATURATION, motion_scores, standardised


def test_scores_are_the_formula_worked_by_hand() -> None:
    """Two patches of one pixel, two frames: 0.0 -> 0.6 on the left, always 0.2 on the right."""
    clip = torch.tensor([[0.0, 0.2], [0.6, 0.2]]).view(1, 1, 2, 1, 2)
    left = 0.6 + (0.2 + 0.4) / 2
    right = 0.0 + (0.2 + 0.4) / 2
    expected = torch.tensor([left, right]).view(1, 1, 1, 2)
    torch.testing.assert_close(motion_scores(clip, (2, 1, 1)), expected)


def test_the_formula_agrees_with_its_sums_written_out() -> None:
    clip = torch.rand(1, 3, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    scores = motion_scores(clip, (2, 2, 2))

    def patch(t: int, i: int, j: int) -> torch.Tensor:
        return clip[0, :, t, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]

    for step, i, j in [(0, 0, 0), (1, 1, 2), (0, 2, 3)]:
        frames = (2 * step, 2 * step + 1)
        in_time = (patch(frames[1], i, j) - patch(frames[0], i, j)).abs().mean()
        near = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
        near = [(a, b) for a, b in near if 0 <= a < 3 and 0 <= b < 4]
        in_space = sum(
            (patch(t, i, j) - patch(t, *n)).abs().mean() for t in frames for n in near
        ) / (2 * len(near))
        assert float(scores[0, step, i, j]) == pytest.approx(float(in_time + in_space), abs=1e-5)


@pytest.mark.parametrize("compensate", [False, True])
def test_the_patch_that_moves_has_the_highest_score(compensate: bool) -> None:
    noise = torch.rand(1, 3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    clip = 0.4 + 0.1 * noise.expand(-1, -1, 4, -1, -1).clone()
    clip[:, :, 1::2, 16:32, 32:48] += 0.3
    scores = motion_scores(clip, (2, 16, 16), compensate_camera=compensate)
    assert scores.flatten(2).argmax(dim=2).tolist() == [[4 + 2, 4 + 2]]


def test_over_the_clip_every_time_step_has_the_same_score() -> None:
    clip = torch.rand(2, 3, 8, 32, 32)
    scores = motion_scores(clip, (2, 16, 16), span="clip")
    assert scores.shape == (2, 4, 2, 2)
    assert torch.equal(scores, scores[:, :1].expand(-1, 4, -1, -1))
    in_time = (clip[:, :, 1:] - clip[:, :, :-1]).abs()[..., :16, :16].mean(dim=(1, 2, 3, 4))
    still = clip[:, :, :1].expand_as(clip)
    moving_part = scores[:, 0, 0, 0] - motion_scores(still, span="clip")[:, 0, 0, 0]
    assert (moving_part > 0).all()
    assert (scores[:, 0, 0, 0] > in_time).all()


def test_a_flash_of_the_whole_picture_is_no_motion_once_compensated() -> None:
    noise = torch.rand(1, 3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    still = (0.3 + 0.2 * noise).expand(-1, -1, 2, -1, -1)
    flash = still + torch.tensor([0.0, 0.4]).view(2, 1, 1)
    literal = motion_scores(flash) - motion_scores(still)
    torch.testing.assert_close(literal, torch.full_like(literal, 0.4))
    compensated = motion_scores(flash, compensate_camera=True)
    torch.testing.assert_close(compensated, motion_scores(still, compensate_camera=True))


def test_compensated_scores_saturate_and_skip_patches_without_texture() -> None:
    clip = torch.zeros(1, 3, 2, 64, 64)
    clip[:, :, 1, :16, :16] = 1.0  # a flat patch that flashes
    clip[:, :, 1, 32:48, 32:48] = torch.rand(16, 16)
    scores = motion_scores(clip, compensate_camera=True)
    assert scores[0, 0, 0, 0] == 0
    assert 0 < scores[0, 0, 2, 2] <= 2 * SATURATION + 1e-6


def test_standardised_scores_have_mean_zero_and_deviation_one_and_survive_a_still_clip() -> None:
    scores = standardised(torch.rand(2, 4, 3, 3))
    torch.testing.assert_close(scores.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(scores.flatten(1).std(dim=1, correction=0), torch.ones(2))
    assert torch.equal(standardised(torch.full((1, 2, 3, 3), 7.0)), torch.zeros(1, 2, 3, 3))


def test_a_clip_that_the_tubelet_does_not_divide_has_no_scores() -> None:
    with pytest.raises(ValueError, match=r"divisible by the tubelet \(2, 16, 16\)"):
        motion_scores(torch.zeros(1, 3, 3, 32, 32))


def test_whole_numbers_are_no_pixels_in_0_to_1() -> None:
    with pytest.raises(ValueError, match=r"torch\.uint8.*0\.\.1"):
        motion_scores(torch.zeros(1, 3, 2, 16, 16, dtype=torch.uint8))


def test_a_tubelet_of_one_frame_scores_neighbours_in_space_alone() -> None:
    still = torch.rand(1, 3, 1, 32, 32).expand(-1, -1, 2, -1, -1)
    flash = still * torch.tensor([1.0, 0.5]).view(2, 1, 1)
    scores = motion_scores(flash, (1, 16, 16))
    torch.testing.assert_close(scores[:, 1], scores[:, 0] / 2)
    torch.testing.assert_close(scores[:, 0], motion_scores(still, (1, 16, 16))[:, 0])


def test_scores_of_bfloat16_pixels_are_those_of_the_same_pixels_in_float32() -> None:
    clip = torch.rand(1, 3, 4, 32, 32).bfloat16()
    assert motion_scores(clip).dtype == torch.float32
    assert torch.equal(motion_scores(clip), motion_scores(clip.float()))


def test_scores_do_not_depend_on_the_other_clips_of_the_batch() -> None:
    clips = torch.rand(3, 3, 4, 32, 32)
    together = motion_scores(clips, compensate_camera=True)
    alone = torch.cat([motion_scores(clip[None], compensate_camera=True) for clip in clips])
    torch.testing.assert_close(together, alone)
