"""GPT-2's vocabulary without a network.

`tools/export_previous_chapters.py` copies `offer_vocabulary_to_tiktoken` into
`previous_chapters.py`, so that a plain script has it too.
"""


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
