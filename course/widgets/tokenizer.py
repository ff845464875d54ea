"""Chapter 2: type a text and watch byte pair encoding put its tokens together."""

import html
from itertools import pairwise

from course.figures import EMBEDDING, FAINT, INK, KEY, MASK, box, canvas
from course.widgets.explorer import Explorer, choice, text_box, whole_slider

LIGHT, TINT = "#F4F4F4", "#D5ECF9"  # TINT: a light EMBEDDING
ROWS = 12  # stages that the still picture has room for, apart from the first
BOX = (
    '<span style="display: inline-block; text-align: center; margin: 2px 1px; padding: 1px 4px; '
    "border: 2px solid {border}; border-radius: 4px; background: {colour}; color: {ink}; "
    'line-height: 1.35; vertical-align: top"><span style="font-family: monospace; '
    'white-space: pre">{text}</span><br><b>{token_id}</b><br><small>{data}</small></span>'
)


def merge_steps(tokenizer, text):
    """How a BPETokenizer comes to its ids: [(merge, pieces), ...], from bytes to tokens.

    `merge` is (left id, right id, new id), None at the start; `pieces` a list of lists of ids, as
    the pattern cuts the text. Merges go in the order in which they were learned.
    """
    from previous_chapters import BYTE_TO_ID, GPT2_SPLIT, merge_pair, split_at_special

    pieces = []
    for i, part in enumerate(split_at_special(text, tokenizer.special_tokens, "all")):
        found = [part] if i % 2 else GPT2_SPLIT.findall(part)
        special = tokenizer.special_tokens
        pieces += [
            [special[piece]] if i % 2 else [BYTE_TO_ID[byte] for byte in piece.encode()]
            for piece in found
        ]
    stages = [(None, pieces)]
    while True:
        learned = {
            tokenizer.merges[pair]: pair
            for ids in pieces
            for pair in pairwise(ids)
            if pair in tokenizer.merges
        }
        if not learned:
            return stages
        new_id = min(learned)
        pieces = [merge_pair(ids, learned[new_id], new_id) for ids in pieces]
        stages.append(((*learned[new_id], new_id), pieces))


class TokenizerExplorer(Explorer):
    """The tokens of a text with their ids and bytes, merge by merge.

    `tokenizers` is {name: BPETokenizer}, one of them or several to compare.
    """

    title = "Tokenizer explorer"

    def __init__(self, tokenizers, text):
        self.tokenizers = tokenizers
        first = next(iter(tokenizers))
        number = len(merge_steps(tokenizers[first], text)) - 1
        super().__init__(
            text=text_box(text),
            tokenizer=choice(first, list(tokenizers), "tokenizer"),
            merges=whole_slider(number, 0, number, "merges done"),
        )

    def redraw(self, change=None):
        """A new text or tokenizer is shown with all its merges."""
        slider = self.controls["merges"]
        if change is None or change.owner is slider:
            return super().redraw()
        tokenizer = self.tokenizers[self.controls["tokenizer"].value]
        number = len(merge_steps(tokenizer, self.controls["text"].value)) - 1
        slider.unobserve(self.redraw, names="value")
        slider.max = slider.value = number
        slider.observe(self.redraw, names="value")
        super().redraw()

    def compute(self, text, tokenizer, merges):
        tokenizer = self.tokenizers[tokenizer]
        stages = merge_steps(tokenizer, text)
        return tokenizer, stages, min(merges, len(stages) - 1)

    def sentence(self, tokenizer, stages, done):
        merge, pieces = stages[done]
        number, size = sum(map(len, pieces)), sum(map(len, stages[0][1]))
        told = f"{size} bytes, {number} tokens after {done} of {len(stages) - 1} merges"
        if merge is None:
            return told + ": every byte is a token"
        left, right, new = (spelt(tokenizer, i) for i in merge)
        return f"{told}, the last of them {left} + {right} = {new}, id {merge[2]}"

    def as_html(self, data):
        tokenizer, stages, done = data
        merge, pieces = stages[done]
        boxes, number = [], 0
        for ids in pieces:
            row = []
            for token_id in ids:
                new = merge is not None and token_id == merge[2]
                row.append(
                    BOX.format(
                        border=KEY if new else MASK,
                        colour=(LIGHT, TINT)[number % 2],
                        ink=INK,
                        text=html.escape(shown(tokenizer.table[token_id])),
                        token_id=token_id,
                        data=tokenizer.table[token_id][:12].hex(" "),
                    )
                )
                number += 1
            boxes.append(
                '<span style="display: inline-block; margin-right: 9px; padding-bottom: 2px; '
                f'border-bottom: 3px solid {EMBEDDING}">{"".join(row)}</span>'
            )
        return f"<p>{html.escape(self.sentence(*data))}.</p><div>{''.join(boxes)}</div>"

    def table(self, data):
        """A line for each merge: the pieces divided by spaces, their tokens by dots."""
        tokenizer, stages, _ = data
        lines = []
        for number, (merge, pieces) in enumerate(stages):
            what = "bytes"
            if merge is not None:
                what = f"{spelt(tokenizer, merge[0])} + {spelt(tokenizer, merge[1])}"
                what = f"{what} = {merge[2]}"
            tokens = " ".join("·".join(spelt(tokenizer, i) for i in ids) for ids in pieces)
            lines.append(f"{number:2}  {what:22} {tokens}")
        ids = [token_id for piece in stages[-1][1] for token_id in piece]
        return "\n".join([*lines, "", f"ids {ids}"])

    def draw(self, data):
        """Each byte has a column; a token is a box over the columns of its bytes."""
        tokenizer, stages, _ = data
        every = -(-(len(stages) - 1) // ROWS) or 1  # rounded up
        rows = sorted({*range(len(stages) - 1, 0, -every), 0})
        columns = sum(size_of(tokenizer, i) for ids in stages[0][1] for i in ids)
        height = 0.3 * len(rows) + 0.2
        figure, axes = canvas(width=max(5.0, 1.0 + 0.3 * columns), height=height)
        for i, number in enumerate(rows):
            merge, pieces = stages[number]
            y, x = height - 0.3 * (i + 1), 0.95
            name = "bytes" if merge is None else f"merge {number}"
            axes.text(0.05, y + 0.12, name, fontsize=9, va="center")
            for token_id in (token_id for ids in pieces for token_id in ids):
                width = 0.3 * size_of(tokenizer, token_id)
                new = merge is not None and token_id == merge[2]
                colour = KEY if new else TINT if width > 0.3 else FAINT
                box(axes, x + 0.015, y, width - 0.03, 0.25, spelt(tokenizer, token_id), colour, 8.5)
                x += width
        caption = (
            f"A text of {sum(map(len, stages[0][1]))} bytes on its way to "
            f"{sum(map(len, stages[-1][1]))} tokens, in {len(stages) - 1} merges"
            + (f", of which {len(rows) - 1} are drawn" if every > 1 else "")
            + ". Orange: the token that the merge has made."
        )
        return figure, caption


def size_of(tokenizer, token_id):
    """How many columns a token takes: one for each byte, four if it is a special token."""
    return 4 if token_id in tokenizer.special_tokens.values() else len(tokenizer.table[token_id])


def spelt(tokenizer, token_id):
    """A token in the visible spelling of GPT-2's files: a space is Ġ."""
    from previous_chapters import VISIBLE

    return "".join(VISIBLE[byte] for byte in tokenizer.table[token_id])


def shown(data):
    """Bytes as text where they are text, with the space made visible; else �."""
    text = data.decode("utf-8", errors="replace")
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "∅"
