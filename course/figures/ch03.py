"""The concept pictures of chapter 3: attention, from one dot product to many heads."""

import math

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from course.figures import (
    EMBEDDING,
    FAINT,
    HEAT,
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
    heat_map,
    show,
)

HEADS = [HEAT(1.0), HEAT(0.6), HEAT(0.3)]  # the colours of heads 0, 1 and 2


def fixed_size_state():
    """Section 3.1: a recurrent network squeezes every token into one state."""
    figure, axes = canvas(height=2.35)
    words = ["Every", "word", "looks", "at", "the", "others"]
    for i, word in enumerate(words):
        x = 0.3 + 1.25 * i
        box(axes, x, 0.25, 0.9, 0.45, word, EMBEDDING)
        box(axes, x, 1.3, 0.9, 0.5, "state", FAINT)
        arrow(axes, (x + 0.45, 0.72), (x + 0.45, 1.28))
        if i:
            arrow(axes, (x - 0.35, 1.55), (x, 1.55))
    last = 0.3 + 1.25 * 5
    box(axes, last, 1.3, 0.9, 0.5, "state", MASK)
    axes.text(last + 0.9, 1.95, "all that is left of six words", ha="right", size=10)
    show(
        figure,
        "A recurrent network reads word by word and overwrites one state of fixed size; "
        "after the last word this state is all that is left of the text.",
    )


def look_back():
    """Section 3.2: attention keeps all tokens and mixes them by weight."""
    figure, axes = canvas(height=2.6)
    words = ["Every", "word", "looks", "at", "the", "others"]
    weights = [0.06, 0.30, 0.28, 0.06, 0.05, 0.25]
    box(axes, 2.9, 1.95, 2.2, 0.45, "new vector for “word”", EMBEDDING, size=10)
    for i, (word, weight) in enumerate(zip(words, weights, strict=True)):
        x = 0.3 + 1.25 * i
        box(axes, x, 0.25, 0.9, 0.45, word, EMBEDDING)
        start, end = (x + 0.45, 0.74), (3.2 + 0.32 * i, 1.93)
        axes.plot(*zip(start, end, strict=True), color=INK, linewidth=16 * weight)
    show(
        figure,
        "Attention keeps the vectors of all words; the new vector for one word is a mixture of "
        "them, and a thicker line stands for a larger weight (made up here).",
    )


def dot_products():
    """Section 3.3.1: a dot product is large when two vectors point the same way."""
    figure, axes = canvas(height=2.5)
    for i, (degrees, name) in enumerate([(20, "alike"), (90, "unrelated"), (160, "opposed")]):
        x, y, length = 1.35 + 2.65 * i, 0.85, 0.95
        angle = math.radians(degrees)
        arrow(axes, (x, y), (x + length, y), QUERY)
        end = (x + length * math.cos(angle), y + length * math.sin(angle))
        arrow(axes, (x, y), end, KEY)
        axes.text(x, 2.2, name, ha="center", size=12)
        product = round(math.cos(angle), 2) + 0.0
        axes.text(x, 0.35, f"dot product {product:.2f}".replace("-", "−"), ha="center")
    show(
        figure,
        "Three pairs of arrows of length 1: the dot product is near 1 when they point the same "
        "way, 0 at a right angle and near −1 when they point in opposite directions.",
    )


