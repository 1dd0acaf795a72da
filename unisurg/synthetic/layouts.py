"""Writing the theatre: a corpus of recordings, and two benchmarks in their official layouts.

    corpus/<source>/<name>.mp4|mkv|avi, corpus_labels/<source>/<name>.json
    cholec80/{videos,phase_annotations,tool_annotations}
    polyps/{TrainDataset,TestDataset/Kvasir}/{images,masks}

Finished files are skipped, so an interrupted run goes on where it stopped. A folder remembers with
which settings it was written and refuses others.
"""

from __future__ import annotations

import io
import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from unisurg.progress import track
from unisurg.settings import Theatre
from unisurg.synthetic.encode import Encoding, write_video
from unisurg.synthetic.exact import stream
from unisurg.synthetic.labels import CHOLEC80_TOOLS, describe, tools
from unisurg.synthetic.motifs import PHASE_NAMES
from unisurg.synthetic.operation import Operation
from unisurg.synthetic.picture import polyp_picture
from unisurg.synthetic.render import Renderer

WORKERS = 2
STAMP = "theatre.json"
EDITION = 2  # raised whenever the pixels change
CORPUS, CHOLEC80, POLYPS = range(3)
CYCLE = ("laparoscopy-a", "laparoscopy-b", "laparoscopy-a", "colonoscopy", "arthroscopy")
PHASE_SECONDS = (130, 151)
CRF = 31
JPEG_QUALITY = 85


class TheatreError(RuntimeError):
    """The folder cannot be written; the message says why and what to do."""


