"""What the chapters of this course built, for the chapters that come after.

Generated from the notebooks by tools/export_previous_chapters.py. Don't edit it: change the
notebook that a comment names and run the tool again.
"""

import codecs
import ctypes
import difflib
import errno
import functools
import hashlib
import heapq
import importlib.util
import json
import math
import os
import pickle
import re
import shutil
import socket
import sys
import time
import warnings
import zipfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import regex
import tiktoken
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, TensorDataset

__all__ = [
    "split_into_tokens",
    "SimpleTokenizerV1",
    "SimpleTokenizerV2",
    "count_pairs",
    "merge_pair",
    "GPT2_SPLIT",
    "is_visible",
    "visible_characters",
    "VISIBLE",
    "BYTE_TO_ID",
    "train_merges",
    "merge_piece",
    "token_table",
    "split_at_special",
    "BPEEncoder",
    "merges_to_lines",
    "merges_from_lines",
    "write_atomically",
    "read_bpe_file",
    "BPETokenizer",
    "GPTDatasetV1",
    "create_dataloader_v1",
    "SelfAttention_v1",
    "SelfAttention_v2",
    "causal_mask",
    "SkipsSavedMask",
    "check_attention_input",
    "CausalAttention",
    "MultiHeadAttentionWrapper",
    "check_heads",
    "MultiHeadAttention",
    "attention_weights",
    "GPT_CONFIG_124M",
    "check_config",
    "LayerNorm",
    "GELU",
    "FeedForward",
    "TransformerBlock",
    "check_token_ids",
    "GPTModel",
    "generate_text_simple",
    "text_to_token_ids",
    "token_ids_to_text",
    "calc_loss_batch",
    "calc_loss_loader",
    "evaluate_model",
    "generate_and_print_sample",
    "train_model_simple",
    "plot_losses",
    "softmax_with_temperature",
    "keep_top_k",
    "generate",
    "write_whole_or_not",
    "check_plain",
    "CHECKPOINT_KEYS",
    "save_checkpoint",
    "read_plain_file",
    "fitting_weights",
    "load_checkpoint",
    "ReadLater",
    "nested_params",
    "openai_name",
    "read_tensor",
    "load_gpt2_params_from_safetensors",
    "block_under_our_names",
    "under_our_names",
    "assign",
    "misfits",
    "load_weights_into_gpt",
    "config_from_settings",
    "GPT2_SIZES",
    "GPT2_NAMES",
    "check_model_size",
    "load_gpt2_from_hugging_face",
    "load_gpt2_from_folder",
    "load_pretrained",
    "import_tensorflow",
    "read_tf_variable",
    "load_gpt2_params_from_tf_ckpt",
    "download_and_load_gpt2",
    "tensors_for_transformers",
    "save_for_transformers",
    "SPAM_URLS",
    "SPAM_BYTES",
    "SPAM_SHA256",
    "SPAM_ZIP_SHA256",
    "safe_entries",
    "check_spam_zip",
    "download_and_unzip_spam_data",
    "find_spam_data",
    "CLASSES",
    "class_numbers",
    "check_messages",
    "read_messages",
    "read_spam_file",
    "create_balanced_dataset",
    "random_split",
    "encode_message",
    "fit_to_length",
    "SpamDataset",
    "check_max_length",
    "make_classifier",
    "calc_accuracy_loader",
    "batches_to_take",
    "calc_loss_batch_classifier",
    "calc_loss_loader_classifier",
    "evaluate_classifier",
    "train_classifier_simple",
    "plot_values",
    "frozen_blocks",
    "cache_frozen_part",
    "LastTokenBlock",
    "trainable_part",
    "spam_probabilities",
    "classify_review",
    "save_classifier",
    "load_classifier",
    "entry_fault",
    "check_entries",
    "read_entries",
    "BOOK_DATA",
    "BOOK_DATA_SIZE",
    "download_and_load_file",
    "kind_of",
    "entries_of_kind",
    "OPENING",
    "RESPONSE_MARK",
    "format_input",
    "format_prompt",
    "InstructionDataset",
    "custom_collate_draft_1",
    "custom_collate_draft_2",
    "custom_collate_fn",
    "MaskedInstructionDataset",
    "masked_collate_fn",
    "count_cut",
    "hidden_states",
    "last_logits",
    "pick_next",
    "generate_batch",
    "answer_entries",
    "batches_by_length",
    "answer_all",
    "calc_loss_counted",
    "loss_per_token",
    "fine_tune",
    "fingerprint",
    "read_responses",
    "extract_responses",
    "stream_ids",
    "stream_text",
    "stream_answer",
    "exact_match",
    "chrf",
    "score_all",
    "table_by_kind",
    "JudgeError",
    "read_piece",
    "read_chat",
    "OLLAMA",
    "NO_JUDGE",
    "chat_request",
    "read_answer",
    "query_model",
    "check_if_running",
    "SCALE",
    "LABEL",
    "MARK",
    "RANGE",
    "parse_score",
    "judge_prompt",
    "judge_entries",
    "generate_model_scores",
    "bootstrap_interval",
    "NeuralNetwork",
    "make_pinwheel",
    "ToyDataset",
    "compute_accuracy",
    "lr_at_step",
    "find_highest_gradient",
    "decay_groups",
    "backward_in_parts",
    "in_precision",
    "hardware_dtype",
    "RunLog",
    "shuffling_state",
    "set_shuffling_state",
    "batches_of_epoch",
    "new_run",
    "save_run",
    "resumed_run",
    "count_steps",
    "update_weights",
    "LOG_COLUMNS",
    "look_in",
    "check_settings",
    "train_model",
    "LoRALayer",
    "LinearWithLoRA",
    "replace_linear_with_lora",
    "count_trainable",
    "merge_lora",
    "save_lora",
    "misfit",
    "load_lora",
    "FastLayerNorm",
    "FastDropout",
    "causal_attention",
    "FastAttention",
    "FastBlock",
    "GPTModelFast",
    "loss_and_d_logits",
    "add_product",
    "FusedCrossEntropy",
    "fused_cross_entropy",
    "keep_freed_memory",
    "RowLengths",
    "CACHE_STEP",
    "room_for_tokens",
    "KVCache",
    "GrowingRows",
    "PAST",
    "check_decoding",
    "CachedRows",
    "generate_fast",
    "generate_batch_fast",
    "decode_step",
    "times_rows",
    "decode_block",
    "decode_head",
    "compile_once",
    "can_compile",
    "compiled_step",
    "stream_ids_fast",
    "course_text",
    "PairIndex",
    "pieces_of",
    "PairQueue",
    "train_merges_fast",
    "weights_of_gpt2",
    "training_flops",
]


# course/vocabulary.py


def offer_vocabulary_to_tiktoken(folder):
    """Put `folder`'s `vocab.bpe` and `encoder.json` where tiktoken looks before it downloads.

    tiktoken keeps a downloaded file in its cache folder, under the SHA-1 of the address, and
    verifies its content at every use. A cache folder that can't be written is left alone and a
    temporary one takes its place. Without the two files nothing happens: tiktoken downloads.
    """
    import filecmp
    import hashlib
    import os
    import shutil
    import tempfile
    from pathlib import Path

    default = Path(tempfile.gettempdir()) / "data-gym-cache"
    cache = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR") or default
    address = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
    for source in [Path(folder) / "vocab.bpe", Path(folder) / "encoder.json"]:
        name = hashlib.sha1((address + source.name).encode()).hexdigest()
        target = Path(cache) / name
        if not source.exists() or (target.exists() and filecmp.cmp(source, target, shallow=False)):
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{name}.{os.getpid()}.part")
            shutil.copyfile(source, part)
            os.replace(part, target)
        except OSError:
            os.environ["TIKTOKEN_CACHE_DIR"] = tempfile.mkdtemp(prefix="tiktoken-")
            return offer_vocabulary_to_tiktoken(folder)


# course/downloads.py


TIMEOUT = (10, 30)  # seconds: to connect, and between two pieces of the answer
TRIES = 5  # failures in a row at one address before the next is taken
BACK_OFF = 1.0  # seconds before the second try; doubled each time
LONGEST_WAIT = 30.0  # seconds, also where a server asks for more
PROGRESS = 2**20  # bytes after which the failures are counted afresh
MARGIN = 100e6  # bytes that stay free on the disk

HUGGING_FACE = "https://huggingface.co"
OPENAI = (
    "https://openaipublic.blob.core.windows.net/gpt-2/models",
    "https://f001.backblazeb2.com/file/LLMs-from-scratch/gpt2",
)
# Where the tensors of each size are at Hugging Face: repository, revision, size, SHA-256.
SAFETENSORS = {
    "124M": (
        "openai-community/gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        548_105_171,
        "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
    ),
    # For these the server itself names the SHA-256, see `linked_sha256`.
    "355M": ("openai-community/gpt2-medium", "main", None, None),
    "774M": ("openai-community/gpt2-large", "main", None, None),
    "1558M": ("openai-community/gpt2-xl", "main", None, None),
}
# OpenAI's files, with their sizes for 124M and 355M and those SHA-256 that are published.
CHECKPOINT = {
    "checkpoint": ({"124M": 77, "355M": 77}, None),
    "encoder.json": (
        dict.fromkeys(SAFETENSORS, 1_042_301),
        "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    ),
    "hparams.json": ({"124M": 90, "355M": 91}, None),
    "model.ckpt.data-00000-of-00001": ({"124M": 497_759_232, "355M": 1_419_292_672}, None),
    "model.ckpt.index": ({"124M": 5_215, "355M": 10_399}, None),
    "model.ckpt.meta": ({"124M": 471_155, "355M": 926_519}, None),
    "vocab.bpe": (
        dict.fromkeys(SAFETENSORS, 456_318),
        "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    ),
}


class DownloadError(OSError):
    """A file could not be had; the message says what was tried and what to do by hand.

    `reason` is the last thing that went wrong, in a few words.
    """

    def __init__(self, message, reason):
        super().__init__(message)
        self.reason = reason


class Unusable(Exception):
    """What an address gives is of no use, and trying it again would not help."""


class Interrupted(Exception):
    """An attempt failed in a way that may pass; `wait` is what the server asks for, in seconds."""

    def __init__(self, reason, wait=0.0):
        super().__init__(reason)
        self.wait = wait


def offline(addresses):
    """Why no download is tried at all, in words, or "". With a proxy only trying can tell."""
    if os.environ.get("COURSE_OFFLINE"):
        return "this machine is offline"
    if getproxies() or any(map(reachable, addresses)):
        return ""
    return f"no connection to {' or '.join(urlsplit(a).netloc or a for a in addresses)}"


def reachable(address, timeout=3.0):
    """Whether the server of a web address takes connections within `timeout` seconds."""
    try:
        place = urlsplit(address)
        port = place.port or (443 if place.scheme == "https" else 80)
        socket.create_connection((place.hostname or "", port), timeout).close()
    except (OSError, ValueError):
        return False
    return True


def fetch(path, addresses, size=None, sha256=None, check=None):
    """Have the file `path`, from the first of `addresses` that gives the right one -> Path.

    Right is: `size` bytes, this `sha256` (hex), and `check(file)` raises no ValueError; each may
    be left out. A right file that is there already is not fetched again. What arrives goes to
    `path` + `.part`, where a later call goes on; it gets its name once it is found right.
    DownloadError if it can't be had.
    """
    from filelock import FileLock

    path = Path(path)
    addresses = [addresses] if isinstance(addresses, str) else list(addresses)
    wrong = fault(path, size, sha256, check)
    if not wrong:
        return path
    tried = [f"on this disk: {wrong}"] if path.exists() else []
    if reason := offline(addresses):
        raise give_up(path, addresses, [*tried, reason], size)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with FileLock(path.with_name(path.name + ".lock")):  # two kernels, one download
            if not fault(path, size, sha256, check):
                return path
            for address in addresses:
                try:
                    download(address, part, size, sha256, check)
                except Unusable as reason:
                    tried.append(f"{address}: {reason}")
                else:
                    os.replace(part, path)
                    print(f"{path.name}: {megabytes(path.stat().st_size)}, fetched and verified")
                    return path
    except OSError as error:
        raise give_up(path, addresses, [*tried, f"the disk: {error.strerror}"], size) from error
    raise give_up(path, addresses, tried, size)


def fault(path, size=None, sha256=None, check=None):
    """What is wrong with the file, in words; None if nothing is."""
    if not path.is_file():
        return "not there"
    length = path.stat().st_size
    if size is not None and length != size:
        return f"{length:,} bytes instead of {size:,}{looks_like_a_page(path)}"
    if length == 0:
        return "empty"
    if sha256 is not None:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
        if digest.hexdigest() != sha256:
            return f"damaged, its SHA-256 is not {sha256[:8]}…{looks_like_a_page(path)}"
    try:
        return check(path) if check else None
    except ValueError as error:
        return f"not what it should be: {error}{looks_like_a_page(path)}"


def looks_like_a_page(path):
    with open(path, "rb") as file:
        start = file.read(200).lstrip().lower()
    return " (it is a web page)" if start.startswith((b"<!doctype", b"<html")) else ""


def download(address, part, size, sha256, check):
    """Get `address` into `part` and verify it; Unusable if this address won't give it."""
    failures, reason = 0, None
    while failures < TRIES:
        if failures:
            asked = reason.wait if reason else 0.0
            time.sleep(min(max(asked, BACK_OFF * 2 ** (failures - 1)), LONGEST_WAIT))
        had = part.stat().st_size if part.exists() else 0
        if had and size is not None and had >= size:  # all there, or too much
            if not fault(part, size, sha256, check):
                return
            part.unlink()
            had = 0
        try:
            expected, digest = transfer(address, part, had, size)
        except Interrupted as error:
            got = (part.stat().st_size if part.exists() else 0) - had
            failures, reason = (1 if got >= PROGRESS else failures + 1), error
            continue
        wrong = fault(part, size if size is not None else expected, sha256 or digest, check)
        if not wrong:
            return
        part.unlink()
        if not had:
            raise Unusable(wrong)
        failures += 1  # the old part may have been at fault: once more, from the start
        reason = Interrupted(wrong)
    raise Unusable(f"{reason} ({failures} tries)")


def transfer(address, part, had, size):
    """Bring `part`, `had` bytes long, to its end in one connection -> (size, SHA-256) or Nones.

    Size and SHA-256 are what the server promises. Interrupted if another try may help.
    """
    import requests

    headers = {"Accept-Encoding": "identity"}
    if had:
        headers["Range"] = f"bytes={had}-"
    try:
        with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            expected, start = judge(answer, part, had, size)
            receive(answer, part, start, expected)
            return expected, linked_sha256(answer)
    except requests.TooManyRedirects:
        raise Unusable("too many redirects") from None
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
        raise Unusable(str(error)) from None
    except requests.ConnectTimeout:  # a blocked address: waiting again would not help
        raise Unusable(f"no connection within {TIMEOUT[0]:g} s") from None
    except requests.Timeout:
        raise Interrupted(f"no answer within {TIMEOUT[1]:g} s") from None
    except requests.RequestException as error:
        cut = isinstance(error, requests.exceptions.ChunkedEncodingError)
        raise Interrupted("the connection was cut" if cut else "no connection") from None


def judge(answer, part, had, size):
    """From status and headers -> (expected size or None, position at which the content starts)."""
    status = answer.status_code
    if status == 416:  # the server has nothing after `had` bytes
        part.unlink(missing_ok=True)
        raise Interrupted("the server refused to continue the file")
    if status in (408, 425, 429) or status >= 500:
        wait = answer.headers.get("Retry-After", "")
        raise Interrupted(f"status {status}", float(wait) if wait.isdigit() else 0.0)
    if status not in (200, 206):
        raise Unusable(f"status {status}")
    length = answer.headers.get("Content-Length", "")
    expected = int(length) if length.isdigit() else None
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        expected = None
    start = 0
    if status == 206:
        place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if not place or int(place[1]) != had:
            part.unlink(missing_ok=True)
            raise Interrupted("the server continued at another place")
        start, expected = had, int(place[2])
    if size is not None and expected not in (None, size):
        page = " (a web page)" if "html" in answer.headers.get("Content-Type", "") else ""
        raise Unusable(f"the server has {expected:,} bytes{page} instead of {size:,}")
    expected = size if expected is None else expected
    needed, free = (expected or 0) - start, shutil.disk_usage(part.parent).free
    if needed + MARGIN > free:
        raise OSError(
            errno.ENOSPC,
            f"{megabytes(needed)} are still to come, but only {megabytes(free)} are free",
        )
    return expected, start


def receive(answer, part, start, expected):
    """Write the answer's content into `part` from `start` on, under a progress bar."""
    from tqdm import tqdm

    bar = tqdm(
        desc=part.name.removesuffix(".part"), total=expected, initial=start, leave=False,
        unit="B", unit_scale=True, file=sys.stdout, disable=(expected or 0) < 2**20,
    )  # fmt: skip
    with bar, open(part, "r+b" if start else "wb") as file:
        file.seek(start)
        for piece in answer.iter_content(2**16):
            file.write(piece)
            bar.update(len(piece))
            if expected is not None and file.tell() > expected:
                break
        file.flush()
        os.fsync(file.fileno())
        end = file.tell()
    if expected is not None and end > expected:
        part.unlink()
        raise Unusable(f"more than the {expected:,} bytes that it should have")
    if expected is not None and end < expected:
        raise Interrupted(f"the connection was cut after {end:,} of {expected:,} bytes")


def linked_sha256(answer):
    """The SHA-256 that Hugging Face sends with a large file, on the redirect to its store."""
    for step in [*answer.history, answer]:
        tag = step.headers.get("X-Linked-ETag", "").strip('W/"').lower()
        if re.fullmatch(r"[0-9a-f]{64}", tag):
            return tag
    return None


def give_up(path, addresses, tried, size):
    bytes_ = f" ({size:,} bytes)" if size is not None else ""
    lines = [f"{path.name} could not be had.", *(f"  - {line}" for line in tried)]
    lines.append(
        f"Run this again later: what has come so far is kept. Or fetch it by hand from "
        f"{' or '.join(addresses)} and save it as {path.resolve()}{bytes_}."
    )
    return DownloadError("\n".join(lines), tried[-1])


def megabytes(count):
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count:,} bytes"


# ---- GPT-2


def fetch_safetensors(model_size, folder):
    """Hugging Face's `model.safetensors` of GPT-2 124M, 355M, 774M or 1558M -> its Path."""
    repository, revision, size, sha256 = SAFETENSORS[model_size]
    host = os.environ.get("HF_ENDPOINT", HUGGING_FACE).rstrip("/")
    address = f"{host}/{repository}/resolve/{revision}/model.safetensors"
    path = Path(folder) / "model.safetensors"
    return fetch(path, [address], size=size, sha256=sha256, check=check_safetensors)


def fetch_openai_checkpoint(model_size, folder):
    """OpenAI's seven files of GPT-2 124M, 355M, 774M or 1558M -> their folder.

    The hash of the tensors is not published: TensorFlow verifies each tensor as it reads it.
    """
    for name, (sizes, sha256) in CHECKPOINT.items():
        fetch(
            Path(folder) / name,
            [f"{place}/{model_size}/{name}" for place in OPENAI],
            size=sizes.get(model_size),
            sha256=sha256,
            check=check_json if name.endswith(".json") else check_no_page,
        )
    return Path(folder)


def check_safetensors(path):
    """ValueError unless the header can be read and the file is as long as it says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            file.keys()
    except SafetensorError as error:
        raise ValueError(f"no safetensors file ({error})") from None


def check_json(path):
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError("no JSON") from None


def check_no_page(path):
    if looks_like_a_page(path):
        raise ValueError("no checkpoint")


offer_vocabulary_to_tiktoken(Path(__file__).resolve().parent / "course" / "gpt2-bpe")


# ch02, section 2.2 Tokenizing text


def split_into_tokens(text):
    """Words, punctuation marks and double dashes of `text`, in order, without white space."""
    pieces = re.split(r"([,.:;?_!\"()']|--|\s)", text)
    return [piece.strip() for piece in pieces if piece.strip()]


# ch02, section 2.3 Converting tokens into token IDs


class SimpleTokenizerV1:
    """Word-level tokenizer over a fixed vocabulary, a dictionary {token: id}.

    White space isn't kept: `decode(encode(text))` has the words and marks of `text` with its
    own spacing. `encode` raises ValueError for a word, `decode` for an id, that it lacks.
    """

    def __init__(self, vocab):
        self.token_to_id = vocab
        self.id_to_token = {token_id: token for token, token_id in vocab.items()}

    def encode(self, text):
        """Text -> list of ids."""
        tokens = split_into_tokens(text)
        for token in tokens:
            if token not in self.token_to_id:
                raise ValueError(
                    f"{token!r} is not among the {len(self.token_to_id)} tokens of the "
                    "vocabulary: leave it out, or use SimpleTokenizerV2, which has <|unk|>"
                )
        return [self.token_to_id[token] for token in tokens]

    def decode(self, ids):
        """Ids -> text."""
        for token_id in ids:
            if token_id not in self.id_to_token:
                raise ValueError(
                    f"token id {token_id} is not in the vocabulary of "
                    f"{len(self.id_to_token)} tokens: was another tokenizer used?"
                )
        text = " ".join(self.id_to_token[token_id] for token_id in ids)
        return re.sub(r"\s+(?=[,.:;?!\"()'])", "", text)


# ch02, section 2.4 Adding special context tokens


class SimpleTokenizerV2(SimpleTokenizerV1):
    """Like SimpleTokenizerV1, but unknown words become `<|unk|>`.

    The vocabulary must contain `<|unk|>`, else ValueError. `<|endoftext|>` is a token when
    white space or punctuation stands on both sides.
    """

    def __init__(self, vocab):
        if "<|unk|>" not in vocab:
            raise ValueError(
                f"the vocabulary of {len(vocab)} tokens has no '<|unk|>', which stands for "
                "unknown words: add it, for example vocab['<|unk|>'] = len(vocab)"
            )
        super().__init__(vocab)

    def encode(self, text):
        """Text -> list of ids."""
        unknown = self.token_to_id["<|unk|>"]
        return [self.token_to_id.get(token, unknown) for token in split_into_tokens(text)]


# ch02, section 2.5 Byte pair encoding


def count_pairs(pieces):
    """How often each pair of neighbours occurs in `pieces`, a list of (ids, occurrences)."""
    counts = Counter()
    for ids, occurrences in pieces:
        for pair in pairwise(ids):
            counts[pair] += occurrences
    return counts


def merge_pair(ids, pair, new_id):
    """`ids` with each occurrence of `pair` replaced by `new_id`, from left to right."""
    merged = []
    for right in ids:
        if merged and (merged[-1], right) == pair:
            merged[-1] = new_id
        else:
            merged.append(right)
    return merged


GPT2_SPLIT = regex.compile(
    r"'(?:s|t|re|ve|m|ll|d)"
    r"| ?\p{L}+"
    r"| ?\p{N}+"
    r"| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?!\S)"
    r"|\s+"
)


def is_visible(byte):
    """Whether GPT-2's files write `byte` as the character with its number."""
    return chr(byte).isprintable() and byte != ord(" ")


def visible_characters():
    """GPT-2's spelling {byte: character}, in the order of the token ids 0 to 255."""
    hidden = [byte for byte in range(256) if not is_visible(byte)]
    visible = {byte: chr(byte) for byte in range(256) if is_visible(byte)}
    return visible | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


VISIBLE = visible_characters()
BYTE_TO_ID = {byte: token_id for token_id, byte in enumerate(VISIBLE)}


def train_merges(text, number):
    """The first `number` merges of byte pair encoding on `text`, as a list of (id, id).

    Of equally frequent pairs the one with the smaller ids comes first. The list is shorter
    when no pair is left. Byte-level BPE as in Radford et al. 2019, section 2.2.
    """
    pieces = [
        ([BYTE_TO_ID[byte] for byte in piece.encode("utf-8")], occurrences)
        for piece, occurrences in Counter(GPT2_SPLIT.findall(text)).items()
    ]
    merges = []
    while len(merges) < number:
        counts = count_pairs(pieces)
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        new_id = 256 + len(merges)
        pieces = [(merge_pair(ids, best, new_id), n) for ids, n in pieces]
        merges.append(best)
    return merges


def merge_piece(ids, merges):
    """Apply `merges`, {pair: new id}, to the ids of a piece, lowest new id first."""
    while learned := {merges[pair]: pair for pair in pairwise(ids) if pair in merges}:
        earliest = min(learned)
        ids = merge_pair(ids, learned[earliest], earliest)
    return ids


def token_table(merges):
    """The bytes of each token: the 256 single bytes, then one entry per merge."""
    table = [bytes([byte]) for byte in VISIBLE]
    for left, right in merges:
        table.append(table[left] + table[right])
    return table


def split_at_special(text, special_tokens, allowed):
    """Split into texts (even places) and special tokens (odd places).

    Raises ValueError for a special token that is not in `allowed`, a set or "all".
    """
    if not special_tokens:
        return [text]
    longest_first = sorted(special_tokens, key=len, reverse=True)
    parts = re.split(f"({'|'.join(map(re.escape, longest_first))})", text)
    for token in parts[1::2]:
        if allowed != "all" and token not in allowed:
            raise ValueError(
                f"the text contains the special token {token!r}, which is not allowed: pass "
                f"allowed_special={{{token!r}}} to encode it as one token, or take it out "
                "of the text"
            )
    return parts


class BPEEncoder:
    """Byte pair encoding with given merges, a list of (id, id), and special tokens.

    Ids: 0-255 the bytes in GPT-2's order, then the merges, then the special tokens.
    `decode` of `encode` gives back every text, but a lone surrogate becomes U+FFFD.
    """

    def __init__(self, merges, special_tokens=("<|endoftext|>",)):
        self.table = token_table(merges)
        self.merges = {pair: 256 + i for i, pair in enumerate(merges)}
        self.special_tokens = {t: len(self.table) + i for i, t in enumerate(special_tokens)}
        self.table += [token.encode("utf-8") for token in special_tokens]
        self.n_vocab = len(self.table)
        self.cache = {}

    def encode(self, text, allowed_special=frozenset()):
        """Text -> list of ids; ValueError for special tokens not in `allowed_special`."""
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        ids = []
        for i, part in enumerate(split_at_special(text, self.special_tokens, allowed_special)):
            if i % 2 == 1:
                ids.append(self.special_tokens[part])
                continue
            for piece in GPT2_SPLIT.findall(part):
                if piece not in self.cache:
                    bytes_ids = [BYTE_TO_ID[byte] for byte in piece.encode("utf-8")]
                    self.cache[piece] = merge_piece(bytes_ids, self.merges)
                ids.extend(self.cache[piece])
        return ids

    def decode(self, ids):
        """Ids -> text; bytes that aren't UTF-8 become U+FFFD, ids out of range ValueError."""
        for i in ids:
            if not 0 <= i < self.n_vocab:
                raise ValueError(f"token id {i} is not in 0 to {self.n_vocab - 1}")
        return b"".join(self.table[i] for i in ids).decode("utf-8", errors="replace")


def merges_to_lines(merges):
    """Merges in the spelling of GPT-2's `vocab.bpe`: "Ġ t", "h e", ..."""
    names = list(VISIBLE.values())
    for left, right in merges:
        names.append(names[left] + names[right])
    return [f"{names[left]} {names[right]}" for left, right in merges]


def merges_from_lines(lines):
    """The inverse of `merges_to_lines`; ValueError names a line that can't be right."""
    ids = {name: token_id for token_id, name in enumerate(VISIBLE.values())}
    merges = []
    for number, line in enumerate(lines):
        parts = line.split(" ") if isinstance(line, str) else []
        if len(parts) != 2 or not all(part in ids for part in parts):
            raise ValueError(
                f"merge {number}, {line!r}, is not two tokens that exist before it, "
                "with one space between them"
            )
        if "".join(parts) in ids:
            raise ValueError(f"merge {number}, {line!r}, makes a token that exists already")
        ids["".join(parts)] = len(ids)
        merges.append((ids[parts[0]], ids[parts[1]]))
    return merges


def write_atomically(path, write):
    """Make the file `path` from what `write(file)` writes to an open binary file.

    That file is `path` + ".part" and takes the name `path` when it is complete and on disk.
    On any error it is removed, and an older file at `path` is untouched. For whatever can be
    written as bytes: a text, or weights with `lambda file: torch.save(weights, file)`.
    """
    part = Path(f"{path}.part")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_bpe_file(path):
    """The (merges, special tokens) of a saved tokenizer; ValueError if it is damaged."""
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(saved, dict) or saved.get("format") != "byte-level BPE, version 1":
            raise ValueError("it has no 'format': 'byte-level BPE, version 1'")
        special_tokens = saved.get("special_tokens")
        if not isinstance(saved.get("merges"), list) or not isinstance(special_tokens, list):
            raise ValueError("it needs two lists, 'merges' and 'special_tokens'")
        if not all(isinstance(token, str) and token for token in special_tokens):
            raise ValueError(f"special_tokens must be texts, not {special_tokens}")
        return merges_from_lines(saved["merges"]), special_tokens
    except ValueError as error:
        raise ValueError(
            f"{Path(path).name} is not a tokenizer written by BPETokenizer.save, or it is damaged "
            f"({error}): save it again, or use a backup copy"
        ) from error


class BPETokenizer(BPEEncoder):
    """Byte pair encoding that can be trained, saved, loaded, or taken from GPT-2's files."""

    @classmethod
    def train(cls, text, vocab_size):
        """Learn `vocab_size` tokens from `text`: 256 bytes, merges, and <|endoftext|>.

        The vocabulary is smaller when `text` has too few pairs. See `train_merges`.
        """
        if vocab_size < 257:
            raise ValueError(
                f"vocab_size ({vocab_size}) must be at least 257: 256 bytes and <|endoftext|>"
            )
        texts = split_at_special(text, ["<|endoftext|>"], allowed="all")[::2]
        return cls(train_merges("\n".join(texts), vocab_size - 257))

    @classmethod
    def from_gpt2(cls, folder):
        """GPT-2's tokenizer from the file `vocab.bpe` in `folder`."""
        lines = (Path(folder) / "vocab.bpe").read_text(encoding="utf-8").splitlines()
        return cls(merges_from_lines(lines[1:]))  # the first line is "#version: 0.2"

    def save(self, path):
        """Write the tokenizer as JSON, wholly or not at all."""
        saved = {
            "format": "byte-level BPE, version 1",
            "special_tokens": list(self.special_tokens),
            "merges": merges_to_lines(self.merges),
        }
        text = json.dumps(saved, ensure_ascii=False, indent=1)
        write_atomically(path, lambda file: file.write(text.encode("utf-8")))

    @classmethod
    def load(cls, path):
        """Read what `save` wrote; ValueError says what is wrong with a damaged file."""
        return cls(*read_bpe_file(path))


# ch02, section 2.6 Data sampling with a sliding window


class GPTDatasetV1(Dataset):
    """Windows of `max_length` token ids of `txt`, one starting every `stride` tokens.

    Item i is `(input_ids, target_ids)`, two LongTensors (max_length,); the targets are the
    inputs moved on by one token. ValueError for a text that is shorter than one window.
    """

    def __init__(self, txt, tokenizer, max_length, stride):
        if max_length < 1 or stride < 1:
            raise ValueError(f"max_length ({max_length}) and stride ({stride}) must be >= 1")
        ids = tokenizer.encode(txt, allowed_special={"<|endoftext|>"})
        if len(ids) <= max_length:
            raise ValueError(
                f"the text has {len(ids)} tokens, but a window of max_length={max_length} "
                f"and its target need {max_length + 1}: use a longer text or a smaller "
                "max_length"
            )
        self.token_ids = torch.tensor(ids)
        self.max_length = max_length
        self.starts = range(0, len(ids) - max_length, stride)

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, i):
        start = self.starts[i]
        end = start + self.max_length
        return self.token_ids[start:end], self.token_ids[start + 1 : end + 1]


