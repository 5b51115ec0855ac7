"""Run several `crface` commands in one process, which pays for imports once.

`drive_commands.py JSON`: a list of lists of arguments. Ends with the first exit status that is not 0.
"""

import json
import sys

from workflows.cli.main import main


def run() -> None:
    for arguments in json.loads(sys.argv[1]):
        print("$ crface", arguments[0], flush=True)
        try:
            main(arguments)
        except SystemExit as end:
            if end.code:
                sys.exit(end.code)


if __name__ == "__main__":
    run()
