"""The concept pictures of chapter 4: the parts of a GPT, and how it writes text."""

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import FancyBboxPatch, Rectangle

from course.figures import (
    EMBEDDING,
    FAINT,
    INK,
    KEY,
    LOSS,
    MASK,
    PAPER,
    QUERY,
    VALUE,
    arrow,
    box,
    canvas,
    show,
)

GREY = "#666666"


def label(axes, x, y, text, size=10, colour=GREY, ha="left", **kwargs):
    """A line of text beside a drawing, vertically centred at y."""
    axes.text(x, y, text, fontsize=size, color=colour, ha=ha, va="center", **kwargs)


def path(axes, points, colour=INK, width=1.4):
    """A line through `points` that ends in an arrow head."""
    xs, ys = zip(*points[:-1], strict=True)
    axes.plot(xs, ys, color=colour, linewidth=width, solid_joinstyle="miter")
    arrow(axes, points[-2], points[-1], colour)


def stream(axes, x, bottom, top):
    """The thick blue line on which vectors travel upwards."""
    axes.arrow(
        x,
        bottom,
        0,
        top - bottom,
        width=0.09,
        head_width=0.26,
        head_length=0.2,
        length_includes_head=True,
        color=EMBEDDING,
        linewidth=0,
        zorder=0,
    )


def plus(axes, x, y):
    """The sign of an addition, in a circle."""
    axes.plot(x, y, "o", markersize=17, markerfacecolor=PAPER, markeredgecolor=INK, zorder=4)
    axes.text(x, y - 0.01, "+", ha="center", va="center", fontsize=14, zorder=5)


def architecture():
    """From token ids to logits: the parts of GPTModel and the shapes between them."""
    figure, axes = canvas(height=6.2)
    x, width, height = 2.6, 2.8, 0.46
    middle = x + width / 2
    label(axes, middle, 0.22, "token ids", 11, INK, "center")
    label(axes, x + width + 0.35, 0.22, "(B, T) whole numbers", colour=INK)
    frame = FancyBboxPatch(
        (x - 0.2, 2.62),
        width + 0.4,
        1.42,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=PAPER,
        edgecolor=INK,
        linestyle="--",
    )
    axes.add_patch(frame)
    rows = [
        (0.62, "token embedding", EMBEDDING, "(B, T, C)", "a row of a V × C table\nfor each id"),
        (
            1.31,
            "+ position embedding",
            EMBEDDING,
            "(B, T, C)",
            "a row of a context × C table\nfor each place",
        ),
        (2.0, "dropout", FAINT, "(B, T, C)", "while training"),
        (3.44, "transformer block 2 … 12", FAINT, "(B, T, C)", "tokens exchange information"),
        (4.28, "final layer norm", FAINT, "(B, T, C)", "mean 0, variance 1"),
        (4.97, "output head", FAINT, "(B, T, V)", "a score for each entry\nof the vocabulary"),
    ]
    rows.insert(3, (2.74, "transformer block 1", FAINT, "(B, T, C)", ""))
    previous = 0.36
    for y, name, colour, shape, what in rows:
        arrow(axes, (middle, previous), (middle, y), GREY)
        box(axes, x, y, width, height, name, colour)
        label(axes, x + width + 0.35, y + height / 2, shape, colour=INK)
        label(axes, x + width + 1.25, y + height / 2, what, 9)
        previous = y + height
    arrow(axes, (middle, previous), (middle, 5.74), GREY)
    label(axes, middle, 5.92, "logits", 11, INK, "center")
    label(axes, x + width + 0.35, 5.92, "(B, T, V) real numbers", colour=INK)
    sections = [(0.85, "chapter 2"), (1.54, "chapter 2"), (2.23, "chapter 3")]
    sections += [(3.32, "sections 4.2–4.5"), (4.51, "section 4.2"), (5.2, "section 4.6")]
    for y, text in sections:
        label(axes, 2.2, y, text, ha="right")
    label(axes, 0.1, 5.92, "What is built where", colour=INK)
    show(
        figure,
        "A GPT from the bottom up: ids become vectors, vectors pass through twelve "
        "transformer blocks of one shape, and a last linear layer turns each vector into a "
        "score for every entry of the vocabulary.",
    )


