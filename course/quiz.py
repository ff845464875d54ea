"""The quiz at the end of a chapter: buttons to press, and under them the same as plain text."""

import html
import re

from IPython.display import display

from course.exercise_checks import module_name, part_of
from course.progress import questions, record_right

WIDGET = "application/vnd.jupyter.widget-view+json"


def quiz(part):
    """Show the quiz of a chapter or appendix, with its static form below."""
    part = part_of(part)
    try:
        asked = questions(part)
    except (ModuleNotFoundError, ValueError):
        raise ValueError(f"there is no quiz {module_name(part) if part else part!r}") from None
    try:
        widget = quiz_widget(part, asked)
        view = widget._repr_mimebundle_()[WIDGET]
        note = "(The quiz with buttons appears here when you run this cell.)"
        display({WIDGET: view, "text/plain": note}, raw=True)
    except ImportError:
        widget = None
    display({"text/html": as_html(asked), "text/plain": as_text(asked)}, raw=True)


def quiz_widget(part, asked):
    """A box with a group of radio buttons for each question, and the score."""
    import ipywidgets as widgets

    score, right, rows = widgets.HTML(), set(), []

    def show_score():
        score.value = f"<b>{len(right)} of {len(asked)} right.</b>"

    for number, question in enumerate(asked, start=1):
        options = question.in_order()
        buttons = widgets.RadioButtons(
            options=[(f"{letter}  {answer.replace('`', '')}", i)
                     for i, (letter, answer, _, _) in enumerate(options)],
            value=None,
            layout=widgets.Layout(width="auto"),
        )  # fmt: skip
        said = widgets.HTML()

        def answered(change, number=number, options=options, said=said):
            if change["new"] is None:
                return
            letter, _, is_right, explanation = options[change["new"]]
            said.value = f"{'✓' if is_right else '✗'} <b>{letter}</b> {marked_up(explanation)}"
            if is_right and number not in right:
                right.add(number)
                record_right(part, number)
                show_score()

        buttons.observe(answered, names="value")
        text = widgets.HTML(f"<b>{number}. {marked_up(question.text)}</b>")
        rows += [widgets.VBox([text, buttons, said])]
    show_score()
    return widgets.VBox([*rows, score])


def marked_up(text):
    """Escaped for HTML, with `code`."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def as_html(asked):
    """Every question; a click on an answer unfolds what is to be said about it."""
    parts = ["<p>The same without buttons: a click on an answer tells about it.</p>"]
    for number, question in enumerate(asked, start=1):
        parts.append(f"<br><p><b>{number}. {marked_up(question.text)}</b></p>")
        for letter, answer, is_right, explanation in question.in_order():
            sign = "✓ Right." if is_right else "✗ No."
            parts.append(
                f"<details><summary>{letter} &nbsp;{marked_up(answer)}</summary>"
                f"<p>{sign} {marked_up(explanation)}</p></details>"
            )
    return "\n".join(parts)


def as_text(asked):
    """Questions and answers, and at the end which are right and why the others aren't."""
    lines, key = [], ["Explanations:"]
    for number, question in enumerate(asked, start=1):
        lines.append(f"{number}. {question.text}")
        for letter, answer, is_right, explanation in question.in_order():
            lines.append(f"   {letter}  {answer}")
            key.append(f"{number}{letter} {'right' if is_right else 'wrong'}: {explanation}")
        lines.append("")
    return "\n".join([*lines, *key])
