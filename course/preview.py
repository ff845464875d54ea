"""The finished model, lent to chapter 1 before the chapters that build it.

What you will have made by the end of chapter 5, in one object that takes and gives plain Python:
strings, numbers, lists. It is the only place where something flows against the order of the
chapters, and it holds no model of its own: all of that is imported from `previous_chapters`.
Below it stand the five tasks of section 1.6.
"""

import math
from contextlib import contextmanager

import tiktoken
import torch


def lend(models_dir, name="gpt2-mini"):
    """The pretrained model `name` as a `Lent`; "gpt2-mini" comes with the course."""
    from previous_chapters import load_pretrained

    model, config, _ = load_pretrained(name, models_dir)
    return Lent(model, config)


class Lent:
    """A GPT of chapter 4 with the weights of chapter 5, for somebody who knows no PyTorch yet."""

    def __init__(self, model, config):
        self.model, self.config = model.eval(), config
        self.tokenizer = tiktoken.get_encoding("gpt2")

    @property
    def parameters(self):
        """How many numbers were learnt; a number that is used in two places counts once."""
        return sum(tensor.numel() for tensor in self._tensors())

    @property
    def fingerprint(self):
        """A number that changes when the weights change."""
        totals = [tensor.double().sum().item() for tensor in self._tensors()]
        return math.fsum(total * (i + 1) for i, total in enumerate(totals))

    def tokens(self, text):
        """The pieces in which the model reads `text`, as strings; joined they are the text."""
        return [self.tokenizer.decode([token_id]) for token_id in self._ids(text)]

    def next_token(self, text, number=None):
        """[(token, probability), ...] for the place after `text`, the likeliest first.

        All tokens of the vocabulary, or the first `number`.
        """
        best = self._next(text).sort(descending=True, stable=True)
        pairs = zip(best.indices[:number].tolist(), best.values[:number].tolist(), strict=True)
        return [(self.tokenizer.decode([token_id]), p) for token_id, p in pairs]

    def choose(self, text, options):
        """The likeliest of `options` as the next token; ValueError unless each is one token."""
        ids = [self._ids(option) for option in options]
        for option, pieces in zip(options, ids, strict=True):
            if len(pieces) != 1:
                raise ValueError(
                    f"{option!r} is {len(pieces)} tokens, {self.tokens(option)}: choose among "
                    "options of one token each, or compare log_probability"
                )
        chances = self._next(text)[torch.tensor(ids)[:, 0]]
        return options[chances.argmax()]

    def token_probabilities(self, text):
        """[(token, probability that it had, given all before it), ...] from the second token on."""
        return self._scored(self._ids(text), start=1)

    def log_probability(self, text, continuation):
        """The natural logarithm of the probability that `continuation` follows `text`."""
        before = self._ids(text)
        scored = self._scored(before + self._ids(continuation), len(before))
        return math.fsum(math.log(p) for _, p in scored)

    def write(self, text, tokens, temperature=1.0, top_k=None, seed=None):
        """`text` and `tokens` more tokens; at temperature 0 the likeliest each time."""
        from previous_chapters import generate

        if seed is not None:
            torch.manual_seed(seed)
        idx = torch.tensor([self._ids(text)])  # (B, T) = (1, T)
        window = self.config["context_length"]
        with self._last_place_only():
            out = generate(self.model, idx, tokens, window, temperature, top_k)  # (1, T + tokens)
        return self.tokenizer.decode(out[0].tolist())

    @torch.no_grad()
    def attention(self, text):
        """Who looks at whom: weights (layers, H, T, T), row t over the tokens that t may see."""
        from previous_chapters import attention_weights

        seen = []
        hooks = [
            block.att.register_forward_hook(
                lambda layer, inputs, output: seen.append(attention_weights(layer, inputs[0])[0])
            )
            for block in self.model.trf_blocks
        ]
        self.model(torch.tensor([self._ids(text)]))
        for hook in hooks:
            hook.remove()
        return torch.stack(seen)  # (layers, H, T, T)

    def _tensors(self):
        """The parameters, without the output head where it repeats the token embedding."""
        model = self.model
        tied = torch.equal(model.out_head.weight, model.tok_emb.weight)
        return [p for p in model.parameters() if not (tied and p is model.out_head.weight)]

    def _ids(self, text):
        """Text -> token ids; TypeError or ValueError for what the model can't take."""
        if not isinstance(text, str):
            raise TypeError(f"expected a text, got {type(text).__name__}: {text!r}")
        ids = self.tokenizer.encode(text, allowed_special={"<|endoftext|>"})
        self._check_length(ids)
        return ids

    def _check_length(self, ids):
        limit = self.config["context_length"]
        if not 1 <= len(ids) <= limit:
            raise ValueError(
                f"a text of {len(ids)} tokens: this model takes from 1 to {limit}; "
                "give it some text, or the last part of a long one"
            )

    @contextmanager
    def _last_place_only(self):
        """Inside, the model gives logits (B, 1, V) for the last place: most of its work saved."""
        cut = lambda head, inputs: (inputs[0][:, -1:],)  # noqa: E731
        hook = self.model.out_head.register_forward_pre_hook(cut)
        try:
            yield
        finally:
            hook.remove()

    @torch.no_grad()
    def _next(self, text):
        """The probabilities (V,) for the place after `text`."""
        with self._last_place_only():
            logits = self.model(torch.tensor([self._ids(text)]))  # (1, 1, V)
        return torch.softmax(logits[0, -1].double(), dim=-1)

    @torch.no_grad()
    def _scored(self, ids, start):
        """[(token, its probability), ...] for the places from `start` on."""
        self._check_length(ids)
        probabilities = torch.softmax(self.model(torch.tensor([ids]))[0].double(), dim=-1)
        return [
            (self.tokenizer.decode([ids[t]]), probabilities[t - 1, ids[t]].item())
            for t in range(start, len(ids))
        ]


