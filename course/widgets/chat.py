"""A box to talk to a model in, and a printed transcript for where no widget runs.

Both take `reply(instruction, input_text, temperature, top_k)`, an iterable of pieces of text.
"""

import html
import threading

import ipywidgets as widgets

SPEAKERS = {"you": "#0072B2", "model": "#009E73", "note": "#D55E00"}
BUBBLE = (
    '<div style="margin: 4px 0; white-space: pre-wrap; line-height: 1.4">'
    '<b style="color: {colour}">{speaker}</b>&ensp;{text}</div>'
)


class ChatBox:
    """Instruction, input, temperature, top-k, a button that sends and one that stops.

    The model works in a thread of its own, so that Stop is heard; every piece is shown as soon as
    it comes. Each message goes to the model alone, without those before. The last line of a cell
    shows the box; `turns` holds what was said, as [speaker, text].
    """

    def __init__(self, reply, temperature=0.0, top_k=50, largest_top_k=200):
        self.reply = reply
        self.turns = []
        self.thread = None
        self.stopping = threading.Event()
        wide = widgets.Layout(width="95%")
        style = {"description_width": "90px"}
        self.instruction = widgets.Textarea(
            description="Instruction", layout=wide, style=style, rows=2
        )
        self.input_text = widgets.Textarea(
            description="Input", placeholder="may be empty", layout=wide, style=style, rows=1
        )
        self.temperature = widgets.FloatSlider(
            temperature, min=0, max=2, step=0.1, description="Temperature", style=style
        )
        self.top_k = widgets.IntSlider(
            top_k, min=1, max=largest_top_k, description="Top-k", style=style
        )
        self.send = widgets.Button(description="Send", button_style="primary")
        self.stop = widgets.Button(description="Stop", disabled=True)
        self.clear = widgets.Button(description="Clear")
        self.transcript = widgets.HTML(layout=wide)
        self.send.on_click(self.on_send)
        self.stop.on_click(self.on_stop)
        self.clear.on_click(self.on_clear)
        rows = [
            self.transcript,
            self.instruction,
            self.input_text,
            widgets.HBox([self.temperature, self.top_k]),
            widgets.HBox([self.send, self.stop, self.clear]),
        ]
        self.box = widgets.VBox(rows)

    def on_send(self, button=None):
        if self.thread is not None and self.thread.is_alive():
            return
        asked = self.instruction.value, self.input_text.value
        settings = self.temperature.value, self.top_k.value
        self.turns.append(["you", "\n".join(filter(None, asked))])
        self.stopping.clear()
        self.send.disabled, self.stop.disabled = True, False
        self.thread = threading.Thread(target=self.work, args=(*asked, *settings), daemon=True)
        self.thread.start()

    def work(self, *arguments):
        """Show the answer while it grows; an error becomes a note in the transcript."""
        turn = ["model", ""]
        self.turns.append(turn)
        self.draw()
        try:
            for piece in self.reply(*arguments):
                turn[1] += piece
                self.draw()
                if self.stopping.is_set():
                    self.turns.append(["note", "stopped"])
                    break
        except Exception as error:  # whatever it is, the box stays usable
            self.turns.append(["note", f"{type(error).__name__}: {error}"])
        finally:
            self.send.disabled, self.stop.disabled = False, True
            self.draw()

    def on_stop(self, button=None):
        self.stopping.set()

    def on_clear(self, button=None):
        self.stopping.set()
        self.turns.clear()
        self.draw()

    def draw(self):
        self.transcript.value = "".join(
            BUBBLE.format(colour=SPEAKERS[who], speaker=who, text=html.escape(text.strip()))
            for who, text in list(self.turns)
        )

    def __repr__(self):
        return "A chat box stands here when this cell has been run in a live notebook."

    def _repr_mimebundle_(self, **options):
        bundle = self.box._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/plain": repr(self)}, metadata


def print_transcript(reply, messages):
    """Print what `reply` gives for messages (instruction, input[, temperature, top_k])."""
    for instruction, input_text, *settings in messages:
        temperature, top_k = settings or (0.0, None)
        print("you:  ", " | ".join(filter(None, [instruction, input_text])))
        print("model:", end=" ", flush=True)
        for piece in reply(instruction, input_text, temperature, top_k):
            print(piece.replace("\n", " "), end="", flush=True)
        print(f"   [temperature {temperature}]" if temperature else "", end="\n\n")
