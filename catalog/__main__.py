"""The catalog's commands: sql, shell, trace, verify, gc, ls, rebuild, doctor.

python -m catalog sql "SELECT lang, count(*) FROM documents GROUP BY 1 ORDER BY 2 DESC"
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.tree import Tree

from catalog import doctor, lineage, query
from catalog.commands import Parser, run
from catalog.errors import BadInput, NotFound, near
from catalog.home import Home
from catalog.ids import SHORT
from catalog.index import rebuild, rebuild_sound
from catalog.lineage import Node
from catalog.progress import stage_progress
from catalog.records import RECORD, Record, readable
from catalog.store import Catalog, discard, quoted
from catalog.tables import size, table

MAX_BRANCHES = 20
"""Inputs of one artifact that `trace` shows without --all."""


class Command(NamedTuple):
    """A verb: what it is for, how it is called, what it does."""

    about: str
    examples: str
    arguments: Callable[[argparse.ArgumentParser], None]
    do: Callable[[argparse.Namespace], int]


def main(arguments: list[str], checks: Sequence[doctor.Check] = doctor.CHECKS) -> int:
    """Do one command; gives its exit status. `checks` are those of the doctor, later rooms' included."""
    parser = Parser(
        prog="just",
        description="Ask the catalog, and look after the home.",
        epilog="--debug shows the traceback of an error.",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    for name, command in COMMANDS.items():
        sub = verbs.add_parser(
            name,
            help=command.about,
            description=command.about,
            epilog=f"examples:\n{command.examples}",
        )
        command.arguments(sub)
        sub.add_home()
    _known_verb(arguments)
    given = parser.parse_args(arguments)
    given.home, given.checks = Home.open(given.home), checks
    return COMMANDS[given.verb].do(given)


def _known_verb(arguments: list[str]) -> None:
    first = arguments[0] if arguments else ""
    if first and not first.startswith("-") and first not in COMMANDS:
        raise BadInput(f"no command {first!r}. {near(first, COMMANDS)}")


# ── sql, shell ────────────────────────────────────────────────────────────────────────────────────────────────────


def _sql_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", nargs="?", help="SQL; without it a shell opens, or SQL is read from a pipe")
    _shell_arguments(parser)
    parser.add_argument("--out", type=Path, help="write the result to this file; its suffix says the format")


def _shell_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", help=", ".join(query.FORMATS))
    parser.add_argument("--write", action="store_true", help="allow the query to change the catalog")


def _sql(given: argparse.Namespace) -> int:
    format = query.chosen_format(given.format, given.out)
    text = given.query
    if text is None and given.out:
        text = sys.stdin.read()
    with Catalog.open(given.home, read_only=not given.write) as catalog:
        if text is None:
            return query.shell(catalog, sys.stdin, format)
        query.run_query(catalog, text, format, given.out)
    return 0


def _shell(given: argparse.Namespace) -> int:
    with Catalog.open(given.home, read_only=not given.write) as catalog:
        return query.shell(catalog, sys.stdin, query.chosen_format(given.format, None))


# ── trace, ls ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _trace_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="+",
        metavar="ref",
        help="name, name@version, kind/name@version, `run NAME`, `endpoint NAME`, or a document's id",
    )
    parser.add_argument("--all", action="store_true", help=f"show more than {MAX_BRANCHES} inputs of an artifact")


def _trace(given: argparse.Namespace) -> int:
    most = None if given.all else MAX_BRANCHES
    ref = _traced(given.words)
    if re.fullmatch(rf"[0-9a-f]{{{SHORT}}}:\d+", ref):
        return _trace_document(given.home, ref)
    record = _resolved(given.home, ref)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(_tree(lineage.trace(given.home, record), most, set()))
    if record.kind == "runs":
        console.print(_run_sources(given.home, record.name, most), markup=False)
    if record.kind == "endpoints":
        console.print(_hops(given.home, f"trace_endpoint({quoted(record.name)})"), markup=False)
    users = lineage.used_by(given.home, record)
    if users:
        console.print(f"used by {', '.join(users)}", markup=False)
    return 0


def _traced(words: list[str]) -> str:
    """The artifact that is meant: `run zh-small` is runs/zh-small, `endpoint chat` endpoints/chat."""
    if words in (["run"], ["endpoint"]):
        raise BadInput(f"which {words[0]}? Write: just trace {words[0]} NAME (`just ls {words[0]}s` lists them).")
    if len(words) == 1:
        return words[0]
    if len(words) == 2 and words[0] in ("run", "endpoint"):
        return f"{words[0]}s/{words[1]}"
    raise BadInput(
        f"trace one thing at a time, not {' '.join(words)!r}: just trace docs@1, or just trace run zh-small."
    )


