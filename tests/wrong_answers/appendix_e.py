"""Wrong answers to appendix E's exercises: see the package."""

A_AND_B = "(15360, 614)"
A_LINE = "self.A = nn.Parameter(torch.randn(in_dim, rank) / math.sqrt(in_dim))"
B_LINE = "self.B = nn.Parameter(torch.zeros(rank, out_dim))"
FORMULA = "self.alpha * (x @ self.A @ self.B)"
CHANGE = "linear.weight + alpha * (A @ B).T"
ZERO = "torch.zeros(rank, linear.out_features)"
RANDOM = "torch.randn(rank, linear.out_features)"
WALK = """    model.requires_grad_(False)
    for name, module in model.named_children():
        if isinstance(module, nn.Linear):
            setattr(model, name, LinearWithLoRA(module, rank, alpha))
        else:
            prepare_for_lora(module, rank, alpha)"""
LATE = """    for name, module in model.named_children():
        if isinstance(module, nn.Linear):
            setattr(model, name, LinearWithLoRA(module, rank, alpha))
        else:
            prepare_for_lora(module, rank, alpha)
    model.requires_grad_(False)"""
SHALLOW = """    model.requires_grad_(False)
    for name, module in model.named_children():
        if isinstance(module, nn.Linear):
            setattr(model, name, LinearWithLoRA(module, rank, alpha))"""
BETWEEN = """    for name, module in model.named_children():
        if isinstance(module, nn.Linear):
            setattr(model, name, LinearWithLoRA(module.requires_grad_(False), rank, alpha))
        else:
            prepare_for_lora(module, rank, alpha)"""

WRONG = {
    "E.1": [
        (A_AND_B, "(3840, 614)", "right for rank 1"),
        (A_AND_B, "(3072, 614)", "A alone"),
        (A_AND_B, "(12288, 614)", "B alone"),
        (A_AND_B, "(9437184, 614)", "A isn't as wide as the layer"),
        (A_AND_B, "(2359296, 614)", "the matrix of the layer itself"),
        (A_AND_B, "(15000, 614)", "A is (in, r)"),
        (A_AND_B, "(15360, 615)", "has more numbers already"),
        (A_AND_B, "(15360, 768)", "full rank"),
        (A_AND_B, "(15360, 600)", "from which r on"),
        (A_AND_B, "15360", "write two numbers"),
    ],
    "E.2": [
        (A_LINE, "self.A = torch.randn(in_dim, rank)", "A is no nn.Parameter"),
        ("torch.randn(in_dim, rank)", "torch.zeros(in_dim, rank)", "both zero"),
        ("torch.randn(in_dim, rank)", "torch.ones(in_dim, rank)", "random numbers were asked for"),
        ("torch.randn(in_dim, rank)", "torch.randn(rank, in_dim)", "wrong places"),
        ("torch.zeros(rank, out_dim)", "torch.randn(rank, out_dim)", "which of the two must be"),
        ("torch.zeros(rank, out_dim)", "torch.zeros(out_dim, rank)", "look at rank and out_dim"),
        (FORMULA, "x @ self.A @ self.B", "alpha has no effect"),
        (FORMULA, "self.alpha / self.A.shape[1] * (x @ self.A @ self.B)", "alpha / rank"),
        (FORMULA, "(x @ self.A @ self.B) / self.alpha", "divided by alpha"),
        (FORMULA, "self.alpha * (x @ self.A.detach() @ self.B)", "no gradient reaches"),
        (FORMULA, "self.alpha * (x[0] @ self.A @ self.B)", "an axis got lost"),
        (B_LINE, "pass", "the layer has no B"),
        ("        super().__init__()\n", "", "AttributeError"),
    ],
    "E.3": [
        ("(A @ B).T", "(A @ B)", "stopped with RuntimeError"),
        (CHANGE, "linear.weight", "nothing has been added"),
        ("alpha * (A", "(A", "alpha is missing"),
        ("alpha * (A", "alpha / A.shape[1] * (A", "scaled by alpha / rank"),
        ("linear.weight + ", "", "the old weight is lost"),
        ("            new.bias.copy_(linear.bias)", "            pass", "the bias isn't"),
        ("new.bias.copy_(linear.bias)", "new.bias = linear.bias", "is that of the old layer"),
        ("bias=has_bias", "bias=True", "hasn't the same"),
        ("(A @ B).T", "(A @ B).reshape(linear.weight.shape)", "Compare the shapes"),
        (
            "(A @ B).T",
            "(A @ B if len(A) == B.shape[1] else (A @ B).T)",
            "with a square layer the change is added untransposed",
        ),
        ("return new", "linear.weight.data.copy_(new.weight)\n    return linear", "changes its"),
        (
            "return new",
            "new.weight = linear.weight\n    return new",
            "nothing has been added",
        ),
    ],
    "E.4": [
        (ZERO, RANDOM, "one of two is mended, the weights are frozen"),
        ("linear.requires_grad_(False)", "linear", "at the start nothing changes; but"),
        (
            "torch.randn(linear.in_features, rank)",
            "torch.zeros(linear.in_features, rank)",
            "in 30 steps the loss doesn't fall",
        ),
        ("+ self.alpha * (x", "+ (x", "leave forward as it is"),
        ("self.B = nn.Parameter(" + ZERO + ")", "self.B = " + ZERO, "A and B, and nothing else"),
        ("return self.linear(x) + ", "return ", "differs from that of the linear layer"),
    ],
    "E.5": [
        (WALK, LATE, "one of two is mended, all layers have LoRA"),
        (WALK, SHALLOW, "one of two is mended, A and B learn"),
        (WALK, BETWEEN, "tensors besides A and B learn"),
        ("module, rank, alpha))", "module, alpha, rank))", "stopped with"),
        (
            "    model.requires_grad_(False)\n",
            "    model.requires_grad_(False)\n    rank = 1\n",
            "compare their order",
        ),
    ],
    "E.6": [
        ("8: 7", "8: 8", "it need not be the true rank"),
        ("32: 19", "32: 7", "read the line of 90 %"),
        ('"c"', '"a"', "above all the last one"),
        ('"c"', '"b"', "how steep is the curve"),
        ("2: 2, 8", "8", "keep the keys"),
    ],
}
