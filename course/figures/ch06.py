"""Pictures of chapter 6: data, padding, the new head, what is frozen, and the marks."""

import matplotlib.pyplot as plt
import numpy as np

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
    heat_map,
    show,
)


def kinds_of_fine_tuning():
    """One pretrained model, two ways to go on."""
    figure, axes = canvas(height=2.7)
    box(axes, 0.1, 1.0, 1.7, 0.75, "pretrained\nGPT", colour=EMBEDDING)
    rows = [
        (1.75, "classification\nfine-tuning", '"You have won ..."', '"spam"', VALUE),
        (0.25, "instruction\nfine-tuning", '"Make it polite: ..."', '"Would you ..."', KEY),
    ]
    for y, name, question, answer, colour in rows:
        arrow(axes, (1.8, 1.375), (2.4, y + 0.375))
        box(axes, 2.4, y, 1.6, 0.75, name, colour=colour, size=10)
        box(axes, 4.35, y + 0.1, 1.75, 0.55, question, size=9.5)
        arrow(axes, (6.1, y + 0.375), (6.5, y + 0.375))
        box(axes, 6.5, y + 0.1, 1.4, 0.55, answer, size=9.5)
    axes.text(7.2, 1.66, "one of a fixed list", ha="center", fontsize=9.5)
    axes.text(7.2, 0.16, "any text", ha="center", fontsize=9.5)
    show(
        figure,
        "From one pretrained model two ways lead on: a classifier answers with an entry of a "
        "fixed list, a model tuned on instructions answers with text.",
    )


def balance_and_split(ham, spam, parts):
    """The two classes, the sample of the larger one, and the cut in three."""
    figure, axes = canvas(height=2.9)
    scale = 6.2 / (ham + spam)
    few = min(ham, spam)

    def bar(x, y, width, text, colour):
        axes.add_patch(plt.Rectangle((x, y), width, 0.45, facecolor=colour, edgecolor=PAPER))
        if text:
            ink = PAPER if colour in (QUERY, LOSS) else INK
            axes.text(
                x + width / 2, y + 0.225, text, ha="center", va="center", color=ink, fontsize=10
            )

    def word(y, text):
        axes.text(0.1, y + 0.225, text, va="center", weight="bold", fontsize=10.5)

    word(2.25, "the file")
    bar(1.5, 2.25, ham * scale, f"{ham:,} ham", QUERY)
    bar(1.5 + ham * scale, 2.25, spam * scale, f"{spam:,}", LOSS)
    axes.text(1.5 + (ham + spam / 2) * scale, 2.76, "spam", ha="center", fontsize=10)
    word(1.3, "balanced")
    half = 3.1
    bar(1.5, 1.3, half, f"{few:,} ham, drawn by lot", QUERY)
    bar(1.5 + half, 1.3, half, f"{few:,} spam", LOSS)
    word(0.35, "shuffled, cut")
    x, total = 1.5, sum(parts.values())
    for (name, count), colour in zip(parts.items(), (VALUE, KEY, TARGET), strict=True):
        width = count / total * 6.2
        bar(x, 0.35, width, f"{count:,}", colour)
        axes.text(x + width / 2, 0.2, name, ha="center", va="center", fontsize=10)
        x += width
    show(
        figure,
        f"Of {ham:,} ham messages as many are drawn as there are spam messages; the "
        "balanced rows are shuffled and cut into three parts.",
    )


def padding(rows, width):
    """Messages as rows of tokens, filled up on the right to one length."""
    figure, axes = canvas(height=0.55 * len(rows) + 0.75)
    w = 7.6 / width
    for i, tokens in enumerate(rows):
        y = 0.55 * (len(rows) - i) - 0.1
        for j in range(width):
            text = tokens[j] if j < len(tokens) else "50256"
            colour = EMBEDDING if j < len(tokens) else MASK
            box(axes, 0.2 + w * j, y, w * 0.93, 0.42, text, colour=colour, size=8.5)
    axes.text(0.2 + w * (width - 0.5), 0.22, "↑ read here", ha="center", fontsize=10)
    show(
        figure,
        "Three messages of different length become rows of equal length: grey places hold the "
        "padding token 50256, always on the right, so the last column is mostly padding.",
    )


