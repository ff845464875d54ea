"""The questions of the quizzes, a module per chapter with a list `QUESTIONS`."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A question; `answers` maps each answer to its explanation, the RIGHT ONE FIRST.

    Text in `backquotes` is shown as code. The answers are shown in another, fixed order.
    """

    text: str
    answers: dict

    def __post_init__(self):
        assert len(self.answers) >= 3, self.text
        assert all(self.answers.values()), self.text

    @property
    def right(self):
        return next(iter(self.answers))

    def in_order(self):
        """[(letter, answer, whether it is right, explanation)], in the order to show."""
        mixed = sorted(self.answers, key=lambda a: hashlib.sha1(a.encode("utf-8")).digest())
        return [
            (letter, answer, answer == self.right, self.answers[answer])
            for letter, answer in zip("ABCDEFGH", mixed, strict=False)
        ]
