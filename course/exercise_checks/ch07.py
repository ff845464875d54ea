"""The checks of chapter 7's exercises."""

import json

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from course.exercise_checks import (
    Wrong,
    a_choice,
    a_number,
    a_tensor,
    call,
    compare,
    exercise_check,
    kind_of,
    must_refuse,
)
from previous_chapters import GPTModel, calc_loss_batch

END = 50256


def a_text(value, what="the result"):
    if not isinstance(value, str):
        raise Wrong(f"{what} is {kind_of(value)}", "a text (str) was asked for")
    return value


@exercise_check("7.1", "Another way to ask", "fill in", minutes=10, stars=1)
def phi_style(function):
    entry = {"instruction": "Sort by size.", "input": "cat, ant", "output": "ant, cat"}
    wanted = "<|user|>\nSort by size.\ncat, ant\n<|assistant|>\n"
    value = a_text(call(function, entry | {"kind": "sorting"}))
    if "ant, cat" in value:
        raise Wrong(
            "the answer stands in the prompt",
            "a prompt is all that stands BEFORE the answer: the model is to write it",
        )
    if "sorting" in value:
        raise Wrong("the label of the kind is in the prompt", "no model is to see it")
    if "cat, ant" not in value:
        raise Wrong("the input is missing", "what is to be sorted?")
    if "###" in value or "Below is" in value:
        raise Wrong("parts of the Alpaca frame are in it", "this style has two marks and no more")
    if value.rstrip() == wanted.rstrip() and not value.endswith("\n"):
        raise Wrong("the last line break is missing", "the answer begins on a line of its own")
    if value != wanted and value.split() == wanted.split():
        raise Wrong(
            f"words and marks are right, white space isn't: {value!r}",
            "one line break behind each part, no blanks, no empty lines",
        )
    if value != wanted:
        raise Wrong(f"the prompt is {value!r}", "compare it with the picture, mark by mark")
    yield "a prompt with an input, to the character"
    short = a_text(call(function, {"instruction": "Name a colour.", "input": ""}))
    if "\n\n" in short:
        raise Wrong(
            "without an input there is an empty line", "no input, no line: as in format_input"
        )
    if short != "<|user|>\nName a colour.\n<|assistant|>\n":
        raise Wrong(f"without an input the prompt is {short!r}", "three lines are left")
    yield "and one without"
    must_refuse(
        function,
        {"instruction": "  ", "input": "cold"},
        what="an entry that asks for nothing raises no ValueError",
        look="blank is as empty as empty: str.strip",
    )
    yield "and it refuses an entry that asks for nothing"


def with_masked(targets, lengths, shift=-1, fill=-100):
    result = targets.clone()
    for row, n in enumerate(lengths):
        result[row, : max(n + shift, 0)] = fill
    return result


@exercise_check("7.2", "The question is no target", "fill in", minutes=15, stars=2)
def the_question(function):
    targets = torch.randint(1000, 2000, (3, 8))
    targets[1, 5:], targets[2, 6:] = -100, -100
    lengths = [3, 2, 4]
    value = a_tensor(call(function, targets, lengths), "the result", integers=True, B=3, T=8)
    yield "targets of the same shape"
    inverted = targets.clone()
    for row, n in enumerate(lengths):
        inverted[row, n - 1 :] = -100
    mistakes = [
        (targets, "nothing is masked", "where do you write into the targets?"),
        (
            with_masked(targets, lengths, 0),
            "one too many: the first token of the answer is masked, too",
            "targets are moved on by one: under which INPUT stands the answer's first token?",
        ),
        (
            with_masked(targets, lengths, -2),
            "one too few: the last token of the prompt is still a target",
            "a prompt of n tokens: how many of its tokens are predicted from a token before?",
        ),
        (inverted, "the answer is masked, and the prompt is learnt", "the other way round"),
        (
            with_masked(targets, [lengths[0]] * 3),
            "all rows are masked as the first one",
            "each row has a prompt of its own length",
        ),
        (
            with_masked(targets, [max(lengths)] * 3),
            "all rows are masked as the one with the longest prompt",
            "each row has a prompt of its own length",
        ),
        (
            with_masked(targets, lengths, fill=0),
            "masked with 0, which is the number of a token",
            "which number does the loss skip?",
        ),
    ]
    wrong = ("other targets are masked", "print a row of targets under its row of inputs")
    compare(value, with_masked(targets, lengths), mistakes, wrong)
    yield "in each row the prompt is masked and the answer isn't"
    lengths = [0, 1, 20]
    value = a_tensor(call(function, targets, lengths), "the result", integers=True, B=3, T=8)
    wrong = (
        "with prompts of 0, 1 and 20 tokens it goes wrong",
        "for 0 and 1 there is nothing to mask (what does a slice up to -1 take?), for 20 all",
    )
    compare(value, with_masked(targets, lengths), [], wrong)
    value = call(function, targets, [3, 3, 3], -1)
    right = with_masked(targets, [3, 3, 3], fill=-1)
    compare(value, right, [], ("another ignore_index is ignored", "is -100 written in the code?"))
    yield "also for very short and very long prompts, and another number to skip"


