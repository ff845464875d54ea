"""Chapter 7 without the judge: data, batches, answers in batches, files that go on, measures."""

import json
import re
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
import tiktoken
import torch
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

import previous_chapters
from course.widgets.chat import ChatBox
from previous_chapters import (
    GPT_CONFIG_124M,
    GPTModel,
    InstructionDataset,
    MaskedInstructionDataset,
    bootstrap_interval,
    calc_loss_batch,
    chrf,
    count_cut,
    custom_collate_draft_1,
    custom_collate_draft_2,
    custom_collate_fn,
    download_and_load_file,
    entries_of_kind,
    exact_match,
    extract_responses,
    fingerprint,
    format_input,
    format_prompt,
    generate,
    generate_batch,
    masked_collate_fn,
    read_entries,
    save_for_transformers,
    score_all,
    stream_answer,
    stream_ids,
    stream_text,
    table_by_kind,
)

END = 50256
TOKENIZER = tiktoken.get_encoding("gpt2")
BATCH = [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]
DATA = [
    {"instruction": "Name a colour.", "input": "", "output": "Green", "kind": "words"},
    {"instruction": "Make it plural.", "input": "house", "output": "houses", "kind": "plural"},
    {"instruction": "Write it in capitals.", "input": "a b", "output": "A B", "kind": "format"},
    {"instruction": "Say the opposite.", "input": "cold", "output": "hot", "kind": "words"},
    {"instruction": "Is a cat an animal?", "input": "", "output": "Yes.", "kind": "facts"},
]


def small_model(context=256, seed=123):
    torch.manual_seed(seed)
    sizes = {"emb_dim": 32, "n_heads": 2, "n_layers": 2, "drop_rate": 0.0, "qkv_bias": True}
    return GPTModel(GPT_CONFIG_124M | sizes | {"context_length": context}).eval()


@pytest.fixture(scope="module")
def model(one_thread):
    return small_model()


@pytest.fixture(scope="module")
def reference(model, tmp_path_factory):
    """The same weights in transformers' GPT-2."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("reference")
    save_for_transformers(model, folder)
    return transformers.GPT2LMHeadModel.from_pretrained(folder).eval()


# ---- data


def test_our_data_is_what_the_chapter_says():
    data = read_entries(ROOT / "ch07" / "instruction-data.json")
    assert len(data) == 1100
    assert all(isinstance(entry["kind"], str) and entry["output"].strip() for entry in data)
    parts = data[:935], data[935:1045], data[1045:]
    assert [len(part) for part in parts] == [935, 110, 55]
    train, test, val = ({format_input(entry) for entry in part} for part in parts)
    assert not train & (test | val)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[{"instruction": "a", "in', "not valid JSON"),
        ("<!DOCTYPE html><title>404</title>", "a web page"),
        ("{}", "no list of entries"),
        ("[]", "no list of entries"),
        ('["text"]', "entry 0 is a str"),
        ('[{"instruction": "a", "input": ""}]', "entry 0 has no output"),
        ('[{"instruction": "a", "input": 3, "output": "b"}]', "a int as input"),
        ('[{"instruction": " ", "input": "a", "output": "b"}]', "an empty instruction"),
        (b"\xff\xfe\x00", "not a text in UTF-8"),
    ],
)
def test_bad_data_is_refused_in_words(tmp_path, content, words):
    path = tmp_path / "data.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=words) as caught:
        read_entries(path)
    assert "data.json" in str(caught.value)


def test_several_faults_are_told_together():
    data = [*DATA, *[{"instruction": "", "input": "", "output": ""}] * 5]
    with pytest.raises(ValueError, match=r"entry 5 .*entry 6 .*entry 7 .*and 2 more"):
        previous_chapters.check_entries(data)


def test_the_prompt_is_the_published_one():
    """Stanford's Alpaca, as models and data of this curriculum have it."""
    assert format_input(DATA[1] | {"kind": "of no matter"}) == (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\nMake it plural.\n\n### Input:\nhouse"
    )
    assert format_input(DATA[0]).endswith("\n\n### Instruction:\nName a colour.")
    assert format_prompt(DATA[0]) == format_input(DATA[0]) + "\n\n### Response:\n"
    with pytest.raises(ValueError, match="empty instruction"):
        format_input({"instruction": "", "input": "x"})
    with pytest.raises(ValueError, match="no input"):
        format_input({"instruction": "x"})


