"""For notebooks that open what another one saved: run that other one where nobody has yet."""

import subprocess
import sys
from pathlib import Path


def run_if_missing(pattern, notebook):
    """Run `notebook` from top to bottom, in a kernel of its own, unless its folder has the file.

    `pattern` names the file, as in "*.pth". RuntimeError when the run fails or makes no such file.
    """
    notebook = Path(notebook)
    if any(notebook.parent.glob(pattern)):
        return
    print(f"{pattern} is not there yet: running {notebook.name}, which takes minutes", flush=True)
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--stdout"]
    done = subprocess.run(
        [*command, str(notebook)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    if done.returncode or not any(notebook.parent.glob(pattern)):
        raise RuntimeError(
            f"{notebook.name} didn't make {pattern}: open it and run it cell by cell, then run "
            f"this notebook again. It ended with:\n{done.stderr[-1500:]}"
        )
