"""Pictures of chapter 5: the loss, the training loop, decoding and checkpoints."""

import matplotlib.pyplot as plt
import numpy as np

from course.figures import (
    EMBEDDING,
    FAINT,
    INK,
    KEY,
    LOSS,
    MASK,
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


def shifted_by_one():
    """Inputs and targets of the first prompt."""
    figure, axes = canvas(height=2.35)
    words = ["every", " effort", " moves", " you"]
    for i, word in enumerate(words):
        x = 1.3 + 1.6 * i
        if i < 3:
            box(axes, x, 1.55, 1.3, 0.5, repr(word), colour=EMBEDDING)
            arrow(axes, (x + 0.65, 1.53), (x + 0.65, 0.86))
        if i > 0:
            box(axes, x - 1.6, 0.3, 1.3, 0.5, repr(word), colour=TARGET)
    axes.text(0.15, 1.8, "inputs", va="center", weight="bold")
    axes.text(0.15, 0.55, "targets", va="center", weight="bold")
    axes.text(6.0, 1.2, "three predictions,\nall scored at once", va="center", fontsize=10)
    show(
        figure,
        "Above each target stands the last token that the model sees when it has to predict "
        "it: the targets are the inputs, moved on by one token.",
    )


def surprise():
    """The loss of a token against the probability that it was given."""
    figure, axes = plt.subplots(figsize=(7, 2.9))
    p = np.linspace(0.004, 1, 400)
    axes.plot(p, -np.log(p), color=LOSS)
    for q, name, dx in [(0.05, "one in twenty", 0.03), (0.5, "a coin's toss", 0.02)]:
        axes.plot([q], [-np.log(q)], "o", color=INK)
        axes.text(q + dx, -np.log(q) + 0.25, f"{name}: {-np.log(q):.2f}", fontsize=10)
    axes.plot([1], [0], "o", color=INK)
    axes.text(0.99, 0.35, "certain: 0", ha="right", fontsize=10)
    axes.set(xlabel="probability given to the true next token", ylabel="loss, −ln p")
    axes.set(xlim=(0, 1.02), ylim=(-0.15, 5.6))
    show(
        figure,
        "The loss of one token falls from infinity at probability 0 to nothing at "
        "probability 1; every halving of the probability costs another 0.69.",
    )


def loss_in_steps():
    """From logits to the loss, with the shapes."""
    figure, axes = canvas(height=2.5)
    steps = [
        ("logits", "(B, T, V)", FAINT),
        ("softmax", "(B, T, V)", FAINT),
        ("pick the\ntargets", "(B, T)", TARGET),
        ("ln", "(B, T)", FAINT),
        ("mean", "one number", FAINT),
        ("× −1", "the loss", LOSS),
    ]
    for i, (text, shape, colour) in enumerate(steps):
        x = 0.15 + 1.31 * i
        box(axes, x, 1.2, 1.0, 0.75, text, colour=colour, size=10.5)
        axes.text(x + 0.5, 1.0, shape, ha="center", va="top", fontsize=9.5, color=INK)
        if i:
            arrow(axes, (x - 0.31, 1.575), (x, 1.575))
    axes.plot([1.46, 1.46, 7.7, 7.7], [0.62, 0.5, 0.5, 0.62], color=QUERY, linewidth=1.5)
    axes.text(
        4.58,
        0.24,
        "F.cross_entropy(logits, targets)",
        ha="center",
        va="center",
        color=QUERY,
        family="monospace",
        fontsize=11,
    )
    show(
        figure,
        "Five steps lead from the logits to the loss; `F.cross_entropy` does all five "
        "in one stable operation.",
    )


def split(train_tokens, val_tokens, window):
    """The text, cut at nine tenths and then into windows."""
    figure, axes = canvas(height=1.9)
    total, left, full = train_tokens + val_tokens, 0.2, 7.6
    scale = full / total
    parts = [
        ("training", 0, train_tokens, TRAINING),
        ("validation", train_tokens, val_tokens, VALIDATION),
    ]
    for name, start, count, colour in parts:
        x = left + start * scale
        for i in range((count - 1) // window):
            axes.add_patch(
                plt.Rectangle(
                    (x + i * window * scale, 0.75),
                    window * scale,
                    0.5,
                    facecolor=colour,
                    edgecolor="white",
                    linewidth=2,
                )
            )
        middle = x + count * scale / 2
        number = (count - 1) // window
        axes.text(middle, 1.45, name, ha="center", color=colour, weight="bold")
        axes.text(middle, 0.5, f"{number} windows", ha="center", va="center", fontsize=10)
    axes.text(left, 0.12, f"each box: {window} tokens, the context of our model", fontsize=10)
    show(
        figure,
        f"The story cut at nine tenths and laid out in windows of {window} tokens: the model "
        "learns from those on the left and is only ever measured on those on the right.",
    )


def training_loop():
    """One turn of the loop, and what interrupts it from time to time."""
    figure, axes = canvas(height=3.5)
    w, h = 1.75, 0.62
    places = {
        "batch": (0.2, 2.4, "next batch\n(inputs, targets)", EMBEDDING),
        "forward": (2.4, 2.4, "forward:\nlogits", FAINT),
        "loss": (4.6, 2.4, "loss", LOSS),
        "backward": (4.6, 0.7, "backward:\ngradients", KEY),
        "step": (2.4, 0.7, "optimiser step:\nnew weights", VALUE),
        "zero": (0.2, 0.7, "gradients\nback to zero", FAINT),
    }
    for x, y, text, colour in places.values():
        box(axes, x, y, w, h, text, colour=colour, size=10)
    arrow(axes, (1.95, 2.71), (2.4, 2.71))
    arrow(axes, (4.15, 2.71), (4.6, 2.71))
    arrow(axes, (5.475, 2.4), (5.475, 1.32))
    arrow(axes, (4.6, 1.01), (4.15, 1.01))
    arrow(axes, (2.4, 1.01), (1.95, 1.01))
    arrow(axes, (1.075, 1.32), (1.075, 2.4))
    axes.text(3.275, 1.87, "90 turns: 9 batches × 10 epochs", ha="center", va="center", fontsize=10)
    axes.plot([6.6, 6.6], [0.45, 3.2], color=MASK, linewidth=1, linestyle=":")
    axes.text(
        7.3, 2.71, "every 5 steps:\nmeasure both\nlosses", ha="center", va="center", fontsize=10
    )
    axes.text(7.3, 1.01, "after an epoch:\nwrite a\nsample", ha="center", va="center", fontsize=10)
    show(
        figure,
        "One turn of the training loop, clockwise from the batch; beside it, what happens "
        "only now and then and changes no weight.",
    )


def temperatures(words, rows):
    """Bars of the same words at several temperatures; `rows` is {temperature: probabilities}."""
    figure, axes = plt.subplots(figsize=(8, 3))
    colours = [QUERY, KEY, LOSS]
    width = 0.8 / len(rows)
    for i, (temperature, probabilities) in enumerate(rows.items()):
        places = np.arange(len(words)) + (i - (len(rows) - 1) / 2) * width
        axes.bar(places, probabilities, width, color=colours[i], label=f"T = {temperature}")
    axes.set_xticks(range(len(words)), words)
    axes.set(ylabel="probability")
    axes.legend()
    show(
        figure,
        "The same eight logits at three temperatures: a low one sharpens the distribution "
        "towards the favourite, a high one flattens it towards equal chances.",
    )


def top_k(words, before, after):
    """Probabilities before and after the words outside the top k are struck out."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.9), sharey=True)
    kept = [q > 0 for q in after]
    left.barh(words, before, color=[QUERY if keep else MASK for keep in kept])
    right.barh(words, after, color=QUERY)
    for axes, values in ((left, before), (right, after)):
        for i, value in enumerate(values):
            axes.text(value + 0.01, i, f"{value:.3f}" if value else "0", va="center", fontsize=9)
        axes.set(xlim=(0, 0.75), xlabel="probability")
    left.invert_yaxis()
    left.set_title("all words", loc="left", fontsize=11)
    right.set_title(f"the top {sum(kept)} only", loc="left", fontsize=11)
    figure.tight_layout()
    show(
        figure,
        f"Top-k sampling with k = {sum(kept)}: the grey words are struck out, and what they "
        "had is shared among the blue ones in proportion.",
    )


def decoding_step():
    """What `generate` does for each new token."""
    figure, axes = canvas(height=2.2)
    texts = [
        ("model", FAINT),
        ("last\nlogits", EMBEDDING),
        ("keep\ntop k", KEY),
        ("divide by\nT", KEY),
        ("softmax", FAINT),
        ("draw one", VALUE),
    ]
    for i, (text, colour) in enumerate(texts):
        x = 0.15 + 1.31 * i
        box(axes, x, 0.95, 1.0, 0.7, text, colour=colour, size=10.5)
        if i:
            arrow(axes, (x - 0.31, 1.3), (x, 1.3))
    axes.plot([7.2, 7.2, 0.65], [0.95, 0.5, 0.5], color=INK, linewidth=1.4)
    arrow(axes, (0.65, 0.5), (0.65, 0.95))
    axes.text(
        3.9, 0.25, "append the new token and go round again", ha="center", va="center", fontsize=10
    )
    show(
        figure,
        "One turn of `generate`: temperature and top-k reshape the logits of the last "
        "position, then chance picks a token, which joins the input of the next turn.",
    )


def training_state():
    """What has to be in a checkpoint for a run to go on as if nothing had happened."""
    figure, axes = canvas(height=2.7)
    rows = [
        ("weights", "what the model knows", EMBEDDING),
        ("optimiser state", "AdamW's two running means for each weight, and its step count", KEY),
        ("random state", "the next shuffling of the batches, the next dropout", TARGET),
        ("your extras", "epoch, configuration, the losses so far", FAINT),
    ]
    for i, (name, meaning, colour) in enumerate(rows):
        y = 2.05 - 0.62 * i
        box(axes, 0.2, y, 1.9, 0.5, name, colour=colour)
        axes.text(2.3, y + 0.25, meaning, va="center")
    show(
        figure,
        "A checkpoint that lets a run continue exactly holds more than the weights.",
    )


def safe_save():
    """The three moments of an atomic save."""
    figure, axes = canvas(height=2.75)
    titles = ["1  write beside it", "2  swap the names", "3  done"]
    for i, title in enumerate(titles):
        x = 0.2 + 2.65 * i
        axes.text(x, 2.4, title, weight="bold", va="center")
        if i:
            axes.plot([x - 0.22] * 2, [0.3, 2.5], color=MASK, linewidth=1, linestyle=":")
    box(axes, 0.2, 1.45, 2.0, 0.55, "model.pth  (old)", colour=EMBEDDING, size=10)
    box(axes, 0.2, 0.55, 2.0, 0.55, "model.pth.part", colour=FAINT, size=10)
    box(axes, 2.85, 1.45, 2.0, 0.55, "model.pth", colour=EMBEDDING, size=10)
    box(axes, 2.85, 0.55, 2.0, 0.55, "model.pth.part", colour=VALUE, size=10)
    arrow(axes, (3.85, 1.1), (3.85, 1.45))
    box(axes, 5.5, 1.45, 2.0, 0.55, "model.pth  (new)", colour=VALUE, size=10)
    axes.text(0.2, 0.25, "a crash here costs\nnothing", va="center", fontsize=9.5)
    axes.text(2.85, 0.25, "one step for the\nfile system", va="center", fontsize=9.5)
    show(
        figure,
        "A safe save writes a second file and gives it the name of the first only when it "
        "is complete: whenever the power fails, one whole checkpoint is there.",
    )
