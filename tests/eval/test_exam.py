"""`just exam` before any engine: which questions, of which models, and what follows from the answers."""

import json
from pathlib import Path

import pytest
from serving_toys import LIKED, MILLS, add_dataset, add_reader, add_shell
from toys import dies_with_its_parent, millrace, planted

from catalog.errors import BadInput, MillraceError, NotFound
from catalog.home import Home
from catalog.records import Record, now
from configs.scorers import Question
from configs.stories.exam import ExamConfig, _scores, described, exam, first_line, questions, settled

PARROT = """
import sys
if "generate" in sys.orig_argv:
    from contextlib import nullcontext
    import serving.generate as generate
    generate.start = lambda target, settings: nullcontext()
    generate.check_machine = lambda folder: None
    generate._answers = lambda llm, job, rows: [
        {"id": row.id, "answer": f"{job.config.sampling.max_tokens} {row.prompt or row.messages[-1]['content']}"}
        for row in rows
    ]
"""
"""An engine that repeats what it is asked."""
MUTE = """
import sys
if "generate" in sys.orig_argv:
    import serving.generate as generate
    from catalog.errors import BadInput
    def start(target, settings):
        raise BadInput("the mill stands still")
    generate.start, generate.check_machine = start, lambda folder: None
"""
"""An engine that does not start."""


def test_held_out_questions_are_asked_and_no_others(home: Home, tmp_path: Path):
    add_dataset(home, tmp_path, "mills", MILLS)
    config = ExamConfig(models=("base@1",), dataset="mills")
    held, train = (questions(config, home, split) for split in ("held_out", "train"))
    assert {one.asked for one in [*held, *train]} == {row["instruction"] for row in MILLS}
    assert 0 < len(held) < len(train)
    assert all(one.truth == f"At the brook {one.asked[25:-1]}." for one in held)
    assert questions(config.variant(questions=2), home, "held_out") == held[:2]


def test_what_cannot_be_asked_is_refused(home: Home, tmp_path: Path):
    add_dataset(home, tmp_path, "liked", LIKED)
    add_shell(home, "base")
    with pytest.raises(BadInput, match="which model"):
        settled(ExamConfig(models=()), home)
    with pytest.raises(NotFound, match="no models 'nobody'"):
        settled(ExamConfig(models=("base", "nobody")), home)
    config = settled(ExamConfig(models=("base", "base@1"), dataset="liked"), home)
    assert config.models == ("base@1",)
    with pytest.raises(BadInput, match="liked@1 holds out no rows of one question and one answer"):
        questions(config, home, "held_out")


def examined(home: Home, *models: str, max_tokens: int = 64) -> Record:
    config = ExamConfig(models=models, dataset="mills", questions=5, max_tokens=max_tokens)
    return exam(settled(config, home), home)


def unrecorded(home: Home, *models: str) -> Path:
    """The folder of an exam that was killed before its record."""
    record = examined(home, *models)
    folder = home.artifact(record.kind, record.name, record.version)
    (folder / "record.json").unlink()
    return folder


@pytest.fixture
def two_models(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Models named base and other whose engine repeats what it is asked."""
    add_dataset(home, tmp_path, "mills", MILLS)
    for name in ("base", "other"):
        add_reader(home, name)
    monkeypatch.setenv("PYTHONPATH", planted(tmp_path / "parrot", PARROT)["PYTHONPATH"])
    return home


def test_answers_that_a_killed_exam_left_are_in_nobodys_way(two_models: Home):
    folder = unrecorded(two_models, "base", "other")
    record = examined(two_models, "base", max_tokens=9)
    assert two_models.artifact(record.kind, record.name, record.version) == folder
    answers = [json.loads(line)["answer"] for line in (folder / "base@1.answers.jsonl").read_text().splitlines()]
    assert len(answers) == 5
    assert all(answer.startswith("9 Where is the mill") for answer in answers)
    own = {f"base@1.{kind}" for kind in ("answers.jsonl", "answers.jsonl.json", "prompts.jsonl")}
    assert {path.name for path in folder.iterdir()} == {"record.json", *own}
    assert {entry.path for entry in record.files} == own


def test_answers_to_the_same_questions_are_kept(two_models: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = unrecorded(two_models, "base", "other")
    monkeypatch.setenv("PYTHONPATH", planted(tmp_path / "mute", MUTE)["PYTHONPATH"])
    assert examined(two_models, "base").version == folder.name
    assert examined(two_models, "base").version == folder.name


def test_a_model_that_was_made_anew_is_asked_again(two_models: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert examined(two_models, "base").version == "1"
    path = two_models.artifact("models", "base", "1") / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fingerprint": "another"}))
    monkeypatch.setenv("PYTHONPATH", planted(tmp_path / "mute", MUTE)["PYTHONPATH"])
    with pytest.raises(MillraceError, match=r"^base@1 gave no answers: the mill stands still$"):
        examined(two_models, "base")


def test_an_exam_that_is_killed_takes_its_engine_along(home: Home, tmp_path: Path):
    add_dataset(home, tmp_path, "mills", MILLS)
    add_reader(home, "base")
    command = millrace("exam", "base", "dataset=mills", "--home", str(home.root))
    assert dies_with_its_parent(command, "generate", tmp_path / "plant")


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
