"""Wrong answers to chapter 4's exercises: see the package."""

ATTENTION = "4 * C * C + 4 * C\nfeed"
FORWARD = "C * 4 * C + 4 * C + 4 * C * C + C"
MERGED = "return {**GPT_CONFIG_124M, **changes}"
SHORTCUT = "block.drop_shortcut.p = shortcut"
NORM = "return scale * x / torch.sqrt(mean_square + eps)"
STOP = "        if idx_next.item() == stop_id:\n            break\n"
FIRST = "x = x + self.drop_shortcut(self.att(self.norm1(x)))"
NORMED = "x = self.norm1(x)\n        x = x + self.drop_shortcut(self.att(x))"
TIED = "model.out_head.weight = model.tok_emb.weight"

WRONG = {
    "4.1": [
        (ATTENTION, "4 * C * C\nfeed", "attention: no biases are counted"),
        (ATTENTION, "4 * C * C + C\nfeed", "three biases are missing"),
        (ATTENTION, "3 * C * C + 3 * C\nfeed", "what mixes the heads at the end?"),
        (ATTENTION, "16 * (4 * C * C + 4 * C)\nfeed", "heads cost nothing"),
        (ATTENTION, "5 * C * C\nfeed", "attention: too many"),
        (FORWARD, "8 * C * C", "one bias per OUTPUT"),
        (FORWARD, "8 * C * C + 2 * C", "how many outputs has the first layer?"),
        (FORWARD, "4 * C * C + 4 * C", "it widens, and then it narrows again"),
        (FORWARD, "2 * C * C + 2 * C", "the middle is too narrow"),
        (FORWARD, "8.5", "it is a whole number"),
    ],
    "4.2": [
        (MERGED, "GPT_CONFIG_124M.update(changes); return GPT_CONFIG_124M", "itself has changed"),
        ('"n_heads": width // 64', '"n_heads": 12', "a head would get 85.3333 channels"),
        ('"n_heads": width // 64, ', "", "a head would get 85.3333 channels"),
        (', "qkv_bias": True', "", "has no bias on queries"),
        ("width, layers = sizes", "layers, width = sizes", "width and depth are swapped"),
        (MERGED, "return changes", "has no 'vocab_size'"),
        (
            MERGED,
            "return {**GPT_CONFIG_124M, **changes, 'vocab_size': 50000}",
            "look at vocab_size",
        ),
        (MERGED, "return {**GPT_CONFIG_124M, **changes, 'n_head': 1}", "makes no model"),
        ("if size not in sizes", "if False", "an unknown size should raise a ValueError"),
        ("(1280, 36)", "(1280, 35)", "compare it with the table"),
    ],
    "4.3": [
        ("dropout.p = attention", "dropout.p = shortcut", "the attention rate is 0.4, not 0.2"),
        ("in model.trf_blocks", "in model.trf_blocks[:1]", "right in one block and not in all"),
        (SHORTCUT, "pass", "the shortcut rate is still the drop_rate of cfg"),
        ("model.drop_emb.p = embedding", "model.drop_emb = embedding", "stopped with TypeError"),
        (
            f"block.att.dropout.p = attention\n        {SHORTCUT}",
            "block.att.dropout.p = shortcut\n        block.drop_shortcut.p = attention",
            "have each other's rate",
        ),
        (
            "model = GPTModel(cfg)",
            "cfg['drop_rate'] = 0; model = GPTModel(cfg)",
            "changes its input",
        ),
        ("return model", "return model.eval()", "the model comes in eval mode"),
        ("    return model", "    pass", "does every way through it end in `return`?"),
    ],
    "4.4": [
        ("math.log(1000)", "math.log2(1000)", "the logarithm to base 2"),
        ("math.log(1000)", "math.log10(1000)", "the logarithm to base 10"),
        ("math.log(1000)", "1 / 1000", "the probability of the right token"),
        ("math.log(1000)", "-math.log(1000)", "a loss is never negative"),
        ("math.log(1000)", "10.82", "GPT-2's vocabulary"),
        ("math.log(1000)", "8.0", "too high"),
        ("math.log(1000)", "5", "too low"),
        ("math.log(1000)", "0.0", "this model knows nothing"),
    ],
    "4.5": [
        (NORM, "return torch.nn.functional.layer_norm(x, x.shape[-1:], scale)", "layer norm"),
        (NORM, NORM.replace("* x /", "* (x - x.mean(-1, keepdim=True)) /"), "mean is subtracted"),
        ("x.square().mean(dim=-1", "x.square().mean(dim=0", "over the texts of the batch"),
        ("x.square().mean(dim=-1", "x.square().mean(dim=1", "over the tokens"),
        ("mean(dim=-1, keepdim=True)", "mean()", "over everything"),
        ("mean(dim=-1, keepdim=True)", "mean(dim=-1)", "stopped with RuntimeError"),
        ("x.square().mean(", "x.square().sum(", "it is divided by the length"),
        ("torch.sqrt(mean_square + eps)", "(mean_square + eps)", "a root is missing"),
        ("torch.sqrt(mean_square + eps)", "(torch.sqrt(mean_square) + eps)", "goes under the root"),
        ("scale * x", "x", "the scale is missing"),
        (" + eps", "", "nan among the numbers"),
        ("x.square().mean(", "x.var(correction=0, ", "distances from the MEAN"),
    ],
    "4.6": [
        ("idx[:, -context_size:]", "idx[:, :context_size]", "the beginning of the text"),
        ("idx[:, -context_size:]", "idx", "was shown 14 tokens"),
        (")[:, -1]", ")[:, 0]", "at the FIRST place"),
        (")[:, -1]", ")[:, -2]", "the last place but one"),
        (STOP, "", "it doesn't stop at the stop token"),
        (
            STOP + "        idx = torch.cat([idx, idx_next], dim=1)\n",
            "        idx = torch.cat([idx, idx_next], dim=1)\n" + STOP,
            "the stop token is in the result",
        ),
        ("range(max_new_tokens)", "range(max_new_tokens - 1)", "fewer than that"),
        ("range(max_new_tokens)", "range(max_new_tokens + 1)", "more than that"),
        ("return idx", "return idx[:, 3:]", "only the new tokens come back"),
        (
            "    return idx",
            "    found = (idx[0] == stop_id).nonzero()\n"
            "    return idx[:, : found[0]] if len(found) else idx",
            "a stop token in the prompt changes the result",
        ),
        (
            "idx = torch.cat([idx, idx_next], dim=1)",
            "idx = torch.cat([idx_next, idx], 1)",
            "appended",
        ),
        ("keepdim=True", "keepdim=False", "stopped with RuntimeError"),
    ],
    "4.7": [
        (FIRST, NORMED, "one of two is mended, but the first shortcut"),
        ("self.norm2", "self.norm1", "one of two is mended, but one of the two norms"),
        (
            "return x + self.drop_shortcut(self.ff(self.norm2(x)))",
            "return self.norm2(x + self.drop_shortcut(self.ff(self.norm2(x))))",
            "there is a norm too many",
        ),
        ("self.att(self.norm1(x))", "self.att(x)", "without a norm"),
        (
            "self.drop_shortcut(self.ff(self.norm2(x)))",
            "self.ff(self.norm2(x))",
            "the dropout of the branches",
        ),
        ("return x + ", "return ", "the outputs are others"),
    ],
    "4.8": [
        (TIED, "model.out_head.weight.data = model.tok_emb.weight.data", "two Parameters for it"),
        (
            TIED,
            "model.tok_emb.weight = model.out_head.weight",
            "which of the two tables is to stay?",
        ),
        (
            TIED,
            "model.out_head.weight = torch.nn.Parameter(model.tok_emb.weight.clone())",
            "equal, and not identical",
        ),
        (TIED, "model.out_head = model.tok_emb", "a layer was replaced"),
        (TIED, "pass", "the two tables are as they were"),
        (TIED, "model.out_head.weight = model.tok_emb.weight.data", "stopped with TypeError"),
    ],
    "4.9": [
        ("5: 10.72", "5: 18.8", "the loss is lower than 18.8"),
        ("20: 36.56", "20: 18.8", "the loss is higher than 18.8"),
        ("1: 7.06", "1: 6.91", "the loss for 1 is that for 0"),
        ('"b"', '"a"', "only the head's weights differ"),
        ('"b"', '"c"', "is the same for every factor"),
        ('"b"', '"d"', "is the model doubtful or sure?"),
        ("{0: 6.91, ", "{", "keep the dictionary"),
    ],
}
