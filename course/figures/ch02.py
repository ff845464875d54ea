"""The concept pictures of chapter 2."""

import matplotlib.pyplot as plt

from course.figures import (
    EMBEDDING,
    FAINT,
    INK,
    LOSS,
    MASK,
    PAPER,
    QUERY,
    TARGET,
    VALUE,
    arrow,
    box,
    canvas,
    heat_map,
    show,
)

TINT = "#D5ECF9"  # a light EMBEDDING, for every other token
SPECIAL = "#F3D9E8"  # a light TARGET, for special tokens
HEIGHT = 0.36  # of a token's box, in inches


def visible(token):
    """The token with its white space made visible."""
    return token.replace(" ", "␣").replace("\n", "⏎")


def strip(axes, x, y, tokens, size=11, colours=(FAINT, TINT)):
    """Tokens side by side as boxes in turning colours; returns (left, width) of each."""
    places = []
    for i, token in enumerate(tokens):
        text = visible(str(token))
        width = 0.0098 * size * max(len(text), 1) + 0.16
        colour = SPECIAL if text.startswith("<|") else colours[i % len(colours)]
        box(axes, x, y, width, HEIGHT, text, colour, size)
        places.append((x, width))
        x += width + 0.05
    return places


def label(axes, x, y, text, size=10.5, colour=INK, **options):
    axes.text(x, y, text, fontsize=size, color=colour, va="center", **options)


def pipeline():
    """From text to the input of a GPT, the chapter in one picture."""
    figure, axes = canvas(height=4.3)
    rows = [
        (3.75, "text", None, "", FAINT),
        (2.95, "tokens", ["I", " H", "AD", " always"], "2.2, 2.5", FAINT),
        (2.15, "token ids", ["40", "367", "2885", "1464"], "2.3, 2.5", TINT),
        (1.35, "token vectors", ["○○○"] * 4, "2.7", EMBEDDING),
        (0.65, "+ position vectors", ["○○○"] * 4, "2.8", SPECIAL),
    ]
    box(axes, 2.1, 3.75, 4.4, HEIGHT, "I HAD always", PAPER)
    for y, name, cells, section, colour in rows:
        label(axes, 1.95, y + HEIGHT / 2, name, ha="right")
        label(axes, 6.7, y + HEIGHT / 2, section, colour="#666666")
        for i, cell in enumerate(cells or []):
            box(axes, 2.1 + i * 1.12, y, 1.04, HEIGHT, visible(cell), colour)
            if y > 1.0:
                arrow(axes, (2.62 + i * 1.12, y + 0.78), (2.62 + i * 1.12, y + 0.38))
    for i in range(4):
        label(axes, 2.62 + i * 1.12, 1.18, "+", ha="center", size=12)
        arrow(axes, (2.62 + i * 1.12, 0.64), (2.62 + i * 1.12, 0.32))
    label(axes, 4.3, 0.17, "into the GPT (chapters 3 and 4)", ha="center")
    show(
        figure,
        "The way of a text through this chapter: it is cut into tokens, each token becomes an id, "
        "each id a vector, and a vector for the position is added.",
    )


def word_map(words):
    """`words` is {word: (x, y)}: arrows from the origin in the plane."""
    figure, axes = plt.subplots(figsize=(5.6, 4.2))
    colours = {"violin": QUERY, "cello": QUERY, "drum": QUERY, "jam": TARGET}
    for word, (x, y) in words.items():
        colour = colours.get(word, VALUE)
        axes.annotate(
            "", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.8}
        )
        left = x < 0
        axes.text(
            x - 0.025 if left else x + 0.025,
            y + 0.015,
            word,
            color=colour,
            ha="right" if left else "left",
            va="bottom",
            fontsize=11,
        )
    axes.axhline(0, color=MASK, linewidth=0.8, zorder=0)
    axes.axvline(0, color=MASK, linewidth=0.8, zorder=0)
    axes.set(xlim=(-0.4, 1.25), ylim=(-0.25, 1.1), xlabel="music", ylabel="food")
    show(
        figure,
        "Seven words as arrows in a plane: the instruments point to the right, the foods point "
        "up, and jam, which is both, lies between them.",
    )


def token_strips(rows, caption):
    """`rows` is a list of (label, tokens); each row is drawn as boxes under each other."""
    width = max(sum(0.108 * max(len(str(t)), 1) + 0.21 for t in ts) for _, ts in rows)
    left = 0.25 + 0.092 * max(len(name) for name, _ in rows)
    height = 0.62 * len(rows) + 0.1
    figure, axes = canvas(width=max(left + width + 0.1, 5.0), height=height)
    for i, (name, tokens) in enumerate(rows):
        y = height - 0.52 - 0.62 * i
        label(axes, 0.1, y + HEIGHT / 2, name)
        strip(axes, left, y, tokens)
    show(figure, caption)