def line(**fields):
    return json.dumps(fields, ensure_ascii=False)


def entry(instruction, given, output):
    return {"instruction": instruction, "input": given, "output": output}


def entries_of(function, lines):
    value = call(function, lines)
    if not isinstance(value, list) or not all(isinstance(e, dict) for e in value):
        raise Wrong(f"the result is {kind_of(value)}", "a list of dictionaries was asked for")
    return value


@exercise_check("7.3", "Data from elsewhere", "fill in", minutes=25, stars=2)
def from_elsewhere(function):
    lines = [
        line(prompt="Name a fruit.", context="", completion="A pear."),
        line(prompt="Translate.", context="gatto", completion="cat", source="x", id=7),
    ]
    wanted = [entry("Name a fruit.", "", "A pear."), entry("Translate.", "gatto", "cat")]
    value = entries_of(function, lines)
    keys = {key for e in value for key in e}
    if keys != {"instruction", "input", "output"}:
        raise Wrong(
            f"the entries have the keys {', '.join(sorted(map(str, keys))) or 'none'}",
            "three were asked for; other fields of a line are left out",
        )
    if value != wanted:
        raise Wrong(
            f"the first entry is {value[0] if value else None}",
            "which field goes where? Compare with the table",
        )
    yield "the fields are where they belong"
    value = entries_of(function, [line(prompt=" Say hi. ", completion="Hi!\n")])
    if value and value[0]["instruction"] != "Say hi.":
        raise Wrong(
            f"white space stays around the texts: {value[0]['instruction']!r}",
            "the format sets its own line breaks: str.strip, for all three",
        )
    if value != [entry("Say hi.", "", "Hi!")]:
        raise Wrong(f"{value} for a line without context", "no context is an empty input")
    yield "a missing context is an empty input, and white space at the ends is gone"
    empty = [lines[0], "", "  \n", line(prompt="Why?", context="", completion="  "), lines[1]]
    value = entries_of(function, empty)
    if len(value) == 3:
        raise Wrong(
            "an entry with an empty answer is kept",
            "it would teach the model to say nothing. Blank is as empty as empty",
        )
    if value != wanted:
        raise Wrong("empty lines or answers go wrong", "they are left out, the others stay")
    yield "empty lines and empty answers are left out"
    other = line(prompt="Translate.", context="cane", completion="dog")
    repeated = [lines[1], other, line(prompt="Translate. ", context="gatto", completion="tomcat")]
    value = entries_of(function, repeated)
    if len(value) == 1:
        raise Wrong(
            "two entries with the same instruction are taken for one",
            "they ask different things: what belongs to a question besides the instruction?",
        )
    if len(value) == 3:
        raise Wrong(
            "the same question is in the result twice",
            "split afterwards, it may land in training AND test; keep the first of each",
        )
    if value != [wanted[1], entry("Translate.", "cane", "dog")]:
        raise Wrong("of a repeated question the wrong one is kept", "keep the first, in order")
    yield "a question that comes twice is kept once"
    for bad, what in [
        ('{"prompt": "Hi"', "a line that is no JSON"),
        (line(prompt="Hi", context=""), "a line without completion"),
        (line(completion="Hi", context=""), "a line without prompt"),
    ]:
        try:
            function([lines[0], "", bad])
        except json.JSONDecodeError as error:
            raise Wrong(
                f"for {what} json's own message comes, without the number of the line in the list",
                "catch json.JSONDecodeError and raise a ValueError that says which line",
            ) from error
        except ValueError as error:
            if "3" not in str(error):
                raise Wrong(
                    f"for {what}, the third, the message is: {error}",
                    "name the number of the line, counted from 1: empty lines count, too",
                ) from error
        except KeyError as error:
            raise Wrong(
                f"for {what} a KeyError comes", "say which line it is: a ValueError in words"
            ) from error
        else:
            raise Wrong(f"{what} is passed over in silence", "raise a ValueError that names it")
    yield "and a broken line is named by its number"


