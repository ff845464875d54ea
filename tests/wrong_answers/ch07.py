"""Wrong answers to chapter 7's exercises: see the package."""

LINES = '"\\n".join(lines) + "\\n"'
GIVEN = 'given = [entry["input"]] if entry["input"] else []'
MASK = "hidden[row, : max(n - 1, 0)] = ignore_index"
ASKED = 'asked = fields["prompt"].strip(), fields.get("context", "").strip()'
MOVED = "moved = [torch.tensor([*ids[1:], pad_id]) for ids in batch]"
TARGETS = "targets = pad_sequence(moved, batch_first=True, padding_value=-100)"
ENDS = """    targets = inputs.clone()
    for row, ids in enumerate(batch):
        targets[row, len(ids) + 1 :] = -100
    return inputs, targets"""
LORA = """    model.requires_grad_(False)
    replace_linear_with_lora(model.trf_blocks, rank, alpha)
"""
PLACE = "model(idx)[torch.arange(len(rows)), last]"
PATTERN = r'r"(\d+)(?:\s*(?:/|out of)\s*(100|10))?"'
ONE = "    if len(found) != 1:\n        return None\n    number, scale = found[0]"

WRONG = {
    "7.1": [
        (' + "\\n"', "", "the last line break is missing"),
        (GIVEN, 'given = [entry["input"]]', "there is an empty line"),
        ("*given, ", "", "the input is missing"),
        ('"<|assistant|>"]', '"<|assistant|>", entry.get("output", "")]', "stands in the prompt"),
        ('"<|user|>"', '"### Instruction:"', "parts of the Alpaca frame"),
        ('"<|user|>", ', '"<|user|>", entry.get("kind", ""), ', "the label of the kind"),
        (LINES, '"\\n\\n".join(lines) + "\\n"', "white space isn't"),
        ('"<|user|>"', '"<|human|>"', "mark by mark"),
        ('if not entry["instruction"].strip()', 'if not entry["instruction"]', "no ValueError"),
        ("return " + LINES, "return lines", "a text (str) was asked for"),
    ],
    "7.2": [
        ("max(n - 1, 0)", "n", "one too many"),
        ("max(n - 1, 0)", "max(n - 2, 0)", "one too few"),
        ("max(n - 1, 0)", "n - 1", "with prompts of 0, 1 and 20"),
        (": max(n - 1, 0)", "n - 1 :", "the answer is masked"),
        (MASK, "pass", "nothing is masked"),
        ("targets.clone()", "targets", "your function changes its input"),
        ("ignore_index\n    return", "0\n    return", "the number of a token"),
        ("] = ignore_index", "] = -100", "another ignore_index is ignored"),
        ("max(n - 1, 0)", "prompt_lengths[0] - 1", "as the first one"),
        ("max(n - 1, 0)", "max(prompt_lengths) - 1", "the longest prompt"),
        ("return hidden", "return hidden[:, 1:]", "look at T"),
    ],
    "7.3": [
        ('asked[1], "output"', '"", "output"', "Compare with the table"),
        ('"output": answer}', '"answer": answer}', "three were asked for"),
        ('fields.get("context", "")', 'fields["context"]', "KeyError"),
        ('fields["prompt"].strip()', 'fields["prompt"]', "white space stays"),
        ("if answer and asked", "if asked", "an entry with an empty answer is kept"),
        ("if answer and asked not in seen", "if answer", "is in the result twice"),
        ("seen.add(asked)", "seen.add(asked[0])", "is in the result twice"),
        (
            "asked not in seen:\n            seen.add(asked)",
            "asked[0] not in seen:\n            seen.add(asked[0])",
            "ask different things",
        ),
        ("if not line.strip():\n            continue", "pass", "stopped with ValueError: line 2"),
        ("start=1", "start=0", "counted from 1"),
        ('("prompt", "completion") if', '("prompt",) if', "a KeyError comes"),
        ("except json.JSONDecodeError", "except TypeError", "json's own message"),
        (
            'raise ValueError(f"line {number} is no JSON: {error}") from None',
            "continue",
            "passed over in silence",
        ),
        ('raise ValueError(f"line {number} has', 'raise ValueError(f"a line has', "the message is"),
    ],
    "7.4": [
        ("    model.requires_grad_(False)\n", "", "tensors besides A and B learn"),
        ("model.trf_blocks, rank", "model, rank", "the output head has got LoRA"),
        ("rank, alpha)\n    return", "alpha, rank)\n    return", "in which order"),
        ("    replace_linear_with_lora(model.trf_blocks, rank, alpha)\n", "", "no layer has got"),
        (
            LORA,
            "    replace_linear_with_lora(model.trf_blocks, rank, alpha)\n"
            "    model.requires_grad_(False)\n",
            "nothing learns: A and B are frozen as well",
        ),
        ("return model", "model.final_norm.requires_grad_(True)\n    return model", "final_norm"),
        ("return model", "pass", "give the model back"),
        (
            "    return model",
            "    for m in model.modules():\n"
            "        if hasattr(m, 'B'):\n"
            "            torch.nn.init.normal_(m.B)\n"
            "    return model",
            "at the start it computes something else",
        ),
    ],
    "7.5": [
        ("[8, 9, 10, 50256]", "[7, 8, 9, 10]", "the inputs themselves"),
        ("[8, 9, 10, 50256]", "[8, 9, 10, -100]", "has no end"),
        ("[8, 9, 10, 50256]", "[8, 9, 10]", "four of them"),
        ("[8, 9, 10, 50256]", "[9, 10, 50256, -100]", "what follows 7"),
        ("[50256, -100, -100, -100]", "[50256] * 4", "four times"),
        ("[50256, -100, -100, -100]", "[-100] * 4", "nothing at all"),
        ("[50256, -100, -100, -100]", "[4, 50256, -100, -100]", "begins with its own input"),
        ("[50256, -100, -100, -100]", "[50256, 50256, -100, -100]", "one end mark"),
        ("[[8, 9, 10, 50256], [50256, -100, -100, -100]]", "50256", "write two rows"),
    ],
    "7.6": [
        (
            MOVED,
            "moved = [torch.tensor([*ids[1:], -100]) for ids in batch]",
            "one of two is mended, the targets are moved on",
        ),
        (
            None,
            "def collate(batch, pad_id=50256):\n"
            "    rows = [torch.tensor(ids) for ids in batch]\n"
            "    inputs = pad_sequence(rows, batch_first=True, padding_value=pad_id)\n" + ENDS,
            "one of two is mended, the end marks are there",
        ),
        ("padding_value=-100", "padding_value=pad_id", "over and over again"),
        (
            "return inputs, targets",
            "targets[:, -1] = -100\n    return inputs, targets",
            "the longest row has no end mark",
        ),
        ("[*ids[1:], pad_id]", "[*ids[1:], 50256]", "is 50256 in the code?"),
        ("[*ids[1:], pad_id]", "[*ids, pad_id]", "look at T"),
        ("[*ids[1:], pad_id]", "[-100, *ids[:-1]]", "moved the wrong way"),
        ("return inputs, targets", "return targets, inputs", "the inputs are others"),
        ("return inputs, targets", "return inputs", "give back inputs and targets"),
        ("padding_value=-100)", "padding_value=-1)", "the targets are others"),
    ],
    "7.7": [
        (PLACE, "model(idx)[:, -1]", "one of two is mended, each row stops"),
        ("if eos_id not in answer:", "if True:", "one of two is mended, each row is read"),
        ("len(row) - 1 for", "len(row) - 2 for", "isn't the one that it gets alone"),
        (" for i in answer if i != eos_id]", " for i in answer]", "is part of an answer"),
        ("max_new_tokens)", "9)", "max_new_tokens is the limit"),
        ("if eos_id not in answer:", "if not any(eos_id in a for a in answers):", "alone"),
    ],
    "7.8": [
        ("(100|10)", "(10|100)", "the scale isn't a second mark"),
        (PATTERN, r'r"(\d+)(?:\s*(?:/)\s*(100|10))?"', "written in words"),
        (PATTERN, r'r"(\d+)()"', "the scale isn't a second mark"),
        (
            "    if len(found) != 1:",
            "    found = [pair for pair in found if pair[1]] or found\n    if len(found) != 1:",
            "the one with a scale is taken",
        ),
        ('int(number) * 10 if scale == "10" else int(number)', "int(number)", "8/10 gives 8"),
        (
            ONE,
            "    if not found:\n        return None\n    number, scale = found[0]",
            "first is taken",
        ),
        (
            ONE,
            "    if not found:\n        return None\n    number, scale = found[-1]",
            "last is taken",
        ),
        ("if mark <= 100 else None", "", "120 is taken for a mark"),
        ("mark if mark <= 100 else None", "min(mark, 100)", "120 becomes 100"),
        ("mark if mark <= 100", "mark if mark and mark <= 100", "a mark of 0 is lost"),
        ("return None", "return 0", "a reply with two numbers gives 0"),
        ("re.findall(", "re.findall(r'^' + ", "a reply with words around"),
        ('== "10"', '!= ""', "85/100 gives"),
        ("mark <= 100 else", "int(number) <= 100 else", "12/10 gives 120"),
    ],
    "7.9": [
        ('{"apart": 6400, "paired": 400}', '{"apart": 400, "paired": 6400}', "changed places"),
        ('"paired": 400', '"paired": 200', "it isn't clear yet"),
        ('"apart": 6400', '"apart": 3200', "do the two intervals overlap"),
        ('"paired": 400', '"paired": 800', "not for the first time"),
        ('"paired": 400', '"paired": 300', "were never tried"),
        ('"a"', '"b"', "compare the WIDTHS"),
        ('"a"', '"c"', "the bootstrap's own rounding"),
    ],
}
