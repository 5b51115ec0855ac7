"""The lock file with hashes belongs to the versions that everything is tested with."""

import re
import tomllib

from places import ROOT

_EXTRAS = ("demo", "onnx", "dashboard", "ssh", "slurm", "s3", "tls", "dev")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\\n]+)", re.MULTILINE)


def _pins(file: str) -> dict[str, str]:
    pins = _PIN.findall((ROOT / file).read_text())
    return {re.sub("[._-]+", "-", name).lower(): version for name, version in pins}


def test_the_lock_file_has_the_versions_of_the_constraints() -> None:
    locked, constrained = _pins("requirements.lock"), _pins("constraints.txt")
    differing = [name for name in locked.keys() & constrained.keys() if locked[name] != constrained[name]]
    assert not differing, f"run `make lock`: {differing}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(name for extra in _EXTRAS for name in extras[extra])]
    names = {re.sub("[._-]+", "-", re.split("[><=;\\[ ]", one)[0]).lower() for one in wanted}
    assert names <= locked.keys(), f"run `make lock`: {sorted(names - locked.keys())} are not in it"


def test_every_locked_package_has_a_hash() -> None:
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries if not entry.startswith("#"))
