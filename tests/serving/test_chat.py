"""Chat templates, before an engine."""

import json
from pathlib import Path

import pytest
from serving_toys import TEMPLATE, add_shell
from tokens_toys import write_tokenizer

from catalog.errors import BadInput, Damaged
from catalog.home import Home
from serving.chat import check_conversations, check_template
from serving.target import Target, resolve


def talking(home: Home, folder: Path, template: str, stops: list[int]) -> Target:
    place = add_shell(home, "base")
    made = write_tokenizer(folder / "tokenizer", special=("<|im_start|>", "<|im_end|>"))
    (place / "tokenizer.json").write_bytes((made / "tokenizer.json").read_bytes())
    (place / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (place / "chat_template.jinja").write_text(template)
    (place / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    return resolve(home, "base")


def test_a_template_whose_answers_stop_passes(home: Home, tmp_path: Path):
    assert check_template(talking(home, tmp_path, TEMPLATE, [3, 0])) is None


def test_an_answer_that_does_not_stop_is_warned_of(home: Home, tmp_path: Path):
    said = check_template(talking(home, tmp_path, TEMPLATE, [0]))
    assert said == "answers of base@1 end with '<|im_end|>', which is no stop token: they may go on to the limit"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for message in messages %}", "fails"),
        ("{{ messages[0]['words'].strip() }}", "fails"),
        ("{{ 1 // (messages | length - 1) }}", "fails"),
        ("{% for message in messages %}{{ message['role'] }}{% endfor %}", "loses what was said"),
        ("{% for message in messages %}{{ message['content'] }}{% endfor %}", "does not begin an answer"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(home: Home, tmp_path: Path, template: str, why: str):
    with pytest.raises(BadInput, match=f"the chat template of base@1 {why}"):
        check_template(talking(home, tmp_path, template, [3]))


def test_a_model_without_a_template_has_nothing_to_check(home: Home):
    add_shell(home, "base", template=False)
    assert check_template(resolve(home, "base")) is None


def test_a_conversation_that_the_template_refuses_is_named(home: Home, tmp_path: Path):
    strict = "{% if messages[0]['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}" + TEMPLATE
    target = talking(home, tmp_path, strict, [3])
    asked = [(f"p.jsonl:{at}", [{"role": role, "content": "x"}]) for at, role in enumerate(("user", "tool"), 1)]
    check_conversations(target, asked[:1])
    with pytest.raises(BadInput, match=r"^p.jsonl:2: the chat template of base@1 fails: no tools"):
        check_conversations(target, asked)


def test_a_tokenizer_that_cannot_be_read_is_damage(home: Home):
    add_shell(home, "base")
    with pytest.raises(Damaged, match=r"models/base@1: its tokenizer.json cannot be read"):
        check_template(resolve(home, "base"))
