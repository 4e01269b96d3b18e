"""Open a finished mixture: its phases, its order, its held-out samples.

>>> mixture = load_mixture(home, "balanced@1")
>>> mixture.order(0)[:3]          # sample ids of the first phase, mapped from the disk
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog.errors import BadInput, Damaged
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.index import split_input
from catalog.records import Record, find
from training.mixtures.plan import Plan, StreamKey
from training.sample_ids import divisor_for
from training.tokenizers.load import load_tokenizer
from training.tokens.reading import TokensInfo, load_tokens

Ids = NDArray[np.int64]
HELDOUT = "order/heldout.npy"


def phase_file(number: int) -> str:
    """The file of a phase's order, seen from the mixture's folder."""
    return f"order/phase-{number}.npy"


@dataclass(frozen=True)
class Mixture:
    """A mixture and the tokens that it reads."""

    record: Record
    folder: Path
    plan: Plan
    tokens: tuple[TokensInfo, ...]

    @property
    def ref(self) -> str:
        return str(self.record.ref)

    @property
    def streams(self) -> list[StreamKey]:
        """Every stream that is read or held out, in a fixed order: a batch gives a stream by its number here."""
        return sorted(
            StreamKey(info.ref, stream.domain, stream.lang) for info in self.tokens for stream in info.streams
        )

    def order(self, phase: int) -> Ids:
        """The sample ids of a phase in the order of reading, int64, mapped from the disk."""
        return self._array(phase_file(phase), self.plan.phases[phase].samples)

    def heldout(self) -> Ids:
        """The sample ids that no phase reads, kept for held-out loss; sorted."""
        return self._array(HELDOUT, None)

    def _array(self, name: str, samples: int | None) -> Ids:
        path = self.folder / name
        try:
            ids = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise Damaged(f"{path} is missing or cut: delete the mixture's folder and plan it again.") from error
        if ids.dtype != np.int64 or (samples is not None and len(ids) != samples):
            raise Damaged(f"{path} is not the order of {self.ref}: delete the mixture's folder and plan it again.")
        return ids


def load_mixture(home: Home, ref: str) -> Mixture:
    """Open `name` (the latest) or `name@version`. Raises NotFound with near names."""
    record = find(home, "mixtures", parse_ref(ref))
    inputs = [split_input(text) for text in record.inputs]
    tokens = [load_tokens(home, f"{key.name}@{key.version}") for key in inputs if key.kind == "tokens"]
    plan = Plan.model_validate(record.config["plan"])
    return Mixture(record, home.artifact("mixtures", record.name, record.version), plan, tuple(tokens))


def check_rows(mixture: Mixture, count: int, length: int) -> None:
    """Raises BadInput where a mixture cannot hold so many different rows of up to `length` tokens."""
    read: dict[StreamKey, int] = {}
    into: dict[StreamKey, int] = {}
    for stream in (stream for phase in mixture.plan.phases for stream in phase.streams):
        read[stream.key] = min(read.get(stream.key, 0) + stream.samples, stream.at_hand)
        into[stream.key] = divisor_for(stream.length, length)
    most = sum(samples * into[key] for key, samples in read.items())
    if count > most:
        raise BadInput(
            f"{mixture.ref} has no {count:,} different rows of {length} tokens, {most:,} at most: "
            "ask for fewer samples, or for a shorter length."
        )


def mixture_of(home: Home, parent: Record, asked: str) -> Mixture | None:
    """The mixture that a model's line began with, or the one that is asked for; None where there is none."""
    if asked:
        return load_mixture(home, asked)
    record: Record | None = parent
    while record:
        run = find_run(home, record)
        mixtures = [text for text in run.inputs if text.startswith("mixtures/")] if run else []
        if mixtures:
            try:
                return load_mixture(home, mixtures[0].partition("/")[2])
            except BadInput:
                return None
        above = str(record.config.get("parent") or "")
        record = find(home, "models", above) if above else None
    return None


def find_run(home: Home, model: Record) -> Record | None:
    """The run that made a model, where it is in the home."""
    name = str(model.config.get("run") or "")
    try:
        return find(home, "runs", name) if name else None
    except BadInput:
        return None


def own_mixture(home: Home, model: Record, asked: str) -> Mixture | None:
    """As `mixture_of`, where the mixture has the model's own tokens: its tokenizer may have been extended since.

    Raises BadInput where the one that is asked for has others.
    """
    mixture, folder = mixture_of(home, model, asked), home.artifact("models", model.name, model.version)
    if not mixture or load_tokenizer(home, str(folder)).fingerprint == mixture.tokens[0].tokenizer_fingerprint:
        return mixture
    if asked:
        raise BadInput(f"mixture={asked} has the tokens of another tokenizer than that of {model.ref}.")
    return None
