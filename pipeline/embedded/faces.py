"""A person's head and body drawn as a sprite, with a mask of the face region."""

import numpy as np
from jaxtyping import Float

from pipeline.embedded import wear
from pipeline.embedded.anatomy import HALF_WIDTH, Pose, face_front, half_width, on_face, patch, skull
from pipeline.embedded.canvas import Canvas, Points, Sprite, ellipse, hull
from pipeline.embedded.curls import draw_curls
from pipeline.embedded.people import Person, mixed, scaled

_SIDE = 2.7  # half of the sprite's width in face units: room for shoulders
_ABOVE = 2.3  # room above the middle of the face for hair and hats


def draw_person(person: Person, unit_px: float, below: float = 3.5, with_body: bool = True) -> Sprite:
    """A person as a sprite whose anchor is the middle of the face.

    `unit_px` is half the height of the face; the body extends to `below` units under the middle of the face. A
    person facing away has no face region.
    """
    canvas = Canvas(round((_ABOVE + below) * unit_px), round(2 * _SIDE * unit_px))
    origin = (_SIDE * unit_px, _ABOVE * unit_px)
    yaw = person.yaw + np.pi if person.facing_away else person.yaw
    pose = Pose(yaw, person.pitch, person.roll, origin, unit_px)
    if with_body:
        _draw_body(canvas, person, origin, unit_px, below)
    outline = _draw_head(canvas, person, pose)
    if person.facing_away:
        return Sprite(canvas.rgba, canvas.face > 127, np.zeros((0, 2)), 0.0, origin)
    return Sprite(canvas.rgba, canvas.face > 127, outline, polygon_area(outline), origin)


def polygon_area(points: Points) -> float:
    """The area of a polygon; 0 for fewer than three corners."""
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def _draw_body(
    canvas: Canvas, person: Person, origin: tuple[float, float], unit: float, below: float
) -> None:
    def place(points: list[tuple[float, float]]) -> Points:
        return np.array(points) * unit + origin

    dark, lean = scaled(person.clothes, 0.62), 0.12 * np.sin(person.roll)
    if below > 7.5:
        legs = scaled(mixed(person.clothes, (40, 44, 60), 0.75), 0.8)
        for side in (-1, 1):
            canvas.polygon(
                place([(side * 0.1, 7), (side * 1.15, 7), (side * 0.9, 13.4), (side * 0.25, 13.4)]), legs
            )
            canvas.polygon(
                place([(side * 0.2, 13.2), (side * 1.05, 13.2), (side * 1.1, 13.8), (side * 0.2, 13.8)]),
                (30, 26, 24),
            )
    for side in (-1, 1):
        arm = [
            (side * 1.3, 1.75),
            (side * 2.1, 2.1),
            (side * 2.35, 4.4),
            (side * 2.1, 7.2),
            (side * 1.7, 7.2),
            (side * 1.6, 3),
        ]
        canvas.polygon(place(arm), dark)
        canvas.polygon(
            ellipse((origin[0] + side * 1.9 * unit, origin[1] + 7.4 * unit), (0.27 * unit, 0.4 * unit)),
            person.skin,
        )
    torso = [
        (-0.4, 1.2),
        (0.4, 1.2),
        (1.5, 1.65),
        (1.95, 2.1),
        (1.6, 4.5),
        (1.35, 7.3),
        (-1.35, 7.3),
        (-1.6, 4.5),
        (-1.95, 2.1),
        (-1.5, 1.65),
    ]
    canvas.polygon(place(torso), person.clothes)
    canvas.polygon(
        place([(0, 2.2), (0.3, 1.5), (1.5, 1.65), (1.9, 2.1), (1.6, 4.5), (1.35, 7.3), (0.5, 7.3)]),
        scaled(person.clothes, 0.85),
    )
    neck = [(-0.42 + lean, 0.3), (0.42 + lean, 0.3), (0.45, 1.35), (0.0, 1.95), (-0.45, 1.35)]
    canvas.polygon(place(neck), scaled(person.skin, 0.74))