def create_dataloader_v1(
    txt, batch_size=4, max_length=256, stride=128, shuffle=True, drop_last=True, num_workers=0
):
    """Batches `(inputs, targets)` of GPT-2 token ids, LongTensors (batch_size, max_length).

    ValueError for a text shorter than one window, and when there would be no batch at all.
    """
    dataset = GPTDatasetV1(txt, tiktoken.get_encoding("gpt2"), max_length, stride)
    if drop_last and len(dataset) < batch_size:
        raise ValueError(
            f"the loader would be empty: {len(dataset)} windows do not fill a batch of "
            f"{batch_size}, and drop_last=True drops the rest. Use a smaller batch_size, a "
            "smaller stride, a longer text or drop_last=False"
        )
    return DataLoader(dataset, batch_size, shuffle, drop_last=drop_last, num_workers=num_workers)


# ch03, section 3.4.2 A compact self-attention class


class SelfAttention_v1(nn.Module):
    """Self-attention for one text, with bare matrices: (T, d_in) -> (T, d_out).

    Scaled dot-product attention, Vaswani et al. 2017, section 3.2.1; no mask.
    """

    def __init__(self, d_in, d_out):
        super().__init__()
        self.W_query = nn.Parameter(torch.rand(d_in, d_out))
        self.W_key = nn.Parameter(torch.rand(d_in, d_out))
        self.W_value = nn.Parameter(torch.rand(d_in, d_out))

    def forward(self, x):
        queries = x @ self.W_query  # (T, d_out)
        keys = x @ self.W_key
        values = x @ self.W_value
        scores = queries @ keys.T  # (T, T)
        weights = torch.softmax(scores / keys.shape[-1] ** 0.5, dim=-1)
        return weights @ values  # (T, d_out)


class SelfAttention_v2(nn.Module):
    """Self-attention for one text, with nn.Linear: (T, d_in) -> (T, d_out); no mask."""

    def __init__(self, d_in, d_out, qkv_bias=False):
        super().__init__()
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)

    def forward(self, x):
        queries = self.W_query(x)  # (T, d_out)
        keys = self.W_key(x)
        values = self.W_value(x)
        scores = queries @ keys.T  # (T, T)
        weights = torch.softmax(scores / keys.shape[-1] ** 0.5, dim=-1)
        return weights @ values  # (T, d_out)


# ch03, section 3.5.1 Causal mask


def causal_mask(context_length):
    """Booleans (T, T) with T = context_length, True above the diagonal.

    True means hidden: the query of this row must not see the key of this column.
    """
    return torch.ones(context_length, context_length, dtype=torch.bool).triu(diagonal=1)


# ch03, section 3.5.3 A compact causal attention class


class SkipsSavedMask(nn.Module):
    """A module that ignores an entry `mask` of a state_dict it loads.

    Older checkpoints hold the causal mask, which our layers build anew. The state_dict
    itself is not changed.
    """

    def _load_from_state_dict(self, state_dict, prefix, *args):
        mask = prefix + "mask"
        kept = {key: value for key, value in state_dict.items() if key != mask}
        super()._load_from_state_dict(kept, prefix, *args)


def check_attention_input(x, context_length):
    """Raise ValueError unless `x` is (B, T, C) with T of at most `context_length`."""
    if x.dim() != 3:
        raise ValueError(
            f"x must be (batch, tokens, channels), got {tuple(x.shape)}; "
            "a single text (tokens, channels) needs x.unsqueeze(0)"
        )
    if x.shape[1] > context_length:
        raise ValueError(
            f"{x.shape[1]} tokens do not fit into the context of {context_length}: "
            "shorten the text or build the layer with a larger context_length"
        )


class CausalAttention(SkipsSavedMask):
    """One head of causal self-attention: (B, T, d_in) -> (B, T, d_out).

    A token attends to itself and to earlier ones. Dropout falls on the weights.
    ValueError when `x` is not (B, T, C) or T is above `context_length`.
    """

    def __init__(self, d_in, d_out, context_length, dropout, qkv_bias=False):
        super().__init__()
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mask", causal_mask(context_length), persistent=False)

    def forward(self, x):
        check_attention_input(x, len(self.mask))
        T = x.shape[1]
        queries = self.W_query(x)  # (B, T, d_out)
        keys = self.W_key(x)
        values = self.W_value(x)

        scores = queries @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5  # (B, T, T)
        scores = scores.masked_fill(self.mask[:T, :T], float("-inf"))
        weights = self.dropout(torch.softmax(scores, dim=-1))
        return weights @ values  # (B, T, d_out)


# ch03, section 3.6.1 Stacking single-head layers


class MultiHeadAttentionWrapper(nn.Module):
    """`num_heads` separate causal heads: (B, T, d_in) -> (B, T, num_heads * d_out).

    `d_out` is the size of ONE head. `heads` is the list of CausalAttention layers.
    """

    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias=False):
        super().__init__()
        self.heads = nn.ModuleList(
            CausalAttention(d_in, d_out, context_length, dropout, qkv_bias)
            for _ in range(num_heads)
        )

    def forward(self, x):
        return torch.cat([head(x) for head in self.heads], dim=-1)


# ch03, section 3.6.2 Multi-head attention with weight splits


def check_heads(d_out, num_heads):
    """Raise ValueError unless `num_heads` equal parts make up `d_out` channels."""
    if num_heads < 1 or d_out % num_heads != 0:
        fitting = ", ".join(str(n) for n in range(1, d_out + 1) if d_out % n == 0)
        raise ValueError(
            f"d_out ({d_out}) must be divisible by num_heads ({num_heads}); "
            f"possible numbers of heads: {fitting}"
        )


class MultiHeadAttention(SkipsSavedMask):
    """Causal self-attention with `num_heads` heads: (B, T, d_in) -> (B, T, d_out).

    Each head has d_out / num_heads channels. ValueError when that is no whole number,
    when `x` is not (B, T, C) or T is above `context_length`.
    Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias=False):
        super().__init__()
        check_heads(d_out, num_heads)
        self.num_heads, self.head_dim = num_heads, d_out // num_heads
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.out_proj = nn.Linear(d_out, d_out)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mask", causal_mask(context_length), persistent=False)

    def forward(self, x):
        check_attention_input(x, len(self.mask))
        T = x.shape[1]
        queries = self.split_heads(self.W_query(x))  # (B, H, T, D)
        keys = self.split_heads(self.W_key(x))
        values = self.split_heads(self.W_value(x))

        scores = queries @ keys.transpose(2, 3) / self.head_dim**0.5  # (B, H, T, T)
        scores = scores.masked_fill(self.mask[:T, :T], float("-inf"))
        weights = self.dropout(torch.softmax(scores, dim=-1))
        context = (weights @ values).transpose(1, 2).flatten(2)  # (B, T, H * D)
        return self.out_proj(context)

    def split_heads(self, x):
        """(B, T, H * D) -> (B, H, T, D)"""
        B, T, _ = x.shape
        return x.view(B, T, self.num_heads, self.head_dim).transpose(1, 2)


@torch.no_grad()
def attention_weights(layer, x):
    """The weights (B, H, T, T) of a MultiHeadAttention for its input x (B, T, d_in).

    Row = query, column = token looked at. Without dropout and without gradient.
    """
    T = x.shape[1]
    queries = layer.split_heads(layer.W_query(x))  # (B, H, T, D)
    keys = layer.split_heads(layer.W_key(x))
    scores = queries @ keys.transpose(2, 3) / layer.head_dim**0.5
    return torch.softmax(scores.masked_fill(layer.mask[:T, :T], float("-inf")), dim=-1)


# ch04, section 4.1 Coding an LLM architecture


GPT_CONFIG_124M = {
    "vocab_size": 50257,
    "context_length": 1024,
    "emb_dim": 768,
    "n_heads": 12,
    "n_layers": 12,
    "drop_rate": 0.1,
    "qkv_bias": False,
}


def check_config(cfg):
    """Raise ValueError, with a suggestion, for a configuration that makes no GPTModel.

    A key of GPT_CONFIG_124M is missing, a key is so close to one of them that it must be
    a slip, or `emb_dim` is not divisible by `n_heads`. Other further keys are ignored.
    """
    further = [key for key in cfg if key not in GPT_CONFIG_124M]
    for key in GPT_CONFIG_124M:
        cutoff = 0.85 if key in cfg else 0.6
        close = difflib.get_close_matches(key, further, n=1, cutoff=cutoff)
        if key not in cfg:
            hint = f"rename {close[0]!r}" if close else f"the keys are {[*GPT_CONFIG_124M]}"
            raise ValueError(f"the configuration has no {key!r}: {hint}")
        if close:
            raise ValueError(f"the configuration has {close[0]!r} beside {key!r}: drop one")
    if cfg["emb_dim"] % cfg["n_heads"] != 0:
        raise ValueError(
            f"emb_dim ({cfg['emb_dim']}) must be divisible by n_heads ({cfg['n_heads']}), "
            "since every head gets an equal share of the channels"
        )


# ch04, section 4.2 Normalizing activations with layer normalization


class LayerNorm(nn.Module):
    """Mean 0 and variance 1 for each token, then a learnt scale and shift: (..., C) -> same.

    The variance is the biased one, as in GPT-2. Ba, Kiros and Hinton 2016.
    """

    def __init__(self, emb_dim):
        super().__init__()
        self.eps = 1e-5
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x):
        mean = x.mean(dim=-1, keepdim=True)
        var = x.var(dim=-1, keepdim=True, correction=0)
        return self.scale * (x - mean) / torch.sqrt(var + self.eps) + self.shift


# ch04, section 4.3 Implementing a feed forward network with GELU activations


class GELU(nn.Module):
    """x times the normal distribution's Phi(x), in the tanh approximation, value by value.

    Hendrycks and Gimpel 2016, section 2. The same as nn.GELU(approximate="tanh").
    """

    def forward(self, x):
        inner = (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + torch.tanh(inner))


class FeedForward(nn.Module):
    """Widen fourfold, GELU, narrow again, each token by itself: (B, T, C) -> (B, T, C)."""

    def __init__(self, cfg):
        super().__init__()
        C = cfg["emb_dim"]
        self.layers = nn.Sequential(nn.Linear(C, 4 * C), GELU(), nn.Linear(4 * C, C))

    def forward(self, x):
        return self.layers(x)


# ch04, section 4.5 Connecting attention and linear layers in a transformer block


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each x + dropout(f(norm(x))): (B, T, C) -> (B, T, C).

    Pre-norm, as in GPT-2 (Radford et al. 2019). Token t depends on tokens 0..t only.
    """

    def __init__(self, cfg):
        super().__init__()
        self.att = MultiHeadAttention(
            d_in=cfg["emb_dim"],
            d_out=cfg["emb_dim"],
            context_length=cfg["context_length"],
            dropout=cfg["drop_rate"],
            num_heads=cfg["n_heads"],
            qkv_bias=cfg["qkv_bias"],
        )
        self.ff = FeedForward(cfg)
        self.norm1 = LayerNorm(cfg["emb_dim"])
        self.norm2 = LayerNorm(cfg["emb_dim"])
        self.drop_shortcut = nn.Dropout(cfg["drop_rate"])

    def forward(self, x):
        x = x + self.drop_shortcut(self.att(self.norm1(x)))
        return x + self.drop_shortcut(self.ff(self.norm2(x)))


