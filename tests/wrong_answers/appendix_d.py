"""Wrong answers to appendix D's exercises: see the package."""

RATES = "(0.001, 0.0055, 0.01, 0.005)"
DOWN = "0.5 * (1 + math.cos(math.pi * progress))"
CLIP = """    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()"""
LATE = """    optimizer.step()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)"""
ZERO = "    optimizer.zero_grad()\n"
EARLY = """    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    loss.backward()
    optimizer.step()"""
EACH = """    norm = sum(torch.nn.utils.clip_grad_norm_([p], max_norm) for p in model.parameters())
    optimizer.step()"""
VALUES = """    norm = loss
    torch.nn.utils.clip_grad_value_(model.parameters(), max_norm)
    optimizer.step()"""
SHARE = "share = (targets != -100).sum().item() / count"
LOOP = "        share = "
ZEROED = "    model.zero_grad()\n    total"

WRONG = {
    "D.1": [
        (RATES, "(0, 0.0055, 0.01, 0.005)", "where does the warmup begin?"),
        (RATES, "(0.001, 0.005, 0.01, 0.005)", "for a warmup from 0"),
        (RATES, "(0.001, 0.006, 0.01, 0.005)", "half-way between which two rates?"),
        (RATES, "(0.001, 0.0055, 0.0095, 0.005)", "in this very step"),
        (RATES, "(0.001, 0.0055, 0.01, 0.003455)", "not from step 0"),
        (RATES, "(0.001, 0.0055, 0.01, 0.004)", "symmetric about its middle"),
        (RATES, "0.001", "write four numbers"),
    ],
    "D.2": [
        ("* step / warmup_steps", "* (step + 1) / warmup_steps", "one step ahead"),
        ("* step / warmup_steps", "* step / (warmup_steps - 1)", "arrives a step too early"),
        ("initial_lr + (peak_lr - initial_lr) * step", "peak_lr * step", "begins at 0"),
        (
            "return initial_lr + (peak_lr - initial_lr) * step / warmup_steps",
            "return peak_lr",
            "there is no warmup",
        ),
        ("initial_lr) * step", "initial_lr) ** 2 * step", "how much is added per step?"),
        ("if step < start:", "if step < start - 1:", "doesn't stay at the peak"),
        (
            "(step - start) / (total_steps - start)",
            "(step - warmup_steps) / (total_steps - warmup_steps)",
            "after warmup AND holding",
        ),
        ("(step - start) / (total_steps - start)", "step / total_steps", "from which step on"),
        (DOWN, "(1 - progress)", "a straight line"),
        (DOWN, "math.cos(math.pi / 2 * progress)", "a quarter of a wave"),
        (DOWN, "0.5 * (1 - math.cos(math.pi * progress))", "after the holding it rises"),
        (DOWN, "(1 + math.cos(math.pi * progress))", "at twice the height"),
        ("math.cos(math.pi * progress)", "math.cos(math.radians(math.pi * progress))", "radians"),
        ("min_lr + (peak_lr - min_lr)", "peak_lr", "it falls to 0"),
        ("(peak_lr - min_lr) *", "peak_lr *", "added on top"),
        ("if step < warmup_steps:", "if step <= warmup_steps:", "0 is divided by 0"),
    ],
    "D.3": [
        (CLIP, LATE, "one of two is mended, each loss counts once"),
        (ZERO, "", "one of two is mended, the clipping"),
        ("    loss.backward()\n" + CLIP, EARLY, "one of two is mended, each loss counts once"),
        (CLIP, EACH, "each tensor is clipped by itself"),
        (CLIP, VALUES, "each number is clipped by itself"),
        ("    optimizer.step()\n", "", "nothing has moved"),
        ("return norm.item()", "return min(norm.item(), max_norm)", "that after the clipping"),
        ("return norm.item()", "return loss.item()", "the norms given back are others"),
        ("    return norm.item()", "    norm.item()", "gives back None"),
    ],
    "D.4": [
        (SHARE, "share = 1 / len(parts)", "one of two is mended, all parts count"),
        (LOOP, "        model.zero_grad()\n        share = ", "the shares are right; but only"),
        (SHARE, "share = 1", "added undivided"),
        (SHARE, "share = (targets != -100).sum().item()", "a sum over all targets"),
        (SHARE, "share = 1 / (targets != -100).sum().item()", "the mean is taken twice"),
        (SHARE, "share = (targets != -100).sum().item() / 48", "that the loss skips are counted"),
        (SHARE, "share = targets.numel() / 48", "one of two is mended, all parts count"),
        ("    return total", "    pass", "gives back None"),
        ("total += loss.item()", "total += loss.item() / len(parts)", "the same shares"),
        ("        loss.backward()\n", "", "who calls backward()?"),
        (ZEROED, "    total", "old gradients are mixed in"),
    ],
    "D.5": [
        ('    optimizer.load_state_dict(kept["optimizer"])\n', "", "the schedule goes on; but"),
        ('return kept["step"]', "return 0", "one of two is mended, the optimizer is put back"),
        ("return copy.deepcopy(kept)", "return kept", "holds the tensors themselves"),
        (
            "return copy.deepcopy(kept)",
            'return {**kept, "model": copy.deepcopy(kept["model"])}',
            "holds the tensors themselves",
        ),
        ('return kept["step"]', 'return kept["step"] + 1', "which numbers change"),
        ('return kept["step"]', "return 7", "is a 7 in your code?"),
        ('return kept["step"]', "pass", "None"),
        ('"optimizer": optimizer.state_dict(), ', "", "stopped with KeyError"),
    ],
    "D.6": [
        ("0.99: 808", "0.99: 858", "counted from the accident"),
        ("0.999: 5810", "0.999: 808", "read the printed line"),
        ('"b"', '"a"', "by what factor"),
        ('"b"', '"c"', "set LIMIT to 1.0"),
        ("0.9: 99, ", "", "keep the keys"),
    ],
}