@dataclass(frozen=True)
class Recording:
    """One raw video of the corpus: what to render and how to store it."""

    source: str
    name: str
    seed: int
    seconds: int
    size: tuple[int, int]  # height, width
    encoding: Encoding

    def times_ms(self) -> np.ndarray:
        rate = self.encoding.rate
        frames = np.arange(int(self.seconds * rate), dtype=np.int64)
        times = frames * 1000 * rate.denominator // rate.numerator
        if self.encoding.variable:
            gap = 1000 * rate.denominator // rate.numerator
            times[1:] += stream(self.seed, 1).integers(-gap // 3, gap // 3 + 1, len(times) - 1)
        return times


@dataclass(frozen=True)
class Job:
    """One thing to write, unless `done` exists."""

    done: Path
    write: Callable[..., None]
    arguments: tuple[object, ...]

    def run(self) -> None:
        if not self.done.exists():
            self.write(*self.arguments)


def write(root: Path, settings: Theatre, seed: int) -> None:
    """Write everything below `root`.

    Raises:
        TheatreError: `root` holds a theatre of other settings, another seed or edition.
    """
    _claim(root, settings, seed)
    jobs = cholec80_jobs(root, settings, seed)
    jobs += corpus_jobs(root, settings, seed) + polyp_jobs(root, settings, seed)
    _run(jobs, "rendering the theatre")
    plant_unreadable(root / "corpus", settings, seed)


def write_corpus(root: Path, settings: Theatre, seed: int) -> None:
    """Write `root`/corpus and `root`/corpus_labels."""
    _run(corpus_jobs(root, settings, seed), "rendering the corpus")
    plant_unreadable(root / "corpus", settings, seed)


def write_cholec80(root: Path, settings: Theatre, seed: int) -> None:
    """Write `root`/cholec80."""
    _run(cholec80_jobs(root, settings, seed), "rendering Cholec80")


def write_polyps(root: Path, settings: Theatre, seed: int) -> None:
    """Write `root`/polyps."""
    _run(polyp_jobs(root, settings, seed), "rendering polyps")


def _claim(root: Path, settings: Theatre, seed: int) -> None:
    facts = {"edition": EDITION, "seed": seed, "settings": settings.model_dump(mode="json")}
    stamp = root / STAMP
    if stamp.exists():
        if json.loads(stamp.read_text(encoding="utf-8")) != facts:
            raise TheatreError(
                f"{root}: written with other settings, seed or edition than now (see {stamp.name});"
                " remove the folder or name another"
            )
    else:
        _write_text(stamp, json.dumps(facts, indent=1) + "\n")


def _run(jobs: list[Job], label: str) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        futures = [pool.submit(job.run) for job in jobs]
        for future in track(as_completed(futures), label, total=len(futures)):
            future.result()


def _seed(seed: int, family: int, number: int) -> int:
    return (seed * 10 + family) * 10_000 + number


# -- the corpus ---------------------------------------------------------------------------------


def recordings(settings: Theatre, seed: int) -> list[Recording]:
    """The corpus' recordings: most alike, every fourth stored in an unusual way."""
    usual = Encoding(".mp4", "libx264", Fraction(settings.corpus_fps), CRF)
    side = settings.side_px
    result = []
    for number in range(settings.corpus_videos):
        plain = Recording(
            source=CYCLE[number % len(CYCLE)],
            name=f"case{number + 1:03d}",
            seed=_seed(seed, CORPUS, number),
            seconds=settings.corpus_seconds,
            size=(side, side),
            encoding=usual,
        )
        turn, kind = divmod(number, 4)
        odd = _unusual(plain)
        result.append(odd[turn] if kind == 1 and turn < len(odd) else plain)
    return result


def _unusual(plain: Recording) -> list[Recording]:
    """The same recording in each of the ways that make raw video hard to read."""

    height, width = plain.size
    usual = plain.encoding
    return [
        replace(plain, encoding=replace(usual, rate=Fraction(25))),
        replace(plain, encoding=replace(usual, suffix=".mkv")),
        replace(plain, encoding=replace(usual, variable=True)),
        replace(plain, encoding=replace(usual, suffix=".avi", codec="mpeg4")),
        replace(plain, encoding=replace(usual, rate=Fraction(30000, 1001))),
        replace(plain, encoding=replace(usual, audio=True)),
        replace(plain, size=(height, width * 5 // 4)),
    ]


def corpus_jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    return [
        Job(root / "corpus_labels" / r.source / f"{r.name}.json", _write_recording, (root, r))
        for r in recordings(settings, seed)
    ]


def _write_recording(root: Path, recording: Recording) -> None:
    operation = Operation(recording.source, recording.seed, recording.seconds)
    renderer = Renderer(operation, *recording.size)
    times = recording.times_ms()
    states = operation.at(times)
    pictures = (renderer.rgb(states[i]) for i in range(len(times)))
    path = root / "corpus" / recording.source / f"{recording.name}{recording.encoding.suffix}"
    write_video(path, pictures, times, recording.encoding)
    labels = root / "corpus_labels" / recording.source / f"{recording.name}.json"
    _write_text(labels, json.dumps(describe(operation, renderer, recording.source)) + "\n")


def plant_unreadable(corpus: Path, settings: Theatre, seed: int) -> None:
    """Three files that no reader can read: empty, cut off before its index, not a video."""
    folder = corpus / CYCLE[0]
    first = recordings(settings, seed)[0]
    whole = (corpus / first.source / f"{first.name}{first.encoding.suffix}").read_bytes()
    _write_bytes(folder / "empty.mp4", b"")
    _write_bytes(folder / "cut-off.mp4", whole[: whole.rindex(b"moov") // 4])
    _write_bytes(folder / "not-a-video.mp4", b"The recorder was switched off too early.\n")


# -- Cholec80 -----------------------------------------------------------------------------------


def cholec80_jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    jobs = []
    for number in range(1, settings.phase_videos + 1):
        name = f"video{number:02d}"
        last = root / "cholec80" / "tool_annotations" / f"{name}-tool.txt"
        operation_seed = _seed(seed, CHOLEC80, number)
        jobs.append(Job(last, _write_case, (root / "cholec80", name, settings, operation_seed)))
    return jobs


def _write_case(folder: Path, name: str, settings: Theatre, seed: int) -> None:
    """One video with its annotations, in the files and formats of Cholec80."""
    fps = settings.phase_fps
    seconds = int(stream(seed, 2).integers(*PHASE_SECONDS))
    operation = Operation(CYCLE[0], seed, seconds)
    renderer = Renderer(operation, settings.side_px, settings.side_px)
    times = np.arange(seconds * fps, dtype=np.int64) * 1000 // fps
    states = operation.at(times)
    pictures = (renderer.rgb(states[i]) for i in range(len(times)))
    encoding = Encoding(".mp4", "libx264", Fraction(fps), CRF)
    write_video(folder / "videos" / f"{name}.mp4", pictures, times, encoding)
    rows = [f"{frame}\t{PHASE_NAMES[phase]}" for frame, phase in enumerate(states.phase)]
    phases = "\n".join(["Frame\tPhase", *rows]) + "\n"
    _write_text(folder / "phase_annotations" / f"{name}-phase.txt", phases)
    seen = tools(operation, states)
    rows = ["\t".join(map(str, [frame, *seen[frame]])) for frame in range(0, len(times), fps)]
    table = "\n".join(["\t".join(["Frame", *CHOLEC80_TOOLS]), *rows]) + "\n"
    _write_text(folder / "tool_annotations" / f"{name}-tool.txt", table)


# -- polyps -------------------------------------------------------------------------------------


def polyp_jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    parts = [("TrainDataset", settings.polyp_train), ("TestDataset/Kvasir", settings.polyp_test)]
    jobs, number = [], 0
    for part, count in parts:
        for _ in range(count):
            number += 1
            folder, name = root / "polyps" / part, f"polyp{number:04d}"
            mask = folder / "masks" / f"{name}.png"
            jobs.append(Job(mask, _write_polyp, (folder, name, _seed(seed, POLYPS, number))))
    return jobs


def _write_polyp(folder: Path, name: str, seed: int) -> None:
    """A picture (.jpg, one in twenty .png) and its mask, whose edge is hard, soft or JPEG's."""
    picture, cover = polyp_picture(seed)
    suffix = ".png" if seed % 20 == 0 else ".jpg"
    _write_image(folder / "images" / f"{name}{suffix}", Image.fromarray(picture))
    edges = (_hard_edge, Image.fromarray, _jpeg_edge)
    _write_image(folder / "masks" / f"{name}.png", edges[seed % 3](cover))


def _hard_edge(cover: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(cover > 128, 255, 0).astype(np.uint8))


def _jpeg_edge(cover: np.ndarray) -> Image.Image:
    """As in Kvasir, whose masks went through JPEG and are grey about their edges."""
    return Image.open(io.BytesIO(_encode_image(_hard_edge(cover), ".jpg")))


# -- files --------------------------------------------------------------------------------------


def _encode_image(image: Image.Image, suffix: str) -> bytes:
    buffer = io.BytesIO()
    if suffix == ".png":
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _write_image(path: Path, image: Image.Image) -> None:
    _write_bytes(path, _encode_image(image, path.suffix))


def _write_text(path: Path, text: str) -> None:
    _write_bytes(path, text.encode("utf-8"))


def _write_bytes(path: Path, content: bytes) -> None:
    """Aside first, then renamed: a file that exists is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_bytes(content)
    aside.replace(path)
