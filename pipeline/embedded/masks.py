"""Masks and helmets of the world `masks`, on heads that may be turned; what they cover leaves the face region."""

import numpy as np

from pipeline.embedded.anatomy import Pose, face_front, half_width, on_face, patch, skull
from pipeline.embedded.canvas import Canvas, hull
from pipeline.embedded.people import Person, mixed, scaled


def draw_cloth_mask(canvas: Canvas, person: Person, pose: Pose) -> None:
    """A mask of one's own cloth, with a seam down the middle and loops to the ears."""
    _draw_cover(canvas, person, pose, top=0.02, bottom=1.0, beak=0.2)
    seam = np.linspace(0.12, 0.9, 6)
    line = pose.project(on_face(np.zeros_like(seam), seam, 0.2))
    canvas.line(line, scaled(person.mask_cloth, 0.7), 0.04 * pose.unit_px)
    for side in (-1, 1):
        loop = on_face(np.array([side * 0.66, side * 0.75]), np.array([0.2, -0.05]), 0.02)
        canvas.line(pose.project(loop), scaled(person.mask_cloth, 0.8), 0.03 * pose.unit_px)


def draw_respirator(canvas: Canvas, person: Person, pose: Pose) -> None:
    """A white respirator that stands out like a beak, with two straps, some with a valve."""
    white = (238.0, 238.0, 234.0)
    for level in (-0.3, 0.35):
        x = np.linspace(-0.74, 0.74, 7)
        strap = pose.project(on_face(x, np.full_like(x, level), 0.03))
        canvas.line(strap, (222, 210, 160), 0.05 * pose.unit_px)
    y = np.linspace(0.0, 0.85, 8)
    width = half_width(y, person.jaw) * 0.8
    ridge = on_face(np.zeros(3), np.array([0.05, 0.35, 0.75]), 0.38)
    points = np.concatenate([on_face(-width, y, 0.05), on_face(width, y, 0.05), ridge])
    canvas.polygon(hull(pose.project(points)), white, hides_face=True)
    fold = on_face(np.linspace(-0.5, 0.5, 7), np.full(7, 0.42), 0.22)
    canvas.line(pose.project(fold), (190, 190, 188), 0.035 * pose.unit_px)
    if person.jaw > 0.5:
        canvas.polygon(pose.project(patch(0.22, 0.45, 0.13, 0.11, 0.3)), (150, 160, 170), hides_face=True)


def draw_bandana(canvas: Canvas, person: Person, pose: Pose) -> None:
    """A kerchief over nose and mouth whose tip hangs below the chin, with dots."""
    tip = np.array([[0.0, 1.45, 0.8]])
    _draw_cover(canvas, person, pose, top=-0.02, bottom=0.95, beak=0.15, more=tip)
    for x in (-0.4, -0.1, 0.2, 0.45):
        for y in (0.3, 0.62):
            dot = patch(x, y, 0.05, 0.05, 0.16, 8)
            canvas.polygon(pose.project(dot), mixed(person.mask_cloth, (255, 255, 255), 0.7))


def _draw_cover(
    canvas: Canvas,
    person: Person,
    pose: Pose,
    top: float,
    bottom: float,
    beak: float,
    more: np.ndarray | None = None,
) -> None:
    y = np.linspace(top, bottom * 0.98, 8)
    width = half_width(y, person.jaw) * 0.99
    nose = on_face(np.zeros(2), np.array([top + 0.1, 0.9 * bottom]), beak)
    parts = [on_face(-width, y, 0.06), on_face(width, y, 0.06), nose, *([] if more is None else [more])]
    canvas.polygon(hull(pose.project(np.concatenate(parts))), person.mask_cloth, hides_face=True)


def draw_hard_hat(canvas: Canvas, person: Person, pose: Pose) -> None:
    """A builder's helmet: a shell with a ridge along the top and a short peak."""
    shell = skull(1.22, -0.55)
    canvas.polygon(hull(pose.project(shell)), person.shell, hides_face=True)
    arc = np.linspace(-1.0, 0.9, 9)
    ridge = np.stack([np.zeros_like(arc), -1.6 * np.cos(arc), 1.1 * np.sin(arc)], axis=1)
    front = ridge[pose.rotated(ridge)[:, 2] > -0.1]
    if len(front) > 1:
        canvas.line(pose.project(front), scaled(person.shell, 0.8), 0.12 * pose.unit_px)
    turn = np.linspace(0, np.pi, 9)
    peak = np.stack([0.95 * np.cos(turn), np.full_like(turn, -0.58), 0.5 + 0.62 * np.sin(turn)], axis=1)
    if not person.facing_away:
        canvas.polygon(hull(pose.project(peak)), scaled(person.shell, 0.85), hides_face=True)


def draw_full_helmet(canvas: Canvas, person: Person, pose: Pose, opening: Canvas) -> None:
    """A motorcyclist's helmet: it shows the face from brows to mouth; `opening` is a canvas of the same size."""
    around = hull(pose.project(np.concatenate([skull(1.26, 0.9), face_front(0.8, -0.9, 1.12, 1.2)])))
    if person.facing_away:
        canvas.polygon(around, person.shell)
        return
    y = np.linspace(-0.45, 0.62, 7)
    side = np.full_like(y, 0.66)
    window = hull(pose.project(np.concatenate([on_face(-side, y, 0.1), on_face(side, y, 0.1)])))
    opening.polygon(window, (255, 255, 255))
    kept, kept_face = canvas.rgba.copy(), canvas.face.copy()
    canvas.polygon(around, person.shell, hides_face=True)
    canvas.line(window, scaled(person.shell, 0.45), 0.1 * pose.unit_px, closed=True)
    is_open = opening.rgba[..., 3:] > 127
    np.copyto(canvas.rgba, np.where(is_open, kept, canvas.rgba))
    np.copyto(canvas.face, np.where(is_open[..., 0], kept_face, canvas.face))
