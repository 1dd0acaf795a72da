"""The omnidirectional camera model of Scaramuzza et al., IROS 2006, and its way to a pinhole.

A pixel (u, v), column and row with (0, 0) in the middle of the first, is seen along a ray of the
camera, x to the right, y down, z along the optical axis:

    (u - cx, v - cy) = [[c, d], [e, 1]] (x, y)
    z = a0 + a2 r^2 + a3 r^3 + a4 r^4,   r = hypot(x, y)

The depth of a pixel is the z of its point, not the length of the ray. A pinhole with the same
centre and axis thus sees every point at the same depth, and a depth map is undistorted by moving
its pixels alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from unisurg.video.opencv import opencv

# The polynomial is inverted from a table, then by Newton's method, which doubles the digits.
TABLE, NEWTON = 4096, 4


class CameraError(ValueError):
    """The parameters are of no camera that sees every pixel of its picture once."""


@dataclass(frozen=True)
class Omnidirectional:
    """Parameters of the model, for pictures of `width` x `height` pixels.

    Raises:
        CameraError: a0 is not positive, the stretch [[c, d], [e, 1]] cannot be inverted, or rays do
            not move away from the axis all the way to the corners.
    """

    width: int
    height: int
    cx: float
    cy: float
    a0: float
    a2: float
    a3: float
    a4: float
    c: float
    d: float
    e: float

    @classmethod
    def of(cls, parameters: Mapping[str, float]) -> Omnidirectional:
        """The camera with these parameters by name, as `unisurg.benchmarks.c3vd` reads them."""
        width, height, *others = (parameters[field.name] for field in fields(cls))
        return cls(int(width), int(height), *others)

    def __post_init__(self) -> None:
        if self.a0 <= 0:
            raise CameraError(f"a0 is {self.a0:g}; it is the focal length in pixels, above 0")
        if abs(np.linalg.det(self._stretch)) < 1e-6:
            raise CameraError(f"c {self.c:g}, d {self.d:g} and e {self.e:g} flatten the picture")
        if not (np.diff(self._angles[1]) > 0).all():
            raise CameraError("a0, a2, a3 and a4 show two pixels of a radius the same ray")

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Unit vectors along which pixels (..., 2) are seen, (..., 3)."""
        x, y = self._unstretched(pixels)
        ray = np.stack([x, y, self._z(np.hypot(x, y))], axis=-1)
        return ray / np.linalg.norm(ray, axis=-1, keepdims=True)

    def back_project(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Points (..., 3) that pixels (..., 2) see at depths (...), in the unit of the depth.

        NaN where the ray does not point forward, so that no depth has a place on it.
        """
        ray = self.rays(pixels)
        forward = np.where(ray[..., 2:] > 0, ray[..., 2:], np.nan)
        return ray / forward * np.asarray(depth)[..., None]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) that show points (..., 3); NaN beyond the corners of the picture."""
        points = np.asarray(points, np.float64)
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        from_axis = np.hypot(x, y)
        radius = self._radius(from_axis, z)
        # A point on the axis has no direction, and its radius is 0.
        factor = radius / np.where(from_axis > 0, from_axis, 1.0)
        centred = np.stack([x * factor, y * factor], axis=-1) @ self._stretch.T
        return centred + np.array([self.cx, self.cy])

    @functools.cached_property
    def _stretch(self) -> np.ndarray:
        return np.array([[self.c, self.d], [self.e, 1.0]])

    @functools.cached_property
    def _angles(self) -> tuple[np.ndarray, np.ndarray]:
        """Radii from 0 to the farthest corner, and the angles from the axis that they see."""
        corners = [(u, v) for u in (0, self.width - 1) for v in (0, self.height - 1)]
        farthest = np.hypot(*self._unstretched(np.array(corners))).max()
        radii = np.linspace(0.0, farthest, TABLE)
        return radii, np.arctan2(radii, self._z(radii))

    def _unstretched(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centred = np.asarray(pixels, np.float64) - np.array([self.cx, self.cy])
        straight = centred @ np.linalg.inv(self._stretch).T
        return straight[..., 0], straight[..., 1]

    def _z(self, radius: np.ndarray) -> np.ndarray:
        return self.a0 + radius**2 * (self.a2 + radius * (self.a3 + radius * self.a4))

    def _slope(self, radius: np.ndarray) -> np.ndarray:
        return radius * (2 * self.a2 + radius * (3 * self.a3 + radius * 4 * self.a4))

    def _radius(self, from_axis: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Radius at which a point `from_axis` off the axis and at depth `z` is seen, else NaN."""
        radii, angles = self._angles
        angle = np.arctan2(from_axis, z)
        radius = np.interp(angle, angles, radii)
        for _ in range(NEWTON):
            missed = from_axis * self._z(radius) - z * radius
            radius = radius - missed / (from_axis * self._slope(radius) - z)
        return np.where(angle <= angles[-1] + 1e-12, radius, np.nan)


@dataclass(frozen=True)
class Pinhole:
    """A camera without distortion: focal length and centre in pixels, size of the picture."""

    focal: float
    cx: float
    cy: float
    width: int
    height: int


def pinhole_of(camera: Omnidirectional) -> Pinhole:
    """The pinhole that shows the middle of the picture as the camera does, at the same size.

    What lies towards the corners of the camera's picture falls outside.
    """
    return Pinhole(camera.a0, camera.cx, camera.cy, camera.width, camera.height)


def undistortion_maps(camera: Omnidirectional, pinhole: Pinhole) -> tuple[np.ndarray, np.ndarray]:
    """Column and row in the camera's picture of every pixel of the pinhole's, float32 (H, W) each.

    -1 where the camera does not see that far.
    """
    u, v = np.meshgrid(np.arange(pinhole.width), np.arange(pinhole.height))
    x, y = (u - pinhole.cx) / pinhole.focal, (v - pinhole.cy) / pinhole.focal
    seen = camera.project(np.stack([x, y, np.ones(x.shape)], axis=-1))
    seen = np.nan_to_num(seen, nan=-1.0).astype(np.float32)
    return seen[..., 0], seen[..., 1]


def undistort(
    picture: np.ndarray, maps: tuple[np.ndarray, np.ndarray], nearest: bool
) -> np.ndarray:
    """A picture (H, W) or (H, W, 3) as the pinhole of `undistortion_maps` sees it; 0 outside.

    `nearest` is for depths and masks, whose values must not be mixed across an edge.
    """
    cv2 = opencv()
    rule = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return cv2.remap(picture, *maps, rule, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
