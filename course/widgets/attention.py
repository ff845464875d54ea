"""Chapters 3 and 5: which token looks at which, by layer and head, with the mask and without."""

from types import SimpleNamespace

import torch
from ipywidgets import Layout
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course.figures import HEAT, KEY, LOSS, MASK, QUERY
from course.widgets.explorer import Explorer, printable, text_box, tick, whole_slider

LONGEST = 20  # tokens that the picture has room for


def head_weights(layer, x, masked=True):
    """The weights (H, T, T) of a MultiHeadAttention for one text x (1, T, C).

    With `masked=False` those that it would have, if nothing were hidden from its queries.
    """
    from previous_chapters import attention_weights

    if not masked:
        open_mask = torch.zeros_like(layer.mask)
        names = ["split_heads", "W_query", "W_key", "head_dim"]
        layer = SimpleNamespace(**{n: getattr(layer, n) for n in names}, mask=open_mask)
    return attention_weights(layer, x)[0].cpu()


def one_layer(layer, read):
    """A source for AttentionExplorer from a single layer.

    `read(text)` gives the tokens of a text, a list, and their vectors (1, T, C).
    """

    def source(text, masked):
        tokens, x = read(text)
        check_number(tokens)
        return tokens, head_weights(layer, x, masked)[None]  # (1, H, T, T)

    return source


def whole_model(model, tokenizer):
    """A source for AttentionExplorer from all layers of a GPTModel.

    Without the mask, a layer still gets the input that it has in the unchanged model.
    """

    def source(text, masked):
        ids = tokenizer.encode(text)
        check_number(ids)
        inputs = attention_inputs(model, torch.tensor([ids[:LONGEST]]))
        pairs = zip(model.trf_blocks, inputs, strict=True)
        weights = [head_weights(block.att, x, masked) for block, x in pairs]
        return [tokenizer.decode([i]) for i in ids[:LONGEST]], torch.stack(weights)

    return source


@torch.no_grad()
def attention_inputs(model, ids):
    """What the attention of each block receives for ids (1, T): a list of (1, T, C)."""
    seen, training = [], model.training
    hooks = [
        block.att.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
        for block in model.trf_blocks
    ]
    try:
        model.eval()(ids.to(model.pos_emb.weight.device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return seen


def check_number(tokens):
    if not len(tokens):
        raise ValueError("there is no token in this text that could look at another: type some")


class AttentionExplorer(Explorer):
    """The attention of one head as a map, and one row of it as bars.

    `source(text, masked)` gives tokens and weights (layers, H, T, T): `one_layer(...)` or
    `whole_model(...)`.
    """

    title = "Attention explorer"

    def __init__(self, source, text, token=None, layer=0, head=0):
        self.source = source
        tokens, weights = source(text, True)
        layers, heads = weights.shape[:2]
        last = len(tokens) - 1
        super().__init__(
            text=text_box(text),
            token=whole_slider(last if token is None else token, 0, last, "token that looks"),
            layer=whole_slider(layer, 0, layers - 1, "layer"),
            head=whole_slider(head, 0, heads - 1, "head"),
            masked=tick(True, "mask: later tokens are hidden"),
        )
        for name in ("layer", "head"):  # hidden where there is only one
            if self.controls[name].max == 0:
                self.controls[name].layout = Layout(display="none")

    def compute(self, text, token, layer, head, masked):
        tokens, weights = self.source(text, masked)
        self.controls["token"].max = len(tokens) - 1
        return tokens, weights[layer, head], min(token, len(tokens) - 1), layer, head, masked

    def table(self, data):
        tokens, weights, token, *_ = data
        lines = [f"{tokens[token]!r} looks at"]
        for i, weight in enumerate(weights[token].tolist()):
            lines.append(
                f"{i:3}  {tokens[i]!r:14} {weight:.3f} {'█' * round(30 * weight)}".rstrip()
            )
        return "\n".join(lines)

    def draw(self, data):
        tokens, weights, token, layer, head, masked = data
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
        names, T = [printable(name, 10) for name in tokens], len(tokens)
        hidden = torch.ones(T, T, dtype=torch.bool).triu(1) & torch.tensor(masked)
        left.set_facecolor(MASK)
        left.imshow(weights.masked_fill(hidden, float("nan")).tolist(), cmap=HEAT, vmin=0, vmax=1)
        left.add_patch(Rectangle((-0.5, token - 0.5), T, 1, fill=False, color=LOSS, linewidth=2))
        left.set_xticks(range(T), names, rotation=90, fontsize=8)
        left.set_yticks(range(T), names, fontsize=8)
        left.set(xlabel="looked at (key)", ylabel="looks (query)")
        right.barh(
            range(T),
            weights[token].tolist(),
            color=[QUERY if i <= token else KEY for i in range(T)],
        )
        right.set_yticks(range(T), names, fontsize=8)
        right.set(xlim=(0, 1), ylim=(T - 0.5, -0.5), xlabel="weight")
        right.set_title(f"where {names[token]} looks", fontsize=11, loc="left")
        for axes in (left, right):
            axes.tick_params(length=0)
        best = int(weights[token].argmax())
        caption = (
            f"Layer {layer}, head {head}, {'with' if masked else 'without'} the mask: "
            f"‘{tokens[token]}’, number {token}, gives most of its weight, "
            f"{weights[token, best]:.2f}, to ‘{tokens[best]}’, number {best}. The map has a row "
            "for each token that looks; the framed row stands on the right as bars"
            + (", orange for later tokens." if not masked else ".")
        )
        return figure, caption
