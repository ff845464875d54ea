"""Chapter 5: what a GPT would say after each of its layers."""

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course.figures import HEAT, INK, LOSS, PAPER, QUERY
from course.widgets.explorer import Explorer, printable, text_box, whole_slider

LONGEST, ROWS = 10, 13  # tokens and layers that the picture has room for


@torch.no_grad()
def residual_stream(model, ids):
    """The stream after the embedding and after each block, (L + 1, T, C), for ids (1, T)."""
    stream, training = [], model.training
    hooks = [model.trf_blocks[0].register_forward_pre_hook(lambda _, x: stream.append(x[0][0]))]
    for block in model.trf_blocks:
        hooks.append(block.register_forward_hook(lambda _, x, out: stream.append(out[0])))
    try:
        model.eval()(ids.to(model.pos_emb.weight.device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return torch.stack(stream)


@torch.no_grad()
def logit_lens(model, ids, number=5):
    """The `number` likeliest next tokens if the model ended after each layer.

    ids (1, T) -> ids and probabilities, (L + 1, T, number) each: final norm and output head are
    applied to the stream as it is there. Row 0 is the embedding, the last the model's answer.
    (nostalgebraist 2020, "interpreting GPT: the logit lens".)
    """
    best = []
    for x in residual_stream(model, ids):  # (T, C), a layer at a time: logits are large
        logits = model.out_head(model.final_norm(x))  # (T, V)
        best.append(logits.float().softmax(dim=-1).topk(number))
    ids = torch.stack([found.indices for found in best])
    return ids.cpu(), torch.stack([found.values for found in best]).cpu()


class LogitLens(Explorer):
    """The guesses of a GPTModel after every layer, and the best five at one layer and place."""

    title = "Logit lens"

    def __init__(self, model, tokenizer, text, place=None, layer=None):
        self.model, self.tokenizer, self.last = model, tokenizer, None
        last, layers = len(self.read(text)[0]) - 1, len(model.trf_blocks)
        super().__init__(
            text=text_box(text),
            place=whole_slider(last if place is None else place, 0, last, "after which token"),
            layer=whole_slider(layers if layer is None else layer, 0, layers, "after which layer"),
        )

    def read(self, text):
        """(tokens, best ids, their probabilities); the model is asked once for each text."""
        if self.last is None or self.last[0] != text:
            ids = self.tokenizer.encode(text)[:LONGEST]
            if not ids:
                raise ValueError("the model needs a text to go on from: type some")
            tokens = [self.tokenizer.decode([i]) for i in ids]
            self.last = text, (tokens, *logit_lens(self.model, torch.tensor([ids])))
        return self.last[1]

    def compute(self, text, place, layer):
        tokens, ids, probabilities = self.read(text)
        self.controls["place"].max = len(tokens) - 1
        words = [
            [[self.tokenizer.decode([i]) for i in five] for five in row] for row in ids.tolist()
        ]
        return tokens, words, probabilities, min(place, len(tokens) - 1), layer

    def table(self, data):
        tokens, words, probabilities, place, _ = data
        lines = [f"after {''.join(tokens[: place + 1])!r}, the likeliest next tokens"]
        for layer, row in enumerate(words):
            best = [
                f"{w!r} {p:.2f}"
                for w, p in zip(row[place], probabilities[layer, place], strict=True)
            ]
            lines.append(f"{name_of(layer):10} {', '.join(best[:3])}")
        return "\n".join(lines)

    def draw(self, data):
        tokens, words, probabilities, place, layer = data
        layers, T = len(words), len(tokens)
        every = -(-layers // ROWS)  # rounded up
        rows = sorted({layer, *range(layers - 1, -1, -every)})
        figure = Figure(figsize=(10, 1.1 + 0.32 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[3.2, 1])
        first = probabilities[rows][:, :, 0]  # (rows, T)
        left.imshow(first.tolist(), cmap=HEAT, vmin=0, vmax=1, aspect="auto", origin="lower")
        for i, number in enumerate(rows):
            for t in range(T):
                ink = PAPER if first[i, t] > 0.55 else INK
                word = printable(words[number][t][0], 9)
                left.text(t, i, word, ha="center", va="center", fontsize=8, color=ink)
        corner = place - 0.5, rows.index(layer) - 0.5
        left.add_patch(Rectangle(corner, 1, 1, fill=False, color=LOSS, linewidth=2.5))
        left.set_yticks(range(len(rows)), map(name_of, rows), fontsize=9)
        left.set_xticks(range(T), [printable(token, 9) for token in tokens], fontsize=9)
        left.set_xlabel("the text; in the columns, what is guessed to come after each token")
        five = probabilities[layer, place]
        right.barh(range(len(five)), five.tolist(), color=QUERY)
        for i, p in enumerate(five.tolist()):
            right.text(p, i, f" {p:.2f}", va="center", fontsize=9)
        right.set_yticks(
            range(len(five)), [printable(w, 11) for w in words[layer][place]], fontsize=9
        )
        right.set(xlim=(0, max(1.35 * five.max().item(), 0.1)), ylim=(len(five) - 0.5, -0.5))
        right.set_xlabel("probability")
        right.set_title(f"after {name_of(layer)}", fontsize=10, loc="left")
        for axes in (left, right):
            axes.tick_params(length=0)
        answer, guess = words[-1][place][0], words[layer][place][0]
        caption = (
            f"After ‘{''.join(tokens[: place + 1])}’, the best guess after {name_of(layer)} is "
            f"‘{guess}’ ({five[0]:.2f}); the whole model's is ‘{answer}’ "
            f"({probabilities[-1, place, 0]:.2f}). Each row is a layer, dark cells are sure."
        )
        return figure, caption


def name_of(layer):
    return "embedding" if layer == 0 else f"block {layer - 1}"