def _run_sources(home: Home, run: str, most: int | None) -> str:
    """The hosts and crawl files that a run's tokens come from, most tokens first."""
    tables = []
    with Catalog.open(home) as catalog:
        for title, column in (("host", "host"), ("crawl file", "source")):
            rows = catalog.con.execute(
                f"SELECT coalesce({column}, '(none)'), sum(documents)::BIGINT, sum(tokens)::BIGINT, sum(share) "
                f"FROM run_sources({quoted(run)}) GROUP BY 1 ORDER BY 3 DESC, 1"
            ).fetchall()
            shown = [[name, documents, tokens, f"{share:.1%}"] for name, documents, tokens, share in rows[:most]]
            rest = f"\n… and {len(rows) - len(shown):,} more (--all shows them)" if len(shown) < len(rows) else ""
            tables.append(table([title, "documents", "tokens", "share"], shown) + rest)
    return "\n\n".join(tables)


def _resolved(home: Home, text: str) -> Record:
    """The record that is meant; where other kinds have such a name too, which was taken is said on stderr."""
    record = lineage.resolve(home, text)
    others = [] if "/" in text else [kind for kind in lineage.kinds_of(home, text) if kind != record.kind]
    if others:
        also = ", ".join(f"{kind}/{text}" for kind in others)
        print(f"{text} is taken as {record.kind}/{record.ref}; there is also {also}.", file=sys.stderr)
    return record


def _trace_document(home: Home, doc_id: str) -> int:
    hops = _hops(home, f"trace_document({quoted(doc_id)})")
    if not hops:
        raise BadInput(f"no document {doc_id} in the catalog. Find one: FROM why('https://…').")
    print(hops)
    return 0


def _hops(home: Home, macro: str) -> str:
    """A trace that is a table of the catalog; empty where it has no rows."""
    with Catalog.open(home) as catalog:
        rows = catalog.con.execute(f"FROM {macro}").fetchall()
    return table(["hop", "what", "name", "place", "detail"], rows) if rows else ""


def _tree(node: Node, most: int | None, seen: set[str]) -> Tree:
    """What an artifact was made from, where it stands first; further on, that it stands above."""
    if node.inputs and node.name in seen:
        return Tree(f"{_label(node)}  [dim](its inputs are above)[/dim]")
    seen.add(node.name)
    tree = Tree(_label(node))
    shown = node.inputs[:most]
    for child in shown:
        tree.children.append(_tree(child, most, seen))
    if len(shown) < len(node.inputs):
        tree.add(f"… and {len(node.inputs) - len(shown):,} more (--all shows them)")
    return tree


def _label(node: Node) -> str:
    from rich.markup import escape

    if node.record is None:
        return f"{escape(node.name)}  [red]no longer in the home[/red]"
    return f"[bold]{escape(node.name)}[/bold]  {escape(_summary(node.record))}"


def _summary(record: Record) -> str:
    source = record.config.get("source")
    uri = str(source.get("uri", "")) if isinstance(source, dict) else ""
    counts = [f"{value:,} {name}" for name, value in record.counts.items() if isinstance(value, int)][:3]
    files = f"{len(record.files):,} file{'s' if len(record.files) != 1 else ''}"
    bytes = size(sum(entry.bytes for entry in record.files))
    return ", ".join(part for part in (uri, *counts, files, bytes, record.created[:16].replace("T", " ")) if part)


def _ls_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", help="only this kind: corpora, intake, crawls, …")


def _ls(given: argparse.Namespace) -> int:
    records, bad = readable(given.home)
    kinds = sorted({record.kind for record in records})
    if given.kind and given.kind not in kinds:
        raise BadInput(
            f"no artifacts of kind {given.kind!r}. {near(given.kind, kinds)}" if kinds else "the home is empty."
        )
    shown = [record for record in records if given.kind in (None, record.kind)]
    for error in bad:
        print(f"error: {error}", file=sys.stderr)
    if not records:
        print(f"{given.home.root} is empty: run `just build-corpus`.")
        return 0
    rows = [
        [f"{one.kind}/{one.ref}", len(one.files), size(sum(file.bytes for file in one.files)), one.created[:16]]
        for one in sorted(shown, key=lambda one: (one.kind, one.created, one.ref))
    ]
    print(table(["artifact", "files", "size", "created"], rows))
    return 2 if bad else 0


# ── verify, gc, rebuild, doctor ───────────────────────────────────────────────────────────────────────────────────


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", nargs="?", default="all", help="an artifact, or `all` (the default)")
    parser.add_argument("--inputs", action="store_true", help="also everything that it was made from")