def layer_norm(row):
    """Which numbers a layer norm looks at, and what it does with them; `row` is one token's."""
    row = torch.as_tensor(row).detach().float()
    normalised = (row - row.mean()) / row.std(correction=0)
    figure = plt.figure(figsize=(8, 2.9))
    grid = figure.add_axes((0.02, 0.17, 0.25, 0.6))
    C = len(row)
    for t in range(4):
        for c in range(C):
            colour = EMBEDDING if t == 1 else FAINT
            grid.add_patch(Rectangle((c, 3 - t), 0.92, 0.9, facecolor=colour, edgecolor="none"))
    grid.set(xlim=(0, C), ylim=(-0.1, 4))
    grid.axis("off")
    grid.text(C / 2, -0.45, "C channels", ha="center", va="top", fontsize=10)
    grid.text(-0.25, 2, "T tokens", ha="center", va="center", rotation=90, fontsize=10)
    grid.set_title("one token at a time", fontsize=11)
    panels = [
        (0.35, row, "before"),
        (0.69, normalised, "after"),
    ]
    for left, values, title in panels:
        axes = figure.add_axes((left, 0.17, 0.26, 0.6))
        axes.bar(range(C), values, color=EMBEDDING, width=0.75, zorder=2)
        axes.axhline(values.mean(), color=LOSS, linewidth=1.5, zorder=3)
        deviation = values.std(correction=0)
        axes.axhspan(
            values.mean() - deviation,
            values.mean() + deviation,
            color=LOSS,
            alpha=0.13,
            lw=0,
            zorder=0,
        )
        axes.set_title(title, fontsize=11)
        axes.set_xticks(range(C), [])
        axes.tick_params(length=0, labelsize=9)
        axes.set_xlabel(
            f"mean {abs(values.mean()):.2f}, variance {values.var(correction=0):.2f}",
            fontsize=10,
        )
    show(
        figure,
        "Layer normalisation looks at the channels of one token (blue), subtracts their mean "
        "(the red line) and divides by their standard deviation (the red band): the pattern "
        "of the bars stays, the scale is always the same.",
    )


def feed_forward():
    """The feed-forward network: wide in the middle, each token for itself."""
    figure, axes = canvas(height=3.0)
    columns = [
        (0.5, 0.55, EMBEDDING, "C\n768"),
        (2.9, 2.2, FAINT, "4C\n3,072"),
        (4.7, 2.2, FAINT, "4C\n3,072"),
        (7.1, 0.55, EMBEDDING, "C\n768"),
    ]
    for x, height, colour, text in columns:
        box(axes, x, 1.65 - height / 2, 0.6, height, text, colour, 10)
    for start, end in [(columns[0], columns[1]), (columns[2], columns[3])]:
        left, right = start[0] + 0.63, end[0] - 0.03
        for sign in (-1, 1):
            axes.plot(
                [left, right],
                [1.65 + sign * start[1] / 2, 1.65 + sign * end[1] / 2],
                color=MASK,
                linewidth=1.2,
            )
    arrow(axes, (1.15, 1.65), (2.85, 1.65))
    arrow(axes, (3.55, 1.65), (4.65, 1.65))
    arrow(axes, (5.35, 1.65), (7.05, 1.65))
    label(axes, 2.0, 1.85, "linear", 10, INK, "center")
    label(axes, 4.1, 1.85, "GELU", 10, INK, "center")
    label(axes, 6.2, 1.85, "linear", 10, INK, "center")
    label(axes, 0.8, 0.25, "one token", 10, GREY, "center")
    label(axes, 4.1, 0.25, "four times as wide", 10, GREY, "center")
    label(axes, 7.4, 0.25, "the same token", 10, GREY, "center")
    show(
        figure,
        "The feed-forward network widens the vector of a token to four times its length, "
        "bends each number with GELU, and narrows it again to the length that it had.",
    )


def shortcut():
    """Three layers without and with shortcuts, with the way back of the gradient."""
    figure, axes = canvas(height=4.1)
    for row, (y, title) in enumerate(
        [(3.1, "without shortcuts"), (0.95, "with a shortcut around each layer")]
    ):
        label(axes, 0.2, y + (0.95 if row else 0.6), title, 11, INK)
        label(axes, 0.35, y, "x", 12, INK, "center")
        start = 0.5
        for i in range(3):
            left = 1.05 + 2.15 * i
            arrow(axes, (start, y), (left, y))
            box(axes, left, y - 0.22, 1.1, 0.44, f"layer {i + 1}")
            if row:
                adder = left + 1.55
                arrow(axes, (left + 1.1, y), (adder - 0.12, y))
                path(
                    axes,
                    [
                        (left - 0.3, y),
                        (left - 0.3, y + 0.55),
                        (adder, y + 0.55),
                        (adder, y + 0.12),
                    ],
                    VALUE,
                    2,
                )
                plus(axes, adder, y)
                start = adder + 0.12
            else:
                start = left + 1.1
        arrow(axes, (start, y), (7.45, y))
        label(axes, 7.55, y, "loss", 11, LOSS)
    for y, text in [
        (2.66, "gradient: three factors multiplied, one from each layer"),
        (0.42, "gradient: at each + it also goes round the layer, unchanged"),
    ]:
        axes.annotate(
            "",
            (0.5, y),
            (7.45, y),
            arrowprops={"arrowstyle": "-|>", "color": LOSS, "lw": 1.4, "ls": "--"},
        )
        label(axes, 4.0, y - 0.18, text, 10, LOSS, "center")
    show(
        figure,
        "Three layers in a row, and the same three with shortcuts (green) that add the input "
        "of a layer to its output. In the upper row the gradient must pass through every layer "
        "on its way back; in the lower row it also has a free way around each of them.",
    )


