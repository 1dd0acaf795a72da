"""What is known of one recording, and why a recording may be refused.

Everything here crosses the border between a reading process and its caller, so it is plain data.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SLOWEST_BYTES_PER_S = 1000
"""No recording is believed to hold fewer: a header cannot stretch its time limit, or what it is
said to last, without end."""


class Reason(StrEnum):
    """Why a recording is in quarantine."""

    EMPTY = "empty"
    """The file has no bytes."""
    UNREADABLE = "unreadable"
    """No known container, or no frame could be decoded."""
    NO_ACCESS = "no_access"
    """The file or the folder may not, or cannot, be entered."""
    UNSAFE = "unsafe"
    """An archive that unpacks to far too much, or a member of one whose name leads out of it."""
    NO_VIDEO_STREAM = "no_video_stream"
    """A readable container without moving pictures, e.g. sound only."""
    NOT_A_SEQUENCE = "not_a_sequence"
    """Pictures that neither their file names nor their times put in order."""
    DUPLICATE = "duplicate"
    """The same bytes as another recording of the input."""
    TOO_SHORT = "too_short"
    """Shorter than `curate.min_seconds`."""
    DAMAGED = "damaged"
    """Less than half of the recording could be decoded."""
    TIMEOUT = "timeout"
    """Reading took longer than the limit and was killed."""
    OUT_OF_MEMORY = "out_of_memory"
    """Reading needed more than `curate.memory_mib`."""
    CRASHED = "crashed"
    """The reading process died."""
    VERIFY_FAILED = "verify_failed"
    """The normalised clip does not read back as it was written."""
    NOT_DEIDENTIFIED = "not_deidentified"
    """Nobody vouches for it, and it was not or could not be looked at whole."""
    UNWRITABLE = "unwritable"
    """Its clean clips could not be written, or hold something beside their pictures."""
    FAILED = "failed"
    """Any other error while reading or writing."""


class Unusable(Exception):
    """A recording that cannot become a clip, with a reason and what was seen."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class RawFacts:
    """A recording as it was found. Sizes are stored pixels, before rotation and pixel aspect."""

    container: str
    codec: str
    width_px: int
    height_px: int
    pixel_format: str
    """By libav's name, as `yuv420p`."""
    pixel_aspect: float
    """Width / height of one pixel."""
    fps: float
    """Average rate by the header, 0 if it does not tell."""
    start_s: float
    """Presentation stamp of the first frame by the header, 0 if it does not tell."""
    duration_s: float
    """By the header, 0 if it does not tell."""
    has_audio: bool


@dataclass(frozen=True)
class ClipFacts:
    """A normalised clip, and what was seen while its recording was read."""

    width_px: int
    height_px: int
    fps: float
    n_frames: int
    decoded_frames: int
    decoded_s: float
    """From the first to the end of the last frame that could be decoded."""
    decode_errors: int
    """Packets or pictures that could not be decoded, and frames with parts made up."""
    clock_jumps: int
    """Places where the time stamps jump and were taken as consecutive; or missing numbers."""
    variable_rate: bool
    rotation_deg: int
    """Anticlockwise, by which the first frame is turned to stand upright."""
    longest_gap_s: float
    """Between two frames that follow each other; NaN of a single frame."""

    @property
    def duration_s(self) -> float:
        return self.n_frames / self.fps