# ch04, section 4.6 Coding the GPT model


def check_token_ids(in_idx, context_length, vocab_size):
    """Raise ValueError unless `in_idx` is (B, T) with T <= context_length and ids below V."""
    if in_idx.dim() != 2 or in_idx.numel() == 0:
        raise ValueError(
            "token ids must have the shape (B, T) with at least one token, got "
            f"{tuple(in_idx.shape)}: torch.tensor([ids]) makes a batch of one from a list"
        )
    if in_idx.shape[1] > context_length:
        raise ValueError(
            f"{in_idx.shape[1]} tokens do not fit into the context of {context_length}: "
            f"pass the last {context_length} of them, idx[:, -{context_length}:]"
        )
    low, high = in_idx.min().item(), in_idx.max().item()
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"token ids must be from 0 to {vocab_size - 1}, got {low} to {high}: "
            "do the tokenizer and the model's vocab_size belong together?"
        )


class GPTModel(nn.Module):
    """GPT-2 (Radford et al. 2019): token ids (B, T) -> logits (B, T, V).

    ValueError for a faulty configuration (`check_config`) or input (`check_token_ids`).
    """

    def __init__(self, cfg):
        super().__init__()
        check_config(cfg)
        self.tok_emb = nn.Embedding(cfg["vocab_size"], cfg["emb_dim"])
        self.pos_emb = nn.Embedding(cfg["context_length"], cfg["emb_dim"])
        self.drop_emb = nn.Dropout(cfg["drop_rate"])
        blocks = [TransformerBlock(cfg) for _ in range(cfg["n_layers"])]
        self.trf_blocks = nn.Sequential(*blocks)
        self.final_norm = LayerNorm(cfg["emb_dim"])
        self.out_head = nn.Linear(cfg["emb_dim"], cfg["vocab_size"], bias=False)

    def forward(self, in_idx):
        check_token_ids(in_idx, len(self.pos_emb.weight), len(self.tok_emb.weight))
        positions = torch.arange(in_idx.shape[1], device=in_idx.device)
        x = self.drop_emb(self.tok_emb(in_idx) + self.pos_emb(positions))  # (B, T, C)
        x = self.final_norm(self.trf_blocks(x))  # (B, T, C)
        return self.out_head(x)  # (B, T, V)


# ch04, section 4.7 Generating text


@torch.no_grad()
def generate_text_simple(model, idx, max_new_tokens, context_size):
    """Append the most probable token, again and again: (B, T) -> (B, T + max_new_tokens).

    The model sees the last `context_size` ids. It is not switched to eval() here: with
    dropout on, the result is random. ValueError for a `context_size` below 1.
    """
    if context_size < 1:
        raise ValueError(f"context_size must be at least 1, got {context_size}")
    for _ in range(max_new_tokens):
        logits = model(idx[:, -context_size:])[:, -1]  # (B, V)
        idx_next = logits.argmax(dim=-1, keepdim=True)  # (B, 1)
        idx = torch.cat([idx, idx_next], dim=1)
    return idx


# ch05, section 5.1.1 Using GPT to generate text


def text_to_token_ids(text, tokenizer):
    """Text -> LongTensor (1, T); `<|endoftext|>` in the text becomes its own id."""
    return torch.tensor([tokenizer.encode(text, allowed_special={"<|endoftext|>"})])


def token_ids_to_text(token_ids, tokenizer):
    """LongTensor (1, T) or (T,) -> text. One sequence at a time."""
    return tokenizer.decode(token_ids.flatten().tolist())


# ch05, section 5.1.3 Calculating the training and validation set losses


def calc_loss_batch(input_batch, target_batch, model, device):
    """Mean cross-entropy in nats per token, a scalar tensor; both batches are (B, T)."""
    logits = model(input_batch.to(device))  # (B, T, V)
    return F.cross_entropy(logits.flatten(0, 1), target_batch.to(device).flatten())


def calc_loss_loader(data_loader, model, device, num_batches=None):
    """Mean loss, a float, over the first `num_batches` batches (by default all there are).

    Each batch counts the same, however many tokens it has. ValueError when the loader is empty
    or `num_batches` is below 1. Leaves training mode and gradient tracking to the caller.
    """
    available = len(data_loader)
    if available == 0:
        raise ValueError(
            "the data loader has no batches, so there is no mean loss: give it more text, "
            "a smaller batch_size or drop_last=False"
        )
    if num_batches is not None and num_batches < 1:
        raise ValueError(f"num_batches must be at least 1 or None, got {num_batches}")
    count = available if num_batches is None else min(num_batches, available)
    total = 0.0
    for _, (inputs, targets) in zip(range(count), data_loader, strict=False):
        total += calc_loss_batch(inputs, targets, model, device).item()
    return total / count


# ch05, section 5.2 Training an LLM


@torch.no_grad()
def evaluate_model(model, train_loader, val_loader, device, eval_iter):
    """Training and validation loss without dropout, each over at most `eval_iter` batches.

    Returns two floats and leaves the model in training mode. Shuffling loaders draw from
    torch's random generator, here as everywhere.
    """
    model.eval()
    train_loss = calc_loss_loader(train_loader, model, device, num_batches=eval_iter)
    val_loss = calc_loss_loader(val_loader, model, device, num_batches=eval_iter)
    model.train()
    return train_loss, val_loss


def generate_and_print_sample(model, tokenizer, device, start_context):
    """Print a greedy continuation of `start_context` by 50 tokens, on one line.

    Leaves the model in training mode.
    """
    model.eval()
    idx = text_to_token_ids(start_context, tokenizer).to(device)  # (1, T)
    context_size = model.pos_emb.weight.shape[0]
    out = generate_text_simple(model, idx, max_new_tokens=50, context_size=context_size)
    print(token_ids_to_text(out, tokenizer).replace("\n", " "))
    model.train()


def train_model_simple(model, train_loader, val_loader, optimizer, device, num_epochs,
                       eval_freq, eval_iter, start_context, tokenizer, on_step=None):  # fmt: skip
    """Train `model` in place -> (train_losses, val_losses, tokens_seen), lists of equal length.

    Every `eval_freq` steps both losses are measured over `eval_iter` batches, kept and
    printed; every epoch ends with a sample. `on_step(step, train_loss, val_loss)` is called
    after every step, counted from 0; the losses are None where none were measured.
    """
    train_losses, val_losses, tokens_seen = [], [], []
    step, tokens = -1, 0
    for epoch in range(1, num_epochs + 1):
        model.train()
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            loss = calc_loss_batch(inputs, targets, model, device)
            loss.backward()
            optimizer.step()
            step += 1
            tokens += inputs.numel()

            losses = None, None
            if step % eval_freq == 0:
                losses = evaluate_model(model, train_loader, val_loader, device, eval_iter)
                train_losses.append(losses[0])
                val_losses.append(losses[1])
                tokens_seen.append(tokens)
                values = f"training loss {losses[0]:.3f}, validation loss {losses[1]:.3f}"
                print(f"epoch {epoch:2d}, step {step:3d}: {values}", flush=True)
            if on_step is not None:
                on_step(step, *losses)
        generate_and_print_sample(model, tokenizer, device, start_context)
    return train_losses, val_losses, tokens_seen


def plot_losses(epochs_seen, tokens_seen, train_losses, val_losses):
    """Both losses against epochs (below) and tokens (above); returns the matplotlib figure.

    A notebook shows the figure when the call is the last line of its cell.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.4))
    axes.plot(epochs_seen, train_losses, color="#0072B2", label="training loss")
    axes.plot(epochs_seen, val_losses, color="#D55E00", linestyle="-.", label="validation loss")
    axes.set(xlabel="epochs", ylabel="loss (nats per token)")
    axes.legend()
    above = axes.twiny()
    above.plot(tokens_seen, train_losses, alpha=0)  # invisible: it only sets the scale
    above.set_xlabel("tokens seen")
    above.spines["top"].set_visible(True)
    figure.tight_layout()
    plt.close(figure)  # so that it isn't shown a second time at the end of the cell
    return figure


# ch05, section 5.3.1 Temperature scaling


def softmax_with_temperature(logits, temperature):
    """Probabilities over the last dimension after dividing the logits by `temperature`.

    Below 1 the favourites gain, above 1 the outsiders. ValueError unless it is above 0.
    """
    if not temperature > 0:
        raise ValueError(
            f"temperature must be above 0, got {temperature}: for the greedy choice take "
            "argmax, or generate(..., temperature=0)"
        )
    return torch.softmax(logits / temperature, dim=-1)


# ch05, section 5.3.2 Top-k sampling


def keep_top_k(logits, top_k):
    """logits (B, V) -> the same with all but the `top_k` largest of each row at -inf.

    Ties for the last place are all kept. ValueError unless top_k is in 1..V (Fan et al. 2018).
    """
    V = logits.shape[-1]
    if not 1 <= top_k <= V:
        raise ValueError(
            f"top_k must be from 1 to the vocabulary size, {V}, got {top_k}; "
            "None keeps the whole vocabulary"
        )
    kth_largest = logits.topk(top_k, dim=-1).values[:, -1:]  # (B, 1)
    return logits.masked_fill(logits < kth_largest, float("-inf"))


# ch05, section 5.3.3 Modifying the text generation function


@torch.no_grad()
def generate(model, idx, max_new_tokens, context_size, temperature=0.0, top_k=None, eos_id=None):
    """Append up to `max_new_tokens` tokens to idx (B, T) -> (B, T + n).

    temperature 0: the greedy choice; above 0: a draw, among the `top_k` likeliest if given.
    A row that produces `eos_id` is filled with it; once all rows have, generation stops
    without appending the last. ValueError for temperature < 0 and top_k outside 1..V.
    Does not switch dropout off: call model.eval() first.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must be 0 (greedy) or above, got {temperature}")
    ended = torch.zeros(len(idx), 1, dtype=torch.bool, device=idx.device)
    for _ in range(max_new_tokens):
        logits = model(idx[:, -context_size:])[:, -1]  # (B, V)
        if top_k is not None:
            logits = keep_top_k(logits, top_k)
        if temperature == 0:
            idx_next = logits.argmax(dim=-1, keepdim=True)  # (B, 1)
        else:
            probabilities = softmax_with_temperature(logits, temperature)
            idx_next = torch.multinomial(probabilities, num_samples=1)  # (B, 1)
        if eos_id is not None:
            idx_next = idx_next.masked_fill(ended, eos_id)
            ended = idx_next == eos_id
            if ended.all():
                break
        idx = torch.cat([idx, idx_next], dim=1)
    return idx


# ch05, section 5.4 Loading and saving model weights in PyTorch


def write_whole_or_not(content, path):
    """torch.save to `path` so that the file there is either the old one or all of the new one."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to save {path.name} in")
    try:
        write_atomically(path, lambda file: torch.save(content, file))
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        free = shutil.disk_usage(path.parent).free / 1e6
        raise OSError(
            f"{path.name} was not saved and what stood there before is untouched: {error} "
            f"({free:,.0f} MB are free on this disk)"
        ) from error


def check_plain(name, value):
    """TypeError unless `value` is made of tensors, numbers, text, lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        return
    if type(value) in (list, tuple):
        for i, item in enumerate(value):
            check_plain(f"{name}[{i}]", item)
    elif type(value) is dict:
        for key, item in value.items():
            check_plain(f"a key of {name}", key)
            check_plain(f"{name}[{key!r}]", item)
    elif type(value) not in (type(None), bool, int, float, str):
        raise TypeError(
            f"{name} is of type {type(value).__name__}, which a checkpoint can't hold: "
            "convert it to tensors, numbers, text, lists or dictionaries of these"
        )


CHECKPOINT_KEYS = (
    "model_state_dict",
    "optimizer_state_dict",
    "rng_state",
    "cuda_rng_state",
    "mps_rng_state",
)


def save_checkpoint(path, model, optimizer=None, **extra):
    """Save weights, optimiser state, torch's random state and plain `extra` values to `path`.

    A failed or killed save leaves the file that was there. OSError when it can't be written,
    TypeError or ValueError for extras that could not be read back. Load by load_checkpoint.
    """
    for name, value in extra.items():
        if name in CHECKPOINT_KEYS:
            raise ValueError(f"{name!r} is a name that the checkpoint itself uses: choose another")
        check_plain(name, value)
    content = {"model_state_dict": model.state_dict(), "rng_state": torch.get_rng_state()}
    if optimizer is not None:
        content["optimizer_state_dict"] = optimizer.state_dict()
    if torch.cuda.is_available():
        content["cuda_rng_state"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        content["mps_rng_state"] = torch.mps.get_rng_state()
    write_whole_or_not({**content, **extra}, path)


def read_plain_file(path, device):
    """The dictionary in a file by torch.save, without running any code that is hidden in it."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    torch.empty(0, device=device)  # a device that isn't there fails here, under its own name
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            content = torch.load(file, map_location=device, weights_only=True)
        except pickle.UnpicklingError:
            raise ValueError(
                f"{path.name} is refused: it is not a checkpoint of plain tensors, numbers and "
                "text, and reading anything else could run code that is hidden in it"
            ) from None
        except (RuntimeError, OSError, EOFError, LookupError, ValueError) as error:
            raise ValueError(
                f"{path.name} ({path.stat().st_size:,} bytes) can't be read: it is cut off, "
                "damaged or not a checkpoint. Copy or download it again, or take an older one"
            ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds a {type(content).__name__}, not a checkpoint")
    return content


def fitting_weights(weights, model, name):
    """`weights` without masks that the model lacks; ValueError unless names and shapes fit."""
    own = model.state_dict()
    if not isinstance(weights, dict):
        raise ValueError(f"{name} holds no dictionary of weights")
    weights = {
        key: value
        for key, value in weights.items()
        if key in own or str(key).split(".")[-1] != "mask"
    }
    wrong = [f"{key} is missing" for key in own if key not in weights]
    wrong += [f"{key} is not part of this model" for key in weights if key not in own]
    for key in own.keys() & weights.keys():
        there, here = getattr(weights[key], "shape", "no tensor"), own[key].shape
        if there != here:
            there = tuple(there) if isinstance(there, torch.Size) else there
            wrong.append(f"{key} is {there} in the file and {tuple(here)} in the model")
    if wrong:
        more = f"; and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise ValueError(
            f"{name} does not fit this model, which is unchanged: {'; '.join(sorted(wrong)[:4])}"
            f"{more}. Build the model with the configuration that the file was saved with"
        )
    return weights


def load_checkpoint(path, model, optimizer=None, device="cpu"):
    """Load what save_checkpoint wrote, or a bare state_dict -> dict of the extras.

    Restores model, optimiser (if given) and torch's random state (if saved); `device` is where
    extras are put, the model stays where it is. FileNotFoundError, or ValueError for a file
    that is damaged, unsafe or of another model; nothing has been changed then.
    """
    content, name = read_plain_file(path, device), Path(path).name
    if "model_state_dict" not in content:  # bare: torch.save(model.state_dict(), path)
        content = {"model_state_dict": content}
    states = {key: content.pop(key, None) for key in CHECKPOINT_KEYS}
    weights = fitting_weights(states["model_state_dict"], model, name)

    if optimizer is not None:
        if states["optimizer_state_dict"] is None:
            raise ValueError(
                f"{name} holds no optimiser state: load it without `optimizer` and "
                "start the optimiser afresh, or save with save_checkpoint(path, model, optimizer)"
            )
        optimizer.load_state_dict(states["optimizer_state_dict"])
    model.load_state_dict(weights)
    if states["rng_state"] is not None:
        torch.set_rng_state(states["rng_state"].cpu())
    gpu_states = states["cuda_rng_state"] or []
    if torch.cuda.is_available() and len(gpu_states) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in gpu_states])
    if torch.backends.mps.is_available() and states["mps_rng_state"] is not None:
        torch.mps.set_rng_state(states["mps_rng_state"].cpu())
    return content


# ch05, section 5.5 Loading pretrained weights from OpenAI


class ReadLater(dict):
    """A dictionary of functions: asking for a value calls its function and keeps nothing.

    Values that are no functions are given as they are.
    """

    get, items, values = Mapping.get, Mapping.items, Mapping.values

    def __getitem__(self, key):
        value = super().__getitem__(key)
        return value() if callable(value) else value

    def __iter__(self):  # its own, so that dict(...) and {**...} take the values from above
        return super().__iter__()


def nested_params(tensors):
    """{"h0/attn/c_attn/w": function, ...} -> `params`, nested like the names.

    The final norm, `ln_f/g` and `ln_f/b`, is `params["g"]` and `params["b"]`.
    """
    params, blocks = ReadLater(), {}
    for name, read in tensors.items():
        *path, last = name.removeprefix("ln_f/").split("/")
        place = params
        if path and re.fullmatch(r"h\d+", path[0]):
            place = blocks.setdefault(int(path.pop(0)[1:]), ReadLater())
        for part in path:
            place = place.setdefault(part, ReadLater())
        place[last] = read
    params["blocks"] = [blocks[i] for i in sorted(blocks)]
    return params


def openai_name(name):
    """Hugging Face's name of a GPT-2 tensor -> OpenAI's, or None for a stored mask."""
    *path, last = name.removeprefix("transformer.").split(".")
    if path[-1:] == ["attn"]:  # attn.bias and attn.masked_bias are masks
        return None
    if path[-1] in ("wte", "wpe", "lm_head"):
        return path[-1]
    if path[0] == "h":
        path[:2] = [f"h{path[1]}"]
    weight = "g" if path[-1].startswith("ln_") else "w"
    return "/".join([*path, weight if last == "weight" else last[:1]])


def read_tensor(path, name):
    """One tensor of a safetensors file as an fp32 array; the file is closed again."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return file.get_tensor(name).float().numpy()


def load_gpt2_params_from_safetensors(path):
    """`params` of a GPT-2 in Hugging Face's layout. Without TensorFlow; read on access."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = file.keys()
    readers = {openai_name(name): partial(read_tensor, path, name) for name in names}
    readers.pop(None, None)
    return nested_params(readers)


def block_under_our_names(block):
    """One of OpenAI's blocks -> {name inside a TransformerBlock: function that gets the array}."""
    import numpy as np

    ours = {}
    for our, their in {"norm1": "ln_1", "norm2": "ln_2"}.items():
        ours[f"{our}.scale"] = lambda t=their: block[t]["g"]
        ours[f"{our}.shift"] = lambda t=their: block[t]["b"]

    def third(i, last):  # of the query-key-value matrix or bias
        return np.split(block["attn"]["c_attn"][last], 3, axis=-1)[i]

    for i, our in enumerate(["att.W_query", "att.W_key", "att.W_value"]):
        ours[f"{our}.weight"] = lambda i=i: third(i, "w").T
        ours[f"{our}.bias"] = lambda i=i: third(i, "b")
    linear = {
        "att.out_proj": ("attn", "c_proj"),
        "ff.layers.0": ("mlp", "c_fc"),
        "ff.layers.2": ("mlp", "c_proj"),
    }
    for our, (part, their) in linear.items():
        ours[f"{our}.weight"] = lambda p=part, t=their: block[p][t]["w"].T
        ours[f"{our}.bias"] = lambda p=part, t=their: block[p][t]["b"]
    return ours


def under_our_names(params):
    """OpenAI's `params` -> ReadLater of arrays with the names and shapes of GPTModel.

    The head is the token embedding, unless the file has an `lm_head` of its own.
    """
    head = "lm_head" if "lm_head" in params else "wte"
    state = {
        "tok_emb.weight": lambda: params["wte"],
        "pos_emb.weight": lambda: params["wpe"],
        "final_norm.scale": lambda: params["g"],
        "final_norm.shift": lambda: params["b"],
        "out_head.weight": lambda: params[head],
    }
    for i, block in enumerate(params["blocks"]):
        for name, get in block_under_our_names(block).items():
            state[f"trf_blocks.{i}.{name}"] = get
    return ReadLater(state)


def assign(left, right):
    """Copy `right`, an array or tensor, into the parameter `left` and return it.

    ValueError, and nothing is copied, when the shapes differ.
    """
    if tuple(left.shape) != tuple(right.shape):
        raise ValueError(
            f"shapes differ: {tuple(left.shape)} in the model, {tuple(right.shape)} to assign"
        )
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        left.copy_(torch.as_tensor(right))
    return left if isinstance(left, nn.Parameter) else nn.Parameter(left)


def misfits(gpt, params):
    """What keeps `params` from fitting the model, a line for each tensor."""
    ours = dict(gpt.named_parameters(remove_duplicate=False))
    theirs = under_our_names(params)
    blocks = len(params["blocks"]), len(gpt.trf_blocks)
    if blocks[0] != blocks[1]:
        return [f"params has {blocks[0]} blocks and the model {blocks[1]}"]
    wrong = [f"{name} is not in params" for name in ours if name not in theirs]
    for name in theirs:
        try:
            shape = theirs[name].shape
        except KeyError as error:
            wrong.append(f"{name} is not in params (no {error})")
        except ValueError as error:
            wrong.append(f"{name} can't be taken from params ({error})")
        else:
            if name not in ours:
                wrong.append(f"{name} is in params and not in the model")
            elif shape != tuple(ours[name].shape):
                here = tuple(ours[name].shape)
                wrong.append(f"{name} is {shape} in params and {here} in the model")
    return wrong


def load_weights_into_gpt(gpt, params):
    """Copy OpenAI's weights into `gpt`, tensor by tensor; it stays on its device.

    ValueError names the tensors that are missing or of another shape; `gpt` is unchanged then.
    """
    if wrong := misfits(gpt, params):
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"the weights do not fit, the model is unchanged: {'; '.join(wrong[:3])}{more}. "
            "Build the model with config_from_settings(settings)"
        )
    ours = dict(gpt.named_parameters(remove_duplicate=False))
    theirs = under_our_names(params)
    for name in theirs:
        assign(ours[name], theirs[name])


