"""Chapter 6: the spam filter, against the published figures, a local server, torch and sklearn."""

import contextlib
import http.server
import io
import json
import threading
import zipfile

import pandas as pd
import pytest
import tiktoken
import torch
import torch.nn.functional as F
from conftest import ROOT
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.pipeline import make_pipeline
from torch.utils.data import DataLoader

import previous_chapters as course
from course.live import LiveLoss
from course.widgets.spam import SpamBox
from previous_chapters import (
    GPTModel,
    LastTokenBlock,
    SpamDataset,
    cache_frozen_part,
    calc_accuracy_loader,
    calc_loss_batch_classifier,
    calc_loss_loader_classifier,
    classify_review,
    create_balanced_dataset,
    download_and_unzip_spam_data,
    evaluate_classifier,
    find_spam_data,
    load_classifier,
    load_pretrained,
    make_classifier,
    plot_values,
    random_split,
    read_messages,
    read_spam_file,
    save_checkpoint,
    save_classifier,
    spam_probabilities,
    train_classifier_simple,
    trainable_part,
)

REAL = ROOT.parent / "shared" / "data" / "local-only" / "SMSSpamCollection.tsv"
needs_real = pytest.mark.skipif(not REAL.is_file(), reason="the SMS Spam Collection is not here")
TOKENIZER = tiktoken.get_encoding("gpt2")
CONFIG = {
    "vocab_size": 50257, "context_length": 24, "emb_dim": 16, "n_heads": 2, "n_layers": 3,
    "drop_rate": 0.0, "qkv_bias": True,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("one_thread")


def classifier(trainable="last block", num_classes=2, **changes):
    torch.manual_seed(1)
    model = GPTModel(CONFIG | changes)
    with torch.no_grad():  # larger weights, so that differences show
        for p in model.parameters():
            if p.dim() == 2:
                p.mul_(3)
    return make_classifier(model, num_classes, trainable).eval()


def table(*rows):
    return pd.DataFrame(rows, columns=["Label", "Text"])


def csv_file(folder, n=23, seed=0):
    """A CSV whose spam says so, in messages of different length."""
    generator = torch.Generator().manual_seed(seed)
    words = ["see", "you", "soon", "late", "train", "dinner", "home"]
    rows = []
    for i in range(n):
        length = int(torch.randint(1, 9, (1,), generator=generator))
        picks = torch.randint(0, len(words), (length,), generator=generator).tolist()
        text = " ".join(words[k] for k in picks)
        rows.append((i % 2, f"WIN cash {text}" if i % 2 else text))
    path = folder / "messages.csv"
    table(*rows).to_csv(path, index=False)
    return path


@pytest.fixture
def dataset(tmp_path):
    return SpamDataset(csv_file(tmp_path), TOKENIZER)


# ---- the data: download, reading, balance, split


@contextlib.contextmanager
def served(folder):
    """The address of a server that gives the files of `folder`."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def write_zip(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "../"), content)


@pytest.fixture
def online(monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(course, "BACK_OFF", 0.01)


def paths(folder):
    return folder / "sms.zip", folder / "sms", folder / "sms" / "SMSSpamCollection.tsv"


@needs_real
def test_the_collection_is_fetched_verified_and_unzipped(tmp_path, online, capsys):
    store = tmp_path / "store"
    store.mkdir()
    write_zip(store / "a.zip", SMSSpamCollection=REAL.read_bytes(), readme="by Almeida")
    write_zip(store / "other.zip", SMSSpamCollection="ham\tanother file")
    (store / "page.zip").write_text("<html>Please sign in</html>")
    with served(store) as address:
        urls = [f"{address}/{name}.zip" for name in ("missing", "page", "other", "a")]
        download_and_unzip_spam_data(urls, *paths(tmp_path))
    target = paths(tmp_path)[2]
    assert target.read_bytes() == REAL.read_bytes()
    assert (target.parent / "readme").read_text() == "by Almeida"
    capsys.readouterr()
    download_and_unzip_spam_data("http://127.0.0.1:9/nobody-here.zip", *paths(tmp_path))
    assert "verified" in capsys.readouterr().out, "a verified copy needs no server"
    target.write_bytes(target.read_bytes()[:-1] + b"x")  # damaged: mended from the zip
    download_and_unzip_spam_data("http://127.0.0.1:9/nobody-here.zip", *paths(tmp_path))
    assert target.read_bytes() == REAL.read_bytes()


@needs_real
@pytest.mark.parametrize("escape", ["__evil.txt", "____tmp/evil.txt", "/evil-of-test.txt"])
def test_a_zip_that_leaves_its_folder_is_refused(tmp_path, online, escape):
    store, target = tmp_path / "store", tmp_path / "deep" / "er"
    store.mkdir()
    content = {"SMSSpamCollection": REAL.read_bytes(), escape: "evil"}
    write_zip(store / "a.zip", **content)
    with served(store) as address, pytest.raises(course.DownloadError, match="leaves the folder"):
        download_and_unzip_spam_data(f"{address}/a.zip", *paths(target))
    assert not list(tmp_path.rglob("evil*"))
    assert not list(target.rglob("*.tsv"))


@needs_real
def test_a_zip_that_lies_there_already_is_looked_at_too(tmp_path):
    """Without a server: an evil zip under the right name is no reason to unpack it."""
    zip_path, folder, target = paths(tmp_path / "deep")
    zip_path.parent.mkdir()
    write_zip(zip_path, SMSSpamCollection=REAL.read_bytes(), __evil="evil")
    with pytest.raises(course.DownloadError, match="leaves the folder"):
        download_and_unzip_spam_data("http://127.0.0.1:9/x.zip", zip_path, folder, target)
    assert not list(tmp_path.rglob("evil*"))


def test_a_zip_bomb_is_refused(tmp_path):
    write_zip(tmp_path / "bomb.zip", SMSSpamCollection=b"0" * 60_000_000)
    with pytest.raises(ValueError, match="60,000,000 bytes"):
        course.check_spam_zip(tmp_path / "bomb.zip")


def test_offline_our_own_messages_are_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    path, name = find_spam_data("auto", tmp_path)
    assert (path, name) == (tmp_path / "spam-messages.tsv", "spam-messages")
    assert "can't be fetched (this machine is offline)" in capsys.readouterr().out
    assert find_spam_data("spam-messages", tmp_path)[1] == "spam-messages"
    with pytest.raises(ValueError, match=r"'emails'.*sms-spam-collection"):
        find_spam_data("emails", tmp_path)


@needs_real
def test_a_verified_collection_on_the_disk_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    folder = tmp_path / "sms_spam_collection"
    folder.mkdir()
    (folder / "SMSSpamCollection.tsv").write_bytes(REAL.read_bytes())
    assert find_spam_data("auto", tmp_path)[1] == "sms-spam-collection"
    (folder / "SMSSpamCollection.tsv").write_bytes(REAL.read_bytes()[:-100])
    assert find_spam_data("auto", tmp_path)[1] == "spam-messages"


@needs_real
def test_published_figures_of_the_collection(tmp_path):
    df = read_spam_file(REAL)
    assert len(df) == 5572
    assert df["Label"].value_counts().to_dict() == {"ham": 4825, "spam": 747}
    balanced = create_balanced_dataset(df)
    assert len(balanced) == 1494
    assert balanced["Label"].tolist() == ["ham"] * 747 + ["spam"] * 747
    sets = []
    for name, part in zip("abc", random_split(balanced, 0.7, 0.1), strict=True):
        part.to_csv(tmp_path / name, index=False)
        sets.append(SpamDataset(tmp_path / name, TOKENIZER, sets[0].max_length if sets else None))
    assert [len(data) for data in sets] == [1045, 149, 300]
    assert [data.max_length for data in sets] == [120] * 3
    torch.manual_seed(123)
    train = DataLoader(sets[0], batch_size=8, shuffle=True, drop_last=True)
    loaders = [train, DataLoader(sets[1], batch_size=8), DataLoader(sets[2], batch_size=8)]
    assert [len(loader) for loader in loaders] == [130, 19, 38]
    assert [x.shape for x, _ in loaders[1]][:18] == [(8, 120)] * 18


def test_our_own_messages():
    path = ROOT / "ch06" / "spam-messages.tsv"
    df = read_spam_file(path)
    counts = df["Label"].value_counts()
    assert len(df) >= 1500
    assert abs(counts["ham"] - counts["spam"]) <= 0.02 * len(df)
    assert len(df) == len(path.read_text(encoding="utf-8").splitlines())
    assert not df["Text"].str.lower().str.split().str.join(" ").duplicated().any()


@needs_real
def test_the_record_of_the_real_collection_adds_up():
    """benchmarks/spam_collection.json, with the baseline computed again by scikit-learn."""
    record = json.loads((ROOT / "benchmarks" / "spam_collection.json").read_text("utf-8"))
    balanced = create_balanced_dataset(read_spam_file(REAL))
    train, _, test = random_split(balanced, 0.7, 0.1)
    baseline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    answers = baseline.fit(train["Text"], train["Label"]).predict(test["Text"])
    noted = record["baseline, TF-IDF and logistic regression"]
    assert noted["test accuracy"] == pytest.approx(accuracy_score(test["Label"], answers))
    assert noted["confusion"] == confusion_matrix(test["Label"], answers).tolist()
    assert test["Text"].isin(set(train["Text"])).sum() == 37
    assert record["test messages that are also in the training part"] == 37
    accuracies = []
    for run in record["seeds"]:
        (ham, alarms), (missed, spam) = run["confusion"]
        assert (ham + alarms, missed + spam) == (149, 151)
        assert run["precision"] == pytest.approx(spam / (spam + alarms))
        assert run["recall"] == pytest.approx(spam / 151)
        accuracies.append((ham + spam) / 300)
    assert len(accuracies) >= 3
    assert record["test accuracy"]["mean"] == pytest.approx(sum(accuracies) / len(accuracies))
    assert record["test accuracy"]["mean"] >= 0.94


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("category,message\nham,hi\n", "no column 'Label' and no column 'Text'.*'category'"),
        ("Label,message\nham,hi\n", "no column 'Text'"),
        ("Label,Text\nham,hi\nmaybe,hm\n", r"row 1: the label 'maybe' is unknown"),
        ("Label,Text\nham,hi\n,hm\n", r"row 1: the label ''"),
        ("Label,Text\n0,hi\n2,hm\n", "row 1: the label 2 is unknown"),
        ("Label,Text\nham,hi\nspam,\n", "row 1: no text"),
        ("Label,Text\nham,hi\nspam\n", "row 1: no text"),
        ("Label,Text\nham,hi,you\n", "more columns"),
        ("Label,Text\nham,hi\nspam,a,b\n", "no table"),
        ("Label,Text\n", "no rows"),
        ("", "no table"),
        ("Label,Text\nspam,Win £500\n".encode("cp1252"), "not UTF-8.*0xa3.*cp1252"),
        ("Label,Text\nspam,Win £500\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_faulty_tables_are_refused_with_the_reason(tmp_path, content, message):
    path = tmp_path / "mine.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as error:
        SpamDataset(path, TOKENIZER)
    assert "mine.csv" in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_texts_that_look_like_missing_values_or_numbers_are_texts():
    file = io.StringIO("Label,Text\nham,None\nspam,NA\nham,null\n1,1234\n")
    assert read_messages(file)["Text"].tolist() == ["None", "NA", "null", "1234"]


def test_balancing():
    rows = [("ham", f"h{i}") for i in range(7)] + [("spam", f"s{i}") for i in range(3)]
    df = table(*rows)
    balanced = create_balanced_dataset(df)
    expected = df[df["Label"] == "ham"].sample(3, random_state=123)["Text"].tolist()
    assert balanced["Text"].tolist() == [*expected, "s0", "s1", "s2"]
    more_spam = create_balanced_dataset(df.assign(Label=["spam"] * 7 + ["ham"] * 3))
    assert more_spam["Label"].tolist() == ["ham"] * 3 + ["spam"] * 3
    assert more_spam["Text"].is_unique
    for label, absent in [("ham", "spam"), ("spam", "ham")]:
        with pytest.raises(ValueError, match=f"no '{absent}' among"):
            create_balanced_dataset(df[df["Label"] == label])


def test_splitting_loses_nothing_and_repeats_nothing():
    df = table(*[(i % 2, str(i)) for i in range(50)])
    parts = random_split(df, 0.7, 0.1)
    assert [len(part) for part in parts] == [35, 5, 10]
    assert sorted(pd.concat(parts)["Text"], key=int) == [str(i) for i in range(50)]
    assert parts[0]["Text"].tolist() != [str(i) for i in range(35)], "not shuffled"
    for fractions in [(0.9, 0.1), (1.2, 0.1), (0.7, -0.1), (0.0, 0.5), (0.7, 0.001)]:
        with pytest.raises(ValueError, match="50 rows can't be split"):
            random_split(df, *fractions)


# ---- the data set


def test_dataset_pads_and_cuts(tmp_path):
    path = tmp_path / "a.csv"
    table((0, "Bus is late"), ("spam", "You have won a prize, call now"), (1, "ok")).to_csv(
        path, index=False
    )
    data = SpamDataset(path, TOKENIZER)
    longest = len(TOKENIZER.encode("You have won a prize, call now"))
    assert data.max_length == longest
    ids, label = data[0]
    bus = TOKENIZER.encode("Bus is late")
    assert ids.tolist() == bus + [50256] * (longest - len(bus))
    assert (ids.dtype, label.dtype, label.item()) == (torch.long, torch.long, 0)
    assert [data[i][1].item() for i in range(3)] == [0, 1, 1]
    short = SpamDataset(path, TOKENIZER, max_length=2, pad_token_id=7)
    assert short[0][0].tolist() == bus[:2]
    assert short[2][0].tolist() == [*TOKENIZER.encode("ok"), 7]
    with pytest.raises(ValueError, match="max_length must be at least 1"):
        SpamDataset(path, TOKENIZER, max_length=0)


def test_a_typed_end_of_text_is_text(tmp_path):
    path = tmp_path / "a.csv"
    table((0, "a <|endoftext|> b")).to_csv(path, index=False)
    ids = SpamDataset(path, TOKENIZER)[0][0].tolist()
    assert 50256 not in ids
    assert TOKENIZER.decode(ids) == "a <|endoftext|> b"


# ---- the model, the loss, the accuracy


def test_what_learns():
    expected = {"head": ["out_head."], "last block": ["trf_blocks.2.", "final_norm.", "out_head."]}
    for trainable, starts in expected.items():
        for name, p in classifier(trainable).named_parameters():
            assert p.requires_grad == name.startswith(tuple(starts)), (trainable, name)
    assert all(p.requires_grad for p in classifier("all").parameters())
    model = classifier(num_classes=5)
    assert model.out_head.weight.shape == (5, 16)
    assert model(torch.tensor([[1, 2, 3]])).shape == (1, 3, 5)
    with pytest.raises(ValueError, match="'first block'"):
        classifier("first block")


def test_the_head_is_that_of_the_published_order():
    model = GPTModel(CONFIG)
    torch.manual_seed(123)
    make_classifier(model)
    torch.manual_seed(123)
    expected = torch.nn.Linear(16, 2)
    assert torch.equal(model.out_head.weight, expected.weight)
    assert torch.equal(model.out_head.bias, expected.bias)


def test_loss_is_cross_entropy_of_the_last_token():
    model = classifier()
    x, y = torch.randint(0, 50257, (5, 9)), torch.tensor([0, 1, 1, 0, 1])
    loss = calc_loss_batch_classifier(x, y, model, "cpu")
    expected = F.nll_loss(model(x)[:, -1, :].log_softmax(-1), y)
    torch.testing.assert_close(loss, expected)
    x[:, 0] += 1 - 2 * (x[:, 0] > 0).long()
    with pytest.raises(ValueError, match=r"one class per message.*\(5, 9\)"):
        calc_loss_batch_classifier(x, x, model, "cpu")
    with pytest.raises(ValueError, match="batch_size"):
        course.calc_loss_batch(x, y, model, "cpu")


class Fixed(torch.nn.Module):
    """Answers with the last id of each row, 0 or 1; counts how often it was asked."""

    def __init__(self):
        super().__init__()
        self.calls, self.modes = 0, set()

    def forward(self, x):
        self.calls += 1
        self.modes.add((self.training, torch.is_grad_enabled()))
        return F.one_hot(x, 2).float() * 10


def test_accuracy_counts_messages_and_not_batches():
    x = torch.tensor([[0, 1], [0, 1], [1, 0], [1, 0], [0, 1]])
    y = torch.tensor([1, 1, 0, 0, 0])  # four right, the fifth wrong
    loader, model = DataLoader(list(zip(x, y, strict=True)), batch_size=2), Fixed()
    model.train()
    assert calc_accuracy_loader(loader, model, "cpu") == 0.8
    assert calc_accuracy_loader(loader, model, "cpu", num_batches=1) == 1.0
    assert calc_accuracy_loader(loader, model, "cpu", num_batches=99) == 0.8
    assert model.calls == 3 + 1 + 3
    assert model.modes == {(False, False)}, "measured without dropout and gradients"
    assert model.training, "and back in the mode that it was in"
    model.eval()
    calc_accuracy_loader(loader, model, "cpu")
    assert not model.training


def test_mean_loss_of_a_loader(dataset):
    model, loader = classifier(), DataLoader(dataset, batch_size=8)
    with torch.no_grad():
        each = [F.cross_entropy(model(x)[:, -1], y).item() for x, y in loader]
        assert calc_loss_loader_classifier(loader, model, "cpu") == pytest.approx(sum(each) / 3)
        two = calc_loss_loader_classifier(loader, model, "cpu", num_batches=2)
    assert two == pytest.approx(sum(each[:2]) / 2)
    losses = evaluate_classifier(model, loader, loader, "cpu", eval_iter=2)
    assert losses == pytest.approx((two, two))
    assert model.training
    for function in (calc_loss_loader_classifier, calc_accuracy_loader):
        with pytest.raises(ValueError, match="no batches"):
            function(DataLoader([]), model, "cpu")
        with pytest.raises(ValueError, match="got 0"):
            function(loader, model, "cpu", num_batches=0)


# ---- training


def by_hand(model, loader, epochs):
    """The losses of a plain training loop."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(epochs):
        for x, y in loader:
            loss = F.cross_entropy(model(x)[:, -1], y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def adam(model):
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)


def test_training_is_that_of_a_loop_by_hand(dataset, capsys):
    loader, calls = DataLoader(dataset, batch_size=4), []
    val_loader = DataLoader(list(dataset)[5:8], batch_size=2)
    ours, theirs = classifier(), classifier()
    frozen = {n: p.clone() for n, p in ours.named_parameters() if not p.requires_grad}
    result = train_classifier_simple(
        ours, loader, val_loader, adam(ours), "cpu", num_epochs=2, eval_freq=5, eval_iter=2,
        on_step=lambda *call: calls.append(call),
    )  # fmt: skip
    by_hand(theirs, loader, epochs=2)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    for name, p in ours.named_parameters():
        assert name not in frozen or torch.equal(p, frozen[name])
    train_losses, val_losses, train_accs, val_accs, examples_seen = result
    assert [call[0] for call in calls] == list(range(12))
    assert [call[0] for call in calls if call[1] is not None] == [0, 5, 10]
    assert [train_losses, val_losses] == [[call[i] for call in calls[::5]] for i in (1, 2)]
    assert train_losses != val_losses
    assert (len(train_accs), len(val_accs), examples_seen) == (2, 2, 46)
    for accs, part in ((train_accs, loader), (val_accs, val_loader)):
        assert accs[-1] == calc_accuracy_loader(part, ours, "cpu", 2)
    assert train_accs != val_accs
    assert "epoch 2, accuracy" in capsys.readouterr().out


def test_the_mini_learns_to_tell_easy_messages_apart(tmp_path, capsys):
    model, _, _ = load_pretrained("gpt2-mini", ROOT / "models")
    torch.manual_seed(123)
    make_classifier(model)
    data = SpamDataset(csv_file(tmp_path, n=48), TOKENIZER)
    other = tmp_path / "other"
    other.mkdir()
    test = SpamDataset(csv_file(other, n=40, seed=9), TOKENIZER, data.max_length)
    loader = DataLoader(data, batch_size=8, shuffle=True)
    before = calc_accuracy_loader(DataLoader(test, 8), model, "cpu")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4)
    train_classifier_simple(model, loader, loader, optimizer, "cpu", 4, 100, 1)
    assert before < 0.8
    assert calc_accuracy_loader(DataLoader(test, 8), model, "cpu") > 0.95


