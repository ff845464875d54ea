"""The pictures of chapter 1: language models from far away, and the plots of its demonstrations."""

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, Rectangle

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

GREY = "#666666"
BLUE_TINT, GREEN_TINT, RED_TINT, PINK_TINT = "#D5ECF9", "#CFEDE3", "#F8DCCB", "#F3D9E8"
OURS = LOSS  # whatever belongs to this course, among published things


def label(axes, x, y, text, size=10, colour=INK, ha="left", va="center"):
    """A text beside a drawing, vertically centred at y unless `va` says otherwise."""
    axes.text(x, y, text, fontsize=size, color=colour, ha=ha, va=va)


def visible(token):
    """The token with its white space made visible."""
    return token.replace(" ", "␣").replace("\n", "⏎")


def chances(texts, caption):
    """The likeliest next tokens as bars; `texts` is {text: [(token, probability), ...]}."""
    rows = max(len(pairs) for pairs in texts.values())
    figure, panels = plt.subplots(
        1, len(texts), figsize=(8, 0.32 * rows + 0.9), sharex=True, squeeze=False
    )
    for axes, (text, pairs) in zip(panels[0], texts.items(), strict=True):
        tokens = [visible(token) for token, _ in pairs]
        values = [p for _, p in pairs]
        axes.barh(range(len(pairs)), values, color=QUERY, height=0.66)
        axes.set_yticks(range(len(pairs)), tokens, fontfamily="DejaVu Sans Mono")
        axes.invert_yaxis()
        axes.set_title(f"{text} …", fontsize=11, loc="left")
        axes.set_xlabel("probability of the next token")
        axes.tick_params(axis="y", length=0)
        for i, value in enumerate(values):
            axes.text(value, i, f" {value:.3f}", va="center", fontsize=9, color=GREY)
    highest = max(p for pairs in texts.values() for _, p in pairs)
    panels[0][0].set_xlim(0, highest * 1.17)
    figure.tight_layout(w_pad=2.5)
    show(figure, caption)


def loop():
    """How a model that gives probabilities writes a text."""
    figure, axes = canvas(height=2.45)
    box(axes, 0.15, 1.25, 1.75, 0.8, "text so far", FAINT)
    box(axes, 2.5, 1.25, 1.2, 0.8, "language\nmodel", QUERY)
    box(axes, 6.35, 1.25, 1.45, 0.8, "pick one\ntoken", FAINT)
    heights = [0.62, 0.34, 0.22, 0.12, 0.07, 0.05]
    for i, height in enumerate(heights):
        colour = VALUE if i == 0 else EMBEDDING
        axes.add_patch(Rectangle((4.4 + 0.22 * i, 1.32), 0.17, height, facecolor=colour))
    label(axes, 5.05, 1.13, "a probability\nfor every token", 9.5, GREY, "center", va="top")
    arrow(axes, (1.92, 1.65), (2.48, 1.65))
    arrow(axes, (3.72, 1.65), (4.3, 1.65))
    arrow(axes, (5.8, 1.65), (6.33, 1.65))
    axes.plot([7.07, 7.07, 1.02], [1.23, 0.35, 0.35], color=VALUE, linewidth=1.6)
    arrow(axes, (1.02, 0.35), (1.02, 1.23), VALUE)
    label(axes, 4.05, 0.18, "append it to the text, and again", 10, VALUE, "center")
    show(
        figure,
        "A language model writes in a loop: it reads the text so far, gives every token a "
        "probability, one token is picked and appended, and the longer text is read again.",
    )