def transformer_block():
    """The inside of one block: the stream, and two branches that add to it."""
    figure, axes = canvas(height=5.6)
    x, branch, width = 2.2, 4.0, 2.35
    middle = branch + width / 2
    stream(axes, x, 0.4, 5.22)
    label(axes, x, 0.2, "x  (B, T, C)", 11, INK, "center")
    label(axes, x, 5.4, "x  (B, T, C)", 11, INK, "center")
    halves = [
        (
            0.62,
            "multi-head attention",
            "norm1",
            "att",
            "Tokens look at each\nother: the only place\n"
            "where information moves\nfrom token to token",
        ),
        (
            2.92,
            "feed-forward",
            "norm2",
            "ff",
            "Each token by itself:\nwork on what was\ngathered",
        ),
    ]
    for y, name, norm, attribute, what in halves:
        path(axes, [(x, y), (middle, y), (middle, y + 0.18)])
        previous = None
        for i, (text, colour) in enumerate(
            [(f"layer norm  ·  {norm}", KEY), (f"{name}  ·  {attribute}", FAINT)]
        ):
            bottom = y + 0.18 + 0.62 * i
            box(axes, branch - 0.15, bottom, width + 0.3, 0.42, text, colour, 10)
            if previous:
                arrow(axes, (middle, previous), (middle, bottom))
            previous = bottom + 0.42
        top = y + 1.42
        box(axes, branch - 0.15, top, width + 0.3, 0.34, "dropout", PAPER, 10)
        arrow(axes, (middle, previous), (middle, top))
        path(
            axes,
            [(middle, top + 0.34), (middle, top + 0.5), (x + 0.13, top + 0.5)],
        )
        plus(axes, x, top + 0.5)
        label(axes, branch + width + 0.3, y + 1.0, what, 9)
    label(axes, 0.25, 2.85, "The stream:\nnothing on it\nbut additions", 10)
    show(
        figure,
        "A transformer block. The stream (blue) runs from bottom to top; two branches read a "
        "normalised copy of it (the norms are orange), attention first and the feed-forward "
        "network second, and each adds what it found.",
    )


def pre_and_post_norm():
    """Where the norm stands: in the branch, or on the stream."""
    figure, axes = canvas(height=4.1)
    columns = [
        (1.0, "pre-norm (GPT-2, ours)", "x + f(norm(x))"),
        (5.0, "post-norm (Vaswani et al. 2017)", "norm(x + f(x))"),
    ]
    for x, title, formula in columns:
        pre = x == 1.0
        label(axes, x + 0.9, 3.9, title, 11, INK, "center")
        label(axes, x + 0.9, 3.6, formula, 10, GREY, "center", family="DejaVu Sans Mono")
        stream(axes, x, 0.42, 3.35)
        label(axes, x, 0.22, "x", 12, INK, "center")
        adder = 2.75 if pre else 2.2
        path(axes, [(x, 0.65), (x + 1.55, 0.65), (x + 1.55, 0.85)])
        if pre:
            box(axes, x + 0.8, 0.87, 1.5, 0.42, "layer norm", KEY)
            arrow(axes, (x + 1.55, 1.29), (x + 1.55, 1.65))
            box(axes, x + 0.8, 1.65, 1.5, 0.42, "f")
            path(axes, [(x + 1.55, 2.07), (x + 1.55, adder), (x + 0.13, adder)])
        else:
            box(axes, x + 0.8, 0.87, 1.5, 0.42, "f")
            path(axes, [(x + 1.55, 1.29), (x + 1.55, adder), (x + 0.13, adder)])
            box(axes, x - 0.75, 2.52, 1.5, 0.42, "layer norm", KEY)
        plus(axes, x, adder)
    show(
        figure,
        "Left, pre-norm: the norm (orange) stands in the branch and the blue stream passes "
        "untouched. Right, post-norm: the norm stands on the stream, which it rescales after "
        "every addition. f is the attention or the feed-forward network.",
    )


