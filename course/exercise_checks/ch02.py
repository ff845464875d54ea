"""The checks of chapter 2's exercises."""

from pathlib import Path

import tiktoken
import torch
from torch import nn

from course.exercise_checks import (
    Wrong,
    a_choice,
    a_number,
    a_tensor,
    call,
    close,
    compare,
    exercise_check,
    kind_of,
)
from previous_chapters import GPTDatasetV1, merge_piece

STORY = Path(__file__).resolve().parents[2] / "ch02" / "the-verdict.txt"


def a_list_of_texts(value, what="the result"):
    if not isinstance(value, list | tuple):
        raise Wrong(f"{what} is {kind_of(value)}", "a list of strings was asked for")
    if value and all(isinstance(item, int) for item in value):
        raise Wrong(f"{what} is a list of ids", "which text does each of them stand for?")
    if not all(isinstance(item, str) for item in value):
        odd = next(item for item in value if not isinstance(item, str))
        raise Wrong(f"{what} holds {kind_of(odd)}", "each item is to be a string")
    return list(value)


@exercise_check("2.1", "An unknown word in pieces", "fill in", minutes=10, stars=1)
def pieces(function):
    gpt2 = tiktoken.get_encoding("gpt2")
    for text in [
        "Snorkels for a mugwump",
        "Grumblewick zorps",
        "the  Flibbertwist's tea, 2031",
        "unquaffable",
    ]:
        ids = gpt2.encode(text)
        right = [gpt2.decode([i]) for i in ids]
        mine = a_list_of_texts(call(function, text, gpt2))
        if mine == right:
            continue
        joined = "".join(mine)
        if mine == text.split() or mine == [text]:
            raise Wrong("these are words, and a token may be a part of one", "cut by the tokenizer")
        if mine == list(text):
            raise Wrong("these are single characters", "let the tokenizer cut; one id, one piece")
        if mine == right[::-1]:
            raise Wrong("the pieces stand in reverse order", "go through the ids from the first on")
        if mine == [gpt2.decode([i]) for word in text.split() for i in gpt2.encode(word)]:
            raise Wrong(
                "the words were encoded one by one, without their spaces",
                "to GPT-2 `tea` and ` tea` are different tokens: encode the text as a whole",
            )
        if mine == [piece.strip() for piece in right]:
            raise Wrong(
                "the spaces are gone from the pieces",
                "a space belongs to the token after it: leave the pieces as decode gives them",
            )
        if joined != text:
            raise Wrong(
                "joined together, the pieces don't give the text back",
                "each id is to be decoded once, and by itself",
            )
        raise Wrong(
            f"there are {len(mine)} pieces, and another number of tokens", "one id, one piece"
        )
    yield "one piece for each token, spaces included; joined they give the text back"


def windows_of_story(max_length, stride):
    text = STORY.read_text(encoding="utf-8")
    return GPTDatasetV1(text, tiktoken.get_encoding("gpt2"), max_length, stride)


@exercise_check("2.2", "Other windows, other strides", "explore", minutes=15, stars=1)
def strides(batches, shared, answer):
    settings = [(2, 2), (8, 2), (8, 8), (4, 6)]
    for name, measured in [("batches_2_2", batches), ("shared_2_2", shared)]:
        if not isinstance(measured, dict) or set(measured) != set(settings):
            raise Wrong(
                f"{name} is {measured if isinstance(measured, dict) else kind_of(measured)}",
                "keep the four keys (max_length, stride) and fill in the values",
            )
        if any(value is ... for value in measured.values()):
            raise NotImplementedError
    for T, stride in settings:
        count = a_number(batches[T, stride], f"the number of batches for {T}, {stride}")
        right = len(windows_of_story(T, stride))
        if count != right:
            less = "fewer" if count > right else "more"
            raise Wrong(
                f"with max_length {T} and stride {stride} there are {less} batches than {count}",
                "set both numbers in the cell with the plot, run it, and read its first line",
            )
    yield "the numbers of batches are right"
    for T, stride in settings:
        count = a_number(shared[T, stride], f"the number of shared tokens for {T}, {stride}")
        if count < 0:
            raise Wrong("a number of shared tokens is negative", "a gap shares nothing: 0")
        if count != max(0, T - stride):
            raise Wrong(
                f"with max_length {T} and stride {stride}, two windows that follow each other "
                f"don't share {count} tokens",
                "compare the two printed inputs: how many tokens at the end of the first are "
                "those at the beginning of the second?",
            )
    yield "and so are the numbers of shared tokens"
    a_choice(
        answer,
        {
            "a": "with stride 1 a token in the middle is an input as often as a window is long",
            "b": None,
            "c": "a batch holds several windows, but doesn't say where they begin",
        },
    )
    yield "each token is an input once where a window begins just where the last one ended"


