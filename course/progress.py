"""Which exercises and quiz questions are solved: a file that belongs to the learner.

`progress.json` in the course's folder, or the file that the environment variable COURSE_PROGRESS
names. It is written whole or not at all, it never leaves the machine, and it may be deleted.
"""

import importlib
import json
import os
from pathlib import Path

from course import exercise_checks, quizzes
from course.exercise_checks import load, module_name, part_of, parts_with

ROOT = Path(__file__).resolve().parent.parent


def progress_file():
    return Path(os.environ.get("COURSE_PROGRESS") or ROOT / "progress.json")


def read_progress():
    """{"exercises": {number: {"tries", "solved"}}, "quizzes": {part: [right questions]}}

    A file that can't be understood is moved aside, with a message; then we start anew.
    """
    path = progress_file()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        exercises = {
            str(number): {"tries": int(entry["tries"]), "solved": bool(entry["solved"])}
            for number, entry in kept["exercises"].items()
        }
        asked = {str(part): sorted(map(int, right)) for part, right in kept["quizzes"].items()}
        return {"exercises": exercises, "quizzes": asked}
    except FileNotFoundError:
        pass
    except OSError as error:
        print(f"Your progress can't be read from {path.name} ({error.strerror}).")
    except (ValueError, KeyError, TypeError, AttributeError):
        aside = path.with_name(path.name + ".damaged")
        try:
            os.replace(path, aside)
            print(f"{path.name} was damaged: it is now {aside.name}, and we start a new one.")
        except OSError as error:
            print(f"{path.name} is damaged and can't be moved aside ({error.strerror}).")
    return {"exercises": {}, "quizzes": {}}


def write_progress(kept):
    """Write the file whole or not at all; where that can't be, say so and go on."""
    path = progress_file()
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(part, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        print(f"Your progress could not be kept in {path.name} ({error.strerror}).")
        part.unlink(missing_ok=True)


def record_try(number, solved):
    """Count a try of an exercise. What was solved once stays solved."""
    kept = read_progress()
    entry = kept["exercises"].setdefault(number, {"tries": 0, "solved": False})
    if not entry["solved"]:
        entry["tries"] += 1
        entry["solved"] = solved
    write_progress(kept)


def record_right(part, question):
    """Keep that a quiz question, counted from 1, was answered rightly."""
    kept = read_progress()
    kept["quizzes"][part] = sorted({*kept["quizzes"].get(part, []), question})
    write_progress(kept)


def progress(part=None):
    """Print a table of the exercises and quizzes, of one chapter or appendix or of all."""
    kept = read_progress()
    parts = {*parts_with(exercise_checks), *parts_with(quizzes)}
    parts = sorted(parts, key=lambda part: (not part.isdigit(), part))
    chosen = parts if part is None else [part_of(part)]
    rows, solved, total = [], 0, 0
    for each in chosen:
        for entry in load(each):
            state = kept["exercises"].get(entry.number, {"tries": 0, "solved": False})
            rows.append((entry.number, entry.title, entry.kind, "★" * entry.stars, said(state)))
            solved, total = solved + state["solved"], total + 1
        if each in parts_with(quizzes):
            asked = len(questions(each))
            right = len([n for n in kept["quizzes"].get(each, []) if 1 <= n <= asked])
            rows.append((each, "Quiz", "quiz", "", f"{right} of {asked} right"))
    head = ("", "exercise", "kind", "stars", "state")
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(5)]
    for row in [head, *rows]:
        print(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        )
    print(f"\n{solved} of {total} exercises solved.")


def said(state):
    tries = f"{state['tries']} {'try' if state['tries'] == 1 else 'tries'}"
    if state["solved"]:
        return f"solved in {tries}"
    return f"{tries} so far" if state["tries"] else "not tried yet"


def questions(part):
    """The questions of a quiz, from its module in course/quizzes."""
    return importlib.import_module(f"course.quizzes.{module_name(part)}").QUESTIONS
