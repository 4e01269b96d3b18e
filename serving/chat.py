"""Whether a model's chat template works, before an engine is started.

>>> check_template(target)      # None, or a warning
"""

import json
from typing import Any

from catalog.errors import BadInput
from serving.target import Target

ASKED, ANSWERED = "What is a millrace?", "A channel."


def check_template(target: Target) -> str | None:
    """Render a turn of each side; gives a warning where an answer's end is none of the tokens that stop it.

    Raises BadInput where the template fails, loses what was said, or does not begin an answer.
    """
    if not target.template:
        return None
    from jinja2 import TemplateError
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(target.chat, local_files_only=True)
    user = {"role": "user", "content": ASKED}
    try:
        asked = tokenizer.apply_chat_template([user], tokenize=False)
        begun = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template([user, {"role": "assistant", "content": ANSWERED}], tokenize=False)
    except (TemplateError, TypeError, ValueError) as error:
        raise BadInput(f"the chat template of {target.model.ref} fails: {error} ({target.template}).") from error
    if ASKED not in begun or ANSWERED not in whole or begun == asked:
        what = "does not begin an answer" if ASKED in begun and ANSWERED in whole else "loses what was said"
        raise BadInput(f"the chat template of {target.model.ref} {what} ({target.template}).")
    after = tokenizer.encode(whole.split(ANSWERED, 1)[1], add_special_tokens=False)[:1]
    if not after or after[0] not in _stops(target):
        said = tokenizer.decode(after) if after else "nothing"
        return f"answers of {target.model.ref} end with {said!r}, which is no stop token: they may go on to the limit"
    return None


def _stops(target: Target) -> list[int]:
    for folder in (target.chat, target.folder):
        if (path := folder / "generation_config.json").is_file():
            found = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
            return found if isinstance(found, list) else [found]
    return []
