import sys
from pathlib import Path

import matplotlib
import pytest
import torch

matplotlib.use("Agg")  # opens no windows

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]


@pytest.fixture(scope="module")
def one_thread():
    """Tensors this small are fastest so, and most of all when the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