def one_query(words, scores, weights, context):
    """Section 3.3.1: from the scores of one query to its context vector, in numbers."""
    figure, axes = canvas(height=4.5)
    columns = [1.75 + 1.03 * i for i in range(len(words))]
    rows = {"token": 3.85, "score": 2.9, "weight": 1.85}
    for name, y in rows.items():
        axes.text(1.5, y + 0.21, name, ha="right", va="center", size=11)
    for i, x in enumerate(columns):
        shade = HEAT(1.8 * float(weights[i]))
        box(axes, x, rows["token"], 0.86, 0.42, words[i], EMBEDDING if i != 1 else QUERY)
        box(axes, x, rows["score"], 0.86, 0.42, f"{scores[i]:.4f}", FAINT, size=10)
        box(axes, x, rows["weight"], 0.86, 0.42, f"{weights[i]:.4f}", shade, size=10)
        arrow(axes, (x + 0.43, rows["token"]), (x + 0.43, rows["score"] + 0.44))
        arrow(axes, (x + 0.43, rows["score"]), (x + 0.43, rows["weight"] + 0.44))
        start, end = (x + 0.43, rows["weight"] - 0.02), (3.85 + 0.28 * i, 0.87)
        axes.plot(*zip(start, end, strict=True), color=QUERY, linewidth=25 * float(weights[i]))
    for y, text in [(3.58, "dot product with “word”"), (2.56, "softmax")]:
        axes.text(0.12, y, text, va="center", size=9.5, style="italic")
    axes.text(0.12, 1.4, "weighted sum of\nthe six vectors", size=9.5, style="italic")
    text = "context vector  " + "  ".join(f"{number:.4f}" for number in context)
    box(axes, 2.75, 0.4, 3.6, 0.45, text, EMBEDDING, size=10)
    show(
        figure,
        "One query, “word”, in three steps: a score with every token, the scores turned into "
        "weights by softmax, and the weighted sum of all input vectors, the context vector.",
    )


def _matrix(axes, x, y, rows, columns, text, colour, cell=0.3, size=11):
    """A grid of cells with its lower left corner at (x, y) and `text` above.

    `colour` is a colour, or a function of row (counted from above) and column.
    """
    for i in range(rows):
        for j in range(columns):
            fill = colour(rows - 1 - i, j) if callable(colour) else colour
            axes.add_patch(
                Rectangle(
                    (x + j * cell, y + i * cell),
                    cell,
                    cell,
                    facecolor=fill,
                    edgecolor=PAPER,
                    linewidth=1.5,
                )
            )
    axes.text(x + columns * cell / 2, y + rows * cell + 0.12, text, ha="center", size=size)


def all_queries(weights):
    """Section 3.3.2: two matrix products do the work for all queries; weights (6, 6)."""
    figure, axes = canvas(height=3.0)
    y, cell = 0.55, 0.27

    def shade(row, column):
        return HEAT(0.1 + 3 * float(weights[row][column]) ** 1.2)

    _matrix(axes, 0.15, y, 6, 3, "X", EMBEDDING, cell)
    _matrix(axes, 1.35, y + 0.4, 3, 6, "X transposed", EMBEDDING, cell)
    _matrix(axes, 3.6, y, 6, 6, "weights", shade, cell)
    _matrix(axes, 5.62, y, 6, 3, "X", EMBEDDING, cell)
    _matrix(axes, 6.95, y, 6, 3, "context", EMBEDDING, cell)
    middle = y + 3 * cell
    for x, sign in [(1.15, "@"), (5.42, "@"), (6.69, "=")]:
        axes.text(x, middle, sign, ha="center", va="center", size=14)
    arrow(axes, (3.05, middle), (3.55, middle))
    axes.text(3.28, middle + 0.12, "softmax\nof rows", ha="center", size=8.5)
    shapes = [(0.55, "(T, C)"), (2.16, "(C, T)"), (4.41, "(T, T)"), (6.02, "(T, C)")]
    for x, text in [*shapes, (7.35, "(T, C)")]:
        axes.text(x, 0.2, text, ha="center", size=10, color=INK)
    show(
        figure,
        "Self-attention for all tokens at once: X times its transpose gives the scores of all "
        "pairs, softmax makes each row sum to 1, and weights times X gives a context vector "
        "per row.",
    )


def query_key_value():
    """Section 3.4.1: every token plays three parts, each through its own matrix."""
    figure, axes = canvas(height=4.0)
    box(axes, 0.2, 1.85, 1.05, 0.5, "x  (T, C)", EMBEDDING)
    rows = [(3.15, "W_query", "queries", QUERY), (1.85, "W_key", "keys", KEY)]
    for y, matrix, name, colour in [*rows, (0.5, "W_value", "values", VALUE)]:
        box(axes, 1.85, y, 1.05, 0.5, matrix, FAINT, size=10)
        box(axes, 3.3, y, 1.05, 0.5, name, colour)
        arrow(axes, (1.27, 2.1), (1.83, y + 0.25))
        arrow(axes, (2.92, y + 0.25), (3.28, y + 0.25))
    box(axes, 5.0, 2.45, 1.1, 0.5, "scores", FAINT)
    axes.text(5.55, 3.06, "queries @ keysᵀ", ha="center", size=9.5)
    arrow(axes, (4.37, 3.4), (4.98, 2.8))
    arrow(axes, (4.37, 2.1), (4.98, 2.6))
    box(axes, 6.7, 2.45, 1.1, 0.5, "weights", HEAT(0.3))
    arrow(axes, (6.12, 2.7), (6.68, 2.7))
    axes.text(6.4, 2.2, "÷ √D, softmax", ha="center", size=9.5)
    box(axes, 6.6, 0.5, 1.3, 0.5, "context", VALUE)
    arrow(axes, (7.25, 2.43), (7.25, 1.02))
    arrow(axes, (4.37, 0.75), (6.58, 0.75))
    axes.text(5.4, 0.87, "weighted sum", ha="center", size=9.5)
    show(
        figure,
        "Self-attention with trainable weights: queries and keys decide the weights, values are "
        "what is mixed; the three matrices are what training changes.",
    )


