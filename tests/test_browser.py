"""A learner's way: JupyterLab in a real browser (Chromium, where there is one)."""

import os
from pathlib import Path

import nbformat
import pytest
import requests
from conftest import ROOT
from lab import CHROMIUM, Lab, OpenNotebook, chromium

from tools.run_notebooks import differences, tidy
from tools.stamp_address import lesson_notebooks

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")

QUICK = ["ch02/ch02.ipynb"]
ALL = [path.relative_to(ROOT).as_posix() for path in lesson_notebooks()]
PATHS = ALL if os.environ.get("COURSE_BROWSER") == "all" else QUICK


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.close()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's list of sockets")
def test_the_server_wants_its_token_and_listens_on_the_loopback_address_only(lab):
    assert requests.get(f"{lab.address}/api/contents", timeout=10).status_code == 403
    answer = requests.get(f"{lab.address}/api/contents?token={lab.token}", timeout=10)
    assert answer.status_code == 200
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    port = f"{int(lab.address.rpartition(':')[2]):04X}"
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    assert [where for where in listening if where.endswith(f":{port}")] == [f"0100007F:{port}"]


@pytest.mark.parametrize("path", PATHS)
def test_run_all_then_restart_and_run_all_again(lab, path):
    with chromium(viewport={"width": 1400, "height": 1000}) as page:
        notebook = OpenNotebook(lab, page, path)
        for again in (False, True):
            result = notebook.run_all(seconds=1500, again=again)
            code = [cell for cell in result.cells if cell.cell_type == "code"]
            outputs = [output for cell in code for output in cell.outputs]
            assert not [output for output in outputs if output.output_type == "error"]
            assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
            committed = nbformat.read(ROOT / path, as_version=4)
            assert not differences(committed, tidy(result))
            pictures = [o for o in outputs if "image/png" in o.get("data", {})]
            seen, broken = notebook.broken_pictures()
            assert not broken
            assert len(seen) >= len(pictures)
