"""Pictures of appendix F: the speed lab."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from course.figures import (
    EMBEDDING,
    FAINT,
    INK,
    KEY,
    LOSS,
    MASK,
    QUERY,
    VALUE,
    arrow,
    box,
    canvas,
    show,
)

# ---- training


def where_the_work_is(parts):
    """Shares of the arithmetic of a training step; `parts` is {name: FLOPs of a token}."""
    figure, axes = plt.subplots(figsize=(7.5, 1.5))
    total, left = sum(parts.values()), 0.0
    for (name, value), colour in zip(parts.items(), [QUERY, LOSS, KEY], strict=True):
        share = value / total
        axes.barh(0, share, left=left, color=colour, height=0.6)
        axes.text(left + share / 2, 0, f"{share:.0%}", ha="center", va="center", color="white")
        axes.text(left + share / 2, 0.42, name, ha="center", va="bottom", fontsize=10)
        left += share
    axes.set(xlim=(0, 1), ylim=(-0.35, 0.8))
    axes.axis("off")
    show(
        figure,
        "The arithmetic of a training step of the 124M model with texts of 256 tokens: two thirds "
        "in the matrices of the blocks, nearly a third in the head, little in attention itself.",
    )


def head_in_strips():
    """The logits as one large matrix, and as strips that use the same room one after another."""
    figure, axes = canvas(height=3.3)
    for x, title in [(0.2, "in one piece"), (4.3, "in strips")]:
        axes.text(x, 3.1, title, fontsize=12, weight="bold", va="center")
    box(axes, 0.2, 0.55, 0.55, 2.1, "hidden", colour=EMBEDDING, size=9)
    words = "logits\n(B · T, V)\n\nprobabilities, again\ntheir gradient, again"
    box(axes, 1.05, 0.55, 2.5, 2.1, words, colour=LOSS, size=10)
    arrow(axes, (0.77, 1.6), (1.03, 1.6))
    for i in range(4):
        y = 2.13 - 0.53 * i
        box(axes, 4.3, y, 0.55, 0.49, "", colour=EMBEDDING if i == 1 else FAINT)
    axes.text(4.57, 0.4, "hidden", ha="center", va="center", fontsize=9)
    box(axes, 5.15, 1.6, 1.5, 0.49, "room for a strip", colour=LOSS, size=9)
    arrow(axes, (4.87, 1.84), (5.13, 1.84))
    for y, text in [(2.35, "+ to the loss"), (1.6, "rows of d hidden"), (0.85, "+ to d weight")]:
        box(axes, 6.9, y, 1.09, 0.49, text, colour=VALUE, size=8)
        arrow(axes, (6.67, 1.84), (6.88, y + 0.24))
    axes.text(5.9, 1.38, "used again for every strip", ha="center", va="center", fontsize=9)
    axes.text(1.9, 0.25, "all of it at the same time", ha="center", va="center", fontsize=9)
    show(
        figure,
        "On the left the way of chapter 5: logits of all tokens, then matrices of the same size "
        "for the probabilities and for the gradient. On the right: a strip of tokens at a time, "
        "whose loss and gradients are added up at once, so that the room can be used again.",
    )


def memory_to_and_fro():
    """A large tensor made and freed: with the system's help each time, or kept by the process."""
    figure, axes = canvas(height=2.9)
    for y, title, words, colour in [
        (1.65, "as it comes", ["ask Linux for\n50,000 pages", "touch: a fault for each,\n"
         "zeroed by Linux", "compute", "give them back"], LOSS),
        (0.25, "kept", ["take the block\nfreed before", "nothing\nto touch", "compute",
         "keep it"], VALUE),
    ]:  # fmt: skip
        axes.text(0.1, y + 1.0, title, fontsize=11, weight="bold", va="center")
        for i, text in enumerate(words):
            special = FAINT if text == "compute" else colour
            box(axes, 0.1 + 2.0 * i, y, 1.7, 0.75, text, colour=special, size=9)
            if i:
                arrow(axes, (0.1 + 2.0 * i - 0.28, y + 0.37), (0.08 + 2.0 * i, y + 0.37))
    show(
        figure,
        "The life of a tensor of 200 MB. Above: every step begs 50,000 pages of 4 kB from the "
        "system, which interrupts the program for each one and fills it with zeros. Below: the "
        "process keeps the memory it once had.",
    )


