"""Chapter 2: how `max_length` and `stride` cut a text into inputs and targets."""

from matplotlib.figure import Figure

from course.figures import EMBEDDING, FAINT, INK, LOSS, MASK, PAPER, TARGET
from course.widgets.explorer import Explorer, printable, text_box, whole_slider

LONGEST, ROWS = 20, 9  # tokens of the text and windows that the picture has room for


class Places:
    """Takes the place of a tokenizer and gives the places of the tokens, 0, 1, 2, ... as ids."""

    def __init__(self, number):
        self.number = number

    def encode(self, text, **options):
        return list(range(self.number))


def windows(dataset_class, text, number, max_length, stride):
    """What a data set like GPTDatasetV1 makes of `number` tokens: [(input places, target places)].

    Lists of places, counted from 0; the data set itself is asked.
    """
    dataset = dataset_class(text, Places(number), max_length, stride)
    return [tuple(part.tolist() for part in dataset[i]) for i in range(len(dataset))]


def times_an_input(pairs, number):
    """How many windows have each of the `number` tokens in their input."""
    return [sum(place in inputs for inputs, _ in pairs) for place in range(number)]


class WindowExplorer(Explorer):
    """The windows of GPTDatasetV1, or of a data set class with the same arguments, on a text."""

    title = "Window explorer"

    def __init__(self, dataset_class, tokenizer, text, max_length=4, stride=4):
        self.dataset_class, self.tokenizer = dataset_class, tokenizer
        super().__init__(
            text=text_box(text),
            max_length=whole_slider(max_length, 1, 12, "max_length (window)"),
            stride=whole_slider(stride, 1, 12, "stride (step)"),
        )

    def compute(self, text, max_length, stride):
        ids = self.tokenizer.encode(text)[:LONGEST]
        pairs = windows(self.dataset_class, text, len(ids), max_length, stride)
        tokens = [self.tokenizer.decode([token_id]) for token_id in ids]
        return tokens, pairs, times_an_input(pairs, len(ids))

    def table(self, data):
        tokens, pairs, seen = data
        lines = [
            f"window {i}: {''.join(tokens[p] for p in inputs)!r}"
            f" -> {''.join(tokens[p] for p in targets)!r}"
            for i, (inputs, targets) in enumerate(pairs)
        ]
        return "\n".join([*lines, f"times an input: {seen}"])

    def draw(self, data):
        tokens, pairs, seen = data
        number, rows = len(tokens), min(len(pairs), ROWS)
        figure = Figure(figsize=(8, 1.2 + 0.36 * rows))
        axes = figure.add_subplot()
        for row, (inputs, targets) in enumerate(pairs[:rows]):
            kinds = [(inputs, 0.06, EMBEDDING), (targets, 0.44, TARGET)]
            for places, down, colour in kinds:
                left = [place - 0.46 for place in places]
                axes.barh([-row - down] * len(left), 0.92, 0.34, left, color=colour)
        for place, times in enumerate(seen):
            colour = LOSS if times == 0 else FAINT if times == 1 else MASK
            axes.barh(-rows - 0.6, 0.92, 0.7, place - 0.46, color=colour)
            ink = PAPER if times == 0 else INK
            axes.text(place, -rows - 0.6, times, ha="center", va="center", color=ink, fontsize=9)
        axes.set_xticks(range(number), map(printable, tokens), rotation=55, ha="left", fontsize=9)
        labels = [f"window {i}" for i in range(rows)]
        axes.set_yticks(
            [*(-r - 0.25 for r in range(rows)), -rows - 0.6], [*labels, "times an input"]
        )
        axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
        axes.set(xlim=(-0.6, max(number, 12) - 0.4), ylim=(-rows - 1, 0.3))
        axes.spines[:].set_visible(False)
        never = [place for place, times in enumerate(seen) if times == 0]
        caption = (
            f"Tokens: {number}, windows: {len(pairs)}"
            + (f", of which the first {rows} are drawn" if rows < len(pairs) else "")
            + ". In each row: the input, blue, and under it the target, pink, one token "
            f"further on. Tokens that are never an input, orange: {len(never)}."
        )
        return figure, caption
