"""`just report`: the page of a run, written anew from what is on record.

just report zh-small                   <home>/runs/zh-small/1/report.html
"""

from catalog.commands import Parser
from catalog.home import Home
from training.runs.folder import RunFolder
from training.runs.report import page as pretraining
from training.tuning import report as tuning


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
    home = Home.open(arguments.home)
    pretrained = RunFolder(home, arguments.run).state().kind == "pretrain"
    print((pretraining if pretrained else tuning).write_report(home, arguments.run))
    return 0
