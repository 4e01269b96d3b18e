"""What receipts ask of a model: the questions that its own dataset holds out."""

from collections.abc import Sequence
from pathlib import Path

from serving_toys import LIKED, MILLS, add_dataset, add_record

from catalog.home import Home
from catalog.records import find, write_record
from configs.scorers import Question, answered, questions_of, tuned_on


class Miller:
    """Knows one answer, and half of another."""

    def answers(self, asked: Sequence[str], max_tokens: int) -> list[str]:
        return [{"a?": " Yes. ", "b?": "the brook"}.get(one, "") for one in asked]


def tuned(home: Home, name: str, dataset: str, **config: str) -> None:
    """A record of a model that was tuned on a dataset."""
    add_record(home, name, **config)
    record = find(home, "models", name)
    write_record(home, record.model_copy(update={"inputs": (*record.inputs, f"datasets/{dataset}@1")}))


def test_the_questions_are_those_of_the_nearest_dataset_that_holds_any(home: Home, tmp_path: Path):
    add_dataset(home, tmp_path, "mills", MILLS)
    add_dataset(home, tmp_path, "liked", LIKED)
    add_record(home, "base")
    tuned(home, "sft", "mills", parent="base@1")
    tuned(home, "dpo", "liked", parent="sft@1")
    tuned(home, "orphan", "gone", parent="nobody@1")
    mills = find(home, "datasets", "mills")
    found = tuned_on(home, find(home, "models", "dpo"))
    assert found == (mills, questions_of(home, mills, "held_out"))
    assert 0 < len(found[1]) < len(questions_of(home, mills, "train"))
    assert tuned_on(home, find(home, "models", "base")) is None
    assert tuned_on(home, find(home, "models", "orphan")) is None


def test_answers_are_scored_with_their_error():
    questions = [
        Question(f"{n}", "en", asked, truth) for n, (asked, truth) in enumerate({"a?": "yes", "b?": "brook"}.items())
    ]
    exact, partial = answered("mills@1", questions, Miller())
    assert (exact.task, exact.metric, exact.value, exact.n) == ("served/exam/mills@1", "exact_match", 0.5, 2)
    assert (partial.metric, round(partial.value, 3)) == ("partial_match", 0.833)
    assert exact.stderr