def new_head(vocabulary, channels, layers):
    """The model with its old head and its new one; green learns, grey stays."""
    figure, axes = canvas(height=3.9)
    parts = [
        ("token + position embedding", MASK),
        (f"blocks 1 to {layers - 1}", MASK),
        (f"block {layers}", VALUE),
        ("final norm", VALUE),
    ]
    for i, (name, colour) in enumerate(parts):
        y = 0.35 + 0.72 * i
        box(axes, 1.4, y, 2.6, 0.48, name, colour=colour, size=10.5)
        arrow(axes, (2.7, y + 0.48), (2.7, y + 0.72))
    axes.text(2.7, 0.14, "token ids (B, T)", ha="center", va="center", fontsize=10)
    old, new = f"old head: {channels} → {vocabulary:,}", f"new head: {channels} → 2"
    box(axes, 1.4, 3.23, 2.6, 0.48, new, colour=VALUE, size=10.5)
    box(axes, 4.9, 3.23, 2.7, 0.48, old, colour=FAINT, size=10.5)
    axes.plot([4.85, 7.65], [3.2, 3.74], color=LOSS, linewidth=2)
    for y, colour, text in [(2.2, VALUE, "learns"), (1.6, MASK, "stays as it is (frozen)")]:
        axes.add_patch(plt.Rectangle((4.9, y), 0.35, 0.28, facecolor=colour, edgecolor=INK))
        axes.text(5.4, y + 0.14, text, va="center", fontsize=10.5)
    show(
        figure,
        f"The head with {vocabulary:,} outputs goes, one with 2 outputs comes; it learns "
        "together with the last block and the final norm, the rest is frozen.",
    )


def who_sees_what(tokens):
    """The causal mask of a padded message, with the first and the last row marked."""
    n = len(tokens)
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    seen = np.tril(np.ones((n, n)))
    for i in range(n):
        for j in range(n):
            end = QUERY if i in (0, n - 1) else EMBEDDING
            colour = end if seen[i, j] else FAINT
            axes.add_patch(plt.Rectangle((j, n - 1 - i), 0.94, 0.9, facecolor=colour))
    axes.set(xlim=(-0.1, n + 3.1), ylim=(0, n))
    axes.set_xticks([j + 0.47 for j in range(n)], tokens, rotation=35, ha="left", fontsize=9.5)
    axes.xaxis.tick_top()
    axes.set_yticks([n - 1 - i + 0.45 for i in range(n)], tokens, fontsize=9.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.text(n + 0.15, n - 0.55, "sees itself only", va="center", color=QUERY)
    axes.text(n + 0.15, 0.45, "sees everything", va="center", color=QUERY)
    show(
        figure,
        "Each row is a token, each coloured place one that it can look at: the first token "
        "sees only itself, the last, here a padding token, sees the whole message.",
    )


def step_and_slope():
    """Accuracy and loss of one message against the difference of its two logits."""
    figure, axes = plt.subplots(figsize=(7, 2.8))
    x = np.linspace(-4, 4, 801)
    axes.plot(x, x > 0, color=QUERY, label="right answer: 0 or 1")
    axes.plot(x, np.log1p(np.exp(-x)), color=LOSS, label="cross-entropy loss")
    axes.set(xlabel="logit of the true class − logit of the other", ylim=(-0.1, 4.2))
    axes.legend(loc="upper right")
    show(
        figure,
        "Whether an answer is right jumps from 0 to 1 at one point and is flat elsewhere; "
        "the loss falls everywhere, so it tells each weight in which direction to move.",
    )


def compute_once():
    """The frozen part is run once, what it gave is kept, the rest is trained on that."""
    figure, axes = canvas(height=2.9)
    axes.text(0.1, 2.62, "every step", weight="bold", va="center")
    box(axes, 0.1, 1.75, 1.2, 0.6, "batch of ids", size=10)
    box(axes, 1.7, 1.75, 2.6, 0.6, "embeddings, frozen blocks", colour=MASK, size=10)
    box(axes, 4.7, 1.75, 2.6, 0.6, "last block, norm, head", colour=VALUE, size=10)
    axes.text(0.1, 1.3, "once, before the training", weight="bold", va="center")
    axes.text(4.7, 1.3, "every step", weight="bold", va="center")
    box(axes, 0.1, 0.3, 1.2, 0.6, "all ids", size=10)
    box(axes, 1.7, 0.3, 1.5, 0.6, "frozen blocks", colour=MASK, size=10)
    box(axes, 3.5, 0.3, 0.9, 0.6, "cache", colour=KEY, size=10)
    box(axes, 4.7, 0.3, 2.6, 0.6, "last block, norm, head", colour=VALUE, size=10)
    for y, ends in [(2.05, [(1.3, 1.7), (4.3, 4.7)]), (0.6, [(1.3, 1.7), (3.2, 3.5), (4.4, 4.7)])]:
        for start, end in ends:
            arrow(axes, (start, y), (end, y))
    show(
        figure,
        "Above, the frozen blocks run again in every step and give the same each time; "
        "below, they run once, and the training reads their results from a cache.",
    )


def confusion(matrix):
    """Counts of (true class, answer); `matrix` is [[ham, ham as spam], [spam as ham, spam]]."""
    figure, axes = plt.subplots(figsize=(4.4, 2.6))
    answers = ['answer "not spam"', 'answer "spam"']
    heat_map(axes, matrix, ["ham", "spam"], answers, digits=0)
    (ham, false_alarms), (missed, spam) = matrix
    show(
        figure,
        f"Of {ham + false_alarms} ham messages {false_alarms} were called spam (false alarms); "
        f"of {missed + spam} spam messages {missed} were let through (missed).",
    )
