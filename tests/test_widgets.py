"""What the widgets of chapters 2 to 5 show, against torch, tiktoken, transformers and figures."""

import html
import importlib.util
import math
import re
import warnings
from itertools import pairwise

import pytest
import tiktoken
import torch
import torch.nn.functional as F
from conftest import ROOT
from IPython.core.formatters import DisplayFormatter

import previous_chapters as course
from course.preview import lend
from course.widgets.attention import (
    AttentionExplorer,
    attention_inputs,
    head_weights,
    one_layer,
    whole_model,
)
from course.widgets.calculator import ParameterCalculator, count_model, count_parts, memory
from course.widgets.explorer import Explorer, printable
from course.widgets.lens import LogitLens, logit_lens
from course.widgets.loss import LossPlayground, logit_for, loss_of
from course.widgets.sampling import (
    SamplingPlayground,
    effective_choices,
    keep_top_p,
    next_logits,
    sampling_distribution,
)
from course.widgets.tokenizer import TokenizerExplorer, merge_steps
from course.widgets.windows import WindowExplorer, times_an_input, windows

FAST = tiktoken.get_encoding("gpt2")
GPT2 = course.BPETokenizer.from_gpt2(ROOT / "course" / "gpt2-bpe")
STORY = (ROOT / "ch02" / "the-verdict.txt").read_text(encoding="utf-8")
TEXT = "The old man took off his"
XL = {"emb_dim": 1600, "n_layers": 48, "n_heads": 25, "qkv_bias": True}
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def mini():
    return lend(ROOT / "models").model


# What is shown, computed without a widget


@pytest.mark.parametrize(
    "text", [STORY[:300], "naïve — 日本語 🙂  x", "a<|endoftext|> b", "", "\n\n  tea's"]
)
def test_merge_steps_end_with_the_ids_of_tiktoken_and_each_merges_one_pair(text):
    stages = merge_steps(GPT2, text)
    expected = FAST.encode(text, allowed_special="all")
    assert [i for piece in stages[-1][1] for i in piece] == expected
    start = [i for piece in stages[0][1] for i in piece]
    special = GPT2.special_tokens["<|endoftext|>"]
    assert start.count(special) == text.count("<|endoftext|>")
    assert all(i < 256 or i == special for i in start)
    for (_, before), (merge, after) in pairwise(stages):
        left, right, new = merge
        assert GPT2.table[new] == GPT2.table[left] + GPT2.table[right]
        assert sum(map(len, after)) < sum(map(len, before))
        assert GPT2.decode([i for piece in after for i in piece]) == text


@pytest.mark.parametrize(("max_length", "stride"), [(4, 4), (4, 1), (3, 5), (1, 1), (7, 2)])
def test_windows_are_those_of_the_loader(max_length, stride):
    ids = FAST.encode(STORY[:120])
    places = windows(course.GPTDatasetV1, "any", len(ids), max_length, stride)
    loader = course.create_dataloader_v1(STORY[:120], 1, max_length, stride, shuffle=False)
    theirs = [(x[0].tolist(), y[0].tolist()) for x, y in loader]
    assert [([ids[p] for p in x], [ids[p] for p in y]) for x, y in places] == theirs
    seen = times_an_input(places, len(ids))
    assert sum(seen) == max_length * len(theirs)
    assert seen[0] == 1
    assert seen[-1] == 0  # the last token can only be a target
    if stride > max_length:
        assert seen[max_length] == 0


def test_head_weights_with_and_without_the_mask_are_those_of_torch():
    torch.manual_seed(0)
    ours = course.MultiHeadAttention(16, 16, 9, 0.0, 4, qkv_bias=True)
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    parts = [ours.W_query, ours.W_key, ours.W_value]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    x = torch.randn(1, 7, 16)
    hidden = torch.ones(7, 7).triu(1).bool()
    for masked, mask in [(True, hidden), (False, None)]:
        _, expected = theirs(x, x, x, attn_mask=mask, average_attn_weights=False)
        torch.testing.assert_close(head_weights(ours, x, masked), expected[0].detach())
    assert ours.mask.any()  # the layer is as it was


@needs_transformers
def test_attention_and_lens_of_the_mini_are_those_of_transformers(mini, tmp_path):
    import transformers

    course.save_for_transformers(mini, tmp_path)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, attn_implementation="eager")
    ids = torch.tensor([FAST.encode(TEXT)])
    with torch.no_grad():
        out = theirs.eval()(ids, output_attentions=True, output_hidden_states=True)
    tokens, weights = whole_model(mini, FAST)(TEXT, True)
    assert "".join(tokens) == TEXT
    expected = torch.cat(out.attentions)
    torch.testing.assert_close(weights, expected, atol=1e-4, rtol=0)
    found, probabilities = logit_lens(mini, ids, number=3)
    normed = [theirs.transformer.ln_f(x) for x in out.hidden_states[:-1]]
    normed.append(out.hidden_states[-1])  # transformers gives the last one normed
    with torch.no_grad():
        logits = torch.stack([theirs.lm_head(x)[0] for x in normed])  # (L + 1, T, V)
    best = logits.softmax(dim=-1).topk(3)
    torch.testing.assert_close(probabilities, best.values, atol=1e-4, rtol=1e-3)
    assert (found == best.indices).float().mean() > 0.98  # near ties may swap


