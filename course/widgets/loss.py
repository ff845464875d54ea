"""Chapter 5: move the logits of a prediction and see its loss and perplexity."""

import math

import torch
from matplotlib.figure import Figure

from course.figures import EMBEDDING, INK, LOSS, QUERY, TARGET
from course.widgets.explorer import Explorer, choice, printable, slider

LARGEST = 10.0  # the sliders of the logits go from minus this to this


def loss_of(logits, target):
    """(probabilities, loss in nats, perplexity, gradient) of one prediction.

    `logits` is a list of V numbers, `target` the number of the true token. The gradient says how
    the loss changes with each logit; a step of training goes the other way.
    """
    logits = torch.tensor(logits, dtype=torch.float64)  # (V,)
    logs = logits.log_softmax(dim=-1)
    gradient = logs.exp()
    gradient[target] -= 1
    loss = -logs[target].item()
    return logs.exp().tolist(), loss, math.exp(loss), gradient.tolist()


def logit_for(probability, logits, target):
    """The logit that gives token `target` this probability, the other logits unchanged."""
    others = torch.tensor([z for i, z in enumerate(logits) if i != target], dtype=torch.float64)
    odds = math.log(probability) - math.log1p(-probability)
    return odds + others.logsumexp(dim=-1).item()


class LossPlayground(Explorer):
    """A prediction over a few tokens, `logits` {token: logit}, of which `target` came true."""

    title = "Loss and perplexity playground"

    def __init__(self, logits, target):
        if target not in logits or len(logits) < 2:
            raise ValueError(f"target {target!r} must be one of two or more tokens, {[*logits]}")
        self.tokens, self.moving = list(logits), False
        sliders = {
            f"logit {i}": slider(z, -LARGEST, LARGEST, 0.1, f"logit of ‘{token}’")
            for i, (token, z) in enumerate(logits.items())
        }
        probability = loss_of(list(logits.values()), self.tokens.index(target))[0]
        start = probability[self.tokens.index(target)]
        super().__init__(
            target=choice(target, self.tokens, "what came next"),
            probability=slider(start, 0.001, 0.999, 0.001, "its probability", digits=3),
            **sliders,
        )

    def redraw(self, change=None):
        """Logits and probability say the same: whichever was moved, the other follows."""
        if self.moving:
            return
        self.moving = True
        sliders = [self.controls[f"logit {i}"] for i in range(len(self.tokens))]
        logits = [each.value for each in sliders]
        target = self.tokens.index(self.controls["target"].value)
        probability = self.controls["probability"]
        if change is not None and change.owner is probability:
            moved = logit_for(probability.value, logits, target)
            sliders[target].value = max(-LARGEST, min(LARGEST, moved))
        else:
            probability.value = loss_of(logits, target)[0][target]
        self.moving = False
        super().redraw()

    def compute(self, target, probability, **logits):
        target = self.tokens.index(target)
        return target, list(logits.values()), *loss_of(list(logits.values()), target)

    def table(self, data):
        target, logits, probabilities, loss, perplexity, gradient = data
        rows = zip(self.tokens, logits, probabilities, gradient, strict=True)
        lines = [f"{'token':12} {'logit':>6} {'probability':>12} {'gradient':>9}"]
        for i, (token, z, p, g) in enumerate(rows):
            mark = "  <- came next" if i == target else ""
            lines.append(f"{token:12} {z:6.1f} {p:12.4f} {g:9.4f}{mark}")
        return "\n".join([*lines, f"loss {loss:.4f} nats, perplexity {perplexity:.3f}"])

    def draw(self, data):
        target, _, probabilities, loss, perplexity, gradient = data
        figure = Figure(figsize=(9, 2.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.3, 1])
        rows = range(len(self.tokens))
        colours = [TARGET if i == target else EMBEDDING for i in rows]
        left.barh(rows, probabilities, color=colours, height=0.6)
        for i, (p, g) in enumerate(zip(probabilities, gradient, strict=True)):
            if abs(g) > 0.01:
                arrow = {"arrowstyle": "-|>", "color": INK, "lw": 1.6}
                left.annotate("", (p - g, i), (p, i), arrowprops=arrow)
            left.text(1.03, i, f"{p:.3f}", va="center", fontsize=9)
        left.set_yticks(rows, [printable(token) for token in self.tokens])
        left.set(xlim=(0, 1.0), ylim=(len(self.tokens) - 0.5, -0.5), xlabel="probability")
        left.set_title("arrows: how a step of training pushes the logits", loc="left", fontsize=11)
        curve = [i / 1000 for i in range(1, 1001)]
        right.plot(curve, [-math.log(p) for p in curve], color=QUERY)
        right.plot([probabilities[target]], [loss], "o", color=LOSS, markersize=10)
        right.set(xlabel="probability of what came next", ylabel="loss (nats)")
        right.set(xlim=(0, 1.02), ylim=(0, max(6, 1.1 * loss)))
        right.set_title(f"loss {loss:.2f}, perplexity {perplexity:.3g}", loc="left", fontsize=11)
        caption = (
            f"‘{self.tokens[target]}’ came next and had the probability {probabilities[target]:.3f}"
            f": a loss of {loss:.2f} nats, a perplexity of {perplexity:.3g}. On the left all "
            "probabilities, with arrows as long as the gradients; on the right the place of this "
            "prediction on the curve of the loss."
        )
        return figure, caption