def _draw_head(canvas: Canvas, person: Person, pose: Pose) -> Points:
    style, skin = person.hair_style, person.skin
    hair = skin if style == "bald" else person.hair
    if style in ("long", "cloth"):
        drop = skull(1.12, 0.5)
        tips = np.array([[x, y, -0.25] for x in (-0.85, 0.85) for y in (0.9, 1.5)])
        canvas.polygon(hull(pose.project(np.concatenate([drop, tips]))), scaled(hair, 0.8))
    if style == "bun":
        canvas.polygon(hull(pose.project(np.array([0, -1.35, -0.5]) + 0.4 * _sphere())), hair)
    if style == "curls":
        draw_curls(canvas, person, pose)
    canvas.polygon(hull(pose.project(skull(1.0 if style == "bald" else 1.09))), hair)
    if not person.facing_away:
        for side in (-1, 1):
            ear = np.array([side * HALF_WIDTH, 0.0, -0.02])
            if style in ("bald", "short", "bun") and pose.rotated(ear[None])[0, 2] > -0.5:
                points = ear + np.stack(
                    [0.07 * np.cos(_TURN), 0.22 * np.sin(_TURN), 0.1 * np.cos(_TURN)], axis=1
                )
                canvas.polygon(hull(pose.project(points)), scaled(skin, 0.84))
    outline = hull(pose.project(face_front(person.jaw)))
    if not person.facing_away:
        canvas.polygon(outline, skin)
        canvas.mark_face(outline)
        _draw_features(canvas, person, pose)
        if style in ("fringe", "cloth"):
            _draw_fringe(canvas, person, pose)
    wear.draw_accessories(canvas, person, pose)
    _shade_head(canvas, person, pose)
    return outline


_TURN = np.linspace(0, 2 * np.pi, 12, endpoint=False)


def _sphere() -> Float[np.ndarray, "point 3"]:
    zero = np.zeros_like(_TURN)
    return np.concatenate(
        [np.stack([np.cos(_TURN), np.sin(_TURN), zero], 1), np.stack([zero, np.sin(_TURN), np.cos(_TURN)], 1)]
    )


def _draw_features(canvas: Canvas, person: Person, pose: Pose) -> None:
    skin, unit = person.skin, pose.unit_px
    places = {
        "left": (-person.eye_gap, -0.12),
        "right": (person.eye_gap, -0.12),
        "nose": (0.0, 0.25),
        "mouth": (0.0, 0.58),
    }
    if person.scrambled:
        keys = ["mouth", "nose", "right", "left"]
        places = dict(zip(places, [places[k] for k in keys], strict=True))
    if person.beard > 0:
        rows = np.linspace(0.3, 1.02, 7)
        w = half_width(np.minimum(rows, 0.98), person.jaw) * 0.98 + 0.03
        sides = np.concatenate([on_face(-w, rows), on_face(w[::-1], rows[::-1])])
        canvas.polygon(hull(pose.project(sides)), mixed(skin, person.hair, person.beard))
    for side, key in ((-1, "left"), (1, "right")):
        x, y = places[key]
        if _faces_us(pose, x, y):
            socket = patch(x, y - 0.02, 0.2, 0.12)
            canvas.polygon(pose.project(socket), scaled(skin, 0.86))
            _draw_eye(canvas, person, pose, x, y, side)
    _draw_nose(canvas, person, pose, *places["nose"])
    x, y = places["mouth"]
    if person.has_mouth and _faces_us(pose, x, y):
        _draw_mouth(canvas, person, pose, x, y)
    if person.gloss > 0:
        shine = patch(0.3 * person.light_from[0], -0.55, 0.16, 0.1)
        canvas.polygon(pose.project(shine), mixed(skin, (255, 255, 255), 0.6 * person.gloss))
        for side in (-1, 1):
            if _faces_us(pose, side * 0.45, 0.3) and unit > 12:
                canvas.polygon(
                    pose.project(patch(side * 0.45, 0.3, 0.13, 0.11)), mixed(skin, (240, 110, 110), 0.4)
                )


def _faces_us(pose: Pose, x: float, y: float) -> bool:
    return bool(pose.rotated(on_face(np.array([x]), np.array([y])))[0, 2] > 0.18)


def _draw_eye(canvas: Canvas, person: Person, pose: Pose, x: float, y: float, side: int) -> None:
    size, skin = person.eye_size, person.skin
    if person.eyes == "buttons":
        canvas.polygon(pose.project(patch(x, y, 0.12 * size, 0.12 * size, 0.02)), (16, 14, 14))
    elif person.eyes == "blank":
        canvas.polygon(pose.project(patch(x, y, 0.17 * size, 0.075 * size, 0.01)), scaled(skin, 1.06))
        canvas.polygon(pose.project(patch(x, y - 0.08 * size, 0.18 * size, 0.025)), scaled(skin, 0.6))
    elif person.eyes == "human":
        canvas.polygon(pose.project(patch(x, y, 0.165 * size, 0.075 * size, 0.01)), (226, 222, 216))
        canvas.polygon(
            pose.project(patch(x + 0.02 * person.yaw, y, 0.075 * size, 0.077 * size, 0.015, 10)), (44, 30, 22)
        )
        lid = on_face(
            x + np.linspace(-0.18, 0.18, 7) * size,
            y - 0.085 * size * np.sqrt(1 - np.linspace(-0.98, 0.98, 7) ** 2),
        )
        canvas.line(pose.project(lid), scaled(skin, 0.35), 0.045 * pose.unit_px)
    if person.has_brows and person.eyes != "none":
        t = np.linspace(-0.22, 0.22, 5)
        brow = on_face(x + t, y - 0.26 + 0.25 * t * side * (0.3 - person.smile * 0.3) + 0.5 * t**2, 0.01)
        colour = scaled(skin, 0.7) if person.eyes == "blank" else mixed(scaled(skin, 0.5), person.hair, 0.6)
        canvas.line(pose.project(brow), colour, 0.075 * pose.unit_px)


