"""Section 5.5 against transformers' GPT-2 and TensorFlow's checkpoints, in all four layouts."""

import csv
import hashlib
import json
import logging
import sys

import numpy as np
import pytest
import tiktoken
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file
from test_downloads import impatient, serving  # noqa: F401  (impatient: short waits)
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

import previous_chapters
from course import lean
from previous_chapters import (
    GPTModel,
    ReadLater,
    assign,
    calc_loss_loader,
    config_from_settings,
    create_dataloader_v1,
    download_and_load_gpt2,
    generate,
    import_tensorflow,
    load_gpt2_from_folder,
    load_gpt2_params_from_safetensors,
    load_gpt2_params_from_tf_ckpt,
    load_pretrained,
    load_weights_into_gpt,
    openai_name,
    save_for_transformers,
    text_to_token_ids,
    token_ids_to_text,
)

logging.getLogger("transformers").setLevel(logging.ERROR)
V, CONTEXT = 120, 24
downloads = previous_chapters  # its own copy of course/downloads.py
LAYOUTS = {"124M": (12, 12), "355M": (16, 24), "774M": (20, 36), "1558M": (25, 48)}  # H, layers
MINI = ROOT / "models" / "gpt2-mini"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """For models as small as these, a second thread costs more than it brings."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settings_of(size):
    """OpenAI's settings with the heads and layers of `size`, two channels to a head."""
    H, layers = LAYOUTS[size]
    return {"n_vocab": V, "n_ctx": CONTEXT, "n_embd": 2 * H, "n_head": H, "n_layer": layers}


def their_model(size, seed=0, **options):
    """transformers' GPT-2 with random weights; biases and scales too, so that none is neutral."""
    s = settings_of(size)
    config = GPT2Config(
        vocab_size=V, n_positions=CONTEXT, n_embd=s["n_embd"], n_head=s["n_head"],
        n_layer=s["n_layer"], bos_token_id=None, eos_token_id=None, **options,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(std=0.05).add_(float("ln_" in name and name.endswith("weight")))
    return model


def our_model(settings, params):
    model = GPTModel(config_from_settings(settings)).eval()
    load_weights_into_gpt(model, params)
    return model


def write_tf_checkpoint(model, prefix):
    """transformers' model as OpenAI would have saved it."""
    tensors = {"model/" + openai_name(n): t.detach().numpy() for n, t in model.named_parameters()}
    tensors = {n: t[None] if n.endswith("/w") else t for n, t in tensors.items()}
    import_tensorflow().raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=list(tensors), tensors=list(tensors.values()),
        shape_and_slices=[""] * len(tensors),
    )  # fmt: skip
    return tensors


def some_ids(T=CONTEXT, B=2):
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def assert_same_logits(ours, theirs):
    ids = some_ids()
    torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-5, rtol=0)


def flat(params, prefix=""):
    """Nested `params` as {"blocks/0/attn/c_attn/w": array, ...}"""
    out = {}
    for key, value in params.items() if isinstance(params, dict) else enumerate(params):
        nested = isinstance(value, dict | list)
        out |= flat(value, f"{prefix}{key}/") if nested else {f"{prefix}{key}": value}
    return out


# ---- both roads, in all four layouts


@pytest.mark.parametrize("size", LAYOUTS)
def test_openais_checkpoint_is_read_as_transformers_reads_the_same_tensors(tmp_path, size):
    pytest.importorskip("tensorflow")
    theirs, settings = their_model(size), settings_of(size)
    written = write_tf_checkpoint(theirs, tmp_path / "model.ckpt")
    params = load_gpt2_params_from_tf_ckpt(str(tmp_path / "model.ckpt"), settings)
    assert set(params) == {"blocks", "g", "b", "wpe", "wte"}
    assert len(flat(params)) == len(written)
    block = params["blocks"][-1]
    last = settings["n_layer"] - 1
    np.testing.assert_array_equal(
        block["attn"]["c_attn"]["w"], written[f"model/h{last}/attn/c_attn/w"][0]
    )
    assert_same_logits(our_model(settings, params), theirs)

    theirs.save_pretrained(tmp_path / "folder")
    settings_too, params_too = load_gpt2_from_folder(tmp_path / "folder")
    assert settings_too == settings
    a, b = flat(params), flat(params_too)
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a), "the roads meet"