def one_skill():
    """Five uses, one skill: each is a text to be continued."""
    figure, axes = canvas(height=3.75)
    rows = [
        ("write", "It was a cold morning, and the harbour", "lay under fog."),
        ("translate", "English: the horse   French:", "le cheval"),
        ("summarise", "(a report of two pages)   In short:", "costs fell, sales rose."),
        ("answer", "Q: How many legs has a spider?   A:", "eight"),
        ("sort", "“Free prize, call now!” is spam or ham?", "spam"),
        ("program", "def area(radius):", "return pi * radius**2"),
    ]
    label(axes, 1.15, 3.55, "the text that is given", 10, GREY)
    label(axes, 5.55, 3.55, "a likely continuation", 10, GREY)
    for i, (use, given, continued) in enumerate(rows):
        y = 2.95 - 0.57 * i
        label(axes, 0.08, y + 0.2, use, 11)
        box(axes, 1.1, y, 4.0, 0.42, given, FAINT, 10)
        box(axes, 5.5, y, 2.35, 0.42, continued, BLUE_TINT, 10)
        arrow(axes, (5.12, y + 0.21), (5.48, y + 0.21))
    show(
        figure,
        "Six uses of a language model, from writing to programming, all put in one form: a text "
        "is given, and a likely continuation of it is the answer.",
    )


def stages():
    """From raw text to a tool, in two stages of training."""
    figure, axes = canvas(height=3.7)
    box(axes, 0.1, 1.45, 1.45, 0.85, "text without\nlabels", FAINT)
    box(axes, 3.0, 1.45, 1.45, 0.85, "base model", QUERY)
    box(axes, 6.2, 2.55, 1.7, 0.85, "classifier", VALUE)
    box(axes, 6.2, 0.35, 1.7, 0.85, "assistant", VALUE)
    arrow(axes, (1.57, 1.87), (2.98, 1.87))
    label(axes, 2.27, 2.06, "pretraining", 10.5, INK, "center")
    label(axes, 2.27, 1.68, "predict the\nnext token", 9, GREY, "center", va="top")
    arrow(axes, (4.47, 2.0), (6.18, 2.95))
    arrow(axes, (4.47, 1.74), (6.18, 0.8))
    label(axes, 4.55, 2.93, "fine-tuning on\nlabelled texts", 10, INK)
    label(axes, 4.55, 0.75, "fine-tuning on\ninstructions\nwith answers", 10, INK)
    label(axes, 7.05, 2.4, "“spam”", 9, GREY, "center")
    label(axes, 7.05, 0.2, "“Here are three ideas …”", 9, GREY, "center")
    label(axes, 0.82, 1.27, "billions of tokens,\nnobody marks them", 9, GREY, "center", va="top")
    label(axes, 3.72, 1.27, "continues\nany text", 9, GREY, "center", va="top")
    label(axes, 2.27, 3.45, "chapters 2 to 5", 10, LOSS, "center")
    label(axes, 5.25, 3.45, "chapter 6", 10, LOSS, "center")
    label(axes, 5.25, 0.12, "chapter 7", 10, LOSS, "center")
    show(
        figure,
        "Two stages: pretraining on much unlabelled text gives a base model that continues any "
        "text; fine-tuning on few, labelled examples makes a classifier or an assistant of it.",
    )


def encoder_decoder():
    """The transformer of 2017, as a machine that translates."""
    figure, axes = canvas(height=4.0)
    for y in (1.35, 1.98):
        box(axes, 0.4, y, 2.7, 0.5, "attention · feed-forward", BLUE_TINT, 10)
        box(axes, 4.9, y, 2.7, 0.5, "attention · feed-forward", GREEN_TINT, 10)
    for x, y, colour, name in [(0.25, 1.2, QUERY, "encoder"), (4.75, 1.2, VALUE, "decoder")]:
        frame = Rectangle((x, y), 3.0, 1.75, fill=False, edgecolor=colour, linewidth=1.6)
        axes.add_patch(frame)
        label(axes, x + 0.12, y + 1.55, f"{name}, six blocks", 11, colour)
    for x, word in [(0.58, "der"), (1.36, "Regen"), (2.14, "hört"), (2.92, "auf")]:
        box(axes, x - 0.36, 0.45, 0.72, 0.4, word, FAINT, 10)
        arrow(axes, (x, 0.87), (x, 1.18))
    for x, word in [(5.25, "[start]"), (6.25, "the"), (7.25, "rain")]:
        box(axes, x - 0.42, 0.45, 0.84, 0.4, word, FAINT, 10)
        arrow(axes, (x, 0.87), (x, 1.18))
    label(axes, 1.75, 0.2, "the whole sentence at once", 9.5, GREY, "center")
    label(axes, 6.25, 0.2, "what is written so far", 9.5, GREY, "center")
    axes.plot([1.75, 1.75, 4.0, 4.0], [2.97, 3.35, 3.35, 2.2], color=KEY, linewidth=1.8)
    arrow(axes, (4.0, 2.2), (4.73, 2.2), KEY)
    label(axes, 2.9, 3.55, "a vector for each German word", 10, INK, "center")
    arrow(axes, (7.25, 2.97), (7.25, 3.38))
    box(axes, 6.65, 3.4, 1.2, 0.4, "stops", TARGET, 10)
    label(axes, 6.55, 3.6, "next word", 9.5, GREY, "right")
    show(
        figure,
        "The transformer of 2017 translates: the encoder reads the whole German sentence and "
        "gives a vector for each word; the decoder looks at these and at what it has written so "
        "far, and predicts the next English word.",
    )