def _draw_nose(canvas: Canvas, person: Person, pose: Pose, x: float, y: float) -> None:
    skin = person.skin
    bridge = on_face(np.array([x, x - 0.16, x, x + 0.16]), y + np.array([-0.4, 0.06, 0.1, 0.06]))
    bridge[1:, 2] += [0.02, 0.2, 0.02]
    tip = bridge[2:3] + np.array([0, -0.1, 0.02])
    seen = pose.project(np.concatenate([bridge, tip]))
    canvas.polygon(hull(seen), scaled(skin, 1.05))
    away = 1 if person.light_from[0] < 0 else 3  # the wing that lies in the shade
    canvas.polygon(seen[[0, 4, 4 - away]], scaled(skin, 0.8))
    under = on_face(np.array([x - 0.15, x + 0.15, x]), y + np.array([0.09, 0.09, 0.13]), 0.06)
    if _faces_us(pose, x, y):
        canvas.polygon(pose.project(under), scaled(skin, 0.58))


def _draw_mouth(canvas: Canvas, person: Person, pose: Pose, x: float, y: float) -> None:
    t = np.linspace(-1, 1, 9)
    half, opening = person.mouth * (1 + 0.15 * max(person.smile, 0)), 0.02 + 0.2 * person.open_mouth
    curve = y - 0.07 * person.smile * t**2
    lip = mixed(person.skin, (170, 50, 55), 0.5) if person.eyes == "human" else scaled(person.skin, 0.75)
    arch = np.sqrt(1 - t**2 * 0.999)
    upper = on_face(x + half * t, curve - (0.06 + 0.4 * opening) * arch, 0.02)
    lower = on_face(x + half * t[::-1], curve[::-1] + (0.07 + opening) * arch, 0.02)
    canvas.polygon(pose.project(np.concatenate([upper, lower])), lip)
    if person.open_mouth > 0 or person.smile > 0.5:
        gap = max(opening, 0.05)
        inner = np.concatenate(
            [
                on_face(x + 0.85 * half * t, curve - 0.35 * gap * arch, 0.02),
                on_face(x + 0.85 * half * t[::-1], curve[::-1] + gap * arch, 0.02),
            ]
        )
        canvas.polygon(pose.project(inner), (70, 22, 24) if person.open_mouth > 0.3 else (236, 230, 222))
        if person.open_mouth > 0.3:
            canvas.line(
                pose.project(on_face(x + 0.7 * half * t, curve - 0.2 * gap * arch, 0.02)),
                (232, 226, 218),
                0.06 * pose.unit_px,
            )
    else:
        canvas.line(pose.project(on_face(x + half * t, curve, 0.02)), scaled(lip, 0.5), 0.03 * pose.unit_px)


def _draw_fringe(canvas: Canvas, person: Person, pose: Pose) -> None:
    t = np.linspace(-1, 1, 9)
    low = -0.55 + 0.12 * np.sin(3 * t + person.jaw * 20)
    width = half_width(np.full_like(t, -0.5), person.jaw) * 1.02
    edge = on_face(width * t, low, 0.05)
    top = on_face(width * t[::-1] * 0.9, np.full_like(t, -1.1), 0.08)
    canvas.polygon(pose.project(np.concatenate([edge, top])), scaled(person.hair, 1.1))


def _shade_head(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Darken the side facing away from the light, as on a ball."""
    unit = pose.unit_px
    height, width = canvas.face.shape
    top, left = max(0, round(pose.origin[1] - 1.5 * unit)), max(0, round(pose.origin[0] - 1.3 * unit))
    bottom, right = (
        min(height, round(pose.origin[1] + 1.3 * unit)),
        min(width, round(pose.origin[0] + 1.3 * unit)),
    )
    y = (np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(pose.origin[1])) / np.float32(
        1.35 * unit
    )
    x = (np.arange(left, right, dtype=np.float32)[None] - np.float32(pose.origin[0])) / np.float32(1.0 * unit)
    z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    lx, ly = person.light_from
    lambert = (x * lx + y * ly + z * 0.9) / np.float32(np.hypot(np.hypot(lx, ly), 0.9))
    canvas.shade(
        (1 - person.contrast + person.contrast * 1.25 * np.clip(lambert, 0, 1)).astype(np.float32), top, left
    )
