"""What may be told of a recording's file name, which may hold a patient's: an id, and a suffix.

An id stays with the path and the bytes below it, so it is the same in every run. It rests on the
digest of the content, of which no table but the scan's holds more than the first digits: who does
not have the bytes cannot try names against it. Of what could not be read, and of files that are no
recordings, there is the path alone; whoever guesses the whole path can hold it against such an id.
"""

from __future__ import annotations

import hashlib

from unisurg.corpus.archives import is_archive
from unisurg.corpus.inputs import PICTURE_SUFFIXES, VIDEO_SUFFIXES

ID_DIGITS = 16
# fmt: off
KNOWN_SUFFIXES = VIDEO_SUFFIXES | PICTURE_SUFFIXES | {  # that programs give
    ".7z", ".aac", ".avif", ".bak", ".bz2", ".csv", ".db", ".dcm", ".doc", ".docx", ".gif", ".gz",
    ".h5", ".heic", ".htm", ".html", ".ini", ".jp2", ".json", ".jsonl", ".lnk", ".log", ".m4a",
    ".mat", ".md", ".md5", ".mp3", ".npy", ".npz", ".parquet", ".part", ".pdf", ".pkl", ".ppt",
    ".pptx", ".py", ".rar", ".rtf", ".sha256", ".sqlite", ".srt", ".sub", ".svg", ".tar", ".tgz",
    ".tmp", ".toml", ".tsv", ".txt", ".url", ".vtt", ".wav", ".xls", ".xlsx", ".xml", ".xz",
    ".yaml", ".yml", ".zip", ".zst",
}
# fmt: on
NO_SUFFIX, UNKNOWN_SUFFIX = "(none)", "(unknown)"


def recording_id(raw: str, sha256: str = "") -> str:
    """16 hexadecimal digits for what lies at `raw`, a path below the input.

    Args:
        sha256: of its content; empty where that was not read.
    """
    said = f"{sha256}\n{raw}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(said).hexdigest()[:ID_DIGITS]


def known_suffix(suffix: str) -> str:
    """The suffix in small letters where it is a known one, or a label as `(hidden)`.

    What a person wrote behind a dot may be half a name: it is `(unknown)`.
    """
    suffix = suffix.lower() or NO_SUFFIX
    return suffix if suffix in KNOWN_SUFFIXES or suffix.startswith("(") else UNKNOWN_SUFFIX


def source_of(raw: str, top: str) -> str:
    """The first folder of a path below the input, or `top`, the input's name, where there is none.

    A path of one part may name a file, and so a person; so may an archive, which is a file.
    """
    first, _, rest = raw.partition("/")
    return first if rest and not is_archive(first) else top
