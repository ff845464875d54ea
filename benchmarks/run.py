"""Run the benchmarks and write what came out: a table, a plot, and the numbers as JSON.

    python benchmarks/run.py              all of them (make bench installs what they need first)
    python benchmarks/run.py bpe loading  only these; the results of the others stay as they are

A benchmark is a file beside this one that has `run()`, which returns rows made by `measure.row`.
Each runs in a process of its own. One that crashes is reported, and the rest goes on; the exit
status is then 1. A target that is missed is no error: the table says so, and by how much.
"""

import argparse
import datetime
import importlib.metadata
import io
import json
import math
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

import measure  # noqa: E402

LIMIT = 3600  # seconds for one benchmark
PACKAGES = ["torch", "numpy", "tiktoken", "tokenizers", "transformers", "safetensors"]
PACKAGES += ["llms-from-scratch"]
KEYS = {"name", "value", "unit", "target", "met", "note"}
START, END = "<!-- results -->", "<!-- end of results -->"


# ---- one benchmark, in a process of its own


def benchmarks(folder):
    """The files in `folder` that are benchmarks, {name: path}."""
    files = [path for path in sorted(folder.glob("*.py")) if path.name != "run.py"]
    has_run = re.compile(r"^def run\(\)", re.MULTILINE)
    return {p.stem: p for p in files if has_run.search(p.read_text(encoding="utf-8"))}


def child(path, answer):
    """In the new process: import the benchmark (or measure the machine) and write its rows."""
    sys.path.insert(0, str(path.parent))
    try:
        module = importlib.import_module(path.stem)
        result = module.machine() if path.name == "measure.py" else module.run()
        answer.write_text(json.dumps({"result": result}), encoding="utf-8")
    except Exception as error:
        traceback.print_exc()
        told = f"{type(error).__name__}: {error}"
        answer.write_text(json.dumps({"error": told}), encoding="utf-8")
        sys.exit(1)


def status_of(command, limit):
    """Run `command` to its end; on a timeout or Ctrl-C it ends with all that it has started."""
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        return process.wait(limit)
    except BaseException:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        raise


def in_a_process(path, limit=LIMIT):
    """What the benchmark `path` returned, and None; or None, and what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, str(HERE / "run.py"), "--child", str(path), str(answer)]
        try:
            status = status_of(command, limit)
        except subprocess.TimeoutExpired:
            return None, f"stopped after {limit:g} seconds"
        if not answer.exists():
            killed = " (killed: was there enough memory?)" if status == -9 else ""
            return None, f"it ended with exit status {status}{killed} and without a result"
        content = json.loads(answer.read_text(encoding="utf-8"))
        return content.get("result"), content.get("error")


def fault(rows):
    """What is wrong with the rows of a benchmark, or None."""
    if not isinstance(rows, list) or not rows:
        return f"run() must return a list of rows, not {str(rows)[:50]!r}"
    for row in rows:
        if not isinstance(row, dict) or set(row) != KEYS:
            return f"a row needs the keys {sorted(KEYS)}: {str(row)[:80]}"
        value, target = row["value"], row["target"]
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
            return f"the value of {row['name']!r} is {value!r}, not a number"
        if target is not None and not re.fullmatch(r"(>=|<=) [\d.e+-]+", str(target)):
            return f"the target of {row['name']!r} is {target!r}, not '>= 4' or '<= 1.3'"
        if row["met"] != measure.is_met(value, target):
            return f"{row['name']!r} says met = {row['met']}, but {value} {target} is not so"
    return None


def one_benchmark(path, machine, limit=LIMIT):
    """The record of one run: rows or an error, when, how long, and where."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    started = time.perf_counter()
    rows, error = in_a_process(path, limit)
    error = error or fault(rows)
    return {
        "benchmark": path.stem,
        "rows": [] if error else rows,
        "error": error,
        "seconds": round(time.perf_counter() - started, 1),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "load before": load,
        "machine": machine,
        "versions": versions(),
    }