# ---- what is frozen is computed once


@pytest.mark.parametrize("trainable", ["last block", "head"])
def test_cached_training_gives_the_same_losses(dataset, trainable):
    plain, cached = classifier(trainable), classifier(trainable)
    kept = cache_frozen_part(cached, dataset, "cpu", batch_size=5)
    assert kept.tensors[0].shape == (23, dataset.max_length, 16)
    part = trainable_part(cached)
    losses = by_hand(plain, DataLoader(dataset, batch_size=4), epochs=2)
    fast = by_hand(part, DataLoader(kept, batch_size=4), epochs=2)
    assert fast == pytest.approx(losses, abs=1e-5)
    assert abs(losses[0] - losses[-1]) > 1e-3, "it has learnt something"
    there = dict(cached.named_parameters())
    for name, p in plain.named_parameters():
        if not name.endswith("W_key.bias"):  # it cancels in the softmax: its gradient is noise
            torch.testing.assert_close(p, there[name], atol=1e-4, rtol=1e-3)


def test_the_last_token_of_a_block():
    block = classifier().trf_blocks[0]
    x = torch.randn(3, 7, 16)
    torch.testing.assert_close(LastTokenBlock(block)(x), block(x)[:, -1:])


def test_cache_refuses_what_would_change_results(dataset):
    with pytest.raises(ValueError, match="embeddings are trainable"):
        cache_frozen_part(classifier("all"), dataset, "cpu")
    with pytest.raises(ValueError, match=r"drop_rate is 0\.1"):
        cache_frozen_part(classifier(drop_rate=0.1), dataset, "cpu")


