"""Chapter 6: a box to type a message into, and the losses of a classifier while it learns."""

import html
import io

import ipywidgets
from IPython.display import Image
from matplotlib.figure import Figure

from course.figures import LOSS, TRAINING, VALIDATION, VALUE
from course.live import LiveLoss, clock


class SpamBox(ipywidgets.VBox):
    """A text box whose message is judged at every key: `probability_of(text)`, from 0 to 1.

    `examples` become buttons that put their text into the box.
    """

    def __init__(self, probability_of, text="", examples=()):
        self.probability_of = probability_of
        wide = ipywidgets.Layout(width="36em")
        self.text = ipywidgets.Textarea(text, rows=3, layout=wide, description="message")
        self.bar = ipywidgets.FloatProgress(0, min=0, max=1, layout=wide, description="spam")
        self.verdict = ipywidgets.HTML()
        self.buttons = [self.button(example) for example in examples]
        self.text.observe(lambda change: self.judge(), names="value")
        super().__init__([self.text, self.bar, self.verdict, *self.buttons])
        self.judge()

    def button(self, example):
        short = example if len(example) <= 60 else example[:59] + "…"
        button = ipywidgets.Button(description=short, layout={"width": "36em"})
        button.on_click(lambda _: setattr(self.text, "value", example))
        return button

    def judge(self):
        p = float(self.probability_of(self.text.value))
        self.bar.value = p
        self.bar.style.bar_color = LOSS if p > 0.5 else VALUE
        answer = "spam" if p > 0.5 else "not spam"
        self.verdict.value = html.escape(f"{answer}: the probability of spam is {p:.1%}")

    def __repr__(self):
        return "A box to type a message into: run this cell to see it."


class LiveClassifierLoss(LiveLoss):
    """LiveLoss for a classifier: its losses are in nats per message."""

    def caption(self):
        return super().caption().replace("nats per token", "nats per message")

    def draw(self):
        figure = Figure(figsize=(7, 2.6))
        axes = figure.add_subplot()
        for i, (name, colour) in enumerate(
            [("training", TRAINING), ("validation", VALIDATION)], start=1
        ):
            steps, losses = [m[0] for m in self.measured], [m[i] for m in self.measured]
            axes.plot(steps, losses, "o-", markersize=4, color=colour, label=name)
        axes.axhline(0.6931, color="#999999", linewidth=1, linestyle=":", label="guessing, ln 2")
        axes.legend(loc="upper right", fontsize=9)
        axes.set(xlabel="step", ylabel="loss (nats per message)", ylim=(0, None))
        axes.set_xlim(-0.01 * self.total_steps, self.total_steps)
        done = f"{self.step + 1} of {self.total_steps} steps in {clock(self.elapsed())}"
        axes.set_title(done, loc="left", fontsize=10)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
        return Image(buffer.getvalue(), width=660, metadata={"alt": self.caption()})
