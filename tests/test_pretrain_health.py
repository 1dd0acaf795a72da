"""Collapse meters, the k-NN probe and pictures of features, on features of known quality."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unisurg.pretrain import health


def healthy() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(4, 20, 16, generator=draw), torch.randn(4, 32, 16, generator=draw)


def test_healthy_features_raise_no_alarm() -> None:
    meters = health.measure(*healthy(), time_steps=4)
    assert meters.keys() == {"rank_me", "feature_std", "token_cosine", "temporal_cosine"}
    assert health.alarms(meters) == []


def test_a_planted_collapse_raises_an_alarm_for_each_meter() -> None:
    prediction, target = healthy()
    one = torch.randn(1, 1, 16)
    meters = health.measure(one.expand_as(prediction), one.expand_as(target), time_steps=4)
    assert len(health.alarms(meters)) == 4


def test_rank_is_the_number_of_equal_directions() -> None:
    for rank in (1, 4, 16):
        rows = torch.eye(16)[:rank].repeat(8, 1)
        assert health.rank_me(rows) == pytest.approx(rank, rel=1e-3)


def test_token_cosine_is_the_mean_over_pairs_of_different_tokens() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    assert health.token_cosine(rows) == pytest.approx(1 / 3)


def test_a_clip_of_one_time_step_has_no_temporal_cosine() -> None:
    assert "temporal_cosine" not in health.measure(*healthy(), time_steps=1)


def test_meters_take_predictions_without_padding() -> None:
    prediction, target = healthy()
    together = health.measure(prediction, target, 4)
    assert health.measure(prediction.flatten(0, 1), target, 4) == together


# --- k-NN

SOURCES = [f"source {i % 3}" for i in range(36)]
VIDEOS = [f"video {i % 9}" for i in range(36)]  # three of each source, four clips each


def separable() -> torch.Tensor:
    """A direction for each source, and a stronger one for each video."""
    draw = torch.Generator().manual_seed(0)
    source = torch.eye(16)[[i % 3 for i in range(36)]]
    video = torch.eye(16)[[3 + i % 9 for i in range(36)]]
    return source + 2 * video + 0.02 * torch.randn(36, 16, generator=draw)


def test_separable_features_are_told_by_their_neighbours() -> None:
    assert health.knn_accuracy(separable(), SOURCES, VIDEOS) == 1.0


def test_collapsed_features_are_told_no_better_than_by_chance() -> None:
    chance = health.knn_chance(SOURCES, VIDEOS)
    assert chance == pytest.approx(1 / 3)
    assert health.knn_accuracy(torch.ones(36, 16), SOURCES, VIDEOS) <= chance
    noise = torch.randn(36, 16, generator=torch.Generator().manual_seed(1))
    assert abs(health.knn_accuracy(noise, SOURCES, VIDEOS) - chance) < 0.25


def test_a_clip_is_never_told_by_its_own_video() -> None:
    """Only a clip's own video looks like it, and every other video is of another source."""
    features = torch.eye(4).repeat_interleave(2, dim=0) + 0.1
    videos = ["a", "a", "b", "b", "c", "c", "d", "d"]
    sources = ["s", "s", "s", "s", "t", "t", "t", "t"]
    far = features.clone()
    far[:, 0] += torch.tensor([0.0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5])
    own = (F.normalize(far, dim=1) @ F.normalize(far, dim=1).T).fill_diagonal_(0).argmax(dim=1)
    assert [videos[i] for i in own] == videos
    expected = []
    for i in range(8):
        cosine = F.cosine_similarity(far[i], far, dim=1)
        others = [j for j in range(8) if videos[j] != videos[i]]
        expected.append(sources[max(others, key=lambda j: float(cosine[j]))] == sources[i])
    found = health.knn_accuracy(far, sources, videos, neighbours=1)
    assert found == pytest.approx(np.mean(expected))
    assert found < 1