SMALL = {
    "vocab_size": 31,
    "context_length": 8,
    "emb_dim": 12,
    "n_heads": 2,
    "n_layers": 2,
    "drop_rate": 0.0,
    "qkv_bias": True,
}


def tied_model():
    model = GPTModel(SMALL).eval()
    model.out_head.weight = model.tok_emb.weight
    return model


@exercise_check("7.4", "Instructions by LoRA", "fill in", minutes=20, stars=2)
def by_lora(function):
    from previous_chapters import LinearWithLoRA

    rank, alpha = 3, 5
    model = tied_model()
    ids = torch.randint(0, 31, (2, 7))
    with torch.no_grad():
        before = model(ids)
    if not callable(function):
        raise Wrong(f"what was handed over is {kind_of(function)}", "hand over the function")
    result = function(model, rank, alpha)
    if not isinstance(result, GPTModel):
        raise Wrong(f"the result is {kind_of(result)}", "give the model back")
    layers = {n: m for n, m in result.named_modules() if isinstance(m, LinearWithLoRA)}
    if not layers:
        raise Wrong("no layer has got LoRA", "replace_linear_with_lora works in place")
    lora = {id(p) for m in layers.values() for p in m.lora.parameters()}
    ranks = {m.lora.A.shape[1] for m in layers.values()}
    if ranks != {rank} or {m.lora.alpha for m in layers.values()} != {alpha}:
        raise Wrong(
            f"rank is {ranks}, for rank=3 and alpha=5", "in which order are they handed on?"
        )
    compare(result(ids), before, [], ("at the start it computes something else", "B is zero"))
    yield "LoRA layers are in, and the model computes what it did"
    learn = {id(p): n for n, p in result.named_parameters() if p.requires_grad}
    if not learn:
        raise Wrong(
            "nothing learns: A and B are frozen as well",
            "what comes first, the freezing or the new layers?",
        )
    extra = [name for key, name in learn.items() if key not in lora]
    if extra:
        raise Wrong(
            f"{len(extra)} tensors besides A and B learn, among them {extra[0]}",
            "LoRA leaves the pretrained weights as they are",
        )
    if lora - set(learn):
        raise Wrong("some A or B are frozen", "freeze before the new layers are made")
    yield "A and B learn, and nothing else"
    tied = result.tok_emb.weight
    head = result.out_head
    if isinstance(head, LinearWithLoRA):
        raise Wrong(
            "the output head has got LoRA as well",
            "the task leaves it alone: which part of the model holds the other layers?",
        )
    if not isinstance(head, nn.Linear) or head.weight is not tied:
        raise Wrong("the head is not tied to the embedding any more", "leave the head as it is")
    optimizer = torch.optim.SGD([p for p in result.parameters() if p.requires_grad], lr=0.5)
    targets = torch.cat([torch.full((2, 3), -100), ids[:, 4:], torch.full((2, 1), 30)], dim=1)
    start = {n: p.detach().clone() for n, p in result.named_parameters()}
    for _ in range(2):
        optimizer.zero_grad()
        calc_loss_batch(ids, targets, result, "cpu").backward()
        optimizer.step()
    moved = {n for n, p in result.named_parameters() if not torch.equal(p, start[n])}
    if not all(n.endswith((".A", ".B")) for n in moved) or not moved:
        raise Wrong("a training step moves other weights", "only A and B are to move")
    yield "two steps on instructions move them; head and embedding stay one matrix"