# ---- the filter in use


TEXTS = ["You have won a prize", "see you soon", "", "  \n", "❤️🎉", "Θα αργήσω", "ok " * 5000,
         "<|endoftext|>", "\ud800", "a\x00b"]  # fmt: skip


def test_any_text_alone_or_in_a_batch():
    model = classifier().train()
    together = spam_probabilities(TEXTS, model, TOKENIZER, "cpu", 20, batch_size=3)
    assert together.shape == (10,)
    assert ((together >= 0) & (together <= 1)).all()
    assert together[2] == together[3] == 0
    assert model.training
    alone = [spam_probabilities([t], model, TOKENIZER, "cpu", 20).item() for t in TEXTS]
    assert together.tolist() == pytest.approx(alone, abs=1e-6)
    ids = TOKENIZER.encode(TEXTS[0])
    x = torch.tensor([ids + [50256] * (20 - len(ids))])
    with torch.no_grad():
        expected = model.eval()(x)[0, -1].softmax(0)[1]
    torch.testing.assert_close(together[0], expected)
    answers = [classify_review(t, model, TOKENIZER, "cpu", max_length=20) for t in TEXTS]
    assert answers == ["spam" if p > 0.5 else "not spam" for p in alone]
    assert spam_probabilities([], model, TOKENIZER, "cpu", 20).shape == (0,)