@pytest.mark.parametrize("size", LAYOUTS)
def test_transformers_folder_gives_its_logits_layers_and_text(tmp_path, size):
    theirs = their_model(size, seed=1)
    theirs.save_pretrained(tmp_path)
    ours = our_model(*load_gpt2_from_folder(tmp_path))
    assert_same_logits(ours, theirs)

    seen, ids = [], some_ids()
    for module in [ours.drop_emb, *ours.trf_blocks[:-1], ours.final_norm]:
        module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        ours(ids)
        layers = theirs(ids, output_hidden_states=True).hidden_states
    assert len(seen) == len(layers) == LAYOUTS[size][1] + 1
    for mine, other in zip(seen, layers, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=0)

    prompt = some_ids(T=4, B=1)
    out = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=15,
                          do_sample=False, pad_token_id=0)  # fmt: skip
    assert out.tolist() == generate(ours, prompt, 15, CONTEXT).tolist()


def test_names_with_and_without_prefix_masks_and_half_precision(tmp_path):
    theirs = their_model("124M")
    GPT2Model.save_pretrained(theirs.transformer, tmp_path)  # without "transformer."
    tensors = load_file(tmp_path / "model.safetensors")
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}  # no longer mapped
    assert "h.0.ln_1.weight" in tensors
    tensors["h.0.attn.bias"] = torch.ones(1, 1, CONTEXT, CONTEXT)
    tensors["h.0.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(tensors, tmp_path / "model.safetensors")
    assert_same_logits(our_model(*load_gpt2_from_folder(tmp_path)), theirs)
    for dtype in (torch.float16, torch.bfloat16):
        save_file({n: t.to(dtype) for n, t in tensors.items()}, tmp_path / "model.safetensors")
        params = load_gpt2_params_from_safetensors(tmp_path / "model.safetensors")
        assert params["wte"].dtype == np.float32
        np.testing.assert_array_equal(params["wte"], tensors["wte.weight"].to(dtype).float())


def test_another_architecture_is_refused(tmp_path):
    their_model("124M", activation_function="relu").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="activation_function 'relu'"):
        load_gpt2_from_folder(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        load_gpt2_from_folder(tmp_path)


def test_a_damaged_checkpoint_is_an_error_and_the_model_is_unchanged(tmp_path):
    pytest.importorskip("tensorflow")
    write_tf_checkpoint(their_model("124M"), tmp_path / "model.ckpt")
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1  # wrong bytes of the right length
    data.write_bytes(content)
    settings = settings_of("124M")
    params = load_gpt2_params_from_tf_ckpt(tmp_path / "model.ckpt", settings)
    model = GPTModel(config_from_settings(settings))
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=r"model/.* can't be read"):
        load_weights_into_gpt(model, params)
    assert all(map(torch.equal, before, model.parameters()))
    with pytest.raises(ValueError, match="12 blocks in the checkpoint, not 24"):
        load_gpt2_params_from_tf_ckpt(tmp_path / "model.ckpt", settings_of("355M"))


# ---- download_and_load_gpt2


def test_download_and_load_gpt2_with_and_without_tensorflow(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorflow")
    theirs, settings, folder = their_model("124M"), settings_of("124M"), tmp_path / "124M"
    folder.mkdir()
    write_tf_checkpoint(theirs, folder / "model.ckpt")
    for name in ("checkpoint", "encoder.json", "model.ckpt.meta", "vocab.bpe"):
        (folder / name).write_text("{}")
    (folder / "hparams.json").write_text(json.dumps(settings))
    known = dict.fromkeys(downloads.CHECKPOINT, ({}, None))
    monkeypatch.setattr(downloads, "CHECKPOINT", known)
    got, params = download_and_load_gpt2(model_size="124M", models_dir=str(tmp_path))
    assert got == settings
    assert_same_logits(our_model(got, params), theirs)

    GPT2LMHeadModel.save_pretrained(theirs, tmp_path / "gpt2-small")
    monkeypatch.setitem(downloads.SAFETENSORS, "124M", ("r", "main", None, None))
    monkeypatch.setattr(previous_chapters.importlib.util, "find_spec", lambda name: None)
    _, without = download_and_load_gpt2("124M", tmp_path)
    assert "no tensorflow here" in capsys.readouterr().out
    a, b = flat(params), flat(without)
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a)
    with pytest.raises(ValueError, match="one of 124M, 355M, 774M, 1558M, got '117M'"):
        download_and_load_gpt2("117M", tmp_path)