@exercise_check("7.5", "What is to be learnt?", "predict", minutes=5, stars=1)
def to_be_learnt(answer):
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Wrong(f"your answer is {kind_of(answer)}", "write two rows: [[...], [...]]")
    rows = []
    for row in answer:
        if not isinstance(row, list | tuple):
            raise Wrong(f"a row of your answer is {kind_of(row)}", "write two lists of numbers")
        if any(n is ... for n in row):
            raise NotImplementedError
        rows.append([a_number(n, "a target") for n in row])
    if [len(row) for row in rows] != [4, 4]:
        raise Wrong(
            f"your rows have {len(rows[0])} and {len(rows[1])} targets",
            "a target stands under each input, and the longest row has four of them",
        )
    yield "four targets in each row"
    long, short = rows
    if long == [7, 8, 9, 10]:
        raise Wrong("the first row holds the inputs themselves", "targets are moved on by one")
    if long == [8, 9, 10, -100]:
        raise Wrong(
            "the first row has no end", "how does the model learn to stop, also after a long text?"
        )
    if long != [8, 9, 10, END]:
        raise Wrong("the first row isn't that", "what follows 7, what follows 8, ..., and 10?")
    yield "the first row is right"
    if short == [END] * 4:
        raise Wrong("the second row teaches the end four times", "that was the second draft")
    if short == [-100] * 4:
        raise Wrong("the second row teaches nothing at all", "what should follow its only token?")
    if short[0] == 4:
        raise Wrong("the second row begins with its own input", "targets are moved on by one")
    if short != [END, -100, -100, -100]:
        raise Wrong("the second row isn't that", "one end mark, then what the loss skips")
    yield "and the second: every row learns its end once"


def collated(batch, shift=True, end=True, pad=END):
    rows = [torch.tensor([*ids, pad]) for ids in batch]
    padded = pad_sequence(rows, batch_first=True, padding_value=pad)  # (B, T + 1)
    inputs = padded[:, :-1]
    T = inputs.shape[1]
    targets = padded[:, 1:].clone() if shift else inputs.clone()
    for row, ids in enumerate(batch):
        last = len(ids) - (1 if shift else 0)
        targets[row, last + (1 if end else 0) : T] = -100
    return inputs, targets


@exercise_check("7.6", "It echoes, and never stops", "break it", minutes=20, stars=2)
def echoes(function):
    batch = [[11, 12, 13, 14, 15], [21, 22], [31, 32, 33]]
    result = call(function, batch)
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise Wrong(f"the result is {kind_of(result)}", "give back inputs and targets")
    inputs = a_tensor(result[0], "inputs", integers=True, B=3, T=5)
    targets = a_tensor(result[1], "targets", integers=True, B=3, T=5)
    right = collated(batch)
    look = "one row per list, filled on the right with pad_id"
    compare(inputs, right[0], [], ("the inputs are others", look))
    yield "the inputs are right"
    end = "no row has an end mark among its targets"
    end_look = "of the filling in each row the loss should see the first place. Who hides it?"
    shift = "each target is the input above it, so the model learns to repeat what it sees"
    all_ends = pad_sequence([torch.tensor(ids) for ids in batch], True, END)
    all_ends = torch.cat([all_ends[:, 1:], torch.full((3, 1), END)], dim=1)
    no_long_end = right[1].clone()
    no_long_end[0, -1] = -100
    mistakes = [
        (
            collated(batch, shift=False, end=False)[1],
            "a model that foretells every next token rightly would have a high loss with them",
            "print inputs and targets one under the other, and read both. (There are two bugs)",
        ),
        (
            collated(batch, end=False)[1],
            f"one of two is mended, the targets are moved on; but {end}",
            end_look,
        ),
        (
            collated(batch, shift=False)[1],
            f"one of two is mended, the end marks are there; but {shift}",
            "which token should be foretold at each place?",
        ),
        (
            all_ends,
            "the end mark is a target over and over again",
            "one per row; the loss skips the others",
        ),
        (
            no_long_end,
            "the longest row has no end mark among its targets",
            "it has no filling: where could its end mark come from?",
        ),
        (
            pad_sequence([torch.tensor([-100, *ids[:-1]]) for ids in batch], True, -100),
            "the targets are moved the wrong way: each place is to tell what stood before it",
            "under 11 should stand 12",
        ),
    ]
    compare(targets, right[1], mistakes, ("the targets are others", "look at the published ones"))
    yield "each place foretells the next token, each row one end, and the loss skips the rest"
    batch = [[5], [6, 7]]
    other = call(function, batch, 0)
    for mine, theirs in zip(other, collated(batch, pad=0), strict=True):
        compare(mine, theirs, [], ("with another pad_id it goes wrong", "is 50256 in the code?"))
    batch = [[1, 2], [3, 4]]
    for mine, theirs in zip(call(function, batch), collated(batch), strict=True):
        compare(mine, theirs, [], ("rows of equal length go wrong", "each of them needs an end"))
    yield "also for rows of equal length, and another padding token"