def weight_tying():
    """One V x C matrix in two roles."""
    figure, axes = canvas(height=3.3)
    box(axes, 3.2, 0.65, 1.6, 2.1, "one matrix\n\nV × C\n50,257 × 768", EMBEDDING)
    label(axes, 4.0, 3.05, "one storage, two names", 11, INK, "center")
    box(axes, 0.3, 1.75, 1.2, 0.5, "token id")
    arrow(axes, (1.5, 2.0), (3.2, 2.0))
    label(axes, 2.35, 2.2, "picks a row", 10, GREY, "center")
    arrow(axes, (3.2, 1.2), (1.5, 1.2))
    box(axes, 0.3, 0.95, 1.2, 0.5, "vector")
    label(axes, 1.7, 0.62, "tok_emb.weight", 10, INK, "center", family="DejaVu Sans Mono")
    box(axes, 6.5, 1.75, 1.2, 0.5, "vector")
    arrow(axes, (6.5, 2.0), (4.8, 2.0))
    label(axes, 5.65, 2.32, "multiplied with\nevery row", 10, GREY, "center")
    arrow(axes, (4.8, 1.2), (6.5, 1.2))
    box(axes, 6.5, 0.95, 1.2, 0.5, "logits")
    label(axes, 6.3, 0.62, "out_head.weight", 10, INK, "center", family="DejaVu Sans Mono")
    show(
        figure,
        "Weight tying: the same matrix serves at the entrance, where an id picks its row, and "
        "at the exit, where a vector is multiplied with all rows to give a score for each id.",
    )


def generation_loop():
    """The five stations of one step of generation."""
    figure, axes = canvas(height=3.1)
    stations = [
        (0.15, "ids\n(B, T)", EMBEDDING),
        (1.85, "model", FAINT),
        (3.55, "logits\n(B, T, V)", FAINT),
        (5.25, "last row\n(B, V)", FAINT),
        (6.7, "next id\n(B, 1)", KEY),
    ]
    for i, (x, text, colour) in enumerate(stations):
        box(axes, x, 1.35, 1.1, 0.75, text, colour)
        if i:
            arrow(axes, (stations[i - 1][0] + 1.1, 1.72), (x, 1.72))
    label(axes, 0.7, 2.5, "what is there\nso far", 9, ha="center")
    label(axes, 2.4, 2.5, "sees the last\ncontext_size ids", 9, ha="center")
    label(axes, 4.1, 2.5, "a prediction\nat every place", 9, ha="center")
    label(axes, 5.8, 2.5, "only the last\npredicts new text", 9, ha="center")
    label(axes, 7.25, 2.5, "argmax: the\nhighest score", 9, ha="center")
    path(axes, [(7.25, 1.35), (7.25, 0.6), (0.7, 0.6), (0.7, 1.33)], QUERY, 2)
    label(axes, 4.0, 0.36, "append it and go round again", 11, QUERY, "center")
    show(
        figure,
        "One turn of generation: the ids go through the model, the logits of the last place "
        "are kept, the highest of them names the next id, and the ids are longer by one.",
    )