@exercise_check("2.3", "How many windows?", "fill in", minutes=15, stars=2)
def count_windows(function):
    cases = [
        (n, T, stride) for n in (9, 10, 17, 40, 101) for T in (1, 4, 8) for stride in (1, 3, 4, 8)
    ]
    right = torch.tensor([len(range(0, n - T, stride)) for n, T, stride in cases])
    asked = "count_windows({}, {}, {})"
    mine = []
    for n, T, stride in cases:
        mine.append(a_number(call(function, n, T, stride), asked.format(n, T, stride)))
    wrong = next((i for i, m in enumerate(mine) if m != right[i]), 0)
    n, T, stride = cases[wrong]
    where = f"{asked.format(*cases[wrong])} gives {mine[wrong]}"

    def by(rule):
        return torch.tensor([rule(*case) for case in cases])

    mistakes = [
        (
            by(lambda n, T, stride: (n - T) // stride + 1),
            f"{where}: sometimes one too many",
            "off by one: the last token can only be a target, so a window needs T + 1 tokens",
        ),
        (
            by(lambda n, T, stride: (n - T) // stride),
            f"{where}: sometimes one too few",
            "a window also begins after the last FULL step: try 10 tokens, T = 4, stride 4",
        ),
        (
            by(lambda n, T, stride: n - T),
            f"{where}: only stride 1 comes out right",
            "where does the stride come in?",
        ),
        (
            by(lambda n, T, stride: n // T),
            f"{where}: the stride has no influence",
            "windows may overlap: it is the stride that says where the next one begins",
        ),
        (
            by(lambda n, T, stride: -(-n // stride)),
            f"{where}: the windows may run over the end of the text",
            "where does the last window begin? It must fit, with its target",
        ),
    ]
    otherwise = (
        f"{where}: too {'many' if mine[wrong] > right[wrong] else 'few'}",
        "draw the tokens as dots and mark where windows begin and where the last target lies",
    )
    compare(torch.tensor(mine), right, mistakes, otherwise)
    yield f"right in {len(cases)} cases"
    for n, T, stride in [(4, 4, 1), (3, 4, 2), (0, 5, 5), (1, 6, 3)]:
        if a_number(call(function, n, T, stride), asked.format(n, T, stride)) != 0:
            raise Wrong(
                f"{asked.format(n, T, stride)} isn't 0",
                "a text that is too short has no window, and never a negative number of them",
            )
    yield "and 0 for texts that are too short"


@exercise_check("2.4", "Which merge comes first?", "predict", minutes=5, stars=2)
def merge_order(answer):
    mine = a_list_of_texts(answer, "your answer")
    names = ["a", "b", "ba", "ab", "aba"]
    ids = merge_piece([0, 1, 0, 1], {(1, 0): 2, (0, 1): 3, (0, 2): 4})
    if "".join(mine) != "abab":
        raise Wrong(
            f"joined, your pieces give {''.join(mine)!r}", "no letter may get lost or be added"
        )
    if mine == ["ab", "ab"]:
        raise Wrong(
            "that is what reading from left to right would give",
            "of all pairs in the text, the one that was LEARNED first is merged first",
        )
    if mine == ["a", "ba", "b"]:
        raise Wrong("the first step is right; it isn't over yet", "look at merge 3")
    if any(piece not in names for piece in mine):
        raise Wrong("a piece has no merge that makes it", "only what the list makes can be a token")
    if mine != [names[i] for i in ids]:
        raise Wrong("not these", "which of the three merges is the first that fits anywhere?")
    yield "right: encoding repeats the merges in the order in which they were learned"


def first_tokens(text, tokenizer, budget):
    """The text of the first `budget` tokens, without a half character at its end."""
    ids = tokenizer.encode(text)[:budget]
    return tokenizer.decode_bytes(ids).decode("utf-8", errors="ignore")


@exercise_check("2.5", "Cut to a budget", "fill in", minutes=20, stars=3)
def budget(function):
    gpt2 = tiktoken.get_encoding("gpt2")
    plain = "The teapot whistled twice, and nobody got up."
    emoji = "Good 🍕🦜🧶 night"
    cases = [(plain, n) for n in (4, 7, 1)] + [(emoji, n) for n in range(1, 12)]
    cases += [("ありがとう🫖", n) for n in range(1, 10)]
    for text, n in cases:
        mine = call(function, text, gpt2, n)
        if not isinstance(mine, str):
            raise Wrong(f"the result is {kind_of(mine)}", "the shortened text was asked for")
        right = first_tokens(text, gpt2, n)
        if mine == right:
            continue
        asked = f"{text!r} with a budget of {n}"
        if mine == text[:n]:
            raise Wrong(f"{asked} was cut by characters", "the budget counts tokens")
        if mine == " ".join(text.split()[:n]):
            raise Wrong(f"{asked} was cut by words", "the budget counts tokens")
        if "\ufffd" in mine:
            raise Wrong(
                f"{asked} ends in half a character, �",
                "an emoji is several tokens: what of it is inside the budget must go, too",
            )
        if mine == right.strip():
            raise Wrong(f"{asked} loses a space at its end", "spaces are part of the text")
        if mine == "":
            raise Wrong(
                f"nothing is left of {asked}",
                "are the first ids kept? And only what is no beginning of the text taken off?",
            )
        if mine == first_tokens(text, gpt2, n - 1) or mine == first_tokens(text, gpt2, n + 1):
            raise Wrong(f"{asked} is one token off", "how many ids does ids[:n] hold?")
        if text.startswith(mine) and len(mine) < len(right):
            raise Wrong(f"{asked} loses more than it must", "only half a character may go")
        if not text.startswith(mine):
            raise Wrong(f"{asked} isn't the beginning of the text", "only its end may be cut off")
        raise Wrong(f"{asked} takes more tokens than that", "cut the ids, not the text")
    yield "texts are cut by tokens, and no half character is left at the end"
    for text in (plain, "a lost sign: \ufffd"):
        if call(function, text, gpt2, 1000) != text:
            raise Wrong(
                f"{text!r} is within its budget, and is changed",
                "is every � half a character? This one stands in the text itself",
            )
    if call(function, "", gpt2, 5) != "" or call(function, emoji, gpt2, 0) != "":
        raise Wrong("an empty text, or a budget of 0, should give ''", "what is [-0:], and [:0]?")
    yield "what fits stays as it is"


@exercise_check("2.6", "Tokens and places", "fill in", minutes=10, stars=2)
def input_vectors(function):
    tokens, positions = nn.Embedding(11, 3), nn.Embedding(11, 3)
    ids = torch.tensor([[4, 9, 9, 0, 1], [7, 2, 4, 4, 3]])
    value = a_tensor(call(function, ids, tokens, positions), "the result", B=2, T=5, C=3)
    yield "a vector for each token"
    looked_up, places = tokens(ids), positions.weight
    mistakes = [
        (looked_up, "the places are missing", "a token has the same vector wherever it stands"),
        (
            places[:5].expand(2, 5, 3),
            "the tokens are missing",
            "all texts have the same vectors: which table does an id belong to?",
        ),
        (
            looked_up + positions(ids),
            "the second table was asked for the ids",
            "the row of a vector for a place is the number of the place, counted from 0",
        ),
        (
            looked_up + places[1:6],
            "the places are counted from 1",
            "off by one: the first place is 0",
        ),
        (looked_up + places[0], "all tokens stand at place 0", "the place changes along T"),
        (
            looked_up + places[:2].unsqueeze(1),
            "the place is the number of the text in the batch",
            "the place changes along T, not along B",
        ),
        (looked_up + places[-5:], "the last rows of the table are used", "begin with place 0"),
        (looked_up * places[:5], "the vectors are multiplied", "they are added"),
        (
            looked_up + places[:5].flip(0),
            "the places run backwards",
            "the first token stands at place 0",
        ),
    ]
    otherwise = ("the numbers are others", "vector of the token plus vector of its place")
    compare(value, looked_up + places[:5], mistakes, otherwise)
    yield "each is the sum of the token's vector and its place's"
    for B, T in [(1, 11), (4, 1), (3, 3)]:
        ids = torch.randint(11, (B, T))
        value = a_tensor(call(function, ids, tokens, positions), "the result", B=B, T=T, C=3)
        otherwise = (f"for {B} texts of {T} tokens it goes wrong", "is a size fixed somewhere?")
        compare(value, tokens(ids) + places[:T], [], otherwise)
    yield "also in other sizes"


@exercise_check("2.7", "A model that learns nothing", "break it", minutes=15, stars=2)
def nothing_learned(function):
    ids = torch.arange(
        100, 201
    )  # each token is one more than the last, so we can see what is where
    batches = call(function, ids, 5, 4)
    if not isinstance(batches, list) or not all(len(pair) == 2 for pair in batches):
        raise Wrong(f"the result is {kind_of(batches)}", "a list of pairs was asked for")
    sizes = [len(inputs) for inputs, _ in batches]
    if sizes != [4, 4, 4, 4, 4]:
        raise Wrong(
            f"the batches hold {sizes} windows", "batches and windows were right: keep them"
        )
    for name, i in [("inputs", 0), ("targets", 1)]:
        for pair in batches:
            a_tensor(pair[i], name, integers=True, B=4, T=5)
    inputs, targets = (torch.cat([pair[i] for pair in batches]) for i in (0, 1))
    if not all((rows.diff(dim=1) == 1).all() for rows in (inputs, targets)):
        raise Wrong("within a window the order is no longer that of the text", "shuffle rows only")
    if sorted(inputs[:, 0].tolist()) != list(range(100, 200, 5)):
        raise Wrong("some windows are missing or occur twice", "each window once, in random order")
    yield "every window is there once, its tokens in order"
    steps = targets[:, 0] - inputs[:, 0]
    together = bool((steps == steps[0]).all())
    first = sorted(targets[:, 0].tolist())
    shift = first[0] - 100
    pairs = "which of the 20 targets belongs to which input? Compare the two lines that shuffle"
    shifts = "what is the answer to the first token of an input? Look at where a target begins"
    if not together and shift == 0:
        raise Wrong(
            "both bugs are still in: an input and its target come from different places",
            "begin with this one: print the first pair for torch.arange(21), and see what is where",
        )
    if not together:
        raise Wrong("inputs and targets don't belong together", pairs)
    if shift == 0:
        raise Wrong("each target is its own input: nothing is to be predicted", shifts)
    if shift != 1:
        raise Wrong(
            f"the targets are {shift} tokens on", "off: the target of a token is the NEXT one"
        )
    yield "the target of each token is the token after it"
    if close(inputs[:, 0], torch.arange(100, 200, 5)):
        raise Wrong("the windows are no longer shuffled", "one random order, for both")
    yield "and the windows come in random order"
