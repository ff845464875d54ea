"""Exercises: solutions pass, unsolved ones fail kindly, wrong answers get the right hint."""

import contextlib
import copy
import functools
import importlib
import io
import json
import linecache
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field

import nbformat
import pytest
import torch
from conftest import ROOT

from course import exercise_checks, quizzes
from course.exercise_checks import KINDS, load, module_name, parts_with
from course.exercises import exercise, progress, quiz
from course.progress import questions, read_progress, record_right, record_try
from course.quiz import WIDGET, as_html, as_text, marked_up, quiz_widget

PARTS = parts_with(exercise_checks)
NUMBERS = [entry.number for part in PARTS for entry in load(part)]
QUIZZES = parts_with(quizzes)
CURRICULUM = {"2": 2, "3": 3, "4": 3, "5": 6, "6": 3, "7": 4, "A": 3}  # how many it has


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch, one_thread):
    """Nothing here touches the progress of whoever runs the tests."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


# ---- the notebooks, by exercise


@dataclass
class Section:
    """What stands under the heading of an exercise, and what the set-up cells define."""

    heading: str
    setup: tuple  # the notebook's code cells before the first exercise, without the start-up
    prose: str = ""
    code: list = field(default_factory=list)

    @property
    def check(self):
        """The cell that checks."""
        return next(source for source in self.code if "exercise(" in source)

    @property
    def answer(self):
        """The cells before it."""
        return self.code[: self.code.index(self.check)]


def notebook_of(part, solutions):
    name = module_name(part)
    if solutions:
        return ROOT / "appendix" / "C-solutions" / f"{name}.ipynb"
    folder = ROOT / name if part.isdigit() else ROOT / "appendix"
    return folder / ("exercises.ipynb" if part.isdigit() else f"{part}-exercises.ipynb")


@functools.cache
def sections(part, solutions):
    """{number: Section} of a chapter's notebook of exercises or of solutions."""
    found, setup, current = {}, [], None
    for cell in nbformat.read(notebook_of(part, solutions), as_version=4).cells:
        heading = re.match(r"## (.*)", cell.source) if cell.cell_type == "markdown" else None
        number = heading and re.match(r"Exercise (\w+\.\d+) ", heading[1])
        if number:
            current = found[number[1]] = Section(heading[1], tuple(setup))
        elif heading:
            current = None
        if current and cell.cell_type == "code":
            current.code.append(cell.source)
        elif current:
            current.prose += cell.source + "\n"
        elif not found and cell.cell_type == "code" and "course.startup" not in cell.source:
            setup.append(cell.source)
    return found


def run(source, namespace):
    """What a cell prints."""
    name = f"<cell {hash(source)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, name, "exec"), namespace)
    return printed.getvalue()


@functools.cache
def set_up(cells):
    namespace = {"__name__": "__main__", "ROOT": ROOT}
    for source in cells:
        run(source, namespace)
    return namespace


def checked(section, answer):
    """What the section's check prints for these cells in place of its answer."""
    namespace = dict(set_up(section.setup))
    for source in answer:
        run(source, namespace)
    return " ".join(run(section.check, namespace).split())


def part_of(number):
    return number.split(".")[0]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_solution_passes_its_check(number):
    section = sections(part_of(number), True)[number]
    printed = checked(section, section.answer)
    assert f"Exercise {number} is solved." in printed, printed
    assert "✗" not in printed
    assert read_progress()["exercises"][number] == {"tries": 1, "solved": True}


@pytest.mark.parametrize("number", NUMBERS)
def test_the_exercise_as_delivered_fails_kindly(number):
    section = sections(part_of(number), False)[number]
    printed = checked(section, section.answer)
    assert "solved" not in printed
    entry = exercise(number).entry
    if entry.kind == "break it":
        assert "✗" in printed
        assert "→" in printed
        assert "stopped with" not in printed, "the planted bug should run without an error"
    else:
        assert f"Exercise {number}: nothing to check yet." in printed
        assert number not in read_progress()["exercises"]


def wrong_answers():
    for part in PARTS:
        module = importlib.import_module(f"tests.wrong_answers.{module_name(part)}")
        for number, answers in module.WRONG.items():
            for i, answer in enumerate(answers):
                yield pytest.param(number, *answer, id=f"{number}-{i}")


@pytest.mark.filterwarnings("ignore")  # of torch, about the wrong answers
@pytest.mark.parametrize(("number", "old", "new", "phrase"), [*wrong_answers()])
def test_a_wrong_answer_gets_the_right_hint(number, old, new, phrase):
    section = sections(part_of(number), True)[number]
    answer = [new]
    if old is not None:
        assert "\n".join(section.answer).count(old) == 1, f"{old!r} must stand there once"
        answer = [source.replace(old, new) for source in section.answer]
    printed = checked(section, answer)
    assert "solved" not in printed
    assert phrase in printed
    assert re.search("✗ .+ → ", printed), "what is wrong, and where to look"
    assert read_progress()["exercises"][number] == {"tries": 1, "solved": False}