class Counter(nn.Module):
    """A causal stand-in for a model: the next id follows from all ids so far and the place."""

    V = 13

    def forward(self, idx):
        places = torch.arange(idx.shape[1])
        following = (idx.cumsum(dim=1) * 5 + places * 3 + 1) % self.V
        return nn.functional.one_hot(following, self.V).float()  # (B, T, V)


def continued(model, prompts, steps, eos, own_place=True, stop=True, filter_eos=True):
    answers = [[] for _ in prompts]
    for _ in range(steps):
        rows = [torch.tensor(p + a) for p, a in zip(prompts, answers, strict=True)]
        idx = pad_sequence(rows, batch_first=True, padding_value=eos)
        for row, answer in enumerate(answers):
            if stop and answer and answer[-1] == eos:
                continue
            place = len(rows[row]) - 1 if own_place else -1
            answer.append(model(idx)[row, place].argmax().item())
    return [[i for i in a if i != eos or not filter_eos] for a in answers]


@exercise_check("7.7", "Eight prompts at once", "break it", minutes=25, stars=3)
def at_once(function):
    model, eos = Counter(), 12
    prompts = [[3, 1, 4, 1, 5], [9], [2, 6], [7, 1, 8], [2, 2], [5, 5, 5]]
    right = continued(model, prompts, 9, eos)
    states = {
        (own, stop): continued(model, prompts, 9, eos, own, stop)
        for own in (True, False)
        for stop in (True, False)
    }
    assert len(set(map(str, states.values()))) == 4
    value = call(function, model, prompts, 9, eos)
    if not isinstance(value, list) or len(value) != len(prompts):
        raise Wrong(f"the result is {kind_of(value)}", "give back a list of ids for each prompt")
    value = [torch.as_tensor(ids).tolist() for ids in value]
    alone = "a prompt gets another answer in a batch than alone"
    if value == states[False, False]:
        raise Wrong(
            f"{alone}, unless it is the longest",
            "follow the shortest prompt step by step: what does its row hold? (There are two bugs)",
        )
    if value == states[True, False]:
        raise Wrong(
            "one of two is mended, each row is read where it should be; but an answer goes on "
            "after its end mark",
            "taking the mark out of the list at the end isn't stopping",
        )
    if value == states[False, True]:
        raise Wrong(
            f"one of two is mended, each row stops; but {alone}, unless it is the longest",
            "at which place of its row is the next token of a short prompt foretold?",
        )
    if any(eos in ids for ids in value):
        raise Wrong("the end mark is part of an answer", "an answer ends BEFORE it")
    cut = [ids[: min(map(len, right))] for ids in right]
    if value == cut:
        raise Wrong("all answers stop when the first one does", "the others go on")
    if value != right:
        row = next(i for i, ids in enumerate(value) if ids != right[i])
        raise Wrong(
            f"the answer to prompt {row}, {prompts[row]}, has {len(value[row])} ids and isn't "
            "the one that it gets alone",
            "print the rows in each step, and the place that you read",
        )
    yield "each prompt gets the answer that it gets alone, and stops where that stops"
    if call(function, model, prompts[:1], 3, eos) != [ids[:3] for ids in right[:1]]:
        raise Wrong("with a limit of three ids it goes wrong", "max_new_tokens is the limit")
    yield "also alone, and cut short by the limit"