def attention_arcs(tokens, rows, caption):
    """Where the last token looks; `rows` is [(title, weights), ...], a weight for each token."""
    figure, panels = plt.subplots(len(rows), 1, figsize=(8, 1.75 * len(rows) + 0.2))
    words = [token.strip() for token in tokens]
    places, right = [], 0.0
    for word in words:
        places.append(right + 0.06 * len(word))
        right += 0.12 * len(word) + 0.26
    for axes, (title, weights) in zip(panels, rows, strict=True):
        for place, word, weight in zip(places, words, map(float, weights), strict=True):
            distance = places[-1] - place
            if distance > 0:
                curve = FancyArrowPatch((places[-1], 0.16), (place, 0.16), arrowstyle="-")
                curve.set(linewidth=max(9 * weight, 0.04), color=QUERY, alpha=0.85)
                curve.set_connectionstyle("arc3", rad=0.16 + 0.4 / (distance + 1))
                axes.add_patch(curve)
            shade = {"facecolor": EMBEDDING, "alpha": min(1.0, 1.6 * weight), "lw": 0}
            axes.text(place, 0, word, ha="center", va="center", bbox={"boxstyle": "round", **shade})
            if weight >= 0.05:
                axes.text(place, -0.45, f"{weight:.2f}", ha="center", va="center", fontsize=9)
        axes.set(xlim=(-0.2, right), ylim=(-0.6, 1.75))
        axes.set_title(title, fontsize=10.5, loc="left", color=GREY)
        axes.axis("off")
    figure.tight_layout()
    show(figure, caption)


def who_sees_whom():
    """Three patterns of attention: the encoder's, the decoder's, and the look across."""
    source, target = ["der", "Regen", "hört", "auf"], ["the", "rain", "stops", "."]
    panels = [
        ("encoder: everybody sees\neverybody (BERT)", source, source, lambda t, s: True, QUERY),
        ("decoder: only what came\nbefore (GPT)", target, target, lambda t, s: s <= t, VALUE),
        ("across: the decoder sees\nthe encoder (translation)", target, source,
         lambda t, s: True, KEY),
    ]  # fmt: skip
    figure, grid = plt.subplots(1, 3, figsize=(8, 3.1))
    for axes, (title, rows, columns, sees, colour) in zip(grid, panels, strict=True):
        for t in range(4):
            for s in range(4):
                face = colour if sees(t, s) else FAINT
                axes.add_patch(Rectangle((s, t), 0.92, 0.92, facecolor=face))
                if not sees(t, s):
                    axes.text(s + 0.46, t + 0.46, "×", ha="center", va="center", color=GREY)
        axes.set(xlim=(0, 4), ylim=(4, 0), aspect="equal")
        axes.set_xticks([i + 0.46 for i in range(4)], columns)
        axes.set_yticks([i + 0.46 for i in range(4)], rows)
        axes.tick_params(length=0, labelsize=9.5)
        axes.xaxis.tick_top()
        axes.spines[:].set_visible(False)
        axes.set_title(title, fontsize=10, y=-0.3)
    figure.tight_layout(w_pad=1.5)
    show(
        figure,
        "Three patterns, a row for each token that looks: in an encoder all tokens see each "
        "other, in a decoder a token sees itself and what came before, and when translating "
        "each English token sees the whole German sentence.",
    )


