"""64-bit perceptual hashes of a picture: copies differ in few bits, other pictures in about 32.

The definition is C. Zauner's (Implementation and Benchmarking of Perceptual Image Hash Functions,
2010, section 3.2.1): the low frequencies of a discrete cosine transform against their median. Crops
and the mirror image have hashes of their own, for a copy that was cropped or mirrored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unisurg.video.opencv import opencv

SIDE_PX = 32
"""Pictures are transformed at this size, whatever their proportions."""
LOW = 8
"""Frequencies of each axis that count, the mean of the picture (frequency 0, 0) not among them."""
CROPS = {"phash_100": 1.0, "phash_92": 0.92, "phash_84": 0.84}
"""Column -> share of each side that is kept around the centre."""
MIRRORED = "phash_mirror"
COLUMNS = (*CROPS, MIRRORED)


def hashes(luma: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hashes of one picture `(H, W)`, in the order of `COLUMNS`."""
    turned = opencv().flip(luma, 1)
    cut = [centre(luma, share) for share in CROPS.values()]
    return np.array([phash(picture) for picture in (*cut, turned)], np.uint64)


def phash(luma: NDArray[np.uint8]) -> int:
    """The hash of one picture `(H, W)`, below 2**64; a picture without detail has 0.

    Bit 63 - (8 v + u) tells whether the amplitude of u waves across and v waves down lies above the
    median of the 63; bit 63 itself, the mean's, is 0. Amplitudes are whole numbers, so that what is
    fainter than a thirtieth of a grey level decides nothing.
    """
    cv2 = opencv()
    small = cv2.resize(luma, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    waves = np.rint(cv2.dct(small.astype(np.float32))[:LOW, :LOW]).ravel()
    above = waves > np.median(waves[1:])
    above[0] = False
    return int.from_bytes(np.packbits(above).tobytes(), "big")


def distance(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Bits in which hashes differ, 0..64, element by element."""
    return np.bitwise_count(a ^ b)


def centre(luma: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """The middle of a picture `(H, W)`, `share` of either side."""
    height, width = luma.shape
    top, left = (round(side * (1 - share) / 2) for side in (height, width))
    return luma[top : height - top, left : width - left]
