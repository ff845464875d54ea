"""The concept pictures of appendix A: tensors, gradients, networks, data, processes."""

from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

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
    WIDTH,
    arrow,
    box,
    canvas,
    show,
)

CLASSES = [QUERY, KEY, VALUE]  # the three arms of the pinwheel
SHADES = ["#CCE3F0", "#FAECCC", "#CCECE3"]  # the same, pale, for regions


def _cells(axes, x, y, rows, colours=FAINT, cell=0.42, size=10):
    """A table of cells whose upper left corner is (x, y); `rows` holds their texts.

    `colours` is a colour or a function of row and column.
    """
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            colour = colours(i, j) if callable(colours) else colours
            corner = x + j * cell, y - (i + 1) * cell
            axes.add_patch(Rectangle(corner, cell, cell, facecolor=colour, edgecolor=INK, lw=0.8))
            ink = PAPER if colour in (QUERY, VALUE, LOSS) else INK
            middle = corner[0] + cell / 2, corner[1] + cell / 2
            axes.text(*middle, str(text), ha="center", va="center", fontsize=size, color=ink)


def three_layers():
    """Section A.1: what PyTorch consists of."""
    figure, axes = canvas(height=2.5)
    rows = [
        (1.7, "parts for networks", "layers, losses, optimisers, data loaders", EMBEDDING),
        (0.95, "automatic differentiation", "how does the result move with each input?", KEY),
        (0.2, "tensors", "tables of numbers, on a CPU or a GPU", FAINT),
    ]
    for y, name, what, colour in rows:
        box(axes, 0.3, y, 2.8, 0.62, name, colour)
        axes.text(3.35, y + 0.31, what, va="center")
    show(
        figure,
        "PyTorch in three layers: tensors at the bottom, automatic differentiation on top of "
        "them, and parts for networks on top of both.",
    )


def dimensions():
    """Section A.2.1: tensors of zero to three dimensions."""
    figure, axes = canvas(height=2.4)
    _cells(axes, 0.45, 1.6, [["7.5"]], EMBEDDING)
    _cells(axes, 1.75, 1.6, [["1", "2", "3"]], EMBEDDING)
    _cells(axes, 3.75, 1.6, [["1.", "2.", "3."], ["4.", "5.", "6."]], EMBEDDING)
    for k in range(4):
        x, y = 5.95 + 0.17 * (3 - k), 1.75 - 0.14 * k + 0.14
        _cells(axes, x, y, [["0." if k == 3 else ""] * 3] * 2, EMBEDDING)
    places = [(0.66, "()\nno dimension"), (2.38, "(3,)\n1 dimension")]
    places += [(4.38, "(2, 3)\n2 dimensions"), (6.85, "(4, 2, 3)\n3 dimensions")]
    for x, text in places:
        axes.text(x, 0.36, text, ha="center", va="center", fontsize=10)
    show(
        figure,
        "Four tensors and their shapes: a number, a row of three numbers, a table of two rows and "
        "three columns, and a stack of four such tables.",
    )


def sum_over_dims():
    """Section A.2.3: the named dimension disappears."""
    figure, axes = canvas(height=3.1)
    numbers = torch.tensor([[10, 11, 12, 13], [20, 21, 22, 23], [30, 31, 32, 33]])
    columns = [PAPER, FAINT, PAPER, FAINT]
    texts = numbers.tolist()
    _cells(axes, 0.6, 2.45, texts, lambda i, j: EMBEDDING if j == 0 else columns[j], cell=0.45)
    _cells(axes, 0.6, 0.75, [numbers.sum(0).tolist()], lambda i, j: EMBEDDING if j == 0 else FAINT,
           cell=0.45)  # fmt: skip
    for j in range(4):
        arrow(axes, (0.825 + 0.45 * j, 1.08), (0.825 + 0.45 * j, 0.77))
    axes.text(1.5, 2.75, "sum(dim=0): (3, 4) → (4,)", ha="center", fontsize=11)
    _cells(axes, 4.4, 2.45, texts, lambda i, j: EMBEDDING if i == 0 else FAINT, cell=0.45)
    sums = [[number] for number in numbers.sum(1).tolist()]
    _cells(axes, 6.65, 2.45, sums, lambda i, j: EMBEDDING if i == 0 else FAINT, cell=0.45)
    for i in range(3):
        arrow(axes, (6.22, 2.225 - 0.45 * i), (6.63, 2.225 - 0.45 * i))
    axes.text(5.75, 2.75, "sum(dim=1): (3, 4) → (3,)", ha="center", fontsize=11)
    show(
        figure,
        "A table of three rows and four columns: summing over dimension 0 leaves a sum for each "
        "of the four columns, summing over dimension 1 a sum for each of the three rows.",
    )


