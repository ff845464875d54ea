"""Chapter 6: a box to type a message into."""

import html

import ipywidgets

from course.figures import LOSS, VALUE


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
