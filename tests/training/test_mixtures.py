"""Mixtures of toy tokens: what is planned is what the order holds, exactly."""

import json
from collections import Counter

import numpy as np
import pytest
from mixture_toys import toy_tokens

from catalog.errors import BadInput, Conflict, Damaged, NotFound
from catalog.home import Home
from catalog.index import rebuild
from catalog.store import Catalog
from configs import mixtures as verbs
from training.mixtures import order
from training.mixtures.build import build, draft
from training.mixtures.config import MixtureConfig, PhaseConfig
from training.mixtures.consumed import shares
from training.mixtures.plan import StreamKey
from training.mixtures.reading import load_mixture, phase_file
from training.runs.folder import RunFolder, RunState
from training.runs.recording import Rows
from training.sample_ids import divisor, part, sample_id, whole
from training.tokens.reading import load_tokens

PHASES = (
    PhaseConfig(name="warm", part=0.2, sequence_length=16),
    PhaseConfig(name="main", part=1.0, shares="code=0.1"),
    PhaseConfig(name="anneal", part=0.3, shares="books>=0.6", tokens=("toy", "more"), sequence_length=32),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Home:
    folder = tmp_path_factory.mktemp("mixtures")
    home = Home.open(folder / "lake")
    toy_tokens(home, folder)
    toy_tokens(home, folder, "more", seed=1, streams=(("books", "en"), ("law", "zh")))
    return home


def whole_order(mixture) -> np.ndarray:
    return np.concatenate([mixture.order(number) for number in range(len(mixture.plan.phases))])


def names_of(mixture) -> dict[int, StreamKey]:
    """The stream of every whole sample of the mixture's tokens."""
    return {
        number: StreamKey(info.ref, stream.domain, stream.lang)
        for info in mixture.tokens
        for stream in info.streams
        for number in sample_id(info.key, stream.first + np.arange(stream.samples)).tolist()
    }


def test_every_sample_is_read_exactly_as_often_as_planned(made):
    build(MixtureConfig(name="exact", tokens=("toy",), phases=PHASES, budget=300_000), made)
    mixture = load_mixture(made, "exact")
    streams = names_of(mixture)
    read: Counter[int] = Counter()
    for number, phase in enumerate(mixture.plan.phases):
        ids = mixture.order(number)
        assert len(ids) == phase.samples
        assert set(divisor(ids).tolist()) == {64 // phase.sequence_length}
        counted = Counter(zip(whole(ids).tolist(), part(ids).tolist(), strict=True))
        wholes = Counter(whole(ids).tolist())
        for sample, times in wholes.items():  # every part of a sample is read as often as every other
            parts = 64 // phase.sequence_length
            assert times % parts == 0
            assert [counted[sample, n] for n in range(parts)] == [times // parts] * parts
            read[sample] += times // parts
        planned = {stream.key: stream.samples for stream in phase.streams}
        by_stream: Counter[StreamKey] = Counter()
        for sample, times in wholes.items():
            by_stream[streams[sample]] += times // (64 // phase.sequence_length)
        assert {key: count for key, count in planned.items() if count} == dict(by_stream)
    for key in mixture.streams:  # an epoch is over before any sample is read again, through all phases
        times = [read[sample] for sample, of in streams.items() if of == key]
        fresh = [count for count in times if count]
        assert not fresh or max(times) - min(fresh) <= 1


def test_what_is_held_out_is_read_by_no_phase_and_shares_no_document_with_what_is(made):
    build(MixtureConfig(name="held", tokens=("toy",), heldout=0.05), made)
    mixture = load_mixture(made, "held")
    held, read = set(mixture.heldout().tolist()), set(whole(whole_order(mixture)).tolist())
    assert held
    assert not held & read
    spans = {}
    with Catalog.open(made) as catalog:
        for sample, doc in catalog.sql("SELECT sample_id, doc_id FROM samples WHERE tokens_id = 'toy@1'").fetchall():
            spans.setdefault(sample, set()).add(doc)
    documents = set().union(*(spans[sample] for sample in held))
    assert not documents & set().union(*(spans[sample] for sample in read))
    counts = mixture.record.counts
    assert len(held) == counts["heldout"]
    assert len(held) + len(read) + counts["guards"] == len(spans)


def test_shares_hold_from_the_first_samples_on(made):
    config = MixtureConfig(name="even", tokens=("toy",), shares="web=0.5,code=0.3,books=0.2", budget=64 * 20_000)
    build(config, made)
    mixture = load_mixture(made, "even")
    streams = names_of(mixture)
    domains = np.array([streams[sample].domain for sample in mixture.order(0).tolist()])
    for domain, share in {"web": 0.5, "code": 0.3, "books": 0.2}.items():
        seen = np.cumsum(domains == domain) / np.arange(1, len(domains) + 1)
        assert abs(seen[9_999] - share) < 0.005 / 10, domain
        assert np.abs(seen[999:] - share).max() < 0.01, domain


def test_blocks_of_the_order_do_not_change_what_is_read(made, monkeypatch):
    drafted = draft(MixtureConfig(tokens=("toy",), phases=PHASES, budget=200_000), made)
    whole_run = [ids for _, ids in order.compiled(drafted.plan, drafted.read, 17)]
    assert len(whole_run) == 3
    monkeypatch.setattr(order, "BLOCK", 100)
    blocks = list(order.compiled(drafted.plan, drafted.read, 17))
    assert max(len(ids) for _, ids in blocks) <= 200
    for number, ids in enumerate(whole_run):
        assert Counter(np.concatenate([b for n, b in blocks if n == number]).tolist()) == Counter(ids.tolist())


def test_a_later_phase_brings_new_tokens_and_shares_without_a_new_tokenization(made):
    build(MixtureConfig(name="joined", tokens=("toy",), phases=PHASES), made)
    mixture = load_mixture(made, "joined")
    assert mixture.record.inputs == ("tokens/toy@1", "tokens/more@1")
    domains = [{stream.domain for stream in phase.streams} for phase in mixture.plan.phases]
    assert "law" not in domains[0] | domains[1]
    assert "law" in domains[2]
    rows = [row for row in mixture.plan.rows() if row.phase == "anneal" and row.domain == "books"]
    assert sum(row.share for row in rows) == pytest.approx(0.6, abs=0.01)


def test_the_catalog_has_the_shares_and_a_rebuild_keeps_them(made):
    build(MixtureConfig(name="asked", tokens=("toy",), shares="code=0.25"), made)
    query = "SELECT domain, sum(share), sum(samples) FROM mixtures WHERE mixture = 'asked' GROUP BY 1 ORDER BY 1"
    with Catalog.open(made, read_only=False) as catalog:
        rows = catalog.sql(query).fetchall()
        rebuild(catalog)
        assert catalog.sql(query).fetchall() == rows
    assert {domain: round(share, 2) for domain, share, _ in rows}["code"] == 0.25
    assert sum(samples for *_, samples in rows) == load_mixture(made, "asked").plan.phases[0].samples


def test_the_same_again_is_found_and_the_seed_makes_another(made):
    config = MixtureConfig(name="again", tokens=("toy",))
    first, second = build(config, made), build(config, made)
    assert first.fresh
    assert not second.fresh
    assert first.record == second.record
    third = build(config.variant(seed=3), made)
    assert third.record.version == "2"
    assert not np.array_equal(load_mixture(made, "again@1").order(0), load_mixture(made, "again@2").order(0))
    with pytest.raises(Conflict, match="seed was 17, now 4"):
        build(config.variant(version="1", seed=4), made)


def test_the_same_config_gives_the_same_bytes_in_another_home(made, tmp_path):
    toy_tokens(Home.open(tmp_path / "lake"), tmp_path)
    config = MixtureConfig(name="bytes", tokens=("toy",), phases=PHASES[:2])
    one, two = build(config, made).record, build(config, Home.open(tmp_path / "lake")).record
    assert one.files == two.files
    assert one.fingerprint == two.fingerprint


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokens": ("nothing",)}, "no tokens 'nothing'"),
        ({"shares": "law=0.5"}, "no tokens of law"),
        ({"budget": 10}, "less than one sample of 64"),
        ({"phases": (PhaseConfig(sequence_length=48),)}, "cannot be read at 48. Lengths that fit: 64, 32, 16"),
        ({"budget": 1e20}, "the order of .* tokens takes .* GB left: lower the budget"),
        ({"name": "bad@7"}, "not a name or name@version: 'bad@7@1'"),
        ({"tokens": ("toy", "toy@1")}, "phase main: the same tokens twice: toy@1, toy@1. Name each once"),
        ({"shares": "books=0.9", "max_epochs": 2, "budget": 10**6}, "books: a share of 0.9 is more epochs"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(made, changes, said):
    with pytest.raises(BadInput, match=said):
        build(MixtureConfig(**{"name": "bad", "tokens": ("toy",), **changes}), made)
    assert not list((made.root / "mixtures").glob("bad*/*/*"))


def test_shares_that_cannot_be_read_are_said_before_tokens_are_made(tmp_path):
    with pytest.raises(BadInput, match=r"not a share: 'code:0\.1'"):
        verbs.main(["docs", "shares=code:0.1", "--home", str(tmp_path / "lake")])
    assert not (tmp_path / "lake").exists()


def test_a_missing_shard_is_named_before_anything_is_written(made, tmp_path):
    home = Home.open(tmp_path / "lake")
    toy_tokens(home, tmp_path)
    shard = next((load_tokens(home, "toy").folder / "streams").rglob("*.mds.zstd"))
    shard.unlink()
    with pytest.raises(Damaged, match=f"{shard.name}.*is missing"):
        build(MixtureConfig(name="m", tokens=("toy",)), home)
    assert not (home.root / "mixtures" / "m" / "1").exists()


def test_an_order_that_was_cut_is_noticed(made):
    record = build(MixtureConfig(name="cut", tokens=("toy",)), made).record
    path = made.artifact("mixtures", "cut", record.version) / phase_file(0)
    path.write_bytes(path.read_bytes()[:-80])
    with pytest.raises(Damaged, match="missing or cut"):
        load_mixture(made, "cut").order(0)


def test_the_command_plans_shows_and_warns(made, capsys, monkeypatch):
    monkeypatch.setenv("MILLRACE_HOME", str(made.root))
    words = ["typed", "tokens=toy", "shares=web=0.5, books<=0.4, code=0.1", "budget=2e6"]
    assert verbs.main([*words, "--dry-run"]) == 0
    assert not (made.root / "mixtures" / "typed").exists()
    assert json.loads(capsys.readouterr().out.partition("\n}\n")[0] + "}")["budget"] == 2e6
    assert verbs.main(words) == 0
    printed = capsys.readouterr()
    assert "50.0%  web" in printed.out
    assert "next     just pretrain mixture=typed@1" in printed.out
    assert "warning: web: " in printed.err
    assert "epochs over the same text (more than 4)" in printed.err
    assert verbs.main(["typed@1", *words[1:]]) == 0
    assert "typed@1 is planned already" in capsys.readouterr().out
    with pytest.raises(BadInput, match="budget"):
        verbs.main(["typed", "tokens=toy", "budget=inf"])
    assert verbs.show(["typed"]) == 0
    assert "10.0%  code" in capsys.readouterr().out


def test_what_a_run_consumed_is_held_against_the_plan(made, capsys, monkeypatch):
    """Batches on record, as a run writes them; here those of the plan's first 10,000 samples."""
    build(MixtureConfig(name="run", tokens=("toy",), shares="web=0.5,code=0.3,books=0.2", budget=64 * 12_000), made)
    mixture = load_mixture(made, "run")
    ids = np.array(mixture.order(0)[:10_000])
    run = RunFolder(made, "walk")
    run.begin({}, "f", ["mixtures/run@1"], RunState())
    rows = Rows(run.path, "walk", 1, 0)
    rows.batch(1, ["web"] * len(ids), ids, ids)
    run.close(rows.write(1), RunState(step=1))
    with Catalog.open(made) as catalog:
        found = {share.group: share for share in shares(catalog, mixture, "walk")}
    assert sum(share.tokens for share in found.values()) == 64 * 10_000
    for domain, planned in {"web": 0.5, "code": 0.3, "books": 0.2}.items():
        assert found[domain].planned == pytest.approx(planned, abs=1e-4)
        assert abs(found[domain].consumed - planned) < 0.005
    monkeypatch.setenv("MILLRACE_HOME", str(made.root))
    assert verbs.show(["run", "--run", "walk"]) == 0
    assert "run walk: within 0.0" in capsys.readouterr().out
    with pytest.raises(NotFound, match="no batch of run 'wlak'"):
        verbs.show(["run", "--run", "wlak"])
