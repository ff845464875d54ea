"""The messages of chapter 6: form, balance, variety, nothing borrowed, nothing that calls a
real number or page, and neither trivial nor hopeless for a baseline."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiktoken
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course.vocabulary import offer_vocabulary_to_tiktoken

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "ch06" / "spam-messages.tsv"
REAL = ROOT.parent / "shared" / "data" / "local-only" / "SMSSpamCollection.tsv"

# Numbers kept for fiction by the regulators: Ofcom's for the United Kingdom, 555-01xx for the
# United States. https://www.ofcom.org.uk/phones-and-broadband/phone-numbers/numbers-for-drama
FICTION = re.compile(
    r"07700 900\d{3}|0(113|114|115|116|117|118|121|131|141|151|161) 496 0\d{3}|0191 498 0\d{3}"
    r"|020 7946 0\d{3}|029 2018 0\d{3}|01632 960\d{3}|0808 157 0\d{3}|0909 8790 \d{3}"
    r"|03069 990 ?\d{3}|\(\d{3}\) 555-01\d\d"
)
LONG_NUMBER = re.compile(r"[+(]?\d(?:(?:[ ()-]{1,2}|[./])?\d){6,}")
SHORT_CODE = re.compile(r"\bto ([1-9]\d{4,5})\b", re.IGNORECASE)  # "text WIN to 10101"
ADDRESS = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}(?![a-z@])", re.IGNORECASE)
SAFE_ADDRESS = re.compile(r"(?:.+\.)?(?:example\.com|[a-z0-9-]+\.(?:example|test|invalid))")
WEB = re.compile(r"https?:|www\.", re.IGNORECASE)


def read(path):
    return [line.split("\t", 1) for line in path.read_text(encoding="utf-8").splitlines()]


ROWS = read(FILE)
TEXTS = [text for _, text in ROWS]
IS_SPAM = np.array([label == "spam" for label, _ in ROWS])


def plain(text):
    """Lower case, no punctuation: what is left to compare when the dress is taken off."""
    return " ".join(re.sub(r"['’]", "", text.lower()).translate(UNDRESS).split())


UNDRESS = {code: " " for code in range(0x3000) if not chr(code).isalnum()}


def jaccard(ours, theirs):
    """The share of common character 5-grams, (len(ours), len(theirs))."""
    ours, theirs = [plain(text) for text in ours], [plain(text) for text in theirs]
    grams = CountVectorizer(analyzer="char", ngram_range=(5, 5), binary=True, dtype=np.float32)
    both = grams.fit_transform(ours + theirs)
    a, b = both[: len(ours)], both[len(ours) :]
    common = (a @ b.T).toarray()
    sizes = a.sum(axis=1).A1[:, None] + b.sum(axis=1).A1[None, :]
    return common / np.maximum(sizes - common, 1)


def runs(text, length=6):
    words = plain(text).split()
    return {" ".join(words[i : i + length]) for i in range(len(words) - length + 1)}


def unsafe(text):
    """Numbers and addresses in `text` that could be somebody's."""
    found = [n for n in LONG_NUMBER.findall(text) if not FICTION.fullmatch(n)]
    found += [code for code in SHORT_CODE.findall(text) if not code.startswith("10")]
    found += [a for a in ADDRESS.findall(text) if not SAFE_ADDRESS.fullmatch(a.lower())]
    return found + WEB.findall(text)


def test_format():
    raw = FILE.read_bytes()
    assert b"\r" not in raw
    assert not raw.startswith(b"\xef\xbb\xbf"), "a byte order mark"
    assert raw.endswith(b"\n")
    for line in raw.decode("utf-8").split("\n")[:-1]:
        label, tab, text = line.partition("\t")
        assert label in ("ham", "spam"), line
        assert tab, line
        assert text == text.strip() != "", line
        assert "\t" not in text, line
        assert text.isprintable() or "\u200d" in text, line  # \u200d joins emoji
        assert "�" not in text, line
    assert raw.count(b"\n") == len(ROWS)  # nothing else that splitlines() takes for a line's end


def test_pandas_reads_it_as_the_chapter_does():
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(FILE, sep="\t", header=None, names=["Label", "Text"])
    assert table["Text"].tolist() == TEXTS
    assert table["Label"].tolist() == [label for label, _ in ROWS]


def test_counts_balance_and_order():
    assert Counter(label for label, _ in ROWS) == {"ham": 830, "spam": 830}
    thirds = [part.mean() for part in np.array_split(IS_SPAM, 3)]
    assert 0.4 < min(thirds) <= max(thirds) < 0.6, "not shuffled"
    assert max(len(run) for run in re.findall("1+|0+", "".join(map(str, IS_SPAM * 1)))) < 20


