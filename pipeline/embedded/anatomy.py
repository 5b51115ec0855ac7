"""The shape of a head in three dimensions, and its projection onto the picture for a pose.

Lengths are in face units: half the height from hairline to chin is 1. The origin is the middle of the face; x
points right, y down, and z towards the viewer.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Points3 = Float[np.ndarray, "point 3"]

HALF_WIDTH = 0.76
"""Half of the face's width at the cheekbones."""
_DEPTH = 0.85
_TOP = -1.32  # of the skull


@dataclass(frozen=True, slots=True)
class Pose:
    """The rotation of a head, in radians, and its place and size in the picture.

    Yaw turns it to the side, pitch nods it down, and roll rotates it within the picture.
    """

    yaw: float
    pitch: float
    roll: float
    origin: tuple[float, float]
    unit_px: float

    def rotated(self, points: Points3) -> Points3:
        """Points of the head rotated about its middle."""
        cy, sy, cp, sp, cr, sr = (f(a) for a in (self.yaw, self.pitch, self.roll) for f in (np.cos, np.sin))
        x, y, z = points.T
        x, z = cy * x + sy * z, cy * z - sy * x
        y, z = cp * y + sp * z, cp * z - sp * y
        return np.stack([cr * x - sr * y, sr * x + cr * y, z], axis=1)

    def project(self, points: Points3) -> Float[np.ndarray, "point 2"]:
        """The pixels at which points of the head are drawn."""
        return self.rotated(points)[:, :2] * self.unit_px + self.origin


def half_width(y: Float[np.ndarray, " point"], jaw: float) -> Float[np.ndarray, " point"]:
    """Half of the head's width at heights y; `jaw`, 0.3..0.7, is the share left near the chin."""
    skull = np.sqrt(np.clip(1 - ((y + 0.1) / (_TOP + 0.1)) ** 2, 0, 1))
    t = np.clip((y - 0.1) / 0.9, 0, 1)
    face = 1 - (1 - jaw) * t**1.6
    round_chin = np.sqrt(np.clip(1 - np.clip((y - 0.72) / 0.28, 0, 1) ** 2, 0, 1))
    return HALF_WIDTH * np.where(y < -0.1, skull, face * round_chin)


def on_face(x: Float[np.ndarray, " point"], y: Float[np.ndarray, " point"], lift: float = 0.0) -> Points3:
    """Points of the face's plane placed on its curved surface, `lift` above it."""
    z = _DEPTH * np.sqrt(np.clip(1 - (x / HALF_WIDTH) ** 2 - (y / 1.35) ** 2, 0.0, 1))
    return np.stack([x, y, z + lift], axis=1)


def patch(x: float, y: float, rx: float, ry: float, lift: float = 0.0, num_points: int = 14) -> Points3:
    """The points of an ellipse on the face's surface."""
    t = np.linspace(0, 2 * np.pi, num_points, endpoint=False)
    return on_face(x + rx * np.cos(t), y + ry * np.sin(t), lift)


def face_front(jaw: float, top: float = -0.95, bottom: float = 1.0, grow: float = 1.0) -> Points3:
    """Points whose hull is the face region: hairline to chin, ear to ear, and the nose in profile."""
    y = np.linspace(top, bottom, 15)
    width = half_width(y, jaw) * grow
    ring = [np.stack([side * width, y, np.full_like(y, 0.05)], axis=1) for side in (-1, 1)]
    profile = on_face(np.zeros_like(y), y * 0.99)
    nose = np.array([[0.0, 0.22, _DEPTH + 0.22]])
    return np.concatenate([*ring, profile, nose] if top < 0.2 < bottom else [*ring, profile])


def skull(grow: float = 1.0, bottom: float = 0.5) -> Points3:
    """Points whose hull is the back and top of the head, including hair."""
    # closer together at the crown, where the outline curves most
    y = _TOP * grow + (bottom - _TOP * grow) * np.linspace(0, 1, 11) ** 2
    width = half_width(y / grow, 0.8) * grow
    ring = [np.stack([side * width, y, np.full_like(y, -0.1)], axis=1) for side in (-1, 1)]
    back = np.stack(
        [np.zeros_like(y), y, -0.95 * grow * np.sqrt(np.clip(1 - ((y + 0.3) / 1.1) ** 2, 0, 1))], axis=1
    )
    front = np.stack(
        [np.zeros_like(y[:5]), y[:5], 0.72 * grow * np.sqrt(np.clip(1 - (y[:5] / (_TOP * grow)) ** 2, 0, 1))],
        axis=1,
    )
    return np.concatenate([*ring, back, front])