def who_sees_what():
    """Section 3.5: at each position a GPT sees the past and predicts the next token."""
    figure, axes = canvas(height=3.3)
    words = ["Every", "word", "looks", "at", "the", "others"]
    axes.text(2.7, 3.0, "may be looked at", ha="center", size=10.5)
    axes.text(6.75, 3.0, "must be predicted", ha="center", size=10.5)
    for i in range(5):
        y = 2.4 - 0.52 * i
        for j in range(5):
            colour = EMBEDDING if j <= i else MASK
            box(axes, 0.2 + 1.04 * j, y, 0.9, 0.4, words[j] if j <= i else "", colour, 10)
        arrow(axes, (5.45, y + 0.2), (6.2, y + 0.2))
        box(axes, 6.3, y, 0.95, 0.4, words[i + 1], TARGET, size=10)
    show(
        figure,
        "One text of six words gives five exercises at once: each row sees the words up to its "
        "own position and must predict the next; grey words are still hidden.",
    )


def two_ways_of_masking():
    """Section 3.5.1: mask after softmax and renormalise, or mask with −∞ before softmax."""
    figure, axes = canvas(height=2.5)
    top = [
        ("scores", FAINT),
        ("weights", HEAT(0.3)),
        ("future\nset to 0", MASK),
        ("weights", HEAT(0.6)),
    ]
    bottom = [("scores", FAINT), ("future\nset to −∞", MASK), ("weights", HEAT(0.6))]
    for y, stages, labels in [
        (1.5, top, ["softmax", "× mask", "÷ row sum"]),
        (0.3, bottom, ["fill", "softmax"]),
    ]:
        for i, (name, colour) in enumerate(stages):
            x = 0.2 + 2.15 * i
            box(axes, x, y, 1.15, 0.6, name, colour, size=10)
            if i:
                arrow(axes, (x - 0.98, y + 0.3), (x - 0.02, y + 0.3))
                axes.text(x - 0.52, y + 0.42, labels[i - 1], ha="center", size=9.5)
    axes.text(5.95, 0.6, "the same weights,\none step fewer", va="center", size=10)
    show(
        figure,
        "Two ways to hide the future: after the softmax, set weights to zero and divide each row "
        "by its sum; or before the softmax, set scores to minus infinity.",
    )


def heads_side_by_side():
    """Section 3.6.1: separate heads, outputs concatenated."""
    figure, axes = canvas(height=2.5)
    box(axes, 0.2, 0.95, 1.2, 0.6, "x\n(B, T, C)", EMBEDDING, size=10)
    for y, name, colour in [(1.6, "head 0", HEADS[1]), (0.3, "head 1", HEADS[2])]:
        box(axes, 2.2, y, 1.9, 0.6, f"{name}: own W_query,\nW_key, W_value", FAINT, size=9)
        arrow(axes, (1.42, 1.25), (2.18, y + 0.3))
        box(axes, 4.6, y, 1.1, 0.6, "(B, T, D)", colour, size=10)
        arrow(axes, (4.12, y + 0.3), (4.58, y + 0.3))
        arrow(axes, (5.72, y + 0.3), (6.28, 1.25))
    box(axes, 6.3, 0.95, 0.75, 0.6, "", HEADS[1])
    box(axes, 7.05, 0.95, 0.75, 0.6, "", HEADS[2])
    axes.text(7.05, 0.7, "(B, T, H × D)", ha="center", va="center", size=10)
    axes.text(7.05, 1.7, "torch.cat", ha="center", size=10)
    show(
        figure,
        "Two separate heads read the same input, each with matrices of its own; their outputs "
        "are laid side by side along the last dimension.",
    )


