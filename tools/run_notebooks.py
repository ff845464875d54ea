"""Run the course's notebooks top to bottom, each in a fresh kernel, without a network.

    python tools/run_notebooks.py                    all of them; nothing is written
    python tools/run_notebooks.py ch02/ch02.ipynb    only these
    python tools/run_notebooks.py --write            keep the outputs in the notebooks

Prints a line for each notebook and at the end a table. A failing cell is shown with its
traceback. The exit status is 1 if any notebook failed.
"""

import argparse
import hashlib
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.stamp_address import lesson_notebooks  # noqa: E402

CELL_LIMIT = 3600  # seconds; the longest cell trains for about eight minutes on two cores
METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}


@dataclass
class Result:
    """What came of one notebook."""

    name: str
    notebook: nbformat.NotebookNode
    seconds: float
    error: str = ""  # the failing cell and its traceback

    @property
    def cells(self):
        return [c for c in self.notebook.cells if c.cell_type == "code" and c.source.strip()]

    @property
    def checks(self):
        return sum(text.count("✓") for cell in self.cells for text in texts(cell))


def texts(cell):
    """The printed and displayed texts of a code cell, one string for each output."""
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            yield output.text
        elif "data" in output:
            data = output.data
            yield next((data[m] for m in ("text/markdown", "text/plain") if m in data), "")


def execute(path, root=ROOT, report=lambda done, total: None):
    """Run one notebook from its own folder, offline, and return a `Result`."""
    notebook = nbformat.read(path, as_version=4)
    total = len(notebook.cells)
    client = NotebookClient(
        notebook,
        timeout=CELL_LIMIT,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors of the kernel, no advice
        on_cell_start=lambda cell, cell_index: report(cell_index + 1, total),
    )
    paths = [str(ROOT / "tools" / "offline"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "COURSE_OFFLINE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    started, error = time.monotonic(), ""
    try:
        with tempfile.TemporaryDirectory() as folder:  # not the progress of whoever runs this
            environment["COURSE_PROGRESS"] = str(Path(folder) / "progress.json")
            client.execute(env=environment)
    except (CellExecutionError, CellTimeoutError) as failure:
        error = re.sub(r"\x1b\[[0-9;]*m", "", str(failure))
    except (RuntimeError, AssertionError):  # how nbclient reports a kernel that has died
        error = "the kernel died: was there enough memory?"
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return Result(name, tidy(notebook), time.monotonic() - started, error)


def tidy(notebook):
    """The notebook as we commit it: no times, no widget state, ids that depend on the content."""
    notebook.metadata = nbformat.from_dict(METADATA)
    seen, before = {}, None
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.metadata["slideshow"] = nbformat.from_dict({"slide_type": slide_type(cell, before)})
        before = cell
        if cell.cell_type == "code":
            cell.outputs = joined_streams(cell.outputs)
            for output in cell.outputs:  # without its state a widget shows an error
                output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
        digest = hashlib.sha1(f"{cell.cell_type} {cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


def slide_type(cell, before):
    """Which slide a cell opens: one for each heading, below it one for each step of the lesson."""
    if cell.cell_type == "markdown":
        return "slide" if re.search(r"^#{1,3} ", cell.source, re.MULTILINE) else "subslide"
    return "-" if before and before.cell_type == "markdown" else "subslide"


def joined_streams(outputs):
    """The outputs with all texts of a stream in the place of its first, as nbclient has them."""
    joined = []
    for output in outputs:
        same = [o for o in joined if output.output_type == "stream" == o.output_type]
        same = [o for o in same if o.name == output.name]
        if same:
            same[0].text += output.text
        else:
            joined.append(output)
    return joined


def differences(committed, fresh):
    """Where the outputs of two runs of a notebook differ, as a list of messages.

    Left out: the start-up cell, cells tagged `varies`, the pixels of pictures. Whole numbers must
    be equal, others agree to one part in a thousand.
    """
    messages = []
    pairs = list(zip(committed.cells, fresh.cells, strict=True))
    code = [(i, a, b) for i, (a, b) in enumerate(pairs, start=1) if a.cell_type == "code"]
    for i, old, new in code[1:]:
        if "varies" in old.metadata.get("tags", []):
            continue
        kinds = [[sorted(o.get("data", [o.output_type])) for o in c.outputs] for c in (old, new)]
        if kinds[0] != kinds[1]:
            messages.append(f"cell {i}: outputs {kinds[0]} became {kinds[1]}")
            continue
        for was, now in zip(texts(old), texts(new), strict=True):
            if not same_text(was, now):
                messages.append(f"cell {i}: committed\n{was}\nbut a fresh run gives\n{now}")
    return messages


def same_text(was, now):
    """Whether two outputs are equal, decimal numbers to one part in a thousand."""
    number = r"(-?\d+\.\d*(?:e[-+]?\d+)?|-?\d+e[-+]?\d+)"
    was, now = (re.split(number, re.sub(r"0x[0-9a-f]+", "0x", t)) for t in (was, now))
    if len(was) != len(now) or was[::2] != now[::2]:
        return False
    pairs = [(float(a), float(b)) for a, b in zip(was[1::2], now[1::2], strict=True)]
    return all(abs(a - b) <= 1e-3 * max(abs(a), abs(b)) + 1e-6 for a, b in pairs)


def table(results):
    """The closing table, one line for each notebook."""
    rows = [("notebook", "cells", "checks", "seconds", "result")]
    for result in results:
        counts = len(result.cells), result.checks, round(result.seconds)
        rows.append((result.name, *map(str, counts), "FAILED" if result.error else "passed"))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        row[0].ljust(widths[0])
        + "".join("  " + row[i].rjust(widths[i]) for i in (1, 2, 3))
        + "  "
        + row[4]
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="all of the course by default")
    parser.add_argument("--write", action="store_true", help="keep the outputs of a good run")
    arguments = parser.parse_args()
    paths = [path.resolve() for path in arguments.notebooks] or lesson_notebooks()
    results, live = [], sys.stdout.isatty()
    for i, path in enumerate(paths, start=1):
        name = f"[{i}/{len(paths)}] {path.parent.name}/{path.name}"

        def report(done, total, name=name):
            if live:
                print(f"\r{name}: cell {done} of {total} ", end="", flush=True)

        print(f"{name}: running", end="" if live else "\n", flush=True)
        result = execute(path, report=report)
        results.append(result)
        outcome = "FAILED" if result.error else "passed"
        print(f"{chr(13) * live}{name}: {outcome} after {result.seconds:.0f} s      ", flush=True)
        if result.error:
            print(result.error)
        elif arguments.write:
            part = path.with_name(path.name + ".part")
            part.write_text(nbformat.writes(result.notebook) + "\n", encoding="utf-8", newline="\n")
            os.replace(part, path)
    print("\n" + table(results))
    sys.exit(any(result.error for result in results))


if __name__ == "__main__":
    main()