def ladder(speeds, limit=None):
    """Tokens per second of each rung, {name: speed}, and the `limit` of the machine."""
    names = list(speeds)[::-1]
    values = [speeds[name] for name in names]
    figure, axes = plt.subplots(figsize=(7.5, 0.42 * len(names) + 0.9))
    axes.barh(names, values, color=[QUERY] * (len(names) - 1) + [MASK])
    for i, value in enumerate(values):
        axes.text(value, i, f" {value:,.0f}", va="center", fontsize=10)
    if limit:
        axes.axvline(limit, color=LOSS, linestyle="--", linewidth=1.5)
        axes.text(limit, len(names) - 0.4, "all arithmetic at the machine's peak", color=LOSS,
                  fontsize=9, ha="right", va="bottom")  # fmt: skip
    axes.set(xlabel="tokens per second", xlim=(0, 1.08 * max([*values, limit or 0])))
    axes.tick_params(axis="y", length=0)
    show(
        figure,
        "Tokens per second of the 124M model's training step, from chapter 5's loop (grey) "
        "downwards: each bar has one more change than the one above it.",
    )


# ---- the tokenizer


def pair_index():
    """Six pieces, the index from a pair to its pieces, the queue: the way of one merge."""
    pieces = ["the", "␣thin", "␣thing", "␣thinks", "␣cat", "␣tea"]
    places = {}
    for i, piece in enumerate(pieces):
        for pair in pairwise(piece):
            places.setdefault(pair, []).append(i)
    order = sorted(places, key=lambda pair: (-len(places[pair]), pair[0] == "␣", pair))[:5]
    figure, axes = canvas(height=4.3)
    titles = [(0.1, "queue", "most frequent first"), (2.85, "index", "pair, and where it stands"),
              (6.0, "pieces", "each different one once")]  # fmt: skip
    for x, title, below in titles:
        axes.text(x, 4.1, title, fontsize=12, weight="bold", va="center")
        axes.text(x, 3.84, below, fontsize=9, va="center")
    for row, pair in enumerate(order):
        y, colour = 3.2 - 0.5 * row, KEY if row == 0 else FAINT
        name = " ".join(pair)
        box(axes, 0.1, y, 1.3, 0.38, f"−{len(places[pair])}   {name}", colour=colour, size=10)
        box(axes, 2.85, y, 0.6, 0.38, name, colour=colour, size=10)
        where = ", ".join(map(str, places[pair]))
        axes.text(3.6, y + 0.18, where, fontsize=10, va="center")
    for i, piece in enumerate(pieces):
        y, held = 3.2 - 0.5 * i, i in places[order[0]]
        axes.text(6.05, y + 0.18, str(i), fontsize=10, ha="center", va="center")
        box(axes, 6.25, y, 1.6, 0.38, " ".join(piece), colour=KEY if held else FAINT, size=10)
    arrow(axes, (1.43, 3.39), (2.82, 3.39), colour=QUERY)
    axes.text(2.12, 3.52, "1. take", fontsize=9, ha="center", color=QUERY)
    arrow(axes, (4.75, 3.39), (5.9, 3.39), colour=QUERY)
    axes.text(5.3, 3.52, "2. merge these", fontsize=9, ha="center", color=QUERY)
    axes.plot([7.05, 7.05, 0.75], [0.66, 0.32, 0.32], color=QUERY, linewidth=1.4)
    arrow(axes, (0.75, 0.3), (0.75, 1.15), colour=QUERY)
    arrow(axes, (3.15, 0.3), (3.15, 1.15), colour=QUERY)
    axes.text(3.27, 0.7, "3. the counts of old pairs fall", fontsize=9, va="center", color=QUERY)
    axes.text(0.87, 0.7, "4. new pairs: add", fontsize=9, va="center", color=QUERY)
    show(
        figure,
        "One merge. The front of the queue names the pair t h, the index says that it stands in "
        "the pieces 0 to 3, and only these (orange) are merged; then the index is put right and "
        "the pairs that are new go into the queue. The other two pieces are never looked at.",
    )


