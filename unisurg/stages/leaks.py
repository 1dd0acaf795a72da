"""A benchmark's copy -> the index by which its operations are found in any corpus; and evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from unisurg.benchmarks import (
    REGISTRY,
    Benchmark,
    BenchmarkError,
    ClipCase,
    DepthCase,
    Findings,
    PictureCase,
    SkillCase,
    find,
)
from unisurg.benchmarks.base import Case
from unisurg.benchmarks.media import pictures
from unisurg.corpus import overlaps, tables
from unisurg.corpus.child import Limits
from unisurg.corpus.duplicates.search import SearchRules
from unisurg.corpus.duplicates.votes import VoteRules
from unisurg.corpus.indexing import HeldOut, deciding, hashing, make_index
from unisurg.corpus.leak import CHECKED, MOST, coverage, explain, told_coverage
from unisurg.corpus.leak_index import PARTS, Account, write_index
from unisurg.corpus.leakage import LeakageError, leak_rules, read_coverage, read_procedures
from unisurg.corpus.manifest import RECORDINGS
from unisurg.corpus.mapping import runner_of
from unisurg.corpus.overlaps import EMBEDDED, Listed
from unisurg.corpus.scan.origin import is_theatre
from unisurg.corpus.scan.stage import folder_knobs
from unisurg.settings import Settings
from unisurg.stages import SCRATCH
from unisurg.stages.leak import cases_of

MISSING = "missing"


def index(
    settings: Settings,
    name: str,
    root: Path | None = None,
    split: str | None = None,
    output: Path | None = None,
) -> None:
    """Hash what a benchmark validates and tests on, and write `output/NAME.parquet`.

    Args:
        name: a benchmark; or any name, where `root` holds a labels.csv of your own.
        root: the copy; left out, the root of the settings' block `name`.
        split: one split; left out, all of the owners', or the embedded data's where the block
            names that one.
        output: folder; left out, `leaks.indices`.

    Raises:
        BenchmarkError: there is no such benchmark, block or split.
        IndexingError: not one case can be read.
    """
    benchmark, root, splits = _chosen(settings, name, root, split)
    curate = settings.curate
    recordings, unread = held_out_of(benchmark, root, splits, curate.picture_fps)
    if name in REGISTRY:  # of your own data, the split that you name is the one that counts
        left = set(benchmark.splits) - {*splits, EMBEDDED}
        unread |= {f"split:{one}": "left out" for one in sorted(left)}
    knobs = hashing(folder_knobs(curate, settings.scan).scan)
    made, account = make_index(
        benchmark.name,
        recordings,
        Account(benchmark.name, tuple(splits), unread, is_theatre(root), deciding(knobs)),
        knobs,
        Limits(curate.timeout_s, curate.memory_mib),
        SCRATCH,
        runner_of(**dict(settings.runner)),
    )
    path = (output or settings.leaks.indices) / f"{benchmark.name}.parquet"
    write_index(made, path, account)
    print(f"{path}: {', '.join(splits)}\n{_told(settings, benchmark, made, account)}")


def _told(settings: Settings, benchmark: Benchmark, made: pd.DataFrame, account: Account) -> str:
    """What an index covers, and what of the copy it could not read."""
    section = leak_rules(settings.duplicates, settings.leaks)
    covered = coverage(
        {benchmark.name: cases_of(benchmark, overlaps.load())},
        made,
        SearchRules(**dict(section.search)),
        VoteRules(**dict(section.votes)),
        [account],
    )
    faults = [f"{case}: {why}" for case, why in account.unread.items() if why != MISSING]
    more = [f"{len(faults) - MOST} more"] if len(faults) > MOST else []
    lines = [f"  not read: {fault}" for fault in [*faults[:MOST], *more]]
    return "\n".join([told_coverage(covered), *lines])


def evidence(case: str | None, folder: Path) -> str:
    """Why a case is out of the corpus, or what it rests on that it is not.

    Args:
        case: a video, or the id of its recording where the folder is a corpus; a procedure, a
            benchmark or `benchmark/case`; None: what was checked at all.
        folder: that the stage `leak` wrote, or a corpus.

    Raises:
        LeakageError: no such tables there, or nothing there is called so.
    """
    covered = read_coverage(folder)
    if case is None:
        n_checked = int((covered["state"] == CHECKED).sum())
        said = f"{n_checked} of {len(covered)} benchmarks are checked by content"
        return f"{said}\n{told_coverage(covered)}"
    case = _videos(folder).get(case, case)
    hits, procedures = tables.of(folder, "leak_hits"), read_procedures(folder)
    benchmark, _, name = case.partition("/")
    known = {*procedures, *procedures.values(), *hits["b_id"], *covered["benchmark"]}
    if case not in known:
        cases = cases_of(REGISTRY[benchmark], overlaps.load()) if benchmark in REGISTRY else set()
        if cases and name not in cases:
            return f"{case}: {benchmark} validates and tests on no such case"
        if benchmark not in set(covered["benchmark"]):
            raise LeakageError(
                f"{folder}: nothing is called {case!r}; name a video_id, a procedure, or one of "
                f"{', '.join(covered['benchmark'])}, alone or with /CASE"
            )
    return explain(case, hits, covered, procedures)


def _videos(folder: Path) -> dict[str, str]:
    """Recording -> video, by the ids that a corpus has; none elsewhere."""
    path = folder / RECORDINGS
    if not path.is_file():
        return {}
    rows = tables.read(path, "recordings", ["recording", "video_id"])
    return dict(zip(rows["recording"], rows["video_id"], strict=True))


def _chosen(
    settings: Settings, name: str, root: Path | None, split: str | None
) -> tuple[Benchmark, Path, Sequence[str]]:
    """The benchmark, its copy, and the splits whose validation and test cases count."""
    block = settings.benchmarks.get(name)
    if root is None:
        if block is None:
            remedy = "name the copy with --root"
            raise BenchmarkError(Path(name), f"no block benchmarks.{name}", remedy)
        root = block.root
        split = split or (EMBEDDED if block.split == EMBEDDED else None)
    try:
        benchmark = find(name, root)
    except KeyError as error:
        remedy = "choose one, or write a labels.csv of your own"
        raise BenchmarkError(root, str(error.args[0]), remedy) from None
    if split is not None:
        benchmark.split(split, root)
        return benchmark, root, [split]
    return benchmark, root, [one for one in benchmark.splits if one != EMBEDDED]


def held_out_of(
    benchmark: Benchmark, root: Path, splits: Sequence[str], picture_fps: float
) -> tuple[list[HeldOut], dict[str, str]]:
    """Recordings that any of the splits validates or tests on; and what of it cannot be read.

    A recording that several cases are cut from is one, under the name of their group.

    Args:
        picture_fps: of pictures whose rate the benchmark does not tell.

    Returns:
        recordings, each once; and case, or place in the copy, -> what is wrong.
    """
    found: dict[str, HeldOut] = {}
    unread: dict[str, str] = {}
    for split in splits:
        findings = Findings(root, strict=False)
        for case in benchmark.audit(split, findings):
            if case.split in PARTS:
                for one in _recordings(case, picture_fps):
                    if case.split == "test" or one.case not in found:
                        found[one.case] = one
        unread |= _unread(benchmark, split, findings)
    return list(found.values()), unread


def _recordings(case: Case, picture_fps: float) -> Iterator[HeldOut]:
    part = case.split
    if isinstance(case, SkillCase):
        for video in case.videos:
            yield HeldOut(video.stem, part, (video,), None)
    elif isinstance(case, PictureCase):
        yield HeldOut(case.case, part, (case.image,), picture_fps)
    elif isinstance(case, DepthCase):
        yield HeldOut(case.case, part, case.frames, picture_fps)
    elif isinstance(case, ClipCase):
        name = case.case if case.start_s is None else case.group
        yield HeldOut(name, part, (case.video,), None)
    elif case.video.is_dir():
        yield HeldOut(case.case, part, tuple(pictures(case.video)), case.fps)
    else:
        yield HeldOut(case.case, part, (case.video,), None)


def _unread(benchmark: Benchmark, split: str, findings: Findings) -> dict[str, str]:
    """What a split holds out, or may hold out, and the copy lacks."""
    rule = getattr(benchmark.splits[split], "rule", benchmark.splits[split])
    missing = set(findings.missing)
    faults = [one for one in findings.summary if one.severity == "error"]
    if isinstance(rule, Listed):
        # What it trains on may be missing; the copy's own list may name anything.
        missing &= {*rule.val, *rule.test} - {*getattr(rule, "may_lack", ())}
        faults = [one for one in faults if one.path != findings.root]
    told = dict.fromkeys(sorted(missing), MISSING)
    for one in faults:
        inside = one.path.is_relative_to(findings.root)
        place = one.path.relative_to(findings.root) if inside else Path(one.path.name)
        line = "" if one.line is None else f":{one.line}"
        told[f"{place}{line}"] = one.problem.replace(f"{findings.root}/", "")
    return told