def vocabulary(text, tokens):
    """How a vocabulary comes from a text: split, sort the different ones, number them."""
    figure, axes = canvas(width=5.2, height=3.6)
    label(axes, 0.1, 3.38, "1  split the training text into tokens")
    strip(axes, 0.1, 2.8, tokens)
    label(axes, 0.1, 2.45, "2  keep each different token once, sorted, and number them")
    entries = sorted(set(tokens))
    for i, token in enumerate(entries):
        box(axes, 0.1 + i * 0.98, 1.72, 0.92, HEIGHT, token, TINT)
        box(axes, 0.1 + i * 0.98, 1.3, 0.92, HEIGHT, str(i), FAINT)
    label(axes, 0.1, 0.95, "3  encode: look each token up and write its number")
    for i, token in enumerate(text):
        box(axes, 0.1 + i * 1.5, 0.25, 0.62, HEIGHT, token, TINT)
        arrow(axes, (0.72 + i * 1.5, 0.43), (1.0 + i * 1.5, 0.43))
        box(axes, 1.0 + i * 1.5, 0.25, 0.36, HEIGHT, str(entries.index(token)), FAINT)
    show(
        figure,
        "A vocabulary is made in two steps, splitting and numbering, and used in a third: each "
        "token of a new text is replaced by its number.",
    )


def documents():
    """Three unrelated documents in one stream of tokens."""
    figure, axes = canvas(width=7.72, height=1.75)
    texts = ["a recipe", "a match report", "a short story"]
    x = 0.15
    for i, text in enumerate(texts):
        box(axes, x, 1.1, 1.5, 0.45, text, [TINT, FAINT, TINT][i])
        arrow(axes, (x + 0.75, 1.08), (x + 0.75, 0.7))
        box(axes, x, 0.25, 1.5, 0.43, "… tokens …", [TINT, FAINT, TINT][i])
        if i < 2:
            box(axes, x + 1.58, 0.25, 1.3, 0.43, "<|endoftext|>", SPECIAL, size=10)
        x += 2.96
    show(
        figure,
        "Unrelated documents become one long stream of tokens; the special token <|endoftext|> "
        "stands between them and says that what follows has nothing to do with what came before.",
    )


def characters_to_bytes(characters):
    """Each character over its UTF-8 bytes."""
    figure, axes = canvas(height=1.9)
    label(axes, 0.1, 1.47, "characters")
    label(axes, 0.1, 0.87, "UTF-8 bytes")
    x = 1.3
    for i, character in enumerate(characters):
        data = character.encode("utf-8")
        width = 0.47 * len(data) - 0.05
        colour = (FAINT, TINT)[i % 2]
        box(axes, x, 1.28, width, HEIGHT, visible(character), colour, size=13)
        for j, byte in enumerate(data):
            box(axes, x + 0.47 * j, 0.68, 0.42, HEIGHT, str(byte), colour, size=10)
        label(axes, x + width / 2, 0.42, f"{len(data)}", ha="center", colour="#666666")
        x += width + 0.11
    label(axes, 0.1, 0.42, "how many", colour="#666666")
    show(
        figure,
        "Characters and their bytes in UTF-8: c, a, f and the space take one byte each, é takes "
        "two, the euro sign three, the emoji four.",
    )


def merges(stages, names):
    """`stages` is a list of (label, ids); `names` maps an id to its text."""
    figure, axes = canvas(height=0.62 * len(stages) + 0.1)
    for i, (name, ids) in enumerate(stages):
        y = 0.62 * (len(stages) - i) - 0.42
        label(axes, 0.1, y + HEIGHT / 2, " + ".join(map(visible, name.split(" + "))))
        x = 1.6
        for token in ids:
            text = visible(names[token])
            width = 0.27 * len(text) - 0.05
            colour = FAINT if len(text) == 1 else (TINT, EMBEDDING)[len(text) > 2]
            box(axes, x, y, width, HEIGHT, text, colour)
            x += width + 0.05
    show(
        figure,
        "Round by round, the most frequent pair of neighbours is glued together: the row of "
        "tokens gets shorter while the vocabulary grows by one.",
    )


def shifted(tokens):
    """Input and target, the same tokens one place apart."""
    figure, axes = canvas(height=2.0)
    n = len(tokens) - 1
    step = min(1.3, 6.6 / (n + 1))
    for i, token in enumerate(tokens):
        x = 1.2 + i * step
        if i < n:
            box(axes, x, 1.35, step - 0.1, HEIGHT, visible(token), TINT)
            arrow(axes, (x + step / 2 - 0.05, 1.33), (x + step / 2 - 0.05, 0.63), TARGET)
        if i > 0:
            x -= step
            box(axes, x, 0.25, step - 0.1, HEIGHT, visible(token), SPECIAL)
    label(axes, 0.1, 1.53, "input")
    label(axes, 0.1, 0.43, "target")
    label(axes, 1.2 + n * step, 0.98, "predict", colour=TARGET)
    show(
        figure,
        "Input and target are the same text, one token apart: under each token of the input "
        "stands the token that follows it.",
    )


