"""Instruction and preference data: every format, in every kind of file, to one form; what is wrong is named."""

import bz2
import csv
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from catalog.errors import BadInput, Conflict, NotFound
from catalog.store import Catalog
from data.instructions.config import DatasetConfig
from data.instructions.files import without_nulls
from data.instructions.prepare import assemble, prepare

CALL = {"type": "function", "function": {"name": "area", "arguments": {"side": 3}}}
TOOL = {"name": "area", "parameters": {}}
ASK, ANSWER, OTHER = (
    {"role": "user", "content": "q"},
    {"role": "assistant", "content": "a"},
    {"role": "assistant", "content": "b"},
)
SYSTEM = {"role": "system", "content": "s"}

SAMPLES = {
    "alpaca": ({"instruction": "q", "input": "", "output": "a"}, {"messages": [ASK, ANSWER]}),
    "alpaca with everything": (
        {"instruction": "q", "input": "i", "output": "a", "system": "s", "history": [["q", "a"]]},
        {"messages": [SYSTEM, ASK, ANSWER, {"role": "user", "content": "q\n\ni"}, ANSWER]},
    ),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"},
        {"messages": [SYSTEM, ASK, ANSWER]},
    ),
    "sharegpt with calls": (
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "area", "arguments": {"side": 3}}'},
                {"from": "observation", "value": "9"},
                {"from": "gpt", "value": "a"},
            ],
            "tools": json.dumps([TOOL]),
        },
        {
            "messages": [
                ASK,
                {"role": "assistant", "content": "", "tool_calls": [CALL]},
                {"role": "tool", "content": "9"},
                ANSWER,
            ],
            "tools": [{"type": "function", "function": TOOL}],
        },
    ),
    "messages with calls": (
        {
            "messages": [
                ASK,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "1", "function": {"name": "area", "arguments": '{"side": 3}'}}],
                },
                {"role": "tool", "content": "9", "tool_call_id": "1"},
                {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
            ]
        },
        {
            "messages": [
                ASK,
                {"role": "assistant", "content": "", "tool_calls": [CALL | {"id": "1"}]},
                {"role": "tool", "content": "9", "tool_call_id": "1"},
                ANSWER,
            ]
        },
    ),
    "prompt, response": ({"prompt": "q", "response": "a"}, {"messages": [ASK, ANSWER]}),
    "a wrapped prompt": (
        {
            "prompt": "Below is an instruction that describes a task. Write a response that appropriately completes "
            "the request.\n\n### Instruction:\nq\n\n### Response:\n",
            "response": "a",
        },
        {"messages": [ASK, ANSWER]},
    ),
    "prompt, completion as messages": ({"prompt": [ASK], "completion": [ANSWER]}, {"messages": [ASK, ANSWER]}),
    "question, answer": ({"question": "q", "answer": "a"}, {"messages": [ASK, ANSWER]}),
    "plain": ({"text": "t"}, {"text": "t"}),
    "hh": (
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
        {"prompt": [ASK], "chosen": [ANSWER], "rejected": [OTHER]},
    ),
    "hh as messages": (
        {"chosen": [ASK, ANSWER], "rejected": [ASK, OTHER]},
        {"prompt": [ASK], "chosen": [ANSWER], "rejected": [OTHER]},
    ),
    "dpo": (
        {"prompt": "q", "chosen": "a", "rejected": "b", "system": "s"},
        {"prompt": [SYSTEM, ASK], "chosen": [ANSWER], "rejected": [OTHER]},
    ),
    "dpo that repeats the prompt": (
        {"prompt": "q", "chosen": [ASK, ANSWER], "rejected": [ASK, OTHER]},
        {"prompt": [ASK], "chosen": [ANSWER], "rejected": [OTHER]},
    ),
    "dpo with conversations": (
        {
            "conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}],
            "chosen": {"from": "gpt", "value": "a"},
            "rejected": {"from": "gpt", "value": "b"},
        },
        {"prompt": [SYSTEM, ASK], "chosen": [ANSWER], "rejected": [OTHER]},
    ),
    "dpo like alpaca": (
        {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
        {"prompt": [ASK], "chosen": [ANSWER], "rejected": [OTHER]},
    ),
    "kto": ({"messages": [ASK, ANSWER], "label": False}, {"prompt": [ASK], "completion": [ANSWER], "label": False}),
    "kto as texts": (
        {"prompt": "q", "completion": "a", "label": "true"},
        {"prompt": [ASK], "completion": [ANSWER], "label": True},
    ),
}


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def made(home, tmp_path, text, name="rows.jsonl", **fields):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return assemble(DatasetConfig(name="t", input=(str(path),), **fields), home).record


