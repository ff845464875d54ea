"""Chapter 5: temperature, top-k and top-p on the real next-token distribution of a model."""

import html

import ipywidgets
import torch
from matplotlib.figure import Figure

from course.figures import MASK, QUERY
from course.widgets.explorer import WIDE, Explorer, choice, printable, slider, steps, text_box

BARS = 14  # tokens in the picture
TOP_K = [("off", 0), *((str(k), k) for k in (1, 2, 3, 5, 10, 20, 50, 100, 1000))]


@torch.no_grad()
def next_logits(model, ids):
    """The logits (V,) for the place after ids, a list; dropout is off meanwhile."""
    training, window = model.training, len(model.pos_emb.weight)
    device = model.pos_emb.weight.device
    logits = model.eval()(torch.tensor([ids[-window:]], device=device))[0, -1]
    model.train(training)
    return logits.float().cpu()


def keep_top_p(probabilities, top_p):
    """The smallest set of likeliest tokens that have at least `top_p` together, sharing all.

    (V,) -> (V,); ValueError unless 0 < top_p <= 1. Nucleus sampling, Holtzman et al. 2020.
    """
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}; 1 keeps all")
    best = probabilities.sort(descending=True, stable=True)
    before = best.values.cumsum(dim=-1) - best.values  # what the likelier ones have together
    kept = best.values.masked_fill(before >= top_p, 0.0)
    kept = torch.zeros_like(probabilities).scatter(-1, best.indices, kept)
    return kept / kept.sum()


def sampling_distribution(logits, temperature=1.0, top_k=None, top_p=1.0):
    """logits (V,) -> the probabilities (V,) to draw from.

    temperature 0 is the greedy choice; top_k 0 or None and top_p 1 keep all tokens.
    """
    from previous_chapters import keep_top_k, softmax_with_temperature

    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(), len(logits)).double()
    if top_k:
        logits = keep_top_k(logits[None], min(top_k, len(logits)))[0]
    probabilities = softmax_with_temperature(logits.double(), temperature)
    return probabilities if top_p == 1 else keep_top_p(probabilities, top_p)


def effective_choices(probabilities):
    """Among how many equally likely tokens the draw might as well be: exp of the entropy."""
    return torch.special.entr(probabilities).sum().exp().item()


def left(number):
    return f"{number:,} token{' is' if number == 1 else 's are'} left"


class SamplingPlayground(Explorer):
    """What temperature, top-k and top-p do to the next token of `models`, {name: GPTModel}."""

    title = "Sampling playground"

    def __init__(self, models, tokenizer, text, temperature=1.0, top_k=0, top_p=1.0):
        self.models, self.tokenizer, self.last = models, tokenizer, None
        self.generator = torch.Generator().manual_seed(123)
        self.write = ipywidgets.Button(description="Write 20 tokens", button_style="primary")
        self.write.on_click(self.on_write)
        self.written = ipywidgets.HTML(layout=WIDE)
        self.written.add_class("course-written")
        super().__init__(
            self.write,
            self.written,
            model=choice(next(iter(models)), list(models), "model"),
            text=text_box(text, "text so far"),
            temperature=slider(temperature, 0.0, 3.0, 0.1, "temperature (0: greedy)"),
            top_k=steps(top_k or 0, TOP_K, "top-k (keep k tokens)"),
            top_p=slider(top_p, 0.05, 1.0, 0.05, "top-p (1: off)", digits=2),
        )

    def logits(self, model, text):
        """As long as model and text stay, the model need not be asked again."""
        if self.last is None or self.last[0] != (model, text):
            ids = self.tokenizer.encode(text)
            if not ids:
                raise ValueError("the model needs a text to go on from: type some")
            self.last = (model, text), next_logits(self.models[model], ids)
        return self.last[1]

    def compute(self, model, text, temperature, top_k, top_p):
        logits = self.logits(model, text)
        changed = sampling_distribution(logits, temperature, top_k, round(top_p, 2))
        return sampling_distribution(logits), changed, model, text

    def on_write(self, button=None):
        """Draw 20 tokens with the settings of now; every click draws others."""
        setting = self.setting
        model, text = self.models[setting.pop("model")], setting.pop("text")
        ids = start = self.tokenizer.encode(text) or [50256]
        for _ in range(20):
            p = sampling_distribution(next_logits(model, ids), **setting)
            ids = [*ids, torch.multinomial(p, 1, generator=self.generator).item()]
        new = html.escape(self.tokenizer.decode(ids[len(start) :]))
        style = f"white-space: pre-wrap; border-left: 4px solid {QUERY}; padding-left: 8px"
        self.written.value = f'<div style="{style}">{html.escape(text)}<b>{new}</b></div>'

    def best(self, before, number=BARS):
        """[(token, probability before, after)], the likeliest first."""
        places = before[0].topk(min(number, len(before[0]))).indices.tolist()
        return [(self.tokenizer.decode([i]), *(p[i].item() for p in before)) for i in places]

    def table(self, data):
        before, after, *_ = data
        lines = [f"{'token':14} {'model':>8} {'to draw':>8}"]
        for token, p, q in self.best((before, after), 8):
            lines.append(f"{token!r:14} {p:8.4f} {q:8.4f}")
        kept = int((after > 0).sum())
        return "\n".join(
            [
                *lines,
                f"{left(kept)}, as good as {effective_choices(after):.1f} equal ones",
            ]
        )

    def draw(self, data):
        before, after, model, text = data
        rows = self.best((before, after))
        figure = Figure(figsize=(8, 3.9), layout="constrained")
        axes = figure.add_subplot()
        for i, (_, p, q) in enumerate(rows):
            axes.barh(i - 0.2, p, 0.36, color=MASK, label="the model's own" if i == 0 else None)
            axes.barh(i + 0.2, q, 0.36, color=QUERY, label="to draw from" if i == 0 else None)
            axes.text(max(p, q), i, f" {q:.3f}" if q else " out", va="center", fontsize=9)
        axes.set_yticks(range(len(rows)), [printable(token) for token, _, _ in rows], fontsize=9)
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel="probability")
        axes.set_xlim(0, 1.12 * max(max(p, q) for _, p, q in rows))
        axes.legend(loc="lower right")
        axes.tick_params(axis="y", length=0)
        kept, choices = int((after > 0).sum()), effective_choices(after)
        listed = sum(q for _, _, q in rows)
        caption = (
            f"The likeliest tokens of {model} after ‘{text}’, grey as the model has them, blue as "
            f"they are drawn. {left(kept)}, as good as {choices:.1f} equally likely "
            f"ones; those not in the picture have {max(0.0, 1 - listed):.0%} together."
        )
        return figure, caption