def test_kinds_of_task():
    without = [{key: e[key] for key in ("instruction", "input", "output")} for e in DATA]
    assert entries_of_kind(DATA, "words") == [DATA[0], DATA[3]]
    assert entries_of_kind(without, "not stated") == without
    with pytest.raises(ValueError, match=r"'poetry'; there are facts, format, plural, words"):
        entries_of_kind(DATA, "poetry")


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.body
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def website(monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    monkeypatch.setattr(previous_chapters, "BACK_OFF", 0.01)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/data.json"
    yield server
    server.shutdown()
    server.server_close()


def test_data_is_fetched_checked_and_then_left_alone(website, tmp_path):
    path = tmp_path / "data.json"
    website.body = json.dumps(DATA).encode()
    assert download_and_load_file(str(path), website.url) == DATA
    website.body = b"never asked for"
    assert download_and_load_file(path, website.url) == DATA


@pytest.mark.parametrize("body", [b"<html>404</html>", b'[{"instruction": "a"', b'[{"a": 1}]'])
def test_what_is_not_the_data_is_not_kept(website, tmp_path, body):
    website.body = body
    with pytest.raises(OSError, match="not what it should be"):
        download_and_load_file(tmp_path / "data.json", website.url)
    assert not (tmp_path / "data.json").exists()


def test_the_books_file_must_have_its_size(website, tmp_path, monkeypatch):
    monkeypatch.setattr(previous_chapters, "BOOK_DATA", website.url)
    website.body = json.dumps(DATA).encode()
    with pytest.raises(OSError, match="203,524"):
        download_and_load_file(tmp_path / "data.json", website.url)


def test_a_bad_file_of_the_users_is_reported_and_kept(website, tmp_path):
    path = tmp_path / "data.json"
    path.write_text('[{"instruction": "mine", ', encoding="utf-8")
    website.body = json.dumps(DATA).encode()
    with pytest.raises(ValueError, match="not valid JSON"):
        download_and_load_file(path, website.url)
    assert path.read_text(encoding="utf-8") == '[{"instruction": "mine", '


# ---- batches


def test_published_batch():
    inputs, targets = custom_collate_fn(BATCH)
    assert inputs.tolist() == [[0, 1, 2, 3, 4], [5, 6, END, END, END], [7, 8, 9, END, END]]
    rows = [[1, 2, 3, 4, END], [6, END, -100, -100, -100], [8, 9, END, -100, -100]]
    assert targets.tolist() == rows
    assert custom_collate_draft_1(BATCH).tolist() == inputs.tolist()
    ends = [[END if i == -100 else i for i in row] for row in rows]
    drafts = custom_collate_draft_2(BATCH)
    assert (drafts[0].tolist(), drafts[1].tolist()) == (inputs.tolist(), ends)


@given(
    st.lists(st.lists(st.integers(0, 50255), min_size=1, max_size=12), min_size=1, max_size=5),
    st.integers(1, 15),
)
def test_batches_of_any_shape(batch, limit):
    inputs, targets = custom_collate_fn(batch, 7, -1, allowed_max_length=limit)
    width = min(max(map(len, batch)), limit)
    assert inputs.shape == targets.shape == (len(batch), width)
    for ids, given_, wanted in zip(batch, inputs.tolist(), targets.tolist(), strict=True):
        n = min(len(ids), width)
        assert given_ == ids[:n] + [7] * (width - n)
        assert wanted == ([*ids[1:], 7] + [-1] * width)[:width]


def test_empty_lists_and_batches_without_a_target_are_refused():
    with pytest.raises(ValueError, match="empty"):
        custom_collate_fn([[1], []])
    with pytest.raises(ValueError, match="allowed_max_length=2 cuts off every answer"):
        masked_collate_fn([(3, [1, 2, 3, 4])], allowed_max_length=2)


def test_entries_that_are_too_long_are_counted():
    dataset = InstructionDataset(DATA, TOKENIZER)
    lengths = sorted(len(ids) for ids in dataset)
    assert [count_cut(dataset, n) for n in (lengths[0] - 1, lengths[0], lengths[-1])] == [5, 4, 0]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        count_cut(dataset, 0)


def labels_by_transformers(entries, masked):
    """Inputs and labels as transformers pads and masks them; its model does the shift."""
    transformers = pytest.importorskip("transformers")
    features = []
    for entry in entries:
        prompt = TOKENIZER.encode(format_prompt(entry))
        ids = [*prompt, *TOKENIZER.encode(entry["output"]), END]
        labels = [-100] * len(prompt) + ids[len(prompt) :] if masked else ids
        features.append({"input_ids": ids, "labels": labels})
    tokenizer = transformers.GPT2Tokenizer.from_pretrained(vocabulary_folder())
    tokenizer.pad_token, tokenizer.padding_side = "<|endoftext|>", "right"
    return transformers.DataCollatorForSeq2Seq(tokenizer, return_tensors="pt")(features)


def vocabulary_folder():
    import shutil
    import tempfile

    folder = tempfile.mkdtemp()
    shutil.copy(ROOT / "course" / "gpt2-bpe" / "encoder.json", f"{folder}/vocab.json")
    shutil.copy(ROOT / "course" / "gpt2-bpe" / "vocab.bpe", f"{folder}/merges.txt")
    return folder


@pytest.mark.parametrize("masked", [False, True])
def test_loss_and_gradient_equal_those_of_transformers(model, reference, masked):
    Set, collate = (
        (MaskedInstructionDataset, masked_collate_fn)
        if masked
        else (InstructionDataset, custom_collate_fn)
    )
    inputs, targets = collate(list(Set(DATA, TOKENIZER)))
    theirs = labels_by_transformers(DATA, masked)
    assert (targets != -100).sum() == (theirs["labels"][:, 1:] != -100).sum()
    loss = calc_loss_batch(inputs, targets, model, "cpu")
    expected = reference(**theirs).loss
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=0)
    (ours,) = torch.autograd.grad(loss, [model.trf_blocks[0].att.out_proj.weight])
    (other,) = torch.autograd.grad(expected, [reference.transformer.h[0].attn.c_proj.weight])
    torch.testing.assert_close(ours, other.T, atol=1e-5, rtol=1e-3)


