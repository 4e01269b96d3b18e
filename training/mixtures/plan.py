"""From what is asked to a plan: samples of every stream in every phase, with the epochs that this means.

>>> plan = make_plan(config, {"web@1": load_tokens(home, "web@1")}, readable)
>>> plan.phases[0].streams[0].epochs

A stream is one domain and language of one tokens artifact. Whole packed samples are dealt out; a phase with a shorter
sequence length reads each of them as its parts, so every token is still read as often as planned.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from catalog.config import Config
from catalog.errors import BadInput
from training.mixtures.config import MixtureConfig, PhaseConfig, parse_shares
from training.mixtures.shares import apportion, solve
from training.sample_ids import MAX_DIVISOR
from training.tokens.reading import TokensInfo


class StreamKey(NamedTuple):
    """One domain and language of one tokens artifact."""

    tokens_id: str
    domain: str
    lang: str

    def __str__(self) -> str:
        return f"{self.tokens_id}:{self.domain}/{self.lang}"

    def group(self, by: str) -> str:
        """What a share of `by` calls it."""
        return {
            "domain": self.domain,
            "lang": self.lang,
            "tokens": self.tokens_id.partition("@")[0],
            "domain/lang": f"{self.domain}/{self.lang}",
        }[by]


class StreamPlan(Config):
    """What one phase reads of a stream."""

    tokens_id: str
    domain: str
    lang: str
    group: str
    samples: int
    """Packed samples read, repeats counted."""
    parts: int
    """Into how many parts each of them is cut."""
    at_hand: int
    """Packed samples that may be read."""
    length: int
    """Tokens of a packed sample."""

    @property
    def key(self) -> StreamKey:
        return StreamKey(self.tokens_id, self.domain, self.lang)

    @property
    def tokens(self) -> int:
        """Tokens read, padding counted."""
        return self.samples * self.length

    @property
    def epochs(self) -> float:
        """How often this phase reads the stream."""
        return self.samples / self.at_hand if self.at_hand else 0.0


class PhasePlan(Config):
    """One phase, settled."""

    name: str
    sequence_length: int
    streams: tuple[StreamPlan, ...]

    @property
    def tokens(self) -> int:
        """Tokens read in this phase, padding counted."""
        return sum(stream.tokens for stream in self.streams)

    @property
    def samples(self) -> int:
        """Samples of this phase's own length."""
        return sum(stream.samples * stream.parts for stream in self.streams)


class ShareRow(Config):
    """A stream's share of a phase, as the view `mixtures` has it."""

    phase: str
    tokens_id: str
    domain: str
    lang: str
    share: float
    """Of the phase's tokens."""
    budget_tokens: int
    epochs: float
    sequence_length: int
    samples: int
    """Of the phase's own length."""


class Plan(Config):
    """Everything that a run will read."""

    phases: tuple[PhasePlan, ...]

    @property
    def tokens(self) -> int:
        return sum(phase.tokens for phase in self.phases)

    def rows(self) -> list[ShareRow]:
        """A row for every stream of every phase."""
        return [
            ShareRow(
                phase=phase.name,
                **stream.key._asdict(),
                share=stream.tokens / phase.tokens,
                budget_tokens=stream.tokens,
                epochs=stream.epochs,
                sequence_length=phase.sequence_length,
                samples=stream.samples * stream.parts,
            )
            for phase in self.phases
            for stream in phase.streams
        ]

    def group_epochs(self) -> dict[str, float]:
        """Epochs over each group, all phases together."""
        read: dict[str, float] = {}
        hand: dict[str, dict[StreamKey, int]] = {}
        for phase in self.phases:
            for stream in phase.streams:
                read[stream.group] = read.get(stream.group, 0.0) + stream.tokens
                hand.setdefault(stream.group, {})[stream.key] = stream.at_hand * stream.length
        return {group: tokens / max(1, sum(hand[group].values())) for group, tokens in read.items()}


def make_plan(config: MixtureConfig, tokens: Mapping[str, TokensInfo], readable: Mapping[StreamKey, int]) -> Plan:
    """Settle every phase.

    `tokens` holds each artifact under the words that the config uses for it, `readable` the packed samples of every
    stream that are not held out. Raises BadInput for shares, lengths and budgets that cannot be.
    """
    check_alike(tokens)
    chosen = [_streams_of(config, phase, tokens, readable) for phase in config.phases]
    if not any(chosen):
        raise BadInput(f"no samples to read in {', '.join(config.tokens)}: everything is held out or empty.")
    budget = config.budget or _one_epoch(chosen, tokens)
    whole = sum(phase.part for phase in config.phases)
    budgets = [budget * phase.part / whole for phase in config.phases]
    offered = _offered(config, chosen, budgets)
    phases = [
        _phase(config, phase, streams, phase_budget, offered)
        for phase, streams, phase_budget in zip(config.phases, chosen, budgets, strict=True)
    ]
    return Plan(phases=tuple(phases))


