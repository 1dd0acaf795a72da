"""What is known of a recording before it is opened: its source, its data set, its operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unisurg.corpus.archives import without_suffix
from unisurg.corpus.inputs import Recording
from unisurg.corpus.overlaps import Overlaps, OverlapsError
from unisurg.corpus.sources import Source

UNKNOWN = "unknown"
"""Specialty where no row names the source, or the row does not know it."""
THEATRE = "theatre.json"
"""What the embedded theatre leaves beside the recordings that it has rendered."""


@dataclass(frozen=True)
class Origin:
    """Where a recording comes from."""

    source_id: str
    """Id of the source's row, or the name of its folder where that has none. Of the first folder
    alone, since it is the row whose provider's word counts: a hospital's folder that is called
    after a data set must not borrow the word of that one's provider."""
    dataset_d: str
    """As the innermost folder tells that names a source or a data set."""
    specialty_s: str
    licence: str
    """Empty where it is not known."""
    dataset_video: str
    """The data set's own name of the video; empty where nothing tells it."""
    procedure_id: str
    """`dataset/video` of the operation's smallest copy; empty where nothing tells it."""
    priority: int
    """Rank of the source among the rows, 0 the best; a source without a row comes last."""
    rendered: bool
    """Made by the embedded theatre, whose mark lies beside it: nobody was filmed."""
    picture_fps: float | None
    keep_fps: float | None
    """As the row says; None where it does not."""

    @property
    def standing(self) -> tuple[bool, int]:
        """Of recordings with the same bytes the least of it stays: what names its operation."""
        return not self.procedure_id, self.priority


class Origins:
    """Looks origins up.

    Args:
        sources: rows by the name of their folder, the best source first.
        rendered: whether the recordings were made by the embedded theatre, see `is_theatre`.
    """

    def __init__(self, sources: Mapping[str, Source], overlaps: Overlaps, rendered: bool) -> None:
        self._sources, self._overlaps, self._rendered = sources, overlaps, rendered
        self._rank = {name: rank for rank, name in enumerate(sources)}
        # Written backwards, so that of names that differ in their case the first one stays.
        self._ids = {name.casefold(): name for name in reversed(list(sources))}
        self._datasets = {name.casefold(): name for name in reversed(list(overlaps.datasets))}

    def of(self, recording: Recording) -> Origin:
        source = self._ids.get(recording.source.casefold(), recording.source)
        row = self._sources.get(source)
        dataset = self._dataset(source, recording)
        video, procedure = self._procedure(dataset, recording)
        return Origin(
            source_id=source,
            dataset_d=dataset,
            specialty_s=(row and row.specialty) or UNKNOWN,
            licence=(row and row.licence) or "",
            dataset_video=video,
            procedure_id=procedure,
            priority=self._rank.get(source, len(self._rank)),
            rendered=bool(row and row.rendered and self._rendered),
            picture_fps=row.picture_fps if row else None,
            keep_fps=row.keep_fps if row else None,
        )

    def _dataset(self, source: str, recording: Recording) -> str:
        """The data set that the innermost folder names which names any, in whatever case.

        Rendered recordings lie in the first folder or nowhere: anatomy's words, which name them,
        may stand in any hospital's paths.
        """
        for name in reversed(recording.folders):
            row = self._sources.get(self._ids.get(name.casefold(), ""))
            if row and (not row.rendered or name == recording.source):
                return row.dataset
            if row is None and name.casefold() in self._datasets:
                return self._datasets[name.casefold()]
        return source

    def _procedure(self, dataset: str, recording: Recording) -> tuple[str, str]:
        """The data set's name of the video, and its operation, where the file's name tells."""
        if dataset not in self._overlaps.datasets:
            return "", ""
        path = PurePosixPath(recording.raw)
        name = path.stem if recording.kind == "video" else without_suffix(path.name)
        try:
            video = self._overlaps.name(dataset, name)
            return video, self._overlaps.procedure_of(dataset, video)
        except OverlapsError:
            return "", ""


def is_theatre(input: Path) -> bool:
    """Whether the mark of the embedded theatre lies in the folder of recordings or beside it.

    Where the folder is that of one of the theatre's sources, its mark lies beside the one above.
    """
    folder = input.resolve()
    return any((place / THEATRE).is_file() for place in (folder, *folder.parents[:2]))
