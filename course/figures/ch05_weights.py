"""Pictures of section 5.5: where GPT-2's weights come from, and how they change their layout."""

import matplotlib.pyplot as plt

from course.figures import (
    EMBEDDING,
    FAINT,
    INK,
    KEY,
    PAPER,
    QUERY,
    VALUE,
    WIDTH,
    arrow,
    box,
    canvas,
    show,
)


def roads():
    """From two kinds of files to our model, and back."""
    figure, axes = canvas(height=2.9)
    box(axes, 0.1, 1.95, 1.9, 0.7, "OpenAI's checkpoint\n(TensorFlow)", colour=FAINT, size=10)
    box(axes, 0.1, 0.75, 1.9, 0.7, "Hugging Face's file\n(safetensors)", colour=FAINT, size=10)
    box(axes, 3.0, 1.35, 1.5, 0.7, "params\nOpenAI's names", colour=EMBEDDING, size=10)
    box(axes, 5.9, 1.35, 1.9, 0.7, "GPTModel\nour names", colour=QUERY, size=10)
    arrow(axes, (2.05, 2.25), (2.95, 1.8))
    arrow(axes, (2.05, 1.1), (2.95, 1.6))
    arrow(axes, (4.55, 1.7), (5.85, 1.7))
    axes.text(5.2, 1.8, "load_weights\n_into_gpt", ha="center", va="bottom", fontsize=9)
    axes.plot([6.85, 6.85, 1.05], [1.3, 0.35, 0.35], color=INK, linewidth=1.4)
    arrow(axes, (1.05, 0.35), (1.05, 0.72))
    axes.text(4.0, 0.28, "save_for_transformers", ha="center", va="top", fontsize=9)
    show(
        figure,
        "Two kinds of files hold the same tensors; both become `params`, which one function "
        "copies into our model. The way back goes to a folder in Hugging Face's format.",
    )


def cut_and_turn():
    """c_attn: one matrix (C, 3C), cut into three, each turned."""
    figure, axes = canvas(height=2.35)
    parts = [("query", QUERY), ("key", KEY), ("value", VALUE)]
    for i, (text, colour) in enumerate(parts):
        box(axes, 0.75 + 0.95 * i, 0.95, 0.95, 0.8, text, colour=colour, size=10)
    axes.text(0.65, 1.35, "C in", ha="right", va="center", fontsize=10)
    axes.text(2.17, 1.85, "3C out", ha="center", va="bottom", fontsize=10)
    axes.text(2.17, 0.8, "c_attn/w: x @ w", ha="center", va="top", fontsize=10)
    arrow(axes, (3.75, 1.35), (4.75, 1.35))
    axes.text(4.22, 1.45, "cut, then\ntranspose", ha="center", va="bottom", fontsize=9)
    for i, (text, colour) in enumerate(parts):
        box(axes, 4.95 + 1.0 * i, 0.87, 0.8, 0.95, text, colour=colour, size=10)
        axes.text(5.35 + 1.0 * i, 0.78, f"W_{text}", ha="center", va="top", fontsize=10)
    axes.text(5.35, 1.9, "C in", ha="center", va="bottom", fontsize=10)
    axes.text(7.8, 1.35, "C out", ha="left", va="center", fontsize=10, rotation=90)
    axes.text(6.35, 0.45, "nn.Linear: x @ W.T", ha="center", va="top", fontsize=10)
    show(
        figure,
        "OpenAI keeps query, key and value side by side in one matrix of C rows and 3C columns; "
        "our three `nn.Linear` layers want a matrix each, with a row for every output channel.",
    )


def memory(model, all_tensors, largest):
    """Two ways to load, as bars of MB: all tensors first, and one at a time."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.3))
    rows = [("read all, then copy", all_tensors), ("one at a time", largest)]
    for y, (_, beside) in enumerate(rows):
        axes.barh(y, model, height=0.55, color=QUERY)
        axes.barh(y, beside, left=model, height=0.55, color=KEY)
        axes.text(model / 2, y, f"the model: {model:.0f}", ha="center", va="center", color=PAPER)
        axes.text(model + beside / 2, y, f"{beside:.0f}", ha="center", va="center")
        end, times = model + all_tensors, f"{1 + beside / model:.2f} ×"
        axes.text(1.02 * end, y, times, ha="left", va="center")
    axes.plot([1.3 * model] * 2, [-0.42, 1.5], color=INK, linestyle=":", linewidth=1.4)
    axes.text(1.3 * model, -0.45, "limit: 1.3 ×", ha="center", va="bottom", fontsize=10)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set(xlabel="MB at the peak", ylim=(1.5, -0.5), xlim=(0, 1.13 * (model + all_tensors)))
    axes.tick_params(axis="y", length=0)
    show(
        figure,
        f"With all tensors in memory before the copying begins, loading needs "
        f"{1 + all_tensors / model:.2f} times the model; with one at a time, at most the largest, "
        f"it needs {1 + largest / model:.2f} times.",
    )
