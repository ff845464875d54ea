"""The pictures of the course: one visual language, drawn by code.

`chNN.py` beside this file holds the concept pictures of a chapter, a function each; a notebook
calls them by name. The plots of a lesson's own data stand in the lesson and end in `show`.

Colours are those of Okabe and Ito (colour-blind safe); they mean the same thing everywhere.
"""

import io

import matplotlib.pyplot as plt
from IPython.display import Image, Markdown, display
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

QUERY, KEY, VALUE = "#0072B2", "#E69F00", "#009E73"
LOSS, TARGET, EMBEDDING = "#D55E00", "#CC79A7", "#56B4E9"
MASK, INK, PAPER, FAINT = "#BBBBBB", "#222222", "#FFFFFF", "#EEEEEE"
TRAINING, VALIDATION = QUERY, LOSS
HEAT = LinearSegmentedColormap.from_list("course", [PAPER, QUERY])

WIDTH = 8.0  # inches, the width of every picture unless it says otherwise

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=[QUERY, LOSS, VALUE, KEY, TARGET, EMBEDDING]),
    "lines.linewidth": 2,
    "legend.frameon": False,
}
plt.rcParams.update(STYLE)


def show(figure, caption):
    """Display `figure` as a picture, with `caption` under it and as its alternative text.

    The picture is a PNG inside the notebook, so it is there offline, on GitHub and in print.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    width = int(figure.get_size_inches()[0] * 96)
    plt.close(figure)
    picture = Image(buffer.getvalue(), width=width, metadata={"alt": caption})
    display(picture)
    display(Markdown(f"*{caption}*"))


def canvas(width=WIDTH, height=3.0):
    """An empty figure and its axes, in inches from the lower left corner, without a frame."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def box(axes, x, y, width, height, text, colour=FAINT, size=11):
    """A rounded box with its lower left corner at (x, y); dark colours get white text."""
    patch = FancyBboxPatch(
        (x, y),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=colour,
        edgecolor=INK,
        linewidth=1,
    )
    axes.add_patch(patch)
    ink = PAPER if colour in (QUERY, VALUE, LOSS) else INK
    axes.text(
        x + width / 2,
        y + height / 2,
        text,
        ha="center",
        va="center",
        color=ink,
        fontsize=size,
    )


def arrow(axes, start, end, colour=INK, label=None):
    """An arrow from `start` to `end`, (x, y) each, with an optional label at its middle."""
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=13,
            color=colour,
            linewidth=1.4,
            shrinkA=1,
            shrinkB=1,
        )
    )
    if label:
        middle = (start[0] + end[0]) / 2 + 0.08, (start[1] + end[1]) / 2
        axes.text(*middle, label, fontsize=10, va="center", color=colour)


def heat_map(axes, values, rows, columns, title="", digits=2):
    """A matrix as coloured cells with its numbers; `rows` and `columns` are the labels.

    NaN and minus infinity are drawn in the colour of the mask.
    """
    import torch

    values = torch.as_tensor(values).detach().float().cpu()
    axes.set_facecolor(MASK)
    axes.imshow(values.masked_fill(~values.isfinite(), float("nan")), cmap=HEAT, aspect="auto")
    axes.set(title=title)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    finite = values[values.isfinite()]
    low, high = finite.min(), finite.max()
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            dark = value.isfinite() and value > low + 0.6 * (high - low)
            text = f"{value:.{digits}f}" if value.isfinite() else "−∞" if value < 0 else ""
            axes.text(
                j,
                i,
                text,
                ha="center",
                va="center",
                color=PAPER if dark else INK,
                fontsize=9,
            )
