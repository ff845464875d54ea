"""Chapter 1: the lent model against transformers, its demonstrations, and the published numbers."""

import csv
import json
import math
import random
import re

import pytest
import torch
from conftest import ROOT

from course import preview

TEXT = "The old woman opened the letter, and when she had read it she"


@pytest.fixture(scope="module")
def lent(one_thread):
    from course.vocabulary import offer_vocabulary_to_tiktoken

    offer_vocabulary_to_tiktoken(ROOT / "course" / "gpt2-bpe")
    return preview.lend(ROOT / "models")


@pytest.fixture(scope="module")
def reference(lent):
    """The same weights in Hugging Face's own GPT-2, written by other people."""
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import load_file

    settings = json.loads((ROOT / "models/gpt2-mini/hparams.json").read_text(encoding="utf-8"))
    names = {"n_vocab": "vocab_size", "n_ctx": "n_positions"}
    config = transformers.GPT2Config(
        **{names.get(key, key): value for key, value in settings.items()},
        attn_implementation="eager",
    )
    model = transformers.GPT2LMHeadModel(config)
    tensors = load_file(ROOT / "models/gpt2-mini/model.safetensors")
    tensors = {f"transformer.{name}": tensor.float() for name, tensor in tensors.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    model.tie_weights()
    return model.eval()


def their_probabilities(lent, reference, text):
    ids = torch.tensor([lent.tokenizer.encode(text)])
    with torch.no_grad():
        return ids[0], torch.softmax(reference(ids).logits[0].double(), dim=-1)


def test_parameters_are_those_of_the_file(lent):
    from safetensors import safe_open

    with safe_open(ROOT / "models/gpt2-mini/model.safetensors", framework="pt") as file:
        sizes = [math.prod(file.get_slice(name).get_shape()) for name in file.keys()]  # noqa: SIM118
    assert lent.parameters == sum(sizes)


def test_next_token_agrees_with_transformers(lent, reference):
    _, theirs = their_probabilities(lent, reference, TEXT)
    best = theirs[-1].topk(20)
    ours = lent.next_token(TEXT, 20)
    assert [token for token, _ in ours] == [lent.tokenizer.decode([i]) for i in best.indices]
    torch.testing.assert_close(
        torch.tensor([p for _, p in ours]).double(), best.values, rtol=1e-3, atol=1e-6
    )
    assert len(lent.next_token(TEXT)) == 50257


def test_choose_takes_the_likeliest_option(lent, reference):
    _, theirs = their_probabilities(lent, reference, TEXT)
    options = [" was", " had", " said", " horse"]
    chances = [theirs[-1, lent.tokenizer.encode(option)[0]].item() for option in options]
    wanted = options[chances.index(max(chances))]
    for turned in (options, options[::-1], options[2:] + options[:2]):
        assert lent.choose(TEXT, turned) == wanted
    with pytest.raises(ValueError, match="' rocking chair' is 2 tokens"):
        lent.choose(TEXT, [" chair", " rocking chair"])


def test_probabilities_of_a_text_agree_with_transformers(lent, reference):
    ids, theirs = their_probabilities(lent, reference, TEXT)
    wanted = theirs[:-1].gather(1, ids[1:, None])[:, 0]
    ours = lent.token_probabilities(TEXT)
    assert "".join(token for token, _ in ours) == TEXT.removeprefix("The")
    torch.testing.assert_close(
        torch.tensor([p for _, p in ours]).double(), wanted, rtol=1e-3, atol=1e-9
    )
    part = lent.log_probability("The old woman opened the letter,", " and when she had read it she")
    assert part == pytest.approx(wanted[6:].log().sum().item(), abs=1e-3)


def test_attention_agrees_with_transformers(lent, reference):
    ids = torch.tensor([lent.tokenizer.encode(TEXT)])
    with torch.no_grad():
        theirs = reference(ids, output_attentions=True).attentions
    ours = lent.attention(TEXT)
    torch.testing.assert_close(ours, torch.cat(theirs), rtol=1e-3, atol=1e-5)


def test_greedy_writing_agrees_with_transformers(lent, reference):
    ids = torch.tensor([lent.tokenizer.encode(TEXT)])
    theirs = reference.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=15, do_sample=False, pad_token_id=0
    )
    assert lent.write(TEXT, 15, temperature=0) == lent.tokenizer.decode(theirs[0].tolist())


def test_writing_leaves_the_model_as_it_was(lent):
    """The shortcut to the last place is taken off again, also after an error."""
    before, mark = lent.token_probabilities(TEXT), lent.fingerprint
    lent.write(TEXT, 2, seed=1)
    with pytest.raises(ValueError, match="top_k"):
        lent.write(TEXT, 2, top_k=0)
    assert lent.token_probabilities(TEXT) == before
    assert lent.fingerprint == mark