def test_lengths_and_types_are_checked():
    model = classifier()
    assert classify_review("ok", model, TOKENIZER, "cpu") in ("spam", "not spam")
    for length in (25, 0, -1):
        with pytest.raises(ValueError, match=f"context, 24, got {length}"):
            classify_review("ok", model, TOKENIZER, "cpu", max_length=length)
    with pytest.raises(TypeError, match=r"\[text\]"):
        spam_probabilities("ok", model, TOKENIZER, "cpu", 20)
    with pytest.raises(TypeError, match="list of str"):
        spam_probabilities(["ok", float("nan")], model, TOKENIZER, "cpu", 20)


def test_saved_and_loaded_the_same_answers(tmp_path):
    model, path = classifier(), tmp_path / "filter.pth"
    save_classifier(path, model, CONFIG, 20, name="tiny", note=[1, 2])
    loaded, extras = load_classifier(path)
    assert extras == {"config": CONFIG, "max_length": 20, "name": "tiny", "note": [1, 2]}
    assert not loaded.training
    both = [spam_probabilities(TEXTS, m, TOKENIZER, "cpu", 20) for m in (model, loaded)]
    assert torch.equal(*both)
    torch.save(model.state_dict(), tmp_path / "bare.pth")  # as older notebooks save it
    bare, extras = load_classifier(tmp_path / "bare.pth", CONFIG)
    assert extras == {}
    assert torch.equal(bare.out_head.weight, model.out_head.weight)