def test_the_first_layer_without_a_mask_sees_all_and_the_model_is_left_alone(mini):
    mini.train()
    try:
        hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in mini.modules())
        _, weights = whole_model(mini, FAST)(TEXT, False)
        assert (weights[0].triu(1)[:, :-1].amax(dim=-1) > 0).all()
        _, again = whole_model(mini, FAST)(TEXT, False)
        assert torch.equal(weights, again)  # no dropout, although the model trains
        logits = next_logits(mini, FAST.encode(TEXT))
        assert torch.equal(logits, next_logits(mini, FAST.encode(TEXT)))
        residual = logit_lens(mini, torch.tensor([FAST.encode(TEXT)]))[1]
        assert residual.shape == (7, 6, 5)
        assert mini.training
        after = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in mini.modules())
        assert hooks == after
        assert len(attention_inputs(mini, torch.tensor([[1, 2]]))) == 6
    finally:
        mini.eval()


def test_parameters_are_the_published_numbers_and_those_of_the_real_model():
    config = course.GPT_CONFIG_124M
    assert sum(count_parts(config).values()) == 163_009_536
    assert sum(count_parts(config, tied=True).values()) == 124_412_160
    assert sum(count_parts({**config, **XL}, tied=True).values()) == 1_557_611_200
    small = {**config, "vocab_size": 90, "context_length": 8, "emb_dim": 12, "n_heads": 3}
    for changes in [{}, {"qkv_bias": True}, {"n_layers": 1}, {"context_length": 5}]:
        model = course.GPTModel({**small, **changes})
        parts = count_parts({**small, **changes})
        assert sum(parts.values()) == sum(p.numel() for p in model.parameters())
        blocks = sum(p.numel() for p in model.trf_blocks.parameters())
        final = sum(p.numel() for p in model.final_norm.parameters())
        assert parts["attention"] + parts["feed-forward"] + parts["layer norms"] == blocks + final
        model.out_head.weight = model.tok_emb.weight
        tied = sum(p.numel() for p in model.parameters())
        assert count_model(course.GPTModel, {**small, **changes}, tied=True) == tied


def test_memory_is_what_a_model_and_its_optimiser_take():
    config = {**course.GPT_CONFIG_124M, "vocab_size": 90, "emb_dim": 12, "n_heads": 3}
    config = {**config, "context_length": 8, "n_layers": 1}
    model = course.GPTModel(config)
    needed = memory(sum(count_parts(config).values()))
    size = lambda tensors: sum(t.numel() * t.element_size() for t in tensors) / 2**30  # noqa: E731
    weights = size(model.parameters())
    assert needed["weights, float32"] == pytest.approx(weights)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.tensor([[1, 2]])).sum().backward()
    optimizer.step()
    moments = [t for s in optimizer.state.values() for t in (s["exp_avg"], s["exp_avg_sq"])]
    training = weights + size(p.grad for p in model.parameters()) + size(moments)
    assert needed["training with AdamW, float32"] == pytest.approx(training)
    assert needed["weights, bfloat16"] == pytest.approx(size(model.bfloat16().parameters()))


def test_loss_perplexity_and_gradient_are_those_of_torch():
    torch.manual_seed(1)
    for target in range(4):
        logits = (8 * torch.randn(5)).double().requires_grad_()
        expected = F.cross_entropy(logits[None], torch.tensor([target]))
        expected.backward()
        probabilities, loss, perplexity, gradient = loss_of(logits.tolist(), target)
        assert loss == pytest.approx(expected.item())
        assert perplexity == pytest.approx(expected.exp().item())
        torch.testing.assert_close(torch.tensor(gradient).double(), logits.grad)
        assert sum(probabilities) == pytest.approx(1)
    moved = [1.0, logit_for(0.2, [1.0, 5.0, -1.0], 1), -1.0]
    assert loss_of(moved, 1)[0][1] == pytest.approx(0.2)


