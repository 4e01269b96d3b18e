"""Rows of datasets as tokens: what is trained, what is left out, and which row is read in which step."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokens_toys import write_tokenizer

from catalog.errors import BadInput
from training.loader.batches import IGNORED
from training.tuning.batches import PackedRows, Rows
from training.tuning.config import RATES, TuneConfig, rate_of
from training.tuning.examples import Source, encode, row_sample_id, unpaired
from training.tuning.order import Packed, arrange
from training.tuning.rewards import code_of, contains, exact, rewards
from training.tuning.template import load_chat

ASKED = [{"role": "user", "content": "Where is the mill?"}]
SAID = [*ASKED, {"role": "assistant", "content": "In the east."}]
LONGER = [{"role": "system", "content": "Be short."}, *SAID, *ASKED, {"role": "assistant", "content": "You know."}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = write_tokenizer(tmp_path_factory.mktemp("chat") / "toy", special=("<|im_start|>", "<|im_end|>"))
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}
    (made / "tokenizer_config.json").write_text(json.dumps(names))
    return made


@pytest.fixture(scope="module")
def chat(folder):
    return load_chat(folder)


def row(name: str, **parts) -> Source:
    return Source(name * 16, "en", f"toy.jsonl:{name}", {"tools": [], **parts})


@pytest.mark.parametrize("template", ["chatml", "plain"])
def test_answers_are_trained_up_to_their_end_and_nothing_else_is(folder, template):
    chat = load_chat(folder, template)
    found = chat.encode(LONGER)
    trained = [token for token, learnt in zip(found.ids, found.trained, strict=True) if learnt]
    assert chat.tokenizer.decode(trained) == f"In the east.{chat.end}You know.{chat.end}"
    whole = chat.tokenizer.decode(found.ids)
    assert whole.startswith("<|im_start|>system" if template == "chatml" else "System:")
    assert found.trained[-1]  # the end of the last turn is the last token


def test_what_a_server_would_send_is_what_comes_before_an_answer(chat):
    found, prompt = chat.encode(SAID), chat.prompt(ASKED)
    sent = chat.tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, tokenize=True)["input_ids"]
    assert prompt == sent == found.ids[: len(prompt)]
    assert [*prompt, *chat.answer(ASKED, SAID[1:])] == found.ids


def test_tools_and_calls_are_rendered(chat):
    tools = [{"type": "function", "function": {"name": "weather"}}]
    call = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "weather"}}]}
    text = chat.tokenizer.decode(chat.encode([*ASKED, call, {"role": "tool", "content": "rain"}, SAID[1]], tools).ids)
    assert '{"type": "function"' in text
    assert '<tool_call>{"name": "weather"}</tool_call>' in text
    assert "<|im_start|>tool" in text


def test_rows_with_tools_need_a_template_that_shows_them(folder, tmp_path):
    path = tmp_path / "bare.jinja"
    path.write_text(
        "{% for m in messages %}{{ m.role + ':' + m.content + '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    rows = [row("1", messages=SAID), row("2", messages=SAID, tools=[{"type": "function", "function": {"name": "a"}}])]
    for method in ("sft", "grpo"):
        found = encode(rows, method, load_chat(folder, str(path)), 64)
        assert (len(found.examples), found.left_out) == (1, {"template_without_tools": 1})


def test_templates_that_would_train_what_is_not_served_are_refused(folder, tmp_path):
    cases = {
        "{% for m in messages %}{{ m.content }}{% endfor %}": "ends an answer with no special token",
        "{{ messages | length }}{% for m in messages %}{{ m.content + '<|im_end|>' }}{% endfor %}": "in another way",
        "{{ raise_exception('no') }}": "the chat template refuses",
    }
    for number, (template, said) in enumerate(cases.items()):
        path = tmp_path / f"{number}.jinja"
        path.write_text(template)
        with pytest.raises(BadInput, match=said):
            load_chat(folder, str(path))


def test_rows_that_cannot_be_read_are_left_out_by_reason(chat):
    rows = [
        row("1", messages=SAID),
        row("2", messages=[ASKED[0], {"role": "assistant", "content": "It ends.<|im_end|> And on."}]),
        row("3", messages=[ASKED[0], {"role": "assistant", "content": "far " * 200}]),
        row("4", messages=ASKED),
    ]
    found = encode(rows, "sft", chat, 64)
    assert found.left_out == {"nothing_to_learn": 1, "special_token": 1, "too_long": 1}
    (example,) = found.examples
    assert example.sample_id == row_sample_id("1" * 16) < 0
    assert (example.arrays["labels"] == IGNORED).sum() == len(chat.prompt(ASKED))
    assert found.trained_tokens == len(chat.answer(ASKED, SAID[1:]))


def test_every_method_has_its_sequences(chat):
    liked = row("a", prompt=ASKED, chosen=SAID[1:], rejected=[{"role": "assistant", "content": "No."}])
    (dpo,) = encode([liked], "dpo", chat, 64).examples
    (ranks,) = encode([liked], "reward", chat, 64).examples
    assert ranks.arrays["chosen_ids"].tolist() == [*dpo.arrays["prompt_ids"], *dpo.arrays["chosen_ids"]]
    good, bad = encode(unpaired([liked]), "kto", chat, 64).examples
    assert (good.rest, bad.rest) == ({"label": 1}, {"label": 0})
    assert good.sample_id == bad.sample_id == dpo.sample_id
    (asked,) = encode([row("b", messages=LONGER)], "grpo", chat, 64).examples
    assert asked.rest == {"prompt": LONGER[:2], "answer": "In the east."}
    tools = [{"type": "function", "function": {"name": "weather"}}]
    call = {"role": "assistant", "content": "", "tool_calls": tools}
    called = row("d", messages=[*ASKED, call], tools=tools)
    (asked,) = encode([called], "grpo", chat, 256).examples
    assert asked.arrays["prompt_ids"].tolist() == chat.prompt(ASKED, tools) != chat.prompt(ASKED)
    assert asked.rest["answer"].strip() == '<tool_call>{"name": "weather"}</tool_call>'
    assert encode([called], "judged", chat, 256).left_out == {"judge_without_tools": 1}
    (topic,) = encode([row("c", text="a mill", **{"class": "b"})], "classifier", chat, 64, ["a", "b"]).examples
    assert topic.rest == {"label": 1}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=120), st.integers(0, 99), st.sampled_from([0.5, 1, 2.5]))
def test_packing_reads_each_example_once_an_epoch_and_overfills_no_row(lengths, seed, epochs):
    feed = arrange(lengths, batch_rows=1, epochs=epochs, seed=seed, pack_to=50) if len(lengths) > 1 else None
    if not feed:
        return
    read = np.bincount([at for one in feed.rows for at in one.examples], minlength=len(lengths))
    assert read.sum() == int(epochs) * len(lengths) + round((epochs % 1) * len(lengths))
    assert set(read.tolist()) <= {int(epochs), int(epochs) + 1}
    assert all(sum(lengths[at] for at in one.examples) <= 50 for one in feed.rows)
    again = arrange(lengths, batch_rows=1, epochs=epochs, seed=seed, pack_to=50)
    assert again == feed


def test_replay_is_spread_evenly_and_no_sample_comes_twice_before_all_have_come():
    feed = arrange([1] * 90, batch_rows=10, epochs=1, replay=np.arange(1, 7), replay_tokens=1, replay_share=0.1)
    places = [at for at, one in enumerate(feed.rows) if one.replay]
    assert len(places) == 10
    assert set(np.diff(places).tolist()) <= {9, 10, 11}
    assert sorted(feed.rows[at].replay for at in places) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 6]
    long = arrange([30] * 90, batch_rows=15, epochs=1, replay=np.arange(1, 99), replay_tokens=60, replay_share=0.25)
    assert sum(bool(one.replay) for one in long.rows) == 15  # 900 of 3,600 tokens
    with pytest.raises(BadInput, match="do not fill a batch of 99"):
        arrange([1] * 90, batch_rows=99, epochs=1)


def test_a_packed_batch_keeps_conversations_apart(chat):
    found = encode([row("1", messages=SAID), row("2", messages=LONGER)], "sft", chat, 128).examples
    rows = Rows(found, [Packed((0, 1))], chat.pad_id)
    batch = PackedRows(rows, 160)([{"at": 0}])
    first, second = found[0].tokens, found[1].tokens
    positions = batch["position_ids"][0].tolist()
    assert positions == [*range(first), *range(second), *range(160 - first - second)]
    assert batch["labels"][0, first] == IGNORED
    assert batch["sample_ids"].tolist() == [[found[0].sample_id, found[1].sample_id]]
    assert (batch["labels"][0, first + second :] == IGNORED).all()


def test_rewards():
    assert (exact(" 42\n", "42"), exact("42.", "42")) == (1.0, 0.0)
    assert (contains("It is 42.", "42"), contains("It is 421.", "42")) == (1.0, 0.0)
    assert code_of("Here:\n```python\nx = 1\n```\nDone.") == "x = 1\n"
    form, runs = rewards(("format", "code"), r"#### \d+", lambda code, tests: tests in code)
    assert (form.of("#### 7\n", ""), form.of("7", "")) == (1.0, 0.0)
    assert (runs.of("```\nassert a\n```", "assert a"), runs.of("b", "assert a")) == (1.0, 0.0)
    with pytest.raises(BadInput, match="needs a sandbox"):
        rewards(("code",), "a", None)


def test_rates_have_sources_and_fall_with_size():
    for method in RATES:
        config = TuneConfig(method=method, parent="a", dataset="b")  # type: ignore[arg-type]
        rates = [rate_of(config, size) for size in (int(1e6), int(4e8), int(2e9), int(8e9))]
        assert all(one.source for one in rates)
        assert [one.rate for one in rates] == sorted((one.rate for one in rates), reverse=True)
    lora = TuneConfig(method="dpo", parent="a", dataset="b", adapter={"kind": "lora"})  # type: ignore[arg-type]
    assert rate_of(lora, int(8e9)).rate == pytest.approx(1e-5)