def broadcasting():
    """Section A.2.3: sizes of 1 are stretched."""
    figure, axes = canvas(height=2.5)
    tall = [[10], [20], [30]]
    wide = [[1, 2, 3, 4]]
    pale = "#F7F7F7"
    _cells(axes, 0.35, 1.95, [[r[0]] * 4 for r in tall], lambda i, j: pale if j else EMBEDDING)
    axes.text(2.35, 1.32, "+", ha="center", va="center", fontsize=16)
    _cells(axes, 2.75, 1.95, wide * 3, lambda i, j: pale if i else KEY)
    axes.text(4.8, 1.32, "=", ha="center", va="center", fontsize=16)
    _cells(axes, 5.25, 1.95, [[a[0] + b for b in wide[0]] for a in tall], FAINT)
    for x, text in [(1.19, "(3, 1)"), (3.59, "(4,)"), (6.09, "(3, 4)")]:
        axes.text(x, 0.36, text, ha="center", fontsize=11)
    axes.text(1.19, 2.15, "repeated to the right", ha="center", fontsize=10)
    axes.text(3.59, 2.15, "repeated downwards", ha="center", fontsize=10)
    show(
        figure,
        "Broadcasting: a column of shape (3, 1) is repeated to the right, a row of shape (4,) "
        "downwards, and the two repeated tables are added number by number.",
    )


def strides():
    """Section A.2.4: one storage, two tensors."""
    figure, axes = canvas(height=3.4)
    shades = [EMBEDDING, EMBEDDING, EMBEDDING, KEY, KEY, KEY]
    _cells(axes, 2.45, 0.95, [range(6)], lambda i, j: shades[j], cell=0.52)
    axes.text(2.3, 0.69, "storage", ha="right", va="center")
    _cells(axes, 0.9, 2.75, [[0, 1, 2], [3, 4, 5]], lambda i, j: shades[3 * i])
    axes.text(2.4, 2.55, "shape (2, 3)\nstrides (3, 1)", va="center", fontsize=10)
    table = [[0, 3], [1, 4], [2, 5]]
    _cells(axes, 4.9, 2.95, table, lambda i, j: shades[3 * j])
    axes.text(6.0, 2.55, "shape (3, 2)\nstrides (1, 3)", va="center", fontsize=10)
    axes.text(1.53, 3.05, "t", ha="center", fontsize=11)
    axes.text(5.32, 3.12, "t.T", ha="center", fontsize=11)
    arrow(axes, (1.6, 1.86), (2.66, 0.98))
    arrow(axes, (5.1, 1.64), (2.82, 0.98))
    axes.text(4.0, 0.12, "one step down in t: 3 places on;  one step right: 1", ha="center",
              fontsize=10)  # fmt: skip
    show(
        figure,
        "A table and its transpose begin at the same number of one storage; only shape and "
        "strides differ, so no number is copied.",
    )


def graph():
    """Section A.3.2: the computation graph of (w x + b − 7)², forward and back."""
    figure, axes = canvas(height=3.3)
    boxes = [
        (0.2, 2.3, "w = 1.5", EMBEDDING), (0.2, 1.3, "x = 2", FAINT),
        (0.2, 0.3, "b = 1", EMBEDDING), (2.15, 1.8, "w · x = 3", FAINT),
        (4.1, 1.3, "+ b = 4", FAINT), (6.2, 1.3, "(4 − 7)² = 9", LOSS),
    ]  # fmt: skip
    for x, y, text, colour in boxes:
        box(axes, x, y, 1.35 if x < 6 else 1.55, 0.55, text, colour)
    arrow(axes, (1.55, 2.5), (2.15, 2.2))
    arrow(axes, (1.55, 1.65), (2.15, 1.95))
    arrow(axes, (3.5, 2.0), (4.1, 1.72))
    arrow(axes, (1.55, 0.6), (4.1, 1.42))
    arrow(axes, (5.45, 1.58), (6.2, 1.58))
    slopes = [
        (5.8, 1.05, "2 · (4 − 7)\n= −6"), (3.95, 2.42, "−6 · 1 = −6"),
        (2.3, 2.62, "−6 · 2 = −12"), (2.75, 0.62, "−6 · 1 = −6"),
    ]  # fmt: skip
    for x, y, text in slopes:
        axes.text(x, y, text, color=LOSS, ha="center", va="center", fontsize=10)
    axes.text(5.9, 2.95, "black: computed forwards", ha="left", fontsize=9.5)
    axes.text(5.9, 2.68, "red: slopes, backwards", ha="left", fontsize=9.5, color=LOSS)
    show(
        figure,
        "The computation graph of the loss (w x + b − 7)²: forwards the values 3, 4 and 9; "
        "backwards the slopes, −6 at the sum, −12 for w and −6 for b.",
    )