def rows(home, record, folder="*"):
    files = sorted(home.artifact("datasets", record.name, record.version).glob(f"{folder}/part-*.parquet"))
    found = [row for path in files if path.parent.name != "ledger" for row in pq.read_table(path).to_pylist()]
    return sorted(found, key=lambda row: row["line"])


def ledger(home, record):
    return pq.read_table(home.artifact("datasets", "t", record.version) / "ledger/part-00000.parquet").to_pylist()


def form(row):
    """The row as the sample tables above write it."""
    named = ("messages", "prompt", "chosen", "rejected", "completion", "tools", "label", "text")
    found = {key: row[key] for key in named if key in row}
    plain = {key: json.loads(value) if key not in ("text", "label") else value for key, value in found.items()}
    return {key: value for key, value in plain.items() if value != [] or key != "tools"}


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_format_is_detected_and_brought_into_the_one_form(home, tmp_path, sample):
    given, wanted = SAMPLES[sample]
    record = made(home, tmp_path, lines(given), held_out=0)
    assert [form(row) for row in rows(home, record)] == [wanted]


def test_nested_parquet_columns_come_back_without_null_keys(home, tmp_path):
    first = {"messages": [*SAMPLES["messages with calls"][0]["messages"][:-1], ANSWER]}
    table = pa.Table.from_pylist([first, {"messages": [SYSTEM, ASK, OTHER]}])
    pq.write_table(table, tmp_path / "rows.parquet")
    record = made(home, tmp_path, (tmp_path / "rows.parquet").read_bytes(), "rows.parquet", held_out=0)
    assert [form(row)["messages"] for row in rows(home, record)] == [
        SAMPLES["messages with calls"][1]["messages"],
        [SYSTEM, ASK, OTHER],
    ]
    assert "null" not in "".join(row["messages"] for row in rows(home, record))
    assert without_nulls({"a": [{"b": None, "c": 0}], "d": None}) == {"a": [{"c": 0}]}


ALPACA = [{"instruction": f"问 {number}", "input": "", "output": f"a {number}"} for number in range(30)]