# The tasks: `task(examples, dice)` makes a prompt with so many examples, and its options, the
# right one first. `dice` is a random.Random.

OPPOSITES = """hot cold, big small, old young, rich poor, long short, high low, good bad, hard soft,
dark light, early late, strong weak, near far, first last, right wrong, full empty, thick thin,
loud quiet, brave afraid, clean dirty, dry wet"""
CAPITALS = """France Paris, Italy Rome, Spain Madrid, Russia Moscow, Egypt Cairo, Germany Berlin,
Austria Vienna, Greece Athens, Portugal Lisbon, Ireland Dublin, Japan Tokyo, Norway Oslo,
Belgium Brussels, Poland Warsaw, Scotland Edinburgh, England London"""
NOUNS = "river, table, horse, garden, letter, window, doctor, summer, candle, forest, dinner"
STARTS = """He spoke of, She saw, They lost, We found, I know, He wanted, She loved, You have,
They took, We need"""
COMMANDS = """Come here, Sit down, Go away, Stand up, Look at me, Open the door, Wait for me,
Take my hand, Shut the window, Let me go, Put it down, Leave the room"""
PEOPLE = """king he, gentleman he, uncle he, brother he, father he, son he, boy he, husband he,
lord he, duke he, queen she, lady she, aunt she, sister she, mother she, daughter she, girl she,
wife she, woman she, duchess she"""


def entries(text):
    """The parts of a list that is written with commas."""
    return [part.strip() for part in text.split(",")]


def partner(pairs, line):
    """A task: the partner of a word, among four; `line` holds {} for the word and {} for it."""
    pairs = [pair.split() for pair in entries(pairs)]

    def task(examples, dice):
        drawn = dice.sample(pairs, examples + 4)
        before = "".join(line.format(*pair) for pair in drawn[4:])
        question = line[: line.rindex("{}")].rstrip().format(drawn[0][0])
        return before + question, [" " + answer for _, answer in drawn[:4]]

    return task


def same_noun(examples, dice):
    """The noun that ends every line, among four."""
    options = [" " + noun for noun in dice.sample(entries(NOUNS), 4)]
    lines = [f"{start} the" for start in dice.sample(entries(STARTS), examples + 1)]
    return f"{options[0]}.\n".join(lines), options


def commands(examples, dice):
    """The mark that ends every line, an exclamation mark, among three."""
    return "!\n".join(dice.sample(entries(COMMANDS), examples + 1)), ["!", ".", "?"]


def he_or_she(examples, dice):
    """The pronoun that fits the person of the last line, among two."""
    drawn = dice.sample([pair.split() for pair in entries(PEOPLE)], examples + 1)
    before = "".join(f"When the {name} came, {who} smiled.\n" for name, who in drawn[1:])
    name, who = drawn[0]
    options = [" he", " she"] if who == "he" else [" she", " he"]
    return before + f"When the {name} came,", options


TASKS = {
    "opposites": partner(OPPOSITES, "{}: {}\n"),
    "capitals": partner(CAPITALS, "The capital of {} is {}.\n"),
    "the same noun": same_noun,
    "commands": commands,
    "he or she": he_or_she,
}