def network():
    """Section A.4.2: two numbers in, hidden layers of 30 and 20, three logits out."""
    figure, axes = canvas(height=2.9)
    columns = [
        (0.9, 2, "2\ninputs"),
        (3.0, 6, "30, ReLU"),
        (5.1, 5, "20, ReLU"),
        (7.1, 3, "3\nlogits"),
    ]
    places = []
    for x, count, _ in columns:
        gap = min(0.34, 1.9 / count)
        places.append([(x, 1.75 + gap * (i - (count - 1) / 2)) for i in range(count)])
    for left, right in pairwise(places):
        for start in left:
            for end in right:
                axes.plot(*zip(start, end, strict=True), color=MASK, linewidth=0.6, zorder=1)
    for i, column in enumerate(places):
        for j, (x, y) in enumerate(column):
            if i in (1, 2) and j == len(column) // 2:
                axes.text(x, y, "⋮", ha="center", va="center", fontsize=13, zorder=3,
                          bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1})  # fmt: skip
                continue
            colour = [EMBEDDING, FAINT, FAINT, CLASSES[j % 3]][i]
            axes.plot(x, y, "o", markersize=15, color=colour, markeredgecolor=INK, zorder=2)
    for x, _, text in columns:
        axes.text(x, 0.42, text, ha="center", va="center", fontsize=10)
    show(
        figure,
        "The network: two inputs, a hidden layer of 30 numbers, another of 20, and three logits; "
        "every number of a layer is a weighted sum of all numbers of the layer before.",
    )


