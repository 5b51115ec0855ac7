"""Store the answers of detectors' shipped weights: `python -m detectors.golden NAME...`."""

import sys

import detectors
from detectors.golden.answers import as_json, ask, golden_file

for name in sys.argv[1:]:
    file = golden_file(name, str(detectors.identify(name)["weights"]))
    file.write_text(as_json(name, ask(detectors.create(name))))
    print(f"wrote {file}; delete those of weights that no longer ship")
