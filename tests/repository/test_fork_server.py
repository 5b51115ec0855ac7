"""A process that the tests' fork server starts is like `python -c`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fork_server import Ended, run_python


def run(program: str, *arguments: str, cwd: Path, timeout: float = 60, **variables: str) -> Ended:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return run_python(program, *arguments, cwd=cwd, environment=environment, timeout=timeout)


def test_it_has_the_folder_the_arguments_and_the_environment_that_it_is_given(tmp_path: Path) -> None:
    program = "import os, sys; print(os.getcwd(), sys.argv, os.environ['WORD'], sys.stdin.read(), __name__)"
    expected = Ended(0, f"{tmp_path} ['-c', 'a', 'b c'] w  __main__\n", "")
    assert run(program, "a", "b c", cwd=tmp_path, WORD="w") == expected


@pytest.mark.parametrize(
    ("program", "status", "errors"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("import os; os._exit(4)", 4, ""),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('gone')", 1, "gone"),
    ],
)
def test_its_end_is_told(program: str, status: int, errors: str, tmp_path: Path) -> None:
    ended = run(program, cwd=tmp_path)
    assert ended.status == status
    assert ended.errors.endswith(f"{errors}\n" if errors else "")


def test_it_leaves_as_processes_do(tmp_path: Path) -> None:
    program = "import atexit; atexit.register(print, 'last'); print('first')"
    assert run(program, cwd=tmp_path).output == "first\nlast\n"


def test_it_can_spawn_others(tmp_path: Path) -> None:
    program = "import multiprocessing as m; print(m.get_context('spawn').Pool(1).map(abs, [-2]))"
    assert run(program, cwd=tmp_path) == Ended(0, "[2]\n", "")


def test_it_finds_the_modules_of_this_repository_for_itself(tmp_path: Path) -> None:
    program = "import sys; print({'crface', 'detectors', 'pipeline', 'workflows'} & sys.modules.keys())"
    assert run(program, cwd=tmp_path).output == "set()\n"


def test_one_that_takes_too_long_is_killed_and_the_next_is_well(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run("import time; time.sleep(1000)", cwd=tmp_path, timeout=0.2)
    assert run("print(1)", cwd=tmp_path).output == "1\n"


def test_it_is_what_a_fresh_process_is(tmp_path: Path) -> None:
    program = "import sys, torch; print(sys.path[0] == '', len(sys.path), torch.get_num_threads(), sys.flags)"
    fresh = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run(program, cwd=tmp_path).output == fresh.stdout
