"""What the exercises' checks are made of; the checks themselves stand in a module per chapter.

A check is a generator that gets the learner's answers. It yields each claim that it has found to
hold, and raises `Wrong` at the first that doesn't. It tests behaviour, on inputs of its own, and
recognises typical mistakes by computing what they would give. It never tells the answer.
"""

import copy
import importlib
import pkgutil
import re
from dataclasses import dataclass

import torch

EXERCISES = {}  # number -> Exercise, of the modules imported so far
KINDS = ("predict", "fill in", "break it", "explore")


class Wrong(Exception):
    """Something in an answer is wrong: what it is, and in which direction to look."""

    def __init__(self, what, look):
        super().__init__(what)
        self.what, self.look = what, look


@dataclass(frozen=True)
class Exercise:
    """An exercise: its number ("3.2", "A.1"), what the table says of it, and its check."""

    number: str
    title: str
    kind: str  # one of KINDS
    minutes: int
    stars: int  # 1 to 3
    test: object

    @property
    def heading(self):
        return f"Exercise {self.number} · {self.title}"


def exercise_check(number, title, kind, minutes, stars):
    """Register the decorated generator as the check of exercise `number`."""
    assert kind in KINDS, kind
    assert number not in EXERCISES or EXERCISES[number].title == title, number

    def register(test):
        EXERCISES[number] = Exercise(number, title, kind, minutes, stars, test)
        return test

    return register


def part_of(number):
    """The chapter or appendix of an exercise or quiz: "3.2" -> "3", "A.1" -> "A", 3 -> "3"."""
    return str(number).split(".")[0].upper()


def module_name(part):
    """ "3" -> "ch03", "A" -> "appendix_a" """
    return f"ch{int(part):02d}" if part.isdigit() else f"appendix_{part.lower()}"


def parts_with(package):
    """The chapters and appendices for which `package` has a module, in reading order."""
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found = [re.fullmatch(r"ch(\d\d)|appendix_([a-z])", name) for name in names]
    parts = [str(int(m[1])) if m[1] else m[2].upper() for m in found if m]
    return sorted(parts, key=lambda part: (not part.isdigit(), part))


def load(part):
    """The exercises of a chapter or appendix, in order; an empty list where it has none."""
    try:
        importlib.import_module(f"{__name__}.{module_name(part)}")
    except ModuleNotFoundError as error:
        if __name__ not in str(error.name):
            raise
    mine = [e for e in EXERCISES.values() if part_of(e.number) == part]
    return sorted(mine, key=lambda e: int(e.number.split(".")[1]))


# ---- for the checks: calling the learner's code

WATCHED = (torch.Tensor, torch.nn.Module, list, dict, tuple)  # what a function could change


def call(function, *arguments, **named):
    """The result of the learner's function for these arguments.

    Wrong when it can't be called, when it gives nothing back, and when it changes an argument.
    """
    if not callable(function):
        raise Wrong(
            f"what was handed to the check is {kind_of(function)} and can't be called",
            "hand over the function itself, without brackets behind its name",
        )
    before = [copy.deepcopy(a) if isinstance(a, WATCHED) else a for a in arguments]
    try:
        result = function(*arguments, **named)
    except Exception as error:
        error.handed = [tuple(a.shape) for a in arguments if isinstance(a, torch.Tensor)]
        raise
    if result is None:
        raise Wrong("your function gives back None", "does every way through it end in `return`?")
    if not all(map(equal, arguments, before)):
        raise Wrong(
            "your function changes its input",
            "the caller still needs it: build new values instead of writing into the old ones",
        )
    return result


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
    if isinstance(a, torch.nn.Module):
        return all(map(equal, a.state_dict().values(), b.state_dict().values()))
    return a == b if isinstance(a, WATCHED) else True


def kind_of(value):
    """What something is, in words: "a tensor of the shape (2, 3)", "a str", "None"."""
    if value is None:
        return "None"
    if isinstance(value, torch.Tensor):
        return f"a tensor of the shape {tuple(value.shape)}"
    if callable(value):
        return f"the {'class' if isinstance(value, type) else 'function'} " + getattr(
            value, "__name__", type(value).__name__
        )
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


