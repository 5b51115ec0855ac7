"""The notebook does what it says: its cells are run one after the other, as a reader would, and draw their figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import DOCS

NOTEBOOK = json.loads((DOCS / "tutorials" / "first-look.ipynb").read_text())
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]

# a minute of two idle cores, which may be busy
pytestmark = pytest.mark.timeout(900)

AFTERWARDS = """
for number in plt.get_fignums():
    plt.figure(number).savefig(f"figure-{number}.png")
found = {row.confidence: row.ap for row in numbers.values()}
assert found["oracle"] >= found["predicted"] - 1e-9
assert len(boxes) == len(refined) == len(oracle) > len(faces) > 0
print("lines:", [line.get_label().split(":")[0] for line in axis.get_lines()])
"""


def test_its_cells_run_in_order_and_draw_the_pictures_and_the_curves(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'crface[demo]'")
    environment = {
        **os.environ,
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join([*CODE, AFTERWARDS])],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")  # not even a warning
    assert "retinaface-mobilenet0.25 on val: candidates of 12 images" in ended.stdout
    assert "lines: ['predicted', 'ranked', 'oracle']" in ended.stdout
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["figure-1.png", "figure-2.png"]
    assert all(path.stat().st_size > 10_000 for path in tmp_path.glob("*.png"))


def test_it_is_stored_without_outputs_and_without_traces_of_who_ran_it() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert set(NOTEBOOK["metadata"]) == {"kernelspec", "language_info"}
    assert NOTEBOOK["metadata"]["language_info"] == {"name": "python"}
    for cell in NOTEBOOK["cells"]:
        assert cell["metadata"] == {}
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_its_cells_have_ids_of_their_own() -> None:
    ids = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(ids)) == len(ids)