@needs_transformers
def test_sampling_distributions_are_those_of_transformers():
    import transformers

    torch.manual_seed(2)
    for temperature, top_k, top_p in [(1, None, 0.9), (0.7, 5, 0.5), (2, 40, 0.3), (1.5, 7, 1.0)]:
        logits = 3 * torch.randn(200)
        warpers = [transformers.TemperatureLogitsWarper(float(temperature))]
        warpers += [transformers.TopKLogitsWarper(top_k)] if top_k else []
        warpers += [transformers.TopPLogitsWarper(top_p)] if top_p < 1 else []
        scores = transformers.LogitsProcessorList(warpers)(
            torch.tensor([[0]]), logits[None].clone()
        )
        ours = sampling_distribution(logits, temperature, top_k, top_p)
        torch.testing.assert_close(ours.float(), scores[0].softmax(dim=-1))


def test_limits_of_the_three_knobs():
    logits = torch.tensor([1.0, 3.0, 2.0])
    assert sampling_distribution(logits, temperature=0).tolist() == [0, 1, 0]
    plain = sampling_distribution(logits)
    torch.testing.assert_close(plain.float(), logits.softmax(dim=-1))
    assert sampling_distribution(logits, 5.0, top_k=1).tolist() == [0, 1, 0]
    assert keep_top_p(plain, 1e-6).tolist() == [0, 1, 0]
    torch.testing.assert_close(keep_top_p(plain, 1.0), plain)
    assert effective_choices(torch.full((8,), 1 / 8)) == pytest.approx(8)
    assert effective_choices(torch.tensor([1.0, 0.0])) == pytest.approx(1)
    for top_p in (0, 1.1, -1):
        with pytest.raises(ValueError, match="top_p must be above 0"):
            keep_top_p(plain, top_p)


def test_tokens_in_pictures_are_visible_and_no_formula():
    assert printable(" a\n") == "␣a⏎"
    assert printable("$x$") == r"\$x\$"
    assert printable("🙂") == "▯"
    assert len(printable("x" * 50)) <= 14


# The widgets: a changed value changes what is shown


def read(text):
    torch.manual_seed(3)
    table = torch.randn(128, 8)
    return list(text), table[[ord(sign) % 128 for sign in text]][None]


class Made(dict):
    """The explorers by name, each made when it is asked for the first time."""

    def __init__(self, mini):
        self.mini = mini

    def __missing__(self, name):
        self[name] = MAKE[name](self.mini)
        return self[name]


def single_layer():
    torch.manual_seed(4)
    return one_layer(course.MultiHeadAttention(8, 8, 30, 0.0, 2), read)


def tokenizers():
    return {"story": course.BPETokenizer.train(STORY[:3000], 400), "GPT-2": GPT2}


