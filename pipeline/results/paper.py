"""The numbers of the paper's tables, as they are printed there: never measured here."""

from collections.abc import Mapping
from typing import Final

BASELINE: Final = "detector"
"""The setting of an ablation that trains nothing."""

WIDER_VAL: Final = "paper: WIDER FACE validation"
WIDER_VAL_HRNET: Final = "paper: HRNet on WIDER FACE validation"
TEST_8K: Final = "paper: its 8K test set"

LOSSES: Final[Mapping[str, tuple[str, str, str]]] = {
    BASELINE: ("95.8", "95.2", "91.5"),
    "cross-entropy": ("95.0", "94.0", "89.7"),
    "l1": ("95.1", "94.4", "90.0"),
    "l2": ("95.1", "94.3", "90.4"),
    "smooth-l1": ("95.2", "94.5", "90.7"),
    "rank": ("96.9", "96.2", "92.7"),
}
"""Table 1: AP easy, medium, hard by the setting that stands for the loss here."""

PAIRS: Final[Mapping[str, tuple[str, str, str]]] = {
    BASELINE: ("95.8", "95.2", "91.5"),
    "1": ("96.7", "95.8", "91.9"),
    "2": ("96.8", "95.9", "92.2"),
    "3": ("96.7", "95.9", "92.1"),
    "5": ("96.8", "96.0", "92.3"),
    "10": ("96.9", "96.2", "92.7"),
    "20": ("96.8", "96.0", "92.4"),
    "50": ("96.8", "95.9", "92.1"),
    "100": ("96.7", "95.8", "91.9"),
}
"""Table 2: AP easy, medium, hard by number of pairs."""

SCALES: Final[tuple[tuple[str, ...], ...]] = (
    ("RetinaFace", "single", "95.2", "94.5", "84.3", "52"),
    ("RetinaFace", "multi", "96.4", "95.5", "90.3", "1048"),
    ("RetinaFace", "rank", "96.1", "95.3", "88.7", "107"),
    ("HAMBox", "single", "95.1", "94.2", "89.1", "70"),
    ("HAMBox", "multi", "96.2", "95.3", "90.9", "1383"),
    ("HAMBox", "rank", "96.1", "95.4", "91.7", "126"),
    ("HRNet (ours)", "single", "95.8", "95.2", "91.5", "91"),
    ("HRNet (ours)", "multi", "96.9", "96.1", "92.1", "1886"),
    ("HRNet (ours)", "rank", "96.9", "96.2", "92.7", "149"),
)
"""Table 3: model, scale, AP easy, medium, hard, milliseconds."""

SCALES_8K: Final[tuple[tuple[str, ...], ...]] = (
    ("RetinaFace", "single", "24.1", "428"),
    ("RetinaFace", "multi", "38.8", "1579"),
    ("RetinaFace", "rank", "40.7", "988"),
    ("HAMBox", "single", "21.8", "495"),
    ("HAMBox", "multi", "34.9", "1875"),
    ("HAMBox", "rank", "37.3", "1060"),
    ("HRNet (ours)", "single", "22.5", "705"),
    ("HRNet (ours)", "multi", "34.8", "2690"),
    ("HRNet (ours)", "rank", "37.0", "1261"),
    ("HRNet (ours)", "rank 8k", "42.5", "1263"),
)
"""Table 4: model, scale, AP, milliseconds."""

EXTERNAL: Final[tuple[tuple[str, ...], ...]] = (
    ("S3FD", "92.8", "91.3", "84.0", "Yes"),
    ("SSH", "92.7", "91.5", "84.4", "No"),
    ("PyramidBox", "95.6", "94.6", "88.7", "Yes"),
    ("FA-RPN", "95.0", "94.2", "88.9", "Yes"),
    ("DSFD", "96.0", "95.3", "90.0", "Yes"),
    ("SRN", "96.4", "95.3", "90.2", "Yes"),
    ("VIM-FD*", "96.7", "95.7", "90.7", ""),
    ("PyramidBox++*", "96.5", "95.9", "91.2", "Yes"),
    ("MaskFace*", "97.2", "96.5", "91.5", "Yes"),
    ("BBox", "96.5", "95.7", "91.7", ""),
    ("AInnoFace*", "97.0", "96.1", "91.8", "Yes"),
    ("ProgressFace", "96.8", "96.2", "91.8", "Yes"),
    ("RefineFace", "97.1", "96.2", "91.8", "Yes"),
    ("ASFD*", "97.2", "96.2", "92.0", "Yes"),
    ("RetinaFace", "96.9", "96.3", "92.2", "Yes"),
    ("HAMBox", "97.0", "96.4", "93.3", "Yes"),
    ("Ours", "96.9", "96.2", "92.7", "No"),
)
"""Table 5: model, AP easy, medium, hard, whether several scales were tested; * is not formally published."""