def test_a_changed_weight_changes_the_fingerprint(lent):
    mark, weight = lent.fingerprint, lent.model.trf_blocks[3].norm1.scale
    with torch.no_grad():
        weight[7] += 1e-3
        changed = lent.fingerprint
        weight[7] -= 1e-3
    assert changed != mark


def test_the_same_seed_writes_the_same(lent):
    texts = [lent.write(TEXT, 12, top_k=50, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [("", ValueError, "0 tokens"), ("a " * 600, ValueError, "from 1 to 512"),
     (3, TypeError, "int: 3")],
)  # fmt: skip
def test_bad_input_is_named(lent, text, error, message):
    for ask in (lent.next_token, lent.token_probabilities, lent.tokens):
        with pytest.raises(error, match=message):
            ask(text)


def test_too_long_together_is_refused(lent):
    half = " a" * 300
    with pytest.raises(ValueError, match="600 tokens"):
        lent.log_probability(half, half)


@pytest.mark.parametrize("name", preview.TASKS)
def test_the_tasks_of_the_few_shot_measurement(lent, name):
    """So many examples as asked for, the right option first, no option of more than a token."""
    for examples in (0, 1, 8):
        prompts = [preview.TASKS[name](examples, random.Random(seed)) for seed in range(30)]
        assert len({prompt for prompt, _ in prompts}) >= 10
        for prompt, options in prompts:
            *shown, question = prompt.split("\n")
            assert len(shown) == examples
            assert len(set(options)) == len(options)
            assert all(len(lent.tokens(option)) == 1 for option in options)
            assert not prompt.endswith(" "), "the space belongs to the answer"
            whole = (question + options[0]).strip()
            if name in ("opposites", "capitals"):
                word, partner = re.split(r": | is ", whole.removeprefix("The capital of "))
                table = preview.OPPOSITES if name == "opposites" else preview.CAPITALS
                assert f"{word} {partner}" in " ".join(table.split())
                assert all(f"{word} {o.strip()}," not in table + "," for o in options[1:])
                assert all(partner not in line.split() for line in shown), "the answer was shown"
            elif name == "he or she":
                females = "queen lady aunt sister mother daughter girl wife woman duchess"
                for line in [*shown, whole + " smiled."]:
                    person, who = re.fullmatch(
                        r"When the (\w+) came, (he|she) smiled\.", line
                    ).groups()
                    assert who == ("she" if person in females.split() else "he")
            else:
                assert all(line.endswith(options[0] + "." * (name != "commands")) for line in shown)


# the published numbers, each typed here once more from its paper
PUBLISHED = {
    "T5-11B": ("1910.10683", 11e9, 1e12),
    "GPT-3": ("2005.14165", 175e9, 300e9),
    "Gopher": ("2112.11446", 280e9, 300e9),
    "Chinchilla": ("2203.15556", 70e9, 1.4e12),
    "PaLM": ("2204.02311", 540e9, 780e9),
    "LLaMA-7B": ("2302.13971", 6.7e9, 1e12),
    "LLaMA-65B": ("2302.13971", 65.2e9, 1.4e12),
    "Llama 2 70B": ("2307.09288", 70e9, 2e12),
    "Llama 3 405B": ("2407.21783", 405e9, 15.6e12),
}


def test_the_table_of_published_models():
    with (ROOT / "ch01" / "published.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(PUBLISHED)
    for name, (paper, parameters, tokens) in PUBLISHED.items():
        row = rows[name]
        assert f"arXiv {paper}" in row["where"]
        assert (float(row["parameters"]), float(row["tokens"])) == (parameters, tokens)
        assert 2000 + int(paper[:2]) == int(row["year"])  # an arXiv number begins with year, month


def prose():
    cells = json.loads((ROOT / "ch01" / "ch01.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]


def test_every_paper_that_is_named_stands_in_the_list_of_sources_and_the_other_way_round():
    *lesson, sources = prose()
    assert sources.startswith("#### Sources")
    table = (ROOT / "ch01" / "published.csv").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(\d{4}\.\d{5}|1\d{3}\.\d{4})\b", "\n".join(lesson) + table))
    listed = re.findall(r"arXiv (\d{4}\.\d{4,5})", sources)
    assert len(listed) == len(set(listed))
    assert named == set(listed)


def test_titles_are_the_same_in_the_lesson_and_in_the_list():
    *lesson, sources = prose()
    lesson = " ".join(" ".join(lesson).split())
    titles = re.findall(r"\*([^*]+)\*", sources)
    given = re.findall(r"\d{4},? \(?\*([^*]+)\*", lesson)  # after a year: a title
    assert len(titles) > 25
    assert len(given) > 10
    for title in given:
        assert any(whole.startswith(title) for whole in titles), title


def test_chapter_1_takes_the_model_only_on_loan():
    text = (ROOT / "ch01" / "ch01.ipynb").read_text(encoding="utf-8")
    assert "previous_chapters" not in text
    assert "#| export" not in text
