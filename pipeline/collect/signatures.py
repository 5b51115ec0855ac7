"""The cache of source files scanned in earlier runs: frames and signatures, so that none is decoded again."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from pipeline.collect.similarity import SIDE_PX, SIGNATURE_VERSION, Signature
from pipeline.collect.sources import SourceFile
from pipeline.collect.video import FrameRule
from pipeline.workspace.writing import write_atomically

PHOTOGRAPH = -1
"""The frame number of a photograph."""


@dataclass(slots=True)
class Scanned:
    """The frames of one file that were looked at."""

    frames: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """The width and height of each frame."""
    signatures: list[Signature] = field(default_factory=list)

    def add(self, frame: int, size: tuple[int, int], grey: Signature) -> None:
        """Add one frame."""
        self.frames.append(frame)
        self.sizes.append(size)
        self.signatures.append(grey)


class SignatureCache:
    """Scans of earlier runs in a folder; a file is identified by path, size and modification time."""

    def __init__(self, folder: Path, rule: FrameRule) -> None:
        self._folder = folder
        self._rule = rule

    def load(self, file: SourceFile) -> Scanned | None:
        """An earlier scan of the file in its present state; None if there is none or it is damaged."""
        try:
            with np.load(self._path(file), allow_pickle=False) as found:
                return Scanned(
                    found["frames"].tolist(),
                    [(int(width), int(height)) for width, height in found["sizes"]],
                    list(found["signatures"]),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def store(self, file: SourceFile, scanned: Scanned) -> None:
        """Keep a scan for the next run."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            frames=np.array(scanned.frames, np.int64),
            sizes=np.array(scanned.sizes, np.int64).reshape(-1, 2),
            signatures=np.array(scanned.signatures, np.uint8).reshape(-1, SIDE_PX, SIDE_PX),
        )
        write_atomically(self._path(file), buffer.getvalue())

    def _path(self, file: SourceFile) -> Path:
        status = file.path.stat()
        key = [str(file.path), status.st_size, status.st_mtime_ns, SIGNATURE_VERSION, cv2.__version__]
        if file.is_video:
            key += self._rule.key
        return self._folder / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.npz"
