"""The theatre's polyps and its phantom: what is written is what was rendered, and can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unisurg.benchmarks import REGISTRY
from unisurg.benchmarks.c3vd import read_depth, read_poses
from unisurg.benchmarks.check import check
from unisurg.benchmarks.findings import Findings
from unisurg.benchmarks.polyps import read_picture
from unisurg.settings import Settings, Theatre
from unisurg.synthetic import layouts
from unisurg.synthetic.layouts import c3vd
from unisurg.synthetic.layouts.jobs import seed_of
from unisurg.synthetic.layouts.polyps import OTHERS
from unisurg.synthetic.picture import STILL, polyp_picture
from unisurg.synthetic.render import Renderer

FRAMES, SIDE = 4, 64
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def small(settings: Settings) -> Theatre:
    few = {"polyp_train": 4, "polyp_test": 1, "polyp_others": 1}
    size = {"c3vd_sequences": 1, "c3vd_frames": FRAMES, "small_side_px": SIDE}
    return settings.theatre.model_copy(update=few | size)


@pytest.fixture(scope="module")
def theatre(small: Theatre, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("theatre")
    layouts.write(root, small, 0, ["c3vd", "polyps"])
    return root


# --- polyps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kvasir", "clinicdb", "cvc300", "colondb", "etis"])
def test_every_set_of_polyps_can_be_used_and_has_its_own_test_pictures(
    name: str, theatre: Path
) -> None:
    row = REGISTRY[name]
    (split,) = row.splits
    assert check(row, theatre / "polyps", split).usable
    (test,) = (case for case in row.read(theatre / "polyps", split) if case.split == "test")
    assert len(list(theatre.glob(f"polyps/TestDataset/*/masks/{test.mask.name}"))) == 1


def test_seen_sources_look_as_what_is_trained_on_and_each_unseen_one_as_nothing_else() -> None:
    folders = {"clinicdb": "CVC-ClinicDB", "cvc300": "CVC-300", "colondb": "CVC-ColonDB"}
    folders |= {"etis": "ETIS-LaribPolypDB"}
    worlds = {name: OTHERS[folder] for name, folder in folders.items()}
    assert {name for name, world in worlds.items() if world == STILL} == {
        name for name in folders if REGISTRY[name].seen
    }
    assert len(set(worlds.values())) == len(worlds)


def test_worlds_of_one_seed_differ_in_colour_and_not_in_the_shape_of_the_polyp() -> None:
    pictures = {world: polyp_picture(7, world) for world in {STILL, *OTHERS.values()}}
    covers = [cover for _, cover in pictures.values()]
    shapes = {picture.shape for picture, _ in pictures.values()}
    assert len(shapes) == 1
    assert all(abs((c > 128).mean() - (covers[0] > 128).mean()) < 0.05 for c in covers)
    tints = {
        w: (p / p.sum(2, keepdims=True).clip(1)).mean((0, 1)) for w, (p, _) in pictures.items()
    }
    others = [tint for world, tint in tints.items() if world != STILL]
    assert all(np.abs(tint - tints[STILL]).max() > 0.01 for tint in others)


def test_pictures_that_the_repository_has_had_before_stay_as_they_were() -> None:
    path = ROOT / "theatre/polyps/TestDataset/Kvasir"
    for number in (161, 180):
        picture, cover = polyp_picture(seed_of(0, "polyps", number))
        (image,) = path.glob(f"images/polyp{number:04d}.*")
        stored = read_picture(image).astype(int)
        assert stored.shape == picture.shape
        assert np.abs(stored - picture).mean() < 4  # JPEG's
        mask = np.asarray(Image.open(path / f"masks/polyp{number:04d}.png"))
        assert ((mask > 128) == (cover > 128)).mean() > 0.99


# --- the phantom --------------------------------------------------------------------------------


def test_the_phantom_can_be_used_without_a_word_about_camera_or_poses(theatre: Path) -> None:
    found = check(REGISTRY["c3vd"], theatre / "c3vd", "theatre")
    assert found.usable
    told = " ".join(finding.problem for finding in found.findings.found)
    assert "pose" not in told
    assert "camera" not in told


def test_depth_is_the_renderers_where_it_can_be_measured(theatre: Path) -> None:
    operation, states = c3vd.travel(seed_of(0, "c3vd", 2), FRAMES)
    frame = Renderer(operation, SIDE, SIDE).frame(states[3], states[3])
    stored = read_depth(theatre / "c3vd/sigmoid_t1_a/0003_depth.tiff")
    exact = c3vd.WIDER * frame.depth / 100
    measured = (exact >= 3) & (exact < 100)
    assert measured.mean() > 0.8
    assert np.array_equal(stored > 0, measured)
    assert np.abs(stored - exact)[measured].max() < 0.01
    picture = Image.open(theatre / "c3vd/sigmoid_t1_a/0003_color.png")
    assert np.array_equal(np.asarray(picture), frame.rgb)


def test_the_lumen_is_far_and_the_wall_is_near(theatre: Path) -> None:
    for path in sorted(theatre.glob("c3vd/*/0000_depth.tiff")):
        levels = np.asarray(Image.open(path))
        far = np.argwhere(levels == 65535)
        assert len(far)
        known = read_depth(path)
        row, column = far.mean(0).round().astype(int)
        beside = known[row, [max(column - 12, 0), min(column + 12, SIDE - 1)]]
        assert beside[beside > 0].min() > 1.5 * np.median(known[known > 0])


def test_poses_are_rotations_on_the_axis_of_the_tube(theatre: Path) -> None:
    for path in sorted(theatre.glob("c3vd/*/pose.txt")):
        poses = read_poses(path, Findings(path.parent))
        assert len(poses) == FRAMES
        turns = poses[:, :3, :3]
        assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-5)
        assert np.allclose(np.linalg.det(turns), 1, atol=1e-5)
        assert (poses[:, :2, 3] == 0).all()
        assert np.ptp(poses[:, 2, 3]) > 0


def test_poses_look_at_the_lumen(theatre: Path) -> None:
    """The axis of the tube, turned into the camera, is seen where the depth is greatest."""
    for folder in sorted(path for path in (theatre / "c3vd").iterdir() if path.is_dir()):
        for number, pose in enumerate(read_poses(folder / "pose.txt", Findings(folder))):
            axis = pose[:3, :3].T @ np.array([0.0, 0.0, 1.0])
            expected = axis[:2] / axis[2] * c3vd.FOCAL * SIDE + (SIDE - 1) / 2
            levels = np.asarray(Image.open(folder / f"{number:04d}_depth.tiff"))
            lumen = np.argwhere(levels == 65535).mean(0)[::-1]
            assert np.abs(lumen - expected).max() < 6