def _verify(given: argparse.Namespace) -> int:
    records, bad = _to_verify(given)
    total = sum(entry.bytes for record in records for entry in record.files)
    problems = []
    with stage_progress("verify", total=total // 1_000_000, unit="MB") as bar:
        read = 0

        def seen(bytes: int) -> None:
            nonlocal read
            bar.advance((read + bytes) // 1_000_000 - read // 1_000_000)
            read += bytes

        problems.extend(lineage.verify(given.home, records, seen))
    for error in bad:
        print(error)
    for problem in problems:
        print(f"{problem.path} {problem.what}")
    broken = sorted({problem.artifact for problem in problems})
    if broken or bad:
        print(f"Restore the files, or delete the folder of {', '.join(broken[:5]) or 'the record'} and build it again.")
        return 2
    files = sum(len(record.files) for record in records)
    print(f"{len(records):,} artifacts, {files:,} files, {size(total)}: all as recorded.")
    return 0


def _to_verify(given: argparse.Namespace) -> tuple[list[Record], list]:
    from catalog.index import with_inputs

    if given.ref == "all":
        return readable(given.home)
    record = _resolved(given.home, given.ref)
    return (with_inputs(given.home, record) if given.inputs else [record]), []


def _gc_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    parser.add_argument("--unused", action="store_true", help="also intakes that no artifact was made from")
    parser.add_argument(
        "--grace-hours", type=float, default=lineage.GRACE_S / 3600, help="leave what is younger (default: %(default)g)"
    )


def _gc(given: argparse.Namespace) -> int:
    found = lineage.garbage(given.home, given.unused, given.grace_hours * 3600)
    gone = found if given.dry_run else lineage.collect(given.home, found)
    for removal in gone:
        print(f"{given.home.relative(removal.path)}: {removal.why}, {size(removal.bytes)}")
    verb = "would be" if given.dry_run else "were"
    print(f"{len(gone)} {verb} removed, {size(sum(removal.bytes for removal in gone))}.")
    if not given.dry_run and any(removal.path.match("intake/*/*") for removal in gone) and _is_indexed(given.home):
        with Catalog.open(given.home, read_only=False) as catalog:
            rebuild(catalog)
    return 0


def _is_indexed(home: Home) -> bool:
    return home.catalog.exists()


def _rebuild_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fresh", action="store_true", help="throw the old catalog away first, users' own tables with it"
    )


def _rebuild(given: argparse.Namespace) -> int:
    if not any(given.home.root.glob(f"*/*/*/{RECORD}")):
        raise NotFound(
            f"no artifacts in {given.home.root}: run `just build-corpus`, or set MILLRACE_HOME to another home."
        )
    if given.fresh:
        discard(given.home)
    with Catalog.open(given.home, read_only=False) as catalog:
        number, bad = rebuild_sound(catalog)
    for error in bad:
        print(f"error: {error}", file=sys.stderr)
    print(f"{number} artifacts are in the catalog{f', {len(bad)} damaged ones are not' if bad else ''}.")
    return 2 if bad else 0


def _doctor(given: argparse.Namespace) -> int:
    worst = 0
    for finding in doctor.examine(given.home, given.checks):
        print(f"{finding.mark} {finding.what}{f' → {finding.todo}' if finding.todo else ''}", flush=True)
        worst = max(worst, finding.mark == doctor.FAIL)
    return 2 if worst else 0


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    """A command without arguments of its own."""


COMMANDS = {
    "sql": Command(
        "Ask in SQL: print a table, or write a file.",
        """  just sql "SELECT lang, count(*) FROM documents GROUP BY 1 ORDER BY 2 DESC"
  just sql "FROM why('https://example.org/page')"
  just sql "FROM funnel('docs')" --format markdown
  just sql "SELECT url, text FROM documents" --out documents.parquet
  just sql < questions.sql""",
        _sql_arguments,
        _sql,
    ),
    "shell": Command("Ask in SQL, one question after another.", "  python -m catalog shell", _shell_arguments, _shell),
    "trace": Command(
        "What an artifact or a document was made from.",
        "  just trace corpora/docs@1\n  just trace docs\n  just trace run tiny\n  just trace endpoint tiny-sft\n"
        "  just trace 0123456789ab:42",
        _trace_arguments,
        _trace,
    ),
    "verify": Command(
        "Hash files again and compare them with their records.",
        "  just verify\n  just verify docs@1 --inputs",
        _verify_arguments,
        _verify,
    ),
    "gc": Command(
        "Remove what dead processes left behind.",
        "  just gc --dry-run\n  just gc --unused",
        _gc_arguments,
        _gc,
    ),
    "ls": Command("List the artifacts of the home.", "  just ls\n  just ls corpora", _ls_arguments, _ls),
    "rebuild": Command(
        "Make the catalog anew from the records of the home.",
        "  just rebuild\n  just rebuild --fresh",
        _rebuild_arguments,
        _rebuild,
    ),
    "doctor": Command(
        "Look at this machine and this home.", "  just doctor\n  just doctor --home other-lake", _no_arguments, _doctor
    ),
}

if __name__ == "__main__":
    run(main)