def test_nearer_neighbours_break_a_tie_and_no_more() -> None:
    angle = torch.tensor([0.0, 0.1, 0.25, 0.45])
    features = torch.stack([angle.cos(), angle.sin()], dim=1)
    # The first clip: one of its own kind is nearest, then two of another.
    sources, videos = ["s", "s", "t", "t"], ["a", "b", "c", "d"]

    def told(neighbours: int) -> float:
        only_first = ["s", "s", "t", "u"] if neighbours == 2 else sources
        return health.knn_accuracy(features, only_first, videos, neighbours)

    assert told(2) == 1.0  # of s and t, one vote each, the nearer
    assert told(3) == 0.0  # two of t outvote the nearer s, and likewise for all


def test_a_label_of_one_group_alone_counts_for_nothing() -> None:
    with_lone = torch.cat([separable(), -torch.ones(4, 16)])
    sources, videos = [*SOURCES, *["lone"] * 4], [*VIDEOS, *["one more"] * 4]
    assert health.knn_accuracy(with_lone, sources, videos) == 1.0
    assert health.knn_chance(sources, videos) == health.knn_chance(SOURCES, VIDEOS)


def test_where_no_label_has_two_groups_nothing_can_be_told() -> None:
    with pytest.raises(ValueError, match="no label has clips of two groups"):
        health.knn_accuracy(torch.rand(4, 3), list("aabb"), list("xxyy"))
    assert health.knn(torch.rand(4, 3), list("aabb"), list("xxyy")) == {}
    with pytest.raises(ValueError, match="3 features, 4 labels"):
        health.knn_accuracy(torch.rand(3, 3), list("aabb"), list("xxyy"))


def test_the_probes_meters_are_its_accuracy_and_its_chance() -> None:
    meters = health.knn(separable(), SOURCES, VIDEOS)
    assert meters == {"knn_source": 1.0, "knn_chance": pytest.approx(1 / 3)}


# --- pictures of features


def test_colours_are_the_principal_components_up_to_the_percentiles() -> None:
    draw = torch.Generator().manual_seed(0)
    spread = torch.tensor([9.0, 4.0, 2.0, 0.1])
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=draw))
    hidden = torch.randn(2 * 24, 4, generator=draw) * spread
    pictures = health.pca_pictures((hidden @ rotation).view(2, 24, 4), (2, 3, 4))
    assert pictures.shape == (2, 2, 3, 4, 3)
    assert pictures.dtype == np.uint8
    assert pictures.reshape(-1, 3).min(axis=0).tolist() == [0, 0, 0]
    assert pictures.reshape(-1, 3).max(axis=0).tolist() == [255, 255, 255]
    for channel in range(3):
        found = np.corrcoef(pictures.reshape(-1, 3)[:, channel], hidden[:, channel])[0, 1]
        assert abs(found) > 0.95


def test_pictures_are_the_same_for_tokens_that_are_shifted_or_enlarged() -> None:
    tokens = torch.randn(2, 24, 8, generator=torch.Generator().manual_seed(0))
    pictures = health.pca_pictures(tokens, (2, 3, 4))
    assert np.array_equal(health.pca_pictures(4 * tokens + 3, (2, 3, 4)), pictures)
    flipped = health.pca_pictures(tokens.flip(0), (2, 3, 4))
    assert np.array_equal(flipped[::-1], pictures)


def test_a_components_direction_does_not_hang_on_the_decomposition() -> None:
    """Its largest weight is positive: the feature that varies most is brighter where it is high."""
    tokens = torch.randn(1, 24, 4, generator=torch.Generator().manual_seed(0))
    tokens *= torch.tensor([1.0, 20.0, 5.0, 0.1])
    pictures = health.pca_pictures(tokens, (2, 3, 4)).reshape(-1, 3)
    assert np.corrcoef(pictures[:, 0], tokens[0, :, 1])[0, 1] > 0.9
    assert np.corrcoef(pictures[:, 1], tokens[0, :, 2])[0, 1] > 0.9


def test_collapsed_tokens_are_one_colour() -> None:
    assert len(np.unique(health.pca_pictures(torch.ones(2, 24, 4), (2, 3, 4)))) == 1


def test_pictures_of_tokens_that_do_not_fill_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(P, 24, D\)"):
        health.pca_pictures(torch.rand(1, 20, 8), (2, 3, 4))
