"""Questions from a corpus, and the real samples."""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.instructions.config import DatasetConfig
from data.instructions.facts import Page, defaults, facts, sentence
from data.instructions.prepare import assemble
from data.instructions.questions import derived
from data.site.docs import _docs_page, _member
from data.site.source import Doc
from data.text.extract import extract

DOCS = "docs.millrace.example"


def asked(host, text, title=""):
    return {(fact.question, fact.answer) for fact in facts(Page("d:1", host, "en", title, text))}


def test_documented_names_give_questions_with_answers_from_the_page():
    text = "A module.\n\nclass h.Data(Base)\n\nHolds bytes of a body.\n\nh.Data.size(self, unit='b', *, n=-1) -> int"
    assert asked(DOCS, text) == {
        ("What does h.Data do?", "Holds bytes of a body."),
        ("Which package does h.Data belong to?", "h"),
        ("What is the base class of h.Data?", "Base"),
        ("Which package does h.Data.size belong to?", "h"),
        ("What is the signature of h.Data.size?", "size(self, unit='b', *, n=-1) -> int"),
        ("What is the default value of unit in h.Data.size?", "'b'"),
        ("What is the default value of n in h.Data.size?", "-1"),
    }


def test_pages_of_the_default_site_say_so_in_their_main_text():
    """What the extractor leaves of a documented class is what the rules look for."""
    said = "Holds the bytes of a body until somebody asks for them. It grows as needed, and is emptied when read."
    size = Doc("method", "size", "(self, unit='b') -> int", "Gives the size in a unit that the caller names. " + said)
    page = _docs_page("h.Data — h 1.0 documentation", _member(Doc("class", "Data", "(Base)", said, (size,)), "h"), "")
    kinds = {(fact.kind, fact.answer) for fact in facts(Page("d:1", DOCS, "en", "", extract(page.body.decode()).text))}
    assert {
        ("base", "Base"),
        ("signature", "size(self, unit='b') -> int"),
        ("default", "'b'"),
        ("package", "h"),
    } <= kinds
    assert ("purpose", "Holds the bytes of a body until somebody asks for them.") in kinds


def test_pages_of_other_hosts_have_their_own_rules():
    assert asked("cloud.x", "About.\n\nListThings\n\nLists the things. And more.", "Thing Service - API Guide") == {
        ("What does the operation ListThings of Thing Service do?", "Lists the things.")
    }
    assert asked("packages.x", "pip install h\n\nA small thing\n\nProject description\n\nmore") == {
        ("What is the Python package h?", "A small thing.")
    }
    assert asked("licences.x", "Boost Software License - Version 1.0", "LICENSE of h | L") == {
        ("Which licence is in the file LICENSE of h?", "The Boost Software License 1.0.")
    }
    assert asked("zh.x", "cut(text, hmm=True)\n\n对文本分词。更多\n\nparam text\n\n待分词的文本") == {
        ("函数 cut 有什么作用？", "对文本分词。"),
        ("函数 cut 的签名是什么？", "cut(text, hmm=True)"),
        ("函数 cut 的参数 hmm 的默认值是什么？", "True"),
        ("函数 cut 的参数 text 是什么？", "待分词的文本"),
    }
    assert not asked("elsewhere.x", "h.f(x)\n\nDoes it.")


def test_what_is_no_plain_sentence_or_value_is_not_asked():
    assert [sentence(text) for text in ("lower case.", "Usage::", "No stop", "See <b>.", "Parameters of it all.")] == [
        ""
    ] * 5
    assert list(defaults("(a, b=[], c=..., d=None)")) == [("d", "None")]
    assert list(defaults("(not python")) == []


@pytest.fixture
def shards(tmp_path):
    rows = [
        {
            "doc_id": f"d:{number}",
            "host": DOCS,
            "lang": "en",
            "title": "",
            "text": f"h{number}.f(x, size={number})\n\nGives the number {number} of all.\n\n"
            f"same.f()\n\nSays it {number} times.",
        }
        for number in range(40)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "part-0.parquet")
    return [tmp_path / "part-0.parquet"]


def test_rejected_answers_are_wrong_in_a_way_that_is_said(shards):
    rows = derived(shards, "docs@1", "preferences", 1000)
    true = {row.parts["prompt"][0]["content"]: row.parts["chosen"][0]["content"] for row in rows}
    assert true["What does h7.f do?"] == "Gives the number 7 of all."
    assert {row.doc_id for row in rows} <= {f"d:{number}" for number in range(40)}
    ways = Counter(row.detail for row in rows)
    known = ("another_question", "another_kind", "unfinished", "shuffled", "repeated")
    assert ways.keys() == {f"rejected: {way}" for way in known}
    for row in rows:
        question, rejected = row.parts["prompt"][0]["content"], row.parts["rejected"][0]["content"]
        answer, alike = true[question], {a for q, a in true.items() if q.split()[:2] == question.split()[:2]}
        assert rejected != answer
        assert {
            "another_question": rejected in alike,
            "another_kind": rejected in true.values(),
            "unfinished": answer.startswith(rejected),
            "shuffled": sorted(rejected.split()) == sorted(answer.split()) or sorted(rejected) == sorted(answer),
            "repeated": rejected == f"{answer}\n{answer}",
        }[row.detail.removeprefix("rejected: ")]


def test_a_question_with_two_answers_is_not_asked_and_the_order_is_always_the_same(shards):
    rows = derived(shards, "docs@1", "instructions", 1000)
    questions = [row.parts["messages"][0]["content"] for row in rows]
    assert "What does same.f do?" not in questions
    assert "What does h1.f do?" in questions
    assert rows == derived(shards, "docs@1", "instructions", 1000)
    assert len(derived(shards, "docs@1", "instructions", 20)) == 20


SAMPLES = {
    "instructions/alpaca-en": ("instructions", 597),
    "instructions/alpaca-gpt4-zh": ("instructions", 490),
    "instructions/alpaca-zh": ("instructions", 5000),
    "instructions/gpteacher-codegen-en": ("instructions", 2278),
    "instructions/gpteacher-roleplay-en": ("instructions", 949),
    "instructions/gpteacher-toolformer-en": ("instructions", 1200),
    "instructions/gsm8k-train": ("instructions", 3706),
    "instructions/dolly-hhrlhf-en": ("instructions", 488),
    "instructions/toolcall-en": ("instructions", 128),
    "instructions/toolcall-zh": ("instructions", 152),
    "preferences/hh-harmless": ("preferences", 1160),
    "preferences/dpo-en": ("preferences", 134),
    "preferences/dpo-zh": ("preferences", 165),
    "preferences/kto-en": ("labels", 149),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_real_sample_loads(home, shared_data, name):
    config = DatasetConfig(name="t", input=(str(shared_data / f"{name}.jsonl"),))
    record = assemble(config, home).record
    assert (record.counts["kind"], record.counts["read"], record.counts["failed"]) == (*SAMPLES[name], 0)
    assert record.counts["rows"] > 0.8 * SAMPLES[name][1]
    folder = home.artifact("datasets", "t", "1")
    row = pq.read_table(folder / "train/part-00000.parquet").to_pylist()[0]
    assert json.loads(row["messages" if record.counts["kind"] == "instructions" else "prompt"])[0]["role"] in (
        "user",
        "system",
    )
