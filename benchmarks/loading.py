"""Loading GPT-2 small from a safetensors file: the time, and the memory at its peak.

    python benchmarks/run.py loading

The file has the names and shapes of GPT-2 small and random contents. Both sides copy it into a
model that is there already: ours renames, splits and transposes on the way, the library's
`load_file` and `load_state_dict` don't. The peak is that of `course/lean.py`.
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # 2 MB pages: must be set before torch
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import measure  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import previous_chapters as course  # noqa: E402
from course import lean  # noqa: E402

REPEATS = 15


def holder():
    """A module with a parameter for every tensor of the file, as it stands there."""
    module = torch.nn.Module()
    for name, shape in lean.shapes().items():
        module.register_parameter(name.replace(".", "_"), torch.nn.Parameter(torch.empty(shape)))
    return module


def times(path):
    """Median seconds of (ours, safetensors'), measured in turns; the file is in the page cache."""
    model, module = course.GPTModelFast(course.config_from_settings(lean.SETTINGS)).tie(), holder()

    def ours():
        course.load_weights_into_gpt(model, course.load_gpt2_params_from_safetensors(path))

    def theirs():
        module.load_state_dict({k.replace(".", "_"): v for k, v in load_file(path).items()})

    found = [(measure.seconds(ours), measure.seconds(theirs)) for _ in range(REPEATS + 1)]
    same = torch.equal(model.tok_emb.weight, module.wte_weight)
    if not same or not torch.equal(model.trf_blocks[11].ff.layers[0].weight,
                                   module.h_11_mlp_c_fc_weight.T):  # fmt: skip
        raise AssertionError("what was loaded is not what is in the file")
    return [statistics.median(column) for column in zip(*found[1:], strict=True)]


def run():
    """The rows: both times, their ratio, and the peak."""
    with tempfile.TemporaryDirectory() as folder:
        lean.write("safetensors", folder)
        path = f"{folder}/model.safetensors"
        size = os.path.getsize(path) / 1e6
        ours, theirs = times(path)
    note = f"{size:.0f} MB, fp32, into a model that exists; median of {REPEATS}"
    why = "the same file; ours splits it and turns 340 MB of matrices, which OpenAI has transposed"
    rows = [
        measure.row("loading, 124M", ours, "s", note=note),
        measure.row("loading, safetensors' own", theirs, "s", note=note),
        measure.row("loading, times safetensors' time", ours / theirs, "x", at_most=1, note=why),
    ]
    if not Path("/proc/self/status").exists():
        note = "the peak is read from /proc, which only Linux has"
        return [*rows, measure.row("loading, peak memory", None, "x", at_most=1.3, note=note)]
    size, peak = lean.measure()
    note = f"{peak:.0f} MB at most, making the model of {size:.0f} MB and loading it"
    peak = measure.row("loading, peak memory", peak / size, "x the model", at_most=1.3, note=note)
    return [*rows, peak]