def greedy_steps(steps):
    """`steps`: for each turn the text so far, and its five best tokens with probabilities."""
    figure, rows = plt.subplots(
        len(steps), 1, figsize=(8, 1.32 * len(steps)), gridspec_kw={"hspace": 0.85}
    )
    highest = max(p for _, best in steps for _, p in best)
    for i, (axes, (text, best)) in enumerate(zip(rows, steps, strict=True)):
        tokens, probabilities = zip(*best, strict=True)
        bars = axes.bar(
            range(5), [1e4 * p for p in probabilities], color=FAINT, edgecolor=GREY, width=0.62
        )
        bars[0].set_facecolor(KEY)
        axes.set_xticks(range(5), [repr(token) for token in tokens], fontsize=10)
        axes.set(ylim=(0, 1.5e4 * highest), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
        axes.set_title(f"step {i + 1}:  {text} …", loc="left", fontsize=10, color=INK)
        for x, p in enumerate(probabilities):
            axes.text(x, 1e4 * p, f"{1e4 * p:.2f}", ha="center", va="bottom", fontsize=9)
    rows[-1].set_xlabel("probabilities in ten-thousandths; orange: the token that is chosen")
    show(
        figure,
        "Greedy generation by the untrained model: at each step the five most probable "
        "tokens. The first (orange) is appended and the next step starts from the longer "
        "text. No token gets even a thousandth.",
    )


def sliding_window():
    """Which tokens a model with a context of 4 sees while a text grows to 7."""
    figure, axes = canvas(height=3.3)
    for step, length in enumerate(range(3, 8)):
        y = 2.45 - 0.55 * step
        label(axes, 0.25, y + 0.2, f"{length} tokens", 10, INK)
        for i in range(length):
            seen = i >= length - 4
            box(axes, 1.5 + 0.72 * i, y, 0.62, 0.4, f"{i}", EMBEDDING if seen else FAINT, 10)
        seen = min(length, 4)
        label(axes, 6.75, y + 0.2, f"positions 0–{seen - 1}", 10)
    label(axes, 1.5, 3.08, "blue: what the model sees when its context is 4", 10, INK)
    show(
        figure,
        "A text that outgrows a context of four: the model sees only the last four tokens "
        "(blue), the earlier ones (grey) are forgotten, and the positions are counted anew "
        "from the left edge of the window.",
    )


def spread(plain, normed):
    """How different the inputs still are after each layer, without and with layer norm."""
    figure, axes = plt.subplots(figsize=(8, 3.2))
    axes.semilogy(plain, color=LOSS, label="without")
    axes.semilogy(normed, color=QUERY, label="with a layer norm before each layer")
    axes.set(xlabel="layers passed", ylabel="difference that is left", xticks=range(0, 21, 5))
    axes.legend()
    show(
        figure,
        "How different four inputs still are after each layer: without normalisation (red) the "
        "difference falls a hundred-millionfold over twenty layers; with it (blue) the "
        "difference falls to a third in the first layer and then stays.",
    )


def gelu(function):
    """ReLU and `function`, a GELU, with their gradients."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    for name, f, colour in [("ReLU", torch.relu, LOSS), ("GELU", function, QUERY)]:
        x = torch.linspace(-4, 4, 801, requires_grad=True)
        y = f(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        left.plot(x.detach(), y.detach(), color=colour, label=name)
        right.plot(x.detach(), slope, color=colour, label=name)
    left.set(title="the function", xlabel="x")
    right.set(title="its gradient", xlabel="x")
    left.legend()
    show(
        figure,
        "ReLU (red) has a corner at zero and is flat to its left; GELU (blue) bends smoothly, "
        "dips slightly below zero, and has a gradient that changes without a jump.",
    )


def gradients(depths, curves):
    """The first layer's gradient against the depth; `curves` is {kind of network: values}."""
    figure, axes = plt.subplots(figsize=(8, 3.4))
    styles = [(LOSS, "o-"), (VALUE, "s-"), (QUERY, "^-")]
    for (name, values), (colour, style) in zip(curves.items(), styles, strict=False):
        axes.semilogy(depths, values, style, color=colour, label=name)
    axes.set(xlabel="layers", ylabel="gradient of the first layer", xticks=depths)
    axes.legend()
    caption = (
        "The gradient of the first layer against the number of layers, on a logarithmic scale: "
        "without shortcuts (red, dots) it vanishes, with shortcuts (green, squares) it doesn't, "
        "and in deep networks even explodes"
    )
    ending = "; with shortcuts and pre-norm (blue, triangles) it stays near a hundredth throughout."
    show(figure, caption + (ending if len(curves) > 2 else "."))


def parameters(parts):
    """`parts`: {size: {part: parameters}} for the GPT-2 sizes, as stacked bars."""
    groups = {
        "embeddings": (["token embedding", "position embedding"], EMBEDDING),
        "attention": (["attention"], QUERY),
        "feed-forward": (["feed-forward"], VALUE),
        "output head": (["output head"], KEY),
    }
    figure, axes = plt.subplots(figsize=(8, 2.8))
    start = torch.zeros(len(parts))
    for name, (keys, colour) in groups.items():
        width = torch.tensor([sum(p[key] for key in keys) for p in parts.values()]) / 1e6
        axes.barh(list(parts), width, left=start, color=colour, label=name, height=0.6)
        start += width
    axes.invert_yaxis()
    axes.set(xlabel="millions of parameters")
    axes.legend()
    show(
        figure,
        "Where the parameters of the four GPT-2 sizes sit: in the small one, embeddings and "
        "output head make up nearly half; in XL, nine tenths are attention and feed-forward.",
    )