def _scatter(axes, X, y, **options):
    for k, colour in enumerate(CLASSES):
        part = X[y == k]
        axes.scatter(part[:, 0], part[:, 1], color=colour, edgecolor=INK, linewidth=0.5, **options)
    axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def points(X_train, y_train, X_test, y_test):
    """Section A.5.1: the pinwheel."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.7))
    for part, X, y, name in [(axes[0], X_train, y_train, "240 to train on"),
                             (axes[1], X_test, y_test, "120 to test on")]:  # fmt: skip
        _scatter(part, X, y, s=26)
        part.set_title(name, fontsize=11)
    show(
        figure,
        "The points of the pinwheel, coloured by their arm: 240 for training on the left and 120 "
        "others for testing on the right; each arm winds round the middle.",
    )


def loader():
    """Section A.5.3: from a dataset to batches."""
    figure, axes = canvas(height=2.6)
    order = [6, 1, 8, 3, 0, 9, 4, 7, 2, 5]
    shade = [EMBEDDING] * 4 + [KEY] * 4 + [TARGET] * 2
    colour_of = {index: shade[place] for place, index in enumerate(order)}
    _cells(axes, 2.0, 2.45, [range(10)], lambda i, j: colour_of[j])
    _cells(axes, 2.0, 1.55, [order], lambda i, j: shade[j])
    for x, indices, colour in [(1.15, order[:4], EMBEDDING), (3.55, order[4:8], KEY),
                               (5.95, order[8:], TARGET)]:  # fmt: skip
        _cells(axes, x, 0.65, [indices], colour)
    for y, text in [(2.24, "dataset"), (1.34, "shuffled"), (0.44, "batches")]:
        axes.text(0.1, y, text, va="center")
    arrow(axes, (4.1, 2.0), (4.1, 1.6))
    for start, end in [(2.84, 2.0), (4.52, 4.4), (5.78, 6.3)]:
        arrow(axes, (start, 1.1), (end, 0.68))
    show(
        figure,
        "A data loader shuffles the ten examples of a dataset and deals them out in batches of "
        "four; the last batch has only two.",
    )


def training_loop():
    """Section A.6.3: one turn of the loop."""
    figure, axes = canvas(height=2.3)
    steps = [
        ("batch", "X, y", EMBEDDING), ("forward", "model(X)", FAINT),
        ("loss", "cross_entropy", LOSS), ("clear", "zero_grad()", FAINT),
        ("slopes", "backward()", KEY), ("step", "step()", VALUE),
    ]  # fmt: skip
    for i, (name, call, colour) in enumerate(steps):
        x = 0.2 + 1.3 * i
        box(axes, x, 1.2, 1.0, 0.6, name, colour)
        axes.text(x + 0.5, 0.95, call, ha="center", fontsize=9, family="monospace")
        if i:
            arrow(axes, (x - 0.3, 1.5), (x, 1.5))
    axes.plot([7.2, 7.2, 0.7], [0.8, 0.4, 0.4], color=INK, linewidth=1.4)
    arrow(axes, (0.7, 0.4), (0.7, 0.82))
    axes.text(3.95, 0.2, "next batch", ha="center", fontsize=10)
    show(
        figure,
        "One turn of the training loop: take a batch, run it through the model, compute the loss, "
        "clear the old gradients, walk back for the new ones, move the weights; then the next.",
    )


def regions(models, X, y):
    """Section A.6.3: how each of the named `models` divides the plane, with the points on it."""
    figure, axes = plt.subplots(1, len(models), figsize=(WIDTH, 3.9))
    line = torch.linspace(-1.15, 1.15, 200)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)  # (200, 200, 2)
    for part, (name, model) in zip(axes, models, strict=True):
        with torch.no_grad():
            answers = model(grid).argmax(dim=-1)
        part.imshow(answers, origin="lower", extent=(-1.15, 1.15, -1.15, 1.15),
                    cmap=ListedColormap(SHADES), vmin=0, vmax=2)  # fmt: skip
        _scatter(part, X, y, s=22)
        part.set_title(name, fontsize=11)
    show(
        figure,
        "The plane, coloured by the answer of each network, with the test points: the hidden "
        "layers bend the regions round the arms, without them three straight borders remain.",
    )


def devices():
    """Section A.8: two memories, and copies between them."""
    figure, axes = canvas(height=2.9)
    for x, name in [(0.2, "CPU and its memory"), (5.4, "GPU and its memory")]:
        axes.add_patch(Rectangle((x, 0.2), 2.4, 2.2, facecolor=PAPER, edgecolor=INK))
        axes.text(x + 1.2, 2.58, name, ha="center", fontsize=11)
    rows = [("model", "model.to(device)", KEY), ("batch", "X.to(device)", EMBEDDING)]
    rows += [("loss", "loss.item()", LOSS)]
    for i, (name, call, colour) in enumerate(rows):
        y = 1.75 - 0.68 * i
        box(axes, 0.4, y, 2.0, 0.45, name, colour, size=10)
        box(axes, 5.6, y, 2.0, 0.45, name, colour, size=10)
        ends = [(2.4, y + 0.2), (5.6, y + 0.2)]
        arrow(axes, *(ends if name != "loss" else ends[::-1]))
        axes.text(4.0, y + 0.29, call, ha="center", fontsize=9.5, family="monospace")
    show(
        figure,
        "CPU and GPU have memories of their own: the model moves over once, each batch is copied "
        "as it comes, and single numbers such as the loss come back.",
    )


def data_parallel():
    """Section A.9.1: two processes, one mean of gradients."""
    figure, axes = canvas(height=3.2)
    box(axes, 0.15, 1.3, 1.15, 0.6, "batch\nof 24", FAINT, size=10)
    for rank, y, colour in [(0, 2.2, EMBEDDING), (1, 0.4, TARGET)]:
        box(axes, 1.9, y, 1.2, 0.6, f"rank {rank}\n12 points", colour, size=10)
        box(axes, 3.5, y, 1.2, 0.6, "copy of the\nnetwork", FAINT, size=10)
        box(axes, 5.1, y, 1.05, 0.6, "gradients", KEY, size=10)
        arrow(axes, (1.3, 1.6), (1.9, y + 0.3))
        arrow(axes, (3.1, y + 0.3), (3.5, y + 0.3))
        arrow(axes, (4.7, y + 0.3), (5.1, y + 0.3))
        arrow(axes, (5.62, y if rank == 0 else y + 0.6), (5.62, 1.9 if rank == 0 else 1.3))
        box(axes, 6.75, y, 1.1, 0.6, "equal\nstep", VALUE, size=10)
        arrow(axes, (6.15, 1.6), (7.3, y if rank == 0 else y + 0.6))
    box(axes, 5.1, 1.3, 1.05, 0.6, "mean", KEY)
    show(
        figure,
        "Two processes share a batch of 24 points: each computes gradients on its 12, both get "
        "the mean of the gradients, and both make the same step.",
    )
