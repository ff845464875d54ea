"""The checks of chapter 1's exercises."""

from collections import Counter
from pathlib import Path

from course.exercise_checks import Wrong, a_choice, a_number, call, exercise_check, kind_of

STORY = Path(__file__).parents[2] / "ch02" / "the-verdict.txt"


@exercise_check("1.1", "How sure will it be?", "predict", minutes=5, stars=1)
def how_sure(answer):
    mine = "".join(answer) if isinstance(answer, list | tuple) and all(
        isinstance(letter, str) for letter in answer) else answer  # fmt: skip
    if not isinstance(mine, str):
        raise Wrong(f"your answer is {kind_of(answer)}", 'write the four letters, such as "abcd"')
    mine = "".join(letter for letter in mine.lower() if letter.isalnum())
    if sorted(mine) != list("abcd"):
        raise Wrong(f"your answer is {mine!r}", "each of the letters a, b, c, d once")
    if mine == "cadb":
        raise Wrong("that is the order from the least sure to the surest", "turn it round")
    if mine[0] != "b":
        raise Wrong(
            f"{mine[0]} is not where it is surest",
            "which beginning is a set phrase, with one word that nearly always follows?",
        )
    if mine[-1] != "c":
        raise Wrong(
            "the first is right; the last is not",
            "after which beginning is nearly everything possible?",
        )
    if mine != "bdac":
        raise Wrong(
            "first and last are right, the two in the middle are not",
            "how many different words would you yourself put after each of the two?",
        )
    yield "right: the more fixed the phrase, the surer the model"


def tokens_of(text, number=None):
    """Guesses that depend on every letter of the text, the likeliest first."""
    code = sum((i + 1) * ord(letter) for i, letter in enumerate(text))
    names = [" cat", " dog", " sat", " ran", " and", " the", "."]
    first = code % len(names)
    order = names[first:] + names[:first]
    guesses = [(name, 2.0**-i) for i, name in enumerate(order, start=1)]
    return guesses if number is None else guesses[:number]


def written(text, count, context=None, place=0):
    new = text
    for _ in range(count):
        new += tokens_of(new if context is None else context(new, text), 7)[place][0]
    return new


@exercise_check("1.2", "From guessing to writing", "fill in", minutes=10, stars=1)
def write_on(function):
    for text, count in [("Once there was a", 5), ("It was", 12)]:
        result = call(function, tokens_of, text, count)
        if not isinstance(result, str):
            raise Wrong(
                f"the result is {kind_of(result)}", "a text: the beginning and what follows"
            )
        right = written(text, count)
        if result == right:
            continue
        explained = [
            (right.removeprefix(text), "the beginning is missing", "give back all of the text"),
            (text, "nothing was added", "does the text grow inside the loop?"),
            (written(text, count + 1), "one token too many", "count the rounds of your loop"),
            (written(text, count - 1), "one token too few", "count the rounds of your loop"),
            (
                written(text, count, place=-1),
                "it always took the LAST of the guesses",
                "in which order do the guesses come?",
            ),
            (
                written(text, count, lambda new, start: start),
                "each token was guessed from the beginning alone",
                "what must the model read before its second guess?",
            ),
            (
                text + tokens_of(text)[0][0] * count,
                "each token was guessed from the beginning alone",
                "what must the model read before its second guess?",
            ),
            (
                text + "".join(token for token, _ in tokens_of(text)[:count]),
                "these are the guesses for ONE place, one after the other",
                "the second token needs a question of its own",
            ),
        ]
        for value, what, look in explained:
            if result == value:
                raise Wrong(what, look)
        if not result.startswith(text):
            raise Wrong("the text doesn't begin as it should", "the new tokens come at its end")
        raise Wrong(
            "the text goes on in another way", "ask, take the likeliest, put it at the end, again"
        )
    yield "each token is the likeliest after ALL that stands before it"
    if call(function, tokens_of, "The", 0) != "The":
        raise Wrong("for 0 tokens the text should stay as it is", "what does your loop do first?")
    yield "and 0 tokens leave the text as it is"