def number_line(rows, xlabel, caption, ours=(), limits=None):
    """Amounts on a logarithmic axis; `rows` is [(name, amount), ...], `ours` some of the names."""
    rows = sorted(rows, key=lambda row: row[1])
    figure, axes = plt.subplots(figsize=(8, 0.29 * len(rows) + 0.8))
    low, high = limits or (rows[0][1] / 10, rows[-1][1] * 30)
    for i, (name, amount) in enumerate(rows):
        colour, marker = (OURS, "D") if name in ours else (QUERY, "o")
        axes.plot([low, amount], [i, i], color=FAINT, linewidth=3, zorder=0)
        axes.plot(amount, i, marker, color=colour, markersize=7)
        axes.text(amount * (high / low) ** 0.015, i, name, va="center", fontsize=9.5)
    axes.set_xscale("log")
    axes.set(xlim=(low, high), ylim=(-0.7, len(rows) - 0.3), xlabel=xlabel)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=FAINT)
    axes.set_axisbelow(True)
    show(figure, caption)


def two_shares(names, tokens, weights, caption):
    """For each part of a data set: its share of what there is, and of what is read."""
    figure, axes = plt.subplots(figsize=(8, 2.6))
    places = range(len(names))
    total = sum(tokens)
    there = [100 * t / total for t in tokens]
    axes.barh([p - 0.19 for p in places], there, 0.36, color=MASK, label="share of the tokens")
    axes.barh([p + 0.19 for p in places], weights, 0.36, color=QUERY, label="share of the training")
    for p, a, b in zip(places, there, weights, strict=True):
        axes.text(a + 0.8, p - 0.19, f"{a:.0f} %", va="center", fontsize=9, color=GREY)
        axes.text(b + 0.8, p + 0.19, f"{b:.0f} %", va="center", fontsize=9, color=QUERY)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 100), xlabel="per cent")
    axes.legend(loc="lower right")
    show(figure, caption)


def mixtures(mixes, groups, caption):
    """Mixtures as stacked bars; `mixes` is {model: [(part, group, weight), ...]}."""
    colours = dict(zip(groups, [EMBEDDING, QUERY, VALUE, KEY, TARGET, MASK], strict=False))
    figure, axes = plt.subplots(figsize=(8, 1.0 * len(mixes) + 0.9))
    for row, parts in enumerate(mixes.values()):
        left = 0.0
        for part, group, weight in parts:
            colour = colours[group]
            axes.barh(row, weight, left=left, color=colour, edgecolor=PAPER, height=0.5)
            if weight >= 8:
                ink = PAPER if colour in (QUERY, VALUE) else INK
                axes.text(left + weight / 2, row, f"{part}\n{weight:g}", ha="center",
                          va="center", fontsize=8.5, color=ink)  # fmt: skip
            left += weight
    axes.set_yticks(range(len(mixes)), mixes)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 102), xlabel="weight in the training, per cent")
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
    axes.legend(handles, colours, ncol=len(colours), fontsize=9, loc="lower center",
                bbox_to_anchor=(0.5, 1.0), columnspacing=1.2, handlelength=1.2)  # fmt: skip
    show(figure, caption)


NEXT_TO = {  # where a name stands beside its point, in typographic points
    "LLaMA-7B": (-8, 0),
    "T5-11B": (0, 13),
    "LLaMA-65B": (-3, -14),
    "Llama 2 70B": (0, 13),
    "Chinchilla": (8, -5),
    "GPT-3": (-8, 0),
}