def versions():
    """Python and the packages that matter, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


# ---- the report


def write_atomically(path, content):
    """The file `path` with `content`, text or bytes: the whole of it or the old one."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def number(value):
    """A number for people: three digits that count, thousands with commas."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def verdict(row):
    """`met`, `missed by 12 %`, or nothing for a row without a target."""
    if row["target"] is None:
        return ""
    if row["met"] is None:
        return "**not measured**"
    if row["met"]:
        return "met"
    return f"**missed by {max(1, round(100 * measure.shortfall(row['value'], row['target'])))} %**"


def cell(text):
    """A text that can stand in a table of Markdown."""
    return " ".join(str(text).split()).replace("|", "\\|")


def summary(records):
    """One line: how many targets are met."""
    rows = [row for record in records for row in record["rows"] if row["target"] is not None]
    met = sum(row["met"] is True for row in rows)
    crashed = [record["benchmark"] for record in records if record["error"]]
    text = f"{met} of {len(rows)} targets met"
    return text + (f"; no result from {', '.join(crashed)}" if crashed else "")


def described(machine):
    """The machine in one line."""
    return "; ".join(f"{key}: {value}" for key, value in machine.items() if value is not None)


def table(records):
    """The report in Markdown."""
    lines = [f"{summary(records)}.", ""]
    for record in records:
        name, took = record["benchmark"], record["seconds"]
        lines += [f"**{name}**, {record['date']}, {took:.0f} s", ""]
        if record["error"]:
            lines += [f"**No result:** {cell(record['error'])}", ""]
            continue
        lines += ["| | measured | | target | | how |", "|---|---:|---|---|---|---|"]
        for row in record["rows"]:
            target = (row["target"] or "").replace(">=", "≥").replace("<=", "≤")
            parts = [row["name"], number(row["value"]), row["unit"], target, verdict(row)]
            lines.append("| " + " | ".join(map(cell, [*parts, row["note"]])) + " |")
        lines.append("")
    for key in ("machine", "versions"):  # one line where all ran on the same
        told = {described(record[key]): [] for record in records}
        for record in records:
            told[described(record[key])].append(record["benchmark"])
        for text, names in told.items():
            which = f" ({', '.join(names)})" if len(told) > 1 else ""
            lines += [f"{key.capitalize()}{which}: {text}.", ""]
    return "\n".join(lines)


def plot(records):
    """The rows with a target as bars, in units of the target: to the right of 1 it is met."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from course.figures import INK, LOSS, VALUE

    bars = []
    for row in (row for record in records for row in record["rows"]):
        if row["met"] is not None and row["value"] > 0:
            sign, bound = row["target"].split()
            ratio = row["value"] / float(bound)
            bars.append((row, ratio if sign == ">=" else 1 / ratio))
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.5 * len(bars)))
    for i, (row, ratio) in enumerate(bars):
        axes.barh(i, ratio - 1, left=1, color=VALUE if row["met"] else LOSS, height=0.6)
        target = row["target"].replace(">=", "≥").replace("<=", "≤")
        text = f"{number(row['value'])} {row['unit']}, wanted {target}"
        axes.text(max(ratio, 1) * 1.08, i, text, va="center", fontsize=9)
    ratios = [ratio for _, ratio in bars] or [1]
    left, right = min(0.7, 0.8 * min(ratios)), 8 * max(2, *ratios, 1)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_xscale("log")
    axes.set(xlim=(left, right), ylim=(len(bars) - 0.4, -0.6))
    axes.set_yticks(range(len(bars)), [row["name"] for row, _ in bars], fontsize=9)
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000) if left < t < right]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks], fontsize=9)
    axes.minorticks_off()
    axes.set_xlabel("measured / wanted (wanted / measured where less is better)", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def write_report(results, readme):
    """Table and plot of all records in the folder `results`; the table also into `readme`."""
    files = sorted(results.glob("*.json"))
    records = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    text = table(records)
    write_atomically(results / "results.md", f"# What the benchmarks measured\n\n{text}")
    write_atomically(results / "results.png", plot(records))
    if readme.exists():
        old = readme.read_text(encoding="utf-8")
        if START in old and END in old:
            head, tail = old.split(START)[0], old.split(END)[1]
            write_atomically(readme, f"{head}{START}\n\n{text}\n{END}{tail}")
    return records


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="the benchmarks to run; all of them if none")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the benchmarks are")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one benchmark")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(*arguments.child)

    known = benchmarks(arguments.folder)
    if unknown := [name for name in arguments.names if name not in known]:
        sys.exit(f"there is no benchmark {unknown[0]!r}: there are {', '.join(known)}")
    results = arguments.folder / "results"
    results.mkdir(exist_ok=True)
    machine, error = in_a_process(HERE / "measure.py")
    if error:
        sys.exit(f"the machine could not be measured: {error}")
    print(described(machine), flush=True)
    for name in arguments.names or known:
        print(f"\n{name} …", flush=True)
        record = one_benchmark(known[name], machine, arguments.limit)
        write_atomically(results / f"{name}.json", json.dumps(record, indent=1) + "\n")
    if not arguments.names:  # of benchmarks that are no more
        for path in results.glob("*.json"):
            if path.stem not in known:
                path.unlink()
    records = write_report(results, arguments.folder / "README.md")
    print(f"\n{table(records)}\n{results / 'results.md'}")
    sys.exit(any(r["error"] for r in records if r["benchmark"] in (arguments.names or known)))


if __name__ == "__main__":
    main()
