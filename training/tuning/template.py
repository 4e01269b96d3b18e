"""From messages to tokens: the chat template, and which tokens a loss is taken of.

>>> chat = load_chat(folder, "auto")
>>> chat.encode(messages, tools)          # Encoded(ids, trained): assistant turns up to their end token are trained

What a model sees in training is what it sees when it is served: everything before an answer is rendered and cut into
tokens by itself, with the line that opens the answer, and then the answer. Tokens that would join both are never made.
"""

import json
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from catalog.errors import BadInput, NotFound
from training.tokenizers.templates import CHATML, END, NAMED, PLAIN, START

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Messages = Sequence[dict[str, Any]]
TEMPLATE_FILE = "chat_template.jinja"


class Encoded(NamedTuple):
    """A text as tokens."""

    ids: list[int]
    trained: list[bool]
    """Of each token, whether a loss is taken of it."""


class Chat:
    """A tokenizer with its template."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", template: str, folder: Path) -> None:
        """Raises BadInput for a template that does not render, or whose answers have no end."""
        self.tokenizer, self._folder = tokenizer, folder
        tokenizer.chat_template = template
        self.specials = sorted(
            token.content for token in tokenizer.added_tokens_decoder.values() if token.special and token.content
        )
        self.pad_id = self._id(tokenizer.pad_token)
        self.eos_id = self._id(tokenizer.eos_token)
        self.end = self._end_of_turn()
        self.end_id = self._id(self.end)

    @property
    def ends(self) -> list[int]:
        """The tokens that end an answer: of a turn, and of a text."""
        return list(dict.fromkeys([self.end_id, self.eos_id]))

    @cached_property
    def shows_tools(self) -> bool:
        """Whether the template writes out the tools that could be called."""
        asked, tool = [{"role": "user", "content": "a"}], {"type": "function", "function": {"name": "b"}}
        return self.prompt(asked, [tool]) != self.prompt(asked)

    def special_in(self, parts: object) -> str:
        """A special token that messages or a text write out, which would end a turn in its middle; or nothing."""
        said = json.dumps(parts, ensure_ascii=False)
        return next((token for token in self.specials if token in said), "")

    def prompt(self, messages: Messages, tools: Sequence[Any] = ()) -> list[int]:
        """Tokens of everything before an answer, with the line that opens it."""
        return self._ids(self._render(messages, tools, opened=True))

    def answer(self, prompt: Messages, answer: Messages, tools: Sequence[Any] = ()) -> list[int]:
        """Tokens of an answer to a prompt, up to its end token."""
        before = self._render(prompt, tools, opened=True)
        return self._ids(self._until_end(self._rest(before, self._render([*prompt, *answer], tools)))[0])

    def encode(self, messages: Messages, tools: Sequence[Any] = ()) -> Encoded:
        """A whole conversation. Raises BadInput where the template does not render a turn as it stands in the whole."""
        parts: list[tuple[str, bool]] = []
        done = ""
        for at, message in enumerate(messages):
            if message["role"] == "assistant":
                before = self._render(messages[:at], tools, opened=True)
                after = self._render(messages[: at + 1], tools)
                answer, rest = self._until_end(self._rest(before, after))
                parts += [(self._rest(done, before), False), (answer, True), (rest, False)]
                done = after
        parts.append((self._rest(done, self._render(messages, tools)), False))
        ids: list[int] = []
        trained: list[bool] = []
        for text, learnt in _joined(parts):
            new = self._ids(text)
            ids += new
            trained += [learnt] * len(new)
        last = max((at for at, learnt in enumerate(trained) if learnt), default=-1)
        return Encoded(ids[: last + 1], trained[: last + 1])  # what follows the last answer is never asked for

    def text(self, text: str) -> Encoded:
        """A plain text with the end-of-text token, all of it trained."""
        ids = [*self._ids(text), self.eos_id]
        return Encoded(ids, [True] * len(ids))

    def save(self, folder: Path) -> None:
        """The tokenizer's files with the template; tokenizer.json stays byte by byte as it was."""
        self.tokenizer.save_pretrained(folder)
        shutil.copyfile(self._folder / "tokenizer.json", folder / "tokenizer.json")

    def _id(self, token: object) -> int:
        return int(self.tokenizer.get_vocab()[str(token)])

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportReturnType]

    def _render(self, messages: Messages, tools: Sequence[Any], opened: bool = False) -> str:
        from jinja2 import TemplateError

        try:
            return str(
                self.tokenizer.apply_chat_template(
                    list(messages), tools=list(tools) or None, tokenize=False, add_generation_prompt=opened
                )
            )
        except TemplateError as error:
            raise BadInput(f"the chat template refuses a conversation: {error}") from error

    def _rest(self, before: str, after: str) -> str:
        if not after.startswith(before):
            raise BadInput(
                "the chat template renders the beginning of a conversation in another way than the whole: "
                "what is trained would not be what is served. Take template=chatml, or mend the template."
            )
        return after[len(before) :]

    def _until_end(self, answer: str) -> tuple[str, str]:
        at = answer.rfind(self.end)
        cut = at + len(self.end) if at >= 0 else len(answer)
        return answer[:cut], answer[cut:]

    def _end_of_turn(self) -> str:
        """The special token that closes an answer in this template. Raises BadInput where there is none."""
        asked = [{"role": "user", "content": "a"}]
        self.end = ""
        answer = self._rest(
            self._render(asked, (), opened=True),
            self._render([*asked, {"role": "assistant", "content": "b"}], ()),
        )
        found = sorted((answer.find(token), token) for token in self.specials if token in answer)
        if not found:
            raise BadInput(
                "the chat template ends an answer with no special token: the model would never learn to stop. "
                "Take template=chatml or plain."
            )
        return found[0][1]


def load_chat(folder: Path, template: str = "auto") -> Chat:
    """The tokenizer of a model's folder with a template: its own, ChatML where it has the tokens, else names.

    `template` can also be a file. Raises NotFound, BadInput.
    """
    from transformers import PreTrainedTokenizerFast

    if not (folder / "tokenizer.json").is_file():
        raise NotFound(f"no tokenizer.json in {folder}: a model without its tokenizer cannot be tuned.")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    if not tokenizer.eos_token:
        raise BadInput(f"the tokenizer in {folder} names no eos_token: say it in tokenizer_config.json.")
    if not tokenizer.pad_token:
        tokenizer.pad_token = tokenizer.eos_token
    return Chat(tokenizer, _chosen(tokenizer, template), folder)


def _chosen(tokenizer: "PreTrainedTokenizerFast", template: str) -> str:
    own, words = tokenizer.chat_template, tokenizer.get_vocab()
    fits = START in words and END in words
    if template == "auto":
        return own if isinstance(own, str) and own else CHATML if fits else PLAIN
    if template == "chatml" and not fits:
        raise BadInput(f"template=chatml needs the tokens {START} and {END}, which the tokenizer lacks. Take plain.")
    if template in NAMED:
        return NAMED[template]
    if not Path(template).is_file():
        raise NotFound(f"template={template} is no file, and none of auto, chatml, plain.")
    return Path(template).read_text(encoding="utf-8")


def _joined(parts: Sequence[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Neighbours that are not trained make one text, which is cut as a server cuts it."""
    found: list[tuple[str, bool]] = []
    for text, learnt in parts:
        if not text:
            continue
        if found and not learnt and not found[-1][1]:
            found[-1] = (found[-1][0] + text, False)
        else:
            found.append((text, learnt))
    return found