# ---- load_weights_into_gpt


def plain_params(size="124M"):
    """`params` as ordinary dictionaries of arrays, as other programs make them."""
    model = their_model(size)
    tensors = {openai_name(n): t.detach().numpy() for n, t in model.named_parameters()}
    params = {"blocks": [{} for _ in range(LAYOUTS[size][1])]}
    for name, array in tensors.items():
        *path, last = name.removeprefix("ln_f/").split("/")
        place = params
        if path:
            place = params["blocks"][int(path.pop(0)[1:])]
        for part in path:
            place = place.setdefault(part, {})
        place[last] = array
    return params, model


def test_params_of_ordinary_dictionaries():
    params, theirs = plain_params()
    assert_same_logits(our_model(settings_of("124M"), params), theirs)


def places(params):
    for part, last in [
        ("attn/c_attn", "w"),
        ("attn/c_proj", "b"),
        ("mlp/c_fc", "w"),
        ("ln_2", "g"),
    ]:
        place = params["blocks"][7]
        for step in part.split("/"):
            place = place[step]
        yield place, last
    yield from ((params, name) for name in ("wte", "wpe", "g", "b"))


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("damage", ["shape", "missing"])
def test_every_wrong_tensor_is_named_and_nothing_changes(number, damage):
    params, _ = plain_params()
    model = GPTModel(config_from_settings(settings_of("124M")))
    before = [p.clone() for p in model.parameters()]
    place, last = list(places(params))[number]
    if damage == "shape":
        place[last] = np.zeros([n + 3 for n in place[last].shape], dtype=np.float32)
    else:
        del place[last]
    names = ["blocks.7.att.W_query.weight", "blocks.7.att.out_proj.bias",
             "blocks.7.ff.layers.0.weight", "blocks.7.norm2.scale", "tok_emb.weight",
             "pos_emb.weight", "final_norm.scale", "final_norm.shift"]  # fmt: skip
    with pytest.raises(ValueError, match="the model is unchanged") as caught:
        load_weights_into_gpt(model, params)
    assert names[number] in str(caught.value)
    assert all(map(torch.equal, before, model.parameters()))