def pieces_touched(touched, pieces):
    """How many pieces each merge touches, on a logarithmic scale, below the number of all."""
    figure, axes = plt.subplots(figsize=(7, 3.1))
    axes.scatter(range(1, len(touched) + 1), np.maximum(touched, 0.8), s=6, color=QUERY, alpha=0.6)
    axes.axhline(pieces, color=LOSS)
    axes.text(len(touched), pieces * 1.25, "counting anew: all of them", ha="right", color=LOSS)
    axes.set(xlabel="merge", ylabel="pieces looked at", yscale="log", ylim=(0.7, 4 * pieces))
    axes.set_yticks([10**k for k in range(5)], ["1", "10", "100", "1,000", "10,000"])
    axes.minorticks_off()
    show(
        figure,
        "Each dot is a merge, and its height the number of pieces that the index sends it to: "
        "a thousand for some of the early ones, a handful for most. The line is the number of "
        "pieces that chapter 2's function looks at in every round.",
    )


# ---- what it costs


def cost_of_training(speeds, sizes, runs):
    """Hours against operations: a line for each machine, published runs as dots.

    `speeds`: {machine: FLOP/s}; `sizes`: {model: FLOPs}; `runs`: {name: (FLOPs, hours)}.
    """
    figure, axes = plt.subplots(figsize=(7.5, 4.3))
    flops = np.array([min(sizes.values()) / 3, max(sizes.values()) * 30], dtype=float)
    for (machine, speed), colour in zip(speeds.items(), [LOSS, KEY, QUERY], strict=True):
        hours = flops / speed / 3600
        axes.plot(flops, hours, color=colour)
        below = speed == max(speeds.values())
        y, va = (hours[1] / 4.5, "top") if below else (hours[1], "bottom")
        axes.text(flops[1] / 1.15, y, machine, color=colour, ha="right", va=va)
    low, high = flops[0] / max(speeds.values()) / 3600, flops[1] / min(speeds.values()) / 3600
    for size, needed in sizes.items():
        axes.axvline(needed, color=MASK, linewidth=1, linestyle=":")
        axes.text(needed, 12 * high, size, ha="center", va="bottom", fontsize=9)
    for name, (needed, hours) in runs.items():
        axes.plot(needed, hours, "o", color=INK, markersize=6)
        above = needed / hours < max(speeds.values()) * 3600 / 1.5  # on one of the upper lines
        x, y, ha = (
            (needed / 1.1, 2 * hours, "right") if above else (1.2 * needed, hours / 2, "left")
        )
        axes.text(x, y, name, fontsize=9, ha=ha, va="center")
    times = {"a minute": 1 / 60, "an hour": 1, "a day": 24, "a month": 730, "a year": 8766}
    times |= {"a century": 876_600, "10,000 years": 87_660_000}
    for y in times.values():
        axes.axhline(y, color=FAINT, linewidth=1, zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="operations (FLOP)", xlim=flops)
    axes.set_ylim(low / 2, 10 * high)
    shown = {name: y for name, y in times.items() if low / 2 < y < 10 * high}
    axes.set_yticks(list(shown.values()), list(shown))
    axes.minorticks_off()
    show(
        figure,
        "Time against the operations of a training run, both logarithmic: a line for each machine "
        "at the speed that it reaches. The dotted lines are the four sizes of GPT-2 with 20 tokens "
        "for each weight, the dots the two published runs from which the speeds were taken.",
    )


# ---- generating


def computed_again(prompt=4, steps=6):
    """Which tokens pass through the model in each step, without a cache and with one."""
    figure, axes = canvas(height=3.2)
    for x0, title, cached in [(0.55, "generate", False), (4.45, "with a cache", True)]:
        axes.text(x0, 3.0, title, fontsize=12, weight="bold", va="center")
        for step in range(steps):
            y, last = 2.4 - 0.36 * step, prompt + step
            for place in range(last):
                new = place == last - 1 if step else True
                if cached and not new:
                    axes.plot(x0 + 0.34 * place + 0.15, y + 0.14, ".", color=MASK, markersize=4)
                    continue
                patch = (x0 + 0.34 * place, y), 0.3, 0.28
                axes.add_patch(Rectangle(*patch, facecolor=QUERY if new else MASK))
        axes.text(x0, 0.22, "token 1, 2, 3, ... of the text", fontsize=9, va="center")
    for step in range(steps):
        axes.text(0.45, 2.54 - 0.36 * step, step + 1, fontsize=9, ha="right", va="center")
    axes.text(0.1, 1.55, "step", fontsize=9, rotation=90, va="center")
    show(
        figure,
        f"A prompt of {prompt} tokens and {steps} steps, one below the other; each square is a "
        "token that passes through all the layers. Blue ones are new. Grey ones had been computed "
        "in the step before, with the same result; with a cache, dots, they are only looked up.",
    )