def counted(words, swapped=False, once=False, same=False):
    """{word: Counter of its followers}, rightly or with the planted mistakes."""
    pairs = list(zip(words, words if same else words[1:], strict=False))
    table = {}
    for first, second in set(pairs) if once else pairs:
        key, value = (second, first) if swapped else (first, second)
        table.setdefault(key, Counter())[value] += 1
    return table


@exercise_check("1.3", "A table of followers", "break it", minutes=15, stars=2)
def followers(function):
    text = "the cat saw the dog and the cat ran and the cat sat and the dog ran"
    words = text.split()
    result = call(function, list(words))
    if not isinstance(result, dict) or not all(isinstance(v, dict) for v in result.values()):
        raise Wrong(f"the result is {kind_of(result)}", "a dictionary of Counters, as it was")
    plain = {key: dict(value) for key, value in result.items() if value}

    def is_that(**mistakes):
        return plain == {key: dict(value) for key, value in counted(words, **mistakes).items()}

    if not is_that():
        if is_that(swapped=True, once=True):
            raise Wrong(
                "in 'the cat saw', the table has 'the' as something that follows 'cat'; and it "
                "says that each pair comes once",
                "which of the two words is the key? And how often does 'the cat' stand there?",
            )
        if is_that(swapped=True):
            raise Wrong(
                "one of two is mended, pairs are counted as often as they come; but the table "
                "tells what PRECEDES a word",
                "which of the two words is the key?",
            )
        if is_that(once=True):
            raise Wrong(
                "one of two is mended, the right word is the key; but each pair is counted once, "
                "however often it comes",
                "what does a set do with things that come twice?",
            )
        if is_that(same=True):
            raise Wrong("each word follows itself now", "a pair is a word and the NEXT one")
        raise Wrong("the counts are others", "each pair of neighbours: the first word is the key")
    yield "the table says what follows, and how often"
    if {key: dict(v) for key, v in call(function, ["one"]).items() if v}:
        raise Wrong("a text of one word has no pairs", "what does your loop do at the last word?")
    yield "also for a text of a single word"


def share_seen(n, share):
    """As in the notebook."""
    words = STORY.read_text(encoding="utf-8").split()
    cut, read = len(words) * 9 // 10, int(len(words) * share)
    known = {tuple(words[i : i + n]) for i in range(read - n)}
    places = [tuple(words[i : i + n]) for i in range(cut, len(words) - n)]
    return sum(place in known for place in places) / len(places)


SHARES = ((1, 0.1), (1, 0.9), (3, 0.1), (3, 0.9))


@exercise_check("1.4", "More text, or more context?", "explore", minutes=10, stars=1)
def more_text(measured, answer):
    if not isinstance(measured, dict) or set(measured) != set(SHARES):
        shown = measured if isinstance(measured, dict) else kind_of(measured)
        raise Wrong(f"the measurements are {shown}", "keep the dictionary with its four keys")
    if any(value is ... for value in measured.values()):
        raise NotImplementedError
    for (n, share), value in measured.items():
        mine = a_number(value, f"the number for n = {n} and {share:g} of the story", whole=False)
        right = 100 * share_seen(n, share)
        if abs(mine - right / 100) < 0.0051 and abs(mine - right) > 0.6:
            raise Wrong(f"{mine:g} is a share", "write it in per cent, as it is printed")
        if abs(mine - right) > 0.6:
            raise Wrong(
                f"for n = {n} and {share:g} of the story it isn't {mine:g} %",
                "set both numbers, run the cell, read the printed line",
            )
    yield "the four measurements are right"
    a_choice(
        answer,
        {
            "a": "compare the two numbers for n = 3: nine times the text, and how much was won?",
            "b": None,
            "c": "compare the two numbers for n = 1",
        },
    )
    yield "and so is the answer: counting needs to have seen it, computing doesn't"