@pytest.mark.parametrize("number", NUMBERS)
def test_three_wrong_answers_are_tried_for_each_exercise(number):
    module = importlib.import_module(f"tests.wrong_answers.{module_name(part_of(number))}")
    assert len(module.WRONG[number]) >= 3


def raises(*arguments):
    raise KeyError("nonsense")


NONSENSE = [
    None, 3, -1, 2.5, "x", [], [1, None], {}, {"a": ...}, object(), torch.zeros(1), torch.nn.Linear,
    int, raises, lambda: 1, lambda *a: None, lambda *a: "x", lambda *a: [], lambda *a: object(),
    lambda *a: torch.zeros(2, 2), lambda *a: torch.full((2, 5, 5), float("nan")), torch.nn.ReLU(),
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_no_answer_however_odd_makes_a_check_crash(number):
    one = exercise(number)
    arity = section_arity(number)
    for nonsense in NONSENSE:
        outcome = one.outcome(*[nonsense] * arity)
        assert outcome.status in ("wrong", "not answered"), nonsense
        assert outcome.lines
    assert one.outcome().status == "wrong"
    assert one.outcome(*[...] * arity).status == "not answered"


def section_arity(number):
    section = sections(part_of(number), True)[number]
    return section.check.split(".check(")[1].count(",") + 1


# ---- what the notebooks say


@pytest.mark.parametrize("part", PARTS)
def test_notebooks_and_checks_agree(part):
    entries = {entry.number: entry for entry in load(part)}
    assert list(entries) == [f"{part}.{i}" for i in range(1, len(entries) + 1)]
    for solutions in (False, True):
        found = sections(part, solutions)
        assert list(found) == list(entries)
        for number, section in found.items():
            assert section.heading == entries[number].heading
            assert f'exercise("{number}").check(' in section.check
    for number, section in sections(part, False).items():
        entry = entries[number]
        stars = "★" * entry.stars + "☆" * (3 - entry.stars)
        line = f"**{entry.kind.capitalize()}** · {stars} · about {entry.minutes} minutes · needs "
        assert line in section.prose, line
        hints = re.findall(r"<details><summary>Hint (\d)</summary>\n\n.+?\n\n</details>",
                           section.prose, re.DOTALL)  # fmt: skip
        assert len(hints) >= 2, f"{number} has fewer than two hints"
        assert hints == [str(i + 1) for i in range(len(hints))]


@pytest.mark.parametrize("part", PARTS)
def test_a_ladder_in_every_chapter(part):
    kinds = {entry.kind for entry in load(part)}
    assert kinds == set(KINDS)
    assert len(load(part)) >= 2 * CURRICULUM.get(part, 2)


def test_a_notebook_of_solutions_for_each_of_exercises_and_an_index():
    index = (ROOT / "appendix" / "C-exercise-solutions.ipynb").read_text(encoding="utf-8")
    for part in PARTS:
        assert notebook_of(part, False).exists()
        assert f"C-solutions/{module_name(part)}.ipynb" in index


# ---- the learner's own code


def test_an_error_is_told_with_the_learners_line_and_no_traceback():
    namespace = dict(set_up(sections("3", True)["3.5"].setup))
    run("def causal_weights(queries, keys):\n    T = 5\n    return queries @ keys\n", namespace)
    printed = run('exercise("3.5").check(causal_weights)', namespace)
    assert "line 3 of your cell, `return queries @ keys`, stopped with RuntimeError" in printed
    assert "Traceback" not in printed
    assert "File " not in printed


def test_a_function_with_other_parameters_is_told_so():
    printed = str(exercise("3.5").outcome(lambda queries: queries))
    assert "could not be called as the task says" in printed


def test_unfinished_code_is_no_failure_and_an_error_within_torch_is():
    namespace = dict(set_up(sections("3", True)["3.5"].setup))
    run("def unfinished(q, k):\n    raise NotImplementedError", namespace)
    assert exercise("3.5").outcome(namespace["unfinished"]).status == "not answered"
    run("def odd(q, k):\n    return torch.nn.Module()(q)", namespace)
    outcome = exercise("3.5").outcome(namespace["odd"])
    assert outcome.status == "wrong"
    assert "NotImplementedError" in str(outcome)


def test_a_check_leaves_the_learners_random_numbers_alone():
    section = sections("3", True)["3.5"]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    checked(section, section.answer)
    assert torch.equal(torch.rand(3), expected)


def test_an_unknown_exercise_or_quiz_is_named():
    with pytest.raises(ValueError, match=r"no exercise '3.77'.*3.1, 3.2"):
        exercise("3.77")
    with pytest.raises(ValueError, match="there is no quiz"):
        quiz(99)


# ---- progress


def printed_progress(part=None):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        progress(part)
    return printed.getvalue()


def line_of(table, text):
    return next(line for line in table.splitlines() if text in line)


def test_progress_is_kept_over_restarts(own_progress):
    record_try("3.1", False)
    record_try("3.1", True)
    record_try("3.1", False)  # what was solved stays solved
    record_try("3.2", False)
    record_right("3", 2)
    code = "from course.exercises import progress; progress()"
    environment = os.environ | {"PYTHONUTF8": "1"}
    table = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True
    ).stdout.decode("utf-8")
    assert "solved in 2 tries" in line_of(table, "Carry the weights over")
    assert "1 try so far" in line_of(table, "Fewer channels from the wrapper")
    assert "not tried yet" in line_of(table, "Cut into heads")
    assert "1 of 7 right" in next(line for line in table.splitlines() if line.startswith("3 "))
    assert f"1 of {len(NUMBERS)} exercises solved." in table
    assert f"1 of {len(load('3'))} exercises solved." in printed_progress(3)
    assert [path.name for path in own_progress.parent.iterdir()] == ["progress.json"]