def config_from_settings(settings):
    """OpenAI's settings (hparams.json) -> a configuration for GPTModel, without dropout."""
    return {
        "vocab_size": settings["n_vocab"],
        "context_length": settings["n_ctx"],
        "emb_dim": settings["n_embd"],
        "n_heads": settings["n_head"],
        "n_layers": settings["n_layer"],
        "drop_rate": 0.0,
        "qkv_bias": True,
    }


GPT2_SIZES = {  # channels, heads, layers
    "124M": (768, 12, 12),
    "355M": (1024, 16, 24),
    "774M": (1280, 20, 36),
    "1558M": (1600, 25, 48),
}
GPT2_NAMES = {
    "gpt2-small": "124M",
    "gpt2-medium": "355M",
    "gpt2-large": "774M",
    "gpt2-xl": "1558M",
}


def check_model_size(model_size):
    if model_size not in GPT2_SIZES:
        raise ValueError(f"model_size must be one of {', '.join(GPT2_SIZES)}, got {model_size!r}")


def load_gpt2_from_hugging_face(model_size, models_dir):
    """Fetch GPT-2 `model_size` ("124M", ...) if need be -> (settings, params).

    OSError (DownloadError) when it is neither on the disk nor to be had.
    """
    check_model_size(model_size)
    name = next(name for name, size in GPT2_NAMES.items() if size == model_size)
    path = fetch_safetensors(model_size, Path(models_dir) / name)
    n_embd, n_head, n_layer = GPT2_SIZES[model_size]
    settings = {"n_vocab": 50257, "n_ctx": 1024}
    settings |= {"n_embd": n_embd, "n_head": n_head, "n_layer": n_layer}
    return settings, load_gpt2_params_from_safetensors(path)


def load_gpt2_from_folder(folder):
    """Settings and `params` of a folder with model.safetensors and hparams.json or config.json.

    FileNotFoundError without these; ValueError when config.json tells of another architecture.
    """
    folder = Path(folder)
    for name in ("model.safetensors", "config.json"):
        other = folder / ("hparams.json" if name == "config.json" else name)
        if not (folder / name).is_file() and not other.is_file():
            raise FileNotFoundError(f"{folder.name} holds no {name}: it is no folder of a GPT-2")
    params = load_gpt2_params_from_safetensors(folder / "model.safetensors")
    if (folder / "hparams.json").is_file():
        return json.loads((folder / "hparams.json").read_text(encoding="utf-8")), params
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for key, needed in {
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
    }.items():
        if config.get(key, needed) != needed:
            raise ValueError(f"{folder.name} has {key} {config[key]!r}; GPTModel has {needed!r}")
    names = {"n_vocab": "vocab_size", "n_ctx": "n_positions"}
    keys = ["n_vocab", "n_ctx", "n_embd", "n_head", "n_layer"]
    return {key: config[names.get(key, key)] for key in keys}, params


def load_pretrained(name, models_dir):
    """A pretrained GPT-2 -> (model in eval mode, its configuration, its name).

    `name` is "auto", "gpt2-mini" or a name or size of GPT-2 ("gpt2-small", "124M", "gpt2-small
    (124M)"). What can't be had is replaced by gpt2-mini; one printed line says so.
    """
    short = str(name).split(" ")[0]
    wanted = next((n for n, size in GPT2_NAMES.items() if short in (n, size)), short)
    if wanted not in ("auto", "gpt2-mini", *GPT2_NAMES):
        known = ", ".join(["auto", "gpt2-mini", *GPT2_NAMES])
        raise ValueError(f"there is no pretrained model {name!r}; choose one of {known}")
    taken = "gpt2-small" if wanted == "auto" else wanted
    why = "it is on this disk" if wanted == "auto" else "chosen by name"
    try:
        if taken != "gpt2-mini":
            settings, params = load_gpt2_from_hugging_face(GPT2_NAMES[taken], models_dir)
    except OSError as error:
        reason = getattr(error, "reason", error)
        why = f"{taken} is not on this disk and can't be fetched ({reason})"
        taken = "gpt2-mini"
    if taken == "gpt2-mini":
        settings, params = load_gpt2_from_folder(Path(models_dir) / "gpt2-mini")
    print(f"{taken}: {why}")
    config = config_from_settings(settings)
    model = GPTModel(config).eval()
    load_weights_into_gpt(model, params)
    return model, config, taken


def import_tensorflow():
    """The module tensorflow, without its start-up notes on the error output."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import tensorflow
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    return tensorflow


def read_tf_variable(reader, name):
    """One variable as an array. OpenAI's matrices have a leading axis of 1, which is dropped."""
    try:
        array = reader.get_tensor(name)
    except Exception as error:  # a checksum that does not fit, or a file cut short
        raise ValueError(f"{name} can't be read, delete the checkpoint: {error}") from error
    return array[0] if array.ndim == 3 else array


def load_gpt2_params_from_tf_ckpt(ckpt_path, settings):
    """`params` of OpenAI's checkpoint `ckpt_path` (".../124M/model.ckpt"); read on access."""
    reader = import_tensorflow().train.load_checkpoint(str(ckpt_path))
    names = [n for n in reader.get_variable_to_shape_map() if n.startswith("model/")]
    params = nested_params(
        {n.removeprefix("model/"): partial(read_tf_variable, reader, n) for n in names}
    )
    if len(params["blocks"]) != settings["n_layer"]:
        blocks = len(params["blocks"])
        raise ValueError(f"{blocks} blocks in the checkpoint, not {settings['n_layer']}")
    return params


def download_and_load_gpt2(model_size, models_dir):
    """Fetch GPT-2 "124M", "355M", "774M" or "1558M" if need be -> (settings, params).

    OpenAI's files, read with TensorFlow; where that is not installed, the same tensors from
    Hugging Face's file. OSError (DownloadError) when they can't be had.
    """
    check_model_size(model_size)
    if importlib.util.find_spec("tensorflow") is None:
        print("no tensorflow here: the same tensors come from Hugging Face's file")
        return load_gpt2_from_hugging_face(model_size, models_dir)
    folder = fetch_openai_checkpoint(model_size, Path(models_dir) / model_size)
    settings = json.loads((folder / "hparams.json").read_text(encoding="utf-8"))
    return settings, load_gpt2_params_from_tf_ckpt(folder / "model.ckpt", settings)


def tensors_for_transformers(model):
    """The weights of a GPTModel -> {Hugging Face's name: tensor on the CPU}.

    The head is left out where it equals the token embedding; missing biases become zeros.
    """
    named = {
        "wte.weight": model.tok_emb.weight,
        "wpe.weight": model.pos_emb.weight,
        "ln_f.weight": model.final_norm.scale,
        "ln_f.bias": model.final_norm.shift,
    }
    for i, block in enumerate(model.trf_blocks):
        qkv = [block.att.W_query, block.att.W_key, block.att.W_value]
        biases = [torch.zeros(len(q.weight)) if q.bias is None else q.bias.cpu() for q in qkv]
        named[f"h.{i}.attn.c_attn.weight"] = torch.cat([q.weight for q in qkv]).T
        named[f"h.{i}.attn.c_attn.bias"] = torch.cat(biases)
        parts = {"attn.c_proj": block.att.out_proj}
        parts |= {"mlp.c_fc": block.ff.layers[0], "mlp.c_proj": block.ff.layers[2]}
        for name, linear in parts.items():
            named[f"h.{i}.{name}.weight"] = linear.weight.T
            named[f"h.{i}.{name}.bias"] = linear.bias
        for name, part in {"ln_1": block.norm1, "ln_2": block.norm2}.items():
            named[f"h.{i}.{name}.weight"], named[f"h.{i}.{name}.bias"] = part.scale, part.shift
    named = {f"transformer.{name}": tensor for name, tensor in named.items()}
    if not torch.equal(model.out_head.weight, model.tok_emb.weight):
        named["lm_head.weight"] = model.out_head.weight
    return {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}


