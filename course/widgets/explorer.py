"""What the widgets of chapters 2 to 5 share: controls, and under them a picture that follows."""

import base64
import html
import io
from functools import cache

import ipywidgets
from IPython.display import display
from matplotlib.font_manager import FontProperties, findfont, get_font

from course.figures import LOSS, show

WIDE = ipywidgets.Layout(width="min(44em, 98%)")
STYLE = {"description_width": "14em"}
ALERT = '<p role="alert" style="border-left: 4px solid {colour}; padding-left: 8px">{text}</p>'
IMAGE = (
    '<img src="data:image/png;base64,{data}" alt="{caption}" width="{width}" '
    'style="max-width: 100%"><div style="line-height: 1.4"><i>{caption}</i></div>'
)


class Explorer(ipywidgets.VBox):
    """Controls over what they show; at every change it is computed and drawn anew.

    A subclass says what that is: `compute(**setting)` gives data from the values of the controls,
    `table(data)` a text of some lines, `draw(data)` a figure and its caption. A ValueError of
    `compute` is shown in the place of the picture.
    """

    title = "A widget"

    def __init__(self, *others, **controls):
        self.controls = controls
        self.shown = ipywidgets.HTML()
        self.shown.add_class("course-shown")
        for control in controls.values():
            control.add_class("course-control")
            control.observe(self.redraw, names="value")
        super().__init__([*controls.values(), *others, self.shown])
        self.add_class("course-explorer")
        self.redraw()

    @property
    def setting(self):
        return {name: control.value for name, control in self.controls.items()}

    def redraw(self, change=None):
        try:
            self.shown.value = self.as_html(self.compute(**self.setting))
        except ValueError as error:
            self.shown.value = ALERT.format(colour=LOSS, text=html.escape(str(error)))

    def as_html(self, data):
        """The picture for the browser, with its caption also as the alternative text."""
        figure, caption = self.draw(data)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
        return IMAGE.format(
            data=base64.b64encode(buffer.getvalue()).decode(),
            caption=html.escape(caption),
            width=int(figure.get_size_inches()[0] * 96),
        )

    def show(self):
        """Display the controls and, under them, a still picture of what they show now."""
        data = self.compute(**self.setting)
        display(self)
        show(*self.draw(data))

    def __repr__(self):
        return (
            f"{self.title}: run this cell in a live notebook to move it. It begins with\n\n"
            + self.table(self.compute(**self.setting))
        )

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/plain": repr(self)}, metadata


def text_box(text, description="text"):
    return ipywidgets.Text(text, description=description, layout=WIDE, style=STYLE)


def whole_slider(value, low, high, description):
    """A slider over whole numbers; the arrow keys move it, too."""
    return ipywidgets.IntSlider(value, low, high, description=description, layout=WIDE, style=STYLE)


def slider(value, low, high, step, description, digits=1):
    return ipywidgets.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=step,
        description=description,
        readout_format=f".{digits}f",
        layout=WIDE,
        style=STYLE,
    )


def steps(value, options, description):
    """A slider over `options`, values or (label, value) pairs, for steps that are not equal."""
    return ipywidgets.SelectionSlider(
        options=options, value=value, description=description, layout=WIDE, style=STYLE
    )


def choice(value, options, description):
    return ipywidgets.Dropdown(
        options=options, value=value, description=description, layout=WIDE, style=STYLE
    )


def tick(value, description):
    return ipywidgets.Checkbox(value, description=description, layout=WIDE, style=STYLE)


@cache
def glyphs():
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def printable(token, longest=14):
    """A token for a picture: spaces visible, signs that the font lacks as ▯, not too long."""
    token = token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
    token = "".join(sign if ord(sign) in glyphs() and sign >= " " else "▯" for sign in token)
    token = token if len(token) <= longest else token[: longest - 1] + "…"
    return token.replace("$", r"\$")
