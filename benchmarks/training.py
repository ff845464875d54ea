"""A training step of the 124M model, 8 texts of 256 tokens: chapter 5, the speed lab, and peers.

    python benchmarks/run.py training
    python benchmarks/training.py "+ bf16" "transformers, eager"   only these, and no table

Every variant runs in a process of its own: WARMUP steps that don't count (the first ones touch
memory for the first time), then REPEATS that do; their median is reported. All train the same
shapes on the same random tokens with AdamW. The peers get what is fast for them too: bf16 where
we use it, fused AdamW, and freed memory kept. (Pages of 2 MB, which torch asks for when
THP_MEM_ALLOC_ENABLE=1 is set, have been seen to help and to harm, so nobody gets them.)
BENCH_PREFIX, if set, is a command to put before each variant (`nice`, `taskset 3`).
"""

import contextlib
import importlib.util
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT)]

import measure  # noqa: E402

BATCH, TOKENS, WARMUP, REPEATS, LIMIT = 8, 256, 3, 3, 600
PEERS = {"transformers": "transformers", "llms-from-scratch": "llms_from_scratch"}
PLAIN = {"model": "plain", "low": False, "adamw": "plain", "loss": "logits", "kept": False,
         "compile": False, "dropout": 0.1}  # fmt: skip
RUNGS = {  # each is the one before with these changes
    "chapter 5, fp32": {},
    "+ fused parts": {"model": "fast"},
    "+ fused AdamW": {"adamw": "fused"},
    "+ bf16": {"low": True},
    "+ fused loss": {"loss": "fused"},
    "+ freed memory kept": {"kept": True},
    "+ compiled blocks": {"compile": True},
}


def variants():
    """{name: settings} of all that is measured."""
    settings, result = PLAIN, {}
    for name, change in RUNGS.items():
        settings = settings | change
        result[name] = settings
    fast = result["+ freed memory kept"]
    result["no dropout: the speed lab"] = fast | {"dropout": 0.0}
    for peer in PEERS:
        base = fast | {"model": peer, "loss": "logits"}
        for how in ("eager", "compiled"):
            settings = base | {"compile": how == "compiled"}
            result[f"{peer}, {how}"] = settings | {"kept": False}
            result[f"{peer}, {how}, freed memory kept"] = settings
            result[f"no dropout: {peer}, {how}, freed memory kept"] = settings | {"dropout": 0.0}
    return result


# ---- one variant, in a process of its own


def build(settings):
    """The model, and a function of (inputs, targets) that gives the loss."""
    import torch.nn.functional as F

    import previous_chapters as course

    cfg = course.GPT_CONFIG_124M | {"context_length": TOKENS, "drop_rate": settings["dropout"]}
    kind, p = settings["model"], settings["dropout"]
    if kind == "plain":
        model = course.GPTModel(cfg)
    elif kind == "fast":
        model = course.GPTModelFast(cfg)
    elif kind == "llms-from-scratch":
        from llms_from_scratch.ch04 import GPTModelFast

        model = GPTModelFast(cfg)
    else:
        from transformers import GPT2Config, GPT2LMHeadModel, logging

        logging.set_verbosity_error()
        shape = GPT2Config(n_positions=TOKENS, resid_pdrop=p, embd_pdrop=p, attn_pdrop=p,
                           tie_word_embeddings=False, use_cache=False)  # fmt: skip
        model = GPT2LMHeadModel(shape)
    if settings["compile"] and kind == "fast":
        for block in model.trf_blocks:
            block.compile()
    elif settings["compile"]:
        model.compile()
    if settings["loss"] == "fused":
        return model, model.loss

    def loss(inputs, targets):
        logits = model(inputs)
        logits = getattr(logits, "logits", logits)  # (B, T, V)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return model, loss


