"""Wrong answers to chapter 2's exercises: see the package."""

PIECES = "return [tokenizer.decode([token_id]) for token_id in tokenizer.encode(text)]"
FORMULA = "max(0, -(-(n_tokens - max_length) // stride))"
CUT = "tokenizer.decode(tokenizer.encode(text)[:budget])"
LOOP = "    while not text.startswith(kept):\n        kept = kept[:-1]\n"
ADDED = "tokens(ids) + positions(places)"
BOTH = "inputs, targets = inputs[order], targets[order]"
APART = "inputs, targets = inputs[order], targets[torch.randperm(len(starts))]"
TARGET = "token_ids[i + 1 : i + 1 + max_length]"

WRONG = {
    "2.1": [
        (PIECES, "return tokenizer.encode(text)", "which text does each of them stand for?"),
        (PIECES, "return text.split()", "these are words"),
        (PIECES, "return list(text)", "these are single characters"),
        ("decode([token_id])", "decode([token_id]).strip()", "the spaces are gone"),
        (
            PIECES,
            "return [tokenizer.decode([i]) for w in text.split() for i in tokenizer.encode(w)]",
            "without their spaces",
        ),
        ("encode(text)]", "encode(text)][::-1]", "in reverse order"),
        ("decode([token_id])", "decode(token_id)", "stopped with TypeError"),
        (PIECES, "return tokenizer.decode(tokenizer.encode(text))", "a list of strings"),
    ],
    "2.2": [
        ("(8, 8): 643", "(8, 8): 644", "there are fewer batches than 644"),
        ("(4, 6): 857", "(4, 6): 856", "there are more batches than 856"),
        ("(8, 2): 6", "(8, 2): 2", "don't share 2 tokens"),
        ("(4, 6): 0", "(4, 6): -2", "a gap shares nothing"),
        ('"b"', '"a"', "as often as a window is long"),
        ('"b"', '"c"', "doesn't say where they begin"),
        ("(8, 8): 643, ", "", "keep the four keys"),
    ],
    "2.3": [
        (FORMULA, "max(0, (n_tokens - max_length) // stride + 1)", "the last token can only be"),
        (FORMULA, "max(0, (n_tokens - max_length) // stride)", "after the last FULL step"),
        (FORMULA, "max(0, n_tokens - max_length)", "where does the stride come in?"),
        (FORMULA, "n_tokens // max_length", "the stride has no influence"),
        (FORMULA, "-(-n_tokens // stride)", "run over the end"),
        (FORMULA, "-(-(n_tokens - max_length) // stride)", "never a negative number"),
        (FORMULA, "(n_tokens - max_length) / stride", "it is a whole number"),
        (FORMULA, "max(0, (n_tokens - max_length - 1) // stride + 2)", "too many"),
    ],
    "2.4": [
        ('["aba", "b"]', '["ab", "ab"]', "the one that was LEARNED first"),
        ('["aba", "b"]', '["a", "ba", "b"]', "it isn't over yet"),
        ('["aba", "b"]', '["abab"]', "a piece has no merge that makes it"),
        ('["aba", "b"]', '["aba"]', "no letter may get lost"),
        ('["aba", "b"]', '["ab", "a", "b"]', "the first that fits anywhere"),
        ('["aba", "b"]', '"aba b"', "a list of strings was asked for"),
    ],
    "2.5": [
        (CUT, "text[:budget]", "was cut by characters"),
        (CUT, "' '.join(text.split()[:budget])", "was cut by words"),
        (LOOP, "", "ends in half a character"),
        (LOOP, "    kept = kept.rstrip('\ufffd')\n", "This one stands in the text itself"),
        ("[:budget]", "[: budget - 1]", "is one token off"),
        ("[:budget]", "[: budget + 1]", "is one token off"),
        ("    return kept", "    return kept.strip()", "loses a space"),
        (
            "    return kept",
            "    return tokenizer.encode(kept)",
            "the shortened text was asked for",
        ),
        ("[:budget]", "[-budget:]", "are the first ids kept?"),
        (LOOP, "    if not text.startswith(kept):\n        kept = ''\n", "nothing is left of"),
    ],
    "2.6": [
        (ADDED, "tokens(ids)", "the places are missing"),
        (ADDED, "tokens(ids) + positions(ids)", "was asked for the ids"),
        (ADDED, "torch.cat([tokens(ids), positions(places).expand(2, 5, 3)], -1)", "look at C"),
        (ADDED, "tokens(ids) + positions(places + 1)", "the first place is 0"),
        (ADDED, "tokens(ids) + positions.weight", "stopped with RuntimeError"),
        (ADDED, "tokens(ids) + positions(torch.arange(2))[:, None]", "not along B"),
        (ADDED, "tokens(ids) * positions(places)", "they are added"),
        (ADDED, "tokens(ids) + positions(torch.arange(5))", "stopped with RuntimeError"),
        (ADDED, "(tokens(ids) + positions(places)).sum(0)", "an axis got lost"),
    ],
    "2.7": [
        (BOTH, APART, "inputs and targets don't belong together"),
        (TARGET, "token_ids[i : i + max_length]", "each target is its own input"),
        (TARGET, "token_ids[i + 2 : i + 2 + max_length]", "stopped with RuntimeError"),
        (BOTH, "pass", "no longer shuffled"),
        ("return list(zip(", "inputs = inputs.flip(1)\n    return list(zip(", "shuffle rows only"),
        ("range(0, len", "range(5, len", "batches and windows were right"),
    ],
}