def test_lengths():
    offer_vocabulary_to_tiktoken(ROOT / "course" / "gpt2-bpe")
    encoding = tiktoken.get_encoding("gpt2")
    tokens = np.array([len(encoding.encode(text)) for text in TEXTS])
    assert tokens.max() < 120
    words = np.array([len(text.split()) for text in TEXTS])
    for is_class in (IS_SPAM, ~IS_SPAM):
        assert words[is_class].min() <= 3
        assert words[is_class].max() >= 40
        assert 12 <= np.median(words[is_class]) <= 20


def test_no_near_duplicates():
    alike = jaccard(TEXTS, TEXTS)
    np.fill_diagonal(alike, 0)
    one, other = np.unravel_index(alike.argmax(), alike.shape)
    assert alike.max() < 0.5, (TEXTS[one], TEXTS[other])
    seen = Counter(run for text in TEXTS for run in runs(text))
    assert not [run for run, count in seen.items() if count > 1]


def test_the_measure_sees_a_near_duplicate():
    near = TEXTS[0].upper() + "!!"
    assert jaccard([near], TEXTS)[0].argmax() == 0
    assert jaccard([near], TEXTS)[0].max() > 0.9
    assert runs("Please, ring me: when you're home") & runs("so please ring me when youre home")


def test_no_template():
    openings = Counter(" ".join(plain(text).split()[:4]) for text in TEXTS)
    assert openings.most_common(1)[0][1] <= 3, openings.most_common(3)
    # No sign or word that a fair share of the rows have tells the class by itself.
    counter = CountVectorizer(binary=True, token_pattern=r"\w+|[^\w\s]")
    present = counter.fit_transform(TEXTS)
    total, in_spam = present.sum(axis=0).A1, present[IS_SPAM].sum(axis=0).A1
    purity = np.maximum(in_spam, total - in_spam) / total
    names = counter.get_feature_names_out()
    tells = (total > 0.05 * len(ROWS)) & (purity > 0.97)
    assert not names[tells].tolist()


TRAITS = [r"\d", "£", r"\$", r"[’']", "’", r"!", r"\?", r"\.$", r"\w$", r"[.!?]$", "^[a-z]"]
TRAITS += [r"\b[A-Z]{3,}\b", r"[\u2600-\U0001FAFF]", r"\.(?:example|test|invalid)\b"]
TRAITS += [r"\d{3,} \d{3,}"]


@pytest.mark.parametrize("trait", TRAITS)
def test_dress_is_no_giveaway(trait):
    """Digits, prices, marks, capitals, emoji, links: each in both classes."""
    has = np.array([bool(re.search(trait, text)) for text in TEXTS])
    ham, spam = has[~IS_SPAM].sum(), has[IS_SPAM].sum()
    assert min(ham, spam) >= 5
    assert max(ham, spam) / (ham + spam) < 0.92


def test_numbers_and_addresses_are_nobodys():
    assert not [(text, unsafe(text)) for text in TEXTS if unsafe(text)]


def test_unsafe_sees_what_is_not_safe():
    assert unsafe("ring 0161 234 5678")
    assert unsafe("or +447911123456")
    assert unsafe("text WIN to 80000")
    assert unsafe("see parcels.co.uk/x")
    assert unsafe("see notexample.com")
    assert unsafe("https://a.example")
    assert not unsafe("ring 0161 496 0142, (212) 555-0147, see a.example/x or a@b.example.com")


def test_nothing_from_the_real_collection():
    if not REAL.is_file():
        pytest.skip("the real collection is not here")
    real = [text for _, text in read(REAL)]
    assert len(real) > 5000
    assert not {plain(text) for text in TEXTS} & {plain(text) for text in real}
    alike = jaccard(TEXTS, real)
    assert alike.max() < 0.4, TEXTS[alike.max(axis=1).argmax()]
    theirs = set().union(*(runs(text) for text in real))
    assert not [text for text in TEXTS if runs(text) & theirs]


WORDS = TfidfVectorizer(ngram_range=(1, 2))
LETTERS = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)


def accuracy(vectorizer, labels):
    model = make_pipeline(vectorizer, LogisticRegression(C=10, solver="liblinear"))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return cross_val_score(model, TEXTS, labels, cv=folds).mean()


@pytest.mark.parametrize("vectorizer", [WORDS, LETTERS])
def test_a_baseline_learns_much_but_not_all(vectorizer):
    assert 0.89 < accuracy(vectorizer, IS_SPAM) < 0.96


def test_length_alone_does_not_tell():
    shape = [[len(t), len(t.split()), sum(c.isupper() for c in t) / len(t)] for t in TEXTS]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    assert cross_val_score(model, shape, IS_SPAM, cv=folds).mean() < 0.75
