"""JupyterLab on a copy of the course, and a browser that uses it as a learner does."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import requests

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "build", "tests", "__pycache__", ".ipynb_checkpoints", "*.pth", ".*_cache"
)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def chromium(**context):
    """A page of a fresh headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser.new_context(**context).new_page()
        finally:
            browser.close()


class Lab:
    """A JupyterLab server on a copy of the course: `folder`, `address`, `token`."""

    def __init__(self, folder):
        self.folder, self.token, port = folder / "course", secrets.token_hex(16), free_port()
        shutil.copytree(ROOT, self.folder, ignore=LEFT_OUT)
        self.address = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "COURSE_OFFLINE": "1",
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}"]
        command += [f"--IdentityProvider.token={self.token}"]
        if hasattr(os, "getuid") and os.getuid() == 0:
            command.append("--allow-root")
        self.log = (folder / "lab.log").open("w", encoding="utf-8")
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=self.log, stderr=self.log
        )
        self.wait_until_up()

    def wait_until_up(self, seconds=60):
        for _ in range(seconds * 5):
            with contextlib.suppress(requests.ConnectionError):
                return requests.get(f"{self.address}/api", timeout=5).raise_for_status()
            time.sleep(0.2)
        raise TimeoutError(f"JupyterLab did not start: see {self.log.name}")

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


class OpenNotebook:
    """A notebook that was opened in JupyterLab by clicking through the file browser."""

    def __init__(self, lab, page, path):
        self.lab, self.page, self.path = lab, page, path
        page.goto(f"{lab.address}/lab?reset&token={lab.token}")
        page.wait_for_selector(".jp-DirListing-content", timeout=60_000)
        for part in Path(path).parts:
            page.locator(f'.jp-DirListing-item:has-text("{part}")').first.dblclick()
            page.wait_for_timeout(700)
        page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell", timeout=60_000)
        self.wait_idle(60)

    @property
    def panel(self):
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def status(self):
        indicator = self.panel.locator(".jp-Notebook-ExecutionIndicator").first
        return indicator.get_attribute("data-status")

    def wait_idle(self, seconds):
        deadline = time.monotonic() + seconds
        while self.status() != "idle":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.path}: still {self.status()!r} after {seconds} s")
            self.page.wait_for_timeout(200)

    def menu(self, name, item):
        self.page.locator(f'.lm-MenuBar-itemLabel:text-is("{name}")').click()
        self.page.locator(f'.lm-Menu-itemLabel:text-is("{item}")').click()

    def saved(self):
        """The notebook as JupyterLab saves it now."""
        self.menu("File", "Save Notebook")
        self.page.wait_for_timeout(1500)
        return nbformat.read(self.lab.folder / self.path, as_version=4)

    def run_all(self, seconds, again=False):
        """Run every cell (`again`: in a new kernel) and return the saved notebook."""
        last = [cell for cell in self.saved().cells if cell.cell_type == "code"][-1]
        if again:
            self.menu("Kernel", "Restart Kernel and Run All Cells…")
            self.page.locator(".jp-Dialog-button.jp-mod-accept").click()
        else:
            self.menu("Edit", "Clear Outputs of All Cells")
            self.menu("Run", "Run All Cells")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.page.wait_for_timeout(1000)
            self.wait_idle(max(1, deadline - time.monotonic()))
            notebook = self.saved()
            cell = next(cell for cell in notebook.cells if cell.id == last.id)
            code = [cell for cell in notebook.cells if cell.cell_type == "code"]
            failed = any(o.output_type == "error" for c in code for o in c.outputs)
            if failed or cell.execution_count == len(code):
                return notebook
        raise TimeoutError(f"{self.path}: not through after {seconds} s")

    def broken_pictures(self):
        """Scroll through the notebook; (pictures seen, those that did not load)."""
        seen, broken = set(), set()
        scroller = self.panel.locator(".jp-WindowedPanel-outer")
        height = scroller.evaluate("e => e.scrollHeight")
        for top in range(0, height, 800):
            scroller.evaluate(f"e => e.scrollTo(0, {top})")
            self.page.wait_for_timeout(120)
            for picture in self.panel.locator(".jp-RenderedImage img").all():
                source, width = picture.evaluate("e => [e.src.slice(-200), e.naturalWidth]")
                seen.add(source)
                if not width:
                    broken.add(source)
        return seen, broken
