"""`just exam` before any engine: which questions, of which models, and what follows from the answers."""

import json
from pathlib import Path

import pytest
from serving_toys import add_shell

from catalog.errors import BadInput, NotFound
from catalog.home import Home
from catalog.records import Record, now
from configs.stories.exam import ExamConfig, Question, _scores, described, first_line, questions, settled
from data.instructions.config import DatasetConfig
from data.instructions.prepare import prepare

ROWS = [{"instruction": f"Where is the mill number {n}?", "output": f"At the brook {n}."} for n in range(40)]
PAIRS = [{"prompt": f"Which {n}?", "chosen": f"This {n}.", "rejected": f"That {n}."} for n in range(40)]


def dataset(home: Home, folder: Path, name: str, rows: list[dict]) -> None:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare(DatasetConfig(name=name, input=(str(path),), held_out=0.25), home)


def test_held_out_questions_are_asked_and_no_others(home: Home, tmp_path: Path):
    dataset(home, tmp_path, "mills", ROWS)
    config = ExamConfig(models=("base@1",), dataset="mills")
    held, train = (questions(config, home, split) for split in ("held_out", "train"))
    assert {one.asked for one in [*held, *train]} == {row["instruction"] for row in ROWS}
    assert 0 < len(held) < len(train)
    assert all(one.truth == f"At the brook {one.asked[25:-1]}." for one in held)
    assert questions(config.variant(questions=2), home, "held_out") == held[:2]


def test_what_cannot_be_asked_is_refused(home: Home, tmp_path: Path):
    dataset(home, tmp_path, "liked", PAIRS)
    add_shell(home, "base")
    with pytest.raises(BadInput, match="which model"):
        settled(ExamConfig(models=()), home)
    with pytest.raises(NotFound, match="no models 'nobody'"):
        settled(ExamConfig(models=("base", "nobody")), home)
    config = settled(ExamConfig(models=("base", "base@1"), dataset="liked"), home)
    assert config.models == ("base@1",)
    with pytest.raises(BadInput, match="liked@1 holds out no rows of one question and one answer"):
        questions(config, home, "held_out")


@pytest.mark.parametrize(("text", "answer"), [("\n\n  None\n\nQuestion: What", "None"), ("", ""), ("\n \n", "")])
def test_a_text_that_goes_on_answers_with_its_first_line(text: str, answer: str):
    assert first_line(text) == answer


def test_the_first_model_is_compared_with_each_other_question_by_question():
    asked = [Question(str(n), "zh" if n % 2 else "en", f"q{n}", f"the answer {n}") for n in range(40)]
    right = {one.id: one.truth for one in asked}
    half = {one.id: one.truth if one.lang == "en" else "" for one in asked}
    config = ExamConfig(models=("a@1", "b@1", "c@2"), dataset="d@1")
    counts = _scores(config, asked, {"a@1": right, "b@1": half, "c@2": right})
    rows = {(row["model"], row["task"], row["metric"]): (row["value"], row["n"]) for row in counts["evaluations"]}  # type: ignore
    assert rows["a", "exam/d@1", "exact_match"] == (1.0, 40)
    assert rows["b", "exam/d@1", "partial_match"] == (0.5, 40)
    assert rows["b", "exam/d@1/en", "exact_match"] == (1.0, 20)
    assert rows["b", "exam/d@1/zh", "exact_match"] == (0.0, 20)
    config_of = config.model_dump(mode="json")
    said = described(Record(kind="evaluations", name="e", version="1", config=config_of, counts=counts, created=now()))
    assert "40 held-out questions of d@1" in said
    assert "a@1 against b@1, exact match: better, +0.500 (+0.350 to +0.650)" in said
    assert "a@1 against c@2, partial match: no difference, +0.000" in said