# ---- answers


def some_prompts():
    texts = ["The", "The old man said that", "No", "It was a dark night, and the rain", "Yes, I"]
    return [TOKENIZER.encode(text) for text in texts]


@torch.no_grad()
def test_batched_answers_equal_those_of_transformers_one_by_one(model, reference):
    prompts = some_prompts()
    free = generate_batch(model, prompts, 12, 256, eos_id=None)
    stop = free[1][4]  # a token that occurs is the end mark: rows end at different times
    answers = generate_batch(model, prompts, 12, 256, eos_id=stop)
    assert len(set(map(len, answers))) > 1
    for prompt, answer in zip(prompts, answers, strict=True):
        out = reference.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=12, do_sample=False, eos_token_id=stop, pad_token_id=stop,
        )  # fmt: skip
        expected = out[0, len(prompt) :].tolist()
        assert answer == (expected[:-1] if expected[-1] == stop else expected)


def test_beyond_the_context_the_last_tokens_count(one_thread):
    model = small_model(context=8)
    prompts = [[5, 6, 7], list(range(20)), [9] * 8]
    answers = generate_batch(model, prompts, 10, 8, eos_id=None)
    for prompt, answer in zip(prompts, answers, strict=True):
        out = generate(model, torch.tensor([prompt]), 10, 8)
        assert answer == out[0, len(prompt) :].tolist()
    with pytest.raises(ValueError, match="prompt is empty"):
        generate_batch(model, [[1], []], 3, 8)


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0}, {"temperature": 0.7, "top_k": 9}])
def test_streamed_tokens_are_those_of_generate(model, settings):
    prompt = some_prompts()[1]
    torch.manual_seed(5)
    out = generate(model, torch.tensor([prompt]), 9, 256, eos_id=END, **settings)
    torch.manual_seed(5)
    assert list(stream_ids(model, prompt, 9, 256, **settings)) == out[0, len(prompt) :].tolist()


