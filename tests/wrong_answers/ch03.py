"""Wrong answers to chapter 3's exercises: see the package."""

SWAP = "v2.W_query.weight.copy_(v1.W_query.T)\n        v2.W_key.weight.copy_(v1.W_key.T)"
SWAPPED = "v2.W_query.weight.copy_(v1.W_key.T)\n        v2.W_key.weight.copy_(v1.W_query.T)"
SCORES = "scores = queries @ keys.transpose(1, 2) / D**0.5"
VIEW = "x.view(B, T, num_heads, channels // num_heads).transpose(1, 2)"
MASK = "attn_mask=~layer.mask[:T, :T]"
RATE = "layer.dropout.p if layer.training else 0.0"

WRONG = {
    "3.1": [
        ("v1.W_key.T", "v1.W_key", "`v2.W_key.weight.copy_(v1.W_key)`, stopped with RuntimeError"),
        (SWAP, SWAPPED, "query, key and value are mixed up"),
        ("v2.W_value.weight.copy_(v1.W_value.T)", "pass", "W_value has other numbers"),
        ("SelfAttention_v2(d_in, d_out)", "SelfAttention_v2(d_out, d_in)", "RuntimeError"),
        ("SelfAttention_v2(d_in, d_out)", "SelfAttention_v2(d_in, d_out, True)", "adds a bias"),
        (
            "v2.W_query.weight.copy_(v1.W_query.T)",
            "v2.W_query.weight = torch.nn.Parameter(v1.W_query.T)",
            "both look at one storage",
        ),
        (
            "v2.W_query.weight.copy_(v1.W_query.T)",
            "v2.W_query.weight = v1.W_query",
            "the sizes are right and stand in the wrong places: look at d_out and d_in",
        ),
        (
            "v2.W_query.weight.copy_(v1.W_query.T)",
            "v2.W_query.weight.copy_(v1.W_query.reshape(d_out, d_in))",
            "W_query has other numbers",
        ),
        ("return v2", "v2", "does every way through it end in `return`?"),
        ("return v2", "return v1", "a SelfAttention_v2 was asked for"),
    ],
    "3.2": [
        ("channels // num_heads, 6", "channels, 6", "d_out is the size of ONE head"),
        ("channels // num_heads, 6, 0.0, num_heads", "channels, 6, 0.0, 1", "there are 1 heads"),
        ("if channels % num_heads != 0", "if False", "should raise a ValueError"),
        ("channels // num_heads", "channels / num_heads", "stopped with TypeError"),
        ("num_heads, 6, 0.0", "num_heads, 1000, 0.0", "6 tokens, without dropout"),
        ("num_heads, 6, 0.0", "num_heads, 6, 0.5", "6 tokens, without dropout"),
        ("d_in, channels // num_heads", "channels // num_heads, d_in", "shapes"),
    ],
    "3.3": [
        ("width, width, 1024", "width, 64, 1024", "d_out (64) must be divisible"),
        ("width, width, 1024", "width, width * 12, 1024", "size of ALL heads together"),
        ("width // 64", "12", "stopped with ValueError: d_out (1024)"),
        ("width // 64", "64", "64 is the number of channels of ONE head"),
        ("width // 64", "width // 128", "a head has 128 channels"),
        (", qkv_bias=True", "", "the queries have no bias"),
        ("1024, 0.1", "256, 0.1", "the context is 256 tokens"),
        ("1024, 0.1", "1024, 0.0", "the dropout rate is 0.0"),
    ],
    "3.4": [
        ("[0, 1]", "[0, 1, 2]", "may a token see itself?"),
        ("[0, 1]", "[2, 3, 4, 5]", "these are the outputs that move"),
        ("[0, 1]", "[3, 4, 5]", "which tokens can token 2 be seen by?"),
        ("[0, 1]", "[]", "some outputs do stay"),
        ("[0, 1]", "[1, 2]", "everything is one place off"),
        ("[0, 1]", "[0]", "which rows have a 1 in column 2?"),
        ("[0, 1]", "[0, 6]", "a position that doesn't exist"),
        ("[0, 1]", "'the first two'", "write a list of positions"),
    ],
    "3.5": [
        ("causal_mask(T)", "causal_mask(T).T", "the mask hides the wrong side"),
        ("causal_mask(T)", "~causal_mask(T)", "the mask is inverted"),
        ("causal_mask(T)", "torch.ones(T, T).triu(0).bool()", "no token sees itself"),
        ("causal_mask(T)", "torch.zeros(T, T).bool()", "nothing is hidden yet"),
        ('float("-inf")', "0", "a score of 0 isn't a weight of 0"),
        ('float("-inf")', "-50", "which score becomes a weight of 0 whatever the others are?"),
        ('float("-inf")', "-1000", "where all scores are far below 0"),
        ("dim=-1", "dim=-2", "each column adds up to 1"),
        ("dim=-1", "dim=0", "across the texts of the batch"),
        ("torch.softmax(masked, dim=-1)", "torch.softmax(scores, -1).tril()", "mask before it"),
        ("torch.softmax(masked, dim=-1)", "masked", "these are masked scores"),
        (" / D**0.5", "", "unscaled"),
        ("D**0.5", "D", "divided by too much"),
        ("D**0.5", "T**0.5", "scaled by the wrong length"),
        (SCORES, "scores = keys @ queries.transpose(1, 2) / D**0.5", "have changed places"),
        ("keys.transpose(1, 2)", "keys.T", "stopped with"),
        ("causal_mask(T)", "causal_mask(5)", "is a size fixed somewhere?"),
        ("masked, dim=-1)", "masked, dim=-1)[0]", "an axis got lost"),
        ("scores = queries", "queries *= 1.5\n    scores = queries", "changes its input"),
    ],
    "3.6": [
        (VIEW, "x.view(B, num_heads, T, -1)", "view alone only recounts"),
        (VIEW, "x.view(B, T, -1, num_heads).permute(0, 3, 1, 2)", "every third channel"),
        (VIEW, "x.view(B, T, num_heads, -1)", "look at H and T"),
        (VIEW, "x.view(B, T, num_heads, -1).transpose(1, 2).flip(1)", "in reverse order"),
        ("if channels % num_heads != 0", "if False", "no ValueError"),
        (VIEW, "x.view(B, T, num_heads, -1).permute(0, 2, 3, 1)", "wrong places: look at T and D"),
    ],
    "3.7": [
        ("self.head_dim**0.5", "self.W_query.out_features**0.5", "one of two is mended, no token"),
        ("scores / self.head_dim**0.5", "scores", "the scores are not scaled at all"),
        ("values).transpose(1, 2)", "values)", "one of two is mended, the weights are right"),
        (
            "values).transpose(1, 2)",
            "values).transpose(2, 3)",
            "a changed last token moves earlier outputs",
        ),
        ("self.head_dim**0.5", "2**0.5", "other sizes"),
    ],
    "3.8": [
        (MASK, "attn_mask=layer.mask[:T, :T]", "every token sees only later ones"),
        (MASK, "attn_mask=None", "every token sees all others"),
        (MASK, "attn_mask=layer.mask[:T, :T].T", "not itself"),
        (MASK, "attn_mask=(~layer.mask[:T, :T]).float()", "torch ADDS a mask"),
        (RATE, "layer.dropout.p", "one bug is mended"),
        (RATE, "0.0", "in training mode nothing is dropped"),
        ("queries, keys, values,", "queries / 2, keys, values,", "the outputs are others"),
    ],
    "3.9": [
        ("16: 8", "16: 16", "go back along the curve"),
        ("16: 8", "16: 4", "that isn't above one half yet"),
        ('"b"', '"a"', "compare their heights"),
        ('"b"', '"c"', "higher or lower"),
        ('"b"', '"B and c"', "write one of the letters"),
        ("{4: 2, ", "{", "keep the dictionary"),
    ],
}
