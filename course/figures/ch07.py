"""Pictures of chapter 7: instructions, filled batches, answers in batches, and their judges."""

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
    TRAINING,
    VALIDATION,
    VALUE,
    arrow,
    box,
    canvas,
    show,
)

END, IGNORED = 50256, -100


def stages():
    """The way of this chapter, from the pretrained model to the marks."""
    figure, axes = canvas(height=2.55)
    steps = [
        ("pretrained\nmodel", "continues text", EMBEDDING),
        ("tasks with\nanswers", "7.2 to 7.4", FAINT),
        ("fine-tuning", "7.5, 7.6", KEY),
        ("answers", "7.7", VALUE),
        ("marks", "7.8", TARGET),
    ]
    for i, (text, note, colour) in enumerate(steps):
        x = 0.2 + 1.58 * i
        y = 1.5 if i == 0 else 0.45 if i == 1 else 1.0
        box(axes, x if i != 1 else 0.2, y, 1.25, 0.7, text, colour=colour, size=10.5)
        if i > 1:
            axes.text(x + 0.625, y - 0.12, note, ha="center", va="top", fontsize=9.5)
        else:
            axes.text(1.55, y + 0.35, note, va="center", fontsize=9.5)
    arrow(axes, (2.62, 1.8), (3.36, 1.5))
    arrow(axes, (2.62, 0.87), (3.36, 1.2))
    arrow(axes, (4.61, 1.35), (4.94, 1.35))
    arrow(axes, (6.19, 1.35), (6.52, 1.35))
    show(
        figure,
        "A pretrained model and a set of tasks with answers go into the fine-tuning; what "
        "comes out answers new tasks, and its answers are marked.",
    )


def prompt_layout():
    """The parts of a formatted entry, and who writes them."""
    figure, axes = canvas(height=2.95)
    rows = [
        ("Below is an instruction that describes a task. …", FAINT, "always the same", 0.42),
        ("### Instruction:\nwhat to do", EMBEDDING, "from the user", 0.62),
        ("### Input:\nto what", EMBEDDING, "from the user; left out if empty", 0.62),
        ("### Response:", FAINT, "always the same", 0.42),
        ("the answer, then <|endoftext|>", VALUE, "from the model", 0.42),
    ]
    y = 2.9
    for text, colour, note, height in rows:
        y -= height + 0.06
        box(axes, 0.2, y, 4.5, height, text, colour=colour, size=10.5)
        axes.text(4.9, y + height / 2, note, va="center", fontsize=10.5)
    show(
        figure,
        "The Alpaca format: a fixed opening, the instruction, the input where there is one, a "
        "mark, and then the answer, the only part that the model has to write in use.",
    )


def split(train, test, val):
    """The three parts, as wide as they are large, in the order of the file."""
    figure, axes = canvas(height=1.75)
    left, width = 0.2, 7.6
    total = train + test + val
    x = left
    for name, count, colour, use in [
        ("training", train, TRAINING, "moves the weights"),
        ("test", test, VALUE, "final mark"),
        ("validation", val, VALIDATION, "our choices"),
    ]:
        w = width * count / total
        axes.add_patch(plt.Rectangle((x, 0.75), w, 0.5, facecolor=colour, edgecolor=PAPER, lw=2))
        wide = count == train
        place = x + w / 2 if wide else x + w - (0.05 if name == "test" else 0)
        align = "center" if wide else "right"
        y = 1.45 if name != "validation" else 0.5
        axes.text(
            place,
            y,
            f"{name} {count}: {use}",
            ha=align,
            va="center",
            color=colour,
            weight="bold",
            fontsize=10.5,
        )
        x += w
    show(
        figure,
        f"The file is cut in its own order: {train} entries for training, {test} for the test, "
        f"{val} for validation.",
    )


def batch_grid(inputs, targets, caption):
    """Inputs and targets of a small batch; filling, end marks and ignored places in colour."""
    rows = len(inputs)
    figure, axes = canvas(height=0.75 + 0.45 * rows)
    styles = {"text": (EMBEDDING, INK), "end": (VALUE, PAPER), "ignored": (MASK, INK)}
    for title, left, table in [("inputs", 0.2, inputs), ("targets", 4.15, targets)]:
        axes.text(left, 0.45 * rows + 0.45, title, weight="bold", va="center")
        for i, row in enumerate(table.tolist()):
            for j, value in enumerate(row):
                kind = "end" if value == END else "ignored" if value == IGNORED else "text"
                colour, ink = styles[kind]
                x, y = left + 0.74 * j, 0.45 * (rows - 1 - i) + 0.12
                axes.add_patch(
                    plt.Rectangle((x, y), 0.7, 0.4, facecolor=colour, edgecolor=INK, lw=0.6)
                )
                text = "−100" if value == IGNORED else str(value)
                axes.text(x + 0.35, y + 0.2, text, ha="center", va="center", color=ink, fontsize=9)
    targets_text = "blue: numbers of the text; green: <|endoftext|>; grey: ignored by the loss."
    show(figure, f"{caption} Left the inputs, right the targets; {targets_text}")


