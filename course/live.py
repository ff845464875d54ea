"""A progress bar and a loss curve that grow while a cell trains, and stay as a picture.

HTML and PNG only: no widgets, so that what is left can be read without a running kernel.
"""

import io
import time

from IPython import get_ipython
from IPython.display import HTML, Image, Markdown, display
from matplotlib.figure import Figure

from course.figures import MASK, TRAINING, VALIDATION

REDRAW = 0.2  # seconds that must pass between two updates of the bar


class LiveLoss:
    """Show the progress of a training run; give it to the run as `on_step`.

    It is called as `on_step(step, train_loss, val_loss)`, with steps from 0 to `total_steps` - 1
    and losses per `unit` that are None where none were measured; `guessing` draws a line at that
    loss. When the cell ends, also by an error or an interrupt, the bar gives way to a caption.
    Outside Jupyter it shows nothing.
    """

    def __init__(self, total_steps, unit="token", guessing=None):
        if total_steps < 1:
            raise ValueError(f"total_steps must be at least 1, got {total_steps}")
        self.total_steps, self.unit, self.guessing = total_steps, unit, guessing
        self.shell = get_ipython()
        self.start_over()

    def start_over(self):
        self.step, self.measured = -1, []
        self.started = self.updated = time.perf_counter()
        self.picture = self.bar = None
        if self.shell is not None:
            self.open_displays()

    def __call__(self, step, train_loss=None, val_loss=None):
        if step <= self.step:  # the same object in a second run
            if self.bar is not None:
                self.close_displays()
            self.start_over()
        self.step = step
        if train_loss is not None:
            self.measured.append((step, train_loss, val_loss))
        if self.shell is None:
            return
        if self.bar is None:
            self.open_displays()
        now, done = time.perf_counter(), step + 1 >= self.total_steps
        if train_loss is not None and not done:
            self.picture.update(self.draw())
        if done:
            self.close_displays()
        elif now - self.updated > REDRAW:
            self.bar.update(HTML(self.bar_as_html()))
            self.updated = now

    def open_displays(self):
        self.picture = display(HTML(""), display_id=True)
        self.bar = display(HTML(self.bar_as_html()), display_id=True)
        self.shell.events.register("post_run_cell", self.close_displays)

    def close_displays(self, result=None):
        """Leave a still picture and its caption behind."""
        self.shell.events.unregister("post_run_cell", self.close_displays)
        started = self.step >= 0
        self.picture.update(self.draw() if started else HTML(""))
        self.bar.update(Markdown(f"*{self.caption()}*") if started else HTML(""))
        self.picture = self.bar = None

    def caption(self):
        text = f"Training and validation loss, in nats per {self.unit}, against the training step."
        if self.measured:
            step, train_loss, val_loss = self.measured[-1]
            text += f" At step {step} they are {train_loss:.3f} and {val_loss:.3f}."
        if self.step + 1 < self.total_steps:
            text += f" The run stopped after {self.step + 1} of {self.total_steps} steps."
        return text

    def draw(self):
        """The curves so far as a PNG."""
        figure = Figure(figsize=(7, 2.8))
        axes = figure.add_subplot()
        if self.measured:
            steps, train_losses, val_losses = zip(*self.measured, strict=True)
            axes.plot(steps, train_losses, "o-", ms=4, color=TRAINING, label="training")
            axes.plot(steps, val_losses, "s--", ms=4, color=VALIDATION, label="validation")
            if self.guessing is not None:
                axes.axhline(self.guessing, color=MASK, lw=1, ls=":", label="guessing")
            axes.legend(loc="upper right")
        axes.set(xlabel="step", ylabel=f"loss (nats per {self.unit})")
        axes.set_xlim(-0.01 * self.total_steps, self.total_steps)
        axes.set_ylim(bottom=0)
        done = f"{self.step + 1} of {self.total_steps} steps in {clock(self.elapsed())}"
        axes.set_title(done, loc="left", fontsize=10)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
        return Image(buffer.getvalue(), width=660, metadata={"alt": self.caption()})

    def elapsed(self):
        return time.perf_counter() - self.started

    def bar_as_html(self):
        done = self.step + 1
        remaining = "the time left is not known yet"
        if done > 0:
            left = self.elapsed() / done * (self.total_steps - done)
            remaining = f"about {clock(left)} left"
        return (
            f'<progress value="{done}" max="{self.total_steps}" style="width: 20em"></progress> '
            f"step {done} of {self.total_steps} · {clock(self.elapsed())} · {remaining}"
        )


def clock(seconds):
    """75 -> '1 min 15 s'"""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