REPLIES = [
    ("85", 85, []),
    ("Score: 70", 70, [
        (None, "a reply with words around the mark gives None", "search, don't match"),
    ]),
    ("0", 0, [(None, "a mark of 0 is lost", "0 is a number, and `if not mark` is true for it")]),
    ("I would say 85/100.", 85, [
        (None, "85/100 gives None", "the scale isn't a second mark: print all that you find"),
        (100, "85/100 gives 100", "the mark stands in front of its scale"),
        (8500, "85/100 gives 8500", "only a scale of ten is to be stretched"),
        (850, "85/100 gives 850", "100 begins like 10: which of the two is looked for first?"),
    ]),
    ("8/10", 80, [
        (8, "8/10 gives 8", "on a scale of ten an 8 is a good mark"),
        (10, "8/10 gives 10", "the mark stands in front of its scale"),
        (None, "8/10 gives None", "the scale isn't a second mark"),
    ]),
    ("7 out of 10", 70, [
        (7, "7 out of 10 gives 7", "the scale may be written in words"),
        (None, "7 out of 10 gives None", "the scale may be written in words"),
    ]),
    ("92 out of 100, well done", 92, [(None, "92 out of 100 gives None", "a scale in words")]),
    ("10/10", 100, [(10, "10/10 gives 10", "on a scale of ten this is the best mark")]),
    ("100", 100, []),
    ("Between 60 and 80", None, [
        (60, "of two numbers the first is taken", "where two compete, don't guess"),
        (80, "of two numbers the last is taken", "where two compete, don't guess"),
        (70, "of two numbers the mean is taken", "the judge has not said so"),
        (0, "a reply with two numbers gives 0", "unknown isn't useless"),
    ]),
    ("85/100 for form, 40 for content", None, [
        (85, "of two marks the one with a scale is taken", "rule 3: more than one mark"),
    ]),
    ("7/10, or rather 8/10", None, [
        (70, "of two marks the first is taken", "where two compete, don't guess"),
        (80, "of two marks the last is taken", "where two compete, don't guess"),
    ]),
    ("120", None, [
        (120, "120 is taken for a mark", "marks end at 100"),
        (100, "120 becomes 100", "don't repair what the judge has said"),
        (12, "120 gives 12", "a number is read whole"),
        (20, "120 gives 20", "a number is read whole"),
    ]),
    ("12/10", None, [(120, "12/10 gives 120", "marks end at 100, stretched ones too")]),
    ("I cannot judge this.", None, [
        (0, "a reply without a mark gives 0", "unknown isn't useless"),
    ]),
    ("", None, [(0, "an empty reply gives 0", "unknown isn't useless")]),
]  # fmt: skip


@exercise_check("7.8", "Read the judge's mark", "fill in", minutes=25, stars=2)
def judges_mark(function):
    if not callable(function):
        raise Wrong(f"what was handed over is {kind_of(function)}", "hand over the function")
    for reply, right, mistakes in REPLIES:
        value = function(reply)
        if value is not None:
            value = a_number(value, f"the mark for {reply!r}")
        if value == right:
            continue
        for given, what, look in mistakes:
            if value == given:
                raise Wrong(what, look)
        raise Wrong(f"the reply {reply!r} gives {value}", "go through the four rules by hand")
    yield "plain marks, marks with a scale of 100 or of ten, in figures and in words"
    yield "and None where there is no mark, more than one, or one above 100"


FIRST_CLEAR = {"apart": 6400, "paired": 400}  # measured with the notebook's cells


@exercise_check("7.9", "How many tasks are enough?", "explore", minutes=15, stars=2)
def enough(measured, answer):
    if not isinstance(measured, dict) or set(measured) != set(FIRST_CLEAR):
        shown = measured if isinstance(measured, dict) else kind_of(measured)
        raise Wrong(f"the measurements are {shown}", "keep the two keys and fill in the values")
    if any(value is ... for value in measured.values()):
        raise NotImplementedError
    found = {k: a_number(v, f"the number of tasks for {k!r}") for k, v in measured.items()}
    if found == {"apart": FIRST_CLEAR["paired"], "paired": FIRST_CLEAR["apart"]}:
        raise Wrong("the two have changed places", "which of the two ways needs fewer tasks?")
    for name, right in FIRST_CLEAR.items():
        if found[name] not in (50, 100, 200, 400, 800, 1600, 3200, 6400):
            raise Wrong(f"{found[name]} tasks were never tried", "double TASKS, from 50 on")
        if found[name] != right:
            less = found[name] < right
            clear = "it isn't clear yet" if less else "it is clear, but not for the first time"
            look = "do the two intervals overlap?"
            if name == "paired":
                look = "does the interval of the gain hold 0?"
            look = look if less else "try half as many"
            raise Wrong(f"{name!r}: with {found[name]} tasks {clear}", look)
    yield "the two numbers are right"
    a_choice(
        answer,
        {
            "a": None,
            "b": "the gain has the same mean either way: compare the WIDTHS of the intervals",
            "c": "more draws make the bootstrap's own rounding smaller, not the interval",
        },
    )
    yield "and so is the answer: hard and easy tasks cancel in the difference"
