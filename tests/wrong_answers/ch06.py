"""Wrong answers to chapter 6's exercises: see the package."""

LAST = "logits[torch.arange(len(ids)), places]"
RETURN = "return ham + spam * (len(ham) // len(spam)), test"
LATE = """    mixed = list(messages)
    random.Random(seed).shuffle(mixed)
    cut = int(0.8 * len(mixed))
    train, test = mixed[:cut], mixed[cut:]
    ham = [message for message in train if message[1] == 0]
    spam = [message for message in train if message[1] == 1]
    return ham + spam * (len(ham) // len(spam)), test"""
EARLY = """    ham = [message for message in messages if message[1] == 0]
    spam = [message for message in messages if message[1] == 1]
    mixed = ham + spam * (len(ham) // len(spam))
    random.Random(seed).shuffle(mixed)
    cut = int(0.8 * len(mixed))
    return mixed[:cut], mixed[cut:]"""
OPEN = "[*model.trf_blocks[n - blocks :], model.final_norm, model.out_head]"
HEAD = "    model.out_head = torch.nn.Linear(model.tok_emb.weight.shape[1], 2)\n"
STEPS = """    model.requires_grad_(False)
    model.out_head = torch.nn.Linear(model.tok_emb.weight.shape[1], 2)
    for part in (model.trf_blocks[-1], model.final_norm):
        part.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)"""
OLD_HEAD = """    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    model.requires_grad_(False)
    model.out_head = torch.nn.Linear(model.tok_emb.weight.shape[1], 2)
    for part in (model.trf_blocks[-1], model.final_norm):
        part.requires_grad_(True)"""
FROZEN = """    model.out_head = torch.nn.Linear(model.tok_emb.weight.shape[1], 2)
    model.requires_grad_(False)
    for part in (model.trf_blocks[-1], model.final_norm):
        part.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)"""

