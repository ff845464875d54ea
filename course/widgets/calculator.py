"""Chapter 4: parameters and memory of a GPT, from its configuration."""

import torch
from matplotlib.figure import Figure

from course.figures import EMBEDDING, KEY, LOSS, QUERY, TARGET, VALUE
from course.widgets.explorer import Explorer, choice, steps, tick

COLOURS = {
    "token embedding": EMBEDDING,
    "position embedding": TARGET,
    "attention": QUERY,
    "feed-forward": VALUE,
    "layer norms": LOSS,
    "output head": KEY,
}
# bytes for each parameter
MEMORY = {
    "weights, float32": 4,
    "weights, bfloat16": 2,
    "training with AdamW, float32": 16,  # weights, gradients and two moments
}


def count_parts(cfg, tied=False):
    """{part: parameters} of a GPTModel; a tied output head is the token embedding once more."""
    V, C, L = cfg["vocab_size"], cfg["emb_dim"], cfg["n_layers"]
    attention = 4 * C * C + C + (3 * C if cfg["qkv_bias"] else 0)
    feed_forward = (C * 4 * C + 4 * C) + (4 * C * C + C)
    return {
        "token embedding": V * C,
        "position embedding": cfg["context_length"] * C,
        "attention": L * attention,
        "feed-forward": L * feed_forward,
        "layer norms": (2 * L + 1) * 2 * C,
        "output head": 0 if tied else V * C,
    }


def memory(parameters):
    """{what: GB}, with 1 GB = 2**30 bytes and without activations."""
    return {what: parameters * each / 2**30 for what, each in MEMORY.items()}


def count_model(model_class, cfg, tied=False):
    """The parameters of a real model, built on the meta device: shapes without values."""
    with torch.device("meta"):
        model = model_class(cfg)
    if tied:
        model.out_head.weight = model.tok_emb.weight
    return sum(parameter.numel() for parameter in model.parameters())


class ParameterCalculator(Explorer):
    """Parameters by part, and memory, for `model_class` built from changes to the config `cfg`."""

    title = "Parameter and memory calculator"

    def __init__(self, model_class, cfg):
        self.model_class, self.cfg = model_class, cfg
        options = {
            "vocab_size": [256, 1000, 5000, 16000, 32000, 50257, 100000, 128000, 200000],
            "context_length": [64, 128, 256, 512, 1024, 2048, 4096, 8192, 32768],
            "emb_dim": [64, 128, 256, 384, 512, 768, 1024, 1280, 1536, 1600, 2048, 4096, 8192],
            "n_heads": [1, 2, 4, 8, 12, 16, 20, 25, 32, 64],
            "n_layers": [1, 2, 4, 6, 8, 12, 16, 24, 32, 36, 48, 64, 96],
        }
        words = {
            "vocab_size": "tokens in vocabulary",
            "context_length": "context length",
            "emb_dim": "channels",
            "n_heads": "heads",
            "n_layers": "layers",
        }
        sliders = {
            key: steps(cfg[key], sorted({*values, cfg[key]}), words[key])
            for key, values in options.items()
        }
        super().__init__(
            **sliders,
            qkv_bias=tick(bool(cfg["qkv_bias"]), "bias on query, key and value"),
            tied=choice(False, [("a matrix of its own", False), ("tied", True)], "output head"),
        )

    def compute(self, tied, **changes):
        cfg = {**self.cfg, **changes}
        built = count_model(self.model_class, cfg, tied)  # ValueError where cfg can't be
        return cfg, count_parts(cfg, tied), built

    def table(self, data):
        _, parts, built = data
        total = sum(parts.values())
        lines = [f"{name:28} {n:17,} {n / total:7.1%}" for name, n in parts.items()]
        lines.append(f"{'together':28} {total:17,} {'(GPTModel: the same)':>20}")
        if built != total:
            lines[-1] = f"{'together':28} {total:17,} but the built model has {built:,}"
        lines += [f"{name:28} {gb:14.3f} GB" for name, gb in memory(total).items()]
        return "\n".join(lines)

    def draw(self, data):
        cfg, parts, built = data
        D = cfg["emb_dim"] // cfg["n_heads"]
        total = sum(parts.values())
        figure = Figure(figsize=(9, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        names = list(parts)
        left.barh(names, [n / 1e6 for n in parts.values()], color=[COLOURS[n] for n in names])
        for i, n in enumerate(parts.values()):
            left.text(n / 1e6, i, f" {n:,}", va="center", fontsize=9)
        left.set(xlim=(0, 1.5 * max(parts.values()) / 1e6), xlabel="millions of parameters")
        left.set_title(f"{total:,} parameters", loc="left", fontsize=11)
        needed = memory(total)
        right.barh(list(needed), list(needed.values()), color=[QUERY, EMBEDDING, LOSS])
        for i, gb in enumerate(needed.values()):
            right.text(gb, i, f" {gb:.3g} GB", va="center", fontsize=9)
        right.set(xlim=(0, 1.45 * max(needed.values())), xlabel="GB (activations not counted)")
        for axes in (left, right):
            axes.invert_yaxis()
            axes.tick_params(axis="y", length=0, labelsize=9)
        agree = "as many" if built == total else f"not as many, {built:,}"
        largest = max(parts, key=parts.get)
        caption = (
            f"{cfg['n_layers']} layers with {cfg['n_heads']} heads of {D} channels each: {total:,} "
            f"parameters; the largest part, ‘{largest}’, has "
            f"{parts[largest] / total:.0%} of them; the model built from this configuration "
            f"has {agree}. The weights take {needed['weights, float32']:.3g} GB in float32, and "
            "training takes four times that, activations not counted."
        )
        return figure, caption
