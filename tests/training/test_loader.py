"""The loader: batches in the mixture's order, whatever workers, stops and ranks there are."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mixture_toys import toy_tokens

from catalog.errors import BadInput, Damaged
from catalog.home import Home
from catalog.store import Catalog
from training.loader import shared_memory
from training.loader.batches import Sample, collate
from training.loader.dataset import MixtureDataset, loader
from training.loader.schedule import Batch, Schedule
from training.mixtures.build import build
from training.mixtures.config import MixtureConfig, PhaseConfig
from training.mixtures.reading import load_mixture
from training.sample_ids import divisor, part, whole

PHASES = (PhaseConfig(name="warm", part=0.3, sequence_length=32), PhaseConfig(name="main", part=1.0))
WORLDS = Path(__file__).with_name("loader_worlds.py")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    folder = tmp_path_factory.mktemp("loader")
    made = Home.open(folder / "lake")
    toy_tokens(made, folder)
    build(MixtureConfig(name="m", tokens=("toy",), phases=PHASES), made)
    return made


@pytest.fixture
def dataset(home):
    return MixtureDataset(load_mixture(home, "m"), 256, home.root / "cache")


def ids_of(batches) -> list[list[int]]:
    return [batch["sample_id"].tolist() for batch in batches]


def planned(dataset: MixtureDataset) -> list[list[int]]:
    return [dataset.ids_of(step).tolist() for step in range(dataset.schedule.steps)]


def test_batches_are_those_of_the_order_and_what_is_left_over_is_counted(dataset):
    batches = ids_of(loader(dataset))
    mixture, schedule = dataset.mixture, dataset.schedule
    assert [len(batch) for batch in batches] == [8] * schedule.stretches[0].steps + [4] * schedule.stretches[1].steps
    for number, stretch in enumerate(schedule.stretches):
        of_phase = batches[stretch.first : stretch.first + stretch.steps]
        read = [sample for batch in of_phase for sample in batch]
        order = mixture.order(number)
        assert read == order[: len(read)].tolist()
        assert len(order) - len(read) == schedule.remainders[stretch.name] == len(order) % stretch.batch


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(dataset, workers):
    assert ids_of(loader(dataset, workers)) == planned(dataset)


def test_a_resume_is_one_integer(dataset):
    whole_run = planned(dataset)
    for step in (0, 1, dataset.schedule.stretches[1].first, len(whole_run) - 1):
        dataset.start_at(step)
        assert ids_of(loader(dataset)) == whole_run[step:]
    dataset.start_at(5)
    assert ids_of(loader(dataset, 2)) == whole_run[5:]


def test_the_state_that_composer_keeps_leads_to_the_same_step(dataset):
    batches = iter(loader(dataset))
    read = [next(batches) for _ in range(7)]
    state = dataset.state_dict(sum(len(batch["sample_id"]) for batch in read), from_beginning=True)
    assert dataset.schedule.step_after(state["sample_in_epoch"]) == 7
    with pytest.raises(BadInput, match="a resume starts at a whole batch"):
        dataset.schedule.step_after(state["sample_in_epoch"] + 1)


def test_tokens_positions_and_labels_are_those_of_the_documents(home, dataset):
    """Every row, against the documents that `samples` says it holds, encoded again."""
    from tokenizers import Tokenizer

    with Catalog.open(home) as catalog:
        spans: dict[int, list] = {}
        for sample, *span in catalog.sql(
            "SELECT sample_id, sample_start, doc_id, doc_start, length FROM samples ORDER BY 1, 2"
        ).fetchall():
            spans.setdefault(sample, []).append(span)
    tokenizer = Tokenizer.from_file(str(home.root.parent / "tokenizer" / "tokenizer.json"))
    texts = _texts(home)
    ids = {doc: [*tokenizer.encode(text).ids, tokenizer.token_to_id("<|endoftext|>")] for doc, text in texts.items()}
    checked = 0
    for batch in loader(dataset):
        length = batch["input_ids"].shape[1]
        for row, sample in enumerate(batch["sample_id"].tolist()):
            start = int(part(sample)) * length
            tokens, positions = _expected(spans[int(whole(sample))], ids, start, length)
            end = len(tokens)
            assert batch["input_ids"][row, :end].tolist() == tokens
            assert batch["position_ids"][row].tolist() == positions + [0] * (length - end)
            assert batch["labels"][row].tolist() == tokens + [-100] * (length - end)
            assert 64 // length == int(divisor(sample))
            checked += 1
    assert checked == dataset.schedule.samples


def _texts(home: Home) -> dict[str, str]:
    import pyarrow.parquet as pq

    tables = [pq.read_table(path) for path in (home.root / "corpora" / "toy" / "1" / "shards").glob("*.parquet")]
    return {row["doc_id"]: row["text"] for table in tables for row in table.to_pylist()}


def _expected(spans, ids, start: int, length: int) -> tuple[list[int], list[int], set[int]]:
    tokens, positions = [], []
    for sample_start, doc, doc_start, count in spans:
        low, high = max(sample_start, start), min(sample_start + count, start + length)
        if low < high:
            offset = doc_start + low - sample_start
            tokens += ids[doc][offset : offset + high - low]
            positions += range(high - low)
    return tokens, positions


def test_streams_are_those_of_the_mixture(dataset):
    names = dataset.mixture.streams
    with_catalog = {}
    with Catalog.open(Home(dataset.mixture.folder.parents[2])) as catalog:
        with_catalog = dict(catalog.sql("SELECT DISTINCT sample_id, domain FROM samples").fetchall())
    for batch in loader(dataset):
        for sample, stream in zip(whole(batch["sample_id"].numpy()).tolist(), batch["stream"].tolist(), strict=True):
            assert names[stream].domain == with_catalog[sample]


def test_only_padding_has_no_label():
    sample = Sample(1, np.arange(8, dtype=np.uint16), np.array([0, 3, 6], np.uint32))
    batch = collate([sample], np.array([1]), np.array([0]), 8, 99)
    assert batch["labels"].tolist() == [[0, 1, 2, 3, 4, 5, -100, -100]]
    assert batch["input_ids"].tolist() == [[0, 1, 2, 3, 4, 5, 99, 99]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 0, 0]]
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_parts_of_a_sample_hold_all_of_it():
    sample = Sample(1, np.arange(16), np.array([0, 3, 4, 11], np.uint32))
    parts = [sample.cut(number, 4) for number in range(4)]
    assert [p.tokens.tolist() for p in parts] == [[*range(n, n + 4)] for n in (0, 4, 8, 12)]
    assert [p.bounds.tolist() for p in parts] == [[0, 3, 4], [0, 4], [0, 3], [0]]
    last = collate(parts[3:], np.array([1]), np.array([0]), 4, 7)
    assert last["labels"].tolist() == [[-100] * 4]
    assert last["input_ids"].tolist() == [[7] * 4]


@pytest.mark.parametrize(
    ("tokens", "said"),
    [(100, "is no whole number of samples of 32"), (10**9 // 64 * 64, "too few tokens: .* do not fill one batch")],
)
def test_a_batch_that_does_not_fit_is_refused(home, tokens, said):
    with pytest.raises(BadInput, match=said):
        Schedule.of(load_mixture(home, "m"), tokens)


def test_a_batch_must_be_dealt_out_evenly():
    schedule = Schedule.from_phases([("main", 64, 100)], 64 * 6)
    schedule.check_world(3)
    with pytest.raises(BadInput, match=r"6 samples a batch cannot be dealt out to 4 processes.*multiple of 256"):
        schedule.check_world(4)


def test_steps_of_a_schedule():
    schedule = Schedule.from_phases([("warm", 32, 21), ("main", 64, 11)], 128)
    assert (schedule.steps, schedule.samples, schedule.remainders) == (10, 30, {"warm": 1, "main": 1})
    assert schedule.at(4) == Batch(0, 16, 4)
    assert schedule.at(5) == Batch(1, 0, 2)
    for step in range(11):
        assert schedule.step_after(schedule.samples_before(step)) == step
    with pytest.raises(IndexError):
        schedule.at(10)


def test_a_shard_that_changed_is_named_when_it_is_read(home, tmp_path):
    copy = Home(tmp_path / "lake")
    shutil.copytree(home.root, copy.root, ignore=shutil.ignore_patterns("cache"))
    shard = next((copy.root / "tokens").rglob("*.mds.zstd"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    dataset = MixtureDataset(load_mixture(copy, "m"), 256, copy.root / "cache")
    with pytest.raises(Damaged, match=f"{shard.name} does not have the hash"):
        list(loader(dataset))


def test_shards_come_from_another_home_where_this_one_lacks_them(home, tmp_path):
    copy = Home(tmp_path / "lake")
    shutil.copytree(home.root, copy.root, ignore=shutil.ignore_patterns("cache", "*.zstd"))
    dataset = MixtureDataset(load_mixture(copy, "m"), 256, tmp_path / "cache", remote=f"file://{home.root}/")
    assert ids_of(loader(dataset)) == planned(dataset)
    assert not list((tmp_path / "cache").rglob("*.zstd"))  # only raw shards stay
    for index in (copy.root / "tokens").rglob("index.json"):
        index.unlink()
    bare = MixtureDataset(load_mixture(copy, "m"), 256, tmp_path / "bare", remote=str(home.root))
    assert ids_of([bare.read_step(0)]) == planned(bare)[:1]
    with pytest.raises(Damaged, match=r"nowhere/tokens/.*index.json is missing"):
        MixtureDataset(load_mixture(copy, "m"), 256, tmp_path / "none", remote=str(tmp_path / "nowhere"))


@pytest.mark.slow
def test_memory_stays_flat_over_ten_million_samples(home, tmp_path):
    """The order of an epoch of 10 million samples stays on the disk: no step keeps anything of it."""
    record = build(MixtureConfig(name="long", tokens=("toy",), budget=64 * 10_000_000), home).record
    dataset = MixtureDataset(load_mixture(home, str(record.ref)), 64 * 1000, tmp_path / "cache")
    assert dataset.schedule.samples == 10_000_000
    dataset.read_step(0)  # every shard of the toy is in use after one step
    before = own_memory()
    read = sum(len(dataset.ids_of(step)) for step in range(dataset.schedule.steps))
    for step in range(0, dataset.schedule.steps, 1000):
        dataset.read_step(step)
    assert read == 10_000_000
    assert own_memory() - before < 8_000_000  # a tenth of the order's 80 MB


def own_memory() -> int:
    """Bytes of this process that are backed by no file (Linux)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def test_two_jobs_at_once_share_a_cache_and_no_memory(home, tmp_path):
    one = MixtureDataset(load_mixture(home, "m"), 256, tmp_path / "cache")
    two = MixtureDataset(load_mixture(home, "m"), 256, tmp_path / "cache")
    assert one._shm_prefix_int != two._shm_prefix_int
    pairs = zip(loader(one), loader(two), strict=True)
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in pairs)


