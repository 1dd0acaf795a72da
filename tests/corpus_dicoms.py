"""DICOM files that name a patient, written for the tests."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

PATIENT = "Mueller^Hans^1961"
VIDEO_ENDOSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
MPEG2, H264, HEVC = (f"1.2.840.10008.1.2.4.{number}" for number in (100, 102, 107))


def write(path: Path, syntax: str, data: bytes | None, **tags: Any) -> Path:
    """A DICOM file of a patient, with `data` as its pixels and more tags by keyword."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = VIDEO_ENDOSCOPY
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.PatientName, dataset.PatientID = PATIENT, "4711"
    for name, value in tags.items():
        setattr(dataset, name, value)
    if data is not None:
        dataset.PixelData = data
        dataset["PixelData"].VR = "OW" if syntax == ImplicitVRLittleEndian else "OB"
        dataset["PixelData"].is_undefined_length = syntax not in (
            ImplicitVRLittleEndian,
            ExplicitVRLittleEndian,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write_video(path: Path, video: Path, syntax: str = H264, fragments: int = 1) -> Path:
    """A DICOM file that holds a video file."""
    whole = encapsulate([video.read_bytes()], fragments_per_frame=fragments, has_bot=False)
    return write(path, syntax, whole, NumberOfFrames="1")


def write_jpegs(
    path: Path, pictures: Sequence[np.ndarray], fragments: int = 1, table: bool = True, **tags: Any
) -> Path:
    """A DICOM file of JPEG pictures, uint8 (H, W, 3)."""
    jpegs = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=95)
        jpegs.append(buffer.getvalue())
    data = encapsulate(jpegs, fragments_per_frame=fragments, has_bot=table)
    return write(path, JPEGBaseline8Bit, data, **(described(pictures) | tags))


def write_pictures(path: Path, pictures: Sequence[np.ndarray], implicit: bool = False, **tags: Any):
    """A DICOM file of uncompressed pictures, uint8 (H, W) or (H, W, 3)."""
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    if tags.get("PlanarConfiguration"):
        data = b"".join(picture.transpose(2, 0, 1).tobytes() for picture in pictures)
    else:
        data = b"".join(picture.tobytes() for picture in pictures)
    return write(path, syntax, data, **(described(pictures) | tags))


def described(pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """The tags that tell what pictures these are."""
    height, width, *samples = pictures[0].shape
    return {
        "Rows": height,
        "Columns": width,
        "SamplesPerPixel": samples[0] if samples else 1,
        "BitsAllocated": 8,
        "PhotometricInterpretation": "RGB" if samples else "MONOCHROME2",
        "PlanarConfiguration": 0,
        "NumberOfFrames": str(len(pictures)),
    }