def test_a_model_of_another_shape():
    params, _ = plain_params()
    config = config_from_settings(settings_of("124M"))
    for change, message in [
        ({"n_layers": 3}, "params has 12 blocks and the model 3"),
        ({"qkv_bias": False}, r"att\.W_query\.bias is in params and not in the model"),
        ({"context_length": 7}, r"pos_emb\.weight is \(24, 24\) in params and \(7, 24\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_weights_into_gpt(GPTModel(config | change), params)


def test_parameters_stay_the_same_objects():
    """So that an optimiser keeps them, a tied head stays tied, and there is no second copy."""
    params, theirs = plain_params()
    model = GPTModel(config_from_settings(settings_of("124M")))
    model.out_head.weight = model.tok_emb.weight
    before = {name: (p, p.data_ptr()) for name, p in model.named_parameters()}
    load_weights_into_gpt(model.eval(), params)
    assert all(
        p is before[n][0] and p.data_ptr() == before[n][1] for n, p in model.named_parameters()
    )
    assert model.out_head.weight is model.tok_emb.weight
    assert all(p.requires_grad for p in model.parameters())
    assert_same_logits(model, theirs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_there_is_no_second_copy():
    params, _ = plain_params("1558M")
    model = GPTModel(config_from_settings(settings_of("1558M"))).cuda()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    load_weights_into_gpt(model, params)
    largest = max(p.numel() * 4 for p in model.parameters())
    assert torch.cuda.max_memory_allocated() - before <= 2 * largest + 2**20


def test_assign_as_in_older_notebooks():
    layer = torch.nn.Linear(3, 2)
    layer.weight = assign(layer.weight, np.ones((2, 3)))
    assert isinstance(layer.weight, torch.nn.Parameter)
    assert (layer.weight == 1).all()
    assert layer.weight.dtype == torch.float32
    assert isinstance(assign(torch.zeros(2), torch.ones(2)), torch.nn.Parameter)
    with pytest.raises(ValueError, match=r"\(2, 3\) in the model, \(3, 2\)"):
        assign(layer.weight, np.ones((3, 2)))


def test_read_later_reads_when_asked_and_keeps_nothing():
    reads = []
    lazy = ReadLater(a=lambda: reads.append(1) or len(reads), b=[5])
    assert list(lazy) == ["a", "b"]
    assert reads == []
    assert (lazy["a"], lazy.get("a"), lazy.get("c")) == (1, 2, None)
    assert (list(lazy.values()), dict(lazy), {**lazy}) == (
        [3, [5]],
        {"a": 4, "b": [5]},
        {"a": 5, "b": [5]},
    )


@pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps the peak of a process")
@pytest.mark.parametrize("kind", ["safetensors", "tensorflow"])
def test_loading_124m_takes_at_most_1_3_times_its_memory(kind):
    if kind == "tensorflow":
        pytest.importorskip("tensorflow")
    size, peak = lean.measure(kind)
    assert size == pytest.approx(652.149, abs=0.001)
    if peak > 1.3 * size:  # the system's own share wavers by some MB: once more
        size, peak = lean.measure(kind)
    assert peak <= 1.3 * size


# ---- give and take


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("qkv_bias", [True, False])
def test_ours_opens_in_transformers_and_comes_back(tmp_path, tied, qkv_bias):
    torch.manual_seed(2)
    config = config_from_settings(settings_of("124M")) | {"qkv_bias": qkv_bias}
    ours = GPTModel(config).eval()
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(0.05 * torch.randn_like(p))
        if tied:
            ours.out_head.weight.copy_(ours.tok_emb.weight)
    save_for_transformers(ours, tmp_path / "new" / "folder")
    theirs, report = GPT2LMHeadModel.from_pretrained(
        tmp_path / "new" / "folder", output_loading_info=True
    )
    assert not any(report.values()), report
    assert_same_logits(ours, theirs.eval())
    prompt = some_ids(T=4, B=1)
    out = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=10,
                          do_sample=False, pad_token_id=0)  # fmt: skip
    assert out.tolist() == generate(ours, prompt, 10, CONTEXT).tolist()

    theirs.save_pretrained(tmp_path / "back")
    back = our_model(*load_gpt2_from_folder(tmp_path / "back"))
    with torch.no_grad():
        torch.testing.assert_close(back(some_ids()), ours(some_ids()), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_published_checkpoints_with_masks_load_strictly(tmp_path, dtype):
    model = our_model(settings_of("124M"), plain_params()[0])
    mask = torch.ones(CONTEXT, CONTEXT).triu(1).to(dtype)
    masks = {f"trf_blocks.{i}.att.mask": mask for i in range(12)}
    torch.save(model.state_dict() | masks, tmp_path / "gpt2-small-124M.pth")
    fresh = GPTModel(config_from_settings(settings_of("124M"))).eval()
    state = torch.load(tmp_path / "gpt2-small-124M.pth", weights_only=True)
    fresh.load_state_dict(state, strict=True)
    assert torch.equal(fresh(some_ids()), model(some_ids()))


# ---- the choice of a model


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(downloads, "offline", lambda addresses: "this machine is offline")


@pytest.fixture
def models(tmp_path):
    (tmp_path / "gpt2-mini").symlink_to(MINI)
    return tmp_path


NOT_HERE = "gpt2-mini: {} is not on this disk and can't be fetched (this machine is offline)"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("auto", NOT_HERE.format("gpt2-small")),
        ("gpt2-xl", NOT_HERE.format("gpt2-xl")),
        ("355M", NOT_HERE.format("gpt2-medium")),
        ("gpt2-small (124M)", NOT_HERE.format("gpt2-small")),
        ("gpt2-mini", "gpt2-mini: chosen by name"),
    ],
)
def test_offline_it_is_the_mini_and_one_line_says_why(models, offline, capsys, name, line):
    model, config, taken = load_pretrained(name, models)
    assert taken == "gpt2-mini"
    assert capsys.readouterr() == (line + "\n", "")
    assert not model.training
    assert config["context_length"] == len(model.pos_emb.weight) == 512
    assert [path.name for path in models.iterdir()] == ["gpt2-mini"], "nothing left behind"


def test_a_name_that_does_not_exist(models, offline):
    with pytest.raises(
        ValueError, match="no pretrained model 'gpt4'; choose one of auto, gpt2-mini"
    ):
        load_pretrained("gpt4", models)


def test_online_it_is_gpt2_small_fetched_once(models, monkeypatch, capsys, tmp_path):
    """A narrow stand-in with GPT-2's layers and vocabulary, behind a local Hugging Face."""
    monkeypatch.setitem(previous_chapters.GPT2_SIZES, "124M", (24, 12, 12))
    theirs = GPT2LMHeadModel(GPT2Config(n_embd=24)).eval()
    theirs.save_pretrained(tmp_path / "hub")
    content = (tmp_path / "hub" / "model.safetensors").read_bytes()
    known = "openai-community/gpt2", "abc", len(content), hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(downloads.SAFETENSORS, "124M", known)

    status = 404

    def hub(handler, number):
        handler.head(404, Content_Length=0) if status == 404 else handler.file(content)

    with serving(hub) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address.removesuffix("/file.bin"))
        assert load_pretrained("auto", models)[2] == "gpt2-mini"
        assert "status 404)\n" in capsys.readouterr().out
        status = 200
        model, config, taken = load_pretrained("auto", models)
        assert taken == "gpt2-small"
        assert capsys.readouterr().out.endswith("gpt2-small: it is on this disk\n")
        assert server.requests[1:] == [
            ("/openai-community/gpt2/resolve/abc/model.safetensors", None)
        ]
    monkeypatch.setattr(downloads, "offline", lambda addresses: "this machine is offline")
    model, config, taken = load_pretrained("124M", models)
    assert (taken, config["context_length"]) == ("gpt2-small", 1024)
    assert capsys.readouterr().out == "gpt2-small: chosen by name\n"
    ids = text_to_token_ids("Every effort moves you", tiktoken.get_encoding("gpt2"))
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, atol=1e-5, rtol=0)