def test_files_that_are_no_classifier(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_classifier(tmp_path / "nothing.pth")
    torch.save(classifier().state_dict(), tmp_path / "bare.pth")
    save_checkpoint(tmp_path / "language.pth", GPTModel(CONFIG), config=CONFIG)
    (tmp_path / "cut.pth").write_bytes((tmp_path / "bare.pth").read_bytes()[:5000])
    for name in ("bare.pth", "language.pth", "cut.pth"):
        with pytest.raises(ValueError, match=name):
            load_classifier(tmp_path / name)
    with pytest.raises(ValueError, match="does not fit"):
        load_classifier(tmp_path / "bare.pth", CONFIG | {"emb_dim": 32})
    with pytest.raises(ValueError, match="max_length must be from 1 to the model's context, 24"):
        save_classifier(tmp_path / "x.pth", classifier(), CONFIG, 25)
    assert not (tmp_path / "x.pth").exists()


def test_the_box_judges_what_is_typed():
    box = SpamBox(lambda text: 0.9 if "WIN" in text else 0.2, "hi", examples=["WIN <b>now</b>"])
    assert (box.bar.value, box.verdict.value[:8]) == (0.2, "not spam")
    box.text.value = "WIN!"
    assert (box.bar.value, box.verdict.value[:5]) == (0.9, "spam:")
    box.text.value = "hello"
    box.buttons[0].click()
    assert (box.text.value, box.bar.value) == ("WIN <b>now</b>", 0.9)
    assert "run this cell" in repr(box)


def test_plots():
    figure = plot_values([0, 1, 2], [0, 8, 16], [3, 2, 1], [3, 2.5, 2], label="accuracy")
    lines = figure.axes[0].get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [[3, 2, 1], [3, 2.5, 2]]
    assert figure.axes[0].get_ylabel() == "accuracy"
    live = LiveLoss(3, unit="message", guessing=0.69)
    live(0, 0.7, 0.71)
    assert "nats per message" in live.caption()
    assert live.draw().data.startswith(b"\x89PNG")
