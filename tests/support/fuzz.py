"""Look for new findings with Atheris, which steers the damage by the code that it reaches: `make fuzz`.

    python tests/fuzz.py 600                 every reader, ten minutes in all
    python tests/fuzz.py 600 annotations     one of them

Each reader runs in a process of its own, so that a crash of a library ends just that one. Inputs that count are kept in
`.fuzz/NAME`, from where the next search goes on; a finding is kept as `.fuzz/NAME.crash-*`. Exit status 1 after one.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

_KEPT = Path(".fuzz")
_HANG_S = 60
_MEMORY_MB = 4096


def _search(name: str, seconds: int) -> None:
    """Search one reader's inputs in this process, which Atheris ends."""
    import atheris

    with atheris.instrument_imports(include=["crface", "detectors", "pipeline"]):
        import fuzz_files
        import fuzz_texts
    target = next(one for one in (*fuzz_texts.TARGETS, *fuzz_files.TARGETS) if one.name == name)
    place = name.replace("/", "-").replace(" ", "-")
    corpus = _KEPT / place
    corpus.mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate(target.samples()):
        (corpus / f"sample-{number}").write_bytes(sample)
    folder = Path(tempfile.mkdtemp())
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={_HANG_S}",
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-artifact_prefix={_KEPT / place}.",
        "-verbosity=0",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *options], lambda data: target.accepts(data, folder) and None)
    atheris.Fuzz()


def _search_all(seconds: int, names: list[str]) -> int:
    import fuzz_files
    import fuzz_texts

    chosen = names or [target.name for target in (*fuzz_texts.TARGETS, *fuzz_files.TARGETS)]
    found = []
    for name in chosen:
        each = max(1, seconds // len(chosen))
        print(f"{name}: {each} s", flush=True)
        if subprocess.run([sys.executable, __file__, "--one", name, str(each)], check=False).returncode:
            found.append(name)
    print(f"findings in {', '.join(found)}: see {_KEPT}" if found else "no findings")
    return bool(found)


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        _search(sys.argv[2], int(sys.argv[3]))
    else:
        try:
            import atheris  # noqa: F401
        except ImportError:
            sys.exit("make fuzz needs Atheris (Linux and macOS): pip install atheris")
        sys.exit(_search_all(int(sys.argv[1]), sys.argv[2:]))