def save_for_transformers(model, folder):
    """Save a GPTModel as a folder that transformers' GPT2LMHeadModel.from_pretrained opens."""
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors, dropout = tensors_for_transformers(model), model.drop_emb.p
    V, C = model.tok_emb.weight.shape
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}
    config |= {"vocab_size": V, "n_positions": len(model.pos_emb.weight), "n_embd": C}
    config |= {"n_layer": len(model.trf_blocks), "n_head": model.trf_blocks[0].att.num_heads}
    config |= {"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
    config |= {"embd_pdrop": dropout, "attn_pdrop": dropout, "resid_pdrop": dropout}
    end = 50256 if V > 50256 else None  # <|endoftext|>
    config |= {"bos_token_id": end, "eos_token_id": end}
    config |= {"tie_word_embeddings": "lm_head.weight" not in tensors}
    part = folder / "model.safetensors.part"
    save_file(tensors, part, metadata={"format": "pt"})
    os.replace(part, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


# ch06, section 6.2 Preparing the dataset


SPAM_URLS = (
    "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
    "https://f001.backblazeb2.com/file/LLMs-from-scratch/sms%2Bspam%2Bcollection.zip",
)
SPAM_BYTES = 477_907
SPAM_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
SPAM_ZIP_SHA256 = "1587ea43e58e82b14ff1f5425c88e17f8496bfcdb67a583dbff9eefaf9963ce3"


def safe_entries(archive, folder, limit=50e6):
    """The entries of an open ZipFile; ValueError if one would be written outside `folder`.

    Also refused: more than `limit` bytes in all once unpacked.
    """
    folder, entries = Path(folder).resolve(), archive.infolist()
    for entry in entries:
        name = entry.filename.replace("\\", "/")
        target = (folder / name).resolve()
        if name[1:2] == ":" or not target.is_relative_to(folder):
            raise ValueError(f"the zip is refused: its entry {name!r} leaves the folder")
    if (size := sum(entry.file_size for entry in entries)) > limit:
        raise ValueError(f"the zip is refused: unpacked it has {size:,} bytes")
    return entries


def check_spam_zip(path):
    """ValueError unless the zip holds the SMS Spam Collection, byte for byte."""
    try:
        with zipfile.ZipFile(path) as archive:
            safe_entries(archive, Path(path).parent)
            content = archive.read("SMSSpamCollection")
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"no zip with the SMS Spam Collection ({error})") from None
    if hashlib.sha256(content).hexdigest() != SPAM_SHA256:
        raise ValueError(f"the messages inside do not have the SHA-256 {SPAM_SHA256[:8]}…")


def download_and_unzip_spam_data(url, zip_path, extracted_path, data_file_path):
    """Have the SMS Spam Collection as `data_file_path`, fetched only if it isn't there.

    `url` is an address or several. The messages inside the zip must have the published SHA-256.
    OSError (DownloadError) when it can't be had, ValueError for a zip that leaves its folder.
    """
    data_file_path, folder = Path(data_file_path), Path(extracted_path)
    if fault(data_file_path, SPAM_BYTES, SPAM_SHA256) is None:
        print(f"{data_file_path.name} is on this disk, verified")
        return
    fetch(zip_path, url, check=check_spam_zip)
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(zip_path) as archive:
        for entry in safe_entries(archive, folder):
            if not entry.is_dir():
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.read(entry)
                write_atomically(target, lambda file, content=content: file.write(content))
    os.replace(folder / "SMSSpamCollection", data_file_path)


def find_spam_data(choice, folder):
    """The data of this chapter -> (path, name); one printed line says which and why.

    `choice` is "auto", "sms-spam-collection" or "spam-messages" (ours, in `folder`). A
    collection that can't be had is replaced by ours.
    """
    folder, known = Path(folder), ("auto", "sms-spam-collection", "spam-messages")
    if choice not in known:
        raise ValueError(f"there is no data set {choice!r}; choose one of {', '.join(known)}")
    ours, why = folder / "spam-messages.tsv", "chosen by name"
    if choice != "spam-messages":
        unzipped = folder / "sms_spam_collection"
        path = unzipped / "SMSSpamCollection.tsv"
        try:
            zip_path = folder / "sms_spam_collection.zip"
            download_and_unzip_spam_data(SPAM_URLS, zip_path, unzipped, path)
        except OSError as error:
            reason = getattr(error, "reason", error)
            why = f"the SMS Spam Collection is not on this disk and can't be fetched ({reason})"
        else:
            print("sms-spam-collection: SMS Spam Collection v.1, Almeida and Hidalgo, CC BY 4.0")
            return path, "sms-spam-collection"
    print(f"spam-messages: {why}")
    return ours, "spam-messages"


CLASSES = {"ham": 0, "spam": 1}


def class_numbers(labels, source="the table"):
    """Labels, "ham" and "spam" or 0 and 1 -> list of 0 and 1; ValueError names any other."""
    numbers = {**CLASSES, **{n: n for n in (0, 1)}, **{str(n): n for n in (0, 1)}}
    labels = labels.tolist()
    for row, label in enumerate(labels):
        if label not in numbers:
            raise ValueError(
                f"{source}, row {row}: the label {label!r} is unknown; "
                "allowed are 'ham' and 'spam', or 0 and 1"
            )
    return [numbers[label] for label in labels]


def check_messages(df, source="the table"):
    """ValueError unless `df` has known labels in `Label` and a text in every row of `Text`."""
    missing = [name for name in ("Label", "Text") if name not in df.columns]
    if missing:
        raise ValueError(
            f"{source} has no column {' and no column '.join(map(repr, missing))}, but "
            f"{', '.join(map(repr, df.columns))}: rename them, df.rename(columns={{...}})"
        )
    if len(df) == 0:
        raise ValueError(f"{source} has no rows")
    for row, text in enumerate(df["Text"].tolist()):
        if not isinstance(text, str) or not text:
            raise ValueError(f"{source}, row {row}: no text ({text!r}); drop or mend the row")
    class_numbers(df["Label"], source)


def read_messages(file, **options):
    """pandas.read_csv for messages: UTF-8, and no text is taken for a missing value.

    ValueError for another encoding, for what is no table, and for all of `check_messages`.
    """
    import pandas as pd

    source = os.path.basename(file) if isinstance(file, str | os.PathLike) else "the file"
    options = {"dtype": {"Text": str}, "keep_default_na": False, "encoding": "utf-8"} | options
    try:
        df = pd.read_csv(file, **options)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{source} is not UTF-8 (byte {error.object[error.start]:#x} at place {error.start}):"
            " save it as UTF-8, or name its encoding, such as encoding='cp1252'"
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{source} is no table of labels and texts: {error}") from None
    if not isinstance(df.index, pd.RangeIndex):
        raise ValueError(f"{source} has rows with more columns than labels and texts need")
    check_messages(df, source)
    return df


def read_spam_file(path):
    """A file of lines `label<TAB>message`, without a header -> DataFrame with Label and Text."""
    return read_messages(path, sep="\t", header=None, names=["Label", "Text"])


def create_balanced_dataset(df):
    """As many ham as spam rows, ham first: the larger class is sampled with random_state 123.

    ValueError when a class is absent.
    """
    import pandas as pd

    parts = [df[df["Label"] == label] for label in CLASSES]
    for label, part in zip(CLASSES, parts, strict=True):
        if len(part) == 0:
            found = ", ".join(map(repr, df["Label"].unique()[:5])) or "none"
            raise ValueError(
                f"there is no {label!r} among the {len(df)} rows (labels found: {found}): "
                "a classifier needs examples of both classes"
            )
    ham, spam = parts
    n = min(len(ham), len(spam))
    spam = spam if len(spam) == n else spam.sample(n, random_state=123)
    return pd.concat([ham.sample(n, random_state=123), spam])


def random_split(df, train_frac, validation_frac):
    """Shuffle with random_state 123 and cut -> (train, validation, test); test is the rest.

    ValueError unless all three parts get at least one row.
    """
    train_end = int(len(df) * train_frac)
    validation_end = train_end + int(len(df) * validation_frac)
    if not 0 < train_end < validation_end < len(df):
        raise ValueError(
            f"{len(df)} rows can't be split by {train_frac} and {validation_frac}: each of the "
            "three parts needs at least one row, and the fractions together less than 1"
        )
    df = df.sample(frac=1, random_state=123).reset_index(drop=True)
    return df[:train_end], df[train_end:validation_end], df[validation_end:]


# ch06, section 6.3 Creating data loaders


def encode_message(text, tokenizer):
    """Text -> list of ids. `<|endoftext|>` in a message is ordinary text, nothing special."""
    return getattr(tokenizer, "encode_ordinary", tokenizer.encode)(text)


def fit_to_length(ids, max_length, pad_token_id=50256):
    """A list of ids, cut or padded on the right to exactly `max_length`."""
    return ids[:max_length] + [pad_token_id] * (max_length - len(ids))


class SpamDataset(Dataset):
    """Messages of a CSV file with Label and Text as (ids (max_length,), class number) pairs.

    Each text is cut or padded to `max_length`, by default that of the longest.
    ValueError for a faulty file (`read_messages`) or a `max_length` below 1.
    """

    def __init__(self, csv_file, tokenizer, max_length=None, pad_token_id=50256):
        self.data = read_messages(csv_file)
        self.labels = class_numbers(self.data["Label"])
        encoded = [encode_message(text, tokenizer) for text in self.data["Text"]]
        self.max_length = max(map(len, encoded)) if max_length is None else max_length
        if self.max_length < 1:
            raise ValueError(f"max_length must be at least 1 or None, got {max_length}")
        self.encoded_texts = [fit_to_length(ids, self.max_length, pad_token_id) for ids in encoded]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.tensor(self.encoded_texts[index]), torch.tensor(self.labels[index])


# ch06, section 6.4 Initializing a model with pretrained weights


def check_max_length(max_length, model):
    """ValueError unless `max_length` tokens fit into the model's context."""
    context = len(model.pos_emb.weight)
    if not 1 <= max_length <= context:
        raise ValueError(
            f"max_length must be from 1 to the model's context, {context}, got {max_length}: "
            f"longer messages have to be cut, SpamDataset(..., max_length={context})"
        )


# ch06, section 6.5 Adding a classification head


def make_classifier(model, num_classes=2, trainable="last block"):
    """Replace the output head by Linear(C, num_classes); in place, returns the model.

    `trainable`: "head", "last block" (with the final norm and the head) or "all". Everything
    else is frozen: its requires_grad is False. Set a seed before: the new head is random.
    """
    parts = {
        "head": [],
        "last block": [model.trf_blocks[-1], model.final_norm],
        "all": [model],
    }
    if trainable not in parts or num_classes < 2:
        raise ValueError(
            f"trainable must be one of {', '.join(map(repr, parts))}, got {trainable!r}; "
            f"num_classes at least 2, got {num_classes}"
        )
    model.requires_grad_(False)
    weight = model.tok_emb.weight
    model.out_head = nn.Linear(weight.shape[1], num_classes).to(weight.device)
    for part in parts[trainable]:
        part.requires_grad_(True)
    return model


# ch06, section 6.6 Calculating the classification loss and accuracy


@torch.no_grad()
def calc_accuracy_loader(data_loader, model, device, num_batches=None):
    """Share of right answers, 0 to 1, over the first `num_batches` batches (default all).

    Measured without dropout; the model returns to the mode it was in. ValueError when the
    loader is empty or `num_batches` is below 1.
    """
    count = batches_to_take(data_loader, num_batches)
    was_training = model.training
    model.eval()
    right = total = 0
    for _, (inputs, targets) in zip(range(count), data_loader, strict=False):
        logits = model(inputs.to(device))[:, -1]  # (B, num_classes)
        right += (logits.argmax(dim=-1) == targets.to(device)).sum().item()
        total += len(targets)
    model.train(was_training)
    return right / total


def batches_to_take(data_loader, num_batches):
    """How many batches: all, or `num_batches` if there are as many; ValueError for none."""
    if len(data_loader) == 0:
        raise ValueError(
            "the data loader has no batches: give it more messages, a smaller batch_size or "
            "drop_last=False"
        )
    if num_batches is not None and num_batches < 1:
        raise ValueError(f"num_batches must be at least 1 or None, got {num_batches}")
    return min(len(data_loader), num_batches or len(data_loader))


def calc_loss_batch_classifier(input_batch, target_batch, model, device):
    """Mean cross-entropy, nats per message, a scalar tensor, of the last token's logits.

    input_batch (B, T), target_batch (B,) class numbers; ValueError for other targets.
    """
    if target_batch.dim() != 1:
        raise ValueError(
            f"targets must be one class per message, (B,), got {tuple(target_batch.shape)}; "
            "for the next token of a text take calc_loss_batch of chapter 5"
        )
    logits = model(input_batch.to(device))[:, -1]  # (B, num_classes)
    return F.cross_entropy(logits, target_batch.to(device))


def calc_loss_loader_classifier(data_loader, model, device, num_batches=None):
    """Mean loss, a float, over the first `num_batches` batches (default all there are).

    Each batch counts the same, also a smaller last one. ValueError when the loader is empty or
    `num_batches` is below 1. Leaves training mode and gradient tracking to the caller.
    """
    count, total = batches_to_take(data_loader, num_batches), 0.0
    for _, (inputs, targets) in zip(range(count), data_loader, strict=False):
        total += calc_loss_batch_classifier(inputs, targets, model, device).item()
    return total / count


@torch.no_grad()
def evaluate_classifier(model, train_loader, val_loader, device, eval_iter):
    """Training and validation loss without dropout, each over at most `eval_iter` batches.

    Returns two floats and leaves the model in training mode.
    """
    model.eval()
    train_loss = calc_loss_loader_classifier(train_loader, model, device, eval_iter)
    val_loss = calc_loss_loader_classifier(val_loader, model, device, eval_iter)
    model.train()
    return train_loss, val_loss


# ch06, section 6.7 Fine-tuning the model on supervised data


def train_classifier_simple(model, train_loader, val_loader, optimizer, device, num_epochs,
                            eval_freq, eval_iter, on_step=None):  # fmt: skip
    """Fine-tune in place -> (train_losses, val_losses, train_accs, val_accs, examples_seen).

    Losses are measured and printed every `eval_freq` steps, accuracies after each epoch, over
    `eval_iter` batches; `examples_seen` is the final count. `on_step(step, train_loss, val_loss)`
    is called after every step, from 0; the losses are None where none were measured.
    """
    train_losses, val_losses, train_accs, val_accs = [], [], [], []
    step, examples_seen = -1, 0
    for epoch in range(1, num_epochs + 1):
        model.train()
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            calc_loss_batch_classifier(inputs, targets, model, device).backward()
            optimizer.step()
            step += 1
            examples_seen += len(targets)

            losses = None, None
            if step % eval_freq == 0:
                losses = evaluate_classifier(model, train_loader, val_loader, device, eval_iter)
                train_losses.append(losses[0])
                val_losses.append(losses[1])
                values = f"training loss {losses[0]:.3f}, validation loss {losses[1]:.3f}"
                print(f"epoch {epoch}, step {step:3d}: {values}", flush=True)
            if on_step is not None:
                on_step(step, *losses)
        train_accs.append(calc_accuracy_loader(train_loader, model, device, eval_iter))
        val_accs.append(calc_accuracy_loader(val_loader, model, device, eval_iter))
        values = f"training {train_accs[-1]:.1%}, validation {val_accs[-1]:.1%}"
        print(f"epoch {epoch}, accuracy: {values}", flush=True)
    return train_losses, val_losses, train_accs, val_accs, examples_seen


def plot_values(epochs_seen, examples_seen, train_values, val_values, label="loss"):
    """Training and validation values against epochs (below) and examples (above) -> the figure.

    A notebook shows the figure when the call is the last line of its cell.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2))
    axes.plot(epochs_seen, train_values, color="#0072B2", label=f"training {label}")
    axes.plot(epochs_seen, val_values, "-.", color="#D55E00", label=f"validation {label}")
    axes.set(xlabel="epochs", ylabel=label)
    axes.legend()
    above = axes.twiny()
    above.plot(examples_seen, train_values, alpha=0)  # invisible: it only sets the scale
    above.set_xlabel("examples seen")
    above.spines["top"].set_visible(True)
    figure.tight_layout()
    plt.close(figure)  # so that it isn't shown a second time at the end of the cell
    return figure


def frozen_blocks(model):
    """How many of the model's first blocks, counted from the embeddings on, are all frozen."""
    if any(p.requires_grad for p in [model.tok_emb.weight, model.pos_emb.weight]):
        raise ValueError("the embeddings are trainable, so nothing in front can be kept")
    frozen = [not any(p.requires_grad for p in b.parameters()) for b in model.trf_blocks]
    return [*frozen, False].index(False)


@torch.no_grad()
def cache_frozen_part(model, dataset, device, batch_size=16):
    """(ids, class) pairs -> TensorDataset of (output of the frozen blocks (T, C), class).

    On the CPU, in fp32: 4 * T * C bytes a message. ValueError when dropout is on.
    """
    if model.drop_emb.p > 0:
        raise ValueError(f"drop_rate is {model.drop_emb.p}: with dropout no two passes are equal")
    n, kept, classes = frozen_blocks(model), [], []
    for inputs, targets in torch.utils.data.DataLoader(dataset, batch_size):
        positions = torch.arange(inputs.shape[1], device=device)
        x = model.tok_emb(inputs.to(device)) + model.pos_emb(positions)  # (B, T, C)
        kept.append(model.trf_blocks[:n](x).cpu())
        classes.append(targets)
    return TensorDataset(torch.cat(kept), torch.cat(classes))


class LastTokenBlock(nn.Module):
    """A TransformerBlock's output for the last token only: (B, T, C) -> (B, 1, C).

    It shares the block's parameters. Without dropout.
    """

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        att, last = self.block.att, x[:, -1:]  # (B, 1, C)
        normed = self.block.norm1(x)  # (B, T, C)
        queries = att.split_heads(att.W_query(normed[:, -1:]))  # (B, H, 1, D)
        keys = att.split_heads(att.W_key(normed))  # (B, H, T, D)
        values = att.split_heads(att.W_value(normed))
        scores = queries @ keys.transpose(2, 3) / att.head_dim**0.5  # (B, H, 1, T)
        context = (scores.softmax(dim=-1) @ values).transpose(1, 2).flatten(2)  # (B, 1, H * D)
        last = last + att.out_proj(context)
        return last + self.block.ff(self.block.norm2(last))


def trainable_part(model):
    """What comes after the frozen blocks, with the model's own parameters: (B, T, C) -> logits.

    Train it on what cache_frozen_part kept, and the model is trained.
    """
    n = frozen_blocks(model)
    blocks = list(model.trf_blocks[n:])
    if blocks:
        blocks[-1] = LastTokenBlock(blocks[-1])
    return nn.Sequential(*blocks, model.final_norm, model.out_head)


# ch06, section 6.8 Using the LLM as a spam classifier


@torch.no_grad()
def spam_probabilities(texts, model, tokenizer, device, max_length=None, pad_token_id=50256,
                       batch_size=64):  # fmt: skip
    """A list of texts -> tensor (N,) of the probabilities of spam; a blank text gets 0.

    `max_length`: the length used in training (default: the whole context, slower and less
    exact). Longer texts are cut. ValueError if it exceeds the context, TypeError for no list.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError("texts must be a list of str; for one text, [text]")
    max_length = len(model.pos_emb.weight) if max_length is None else max_length
    check_max_length(max_length, model)
    was_training = model.training
    model.eval()
    rows = [fit_to_length(encode_message(t, tokenizer), max_length, pad_token_id) for t in texts]
    result = [torch.empty(0)]
    for i in range(0, len(rows), batch_size):
        ids = torch.tensor(rows[i : i + batch_size], device=device)  # (B, T)
        result.append(model(ids)[:, -1].softmax(dim=-1)[:, 1].cpu())  # (B,)
    model.train(was_training)
    blank = torch.tensor([not text.strip() for text in texts], dtype=torch.bool)
    return torch.cat(result).masked_fill(blank, 0.0)


def classify_review(text, model, tokenizer, device, max_length=None, pad_token_id=50256):
    """A text -> "spam" or "not spam", by the larger of the two logits; see spam_probabilities."""
    one = spam_probabilities([text], model, tokenizer, device, max_length, pad_token_id)
    return "spam" if one.item() > 0.5 else "not spam"


def save_classifier(path, model, config, max_length, **extra):
    """Save a classifier with all that load_classifier needs; `extra` are plain values."""
    check_max_length(max_length, model)
    save_checkpoint(path, model, config=config, max_length=max_length, **extra)


def load_classifier(path, config=None, device="cpu"):
    """A file of save_classifier, or a bare state_dict with its `config` -> (model, extras).

    The model is in eval mode. FileNotFoundError, or ValueError for a file that is damaged or
    no classifier.
    """
    content, name = read_plain_file(path, "cpu"), Path(path).name
    weights = content.pop("model_state_dict", content)
    config = config or content.get("config")
    if config is None or "out_head.bias" not in weights:
        raise ValueError(
            f"{name} is no classifier with its configuration: save it by save_classifier, or "
            "give load_classifier the `config` that the model was built with"
        )
    model = make_classifier(GPTModel(config), num_classes=len(weights["out_head.bias"]))
    model.load_state_dict(fitting_weights(weights, model, name))
    extras = {key: content[key] for key in content if key not in {*CHECKPOINT_KEYS, *weights}}
    return model.to(device).eval(), extras


# ch07, section 7.2 Preparing a dataset for supervised instruction fine-tuning


def entry_fault(entry, keys=("instruction", "input", "output")):
    """What is wrong with one entry, in words; "" if nothing is."""
    if not isinstance(entry, dict):
        return f"is a {type(entry).__name__} and not an object with {', '.join(keys)}"
    missing = [key for key in keys if key not in entry]
    if missing:
        return f"has no {', '.join(missing)}"
    other = [key for key in keys if not isinstance(entry[key], str)]
    if other:
        return f"has a {type(entry[other[0]]).__name__} as {other[0]}, not a text"
    return "" if entry["instruction"].strip() else "has an empty instruction"


def check_entries(data, name="the data"):
    """ValueError, naming the first faulty entries, unless `data` is a list of good ones."""
    if not isinstance(data, list) or not data:
        raise ValueError(f"{name} holds no list of entries")
    faults = [f"entry {i} {entry_fault(e)}" for i, e in enumerate(data) if entry_fault(e)]
    if faults:
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"{name}: {'; '.join(faults[:3])}{more} (counted from 0)")


def read_entries(path):
    """The entries of a JSON file -> list of dicts; ValueError tells what is wrong with it."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text)
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not a text in UTF-8") from None
    except json.JSONDecodeError as error:
        page = text.lstrip()[:1] == "<"
        what = "a web page" if page else f"not valid JSON: {error}"
        raise ValueError(
            f"{path.name} is {what}. Mend it, or delete it and let it be fetched again"
        ) from None
    check_entries(data, path.name)
    return data


BOOK_DATA = (
    "https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main/"
    "ch07/01_main-chapter-code/instruction-data.json"
)
BOOK_DATA_SIZE = 203_524  # bytes


def download_and_load_file(file_path, url=BOOK_DATA):
    """The entries in `file_path`, fetched from `url` if the file is not there -> list of dicts.

    ValueError for a file that holds something else; OSError if it can't be fetched.
    """
    file_path = Path(file_path)
    if not file_path.is_file():
        size = BOOK_DATA_SIZE if url == BOOK_DATA else None
        fetch(file_path, url, size=size, check=lambda path: read_entries(path) and None)
    return read_entries(file_path)


def kind_of(entry):
    """The label of the entry's kind of task; "not stated" if it has none."""
    return entry.get("kind") or "not stated"


def entries_of_kind(data, kind):
    """The entries of one kind of task; ValueError for a kind that does not occur in `data`."""
    kinds = sorted({kind_of(entry) for entry in data})
    if kind not in kinds:
        raise ValueError(f"there is no task of the kind {kind!r}; there are {', '.join(kinds)}")
    return [entry for entry in data if kind_of(entry) == kind]


OPENING = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n### Instruction:\n"
)
RESPONSE_MARK = "\n\n### Response:\n"


def format_input(entry):
    """Instruction and input of an entry in the Alpaca format, without the response.

    ValueError for an entry without instruction.
    """
    if fault := entry_fault(entry, keys=("instruction", "input")):
        raise ValueError(f"this entry {fault}: {entry!r}")
    given = f"\n\n### Input:\n{entry['input']}" if entry["input"] else ""
    return OPENING + entry["instruction"] + given


def format_prompt(entry):
    """All that stands before the answer: `format_input` and the mark of the response."""
    return format_input(entry) + RESPONSE_MARK


# ch07, section 7.3 Organizing data into training batches


class InstructionDataset(Dataset):
    """Entries as lists of token ids: prompt and answer, without an end mark."""

    def __init__(self, data, tokenizer):
        self.data = data
        self.encoded_texts = [
            tokenizer.encode(format_prompt(entry) + entry["output"]) for entry in data
        ]

    def __len__(self):
        return len(self.encoded_texts)

    def __getitem__(self, index):
        return self.encoded_texts[index]


def custom_collate_draft_1(batch, pad_token_id=50256, device="cpu"):
    """Lists of token ids -> inputs (B, T), filled up on the right to the longest."""
    rows = [torch.tensor([*ids, pad_token_id]) for ids in batch]
    padded = pad_sequence(rows, batch_first=True, padding_value=pad_token_id)  # (B, T + 1)
    return padded[:, :-1].to(device)


def custom_collate_draft_2(batch, pad_token_id=50256, device="cpu"):
    """Lists of token ids -> inputs and targets, (B, T) each; the filling is a target, too."""
    rows = [torch.tensor([*ids, pad_token_id]) for ids in batch]
    padded = pad_sequence(rows, batch_first=True, padding_value=pad_token_id)  # (B, T + 1)
    return padded[:, :-1].to(device), padded[:, 1:].to(device)


def custom_collate_fn(
    batch, pad_token_id=50256, ignore_index=-100, allowed_max_length=None, device="cpu"
):
    """Lists of token ids -> (inputs, targets), (B, T) each, T the longest list's length.

    Inputs are filled with `pad_token_id`. A row's targets end in one `pad_token_id`, then
    `ignore_index`. Both are cut to `allowed_max_length`. ValueError for an empty list.
    """
    if not all(len(ids) for ids in batch):
        raise ValueError("a list in the batch is empty: there is nothing to predict from")
    rows = [torch.as_tensor(ids) for ids in batch]
    ends = torch.tensor([pad_token_id])
    inputs = pad_sequence(rows, batch_first=True, padding_value=pad_token_id)  # (B, T)
    targets = [torch.cat([ids[1:], ends]) for ids in rows]
    targets = pad_sequence(targets, batch_first=True, padding_value=ignore_index)  # (B, T)
    cut = slice(None, allowed_max_length)
    return inputs[:, cut].to(device), targets[:, cut].to(device)


class MaskedInstructionDataset(InstructionDataset):
    """Like InstructionDataset, with items (number of tokens to mask, token ids).

    `hide` says what the tokens to mask are: the whole "prompt", or its fixed "opening" only.
    """

    def __init__(self, data, tokenizer, hide="prompt"):
        super().__init__(data, tokenizer)
        if hide not in ("prompt", "opening"):
            raise ValueError(f"hide must be 'prompt' or 'opening', got {hide!r}")
        opening = len(tokenizer.encode(OPENING))
        self.prompt_lengths = [
            len(tokenizer.encode(format_prompt(entry))) if hide == "prompt" else opening
            for entry in data
        ]

    def __getitem__(self, index):
        return self.prompt_lengths[index], self.encoded_texts[index]


def masked_collate_fn(
    batch, pad_token_id=50256, ignore_index=-100, allowed_max_length=None, device="cpu"
):
    """Like custom_collate_fn for items (prompt length, ids); the prompt is no target.

    ValueError when nothing is left to learn, because all answers were cut off.
    """
    ids = [ids for _, ids in batch]
    inputs, targets = custom_collate_fn(ids, pad_token_id, ignore_index, allowed_max_length)
    for row, (prompt_length, _) in enumerate(batch):
        targets[row, : max(prompt_length - 1, 0)] = ignore_index  # predicts prompt from prompt
    if (targets == ignore_index).all():
        raise ValueError(
            f"allowed_max_length={allowed_max_length} cuts off every answer of this batch"
        )
    return inputs.to(device), targets.to(device)


# ch07, section 7.4 Creating data loaders for an instruction dataset


def count_cut(dataset, allowed_max_length):
    """How many entries of an InstructionDataset are longer than `allowed_max_length` tokens."""
    if allowed_max_length < 1:
        raise ValueError(f"allowed_max_length must be at least 1, got {allowed_max_length}")
    return sum(len(ids) > allowed_max_length for ids in dataset.encoded_texts)


# ch07, section 7.5 Loading a pretrained LLM


def hidden_states(model, idx):
    """Token ids (B, T) -> the output (B, T, C) of a GPTModel's blocks: all but norm and head."""
    positions = torch.arange(idx.shape[1], device=idx.device)
    return model.trf_blocks(model.drop_emb(model.tok_emb(idx) + model.pos_emb(positions)))


@torch.no_grad()
def last_logits(model, idx, lengths):
    """Logits (B, V) after the last token of each row of idx (B, T).

    `lengths` (B,) are the rows' lengths; what stands behind them, to the right, has no effect.
    """
    x = hidden_states(model, idx)  # (B, T, C)
    x = x[torch.arange(len(idx), device=idx.device), lengths - 1]  # (B, C)
    return model.out_head(model.final_norm(x))  # (B, V)


def pick_next(logits, temperature=0.0, top_k=None):
    """Logits (B, V) -> the next ids (B,): the likeliest at temperature 0, else a draw."""
    if not temperature >= 0:
        raise ValueError(f"temperature must be 0 (greedy) or above, got {temperature}")
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if temperature == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(softmax_with_temperature(logits, temperature), 1).squeeze(1)


def generate_batch(model, prompts, max_new_tokens, context_size, temperature=0.0, top_k=None,
                   eos_id=50256):  # fmt: skip
    """Continue each list of token ids in `prompts` -> the new ids, a list for each.

    A row ends before `eos_id` or after `max_new_tokens`. Greedy rows are what `generate` gives
    for each alone. ValueError for an empty prompt. Call model.eval() first.
    """
    if not all(len(prompt) for prompt in prompts):
        raise ValueError("a prompt is empty: give it at least one token")
    device = model.pos_emb.weight.device
    answers = [[] for _ in prompts]
    active = list(range(len(prompts)))
    for _ in range(max_new_tokens):
        rows = [torch.tensor([*prompts[i], *answers[i]][-context_size:]) for i in active]
        lengths = torch.tensor([len(row) for row in rows], device=device)
        idx = pad_sequence(rows, batch_first=True).to(device)  # (B, T)
        chosen = pick_next(last_logits(model, idx, lengths), temperature, top_k).tolist()
        for i, token_id in zip(active, chosen, strict=True):
            answers[i].append(token_id)
        active = [i for i in active if answers[i][-1] != eos_id]
        if not active:
            break
    return [ids[:-1] if ids[-1:] == [eos_id] else ids for ids in answers]


def answer_entries(entries, model, tokenizer, max_new_tokens, temperature=0.0, top_k=None):
    """The model's answers to entries, as one batch -> list of texts, stripped."""
    context = len(model.pos_emb.weight)
    prompts = [tokenizer.encode(format_prompt(entry)) for entry in entries]
    new_ids = generate_batch(model, prompts, max_new_tokens, context, temperature, top_k)
    return [tokenizer.decode(ids).strip() for ids in new_ids]


def batches_by_length(data, batch_size):
    """Indices of all entries, in batches of `batch_size`, prompts of similar length together."""
    order = sorted(range(len(data)), key=lambda i: len(format_prompt(data[i])))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def answer_all(data, model, tokenizer, max_new_tokens, batch_size=16, **options):
    """Answers to all entries in their order; `options` go to answer_entries."""
    answers = [""] * len(data)
    for batch in batches_by_length(data, batch_size):
        entries = [data[i] for i in batch]
        new = answer_entries(entries, model, tokenizer, max_new_tokens, **options)
        for i, answer in zip(batch, new, strict=True):
            answers[i] = answer
    return answers


# ch07, section 7.6 Fine-tuning the LLM on instruction data


def calc_loss_counted(input_batch, target_batch, model, device, reduction="mean"):
    """The loss of calc_loss_batch, with logits only at the places that count (target not -100)."""
    inputs, targets = input_batch.to(device), target_batch.to(device)  # (B, T) each
    counted = targets != -100
    x = hidden_states(model, inputs)[counted]  # (N, C)
    logits = model.out_head(model.final_norm(x))  # (N, V)
    return F.cross_entropy(logits, targets[counted], reduction=reduction)


@torch.no_grad()
def loss_per_token(data_loader, model, device):
    """Mean loss over all counted tokens of a loader, each weighing the same; a float.

    ValueError if none counts.
    """
    total = count = 0
    for inputs, targets in data_loader:
        total += calc_loss_counted(inputs, targets, model, device, reduction="sum").item()
        count += (targets != -100).sum().item()
    if count == 0:
        raise ValueError("no target of this loader counts, so there is no mean loss")
    return total / count


def fine_tune(model, train_loader, val_loader, optimizer, device, num_epochs, eval_freq,
              on_step=None):  # fmt: skip
    """Train `model` in place on the counted tokens -> (train_losses, val_losses, tokens_seen).

    Every `eval_freq` steps, and after the last: the mean training loss since the last time, and
    the validation loss per token. `on_step(step, train_loss, val_loss)` as in train_model_simple.
    """
    train_losses, val_losses, tokens_seen, recent = [], [], [], []
    step, tokens, last = -1, 0, num_epochs * len(train_loader) - 1
    for _ in range(num_epochs):
        for inputs, targets in train_loader:
            model.train()
            optimizer.zero_grad()
            loss = calc_loss_counted(inputs, targets, model, device)
            loss.backward()
            optimizer.step()
            step, tokens = step + 1, tokens + inputs.numel()
            recent.append(loss.item())
            losses = None, None
            if step % eval_freq == 0 or step == last:
                model.eval()
                losses = sum(recent) / len(recent), loss_per_token(val_loader, model, device)
                train_losses.append(losses[0])
                val_losses.append(losses[1])
                tokens_seen.append(tokens)
                recent = []
            if on_step is not None:
                on_step(step, *losses)
    return train_losses, val_losses, tokens_seen


# ch07, section 7.7 Extracting and saving responses


def fingerprint(model, **settings):
    """Twelve characters that change with any weight of the model and any of the settings."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        numbers = tensor.detach().cpu().contiguous().flatten()
        digest.update(numbers.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def read_responses(path, data, answered_by):
    """The entries of `data`, with the answers that the file `path` already holds for them.

    ValueError if the file belongs to other entries or holds answers of another model.
    """
    path = Path(path)
    if not path.is_file():
        return [dict(entry) for entry in data]
    saved = read_entries(path)
    mend = f"Move {path.name} away, or delete it, or call with replace=True"
    keys = ("instruction", "input", "output")
    if [[e[k] for k in keys] for e in saved] != [[e[k] for k in keys] for e in data]:
        raise ValueError(f"{path.name} holds other entries than these. {mend}")
    others = {str(e.get("answered_by")) for e in saved if "model_response" in e}
    if others - {answered_by}:
        raise ValueError(
            f"{path.name} holds answers of {', '.join(sorted(others))}, this is {answered_by}. "
            f"{mend}"
        )
    return saved


def extract_responses(data, path, answer, answered_by, batch_size=16, replace=False, on_batch=None):
    """Answer all entries and keep them in the JSON file `path` -> entries with "model_response".

    `answer(entries)` gives the texts of a batch, `answered_by` names the model. A later call goes
    on after the last whole batch; `replace=True` drops answers of another model or to other
    entries. `on_batch(done, total)` is called after each batch has been written.
    """
    try:
        entries = read_responses(path, data, answered_by)
    except ValueError:
        if not replace:
            raise
        entries = [dict(entry) for entry in data]
    for batch in batches_by_length(data, batch_size):
        if all("model_response" in entries[i] for i in batch):
            continue
        texts = answer([data[i] for i in batch])
        for i, text in zip(batch, texts, strict=True):
            entries[i] |= {"model_response": text, "answered_by": answered_by}
        content = json.dumps(entries, indent=4, ensure_ascii=False).encode("utf-8")
        write_atomically(path, lambda file, content=content: file.write(content))
        if on_batch is not None:
            on_batch(sum("model_response" in entry for entry in entries), len(entries))
    return entries


def stream_ids(model, ids, max_new_tokens, context_size, temperature=0.0, top_k=None,
               eos_id=50256):  # fmt: skip
    """Yield the ids that continue the list `ids`, one at a time, up to `eos_id` (not yielded)."""
    ids, device = list(ids), model.pos_emb.weight.device
    for _ in range(max_new_tokens):
        idx = torch.tensor([ids[-context_size:]], device=device)  # (1, T)
        lengths = torch.tensor([idx.shape[1]], device=device)
        next_id = pick_next(last_logits(model, idx, lengths), temperature, top_k).item()
        if next_id == eos_id:
            return
        ids.append(next_id)
        yield next_id


def stream_text(ids, tokenizer):
    """Yield the text of token ids in pieces, each as soon as its characters are whole."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token_id in ids:
        if piece := decoder.decode(tokenizer.decode_single_token_bytes(token_id)):
            yield piece
    if rest := decoder.decode(b"", final=True):
        yield rest


def stream_answer(entry, model, tokenizer, max_new_tokens=64, temperature=0.0, top_k=None):
    """Yield the model's answer to an entry, piece by piece."""
    ids, context = tokenizer.encode(format_prompt(entry)), len(model.pos_emb.weight)
    new_ids = stream_ids(model, ids, max_new_tokens, context, temperature, top_k)
    yield from stream_text(new_ids, tokenizer)


# ch07, section 7.8 Evaluating the fine-tuned LLM


def exact_match(answer, wanted):
    """1.0 where both texts are equal but for white space, else 0.0."""
    return float(answer.split() == wanted.split())


def chrf(answer, wanted):
    """chrF of one answer, from 0 to 100 (Popović 2015), by sacrebleu."""
    from sacrebleu import sentence_chrf

    return sentence_chrf(answer, [wanted]).score


def score_all(data, answers):
    """Answers against the references -> {"exact": ..., "chrF": ...}, a list of scores each."""
    pairs = [(a, e["output"]) for a, e in zip(answers, data, strict=True)]
    return {
        "exact": [100 * exact_match(*pair) for pair in pairs],
        "chrF": [chrf(*pair) for pair in pairs],
    }


def table_by_kind(data, candidates):
    """Mean scores for each kind of task, as lines of text.

    `candidates` is {name: scores}, with scores as score_all gives them.
    """
    places = {kind: [] for kind in sorted({kind_of(entry) for entry in data})}
    for i, entry in enumerate(data):
        places[kind_of(entry)].append(i)
    names = "".join(f"{name:>{8 * len(scores)}}" for name, scores in candidates.items())
    heads = "".join(f"{measure:>8}" for scores in candidates.values() for measure in scores)
    lines = [f"{'':22}{names}", f"{'kind':16}{'tasks':>6}{heads}"]
    for kind, rows in {**places, "all": range(len(data))}.items():
        columns = [column for scores in candidates.values() for column in scores.values()]
        means = [sum(column[i] for i in rows) / len(rows) for column in columns]
        lines.append(f"{kind:16}{len(rows):6}" + "".join(f"{mean:8.1f}" for mean in means))
    return lines


class JudgeError(RuntimeError):
    """A chat server gave no answer; the message says why and what to do."""


def read_piece(piece):
    """One JSON object of a chat server's reply -> (its text, whether it is the last).

    Ollama's shape or OpenAI's. JudgeError for an error that the server reports.
    """
    piece = piece if isinstance(piece, dict) else {}
    if error := piece.get("error"):
        error = error.get("message", error) if isinstance(error, dict) else error
        raise JudgeError(f"the server says: {error}")
    if isinstance(piece.get("choices"), list):
        choice = next(iter(piece["choices"]), {})
        said = choice.get("delta") or choice.get("message") or {}
        return said.get("content") or "", choice.get("finish_reason") is not None
    if isinstance(piece.get("message"), dict):
        return piece["message"].get("content") or "", bool(piece.get("done"))
    raise ValueError(f"neither Ollama's shape nor OpenAI's: {json.dumps(piece)[:80]}")


def read_chat(lines):
    """The text of a chat server's reply, streamed or whole, given line by line.

    ValueError if it is no such reply or breaks off before its end.
    """
    text = ""
    for line in lines:
        line = line.decode("utf-8") if isinstance(line, bytes) else line
        line = line.removeprefix("data:").strip()
        if not line or line.startswith((":", "event:")):
            continue
        if line == "[DONE]":
            return text
        piece, last = read_piece(json.loads(line))
        text += piece
        if last:
            return text
    raise ValueError(f"it broke off after {text!r}")


OLLAMA = "http://localhost:11434/api/chat"
NO_JUDGE = """no chat server answers at {url}.
Start one in a terminal and run this again:
  ollama serve            and once, in another terminal: ollama pull {model}
or a server with OpenAI's chat API, for example
  transformers serve MODEL --port 8000
  with model="MODEL", url="http://localhost:8000/v1/chat/completions"
"""


def chat_request(prompt, model, url):
    """The body of a request: OpenAI's for a path .../v1/chat/completions, else Ollama's."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": True}
    if url.rstrip("/").endswith("/v1/chat/completions"):
        return body | {"temperature": 0, "seed": 123, "max_tokens": 256}
    options = {"temperature": 0, "seed": 123, "num_ctx": 2048, "num_predict": 256}
    return body | {"options": options}


def read_answer(answer, model):
    """The text of an HTTP answer; JudgeError where another try would not help."""
    if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
        raise ValueError(f"status {answer.status_code}")
    if answer.status_code != 200:
        hint = f" Does it have the model? ollama pull {model}" * (answer.status_code == 404)
        said = answer.text[:200].strip()
        raise JudgeError(f"the server refused: status {answer.status_code}, {said}.{hint}")
    whole = answer.headers.get("Content-Type", "").startswith("application/json")
    return read_chat([answer.content] if whole else answer.iter_lines())


def query_model(prompt, model="llama3", url=OLLAMA, timeout=(5, 120), tries=3, pause=1.0):
    """Ask a chat server, Ollama or one with OpenAI's chat API, and return its text.

    `timeout`: seconds to connect, and between two pieces of the answer. Overload, silence and cut
    answers are tried `tries` times, after `pause` s, then twice that. JudgeError if all fail.
    """
    import requests

    session = requests.Session()
    session.trust_env = urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1")  # proxies
    for attempt in range(tries):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            body = chat_request(prompt, model, url)
            with session.post(url, json=body, stream=True, timeout=timeout) as answer:
                return read_answer(answer, model)
        except requests.Timeout:
            reason = f"no answer within {timeout[1]:g} s"
        except requests.RequestException as error:
            if isinstance(error, requests.ConnectionError) and not reachable(url):
                raise JudgeError(NO_JUDGE.format(url=url, model=model)) from None
            reason = f"the connection broke ({type(error).__name__})"
        except ValueError as error:
            reason = str(error)
    raise JudgeError(f"no usable answer from {url} in {tries} tries; the last time: {reason}")


def check_if_running(process_name):
    """Whether a program runs whose name contains `process_name`, in any case of letters."""
    import psutil

    names = [process.info["name"] or "" for process in psutil.process_iter(["name"])]
    return any(process_name.lower() in name.lower() for name in names)


SCALE = r"\(?\b(?:from |between )?[01]\s*(?:-|–|to|and)\s*100\b\)?"
LABEL = r"\b(?:scored?|rating|rated?|graded?|marks?|give)\b[^\d\n.-]{0,40}"
MARK = (
    r"(?<![\w.,/-])(\d+(?:\.\d+)?)(?:(?: points?| marks?)?\s*(?:/|(?:out )?of)\s*(100|10)\b)?"
    r"(?![\w/]|[.,]\d)"
)
RANGE = r"(?<![\w.,/-])\d+(?:\.\d+)?\s*(?:-|–|to|and)\s*\d"


def parse_score(text):
    """A judge's reply -> its mark, an int from 0 to 100, or None if it states no single one.

    What follows a word like "score" counts before other numbers; "8/10" is 80, "60-80" None.
    """
    text = re.sub(r"<think>.*?</think>|[*_`]", " ", text.lower(), flags=re.DOTALL)
    text = re.sub(SCALE, " ", text)
    first_line = text.strip().partition("\n")[0]
    if re.fullmatch(rf"\W*{MARK}\W*", first_line):  # "90", and below it why
        text = first_line
    found = re.findall(LABEL + MARK, text)
    label = LABEL if found else ""
    if re.search(label + RANGE, text):  # "60-80"
        return None
    found = found or re.findall(MARK, text)
    found = [pair for pair in found if pair[1]] or found  # 85/100 before a bare number
    marks = {float(mark) * 100 / int(out_of or 100) for mark, out_of in found}
    if len(marks) != 1 or max(marks) > 100:
        return None
    return int(marks.pop() + 0.5)


def judge_prompt(entry, answer):
    """What the judge is asked about one answer."""
    return (
        "You mark the work of a language model. Compare its answer with the reference answer; "
        "other words for the same thing are as good.\n\n"
        f"# Task\n{format_input(entry)}\n\n# Reference answer\n{entry['output']}\n\n"
        f"# Answer to mark\n{answer}\n\n"
        "Give a mark from 0 (useless) to 100 (perfect). Reply with the number only."
    )


def judge_entries(json_data, json_key, model="llama3", url=OLLAMA, **options):
    """Marks for the answers under `json_key` -> a list with an int or None for each entry.

    An empty answer gets 0 unasked. ValueError, before anything is asked, if an entry lacks the
    key. JudgeError if the judge can't be reached. `options` go to query_model.
    """
    from tqdm import tqdm

    lacking = [i for i, entry in enumerate(json_data) if json_key not in entry]
    if lacking:
        raise ValueError(f"{len(lacking)} entries have no {json_key!r}, the first is {lacking[0]}")
    marks = []
    for entry in tqdm(json_data, leave=False, file=sys.stdout, disable=len(json_data) < 20):
        answer = entry[json_key]
        ask = partial(query_model, judge_prompt(entry, answer), model, url, **options)
        marks.append(parse_score(ask()) if answer.strip() else 0)
    return marks


def generate_model_scores(json_data, json_key, model="llama3", url=OLLAMA, **options):
    """The judge's marks, 0 to 100; replies without a mark are left out, and counted in print."""
    marks = judge_entries(json_data, json_key, model, url, **options)
    scores = [mark for mark in marks if mark is not None]
    print(f"{len(scores)} of {len(marks)} answers marked, {len(marks) - len(scores)} unreadable")
    return scores


def bootstrap_interval(values, level=0.95, resamples=10_000, seed=123):
    """Confidence interval (low, high) of the mean of `values`, by the percentile bootstrap.

    ValueError for fewer than two values. Efron 1979.
    """
    values = torch.as_tensor(values, dtype=torch.float64)
    if values.numel() < 2:
        raise ValueError(f"an interval needs at least 2 values, got {values.numel()}")
    generator = torch.Generator().manual_seed(seed)
    picks = torch.randint(len(values), (resamples, len(values)), generator=generator)
    means = values[picks].mean(dim=1)  # (resamples,)
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    return tuple(torch.quantile(means, tails).tolist())


# A-introduction-to-pytorch, section A.4.2 A network is a class


class NeuralNetwork(nn.Module):
    """Two hidden layers of 30 and 20 with ReLU: (B, num_inputs) -> logits (B, num_outputs)."""

    def __init__(self, num_inputs, num_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_inputs, 30),
            nn.ReLU(),
            nn.Linear(30, 20),
            nn.ReLU(),
            nn.Linear(20, num_outputs),
        )

    def forward(self, x):
        return self.layers(x)


# A-introduction-to-pytorch, section A.5.1 The points


def make_pinwheel(num_points, seed):
    """Points on three curved arms: X, float (num_points, 2), and y, int64 (num_points,)."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(num_points) % 3
    distance = 0.1 + 0.9 * torch.rand(num_points, generator=generator)
    noise = 0.25 * torch.randn(num_points, generator=generator)
    angle = 2 * math.pi * y / 3 + 4 * distance + noise
    X = torch.stack([distance * angle.cos(), distance * angle.sin()], dim=1)
    return X, y


# A-introduction-to-pytorch, section A.5.2 Dataset


class ToyDataset(Dataset):
    """The pairs (X[i], y[i]); ValueError when X and y are not of one length."""

    def __init__(self, X, y):
        if len(X) != len(y):
            raise ValueError(
                f"X has {len(X)} rows and y has {len(y)} labels: there must be a label for each row"
            )
        self.features, self.labels = X, y

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.features[index], self.labels[index]


# A-introduction-to-pytorch, section A.6.2 Accuracy


@torch.no_grad()
def compute_accuracy(model, dataloader):
    """Share of right answers, 0 to 1, of a classifier with logits (B, classes).

    Measures in eval mode, on the device of the model, and leaves the model in the mode that it
    was in. ValueError when there is nothing to measure on.
    """
    device = next(model.parameters()).device
    was_training, right, seen = model.training, 0, 0
    model.eval()
    for features, labels in dataloader:
        answers = model(features.to(device)).argmax(dim=-1)
        right += (answers == labels.to(device)).sum().item()
        seen += len(labels)
    model.train(was_training)
    if seen == 0:
        raise ValueError("the data loader gave no examples, so there is no accuracy")
    return right / seen


# D-bells-and-whistles, section D.2 Cosine decay


def lr_at_step(step, total_steps, warmup_steps, peak_lr, initial_lr=3e-05, min_lr=1e-06):
    """The learning rate of step 0, 1, ...: a linear warmup, then half a cosine wave down.

    The peak is reached at step `warmup_steps`; it is not, if there are no more steps than that.
    Warmup as in Goyal et al. 2017, cosine decay as in Loshchilov and Hutter 2017.
    """
    if step < warmup_steps:
        return initial_lr + step * ((peak_lr - initial_lr) / warmup_steps)
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return min_lr + (peak_lr - min_lr) * 0.5 * (1 + math.cos(math.pi * progress))


# D-bells-and-whistles, section D.3 Gradient clipping


def find_highest_gradient(model):
    """The largest gradient value, with its sign, of all weights: a scalar tensor.

    None before the first `backward()`.
    """
    highest = [p.grad.max() for p in model.parameters() if p.grad is not None]
    return torch.stack(highest).max() if highest else None


# D-bells-and-whistles, section D.5 Weight-decay groups


def decay_groups(model, weight_decay=0.1):
    """Two parameter groups for AdamW: the matrices of linear layers decay, all else does not.

    Each trainable parameter is in exactly one of them. A matrix that is shared with an
    embedding (a tied head) counts as embedding.
    """
    embeddings = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    shared = {id(weight) for weight in embeddings}
    trainable = [p for p in model.parameters() if p.requires_grad]
    decay = [p for p in trainable if p.ndim >= 2 and id(p) not in shared]
    chosen = {id(p) for p in decay}
    rest = [p for p in trainable if id(p) not in chosen]
    return [
        {"params": decay, "weight_decay": weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]


# D-bells-and-whistles, section D.6 Gradient accumulation


def backward_in_parts(batches, model, device, ignore_index=-100):
    """Add the gradient of the mean loss over all of `batches` to p.grad -> that loss, a float.

    `batches` is a list of (inputs, targets), (B, T) each, that pass the model one by one: the
    result is that of one large batch, however many targets of a part are `ignore_index`.
    """
    counts = [(targets != ignore_index).sum().item() for _, targets in batches]
    if not sum(counts):
        raise ValueError(
            f"no target is left to learn from: all of them are {ignore_index}. "
            "Drop such batches from the data"
        )
    total = 0.0
    for (inputs, targets), count in zip(batches, counts, strict=True):
        if count:
            loss = calc_loss_batch(inputs, targets, model, device) * (count / sum(counts))
            loss.backward()
            total += loss.item()
    return total


# D-bells-and-whistles, section D.7 Mixed precision


def in_precision(model, device, dtype):
    """`model` as a function (B, T) -> logits in float32, its matrix products made in `dtype`.

    dtype None is the model itself; torch.bfloat16 the only other choice. The weights stay as
    they are. Micikevicius et al. 2018.
    """
    if dtype is None:
        return model
    if dtype != torch.bfloat16:
        raise ValueError(
            f"dtype must be torch.bfloat16 or None, got {dtype}"
            + ("; float16 would need a GradScaler" if dtype == torch.float16 else "")
        )

    def forward(inputs):
        with torch.autocast(torch.device(device).type, dtype=dtype):
            return model(inputs).float()

    return forward


def hardware_dtype(device):
    """torch.bfloat16 if `device` multiplies bfloat16 in hardware, else None: stay with float32.

    Known: CUDA GPUs from compute capability 8.0, x86 CPUs with AVX512-BF16 or AMX. Others, Apple
    chips among them, give None; measure there before you choose.
    """
    kind, fast = torch.device(device).type, False
    if kind == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    elif kind == "cpu":
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            fast = fast or getattr(torch.cpu, name, lambda: False)()
    return torch.bfloat16 if fast else None


# D-bells-and-whistles, section D.8 A run log as CSV


class RunLog:
    """A CSV file with a row for each training step, on disk as soon as it is written.

    Begins the file anew. A resumed run gives `from_step`: the rows before it are kept, later
    ones, written after the checkpoint and before the stop, go; so does a row cut off half-way.
    """

    def __init__(self, path, columns, from_step=0):
        self.path, self.columns, kept = Path(path), columns, []
        if from_step and self.path.exists():
            rows = self.path.read_text(encoding="utf-8").splitlines()[1:]
            whole = [row for row in rows if row.count(",") == len(columns) - 1]
            kept = [row for row in whole if int(row.split(",")[0]) < from_step]
        text = "".join(line + "\n" for line in [",".join(columns), *kept])
        write_atomically(self.path, lambda file: file.write(text.encode()))

    def write(self, row):
        """`row` is a dictionary from column to value; what is None stays empty."""
        values = ["" if row[name] is None else str(row[name]) for name in self.columns]
        with open(self.path, "a", encoding="utf-8", newline="\n") as file:
            file.write(",".join(values) + "\n")


# D-bells-and-whistles, section D.9 Checkpoint and resume


def shuffling_state(loader):
    """The state of the generator that shuffles `loader`: its own, or torch's global one."""
    own = getattr(loader, "generator", None)
    return torch.get_rng_state() if own is None else own.get_state()


def set_shuffling_state(loader, state):
    """Put back what `shuffling_state` returned."""
    own = getattr(loader, "generator", None)
    if own is None:
        torch.set_rng_state(state)
    else:
        own.set_state(state)


def batches_of_epoch(loader, run):
    """Yield the batches of the epoch, without the first run["batches_done"] of them.

    Notes in run["epoch_rng"] the random state from which the epoch's order comes; when some
    batches are done, it is used to shuffle as before, and then the present state is put back.
    """
    done, now = run["batches_done"], shuffling_state(loader)
    if done:
        set_shuffling_state(loader, run["epoch_rng"])
    run["epoch_rng"] = shuffling_state(loader)
    batches = iter(loader)
    for _ in range(done):
        next(batches)
    if done:
        set_shuffling_state(loader, now)
    yield from batches


def new_run(optimizer, settings):
    """What a training run knows of itself before its first step."""
    run = {"settings": settings, "peak_lr": optimizer.param_groups[0]["lr"], "step": -1}
    run |= {"epoch": 0, "batches_done": 0, "tokens": 0}
    return run | {name: [] for name in ("train_losses", "val_losses", "tokens_seen", "lrs")}


def save_run(path, model, optimizer, loader, run):
    """Save all that `resumed_run` needs to go on after the present step."""
    run = run | {"loader_rng": shuffling_state(loader)}
    save_checkpoint(path, model, optimizer, run=run)


def resumed_run(path, model, optimizer, loader, settings):
    """Load what save_run wrote into model, optimiser and generators -> the run.

    ValueError when `settings` are not those of the run, or the file is not of this kind;
    nothing has been changed then.
    """
    run, name = read_plain_file(path, "cpu").get("run"), Path(path).name
    if run is None:
        raise ValueError(f"{name} was not saved by train_model: load it with load_checkpoint")
    old = run["settings"]
    other = [f"{k} was {old.get(k)}, now {settings[k]}" for k in settings
             if old.get(k) != settings[k]]  # fmt: skip
    if other:
        raise ValueError(f"{name} is of a run with other settings: {'; '.join(other)}")
    load_checkpoint(path, model, optimizer)
    set_shuffling_state(loader, run.pop("loader_rng"))
    return run


# D-bells-and-whistles, section D.10 All of it in one function


def count_steps(loader, n_epochs, accumulation_steps=1):
    """Optimiser steps of a run; the last group of an epoch may be smaller than the others."""
    return n_epochs * math.ceil(len(loader) / accumulation_steps)


def update_weights(batches, model, forward, optimizer, device, run):
    """One optimiser step with the gradient of all of `batches` -> its values for the log."""
    settings, started = run["settings"], time.perf_counter()
    run["step"] += 1
    names = ("total_steps", "warmup_steps", "initial_lr", "min_lr")
    total_steps, warmup_steps, initial_lr, min_lr = (settings[name] for name in names)
    schedule = total_steps, warmup_steps, run["peak_lr"], initial_lr, min_lr
    lr = lr_at_step(run["step"], *schedule)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad()
    loss = backward_in_parts(batches, forward, device)
    limit = settings["max_norm"] if run["step"] >= warmup_steps else math.inf
    norm = nn.utils.clip_grad_norm_(model.parameters(), limit).item()
    optimizer.step()
    run["lrs"].append(lr)
    run["batches_done"] += len(batches)
    run["tokens"] += sum(inputs.numel() for inputs, _ in batches)
    row = {"step": run["step"], "epoch": run["epoch"] + 1, "tokens": run["tokens"], "lr": lr}
    seconds = time.perf_counter() - started
    return row | {"loss": loss, "gradient_norm": norm, "seconds": seconds}


LOG_COLUMNS = ["step", "epoch", "tokens", "lr", "loss", "gradient_norm", "train_loss",
               "val_loss", "seconds"]  # fmt: skip


def look_in(run, model, train_loader, val_loader, device, eval_iter):
    """Measure both losses, keep them in `run` and print them -> (train_loss, val_loss)."""
    losses = evaluate_model(model, train_loader, val_loader, device, eval_iter)
    run["train_losses"].append(losses[0])
    run["val_losses"].append(losses[1])
    run["tokens_seen"].append(run["tokens"])
    values = f"training loss {losses[0]:.3f}, validation loss {losses[1]:.3f}"
    print(f"epoch {run['epoch'] + 1:2d}, step {run['step']:3d}: {values}", flush=True)
    return losses


def check_settings(settings, checkpoint, resume):
    """ValueError for settings of train_model that can't be meant."""
    for name, least in {"n_epochs": 0, "accumulation_steps": 1, "warmup_steps": 0,
                        "eval_freq": 1, "checkpoint_freq": 1}.items():  # fmt: skip
        value = settings[name]
        if value != int(value) or value < least:
            raise ValueError(f"{name} must be a whole number from {least} up, got {value}")
    if not settings["max_norm"] > 0:
        raise ValueError(f"max_norm must be above 0 (inf: no clipping), got {settings['max_norm']}")
    if resume and checkpoint is None:
        raise ValueError("resume=True needs the file to resume from: give checkpoint=PATH")


def train_model(model, train_loader, val_loader, optimizer, device, n_epochs, eval_freq,
                eval_iter, start_context, tokenizer, warmup_steps, initial_lr=3e-05,
                min_lr=1e-06, *, max_norm=1.0, accumulation_steps=1, dtype=None, on_step=None,
                log=None, checkpoint=None, checkpoint_freq=100, resume=False):  # fmt: skip
    """Train with warmup, cosine decay and clipping -> (train_losses, val_losses, tokens_seen, lrs).

    The peak rate is the optimiser's; steps are optimiser steps, on `accumulation_steps` batches.
    `log`: path of a CSV file. `checkpoint`: path, written every `checkpoint_freq` steps; `resume`
    goes on from it, bit for bit. `dtype`, `on_step`: see in_precision and train_model_simple.
    """
    settings = {"n_epochs": n_epochs, "batches": len(train_loader), "max_norm": float(max_norm)}
    settings |= {"accumulation_steps": accumulation_steps, "dtype": str(dtype)}
    settings |= {"warmup_steps": warmup_steps, "initial_lr": initial_lr, "min_lr": min_lr}
    settings |= {"eval_freq": eval_freq, "eval_iter": eval_iter}
    check_settings(settings | {"checkpoint_freq": checkpoint_freq}, checkpoint, resume)
    settings["total_steps"] = count_steps(train_loader, n_epochs, accumulation_steps)
    forward, run = in_precision(model, device, dtype), new_run(optimizer, settings)
    if resume:
        run = resumed_run(checkpoint, model, optimizer, train_loader, settings)
    rows = RunLog(log, LOG_COLUMNS, run["step"] + 1) if log else None
    for epoch in range(run["epoch"], n_epochs):
        run["epoch"] = epoch
        model.train()
        batches = batches_of_epoch(train_loader, run)
        while group := list(islice(batches, accumulation_steps)):
            row = update_weights(group, model, forward, optimizer, device, run)
            losses = None, None
            if run["step"] % eval_freq == 0:
                losses = look_in(run, model, train_loader, val_loader, device, eval_iter)
            if rows:
                rows.write(row | {"train_loss": losses[0], "val_loss": losses[1]})
            if on_step is not None:
                on_step(run["step"], *losses)
            if checkpoint is not None and (run["step"] + 1) % checkpoint_freq == 0:
                save_run(checkpoint, model, optimizer, train_loader, run)
        generate_and_print_sample(model, tokenizer, device, start_context)
        run["batches_done"] = 0
    return tuple(run[name] for name in ("train_losses", "val_losses", "tokens_seen", "lrs"))


# E-lora, section E.1 Introduction to LoRA


class LoRALayer(nn.Module):
    """A change of low rank: x (..., in_dim) -> alpha * x @ A @ B, (..., out_dim).

    A (in_dim, rank) is random, B (rank, out_dim) is zero, so at first it changes nothing. It is
    scaled by `alpha` itself, not by alpha / rank. Hu et al. 2021, section 4.1.
    """

    def __init__(self, in_dim, out_dim, rank, alpha):
        super().__init__()
        if rank < 1 or rank != int(rank):
            raise ValueError(f"rank must be a whole number from 1 up, got {rank}")
        self.A = nn.Parameter(torch.empty(in_dim, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.B = nn.Parameter(torch.zeros(rank, out_dim))
        self.alpha = alpha

    def forward(self, x):
        return self.alpha * (x @ self.A @ self.B)

    def change(self):
        """What it adds to the weight of an nn.Linear, (out_dim, in_dim)."""
        return self.alpha * (self.A @ self.B).T


class LinearWithLoRA(nn.Module):
    """A linear layer and a LoRALayer beside it: (..., in) -> linear(x) + lora(x), (..., out)."""

    def __init__(self, linear, rank, alpha):
        super().__init__()
        self.linear = linear
        lora = LoRALayer(linear.in_features, linear.out_features, rank, alpha)
        self.lora = lora.to(linear.weight)  # its device and its number format

    def forward(self, x):
        return self.linear(x) + self.lora(x)


def replace_linear_with_lora(model, rank, alpha):
    """Wrap each nn.Linear inside `model` in a LinearWithLoRA, in place.

    It freezes nothing: call model.requires_grad_(False) before. ValueError where there are LoRA
    layers already.
    """
    if any(isinstance(module, LinearWithLoRA) for module in model.modules()):
        raise ValueError("this model has LoRA layers already: merge_lora(model) first")
    for name, module in model.named_children():
        if isinstance(module, nn.Linear):
            setattr(model, name, LinearWithLoRA(module, rank, alpha))
        else:
            replace_linear_with_lora(module, rank, alpha)


# E-lora, section E.3 Initializing the model


def count_trainable(model):
    """(numbers that are trained, all numbers) of a model; shared ones count once."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trained in sizes if trained), sum(n for n, _ in sizes)


# E-lora, section E.5 Merging back into the weights


@torch.no_grad()
def merge_lora(model):
    """Add each LoRA layer's change to the weight beside it and remove the layer, in place.

    The model computes the same as before, up to rounding. A weight that was shared, as a tied
    head's, gets a copy of its own.
    """
    for name, module in model.named_children():
        if isinstance(module, LinearWithLoRA):
            linear = module.linear
            merged = linear.weight + module.lora.change()
            linear.weight = nn.Parameter(merged, requires_grad=linear.weight.requires_grad)
            setattr(model, name, linear)
        else:
            merge_lora(module)


# E-lora, section E.6 Saving the adapter alone


def save_lora(path, model, also=()):
    """Save A, B and alpha of each LoRA layer, and the modules named in `also` as a whole.

    `also` is for what the pretrained model lacks, such as ["out_head"]. ValueError for a model
    without LoRA layers. Load by load_lora.
    """
    layers = {n: m.lora for n, m in model.named_modules() if isinstance(m, LinearWithLoRA)}
    if not layers:
        raise ValueError("this model has no LoRA layers: they are merged or were never made")
    state = model.state_dict()
    whole = {key: state[key] for name in also for key in state if key.startswith(f"{name}.")
             and not key.endswith((".lora.A", ".lora.B"))}  # fmt: skip
    lora = {n: {"A": m.A.detach(), "B": m.B.detach(), "alpha": m.alpha}
            for n, m in layers.items()}  # fmt: skip
    write_whole_or_not({"lora": lora, "also": whole}, path)


def misfit(name, module, saved):
    """What is wrong between a saved LoRA layer and the module that it is for; None if nothing."""
    (d_in, rank), d_out = saved["A"].shape, saved["B"].shape[1]
    linear = getattr(module, "linear", module)
    if not isinstance(linear, nn.Linear):
        return f"{name} is no linear layer of this model"
    if (linear.in_features, linear.out_features) != (d_in, d_out):
        here = f"({linear.in_features}, {linear.out_features})"
        return f"{name} is ({d_in}, {d_out}) in the file and {here} in the model"
    if isinstance(module, LinearWithLoRA) and module.lora.A.shape[1] != rank:
        return f"{name} has rank {rank} in the file and {module.lora.A.shape[1]} in the model"
    return None


def load_lora(path, model):
    """Load what save_lora wrote into `model`, in place; LoRA layers are made where it has none.

    FileNotFoundError, or ValueError for a file that is damaged, unsafe, of another model or of
    another rank; nothing has been changed then.
    """
    content, name = read_plain_file(path, "cpu"), Path(path).name
    if "lora" not in content:
        raise ValueError(f"{name} is no adapter: it was not saved by save_lora")
    modules, saved = dict(model.named_modules()), content["lora"]
    wrong = [misfit(n, modules.get(n), layer) for n, layer in saved.items()]
    wrong += [f"{n} has a LoRA layer in the model and none in the file" for n in modules
              if isinstance(modules[n], LinearWithLoRA) and n not in saved]  # fmt: skip
    if wrong := [text for text in wrong if text]:
        more = f"; and {len(wrong) - 2} more" if len(wrong) > 2 else ""
        raise ValueError(f"{name} does not fit, the model is unchanged: "
                         f"{'; '.join(wrong[:2])}{more}")  # fmt: skip
    for n, layer in saved.items():
        if not isinstance(modules[n], LinearWithLoRA):
            parent, _, last = n.rpartition(".")
            rank = layer["A"].shape[1]
            modules[n] = LinearWithLoRA(modules[n], rank, layer["alpha"])
            setattr(model.get_submodule(parent), last, modules[n])
        modules[n].lora.alpha = layer["alpha"]
        modules[n].lora.load_state_dict({"A": layer["A"], "B": layer["B"]})
    model.load_state_dict(content["also"], strict=False)


# F-speed-lab, section F.3 The same model of faster parts


class FastLayerNorm(LayerNorm):
    """`LayerNorm` in one call: (..., C) -> same, in the data type of its input."""

    def forward(self, x):
        return F.layer_norm(x, x.shape[-1:], self.scale, self.shift, self.eps)


class FastDropout(nn.Dropout):
    """Dropout with 16 random bits a value, four values to a random number, on a CPU.

    `p` is rounded to 1 / 65536. Elsewhere, and in compiled code, it is nn.Dropout.
    """

    def forward(self, x):
        if not self.training or self.p == 0.0:
            return x
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(x, self.p)
        numbers = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64)
        bits = numbers.random_(-(2**63), None).view(torch.int16)[: x.numel()].view(x.shape)
        kept = bits >= round(self.p * 2**16) - 2**15
        return x * kept.to(x.dtype).mul_(1 / (1 - self.p))


def causal_attention(q, k, v, dropout):
    """Causal attention of (B, H, T, D) each -> (B, H, T, D); `dropout` is a module.

    PyTorch's fused kernel, except for short texts on a CPU, where matrix products are faster.
    """
    B, H, T, D = q.shape
    if q.device.type != "cpu" or T > 512:
        p = dropout.p if dropout.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))  # (B * H, T, D)
    parts = []
    for begin in range(0, T, 128):  # these queries see the keys before `end`
        end = min(begin + 128, T)
        mask = torch.full((end - begin, end), float("-inf"), dtype=q.dtype).triu(begin + 1)
        keys = k[:, :end].transpose(1, 2)  # (B * H, D, end)
        scores = torch.baddbmm(mask, q[:, begin:end], keys, alpha=D**-0.5)
        parts.append(dropout(torch.softmax(scores, dim=-1)) @ v[:, :end])
    return torch.cat(parts, dim=1).view(B, H, T, D)


class FastAttention(MultiHeadAttention):
    """`MultiHeadAttention` with one matrix product for q, k and v, and fused attention.

    With a `cache`, `cache.attend(layer, q, k, v)` -> (B, H, T, D) does the attention: it
    adds the new keys and values (B, H, T, D) to those of layer `layer`.
    """

    def forward(self, x, cache=None, layer=0):
        parts = [self.W_query, self.W_key, self.W_value]
        if cache is not None:  # few tokens: joining the weights would cost more than it saves
            q, k, v = (self.split_heads(part(x)) for part in parts)  # (B, H, T, D) each
            context = cache.attend(layer, q, k, v)
            return self.out_proj(context.transpose(1, 2).flatten(2))  # (B, T, C)
        weight = torch.cat([part.weight for part in parts])  # (3 * C, C)
        bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])
        B, T, _ = x.shape
        qkv = F.linear(x, weight, bias).view(B, T, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
        context = causal_attention(q, k, v, self.dropout)
        return self.out_proj(context.transpose(1, 2).flatten(2))  # (B, T, C)


class FastBlock(nn.Module):
    """`TransformerBlock` of fused parts, under the same names: (B, T, C) -> (B, T, C)."""

    def __init__(self, cfg):
        super().__init__()
        C, p = cfg["emb_dim"], cfg["drop_rate"]
        heads, bias = cfg["n_heads"], cfg["qkv_bias"]
        self.att = FastAttention(C, C, cfg["context_length"], p, heads, bias)
        self.att.dropout = FastDropout(p)
        del self.att.mask
        self.ff = FeedForward(cfg)
        self.ff.layers[1] = nn.GELU(approximate="tanh")
        self.norm1, self.norm2 = FastLayerNorm(C), FastLayerNorm(C)
        self.drop_shortcut = FastDropout(p)

    def forward(self, x, cache=None, layer=0):
        x = x + self.drop_shortcut(self.att(self.norm1(x), cache, layer))
        return x + self.drop_shortcut(self.ff(self.norm2(x)))


class GPTModelFast(nn.Module):
    """`GPTModel` for speed: same configuration, checkpoints, logits. `cache`: section F.7."""

    def __init__(self, cfg):
        super().__init__()
        check_config(cfg)
        self.cfg = dict(cfg)  # for the cache of section F.7
        self.tok_emb = nn.Embedding(cfg["vocab_size"], cfg["emb_dim"])
        self.pos_emb = nn.Embedding(cfg["context_length"], cfg["emb_dim"])
        self.drop_emb = FastDropout(cfg["drop_rate"])
        self.trf_blocks = nn.Sequential(*[FastBlock(cfg) for _ in range(cfg["n_layers"])])
        self.final_norm = FastLayerNorm(cfg["emb_dim"])
        self.out_head = nn.Linear(cfg["emb_dim"], cfg["vocab_size"], bias=False)

    def tie(self):
        """Let the head share the weights of the token embedding, as in GPT-2 -> the model."""
        self.out_head.weight = self.tok_emb.weight
        return self

    def hidden(self, in_idx, cache=None):
        """Token ids (B, T) -> the output of the last norm (B, T, C)."""
        if not torch.compiler.is_compiling():
            check_token_ids(in_idx, len(self.pos_emb.weight), len(self.tok_emb.weight))
        T = in_idx.shape[1]
        new = torch.arange(T, device=in_idx.device) if cache is None else cache.positions(T)
        x = self.drop_emb(self.tok_emb(in_idx) + self.pos_emb(new))  # (B, T, C)
        for layer, block in enumerate(self.trf_blocks):
            x = block(x, cache, layer)
        if cache is not None:
            cache.advance(T)
        return self.final_norm(x)

    def forward(self, in_idx, cache=None):
        return self.out_head(self.hidden(in_idx, cache))  # (B, T, V)

    def loss(self, inputs, targets):
        """Mean cross-entropy in nats per token, without the (B, T, V) logits in memory."""
        return fused_cross_entropy(self.hidden(inputs), self.out_head.weight, targets)


# F-speed-lab, section F.4 Faster products, and a loss in strips


def loss_and_d_logits(logits, targets, kept):
    """Summed cross-entropy of the rows in `kept`, and its gradient for the logits (n, V).

    The gradient is written over the logits. targets (n,), kept (n,) booleans.
    """
    rows, labels = torch.arange(len(targets), device=targets.device), targets.where(kept, 0)
    wide = torch.promote_types(logits.dtype, torch.float32)
    highest, wanted = logits.amax(dim=1).to(wide), logits[rows, labels].to(wide)
    probabilities = torch.softmax(logits, dim=1, out=logits)
    # the most probable token has the probability exp(highest - log_sum)
    log_sum = highest - probabilities.amax(dim=1).to(wide).log()
    d_logits = probabilities
    d_logits[rows, labels] -= 1.0
    if not kept.all():
        d_logits[~kept] = 0.0
    return (log_sum - wanted)[kept].sum(), d_logits


def add_product(total, a, b, scale, first):
    """Add scale * a.T @ b to `total`, or write it there if `first`; a (n, V), b (n, C).

    In parts that fit into the processor's cache; `total` may have a wider data type.
    """
    for begin in range(0, len(total), 4096):
        part = slice(begin, begin + 4096)
        product = a[:, part].T @ b
        if first:
            torch.mul(product, scale, out=total[part])
        else:
            total[part].add_(product, alpha=scale)


class FusedCrossEntropy(torch.autograd.Function):
    """See `fused_cross_entropy`. The gradients are computed in the forward pass, if `learn`."""

    @staticmethod
    def forward(ctx, hidden, weight, targets, ignore_index, chunk_size, dtype, learn):
        low_hidden, low_weight = hidden.to(dtype), weight.to(dtype)
        kept = targets != ignore_index
        wide = torch.promote_types(dtype, torch.float32)
        share, total = 1 / max(kept.sum().item(), 1), hidden.new_zeros((), dtype=wide)
        room = low_hidden.new_empty(min(chunk_size, len(hidden)), len(weight))
        d_hidden, d_weight = torch.empty_like(low_hidden), None
        if learn:
            d_weight = torch.empty_like(weight, dtype=wide)
        for begin in range(0, len(hidden), chunk_size):
            part = slice(begin, begin + chunk_size)
            logits = torch.mm(low_hidden[part], low_weight.T, out=room[: len(targets[part])])
            loss, d_logits = loss_and_d_logits(logits, targets[part], kept[part])
            total += loss
            if learn:
                torch.mm(d_logits, low_weight, out=d_hidden[part])
                add_product(d_weight, d_logits, low_hidden[part], share, first=begin == 0)
        if learn:
            ctx.save_for_backward(d_hidden.to(hidden.dtype) * share, d_weight.to(weight.dtype))
        return total / kept.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, d_loss):
        grads = ctx.saved_tensors
        if d_loss != 1:
            grads = [grad * d_loss for grad in grads]
        return *grads, None, None, None, None, None


def fused_cross_entropy(hidden, weight, targets, ignore_index=-100, chunk_size=1024):
    """F.cross_entropy of hidden @ weight.T, `chunk_size` rows of logits at a time: a scalar.

    hidden (..., C), weight (V, C), targets (...), of which `ignore_index` don't count. Under
    autocast the products are made in its data type, sums in float32.
    """
    if hidden.shape[:-1] != targets.shape or hidden.shape[-1] != weight.shape[1]:
        raise ValueError(
            "shapes must be (..., C), (V, C) and (...), got "
            f"{[tuple(x.shape) for x in (hidden, weight, targets)]}"
        )
    kind = hidden.device.type
    low = torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if low else weight.dtype
    learn = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    with torch.autocast(kind, enabled=False):
        return FusedCrossEntropy.apply(
            hidden.flatten(0, -2), weight, targets.flatten(), ignore_index, chunk_size, dtype, learn
        )


# F-speed-lab, section F.5 Memory that stays, and the whole ladder


def keep_freed_memory():
    """Freed memory stays with this process instead of going back to Linux -> whether it does.

    False, and nothing changes, where the C library isn't glibc. Lasts until the process ends;
    memory that is needed once is held as well.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    no_separate_blocks, never_trim = (-4, 0), (-1, -1)  # M_MMAP_MAX, M_TRIM_THRESHOLD
    return bool(mallopt(*no_separate_blocks) and mallopt(*never_trim))


# F-speed-lab, section F.7 A cache for keys and values


class RowLengths:
    """How many tokens of each of `batch_size` rows are stored: lengths (B,) <= max_length."""

    def __init__(self, batch_size, max_length, device=None):
        self.max_length = max_length
        self.lengths = torch.zeros(batch_size, dtype=torch.long, device=device)
        self.longest, self.even = 0, True  # the same in Python: no waiting for a GPU

    def positions(self, T):
        """Where the next T tokens of each row go: (B, T). ValueError if there is no room."""
        if self.longest + T > self.max_length:
            raise ValueError(
                f"the cache holds {self.longest} of at most {self.max_length} tokens: "
                f"{T} more don't fit"
            )
        return self.lengths[:, None] + torch.arange(T, device=self.lengths.device)

    def advance(self, T):
        """Count T more tokens in each row as stored."""
        self.lengths, self.longest = self.lengths + T, self.longest + T

    def reset(self):
        """Forget all tokens; the memory stays."""
        self.lengths, self.longest, self.even = torch.zeros_like(self.lengths), 0, True

    def crop(self, lengths):
        """Keep the first `lengths` (B,) tokens of the rows, or what they have if it is less."""
        self.lengths = torch.minimum(self.lengths, lengths.to(self.lengths))
        shortest, self.longest = (int(x) for x in self.lengths.aminmax())
        self.even = shortest == self.longest


CACHE_STEP = 64  # the attention of compiled code reads the cache in steps of so many tokens


def room_for_tokens(cfg, batch_size, max_length, **kind):
    """Zeros for the keys, or values, of all layers: (N, B, H, D) each, N a multiple of 64."""
    check_config(cfg)
    if batch_size < 1 or not 1 <= max_length <= cfg["context_length"]:
        raise ValueError(
            f"a cache needs a batch_size from 1 up and a max_length from 1 to the context, "
            f"{cfg['context_length']}, got {batch_size} and {max_length}"
        )
    N, H = -(-max_length // CACHE_STEP) * CACHE_STEP, cfg["n_heads"]
    shape = (N, batch_size, H, cfg["emb_dim"] // H)
    return [torch.zeros(shape, **kind) for _ in range(cfg["n_layers"])]


class KVCache(RowLengths):
    """Keys and values of up to `max_length` tokens in each of `batch_size` rows, of all layers.

    keys[layer], values[layer]: (N, B, H, D), N >= max_length, made once and written in place.
    lengths (B,) says how many tokens of each row are in. ValueError when more come than fit.
    """

    def __init__(self, cfg, batch_size, max_length, dtype=None, device=None):
        kind = {"dtype": dtype, "device": device}
        self.keys = room_for_tokens(cfg, batch_size, max_length, **kind)
        self.values = room_for_tokens(cfg, batch_size, max_length, **kind)
        super().__init__(batch_size, max_length, device)

    def attend(self, layer, q, k, v):
        """Store k and v (B, H, T, D) of T new tokens; attention of q to all -> (B, H, T, D)."""
        keys, values, T = self.keys[layer], self.values[layer], q.shape[2]
        N, positions = self.longest + T, self.positions(T)
        rows = slice(self.longest, N) if self.even else (positions.T, torch.arange(len(q)))
        keys[rows] = k.permute(2, 0, 1, 3).to(keys.dtype)  # (T, B, H, D)
        values[rows] = v.permute(2, 0, 1, 3).to(values.dtype)

        keys, values = (x[:N].permute(1, 2, 0, 3).to(q.dtype) for x in (keys, values))
        if self.longest == 0 or (T == 1 and self.even):
            return F.scaled_dot_product_attention(q, keys, values, is_causal=T > 1)
        seen = torch.arange(N, device=q.device) <= positions[..., None]  # (B, T, N)
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=seen[:, None])


class GrowingRows:
    """Rows of token ids that grow, and their windows: what of each the model reads.

    `past`: when a window outgrows `context_size`, it keeps all but the oldest ("exact") or its
    last half ("reread"). A row in `done` is no longer looked after.
    """

    def __init__(self, rows, context_size, past):
        self.rows, self.done = [list(row) for row in rows], [False] * len(rows)
        self.starts = [max(len(row) - context_size, 0) for row in rows]
        self.context_size, self.past = context_size, past

    def window(self, i):
        """The ids that row i reads, as a tensor; of a row that is done, any one."""
        return torch.tensor([0] if self.done[i] else self.rows[i][self.starts[i] :])

    def batch(self):
        """All windows, filled up on the right: ids (B, T), and their lengths (B,)."""
        windows = [self.window(i) for i in range(len(self.rows))]
        lengths = torch.tensor([len(window) for window in windows])
        return pad_sequence(windows, batch_first=True), lengths

    def slide(self):
        """Move the windows on that are too long -> whether there were any."""
        kept = self.context_size if self.past == "exact" else max(self.context_size // 2, 1)
        moved = False
        for i, row in enumerate(self.rows):
            if len(row) - self.starts[i] > self.context_size and not self.done[i]:
                self.starts[i], moved = len(row) - kept, True
        return moved

    def append(self, ids, done=()):
        """One more id for each row; rows whose numbers are in `done` end here."""
        for row, token_id in zip(self.rows, ids, strict=True):
            row.append(token_id)
        for i in done:
            self.done[i] = True


PAST = ("exact", "reread")


def check_decoding(model, rows, context_size, past):
    """ValueError for what `CachedRows` can't work with."""
    if not isinstance(model, GPTModelFast):
        raise ValueError(
            f"the cache needs a GPTModelFast, got a {type(model).__name__}: make one with "
            "fast = GPTModelFast(config) and fast.load_state_dict(model.state_dict())"
        )
    if not len(rows) or not all(len(row) for row in rows):
        raise ValueError("a prompt is empty: give it at least one token")
    if not 1 <= context_size <= model.cfg["context_length"]:
        raise ValueError(
            f"context_size must be from 1 to the model's {model.cfg['context_length']}, "
            f"got {context_size}"
        )
    if past not in PAST:
        raise ValueError(f"past must be one of {', '.join(PAST)}, got {past!r}")


class CachedRows(GrowingRows):
    """Rows of token ids that grow, with a cache: what the functions below have in common.

    `logits()`: (B, V), meaningless for rows in `done`. `append(ids)`: one more token for each.
    """

    def __init__(self, model, rows, max_new_tokens, context_size, past, compile):
        check_decoding(model, rows, context_size, past)
        super().__init__(rows, context_size, past)
        self.model, self.compile, self.cached = model, compile, False
        longest = min(max(map(len, rows)) + max_new_tokens, context_size)
        weight = model.tok_emb.weight
        self.cache = KVCache(model.cfg, len(rows), longest, weight.dtype, weight.device)

    def read(self, cache=None):
        """Logits after all the windows, from left to right in one go; they go into `cache`."""
        idx, lengths = (x.to(self.cache.lengths.device) for x in self.batch())
        x = self.model.hidden(idx, cache)  # (B, T, C)
        if cache is not None:
            cache.crop(lengths)  # what was filled up is no token
        return self.model.out_head(x[torch.arange(len(x), device=x.device), lengths - 1])

    def logits(self):
        moved = self.slide()
        if moved and self.past == "exact":
            self.cached = False
            return self.read()
        if moved or not self.cached:
            self.cache.reset()
            self.cached = True
            return self.read(self.cache)
        ids = torch.tensor([row[-1] for row in self.rows], device=self.cache.lengths.device)
        return decode_step(self.model, ids, self.cache, self.compile)

    def append(self, ids, done=()):
        super().append(ids, done)
        if done:  # their room is free: the longest row may be shorter now
            ended = torch.tensor(self.done, device=self.cache.lengths.device)
            self.cache.crop(self.cache.lengths.masked_fill(ended, 0))


@torch.no_grad()
def generate_fast(model, idx, max_new_tokens, context_size, temperature=0.0, top_k=None,
                  eos_id=None, *, past="exact", compile=False):  # fmt: skip
    """Chapter 5's `generate` with a cache: idx (B, T) -> (B, T + n), the same ids.

    When a row outgrows `context_size`, "exact" reads the last `context_size` tokens anew for
    each further token, as `generate` does; "reread" reads the last half of them once and goes
    on from there: fast, but another text. `compile`: see `decode_step`.
    """
    rows = CachedRows(model, idx.tolist(), max_new_tokens, context_size, past, compile)
    ended = torch.zeros(len(idx), dtype=torch.bool, device=rows.cache.lengths.device)
    for _ in range(max_new_tokens):
        chosen = pick_next(rows.logits(), temperature, top_k)  # (B,)
        if eos_id is not None:
            chosen = chosen.masked_fill(ended, eos_id)
            ended = chosen == eos_id
            if ended.all():
                break
        rows.append(chosen.tolist(), ended.nonzero()[:, 0].tolist())
    return torch.tensor(rows.rows, device=idx.device)


@torch.no_grad()
def generate_batch_fast(model, prompts, max_new_tokens, context_size, temperature=0.0,
                        top_k=None, eos_id=50256, *, past="exact", compile=False):  # fmt: skip
    """Chapter 7's `generate_batch` with a cache: lists of ids, of any lengths -> the new ids.

    A row ends before `eos_id` or after `max_new_tokens`. `past` and `compile`: see
    `generate_fast`. Drawn ids (temperature > 0) differ from chapter 7's once a row has ended.
    """
    rows = CachedRows(model, prompts, max_new_tokens, context_size, past, compile)
    answers = [[] for _ in prompts]
    for _ in range(max_new_tokens):
        chosen = pick_next(rows.logits(), temperature, top_k).tolist()
        done = [i for i, token_id in enumerate(chosen) if token_id == eos_id]
        rows.append(chosen, done)
        for i, answer in enumerate(answers):
            if not rows.done[i]:
                answer.append(chosen[i])
        if all(rows.done):
            break
    return answers


def decode_step(model, ids, cache, compile=False):
    """Logits (B, V) after one more token in each row, ids (B,), with the rows' cache.

    `compile`: by compiled code, where the model is in eval mode and there is a compiler.
    """
    if compile and not model.training and can_compile(ids.device.type):
        return compiled_step(model, ids, cache)
    return model(ids[:, None], cache)[:, -1]


# F-speed-lab, section F.8 Where the time of a token goes


def times_rows(weight, x, bias=None):
    """weight (N, K) times each row of x (B, K), plus bias (N,) -> (B, N), written as a sum.

    To be compiled: the loop reads `weight` once and keeps nothing. Uncompiled it is slow. For
    more than two rows, and on a GPU, it is F.linear.
    """
    if len(x) > 2 or x.device.type != "cpu":
        return F.linear(x, weight, bias)
    products = weight[:, None].float() * x.float()  # (N, B, K), never in memory
    y = products.sum(dim=-1).T  # (B, N)
    return (y if bias is None else y + bias).to(x.dtype)


def decode_block(block, x, keys, values, lengths):
    """One new token in each row through a FastBlock: x (B, C) -> (B, C).

    Its key and value go into keys and values (N, B, H, D), at `lengths` (B,). No dropout.
    """
    att, wide, narrow = block.att, block.ff.layers[0], block.ff.layers[2]
    (N, B, H, D), h = keys.shape, block.norm1(x)
    parts = [att.W_query, att.W_key, att.W_value]
    q, k, v = (times_rows(part.weight, h, part.bias).view(B, H, D) for part in parts)
    rows = torch.arange(B, device=x.device)
    keys[lengths, rows], values[lengths, rows] = k.to(keys.dtype), v.to(values.dtype)

    scores = (keys.float() * q.float()).sum(dim=-1) * D**-0.5  # (N, B, H)
    unseen = torch.arange(N, device=x.device)[:, None, None] > lengths[:, None]
    weights = torch.softmax(scores.masked_fill(unseen, float("-inf")), dim=0)
    context = (weights[..., None] * values.float()).sum(dim=0)  # (B, H, D)
    x = x + times_rows(att.out_proj.weight, context.flatten(1).to(x.dtype), att.out_proj.bias)
    h = F.gelu(times_rows(wide.weight, block.norm2(x), wide.bias), approximate="tanh")
    return x + times_rows(narrow.weight, h, narrow.bias)


def decode_head(model, x):
    """The last norm and the head: x (B, C) -> logits (B, V)."""
    return times_rows(model.out_head.weight, model.final_norm(x))


@functools.cache
def compile_once(function):
    """torch.compile with the options that suit loops over a weight; made once per function."""
    wanted = {"realize_acc_reads_threshold": 3}  # compute a norm once, not once for each row
    known = torch._inductor.list_options()
    return torch.compile(function, options={k: v for k, v in wanted.items() if k in known})


@functools.cache
def can_compile(device="cpu"):
    """Whether torch.compile works here. On a CPU it needs a C++ compiler; a warning if not."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:  # whatever it is, all can be done without
        warnings.warn(f"not compiled, and slower: {type(error).__name__}", stacklevel=3)
        return False
    return True


def compiled_step(model, ids, cache):
    """`decode_step` by compiled code: ids (B,) -> logits (B, V)."""
    positions = cache.positions(1)[:, 0]  # (B,)
    x = model.tok_emb(ids) + model.pos_emb(positions)  # (B, C)
    N = -(-(cache.longest + 1) // CACHE_STEP) * CACHE_STEP
    for block, keys, values in zip(model.trf_blocks, cache.keys, cache.values, strict=True):
        keys, values = keys[:N], values[:N]
        torch._dynamo.maybe_mark_dynamic(keys, 0)  # compile for any N
        torch._dynamo.maybe_mark_dynamic(values, 0)
        x = compile_once(decode_block)(block, x, keys, values, positions)
    cache.advance(1)
    return compile_once(decode_head)(model, x)


# F-speed-lab, section F.9 Many texts at once, and one as it comes


@torch.no_grad()
def stream_ids_fast(model, ids, max_new_tokens, context_size, temperature=0.0, top_k=None,
                    eos_id=50256, *, past="exact", compile=False):  # fmt: skip
    """Chapter 7's `stream_ids` with a cache: yield the ids that continue the list `ids`."""
    rows = CachedRows(model, [ids], max_new_tokens, context_size, past, compile)
    for _ in range(max_new_tokens):
        chosen = pick_next(rows.logits(), temperature, top_k).tolist()
        if chosen[0] == eos_id:
            return
        rows.append(chosen)
        yield chosen[0]


# F-speed-lab, section F.10 Training a tokenizer in a second


def course_text(root, size=1_000_000):
    """The first `size` bytes of this course's data, prose and code, read from folder `root`."""
    files = [root / "ch02/the-verdict.txt", root / "ch06/spam-messages.tsv"]
    texts = [path.read_text(encoding="utf-8") for path in files]
    data = (root / "ch07/instruction-data.json").read_text(encoding="utf-8")
    texts += [value for entry in json.loads(data) for value in entry.values()]
    lessons = sorted(root.glob("ch0?/ch0?.ipynb"))
    lessons += sorted(root.glob("appendix/[A-E]-*.ipynb"))
    cells = []
    for path in lessons:
        cells += json.loads(path.read_text(encoding="utf-8"))["cells"]
    for kind in ("markdown", "code"):
        texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]
    return "\n".join(texts).encode("utf-8")[:size].decode("utf-8", errors="ignore")


class PairIndex:
    """How often each pair of neighbours occurs in `pieces`, and in which of them it stands.

    `pieces`: tuples (ids, occurrences). After `merge`, `counts` is what `count_pairs` would
    find (pairs that are gone have 0); `holders` may name a piece that held the pair once.
    """

    def __init__(self, pieces):
        self.pieces = list(pieces)
        self.counts = defaultdict(int)  # {pair: how often}
        self.holders = defaultdict(set)  # {pair: places in `pieces`}
        for place, (ids, occurrences) in enumerate(self.pieces):
            for pair in pairwise(ids):
                self.counts[pair] += occurrences
                self.holders[pair].add(place)

    def merge(self, pair, new_id):
        """Replace `pair` by `new_id` everywhere; the set of the pairs that this made."""
        made = set()
        for place in self.holders.pop(pair):
            ids, occurrences = self.pieces[place]
            merged = merge_pair(ids, pair, new_id)
            self.pieces[place] = merged, occurrences
            for old in pairwise(ids):
                self.counts[old] -= occurrences
            for new in pairwise(merged):
                self.counts[new] += occurrences
                if new_id in new:
                    self.holders[new].add(place)
                    made.add(new)
        return made


def pieces_of(text):
    """The different pieces of `text` by GPT-2's pattern, as (ids of its bytes, occurrences)."""
    for piece, occurrences in Counter(GPT2_SPLIT.findall(text)).items():
        yield [BYTE_TO_ID[byte] for byte in piece.encode("utf-8")], occurrences


class PairQueue:
    """Gives the most frequent of the pairs in `counts`, of equals the one with smaller ids.

    `counts` may change between the calls, but each count may only fall once it is added.
    """

    def __init__(self, counts):
        self.counts = counts
        self.heap = [(-count, pair) for pair, count in counts.items()]
        heapq.heapify(self.heap)

    def add(self, pairs):
        for pair in pairs:
            heapq.heappush(self.heap, (-self.counts[pair], pair))

    def best(self):
        """The pair, or None when there is none left."""
        while self.heap:
            noted, pair = self.heap[0]
            count = self.counts[pair]
            if count == -noted > 0:
                return pair
            heapq.heappop(self.heap)
            if count:  # the note was out of date: put it right
                heapq.heappush(self.heap, (-count, pair))


def train_merges_fast(text, number):
    """What chapter 2's `train_merges(text, number)` returns, without counting anew each time.

    A merge costs as much as the pieces that hold its pair. Exactly the same list: of equally
    frequent pairs the one with the smaller ids; shorter when no pair is left.
    """
    index = PairIndex(pieces_of(text))
    queue = PairQueue(index.counts)
    merges = []
    while len(merges) < number and (pair := queue.best()):
        queue.add(index.merge(pair, 256 + len(merges)))
        merges.append(pair)
    return merges


# F-speed-lab, section F.12 How far this scales, and what it costs


def weights_of_gpt2(model_size):
    """The number of weights of GPT-2 "124M" to "1558M", the head shared with the embedding."""
    check_model_size(model_size)
    C, _, L = GPT2_SIZES[model_size]
    attention, feed_forward, norms = 4 * C * C + 4 * C, 8 * C * C + 5 * C, 4 * C
    return (50_257 + 1024) * C + L * (attention + feed_forward + norms) + 2 * C


def training_flops(model_size, tokens, context_length=1024):
    """The operations of training GPT-2 `model_size` on `tokens` tokens: 6 N and attention."""
    weights, (C, _, L) = weights_of_gpt2(model_size), GPT2_SIZES[model_size]
    return tokens * (6 * weights + 12 * L * context_length * C)
