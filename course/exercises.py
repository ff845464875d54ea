"""What a learner calls in the exercises: `exercise("3.2").check(answer)`, `progress()`, `quiz(3)`.

The checks themselves are in `course/exercise_checks/`, the quizzes' questions in
`course/quizzes/`. Answers stay on this machine: `progress.json` in the course's folder.
"""

import inspect
import linecache
import textwrap
import traceback
from dataclasses import dataclass, field

import torch
from IPython import get_ipython

from course.exercise_checks import Wrong, load, part_of
from course.progress import progress, record_try
from course.quiz import quiz

__all__ = ["Outcome", "exercise", "progress", "quiz"]

SEED = 2718  # of the inputs that the checks draw


@dataclass
class Outcome:
    """What a check has found: "solved", "wrong" or "not answered", and the lines to print."""

    status: str
    lines: list = field(default_factory=list)

    def __str__(self):
        return "\n".join(self.lines)


def exercise(number):
    """The exercise with this number, such as "3.2"; its `check` looks at your answer."""
    exercises = {e.number: e for e in load(part_of(number))}
    if str(number) not in exercises:
        known = ", ".join(exercises) or "none yet"
        raise ValueError(f"there is no exercise {number!r}; of this chapter there are: {known}")
    return Checked(exercises[str(number)])


class Checked:
    """An exercise as the notebooks use it."""

    def __init__(self, entry):
        self.entry = entry

    def __repr__(self):
        entry = self.entry
        stars = "★" * entry.stars
        return f"{entry.heading} ({entry.kind}, {stars}, about {entry.minutes} minutes)"

    def check(self, *answers):
        """Print what is right, what is wrong and where to look; keep it in progress.json."""
        outcome = self.outcome(*answers)
        print(outcome)
        if outcome.status != "not answered":
            record_try(self.entry.number, outcome.status == "solved")

    def outcome(self, *answers):
        """The same as an `Outcome`; nothing is printed or kept, and nothing is raised."""
        number, lines = self.entry.number, []
        try:
            if any(answer is ... for answer in answers):
                raise NotImplementedError
            wanted = len(inspect.signature(self.entry.test).parameters)
            if len(answers) != wanted:
                raise Wrong(
                    f"the check got {len(answers)} answers, and {wanted} are asked for",
                    f'the cell was: exercise("{number}").check(...), see the solutions',
                )
            gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
            with torch.random.fork_rng(gpus):  # leaves the learner's random numbers alone
                torch.manual_seed(SEED)
                for claim in self.entry.test(*answers):
                    lines += wrapped("✓ ", claim)
        except Wrong as wrong:
            return Outcome("wrong", [*lines, *complaint(wrong.what, wrong.look)])
        except Exception as error:
            own = own_lines(error)
            if isinstance(error, NotImplementedError) and not (own and own[-1][2]):
                text = (
                    f"Exercise {number}: nothing to check yet. Write your answer into the cell "
                    "above in place of `...` or `raise NotImplementedError`, run that cell, and "
                    "then this one again."
                )
                return Outcome("not answered", [*lines, *wrapped("", text)])
            return Outcome("wrong", [*lines, *complaint(*explained(error, own))])
        return Outcome("solved", [*lines, *wrapped("", f"Exercise {number} is solved.")])


def wrapped(mark, text):
    return textwrap.wrap(
        text, 80, initial_indent=mark, subsequent_indent=" " * len(mark), break_long_words=False
    )


def complaint(what, look):
    return wrapped("✗ ", what) + wrapped("  → ", look)


def own_lines(error):
    """The frames of the learner's own code in a traceback: (number, line, called something)."""
    frames = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = frame.f_globals.get("__name__")
        if name == "__main__":
            frames.append((line, frame, False))
        elif frames:
            frames[-1] = (*frames[-1][:2], True)
    return frames


def explained(error, own):
    """An exception in words: which line of the learner's code, and what to make of it."""
    kind, said = type(error).__name__, " ".join(str(error).split())[:300]
    if not own:
        if isinstance(error, TypeError) and "argument" in said:
            return (
                f"your answer could not be called as the task says: {said}",
                "compare the parameters of your function with those given in the task",
            )
        return (
            f"the check could not go on with what it got ({kind}: {said})",
            "is your answer of the kind that the task asks for? Compare type, shape and order",
        )
    line, frame, _ = own[-1]
    text = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()
    where = f"line {line} of your cell, `{text}`," if text else f"line {line} of your cell"
    advice = ADVICE.get(kind, ADVICE[""])
    if getattr(error, "handed", None):
        shapes = " and ".join(map(str, error.handed))
        advice += f" (your function was given {shapes})"
    return f"{where} stopped with {kind}: {said}", advice


ADVICE = {
    "NameError": "is the name spelt as above, and has the cell that makes it been run?",
    "AttributeError": "print the type of the object in that line: is it what you think it is?",
    "IndexError": "an index went past the end: off by one, or an id larger than its table?",
    "KeyError": "compare the key with those that the dictionary has",
    "TypeError": "print the types of the values in that line",
    "": "call your function on a small input of your own, and print the shapes before that line",
}


def tell_of_a_cell_not_run(shell, kind, error, trace, tb_offset=None):
    """For a check cell that was run before the cell above it: a sentence, and no traceback."""
    frame, line = [*traceback.walk_tb(trace)][-1]
    source = linecache.getline(frame.f_code.co_filename, line, frame.f_globals)
    if frame.f_code.co_name == "<module>" and "exercise(" in source and ".check(" in source:
        print(f"There is no `{error.name}` yet: run the cell above first, then this one again.")
    else:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


if get_ipython() is not None:
    get_ipython().set_custom_exc((NameError,), tell_of_a_cell_not_run)