def one(settings):
    """Seconds of each step, the losses, and the peak of the memory in GB."""
    import torch

    import previous_chapters as course

    if settings["kept"]:
        course.keep_freed_memory()
    torch.manual_seed(123)
    model, loss_of = build(settings)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, fused=True if settings["adamw"] == "fused" else None
    )
    inputs, targets = torch.randint(50257, (2, BATCH, TOKENS))
    times, losses = [], []
    for _ in range(WARMUP + REPEATS):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings["low"]):
            loss = loss_of(inputs, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        times.append(time.perf_counter() - start)
    return {"times": times, "losses": losses, "memory": peak_memory()}


def peak_memory():
    """The largest amount of memory this process has had, in GB; None where nobody tells."""
    with contextlib.suppress(ImportError):
        import resource

        unit = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    return None


def in_a_process(name):
    """What `one` returns for the variant `name`, or {"error": why not}."""
    package = PEERS.get(variants()[name]["model"])
    if package and importlib.util.find_spec(package) is None:
        return {"error": f"{package} is not installed"}
    prefix = shlex.split(os.environ.get("BENCH_PREFIX", ""))
    command = [*prefix, sys.executable, __file__, "--one", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"stopped after {LIMIT} seconds"}
    except (IndexError, ValueError):
        return {"error": (done.stderr.strip() or "no answer").splitlines()[-1][:200]}


# ---- the table


def flop_per_token():
    """Additions and multiplications of a training step: 6 a weight, and the attention's."""
    C, L, V = 768, 12, 50257
    return 6 * (12 * L * C * C + V * C) + 12 * L * TOKENS * C


def table(results, peak):
    """The rows for {name: what in_a_process returned}; `peak` in GFLOP/s."""
    speeds, rows, settings = {}, [], variants()
    for name, result in results.items():
        if "error" in result:
            rows.append(measure.row(f"training: {name}", None, "tokens/s", note=result["error"]))
            continue
        seconds = statistics.median(result["times"][WARMUP:])
        speed = speeds[name] = BATCH * TOKENS / seconds
        share = speed * flop_per_token() / 1e9 / peak
        low = "bf16" if settings[name]["low"] else "fp32"
        dropout = f"dropout {settings[name]['dropout']:g}"
        memory = f", {result['memory']:.1f} GB" if result["memory"] else ""
        note = f"{low}, {dropout}, {share:.0%} of the bf16 peak{memory}, median of {REPEATS}"
        rows.append(measure.row(f"training: {name}", speed, "tokens/s", note=note))
    return rows + ratios(speeds)


def ratio(speeds, ours, others):
    """How many times faster `ours` is than the best of `others`, and which that was."""
    others = [name for name in others if name in speeds]
    if ours not in speeds or not others:
        return None, "not measured"
    best = max(others, key=speeds.get)
    return speeds[ours] / speeds[best], f"the best is: {best}"


def ratios(speeds):
    """The rows with a target. The speed lab's entry is the one without torch.compile."""
    ours, plain = "+ freed memory kept", "chapter 5, fp32"
    peers = [name for name, s in variants().items() if s["model"] in PEERS]
    with_dropout = [name for name in peers if not name.startswith("no dropout")]
    groups = {
        "as they come": [n for n in with_dropout if not n.endswith("kept")],
        "with our memory settings": [n for n in with_dropout if n.endswith("kept")],
        "both without dropout, with our memory settings": [
            n for n in peers if n.startswith("no dropout")
        ],
    }
    value, note = ratio(speeds, ours, [plain])
    rows = [measure.row("training: times chapter 5's loop", value, "times", at_least=4, note=note)]
    for group, names in groups.items():
        mine = "no dropout: the speed lab" if group.startswith("both") else ours
        value, note = ratio(speeds, mine, names)
        name = f"training: times the best peer, {group}"
        rows.append(measure.row(name, value, "times", at_least=1.2, note=note))
    return rows


def peak_gflops():
    """The bf16 peak of matrix products, in a process of its own like the others."""
    prefix = shlex.split(os.environ.get("BENCH_PREFIX", ""))
    done = subprocess.run([*prefix, sys.executable, __file__, "--peak"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return float(done.stdout)


def run():
    """All variants, one after the other: about a quarter of an hour on two cores."""
    return table({name: in_a_process(name) for name in variants()}, peak_gflops())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(variants()[sys.argv[2]])))
    elif sys.argv[1:] == ["--peak"]:
        import torch

        print(measure.matrix_peak(torch.bfloat16))
    else:
        for wanted in sys.argv[1:] or variants():
            print(wanted, in_a_process(wanted), flush=True)
