"""Whether a model's chat template works, before an engine is started.

>>> check_template(target)      # None, or a warning
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from catalog.errors import BadInput, Damaged
from serving.target import Target

ASKED, ANSWERED = "What is a millrace?", "A channel."
FAILS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a template's expressions raise beside jinja's own errors."""


def check_template(target: Target) -> str | None:
    """Render a turn of each side; gives a warning where an answer's end is none of the tokens that stop it.

    Raises BadInput where the template fails, loses what was said, or does not begin an answer.
    """
    if not target.template:
        return None
    from jinja2 import TemplateError

    tokenizer = _tokenizer(target)
    user = {"role": "user", "content": ASKED}
    try:
        asked = tokenizer.apply_chat_template([user], tokenize=False)
        begun = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template([user, {"role": "assistant", "content": ANSWERED}], tokenize=False)
    except (TemplateError, *FAILS) as error:
        raise BadInput(f"the chat template of {target.model.ref} fails: {error} ({target.template}).") from error
    if ASKED not in begun or ANSWERED not in whole or begun == asked:
        what = "does not begin an answer" if ASKED in begun and ANSWERED in whole else "loses what was said"
        raise BadInput(f"the chat template of {target.model.ref} {what} ({target.template}).")
    after = tokenizer.encode(whole.split(ANSWERED, 1)[1], add_special_tokens=False)[:1]
    if not after or after[0] not in _stops(target):
        said = tokenizer.decode(after) if after else "nothing"
        return f"answers of {target.model.ref} end with {said!r}, which is no stop token: they may go on to the limit"
    return None


def check_conversations(target: Target, asked: Iterable[tuple[str, Sequence[Mapping[str, str]]]]) -> None:
    """Render each conversation as the engine will. Raises BadInput naming the place of one where the template fails."""
    from jinja2 import TemplateError

    tokenizer = None
    for where, messages in asked:
        tokenizer = tokenizer or _tokenizer(target)
        try:
            tokenizer.apply_chat_template([*messages], tokenize=False, add_generation_prompt=True)
        except (TemplateError, *FAILS) as error:
            raise BadInput(f"{where}: the chat template of {target.model.ref} fails: {error}.") from error


def _tokenizer(target: Target) -> Any:
    """The tokenizer that the engine will take. Raises Damaged."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(target.chat, local_files_only=True)
    except Exception as error:  # tokenizers raises nothing narrower
        ref = target.model.ref
        raise Damaged(
            f"models/{ref}: its tokenizer.json cannot be read ({error}). `just verify models/{ref}`."
        ) from error


def _stops(target: Target) -> list[int]:
    for folder in (target.chat, target.folder):
        if (path := folder / "generation_config.json").is_file():
            found = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
            return found if isinstance(found, list) else [found]
    return []
