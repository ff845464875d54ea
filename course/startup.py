"""What the first cell of every notebook calls."""

import importlib.util
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED = {  # module: package
    **{name: name for name in ("torch", "tiktoken", "matplotlib", "pandas", "safetensors", "tqdm")},
    **{"sklearn": "scikit-learn", "sacrebleu": "sacrebleu", "ipywidgets": "ipywidgets"},
}


def start():
    """Make the course usable from this kernel, print a line on it, return the course's folder."""
    from course.vocabulary import offer_vocabulary_to_tiktoken

    missing = [NEEDED[name] for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing and in_colab():
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", *missing], check=True)
    elif missing:
        raise ModuleNotFoundError(
            f"this kernel's Python, {sys.executable}, has no {', '.join(missing)}. Run `make lab` "
            "in the course's folder, or there, with this same Python, "
            "`python -m pip install -r requirements.txt`."
        )
    offer_vocabulary_to_tiktoken(ROOT / "course" / "gpt2-bpe")
    print(environment())
    return ROOT


def environment():
    """One line: Python, torch, the device that torch would use, and whether it is online."""
    import torch

    device = "CPU"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        device = "Apple GPU"
    threads = torch.get_num_threads()
    return (
        f"Python {platform.python_version()} · torch {torch.__version__} · {device}, "
        f"{threads} CPU thread{'s' * (threads > 1)} · {'online' if online() else 'offline'}"
    )


def online(timeout=1.0):
    """Whether a server in the open internet answers within `timeout` seconds."""
    if os.environ.get("COURSE_OFFLINE"):
        return False
    for host, port in [("1.1.1.1", 443), ("8.8.8.8", 53)]:
        try:
            socket.create_connection((host, port), timeout=timeout / 2).close()
            return True
        except OSError:
            continue
    return False


def in_colab():
    """Whether this kernel runs in Google Colab."""
    return importlib.util.find_spec("google") is not None and "google.colab" in sys.modules