DAMAGED = [
    "", "{", "[]", "null", '{"exercises": 3}', '{"exercises": {"3.1": {}}, "quizzes": {}}',
    '{"exercises": {}, "quizzes": {"3": 5}}', "\x00\x00", '{"exercises": {"3.1": []}}',
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_moved_aside_with_a_message(own_progress, text):
    own_progress.write_text(text, encoding="utf-8")
    table = printed_progress(3)
    assert "progress.json was damaged: it is now progress.json.damaged" in table
    assert "0 of 9 exercises solved." in table
    aside = own_progress.with_name("progress.json.damaged")
    assert aside.read_text(encoding="utf-8") == text
    record_try("3.1", True)
    assert "1 of 9 exercises solved." in printed_progress(3)


def test_a_file_that_is_no_text_is_damaged_too(own_progress):
    own_progress.write_bytes(b"\xff\xfe\x00")
    assert "damaged" in printed_progress(3)


def test_where_nothing_can_be_written_the_check_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "no such folder" / "progress.json"))
    section = sections("3", True)["3.4"]
    printed = checked(section, section.answer)
    assert "Exercise 3.4 is solved." in printed
    assert "could not be kept" in printed


def test_a_write_that_fails_leaves_the_old_file(own_progress, monkeypatch):
    record_try("3.1", True)
    before = own_progress.read_bytes()

    def full_disk(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full_disk)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        record_try("3.2", True)
    assert "No space left on device" in printed.getvalue()
    assert own_progress.read_bytes() == before
    assert [path.name for path in own_progress.parent.iterdir()] == ["progress.json"]


def test_the_learners_file_is_ignored_by_git():
    for name in ("progress.json", "progress.json.damaged"):
        run = subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT)
        assert run.returncode == 0, name


# ---- quizzes


@pytest.mark.parametrize("part", QUIZZES)
def test_every_answer_of_a_quiz_is_explained_in_buttons_and_in_plain_form(part):
    asked = questions(part)
    assert 5 <= len(asked) <= 8
    html, text = as_html(asked), as_text(asked)
    for number, question in enumerate(asked, start=1):
        order = question.in_order()
        assert [is_right for _, _, is_right, _ in order].count(True) == 1
        assert len(set(question.answers.values())) == len(order) >= 3
        for letter, answer, is_right, explanation in order:
            assert answer in text
            sign = "right" if is_right else "wrong"
            assert f"{number}{letter} {sign}: {explanation}" in text
    assert html.count("<details>") == sum(len(question.answers) for question in asked)


@pytest.mark.parametrize("part", QUIZZES)
def test_the_buttons_explain_and_count(part):
    asked = questions(part)
    *rows, score = quiz_widget(part, asked).children
    for number, (question, row) in enumerate(zip(asked, rows, strict=True), start=1):
        _, buttons, said = row.children
        right = number - 1
        for i, (_, _, is_right, explanation) in enumerate(question.in_order()):
            buttons.value = i
            right += is_right
            assert said.value.startswith("✓" if is_right else "✗")
            assert said.value.endswith(marked_up(explanation))
            assert score.value == f"<b>{right} of {len(asked)} right.</b>"
            assert len(read_progress()["quizzes"].get(part, [])) == right
    assert read_progress()["quizzes"][part] == list(range(1, len(asked) + 1))


def test_the_right_answer_is_not_always_in_the_same_place():
    places = [
        [is_right for _, _, is_right, _ in question.in_order()].index(True)
        for part in QUIZZES
        for question in questions(part)
    ]
    assert all(places.count(place) <= 0.6 * len(places) for place in (0, 1, 2))


def test_a_quiz_without_ipywidgets_is_its_static_form(monkeypatch):
    shown = []
    monkeypatch.setattr("course.quiz.display", lambda data, raw: shown.append(data))
    quiz(3)
    assert [WIDGET in data for data in shown] == [True, False]
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    shown.clear()
    quiz(3)
    assert [set(data) for data in shown] == [{"text/html", "text/plain"}]


@pytest.mark.parametrize("part", PARTS)
def test_committed_quizzes_show_the_static_form_and_no_dead_widget(part):
    notebook = nbformat.read(notebook_of(part, False), as_version=4)
    cells = [c for c in notebook.cells if re.match(r"quiz\(", c.source)]
    assert len(cells) == 1
    assert cells[0].outputs[-1].data["text/html"] == as_html(questions(part))
    assert WIDGET not in json.dumps(copy.deepcopy(notebook))
