"""In place of Composer's launcher: ranks forked from a process that has imported all (`plant=FORKED_RANKS`)."""

import os
import signal

from run_forks import free_port


def launched(command: list[str]) -> int:
    """What `training.runs.launching.launched` does, for `… -n N -m configs VERB RUN HOME`."""
    ranks, words = int(command[command.index("-n") + 1]), command[-3:]
    world, pids = {"WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_PORT": free_port()}, []
    for rank in range(ranks):
        pid = os.fork()
        if not pid:
            os.environ |= {key: str(value) for key, value in {**world, "RANK": rank, "LOCAL_RANK": rank}.items()}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "NODE_RANK": "0"}
            os._exit(_rank(words))
        pids.append(pid)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGTERM) for pid in pids])
    return max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)


def _rank(words: list[str]) -> int:
    from catalog.commands import run
    from configs.__main__ import main

    try:
        run(main, words)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