@given(st.text(max_size=30))
def test_streamed_text_is_whole(text):
    ids = TOKENIZER.encode(text, disallowed_special=())
    pieces = list(stream_text(ids, TOKENIZER))
    assert "".join(pieces) == text
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


def test_a_stream_computes_no_more_than_is_asked_for(model):
    calls = []
    hook = model.out_head.register_forward_hook(lambda *arguments: calls.append(1))
    stream = stream_answer(DATA[0], model, TOKENIZER, 50)
    next(stream), next(stream)
    hook.remove()
    assert 2 <= len(calls) <= 5  # a piece of text is one token, rarely more


# ---- files that go on


def by_length(entries):
    return [f"{len(entry['instruction'])} letters, naïve" for entry in entries]


def many(n=40):
    return [
        {"instruction": f"Task {i} " + "x" * (i * 7 % 11), "input": "", "output": str(i)}
        for i in range(n)
    ]


def test_a_killed_run_goes_on_and_ends_in_the_same_file(tmp_path):
    """A process is ended without warning after its third batch."""
    whole, cut = tmp_path / "whole.json", tmp_path / "cut.json"
    expected = extract_responses(many(), whole, by_length, "m1", batch_size=8)
    assert [e["model_response"] for e in expected] == by_length(many())
    program = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from test_instructions import by_length, extract_responses, many
stop = lambda done, total: done >= 24 and os._exit(9)
extract_responses(many(), {str(cut)!r}, by_length, "m1", batch_size=8, on_batch=stop)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 9
    kept = [e for e in json.loads(cut.read_text("utf-8")) if "model_response" in e]
    assert len(kept) == 24
    calls = []

    def counted(entries):
        calls.append(len(entries))
        return by_length(entries)

    assert extract_responses(many(), cut, counted, "m1", batch_size=8) == expected
    assert calls == [8, 8]
    assert cut.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_a_failure_while_writing_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "answers.json"
    stop = lambda done, total: 1 / (done < 16)  # noqa: E731
    with pytest.raises(ZeroDivisionError):
        extract_responses(many(), path, by_length, "m1", batch_size=8, on_batch=stop)
    before = path.read_bytes()

    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        extract_responses(many(), path, by_length, "m1", batch_size=8)
    assert path.read_bytes() == before


def test_answers_of_others_are_not_continued(tmp_path):
    path = tmp_path / "answers.json"
    extract_responses(many(), path, by_length, "m1")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"answers of m1, this is m2"):
        extract_responses(many(), path, by_length, "m2")
    with pytest.raises(ValueError, match="other entries"):
        extract_responses(many(39), path, by_length, "m1")
    assert path.read_bytes() == before
    new = extract_responses(many(), path, by_length, "m2", replace=True)
    assert {entry["answered_by"] for entry in new} == {"m2"}
    path.write_text("[{", encoding="utf-8")
    with pytest.raises(ValueError, match="not valid JSON"):
        extract_responses(many(), path, by_length, "m2")


def test_a_batch_with_too_few_answers_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="zip"):
        extract_responses(many(), tmp_path / "a.json", lambda entries: ["one"], "m1")


def test_fingerprints_tell_models_and_settings_apart():
    mark = fingerprint(small_model(), max_new_tokens=9)
    assert re.fullmatch("[0-9a-f]{12}", mark)
    assert mark == fingerprint(small_model(), max_new_tokens=9)
    assert mark != fingerprint(small_model(), max_new_tokens=8)
    assert mark != fingerprint(small_model(seed=5), max_new_tokens=9)


# ---- measures


def test_exact_match_forgives_white_space_and_nothing_else():
    assert exact_match(" The  cat\n", "The cat") == 1.0
    assert [exact_match(a, "The cat") for a in ("the cat", "The cat.", "")] == [0.0] * 3


def test_chrf_is_sacrebleus():
    import sacrebleu

    pairs = [("The cat sat.", "A cat sat down."), ("", "x"), ("same", "same")]
    for answer, wanted in pairs:
        assert chrf(answer, wanted) == sacrebleu.sentence_chrf(answer, [wanted]).score
    assert [round(chrf(*pair)) for pair in pairs[1:]] == [0, 100]


