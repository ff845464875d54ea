"""Wrong answers to chapter 1's exercises: see the package."""

NEXT = "token, _ = next_token(text, 1)[0]"
GROW = "        text = text + token\n"
LOOP = f"    for _ in range(count):\n        {NEXT}\n{GROW}    return text"
PAIRS = "pairwise(words)"
COUNT = "table.setdefault(word, Counter())[following]"
MEASURED = "{(1, 0.1): 46, (1, 0.9): 74, (3, 0.1): 0, (3, 0.9): 2}"

WRONG = {
    "1.1": [
        ("bdac", "cadb", "from the least sure to the surest"),
        ("bdac", "abcd", "a is not where it is surest"),
        ("bdac", "bdca", "the last is not"),
        ("bdac", "badc", "the two in the middle"),
        ("bdac", "bda", "each of the letters"),
        ('"bdac"', "4", "write the four letters"),
    ],
    "1.2": [
        ("return text", "return text[len(text) - 10 :]", "doesn't begin as it should"),
        (GROW, "        text = token\n", "doesn't begin as it should"),
        (GROW, "        text = token + text\n", "doesn't begin as it should"),
        (GROW, "        _ = token\n", "nothing was added"),
        ("range(count)", "range(count + 1)", "one token too many"),
        ("range(count)", "range(count - 1)", "one token too few"),
        ("next_token(text, 1)[0]", "next_token(text, 7)[-1]", "the LAST of the guesses"),
        ("token, _ =", "token =", "stopped with TypeError"),
        (
            LOOP,
            "    start = text\n    for _ in range(count):\n"
            "        text += next_token(start, 1)[0][0]\n    return text",
            "guessed from the beginning alone",
        ),
        (
            LOOP,
            "    for token, _ in next_token(text, count):\n        text += token\n    return text",
            "the guesses for ONE place",
        ),
        (
            LOOP,
            f"    start = text\n    for _ in range(count):\n        {NEXT}\n{GROW}"
            "    return text.removeprefix(start)",
            "the beginning is missing",
        ),
        ("return text", "print(text)", "does every way through it end in `return`?"),
        (
            LOOP,
            f"    while True:\n        {NEXT}\n        text += token\n        count -= 1\n"
            "        if count <= 0:\n            return text",
            "what does your loop do first?",
        ),
    ],
    "1.3": [
        (PAIRS, f"set({PAIRS})", "each pair is counted once"),
        (COUNT, "table.setdefault(following, Counter())[word]", "what PRECEDES a word"),
        (PAIRS, "zip(words, words, strict=False)", "each word follows itself"),
        (PAIRS, "zip(words, words[2:], strict=False)", "the counts are others"),
        (f"{COUNT} += 1", f"{COUNT} = 1", "each pair is counted once"),
        ("return table", "return list(table)", "a dictionary of Counters"),
        (
            PAIRS,
            "[(words[i], words[(i + 1) % len(words)]) for i in range(len(words))]",
            "the counts are others",
        ),
        ("    table = {}\n", "    table = {words[1]: Counter()}\n", "stopped with IndexError"),
    ],
    "1.4": [
        (MEASURED, MEASURED.replace("46", "49"), "read the printed line"),
        (MEASURED, MEASURED.replace("74", "0.74"), "write it in per cent"),
        (MEASURED, "{(1, 0.1): 46}", "keep the dictionary"),
        ('"b"', '"a"', "nine times the text"),
        ('"b"', '"c"', "compare the two numbers for n = 1"),
        ('"b"', '"all"', "write one of the letters"),
    ],
}