def warnings(plan: Plan, bound: float) -> tuple[str, ...]:
    """A line for every group that is read more often than `bound`."""
    return tuple(
        f"{group}: {epochs:.1f} epochs over the same text (more than {bound:g}). Ask less of it, or find more of it."
        for group, epochs in plan.group_epochs().items()
        if epochs > bound
    )


def check_alike(tokens: Mapping[str, TokensInfo]) -> None:
    """Raises BadInput where artifacts were made with different tokenizers: their ids do not mean the same."""
    infos = list(tokens.values())
    for info in infos[1:]:
        if info.tokenizer_fingerprint != infos[0].tokenizer_fingerprint:
            raise BadInput(
                f"{info.ref} was tokenized with {info.tokenizer}, {infos[0].ref} with {infos[0].tokenizer}: "
                "a mixture needs one tokenizer. Tokenize one of them again."
            )


class _Stream(NamedTuple):
    """A stream that a phase may read."""

    key: StreamKey
    group: str
    at_hand: int
    length: int

    @property
    def tokens(self) -> int:
        return self.at_hand * self.length


def _streams_of(
    config: MixtureConfig, phase: PhaseConfig, tokens: Mapping[str, TokensInfo], readable: Mapping[StreamKey, int]
) -> list[_Stream]:
    found = []
    infos = [tokens[name] for name in phase.tokens or config.tokens]
    refs = [info.ref for info in infos]
    if len(set(refs)) < len(refs):
        raise BadInput(f"phase {phase.name}: the same tokens twice: {', '.join(refs)}. Name each once.")
    for info in infos:
        for stream in info.streams:
            key = StreamKey(info.ref, stream.domain, stream.lang)
            if readable[key]:
                found.append(_Stream(key, key.group(config.by), readable[key], info.sequence_length))
    return found


def _one_epoch(chosen: Sequence[Sequence[_Stream]], tokens: Mapping[str, TokensInfo]) -> int:
    """The tokens of every stream that some phase may read."""
    return sum({stream.key: stream.tokens for streams in chosen for stream in streams}.values())


def _offered(config: MixtureConfig, chosen: Sequence[Sequence[_Stream]], budgets: Sequence[float]) -> dict[str, float]:
    """The budget, in tokens, of the phases that may read each group."""
    offered: dict[str, float] = {}
    for streams, budget in zip(chosen, budgets, strict=True):
        for group in {stream.group for stream in streams}:
            offered[group] = offered.get(group, 0.0) + budget
    return offered


def _phase(
    config: MixtureConfig, phase: PhaseConfig, streams: Sequence[_Stream], budget: float, offered: Mapping[str, float]
) -> PhasePlan:
    length = phase.sequence_length or min(stream.length for stream in streams)
    parts = {stream.length: _parts(phase, stream.length, length) for stream in streams}
    sizes: dict[str, int] = {}
    for stream in streams:
        sizes[stream.group] = sizes.get(stream.group, 0) + stream.tokens
    caps = {group: config.max_epochs * sizes[group] / offered[group] for group in sizes} if config.max_epochs else {}
    shares = solve(sizes, parse_shares(phase.shares or config.shares), config.temperature, caps)
    unit = max(stream.length for stream in streams)
    whole = round(budget / unit)
    if not whole:
        raise BadInput(f"phase {phase.name}: a budget of {budget:,.0f} tokens is less than one sample of {unit:,}.")
    exact = {str(stream.key): shares[stream.group] * stream.tokens / sizes[stream.group] for stream in streams}
    counts = {stream: _samples(stream, exact, whole * unit) for stream in streams} if len(parts) > 1 else {}
    dealt = apportion(exact, whole)
    return PhasePlan(
        name=phase.name,
        sequence_length=length,
        streams=tuple(
            StreamPlan(
                **stream.key._asdict(),
                group=stream.group,
                samples=counts.get(stream, dealt[str(stream.key)]),
                parts=parts[stream.length],
                at_hand=stream.at_hand,
                length=stream.length,
            )
            for stream in streams
        ),
    )


def _samples(stream: _Stream, exact: Mapping[str, float], tokens: int) -> int:
    """Packed samples of a stream where streams were packed at different lengths."""
    return round(exact[str(stream.key)] * tokens / stream.length)


def _parts(phase: PhaseConfig, packed: int, length: int) -> int:
    parts = packed // length if length else 0
    if parts * length != packed or parts > MAX_DIVISOR or parts & (parts - 1):
        allowed = ", ".join(str(packed >> n) for n in range(6) if not packed % (1 << n))
        raise BadInput(
            f"phase {phase.name}: samples are packed at {packed} tokens, which cannot be read at {length}. "
            f"Lengths that fit: {allowed}."
        )
    return parts
