"""Wrong answers to chapter 5's exercises: see the package."""

SOFT = "probabilities = softmax_with_temperature(logits, temperature)"
DRAW = "torch.multinomial(probabilities, draws, replacement=True)"
EXACT = "softmax_with_temperature(logits, temperature)[word].item()"
RESTORE = "load_checkpoint(path, model, optimizer)"
CLEAR = "        optimizer.zero_grad()\n"
STEP = "        optimizer.step()\n"
LETTERS = '["a", "b", "d", "f"]'
PARTS = "(text[:cut], text[cut:])"
OUT = 'config["context_length"])'
MODE = "        model.train()\n"
CLEARED = "            optimizer.zero_grad()\n"
BACK = "            loss.backward()\n"
PICKED = "log_probabilities.gather(-1, targets.unsqueeze(-1))"
RATES = "{0.0001: 3.86, 0.001: 2.82, 0.01: 0.03}"

WRONG = {
    "5.1": [
        (EXACT, "torch.softmax(logits, 0)[word].item()", "the temperature has no effect"),
        (EXACT, "torch.softmax(logits * temperature, 0)[word]", "the wrong way round"),
        (EXACT, "torch.softmax(logits, 0)[word] / temperature", "itself was divided"),
        (EXACT, "(logits / temperature)[word].item()", "this is a logit"),
        (EXACT, "softmax_with_temperature(logits, temperature)[word - 1]", "of another word"),
        (EXACT, "softmax_with_temperature(logits, temperature)", "write a number"),
        (SOFT, "probabilities = torch.softmax(logits, 0)", "drawn: the temperature has no effect"),
        (SOFT, "probabilities = torch.softmax(logits, 0) / temperature", "is the same draw"),
        (SOFT, "probabilities = torch.softmax(logits * temperature, 0)", "drawn: the temperature"),
        (SOFT, "probabilities = torch.ones(len(logits))", "wants probabilities"),
        (DRAW, "torch.multinomial(probabilities, draws)", "stopped with RuntimeError"),
        (DRAW, "probabilities.argmax().expand(draws)", "is the favourite taken each time?"),
        (".float().mean().item()", ".sum().item()", "that is a count"),
        (
            "    drawn = ",
            "    return exact_share(logits, word, temperature)\n    drawn = ",
            "a whole number of sevenths",
        ),
        (
            "    drawn = ",
            "    torch.manual_seed(1)\n    drawn = ",
            "a seed that is set inside ends all chance",
        ),
    ],
    "5.2": [
        ("1.0: 0.27", "1.0: 0.73", "the share of the 50 likeliest"),
        ("1.0: 0.27", "1.0: 27", "a share is at most 1"),
        ("0.5: 0.01", "0.5: 0.3", "read its first line"),
        ("0.5: 0.01, ", "", "keep the dictionary"),
        ('form": "a"', 'form": "c"', "fill in a form: it isn't c"),
        ('form": "a"', 'form": "b"', "asked twice"),
        ('story": "b"', 'story": "a"', "how long is it good to read?"),
        ('from": "c"', 'from": "a"', "the same line thirty times"),
        ('from": "c"', 'from": "b"', "much alike"),
        ('from": "c"', 'from": "hot"', "write one of the letters"),
    ],
    "5.3": [
        (LETTERS, '["a", "b", "c", "d", "f"]', "c may give another text"),
        (LETTERS, '["a", "b", "d", "e", "f"]', "e may give another text"),
        (LETTERS, '["a", "b", "d", "f", "g"]', "What else is random"),
        (LETTERS, '["a"]', "b is missing"),
        (LETTERS, '["a", "b", "f"]', "how many tokens are left to draw among?"),
        (LETTERS, '["a", "b", "d"]', "f is missing"),
        (LETTERS, '["x"]', "lettered a to g"),
        (LETTERS, "3", "write a list of letters"),
    ],
    "5.4": [
        (RESTORE, "load_checkpoint(path, model)", "the optimiser is a new one"),
        (RESTORE, "pass", "that of an untrained model"),
        (
            RESTORE,
            "load_checkpoint(path, model, optimizer); torch.manual_seed(0)",
            "the saved weights are there, but",
        ),
        (RESTORE, "load_checkpoint(path, optimizer, model)", "stopped with"),
        ("    model.train()\n", "", "there is no dropout in this epoch"),
        (
            f"{RESTORE}\n    model.train()\n",
            "load_checkpoint(path, model)\n",
            "neither the optimiser's state nor training mode",
        ),
        (CLEAR, "", "the gradients of all batches pile up"),
        (
            f"{CLEAR}        loss = calc_loss_batch(inputs, targets, model, "
            '"cpu")\n        loss.backward()\n',
            '        loss = calc_loss_batch(inputs, targets, model, "cpu")\n'
            "        loss.backward()\n        optimizer.zero_grad()\n",
            "there when `step` uses them",
        ),
        ("loss.item()", "loss", "each with its whole computation graph"),
        ("return losses", "return losses[-1]", "a list: one loss for each batch"),
        ("    return losses", "        return losses", "the list has 1 losses"),
        ("return losses", "pass", "does every way through it end in `return`?"),
        (STEP, "", "Is it called after each batch?"),
        (
            f"{STEP}        losses.append(loss.item())\n",
            "        losses.append(loss.item())\n        if len(losses) < 6:\n"
            "            optimizer.step()\n",
            "is there a step after every batch",
        ),
    ],
    "5.5": [
        (PARTS, "(text[cut:], text[:cut])", "are swapped"),
        (PARTS, "(text, text)", "where is the text cut?"),
        (PARTS, "(text, text[cut:])", "still holds the last tenth"),
        (PARTS, "(text[-cut:], text[:-cut])", "the FIRST tenth"),
        ("stride=context", "stride=1", "the windows overlap"),
        ("batch_size=1", "batch_size=2", "the windows don't all count the same"),
        ("    model.eval()\n", "", "something is random"),
        ("cut = int(0.9 * len(text))", "cut = len(text) // 2", "cut, make two loaders"),
        ("return tuple(losses)", "return sum(losses)", "two numbers: training and validation"),
        (
            "(text[:cut], text[cut:])",
            "(tokenizer.decode(tokenizer.encode(text)[: int(0.9 * len(tokenizer.encode(text)))]), "
            "tokenizer.decode(tokenizer.encode(text)[int(0.9 * len(tokenizer.encode(text))) :]))",
            "the text was cut by tokens",
        ),
        ('answer_5_5 = "b"', 'answer_5_5 = "a"', "of which text would it have learnt"),
        ('answer_5_5 = "b"', 'answer_5_5 = "c"', "learnt by heart: what does it say"),
        ('answer_5_5 = "b"', 'answer_5_5 = "d"', "does a shorter text make a mean smaller?"),
    ],
    "5.6": [
        ("texts[loaded]", "texts[name]", "calls its text that of gpt2-large"),
        (OUT, "8)", "doesn't see all that fits into its context"),
        (OUT, "1024)", "stopped with ValueError"),
        (OUT, 'config["context_length"], temperature=5.0)', "would write something else"),
        ("idx, count,", "idx, count + 1,", "a token too many"),
        ("idx, count,", "idx, count - 1,", "a token too few"),
        ("(out, tokenizer)", "(out[:, idx.shape[1] :], tokenizer)", "the prompt is missing"),
        ("token_ids_to_text(out, tokenizer)", "out", "decode it to a text"),
        ("in names:", "in names[:1]:", "once for each name"),
        ("return texts", "return list(texts)", "a dictionary: {name: text}"),
        ("load(name)", "load(names[0])", "once for each name"),
    ],
    "5.7": [
        ("ids[:, 1:]  #", "ids[:, :-1]  #", "the loss still rewards repeating"),
        ("model(inputs)", "model(inputs).softmax(-1)", "the softmax comes twice"),
        (
            "F.cross_entropy(logits.flatten(0, 1), targets.flatten())",
            "F.nll_loss(logits.softmax(-1).flatten(0, 1), targets.flatten())",
            "the loss is negative",
        ),
        ("targets.flatten())", 'targets.flatten(), reduction="sum")', "per token: the mean"),
        (
            "logits.flatten(0, 1), targets.flatten()",
            "logits.flatten(0, 1), ids.roll(1, 1)[:, :-1].flatten()",
            "the loss is another",
        ),
        (
            "logits.flatten(0, 1), targets.flatten()",
            "logits[:, 1:].flatten(0, 1), ids[:, :-2].flatten()",
            "the shift goes the wrong way",
        ),
        (
            "logits.flatten(0, 1)",
            "logits.transpose(1, 2).reshape(-1, 50)",
            "tokens and vocabulary are mixed up",
        ),
        ("logits.flatten(0, 1), targets.flatten()", "logits, targets", "stopped with"),
        ("model(inputs)", "model(inputs).softmax(-1).log()", "hand the logits over as they are"),
    ],
    "5.8": [
        (CLEARED, "", "but the gradients still add up"),
        (MODE, "", "but from the second epoch on, dropout is off"),
        (
            f"{MODE}        for inputs, targets in batches:\n{CLEARED}",
            f"{MODE}        optimizer.zero_grad()\n        for inputs, targets in batches:\n",
            "cleared once an epoch",
        ),
        (
            f"{BACK}            optimizer.step()",
            f"{BACK}{CLEARED}            optimizer.step()",
            "cleared between `backward` and `step`",
        ),
        ("        model.eval()\n", "", "now there is dropout while measuring"),
        ("return val_losses", "return val_losses[-1]", "a validation loss per epoch"),
        (
            "    val_losses = []\n    for _ in range(epochs):\n        model.train()\n",
            "    val_losses = []\n    for epoch in range(epochs):\n"
            "        if epoch > 0:\n            model.train()\n",
            "comes in evaluation mode",
        ),
    ],
    "5.9": [
        ("top_k - 1, None", "top_k, None", "there are 5 tokens with a chance"),
        ("kept / temperature", "kept * temperature", "makes the draw more daring"),
        ("kept / temperature", "kept", "the temperature has no effect"),
        ("top_k - 1, None", "top_k - 2, None", "only 3 tokens have a chance"),
        ("torch.softmax(kept /", "torch.softmax(logits /", "what became of the mask?"),
        (
            "ordered[:, top_k - 1, None]  # (B, 1)\n    kept = logits.masked_fill(logits <",
            "ordered[:, top_k, None]  # (B, 1)\n    kept = logits.masked_fill(logits <=",
            "stopped with IndexError",
        ),
        (
            "return torch.softmax(kept / temperature, dim=-1)",
            "return torch.softmax(logits / temperature, -1) * (kept > float('-inf'))",
            "don't add up to 1",
        ),
        (
            'kept = logits.masked_fill(logits < smallest_kept, float("-inf"))',
            "places = logits.topk(top_k, dim=-1).indices\n"
            "    kept = torch.full_like(logits, float('-inf'))\n"
            "    kept = kept.scatter(1, places, logits.gather(1, places))",
            "ties for the last place all stay",
        ),
        ("kept / temperature, dim=-1", "kept / temperature, dim=0", "there are nan"),
    ],
    "5.10": [
        ("* count", "", "the mean is another"),
        ("count = targets.numel()", "count = 1", "each BATCH counts the same"),
        ("count = targets.numel()", "count = len(targets)", "each ROW counts the same"),
        ("count = targets.numel()", "count = targets.shape[1]", "weighed by T"),
        ("total / tokens", "total", "divide at the end"),
        ("tokens == 0", "False", "an empty loader should raise a ValueError"),
        ("tokens += count", "tokens += 1", "by the number of batches"),
        (
            "            tokens += count\n",
            "            return total / count\n",
            "first batch alone",
        ),
        ("total += calc", "total = calc", "the mean is another"),
    ],
    "5.11": [
        ("return -picked", "return picked", "the sign is turned"),
        ("log_softmax(logits, dim=-1)", "log_softmax(logits, dim=1)", "not along the vocabulary"),
        ("log_softmax(logits, dim=-1)", "log_softmax(logits, dim=0)", "along the texts"),
        ("torch.log_softmax(logits, dim=-1)", "logits", "the softmax is missing"),
        ("torch.log_softmax(logits, dim=-1)", "logits.softmax(-1)", "why the logarithm"),
        (
            "torch.log_softmax(logits, dim=-1)",
            "logits.softmax(-1).log()",
            "stay with logarithms all the way",
        ),
        ("log_softmax(logits,", "log_softmax(logits.softmax(-1),", "the softmax comes twice"),
        (
            "torch.log_softmax(logits, dim=-1)",
            "torch.log_softmax(logits, dim=-1) / 0.6931471805599453",
            "this is in bits",
        ),
        (".squeeze(-1)", "", "the shape is (2, 5, 1)"),
        (".squeeze(-1)", ".mean()", "no mean, no sum"),
        (PICKED, "log_probabilities.amax(-1, keepdim=True)", "the model's favourite"),
        (PICKED, "log_probabilities[..., targets]", "an axis too many"),
    ],
    "5.12": [
        ("= 8", "= 10", "this is the mean of 4 and 16"),
        ("= 8", "= 6.4", "the logarithm comes BEFORE the mean"),
        ("= 8", "= 2.08", "this is the loss"),
        ("= 8", "= 3", "this is the loss in bits"),
        ("= 8", "= 64", "the loss is a MEAN"),
        ("= 8", "= 1 / 8", "upside down"),
        ("= 8", "= 12", "mean, then exp"),
    ],
    "5.13": [
        (RATES, "{0.0001: 3.98, 0.001: 2.82, 0.01: 0.03}", "read the LAST loss"),
        (RATES, "{0.0001: 3.86, 0.001: 2.82, 0.01: 0.5}", "the loss at lr = 0.01 is not 0.5"),
        (RATES, "{0.0001: 3.86}", "keep the dictionary"),
        ('"b"', '"a"', "compare a small lr"),
        ('"b"', '"c"', "by heart at lr = 0.01"),
        ('"b"', '"d"', "where does lr = 1 go in the first ten"),
    ],
}
