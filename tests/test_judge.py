"""Chapter 7's judge: against recorded replies on a local port, and against a real server."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import tiktoken
import torch
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from previous_chapters import (
    GPT_CONFIG_124M,
    GPTModel,
    JudgeError,
    calc_loss_batch,
    check_if_running,
    custom_collate_fn,
    generate,
    generate_model_scores,
    judge_entries,
    judge_prompt,
    parse_score,
    query_model,
    save_for_transformers,
)

ENTRY = {"instruction": "Name a colour.", "input": "", "output": "Green", "answer": "Blue"}

# What the servers send, as recorded; only long fields of no interest are left out.
OLLAMA_STREAM = b"""\
{"model":"llama3","created_at":"2024-06-03T10:00:00.1Z","message":{"role":"assistant","content":"Score"},"done":false}
{"model":"llama3","created_at":"2024-06-03T10:00:00.2Z","message":{"role":"assistant","content":": "},"done":false}
{"model":"llama3","created_at":"2024-06-03T10:00:00.3Z","message":{"role":"assistant","content":"85"},"done":false}
{"model":"llama3","created_at":"2024-06-03T10:00:00.4Z","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"total_duration":4883583458,"eval_count":3}
"""  # noqa: E501
OLLAMA_WHOLE = (
    b'{"model":"llama3","created_at":"2024-06-03T10:00:00Z","message":'
    b'{"role":"assistant","content":"Score: 85"},"done_reason":"stop","done":true}'
)
OPENAI_STREAM = b"""\
: keep-alive

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Score: "},"finish_reason":null}]}

data:{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"85"},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],"usage":{"total_tokens":9}}

data: [DONE]

"""  # noqa: E501
OPENAI_WHOLE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Score: 85"},
                "finish_reason": "stop",
            }
        ],
    },
    indent=2,
).encode()
NDJSON, SSE, JSON = "application/x-ndjson", "text/event-stream", "application/json; charset=utf-8"
GOOD = 200, NDJSON, OLLAMA_STREAM


class Recorded(ThreadingHTTPServer):
    """Sends the prepared `answers` (status, type, body[, seconds to wait]) one after another."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.received = [], []
        self.url = f"http://127.0.0.1:{self.server_port}/api/chat"
        self.openai = f"http://127.0.0.1:{self.server_port}/v1/chat/completions"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.server.received.append(json.loads(self.rfile.read(length)))
        number = min(len(self.server.received), len(self.server.answers)) - 1
        status, kind, body, *wait = self.server.answers[number]
        time.sleep(sum(wait))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        # a body that ends in a cut mark is shorter than announced
        cut = body.endswith(b"CUT")
        body = body.removesuffix(b"CUT")
        self.send_header("Content-Length", str(len(body) + 100 * cut))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = Recorded()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("kind", "body"),
    [(NDJSON, OLLAMA_STREAM), (JSON, OLLAMA_WHOLE), (SSE, OPENAI_STREAM), (JSON, OPENAI_WHOLE)],
    ids=["Ollama streamed", "Ollama whole", "OpenAI streamed", "OpenAI whole"],
)
def test_every_shape_of_reply_is_read(server, kind, body):
    server.answers = [(200, kind, body)]
    assert query_model("How good is it?", url=server.url) == "Score: 85"


def test_the_request_is_that_of_the_api_that_the_address_names(server):
    server.answers = [GOOD]
    query_model("How good?", "phi3", server.url)
    query_model("How good?", "phi3", server.openai)
    ollama, openai = server.received
    messages = [{"role": "user", "content": "How good?"}]
    assert ollama["messages"] == openai["messages"] == messages
    assert ollama["model"] == openai["model"] == "phi3"
    assert (ollama["options"]["temperature"], ollama["options"]["seed"]) == (0, 123)
    assert (openai["temperature"], openai["seed"]) == (0, 123)
    assert "options" not in openai
    assert "temperature" not in ollama


@pytest.mark.parametrize(
    "first",
    [
        (503, JSON, b'{"error":"model is loading"}'),
        (429, JSON, b"{}"),
        (200, NDJSON, OLLAMA_STREAM[:200]),  # ends in the middle of a line
        (200, NDJSON, b"\n".join(OLLAMA_STREAM.splitlines()[:2])),  # ends without its end
        (200, NDJSON, OLLAMA_STREAM[:150] + b"CUT"),  # the connection breaks
        (200, NDJSON, OLLAMA_STREAM, 1.0),  # too slow for the time allowed
        (200, "text/html", b"<html>Welcome to the proxy</html>"),
    ],
    ids=["503", "429", "half a line", "no end", "cut", "silence", "a web page"],
)
def test_what_may_pass_is_tried_again(server, first):
    server.answers = [first, GOOD]
    answer = query_model("How good?", url=server.url, timeout=(1, 0.4), pause=0.01)
    assert answer == "Score: 85"
    assert len(server.received) == 2