def size_and_data(rows, caption, ours=()):
    """Parameters against tokens, with the line of 20 tokens per parameter."""
    figure, axes = plt.subplots(figsize=(8, 4.6))
    sizes = [8e6, 4e12]
    axes.plot(sizes, [20 * n for n in sizes], "--", color=MASK, linewidth=1.5, zorder=0)
    axes.annotate(
        "20 tokens per parameter", (3e8, 6e9), (8, -8), textcoords="offset points", color=GREY
    )
    for name, parameters, tokens in rows:
        colour, marker = (OURS, "D") if name in ours else (QUERY, "o")
        axes.plot(parameters, tokens, marker, color=colour, markersize=7)
        x, y = NEXT_TO.get(name, (8, 0))
        align = "left" if x > 0 else "right" if x < 0 else "center"
        place = {"textcoords": "offset points", "ha": align, "va": "center"}
        place |= {"zorder": 1}
        place["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5, "alpha": 0.85}
        axes.annotate(name, (parameters, tokens), (x, y), fontsize=9.5, **place)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set(xlim=(8e6, 6e12), ylim=(5e6, 1e14), xlabel="parameters", ylabel="tokens trained on")
    axes.grid(color=FAINT)
    axes.set_axisbelow(True)
    show(figure, caption)


def gpt():
    """A GPT: one stack of decoder blocks, and the way back from the output to the input."""
    figure, axes = canvas(height=4.1)
    words = ["She", "put", "the", "letter"]
    for i, word in enumerate(words):
        x = 0.85 + 1.15 * i
        box(axes, x - 0.47, 0.25, 0.94, 0.4, word, FAINT, 10.5)
        arrow(axes, (x, 0.67), (x, 0.97))
        arrow(axes, (x, 2.83), (x, 3.23))
    for y, text in [(1.0, "block 1"), (1.45, "block 2"), (2.4, "last block")]:
        box(axes, 0.3, y, 4.55, 0.4, text, GREEN_TINT, 10)
    label(axes, 2.57, 2.12, "⋮", 14, INK, "center")
    for i, word in enumerate(["put", "the", "letter", "into"]):
        x = 0.85 + 1.15 * i
        last = i == 3
        box(axes, x - 0.47, 3.25, 0.94, 0.4, word, VALUE if last else PAPER, 10.5)
    axes.plot([4.8, 6.6, 6.6], [3.45, 3.45, 0.45], color=VALUE, linewidth=1.6)
    box(axes, 4.98, 0.25, 0.94, 0.4, "into", PINK_TINT, 10.5)
    arrow(axes, (6.6, 0.45), (5.95, 0.45), VALUE)
    label(axes, 6.72, 1.95, "its own output\nis its next\ninput", 9.5, VALUE)
    label(axes, 2.57, 3.9, "at each place: a guess at the token that follows", 9.5, GREY, "center")
    show(
        figure,
        "A GPT is a single stack of decoder blocks. At each place it guesses the token that "
        "follows; to write, the guess at the last place is appended to the input, and so on.",
    )


def shots():
    """The same question with no, one and a few examples before it."""
    figure, axes = canvas(height=3.0)
    lines = ["big: small", "rich: poor", "early: late"]
    cards = [("zero-shot", 0), ("one-shot", 1), ("few-shot", 3)]
    for i, (name, number) in enumerate(cards):
        x = 0.15 + 2.65 * i
        axes.add_patch(Rectangle((x, 0.3), 2.4, 2.2, facecolor=PAPER, edgecolor=MASK))
        label(axes, x + 0.05, 2.7, name, 11.5)
        axes.text(x + 0.15, 2.25, "Give the opposite.", fontsize=10, va="center", color=GREY)
        for j, line in enumerate(lines[:number]):
            label(axes, x + 0.15, 1.9 - 0.33 * j, line, 11, QUERY)
        y = 1.9 - 0.33 * number
        label(axes, x + 0.15, y, "hot:", 11)
        box(axes, x + 0.62, y - 0.15, 0.62, 0.3, "?", PINK_TINT, 11)
    show(
        figure,
        "The same question, asked without an example (zero-shot), with one (one-shot) and with "
        "three (few-shot). The examples stand in the prompt; no weight of the model changes.",
    )


def course_map():
    """The seven chapters as a building site."""
    figure, axes = canvas(height=4.2)
    box(axes, 0.2, 0.35, 1.75, 0.9, "2  text →\ntoken vectors", BLUE_TINT, 10)
    box(axes, 2.3, 0.35, 1.75, 0.9, "3  attention", BLUE_TINT, 10)
    box(axes, 4.4, 0.35, 1.75, 0.9, "4  the GPT,\nuntrained", BLUE_TINT, 10)
    arrow(axes, (1.97, 0.8), (2.28, 0.8))
    arrow(axes, (4.07, 0.8), (4.38, 0.8))
    box(axes, 4.4, 1.85, 1.75, 0.9, "5  pretraining", QUERY, 10)
    arrow(axes, (5.27, 1.27), (5.27, 1.83))
    box(axes, 2.3, 1.85, 1.75, 0.9, "published\nweights", FAINT, 10)
    arrow(axes, (4.07, 2.3), (4.38, 2.3))
    box(axes, 2.9, 3.15, 1.9, 0.8, "6  classifier", VALUE, 10)
    box(axes, 5.75, 3.15, 1.9, 0.8, "7  assistant", VALUE, 10)
    arrow(axes, (5.0, 2.77), (4.2, 3.13))
    arrow(axes, (5.55, 2.77), (6.35, 3.13))
    label(axes, 6.35, 0.8, "building", 11, GREY)
    label(axes, 6.35, 2.3, "learning", 11, GREY)
    label(axes, 0.2, 3.55, "adapting", 11, GREY)
    show(
        figure,
        "The course: chapters 2 to 4 build the model from token vectors and attention, chapter 5 "
        "trains it or loads published weights, chapters 6 and 7 make a classifier and an "
        "assistant of it.",
    )


def one_word_changed(one, other, names):
    """The probabilities of two sentences' tokens, [(token, probability), ...] each."""
    figure, axes = plt.subplots(figsize=(8, 2.9))
    places = range(len(one))
    axes.semilogy(places, [p for _, p in one], "o-", color=QUERY, label=names[0])
    axes.semilogy(places, [p for _, p in other], "D--", color=LOSS, label=names[1])
    pairs = [(a, b) for (a, _), (b, _) in zip(one, other, strict=True)]
    axes.set_xticks(places, [a if a == b else f"{a}\n{b}" for a, b in pairs])
    axes.set(ylabel="probability")
    axes.legend()
    show(
        figure,
        f"The two sentences agree up to the changed word, which is far less probable as {names[1]} "
        f"than as {names[0]}; the next words are less probable too.",
    )


def training_log(log, blind):
    """The losses of gpt2-mini while it was trained, and that of a blind guess."""
    figure, axes = plt.subplots(figsize=(8, 2.9))
    for key, style, colour, name in [
        ("loss", "-", TRAINING, "training text"),
        ("val_loss", "o", VALIDATION, "text kept aside"),
    ]:
        entries = [entry for entry in log if key in entry]
        places = [entry["tokens"] / 1e6 for entry in entries]
        losses = [entry[key] for entry in entries]
        axes.plot(places, losses, style, color=colour, markersize=4, linewidth=1, label=name)
    axes.axhline(blind, color=MASK, linestyle="--")
    axes.text(32, blind - 0.25, "blind guess", ha="right", va="top", color=GREY)
    axes.set(xlabel="million tokens read", ylabel="loss", ylim=(3, 11.5))
    axes.legend(loc="center right")
    show(
        figure,
        "The loss of gpt2-mini begins at that of a blind guess, 10.8, and falls to about 4, ever "
        "more slowly, on the training text and on text kept aside alike.",
    )


def scores(table, guessing, shots):
    """Hits of 20 against the number of examples; `guessing` is the hits of a blind guess."""
    figure, panels = plt.subplots(1, len(table), figsize=(8, 2.5), sharey=True)
    for axes, (name, row) in zip(panels, table.items(), strict=True):
        axes.plot(range(len(shots)), row, "o-", color=QUERY)
        axes.axhline(guessing[name], color=LOSS, linestyle="--", linewidth=1.5)
        axes.set_title(name, fontsize=10)
        axes.set_xticks(range(len(shots)), shots)
        axes.set(ylim=(-0.5, 20.9), yticks=range(0, 21, 5))
    panels[0].set_ylabel("right of 20")
    figure.supxlabel("examples in the prompt (dashed: blind guessing)", fontsize=11)
    figure.tight_layout()
    show(
        figure,
        "Hits of 20 against the number of examples: opposites and capitals stay near guessing, "
        "the same noun and commands rise far above it, he or she falls from 20 to near guessing.",
    )
