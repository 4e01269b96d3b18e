"""Benchmarks: `just bench NAME`. Each prints its table and puts it into docs/benchmarks.md.
The peers are the dependency group `bench`.

just bench                    list them
just bench engine --help      the options of one, with examples
just bench engine             read → publish and main text beside their peers; cost as the input grows
just bench signals            measures beside datatrove's filters on the same documents
just bench dedup              near-duplicates beside datatrove, text-dedup's method and datasketch
just bench tokens             tokenization and the loader beside their peers
just bench serve              an endpoint under load, in bf16 and compressed, beside transformers
just bench tune               tuning beside TRL used plainly; what is learnt and what is forgotten
just bench train              step time beside a bare PyTorch loop, boundaries, the loss in chunks; MFU on a GPU
"""

import importlib

from catalog.commands import run
from catalog.errors import NotFound, near

NAMES = ("engine", "signals", "dedup", "tokens", "train", "tune", "serve")


def main(argv: list[str]) -> int:
    """Run one benchmark with the rest of the arguments."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if argv[0] not in NAMES:
        raise NotFound(f"no benchmark {argv[0]!r}. {near(argv[0], NAMES)}")
    importlib.import_module(f"tests.bench.{argv[0]}").main(argv[1:])
    return 0


if __name__ == "__main__":
    run(main)