def test_pauses_grow_and_tries_end(server):
    server.answers = [(500, JSON, b"{}")]
    started = time.monotonic()
    with pytest.raises(JudgeError, match=r"in 3 tries.*status 500"):
        query_model("How good?", url=server.url, pause=0.1)
    assert len(server.received) == 3
    assert 0.3 <= time.monotonic() - started < 3  # 0.1 + 0.2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, JSON, b'{"error":"model \'llama3\' not found"}'), r"not found.*ollama pull llama3"),
        ((401, JSON, b'{"message":"Unauthorized"}'), r"401.*Unauthorized"),
        ((200, NDJSON, b'{"error":"out of memory"}\n'), r"out of memory"),
        ((200, JSON, b'{"error":{"message":"too long","code":1}}'), r"too long"),
    ],
)
def test_what_will_not_pass_is_reported_at_once(server, answer, words):
    server.answers = [answer]
    with pytest.raises(JudgeError, match=words):
        query_model("How good?", url=server.url)
    assert len(server.received) == 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_without_a_server_the_message_has_the_commands_and_comes_at_once():
    url = f"http://127.0.0.1:{free_port()}/api/chat"
    started = time.monotonic()
    with pytest.raises(JudgeError) as caught:
        query_model("How good?", "phi3", url, pause=60)
    assert time.monotonic() - started < 30  # no second try; Windows takes seconds to refuse
    for words in (url, "ollama serve", "ollama pull phi3", "transformers serve"):
        assert words in str(caught.value)


def test_a_proxy_is_not_asked_for_what_is_on_this_machine(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.answers = [GOOD]
    assert query_model("How good?", url=server.url) == "Score: 85"


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("85", 85),
        (" 85.\n", 85),
        ("0", 0),
        ("Score: 85", 85),
        ("**Score:** 85/100", 85),
        ("8/10", 80),
        ("85 out of 100, well done", 85),
        ("On a scale from 0 to 100, I would rate it 70.", 70),
        ("Score (0-100): 65", 65),
        ("Score: 85, because 2 of 3 facts are right", 85),
        ("1. The answer is wrong.\n2. It is short.\nScore: 20", 20),
        ("90\n\nOf 3 points 2 are met.", 90),
        ("<think>It might be 30.</think>\n80", 80),
        ("62.5", 63),
        ("Between 60 and 80", None),
        ("60-80", None),
        ("Score: 60 - 80", None),
        ("Score: between 60 and 80", None),
        ("8-10 words would do. Score: 85", 85),
        ("8 points out of 10", 80),
        ("Score: 7 of 10", 70),
        ("Score: 40. No, score: 60", None),
        ("120", None),
        ("-5", None),
        ("Score: 1,000", None),
        ("3/4", None),
        ("In 1985 it was so", None),
        ("I cannot judge this.", None),
        ("", None),
    ],
)
def test_marks_are_read_as_a_careful_reader_would(text, mark):
    assert parse_score(text) == mark


@given(st.integers(0, 100), st.sampled_from(["{}", "Score: {}", "{}/100", "I give it {}.", "*{}*"]))
def test_every_mark_is_read_in_every_form(mark, form):
    assert parse_score(form.format(mark)) == mark


@given(st.text())
def test_any_text_gives_a_mark_or_none(text):
    mark = parse_score(text)
    assert mark is None or (type(mark) is int and 0 <= mark <= 100)


@given(st.text().filter(lambda text: not any(map(str.isdigit, text))))
def test_no_mark_without_a_digit(text):
    assert parse_score(text) is None


def test_unreadable_marks_are_left_out_and_counted(server, capsys):
    texts = ["85", "I cannot judge this.", "Score: 70/100"]
    server.answers = [
        (200, JSON, json.dumps({"message": {"content": text}, "done": True}).encode())
        for text in texts
    ]
    entries = [{**ENTRY, "answer": answer} for answer in ("Blue", "Red", "  ", "Pink")]
    scores = generate_model_scores(entries, "answer", "any", server.url)
    assert scores == [85, 0, 70]  # the empty answer has 0 and was not asked about
    assert len(server.received) == 3
    assert "3 of 4 answers marked, 1 unreadable" in capsys.readouterr().out
    server.received.clear()
    assert judge_entries(entries, "answer", "any", server.url) == [85, None, 0, 70]
    asked = server.received[0]["messages"][0]["content"]
    assert asked == judge_prompt(entries[0], "Blue")
    assert all(text in asked for text in ("Name a colour.", "Green", "Blue"))


