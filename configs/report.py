"""`just report`: the page of a run, written anew from what is on record.

just report zh-small                   <home>/runs/zh-small/1/report.html
"""

from catalog.commands import Parser
from catalog.home import Home
from training.runs.report.page import write_report


def main(argv: list[str]) -> int:
    """Write a run's report and say where it is."""
    parser = Parser(
        prog="just report",
        usage="just report RUN",
        description=__doc__,
    )
    parser.add_argument("run", help="the run's name")
    parser.add_home()
    arguments = parser.parse_args(argv)
    print(write_report(Home.open(arguments.home), arguments.run))
    return 0