def cache_layout():
    """The keys of a layer: rows of different lengths, and where the next token of each goes."""
    figure, axes = canvas(height=2.9)
    rows, width = [("row 0", 3), ("row 1", 7), ("row 2", 5)], 0.5
    for i, (name, length) in enumerate(rows):
        y = 1.75 - 0.55 * i
        axes.text(0.85, y + 0.21, name, ha="right", va="center", fontsize=10)
        for place in range(12):
            colour = KEY if place < length else VALUE if place == length else FAINT
            patch = (1.0 + width * place, y), width - 0.05, 0.42
            axes.add_patch(Rectangle(*patch, facecolor=colour, edgecolor=MASK))
        axes.text(7.15, y + 0.21, f"length {length}", va="center", fontsize=10)
    for place in range(12):
        x = 1.0 + width * (place + 0.45)
        axes.text(x, 2.32, place, ha="center", va="center", fontsize=9)
    axes.text(1.0, 2.62, "position", fontsize=10, va="center")
    words = [(KEY, "stored: H · D numbers each"), (VALUE, "the next token"), (FAINT, "still free")]
    for x, (colour, text) in zip([1.0, 3.75, 5.5], words, strict=True):
        axes.add_patch(Rectangle((x, 0.15), 0.22, 0.22, facecolor=colour, edgecolor=MASK))
        axes.text(x + 0.32, 0.26, text, fontsize=9.5, va="center")
    show(
        figure,
        "The keys of one layer, for three rows and at most twelve tokens. The room is taken once. "
        "Each row fills from the left, and its next token goes to its own place.",
    )


def past_the_limit(context=8, steps=7):
    """The window of each step past the limit, under both policies; blue is what is computed."""
    figure, axes = canvas(height=3.2)
    size = 0.235
    for x0, title in [(0.3, "exact"), (4.3, "reread")]:
        axes.text(x0, 3.0, f'"{title}"', fontsize=12, weight="bold", va="center")
        start, cached = 0, context - 1
        for step in range(steps):
            y, length = 2.45 - 0.33 * step, context + step
            if length - start > context:
                start = length - (context if title == "exact" else context // 2)
                cached = start  # nothing
            for place in range(length):
                colour = FAINT if place < start else KEY if place < cached else QUERY
                patch = (x0 + size * place, y), size - 0.04, 0.24
                axes.add_patch(Rectangle(*patch, facecolor=colour))
            cached = length
    words = [(QUERY, "computed in this step"), (KEY, "from the cache"), (FAINT, "forgotten")]
    for x, (colour, text) in zip([0.3, 2.7, 4.5], words, strict=True):
        axes.add_patch(Rectangle((x, 0.08), 0.2, 0.2, facecolor=colour))
        axes.text(x + 0.28, 0.18, text, fontsize=9.5, va="center")
    show(
        figure,
        f"A context of {context}, full in the first line; each line is a token more. With "
        '"exact" the window slides by one and is computed anew every time. With "reread" its last '
        "half is read once, and then the cache is of use again.",
    )


def decode_speeds(speeds, bound):
    """Tokens per second of each way, {name: speed}; `bound` is that of fp32 weights."""
    names = list(speeds)[::-1]
    figure, axes = plt.subplots(figsize=(7.5, 0.5 * len(names) + 1.2))
    axes.barh(names, [speeds[name] for name in names], color=QUERY)
    for i, name in enumerate(names):
        axes.text(speeds[name], i, f" {speeds[name]:.0f}", va="center", fontsize=10)
    for x, text in [(bound, "bound, 32 bits"), (2 * bound, "bound, 16 bits")]:
        axes.axvline(x, color=LOSS, linestyle="--", linewidth=1.5)
        axes.text(x, len(names) - 0.4, text, color=LOSS, fontsize=9, ha="center", va="bottom")
    axes.set(xlabel="tokens per second", xlim=(0, 2.25 * bound))
    axes.tick_params(axis="y", length=0)
    show(
        figure,
        "Tokens per second of the 124M model, one row: chapter 5's loop at the top, then one "
        "change after another. The dashed lines are what memory allows for weights of 32 bits "
        "and of 16 bits.",
    )
