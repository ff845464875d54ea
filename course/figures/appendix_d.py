"""Pictures of appendix D: what is added to the training loop."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Circle, Rectangle

from course.figures import (
    EMBEDDING,
    FAINT,
    INK,
    KEY,
    LOSS,
    MASK,
    PAPER,
    QUERY,
    TARGET,
    VALUE,
    arrow,
    box,
    canvas,
    show,
)


def what_is_added():
    """The loop of chapter 5 and, in colour, what this appendix adds to it."""
    figure, axes = canvas(height=3.15)
    top = [
        ("next batches", EMBEDDING),
        ("set the\nlearning rate", KEY),
        ("forward\nand loss", FAINT),
        ("backward", FAINT),
        ("clip the\ngradients", KEY),
        ("optimiser\nstep", FAINT),
    ]
    below = {
        0: "D.6 several at once\nD.9 their order",
        1: "D.1 warmup\nD.2 cosine decay",
        2: "D.7 bfloat16",
        4: "D.3",
        5: "D.5 decay in\ntwo groups",
    }
    for i, (text, colour) in enumerate(top):
        x = 0.1 + 1.33 * i
        box(axes, x, 1.75, 1.05, 0.8, text, colour=colour, size=10)
        if i:
            arrow(axes, (x - 0.28, 2.15), (x, 2.15))
        if i in below:
            axes.text(x + 0.525, 1.62, below[i], ha="center", va="top", fontsize=8.5)
    axes.plot([7.27, 7.27, 0.625, 0.625], [2.55, 2.9, 2.9, 2.72], color=INK, linewidth=1.4)
    arrow(axes, (0.625, 2.8), (0.625, 2.55))
    box(axes, 1.43, 0.2, 2.4, 0.6, "a row in the log (D.8)", colour=TARGET, size=10)
    box(axes, 4.1, 0.2, 2.4, 0.6, "a checkpoint (D.9)", colour=TARGET, size=10)
    axes.plot([7.75, 7.95, 7.95], [2.15, 2.15, 0.5], color=INK, linewidth=1.4)
    axes.plot([7.95, 6.75], [0.5, 0.5], color=INK, linewidth=1.4)
    arrow(axes, (6.8, 0.5), (6.5, 0.5))
    arrow(axes, (4.1, 0.5), (3.83, 0.5))
    show(
        figure,
        "One turn of the loop, from left to right. Orange boxes are new; the labels name the "
        "section that changes a step of the old loop, and what happens after each step.",
    )


def schedule(rates, warmup_steps):
    """Learning rate against the step, its two phases named."""
    figure, axes = plt.subplots(figsize=(7, 2.9))
    axes.axvspan(0, warmup_steps, color=FAINT)
    axes.plot(range(len(rates)), rates, color=QUERY)
    top = max(rates)
    axes.text(warmup_steps / 2, 1.1 * top, "warmup", ha="center", fontsize=10)
    axes.text((warmup_steps + len(rates)) / 2, 1.1 * top, "cosine decay", ha="center", fontsize=10)
    axes.set(xlabel="step", ylabel="learning rate", xlim=(0, len(rates) - 1), ylim=(0, 1.22 * top))
    show(
        figure,
        f"The learning rate rises in a straight line for {warmup_steps} steps, then follows half "
        "a cosine wave down: slowly at first, fastest in the middle, slowly at the end.",
    )


def clipping():
    """Two gradients and the ball into which the longer one is scaled back."""
    figure, axes = canvas(height=2.9)
    for x0, (dx, dy), title in [
        (1.6, (0.5, 0.45), "inside: nothing happens"),
        (5.2, (1.75, 0.95), "outside: same direction, length 1"),
    ]:
        centre = np.array([x0, 1.2])
        axes.add_patch(Circle(centre, 0.95, facecolor=FAINT, edgecolor=MASK, linestyle="--"))
        tip = np.array([dx, dy])
        length = np.hypot(*tip)
        arrow(axes, centre, centre + tip, colour=LOSS if length > 0.95 else VALUE)
        if length > 0.95:
            arrow(axes, centre, centre + tip / length * 0.95, colour=VALUE)
            axes.text(*(centre + tip + [0.1, 0]), "gradient", fontsize=10, va="center", color=LOSS)
            axes.text(x0 + 0.2, 0.95, "clipped", fontsize=10, va="center", color=VALUE)
        else:
            axes.text(x0 - 0.35, 0.85, "gradient", fontsize=10, va="center", color=VALUE)
        axes.plot(*centre, "o", color=INK, markersize=4)
        axes.text(x0, 2.6, title, ha="center", fontsize=10.5)
    axes.text(0.1, 0.1, "dashed: norm = 1", fontsize=9, color=INK)
    show(
        figure,
        "Clipping by the norm. A gradient inside the ball stays as it is; one that reaches "
        "beyond is shortened to the ball's radius and keeps its direction.",
    )


def two_groups(counts):
    """Which weights decay. `counts` is {name: (parameters, decays)}, from top to bottom."""
    figure, axes = plt.subplots(figsize=(7, 2.7))
    names = list(counts)
    for i, (number, decays) in enumerate(counts.values()):
        axes.barh(i, number, color=QUERY if decays else MASK)
        axes.text(number * 1.15, i, f"{number:,}", va="center", fontsize=9.5)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xscale="log", xlim=(300, 6e6), xlabel="parameters (logarithmic scale)")
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in (QUERY, MASK)]
    axes.legend(handles, ["decay", "no decay"], loc="lower right", fontsize=10)
    show(
        figure,
        "The weights of our model by kind. Only the matrices of the linear layers, in blue, are "
        "pulled towards zero.",
    )


def accumulation():
    """Four small batches in turn fill the same gradient; then one step."""
    figure, axes = canvas(height=2.5)
    for i in range(4):
        x = 0.2 + 1.3 * i
        box(axes, x, 1.55, 1.0, 0.6, f"batch {i + 1}\nof B/4", colour=EMBEDDING, size=10)
        arrow(axes, (x + 0.5, 1.55), (x + 0.5, 0.95))
    box(axes, 0.2, 0.35, 4.9, 0.6, "p.grad: each backward adds its share", colour=KEY, size=10.5)
    arrow(axes, (5.1, 0.65), (5.9, 0.65))
    box(axes, 5.9, 0.3, 1.7, 0.7, "one optimiser\nstep", colour=VALUE, size=10.5)
    axes.text(5.55, 1.85, "one after the other: the memory\nof a small batch is enough",
              fontsize=9, va="center")  # fmt: skip
    show(
        figure,
        "Gradient accumulation: four small batches pass through the model one after the other, "
        "their gradients add up in the same place, and only then do the weights move.",
    )


def number_formats():
    """Sign, exponent and fraction of three floating-point formats, a square per bit."""
    figure, axes = canvas(height=2.1)
    rows = [("float32", 8, 23), ("bfloat16", 8, 7), ("float16", 5, 10)]
    for row, (name, exponent, fraction) in enumerate(rows):
        y = 1.4 - 0.55 * row
        axes.text(0.1, y + 0.16, name, va="center", fontsize=11)
        colours = [MASK] + [KEY] * exponent + [QUERY] * fraction
        for i, colour in enumerate(colours):
            place = (1.2 + 0.205 * i, y)
            axes.add_patch(Rectangle(place, 0.19, 0.32, facecolor=colour, edgecolor=PAPER))
    for x, colour, text in [
        (4.9, MASK, "sign"),
        (5.75, KEY, "exponent: range"),
        (4.9, QUERY, "fraction: precision"),
    ]:
        y = 0.62 if colour != QUERY else 0.2
        axes.add_patch(Rectangle((x, y), 0.19, 0.24, facecolor=colour))
        axes.text(x + 0.28, y + 0.12, text, fontsize=9.5, va="center")
    show(
        figure,
        "The bits of three number formats. bfloat16 is float32 with most of the fraction cut "
        "off: the same range with fewer digits. float16 has more digits and a smaller range.",
    )


def where_it_stopped(order, done):
    """The shuffled batches of an epoch, and what a checkpoint in the middle must know."""
    figure, axes = canvas(height=2.35)
    width = 0.72
    for i, name in enumerate(order):
        x = 0.75 + i * (width + 0.06)
        colour = MASK if i < done else EMBEDDING
        box(axes, x, 1.0, width, 0.5, str(name), colour=colour, size=10)
    cut = 0.72 + done * (width + 0.06)
    axes.plot([cut, cut], [0.75, 1.85], color=LOSS, linewidth=2)
    axes.text(cut, 1.95, "the checkpoint", color=LOSS, ha="center", fontsize=10)
    axes.plot([0.7, 0.7], [0.75, 1.85], color=QUERY, linewidth=2)
    axes.text(0.4, 1.95, "the epoch begins", color=QUERY, fontsize=10)
    axes.text(0.72, 0.6, "random state here: gives\nthe order of all batches", color=QUERY,
              fontsize=9, va="top")  # fmt: skip
    axes.text(cut, 0.6, "random state here: gives the\ndropout of the next step", color=LOSS,
              fontsize=9, va="top")  # fmt: skip
    show(
        figure,
        "The batches of an epoch in their shuffled order. To go on in the middle we need the "
        f"random state of two moments, and the number of batches done, here {done}.",
    )