def token_strip(tokenizer, inputs, targets):
    """The tokens of one entry in reading order; those whose prediction counts are coloured."""
    pieces = [(tokenizer.decode([inputs[0]]), IGNORED)]
    for token, target in zip([*inputs[1:], END], targets, strict=True):
        pieces.append(("<|endoftext|>" if token == END else tokenizer.decode([token]), target))
    lines, x = [[]], 0.0
    for text, target in pieces:
        label = text.replace("\n", "↵")
        width = 0.093 * max(len(label), 1) + 0.07
        if x + width > 7.6:
            lines.append([])
            x = 0.0
        lines[-1].append((x, width, label, target))
        x += width + 0.03
    figure, axes = canvas(height=0.36 * len(lines) + 0.15)
    for i, line in enumerate(lines):
        y = 0.36 * (len(lines) - 1 - i) + 0.08
        for x, width, label, target in line:
            colour = MASK if target == IGNORED else VALUE
            axes.add_patch(
                plt.Rectangle((0.2 + x, y), width, 0.3, facecolor=colour, edgecolor=PAPER)
            )
            axes.text(
                0.2 + x + width / 2,
                y + 0.14,
                label,
                ha="center",
                va="center",
                family="monospace",
                fontsize=9,
                color=INK if target == IGNORED else PAPER,
            )
    show(
        figure,
        "One entry, token by token. Grey tokens are read but not learnt, green ones are learnt: "
        "the answer and the end mark. The sign ↵ stands for a line break.",
    )


def padding_sides():
    """Three prompts filled on the left and on the right, with the positions of their tokens."""
    figure, axes = canvas(height=2.6)
    lengths, columns = [2, 4, 3], 4
    for title, left, on_left in [("filled on the left", 0.2, True), ("on the right", 4.3, False)]:
        axes.text(left, 2.35, title, weight="bold", va="center")
        for i, length in enumerate(lengths):
            for j in range(columns):
                text = j >= columns - length if on_left else j < length
                last = j == (columns - 1 if on_left else length - 1)
                x, y = left + 0.8 * j, 1.6 - 0.52 * i
                colour = MASK if not text else VALUE if last else EMBEDDING
                axes.add_patch(
                    plt.Rectangle((x, y), 0.76, 0.46, facecolor=colour, edgecolor=INK, lw=0.6)
                )
                word = f"word {j - (columns - length) * on_left + 1}" if text else "fill"
                ink = PAPER if text and last else INK
                axes.text(x + 0.38, y + 0.23, word, ha="center", va="center", fontsize=9, color=ink)
        for j in range(columns):
            axes.text(left + 0.8 * j + 0.38, 0.36, str(j), ha="center", va="center", fontsize=9.5)
        axes.text(left, 0.1, "position", va="center", fontsize=9.5)
    show(
        figure,
        "Filled on the left, word 1 of the short prompts stands at position 2 or 1 in place of 0; "
        "filled on the right, every word keeps its position. Green is the place where the next "
        "token is read.",
    )


def resume():
    """An interrupted run and the one that goes on."""
    figure, axes = canvas(height=2.2)
    for y, name, start, stop, colour in [
        (1.35, "first run", 0, 2, EMBEDDING),
        (0.45, "second run", 2, 7, VALUE),
    ]:
        axes.text(0.2, y + 0.25, name, va="center", weight="bold")
        for i in range(7):
            x = 1.6 + 0.88 * i
            text = "there" if i < start else f"batch {i + 1}" if i < stop else ""
            shade = FAINT if i < start or i >= stop else colour
            box(axes, x, y, 0.8, 0.5, text, colour=shade, size=9.5)
    axes.plot([3.32, 3.32], [1.22, 2.0], color=LOSS, linewidth=2)
    axes.text(3.42, 2.02, "interrupted", color=LOSS, va="center", fontsize=10)
    show(
        figure,
        "The file is written after every batch: a second run finds the first two batches there "
        "and computes only the other five.",
    )


def by_kind(kinds, scores):
    """chrF for each kind of task; `scores` is {name: a number for each kind}."""
    order = np.argsort(scores["after"])
    figure, axes = plt.subplots(figsize=(8, 0.29 * len(kinds) + 0.9))
    places = np.arange(len(kinds))
    axes.barh(places, np.array(scores["after"])[order], 0.62, color=QUERY, label="after")
    for name, marker, colour in [("parrot", "D", KEY), ("before", "o", LOSS)]:
        values = np.array(scores[name])[order]
        axes.plot(values, places, marker, color=colour, markeredgecolor=INK, label=name)
    axes.set_yticks(places, [kinds[i] for i in order])
    axes.set(xlabel="mean chrF of the test answers", xlim=(0, 100))
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    show(
        figure,
        "chrF by kind of task: bars for the tuned model, diamonds for the parrot, circles for "
        "the model before its tuning.",
    )


def judge():
    """The notebook asks, the server marks, the parser reads."""
    figure, axes = canvas(height=2.35)
    box(
        axes,
        0.2,
        0.75,
        1.75,
        0.95,
        "notebook\n\ntask, reference,\nanswer",
        colour=EMBEDDING,
        size=10,
    )
    box(axes, 4.35, 0.75, 1.85, 0.95, "server\n\na larger model", colour=KEY, size=10)
    arrow(axes, (1.95, 1.5), (4.35, 1.5))
    arrow(axes, (4.35, 0.95), (1.95, 0.95))
    axes.text(3.15, 1.72, "POST /api/chat  (JSON)", ha="center", va="center", fontsize=10)
    axes.text(3.15, 0.7, "“Score: 85/100”", ha="center", va="center", fontsize=10)
    box(axes, 0.5, 0.05, 1.15, 0.42, "parser: 85", colour=VALUE, size=10)
    arrow(axes, (1.075, 0.75), (1.075, 0.47))
    axes.text(6.35, 1.22, "a program of its\nown, on the same\ncomputer", va="center", fontsize=10)
    axes.plot([6.3, 6.3], [0.75, 1.7], color=MASK, linewidth=1, linestyle=":")
    show(
        figure,
        "Task, reference and answer go to the judge's server as a question; its reply, in words, "
        "comes back, and the parser takes the mark out of it.",
    )