def test_unanswered_entries_are_named_before_anything_is_asked(server):
    with pytest.raises(ValueError, match=r"1 entries have no 'answer', the first is 1"):
        generate_model_scores([ENTRY, {"instruction": "", "output": ""}], "answer", url=server.url)
    assert not server.received


def test_running_programs_are_found():
    assert not check_if_running("no-such-program-as-this")
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        assert check_if_running("PYTHON")
    finally:
        program.kill()
        program.wait()


# ---- a real server


VERDICT = "Score: 85/100"
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}{{ '\n\nMark:' }}"


def taught_to_say(verdict):
    """A tiny GPT that learns in seconds to give one verdict, whatever it is shown."""
    torch.manual_seed(123)
    sizes = {"context_length": 512, "emb_dim": 32, "n_heads": 2, "n_layers": 1, "drop_rate": 0.0}
    model = GPTModel(GPT_CONFIG_124M | sizes)
    tokenizer = tiktoken.get_encoding("gpt2")
    answers = ["Blue", "Red, I think", "I do not know it", ""]
    prompts = [judge_prompt(ENTRY, answer) + "\n\nMark:" for answer in answers]
    batch = [tokenizer.encode(f"{prompt} {verdict}") for prompt in prompts]
    inputs, targets = custom_collate_fn(batch)
    for row, prompt in enumerate(prompts):
        targets[row, : len(tokenizer.encode(prompt)) - 1] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        loss = calc_loss_batch(inputs, targets, model, "cpu")
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    return model.eval()


def write_judge(model, folder):
    """What `transformers serve` needs: our weights, GPT-2's tokenizer, a chat template."""
    save_for_transformers(model, folder)
    vocabulary = ROOT / "course" / "gpt2-bpe"
    shutil.copy(vocabulary / "encoder.json", folder / "vocab.json")
    shutil.copy(vocabulary / "vocab.bpe", folder / "merges.txt")
    end = "<|endoftext|>"
    config = {"tokenizer_class": "GPT2Tokenizer", "chat_template": TEMPLATE}
    config |= {"bos_token": end, "eos_token": end, "unk_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.fixture(scope="module")
def real_judge(tmp_path_factory, one_thread):
    """`transformers serve` with our model -> (url, model's name, the GPTModel)."""
    pytest.importorskip("transformers")
    pytest.importorskip("fastapi")
    folder = tmp_path_factory.mktemp("judge")
    model = taught_to_say(VERDICT)
    write_judge(model, folder)
    port = free_port()
    program = shutil.which("transformers", path=sysconfig.get_path("scripts"))
    command = [program, "serve", folder, "--host", "127.0.0.1", "--port", port, "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = folder / "server.log"
    with open(log, "wb") as file:
        server = subprocess.Popen(
            [str(part) for part in command],
            stdout=file, stderr=file, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1/chat/completions", str(folder), model
    finally:
        os.killpg(server.pid, signal.SIGTERM) if hasattr(os, "killpg") else server.terminate()
        server.wait(10)


def wait_for(url, server, log, seconds=90):
    for _ in range(seconds * 4):
        try:
            if requests.get(url, timeout=1).ok:
                return
        except requests.RequestException:
            pass
        assert server.poll() is None, f"the server has ended:\n{log.read_text()[-2000:]}"
        time.sleep(0.25)
    raise AssertionError(f"no server after {seconds} s:\n{log.read_text()[-2000:]}")


def test_a_real_server_says_what_our_model_says(real_judge):
    """The text that comes over HTTP is the greedy answer of the GPTModel itself."""
    url, name, model = real_judge
    tokenizer = tiktoken.get_encoding("gpt2")
    for question in ["What do llamas eat?", judge_prompt(ENTRY, "Blue")]:
        idx = torch.tensor([tokenizer.encode(question + "\n\nMark:")])
        out = generate(model, idx, 256, 512, eos_id=50256)
        expected = tokenizer.decode(out[0, idx.shape[1] :].tolist())
        assert query_model(question, name, url).strip() == expected.strip()
    assert expected.strip() == VERDICT


def test_a_real_server_judges(real_judge, capsys):
    url, name, _ = real_judge
    entries = [{**ENTRY, "answer": answer} for answer in ("Blue", "Red, I think")]
    assert generate_model_scores(entries, "answer", name, url) == [85, 85]
    assert "2 of 2 answers marked, 0 unreadable" in capsys.readouterr().out


def test_a_real_server_that_lacks_the_model_is_reported(real_judge):
    url, _, _ = real_judge
    with pytest.raises(JudgeError):
        query_model("How good?", "no-such-model", url, timeout=(5, 60), tries=1)
