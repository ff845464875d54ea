"""The harness of the benchmarks: what it makes of targets met, targets missed, and crashes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import measure
import pytest
import run as harness

ROOT = Path(__file__).resolve().parent.parent

GOOD = """
from measure import row

def run():
    return [
        row("fast enough", 9.5, "times", at_least=4, note="a | b"),
        row("too slow", 3.0, "times", at_least=4),
        row("too large", 1.56, "times", at_most=1.3),
        row("small enough", 1.3, "times", at_most=1.3),
        row("a number", 12345.6, "tok/s"),
        row("a peer", None, "times", at_least=2, note="not installed"),
    ]
"""
CRASH = "def run():\n    raise OSError('the disk | is full')\n"
KILLED = "import os\n\ndef run():\n    os.kill(os.getpid(), 9)\n"
SLOW = """
import subprocess, sys

def run():
    subprocess.run([sys.executable, "-c", "import time; time.sleep(60) # SLOW_GRANDCHILD"])
"""
NONSENSE = "def run():\n    return [{'name': 'x', 'value': 'fast'}]\n"
BROKEN = "import no_such_module\n\ndef run():\n    return []\n"
LATER = "from measure import row\n\ndef run():\n    return [row('later', 1, 's')]\n"


def bench(folder, *arguments):
    """Run the harness as `make bench` does, on the benchmarks in `folder`."""
    command = [sys.executable, ROOT / "benchmarks/run.py", "--folder", folder, *arguments]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=300, check=False,
        env=os.environ | {"PYTHONUTF8": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A folder of benchmarks after a run of all of them, and what the run said."""
    folder = tmp_path_factory.mktemp("benchmarks")
    readme = f"# Title\n\nbefore\n{harness.START}\nold\n{harness.END}\nafter\n"
    (folder / "README.md").write_text(readme, encoding="utf-8")
    sources = {"a_good": GOOD, "b_crash": CRASH, "c_killed": KILLED, "d_slow": SLOW}
    sources |= {"e_nonsense": NONSENSE, "f_broken": BROKEN, "z_later": LATER}
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    (folder / "helper.py").write_text("def other():\n    pass\n", encoding="utf-8")
    return folder, bench(folder, "--limit", "5")


def record(folder, name):
    return json.loads((folder / "results" / f"{name}.json").read_text(encoding="utf-8"))


def test_a_crash_is_reported_and_the_rest_goes_on(ran):
    folder, done = ran
    assert done.returncode == 1
    errors = {path.stem: record(folder, path.stem)["error"] for path in folder.glob("[a-z]_*.py")}
    assert errors["a_good"] is None
    assert errors["z_later"] is None
    assert errors["b_crash"] == "OSError: the disk | is full"
    assert errors["d_slow"] == "stopped after 5 seconds"
    if os.name == "posix":  # Windows has no signals, and no groups of processes that end together
        assert "memory" in errors["c_killed"]
        every = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
        assert "SLOW_GRANDCHILD" not in every.stdout
    assert "keys" in errors["e_nonsense"]
    assert "no_such_module" in errors["f_broken"]
    table = (folder / "results" / "results.md").read_text(encoding="utf-8")
    assert "**No result:** OSError: the disk \\| is full" in table
    assert "| later | 1.00 | s |" in table


def test_the_numbers_are_kept_with_machine_date_and_versions(ran):
    folder, _ = ran
    good = record(folder, "a_good")
    assert [row["value"] for row in good["rows"]] == [9.5, 3.0, 1.56, 1.3, 12345.6, None]
    assert [row["met"] for row in good["rows"]] == [True, False, False, True, None, None]
    assert good["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "torch" in good["versions"]
    assert good["date"].endswith("UTC")
    machine = good["machine"]
    assert machine["processor"]
    assert machine["cores"] >= 1
    for key in ("memory bandwidth (read), GB/s", "matrix peak fp32, GFLOP/s"):
        assert machine[key] > 0.5
    assert machine["matrix peak bf16, GFLOP/s"] > 0


def test_the_table_shows_what_was_missed_and_by_how_much(ran):
    folder, done = ran
    table = (folder / "results" / "results.md").read_text(encoding="utf-8")
    assert "2 of 5 targets met; no result from b_crash, c_killed" in table
    lines = {line.split(" | ")[0].strip("| "): line for line in table.splitlines()}
    assert "| 9.50 | times | ≥ 4 | met | a \\| b |" in lines["fast enough"]
    assert "| 3.00 | times | ≥ 4 | **missed by 25 %** |" in lines["too slow"]
    assert "| 1.56 | times | ≤ 1.3 | **missed by 20 %** |" in lines["too large"]
    assert "| met |" in lines["small enough"]
    assert "| 12,346 | tok/s |  |  |" in lines["a number"]
    assert "| – | times | ≥ 2 | **not measured** | not installed |" in lines["a peer"]
    assert table.split("\n\n", 1)[1] in done.stdout
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# Title\n\nbefore\n")
    assert readme.endswith("after\n")
    assert "old" not in readme
    assert table.split("\n\n", 1)[1].strip() in readme


def test_the_plot_is_a_picture_and_nothing_unfinished_is_left(ran):
    folder, _ = ran
    assert (folder / "results" / "results.png").read_bytes().startswith(b"\x89PNG")
    assert not list(folder.rglob("*.part"))
    assert not (folder / "results" / "helper.json").exists()


def test_a_single_one_can_be_run_again(ran):
    folder, _ = ran
    text = GOOD.replace("3.0", "5.0")
    (folder / "a_good.py").write_text(text, encoding="utf-8")
    later = (folder / "results" / "z_later.json").read_bytes()
    done = bench(folder, "a_good")
    assert done.returncode == 0, "a target that is missed is no failure"
    assert record(folder, "a_good")["rows"][1]["met"] is True
    assert (folder / "results" / "z_later.json").read_bytes() == later
    assert "3 of 5 targets met" in done.stdout


def test_an_unknown_name_is_refused(tmp_path):
    (tmp_path / "a.py").write_text(LATER, encoding="utf-8")
    done = bench(tmp_path, "b")
    assert done.returncode == 1
    assert "no benchmark 'b': there are a" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.md"
    path.write_text("old", encoding="utf-8")

    def full(self, data):
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        harness.write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["results.md"]


def test_a_false_claim_is_not_believed():
    rows = [measure.row("x", 3, "times", at_least=4) | {"met": True}]
    assert "met = True" in harness.fault(rows)
    assert "not a number" in harness.fault([measure.row("x", float("nan"), "s")])
    assert harness.fault([]) is not None
    assert harness.fault([measure.row("x", 3, "times", at_most=4)]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (0.0686, "0.0686"), (0.474, "0.474"), (9.5, "9.50"), (59.26, "59.3"),
     (125.4, "125"), (12345.6, "12,346")],
)  # fmt: skip
def test_numbers_for_people(value, text):
    assert harness.number(value) == text


def test_the_benchmarks_of_the_course_are_found():
    found = set(harness.benchmarks(ROOT / "benchmarks"))
    assert found == {"bpe", "generation", "loading", "training"}


def test_the_committed_table_is_that_of_the_committed_numbers():
    results = ROOT / "benchmarks" / "results"
    files = sorted(results.glob("*.json"))
    assert [path.stem for path in files] == sorted(harness.benchmarks(results.parent))
    records = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    assert not [record["benchmark"] for record in records if record["error"]]
    text = harness.table(records)
    assert (results / "results.md").read_text(encoding="utf-8").endswith(text)
    assert text in (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