MAKE = {
    "tokenizer": lambda mini: TokenizerExplorer(tokenizers(), "Jack likes pizza"),
    "windows": lambda mini: WindowExplorer(course.GPTDatasetV1, FAST, STORY[:70]),
    "one layer": lambda mini: AttentionExplorer(single_layer(), "abcdefg"),
    "attention": lambda mini: AttentionExplorer(whole_model(mini, FAST), TEXT, layer=3),
    "calculator": lambda mini: ParameterCalculator(course.GPTModel, course.GPT_CONFIG_124M),
    "loss": lambda mini: LossPlayground({"bread": 2.0, "cake": 1.5, "bricks": -2.0}, "cake"),
    "sampling": lambda mini: SamplingPlayground({"mini": mini}, FAST, TEXT),
    "lens": lambda mini: LogitLens(mini, FAST, TEXT),
}
CHANGES = {
    "tokenizer": {"merges": 2, "text": "tea", "tokenizer": "GPT-2"},
    "windows": {"max_length": 3, "stride": 1, "text": STORY[70:140]},
    "one layer": {"token": 2, "head": 1, "masked": False, "text": "hgfedcb"},
    "attention": {"token": 3, "layer": 1, "head": 2, "masked": False, "text": "He was so"},
    "calculator": {"n_layers": 24, "emb_dim": 384, "n_heads": 4, "vocab_size": 1000}
    | {"context_length": 256, "qkv_bias": True, "tied": True},
    "loss": {"target": "bricks", "probability": 0.9, "logit 0": -1.0},
    "sampling": {"temperature": 0.3, "top_k": 5, "top_p": 0.5, "text": "He was"},
    "lens": {"place": 2, "layer": 3, "text": "He was"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_control_changes_what_is_shown(name, mini):
    explorer = Made(mini)[name]
    assert isinstance(explorer, Explorer)
    for control, value in CHANGES[name].items():
        before = explorer.shown.value
        explorer.controls[control].value = value
        assert explorer.shown.value != before, control
        assert "alert" not in explorer.shown.value, explorer.shown.value
    for control in explorer.controls.values():
        assert control.description, "a label that says what it is"


@pytest.mark.parametrize("name", CHANGES)
def test_without_a_frontend_there_is_a_text_and_no_warning(name, mini, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        explorer = Made(mini)[name]
        data, _ = DisplayFormatter().format(explorer)
        explorer.show()
    assert "live notebook" in data["text/plain"]
    assert len(data["text/plain"].splitlines()) > 4
    assert "0x" not in data["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "live notebook" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "tokenizer"])
def test_the_picture_of_the_browser_has_an_alternative_text(name, mini):
    shown = Made(mini)[name].shown.value
    alt = re.search(r'<img src="data:image/png;base64,[^"]{1000,}" alt="([^"]*)"', shown)[1]
    assert len(alt) > 60


def test_texts_that_do_not_work_are_told_and_then_it_goes_on(mini):
    made = Made(mini)
    for name in ("windows", "one layer", "attention", "sampling", "lens"):
        made[name].controls["text"].value = ""
        assert 'role="alert"' in made[name].shown.value
        made[name].controls["text"].value = "He was so glad of it"
        assert 'role="alert"' not in made[name].shown.value
    calculator = made["calculator"]
    calculator.controls["n_heads"].value = 25
    assert "768" in calculator.shown.value
    assert "25" in calculator.shown.value
    assert 'role="alert"' in calculator.shown.value
    made["tokenizer"].controls["text"].value = ""
    assert "0 bytes" in made["tokenizer"].shown.value


def test_texts_are_escaped_and_long_ones_cut(mini):
    made = Made(mini)
    made["tokenizer"].controls["text"].value = "<b>&\"' $x$ 🙂 日本"
    assert "<b><" not in made["tokenizer"].shown.value
    assert "&lt;" in made["tokenizer"].shown.value
    for name in ("windows", "attention", "sampling", "lens"):
        made[name].controls["text"].value = '<img src="x"> $a_b$ {} 🙂 ' * 9
        assert '<img src="x"' not in made[name].shown.value
        assert 'role="alert"' not in made[name].shown.value


def test_the_tokenizer_explorer_shows_all_merges_of_a_new_text_or_tokenizer(mini):
    explorer = Made(mini)["tokenizer"]
    for change in ({"text": "the painter"}, {"tokenizer": "GPT-2"}, {"text": "Gisburn"}):
        for control, value in change.items():
            explorer.controls[control].value = value
        tokenizer = explorer.tokenizers[explorer.controls["tokenizer"].value]
        text = explorer.controls["text"].value
        merges = explorer.controls["merges"]
        assert merges.value == merges.max == len(merge_steps(tokenizer, text)) - 1
        for token_id in tokenizer.encode(text):
            assert f"<b>{token_id}</b>" in explorer.shown.value
        assert f"{len(tokenizer.encode(text))} tokens" in explorer.shown.value


def test_logits_and_the_probability_move_each_other(mini):
    explorer = Made(mini)["loss"]
    controls = explorer.controls
    controls["probability"].value = 0.5
    logits = torch.tensor([controls[f"logit {i}"].value for i in range(3)])
    assert logits.softmax(dim=-1)[1].item() == pytest.approx(0.5, abs=0.02)
    assert logits[[0, 2]].tolist() == [2.0, -2.0]
    controls["logit 1"].value = 10.0
    assert controls["probability"].value > 0.99
    controls["target"].value = "bricks"
    assert controls["probability"].value < 0.01
    with pytest.raises(ValueError, match="one of two or more"):
        LossPlayground({"tea": 1.0}, "tea")


def test_writing_draws_by_the_settings(mini):
    explorer = Made(mini)["sampling"]
    explorer.controls["temperature"].value = 0.0
    explorer.on_write()
    first = explorer.written.value
    explorer.on_write()
    assert explorer.written.value == first  # greedy
    ids = torch.tensor([FAST.encode(TEXT)])
    out = course.generate_text_simple(mini, ids, 20, 512)[0, 6:]
    assert FAST.decode(out.tolist()) in html.unescape(first)
    explorer.controls["temperature"].value = 1.0
    explorer.on_write()
    second = explorer.written.value
    explorer.on_write()
    assert len({first, second, explorer.written.value}) == 3


def test_drawing_leaves_torch_s_random_numbers_alone(mini):
    torch.manual_seed(5)
    expected = torch.rand(1)
    explorer = Made(mini)["sampling"]
    torch.manual_seed(5)
    explorer.on_write()
    explorer.controls["temperature"].value = 2.0
    assert torch.equal(torch.rand(1), expected)


def test_greedy_is_as_good_as_one_choice_and_heat_as_many(mini):
    explorer = Made(mini)["sampling"]
    choices = []
    for temperature in (0.0, 0.5, 1.0, 3.0):
        explorer.controls["temperature"].value = temperature
        found = re.search(r"as good as ([\d.]+) equally", explorer.shown.value)[1]
        choices.append(float(found))
    assert choices[0] == 1
    assert choices == sorted(choices)
    assert math.inf > choices[-1] > 1000