def test_the_table_agrees_with_pandas():
    answers = ["Green", "house", "A B", "cold", "No."]
    scores = score_all(DATA, answers)
    frame = pd.DataFrame(scores | {"kind": [entry["kind"] for entry in DATA]})
    means = frame.groupby("kind").mean()
    means.loc["all"] = frame[["exact", "chrF"]].mean()
    counts = frame["kind"].value_counts()
    lines = table_by_kind(DATA, {"mine": scores})
    assert lines[0].split() == ["mine"]
    assert lines[1].split() == ["kind", "tasks", "exact", "chrF"]
    assert [line.split()[0] for line in lines[2:]] == ["facts", "format", "plural", "words", "all"]
    for line in lines[2:]:
        kind, count, exact, chrf_ = line.split()
        assert int(count) == counts.get(kind, 5)
        assert float(exact) == pytest.approx(means.loc[kind, "exact"], abs=0.051)
        assert float(chrf_) == pytest.approx(means.loc[kind, "chrF"], abs=0.051)


def test_bootstrap_agrees_with_scipy():
    scipy_stats = pytest.importorskip("scipy.stats")
    values = torch.rand(110, generator=torch.Generator().manual_seed(1)).double() ** 3 * 100
    theirs = scipy_stats.bootstrap(
        (values.numpy(),), lambda v, axis: v.mean(axis=axis), method="percentile",
        n_resamples=10_000, random_state=1, confidence_level=0.9,
    ).confidence_interval  # fmt: skip
    ours = bootstrap_interval(values, level=0.9)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.3)
    assert ours == bootstrap_interval(values.tolist(), level=0.9)
    with pytest.raises(ValueError, match="at least 2 values, got 1"):
        bootstrap_interval([1.0])


# ---- the chat box


def talk(box, text, input_text=""):
    box.instruction.value, box.input_text.value = text, input_text
    box.send.click()


def test_the_chat_box_shows_pieces_as_they_come():
    seen, gate = [], threading.Event()

    def reply(*arguments):
        seen.append(arguments)
        yield "Hello "
        gate.wait(5)
        yield "<b>you</b>"

    box = ChatBox(reply, temperature=0.5, top_k=7)
    talk(box, "Greet", "me")
    wait_until(lambda: "Hello" in box.transcript.value)
    assert (box.send.disabled, box.stop.disabled) == (True, False)
    talk(box, "not heard while it speaks")
    gate.set()
    box.thread.join(5)
    assert seen == [("Greet", "me", 0.5, 7)]
    assert box.turns == [["you", "Greet\nme"], ["model", "Hello <b>you</b>"]]
    assert "&lt;b&gt;you&lt;/b&gt;" in box.transcript.value  # text, never markup
    assert (box.send.disabled, box.stop.disabled) == (False, True)


def wait_until(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_chat_box_stops_when_told_to():
    made = []

    def reply(*arguments):
        for i in range(10_000):
            made.append(i)
            time.sleep(0.005)
            yield f"{i} "

    box = ChatBox(reply)
    talk(box, "Count")
    wait_until(lambda: len(made) > 3)
    box.stop.click()
    box.thread.join(5)
    assert not box.thread.is_alive()
    assert len(made) < 1000
    assert box.turns[-1] == ["note", "stopped"]
    talk(box, "Again")
    wait_until(lambda: box.turns[-1] != ["you", "Again"])
    box.stop.click()
    box.thread.join(5)
    box.clear.click()
    assert (box.turns, box.transcript.value) == ([], "")


def test_the_chat_box_shows_errors_and_stays_usable(model):
    def reply(instruction, input_text, temperature, top_k):
        entry = {"instruction": instruction, "input": input_text}
        return stream_answer(entry, model, TOKENIZER, 3, temperature, top_k)

    box = ChatBox(reply)
    talk(box, "  ")
    box.thread.join(5)
    assert "empty instruction" in box.transcript.value
    talk(box, "Name a colour.")
    box.thread.join(20)
    speaker, text = box.turns[-1]
    assert (speaker, text) == ("model", "".join(partial(reply, "Name a colour.", "")(0.0, 50)))
    assert text


def test_a_chat_box_leaves_a_sentence_where_no_widget_runs():
    assert "chat box" in repr(ChatBox(lambda *arguments: []))
