"""Wrong answers to appendix F's exercises: see the package."""

FACTORS = "(4, 2, 2, 2)"
FLOP = "6 * (12 * L * C * C + V * C) + 12 * L * T * C"
SHARE = "flop * tokens_per_second / peak"
SUM = 'F.cross_entropy(logits, targets[part], reduction="sum")'
KEYS = "torch.cat([keys, layer.W_key(x)], dim=1)"
MASK = "layer.mask[:1, : keys.shape[1]]"
WEIGHTS = "torch.softmax(scores, dim=-1)"
RESULT = WEIGHTS + " @ values, keys, values"
RETURN = "total / (targets != -100).sum()"

WRONG = {
    "F.1": [
        (FACTORS, "(2, 2, 2, 2)", "both sides of such a matrix"),
        (FACTORS, "(4, 4, 2, 2)", "which of V and C grows"),
        (FACTORS, "(4, 2, 4, 2)", "how long are their vectors"),
        (FACTORS, "(4, 2, 2, 4)", "for one token, not for the text"),
        (FACTORS, "(4, 2, 2)", "write four numbers"),
        (FACTORS, "(4, 2, 2, None)", "write a number"),
    ],
    "F.2": [
        (FLOP, "2 * (12 * L * C * C + V * C) + 4 * L * T * C", "forward pass alone"),
        (FLOP, "6 * (12 * L * C * C + V * C)", "attention is missing"),
        (FLOP, "6 * 12 * L * C * C + 12 * L * T * C", "the head is missing"),
        (FLOP, "6 * (12 * L * C * C + V * C) + 12 * L * T * T * C", "counts a whole text"),
        (FLOP, "6 * (12 * L * C * C + 2 * V * C) + 12 * L * T * C", "operations a second"),
        (SHARE, "100 * flop * tokens_per_second / peak", "in percent"),
        (SHARE, "peak / (flop * tokens_per_second)", "the wrong way round"),
        (SHARE, "str(flop)", "write a number"),
    ],
    "F.3": [
        (SUM, "F.cross_entropy(logits, targets[part])", "three equal strips: another loss"),
        (RETURN, "total", "that is the sum"),
        (RETURN, "F.cross_entropy(hidden @ weight.T, targets)", "rows of logits at once"),
        (RETURN, "total / len(targets)", "tokens that don't count are counted"),
        (RETURN, "(total / (targets != -100).sum()).detach()", "no gradient gets through"),
        (RETURN, "(total / (targets != -100).sum()).item()", "a loss is a tensor"),
        (SUM, "F.cross_entropy(logits, targets[part]) * len(logits)", "in one strip: another loss"),
    ],
    "F.4": [
        ('"bfloat16": 256', '"bfloat16": 5000', "doesn't get as far"),
        ('"float16": 2048', '"float16": 256', "make NUMBER larger"),
        ('= "b"', '= "a"', "far beyond these numbers"),
        ('= "b"', '= "c"', "ever move again"),
        ('= "b"', '= "d"', "write one of the letters"),
    ],
    "F.5": [
        (KEYS, "keys", "stopped with RuntimeError"),
        (KEYS, "torch.cat([layer.W_key(x), keys], dim=1)", "another output"),
        (KEYS, "torch.cat([keys, layer.W_key(x)], dim=0)", "stopped with RuntimeError"),
        (RESULT, WEIGHTS + " @ values, keys.flip(1), values", "keys are others"),
        (RESULT, WEIGHTS + " @ values, keys[:, 1:], values", "keys has the shape"),
        (RESULT, WEIGHTS + " @ values", "output, keys, values"),
        (" / keys.shape[-1] ** 0.5", "", "unscaled"),
        (WEIGHTS, "torch.softmax(scores, dim=1)", "another output"),
        (WEIGHTS, "scores.masked_fill(" + MASK + ", -1e9).softmax(-1)", "doesn't see itself"),
        (WEIGHTS + " @ values", "layer.W_value(x)", "sees itself only"),
    ],
}
