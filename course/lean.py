"""How much memory loading takes: `python -m course.lean` prints a model's size and the peak.

For a file of GPT-2 small's shapes, in a process of its own. Needs Linux, which keeps the peak
(VmHWM), and 0.5 GB of disk. With `tensorflow` as argument: from OpenAI's kind of checkpoint.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {"n_vocab": 50257, "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12}
ROOM = 2e9  # bytes of disk that a measurement wants


def measure(kind="safetensors"):
    """(size of the model, peak of the memory while it was made and loaded), in MB."""
    with tempfile.TemporaryDirectory() as folder:
        for step in ("write", "load"):
            run = subprocess.run(
                [sys.executable, "-m", "course.lean", kind, step, folder],
                cwd=ROOT, capture_output=True, text=True,
            )  # fmt: skip
            if run.returncode:
                raise RuntimeError(run.stderr)
    size, peak = map(float, run.stdout.split())
    return size, peak


def shapes():
    """Name and shape of every tensor of GPT-2 small, under Hugging Face's names."""
    C, V, context = SETTINGS["n_embd"], SETTINGS["n_vocab"], SETTINGS["n_ctx"]
    shapes = {"wte.weight": (V, C), "wpe.weight": (context, C)}
    shapes |= {"ln_f.weight": (C,), "ln_f.bias": (C,)}
    for i in range(SETTINGS["n_layer"]):
        for name, rows, columns in [
            ("attn.c_attn", C, 3 * C),
            ("attn.c_proj", C, C),
            ("mlp.c_fc", C, 4 * C),
            ("mlp.c_proj", 4 * C, C),
        ]:
            shapes[f"h.{i}.{name}.weight"] = rows, columns
            shapes[f"h.{i}.{name}.bias"] = (columns,)
        for name in ("ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"):
            shapes[f"h.{i}.{name}"] = (C,)
    return shapes


def write(kind, folder):
    import torch

    tensors = {name: torch.rand(shape) for name, shape in shapes().items()}
    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file(tensors, f"{folder}/model.safetensors")
        return
    from previous_chapters import import_tensorflow, openai_name

    save = import_tensorflow().raw_ops.SaveV2
    names = ["model/" + openai_name(name) for name in tensors]
    arrays = [tensor.numpy() for tensor in tensors.values()]
    values = [a[None] if n.endswith("/w") else a for n, a in zip(names, arrays, strict=True)]
    save(prefix=f"{folder}/model.ckpt", tensor_names=names, tensors=values,
         shape_and_slices=[""] * len(names))  # fmt: skip


def memory(key):
    """MB of this process: VmRSS is what it has now, VmHWM the most it ever had."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    lines = dict(line.split(":") for line in status.splitlines())
    return int(lines[key].split()[0]) * 1024 / 1e6


def load(kind, folder):
    import safetensors  # noqa: F401  loaded now, so that what is measured is the weights

    import previous_chapters as course

    if kind == "tensorflow":
        course.import_tensorflow()
    config = course.config_from_settings(SETTINGS)
    course.GPTModel(config | {"n_layers": 1, "vocab_size": 10})  # torch is warm now
    before = memory("VmRSS")
    model = course.GPTModel(config)
    if kind == "tensorflow":
        params = course.load_gpt2_params_from_tf_ckpt(f"{folder}/model.ckpt", SETTINGS)
    else:
        params = course.load_gpt2_params_from_safetensors(f"{folder}/model.safetensors")
    course.load_weights_into_gpt(model, params)
    size = sum(p.numel() * 4 for p in model.parameters()) / 1e6
    print(size, memory("VmHWM") - before)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        kind, step, folder = sys.argv[1:]
        {"write": write, "load": load}[step](kind, folder)
    else:
        size, peak = measure(*sys.argv[1:])
        print(f"model {size:.0f} MB, peak {peak:.0f} MB: {peak / size:.2f} times the model")
