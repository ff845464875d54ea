"""Generation with GPT-2 small: chapter 5's loop, transformers with its cache, and the speed lab.

    python benchmarks/run.py generation

One row of text, 200 new tokens after a prompt of 8, greedy, the same weights for all (random
ones of the 124M shapes, head and embedding shared, since none can be downloaded here). Medians.
"""

import copy
import os
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # 2 MB pages: must be set before torch
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import measure  # noqa: E402
import torch  # noqa: E402

import previous_chapters as course  # noqa: E402

NEW_TOKENS, PROMPT = 200, [[464, 3290, 373, 845, 1593, 284, 262, 1230]]
CONFIG = course.GPT_CONFIG_124M | {"qkv_bias": True, "drop_rate": 0.0}
REPEATS, SLOW_REPEATS = 5, 3  # chapter 5's loop takes half a minute
WEIGHTS = 124_439_808  # that are read for a token; the embedding once, as the head
SETTINGS = f"{NEW_TOKENS} tokens, 1 row, greedy"


def plain_model():
    """Chapter 4's model with GPT-2's shapes and spread of weights, the head tied."""
    torch.manual_seed(123)
    model = course.GPTModel(CONFIG).eval()
    model.out_head.weight = model.tok_emb.weight
    for weight in model.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=0.02)
    return model


def fast_model(plain):
    """The same weights in the speed lab's model, in memory of their own."""
    model = course.GPTModelFast(CONFIG).eval().tie()
    model.load_state_dict(plain.state_dict())
    return model


def peer_model(plain):
    """The same weights in transformers' GPT2LMHeadModel, or None and the reason."""
    try:
        from transformers import GPT2LMHeadModel, logging
    except ImportError:
        return None, "transformers is not installed"
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # mapped, on Windows
        course.save_for_transformers(plain, folder)
        return GPT2LMHeadModel.from_pretrained(folder).eval(), ""


def contestants(device="cpu"):
    """{name: function that returns ids (1, T + new)}, and why some are missing."""
    prompt = torch.tensor(PROMPT, device=device)
    plain = plain_model()
    peer, missing = peer_model(plain)
    functions = {}
    options = {"eos_id": None, "context_size": CONFIG["context_length"]}
    options |= {"idx": prompt, "max_new_tokens": NEW_TOKENS}
    for kind, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16}.items():
        model = fast_model(plain).to(device, dtype).tie()
        for name, compile in {"": True, ", not compiled": False}.items():
            functions[f"speed lab, {kind}{name}"] = partial(
                course.generate_fast, model, compile=compile, **options
            )
        if peer is not None:
            peer_options = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "pad_token_id": 0}
            peer_options |= {"eos_token_id": None, "attention_mask": torch.ones_like(prompt)}
            functions[f"transformers, {kind}"] = partial(
                copy.deepcopy(peer).to(device, dtype).generate, prompt, **peer_options
            )
    plain.to(device)
    return {"chapter 5, fp32": partial(course.generate, plain, **options)} | functions, missing


def race(functions):
    """The median tokens/s of each, and its new ids; in turns, so that all have the same weather."""
    for function in functions.values():
        function(max_new_tokens=16)  # compiles what is to be compiled
    speeds, ids = {name: [] for name in functions}, {}
    for turn in range(REPEATS):
        for name, function in functions.items():
            if turn < repeats_of(name):
                answer = []
                seconds = measure.seconds(lambda f=function, a=answer: a.append(f()))
                ids[name] = answer[0][0, len(PROMPT[0]) :].tolist()
                speeds[name].append(len(ids[name]) / seconds)
    return {name: statistics.median(values) for name, values in speeds.items()}, ids


def repeats_of(name):
    return SLOW_REPEATS if "chapter 5" in name or "not compiled" in name else REPEATS


def agreement(ids, others):
    """The share of the ids, from the first on, that are the same."""
    same = [a == b for a, b in zip(ids, others, strict=True)]
    return [*same, False].index(False) / len(same)


def rows_for(device, bandwidth):
    """The rows for one device, whose memory is read at `bandwidth` GB/s."""
    functions, missing = contestants(device)
    speeds, ids = race(functions)
    mark = "" if device == "cpu" else ", GPU"
    rows = []
    for name, speed in speeds.items():
        note = f"{SETTINGS}; median of {repeats_of(name)}"
        rows.append(measure.row(f"generation, {name}{mark}", speed, "tokens/s", note=note))
    gain = speeds["speed lab, fp32"] / speeds["chapter 5, fp32"]
    target, note = {"at_least": 8 if device == "cpu" else 1}, "fp32 both, the same weights"
    rows.append(measure.row(f"generation, times chapter 5's{mark}", gain, "x", **target, note=note))
    for kind, width in {"fp32": 4, "bf16": 2}.items():
        lab, peer = speeds[f"speed lab, {kind}"], speeds.get(f"transformers, {kind}")
        target, note = {"at_least": 2} if device == "cpu" else {}, "its generate with its cache"
        name = f"generation, times transformers, {kind}{mark}"
        gain = lab / peer if peer else None
        rows.append(measure.row(name, gain, "x", **target, note=missing or note))
        size = WEIGHTS * width / 1e9
        note = f"{1000 * size:.0f} MB of weights per token, read at {bandwidth:.0f} GB/s"
        name = f"generation, share of the memory bound, {kind}{mark}"
        rows.append(measure.row(name, 100 * lab * size / bandwidth, "%", note=note))
    same = agreement(ids["speed lab, fp32"], ids["chapter 5, fp32"])
    rows.append(measure.row(f"generation, ids equal to chapter 5's{mark}", 100 * same, "%",
                            at_least=100, note="fp32, compiled, greedy"))  # fmt: skip
    return rows


def run():
    """The rows of the CPU, and of a GPU where there is one."""
    rows = rows_for("cpu", measure.bandwidth())
    if torch.cuda.is_available():
        rows += rows_for("cuda", measure.bandwidth("cuda"))
    return rows
