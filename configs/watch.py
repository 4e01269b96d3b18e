"""`just watch`: a run's curves in the terminal while it trains, or as they were left.

just watch zh-small                    follow it until it ends
just watch zh-small --once             one frame, for logs
"""

import time

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from catalog.commands import Parser
from catalog.home import Home
from catalog.progress import duration
from training.runs.curves import Curves, read_curves
from training.runs.terminal import plot

HEIGHT = 9


def main(argv: list[str]) -> int:
    """Follow a run, or show one frame."""
    arguments = _parser().parse_args(argv)
    home, console = Home.open(arguments.home), Console(highlight=False)
    seen = read_curves(home, arguments.run)
    if arguments.once or not seen.alive:
        console.print(frame(seen, console.width))
        return 0
    with Live(frame(seen, console.width), console=console, auto_refresh=False) as live:
        while seen.alive:
            time.sleep(arguments.every)
            seen = read_curves(home, arguments.run)
            live.update(frame(seen, console.width), refresh=True)
    return 0


def frame(seen: Curves, width: int) -> Group:
    """Everything that is shown at a moment."""
    lines = [Text(_headline(seen), style="bold"), Text(_now(seen))]
    if seen.state.detail:
        lines.append(Text(seen.state.detail))
    parts = list(lines)
    for name in ("reward", "loss"):
        if curve := plot(seen.series.get(name, []), min(width - 2, 100), HEIGHT):
            parts += [Text(f"\n{name}"), *(Text(line, no_wrap=True) for line in curve)]
    return Group(*parts, *([Text(""), _heldout(seen)] if seen.domains() else []))


def _headline(seen: Curves) -> str:
    state = seen.state
    if seen.alive:
        return f"{seen.name}: a process is at it, attempt {len(state.attempts)}"
    hint = (
        f"; no process is at it: just resume {seen.name}" if state.status in ("running", "stopped", "trained") else ""
    )
    return f"{seen.name}: {state.status}{hint}"


def _now(seen: Curves) -> str:
    state, loss, speed = seen.state, seen.last("loss"), seen.last("tokens_per_second")
    tokens = seen.last("tokens")
    left = seen.seconds_left() if seen.alive else None
    words = [f"step {seen.step:,} of {state.steps:,}", f"{int(tokens or 0):,} tokens"]
    words += [f"loss {loss:.3f}"] if loss is not None else []
    reward = seen.last("reward")
    words += [f"reward {reward:.3f}"] if reward is not None else []
    words += [f"{speed:,.0f} tokens/s"] if speed is not None and seen.alive else []
    words += [f"{duration(left)} left"] if left is not None else []
    words += [f"saved at step {state.last.step:,}"] if state.last else []
    return ", ".join(words)


def _heldout(seen: Curves) -> Table:
    """First, best and last held-out loss and the last bits a byte of every domain."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("held out")
    for title in ("first", "lowest", "last", "at step", "bits a byte"):
        table.add_column(title, justify="right")
    for domain in seen.domains():
        points = seen.series.get(f"heldout/{domain}/loss", [])
        if not points:
            continue
        bits = seen.last(f"heldout/{domain}/bits_per_byte")
        values = [value for _, value in points]
        cells = [f"{value:.3f}" for value in (values[0], min(values), values[-1])]
        table.add_row(domain, *cells, f"{points[-1][0]:,}", "" if bits is None else f"{bits:.3f}")
    return table


def _parser() -> Parser:
    parser = Parser(
        prog="just watch",
        usage="just watch RUN [--once] [--every SECONDS]",
        description=__doc__,
    )
    parser.add_argument("run", help="the run's name")
    parser.add_argument("--once", action="store_true", help="print one frame and end")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks (default: %(default)g)")
    parser.add_home()
    return parser