WRONG = {
    "6.1": [
        ("256: 0.658", "256: 0.733", "for 256 the accuracy isn't 0.733"),
        ("64: 0.700", "64: 70.0", "write a share between 0 and 1"),
        ('"b"', '"a"', "compare the accuracies of 64 and 256"),
        ('"b"', '"c"', "goes through every block"),
        ("32: 0.717, ", "", "keep the dictionary"),
        ("32: 0.717", "32: 'good'", "write a number"),
    ],
    "6.2": [
        ("n - blocks :", "-blocks:", "print what your slice of the blocks holds"),
        ("n - blocks :", ":blocks", "the wrong ones"),
        ("n - blocks :", "n - blocks - 1 :", "blocks learn"),
        (", model.out_head]", "]", "the head is frozen"),
        (", model.final_norm,", ",", "the final norm is frozen"),
        ("model.requires_grad_(False)", "pass", "begin by freezing everything"),
        ("if blocks == n:", "if False:", "the embeddings stay frozen"),
        ("if not 0 <= blocks <= n:", "if False:", "raise no ValueError"),
        (
            "    if not 0 <= blocks <= n:",
            "    model.requires_grad_(False)\n    if not 0 <= blocks <= n:",
            "the model is frozen all the same",
        ),
        ("if not 0 <= blocks <= n:", "if blocks > n:", "-1 blocks of 4"),
        (OPEN, "[*model.trf_blocks, model.final_norm, model.out_head]", "4 blocks learn"),
        ("    return model", "    pass", "return"),
    ],
    "6.3": [
        ('"first": 0.625', '"first": 0.725', "for 'first' the accuracy isn't 0.725"),
        ('"mean": 0.792', '"mean": 79.2', "write a share between 0 and 1"),
        ('"b"', '"a"', "how many words"),
        ('"b"', '"c"', "the lowest of the four"),
        ('"mean": 0.792', '"average": 0.792', "keep the dictionary"),
    ],
    "6.4": [
        ("(0.13, 0.13, 1.0)", "(0.87, 0.13, 1.0)", "the accuracy of its opposite"),
        ("(0.13, 0.13, 1.0)", "(0.5, 0.13, 1.0)", "how many are right?"),
        ("(0.13, 0.13, 1.0)", "(0.13, 1.0, 0.13)", "in the order that was asked for"),
        ("(0.13, 0.13, 1.0)", "(0.13, 1.0, 1.0)", "messages called spam: how many"),
        ("(0.13, 0.13, 1.0)", "(0.13, 0.13, 0.0)", "130 spam messages only"),
        ("(0.13, 0.13, 1.0)", "(13, 13, 100)", "is no share"),
        ("(0.13, 0.13, 1.0)", "0.13", "write three numbers"),
    ],
    "6.5": [
        (LAST, "logits[:, -1]", "the last place is read"),
        (LAST, "logits[:, 0]", "the first token is read"),
        (LAST, "logits[torch.arange(len(ids)), words.clamp(max=6)]", "one place too late"),
        (LAST, "logits[torch.arange(len(ids)), words]", "stopped with IndexError"),
        (LAST, "logits[torch.arange(len(ids)), (words - 2).clamp(min=0)]", "one place too early"),
        (LAST, "logits[:, places]", "an axis too many"),
        (LAST, "logits.mean(dim=1)", "the mean of all places"),
        (LAST, "logits.amax(dim=1)", "not the value decides"),
        (LAST, "logits[:, words[0] - 1]", "the same place is read in every message"),
        (".clamp(min=0)", "", "-1 counts from the end"),
        ("ids != pad_id", "ids != 50256", "written somewhere in place of the parameter"),
        ("(ids != pad_id)", "(ids == pad_id)", "print the places"),
    ],
    "6.6": [
        (
            "return accuracy, precision, recall",
            "return accuracy, recall, precision",
            "changed places",
        ),
        ("p_spam > threshold", "p_spam >= threshold", "exactly on it"),
        ("p_spam > threshold", "p_spam < threshold", "upside down"),
        ("p_spam > threshold", "p_spam > 0.5", "written somewhere in place of the parameter"),
        ("truth == 1", "truth == 0", "the classes are swapped"),
        ("p_spam > threshold, truth == 1", "p_spam <= threshold, truth == 0", "of ham"),
        (" if called.any() else 1.0", "", "the docstring says what then"),
        (" if is_spam.any() else 1.0", " if is_spam.any() else 0.0", "what an empty share is"),
        ("called == is_spam", "called & is_spam", "the accuracy is wrong"),
        ("hits / called.sum().item()", "hits / len(truth)", "the precision is wrong"),
        ("return accuracy, precision, recall", "return accuracy", "give back three numbers"),
    ],
    "6.7": [
        (LATE, EARLY, "one of two is mended; but"),
        ("random.Random(seed).shuffle(mixed)", "pass", "one of two is mended, no message is in"),
        (RETURN, "return ham + spam, test", "by repeating the spam"),
        (RETURN, "return ham[: len(spam)] + spam, test", "some messages are in neither part"),
        ("random.Random(seed)", "random.Random()", "use the seed"),
        ("random.Random(seed)", "random.Random(1)", "with another seed"),
        ("cut = int(0.8", "cut = int(0.5", "a fifth was asked for"),
        (RETURN, RETURN + " * 2", "holds copies"),
        ("mixed = list(messages)", "mixed = messages", "your function changes its input"),
    ],
    "6.8": [
        ("[:, -1]", "[:, 0]", "one of two is mended, the logits go into the loss"),
        ("cross_entropy(logits,", "cross_entropy(logits.softmax(-1),", "softmax of a softmax"),
        ("cross_entropy(logits,", "nll_loss(logits.softmax(-1),", "takes the LOG"),
        ("[:, -1]", ".mean(dim=1)", "the mean of all places"),
        (
            "cross_entropy(logits, targets)",
            "cross_entropy(logits, targets, reduction='sum')",
            "a larger batch must not",
        ),
        ("cross_entropy(logits, targets)", "cross_entropy(logits, targets).item()", "for its grad"),
        (
            "cross_entropy(logits, targets)",
            "cross_entropy(logits, targets).detach()",
            "no gradient",
        ),
        ("[:, -1]", "[:, 6]", "stopped with IndexError"),
        ("[:, -1]", "[:, 1]", "line by line"),
    ],
    "6.9": [
        ("    model.eval()\n", "", "one of two is mended, every message counts the same"),
        ("    return right / total", "    return right", "this is a number of messages"),
        ("    model.train(was_training)\n", "", "goes back in the other"),
        ("model.train(was_training)", "model.train()", "goes back in the other"),
        ("total += len(targets)", "total += 4", "divided by 12"),
        (
            None,
            "def accuracy_of(loader, model):\n"
            "    was_training, means = model.training, []\n"
            "    model.eval()\n"
            "    for inputs, targets in loader:\n"
            "        answers = model(inputs)[:, -1].argmax(dim=-1)\n"
            "        means.append((answers == targets).float().mean().item())\n"
            "    model.train(was_training)\n"
            "    return sum(means) / len(means)",
            "one of two is mended, the mode is right",
        ),
    ],
    "6.10": [
        (STEPS, OLD_HEAD, "one of two is mended: the head gets a gradient"),
        (STEPS, FROZEN, "one of two is mended: the optimizer knows the new head"),
        ("    model.requires_grad_(False)\n", "", "has moved"),
        (HEAD, "", "look at classes"),
        ("(model.trf_blocks[-1], model.final_norm)", "(model.final_norm,)", "trf_blocks.3 stays"),
        ("(model.trf_blocks[-1], model.final_norm)", "(model.trf_blocks[-1],)", "final_norm.scale"),
        (
            "(model.trf_blocks[-1], model.final_norm)",
            "(model.trf_blocks, model.final_norm)",
            "trf_blocks.0 has moved",
        ),
        ("return model, optimizer", "return optimizer, model", "in this order"),
        ("return model, optimizer", "return model", "give back the model and its optimizer"),
    ],
    "6.11": [
        ("50: 0.68", "50: 0.501", "the winner on new messages"),
        ("50: 0.68", "50: 0.75", "0.75 is the best with 20 messages"),
        ("150: 0.58", "150: 0.9", "write at least two digits"),
        ('"c"', '"a"', "what the winner does"),
        ('"c"', '"b"', "with more messages the best is"),
        ("20: 0.75, ", "", "keep the dictionary"),
    ],
}