def windows(strides, max_length=4, tokens=13):
    """Where the windows lie on the text for several strides."""
    rows = [(s, list(range(0, tokens - max_length, s))) for s in strides]
    height = sum(0.17 * len(starts) + 0.72 for _, starts in rows) + 0.05
    figure, axes = canvas(height=height)
    y, left, step = height, 1.35, 0.49
    for stride, starts in rows:
        label(axes, 0.1, y - 0.33, f"stride {stride}")
        plural = "s" * (len(starts) != 1)
        label(axes, 0.1, y - 0.55, f"{len(starts)} window{plural}", size=9, colour="#666666")
        for t in range(tokens):
            seen = sum(start <= t < start + max_length for start in starts)
            colour = PAPER if seen == 0 else FAINT if seen == 1 else TINT
            box(axes, left + t * step, y - 0.48, step - 0.05, 0.3, str(t), colour, size=9.5)
        for i, start in enumerate(starts):
            level = y - 0.6 - 0.17 * i
            ends = left + start * step + 0.03, left + (start + max_length) * step - 0.08
            colour = (QUERY, LOSS)[i % 2]
            axes.plot(ends, (level, level), color=colour, linewidth=4, solid_capstyle="butt")
        y -= 0.17 * len(starts) + 0.72
    show(
        figure,
        f"Windows of {max_length} tokens on a text of {tokens}, with different strides. White: in "
        "no window's input; grey: in one; blue: in several, since the windows overlap.",
    )


def lookup(ids, weight):
    """Rows of an embedding's weight, picked by ids."""
    figure = plt.figure(figsize=(8.0, 3.2))
    left = figure.add_axes((0.27, 0.12, 0.25, 0.72))
    rows = [f"{i}" for i in range(len(weight))]
    heat_map(left, weight, rows, ["", "", ""], "weight: a row for each id")
    right = figure.add_axes((0.7, 0.12, 0.25, 0.72))
    heat_map(right, weight[ids], [str(int(i)) for i in ids], ["", "", ""], "the rows picked")
    back = figure.add_axes((0, 0, 1, 1), zorder=-1)
    back.axis("off")
    back.set(xlim=(0, 8.0), ylim=(0, 3.2))
    height = 0.72 * 3.2 / len(ids)
    for i, token in enumerate(ids):
        y = 0.12 * 3.2 + height * (len(ids) - i - 0.5)
        box(back, 0.75, y - 0.18, 0.5, HEIGHT, str(int(token)), TINT)
    label(back, 1.0, 2.87, "token ids", ha="center", size=12)
    arrow(back, (1.35, 1.55), (1.85, 1.55))
    arrow(back, (4.35, 1.55), (5.2, 1.55))
    show(
        figure,
        "An embedding layer is a table with a row for each token id; its output is the rows that "
        "the ids name, in their order, as often as they are named.",
    )


def addition():
    """Token vectors plus position vectors, with shapes."""
    figure, axes = canvas(height=2.55)
    names = [" the", " cup", " on", " the"]
    for i, name in enumerate(names):
        x = 2.15 + i * 1.15
        box(axes, x, 1.95, 1.0, HEIGHT, f"{visible(name)}", EMBEDDING)
        label(axes, x + 0.5, 1.75, "+", ha="center", size=12)
        box(axes, x, 1.2, 1.0, HEIGHT, f"place {i}", SPECIAL)
        label(axes, x + 0.5, 1.0, "=", ha="center", size=12)
        colour = VALUE if name == " the" else TINT
        box(axes, x, 0.43, 1.0, HEIGHT, f"{visible(name)} at {i}", colour)
    shapes = ["(B, T, C)", "(T, C)", "(B, T, C)"]
    for y, name, shape in zip(
        [2.13, 1.38, 0.61],
        ["token vectors", "position vectors", "input vectors"],
        shapes,
        strict=True,
    ):
        label(axes, 2.0, y, name, ha="right")
        label(axes, 6.9, y, shape, colour="#666666")
    label(
        axes,
        4.4,
        0.18,
        "the same token at places 0 and 3: two different vectors",
        colour=VALUE,
        ha="center",
    )
    show(
        figure,
        "To the vector of each token the vector of its place is added; so the same token at two "
        "places enters the model as two different vectors.",
    )