# ---- gpt2-mini


@pytest.fixture(scope="module")
def mini():
    return our_model(*load_gpt2_from_folder(MINI))


def test_the_shipped_model_is_the_one_on_its_card(mini):
    card = (MINI / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256((MINI / "model.safetensors").read_bytes()).hexdigest() in card
    assert sum(p.numel() for p in mini.parameters()) - mini.out_head.weight.numel() == 17_735_936
    with open(MINI / "training-log.csv", encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    assert int(last["tokens"]) == 31_997_952
    assert float(last["val_loss"]) == pytest.approx(4.013, abs=0.03)  # of 64 windows
    assert "4.013" in card


def test_the_mini_model_in_transformers(mini, tmp_path):
    config = GPT2Config(n_embd=256, n_layer=6, n_head=4, n_positions=512)
    theirs = GPT2LMHeadModel(config).eval()
    report = theirs.load_state_dict(
        {f"transformer.{n}": t.float() for n, t in load_file(MINI / "model.safetensors").items()},
        strict=False,
    )
    assert report.missing_keys == ["lm_head.weight"]
    assert report.unexpected_keys == []
    theirs.tie_weights()
    ids = text_to_token_ids("The old man looked at her and", tiktoken.get_encoding("gpt2"))
    with torch.no_grad():
        torch.testing.assert_close(mini(ids), theirs(ids).logits, atol=1e-4, rtol=0)


def test_the_mini_model_has_learnt_english(mini):
    text = (ROOT / "ch02" / "the-verdict.txt").read_text(encoding="utf-8")
    loader = create_dataloader_v1(text, 2, 256, 256, shuffle=False, drop_last=False)
    with torch.no_grad():
        assert calc_loss_loader(loader, mini, "cpu") == pytest.approx(4.28, abs=0.06)
    tokenizer = tiktoken.get_encoding("gpt2")
    idx = text_to_token_ids("The old man looked at her and said", tokenizer)
    words = token_ids_to_text(generate(mini, idx, 20, 512), tokenizer).split()
    assert "I have been" in " ".join(words), words
