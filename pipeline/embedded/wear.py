"""What people wear or hold in front of their faces: glasses, masks, scarves, hats, hands."""

import numpy as np

from pipeline.embedded import masks
from pipeline.embedded.anatomy import Pose, face_front, half_width, on_face, patch, skull
from pipeline.embedded.canvas import Canvas, Colour, hull
from pipeline.embedded.people import Person, mixed, scaled


def draw_accessories(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Draw everything that a person wears; what is in front of the face is removed from the face region."""
    faces_us = not person.facing_away
    if faces_us and person.mask:
        _draw_mask(canvas, person, pose)
    if faces_us and (person.glasses or person.sunglasses):
        _draw_glasses(canvas, person, pose)
    if person.scarf:
        _draw_scarf(canvas, person, pose)
    if person.hat != "none":
        _draw_hat(canvas, person, pose)
    if faces_us and person.hand:
        _draw_hand(canvas, person, pose)


def _draw_mask(canvas: Canvas, person: Person, pose: Pose) -> None:
    match person.mask_kind:
        case "medical":
            _draw_medical_mask(canvas, person, pose)
        case "cloth":
            masks.draw_cloth_mask(canvas, person, pose)
        case "respirator":
            masks.draw_respirator(canvas, person, pose)
        case "bandana":
            masks.draw_bandana(canvas, person, pose)


def _draw_medical_mask(canvas: Canvas, person: Person, pose: Pose) -> None:
    y = np.linspace(0.08, 0.98, 8)
    width = half_width(y, person.jaw) * 0.98
    cloth: Colour = (214, 228, 238) if person.jaw < 0.5 else scaled(person.clothes, 0.9)
    points = np.concatenate(
        [on_face(-width, y, 0.06), on_face(width, y, 0.06), on_face(np.zeros(2), np.array([0.15, 0.95]), 0.2)]
    )
    canvas.polygon(hull(pose.project(points)), cloth, hides_face=True)
    for line in (0.35, 0.6):
        x = np.linspace(-0.5, 0.5, 5)
        canvas.line(
            pose.project(on_face(x, np.full_like(x, line), 0.1)), scaled(cloth, 0.82), 0.03 * pose.unit_px
        )


def _draw_glasses(canvas: Canvas, person: Person, pose: Pose) -> None:
    frame = (20, 18, 20) if person.jaw < 0.55 else mixed(person.hair, (120, 90, 40), 0.5)
    for side in (-1, 1):
        rim = patch(side * 0.34, -0.1, 0.25, 0.19, 0.1)
        if pose.rotated(rim)[:, 2].mean() < 0.1:
            continue
        seen = pose.project(rim)
        if person.sunglasses:
            canvas.polygon(seen, (18, 18, 22), hides_face=True)
        canvas.line(seen, frame, 0.05 * pose.unit_px, closed=True)
        temple = np.array([[side * 0.58, -0.12, 0.5], [side * 0.76, -0.1, 0.0]])
        canvas.line(pose.project(temple), frame, 0.05 * pose.unit_px)
    canvas.line(
        pose.project(on_face(np.array([-0.1, 0.1]), np.array([-0.12, -0.12]), 0.12)),
        frame,
        0.05 * pose.unit_px,
    )


def _draw_scarf(canvas: Canvas, person: Person, pose: Pose) -> None:
    cloth = mixed(scaled(person.clothes, 1.3), (200, 60, 60), 0.3)
    y = np.linspace(0.42, 1.45, 8)
    width = np.full_like(y, 0.86)
    front = np.stack([np.zeros_like(y), y, np.full_like(y, 0.95)], axis=1)
    ring = [np.stack([side * width, y, np.zeros_like(y)], axis=1) for side in (-1, 1)]
    back = front * [1, 1, -0.9]
    canvas.polygon(hull(pose.project(np.concatenate([front, *ring, back]))), cloth, hides_face=True)
    x = np.linspace(-0.7, 0.7, 5)
    for line in (0.7, 1.05):
        canvas.line(
            pose.project(on_face(x, np.full_like(x, line), 0.1)), scaled(cloth, 0.7), 0.06 * pose.unit_px
        )


def _draw_hat(canvas: Canvas, person: Person, pose: Pose) -> None:
    if person.hat == "hard hat":
        masks.draw_hard_hat(canvas, person, pose)
        return
    if person.hat == "full helmet":
        masks.draw_full_helmet(canvas, person, pose, Canvas(*canvas.face.shape))
        return
    cloth = scaled(mixed(person.clothes, person.hair, 0.3), 0.85)
    if person.hat in ("helmet", "hood"):
        grown = skull(1.24, 0.95)
        opening = face_front(person.jaw, -0.62 if person.hat == "helmet" else -0.8, 0.9, 0.92)
        around, inside = hull(pose.project(grown)), hull(pose.project(opening))
        _polygon_with_hole(canvas, around, inside, cloth)
        return
    top = skull(1.16, -0.62)
    edge = on_face(np.linspace(-0.75, 0.75, 9), np.full(9, -0.66), 0.12)
    canvas.polygon(hull(pose.project(np.concatenate([top, edge]))), cloth, hides_face=True)
    t = np.linspace(0, np.pi, 9)
    if person.hat == "cap":
        peak = np.stack([0.7 * np.cos(t), np.full_like(t, -0.6), 0.6 + 0.75 * np.sin(t)], axis=1)
        canvas.polygon(hull(pose.project(peak)), scaled(cloth, 0.7), hides_face=True)
    elif person.hat == "brim":
        round_ = np.linspace(0, 2 * np.pi, 20)
        brim = np.stack([1.5 * np.cos(round_), np.full_like(round_, -0.64), 1.5 * np.sin(round_)], axis=1)
        canvas.polygon(hull(pose.project(brim)), scaled(cloth, 0.8), hides_face=True)
    else:
        canvas.line(pose.project(edge), scaled(cloth, 1.3), 0.16 * pose.unit_px)


def _polygon_with_hole(canvas: Canvas, around: np.ndarray, inside: np.ndarray, colour: Colour) -> None:
    kept, kept_face = canvas.rgba.copy(), canvas.face.copy()
    canvas.polygon(around, colour, hides_face=True)
    hole = Canvas(*canvas.face.shape)
    hole.polygon(inside, (255, 255, 255))
    is_hole = hole.rgba[..., 3:] / np.float32(255)
    np.copyto(canvas.rgba, (canvas.rgba * (1 - is_hole) + kept * is_hole).astype(np.uint8))
    np.copyto(canvas.face, np.where(is_hole[..., 0] > 0.5, kept_face, canvas.face))


def _draw_hand(canvas: Canvas, person: Person, pose: Pose) -> None:
    skin, unit = scaled(person.skin, 0.95), pose.unit_px
    side = 1 if person.yaw < 0 else -1
    for finger in range(4):
        base = np.array([side * 0.45, 0.85 - 0.14 * finger, 1.0])
        tip = base + np.array([-side * 0.75, -0.1 - 0.05 * finger, 0.0])
        canvas.polygon(
            hull(pose.project(np.concatenate([base + 0.09 * _DISC, tip + 0.08 * _DISC]))),
            skin,
            hides_face=True,
        )
    palm = np.array([side * 0.55, 0.72, 1.0]) + _DISC * [0.3, 0.38, 0]
    canvas.polygon(hull(pose.project(palm)), scaled(skin, 0.92), hides_face=True)
    arm = np.array(
        [[side * 0.35, 0.95, 1], [side * 0.85, 0.95, 1], [side * 1.7, 3.6, 0.6], [side * 1.1, 3.7, 0.6]]
    )
    canvas.polygon(pose.project(arm), person.clothes)
    canvas.line(pose.project(palm[:5]), scaled(skin, 0.7), 0.03 * unit)


_DISC = np.array([[np.cos(a), np.sin(a), 0.0] for a in np.linspace(0, 2 * np.pi, 10, endpoint=False)])