# ---- for the checks: looking at what came out


def a_tensor(value, what="the result", integers=False, **axes):
    """Wrong unless `value` is a tensor with these named axes, as in `B=2, T=5`; else detached."""
    if not isinstance(value, torch.Tensor):
        raise Wrong(f"{what} is {kind_of(value)}", "a tensor was asked for")
    names, sizes = ", ".join(axes), tuple(axes.values())
    shape = tuple(value.shape)
    if shape != sizes:
        raise Wrong(
            f"{what} has the shape {shape}; for this input ({names}) is {sizes}",
            shape_advice(shape, sizes, list(axes)),
        )
    if integers and value.dtype not in (torch.int64, torch.int32):
        raise Wrong(f"{what} is of dtype {value.dtype}", "ids are whole numbers: torch.long")
    if not integers and not value.dtype.is_floating_point:
        raise Wrong(f"{what} is of dtype {value.dtype}", "floating-point numbers were asked for")
    return value.detach()


def shape_advice(shape, sizes, names):
    if len(shape) < len(sizes):
        return "an axis got lost: does a sum, a mean or an index remove one?"
    if len(shape) > len(sizes):
        return "an axis too many: which one should have been merged, chosen or squeezed away?"
    if sorted(shape) == sorted(sizes):
        axes = [n for n, a, b in zip(names, shape, sizes, strict=True) if a != b]
        return f"the sizes are right and stand in the wrong places: look at {' and '.join(axes)}"
    axes = [n for n, a, b in zip(names, shape, sizes, strict=True) if a != b]
    return f"look at {' and '.join(axes)}: write the shape behind every line of your code"


def close(value, expected, atol=1e-5):
    """Whether two tensors (or numbers) have one shape and agree; nan agrees with nan."""
    value, expected = (torch.as_tensor(x).detach().to(torch.float64) for x in (value, expected))
    return value.shape == expected.shape and torch.allclose(
        value, expected, rtol=1e-4, atol=atol, equal_nan=True
    )


def compare(value, expected, mistakes, otherwise, atol=1e-5):
    """Wrong unless `value` is `expected`; `mistakes` holds (what it would give, what, look).

    `otherwise` is the (what, look) for a mistake that isn't among them.
    """
    if close(value, expected, atol):
        return
    for given, what, look in mistakes:
        if close(value, given, atol):
            raise Wrong(what, look)
    if torch.as_tensor(value).isnan().any() and not torch.as_tensor(expected).isnan().any():
        raise Wrong(
            "there are nan among the numbers",
            "somewhere 0 is divided by 0, or a row is −∞ everywhere before a softmax",
        )
    raise Wrong(*otherwise)


def a_number(answer, what="your answer", whole=True):
    """The answer as a number, or Wrong."""
    if isinstance(answer, torch.Tensor) and answer.numel() == 1:
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise Wrong(f"{what} is {kind_of(answer)}", "write a number")
    if whole and answer != int(answer):
        raise Wrong(f"{what} is {answer}", "it is a whole number")
    return int(answer) if whole else float(answer)


def a_choice(answer, explanations):
    """Wrong, with its explanation, unless `answer` is the one letter that has None for one."""
    letter = answer.strip().lower() if isinstance(answer, str) else answer
    letters = ", ".join(explanations)
    if not isinstance(letter, str) or letter not in explanations:
        shown = repr(answer) if isinstance(answer, str) else kind_of(answer)
        raise Wrong(f"your answer is {shown}", f"write one of the letters {letters}, in quotes")
    if explanations[letter] is not None:
        raise Wrong(f"it isn't {letter}", explanations[letter])


def must_refuse(function, *arguments, what, look):
    """Wrong unless the learner's function raises ValueError for these arguments."""
    try:
        function(*copy.deepcopy(arguments))
    except ValueError:
        return
    except NotImplementedError:
        raise
    except Exception as error:
        raise Wrong(f"{what} ({type(error).__name__} comes instead)", look) from error
    raise Wrong(what, look)