@pytest.mark.slow
def test_what_a_killed_job_left_is_cleared_and_a_live_one_keeps_its_own(home, tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from catalog.home import Home\n"
        "from training.loader.dataset import MixtureDataset; from training.mixtures.reading import load_mixture\n"
        f"d = MixtureDataset(load_mixture(Home(Path({str(home.root)!r})), 'm'), 256, Path({str(tmp_path)!r}))\n"
        "print(d._shm_prefix_int, flush=True); time.sleep(600)"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        dead, live = (job.stdout.readline().strip() for job in jobs)
        segments = {name: list(shared_memory.SEGMENTS.glob(f"{name}_*")) for name in (dead, live)}
        assert all(segments.values())
        jobs[0].kill()
        jobs[0].wait()
        # the resource tracker of a killed process may clear its segments too; ours needs nobody
        shared_memory.clear_dead()
        assert not list(shared_memory.SEGMENTS.glob(f"{dead}_*"))
        assert list(shared_memory.SEGMENTS.glob(f"{live}_*")) == segments[live]
        assert planned(MixtureDataset(load_mixture(home, "m"), 256, tmp_path))
    finally:
        for job in jobs:
            job.kill()
            job.wait()
    shared_memory.clear_dead()


@pytest.mark.slow
def test_global_batches_are_the_same_for_one_two_and_four_ranks_and_any_stops(home, tmp_path):
    """Real worlds of processes (gloo), each stopped and resumed, some with workers: see loader_worlds.py."""
    done = subprocess.run(
        [sys.executable, WORLDS, home.root, tmp_path], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    reference = planned(MixtureDataset(load_mixture(home, "m"), 256, tmp_path / "cache"))
    worlds = np.load(tmp_path / "worlds.npz")
    assert len(worlds.files) >= 5
    for name in worlds.files:
        read = worlds[name]  # rows of (step, rank, sample id)
        for step, batch in enumerate(reference):
            assert sorted(read[read[:, 0] == step][:, 2].tolist()) == sorted(batch), (name, step)
        assert len(read) == sum(map(len, reference)), name