def split_heads():
    """Section 3.6.2: one wide product, cut into heads."""
    figure, axes = canvas(height=3.5)
    cell, tokens = 0.26, 4
    for h, colour in enumerate(HEADS):
        _matrix(axes, 0.3 + 2 * h * cell, 1.2, tokens, 2, "", colour, cell)
        x = 3.2 + 2 * h * cell + 0.2 * h
        _matrix(axes, x, 1.2, tokens, 2, "", colour, cell)
        _matrix(axes, 6.3 + 0.22 * h, 1.75 - 0.42 * h, tokens, 2, "", colour, cell)
        axes.text(7.0 + 0.22 * h, 2.6 - 0.42 * h, f"head {h}", size=9.5, va="center")
    for x, text in [(1.08, "(B, T, H × D)"), (4.2, "(B, T, H, D)"), (6.8, "(B, H, T, D)")]:
        axes.text(x, 0.4, text, ha="center", size=11)
    arrow(axes, (2.0, 1.72), (3.05, 1.72))
    axes.text(2.5, 1.85, "view", ha="center", size=10)
    arrow(axes, (5.25, 1.72), (6.2, 1.72))
    axes.text(5.7, 1.85, "transpose", ha="center", size=10)
    axes.text(1.08, 2.45, "T rows,\nH × D channels", ha="center", size=9.5)
    axes.text(4.2, 2.45, "same numbers,\ncut by channel", ha="center", size=9.5)
    axes.text(6.55, 3.0, "a (T, D) matrix\nper head", ha="center", size=9.5)
    show(
        figure,
        "One wide matrix of queries (T = 4, H = 3, D = 2) is viewed as H groups of D channels, "
        "and the head dimension is moved before the tokens, so that each head is a matrix.",
    )


def multi_head():
    """Section 3.6.2: the whole layer with its shapes."""
    figure, axes = canvas(height=4.6)
    box(axes, 0.2, 2.15, 0.95, 0.6, "x\n(B, T, C)", EMBEDDING, size=9.5)
    for y, name, colour in [(3.4, "query", QUERY), (2.2, "key", KEY), (0.6, "value", VALUE)]:
        box(axes, 1.6, y, 1.05, 0.55, f"W_{name}", FAINT, size=10)
        box(axes, 3.05, y, 1.3, 0.55, "split_heads\n(B, H, T, D)", colour, size=9)
        arrow(axes, (1.17, 2.45), (1.58, y + 0.28))
        arrow(axes, (2.67, y + 0.28), (3.03, y + 0.28))
    box(axes, 4.85, 2.7, 1.25, 0.65, "scores ÷ √D\n(B, H, T, T)", FAINT, size=9)
    arrow(axes, (4.37, 3.6), (4.83, 3.15))
    arrow(axes, (4.37, 2.5), (4.83, 2.9))
    box(axes, 6.55, 2.7, 1.25, 0.65, "mask, softmax,\ndropout", MASK, size=9)
    arrow(axes, (6.12, 3.02), (6.53, 3.02))
    box(axes, 6.55, 1.6, 1.25, 0.65, "weights @ values\n(B, H, T, D)", VALUE, size=8.5)
    arrow(axes, (7.17, 2.68), (7.17, 2.27))
    arrow(axes, (4.37, 0.95), (6.53, 1.8))
    box(axes, 6.55, 0.6, 1.25, 0.6, "merge heads\n(B, T, H × D)", VALUE, size=9)
    arrow(axes, (7.17, 1.58), (7.17, 1.22))
    box(axes, 4.85, 0.2, 1.1, 0.5, "out_proj", FAINT, size=10)
    arrow(axes, (6.53, 0.75), (5.97, 0.5))
    axes.text(4.75, 0.45, "(B, T, d_out)", ha="right", va="center", size=9.5)
    show(
        figure,
        "The whole MultiHeadAttention layer: three linear layers, a split into heads, masked "
        "attention in every head at once, the heads merged again, and an output projection.",
    )


