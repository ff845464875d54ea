"""Pictures of appendix E: matrices of low rank, and LoRA."""

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from course.figures import EMBEDDING, FAINT, HEAT, INK, KEY, VALUE, arrow, box, canvas, show


def low_rank(clean, noisy, approximation):
    """Three tables as pictures."""
    figure, all_axes = plt.subplots(1, 3, figsize=(8, 2.3))
    titles = ["sin(x + y)", "with noise", "its best of rank 2"]
    for axes, table, title in zip(all_axes, (clean, noisy, approximation), titles, strict=True):
        axes.imshow(table, cmap=HEAT, aspect="auto", vmin=-1.2, vmax=1.2)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=11)
    figure.tight_layout()
    show(
        figure,
        "The table, the same with noise, and the best approximation of rank 2 of the noisy one: "
        "the noise is spread over all directions, so that keeping two of them removes most of it.",
    )


def matrix(axes, x, y, width, height, text, colour, size=12):
    axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor=INK))
    dark = colour == VALUE
    axes.text(
        x + width / 2,
        y + height / 2,
        text,
        ha="center",
        va="center",
        fontsize=size,
        color="white" if dark else INK,
    )


def lora_idea():
    """The input goes through W and, beside it, through A and B."""
    figure, axes = canvas(height=3.3)
    box(axes, 0.15, 1.45, 0.9, 0.5, "x", colour=EMBEDDING)
    axes.text(0.6, 1.3, "(B, T, in)", ha="center", va="top", fontsize=9)
    matrix(axes, 2.4, 1.95, 1.8, 1.1, "W, frozen", FAINT)
    axes.text(2.33, 2.5, "in", ha="right", va="center", fontsize=9)
    axes.text(3.3, 3.1, "out", ha="center", va="bottom", fontsize=9)
    matrix(axes, 2.4, 0.3, 0.35, 1.1, "A", KEY)
    axes.text(2.33, 0.85, "in", ha="right", va="center", fontsize=9)
    axes.text(2.57, 0.25, "r", ha="center", va="top", fontsize=9)
    matrix(axes, 3.3, 0.65, 1.8, 0.35, "B", KEY)
    axes.text(4.2, 0.6, "out", ha="center", va="top", fontsize=9)
    axes.text(3.23, 0.82, "r", ha="right", va="center", fontsize=9)
    arrow(axes, (1.05, 1.8), (2.1, 2.5))
    arrow(axes, (1.05, 1.6), (2.1, 0.9))
    arrow(axes, (2.78, 0.82), (3.12, 0.82))
    box(axes, 5.45, 0.57, 0.55, 0.5, "× α")
    arrow(axes, (5.1, 0.82), (5.45, 0.82))
    box(axes, 6.35, 1.5, 0.5, 0.5, "+", size=13)
    arrow(axes, (4.2, 2.5), (6.4, 2.02))
    arrow(axes, (6.0, 0.85), (6.45, 1.48))
    arrow(axes, (6.85, 1.75), (7.15, 1.75))
    axes.text(7.5, 1.75, "output", ha="center", va="center", fontsize=10.5)
    axes.text(7.5, 1.5, "(B, T, out)", ha="center", va="top", fontsize=9)
    show(
        figure,
        "LoRA beside a linear layer. The input passes the frozen matrix W as before, and also "
        "the two thin orange ones, the only ones that are trained; the results are added.",
    )


def merging():
    """W + alpha * A * B = one matrix of the old shape."""
    figure, axes = canvas(height=1.75)
    matrix(axes, 0.2, 0.45, 1.5, 1.0, "W", FAINT)
    axes.text(2.0, 0.95, "+ α ×", ha="center", va="center", fontsize=13)
    matrix(axes, 2.4, 0.45, 0.3, 1.0, "A", KEY)
    axes.text(2.9, 0.95, "×", ha="center", va="center", fontsize=13)
    matrix(axes, 3.1, 0.8, 1.5, 0.3, "B", KEY)
    axes.text(5.0, 0.95, "=", ha="center", va="center", fontsize=15)
    matrix(axes, 5.4, 0.45, 1.5, 1.0, "W + ΔW", VALUE)
    axes.text(0.95, 0.2, "frozen", ha="center", fontsize=9.5, va="center")
    axes.text(3.4, 0.2, "trained", ha="center", fontsize=9.5, va="center")
    axes.text(6.15, 0.2, "an ordinary weight", ha="center", fontsize=9.5, va="center")
    show(
        figure,
        "Merging: the product of the two thin matrices has the shape of W and is added to it; "
        "one matrix remains.",
    )