def as_csv(rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


FILES = {
    "a.jsonl": lines(*ALPACA).encode(),
    "bom.jsonl": b"\xef\xbb\xbf" + lines(*ALPACA).encode(),
    "b.jsonl.gz": gzip.compress(lines(*ALPACA).encode()),
    "c.jsonl.zst": zstandard.compress(lines(*ALPACA[:9]).encode()) + zstandard.compress(lines(*ALPACA[9:]).encode()),
    "d.jsonl.bz2": bz2.compress(lines(*ALPACA).encode()),
    "e.json": json.dumps(ALPACA).encode(),
    "f.json": json.dumps({"version": 1, "data": ALPACA}).encode(),
    "g.json": lines(*ALPACA).encode(),
    "h.csv": as_csv(ALPACA),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_the_same_rows(home, tmp_path, name):
    record = made(home, tmp_path, FILES[name], name)
    assert [form(row)["messages"][1]["content"] for row in rows(home, record)] == [f"a {at}" for at in range(30)]


def test_a_folder_is_read_in_the_order_of_names_each_file_in_its_format(home, tmp_path):
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    (folder / "b.jsonl").write_text(lines({"question": "q", "answer": "a"}))
    (tmp_path / "in" / "a.jsonl").write_text(lines(ALPACA[0]))
    (tmp_path / "in" / "notes.txt").write_text("not data")
    record = assemble(DatasetConfig(name="t", input=(str(tmp_path / "in"),), held_out=0), home).record
    found = ledger(home, record)
    assert [(row["source"], row["verdict"]) for row in found] == [("a.jsonl", "kept"), ("deep/b.jsonl", "kept")]


BAD = {
    "a missing field": ([ALPACA[0], {"instruction": "q"}], "rows.jsonl, line 2, field output: it is missing"),
    "a number": (
        [ALPACA[0], {"instruction": "q", "output": 7}],
        "line 2, field output: a text is wanted, not a number",
    ),
    "a role": (
        [{"messages": [{"role": "wizard", "content": "q"}]}],
        "line 1, field messages[0].role: 'wizard' is no role that is known",
    ),
    "no role": ([{"messages": [{"content": "q"}]}], "field messages[0].role: it is missing (there are: content)"),
    "no content": ([{"messages": [{"role": "user"}]}], "field messages[0].content: it is missing"),
    "no messages": ([{"messages": []}], "field messages: a list of messages is wanted, not an empty one"),
    "a call": (
        [{"conversations": [{"from": "function_call", "value": "{x"}]}],
        "line 1, field conversations[0].value: not JSON",
    ),
    "tools": ([{"messages": [ASK, ANSWER], "tools": "[1]"}], "field tools: a list of objects is wanted"),
    "a label": ([{"messages": [ASK, ANSWER], "label": "maybe"}], "field label: true or false is wanted, not 'maybe'"),
    "a transcript": (
        [{"chosen": "no", "rejected": "no"}],
        'field chosen: a transcript is wanted that starts with "Human:"',
    ),
    "no format": ([{"foo": "q"}], "rows.jsonl, line 1: no format has the fields foo"),
    "not JSON": ('{"instruction": "q"\n', "rows.jsonl, line 1: not JSON"),
    "a list": ("[1]\n", "rows.jsonl, line 1: an object with fields is wanted, not a list"),
    "half a character": ([{"text": "\ud83d"}], "line 1: half of a character"),
}


@pytest.mark.parametrize("what", BAD)
def test_malformed_data_names_file_line_and_field_and_nothing_is_written(home, tmp_path, what):
    given, says = BAD[what]
    text = given if isinstance(given, str) else "".join(json.dumps(row) + "\n" for row in given)
    with pytest.raises(BadInput) as error:
        made(home, tmp_path, text)
    assert says in str(error.value)
    assert not [path for path in home.root.rglob("*") if path.is_file()]


def test_bad_cells_and_cut_files_are_named(home, tmp_path):
    with pytest.raises(BadInput, match=r"rows.csv, line 2: 3 cells are wanted"):
        made(home, tmp_path, b"instruction,input,output\nq,a\n", "rows.csv")
    with pytest.raises(BadInput, match=r"cut.jsonl.gz is damaged or cut short"):
        made(home, tmp_path, FILES["b.jsonl.gz"][:-20], "cut.jsonl.gz")
    with pytest.raises(BadInput, match=r"latin.jsonl is not UTF-8"):
        made(home, tmp_path, b'{"text": "\xe9"}\n', "latin.jsonl")
    with pytest.raises(BadInput, match=r"rows.json, record 2, field output"):
        made(home, tmp_path, json.dumps([ALPACA[0], {"instruction": "q"}]), "rows.json")
    with pytest.raises(NotFound, match="no such file"):
        assemble(DatasetConfig(name="t", input=(str(tmp_path / "nothing.jsonl"),)), home)


def test_files_of_two_kinds_make_no_one_dataset(home, tmp_path):
    (tmp_path / "a.jsonl").write_text(lines(ALPACA[0]))
    (tmp_path / "b.jsonl").write_text(lines({"text": "t"}))
    with pytest.raises(BadInput, match=r"instructions from a.jsonl, line 1; texts from b.jsonl, line 1"):
        assemble(DatasetConfig(name="t", input=(str(tmp_path / "*.jsonl"),)), home)


def test_every_record_is_kept_dropped_for_a_reason_or_failed(home, tmp_path):
    dpo = {"prompt": "q", "chosen": "a", "rejected": "b"}
    given = [
        dpo,
        dpo,
        dpo | {"rejected": "a"},
        dpo | {"chosen": " "},
        {"prompt": "q"},
        {"prompt": [], "chosen": [], "rejected": 1},
    ]
    record = made(home, tmp_path, lines(*given), bad_rows="skip")
    counts = record.counts
    assert counts["read"] == counts["rows"] + counts["dropped"] + counts["failed"] == 6
    assert counts["reasons"] == {"empty_answer": 1, "exact_duplicate": 1, "no_preference": 1}
    fates = [(row["line"], row["verdict"], row["reason"]) for row in ledger(home, record)]
    assert fates == [
        (1, "kept", ""),
        (2, "dropped", "exact_duplicate"),
        (3, "dropped", "no_preference"),
        (4, "dropped", "empty_answer"),
        (5, "failed", "malformed"),
        (6, "failed", "malformed"),
    ]
    assert ledger(home, record)[1]["kept_row_id"] == ledger(home, record)[0]["row_id"]
    assert "field chosen: a list of messages is wanted" in ledger(home, record)[4]["detail"]


def test_near_duplicates_go_where_asked_for(home, tmp_path):
    long = " ".join(f"word{number}" for number in range(60))
    given = [
        {"question": long, "answer": "a"},
        {"question": f"{long} more", "answer": "a"},
        {"question": "q", "answer": "a"},
    ]
    assert made(home, tmp_path, lines(*given)).counts["rows"] == 3
    record = made(home, tmp_path, lines(*given), near=0.8)
    assert record.counts["reasons"] == {"near_duplicate": 1}
    dropped = ledger(home, record)[1]
    assert (dropped["kept_row_id"], dropped["value"] > 0.9) == (ledger(home, record)[0]["row_id"], True)


def test_preferences_and_labels_can_be_taken_as_instructions(home, tmp_path):
    record = made(home, tmp_path, lines(SAMPLES["dpo"][0]), kind="instructions", held_out=0)
    assert form(rows(home, record)[0]) == {"messages": [SYSTEM, ASK, ANSWER]}
    labels = [SAMPLES["kto"][0], SAMPLES["kto as texts"][0]]
    record = made(home, tmp_path, lines(*labels), "labels.jsonl", kind="instructions")
    assert (record.counts["rows"], record.counts["reasons"]) == (1, {"no_answer": 1})
    with pytest.raises(BadInput, match="instructions cannot be taken as preferences"):
        made(home, tmp_path, lines(*ALPACA), kind="preferences")


def test_rows_that_ask_the_same_are_on_one_side(home, tmp_path):
    given = [{"prompt": f"q {at % 40}", "chosen": f"a {at}", "rejected": "b"} for at in range(200)]
    record = made(home, tmp_path, lines(*given), held_out=0.3)
    sides = {}
    for row in rows(home, record):
        sides.setdefault(row["prompt"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert 0 < record.counts["held_out"] < record.counts["train"]
    assert {row["split"] for row in rows(home, record, "held_out")} == {"held_out"}


def test_the_same_files_give_the_same_bytes_and_the_version_that_is_there(home, tmp_path):
    first = made(home, tmp_path, lines(*ALPACA))
    assert made(home, tmp_path, lines(*ALPACA)) == first
    other = type(home)(tmp_path / "other")
    assert made(other, tmp_path, lines(*ALPACA)).files == first.files
    assert made(home, tmp_path, lines(*ALPACA), held_out=0.2).version == "2"
    with pytest.raises(Conflict, match="held_out was"):
        made(home, tmp_path, lines(*ALPACA), held_out=0.3, version="1")


def test_the_catalog_answers_for_datasets_and_their_rows(home, tmp_path):
    (tmp_path / "rows.jsonl").write_text(lines(*ALPACA))
    prepare(DatasetConfig(name="t", input=(str(tmp_path / "rows.jsonl"),)), home)
    with Catalog.open(home) as catalog:
        assert catalog.sql("SELECT dataset, version, kind, rows FROM datasets").fetchall() == [
            ("t", "1", "instructions", 30)
        ]
        asked = "SELECT messages ->> '$[0].content' FROM dataset_rows WHERE line = 3"
        assert catalog.sql(asked).fetchall() == [("问 2",)]