def heat_maps(panels, words, caption, columns=None):
    """Heat maps side by side: `panels` is {title: matrix}, with `words` beside the rows.

    The columns are `words` too, unless `columns` names them. The first panel has the row labels.
    """
    alone = len(panels) == 1
    figure, row = plt.subplots(
        1, len(panels), figsize=(4.5 if alone else WIDTH * 1.15, 2.6 if alone else 3.1)
    )
    row = [row] if alone else row
    size = 9 if len(panels) < 3 else 8
    for i, (axes, (title, values)) in enumerate(zip(row, panels.items(), strict=True)):
        heat_map(axes, values, words if i == 0 else [""] * len(words), columns or words, title)
        axes.set_title(title, fontsize=11)
        axes.tick_params(axis="x", labelsize=size)
        axes.tick_params(axis="y", labelsize=10)
    figure.tight_layout()
    show(figure, caption)


def recall_curves(small, large):
    """Section 3.1: how far back the states of 16 and of 64 numbers remember."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.8))
    axes.plot(small, color=LOSS, label="state of 16 numbers")
    axes.plot(large, color=QUERY, label="state of 64 numbers")
    axes.axhline(1 / 8, color=MASK, linestyle="--", label="guessing")
    axes.set(xlabel="steps back", ylabel="share of right answers", ylim=(0, 1.05))
    axes.legend()
    show(
        figure,
        "How well the last state of a recurrent network tells which token was read k steps ago: "
        "nearly perfect at first, then falling to the level of guessing.",
    )


def two_normalisations(scores, divided, softmax):
    """Section 3.3.1: scores as weights, divided by their sum and by softmax."""
    figure, row = plt.subplots(1, 2, figsize=(WIDTH, 2.4))
    labels = [f"{score:g}".replace("-", "−") for score in scores.tolist()]
    panels = [(divided, "divided by the sum"), (softmax, "softmax")]
    for axes, (weights, name) in zip(row, panels, strict=True):
        axes.bar(labels, weights, color=QUERY)
        axes.axhline(0, color=MASK, linewidth=1)
        axes.set(xlabel="score", ylabel="weight")
        axes.set_title(name, fontsize=11)
    figure.tight_layout()
    show(
        figure,
        "The same scores as weights: divided by their sum, two of the weights are negative; "
        "softmax gives positive weights in the order of the scores.",
    )


def saturation_curves(sizes, plain, scaled):
    """Section 3.4.1: what wide keys do to softmax; rows of (spread, largest weight, slope)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9))
    for rows, name, colour in [(plain, "plain", LOSS), (scaled, "divided by √D", QUERY)]:
        left.plot(sizes, [row[1] for row in rows], "o-", color=colour, label=name)
        right.plot(sizes, [row[2] for row in rows], "o-", color=colour)
    left.set(xlabel="D", ylim=(0, 1.05))
    left.set_title("largest of 16 weights", fontsize=11)
    right.set(xlabel="D", ylim=(0, None))
    right.set_title("size of the gradient", fontsize=11)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, sizes)
    left.legend(loc="center right")
    figure.tight_layout()
    show(
        figure,
        "As D grows, one of 16 weights approaches 1 and the gradient of softmax fades; with the "
        "scores divided by the square root of D, both stay where they are.",
    )


def learned_weights(maps, text):
    """Section 3.6.2: trained weights (T, T) as heat maps; `maps` is {title: matrix}."""
    figure, row = plt.subplots(1, len(maps), figsize=(WIDTH * 1.25, 3.6))
    for axes, (name, weights) in zip(row, maps.items(), strict=True):
        hidden = weights.new_ones(weights.shape).triu(1).bool()
        axes.imshow(weights.masked_fill(hidden, float("nan")), cmap=HEAT, vmin=0, vmax=1)
        axes.set_facecolor(MASK)
        axes.set(xlabel="looked at", ylabel="query")
        axes.set_title(name, fontsize=12)
        axes.set_xticks(range(len(text)), text, fontsize=8)
        axes.set_yticks(range(len(text)), text, fontsize=8)
        axes.tick_params(length=0)
    figure.tight_layout()
    show(
        figure,
        "Learned attention weights for one text, dark = large: a single head is torn between two "
        "places; of two heads, one looks at the latest capital, the other at the previous letter.",
    )
