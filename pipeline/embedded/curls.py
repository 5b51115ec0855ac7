"""Curly hair that stands out round the head, which the default world does not have."""

import numpy as np

from pipeline.embedded.anatomy import Pose
from pipeline.embedded.canvas import Canvas, ellipse
from pipeline.embedded.people import Person, scaled

_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def draw_curls(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Locks over the back and top of the head, the farthest first; the face is drawn over them."""
    points = _ball(70) * (1.06, 1.0, 0.95) + (0.0, -0.42, -0.28)
    points = points[points[:, 1] < 0.35]
    depth = pose.rotated(points)[:, 2]
    for index in np.argsort(depth):
        x, y = pose.project(points[index : index + 1])[0]
        radius = (0.24 + 0.08 * np.sin(7.0 * index + 10 * person.jaw)) * pose.unit_px
        shade = 0.8 + 0.4 * (index % 3) / 2
        canvas.polygon(ellipse((x, y), (radius, radius), 0.0, 12), scaled(person.hair, shade))


def _ball(num_points: int) -> np.ndarray:
    """Points spread evenly over a ball."""
    index = np.arange(num_points)
    height = 1 - 2 * (index + 0.5) / num_points
    ring, angle = np.sqrt(1 - height**2), _GOLDEN_ANGLE * index
    return np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], axis=1)
